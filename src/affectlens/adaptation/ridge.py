"""Ratings read from features by ridge regression, its penalty chosen with groups left out whole.

Hoerl and Kennard, "Ridge Regression: Biased Estimation for Nonorthogonal Problems", Technometrics 1970. It is
solved among pictures where these are fewer than features, and else among features. Features are standardised,
and those of one block (a layer) count together as much as those of any other, however many they are.

What is reported of it is nested: no picture of a group is predicted by a fit, or by a penalty, that has seen
another of its group.

Letters: N pictures, F features, K directions, R ratings, A penalties.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from affectlens.errors import DatasetError
from affectlens.metrics import Doubles
from affectlens.ratings import RatingHead

PENALTIES = tuple(float(10.0**exponent) for exponent in np.arange(-3, 3.01, 0.5))
FOLDS, INNER_FOLDS = 8, 5
_FLAT = 1e-6  # a standard deviation below which a feature has nothing to add
INNER_SEED = 100  # added, so that inner folds differ from outer ones

RowIndices = NDArray[np.int64]


@dataclass(frozen=True)
class RatedFeatures:
    """Features of pictures that were rated, and which of these belong together.

    Attributes:
        features: (N, F)
        values: (N, R), NaN where a picture has no such rating
        groups: (N,), names of themes or scenes
        blocks: how many features each block has, in order; they sum to F
        directions: (K, F), linear readings of the features that are known to matter, as polarity
    """

    features: NDArray[np.floating]
    values: Doubles
    groups: NDArray[np.str_]
    blocks: tuple[int, ...]
    directions: Doubles

    def rows(self, chosen: RowIndices) -> "RatedFeatures":
        """Return some of the pictures."""
        of = {name: getattr(self, name)[chosen] for name in ("features", "values", "groups")}
        return replace(self, **of)


class RatingLine(NamedTuple):
    """A linear reading of features: weights (F,) and an offset, fitted at a penalty."""

    weights: Doubles
    offset: float
    penalty: float

    def read(self, features: NDArray[np.floating]) -> Doubles:
        """Read one rating before it is cut off at the ends of its scale: (N, F) -> (N,)."""
        found: Doubles = features.astype(np.float64) @ self.weights + self.offset
        return found


class Design(NamedTuple):
    """Standardised features, centred, (N, F + K), and what brings coefficients back to the features as given.

    Attributes:
        factors: of each feature, (F,)
        directions: (K, F), scaled as they are in `values`
        centre: mean of the features, (F,)
    """

    values: Doubles
    factors: Doubles
    directions: Doubles
    centre: Doubles

    def weights(self, coefficients: Doubles) -> Doubles:
        """Return weights of the features as given: (F + K,) -> (F,)."""
        count = len(self.factors)
        found: Doubles = self.factors * coefficients[:count] + coefficients[count:] @ self.directions
        return found


def group_folds(groups: NDArray[np.str_], count: int, seed: int) -> NDArray[np.int64]:
    """Return the fold of each picture, 0..count - 1; all of a group are in one: (N,) -> (N,)."""
    names, numbers = np.unique(groups, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    folds: NDArray[np.int64] = (order % min(count, len(names)))[numbers]
    return folds


def fit_rating_head(data: RatedFeatures, seed: int = 0) -> tuple[RatingHead, tuple[float, ...]]:
    """Fit every rating to all pictures; return what reads them, and the penalty of each.

    Raises `DatasetError` where all pictures are of one group.
    """
    fits = [fit_rating(_rated(data, rating), rating, seed) for rating in range(data.values.shape[1])]
    weights = np.stack([fit.weights for fit in fits]).astype(np.float32)
    offsets = np.array([fit.offset for fit in fits], dtype=np.float32)
    return RatingHead(weights, offsets), tuple(fit.penalty for fit in fits)


def fit_rating(data: RatedFeatures, rating: int, seed: int) -> RatingLine:
    """Fit one rating, which all pictures have, at the penalty that `best_penalty` finds.

    Raises `DatasetError` where all pictures are of one group.
    """
    return next(_fits(data, rating, [best_penalty(data, rating, seed)]))


def out_of_fold(data: RatedFeatures, seed: int = 0) -> Doubles:
    """Predict every picture by a fit that saw none of its group: (N, R), NaN where it has no such rating.

    Raises `DatasetError` where there are fewer than three groups.
    """
    found = np.full(data.values.shape, np.nan)
    for rating in range(data.values.shape[1]):
        rated = np.flatnonzero(np.isfinite(data.values[:, rating]))
        folds = group_folds(data.groups[rated], FOLDS, seed)
        for fold in np.unique(folds):
            learned = data.rows(rated[folds != fold])
            fit = fit_rating(learned, rating, seed + INNER_SEED)
            held_out = rated[folds == fold]
            found[held_out, rating] = fit.read(data.features[held_out])
    return found


def best_penalty(data: RatedFeatures, rating: int, seed: int) -> float:
    """Return the penalty with the least squared error on groups that were left out.

    Raises `DatasetError` where all pictures are of one group.
    """
    folds = group_folds(data.groups, INNER_FOLDS, seed)
    if len(np.unique(folds)) < 2:
        raise DatasetError(
            f"All {len(folds):,} rated pictures are of one group, so that none can be left out. Pictures of "
            "two groups or more are needed."
        )
    losses = np.zeros(len(PENALTIES))
    for fold in np.unique(folds):
        held_out = folds == fold
        truth = data.values[held_out, rating]
        fits = _fits(data.rows(np.flatnonzero(~held_out)), rating, PENALTIES)
        losses += [((fit.read(data.features[held_out]) - truth) ** 2).sum() for fit in fits]
    return PENALTIES[int(losses.argmin())]


def _rated(data: RatedFeatures, rating: int) -> RatedFeatures:
    return data.rows(np.flatnonzero(np.isfinite(data.values[:, rating])))


def design(data: RatedFeatures) -> Design:
    """Standardise features, block by block of equal weight, and the known directions as one more block."""
    features = data.features.astype(np.float64)
    centre = features.mean(axis=0)
    centred = features - centre
    sizes = np.repeat(data.blocks, data.blocks).astype(np.float64)
    factors = _inverse(features.std(axis=0)) / np.sqrt(sizes)
    read = centred @ data.directions.T  # (N, K)
    scale = _inverse(read.std(axis=0)) / np.sqrt(max(1, len(data.directions)))
    values = np.concatenate([centred * factors, read * scale], axis=1)
    return Design(values, factors, data.directions * scale[:, None], centre)


def _inverse(spread: Doubles) -> Doubles:
    flat = spread < _FLAT
    return np.where(flat, 0.0, 1 / np.where(flat, 1.0, spread))


def _fits(data: RatedFeatures, rating: int, penalties: Sequence[float]) -> Iterator[RatingLine]:
    """Fit one rating at each penalty."""
    made = design(data)
    truth = data.values[:, rating]
    mean = float(truth.mean())
    for penalty, coefficients in zip(
        penalties, _coefficients(made.values, truth - mean, penalties), strict=True
    ):
        weights = made.weights(coefficients)
        yield RatingLine(weights, mean - float(made.centre @ weights), penalty)


def _coefficients(values: Doubles, truth: Doubles, penalties: Sequence[float]) -> Iterator[Doubles]:
    """Solve ridge regression at each penalty, by the smaller of two products: (N, F), (N,) -> (F,)."""
    count, width = values.shape
    if count <= width:
        spectrum, basis = np.linalg.eigh(values @ values.T)
        along = basis.T @ truth
        for penalty in penalties:
            yield values.T @ (basis @ (along / (np.maximum(spectrum, 0) + penalty)))
        return
    spectrum, basis = np.linalg.eigh(values.T @ values)
    along = basis.T @ (values.T @ truth)
    for penalty in penalties:
        yield basis @ (along / (np.maximum(spectrum, 0) + penalty))
