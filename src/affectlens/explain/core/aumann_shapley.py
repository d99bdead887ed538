"""Divide a difference of log-odds among parts: of a sum of logits, or of the values that a small head reads.

Aumann and Shapley, "Values of Non-Atomic Games", 1974: the contribution of a part is its gradient, averaged
along the straight path from where all parts begin to where they end, times its change. These are integrated
gradients, here of the last layers of a network, where hundreds of steps cost nothing. The contributions add
up to the difference.

Letters: B pictures, E emotions, S steps.
"""

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
import torch
from torch import Tensor

from affectlens.explain.core.question import Question

STEPS = 512  # many, since layers in between may bend at as many points (MAM: 512 ReLUs)


def logit_weights(question: Question, begin: Tensor, end: Tensor) -> Tensor:
    """Weight of each emotion's logit along the path between two pictures' logits: (1, E), (1, E) -> (E,).

    Its product with the difference of the logits is the difference of the log-odds. The weights add up to
    0, so a number added to all logits counts for nothing.
    """
    contributions = divide(lambda parts: question.score(parts["logits"]), {"logits": begin}, {"logits": end})
    change = (end - begin).double()[0]
    exact = torch.where(change == 0, torch.zeros_like(change), contributions["logits"][0] / change)
    return exact.to(end.dtype)


def divide(
    score: Callable[[dict[str, Tensor]], Tensor], begin: Mapping[str, Tensor], end: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Contribution of each value of each part to the difference of two scores: (1, ...) each -> float64.

    `score` turns parts of S rows each into log-odds (S,); `begin` and `end` hold one row of each part.
    """
    steps, weights = _steps()
    changes = {name: (end[name] - begin[name]).detach() for name in end}
    with torch.enable_grad():
        points = {
            name: (
                begin[name].detach() + steps.to(change).view(-1, *[1] * (change.ndim - 1)) * change
            ).requires_grad_()
            for name, change in changes.items()
        }
        gradients = torch.autograd.grad(score(points).sum(), list(points.values()), allow_unused=True)
    return {
        name: torch.zeros_like(change, dtype=torch.float64)
        if gradient is None
        else torch.tensordot(weights.to(gradient.device), gradient.double(), dims=1)[None] * change.double()
        for (name, change), gradient in zip(changes.items(), gradients, strict=True)
    }


@cache
def _steps() -> tuple[Tensor, Tensor]:
    """Steps in 0..1 and their weights, by Gauss and Legendre: float64 (S,) each."""
    points, weights = np.polynomial.legendre.leggauss(STEPS)
    return torch.from_numpy((points + 1) / 2), torch.from_numpy(weights / 2)
