"""CAM divides the answer without loss where the last map is read linearly, and refuses elsewhere."""

from typing import Any

import numpy as np
import pytest

from affectlens.emotions import MIKELS
from affectlens.errors import SettingsError, UnknownName
from affectlens.explain.core.attribution import scores
from affectlens.explain.core.baselines import baselines
from affectlens.explain.core.differentiable import DifferentiableModel
from affectlens.explain.core.question import make_question
from affectlens.explain.methods.cam import Cam
from affectlens.preprocess import Images
from planted import model_of, small_member
from planted_arrays import gaussian, why_fear

SIDE = 160
PAIR = {"transformer": "test_vit", "convolutional": "test_efficientnet"}


def picture() -> Images:
    return gaussian(5, SIDE)  # which moves the answer of each of these networks


def owed(model: DifferentiableModel, image: Images, baseline: str = "mean") -> float:
    both = np.concatenate([image, baselines(model, image, [baseline])])
    of_image, of_baseline = scores(model, both, why_fear()).tolist()
    return float(of_image - of_baseline)


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet"])
@pytest.mark.parametrize("baseline", ["mean", "black", "blurred"])
def test_of_a_convolutional_network_it_adds_up(name: str, baseline: str) -> None:
    model = model_of(small_member(name), SIDE)
    found = Cam(baseline=baseline)(model, picture(), why_fear())
    assert found.sums_up
    assert float(found.values.sum()) == pytest.approx(owed(model, picture(), baseline), abs=2e-4)
    assert abs(owed(model, picture(), baseline)) > 0.01


@pytest.mark.parametrize("mirror", [False, True])
def test_of_a_pair_it_adds_up_with_the_transformers_part_laid_out_by_gradient(mirror: bool) -> None:
    model = model_of(small_member("pair", **PAIR, mirror=mirror), SIDE)
    found = Cam()(model, picture(), why_fear())
    assert found.sums_up
    assert float(found.values.sum()) == pytest.approx(owed(model, picture()), abs=2e-4)
    on_maps, by_gradient = found.details["on_maps"], found.details["by_gradient"]
    assert on_maps + by_gradient == pytest.approx(owed(model, picture()), abs=2e-4)
    assert abs(on_maps) > 1e-3 and abs(by_gradient) > 1e-3


def test_the_two_parts_of_a_pair_are_the_answers_of_its_branches_when_two_emotions_are_compared() -> None:
    network: Any = small_member("pair", **PAIR)
    model, question = model_of(network, SIDE), make_question(MIKELS, "fear", "awe")
    found = Cam()(model, picture(), question)
    logits, without = (network.branches(model.tensor(each)) for each in (picture(), 0 * picture()))
    expected = [
        float(question.score(logits[index]) - question.score(without[index])) / 2
        for index in map(list(network.members).index, ("convolutional", "transformer"))
    ]
    assert [found.details["on_maps"], found.details["by_gradient"]] == pytest.approx(expected, abs=1e-3)


def test_of_mlm_the_gram_branches_are_left_out_and_their_amount_is_reported() -> None:
    network = small_member("mlm_paper", backbone="test_resnet", reduction=2)
    model = model_of(network, SIDE)
    found = Cam()(model, picture(), why_fear())
    assert not found.sums_up
    assert abs(found.details["elsewhere"]) > 0.01
    total = float(found.values.sum()) + found.details["elsewhere"]
    assert total == pytest.approx(owed(model, picture()), abs=2e-4)


@pytest.mark.parametrize(("name", "options"), [("mam_paper", {"backbone": "test_resnet"}), ("test_vit", {})])
def test_another_network_is_refused(name: str, options: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="linearly"):
        Cam()(model_of(small_member(name, **options), SIDE), picture(), why_fear())


def test_a_misspelt_baseline_is_an_error() -> None:
    with pytest.raises(UnknownName, match="baseline"):
        Cam(baseline="gray")
