"""Ratings of a model against those of people: scored, and left out where it learned from them."""

import csv
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rated_models
from affectlens import Predictor
from affectlens.adaptation.rated_evaluation import evaluate_ratings, has_own_ratings
from affectlens.cli.main import main
from affectlens.data.fingerprints import content_hash
from affectlens.errors import BadRow, DatasetError
from affectlens.inference.engine import ONNX_RUNTIME, load_engine
from affectlens.model_folder import read_model, write_model

NAMES = [f"{number}.png" for number in range(12)]


@pytest.fixture(scope="module")
def rated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rated_models.write(tmp_path_factory.mktemp("models") / "rated", threshold=1e9)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name in NAMES:
        Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((120, 96)).save(folder / name)
    return folder


def table(photos: Path, file: Path, valences: dict[str, float], **columns: str) -> str:
    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["path", "valence", *columns])
        writer.writerows([name, value, *columns.values()] for name, value in valences.items())
    return f"csv:{file}@{photos}"


def predicted(model: Path, photos: Path) -> dict[str, float]:
    found = Predictor.load(str(model)).predict_files([photos / name for name in NAMES])
    return {Path(each.image).name: each.ratings["valence"].mean for each in found}


def test_ratings_that_are_those_of_the_model_on_another_scale_have_no_error(
    rated: Path, photos: Path, tmp_path: Path
) -> None:
    percent = {name: (value - 1) / 8 * 100 for name, value in predicted(rated, photos).items()}
    spec = table(photos, tmp_path / "own.csv", percent)
    assert has_own_ratings(spec, read_model(rated).card) == (True, False)
    (found,) = evaluate_ratings(load_engine(str(rated), ONNX_RUNTIME), spec, "", (0, 100)).scores
    assert (found.name, found.pictures, found.groups) == ("valence", 12, 12)
    assert found.r is not None and found.r.value == pytest.approx(1) and found.error.value < 1e-4
    assert found.coverage.value == 1
    with pytest.raises(BadRow, match="State the scale"):
        evaluate_ratings(load_engine(str(rated), ONNX_RUNTIME), spec, "")


def test_pictures_that_ratings_were_learned_from_are_left_out_whatever_their_names(
    rated: Path, photos: Path, tmp_path: Path
) -> None:
    card, weights, heads = read_model(rated)
    known = [content_hash(photos / name) for name in NAMES[:5]]
    card = replace(card, training={"ratings": {"pictures": known}})
    model = tmp_path / "model"
    write_model(model, card, weights, "", dtype="float32", for_others={}, heads=heads,
                graph=(rated / "model.onnx").read_bytes())  # fmt: skip
    copies = shutil.copytree(photos, tmp_path / "copies")
    (copies / "0.png").rename(copies / "renamed.png")
    valences = dict.fromkeys(["renamed.png", *NAMES[1:]], 5.0)
    engine = load_engine(str(model), ONNX_RUNTIME)
    found = evaluate_ratings(engine, table(copies, tmp_path / "own.csv", valences), "")
    assert found.learned == 5 and found.scores[0].pictures == 7 and "5 pictures" in found.notes("m")[0]
    few = table(photos, tmp_path / "few.csv", dict.fromkeys(NAMES[:5], 5.0))
    with pytest.raises(DatasetError, match="All 5 pictures are those"):
        evaluate_ratings(engine, few, "")


