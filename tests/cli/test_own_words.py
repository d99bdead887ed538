"""Words of one's own go the whole way: trained, predicted, evaluated, explained, watched, exported, shown."""

import csv
import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from affectlens.cli.main import main
from affectlens.film.timeline import Timeline
from affectlens.model_folder import load_card
from films import plain, write
from pictures import COLOURS, colour_set

pytestmark = pytest.mark.needs("torch")

# One is not ASCII, one has a space and apostrophes, one would be a tag in a page.
WORDS = ("cosy", "uncanny", "\u00e5ngest", "rock 'n' roll", "<b>so-so")
PLAIN = tuple(sorted(WORDS))
FACTS = """
words = ["cosy", "uncanny", "\u00e5ngest", "rock 'n' roll", "<b>so-so"]
name = "moods"
[aliases]
snug = "cosy"
[polarity]
positive = ["cosy", "rock 'n' roll"]
negative = ["\u00e5ngest"]
[colours]
cosy = "#aa7733"
[valence]
cosy = 7.5
"""
TINY = ("--set", "epochs=1", "--set", "batch_size=4", "--set", "num_workers=0", "--set", "weights=none",
        "--set", "preprocessing.height=32", "--set", "preprocessing.width=32",
        "--set", "augmentation.flip=0", "--device", "cpu")  # fmt: skip


def status(*words: object) -> int:
    """Run a command in this process and return its exit status."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return colour_set(tmp_path_factory.mktemp("data") / "moods", WORDS, each=4)


def train(data: Path, out: Path, *more: str) -> int:
    return status("train", "test_vit.r160_in1k", "--data", f"folder:{data}", "--out", out, *TINY, *more)


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on folders alone: nothing is known of the words."""
    out = tmp_path_factory.mktemp("runs") / "plain"
    assert train(data, out) == 0
    return out


