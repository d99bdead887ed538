"""How near predicted ratings come to people's, by the measures of regression.

`evaluation.ratings` has intervals of them by bootstrap; these are the plain numbers that a training run logs
and that its card keeps.

Letters: N pictures.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from affectlens.report.text import markdown_table

_FLAT = 1e-9  # standard deviation, as a share of the scale, below which all ratings are the same


@dataclass(frozen=True, kw_only=True)
class RegressionScore:
    """How near predictions of one rating come to people's mean.

    Attributes:
        low, high: ends of the scale that errors are in units of
        pictures: how many have this rating
        mse, rmse, mae: mean squared error, its root, mean absolute error
        r: Pearson's correlation with people's mean; None where all of either are the same
        r2: coefficient of determination, 1 - mse / variance of people's ratings; None where these are all the
            same
    """

    name: str
    low: float
    high: float
    pictures: int
    mse: float
    rmse: float
    mae: float
    r: float | None
    r2: float | None

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def score_regression(
    name: str, predicted: ArrayLike, rated: ArrayLike, ends: tuple[float, float]
) -> RegressionScore | None:
    """Score predictions of a rating on a scale with these ends: (N,) and (N,), NaN where none was given.

    Predictions are cut off at the ends, as answers are. None where fewer than two pictures were rated.

    >>> found = score_regression("valence", [2.0, 4.0, 12.0], [1.0, 5.0, 9.0], (1, 9))
    >>> found.mae, round(found.r, 3), round(found.r2, 3)
    (0.6666666666666666, 0.971, 0.938)
    """
    truth = np.asarray(rated, dtype=np.float64)
    known = np.isfinite(truth)
    if known.sum() < 2:
        return None
    truth = truth[known]
    answers = np.clip(np.asarray(predicted, dtype=np.float64)[known], *ends)
    errors = answers - truth
    mse = float((errors**2).mean())
    flat = _FLAT * (ends[1] - ends[0])
    spread, spread_of_answers = float(truth.std()), float(answers.std())
    correlates = min(spread, spread_of_answers) > flat
    return RegressionScore(
        name=name, low=ends[0], high=ends[1], pictures=len(truth),
        mse=mse, rmse=math.sqrt(mse), mae=float(np.abs(errors).mean()),
        r=float(np.corrcoef(answers, truth)[0, 1]) if correlates else None,
        r2=1 - mse / spread**2 if spread > flat else None,
    )  # fmt: skip


def regression_markdown(scores: Sequence[RegressionScore]) -> str:
    """Write a table of ratings, as Markdown."""
    header = ["rating", "scale", "pictures", "MSE", "RMSE", "MAE", "R²", "r"]
    rows = [
        [each.name, f"{each.low:g} to {each.high:g}", f"{each.pictures:,}",
         *(f"{value:.3f}" for value in (each.mse, each.rmse, each.mae)),
         *(f"{value:.2f}" if value is not None else "–" for value in (each.r2, each.r))]  # noqa: RUF001
        for each in scores
    ]  # fmt: skip
    return markdown_table(header, rows)
