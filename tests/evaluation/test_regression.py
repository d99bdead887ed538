"""Scores of ratings against NumPy and by hand."""

import numpy as np
import pytest

from affectlens.evaluation.regression import regression_markdown, score_regression

RATED = [2.0, 4.0, 6.0, 8.0]
PREDICTED = [3.0, 4.0, 5.0, 12.0]  # the last is cut off at 9


def test_scores_are_those_of_the_answers_cut_off_at_the_ends_of_the_scale() -> None:
    found = score_regression("valence", PREDICTED, RATED, (1, 9))
    assert found is not None
    assert (found.pictures, found.low, found.high) == (4, 1, 9)
    assert found.mse == pytest.approx(3 / 4) and found.mae == pytest.approx(3 / 4)
    assert found.rmse == pytest.approx(np.sqrt(3 / 4))
    assert found.r == pytest.approx(np.corrcoef([3, 4, 5, 9], RATED)[0, 1])
    assert found.r2 == pytest.approx(1 - 3 / 20)


def test_pictures_without_the_rating_do_not_count() -> None:
    with_gap = score_regression("valence", [*PREDICTED, 1.0], [*RATED, np.nan], (1, 9))
    assert with_gap == score_regression("valence", PREDICTED, RATED, (1, 9))
    assert score_regression("valence", [1.0, 2.0], [np.nan, 2.0], (1, 9)) is None


def test_what_is_not_defined_is_none_and_shown_as_a_dash() -> None:
    alike = score_regression("calm", [5.0, 5.0], [4.0, 6.0], (1, 7))
    same = score_regression("calm", [4.0, 6.0], [5.0, 5.0], (1, 7))
    assert alike is not None and (alike.r, alike.r2) == (None, 0.0)
    assert same is not None and (same.r, same.r2) == (None, None)
    assert regression_markdown([same]).splitlines()[-1].count("–") == 2  # noqa: RUF001
