"""Timecode, with and without dropped numbers."""

from datetime import timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectlens.errors import SettingsError
from affectlens.film.export.timecode import Timecode, of_rate

NTSC = Fraction(30000, 1001)


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (0, "00:00:00;00"),
        (1799, "00:00:59;29"),
        (1800, "00:01:00;02"),  # numbers 0 and 1 of the first minute are left out
        (3597, "00:01:59;29"),
        (3598, "00:02:00;02"),
        (17981, "00:09:59;29"),
        (17982, "00:10:00;00"),  # none is left out of the tenth
        (107892, "01:00:00;00"),
        (2589407, "23:59:59;29"),
        (2589408, "00:00:00;00"),
    ],
)
def test_drop_frame_leaves_out_two_numbers_a_minute_but_not_of_every_tenth(frame: int, expected: str) -> None:
    assert of_rate(NTSC).of_frame(frame) == expected


def test_59_94_leaves_out_four() -> None:
    count = of_rate(Fraction(60000, 1001))
    assert [count.of_frame(frame) for frame in (3599, 3600)] == ["00:00:59;59", "00:01:00;04"]


@given(frame=st.integers(0, 2589407), rate=st.sampled_from([NTSC, Fraction(60000, 1001), Fraction(25)]))
def test_a_timecode_names_one_frame_and_is_read_back(frame: int, rate: Fraction) -> None:
    count = of_rate(rate)
    frame %= 24 * 3600 * count.nominal - (144 * 18 * (2 if count.nominal == 30 else 4) if count.drop else 0)
    assert count.parse(count.of_frame(frame)) == frame


@given(frame=st.integers(0, 2589407))
def test_drop_frame_timecode_keeps_to_the_clock_within_four_hundredths_of_a_second_an_hour(
    frame: int,
) -> None:
    hours, minutes, rest = of_rate(NTSC).of_frame(frame).split(":")
    seconds, frames = rest.split(";")
    shown = timedelta(hours=int(hours), minutes=int(minutes), seconds=int(seconds)).total_seconds()
    # Numbers are left out at the beginning of minutes: within one they run up to 0.06 s behind, and in 24
    # hours by 2.6 frames.
    assert abs(shown + int(frames) / 30 - float(frame / NTSC)) < 0.16


def test_the_frame_shown_at_its_own_time_is_itself_however_far_into_the_film() -> None:
    for rate in (NTSC, Fraction(24000, 1001), Fraction(24), Fraction(50)):
        count = of_rate(rate)
        for frame in (1, 1799, 1800, 107_891, 323_999):
            assert count.frame(float(frame / count.rate)) == frame


def test_rates_that_are_roundings_of_usual_ones_are_taken_for_these() -> None:
    assert of_rate(Fraction(2997, 100)).rate == NTSC
    assert of_rate(Fraction(23976, 1000)).rate == Fraction(24000, 1001)
    assert of_rate(Fraction(179, 6)).rate == Fraction(179, 6)  # 29.83 is none of them
    assert not of_rate(Fraction(24000, 1001)).drop
    assert of_rate(Fraction(30)).at(60) == "00:01:00:00"


def test_a_film_may_begin_at_one_hour() -> None:
    assert of_rate(Fraction(24), start="01:00:00:00").at(1.5) == "01:00:01:12"
    assert of_rate(NTSC, start="01:00:00;00").at(0) == "01:00:00;00"
    assert of_rate(NTSC, drop=False, start="01:00:00:00").at(60) == "01:00:59:28"


@pytest.mark.parametrize(
    "text", ["1:00", "00:61:00:00", "00:00:00:30", "25:00:00:00", "00:01:00;01", "a:b:c:d"]
)
def test_what_is_no_timecode_is_refused_with_what_was_expected(text: str) -> None:
    with pytest.raises(SettingsError, match="timecode"):
        of_rate(NTSC).parse(text)


def test_drop_frame_of_other_rates_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"29\.97 and 59\.94"):
        Timecode(Fraction(25), drop=True)
    with pytest.raises(SettingsError):
        Timecode(Fraction(0))
