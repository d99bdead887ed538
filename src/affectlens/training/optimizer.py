"""Which weights learn how fast, and when: an optimizer with a share of the rate for each layer."""

import math

import torch
from torch import nn

from affectlens.models.backbones import layer_depths, undecayed
from affectlens.training.settings import Settings


def make_optimizer(network: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """AdamW or SGD with a group for each layer; a group's `scale` is its share of the learning rate.

    The parameter under d layers learns at layer_decay ** d of the rate: what ImageNet taught the first
    layers changes least. What lies above all layers of the backbone learns at `head_lr_scale` of it.
    Biases, norms and tokens have groups of their own, which decay only with `decay_all`.
    """
    depths = layer_depths(network)
    untouched = undecayed(network)
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((depths[name], name in untouched), []).append(parameter)
    layers = [
        {
            "params": parameters,
            "weight_decay": 0.0 if plain and not settings.decay_all else settings.weight_decay,
            "scale": settings.layer_decay**depth if depth else settings.head_lr_scale,
        }
        for (depth, plain), parameters in sorted(groups.items(), key=lambda group: group[0])
    ]
    if settings.optimizer == "sgd":
        # Not fused: that fails on a parameter whose first gradient comes later than its neighbours'.
        return torch.optim.SGD(layers, lr=settings.lr, momentum=settings.momentum)
    return torch.optim.AdamW(layers, lr=settings.lr, betas=(0.9, 0.999), fused=True)


def rate_at(step: int, total_steps: int, epoch: int, settings: Settings) -> float:
    """Share of the peak learning rate at a step (from 0) of an epoch (from 0): warm-up, then the schedule.

    >>> [round(rate_at(step, 100, 0, Settings(warmup=0.1)), 2) for step in (0, 9, 10, 55, 99)]
    [0.1, 1.0, 1.0, 0.5, 0.0]
    >>> halved = Settings(schedule="steps", step_epochs=10, step_factor=0.5, warmup=0)
    >>> [rate_at(epoch, 60, epoch, halved) for epoch in (0, 9, 10, 50)]
    [1.0, 1.0, 0.5, 0.03125]
    """
    rising = max(1, round(settings.warmup * total_steps))
    risen = min(1.0, (step + 1) / rising)
    if settings.schedule == "steps":
        fallen: float = settings.step_factor ** (epoch // settings.step_epochs)
        return risen * fallen  # both, because a long warm-up may reach beyond the first fall
    if step < rising:
        return risen
    falling = max(1, total_steps - rising)
    if settings.schedule == "linear":
        return 1 - (step - rising) / falling
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / falling))


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set every group's learning rate to its scale of `rate`."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]
