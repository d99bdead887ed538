"""Networks whose right explanation is known, for tests of explanations."""

from typing import Any

import torch
from torch import Tensor, nn

from affectlens.emotions import MIKELS
from affectlens.explain.core.attribution import ExplainedModel
from affectlens.explain.core.question import Question, make_question
from affectlens.models import catalog
from affectlens.preprocess import Preprocessing

SIDE = 28
FEAR, AWE = MIKELS.index("fear"), MIKELS.index("awe")


class OneSpot(nn.Module):
    """Sees fear in the mean of all levels within a square, and nothing else: (B, 3, h, w) -> (B, 8)."""

    def __init__(self, top: int = 8, left: int = 16, side: int = 4, strength: float = 5.0) -> None:
        super().__init__()
        weights = torch.zeros(SIDE, SIDE)
        weights[top : top + side, left : left + side] = strength / (3 * side**2)
        self.weights = nn.Parameter(weights)

    def forward(self, images: Tensor) -> Tensor:
        logits = torch.zeros(len(images), len(MIKELS), device=images.device)
        logits[:, FEAR] = (images * self.weights).sum(dim=(1, 2, 3))
        return logits


class Weighted(nn.Module):
    """Fear is a sum over pixels, each with a weight of its own, of either sign: (B, 3, h, w) -> (B, 8)."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        coarse = torch.randn(1, 1, 7, 7, generator=torch.Generator().manual_seed(seed))
        self.weights = nn.Parameter(coarse.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3) / 50)

    def forward(self, images: Tensor) -> Tensor:
        logits = torch.zeros(len(images), len(MIKELS))
        logits[:, FEAR] = (images.mean(dim=1, keepdim=True) * self.weights).sum(dim=(1, 2, 3))
        return logits

    def truth(self) -> Tensor:
        """What each pixel of a white picture adds: (h, w)."""
        return self.weights.detach()[0, 0]


class Brightness(nn.Module):
    """Fear grows with how dark a picture is on average, awe with how bright: (B, 3, h, w) -> (B, 8)."""

    def forward(self, images: Tensor) -> Tensor:
        brightness = images.mean(dim=(1, 2, 3))
        logits = torch.zeros(len(images), len(MIKELS), device=images.device)
        logits[:, FEAR], logits[:, AWE] = -10 * (brightness - 0.5), 10 * (brightness - 0.5)
        return logits


def model_of(network: nn.Module, side: int = SIDE) -> ExplainedModel:
    """Wrap a network that takes levels in 0..1 as they are, so that black is 0."""
    plain = Preprocessing(height=side, width=side, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    network.eval().requires_grad_(False)
    return ExplainedModel(network, MIKELS, plain, 1.0, torch.device("cpu"), "planted")


def why_fear() -> Question:
    return make_question(MIKELS, "fear")


def white(side: int = SIDE) -> Tensor:
    """An image of which every level counts: (1, 3, side, side)."""
    return torch.ones(1, 3, side, side)


def noise(seed: int, number: int = 1, side: int = SIDE) -> Tensor:
    """Images of noise: (number, 3, side, side)."""
    return torch.rand(number, 3, side, side, generator=torch.Generator().manual_seed(seed))


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
