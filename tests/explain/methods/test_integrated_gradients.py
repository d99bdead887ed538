"""Integrated gradients add up, and report by how much they do not."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from affectlens.data import fi
from affectlens.errors import SettingsError, UnknownName
from affectlens.explain.core.differentiable import DifferentiableModel
from affectlens.explain.core.question import make_question
from affectlens.explain.methods.integrated_gradients import IntegratedGradients
from affectlens.images import Pixels, read_pixels
from affectlens.models import saved
from planted import OneSpot, model_of, small_network
from planted_arrays import FEAR, SIDE, noise, white, why_fear


class Along(nn.Module):
    """Fear is a function of the mean level: (B, 3, h, w) -> (B, 8)."""

    def __init__(self, function: str) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: Tensor) -> Tensor:
        level = images.mean(dim=(1, 2, 3))
        logits = torch.zeros(len(images), 8)
        if self.function == "late":
            logits[:, FEAR] = 100 * (level - 0.913).relu()
        if self.function == "waves":
            logits[:, FEAR] = 5 * level + (8 * math.pi * level).cos()
        return logits


def test_of_a_linear_answer_each_pixel_gets_its_weight_times_its_difference() -> None:
    image = noise(0)
    found = IntegratedGradients(baselines=("black",))(model_of(OneSpot(strength=6.0)), image, why_fear())
    expected = np.zeros((SIDE, SIDE))
    expected[8:12, 16:20] = 6 / (3 * 16) * image[0, :, 8:12, 16:20].sum(axis=0)
    np.testing.assert_allclose(found.values, expected, rtol=1.3e-6, atol=1e-5)
    assert found.sums_up
    assert found.details["steps"] == 9
    assert found.details["completeness_error_relative"] < 1e-5


def test_it_is_what_captum_finds_with_many_steps() -> None:
    captum = pytest.importorskip("captum.attr")
    model, image, question = model_of(small_network()), noise(0), why_fear()
    ours = IntegratedGradients(tolerance=1e-4, absolute_tolerance=0)(model, image, question)
    theirs = captum.IntegratedGradients(lambda images: model.score(images, question)).attribute(
        model.tensor(image), 0, n_steps=300, method="riemann_trapezoid"
    )
    expected = theirs.sum(dim=1)[0].numpy()
    assert np.linalg.norm(ours.values - expected) / np.linalg.norm(expected) < 0.02


def test_steps_are_put_where_the_answer_bends() -> None:
    found = IntegratedGradients(baselines=("black",))(model_of(Along("late")), white(), why_fear())
    assert found.sums_up
    assert float(found.values.sum()) == pytest.approx(8.7, rel=0.01)
    # Equal steps of one in 64 would leave an error of up to 9 %.
    assert found.details["steps"] < 40


def test_errors_that_only_cancel_are_not_taken_for_exactness() -> None:
    # At nine equal steps all gradients are those of a straight line, and so is the sum: the error is 0.
    model = model_of(Along("waves"))
    found = IntegratedGradients(baselines=("black",))(model, white(), why_fear())
    assert found.sums_up and found.details["steps"] > 30
    assert found.details["completeness_error_of_pieces"] <= min(0.5, 0.03 * found.details["variation"])
    lucky = IntegratedGradients(baselines=("black",), max_steps=9)(model, white(), why_fear())
    assert abs(lucky.details["completeness_error"]) < 1e-3
    assert lucky.details["completeness_error_of_pieces"] == pytest.approx(16, rel=1e-3)
    assert not lucky.sums_up


def test_when_steps_run_out_the_error_is_reported_and_nothing_is_claimed() -> None:
    options = IntegratedGradients(baselines=("black",), min_steps=2, max_steps=3)
    found = options(model_of(Along("late")), white(), why_fear())
    assert found.details["steps"] == 3
    assert not found.sums_up
    assert found.details["completeness_error"] == pytest.approx(float(found.values.sum()) - 8.7, rel=1e-3)
    assert found.details["completeness_error_relative"] > 0.5


def test_a_picture_that_is_its_own_baseline_owes_nothing_to_any_pixel() -> None:
    found = IntegratedGradients()(model_of(small_network()), 0 * white(), why_fear())
    assert not found.values.any()
    assert found.sums_up
    assert found.details["completeness_error_relative"] is None


def test_several_baselines_are_averaged_and_so_is_what_the_sum_should_be() -> None:
    model, image = model_of(small_network()), noise(0)
    both = IntegratedGradients(baselines=("mean", "blurred"))(model, image, why_fear())
    each = [IntegratedGradients(baselines=(name,))(model, image, why_fear()) for name in ("mean", "blurred")]
    expected = (each[0].values + each[1].values) / 2
    np.testing.assert_allclose(both.values, expected, rtol=1.3e-6, atol=1e-5)
    assert both.details["difference"] == pytest.approx(sum(a.details["difference"] for a in each) / 2)
    assert both.details["steps"] == sum(a.details["steps"] for a in each)


def test_several_noises_are_several_baselines() -> None:
    one, two = (
        IntegratedGradients(baselines=("uniform",) * count)(model_of(small_network()), noise(0), why_fear())
        for count in (1, 2)
    )
    assert not np.allclose(one.values, two.values)
    again = IntegratedGradients(baselines=("uniform", "uniform"))(
        model_of(small_network()), noise(0), why_fear()
    )
    assert np.array_equal(two.values, again.values)


def test_a_small_memory_changes_how_many_run_together_and_not_the_map() -> None:
    model, image = model_of(small_network()), noise(0)
    ample, tight = (
        IntegratedGradients(memory=mib, min_steps=33, max_steps=33)(model, image, why_fear())
        for mib in (1024, 1)
    )
    assert ample.details["together"] > tight.details["together"]
    np.testing.assert_allclose(ample.values, tight.values, rtol=1e-4, atol=1e-6)


def test_the_error_of_bfloat16_is_measured_against_answers_in_float32() -> None:
    model, image = model_of(small_network()), noise(0)
    exact = IntegratedGradients(min_steps=65, max_steps=65)(model, image, why_fear())
    rough = IntegratedGradients(min_steps=65, max_steps=65, precision="bfloat16")(model, image, why_fear())
    assert rough.details["difference"] == pytest.approx(exact.details["difference"], abs=1e-5)
    assert rough.details["precision"] == "bfloat16"
    expected = float(rough.values.sum(dtype=np.float64)) - exact.details["difference"]
    assert rough.details["completeness_error"] == pytest.approx(expected, abs=1e-5)
    pieces = "completeness_error_of_pieces"  # which do not cancel
    assert rough.details[pieces] > 1.1 * exact.details[pieces]


def test_impossible_settings_are_errors() -> None:
    with pytest.raises(UnknownName, match="baseline"):
        IntegratedGradients(baselines=("white",))
    with pytest.raises(SettingsError, match="at least 2"):
        IntegratedGradients(min_steps=1)
    with pytest.raises(SettingsError, match="at most"):
        IntegratedGradients(min_steps=100, max_steps=50)
    with pytest.raises(SettingsError, match="Tolerances"):
        IntegratedGradients(tolerance=-1)


@pytest.mark.slow
def test_the_default_model_is_explained_to_within_one_in_a_hundred() -> None:
    model = DifferentiableModel.of(saved.load(), "cpu")
    ramp = np.linspace(0, 255, 224).astype(np.uint8)
    pixels: Pixels = np.tile(ramp[None, :, None], (224, 1, 3))
    pixels[60:120, 90:150] = (200, 30, 20)
    image = model.preprocessing.normalise(pixels[None])
    found = IntegratedGradients()(model, image, make_question(model.vocabulary, "fear"))
    assert found.sums_up
    assert found.details["completeness_error_relative"] < 0.01


@pytest.mark.slow
def test_twenty_real_pictures_are_explained_to_within_one_in_a_hundred(shared: Path) -> None:
    model = DifferentiableModel.of(saved.load(), "cpu")
    fit = model.preprocessing
    records = fi.read(shared / "data" / "fi").splits["val"]
    for record in records[:: len(records) // 20][:20]:
        image = fit.normalise(fit.fit_pixels(read_pixels(record.path, at_least=fit.at_least))[None])
        emotion = model.vocabulary.words[int(model.predict_images(image).argmax())]
        found = IntegratedGradients()(model, image, make_question(model.vocabulary, emotion))
        assert found.sums_up, record.key
        relative = found.details["completeness_error_relative"]
        assert relative is None or relative < 0.01 or abs(found.details["difference"]) < 0.1, record.key
