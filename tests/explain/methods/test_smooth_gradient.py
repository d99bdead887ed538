"""SmoothGrad averages what it names, over noise that is the same for the same seed."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from affectlens.errors import SettingsError, UnknownName
from affectlens.explain.core.attribution import Method
from affectlens.explain.methods.gradient import Gradient, GradientTimesInput
from affectlens.explain.methods.integrated_gradients import IntegratedGradients
from affectlens.explain.methods.smooth_gradient import AVERAGED, SmoothGradient
from planted import OneSpot, model_of, small_network
from planted_arrays import noise, why_fear

PLAIN: dict[str, Method] = {
    "gradient": Gradient(),
    "gradient_times_input": GradientTimesInput(),
    "integrated_gradients": IntegratedGradients(min_steps=9, max_steps=9),
}


@pytest.mark.parametrize("of", AVERAGED)
def test_without_noise_it_is_what_is_averaged(of: str) -> None:
    model, image = model_of(small_network()), noise(0)
    smooth = SmoothGradient(of=of, samples=3, noise=0)(model, image, why_fear())
    plain = PLAIN[of](model, image, why_fear())
    np.testing.assert_allclose(smooth.values, plain.values, rtol=1.3e-6, atol=1e-5)
    assert float(smooth.values.std()) > 0
    assert smooth.details["halves_agree"] == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("of", AVERAGED)
def test_the_same_seed_gives_the_same_map_and_another_another(of: str) -> None:
    model, image = model_of(small_network()), noise(0)
    first, again, other = (
        SmoothGradient(of=of, samples=2, seed=seed)(model, image, why_fear()).values for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)


def test_noise_is_a_share_of_the_range_of_levels() -> None:
    image = torch.from_numpy(noise(0)) * 4 - 1  # a range of 4
    copies = SmoothGradient(samples=50, noise=0.1).copies(image)
    assert float((copies - image).std()) == pytest.approx(0.4, rel=0.05)
    assert float((copies - image).mean()) == pytest.approx(0, abs=0.01)


def test_more_copies_agree_better() -> None:
    model, image = model_of(small_network()), noise(0)
    few, many = (
        SmoothGradient(samples=count, noise=0.3)(model, image, why_fear()).details["halves_agree"]
        for count in (4, 128)
    )
    assert many > few
    assert SmoothGradient(samples=1)(model, image, why_fear()).details["halves_agree"] is None


def test_a_linear_answer_has_the_same_gradient_under_any_noise() -> None:
    smooth = SmoothGradient(samples=4, noise=1.0)(model_of(OneSpot()), noise(0), why_fear())
    plain = Gradient()(model_of(OneSpot()), noise(0), why_fear())
    np.testing.assert_allclose(smooth.values, plain.values, rtol=1e-5)


def test_impossible_settings_are_errors() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'gradient'"):
        SmoothGradient(of="gradiant")
    impossible: list[dict[str, Any]] = [{"samples": 0}, {"noise": -0.1}, {"noise": math.nan}, {"steps": 1}]
    for options in impossible:
        with pytest.raises(SettingsError, match="SmoothGrad needs"):
            SmoothGradient(**options)
