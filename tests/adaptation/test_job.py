"""The whole way: labelled pictures -> a model folder and a report, interrupted, resumed, refused."""

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import rated_models
from affectlens import Predictor
from affectlens.adaptation.embeddings import EmbeddingProgress
from affectlens.adaptation.folder import Finetuned, FinetuneRequest, ValidationProgress
from affectlens.adaptation.job import finetune, fit_head, open_target
from affectlens.adaptation.report import Report
from affectlens.data.catalog import open_data
from affectlens.data.records import DataSource
from affectlens.errors import AffectLensError, DatasetError, OutputError, RunError, SettingsError
from affectlens.evaluation.evaluate import evaluate
from affectlens.inference.engine import ONNX_RUNTIME, load_engine
from affectlens.library import card
from affectlens.model_folder import load_card
from halves import LIBRARIES
from model_folders import hashes, rewrite
from pictures import colour_set
from without_torch import COMMAND

pytestmark = pytest.mark.needs("sklearn", "torch")

WORDS = ("cosy", "uncanny", "ångest")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return colour_set(tmp_path_factory.mktemp("data") / "moods", WORDS, each=14)


def request(data: Path, out: Path, start: Path, **changed: object) -> FinetuneRequest:
    values: dict[str, object] = {
        "source": open_data(f"folder:{data}"), "out": out, "start": str(start), "name": "moods",
        "data": "folder", "command": "affectlens train finetune",
    }  # fmt: skip
    return FinetuneRequest(**{**values, **changed})  # type: ignore[arg-type]


def run(made: FinetuneRequest) -> Finetuned:
    *_, last = fit_head(made)
    assert isinstance(last, Finetuned)
    return last


