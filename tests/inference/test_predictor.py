import io
import itertools
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import affectlens
from affectlens.attributes import MEASURED, brightness, colourfulness, measure
from affectlens.emotions import EKMAN, MIKELS, POLARITY, WEBEMO_7
from affectlens.errors import (
    ModelNotFound,
    PictureDamaged,
    PictureEmpty,
    PictureError,
    PictureNotFound,
    SettingsError,
)
from affectlens.images import Source, read_pixels
from affectlens.inference.engine import cores
from affectlens.inference.predictor import BATCHES_AHEAD, Prediction, Predictor
from model_folders import CARD


@pytest.fixture(scope="module")
def predictor(graph_model: Path) -> Predictor:
    return Predictor.load(str(graph_model))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Pictures that evoke different answers, of different sizes and kinds."""
    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    paths = []
    for number in range(10):
        coarse = generator.integers(0, 256, (3, 4, 3), dtype=np.uint8)
        path = folder / f"{number}.{'png' if number % 2 else 'jpg'}"
        Image.fromarray(coarse).resize((60 + 30 * number, 200), Image.Resampling.BICUBIC).save(path)
        paths.append(path)
    return paths


def assert_same(
    answers: list[affectlens.EmotionDistribution], expected: list[affectlens.EmotionDistribution]
) -> None:
    found, wanted = ([d.probabilities for d in which] for which in (answers, expected))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


def test_a_picture_may_be_given_in_any_form(predictor: Predictor, photos: list[Path]) -> None:
    path = photos[1]
    picture = Image.open(path)
    forms: list[Source] = [
        path,
        str(path),
        path.read_bytes(),
        picture,
        np.asarray(picture),
        read_pixels(path),
    ]
    assert_same([predictor(form) for form in forms], [predictor(path)] * len(forms))


def test_answers_are_distributions_over_the_models_words(predictor: Predictor, photos: list[Path]) -> None:
    answer = predictor(photos[0])
    assert predictor.vocabulary == answer.vocabulary == MIKELS
    assert sum(answer.probabilities) == pytest.approx(1, abs=1e-6)
    assert predictor.card.name == "tiny"


def test_several_pictures_are_answered_in_order_as_each_alone(
    predictor: Predictor, photos: list[Path]
) -> None:
    alone = [predictor(path) for path in photos]
    assert len({answer.top for answer in alone}) > 1
    assert_same(predictor(photos), alone)
    assert_same(predictor(path for path in reversed(photos)), alone[::-1])
    assert predictor([]) == []


def test_one_unloaded_pillow_picture_may_be_given_many_times(
    predictor: Predictor, photos: list[Path]
) -> None:
    picture = Image.open(photos[9])
    assert_same(predictor([picture] * 40), [predictor(photos[9])] * 40)


def test_a_picture_that_cannot_be_used_raises_alone_and_in_a_list(
    predictor: Predictor, photos: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(PictureNotFound):
        predictor(tmp_path / "gone.jpg")
    with pytest.raises(PictureEmpty):
        predictor([photos[0], b"", tmp_path / "gone.jpg"])


def test_files_are_answered_in_order_with_errors_at_their_positions(
    predictor: Predictor, photos: list[Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(photos[0].read_bytes()[:500])
    paths: list[Path | str | PictureError] = [*photos]
    paths[3:3] = [broken, str(tmp_path / "gone.jpg"), PictureNotFound("nothing*", "no match.")]
    for batch_size in (1, 4, 100):
        answers = list(predictor.predict_files(paths, batch_size))
        assert [answer.image for answer in answers] == [
            *map(str, paths[:5]),
            "nothing*",
            *map(str, paths[6:]),
        ]
        assert [type(answer.error) for answer in answers[3:6]] == [
            PictureDamaged,
            PictureNotFound,
            PictureNotFound,
        ]
        assert all(answer.emotions is None for answer in answers[3:6])
        assert_same([answer.emotions for answer in answers if answer.emotions], predictor(photos))


def test_one_path_is_one_picture_and_not_its_letters(predictor: Predictor, photos: list[Path]) -> None:
    for path in (photos[0], str(photos[0])):
        (answer,) = predictor.predict_files(path)
        assert answer.image == str(photos[0]) and answer.error is None


def test_the_same_paths_give_the_same_bits(predictor: Predictor, photos: list[Path]) -> None:
    assert list(predictor.predict_files(photos, 4)) == list(predictor.predict_files(photos, 4))


def test_paths_are_taken_only_some_batches_ahead(predictor: Predictor, photos: list[Path]) -> None:
    taken = 0

    def endless() -> Iterator[Path]:
        nonlocal taken
        for path in itertools.cycle(photos):
            taken += 1
            yield path

    answers = predictor.predict_files(endless(), batch_size=4)
    list(itertools.islice(answers, 10))
    assert taken <= 10 + 4 * (BATCHES_AHEAD + cores() + 3)
    answers.close()


def test_stopping_early_leaves_no_thread_behind(predictor: Predictor, photos: list[Path]) -> None:
    before = threading.active_count()
    answers = predictor.predict_files(itertools.cycle(photos))
    next(answers)
    assert threading.active_count() > before
    answers.close()
    assert threading.active_count() == before


def test_a_batch_of_no_pictures_is_an_error_at_once(predictor: Predictor) -> None:
    with pytest.raises(SettingsError, match="batch_size"):
        predictor.predict_files([], batch_size=0)


def test_a_row_has_the_same_keys_for_every_picture(predictor: Predictor, photos: list[Path]) -> None:
    good, bad = predictor.predict_files([photos[0], "gone.jpg"])
    row = good.to_row(predictor.card)
    assert list(row) == [
        "image", "top", "emotions", "polarity", "model", "weights", "version", "engine", "precision", "error",
    ]  # fmt: skip
    assert row["image"] == str(photos[0])
    assert row["top"] == max(row["emotions"], key=row["emotions"].get)
    assert tuple(row["emotions"]) == MIKELS.words
    assert sum(row["emotions"].values()) == pytest.approx(1, abs=1e-5)
    assert sum(row["polarity"].values()) == pytest.approx(1, abs=1e-5)
    made_by = {
        "model": "tiny",
        "weights": predictor.card.weights_hash[:12],
        "version": affectlens.__version__,
        "engine": "onnxruntime",
        "precision": "float32",
    }
    assert {name: row[name] for name in made_by} == made_by and len(row["weights"]) == 12
    assert row["error"] is None
    assert bad.error is not None
    assert bad.to_row(predictor.card) == {
        "image": "gone.jpg",
        "top": None,
        "emotions": None,
        "polarity": None,
        **made_by,
        "error": {"type": "PictureNotFound", "message": str(bad.error)},
    }


def test_a_model_that_was_not_saved_has_no_weights_to_name() -> None:
    assert Prediction("a.jpg", MIKELS.only("awe"), None).to_row(CARD)["weights"] is None


def test_attributes_are_measured_where_they_are_requested(predictor: Predictor, photos: list[Path]) -> None:
    answers = list(predictor.predict_files([*photos, "gone.jpg"], 4, attributes=True))
    without = list(predictor.predict_files([*photos, "gone.jpg"], 4))
    assert [a.emotions for a in answers] == [a.emotions for a in without]
    assert {a.attributes for a in without} == {None}
    assert predictor.attribute_names == MEASURED
    for answer, path in zip(answers, photos, strict=False):
        assert answer.attributes == measure(read_pixels(path, at_least=96))
    assert answers[-1].attributes == {}
    assert len({answer.attributes["brightness"] for answer in answers[:-1] if answer.attributes}) == 10


def test_a_row_has_attributes_only_where_they_were_requested(
    predictor: Predictor, photos: list[Path]
) -> None:
    good, bad = predictor.predict_files([photos[0], "gone.jpg"], attributes=True)
    row = good.to_row(predictor.card)
    plain = next(predictor.predict_files([photos[0]])).to_row(predictor.card)
    assert list(row) == list(bad.to_row(predictor.card)) == [
        "image", "top", "emotions", "polarity", "attributes", "model", "weights", "version",
        "engine", "precision", "error",
    ]  # fmt: skip
    assert good.attributes is not None
    assert row["attributes"] == {name: round(good.attributes[name], 3) for name in MEASURED}
    assert bad.to_row(predictor.card)["attributes"] == {}
    assert {key: value for key, value in row.items() if key != "attributes"} == plain


def test_attributes_may_be_words(predictor: Predictor) -> None:
    answer = Prediction("a.jpg", MIKELS.only("awe"), None, {"brightness": 0.12345, "scene": "mountain"})
    assert answer.to_row(CARD)["attributes"] == {"brightness": 0.123, "scene": "mountain"}


def test_a_jpeg_decoded_at_reduced_size_measures_much_the_same(predictor: Predictor, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    coarse = Image.fromarray(generator.integers(70, 186, (40, 60, 3), dtype=np.uint8))
    coarse.resize((1200, 800), Image.Resampling.BICUBIC).save(tmp_path / "large.jpg", quality=90)
    (answer,) = predictor.predict_files([tmp_path / "large.jpg"], attributes=True)
    full = read_pixels(tmp_path / "large.jpg")
    assert read_pixels(tmp_path / "large.jpg", at_least=96).shape[1] <= full.shape[1] // 4
    assert answer.attributes is not None
    assert answer.attributes["brightness"] == pytest.approx(brightness(full), abs=0.02)
    assert answer.attributes["colourfulness"] == pytest.approx(colourfulness(full), abs=0.02)
    assert 0.2 < colourfulness(full) < 1


def test_attributes_are_of_the_whole_picture_and_not_of_what_the_network_sees(
    predictor: Predictor, tmp_path: Path
) -> None:
    picture = Image.new("RGB", (400, 100), "black")
    picture.paste("white", (0, 0, 100, 100))
    picture.save(tmp_path / "wide.png")
    (answer,) = predictor.predict_files([tmp_path / "wide.png"], attributes=True)
    assert answer.attributes == {"brightness": 0.25, "colourfulness": 0.0}


def test_polarity_is_null_where_the_words_have_none() -> None:
    unclear = affectlens.Vocabulary("two-moods", ("calm", "tense")).only("calm")
    assert Prediction("a.jpg", unclear, None).to_row(CARD)["polarity"] is None
    only_surprise = EKMAN.only("surprise")
    assert Prediction("a.jpg", only_surprise, None).to_row(CARD)["polarity"] is None
    assert Prediction("a.jpg", WEBEMO_7.only("love"), None).to_row(CARD)["polarity"]["positive"] == 1
    assert Prediction("a.jpg", POLARITY.only("negative"), None).to_row(CARD)["polarity"]["negative"] == 1


def test_an_unknown_model_is_an_error() -> None:
    with pytest.raises(ModelNotFound, match="no-such-model"):
        Predictor.load("no-such-model")


def test_several_threads_may_share_a_predictor(predictor: Predictor, photos: list[Path]) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(predictor, photos * 3))
    assert_same(answers, predictor(photos) * 3)


def test_the_package_offers_its_names_without_loading_torch_at_once() -> None:
    program = (
        "import sys, affectlens; assert 'torch' not in sys.modules; "
        "from affectlens import Predictor; assert 'torch' not in sys.modules; "
        "assert all(hasattr(affectlens, name) for name in affectlens.__all__)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    with pytest.raises(AttributeError, match="Predicter"):
        affectlens.Predicter  # noqa: B018


MEMORY = """
import itertools, os, sys, psutil
from pathlib import Path
from affectlens.inference.output.writer import open_output
from affectlens.inference.predictor import Predictor

