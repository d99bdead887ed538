"""How near predicted ratings, as valence and arousal, come to people's, with intervals.

Pictures of one group (a theme, a scene) are alike, so that intervals are of a bootstrap over groups.

Letters: N pictures, R ratings of a model, B resamples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affectlens.evaluation.resampling import RESAMPLES, Measured, times_sampled_by_groups
from affectlens.metrics import Doubles, bootstrap_interval
from affectlens.ratings import COVERAGE, Rating, RatingScale
from affectlens.report.text import markdown_table

_FEWEST = 3  # pictures, of which a correlation can be computed


@dataclass(frozen=True, kw_only=True)
class RatingScores:
    """How a model's predictions of one rating fare.

    Attributes:
        pictures, groups: how many have this rating, and of how many groups
        r: Pearson's correlation with people's mean; None where all of either are the same
        error: mean absolute error, in units of the scale
        coverage: share of the pictures whose rating lies in the interval
        wanted: the coverage that intervals were made for
        width: of that interval, on average
    """

    name: str
    pictures: int
    groups: int
    r: Measured | None
    error: Measured
    coverage: Measured
    width: float
    wanted: float = COVERAGE

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def score_ratings(
    read: NDArray[np.floating],
    rated: NDArray[np.floating],
    scales: Sequence[RatingScale],
    groups: Sequence[str],
    seed: int = 0,
) -> tuple[RatingScores, ...]:
    """Score predictions before they are cut off at the ends of their scales: (N, R), and people's: (N, R).

    NaN stands for a rating that a picture does not have; a scale of which fewer than three pictures have one
    has no scores. `groups` names the group of each picture.
    """
    predicted = {
        scale.name: [scale.rating(float(value)) for value in read[:, index]]
        for index, scale in enumerate(scales)
    }
    return score_predicted_ratings(predicted, rated, groups, seed=seed)


def score_predicted_ratings(
    predicted: Mapping[str, Sequence[Rating]],
    rated: NDArray[np.floating],
    groups: Sequence[str],
    *,
    wanted: float = COVERAGE,
    seed: int = 0,
) -> tuple[RatingScores, ...]:
    """Score predictions with their intervals, N of each of R ratings by its name, as `score_ratings` does.

    `wanted` is the coverage that the intervals were made for.
    """
    found = []
    for column, (name, answers) in zip(rated.T, predicted.items(), strict=True):
        rows = np.flatnonzero(np.isfinite(column))
        if len(rows) < _FEWEST:
            continue
        own = [groups[int(row)] for row in rows]
        times = np.concatenate(
            [np.ones((len(rows), 1)), times_sampled_by_groups(own, RESAMPLES, seed)], axis=1
        )
        mean, low, high = np.array([answers[int(row)] for row in rows], dtype=np.float64).T
        truth: Doubles = column[rows].astype(np.float64)
        found.append(
            RatingScores(
                name=name,
                pictures=len(rows),
                groups=len(set(own)),
                r=_measured(_correlations(mean, truth, times)),
                error=_resampled_mean(np.abs(mean - truth), times),
                coverage=_resampled_mean(((low <= truth) & (truth <= high)).astype(np.float64), times),
                width=float((high - low).mean()),
                wanted=wanted,
            )
        )
    return tuple(found)


def ratings_markdown(scores: Sequence[RatingScores]) -> str:
    """Write a table of ratings, as Markdown; their intervals are of one coverage."""
    wanted = next((each.wanted for each in scores), COVERAGE)
    header = [
        "rating",
        "pictures",
        "groups",
        "r with people's",
        "mean error",
        f"in {wanted:g} intervals",
        "width",
    ]
    rows = []
    for each in scores:
        r = "–" if each.r is None else _with_interval(each.r, "{:.2f}")  # noqa: RUF001
        covered = _with_interval(each.coverage, "{:.1%}").replace("%", " %")
        error = _with_interval(each.error, "{:.2f}")
        rows.append(
            [each.name, f"{each.pictures:,}", f"{each.groups:,}", r, error, covered, f"{each.width:.2f}"]
        )
    return markdown_table(header, rows)


def _with_interval(measured: Measured, form: str) -> str:
    value, low, high = (form.format(each) for each in (measured.value, measured.low, measured.high))
    return f"{value} ({low} to {high})"


def _correlations(one: Doubles, other: Doubles, times: Doubles) -> Doubles:
    """Pearson's r of each resample, NaN where it has none: (N,), (N,), (N, B) -> (B,)."""
    count = times.sum(axis=0)
    means = [(each @ times) / count for each in (one, other)]
    covariance = ((one * other) @ times) / count - means[0] * means[1]
    variances = [(each**2 @ times) / count - mean**2 for each, mean in zip((one, other), means, strict=True)]
    scale = np.sqrt(np.maximum(variances[0], 0) * np.maximum(variances[1], 0))
    flat = scale < 1e-9
    return np.where(flat, np.nan, covariance / np.where(flat, 1.0, scale))


def _resampled_mean(values: Doubles, times: Doubles) -> Measured:
    measured = _measured((values @ times) / times.sum(axis=0))
    assert measured is not None, "means are finite"
    return measured


def _measured(values: Doubles) -> Measured | None:
    """The value of all pictures, and the interval of the resamples that have one."""
    if not np.isfinite(values[0]):
        return None
    return Measured(float(values[0]), *bootstrap_interval(values[1:][np.isfinite(values[1:])]))
