"""Infidelity is 0 for the truth and 1 for its contrary; sensitivity is how much a map moves under noise."""

import math

import pytest
import torch
from torch import Tensor

from affectlens.explain.core.attribution import Attribution, ExplainedModel
from affectlens.explain.core.perturbations import Perturbations
from affectlens.explain.core.question import Question
from affectlens.explain.faithfulness.infidelity import RectangleLosses, sensitivity
from affectlens.explain.methods.gradient import GradientTimesInput
from planted import SIDE, OneSpot, Weighted, model_of, noise, white, why_fear


def test_infidelity_is_nothing_for_the_truth_one_for_its_contrary_and_for_an_empty_map() -> None:
    network = Weighted()
    perturbations = Perturbations(model_of(network), white(), why_fear(), replacement="black")
    truth = network.truth()
    assert RectangleLosses(perturbations).infidelity(truth) == pytest.approx((0, 0), abs=1e-6)
    assert RectangleLosses(perturbations).infidelity(3 * truth).relative == pytest.approx(0, abs=1e-6)
    assert RectangleLosses(perturbations).infidelity(3 * truth).absolute > 0.01
    assert RectangleLosses(perturbations).infidelity(-truth).relative == 1
    assert RectangleLosses(perturbations).infidelity(torch.zeros(SIDE, SIDE)).relative == 1
    halfway = RectangleLosses(perturbations).infidelity(
        truth + 0.02 * torch.randn(SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    )
    assert 0 < halfway.relative < 1


def test_infidelity_is_captums() -> None:
    """Theirs takes what is subtracted from the picture; ours replaces, which subtracts the difference."""
    from captum.metrics import infidelity as theirs

    network, values = Weighted(), noise(3)[0, 0]
    model, image = model_of(network), noise(2)
    perturbations = Perturbations(model, image, why_fear(), replacement="black")
    from affectlens.explain.faithfulness.infidelity import _rectangles

    masks = list(_rectangles(SIDE, SIDE, 64, 0))
    remaining = iter(masks)

    def remove(inputs: Tensor) -> tuple[Tensor, Tensor]:
        mask = torch.stack([next(remaining) for _ in range(len(inputs))])[:, None].expand_as(inputs)
        return mask.clone(), inputs * (1 - mask)

    # A map has one value for the three channels of a pixel.
    per_channel = (values / 3).expand(1, 3, SIDE, SIDE).contiguous()
    expected = theirs(
        perturbations.score, remove, image, per_channel, n_perturb_samples=64, max_examples_per_batch=16
    )
    assert RectangleLosses(perturbations, rectangles=64, seed=0).infidelity(values).absolute == pytest.approx(
        float(expected), rel=1e-4
    )


def test_a_network_that_loses_nothing_has_no_relative_infidelity() -> None:
    perturbations = Perturbations(model_of(OneSpot(strength=0.0)), white(), why_fear(), replacement="black")
    assert math.isnan(RectangleLosses(perturbations).infidelity(white()[0, 0]).relative)


def test_a_method_that_ignores_the_picture_is_not_sensitive_and_one_of_noise_is() -> None:
    model, image = model_of(OneSpot()), noise(0)

    def constant(model: ExplainedModel, image: Tensor, question: Question) -> Attribution:
        return Attribution(torch.ones(SIDE, SIDE))

    def chaotic(model: ExplainedModel, image: Tensor, question: Question) -> Attribution:
        seed = int(image.double().sum() * 1e6) % 2**31
        return Attribution(torch.randn(SIDE, SIDE, generator=torch.Generator().manual_seed(seed)))

    assert sensitivity(constant, model, image, why_fear()) == 0
    assert sensitivity(chaotic, model, image, why_fear()) > 1


def test_sensitivity_of_a_linear_network_is_at_most_the_noise() -> None:
    """Gradient times input moves as the input does, and the spot's levels are around a half."""
    method = GradientTimesInput(baseline="black")
    found = sensitivity(method, model_of(OneSpot()), 0 * noise(0) + 0.5, why_fear(), radius=0.05, tries=4)
    assert 0 < found <= 0.05 / 0.5


def test_a_map_of_zeros_has_no_sensitivity() -> None:
    def nothing(model: ExplainedModel, image: Tensor, question: Question) -> Attribution:
        return Attribution(torch.zeros(SIDE, SIDE))

    assert math.isnan(sensitivity(nothing, model_of(OneSpot()), white(), why_fear()))