@pytest.fixture(scope="module")
def run_with_facts(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a file of words that states polarity, a colour and a valence."""
    folder = tmp_path_factory.mktemp("facts")
    (folder / "moods.toml").write_text(FACTS, encoding="utf-8")
    out = folder / "run"
    assert train(data, out, "--set", f"vocabulary={folder / 'moods.toml'}", "--no-graph") == 0
    return out


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of two colours."""
    frames = [plain(COLOURS[0 if number < 12 else 2]) for number in range(25)]
    return write(tmp_path_factory.mktemp("films") / "film.mp4", frames)


def test_pictures_are_predicted_in_these_words_in_every_format_and_evaluated_from_each(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = next(data.glob("cosy/*.png"))
    assert status("predict", picture, "--model", run / "model") == 0
    assert "cosy" in capsys.readouterr().out
    suffixes = ["csv", "jsonl", *(["parquet"] if find_spec("pyarrow") else [])]
    scores = []
    for suffix in suffixes:
        rows = tmp_path / f"rows.{suffix}"
        assert status("predict", data, "--model", run / "model", "--out", rows) == 0
        out = tmp_path / f"{suffix}.json"
        assert status("evaluate", rows, "--data", f"folder:{data}", "--split", "all", "--out", out) == 0
        scores.append(json.loads(out.read_text(encoding="utf-8"))["scores"])
    assert all(each["confusion"] == scores[0]["confusion"] for each in scores)
    assert scores[0]["words"] == list(PLAIN) and scores[0]["polarity_accuracy"] is None
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as file:
        first = next(csv.DictReader(file))
    assert first["positive"] == "" and first["top"] in WORDS and float(first["\u00e5ngest"]) > 0
    assert (
        json.loads((tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()[0])["polarity"] is None
    )


def test_a_model_is_evaluated_on_a_part_of_its_words(run: Path, tmp_path: Path) -> None:
    part = colour_set(tmp_path / "part", ("uncanny", "COSY"), each=2)
    out = tmp_path / "scores.json"
    assert status("evaluate", run / "model", "--data", f"folder:{part}", "--split", "all", "--out", out) == 0
    assert json.loads(out.read_text(encoding="utf-8"))["scores"]["words"] == list(PLAIN)


def test_the_run_is_read_again_by_its_own_table_and_its_card_names_no_tag(run: Path, data: Path) -> None:
    assert load_card(run / "model").vocabulary.words == PLAIN
    readme = (run / "model" / "README.md").read_text(encoding="utf-8")
    assert "tags:\n- visual-emotion-analysis\nmodel-index:" in readme and "datasets:" not in readme
    assert (run / "vocabulary.toml").is_file()
    assert status("evaluate", run / "model", "--data", f"csv:{run / 'splits.tsv'}@{data}") == 0
    assert status("models", "show", run / "model") == 0


def test_a_picture_is_explained_in_these_words(run: Path, data: Path, tmp_path: Path) -> None:
    picture = next(data.glob("cosy/*.png"))
    quick = ("--method", "occlusion", "--set", "patch=0.5", "--set", "stride=0.5", "--no-faithfulness")
    for word in ("rock 'n' roll", "\u00c5NGEST"):
        page = tmp_path / "page"
        assert status("explain", picture, "--model", run / "model", "--emotion", word, "--out", page,
                      "--format", "html", *quick) == 0  # fmt: skip
    pages = [file.read_text(encoding="utf-8") for file in page.rglob("*.html")]
    assert pages and not any("<b>so-so" in text for text in pages)
    assert any("&lt;b&gt;so-so" in text for text in pages)


def test_a_wheel_that_these_words_lack_is_refused_before_a_picture_is_explained(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("explain", data, "--format", "npz,wheel", "--model", run, "--out", tmp_path / "out")
    assert status(*words) == 2
    assert "There are wheels of mikels-8 and plutchik-8" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.npz"))


def test_a_film_is_watched_in_these_words(run: Path, film: Path, tmp_path: Path) -> None:
    formats = "html,png,csv,jsonl,srt,edl"
    assert status("film", film, "--model", run / "model", "--out", tmp_path, "--format", formats) == 0
    folder = tmp_path / "film"
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "<b>so-so" not in page and "rock" in page
    assert "Polarity" not in page and "are hatched" not in page and ">neither<" not in page
    timeline = Timeline.read(folder / "timeline.json")
    assert timeline.vocabulary.words == PLAIN and timeline.polarity is None
    with (folder / "frames.csv").open(encoding="utf-8", newline="") as file:
        columns = next(csv.reader(file))
    assert {*PLAIN, "smoothed_cosy"} <= set(columns) and "polarity" not in columns


def test_facts_of_words_travel_with_the_model_to_films_and_scores(
    run_with_facts: Path, data: Path, film: Path, tmp_path: Path
) -> None:
    words = load_card(run_with_facts / "model").vocabulary
    assert (words.name, words.words, words.word("Snug")) == ("moods", WORDS, "cosy")
    assert (words.colours["cosy"], words.valence["cosy"]) == ("#aa7733", 7.5)
    out = tmp_path / "scores.json"
    assert status("evaluate", run_with_facts / "model", "--data", f"folder:{data}", "--split", "all",
                  "--out", out) == 0  # fmt: skip
    assert json.loads(out.read_text(encoding="utf-8"))["scores"]["polarity_accuracy"] is not None
    assert (
        status("film", film, "--model", run_with_facts / "model", "--out", tmp_path, "--format", "html") == 0
    )
    timeline = Timeline.read(tmp_path / "film" / "timeline.json")
    assert timeline.valence is not None and set(timeline.valence) == {7.5}
    assert timeline.polarity is not None and timeline.vocabulary.colours["cosy"] == "#aa7733"
    assert "#aa7733" in (tmp_path / "film" / "report.html").read_text(encoding="utf-8")


def test_words_with_polarity_train_a_model_of_positive_and_negative(
    run_with_facts: Path, data: Path, tmp_path: Path
) -> None:
    table = f"csv:{run_with_facts / 'splits.tsv'}@{data}"
    assert status("train", "test_vit.r160_in1k", "--data", table, "--out", tmp_path / "run", *TINY,
                  "--no-graph", "--set", "vocabulary=polarity") == 0  # fmt: skip
    assert load_card(tmp_path / "run" / "model").vocabulary.words == ("positive", "negative")


@pytest.mark.parametrize(
    ("words", "each", "reason"),
    [
        (("cosy",), 3, "needs two words"),
        (("awe",), 3, "nothing to distinguish"),
        (("awe", "fear", "anger"), 1, "one picture only"),
        (("cosy", "uncanny", "odd"), 1, "one picture only"),
        (("cosy", "model"), 2, "a column of this name"),
        (("caf\u00e9", "cafe"), 2, "accents"),
    ],
)
def test_data_that_nothing_can_be_learned_from_is_refused_before_anything_is_written(
    words: tuple[str, ...], each: int, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert train(colour_set(tmp_path / "data", words, each=each), out) == 2
    assert reason in capsys.readouterr().err
    assert not out.exists() or not any(out.iterdir())


def test_a_table_whose_pictures_are_not_there_is_refused_with_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    colour_set(tmp_path / "data", ("cosy", "odd"), each=2)
    lines = [f"{word}/{number}.png,{word}" for word in ("cosy", "odd") for number in range(4)]
    table = tmp_path / "data" / "rows.csv"
    table.write_text("path,label\n" + "\n".join(lines) + "\n", encoding="utf-8")
    assert (
        status("train", "test_vit.r160_in1k", "--data", f"csv:{table}", "--out", tmp_path / "run", *TINY) == 2
    )
    assert "4 of the 8 pictures are not there, the first" in capsys.readouterr().err


def test_polarity_in_the_loss_needs_words_that_have_one(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(data, tmp_path / "run", "--set", "loss.polarity=1") == 2
    assert "no polarity" in capsys.readouterr().err


def test_a_run_whose_words_stand_in_a_file_goes_on_from_another_folder(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
    (tmp_path / "one" / "moods.toml").write_text(FACTS, encoding="utf-8")
    monkeypatch.chdir(tmp_path / "one")
    out = tmp_path / "run"
    assert train(data, out, "--set", "vocabulary=moods.toml", "--no-graph") == 0
    monkeypatch.chdir(tmp_path / "other")
    assert status("train", "test_vit.r160_in1k", "--data", f"folder:{data}", "--out", out, "--device", "cpu",
                  "--resume", "--epochs", "2", "--no-graph") == 0  # fmt: skip
    assert load_card(out / "model").vocabulary.name == "moods"
