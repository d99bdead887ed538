"""Several labels learned the whole way: a table -> a model folder and a report, which every command uses."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

import rated_models
from affectlens import Predictor, calibrate, finetune
from affectlens.adaptation.label_report import LabelsReport
from affectlens.errors import AffectLensError, RunError, SettingsError
from affectlens.model_folder import load_card
from affectlens.models.saved import add_graph
from films import plain, write
from pictures import labelled_pictures, rated_pictures

pytestmark = pytest.mark.needs("sklearn", "torch")

PICTURES = 60


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rated_models.write(tmp_path_factory.mktemp("models") / "rated", threshold=1e9)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labelled_pictures(tmp_path_factory.mktemp("data") / "rooms", PICTURES)


@pytest.fixture(scope="module")
def fitted(table: Path, start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "rooms"
    found = finetune(f"csv:{table}", out, start=str(start))
    assert isinstance(found.report, LabelsReport)
    return out


def test_planted_labels_are_learned_each_by_itself_next_to_emotions_that_stay(
    fitted: Path, start: Path, table: Path
) -> None:
    report = json.loads((fitted / "report.json").read_text(encoding="utf-8"))
    assert report["estimates"]["own"]["average_precision"]["value"] > 0.9
    assert report["differences"]["most frequent"]["brier"]["high"] < 0
    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    predictor, before = Predictor.load(str(fitted)), Predictor.load(str(start))
    right, sums = 0, []
    for row in rows[:20]:
        found = predictor.predict_file(table.parent / row["path"])
        percents = {word: found.ratings[word].mean for word in ("cool", "cosy")}
        assert all(0 <= value <= 100 for value in percents.values())
        right += sum((value > 50) == (word in row["labels"]) for word, value in percents.items())
        sums.append(sum(percents.values()))
    assert right >= 36, "of 40 labels of pictures that were learned from"
    assert max(sums) > 120 and min(sums) < 80, "they do not sum to anything"
    picture = table.parent / "0.png"
    assert predictor.predict_file(picture).emotions == before.predict_file(picture).emotions
    assert predictor.predict_file(picture).valence == before.predict_file(picture).valence


def test_the_engines_and_a_graph_made_anew_read_the_same_percents(
    fitted: Path, table: Path, tmp_path: Path
) -> None:
    shutil.copytree(fitted / "model", tmp_path / "model")
    add_graph(tmp_path / "model")
    picture = table.parent / "3.png"
    means = [
        Predictor.load(str(folder), engine=engine).predict_file(picture).ratings["cosy"].mean
        for folder, engine in [(fitted, "onnxruntime"), (fitted, "openvino"), (fitted, "torch"),
                               (tmp_path / "model", "onnxruntime")]
    ]  # fmt: skip
    assert max(means) - min(means) < 0.05


def test_the_card_knows_its_labels_and_ratings_can_be_learned_next_to_them(
    fitted: Path, start: Path, tmp_path: Path
) -> None:
    found = load_card(fitted / "model")
    assert [each.is_percent for each in found.ratings] == [False, False, True, True]
    assert set(found.training["rated"]["labels"]) == {"cool", "cosy"}
    readme = (fitted / "model" / "README.md").read_text(encoding="utf-8")
    assert "Cosy, 0 to 100: how many of a hundred people give this label" in readme
    rated = rated_pictures(tmp_path / "rated", 48)
    both = finetune(f"csv:{rated}", tmp_path / "both", start=str(fitted), ratings={"cosiness": (1, 7)})
    last = load_card(both.model)
    assert [each.name for each in last.ratings] == ["valence", "arousal", "cool", "cosy", "cosiness"]
    assert last.training["rated"]["before"]["labels"].keys() == {"cool", "cosy"}
    picture = rated.parent / "1.png"
    new, old = (Predictor.load(str(each)).predict_file(picture) for each in (both.model, fitted))
    assert new.ratings["cosy"].mean == pytest.approx(old.ratings["cosy"].mean, abs=1e-2)


def test_a_calibration_leaves_labels_as_they_are(fitted: Path, tmp_path: Path) -> None:
    rated = labelled_pictures(tmp_path / "others", 60)
    text = rated.read_text(encoding="utf-8").splitlines()
    rows = [f"{row.split(',')[0]},{100 if 'cosy' in row else 0},{row.rsplit(',', 1)[1]}" for row in text[1:]]
    rated.write_text("\n".join(["path,cosy,group", *rows]) + "\n", encoding="utf-8")
    with pytest.raises(AffectLensError):
        calibrate(str(fitted), f"csv:{rated}", tmp_path / "new", scale=(0, 100))
    assert not (tmp_path / "new").exists()


def test_a_run_is_not_resumed_with_other_labels_nor_at_another_depth(
    table: Path, start: Path, fitted: Path, tmp_path: Path
) -> None:
    header, first, *rest = table.read_text(encoding="utf-8").splitlines()
    name, words, theme = first.split(",")
    changed = tmp_path / "t.csv"
    changed.write_text("\n".join([header, f"{name},{'' if words else 'cosy'},{theme}", *rest]))
    with pytest.raises(RunError, match="labels differ"):
        finetune(f"csv:{changed}@{table.parent}", fitted, start=str(start), resume=True)
    with pytest.raises(SettingsError, match="--depth head"):
        finetune(f"csv:{table}", tmp_path / "deep", start=str(start), depth="all")


def test_the_page_needs_no_network_and_lists_each_label(fitted: Path) -> None:
    page = (fitted / "report.html").read_text(encoding="utf-8")
    assert '<th scope="row">cosy</th>' in page and "http" not in page.replace("http-equiv", "")
    with (fitted / "predictions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == PICTURES and {*rows[0]} == {"path", "cool", "cool_given", "cosy", "cosy_given"}


def test_the_commands_learn_predict_evaluate_explain_and_watch(
    table: Path, start: Path, fitted: Path, tmp_path: Path
) -> None:
    from affectlens.cli.main import affectlens

    def called(*words: str) -> str:
        result = CliRunner().invoke(affectlens, list(words), catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    printed = called(
        "train", "finetune", "--data", f"csv:{table}", "--start", str(start), "--cache",
        str(fitted / "embeddings"), "--out", str(tmp_path / "out"),
    )  # fmt: skip
    assert "| cosy | " in printed and "mean average precision of 2 labels" in printed
    picture = str(table.parent / "0.png")
    assert ", cosy " in called("predict", picture, "--model", str(tmp_path / "out"))
    others = labelled_pictures(tmp_path / "others", 30, per_theme=1)
    rows = [f"{row.split(',')[0]},{int('cosy' in row)}" for row in others.read_text().splitlines()[1:]]
    # Other pictures than those that were learned from: the first are the same.
    others.write_text("\n".join(["path,cosy", *rows[2:]]) + "\n", encoding="utf-8")
    found = called("evaluate", str(fitted), "--data", f"csv:{others}", "--split", "all", "--scale", "0", "1")
    assert "cosy" in found and "28 " in found
    same = labelled_pictures(tmp_path / "same", 30, per_theme=1)
    of_labels = called("evaluate", str(fitted), "--data", f"csv:{same}", "--split", "all")
    assert "| cosy |" in of_labels and "| cool |" in of_labels
    why = tmp_path / "why"
    called("explain", picture, "--model", str(fitted), "--emotion", "cosy", "--method", "occlusion",
           "--out", str(why))  # fmt: skip
    assert any("cosy" in each.name for each in why.rglob("*"))
    film = write(tmp_path / "film.mp4", [plain((200, 30, 30))] * 25 + [plain((30, 30, 200))] * 25)
    called("film", str(film), "--model", str(fitted), "--out", str(tmp_path / "film"))
    (timeline,) = (tmp_path / "film").rglob("timeline.json")
    assert "cosy" in [each["name"] for each in json.loads(timeline.read_text(encoding="utf-8"))["scales"]]
