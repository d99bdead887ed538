"""What is drawn of curves, as values."""

import numpy as np
import pytest

from affectlens.film.report.curves import EmotionCurves
from affectlens.film.report.drawing import axis


@pytest.mark.parametrize("begin", [0.0, 7.5, 1e6])
@pytest.mark.parametrize("length", [0.5, 10, 5400, 86_400, 90_000, 36e6, 1e12, 2.0**64])
def test_an_axis_has_few_marks_however_long_a_film_is(begin: float, length: float) -> None:
    found = EmotionCurves(begin, begin + length, np.zeros(0), np.zeros((0, 8)), None, 0.0, np.zeros((0, 0)),
                          np.zeros(0), np.zeros(0))  # fmt: skip
    marks = axis(found)
    assert len(marks) <= 7
    assert len(marks) >= 3 or length <= 10
    assert all(0 <= mark.x < 97 for mark in marks)