def test_the_command_prints_and_writes_the_scores_of_a_table_without_labels(
    rated: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = table(photos, tmp_path / "own.csv", dict.fromkeys(NAMES, 5.5))
    out = tmp_path / "scores.json"
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", str(rated), "--data", spec, "--split", "all", "--out", str(out)])
    assert not ended.value.code and "| valence | 12 | 12 |" in capsys.readouterr().out
    written = json.loads(out.read_text())
    assert written["model"] == "rated" and written["scores"][0]["name"] == "valence"


@pytest.fixture
def both(photos: Path, tmp_path: Path) -> str:
    """A table with labels of all pictures, and ratings of all but two."""
    rated = {name: f"{5 + number / 10}" for number, name in enumerate(NAMES[2:])}
    rows = [f"{name},{rated.get(name, '')},awe" for name in NAMES]
    (tmp_path / "both.csv").write_text("\n".join(["path,valence,label", *rows]) + "\n")
    return f"csv:{tmp_path / 'both.csv'}@{photos}"


@pytest.mark.parametrize("of_rows", [False, True], ids=["model", "rows"])
def test_of_a_table_with_labels_and_ratings_both_are_scored(
    rated: Path, photos: Path, both: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], of_rows: bool
) -> None:
    given, out, pictures = rated, tmp_path / "scores.json", tmp_path / "pictures.csv"
    if of_rows:
        given = tmp_path / "rows.jsonl"
        assert run("predict", photos, "--out", given, "--model", rated) == 0
        capsys.readouterr()
    words = ("evaluate", given, "--data", both, "--split", "all")
    assert run(*words, "--out", out, "--predictions", pictures) == 0
    printed = capsys.readouterr().out
    assert "accuracy" in printed and "| valence | 10 | 10 |" in printed
    written = json.loads(out.read_text())
    assert written["scores"]["count"] == 12 and written["ratings"]["scores"][0]["pictures"] == 10
    with pictures.open(encoding="utf-8") as file:
        rows = {row["image"]: row for row in csv.DictReader(file)}
    assert len(rows) == 12 and {"label", "awe_target", "valence_rated", "error"} <= rows[NAMES[0]].keys()
    assert all(row["label"] == "awe" and not row["error"] for row in rows.values())
    rated_ones = [name for name, row in rows.items() if row["valence_rated"]]
    assert sorted(rated_ones) == sorted(NAMES[2:])


