"""What the command refuses, and what it does without Ray; searches are in tests/cluster/test_tune.py."""

import os
import signal
import sys
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from affectlens.cli import tune
from affectlens.cli.interrupts import on_interrupt
from affectlens.cli.main import affectlens, main
from affectlens.training import lineage
from affectlens.training.search_plan import SearchFile, SearchPlan
from lineages import SPACE, family


def run(*words: str) -> Result:
    return CliRunner().invoke(affectlens, ["tune", *words])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A search of eight members that was interrupted."""
    lineage.write_lineage(tmp_path / lineage.LINEAGE, family())
    SearchFile(plan=SearchPlan(), search_space=SPACE).write(tmp_path)
    return tmp_path


def test_help_shows_what_a_search_takes_and_the_other_commands() -> None:
    result = run("--help").output
    assert "--population" in result and "replay" in result and "report" in result


def test_report_checks_the_lineage_and_draws_both_figures(folder: Path) -> None:
    result = run("report", str(folder))
    assert result.exit_code == 0 and "9 intervals" in result.output
    assert "has not ended: 8 members have rounds to do" in result.output
    assert (folder / "family.png").stat().st_size > 1000 and (folder / "schedule.png").stat().st_size > 1000


def test_report_ends_with_an_error_where_the_lineage_is_not_true(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder / lineage.LINEAGE
    file.write_text(file.read_text().replace('"start_hash": "0202', '"start_hash": "0a0a'))
    with pytest.raises(SystemExit) as ended:
        main(["tune", "report", str(folder)])
    assert ended.value.code == 2 and "weights were mixed up" in capsys.readouterr().err
    assert not (folder / "family.png").exists()


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT of a process to itself")
@pytest.mark.parametrize("begun", [True, False])
def test_ctrl_c_is_answered_before_ray_has_ended(
    begun: bool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if begun:
        (tmp_path / "settings.toml").touch()
    with pytest.raises(KeyboardInterrupt), on_interrupt(partial(tune._answer_at_once, tmp_path)):
        os.kill(os.getpid(), signal.SIGINT)
    shown = capfd.readouterr().err
    assert ("Go on with --resume" in shown) is begun and ("No search was begun" in shown) is not begun
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("text", ["cpu", "cpu=one", "disk=1", "cpu=1;gpu=1", "cpu=nan", "cpu=inf"])
def test_resources_that_are_none_are_refused(text: str, tmp_path: Path) -> None:
    result = run("plain", "--data", "folder:x", "--out", str(tmp_path / "out"), "--resources", text)
    assert result.exit_code == 2 and "cpu=1,gpu=0.25" in result.output


def test_ranges_that_cannot_be_are_refused_before_anything_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ray")
    (tmp_path / "ranges.toml").write_text("weight_decy = [0.1, 0.2]\n")
    with pytest.raises(SystemExit) as ended:
        main(["tune", "plain", "--data", "folder:x", "--out", str(tmp_path / "out"),
              "--ranges", str(tmp_path / "ranges.toml")])  # fmt: skip
    assert ended.value.code == 2 and "Did you mean 'weight_decay'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("more", [("--population", "8"), ("--set", "mixup=0"), ("--seed", "1")])
def test_a_search_is_resumed_as_it_was_begun_even_with_the_value_that_is_the_default(
    more: tuple[str, str], tmp_path: Path
) -> None:
    result = run("plain", "--data", "folder:x", "--out", str(tmp_path / "out"), "--resume", *more)
    assert result.exit_code == 2 and "--resume takes" in result.output


def test_without_ray_the_error_names_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SystemExit) as ended:
        main(["tune", "plain", "--data", "folder:x", "--out", str(tmp_path / "out")])
    assert ended.value.code == 2 and 'pip install "affectlens[cluster]"' in capsys.readouterr().err
