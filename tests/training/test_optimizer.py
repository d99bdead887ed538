import math

import pytest
import torch

from affectlens.models import catalog
from affectlens.training.optimizer import make_optimizer, rate_at, set_rate
from affectlens.training.settings import Settings


def test_the_rate_rises_to_its_peak_and_falls_to_nothing() -> None:
    rates = [rate_at(step, 200, 0.1) for step in range(200)]
    assert rates[:20] == sorted(rates[:20]) and rates[19:] == sorted(rates[19:], reverse=True)
    assert max(rates) == 1 and rates[0] > 0 and rates[-1] < 1e-3
    assert rates[110] == pytest.approx(0.5 * (1 + math.cos(math.pi * 90 / 180)))


def test_a_run_of_one_step_has_a_rate() -> None:
    assert rate_at(0, 1, 0.0) == 1


def test_deeper_layers_learn_slower_and_norms_do_not_decay() -> None:
    network = catalog.build("test_vit.r160_in1k", 8)
    settings = Settings(layer_decay=0.5, weight_decay=0.1)
    optimizer = make_optimizer(network, settings)
    group_of = {p: group for group in optimizer.param_groups for p in group["params"]}
    named = dict(network.named_parameters())
    assert set(group_of) == set(named.values())
    scales = {name: group_of[p]["scale"] for name, p in named.items()}
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