def test_ratings_beyond_the_scale_leave_the_labels_scores_unless_a_scale_is_stated(
    rated: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{name},{10 * number},awe" for number, name in enumerate(NAMES)]
    (tmp_path / "both.csv").write_text("\n".join(["path,valence,label", *rows]) + "\n")
    words = ("evaluate", rated, "--data", f"csv:{tmp_path / 'both.csv'}@{photos}", "--split", "all")
    assert run(*words) == 0
    shown = capsys.readouterr()
    assert (
        "accuracy" in shown.out and "ratings are not scored: " in shown.err and "State the scale" in shown.err
    )
    assert run(*words, "--scale", "1", "9") == 2
    assert run(*words, "--scale", "0", "200") == 0
    assert "| valence | 12 | 12 |" in capsys.readouterr().out


def test_a_scale_for_data_without_ratings_is_wrong_use(rated: Path, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("path,label\n0.png,awe\n1.png,fear\n")
    spec = f"csv:{tmp_path / 'labels.csv'}@{photos}"
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", str(rated), "--data", spec, "--split", "all", "--scale", "1", "7"])
    assert ended.value.code == 2


def run(*words: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main([*map(str, words)])
    return int(ended.value.code or 0)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_rows_of_predictions_have_the_scores_of_their_model(
    rated: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    """The model is not in the library here: ratings of rows are on the scale of the table, as is noted."""
    rows, of_people = tmp_path / f"rows{suffix}", {name: 2.0 + n % 4 for n, name in enumerate(NAMES)}
    spec = table(photos, tmp_path / "own.csv", of_people)
    assert run("predict", photos, "--out", rows, "--model", rated) == 0
    found = {}
    for name, given in (("model", rated), ("rows", rows)):
        out, pictures = tmp_path / f"{name}.json", tmp_path / f"{name}.csv"
        words: list[str | Path] = [
            "evaluate",
            given,
            "--data",
            spec,
            "--split",
            "all",
            "--out",
            out,
            "--predictions",
            pictures,
        ]
        assert run(*words) == 0
        found[name] = json.loads(out.read_text())
    assert "not in the library" in capsys.readouterr().err
    assert (tmp_path / "model.csv").read_text() == (tmp_path / "rows.csv").read_text()
    assert found["rows"]["predictions"] == rows.name and found["rows"]["model"] == "rated"
    (one,), (other,) = found["model"]["scores"], found["rows"]["scores"]
    assert other["r"]["value"] == pytest.approx(one["r"]["value"], abs=1e-3)
    assert other["error"]["value"] == pytest.approx(one["error"]["value"], abs=1e-3)
    assert (other["coverage"], other["wanted"]) == (one["coverage"], 0.9)


def test_rows_of_a_model_of_the_library_are_on_its_scale_and_leave_out_what_it_learned(
    rated: Path,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    card, weights, heads = read_model(rated)
    card = replace(card, training={"ratings": {"pictures": [content_hash(photos / NAMES[0])]}})
    write_model(tmp_path / "models/rated", card, weights, "", dtype="float32", for_others={}, heads=heads,
                graph=(rated / "model.onnx").read_bytes())  # fmt: skip
    monkeypatch.setenv("AFFECTLENS_MODELS", str(tmp_path / "models"))
    percent = {name: (value - 1) / 8 * 100 for name, value in predicted(rated, photos).items()}
    spec, rows = table(photos, tmp_path / "own.csv", percent), tmp_path / "rows.jsonl"
    assert run("predict", photos, "--out", rows, "--model", "rated") == 0
    words = ("evaluate", rows, "--data", spec, "--split", "all", "--scale", "0", "100")
    assert run(*words, "--out", tmp_path / "scores.json") == 0
    shown = capsys.readouterr()
    assert "1 pictures are left out" in shown.err and "library" not in shown.err
    (valence,) = json.loads((tmp_path / "scores.json").read_text())["scores"]
    assert valence["pictures"] == 11 and valence["error"]["value"] < 1e-2


def test_rows_without_ratings_have_none_to_score(photos: Path, rated: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    assert run("predict", photos, "--out", rows, "--model", rated) == 0
    bare = [{k: v for k, v in json.loads(line).items() if k != "valence"} for line in rows.open()]
    rows.write_text("".join(json.dumps(row) + "\n" for row in bare))
    spec = table(photos, tmp_path / "own.csv", dict.fromkeys(NAMES, 5.0))
    assert run("evaluate", rows, "--data", spec, "--split", "all", "--scale", "1", "9") == 2


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
def test_a_pipe_has_no_content_that_a_model_learned_from(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(OSError, match="a pipe or a device"):
        content_hash(tmp_path / "pipe.jpg")


def test_too_few_pictures_that_can_be_read_are_an_error_with_the_reason(
    rated: Path, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "torn.png").write_bytes(b"torn")
    values = {str(photos / NAMES[0]): 5.0, str(photos / NAMES[1]): 6.0, str(tmp_path / "torn.png"): 5.0}
    spec = table(photos, tmp_path / "own.csv", values)
    with pytest.raises(DatasetError, match=r"1 cannot be read, the first: .*torn\.png"):
        evaluate_ratings(load_engine(str(rated), ONNX_RUNTIME), spec, "")


def test_a_table_has_each_picture_s_ratings_next_to_people_s(
    rated: Path, photos: Path, tmp_path: Path
) -> None:
    of_people = {name: 2.0 + number % 4 for number, name in enumerate(NAMES)}
    broken, out = tmp_path / "broken.png", tmp_path / "pictures.csv"
    broken.write_bytes(b"not a picture")
    spec = table(photos, tmp_path / "own.csv", {**of_people, str(broken): 3.0})
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", str(rated), "--data", spec, "--split", "all", "--predictions", str(out)])
    assert ended.value.code == 1, "a picture cannot be read"
    with out.open(newline="", encoding="utf-8") as text:
        rows = {row["image"]: row for row in csv.DictReader(text)}
    failed = rows.pop(str(broken))
    assert "broken.png" in failed["error"] and failed["valence"] == failed["valence_rated"] == ""
    answers = predicted(rated, photos)
    assert rows.keys() == answers.keys()
    for name, row in rows.items():
        assert float(row["valence"]) == pytest.approx(answers[name], abs=1e-3)
        assert float(row["valence_low"]) <= float(row["valence"]) <= float(row["valence_high"])
        assert float(row["valence_rated"]) == of_people[name] and row["error"] == ""
