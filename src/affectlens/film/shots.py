"""Where shots begin: cuts, fades and dissolves, found while a film is decoded.

Every frame is compared as a thumbnail of 36 x 64. A frame's distance from another is by how much its colours
and their positions differ, where what moved a little has not moved; a brighter or darker frame differs, too.

    cut         one step that is far greater than the film's steps around it, over most of the frame, and that
                is not undone within `LOOK_AHEAD`: what was before does not return. After a flash it does
    fade        contrast goes down to nothing and up again, at least one of both gradually
                Frames that it dims are known as well (`ShotDetector.fades`), also where a film begins or ends
                with it
    dissolve    frames are mixtures of one before and one after, in shares that grow, and have less contrast
                than either: a camera that moves gives frames of the same contrast (Lienhart, "Reliable
                transition detection in videos: a survey", 2001)

A shot between two flashes of the same scene, or one shorter than `LOOK_AHEAD` that the scene before follows
again, is not found; nor are wipes. Decisions depend on the frames of the last `MEMORY` seconds and on
`Decided` alone, so that a new detector can continue in the middle of a film.
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
# Seconds for which what was before a cut must not return.
LOOK_AHEAD = 0.3
# Seconds before and after a step whose other steps it is compared with.
AROUND = 0.6
# Spans in seconds over which dissolves are searched.
SPANS = (0.5, 1.0, 2.0)
# Seconds of a fade's two halves together, as far as they are examined.
LONGEST_FADE = 2.0
# Seconds after which it is decided whether a shot begins at a frame.
DECIDED_AFTER = 2.4
# Seconds of frames that are held, and the least number of frames, however far apart.
MEMORY, LEAST_HELD = 5.2, 4
# Seconds between frames beyond which there is no looking ahead: keyframes.
SPARSE = 0.45

# Least step of a cut, on a scale of 0 to 1; between keyframes, in whose time much may move; and by how many
# times it must exceed the steps around it.
LEAST_STEP, SPARSE_STEP, TIMES_AROUND = 0.10, 0.3, 2.6
# Least share of a step that must remain in what follows.
LEAST_KEPT = 0.5
# Least share of the frame's cells that differ at a cut: less is something that moves, or writing; and between
# the two ends of a dissolve: titles come slowly.
LEAST_SPREAD, DISSOLVE_SPREAD = 0.4, 0.6
# Levels from which on a cell differs.
CELL_DIFFERS = 8.0
# Greatest misfit of a dissolve: what is not a mixture, and contrast that is not lost.
MOST_MISFIT = 0.65
# Least contrast of both scenes of a dissolve, in levels.
LEAST_CONTRAST = 6.5
# Standard deviation of brightness, in levels, up to which a frame shows nothing.
BLANK = 2.5
# Seconds of either half of a fade in which dimmed frames are searched: as far as what is held reaches.
LONGEST_HALF = 1.8
# Share of its contrast below which a fade dims a frame; and by how much more contrast must be near within so
# many seconds where a fade goes on.
DIMMED, GROWS, GROWS_WITHIN = 0.8, 1.05, 0.25


class FadeSpan(NamedTuple):
    """Seconds from the first to the last frame that one half of a fade dims, the one that shows nothing
    included.
    """

    begin: float
    end: float

    def holds(self, second: float) -> bool:
        """Whether a frame lies in it."""
        return self.begin <= second <= self.end


class Boundary(NamedTuple):
    """Where a shot begins, how, and how many seconds the transition takes; 0 for a cut."""

    second: float
    begins: Beginning
    transition: float = 0.0


@dataclass
class Decided:
    """A detector's state next to its frames: the second up to which all is decided, the last boundary."""

    until: float = float("-inf")
    last: float = float("-inf")


@dataclass(frozen=True)
class _Seen:
    """Features of a frame.

    Attributes:
        second: its timestamp
        cells: (18, 32, 3) brightness, and what red and blue are beyond it
        coarse: (9, 16, 3), the same
        low, high: (18, 32, 3) least and greatest value of each cell and its neighbours
        colours: histogram, sums to 1
        contrast: standard deviation of brightness, in levels
        step: distance from the frame before
    """

    second: float
    cells: NDArray[np.float32]
    coarse: NDArray[np.float32]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    colours: NDArray[np.float32]
    contrast: float
    step: float


