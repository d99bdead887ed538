"""`affectlens calibrate`: what is wrong use, and what it refuses before any work."""

from pathlib import Path

import pytest

from affectlens.cli.main import main
from affectlens.emotions import MIKELS
from lock_holder import holder
from pictures import colour_set


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return colour_set(tmp_path_factory.mktemp("data") / "colours", MIKELS.words, each=7)


def status(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["calibrate", *map(str, words)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_labels_that_colours_have_nothing_to_do_with_are_refused_with_the_reason_of_each_part(
    graph_model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mine"
    assert status(graph_model, "--data", f"folder:{data}", "--out", out) == 2
    shown = capsys.readouterr().err
    assert "tiny stays as it is, and nothing was written" in shown
    assert "temperature, since" in shown and "sets of emotions, since" in shown
    assert not out.exists()


def test_a_folder_that_another_process_writes_is_not_begun(
    graph_model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mine"
    with holder("locked_file", out):
        assert status(graph_model, "--data", f"folder:{data}", "--out", out) == 2
    assert "is being written by another process" in capsys.readouterr().err
    assert not out.exists()


def test_data_of_other_emotions_and_splits_that_are_not_there_are_errors(
    graph_model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = colour_set(tmp_path / "moods", ("cosy", "bleak"), each=2)
    out = tmp_path / "mine"
    assert status(graph_model, "--data", f"folder:{other}", "--out", out) == 2
    assert status(graph_model, "--data", f"folder:{data}", "--split", "val", "--out", out) == 2
    assert status("no such model", "--data", f"folder:{data}", "--out", out) == 2
    shown = capsys.readouterr().err
    assert "cosy" in shown and "val" in shown and "no such model" in shown
    assert not out.exists()
