"""Labelled pictures through an engine, as arrays."""

from pathlib import Path

import numpy as np
import pytest

from affectlens.data import folder
from affectlens.data.records import ALL, Record
from affectlens.emotions import MIKELS
from affectlens.errors import DatasetError, PictureEmpty, SettingsError
from affectlens.images import read_pixels
from affectlens.inference.engine import load_engine
from affectlens.inference.predictions import SMALLEST, as_logits, predict_records
from affectlens.metrics import softmax
from graphs import CARD, logits_of
from pictures import colour_set


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    """Twelve pictures of four emotions."""
    root = colour_set(tmp_path_factory.mktemp("data"), ("amusement", "awe", "anger", "fear"), each=3)
    return folder.read(root).split(ALL)


def test_logits_are_those_of_the_network_but_for_a_shift_and_targets_those_of_the_records(
    graph_model: Path, records: list[Record]
) -> None:
    found = predict_records(load_engine(str(graph_model)), records, batch_size=5)
    assert found.logits.dtype == found.targets.dtype == np.float32
    assert found.keys == tuple(record.key for record in records) and found.unreadable == ()
    assert found.targets.tolist() == [list(record.target.probabilities) for record in records]
    size = CARD.preprocessing
    pixels = [size.fit_pixels(read_pixels(record.path, at_least=size.at_least)) for record in records]
    expected = logits_of(np.stack(pixels))
    assert np.ptp(expected, axis=0).min() > 0.05, "or the order is not tested"
    shift = expected.mean(axis=1, keepdims=True) - found.logits.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(found.logits + shift, expected, atol=1e-4)


def test_an_unreadable_picture_is_in_no_array_and_is_counted_like_the_others(
    graph_model: Path, records: list[Record], tmp_path: Path
) -> None:
    (tmp_path / "empty.png").touch()
    empty = Record("empty.png", tmp_path / "empty.png", MIKELS.only("awe"))
    counted: list[int] = []
    engine = load_engine(str(graph_model))
    found = predict_records(engine, [*records[:4], empty, *records[4:]], 3, counted.append)
    assert [(bad.key, type(bad.error)) for bad in found.unreadable] == [("empty.png", PictureEmpty)]
    assert found.keys == tuple(record.key for record in records)
    np.testing.assert_allclose(found.logits, predict_records(engine, records).logits, atol=1e-5)
    assert sum(counted) == len(records) + 1
    with pytest.raises(DatasetError, match=r"Not one picture could be read\..*empty\.png"):
        predict_records(engine, [empty])
    with pytest.raises(SettingsError, match="batch_size"):
        predict_records(engine, records, batch_size=0)


def test_the_temperature_gives_back_the_probabilities() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1], [1.0, 0.0, 0.0]], dtype=np.float32)
    logits = as_logits(probabilities, temperature=2.5)
    np.testing.assert_allclose(softmax(logits / 2.5), probabilities, atol=1e-6)
    assert np.isfinite(logits).all() and logits[1, 1] == pytest.approx(2.5 * np.log(SMALLEST))
