"""What is drawn of curves, as values."""

import numpy as np
import pytest

from affectlens.emotions import Vocabulary
from affectlens.film.report.curves import EmotionCurves, curves
from affectlens.film.report.drawing import axis, left_out, ribbon, stack
from rated import rated
from timelines import timeline_of


@pytest.mark.parametrize("begin", [0.0, 7.5, 1e6])
@pytest.mark.parametrize("length", [0.5, 10, 5400, 86_400, 90_000, 36e6, 1e12, 2.0**64])
def test_an_axis_has_few_marks_however_long_a_film_is(begin: float, length: float) -> None:
    found = EmotionCurves(begin, begin + length, np.zeros(0), np.zeros((0, 8)), None, 0.0, np.zeros((0, 0)),
                          np.zeros(0), np.zeros(0))  # fmt: skip
    marks = axis(found)
    assert len(marks) <= 7
    assert len(marks) >= 3 or length <= 10
    assert all(0 <= mark.x < 97 for mark in marks)


def test_words_stand_where_no_veil_covers_them() -> None:
    script = [(4.0, "sadness"), (6.0, "awe"), (4.0, "sadness"), (6.0, "fear")]
    usual, cards = rated(timeline_of(script)), rated(timeline_of(script), 1, 3)
    assert {"sadness", "awe", "fear"} <= {label.word for label in stack(curves(usual), usual).labels}
    found = stack(curves(cards), cards).labels
    assert "sadness" not in {label.word for label in found} and {"awe", "fear"} <= {
        each.word for each in found
    }
    half = 4.0  # percent of the width: half of a word's
    for label in found:
        for left, width in left_out(curves(cards), cards):
            assert label.x + half <= left + 1 or label.x - half >= left + width - 1


def test_a_long_word_of_ones_own_stands_only_where_all_of_it_has_room() -> None:
    short, long = "eerie", "eerie, as a house in which no one has lived for years"
    for word, fits in ((short, True), (long, False)):
        own = Vocabulary("own", ("cosy", word))
        timeline = timeline_of([(4.0, word), (16.0, "cosy")], vocabulary=own, polarity=None)
        shares = [sample.emotions[1] for sample in timeline.samples]
        assert max(shares) > 0.7 > 0.3 > min(shares)  # it has little room but for the first fifth
        found = {label.word: label for label in stack(curves(timeline), timeline).labels}
        assert "cosy" in found
        assert (word in found and found[word].x < 20) is fits


def test_what_is_nowhere_known_has_no_words() -> None:
    cards = rated(timeline_of([(4.0, "sadness")]), 1)
    assert stack(curves(cards), cards).labels == []


def test_a_word_of_the_ribbon_stands_in_the_middle_of_what_no_veil_covers() -> None:
    script = [(4.0, "sadness"), (6.0, "awe"), (4.0, "sadness"), (6.0, "sadness")]
    usual, veiled = rated(timeline_of(script)), rated(timeline_of(script), 1, 3)
    assert [each.room for each in ribbon(usual)] == [(0, 100)] * 3
    first, second, third = ribbon(veiled)
    assert len(left_out(curves(veiled), veiled)) == 2
    assert first.room[1] == 0
    assert second.room == pytest.approx((0, 100), abs=8)
    assert third.room[0] + third.room[1] == pytest.approx(100)
    assert third.room[1] == pytest.approx(60, abs=8)
