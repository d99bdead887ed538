"""Ratings: numbers on a scale that people give to a picture, as valence and arousal, and what reads them.

A rating is what people give *on average*; its interval holds the mean rating of a picture unlike those that
the model learned from in so many cases out of a hundred (`RatingScale`).

Valence is how pleasant, arousal how stirring a picture is, on the scale of 1 to 9 of the Self-Assessment
Manikin (Bradley and Lang, "Measuring emotion", 1994). Ratings on another scale are brought to it by
`rescaled`: those of OASIS, 1 to 7, by 1 + (x - 1) * 8 / 6.

A label that a picture may have next to others is a rating too: how many of a hundred people who label
pictures give it this label, in percent. It is read through the logistic function, so that it stays within 0
to 100.

Letters: N pictures, F features, R ratings.
"""

import itertools
import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from affectlens.errors import AffectLensError, SettingsError

VALENCE, AROUSAL = "valence", "arousal"
LOWEST, HIGHEST = 1.0, 9.0
COVERAGE = 0.9  # of an interval and of a set, unless another is requested
COVERAGES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)  # of stored intervals, as far as pictures suffice
FEWEST = 20  # pictures of a rating: below, no interval of 95 % is known of their errors
LEAST_PERCENT, MOST_PERCENT = 0.0, 100.0  # ends of the scale of a label
_WEIGHTS, _OFFSETS = "ratings.weights", "ratings.offsets"
_PERCENTS = "ratings.percents"  # which of them are in percent; not there where none is
_EQUAL = 1e-9  # of two coverages


class BadRatings(AffectLensError):
    """Numbers that cannot be ratings, their scale or what reads them."""


class Rating(NamedTuple):
    """What people rate a picture on average, and the interval that holds this mean as often as promised."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class RatingColumn:
    """A rating to learn: its name, and the ends of its scale, as people gave it and as the model has it."""

    name: str
    given: tuple[float, float]
    scale: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class RatingScale:
    """A rating's name and range, and how wide its intervals are.

    Intervals are conformal (Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005; Lei
    et al., "Distribution-Free Predictive Inference for Regression", JASA 2018): quantiles of how far
    predictions were from people's mean on pictures whose themes were left out whole.

    Attributes:
        low, high: ends of the scale
        coverages: rising, each in (0, 1)
        half_widths: of the interval at each coverage, rising
        is_percent: whether it is how many of a hundred people give a picture this label
    """

    name: str
    low: float = LOWEST
    high: float = HIGHEST
    coverages: tuple[float, ...]
    half_widths: tuple[float, ...]
    is_percent: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise BadRatings(f"The scale of {self.name} ends at {self.high} and begins at {self.low}.")
        if len(self.coverages) != len(self.half_widths) or not self.coverages:
            raise BadRatings(f"The scale of {self.name} needs a half width for each of its coverages.")
        for values, least, most in ((self.coverages, 0, 1), (self.half_widths, 0, math.inf)):
            is_rising = all(a <= b for a, b in itertools.pairwise(values))
            if not is_rising or not all(least < value < most for value in values):
                raise BadRatings(f"The scale of {self.name} has coverages or half widths that do not rise.")

    def half_width(self, coverage: float = COVERAGE) -> float:
        """Return half the width of an interval, that of the next higher coverage where it is between two.

        Raises `SettingsError` for a coverage above the highest.
        """
        index = bisect_left(self.coverages, coverage - _EQUAL)
        if not 0 < coverage < 1 or index == len(self.coverages):
            raise SettingsError(
                f"Intervals of {self.name} are known for a coverage above 0 and up to "
                f"{self.coverages[-1]:g}, not {coverage:g}."
            )
        return self.half_widths[index]

    def stricter(self, coverage: float) -> float:
        """Return the coverage for an unusual picture, as far as the scale has it."""
        return max(coverage, min(stricter(coverage), self.coverages[-1]))

    def rating(self, mean: float, coverage: float = COVERAGE) -> Rating:
        """Return a predicted mean with its interval, both cut off at the ends of the scale."""
        half = self.half_width(coverage)
        ends = (self.low, self.high)
        mean, low, high = (float(np.clip(value, *ends)) for value in (mean, mean - half, mean + half))
        return Rating(mean, low, high)

    def to_json(self) -> dict[str, Any]:
        """Return plain data; `from_json` reads it."""
        plain = {**vars(self), "coverages": list(self.coverages), "half_widths": list(self.half_widths)}
        if not self.is_percent:  # as versions wrote it that knew no labels
            plain.pop("is_percent", None)
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> "RatingScale":
        """Read what `to_json` gave. Raises `ValueError` or `BadRatings`."""
        return msgspec.convert(dict(plain), cls)


def with_intervals(
    scales: Sequence[RatingScale],
    means: Sequence[float],
    coverage: float = COVERAGE,
    *,
    unusual: bool = False,
) -> dict[str, Rating]:
    """Return predicted means with their intervals, by the names of their scales.

    Those of an `unusual` picture miss half as often, as far as the scale has that.
    """
    return {
        scale.name: scale.rating(mean, scale.stricter(coverage) if unusual else coverage)
        for scale, mean in zip(scales, means, strict=True)
    }


@dataclass(frozen=True)
class RatingHead:
    """A linear layer that reads ratings of features: weights float32 (R, F), offsets float32 (R,).

    Attributes:
        percents: which of them are labels in percent: what the layer reads is then log-odds, (R,); None where
            none is
    """

    weights: NDArray[np.float32]
    offsets: NDArray[np.float32]
    percents: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        fits = self.weights.ndim == 2 and self.offsets.shape == self.weights.shape[:1]
        fits = fits and (self.percents is None or self.percents.shape == self.offsets.shape)
        if not fits or not all(np.isfinite(each).all() for each in (self.weights, self.offsets)):
            raise BadRatings("What reads ratings must be finite weights (ratings, features) with offsets.")

    def read(self, features: NDArray[np.floating]) -> NDArray[np.float32]:
        """Read ratings before they are cut off at the ends of their scales: (N, F) -> (N, R)."""
        found: NDArray[np.float32] = features.astype(np.float32) @ self.weights.T + self.offsets
        if self.percents is not None:
            found[:, self.percents] = percent(found[:, self.percents])
        return found

    def is_percent(self, index: int) -> bool:
        """Whether a rating is a label in percent."""
        return self.percents is not None and bool(self.percents[index])

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return its arrays by name, as a model folder stores them."""
        arrays: dict[str, NDArray[Any]] = {_WEIGHTS: self.weights, _OFFSETS: self.offsets}
        if self.percents is not None and self.percents.any():
            arrays[_PERCENTS] = self.percents.astype(np.uint8)
        return arrays

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, NDArray[Any]]) -> "RatingHead":
        """Read what `tensors` gave. Raises `BadRatings` where it is not there."""
        if missing := [name for name in (_WEIGHTS, _OFFSETS) if name not in tensors]:
            raise BadRatings(f"There is no {missing[0]} among {', '.join(tensors) or 'no arrays'}.")
        percents = tensors[_PERCENTS].astype(bool) if _PERCENTS in tensors else None
        return cls(tensors[_WEIGHTS].astype(np.float32), tensors[_OFFSETS].astype(np.float32), percents)


