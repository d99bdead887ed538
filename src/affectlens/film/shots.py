"""Where shots begin: cuts, fades and dissolves, found while a film is decoded.

Every frame is looked at as a thumbnail of 36 x 64. A frame's distance from another is by how much its colours
and their places differ, where what moved a little has not moved; a brighter or darker frame differs, too.

    cut         one step that is far greater than the film's steps around it, over most of the frame, and that
                is not undone within `LOOK_AHEAD`: what was before does not come back. After a flash it does
    fade        contrast goes down to nothing and up again, at least one of both gradually
    dissolve    frames are mixtures of one before and one after, in shares that grow, and have less contrast
                than either: a camera that moves gives frames of the same contrast (Lienhart, "Reliable
                transition detection in videos: a survey", 2001)

A shot between two flashes of the same scene, or one shorter than `LOOK_AHEAD` that the scene before follows
again, is not found; nor are wipes. Decisions depend on the frames of the last `MEMORY` seconds and on
`Decided` alone, so that a detector can be set up anew in the midst of a film.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Beginning = Literal["start", "cut", "fade", "dissolve"]
Thumbnail = NDArray[np.uint8]  # (ROWS, COLUMNS, 3)

ROWS, COLUMNS = 36, 64
LOOK_AHEAD = 0.3  # seconds for which what was before a cut must not come back
AROUND = 0.6  # seconds before and after a step whose other steps it is compared with
SPANS = (0.5, 1.0, 2.0)  # seconds over which dissolves are looked for
LONGEST_FADE = 2.0  # seconds of its two halves together, as far as it is looked at
DECIDED_AFTER = 2.4  # seconds after which a place is decided
MEMORY = 5.2  # seconds of frames that are held
LEAST_HELD = 4  # frames, however far apart
SPARSE = 0.45  # seconds between frames beyond which there is no looking ahead: keyframes

LEAST_STEP = 0.10  # of a cut, on a scale of 0 to 1
LEAST_SPREAD = 0.4  # of the frame's cells that differ: less is something that moves, or writing
DISSOLVE_SPREAD = 0.6  # the same for the two ends of a dissolve: titles come slowly
CELL_DIFFERS = 8.0  # levels
SPARSE_STEP = 0.3  # of a cut between keyframes, in whose time much may move
TIMES_AROUND = 2.6  # as great as the steps around it
LEAST_KEPT = 0.5  # of the step, by what follows
MOST_MISFIT = 0.65  # of a dissolve: what is no mixture, and contrast that is not lost
LEAST_CONTRAST = 6.5  # of both scenes of a dissolve, in levels
BLANK = 2.5  # standard deviation of brightness, in levels, up to which a frame shows nothing


class Boundary(NamedTuple):
    """Where a shot begins, how, and how many seconds the transition takes; 0 for a cut."""

    second: float
    begins: Beginning
    transition: float = 0.0


@dataclass
class Decided:
    """What a detector carries on beside frames: up to where all is decided, and the last boundary."""

    until: float = float("-inf")
    last: float = float("-inf")


@dataclass(frozen=True)
class _Seen:
    """What is kept of a frame."""

    second: float
    places: NDArray[np.float32]  # (18, 32, 3): brightness, and what red and blue are beyond it
    coarse: NDArray[np.float32]  # (9, 16, 3), the same
    low: NDArray[np.float32]
    high: NDArray[np.float32]  # of each cell and its neighbours
    colours: NDArray[np.float32]  # histogram, sums to 1
    contrast: float
    step: float  # distance from the frame before


class ShotDetector:
    """Tells where shots begin, `DECIDED_AFTER` seconds after they did.

    >>> detector = ShotDetector()
    >>> black, white = np.zeros((36, 64, 3), np.uint8), np.full((36, 64, 3), 255, np.uint8)
    >>> for frame in range(50):
    ...     _ = detector.add(frame / 25, black if frame < 25 else white)
    >>> detector.finish()
    [Boundary(second=1.0, begins='cut', transition=0.0)]
    """

    def __init__(self, decided: Decided | None = None) -> None:
        self.decided = decided or Decided()
        self._frames: deque[_Seen] = deque()
        # What was found out once, by second: it stays, as it depends on near frames alone.
        self._is_cut: dict[float, bool] = {}
        self._mixtures: dict[tuple[float, float], _Mixture | None] = {}

    @property
    def suspects(self) -> bool:
        """Whether the newest frame looks like the first of a shot; what follows may show that it is not."""
        if len(self._frames) < 2:
            return False
        before = [f.step for f in self._frames if f.second > self._frames[-1].second - AROUND][:-1]
        return self._frames[-1].step > _threshold(before)

    def add(self, second: float, thumbnail: Thumbnail) -> list[Boundary]:
        """Look at the next frame; return the boundaries that are decided by now."""
        self._frames.append(_look(second, thumbnail, self._frames[-1] if self._frames else None))
        # Keyframes may be further apart than that: each needs the one before it.
        while len(self._frames) > LEAST_HELD and self._frames[0].second < second - MEMORY:
            self._frames.popleft()
        # In steps of a fixed length, so that it is decided alike wherever a detector was set up.
        until = np.floor((second - DECIDED_AFTER) * 2) / 2
        return self._decide(float(until)) if until > self.decided.until else []

    def finish(self) -> list[Boundary]:
        """Return the boundaries that were not decided yet."""
        return self._decide(float("inf")) if self._frames else []

    def _decide(self, until: float) -> list[Boundary]:
        frames = list(self._frames)
        found = _fades(frames)
        found += [cut for cut in self._cuts(frames) if not any(_covers(fade, cut) for fade in found)]
        found += [
            mixed
            for mixed in self._dissolves(frames)
            if not any(_covers(mixed, other) or _covers(other, mixed, 1.0) for other in found)
        ]
        decided = []
        for boundary in sorted(found):
            gap = 0.08 if boundary.begins == "cut" else 0.3
            in_turn = self.decided.until <= boundary.second < until
            if in_turn and boundary.second - self.decided.last >= gap:
                decided.append(boundary)
                self.decided.last = boundary.second
        self.decided.until = until
        self._forget(frames[0].second)
        return decided

    def _cuts(self, frames: Sequence[_Seen]) -> list[Boundary]:
        seconds = np.array([frame.second for frame in frames])
        steps = np.array([frame.step for frame in frames])
        found = []
        for place in np.flatnonzero(steps > LEAST_STEP).tolist():
            second = float(seconds[place])
            known = self._is_cut.get(second)
            cut = _is_cut(frames, seconds, steps, place) if known is None else known
            if seconds[-1] > second + AROUND:
                self._is_cut[second] = cut
            if cut:
                found.append(Boundary(second, "cut"))
        return found

    def _dissolves(self, frames: Sequence[_Seen]) -> list[Boundary]:
        """Look for mixtures over several spans; of those that overlap, the one that fits best."""
        seconds = np.array([frame.second for frame in frames])
        if len(frames) < 12 or np.median(np.diff(seconds)) > SPARSE / 3:
            return []
        places = np.stack([frame.coarse for frame in frames]).reshape(len(frames), -1)
        for span in SPANS:
            for tenth in range(int(np.ceil(seconds[0] * 10)), int((seconds[-1] - span) * 10)):
                key = (tenth / 10, span)
                if key not in self._mixtures:
                    self._mixtures[key] = _mixture(seconds, places, *key)
        found = sorted(mixture for mixture in self._mixtures.values() if mixture is not None)
        chosen: list[Boundary] = []
        for _, new in found:
            apart = [abs(new.second - c.second) - (new.transition + c.transition) / 2 for c in chosen]
            if min(apart, default=1.0) > 0.2:
                chosen.append(new)
        return chosen

    def _forget(self, before: float) -> None:
        """Drop what was found out about frames that are no longer held."""
        self._is_cut = {second: cut for second, cut in self._is_cut.items() if second >= before}
        self._mixtures = {key: found for key, found in self._mixtures.items() if key[0] >= before}


def _covers(gradual: Boundary, other: Boundary, share: float = 0.5) -> bool:
    """Whether a boundary lies in another's transition: half of it, or all where it lies to one side."""
    return abs(gradual.second - other.second) <= share * gradual.transition + 0.1


