"""Make probabilities honest: one temperature for all logits, and the data of a reliability diagram.

Paper: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, sections 2 and 4.2.
Departs from it: the temperature is found by bisection, not by L-BFGS, and is bounded. Soft targets
    are allowed: the likelihood is then their cross-entropy.

Fit on pictures that were neither trained on nor are reported on. Letters: N pictures, E emotions.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from affectlens import metrics

COLDEST = 0.05
HOTTEST = 20.0
STEPS = 60  # halves ln(20 / 0.05) to below the spacing of doubles


def fit_temperature(logits: ArrayLike, targets: ArrayLike) -> float:
    """Find the temperature T that makes the targets most likely under softmax(logits / T).

    Takes (N, E) and (N, E); gives a number in 0.05..20. Below 1 the model was too timid, above 1
    too sure. At a bound the likelihood would still rise beyond it: with all predictions right
    0.05, with predictions no better than chance 20. Where no temperature beats 1, as with one
    class or with equal logits, it is exactly 1. Raises `NotMeasurable`.
    """
    before = metrics.negative_log_likelihood(logits, targets)  # checks both
    # Softmax ignores a shift; without it differences would drown in the rounding of large logits.
    shifted = np.asarray(logits, dtype=np.float64)
    shifted = shifted - shifted.max(axis=1, keepdims=True)
    wanted = (np.asarray(targets, dtype=np.float64) * shifted).sum(axis=1).mean()

    def too_cold(temperature: float) -> bool:
        """Whether the likelihood rises with temperature, from its derivative in 1 / T."""
        powers = np.exp(shifted / temperature)
        expected = ((powers * shifted).sum(axis=1) / powers.sum(axis=1)).mean()
        return bool(expected > wanted)

    # The loss is convex in 1 / T: its derivative changes sign once, so bisection cannot end in a local
    # minimum. Bisecting the logarithm treats halving and doubling alike.
    low, high = math.log(COLDEST), math.log(HOTTEST)
    if too_cold(HOTTEST):
        low = high
    elif not too_cold(COLDEST):
        high = low
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if too_cold(math.exp(middle)) else (low, middle)
    temperature = min(max(math.exp((low + high) / 2), COLDEST), HOTTEST)
    # Where the likelihood is flat the derivative is rounding noise: then change nothing.
    return temperature if metrics.negative_log_likelihood(shifted / temperature, targets) < before else 1.0


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """Pictures with a top probability above `low` and up to `high`; means are None where there are none."""

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None

    def to_json(self) -> dict[str, Any]:
        """Return plain data that can be written as JSON."""
        return asdict(self)


def reliability(probabilities: ArrayLike, targets: ArrayLike, bins: int = 15) -> tuple[ReliabilityBin, ...]:
    """Compare mean top probability with accuracy in each bin of equal width, lowest bin first.

    Takes (N, E) and (N, E). The mean gap, weighted by count, is the expected calibration error.
    Raises `SettingsError` for fewer than one bin, and `NotMeasurable`.
    """
    sums = metrics.calibration_bins(probabilities, targets, bins=bins)
    return tuple(
        ReliabilityBin(
            low=index / bins,
            high=(index + 1) / bins,
            count=int(count),
            confidence=confidence / count if count else None,
            accuracy=correct / count if count else None,
        )
        for index, (count, confidence, correct) in enumerate(
            zip(sums.pictures.tolist(), sums.confidence.tolist(), sums.correct.tolist(), strict=True)
        )
    )
