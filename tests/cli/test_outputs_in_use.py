"""Of two processes that would write the same file or folder, the second is refused before it has begun."""

import shutil
from pathlib import Path

import pytest

from affectlens.cli.main import main
from affectlens.emotions import MIKELS
from lock_holder import holder
from pictures import colour_set


def refused(*words: object) -> bool:
    """Whether a command is wrong use."""
    with pytest.raises(SystemExit) as ended:
        main([*map(str, words)])
    return ended.value.code == 2


def test_scores_that_another_process_will_write_are_not_measured(
    graph_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = colour_set(tmp_path / "data", MIKELS.words, each=1)
    out = tmp_path / "scores.json"
    with holder("locked_file", out) as process:
        assert refused("evaluate", graph_model, "--data", f"folder:{data}", "--split", "all", "--out", out)
        shown = capsys.readouterr().err
    assert "is being written by another process" in shown and str(process.pid) in shown
    assert not out.exists()


@pytest.mark.needs("torch")
def test_a_comparison_of_methods_that_another_process_writes_is_not_begun(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = colour_set(tmp_path / "data", MIKELS.words, each=1)
    out = tmp_path / "compared.json"
    with holder("locked_file", out):
        assert refused(
            "explain", "compare", f"folder:{data}", "--model", tiny_model, "--split", "all", "--methods",
            "gradient", "--out", out,
        )  # fmt: skip
    assert "is being written by another process" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.needs("torch")
def test_a_model_that_another_process_adds_a_graph_to_gets_no_second(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    with holder("locked_folder", folder):
        assert refused("models", "graph", folder)
    assert "is being written by another process" in capsys.readouterr().err


@pytest.mark.needs("torch")
@pytest.mark.parametrize(
    "command",
    [("models", "join", "one", "other"), ("film", "compare", "one", "other"),
     ("explain", "filters", "a.jpg")],
)  # fmt: skip
def test_what_another_process_writes_is_refused_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    out = tmp_path / ("out.html" if "compare" in command else "out.png")
    with holder("locked_file", out):
        assert refused(*command, "--out", out)
    assert "is being written by another process" in capsys.readouterr().err


def test_a_folder_of_explanations_is_refused_before_the_model_is_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    with holder("locked_folder", out):
        assert refused("explain", "a.jpg", "--model", tmp_path / "no model", "--out", out)
    assert "is being written by another process" in capsys.readouterr().err