# ------------------------------------------------------------------------------------------------ frames

_CHROMA, _LUMA = 8, 16


def _look(second: float, thumbnail: Thumbnail, before: _Seen | None) -> _Seen:
    pixels = thumbnail.astype(np.float32)
    luma = pixels @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    red, blue = pixels[..., 0] - luma, pixels[..., 2] - luma
    opposed = np.stack([luma, red, blue], axis=-1)
    places = _halved(opposed)
    coarse = _halved(places)
    low, high = _neighbours(places)
    seen = _Seen(second, places, coarse, low, high, _colours(luma, red, blue), float(luma.std()), 0.0)
    return seen if before is None else replace(seen, step=distance(before, seen))


def _halved(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of 2 x 2 cells; far quicker than to reshape and to ask for a mean."""
    even, odd = values[0::2], values[1::2]
    return (even[:, 0::2] + even[:, 1::2] + odd[:, 0::2] + odd[:, 1::2]) * np.float32(0.25)


def _neighbours(places: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The least and the greatest value of each cell and the eight around it."""
    low, high = places.copy(), places.copy()
    for values, pick in ((low, np.minimum), (high, np.maximum)):
        before = values.copy()
        pick(values[1:], before[:-1], out=values[1:])
        pick(values[:-1], before[1:], out=values[:-1])
        before = values.copy()
        pick(values[:, 1:], before[:, :-1], out=values[:, 1:])
        pick(values[:, :-1], before[:, 1:], out=values[:, :-1])
    return low, high


def _colours(
    luma: NDArray[np.float32], red: NDArray[np.float32], blue: NDArray[np.float32]
) -> NDArray[np.float32]:
    """A histogram of brightness by colour, smoothed, so that a little more light is a little difference."""
    light = np.minimum(luma * (_LUMA / 256), _LUMA - 1).astype(np.intp)
    reds = ((red + 180) * (_CHROMA / 360)).astype(np.intp).clip(0, _CHROMA - 1)
    blues = ((blue + 226) * (_CHROMA / 452)).astype(np.intp).clip(0, _CHROMA - 1)
    counts = np.bincount(((light * _CHROMA + reds) * _CHROMA + blues).ravel(), minlength=_LUMA * _CHROMA**2)
    cube = counts.reshape(_LUMA, -1).astype(np.float32)
    smooth = 2 * cube
    smooth[1:] += cube[:-1]
    smooth[:-1] += cube[1:]
    total: NDArray[np.float32] = smooth.ravel() / smooth.sum()
    return total


def distance(one: _Seen, other: _Seen) -> float:
    """How unlike two frames are, 0 to 1: the mean of what differs in place and what differs in colours.

    A cell differs by what it lies outside the range of the other frame's cells around it.
    """
    outside = np.maximum(one.places - other.high, other.low - one.places)
    inside = np.maximum(other.places - one.high, one.low - other.places)
    places = float(np.maximum(outside, 0).mean() + np.maximum(inside, 0).mean()) / 2
    colours = float(np.abs(one.colours - other.colours).sum()) / 2
    # Dark frames fill a bin or two, and the least light changes bins: colours count by how much they change.
    change = float(np.abs(one.coarse - other.coarse).mean())
    return 0.5 * min(1.0, places / 30) + 0.5 * colours * min(1.0, change / 6)


# -------------------------------------------------------------------------------------------------- cuts


def _threshold(around: Sequence[float]) -> float:
    """What a step must exceed, by those around it; a few cuts among them do not count."""
    if not around:
        return LEAST_STEP
    usual = float(np.quantile(around, 0.75))
    return max(LEAST_STEP, TIMES_AROUND * usual + 0.03)


def _is_cut(
    frames: Sequence[_Seen], seconds: NDArray[np.float64], steps: NDArray[np.float64], place: int
) -> bool:
    """Whether the step to a frame stands out of those around it, and is not undone."""
    if place == 0 or _spread(frames[place - 1].coarse, frames[place].coarse) < LEAST_SPREAD:
        return False
    if seconds[place] - seconds[place - 1] > SPARSE:
        return bool(steps[place] > SPARSE_STEP)
    near = np.abs(seconds - seconds[place]) <= AROUND
    near[[0, place]] = False
    return bool(steps[place] > _threshold(steps[near].tolist())) and _lasts(frames, place, seconds)


def _spread(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """The share of coarse cells in which two frames differ."""
    apart = np.abs(one - other).reshape(-1, 3).max(axis=1)
    return float((apart > CELL_DIFFERS).mean())


def _lasts(frames: Sequence[_Seen], place: int, seconds: NDArray[np.float64]) -> bool:
    """Whether a step is not undone: neither does what was before come back, nor was it there before."""
    step = frames[place].step
    later = np.flatnonzero((seconds > seconds[place]) & (seconds <= seconds[place] + LOOK_AHEAD))
    earlier = np.flatnonzero((seconds < seconds[place - 1]) & (seconds >= seconds[place - 1] - LOOK_AHEAD))
    comes_back = any(distance(frames[place - 1], frames[i]) < LEAST_KEPT * step for i in later.tolist())
    was_there = any(distance(frames[i], frames[place]) < LEAST_KEPT * step for i in earlier.tolist())
    return not comes_back and not was_there


# ------------------------------------------------------------------------------------------------- fades


def _fades(frames: Sequence[_Seen]) -> list[Boundary]:
    """Runs of frames that show nothing, with something before and after, at least one side gradual."""
    found = []
    for first, last in _runs([frame.contrast <= BLANK for frame in frames]):
        if first == 0 or last == len(frames) - 1:
            continue
        out = _ramp(frames[max(0, first - 200) : first][::-1], frames[first].second)
        into = _ramp(frames[last + 1 : last + 200], frames[last].second)
        if out == into == 0:
            continue
        darkest = (frames[first].second + frames[last].second) / 2
        at = darkest if out and into else frames[last + 1].second if out else frames[first].second
        found.append(Boundary(at, "fade", out + into + frames[last].second - frames[first].second))
    return found


def _runs(flags: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """First and last place of each run of true flags."""
    start = None
    for place, flag in enumerate([*flags, False]):
        if flag and start is None:
            start = place
        elif not flag and start is not None:
            yield start, place - 1
            start = None


def _ramp(frames: Iterable[_Seen], blank_at: float) -> float:
    """Seconds for which contrast changes steadily next to a blank frame; 0 where it does so at once."""
    near = [f for f in frames if abs(f.second - blank_at) <= LONGEST_FADE / 2]
    if len(near) < 3:
        return 0.0
    contrasts = np.array([frame.contrast for frame in near])
    full = contrasts.max()
    steady = 0
    for place, (one, two) in enumerate(pairwise(contrasts), start=1):
        if two < one - 0.03 * full or one >= 0.95 * full:
            break
        steady = place
    partial = np.count_nonzero(contrasts[: steady + 1] < 0.8 * full)
    lasts = abs(near[steady].second - blank_at)
    return float(lasts) if partial >= 2 and lasts >= 0.1 else 0.0


# ---------------------------------------------------------------------------------------------- dissolves


class _Mixture(NamedTuple):
    """A stretch that looks like a dissolve, and how badly it fits one: the less, the better."""

    misfit: float
    boundary: Boundary


def _mixture(
    seconds: NDArray[np.float64],
    places: NDArray[np.float32],
    start: float,
    span: float,
) -> _Mixture | None:
    """Fit frames of a stretch as mixtures of its two ends; None where they are not."""
    first, last = np.searchsorted(seconds, [start, start + span])
    if last - first < 8 or last >= len(seconds):
        return None
    picked = np.unique(np.linspace(first, last, 11).round().astype(int))
    before = places[max(0, first - 2) : first + 1].mean(axis=0)
    after = places[last : last + 3].mean(axis=0)
    change = after - before
    size = float(change @ change)
    if np.abs(change).mean() < 8 or _spread(before, after) < DISSOLVE_SPREAD or _alike(before, after) > 0.7:
        return None
    inner = places[picked]
    shares = (inner - before) @ change / size
    leaps = np.diff(shares)
    # A cut leaps, and a camera's haste or a flash goes back.
    if leaps.max() > 0.4 or leaps.min() < -0.08:
        return None
    rest = inner - before - shares[:, None] * change
    misfit = float(np.sqrt((rest**2).sum(axis=1).mean() / size))
    contrast = _lost_contrast(inner, before, after, shares)
    misfit += max(0.0, contrast)
    if misfit > MOST_MISFIT:
        return None
    times = seconds[picked]
    rising = np.maximum.accumulate(shares)
    low, middle, high = np.interp([0.1, 0.5, 0.9], rising + np.arange(len(rising)) * 1e-9, times)
    return _Mixture(misfit, Boundary(float(middle), "dissolve", float(high - low) / 0.8))


def _alike(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Correlation of two frames' brightness over their cells; 1 where one shows nothing."""
    a, b = one[0::3] - one[0::3].mean(), other[0::3] - other[0::3].mean()
    norm = float(np.sqrt((a @ a) * (b @ b)))
    if min(a.std(), b.std()) < LEAST_CONTRAST:
        return 1.0
    return float(a @ b) / norm


def _lost_contrast(
    inner: NDArray[np.float32],
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    shares: NDArray[np.float32],
) -> float:
    """0 where the middle frames have the contrast of mixtures, 1 where they have that of either end."""
    middle = np.flatnonzero((shares > 0.25) & (shares < 0.75))
    if not len(middle):
        return 1.0
    weight = shares[middle, None]
    mixed = (before + weight * (after - before))[:, 0::3].var(axis=1)
    either = (1 - shares[middle]) * before[0::3].var() + shares[middle] * after[0::3].var()
    there = inner[middle][:, 0::3].var(axis=1)
    return float(((there - mixed) / np.maximum(either - mixed, 1.0)).mean())
