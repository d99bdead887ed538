"""What a network answers for a picture with parts replaced."""

import numpy as np
import pytest

from affectlens.errors import SettingsError, UnknownName
from affectlens.explain.core.perturbations import Perturbations
from planted_arrays import noise, one_spot, white, why_fear


def test_keeping_all_gives_the_picture_and_keeping_nothing_its_replacement() -> None:
    image = noise(0)
    perturbations = Perturbations(one_spot(), image, why_fear(), replacement="blurred")
    everything = np.ones((1, 28, 28), np.float32)
    np.testing.assert_allclose(perturbations.mix(everything), image, rtol=1.3e-6, atol=1e-6)
    np.testing.assert_array_equal(perturbations.mix(0 * everything), perturbations.blank)
    whole, blank = perturbations.endpoints()
    assert perturbations(np.concatenate([everything, 0 * everything])).tolist() == pytest.approx(
        [whole, blank]
    )


def test_a_mask_keeps_its_share_of_each_pixel_in_all_channels() -> None:
    kept = np.zeros((2, 28, 28), np.float32)
    kept[1, 3, 5] = 0.25
    mixed = Perturbations(one_spot(), white(), why_fear(), replacement="black").mix(kept)
    assert mixed.shape == (2, 3, 28, 28) and mixed.dtype == np.float32
    assert mixed[1, :, 3, 5].tolist() == [0.25, 0.25, 0.25]
    assert np.count_nonzero(mixed) == 3


def test_answers_do_not_depend_on_the_batch_size() -> None:
    kept = (np.random.default_rng(0).random((7, 28, 28)) < 0.5).astype(np.float32)
    model, image = one_spot(), noise(1)
    alone = Perturbations(model, image, why_fear(), replacement="black", batch_size=1)(kept)
    together = Perturbations(model, image, why_fear(), replacement="black", batch_size=5)(kept)
    np.testing.assert_allclose(alone, together, rtol=1e-6)
    assert len(set(alone.tolist())) == 7


def test_an_unknown_replacement_and_an_empty_batch_are_errors() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'blurred'"):
        Perturbations(one_spot(), white(), why_fear(), replacement="blured")
    with pytest.raises(SettingsError, match="batch_size is 0"):
        Perturbations(one_spot(), white(), why_fear(), batch_size=0)
