"""Networks in torch whose right explanation is known; those of `planted_arrays` need no torch."""

from typing import Any

import torch
from torch import Tensor, nn

from affectlens.emotions import MIKELS
from affectlens.explain.core.differentiable import DifferentiableModel
from affectlens.models import catalog
from planted_arrays import AWE, FEAR, SIDE, levels, spot_weights


class OneSpot(nn.Module):
    """`planted_arrays.one_spot` as a network: (B, 3, h, w) -> (B, 8)."""

    def __init__(self, top: int = 8, left: int = 16, side: int = 4, strength: float = 5.0) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.from_numpy(spot_weights(top, left, side, strength)))

    def forward(self, images: Tensor) -> Tensor:
        logits = torch.zeros(len(images), len(MIKELS), device=images.device)
        logits[:, FEAR] = (images * self.weights).sum(dim=(1, 2, 3))
        return logits


class Brightness(nn.Module):
    """`planted_arrays.brightness` as a network: (B, 3, h, w) -> (B, 8)."""

    def forward(self, images: Tensor) -> Tensor:
        brightness = images.mean(dim=(1, 2, 3))
        logits = torch.zeros(len(images), len(MIKELS), device=images.device)
        logits[:, FEAR], logits[:, AWE] = -10 * (brightness - 0.5), 10 * (brightness - 0.5)
        return logits


def model_of(network: nn.Module, side: int = SIDE) -> DifferentiableModel:
    """Wrap a network that takes levels in 0..1 as they are, so that black is 0."""
    network.eval().requires_grad_(False)
    return DifferentiableModel(network, MIKELS, levels(side), 1.0, torch.device("cpu"), "planted")


def small_network() -> nn.Module:
    """An untrained network for images of SIDE x SIDE, curved and bent, whose answers differ."""
    torch.manual_seed(0)
    last = nn.Linear(800, 8)
    nn.init.normal_(last.weight, std=1.0)
    return nn.Sequential(nn.Conv2d(3, 8, 5, 2), nn.GELU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(), last)


def small_member(name: str, **options: Any) -> nn.Module:
    """Build an untrained network of the catalogue whose answers differ from picture to picture."""
    torch.manual_seed(0)
    network = catalog.build(name, len(MIKELS), **options)
    for parameter in network.parameters():  # beyond the classifier's almost zero beginning
        if parameter.ndim == 2 and parameter.shape[0] == len(MIKELS):
            nn.init.normal_(parameter, std=1.0)
    return network