model, picture, file, count = sys.argv[1:]
count = int(count)
predictor = Predictor.load(model, "cpu")
process = psutil.Process()
# Mostly paths that lead nowhere, which cost memory as any other and hardly time.
paths = lambda: (picture if n % 1000 == 0 else f"gone/{n:060}.jpg" for n in range(count))
memory = []
for resume in (False, True):
    settings = {"resume": resume, "batch_size": 32, "schema": predictor.row_schema()}
    output, rest, kept = open_output(Path(file), predictor.card, paths(), **settings)
    with output:
        for n, prediction in enumerate(predictor.predict_files(rest)):
            output.write(prediction.to_row(predictor.card))
            if n == 5_000:
                memory.append(process.memory_info().rss)
    memory.append(process.memory_info().rss)
assert kept.rows == count, kept
print((max(memory) - memory[0]) // 2**20)
"""


# Counts that are whole batches: those of the first run are all written before it ends.
@pytest.mark.parametrize("count", [32_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_memory_stays_the_same_however_many_pictures_there_are(
    graph_model: Path, photos: list[Path], tmp_path: Path, count: int
) -> None:
    file = tmp_path / "out.jsonl"
    program = [sys.executable, "-c", MEMORY, str(graph_model), str(photos[0]), str(file), str(count)]
    grown = int(subprocess.run(program, check=True, capture_output=True, text=True).stdout)
    assert sum(1 for _ in file.open()) == count
    assert grown < 0.0004 * count  # MiB; the paths and rows themselves are 30 for 100,000


def test_bytes_in_memory_may_be_given_in_a_list(predictor: Predictor) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (30, 20), "navy").save(buffer, "PNG")
    assert_same(predictor([buffer.getvalue()] * 3), [predictor(buffer.getvalue())] * 3)
    buffer.seek(0)
    assert_same([predictor(buffer), *predictor([buffer] * 2)], [predictor(buffer.getvalue())] * 3)
