"""Arithmetic of predictions along a film, on arrays.

Letters: S samples of a film, n of one shot, E emotions.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from affectlens.film.timeline import DIGITS

FloatArray = NDArray[np.float64]


def smooth(values: FloatArray, seconds: FloatArray, weights: FloatArray, half_life: float) -> FloatArray:
    """Smooth the predictions of one shot both ways in time: (n, E) at (n,) seconds, weighted by (n,).

    A sample counts for another by its weight times 2 to the power of -(seconds between) / half_life: an
    exponential that looks ahead as far as back, so that a peak stays where it is. Rows that sum to 1 still
    do. A sample of weight 0 gets what its neighbours have; one at least has a weight.
    """
    if half_life <= 0 or len(values) < 2:
        return values.copy()
    kept = 0.5 ** (np.diff(seconds) / half_life)  # of a sum, from one sample to the next
    weighted = np.concatenate([values * weights[:, None], weights[:, None]], axis=1)
    back, ahead = weighted.copy(), weighted.copy()
    for row in range(1, len(values)):
        back[row] += kept[row - 1] * back[row - 1]
        ahead[-row - 1] += kept[-row] * ahead[-row]
    sums = back + ahead - weighted
    # Too far from every sample with a weight, it keeps its own value.
    known = sums[:, -1] > 0
    result: FloatArray = values.copy()
    result[known] = sums[known, :-1] / sums[known, -1:]
    return result


def uncertainty(emotions: Sequence[float]) -> float:
    """Entropy of (E,) probabilities divided by that of a uniform distribution: 0 to 1.

    >>> uncertainty((1.0, 0.0)), uncertainty((0.5, 0.5))
    (0.0, 1.0)
    """
    p = np.array([value for value in emotions if value > 0])
    return float(max(0.0, -(p * np.log(p)).sum() / np.log(max(2, len(emotions)))))


def error_of_mean(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Standard error of the weighted mean of a shot's (n, k) values: (k,). NaN for fewer than two.

    Frames that follow one another resemble one another, so that many of them carry little more information
    than a few: n is reduced by (1 - r) / (1 + r), r being their correlation with the next (Bayley and
    Hammersley, 1946), pooled over the k columns and bounded to 0..1.
    """
    if len(values) < 2:
        return np.full(values.shape[1], np.nan)
    share = weights / weights.sum()
    apart = values - share @ values
    effective = 1 / (share**2).sum()
    variance = (share[:, None] * apart**2).sum(axis=0) * effective / max(effective - 1, 1e-9)
    total = (apart**2).sum()
    r = float((apart[1:] * apart[:-1]).sum() / total) if total > 0 else 0.0
    r = min(max(r, 0.0), 1 - 1e-9)
    independent = max(1.0, effective * (1 - r) / (1 + r))
    error: FloatArray = np.sqrt(variance / independent)
    return error


def hellinger(rows: FloatArray, one: FloatArray) -> FloatArray:
    """Hellinger's distance of (n, E) distributions from one: (n,), in 0..1."""
    apart: FloatArray = np.sqrt(((np.sqrt(rows) - np.sqrt(one)) ** 2).sum(axis=1) / 2)
    return apart


def borders_between(seconds: FloatArray, shots: NDArray[np.int64], edges: Sequence[float]) -> FloatArray:
    """(S + 1,) seconds between samples, half-way or where a shot begins, and both ends of the film."""
    middles = (seconds[1:] + seconds[:-1]) / 2
    cut = shots[1:] != shots[:-1]
    middles[cut] = np.asarray(edges)[shots[1:][cut] - 1]
    return np.concatenate([[edges[0]], middles, [edges[-1]]])


def rounded(values: FloatArray) -> tuple[float, ...]:
    """Numbers as a timeline holds them."""
    return tuple(round(float(value), DIGITS) for value in values)
