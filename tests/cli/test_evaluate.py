"""`affectlens evaluate` with a model, and with the predictions that the model made before."""

import csv
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from affectlens.cli.main import main
from affectlens.data.records import ALL
from affectlens.emotions import MIKELS
from affectlens.inference import engine
from affectlens.inference.predictor import DIGITS
from pictures import colour_set
from refusals import Refusals

SUFFIXES = [".jsonl", ".csv", pytest.param(".parquet", marks=pytest.mark.needs("pyarrow"))]
ROUNDING = 10.0**-DIGITS


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five pictures of each emotion, and one that cannot be read."""
    root = colour_set(tmp_path_factory.mktemp("data") / "colours", MIKELS.words, each=5)
    (root / "awe" / "broken.png").write_bytes(b"not a picture")
    return root


def status(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([*map(str, words)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def evaluated(given: Path, data: Path, out: Path, *more: object) -> dict[str, Any]:
    assert status("evaluate", given, "--data", f"folder:{data}", "--split", ALL, "--out", out, *more) == 1
    read: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return read


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_predictions_evaluate_to_the_scores_of_the_model_that_made_them(
    graph_model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    rows = tmp_path / f"rows{suffix}"
    assert status("predict", data, "--model", graph_model, "--out", rows) == 1
    capsys.readouterr()
    expected = evaluated(graph_model, data, tmp_path / "model.json")
    of_model = capsys.readouterr()
    found = evaluated(rows, data, tmp_path / "rows.json")
    of_rows = capsys.readouterr()

    scores, exact = found.pop("scores"), expected.pop("scores")
    assert scores.pop("temperature") is None and exact.pop("temperature") == 1.5
    intervals, exact_intervals = scores.pop("intervals"), exact.pop("intervals")
    for name, value in exact.items():
        wanted = pytest.approx(value, abs=ROUNDING, rel=1e-5) if isinstance(value, float) else value
        assert scores[name] == wanted, name
    assert intervals.keys() == exact_intervals.keys()
    for name, interval in exact_intervals.items():
        assert intervals[name] == pytest.approx(interval, abs=ROUNDING, rel=1e-5), name
    confusion = exact["confusion"]["rows"]
    assert all(map(sum, confusion)) and len({max(range(8), key=row.__getitem__) for row in confusion}) > 2
    assert exact["unreadable"] == 1

    assert (found.pop("predictions"), found.pop("notes")) == (rows.name, [])
    assert expected.pop("weights").startswith(found.pop("weights"))
    assert found == expected, "data, unreadable pictures, model, engine, precision and machine"
    tables, of_file = (shown.out.split("Scores", 1)[1] for shown in (of_model, of_rows))
    assert tables == of_file and "Probabilities as they are in the file" in " ".join(of_rows.out.split())
    assert of_model.err == of_rows.err and "broken.png" in of_rows.err


def test_notes_on_rows_are_printed_and_written(
    graph_model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "rows.jsonl"
    assert status("predict", data, data / "awe" / "0.png", "--model", graph_model, "--out", rows) == 1
    found = evaluated(rows, data, tmp_path / "rows.json")
    assert found["notes"] == ["left out: 1 repeated row"]
    assert "Note: left out: 1 repeated row." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--engine", "auto"), "predicted before: leave out --engine."),
        (("--batch-size", "4"), "predicted before: leave out --batch-size."),
        (("--attributes",), "predicted before: leave out --attributes."),
    ],
)
def test_options_of_models_are_refused_for_predictions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    assert status("evaluate", tmp_path / "rows.csv", "--data", "folder:nowhere", *words) == 2
    assert message in capsys.readouterr().err


def test_a_file_that_is_not_there_is_an_error_of_its_own_not_a_model_that_is_unknown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status("evaluate", tmp_path / "rows.csv", "--data", "folder:nowhere") == 2
    assert "There is no file of predictions" in capsys.readouterr().err


def test_an_engine_is_chosen_by_the_number_of_pictures(
    graph_model: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[bool] = []

    def load(*words: Any, many: bool) -> engine.Engine:
        given.append(many)
        return load_engine(*words)

    load_engine = engine.load_engine
    monkeypatch.setattr(engine, "load_engine", load)
    for many in (41, 42):
        monkeypatch.setattr(engine, "MANY", many)
        evaluated(graph_model, data, tmp_path / "scores.json")
    assert given == [True, False]


def test_the_engine_is_chosen_as_for_predictions_and_workers_are_accepted_with_a_note(
    graph_model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "scores.json"
    found = evaluated(graph_model, data, out, "--engine", "onnxruntime", "--workers", "2")
    assert (found["engine"], found["precision"], found["scores"]["count"]) == ("onnxruntime", "float32", 40)
    assert "--workers has no effect" in capsys.readouterr().err
    words = ("evaluate", graph_model, "--data", f"folder:{data}", "--split", ALL, "--engine", "onxruntime")
    assert status(*words) == 2
    assert "Did you mean 'onnxruntime'" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="every name there is text")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_names_that_are_not_text_are_scored_and_escaped(
    graph_model: Path, tmp_path: Path, suffix: str
) -> None:
    root = colour_set(tmp_path / "data", MIKELS.words, each=1)
    (root / "awe" / "0.png").rename(root / "awe" / os.fsdecode(b"caf\xe9.png"))
    (root / "awe" / os.fsdecode(b"bad\xff.png")).write_bytes(b"no picture")
    rows = tmp_path / f"{os.fsdecode(b'rows' + bytes([255]))}{suffix}"
    assert status("predict", root, "--model", graph_model, "--out", rows) == 1
    for given in (graph_model, rows):
        found = evaluated(given, root, tmp_path / "scores.json")
        assert [each["image"] for each in found["unreadable"]] == ["awe/bad\udcff.png"]
        assert found["scores"]["count"] == len(MIKELS)


def test_a_folder_that_cannot_be_listed_is_not_read_and_the_rest_is_scored(
    graph_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], refused: Refusals
) -> None:
    root = colour_set(tmp_path / "data", MIKELS.words, each=2)
    (root / "awe" / "more").mkdir()
    refused.add(root / "awe" / "more")
    found = evaluated(graph_model, root, tmp_path / "scores.json")
    assert [each["image"] for each in found["unreadable"]] == ["awe/more"]
    assert found["scores"]["count"] == 2 * len(MIKELS)
    assert "more: the folder cannot be listed" in capsys.readouterr().err


def table_of(file: Path) -> list[dict[str, str]]:
    """Read a table back by programs that are not ours, every cell as text."""
    if file.suffix == ".csv":
        with file.open(newline="", encoding="utf-8") as text:
            return list(csv.DictReader(text))
    import pyarrow.parquet as pq

    rows = pq.read_table(file).to_pylist()
    return [{name: "" if cell is None else str(cell) for name, cell in row.items()} for row in rows]


@pytest.mark.parametrize("suffix", [each for each in SUFFIXES if each != ".jsonl"])
def test_a_table_has_what_was_predicted_for_each_picture_next_to_its_target(
    graph_model: Path, data: Path, tmp_path: Path, suffix: str
) -> None:
    table, of_rows = tmp_path / f"pictures{suffix}", tmp_path / f"again{suffix}"
    scores = evaluated(graph_model, data, tmp_path / "model.json", "--predictions", table)["scores"]
    found = table_of(table)
    (broken,) = [row for row in found if row["error"]]
    assert broken["image"].endswith("awe/broken.png") and broken["label"] == "awe"
    assert "broken.png" in broken["error"] and broken["top"] == broken["awe"] == broken["awe_target"] == ""
    read = [row for row in found if not row["error"]]
    assert len(read) == 40 and {Path(row["image"]).parent.name for row in read} == set(MIKELS.words)
    right = 0
    for row in read:
        assert row["label"] == Path(row["image"]).parent.name
        probabilities = {word: float(row[word]) for word in MIKELS.words}
        assert row["top"] == max(probabilities, key=lambda word: probabilities[word])
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert {word for word in MIKELS.words if float(row[f"{word}_target"])} == {row["label"]}
        right += row["top"] == row["label"]
    assert right / len(read) == pytest.approx(scores["accuracy"])

    answers = tmp_path / "answers.jsonl"
    assert status("predict", data, "--model", graph_model, "--out", answers) == 1
    evaluated(answers, data, tmp_path / "rows.json", "--predictions", of_rows)
    for row, same in zip(read, (row for row in table_of(of_rows) if not row["error"]), strict=True):
        assert (row["image"], row["label"], row["top"]) == (same["image"], same["label"], same["top"])
        assert float(row["fear"]) == pytest.approx(float(same["fear"]), abs=2 * ROUNDING)


@pytest.mark.parametrize(("split", "number"), [("", 4), ("val", 2)])
def test_without_a_split_val_is_scored_and_of_data_without_splits_all(
    graph_model: Path, data: Path, tmp_path: Path, split: str, number: int
) -> None:
    files = [*sorted((data / "awe").glob("*.png"))[:2], *sorted((data / "fear").glob("*.png"))[:2]]
    table = tmp_path / "labels.csv"
    lines = [
        f"{file},{file.parent.name},{split if n % 2 else split and 'train'}" for n, file in enumerate(files)
    ]
    table.write_text("\n".join(["path,label,split", *lines]))
    out = tmp_path / "scores.json"
    assert status("evaluate", graph_model, "--data", f"csv:{table}", "--out", out) == 0
    assert json.loads(out.read_text())["scores"]["count"] == number
