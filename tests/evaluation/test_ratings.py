"""Scores of ratings: by hand, by NumPy, and their intervals over groups."""

import numpy as np
import pytest

from affectlens.evaluation.ratings import ratings_markdown, score_ratings
from affectlens.ratings import RatingScale

SCALES = tuple(
    RatingScale(name=name, coverages=(0.9,), half_widths=(1.0,)) for name in ("valence", "arousal")
)


def test_errors_coverage_and_width_are_those_of_a_count_by_hand() -> None:
    read = np.array([[5.0, 5.0], [4.0, 5.0], [0.0, 5.0], [8.5, 5.0]])
    rated = np.array([[5.5, np.nan], [6.0, 3.0], [1.0, np.nan], [9.0, np.nan]])
    (valence,) = score_ratings(read, rated, SCALES, ["a", "b", "c", "d"])
    assert (valence.name, valence.pictures, valence.groups) == ("valence", 4, 4)
    # .5, 2, 0 (cut off at 1) and .5; the second alone lies outside; widths 2, 2, 0 and 1.5.
    assert valence.error.value == pytest.approx(0.75) and valence.coverage.value == 0.75
    assert valence.width == pytest.approx(1.375)
    assert "75.0 %" in ratings_markdown([valence]) and "arousal" not in ratings_markdown([valence])


def test_r_is_numpys_and_its_interval_is_wider_where_groups_are_few() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(2, 8, 60)
    read = np.stack([truth / 2 + rng.normal(0, 0.5, 60) + 2.5] * 2, axis=1)
    rated = np.stack([truth, np.full(60, 5.0)], axis=1)
    alone, flat = score_ratings(read, rated, SCALES, [str(n) for n in range(60)])
    (together, _) = score_ratings(read, rated, SCALES, [str(n // 10) for n in np.argsort(np.argsort(truth))])
    assert alone.r is not None and together.r is not None
    assert alone.r.value == pytest.approx(np.corrcoef(read[:, 0], truth)[0, 1])
    assert alone.r.low < alone.r.value < alone.r.high
    assert together.error.value == alone.error.value
    assert flat.r is None and "–" in ratings_markdown([flat])  # noqa: RUF001
