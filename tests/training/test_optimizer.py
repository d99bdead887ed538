import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from affectlens.models import catalog
from affectlens.training.loop import Schedule
from affectlens.training.optimizer import make_optimizer, rate_at, set_rate
from affectlens.training.settings import SCHEDULES, Settings


def scale_by_name(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """Each parameter's share of the learning rate."""
    scales = {p: group["scale"] for group in optimizer.param_groups for p in group["params"]}
    return {name: scales[parameter] for name, parameter in network.named_parameters()}


def test_the_rate_rises_to_its_peak_and_falls_to_nothing() -> None:
    rates = [rate_at(step, 200, 0, Settings(warmup=0.1)) for step in range(200)]
    assert rates[:20] == sorted(rates[:20]) and rates[19:] == sorted(rates[19:], reverse=True)
    assert max(rates) == 1 and rates[0] > 0 and rates[-1] < 1e-3
    assert rates[110] == pytest.approx(0.5 * (1 + math.cos(math.pi * 90 / 180)))


def test_a_run_of_one_step_has_a_rate() -> None:
    for schedule in SCHEDULES:
        assert rate_at(0, 1, 0, Settings(warmup=0.0, schedule=schedule)) == 1


def test_a_straight_line_falls_by_the_same_at_every_step_and_ends_just_above_nothing() -> None:
    settings = Settings(warmup=0.1, schedule="linear")
    rates = [rate_at(step, 200, 0, settings) for step in range(200)]
    assert rates[:20] == [rate_at(step, 200, 0, Settings(warmup=0.1)) for step in range(20)]
    falls = [before - after for before, after in pairwise(rates[20:])]
    assert rates[20] == 1 and falls == pytest.approx([1 / 180] * 179)
    assert rates[-1] == pytest.approx(1 / 180)


def rates_by_epoch(settings: Settings, pictures: int) -> list[set[float]]:
    """Every learning rate that each epoch of a run sees."""
    schedule = Schedule(pictures, settings)
    rates: list[set[float]] = [set() for _ in range(int(settings.epochs))]
    for step in range(schedule.total_steps):
        epoch = schedule.epoch_of(step)
        share = rate_at(step, schedule.total_steps, epoch, settings)
        rates[epoch].add(settings.lr * share)
    return rates


@pytest.mark.parametrize("pictures", [64, 103])  # with 103, epochs begin within a batch
def test_a_rate_that_is_halved_every_ten_epochs_is_so_to_the_bit(pictures: int) -> None:
    settings = Settings(
        epochs=60, batch_size=16, lr=1e-4, warmup=0.0,
        schedule="steps", step_epochs=10, step_factor=0.5,
    )  # fmt: skip
    rates = rates_by_epoch(settings, pictures)
    levels = [1e-4, 5e-5, 2.5e-5, 1.25e-5, 6.25e-6, 3.125e-6]
    assert rates == [{levels[epoch // 10]} for epoch in range(60)]


def test_a_tenth_every_ten_epochs_leaves_almost_nothing_at_seventy() -> None:
    settings = Settings(
        epochs=80, batch_size=32, lr=1e-3, warmup=0.0,
        schedule="steps", step_epochs=10, step_factor=0.1,
    )  # fmt: skip
    rates = rates_by_epoch(settings, 100)
    assert all(len(seen) == 1 for seen in rates)
    levels = [10.0 ** -(3 + epoch // 10) for epoch in range(80)]
    assert [seen.pop() for seen in rates] == pytest.approx(levels, rel=1e-12, abs=0)
    assert levels[69:71] == [1e-9, 1e-10]


def test_a_rate_that_falls_in_steps_rises_first_where_a_warm_up_is_asked_for() -> None:
    settings = Settings(warmup=0.5, schedule="steps", step_epochs=1, step_factor=0.5)
    rates = [rate_at(step, 8, step // 2, settings) for step in range(8)]
    assert rates == [0.25, 0.5, 0.375, 0.5, 0.25, 0.25, 0.125, 0.125]


def test_the_backbone_learns_at_the_rate_and_what_is_new_at_a_multiple_of_it() -> None:
    network = catalog.build("test_vit.r160_in1k", 8)
    settings = Settings(layer_decay=1.0, head_lr_scale=10.0)
    scales = scale_by_name(network, make_optimizer(network, settings))
    assert {name for name, scale in scales.items() if scale == 10} == {"head.weight", "head.bias"}
    assert set(scales.values()) == {1, 10}


def test_everything_decays_where_that_is_asked_for() -> None:
    network = catalog.build("test_vit.r160_in1k", 8)
    for optimizer in ("adamw", "sgd"):
        made = make_optimizer(network, Settings(decay_all=True, weight_decay=0.1, optimizer=optimizer))
        assert {group["weight_decay"] for group in made.param_groups} == {0.1}


def test_sgd_steps_as_its_formula_says() -> None:
    layer = nn.Linear(1, 1)  # no backbone: learns at the full rate
    nn.init.ones_(layer.weight)
    settings = Settings(optimizer="sgd", momentum=0.5, lr=0.1, weight_decay=0.2)
    optimizer = make_optimizer(layer, settings)
    weight, direction = 1.0, 0.0
    for _ in range(3):
        layer.weight.grad = torch.full((1, 1), 2.0)
        optimizer.step()
        direction = 0.5 * direction + 2.0 + 0.2 * weight
        weight -= 0.1 * direction
        assert float(layer.weight.detach()) == pytest.approx(weight)


def test_sgd_waits_for_a_weight_whose_first_gradient_comes_later_than_its_neighbour_s() -> None:
    first, second = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    optimizer = make_optimizer(nn.Sequential(first, second), Settings(optimizer="sgd"))
    assert len(optimizer.param_groups) == 1
    before = second.weight.detach().clone()
    first.weight.grad = torch.ones(1, 1)
    optimizer.step()
    assert torch.equal(second.weight, before)
    second.weight.grad = torch.ones(1, 1)
    optimizer.step()
    assert not torch.equal(second.weight, before)


def test_deeper_layers_learn_slower_and_norms_do_not_decay() -> None:
    network = catalog.build("test_vit.r160_in1k", 8)
    settings = Settings(layer_decay=0.5, weight_decay=0.1)
    optimizer = make_optimizer(network, settings)
    group_of = {p: group for group in optimizer.param_groups for p in group["params"]}
    named = dict(network.named_parameters())
    assert set(group_of) == set(named.values())
    scales = scale_by_name(network, optimizer)
    assert scales["head.weight"] == 1
    assert scales["blocks.1.mlp.fc1.weight"] > scales["blocks.0.mlp.fc1.weight"]
    assert scales["blocks.0.mlp.fc1.weight"] > scales["patch_embed.proj.weight"]
    assert group_of[named["head.weight"]]["weight_decay"] == 0.1
    assert group_of[named["head.bias"]]["weight_decay"] == 0
    assert group_of[named["blocks.0.norm1.weight"]]["weight_decay"] == 0
    assert group_of[named["pos_embed"]]["weight_decay"] == 0


def test_setting_the_rate_keeps_the_scales() -> None:
    optimizer = make_optimizer(catalog.build("test_vit.r160_in1k", 8), Settings(layer_decay=0.5))
    set_rate(optimizer, 0.01)
    assert {g["lr"] for g in optimizer.param_groups} == {0.01 * g["scale"] for g in optimizer.param_groups}
    assert torch.tensor([g["lr"] for g in optimizer.param_groups]).max() == pytest.approx(0.01)