def stricter(coverage: float) -> float:
    """Return the coverage that is promised for a picture unlike those that were learned from: half the
    misses.

    >>> stricter(0.9)
    0.95
    """
    return 1 - (1 - coverage) / 2


def percent(log_odds: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return percents of log-odds, element by element.

    >>> percent(np.array([0.0, 1000.0, -1000.0])).tolist()
    [50.0, 100.0, 0.0]
    """
    # By the hyperbolic tangent, which does not overflow.
    found: NDArray[np.floating] = MOST_PERCENT * (0.5 + 0.5 * np.tanh(0.5 * log_odds))
    return found


def rescaled(value: float, old: Sequence[float], new: Sequence[float] = (LOWEST, HIGHEST)) -> float:
    """Bring a number from one scale to another, end to end.

    >>> rescaled(4, (1, 7)), rescaled(7, (1, 7))
    (5.0, 9.0)
    """
    return new[0] + (value - old[0]) * (new[1] - new[0]) / (old[1] - old[0])


def conformal_half_widths(errors: NDArray[np.floating], coverages: Sequence[float]) -> tuple[float, ...]:
    """Return for each coverage the quantile of absolute errors that holds for one more picture: (N,).

    The quantile is the ceil((N + 1) * coverage)-th smallest. Raises `BadRatings` where N is too small for
    the highest coverage.
    """
    sizes = np.sort(np.abs(np.asarray(errors, dtype=np.float64)))
    ranks = [math.ceil((len(sizes) + 1) * coverage - _EQUAL) for coverage in coverages]
    if not len(sizes) or not np.isfinite(sizes).all() or max(ranks) > len(sizes):
        raise BadRatings(
            f"{len(sizes)} finite errors are too few for intervals of coverage {max(coverages):g}."
        )
    return tuple(float(sizes[rank - 1]) for rank in ranks)


def possible_coverages(count: int) -> tuple[float, ...]:
    """Return those of `COVERAGES` for which so many errors have a conformal quantile.

    >>> possible_coverages(20)
    (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
    """
    return tuple(each for each in COVERAGES if math.ceil((count + 1) * each - _EQUAL) <= count)
