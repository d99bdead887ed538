"""Ratings learned the whole way: a table -> a model folder and a report, which every command uses."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import rated_models
from affectlens import Predictor, calibrate, finetune
from affectlens.adaptation.folder import Finetuned, FinetuneRequest, ValidationProgress
from affectlens.adaptation.job import adapt
from affectlens.adaptation.own_pictures import learned_ratings
from affectlens.adaptation.rated_evaluation import evaluate_ratings
from affectlens.adaptation.rated_report import RatedReport
from affectlens.adaptation.rated_source import open_rated_source
from affectlens.errors import DatasetError, RunError, SettingsError
from affectlens.inference.engine import load_engine
from affectlens.library import card
from affectlens.model_folder import load_card
from films import plain, write
from model_folders import hashes
from pictures import rated_pictures

pytestmark = pytest.mark.needs("sklearn", "torch")

PICTURES = 48
COSINESS = {"cosiness": (1.0, 7.0)}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rated_models.write(tmp_path_factory.mktemp("models") / "rated", threshold=1e9)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rated_pictures(tmp_path_factory.mktemp("data") / "rooms", PICTURES, noise=0.02)


def request(table: Path, out: Path, start: Path, **changed: object) -> FinetuneRequest:
    rated = open_rated_source(f"csv:{table}", COSINESS, card(str(start)))
    values: dict[str, object] = {
        "source": rated.source, "rated": rated, "out": out, "start": str(start), "name": "cosy",
        "data": "csv", "command": "affectlens train finetune",
    }  # fmt: skip
    return FinetuneRequest(**{**values, **changed})  # type: ignore[arg-type]


def run(made: FinetuneRequest) -> Finetuned:
    *_, last = adapt(made)
    assert isinstance(last, Finetuned)
    return last


@pytest.fixture(scope="module")
def fitted(table: Path, start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "cosy"
    run(request(table, out, start))
    return out


def test_a_planted_rating_is_learned_next_to_the_emotions_and_ratings_that_stay(
    fitted: Path, start: Path, table: Path
) -> None:
    report = json.loads((fitted / "report.json").read_text(encoding="utf-8"))
    own = report["ratings"][0]["estimates"]["own"]
    assert own["r"]["value"] > 0.9 and own["error"]["value"] < 0.5
    picture = table.parent / "0.png"
    new, old = (Predictor.load(str(each)).predict_file(picture) for each in (fitted / "model", start))
    assert new.emotions == old.emotions and new.unusual == old.unusual
    assert list(new.ratings) == ["valence", "arousal", "cosiness"]
    assert {name: new.ratings[name] for name in old.ratings} == dict(old.ratings)
    with table.open(encoding="utf-8") as file:
        rated = float(next(iter(csv.DictReader(file)))["cosiness"])
    assert abs(new.ratings["cosiness"].mean - rated) < 1.5 and new.ratings["cosiness"].low >= 1


def test_the_engines_and_a_graph_made_anew_read_the_same_ratings(
    fitted: Path, table: Path, tmp_path: Path
) -> None:
    import shutil

    from affectlens.models.saved import add_graph

    shutil.copytree(fitted / "model", tmp_path / "model")
    add_graph(tmp_path / "model")
    picture = table.parent / "3.png"
    means = [
        Predictor.load(str(folder), engine=engine).predict_file(picture).ratings["cosiness"].mean
        for folder, engine in [(fitted, "onnxruntime"), (fitted, "openvino"), (fitted, "torch"),
                               (tmp_path / "model", "onnxruntime")]
    ]  # fmt: skip
    assert max(means) - min(means) < 2e-3


def test_the_card_keeps_what_is_true_of_the_start_and_knows_what_was_learned(
    fitted: Path, start: Path, table: Path
) -> None:
    found, before = load_card(fitted / "model"), load_card(start)
    assert found.weights_hash == before.weights_hash and found.weights_id != before.weights_id
    assert found.scores == before.scores and found.prediction_sets == before.prediction_sets
    facts = found.training["rated"]
    assert facts["start"]["name"] == "rated" and facts["data"]["pictures"] == PICTURES
    records = open_rated_source(f"csv:{table}", COSINESS, before).records
    assert learned_ratings(found, records).all() and not learned_ratings(before, records).any()
    readme = (fitted / "model" / "README.md").read_text(encoding="utf-8")
    assert "Cosiness, 1 to 7" in readme and "48 own pictures in 24 groups" in readme
    with pytest.raises(DatasetError, match="learned from"):
        evaluate_ratings(load_engine(str(fitted / "model")), f"csv:{table}", "", (1, 7))


def test_a_learned_rating_is_calibrated_on_other_pictures_as_any_is(fitted: Path, tmp_path: Path) -> None:
    """Of people who rate from 3 to 5 what the first ones rated from 1 to 7 the line is a third as steep."""
    others = rated_pictures(tmp_path / "others", 80, low=3, high=5, per_theme=1, seed=5)
    found = calibrate(str(fitted), f"csv:{others}", tmp_path / "new", scale=(1, 7))
    pictures = [others.parent / f"{number}.png" for number in range(6)]
    new, old = (
        [Predictor.load(str(each)).predict_file(picture).ratings["cosiness"].mean for picture in pictures]
        for each in (found.model, fitted)
    )
    assert abs(float(np.polyfit(old, new, 1)[0]) - 1 / 3) < 0.1


def test_predictions_of_those_that_did_not_see_a_picture_are_listed_and_the_page_needs_no_network(
    fitted: Path,
) -> None:
    with (fitted / "predictions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    pairs = np.array([[float(row["cosiness"]), float(row["cosiness_rated"])] for row in rows])
    assert len(rows) == PICTURES and np.corrcoef(pairs.T)[0, 1] > 0.9
    page = (fitted / "report.html").read_text(encoding="utf-8")
    assert page.count("<h2>cosiness, 1 to 7</h2>") == 1 and page.count("<circle") == PICTURES + 4
    assert "http" not in page.replace("http-equiv", "")


def test_a_known_rating_is_replaced_on_its_scale_and_compared_with_the_former(
    start: Path, tmp_path: Path
) -> None:
    table = rated_pictures(tmp_path / "rooms", PICTURES)
    text = table.read_text(encoding="utf-8").replace("cosiness", "Arousal")
    table.write_text(text, encoding="utf-8")
    found = finetune(f"csv:{table}", tmp_path / "out", start=str(start), ratings={"arousal": (1, 7)})
    assert isinstance(found.report, RatedReport)
    (report,) = found.report.ratings
    assert [*report.given, report.scale.low, report.scale.high] == [1, 7, 1, 9]
    assert report.compared_with_start == PICTURES
    assert any("better than the rating of the model that it began with" in f for f in report.findings())
    picture = table.parent / "0.png"
    new, old = (Predictor.load(str(each)).predict_file(picture) for each in (found.model, start))
    assert list(new.ratings) == ["valence", "arousal"] and new.valence == old.valence
    assert new.arousal != old.arousal


def test_an_interrupted_run_goes_on_to_the_same_bits_and_not_with_other_ratings(
    table: Path, start: Path, fitted: Path, tmp_path: Path
) -> None:
    out = tmp_path / "cosy"
    for event in adapt(request(table, out, start)):
        if isinstance(event, ValidationProgress) and event.done == 2:
            break
    assert not (out / "model").exists()
    run(request(table, out, start, resume=True))
    assert hashes(out / "model") == hashes(fitted / "model")
    assert hashes(out)["report.json"] == hashes(fitted)["report.json"]
    changed = tmp_path / "t.csv"
    header, first, *rest = table.read_text(encoding="utf-8").splitlines()
    name, _, group = first.split(",")
    changed.write_text("\n".join([header, f"{name},1.5,{group}", *rest]), encoding="utf-8")
    other = open_rated_source(f"csv:{changed}@{table.parent}", COSINESS, card(str(start)))
    with pytest.raises(RunError, match="ratings differ"):
        run(request(table, out, start, resume=True, rated=other, source=other.source))


def test_words_and_ratings_of_the_same_pictures_share_a_folder_of_features(
    table: Path, start: Path, fitted: Path, tmp_path: Path
) -> None:
    rows = table.read_text(encoding="utf-8").splitlines()[1:]
    words, shared = tmp_path / "words.csv", tmp_path / "shared"
    lines = [f"{row.split(',')[0]},{'cosy' if float(row.split(',')[1]) > 4 else 'cold'}" for row in rows]
    words.write_text("\n".join(["path,label", *lines]) + "\n", encoding="utf-8")
    shutil.copytree(fitted / "embeddings", shared)
    for number in range(2):
        before = hashes(shared)
        finetune(f"csv:{words}@{table.parent}", tmp_path / f"words-{number}", start=str(start), cache=shared)
        run(request(table, tmp_path / f"ratings-{number}", start, cache=shared))
    assert hashes(shared) == before, "computed once"
    assert hashes(tmp_path / "ratings-1" / "model") == hashes(fitted / "model")


def test_ratings_of_too_few_groups_and_deeper_ones_are_refused(start: Path, tmp_path: Path) -> None:
    table = rated_pictures(tmp_path / "rooms", 24, per_theme=12)
    with pytest.raises(DatasetError, match="of 2 groups"):
        run(request(table, tmp_path / "out", start))
    assert not (tmp_path / "out" / "model").exists()
    with pytest.raises(SettingsError, match="--depth head"):
        run(request(table, tmp_path / "deep", start, depth="last"))


def test_a_start_without_ratings_gets_its_first(with_graph: Path, table: Path, tmp_path: Path) -> None:
    """Which are read from the embedding alone."""
    model = run(request(table, tmp_path / "out", with_graph)).model
    found = Predictor.load(str(model)).predict_file(table.parent / "0.png")
    assert list(found.ratings) == ["cosiness"]
    readme = (model / "README.md").read_text(encoding="utf-8")
    assert "## Ratings, sets, unusual pictures" in readme and "Valence" not in readme


def test_the_command_learns_predicts_explains_and_watches(
    table: Path, start: Path, fitted: Path, tmp_path: Path
) -> None:
    from affectlens.cli.main import affectlens

    def called(*words: str) -> str:
        result = CliRunner().invoke(affectlens, list(words), catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    out = tmp_path / "cosy"
    printed = called(
        "train", "finetune", "--data", f"csv:{table}", "--rating", "cosiness", "--scale", "1", "7",
        "--start", str(start), "--out", str(out), "--name", "cosy",
    )  # fmt: skip
    assert any(line.startswith("| cosiness | 1 to 7 | 48 |") for line in printed.splitlines()), printed
    assert "is better than the mean rating" in printed
    picture = str(table.parent / "0.png")
    assert "cosiness " in called("predict", picture, "--model", str(out))
    rows = tmp_path / "rows.csv"
    called("predict", picture, "--model", str(out), "--out", str(rows))
    assert "cosiness_low" in rows.read_text(encoding="utf-8").splitlines()[0]
    why = tmp_path / "why"
    called(
        "explain", picture, "--model", str(out), "--emotion", "cosiness", "--method", "occlusion",
        "--out", str(why),
    )  # fmt: skip
    assert any("cosiness" in each.name for each in why.rglob("*"))
    film = write(tmp_path / "film.mp4", [plain((200, 30, 30))] * 25 + [plain((30, 30, 200))] * 25)
    called("film", str(film), "--model", str(out), "--out", str(tmp_path / "film"))
    (timeline,) = (tmp_path / "film").rglob("timeline.json")
    assert "cosiness" in [each["name"] for each in json.loads(timeline.read_text(encoding="utf-8"))["scales"]]
