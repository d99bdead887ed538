"""Baselines are what they are called, as the network would see them."""

import numpy as np
import pytest
import torch

from affectlens.emotions import MIKELS
from affectlens.errors import SettingsError, UnknownName
from affectlens.explain.core.attribution import ExplainedModel
from affectlens.explain.core.baselines import BASELINES, baselines
from affectlens.preprocess import Preprocessing
from planted import OneSpot

MODEL = ExplainedModel(OneSpot(), MIKELS, Preprocessing(height=28, width=28), 1.0, torch.device("cpu"), "any")
IMAGE = torch.randn(1, 3, 28, 28, generator=torch.Generator().manual_seed(0))


def test_black_is_what_the_network_sees_of_a_black_picture() -> None:
    black = MODEL.to_input(np.zeros((28, 28, 3), dtype=np.uint8))
    torch.testing.assert_close(baselines(MODEL, IMAGE, ["black"]), black)


def test_mean_is_nothing_after_normalising() -> None:
    assert not baselines(MODEL, IMAGE, ["mean"]).any()


def test_a_blurred_picture_keeps_its_colours_and_loses_its_details() -> None:
    blurred = baselines(MODEL, IMAGE + torch.tensor([1.0, 0.0, -1.0]).view(1, 3, 1, 1), ["blurred"])
    expected = IMAGE.mean(dim=(2, 3)) + torch.tensor([1.0, 0.0, -1.0])
    torch.testing.assert_close(blurred.mean(dim=(2, 3)), expected, atol=0.05, rtol=0)
    assert blurred.std(dim=(2, 3)).max() < 0.3 * IMAGE.std()


def test_noise_is_the_same_for_the_same_seed_and_each_sample_another() -> None:
    first, second = baselines(MODEL, IMAGE, ["uniform", "uniform"], seed=1)
    assert not torch.equal(first, second)
    assert torch.equal(baselines(MODEL, IMAGE, ["uniform"], seed=1)[0], first)
    assert not torch.equal(baselines(MODEL, IMAGE, ["uniform"], seed=2)[0], first)
    white = MODEL.to_input(np.full((28, 28, 3), 255, dtype=np.uint8))[0]
    black = MODEL.to_input(np.zeros((28, 28, 3), dtype=np.uint8))[0]
    assert (first >= black).all() and (first <= white).all()


@pytest.mark.parametrize("side", [5, 28, 50])
def test_every_baseline_fits_pictures_of_every_size(side: int) -> None:
    image = torch.rand(1, 3, side, 2 * side)
    assert baselines(MODEL, image, list(BASELINES)).shape == (len(BASELINES), 3, side, 2 * side)


def test_a_misspelt_baseline_or_none_at_all_is_an_error() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'blurred'"):
        baselines(MODEL, IMAGE, ["blured"])
    with pytest.raises(SettingsError, match="At least one"):
        baselines(MODEL, IMAGE, [])
    with pytest.raises(SettingsError, match="several names"):
        baselines(MODEL, IMAGE, "mean")
