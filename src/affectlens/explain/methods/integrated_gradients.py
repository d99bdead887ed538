"""Integrated gradients: the difference of two answers, divided among the pixels that make it.

Paper: Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks", ICML 2017. With x the picture
    and b a baseline, pixel i gets (x_i - b_i) * integral over t of df/dx_i at b + t (x - b), t from 0 to 1.
    The sum over all pixels is f(x) - f(b): completeness.
Several baselines averaged: Erion et al., "Improving performance of deep learning models with axiomatic
    attribution priors and expected gradients", Nature Machine Intelligence 2021.

The integral is a sum over steps, and its error is known by completeness; few people check it. Along the
path f is rough, most of all near the baseline, where contrast first appears: equal steps spend themselves
where nothing happens (for the default model, an error of 10 % is usual after 64 steps, by whatever rule).
So steps are put where they are needed. The path is cut into pieces, each with the trapezium of its two
ends. For each piece too the right sum is known, the difference of f between its ends; and the pieces with
the greatest errors are halved, no step being wasted, until the sum is within `tolerance`. captum's
`IntegratedGradients` takes a fixed number of steps, and computes all of them anew for a greater one; tests
compare with it.

Errors of pieces may cancel, so their absolute sum has to be small as well: small compared with the
variation, all that f rises and falls along the path, not with the difference of its ends. A picture's answer
may wander by 3 and end .2 from where it began; its map is then as exact as another's long before its pieces'
errors are small compared with .2. Measured on four pictures of FI (the default model, maps of 650 to 4,000
steps as the truth): where both conditions first hold the map is within 3 % of the truth (relative l2 norm).
Choosing weights for each piece's two ends such that the piece adds up makes the sum exact and the map worse,
so it is not done.

Letters: B pictures, h x w pixels of the network's input.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from affectlens.errors import SettingsError
from affectlens.explain.core.attribution import Attribution
from affectlens.explain.core.baselines import baselines, check_names
from affectlens.explain.core.differentiable import DifferentiableModel, to_map
from affectlens.explain.core.question import AnyQuestion
from affectlens.explain.methods.gradient import MEMORY, InputGradients
from affectlens.models.maps import frozen
from affectlens.preprocess import Images

# The absolute errors of all pieces may add up to so many tolerances of the variation: some of them cancel.
_CANCELLING = 3


@dataclass(frozen=True, kw_only=True)
class IntegratedGradients:
    """What the answer owes each pixel, in log-odds, compared with a baseline or the mean over several.

    Raises `UnknownName` for an unknown baseline, `SettingsError` for another impossible value.

    Attributes:
        baselines: names of `baselines.BASELINES`; one may come several times, as `uniform` should
        tolerance: error of the sum that is allowed, relative to the difference that it should be
        absolute_tolerance: error that is allowed in any case, in log-odds: where two answers are almost
            equal, no error is small compared with their difference
        min_steps, max_steps: gradients for each baseline
        memory: MiB, see `InputGradients`
        precision: of the gradients; answers are float32 in any case, so that the reported error includes the
            error of the gradients
        seed: of random baselines
    """

    baselines: tuple[str, ...] = ("mean",)
    tolerance: float = 0.01
    absolute_tolerance: float = 0.001
    min_steps: int = 9
    max_steps: int = 1025
    memory: int = MEMORY
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        check_names(self.baselines)
        if self.tolerance < 0 or self.absolute_tolerance < 0:
            raise SettingsError("Tolerances must be at least 0.")
        if not 2 <= self.min_steps <= self.max_steps:
            raise SettingsError(
                f"Steps must be at least 2 and min_steps at most max_steps, not {self.min_steps} and "
                f"{self.max_steps}."
            )

    def __call__(self, model: DifferentiableModel, image: Images, question: AnyQuestion) -> Attribution:
        """Explain one picture, (1, 3, h, w)."""
        started = time.perf_counter()
        with frozen(model.network):
            picture = model.tensor(image)
            against = model.tensor(baselines(model, image, self.baselines, self.seed))
            differentiate = InputGradients(
                model, picture, question, memory=self.memory, precision=self.precision
            )
            paths = [self._follow(differentiate, one[None], picture) for one in against]
        values = torch.stack([path.values() for path in paths]).mean(dim=0)
        details = {**self._account(paths), "seconds": time.perf_counter() - started}
        return Attribution(to_map(values), sums_up=bool(details["complete"]), details=details)

    def _follow(self, differentiate: InputGradients, baseline: Tensor, image: Tensor) -> "_Path":
        path = _Path(differentiate, baseline, image)
        path.visit([step / (self.min_steps - 1) for step in range(self.min_steps)])
        while not self._is_complete(path) and path.steps < self.max_steps:
            worst = path.worst(self._allowed(path), self.max_steps - path.steps)
            # Where no piece is off by more than its part, what is left is rounding.
            if not worst:
                break
            path.visit(worst)
        return path

    def _allowed(self, path: "_Path") -> float:
        return max(self.tolerance * abs(path.difference), self.absolute_tolerance)

    def _is_complete(self, path: "_Path") -> bool:
        errors = path.errors()
        of_pieces = max(_CANCELLING * self.tolerance * path.variation, self.absolute_tolerance)
        return abs(sum(errors)) <= self._allowed(path) and sum(map(abs, errors)) <= of_pieces

    def _account(self, paths: Sequence["_Path"]) -> dict[str, Any]:
        """What it took and how exact it is; a relative error is None where the difference is as good as 0."""
        count = len(paths)
        difference = sum(path.difference for path in paths) / count
        error = sum(sum(path.errors()) for path in paths) / count
        pieces = sum(sum(map(abs, path.errors())) for path in paths) / count
        is_nothing = abs(difference) <= self.absolute_tolerance
        return {
            "baselines": list(self.baselines),
            "steps": sum(path.steps for path in paths),
            "difference": difference,
            "completeness_error": error,
            "completeness_error_relative": None if is_nothing else abs(error / difference),
            "completeness_error_of_pieces": pieces,
            "variation": sum(path.variation for path in paths) / count,
            "complete": all(self._is_complete(path) for path in paths),
            "precision": str(paths[0].differentiate.precision).removeprefix("torch."),
            "together": paths[0].differentiate.batch_size,
        }


class _Path:
    """The straight path from a baseline to a picture, and what was computed at its steps.

    Attributes:
        difference: of the answers at its ends
    """

    def __init__(self, differentiate: InputGradients, baseline: Tensor, image: Tensor) -> None:
        self.differentiate = differentiate
        self.baseline = baseline
        self.change = image - baseline
        self.positions: list[float] = []
        # By position: the answer; what all pixels, and each pixel, would add if its gradient held everywhere.
        self.scores: dict[float, float] = {}
        self.sums: dict[float, float] = {}
        self.pixels: dict[float, Tensor] = {}

    @property
    def steps(self) -> int:
        """Gradients taken so far."""
        return len(self.positions)

    @property
    def difference(self) -> float:
        return self.scores[1.0] - self.scores[0.0]

    @property
    def variation(self) -> float:
        """All that the answer rises and falls between the steps; at least as large as the difference."""
        return sum(abs(self.scores[end] - self.scores[begin]) for begin, end in self._pieces())

    def visit(self, positions: Sequence[float]) -> None:
        """Take the gradients at positions in 0..1 that were not visited before."""
        batch_size = self.differentiate.batch_size
        for begin in range(0, len(positions), batch_size):
            batch = positions[begin : begin + batch_size]
            along = torch.tensor(batch, device=self.change.device).view(-1, 1, 1, 1)
            images = self.baseline + along * self.change
            scores, gradients = self.differentiate(images)
            if self.differentiate.precision != torch.float32:
                scores = self.differentiate.scores(images)
            pixels = (gradients * self.change).sum(dim=1)  # (B, h, w)
            for position, score, each in zip(batch, scores.tolist(), pixels, strict=True):
                self.scores[position], self.pixels[position] = score, each
                self.sums[position] = float(each.double().sum())
        self.positions = sorted({*self.positions, *positions})

    def errors(self) -> list[float]:
        """Error of each piece's trapezium."""
        return [self._error(begin, end) for begin, end in self._pieces()]

    def worst(self, allowed: float, most: int) -> list[float]:
        """Middles of the pieces whose error is more than their part of what is allowed.

        At most half of the pieces, the worst: halving them may show that the others will do.
        """
        pieces = self._pieces()
        share = allowed / len(pieces)
        bad = sorted((p for p in pieces if abs(self._error(*p)) > share), key=lambda p: -abs(self._error(*p)))
        count = min(most, max(self.differentiate.batch_size, len(pieces) // 2))
        return [(begin + end) / 2 for begin, end in bad[:count]]

    def values(self) -> Tensor:
        """The integral: (h, w)."""
        total = torch.zeros_like(self.pixels[0.0])
        for begin, end in self._pieces():
            total += (self.pixels[begin] + self.pixels[end]) * ((end - begin) / 2)
        return total

    def _pieces(self) -> list[tuple[float, float]]:
        return list(zip(self.positions[:-1], self.positions[1:], strict=True))

    def _error(self, begin: float, end: float) -> float:
        trapezium = (self.sums[begin] + self.sums[end]) * (end - begin) / 2
        return trapezium - (self.scores[end] - self.scores[begin])
