"""Divide a difference of log-odds among parts: of a sum of logits, or of what a small head reads.

Aumann and Shapley, "Values of Non-Atomic Games", 1974: what a part gets is its slope, averaged over the
straight way from where all parts begin to where they end, times how far it went. It is integrated
gradients, here of the last layers of a network, where hundreds of steps cost nothing. The shares add up to
the difference.

Letters: B pictures, E emotions, S steps.
"""

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
import torch
from torch import Tensor

from affectlens.explain.core.question import Question

STEPS = 512  # many, since layers in between may bend at as many places (MAM: 512 ReLUs)


def logit_weights(question: Question, begin: Tensor, end: Tensor) -> Tensor:
    """What each emotion's logit counts on the way between two pictures' logits: (1, E), (1, E) -> (E,).

    Its product with the difference of the logits is the difference of the log-odds. The weights add up to
    0, so a number added to all logits counts for nothing.
    """
    shares = divide(lambda parts: question.score(parts["logits"]), {"logits": begin}, {"logits": end})
    change = (end - begin).double()[0]
    exact = torch.where(change == 0, torch.zeros_like(change), shares["logits"][0] / change)
    return exact.to(end.dtype)


def divide(
    score: Callable[[dict[str, Tensor]], Tensor], begin: Mapping[str, Tensor], end: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Say what each value of each part adds to the difference of two scores: (1, ...) each -> float64, alike.

    `score` turns parts of S rows each into log-odds (S,); `begin` and `end` hold one row of each part.
    """
    along, each = _steps()
    ways = {name: (end[name] - begin[name]).detach() for name in end}
    with torch.enable_grad():
        points = {
            name: (
                begin[name].detach() + along.to(way).view(-1, *[1] * (way.ndim - 1)) * way
            ).requires_grad_()
            for name, way in ways.items()
        }
        gradients = torch.autograd.grad(score(points).sum(), list(points.values()), allow_unused=True)
    return {
        name: torch.zeros_like(way, dtype=torch.float64)
        if slopes is None
        else torch.tensordot(each.to(slopes.device), slopes.double(), dims=1)[None] * way.double()
        for (name, way), slopes in zip(ways.items(), gradients, strict=True)
    }


@cache
def _steps() -> tuple[Tensor, Tensor]:
    """Places in 0..1 and their weights, by Gauss and Legendre: float64 (S,) each."""
    places, weights = np.polynomial.legendre.leggauss(STEPS)
    return torch.from_numpy((places + 1) / 2), torch.from_numpy(weights / 2)