@pytest.fixture(scope="module")
def fitted(data: Path, with_graph: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "moods"
    run(request(data, out, with_graph))
    return out


def test_what_else_is_read_of_the_features_stays_and_sets_of_other_words_go(
    data: Path, tmp_path: Path
) -> None:
    start = rated_models.write(tmp_path / "start", threshold=1e9)
    rewrite(start, lambda ours: ours["training"].update(ratings={"data": "12 photographs"}))
    model = run(request(data, tmp_path / "out", start)).model
    found, before = (
        Predictor.load(str(each)).predict_file(next(data.rglob("*.png"))) for each in (model, start)
    )
    assert found.valence == before.valence and found.arousal == before.arousal and found.valence
    assert found.unusual is False and load_card(model).prediction_sets == {}
    readme = (model / "README.md").read_text(encoding="utf-8")
    assert readme.count("\n## Valence, arousal") == 1 and "\n- Valence, 1 to 9" in readme
    assert load_card(model).training["ratings"] == {"data": "12 photographs"}


def test_the_new_model_is_a_folder_like_any_other(fitted: Path, data: Path) -> None:
    found = load_card(fitted / "model")
    assert found.vocabulary.words == WORDS and found.name == "moods"
    assert found.training["adapted"]["start"]["name"] == "tiny"
    assert found.scores["split"] == "cross-validation" and found.scores["count"] == 42
    assert set(Predictor.load(str(fitted))(data / "cosy" / "0.png").weights) == set(WORDS)
    assert "Mikels" not in (fitted / "model" / "README.md").read_text(encoding="utf-8")


def test_the_report_holds_each_picture_once_and_its_page_needs_no_network(fitted: Path) -> None:
    with (fitted / "predictions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len({row["path"] for row in rows}) == len(rows) == 42
    assert all(abs(sum(float(row[word]) for word in WORDS) - 1) < 1e-4 for row in rows)
    report = json.loads((fitted / "report.json").read_text(encoding="utf-8"))
    assert report["pictures"] == 42 and report["divisions"] == 1
    own = report["estimates"]["own"]["accuracy"]
    assert report["scores"]["intervals"]["accuracy"] == [own["low"], own["high"]], "of the same resamples"
    readme = (fitted / "model" / "README.md").read_text(encoding="utf-8")
    assert "2,000 bootstrap resamples of groups of pictures" in readme
    assert report["scores"]["intervals"].keys() >= {"balanced_accuracy", "macro_f1", "brier"}
    for word, figures in report["scores"]["per_emotion"].items():
        for name, (low, high) in report["word_intervals"][word].items():
            assert 0 <= low <= figures[name] <= high <= 1
    page = (fitted / "report.html").read_text(encoding="utf-8")
    assert "ångest" in page and "http" not in page.replace("http-equiv", "")


def interrupted(made: FinetuneRequest, kind: type, count: int) -> None:
    """Stop a run after so many events of a kind, as an interruption does."""
    events, seen = fit_head(made), 0
    for event in events:
        seen += isinstance(event, kind)
        if seen == count:
            events.close()  # type: ignore[attr-defined]
            return


@pytest.mark.parametrize(("kind", "count"), [(EmbeddingProgress, 1), (ValidationProgress, 3)])
def test_an_interrupted_run_goes_on_to_the_same_bits(
    kind: type,
    count: int,
    data: Path,
    with_graph: Path,
    fitted: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "moods"
    interrupted(request(data, out, with_graph), kind, count)
    assert not (out / "model").exists()
    run(request(data, out, with_graph, resume=True))
    assert hashes(out / "model") == hashes(fitted / "model")
    assert hashes(out)["report.json"] == hashes(fitted)["report.json"]


def test_a_run_is_not_begun_twice_nor_resumed_with_other_pictures(
    data: Path, with_graph: Path, fitted: Path, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match="--resume"):
        run(request(data, fitted, with_graph))
    with pytest.raises(RunError, match="no run to resume"):
        run(request(data, tmp_path / "new", with_graph, resume=True))
    others = colour_set(tmp_path / "others", WORDS, each=5)
    with pytest.raises(RunError, match="hash"):
        run(request(others, fitted, with_graph, resume=True))
    with pytest.raises(RunError, match="seed"):
        run(request(data, fitted, with_graph, resume=True, seed=3))
    warmer = tmp_path / with_graph.name
    shutil.copytree(with_graph, warmer)
    rewrite(warmer, lambda ours: ours.update(temperature=2.0))
    with pytest.raises(RunError, match="answers differ"):
        run(request(data, fitted, warmer, resume=True))


def test_embeddings_are_shared_and_not_mixed_between_models(
    data: Path, with_graph: Path, fitted: Path, tmp_path: Path
) -> None:
    cache = fitted / "embeddings"
    before = hashes(cache)
    run(request(data, tmp_path / "again", with_graph, cache=cache))
    assert hashes(cache) == before
    with pytest.raises(OutputError, match="weights"):
        run(request(data, tmp_path / "default", Path("default"), cache=cache))


def test_pictures_that_cannot_be_read_are_named_and_nothing_is_lost(with_graph: Path, tmp_path: Path) -> None:
    data = colour_set(tmp_path / "moods", WORDS, each=6)
    (data / "cosy" / "0.png").write_bytes(b"not a picture")
    out = tmp_path / "out"
    with pytest.raises(DatasetError, match="1 of the 18 pictures cannot be read"):
        run(request(data, out, with_graph))
    assert not (out / "model").exists()
    (data / "cosy" / "0.png").write_bytes((data / "cosy" / "1.png").read_bytes())
    run(request(data, out, with_graph, resume=True))


def test_what_stopped_before_anything_was_fitted_is_begun_anew_with_other_data(
    with_graph: Path, tmp_path: Path
) -> None:
    data = colour_set(tmp_path / "moods", WORDS, each=6)
    (data / "cosy" / "0.png").write_bytes(b"not a picture")
    out = tmp_path / "out"
    with pytest.raises(DatasetError, match=r"JPEG 2000 or PPM[^;]*[^.]\. Repair them or leave them out"):
        run(request(data, out, with_graph))
    (data / "cosy" / "0.png").unlink()
    with pytest.raises(RunError, match="hash"):
        run(request(data, out, with_graph, resume=True))
    run(request(data, out, with_graph))
    with pytest.raises(RunError, match="holds a run"):
        run(request(data, out, with_graph))


@pytest.mark.parametrize("name", ["model", "folds", "settings.toml"])
def test_what_a_run_would_replace_and_another_wrote_is_left_alone(
    name: str, data: Path, with_graph: Path, tmp_path: Path
) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(RunError, match="choose another"):
        run(request(data, tmp_path, with_graph))
    assert [file.name for file in tmp_path.iterdir()] == [name]


# Not by `sys.modules`, in which SciPy looks for torch.
MISSING = """import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {left_out!r}:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Missing())
"""


# As `conftest.divided_once` has it.
DIVIDED_ONCE = "from affectlens.adaptation import validation\nvalidation.DIVISIONS = 1\n"


def test_no_torch_is_needed(data: Path, with_graph: Path, tmp_path: Path) -> None:
    left_out = sorted({*LIBRARIES} - {"onnx", "scipy", "sklearn", "threadpoolctl"})
    program = MISSING.format(left_out=left_out) + DIVIDED_ONCE + COMMAND
    words = ["train", "finetune", "--data", f"folder:{data}", "--start", str(with_graph)]
    words += ["--out", str(tmp_path / "out")]
    ended = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "out" / "model" / "model.onnx").is_file() and "In 5-fold" in ended.stdout


TABLES = {
    "one word": ("path,label\na.png,cosy\nb.png,cosy\nc.png,cosy\n", "two words or more"),
    "a word once": ("path,label\na.png,cosy\nb.png,cosy\nc.png,grim\n", "one picture only"),
    "three rows": ("path,label\na.png,cosy\nb.png,grim\nc.png,odd\n", "one picture only"),
    "accents": ("path,label\na.png,resume\nb.png,resumé\nc.png,odd\nd.png,odd\n", "differ by case, accents"),
    "case": ("path,label\na.png,Cosy\nb.png,cosy\nc.png,odd\nd.png,odd\n", "differ by case, accents"),
    "missing": ("path,label\na.png,cosy\nb.png,cosy\nx.png,odd\nc.png,odd\n", "not there"),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_nothing_can_be_learned_from_is_refused_before_any_work(
    name: str, with_graph: Path, tmp_path: Path
) -> None:
    table, message = TABLES[name]
    colour_set(tmp_path, ("p",), each=4)
    for letter, number in zip("abcd", range(4), strict=True):
        (tmp_path / f"{letter}.png").write_bytes((tmp_path / "p" / f"{number}.png").read_bytes())
    (tmp_path / "t.csv").write_text(table, encoding="utf-8")
    out = tmp_path / "out"
    with pytest.raises(AffectLensError, match=message):
        source = open_data(f"csv:{tmp_path / 't.csv'}")
        run(FinetuneRequest(source=source, out=out, start=str(with_graph)))
    assert not out.exists()


def test_a_picture_kept_for_a_test_is_not_learned_from(with_graph: Path, tmp_path: Path) -> None:
    data = colour_set(tmp_path / "moods", WORDS, each=8)
    rows: list[Sequence[str]] = [("path", "label", "split")]
    for word in WORDS:
        rows += [(f"{word}/{n}.png", word, "test" if n == 0 else "train") for n in range(8)]
    with (data / "t.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    out = tmp_path / "out"
    run(
        FinetuneRequest(
            source=open_data(f"csv:{data / 't.csv'}"), out=out, start=str(with_graph), name="moods"
        )
    )
    assert card(str(out / "model")).scores["count"] == 21
    paths = (out / "predictions.csv").read_text(encoding="utf-8")
    assert "cosy/0.png" not in paths and "cosy/1.png" in paths


def test_votes_are_learned_as_shares_and_not_as_the_word_with_the_most(
    with_graph: Path, tmp_path: Path
) -> None:
    """Red pictures, which two in three call cosy and one in three grim, and blue ones, the reverse."""
    data = colour_set(tmp_path / "pictures", ("red", "blue"), each=15)
    (tmp_path / "vocabulary.toml").write_text('words = ["cosy", "grim"]\n', encoding="utf-8")
    rows = [("path", "cosy", "grim")]
    rows += [(f"{each}/{n}.png", *votes) for each, votes in (("red", ("8", "4")), ("blue", ("4", "8")))
             for n in range(15)]  # fmt: skip
    with (tmp_path / "votes.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    source = open_data(f"csv:{tmp_path / 'votes.csv'}@{data}")
    made = FinetuneRequest(source=source, out=tmp_path / "out", start=str(with_graph), name="votes")
    found = Predictor.load(str(run(made).model))
    for colour, share in (("red", 2 / 3), ("blue", 1 / 3)):
        emotions = found.predict_file(data / colour / "0.png").emotions
        assert emotions is not None and abs(emotions["cosy"] - share) < 0.12


def test_rows_of_several_raters_are_one_picture_with_shares_everywhere(
    data: Path, with_graph: Path, tmp_path: Path
) -> None:
    """Two of three raters name a picture's word, the third another; one of them by another path."""
    rows: list[Sequence[str]] = [("path", "label")]
    for word, other in zip(WORDS, (*WORDS[1:], WORDS[0]), strict=True):
        for number in range(14):
            rows += [(f"{word}/{number}.png", word), (f"./{word}/../{word}/{number}.png", word)]
            rows.append((str(data / word / f"{number}.png"), other))
    table = tmp_path / "raters.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    target = open_target(f"csv:{table}@{data}", str(with_graph), {})
    assert isinstance(target, DataSource)
    assert target.notes[-1].startswith("126 rows label 42 pictures")
    made = run(request(data, tmp_path / "out", with_graph, source=target))
    assert isinstance(made.report, Report) and made.report.scores.count == 42
    target_of = target.split("all")[0].target.weights
    assert sorted(target_of.values()) == pytest.approx([0, 1 / 3, 2 / 3])

    found = evaluate(load_engine(str(made.model), ONNX_RUNTIME), open_data(f"csv:{table}@{data}"), "all")
    assert found.scores.count == 42 and found.notes[:-1] == target.notes[-1:]
    assert "learned from 42 of these pictures" in found.notes[-1]


def test_scores_of_pictures_that_were_not_learned_from_have_no_note(
    fitted: Path, data: Path, tmp_path: Path
) -> None:
    fewer = shutil.copytree(data, tmp_path / "others")
    (fewer / "cosy" / "0.png").unlink()
    engine = load_engine(str(fitted / "model"), ONNX_RUNTIME)
    assert evaluate(engine, open_data(f"folder:{data}"), "all").notes
    assert not evaluate(engine, open_data(f"folder:{fewer}"), "all").notes


def test_pictures_that_are_all_for_a_test_are_not_learned_from(
    data: Path, with_graph: Path, tmp_path: Path
) -> None:
    table = tmp_path / "t.csv"
    rows = [f"{word}/{number}.png,{word},test" for word in WORDS for number in range(14)]
    table.write_text("\n".join(["path,label,split", *rows]) + "\n", encoding="utf-8")
    with pytest.raises(DatasetError, match=r"All pictures of .* are of the split 'test'"):
        run(request(data, tmp_path / "out", with_graph, source=open_data(f"csv:{table}@{data}")))
    assert not (tmp_path / "out").exists()


def test_words_that_no_picture_has_are_not_answered(with_graph: Path, tmp_path: Path) -> None:
    """Of a known vocabulary, with its polarity, of which the pictures have three words; and a bare folder."""
    data = colour_set(tmp_path / "some", ("awe", "fear", "sadness"), each=14)
    (data / "anger").mkdir()
    target = open_target(f"folder:{data}", str(with_graph), {})
    assert isinstance(target, DataSource)
    assert "no picture is labelled amusement, contentment, excitement, anger, disgust" in target.notes[-1]
    model = run(request(data, tmp_path / "out", with_graph, source=target)).model
    assert load_card(model).vocabulary.polarity == {
        "awe": "positive",
        "fear": "negative",
        "sadness": "negative",
    }
    found = Predictor.load(str(model))(data / "awe" / "0.png")
    assert list(found.weights) == ["awe", "fear", "sadness"] and found.top == "awe"

    table = tmp_path / "t.csv"
    rows = [f"{word}/{n}.png,{word},{'test' if word == 'awe' else 'train'}"
            for word in ("awe", "fear", "sadness") for n in range(14)]  # fmt: skip
    table.write_text("\n".join(["path,label,split", *rows]) + "\n", encoding="utf-8")
    with pytest.raises(DatasetError, match="All pictures of 'awe' are of the split 'test'"):
        open_target(f"csv:{table}@{data}", str(with_graph), {})


@pytest.mark.parametrize("given", [{"device": "cuda"}, {"assignments": ["epochs=2"]}])
def test_what_fitting_a_last_layer_has_no_use_for_is_refused_in_python_too(
    data: Path, tmp_path: Path, given: dict[str, Any]
) -> None:
    with pytest.raises(SettingsError, match="leave assignments, trackers and device out"):
        finetune(f"folder:{data}", tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()


def test_a_run_is_not_begun_among_pictures_or_over_files_of_others(
    data: Path, with_graph: Path, tmp_path: Path
) -> None:
    before = sorted(data.rglob("*"))
    for out in (data, data / "new"):
        with pytest.raises(OutputError, match="read as an emotion"):
            run(request(data, out, with_graph))
    assert sorted(data.rglob("*")) == before
    (tmp_path / "settings.json").write_text('{"editor.fontSize": 12}')
    with pytest.raises(RunError, match=r"settings\.json is there already"):
        run(request(data, tmp_path, with_graph))
    assert (tmp_path / "settings.json").read_text() == '{"editor.fontSize": 12}'