class ShotDetector:
    """Finds where shots begin, `DECIDED_AFTER` seconds after they did.

    >>> detector = ShotDetector()
    >>> black, white = np.zeros((36, 64, 3), np.uint8), np.full((36, 64, 3), 255, np.uint8)
    >>> for frame in range(50):
    ...     _ = detector.add(frame / 25, black if frame < 25 else white)
    >>> detector.finish()
    [Boundary(second=1.0, begins='cut', transition=0.0)]
    """

    def __init__(self, decided: Decided | None = None) -> None:
        self.decided = decided or Decided()
        # Those decided by now; a reader may empty the list.
        self.fades: list[FadeSpan] = []
        self._frames: deque[_Seen] = deque()
        # Cached by second: both depend only on the frames around it.
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
        """Add the next frame; return the boundaries that are decided by now."""
        self._frames.append(_look(second, thumbnail, self._frames[-1] if self._frames else None))
        # Keyframes may be further apart than that: each needs the one before it.
        while len(self._frames) > LEAST_HELD and self._frames[0].second < second - MEMORY:
            self._frames.popleft()
        # In steps of a fixed length, so that decisions are the same wherever a detector started.
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
        self.fades += [span for edge, span in _dimmed(frames) if span and self.decided.until <= edge < until]
        self.decided.until = until
        self._forget(frames[0].second)
        return decided

    def _cuts(self, frames: Sequence[_Seen]) -> list[Boundary]:
        seconds = np.array([frame.second for frame in frames])
        steps = np.array([frame.step for frame in frames])
        found = []
        for index in np.flatnonzero(steps > LEAST_STEP).tolist():
            second = float(seconds[index])
            known = self._is_cut.get(second)
            cut = _is_cut(frames, seconds, steps, index) if known is None else known
            if seconds[-1] > second + AROUND:
                self._is_cut[second] = cut
            if cut:
                found.append(Boundary(second, "cut"))
        return found

    def _dissolves(self, frames: Sequence[_Seen]) -> list[Boundary]:
        """Search mixtures over several spans; of those that overlap, return the one that fits best."""
        seconds = np.array([frame.second for frame in frames])
        if len(frames) < 12 or np.median(np.diff(seconds)) > SPARSE / 3:
            return []
        cells = np.stack([frame.coarse for frame in frames]).reshape(len(frames), -1)
        for span in SPANS:
            for tenth in range(int(np.ceil(seconds[0] * 10)), int((seconds[-1] - span) * 10)):
                key = (tenth / 10, span)
                if key not in self._mixtures:
                    self._mixtures[key] = _mixture(seconds, cells, *key)
        found = sorted(mixture for mixture in self._mixtures.values() if mixture is not None)
        chosen: list[Boundary] = []
        for _, new in found:
            apart = [abs(new.second - c.second) - (new.transition + c.transition) / 2 for c in chosen]
            if min(apart, default=1.0) > 0.2:
                chosen.append(new)
        return chosen

    def _forget(self, before: float) -> None:
        """Drop what is cached for frames that are no longer held."""
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
    cells = _halved(opposed)
    coarse = _halved(cells)
    low, high = _neighbours(cells)
    seen = _Seen(second, cells, coarse, low, high, _colours(luma, red, blue), float(luma.std()), 0.0)
    return seen if before is None else replace(seen, step=distance(before, seen))


