"""Models with ratings, sets and a mark for unusual pictures: engines agree, and rows hold them all."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rated_models
from affectlens import Predictor
from affectlens.errors import OutputError, SettingsError
from affectlens.inference.engine import ONNX_RUNTIME, OPENVINO, TORCH, load_engine
from affectlens.inference.job import PredictionJob
from affectlens.inference.output.read import read_rows_file
from affectlens.inference.text import prediction_line, prediction_text

SUFFIXES = ("jsonl", "csv", "parquet")


@pytest.fixture(scope="module")
def rated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rated_models.write(tmp_path_factory.mktemp("models") / "rated", threshold=-1e9)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(6):
        coarse = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((120, 96)).save(folder / f"{number}.png")
    (folder / "3.png").write_bytes(b"not a picture")
    return folder


def files(photos: Path) -> list[Path]:
    return sorted(photos.glob("*.png"))


def test_engines_give_the_same_ratings_and_embedding(rated: Path) -> None:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    pixels = coarse.repeat(12, axis=1).repeat(12, axis=2)
    by_torch, *others = (
        load_engine(str(rated), name).answer(pixels) for name in (TORCH, ONNX_RUNTIME, OPENVINO)
    )
    assert by_torch.ratings is not None and by_torch.ratings.shape == (5, 2)
    assert np.ptp(by_torch.ratings, axis=0).min() > 0.01, "or little is compared"
    for other in others:
        assert other.ratings is not None and other.embedding is not None and by_torch.embedding is not None
        np.testing.assert_allclose(other.ratings, by_torch.ratings, atol=1e-4)
        np.testing.assert_allclose(other.embedding, by_torch.embedding, atol=1e-4)
        np.testing.assert_allclose(other.probabilities, by_torch.probabilities, atol=1e-5)


def test_threads_that_share_a_network_of_torch_do_not_mix_features_up(rated: Path, photos: Path) -> None:
    engine = load_engine(str(rated), TORCH)
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (24, rated_models.SIDE, rated_models.SIDE, 3), dtype=np.uint8)
    alone = [engine.answer(each[None]).ratings for each in pixels]
    together = list(engine.map(engine.answer, [each[None] for each in pixels]))
    for one, other in zip(alone, together, strict=True):
        assert one is not None and other.ratings is not None
        np.testing.assert_allclose(one, other.ratings, atol=1e-5)


def test_a_prediction_has_valence_arousal_and_a_set(rated: Path, photos: Path) -> None:
    predictor = Predictor.load(str(rated))
    found = predictor.predict_file(photos / "0.png")
    assert found.valence is not None and found.arousal is not None and found.emotions is not None
    assert found.valence.low < found.valence.mean < found.valence.high
    assert found.unusual is True, "every score is above this threshold"
    assert found.valence.high - found.valence.mean == pytest.approx(1.5), "of coverage 0.95 then"
    assert set(found.set(0.6)) <= set(found.set(0.9)) and found.set(0.6)[0] == found.emotions.top
    assert predictor.predict_file(photos / "3.png").valence is None
    with pytest.raises(SettingsError, match="could not be read"):
        predictor.predict_file(photos / "3.png").set()
    with pytest.raises(SettingsError, match="is a number"):
        found.set("most")  # type: ignore[arg-type]


def test_a_usual_picture_has_the_narrower_interval(photos: Path, tmp_path: Path) -> None:
    model = rated_models.write(tmp_path / "model", threshold=1e9, graph=False)
    found = Predictor.load(str(model)).predict_file(photos / "0.png")
    assert found.unusual is False and found.valence is not None
    assert found.valence.high - found.valence.mean == pytest.approx(1.0)


def test_a_model_without_them_has_none_and_its_rows_have_no_such_columns(
    graph_model: Path, photos: Path
) -> None:
    predictor = Predictor.load(str(graph_model))
    found = predictor.predict_file(photos / "0.png")
    assert (found.valence, found.arousal, found.unusual, dict(found.ratings)) == (None, None, None, {})
    assert not {"valence", "arousal", "unusual", "set", "coverage"} & set(found.to_row(predictor.card))
    with pytest.raises(SettingsError, match="no thresholds"):
        found.set(0.9)
    with pytest.raises(SettingsError, match="no thresholds"):
        predictor.predict_files([photos / "0.png"], coverage=0.9)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("coverage", [None, 0.9])
def test_rows_come_back_from_every_format_and_an_interrupted_file_goes_on(
    rated: Path, photos: Path, tmp_path: Path, suffix: str, coverage: float | None
) -> None:
    predictor = Predictor.load(str(rated))
    file, cut = tmp_path / f"rows.{suffix}", tmp_path / f"cut.{suffix}"

    def job() -> PredictionJob:
        return PredictionJob(predictor, iter(files(photos)), 2, coverage=coverage)

    job().write(file)
    rows = read_rows_file(file).rows
    wanted = [each.to_row(predictor.card) for each in job().predictions()]
    for row, expected in zip(rows, wanted, strict=True):
        found = {name: rating._asdict() for name, rating in row.ratings.items()}
        assert found == {name: expected[name] for name in ("valence", "arousal") if expected[name]}
        assert row.unusual == expected["unusual"]
        if coverage:
            assert (row.set, row.coverage) == (expected["set"], coverage)
    with job().open(cut, resume=False) as writer:
        for plain in wanted[:3]:
            writer.write(plain)
        writer._stream.flush()
        if suffix != "parquet":
            writer._finish = lambda: None
    job().write(cut, resume=True)
    assert cut.read_bytes() == file.read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_with_sets_of_another_coverage_or_of_none_is_not_continued(
    rated: Path, photos: Path, tmp_path: Path, suffix: str
) -> None:
    predictor, file = Predictor.load(str(rated)), tmp_path / f"rows.{suffix}"
    PredictionJob(predictor, iter(files(photos)), coverage=0.9).write(file)
    before = file.read_bytes()
    for coverage in (0.8, None):
        with pytest.raises(OutputError, match=r"Go on with --coverage 0\.9|other columns"):
            PredictionJob(predictor, iter(files(photos)), coverage=coverage).write(file, resume=True)
    assert file.read_bytes() == before


def test_a_coverage_that_cannot_be_is_refused_before_a_picture_is_read(rated: Path) -> None:
    predictor = Predictor.load(str(rated))
    for coverage in (0.3, 0.999, float("nan")):
        with pytest.raises(SettingsError, match=r"0\.5 to 0\.99|known for a coverage"):
            predictor.predict_files(["gone.jpg"], coverage=coverage)


def test_text_has_ratings_the_set_and_a_warning(rated: Path, photos: Path) -> None:
    found = Predictor.load(str(rated)).predict_file(photos / "0.png", coverage=0.9)
    text, line = prediction_text(found, "rated"), prediction_line(found)
    for shown in (text, line):
        assert "valence" in shown and "unlike the photographs" in shown and "0.9 set: " in shown
    usual = replace(found, unusual=False, coverage=None)
    assert "unlike" not in prediction_line(usual) and "set" not in prediction_line(usual)


def test_json_has_the_interval_by_names(rated: Path, photos: Path) -> None:
    predictor = Predictor.load(str(rated))
    row = json.loads(
        json.dumps(predictor.predict_file(photos / "0.png", coverage=0.8).to_row(predictor.card))
    )
    assert list(row["valence"]) == ["mean", "low", "high"] and row["unusual"] is True
    assert row["coverage"] == 0.8 and row["set"][0] == row["top"]


def test_below_the_least_confidence_no_emotion_is_named_and_a_file_keeps_to_it(
    rated: Path, photos: Path, tmp_path: Path
) -> None:
    predictor = Predictor.load(str(rated))
    sure = predictor.predict_file(photos / "0.png")
    assert sure.emotions is not None and not sure.abstains
    most = sure.emotions[sure.emotions.top]
    for least, abstains in ((most + 0.01, True), (most - 0.01, False), (0.0, False)):
        found = predictor.predict_file(photos / "0.png", min_confidence=least)
        row = found.to_row(predictor.card)
        assert found.abstains is abstains and row["top"] == (None if abstains else sure.emotions.top)
        assert row["emotions"] == sure.to_row(predictor.card)["emotions"] and row["min_confidence"] == least
        assert ("no emotion is as probable" in prediction_line(found)) is abstains
        assert ("no emotion is as probable" in prediction_text(found, "rated")) is abstains
    for suffix in SUFFIXES:
        file = tmp_path / f"rows.{suffix}"
        PredictionJob(predictor, iter(files(photos)), min_confidence=1.0).write(file)
        assert {row.top for row in read_rows_file(file).rows} == {None}
        with pytest.raises(OutputError, match=r"Go on with --min-confidence 1\.0"):
            PredictionJob(predictor, iter(files(photos)), min_confidence=0.5).write(file, resume=True)
    for least in (-0.1, 1.1, float("nan")):
        with pytest.raises(SettingsError, match="0 to 1"):
            predictor.predict_files(["gone.jpg"], min_confidence=least)
