"""Which weights learn how fast: an optimizer with a scale of the learning rate for each layer."""

import torch
from torch import nn

from affectlens.models.backbones import layer_depths, undecayed
from affectlens.training.settings import Settings


def make_optimizer(network: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """AdamW or SGD with a group for each layer; a group's `scale` multiplies the learning rate.

    A parameter under d layers learns at layer_decay ** d of the learning rate: what ImageNet taught the first
    layers changes least. What lies above all layers of the backbone learns at `head_lr_scale` times it.
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


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set every group's learning rate to its scale of `lr`."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["scale"]
