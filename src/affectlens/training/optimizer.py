"""Which weights learn how fast: layer-wise decay of the rate, no weight decay on norms and biases."""

import math

import torch
from torch import nn

from affectlens.models.backbones import layer_depths, undecayed
from affectlens.training.settings import Settings


def make_optimizer(network: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """AdamW with a group for each layer; a group's `scale` is its share of the learning rate.

    The parameter under d layers learns at layer_decay ** d of the rate: what ImageNet taught the first
    layers changes least.
    """
    depths = layer_depths(network)
    untouched = undecayed(network)
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((depths[name], name in untouched), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "weight_decay": 0.0 if plain else settings.weight_decay,
                "scale": settings.layer_decay**depth,
            }
            for (depth, plain), parameters in sorted(groups.items(), key=lambda group: group[0])
        ],
        lr=settings.learning_rate,
        betas=(0.9, 0.999),
        fused=True,
    )


def rate_at(step: int, total_steps: int, warmup: float) -> float:
    """Share of the peak learning rate at a step: linear warm-up, then half a cosine down to 0.

    >>> [round(rate_at(step, 100, 0.1), 2) for step in (0, 9, 10, 55, 99)]
    [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    rising = max(1, round(warmup * total_steps))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, total_steps - rising)))


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set every group's learning rate to its scale of `rate`."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]
