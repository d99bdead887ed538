"""A network whose weights are shuffled: what is kept, and that its map is another."""

from typing import Any, cast

import torch

from affectlens.explain.faithfulness.randomised import randomised
from affectlens.explain.faithfulness.sanity import rank_correlation
from affectlens.explain.methods.gradient import GradientTimesInput
from planted import OneSpot, model_of
from planted_arrays import noise, why_fear


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