def _halved(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of 2 x 2 cells; far quicker than `reshape` and `mean`."""
    even, odd = values[0::2], values[1::2]
    return (even[:, 0::2] + even[:, 1::2] + odd[:, 0::2] + odd[:, 1::2]) * np.float32(0.25)


def _neighbours(cells: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The least and the greatest value of each cell and the eight around it."""
    low, high = cells.copy(), cells.copy()
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
    """How unlike two frames are, 0 to 1: the mean of how cells differ and how colours differ.

    The difference of a cell is how far it lies outside the range of the other frame's cells around it.
    """
    outside = np.maximum(one.cells - other.high, other.low - one.cells)
    inside = np.maximum(other.cells - one.high, one.low - other.cells)
    cells = float(np.maximum(outside, 0).mean() + np.maximum(inside, 0).mean()) / 2
    colours = float(np.abs(one.colours - other.colours).sum()) / 2
    # Dark frames fill a bin or two, and the least light changes bins: colours count by how much they change.
    change = float(np.abs(one.coarse - other.coarse).mean())
    return 0.5 * min(1.0, cells / 30) + 0.5 * colours * min(1.0, change / 6)


# -------------------------------------------------------------------------------------------------- cuts


def _threshold(around: Sequence[float]) -> float:
    """What a step must exceed, by those around it; a few cuts among them do not count."""
    if not around:
        return LEAST_STEP
    usual = float(np.quantile(around, 0.75))
    return max(LEAST_STEP, TIMES_AROUND * usual + 0.03)


def _is_cut(
    frames: Sequence[_Seen], seconds: NDArray[np.float64], steps: NDArray[np.float64], index: int
) -> bool:
    """Whether the step to a frame exceeds those around it, and is not undone."""
    if index == 0 or _spread(frames[index - 1].coarse, frames[index].coarse) < LEAST_SPREAD:
        return False
    if seconds[index] - seconds[index - 1] > SPARSE:
        return bool(steps[index] > SPARSE_STEP)
    near = np.abs(seconds - seconds[index]) <= AROUND
    near[[0, index]] = False
    return bool(steps[index] > _threshold(steps[near].tolist())) and _lasts(frames, index, seconds)


def _spread(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """The share of coarse cells in which two frames differ."""
    apart = np.abs(one - other).reshape(-1, 3).max(axis=1)
    return float((apart > CELL_DIFFERS).mean())


def _lasts(frames: Sequence[_Seen], index: int, seconds: NDArray[np.float64]) -> bool:
    """Whether a step is not undone: what was before does not return, and what follows is new."""
    step = frames[index].step
    later = np.flatnonzero((seconds > seconds[index]) & (seconds <= seconds[index] + LOOK_AHEAD))
    earlier = np.flatnonzero((seconds < seconds[index - 1]) & (seconds >= seconds[index - 1] - LOOK_AHEAD))
    returns = any(distance(frames[index - 1], frames[i]) < LEAST_KEPT * step for i in later.tolist())
    was_there = any(distance(frames[i], frames[index]) < LEAST_KEPT * step for i in earlier.tolist())
    return not returns and not was_there


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


def _dimmed(frames: Sequence[_Seen]) -> Iterator[tuple[float, FadeSpan | None]]:
    """Find the frames that each half of a fade dims; before each, when the blank frame next to them is."""
    for first, last in _runs([frame.contrast <= BLANK for frame in frames]):
        if first > 0:
            edge = frames[first].second
            dimmest = _end_of_dimmed(frames[:first][::-1], edge)
            yield edge, None if dimmest is None else FadeSpan(dimmest, edge)
        if last < len(frames) - 1:
            edge = frames[last].second
            dimmest = _end_of_dimmed(frames[last + 1 :], edge)
            yield edge, None if dimmest is None else FadeSpan(edge, dimmest)


def _end_of_dimmed(frames: Iterable[_Seen], blank_at: float) -> float | None:
    """Timestamp of the last of the frames, from a blank one on, that a gradual change dims; None where
    contrast is there at once.
    """
    near = [each for each in frames if abs(each.second - blank_at) <= LONGEST_HALF]
    apart = [abs(each.second - blank_at) for each in near]
    full = 0
    for full, frame in enumerate(near):
        nearby = [n.contrast for n, a in zip(near, apart, strict=True) if 0 < a - apart[full] <= GROWS_WITHIN]
        if max(nearby, default=0.0) <= GROWS * frame.contrast:
            break
    dimmed = [each.second for each in near[:full] if each.contrast < DIMMED * near[full].contrast]
    return dimmed[-1] if len(dimmed) >= 2 and abs(dimmed[-1] - blank_at) >= 0.1 else None


def _runs(flags: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """First and last index of each run of true flags."""
    start = None
    for index, flag in enumerate([*flags, False]):
        if flag and start is None:
            start = index
        elif not flag and start is not None:
            yield start, index - 1
            start = None


def _ramp(frames: Iterable[_Seen], blank_at: float) -> float:
    """Seconds for which contrast changes steadily next to a blank frame; 0 where it changes at once."""
    near = [f for f in frames if abs(f.second - blank_at) <= LONGEST_FADE / 2]
    if len(near) < 3:
        return 0.0
    contrasts = np.array([frame.contrast for frame in near])
    full = contrasts.max()
    steady = 0
    for index, (one, two) in enumerate(pairwise(contrasts), start=1):
        if two < one - 0.03 * full or one >= 0.95 * full:
            break
        steady = index
    partial = np.count_nonzero(contrasts[: steady + 1] < 0.8 * full)
    lasts = abs(near[steady].second - blank_at)
    return float(lasts) if partial >= 2 and lasts >= 0.1 else 0.0


# ---------------------------------------------------------------------------------------------- dissolves


class _Mixture(NamedTuple):
    """A stretch that looks like a dissolve, and how badly it fits one: the smaller, the better."""

    misfit: float
    boundary: Boundary


def _mixture(
    seconds: NDArray[np.float64],
    cells: NDArray[np.float32],
    start: float,
    span: float,
) -> _Mixture | None:
    """Fit frames of a stretch as mixtures of its two ends; None where they are not."""
    first, last = np.searchsorted(seconds, [start, start + span])
    if last - first < 8 or last >= len(seconds):
        return None
    picked = np.unique(np.linspace(first, last, 11).round().astype(int))
    before = cells[max(0, first - 2) : first + 1].mean(axis=0)
    after = cells[last : last + 3].mean(axis=0)
    change = after - before
    size = float(change @ change)
    if np.abs(change).mean() < 8 or _spread(before, after) < DISSOLVE_SPREAD or _alike(before, after) > 0.7:
        return None
    inner = cells[picked]
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
