"""Infidelity is 0 for the truth and 1 for its contrary; sensitivity is how much a map moves under noise."""

import math
from typing import Any

import numpy as np
import pytest

from affectlens.explain.core.attribution import Attribution, ExplainedModel
from affectlens.explain.core.perturbations import Perturbations
from affectlens.explain.core.question import Question
from affectlens.explain.faithfulness.infidelity import RectangleLosses, _rectangles, sensitivity
from affectlens.preprocess import Images, Preprocessing
from planted_arrays import (
    SIDE,
    coarse_weights,
    fearing,
    noise,
    one_spot,
    spot_weights,
    summing,
    white,
    why_fear,
)


def test_infidelity_is_nothing_for_the_truth_one_for_its_contrary_and_for_an_empty_map() -> None:
    perturbations = Perturbations(summing(coarse_weights()), white(), why_fear(), replacement="black")
    truth = 3 * coarse_weights()  # of three channels
    assert RectangleLosses(perturbations).infidelity(truth) == pytest.approx((0, 0), abs=1e-6)
    assert RectangleLosses(perturbations).infidelity(3 * truth).relative == pytest.approx(0, abs=1e-6)
    assert RectangleLosses(perturbations).infidelity(3 * truth).absolute > 0.01
    assert RectangleLosses(perturbations).infidelity(-truth).relative == 1
    assert RectangleLosses(perturbations).infidelity(0 * truth).relative == 1
    noisy = truth + 0.02 * np.random.default_rng(0).standard_normal((SIDE, SIDE), dtype=np.float32)
    assert 0 < RectangleLosses(perturbations).infidelity(noisy).relative < 1


@pytest.mark.needs("torch")
def test_infidelity_is_captums() -> None:
    """Theirs takes what is subtracted from the picture; ours replaces, which subtracts the difference."""
    import torch
    from captum.metrics import infidelity as theirs

    values, image = noise(3)[0, 0], noise(2)
    perturbations = Perturbations(summing(coarse_weights()), image, why_fear(), replacement="black")
    remaining = map(torch.from_numpy, _rectangles(SIDE, SIDE, 64, 0))

    def remove(inputs: Any) -> tuple[Any, Any]:
        mask = torch.stack([next(remaining) for _ in range(len(inputs))])[:, None].expand_as(inputs)
        return mask.clone(), inputs * (1 - mask)

    # A map has one value for the three channels of a pixel.
    per_channel = (torch.from_numpy(values) / 3).expand(1, 3, SIDE, SIDE).contiguous()
    expected = theirs(
        lambda images: torch.from_numpy(perturbations.score(images.numpy())), remove,
        torch.from_numpy(image), per_channel, n_perturb_samples=64, max_examples_per_batch=16,
    )  # fmt: skip
    assert RectangleLosses(perturbations, rectangles=64, seed=0).infidelity(values).absolute == pytest.approx(
        float(expected), rel=1e-4
    )


def test_a_network_that_loses_nothing_has_no_relative_infidelity() -> None:
    perturbations = Perturbations(one_spot(strength=0.0), white(), why_fear(), replacement="black")
    assert math.isnan(RectangleLosses(perturbations).infidelity(white()[0, 0]).relative)


def test_a_method_that_ignores_the_picture_is_not_sensitive_and_one_of_noise_is() -> None:
    model, image = one_spot(), noise(0)

    def constant(model: ExplainedModel, image: Images, question: Question) -> Attribution:
        return Attribution(np.ones((SIDE, SIDE), np.float32))

    def chaotic(model: ExplainedModel, image: Images, question: Question) -> Attribution:
        seed = int(image.sum(dtype=np.float64) * 1e6) % 2**31
        return Attribution(np.random.default_rng(seed).standard_normal((SIDE, SIDE), dtype=np.float32))

    assert sensitivity(constant, model, image, why_fear()) == 0
    assert sensitivity(chaotic, model, image, why_fear()) > 1


def test_sensitivity_of_a_map_that_moves_as_the_input_does_is_at_most_the_noise() -> None:
    """What a linear network owes its input, where the spot's levels are around a half."""

    def owed(model: ExplainedModel, image: Images, question: Question) -> Attribution:
        return Attribution((image[0] * spot_weights()).sum(axis=0))

    found = sensitivity(owed, one_spot(), 0.5 * white(), why_fear(), radius=0.05, tries=4)
    assert 0 < found <= 0.05 / 0.5


def test_noise_is_of_levels_and_of_the_number_of_tries() -> None:
    """A picture's levels are divided by the standard deviation that its network expects; so is the noise."""
    seen: list[Images] = []

    def watching(model: ExplainedModel, image: Images, question: Question) -> Attribution:
        seen.append(image)
        return Attribution(np.ones((SIDE, SIDE), np.float32))

    std = (0.2, 0.4, 0.5)
    model = fearing(
        lambda images: images.mean(axis=(1, 2, 3)), Preprocessing(height=SIDE, width=SIDE, std=std)
    )
    sensitivity(watching, model, noise(0), why_fear(), radius=0.1, tries=3)
    first, *others = seen
    assert len(others) == 3 and np.array_equal(first, noise(0))
    for image in others:
        assert image.dtype == np.float32
        changes = np.abs(image - first).max(axis=(0, 2, 3)) * std
        assert changes == pytest.approx([0.1, 0.1, 0.1], rel=0.02)


def test_a_map_of_zeros_has_no_sensitivity() -> None:
    def nothing(model: ExplainedModel, image: Images, question: Question) -> Attribution:
        return Attribution(np.zeros((SIDE, SIDE), np.float32))

    assert math.isnan(sensitivity(nothing, one_spot(), white(), why_fear()))
