"""Checks of methods whose right outcome is known."""

import math
from typing import Any, cast

import pytest
import torch

from affectlens.explain.faithfulness.sanity import (
    PatchBox,
    Pointing,
    plant,
    points_at,
    randomised,
    rank_correlation,
)
from affectlens.explain.methods.gradient import GradientTimesInput
from planted import Brightness, OneSpot, model_of, noise, white, why_fear


def test_shuffling_keeps_each_layers_weights_but_not_their_order_nor_the_original() -> None:
    model = model_of(OneSpot())
    weights = model.network.get_parameter("weights")
    before = weights.clone()
    after = randomised(model).network.get_parameter("weights")
    assert torch.equal(before, weights)
    assert not torch.equal(before, after)
    assert torch.equal(before.flatten().sort().values, after.flatten().sort().values)


def test_a_share_shuffles_the_last_layers_only() -> None:
    network = torch.nn.Sequential(*(torch.nn.Linear(5, 5) for _ in range(4)))
    shuffled = randomised(model_of(network), share=0.5).network
    parts: Any = zip(network, cast(Any, shuffled), strict=True)
    kept = [torch.equal(a.weight, b.weight) for a, b in parts]
    assert kept == [True, True, False, False]


def test_the_map_of_a_network_that_unlearnt_everything_is_another() -> None:
    model, method = model_of(OneSpot()), GradientTimesInput(baseline="black")
    learnt = method(model, noise(0), why_fear()).values
    unlearnt = method(randomised(model), noise(0), why_fear()).values
    assert rank_correlation(learnt, learnt) == 1
    assert abs(rank_correlation(learnt, unlearnt)) < 0.1


def test_rank_correlation_is_spearmans_with_ties() -> None:
    stats = pytest.importorskip("scipy.stats")
    generator = torch.Generator().manual_seed(0)
    first = torch.randint(6, (10, 10), generator=generator).float()
    second = first + torch.randint(9, (10, 10), generator=generator)
    expected = stats.spearmanr(first.flatten().numpy(), second.flatten().numpy()).statistic
    assert rank_correlation(first, second) == pytest.approx(expected, rel=1e-6)
    assert rank_correlation(first, -first) == -1
    assert math.isnan(rank_correlation(first, torch.ones(10, 10)))


def test_a_planted_patch_is_where_it_moves_the_answer_most_and_alone_is_the_cause() -> None:
    model = model_of(Brightness())
    image = torch.full((1, 3, 28, 28), 0.4)
    image[:, :, :10, 18:] = 0.9  # here a bright patch adds little
    planted = plant(model, image, 0 * white() + torch.tensor([0.1, 0.9]).view(2, 1, 1, 1), size=0.3)
    assert planted is not None
    assert (planted.question.favour, planted.question.against) == (("awe",), ("fear",))
    assert planted.box.top >= 10 or planted.box.right <= 18  # where it is dark
    assert planted.moved > 0
    restored = planted.image.clone()
    top, left, bottom, right = planted.box
    restored[:, :, top:bottom, left:right] = image[:, :, top:bottom, left:right]
    assert torch.equal(restored, image)


def test_a_donor_of_the_same_emotion_is_not_planted() -> None:
    dark = torch.full((1, 3, 28, 28), 0.2)
    assert plant(model_of(Brightness()), dark, dark) is None


def test_a_map_points_at_a_box_by_its_highest_cell_and_its_mass() -> None:
    values = torch.full((28, 28), -1.0)
    values[8:12, 16:20], values[0:4, 0:4] = 3.0, 1.0
    box = PatchBox(8, 16, 12, 20)
    assert points_at(values, box, cells=7) == Pointing(hit=True, mass=0.75)
    assert points_at(-values, box, cells=7).hit is False
    assert points_at(torch.full((28, 28), -1.0), PatchBox(20, 20, 28, 28)).mass == 0
