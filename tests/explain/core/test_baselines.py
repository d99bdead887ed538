"""Baselines are what they are called, as the network would see them."""

import numpy as np
import pytest

from affectlens.errors import SettingsError, UnknownName
from affectlens.explain.core.baselines import BASELINES, BLUR, baselines
from affectlens.images import Pixels
from affectlens.preprocess import Images, Preprocessing
from planted_arrays import fearing, gaussian

MODEL = fearing(lambda images: images.mean(axis=(1, 2, 3)), Preprocessing(height=28, width=28))
IMAGE = gaussian(0, 28)


def flat(level: int) -> Images:
    """A picture of one level as the network sees it."""
    pixels: Pixels = np.full((1, 28, 28, 3), level, dtype=np.uint8)
    return MODEL.preprocessing.normalise(pixels)


def test_black_is_what_the_network_sees_of_a_black_picture() -> None:
    np.testing.assert_allclose(baselines(MODEL, IMAGE, ["black"]), flat(0), rtol=1.3e-6)


def test_mean_is_nothing_after_normalising() -> None:
    assert not baselines(MODEL, IMAGE, ["mean"]).any()


def test_a_blurred_picture_keeps_its_colours_and_loses_its_details() -> None:
    colour = np.array([1.0, 0.0, -1.0], np.float32)
    blurred = baselines(MODEL, IMAGE + colour.reshape(1, 3, 1, 1), ["blurred"])
    np.testing.assert_allclose(blurred.mean(axis=(2, 3)), IMAGE.mean(axis=(2, 3)) + colour, atol=0.05, rtol=0)
    assert blurred.std(axis=(2, 3)).max() < 0.3 * IMAGE.std()


@pytest.mark.needs("torch")
@pytest.mark.parametrize(("height", "width"), [(224, 224), (160, 97), (28, 28), (28, 90), (7, 30), (3, 3)])
def test_the_blur_is_torchvisions(height: int, width: int) -> None:
    import torch
    from torchvision.transforms.v2.functional import gaussian_blur

    image = np.random.default_rng(0).standard_normal((1, 3, height, width), dtype=np.float32)
    sigma = BLUR * min(height, width)
    side = 2 * min(round(3 * sigma), min(height, width) - 1) + 1
    expected = gaussian_blur(torch.from_numpy(image), [side, side], [sigma, sigma])
    np.testing.assert_allclose(baselines(MODEL, image, ["blurred"]), expected.numpy(), atol=1e-5)


def test_noise_is_the_same_for_the_same_seed_and_each_sample_another() -> None:
    first, second = baselines(MODEL, IMAGE, ["uniform", "uniform"], seed=1)
    assert not np.array_equal(first, second)
    assert np.array_equal(baselines(MODEL, IMAGE, ["uniform"], seed=1)[0], first)
    assert not np.array_equal(baselines(MODEL, IMAGE, ["uniform"], seed=2)[0], first)
    assert (first >= flat(0)[0]).all() and (first <= flat(255)[0]).all()


@pytest.mark.parametrize("side", [5, 28, 50])
def test_every_baseline_fits_pictures_of_every_size(side: int) -> None:
    image = np.random.default_rng(0).random((1, 3, side, 2 * side), dtype=np.float32)
    made = baselines(MODEL, image, list(BASELINES))
    assert made.shape == (len(BASELINES), 3, side, 2 * side)
    assert made.dtype == np.float32


def test_a_misspelt_baseline_or_none_at_all_is_an_error() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'blurred'"):
        baselines(MODEL, IMAGE, ["blured"])
    with pytest.raises(SettingsError, match="At least one"):
        baselines(MODEL, IMAGE, [])
    with pytest.raises(SettingsError, match="several names"):
        baselines(MODEL, IMAGE, "mean")
