"""Gradients: right where the answer is linear, in groups of any size, in two formats."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from affectlens.errors import SettingsError, UnknownName
from affectlens.explain.methods.gradient import Gradient, GradientTimesInput, InputGradients
from planted import OneSpot, model_of
from planted_arrays import FEAR, SIDE, noise, why_fear


class Curved(nn.Module):
    """Fear is the mean square of all levels times 100: (B, 3, h, w) -> (B, 8)."""

    def forward(self, images: Tensor) -> Tensor:
        logits = torch.zeros(len(images), 8)
        logits[:, FEAR] = 100 * images.square().mean(dim=(1, 2, 3))
        return logits


def test_the_gradient_is_the_weight_of_each_pixel() -> None:
    found = Gradient()(model_of(OneSpot(top=0, left=0, side=4, strength=6.0)), noise(0), why_fear())
    expected = np.zeros((SIDE, SIDE))
    expected[:4, :4] = 6 / (3 * 16)
    np.testing.assert_allclose(found.values, expected, rtol=1e-5)
    assert not found.sums_up


def test_a_gradient_of_either_sign_counts_alike() -> None:
    against = Gradient()(model_of(OneSpot(strength=-6.0)), noise(0), why_fear())
    both = Gradient()(model_of(OneSpot(strength=6.0)), noise(0), why_fear())
    np.testing.assert_allclose(against.values, both.values, rtol=1e-5)
    assert float(both.values.max()) > 0


def test_times_the_input_it_adds_up_where_the_answer_is_linear() -> None:
    image = noise(1)
    found = GradientTimesInput(baseline="black")(model_of(OneSpot(strength=6.0)), image, why_fear())
    assert float(found.values.sum()) == pytest.approx(6 * float(image[..., 8:12, 16:20].mean()), rel=1e-4)
    assert found.details["completeness_error"] == pytest.approx(0, abs=1e-5)


def test_where_the_answer_is_curved_the_error_of_the_sum_is_reported() -> None:
    image = noise(1)
    found = GradientTimesInput(baseline="black")(model_of(Curved()), image, why_fear())
    square = 100 * float((image**2).mean())  # of which the gradient times the input makes twice as much
    assert found.details["completeness_error"] == pytest.approx(square, rel=1e-4)


def test_groups_of_any_size_give_the_same_gradients() -> None:
    model = model_of(Curved())
    images = model.tensor(noise(0, 5))
    differentiate = InputGradients(model, images[:1], why_fear())
    scores, gradients = differentiate(images)
    torch.testing.assert_close(gradients, 200 * images / (3 * SIDE**2), rtol=1e-4, atol=1e-6)
    differentiate.batch_size = 2
    torch.testing.assert_close(differentiate(images), (scores, gradients))


def test_less_memory_means_fewer_pictures_at_once_and_never_none() -> None:
    model = model_of(nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64 * 26**2, 8)))
    image = model.tensor(noise(0))
    ample, tight, none = (
        InputGradients(model, image, why_fear(), memory=mib).batch_size for mib in (1024, 2, 1)
    )
    # Of each picture little is kept but the convolution's output, 64 x 26 x 26 floats of 4 bytes.
    assert 1 <= none <= tight <= 2 * 2**20 // (64 * 26**2 * 4)
    assert tight >= 6
    assert ample > tight


def test_bfloat16_is_close_and_is_not_float32() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 5), nn.GELU(), nn.Flatten(), nn.Linear(8 * 24**2, 8))
    exact = GradientTimesInput()(model_of(network), noise(0), why_fear()).values
    rough = GradientTimesInput(precision="bfloat16")(model_of(network), noise(0), why_fear()).values
    assert not np.array_equal(exact, rough)
    assert np.linalg.norm(exact - rough) / np.linalg.norm(exact) < 0.05


def test_impossible_settings_are_errors() -> None:
    with pytest.raises(UnknownName, match="baseline"):
        GradientTimesInput(baseline="grey")
    model = model_of(OneSpot())
    with pytest.raises(SettingsError, match="memory"):
        InputGradients(model, model.tensor(noise(0)), why_fear(), memory=0)
    with pytest.raises(SettingsError, match="precision"):
        Gradient(precision="float8")(model, noise(0), why_fear())
