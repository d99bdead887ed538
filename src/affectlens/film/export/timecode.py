"""Timecode as editing systems count it: seconds -> frames -> HH:MM:SS:FF, without an error that grows.

A timecode names a frame by its number, counted at the nominal rate: 30 to the second for a film of
30000/1001 = 29.97 frames a second. An hour of such timecode therefore lasts 3.6 s longer than an hour.
Drop-frame timecode corrects that by leaving out numbers, never frames: of every minute the first two (four at
59.94), except of minutes 00, 10, 20, 30, 40 and 50. It is written HH:MM:SS;FF, with a semicolon. 23.976 is
never counted like this.

Source: SMPTE ST 12-1:2014, "Time and Control Code", section 5.2.
"""

from dataclasses import dataclass
from fractions import Fraction

from affectlens.errors import SettingsError

HOUR = 3600
# Of these nominal rates, films at 1000/1001 of them are counted with dropped numbers.
_DROPPED = {30: 2, 60: 4}
_NTSC = Fraction(1000, 1001)
# A container may hold 2997/100 or 19001/634 where it means 30000/1001: nearer to that than to 30 by far.
_NEAR = Fraction(1, 5000)


@dataclass(frozen=True)
class Timecode:
    """How the frames of a film are counted.

    Attributes:
        rate: frames a second, exact
        drop: whether numbers are left out, so that timecode keeps to the clock
        start: number of the film's first frame; editing systems often start at 01:00:00:00
    """

    rate: Fraction
    drop: bool = False
    start: int = 0

    def __post_init__(self) -> None:
        if self.rate <= 0:
            raise SettingsError(f"A film has more than {self.rate} frames a second.")
        if self.drop and self.nominal not in _DROPPED:
            raise SettingsError(
                f"Drop-frame timecode counts 29.97 and 59.94 frames a second, not {self.name}."
            )

    @property
    def nominal(self) -> int:
        """Frames counted to a second: 30 for 29.97."""
        return max(1, round(self.rate))

    @property
    def name(self) -> str:
        """The rate as editors write it: 25, 23.976, 29.97 drop-frame.

        >>> of_rate(Fraction(30000, 1001)).name, of_rate(Fraction(25)).name
        ('29.97 drop-frame', '25')
        """
        shown = f"{float(self.rate):.3f}".rstrip("0").rstrip(".")
        return f"{shown} drop-frame" if self.drop else shown

    def frame(self, seconds: float | Fraction) -> int:
        """Return the number, from 0 at the film's start, of the frame whose time is nearest to `seconds`."""
        return max(0, round(Fraction(seconds) * self.rate))

    def at(self, seconds: float | Fraction) -> str:
        """Return the timecode of the frame at `seconds` from the film's start.

        >>> of_rate(Fraction(25)).at(61.2)
        '00:01:01:05'
        >>> of_rate(Fraction(30000, 1001)).at(60.06)
        '00:01:00;02'
        """
        return self.of_frame(self.frame(seconds))

    def of_frame(self, frame: int) -> str:
        """Return the timecode of a frame, counted from 0 at the film's start; it starts over after 24 h."""
        number = self._with_dropped(frame + self.start) % (24 * HOUR * self.nominal)
        seconds, frames = divmod(number, self.nominal)
        minutes, seconds = divmod(seconds, 60)
        hours, minutes = divmod(minutes, 60)
        mark = ";" if self.drop else ":"
        digits = max(2, len(str(self.nominal - 1)))
        return f"{hours:02}:{minutes:02}:{seconds:02}{mark}{frames:0{digits}}"

    def parse(self, text: str) -> int:
        """Return the number of the frame that a timecode names, counted from 0 at timecode zero.

        Raises `SettingsError` for what is not a timecode, or a number that is left out.

        >>> of_rate(Fraction(30000, 1001)).parse("01:00:00;00")
        107892
        """
        try:
            hours, minutes, seconds, frames = (int(part) for part in text.replace(";", ":").split(":"))
        except ValueError:
            raise SettingsError(
                f"{text!r} is not a timecode. Expected HH:MM:SS:FF, like 01:00:00:00."
            ) from None
        if not (0 <= hours < 24 and 0 <= minutes < 60 and 0 <= seconds < 60 and 0 <= frames < self.nominal):
            raise SettingsError(
                f"{text!r} is not a timecode of {self.name} frames a second. Expected HH:MM:SS:FF up to "
                f"23:59:59:{self.nominal - 1:02}."
            )
        number = ((hours * 60 + minutes) * 60 + seconds) * self.nominal + frames
        if not self.drop:
            return number
        left_out = _DROPPED[self.nominal]
        if not seconds and minutes % 10 and frames < left_out:
            raise SettingsError(f"{text!r} is a number that drop-frame timecode leaves out.")
        whole = hours * 60 + minutes
        return number - left_out * (whole - whole // 10)

    def _with_dropped(self, frame: int) -> int:
        """Return the number of a frame where some are left out; the frame itself where none are."""
        if not self.drop:
            return frame
        left_out = _DROPPED[self.nominal]
        minute = 60 * self.nominal - left_out  # frames of a minute in which numbers are left out
        ten = 10 * minute + left_out
        tens, rest = divmod(frame, ten)
        within = max(0, (rest - left_out) // minute)
        return frame + left_out * (9 * tens + within)


def of_rate(rate: Fraction, drop: bool | None = None, start: str | None = None) -> Timecode:
    """Return the usual timecode for a frame rate: drop-frame for 29.97 and 59.94 frames a second.

    `drop` chooses explicitly; `start` is the timecode of the first frame. Raises `SettingsError`.
    """
    exact = _exact(rate)
    dropped = exact / _NTSC in _DROPPED if drop is None else drop
    timecode = Timecode(exact, dropped)
    return Timecode(exact, dropped, timecode.parse(start)) if start else timecode


# Frames a second of sequences; 23.976 and 24 hold films that are slower than either alike.
_USUAL = (Fraction(24), Fraction(25), 30 * _NTSC, Fraction(30), Fraction(50), 60 * _NTSC, Fraction(60))


def usual_rate(mean: Fraction) -> Fraction:
    """Return at which rate editing systems hold a film of uneven rate: the least usual one that suffices.

    >>> usual_rate(Fraction("14.367")), usual_rate(Fraction("29.4")), usual_rate(Fraction(90))
    (Fraction(24, 1), Fraction(30000, 1001), Fraction(90, 1))
    """
    return next((rate for rate in _USUAL if rate >= mean * (1 - _NEAR)), mean)


def _exact(rate: Fraction) -> Fraction:
    """Return the rate that is meant: a usual one of which the file's is a rounding, else the file's own."""
    for nominal in (24, 25, 30, 48, 50, 60, 100, 120):
        for meant in (Fraction(nominal), nominal * _NTSC):
            if abs(rate / meant - 1) < _NEAR:
                return meant
    return rate
