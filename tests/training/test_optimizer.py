"""Which weights learn how fast, and which decay."""

import pytest
import torch
from torch import nn

from affectlens.models import catalog
from affectlens.training.optimizer import make_optimizer, set_lr
from affectlens.training.settings import Settings


def scale_by_name(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """Each parameter's scale of the learning rate."""
    scales = {p: group["scale"] for group in optimizer.param_groups for p in group["params"]}
    return {name: scales[parameter] for name, parameter in network.named_parameters()}


def test_the_backbone_learns_at_the_learning_rate_and_the_head_at_a_multiple_of_it() -> None:
    network = catalog.build("test_vit.r160_in1k", 8)
    settings = Settings(layer_decay=1.0, head_lr_scale=10.0)
    scales = scale_by_name(network, make_optimizer(network, settings))
    assert {name for name, scale in scales.items() if scale == 10} == {"head.weight", "head.bias"}
    assert set(scales.values()) == {1, 10}


def test_everything_decays_where_that_is_set() -> None:
    network = catalog.build("test_vit.r160_in1k", 8)
    for optimizer in ("adamw", "sgd"):
        made = make_optimizer(network, Settings(decay_all=True, weight_decay=0.1, optimizer=optimizer))
        assert {group["weight_decay"] for group in made.param_groups} == {0.1}


def test_sgd_steps_by_its_formula() -> None:
    layer = nn.Linear(1, 1)  # no backbone: learns at the full learning rate
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


def test_setting_the_learning_rate_keeps_the_scales() -> None:
    optimizer = make_optimizer(catalog.build("test_vit.r160_in1k", 8), Settings(layer_decay=0.5))
    set_lr(optimizer, 0.01)
    assert {g["lr"] for g in optimizer.param_groups} == {0.01 * g["scale"] for g in optimizer.param_groups}
    assert torch.tensor([g["lr"] for g in optimizer.param_groups]).max() == pytest.approx(0.01)
