"""Divide a difference of log-odds among the values that a small head reads.

Aumann and Shapley, "Values of Non-Atomic Games", 1974: the contribution of a part is its gradient, averaged
along the straight path from where all parts begin to where they end, times its change. These are integrated
gradients, here of the last layers of a network, where hundreds of steps cost nothing. The contributions add
up to the difference.

Letters: S steps.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from affectlens.explain.core.logit_weights import steps_of_path


def divide(
    score: Callable[[dict[str, Tensor]], Tensor], begin: Mapping[str, Tensor], end: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Contribution of each value of each part to the difference of two scores: (1, ...) each -> float64.

    `score` turns parts of S rows each into log-odds (S,); `begin` and `end` hold one row of each part.
    """
    steps, weights = map(torch.from_numpy, steps_of_path())
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
