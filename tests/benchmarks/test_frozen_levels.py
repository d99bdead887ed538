"""The frozen branch: what its perceptron learns from, and that the model answers as the perceptron does."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import frozen_levels
import frozen_perceptrons
import screening
from affectlens.data.catalog import open_data
from affectlens.data.records import ALL
from affectlens.data.splits import with_fold
from affectlens.images import read_pixels
from affectlens.models import saved
from affectlens.models.network_input import normalise, to_tensor
from screening_paths import paths_of

WORDS = ("awe", "anger", "sadness")
SIDE = 96


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> screening.Paths:
    """A small data set, a small backbone without weights, and many short epochs."""
    monkeypatch.setattr(frozen_levels, "BACKBONE", "test_efficientnet")
    monkeypatch.setattr(frozen_levels, "SIDE", SIDE)
    monkeypatch.setattr(frozen_perceptrons, "EPOCHS", 20)
    monkeypatch.setattr(frozen_perceptrons, "WARMUP", 5)
    return paths_of(tmp_path, WORDS)


def test_a_varied_picture_is_the_same_each_time_and_another_than_as_it_is(paths: screening.Paths) -> None:
    size = frozen_levels.preprocessing_of()
    one, other = (record.path for record in open_data(paths.data).split("fold 1")[:2])
    torch.manual_seed(3)
    before = torch.get_rng_state()
    varied = frozen_levels.as_varied(size, one)
    assert torch.get_rng_state().equal(before)
    assert varied.shape == (SIDE, SIDE, 3) and varied.dtype == np.uint8
    np.testing.assert_array_equal(varied, frozen_levels.as_varied(size, one))
    assert (varied != frozen_levels.as_is(size, one)).any()
    assert (varied != frozen_levels.as_varied(size, other)).any()


def test_features_are_those_that_the_network_describes_a_picture_by(paths: screening.Paths) -> None:
    size, network = frozen_levels.preprocessing_of(), frozen_levels.network_of("none")
    files = [record.path for record in open_data(paths.data).split(ALL)]
    found = frozen_levels.describe(network, files, partial(frozen_levels.as_is, size), 2)
    pixels = np.stack([size.fit_pixels(read_pixels(file)) for file in files])
    with torch.inference_mode():
        expected = network.describe(normalise(to_tensor(pixels), size)).numpy()
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3)
    assert len(np.unique(found, axis=0)) > 1


def test_the_network_answers_as_its_perceptron(paths: screening.Paths) -> None:
    random = np.random.default_rng(0)
    network = frozen_levels.network_of("none")
    width = network.standardise.num_features
    inputs = random.normal(size=(200, width)).astype(np.float32) * 3 + 1
    (fitted,) = frozen_perceptrons.fit(inputs, random.integers(0, 8, 200), [width], seeds=(0,)).members
    network = frozen_levels.in_network(network, fitted)
    with torch.inference_mode():
        read = network.standardise(torch.from_numpy(inputs))
        found = network.classifier(network.perceptron(read)).log_softmax(dim=1)
    torch.testing.assert_close(found, fitted.log_probabilities(inputs), rtol=1e-3, atol=1e-3)
    assert float(found.std(dim=0).max()) > 0.1


def test_rows_are_measured_on_a_fold_and_a_model_is_written(paths: screening.Paths, tmp_path: Path) -> None:
    records = [record for part in open_data(paths.data).splits.values() for record in part]
    width = frozen_levels.network_of("none").standardise.num_features
    random = np.random.default_rng(0)
    features = random.normal(size=(len(records), width))
    features[:, 0] += [4 * (record.target.top == "awe") for record in records]
    keys = np.array([record.key for record in records])
    oasis, emdt = random.normal(size=(2, 6, width))
    file = tmp_path / "features.npz"
    every: dict[str, Any] = {"fi": features, "oasis": oasis, "emdt": emdt}
    every[frozen_levels.VARIED_PART] = features[::-1]
    np.savez(file, keys=keys, widths=np.array([width]), **every)
    frozen_levels.measure(file, paths, 1)
    varied, as_is = screening.read_results(paths.results)
    assert (varied["row"], as_is["row"]) == ("levels", "levels_as_is")
    assert varied["parameters"] == as_is["parameters"] > 512 * width
    # Varied pictures, whose features here are those of others, teach nothing.
    assert as_is["accuracy"] > varied["accuracy"]
    frozen_levels.fit(file, with_fold(open_data(paths.data), 1), str(paths.weights), tmp_path / "model")
    model = saved.load(str(tmp_path / "model"))
    assert (model.card.network, model.card.preprocessing.height) == ("multilevel", SIDE)
    assert model.card.scores["split"] == "val" and model.card.temperature != 1
