"""A timeline as curves of bounded length: what charts, pages and comparisons draw.

A film of three hours has tens of thousands of judged frames, and a screen a thousand columns. Up to `MOST`
frames are points of their own, and a curve keeps its value up to a cut and jumps there. More are averaged
over equal parts of the film's time, each frame weighted by the time that it stands for.

Letters: P points, E emotions in the order of the vocabulary's words.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np
from numpy.typing import NDArray

from affectlens.film.analysis.curves import error_of_mean
from affectlens.film.report.text import signs
from affectlens.film.timeline import Shot, Timeline

MOST = 900  # points of a curve
CONFIDENT = 1.96  # standard errors on both sides of a mean between which it lies in 95 of 100 cases
SHORTEST_RUN = 0.002  # of the film's time; what leads for less is too narrow to be seen


@dataclass(frozen=True, eq=False)
class Curves:
    """What is drawn of a film.

    Attributes:
        begin, end: seconds of what was watched
        seconds: (P,) in the order of time; two points at a cut have the same
        emotions: (P, E) smoothed probabilities
        polarity: (P,) in -1..1, or None
        averaged: seconds over which a point is averaged; 0 where points are judged frames
    """

    begin: float
    end: float
    seconds: NDArray[np.float64]
    emotions: NDArray[np.float64]
    polarity: NDArray[np.float64] | None
    averaged: float

    def share(self, second: float) -> float:
        """Where in what was watched a second lies, in 0..1."""
        length = self.end - self.begin
        return min(1.0, max(0.0, (second - self.begin) / length)) if length > 0 else 0.0


@dataclass(frozen=True)
class Run:
    """A stretch of time in which one emotion is the strongest."""

    emotion: str
    start: float
    end: float


@dataclass(frozen=True)
class Band:
    """A shot's mean polarity, and the interval in which it lies in 95 of 100 cases, cut at -1 and 1."""

    start: float
    end: float
    mean: float
    low: float
    high: float


def curves(timeline: Timeline, most: int = MOST) -> Curves:
    """Bring a timeline to at most so many points, and two more a cut."""
    begin, end = extent(timeline)
    values = np.array([sample.smoothed for sample in timeline.samples], dtype=np.float64)
    polarity = None if timeline.polarity is None else np.array(timeline.polarity, dtype=np.float64)
    if len(values) > most:
        edges, stretches = np.linspace(begin, end, most + 1), stands_for(timeline)
        return Curves(
            begin,
            end,
            (edges[:-1] + edges[1:]) / 2,
            _averaged(stretches, values, edges),
            None if polarity is None else _averaged(stretches, polarity[:, None], edges)[:, 0],
            (end - begin) / most,
        )
    seconds, places = _with_cuts(timeline)
    return Curves(begin, end, seconds, values[places], None if polarity is None else polarity[places], 0.0)


def extent(timeline: Timeline) -> tuple[float, float]:
    """The seconds between which a film was watched; both 0 of nothing."""
    if timeline.shots:
        return timeline.shots[0].start, timeline.shots[-1].end
    return 0.0, 0.0


def stands_for(timeline: Timeline, shot: Shot | None = None) -> list[tuple[float, float]]:
    """The time that each sample, or each of a shot, stands for: to the middles between neighbours."""
    found: list[tuple[float, float]] = []
    for each in [shot] if shot else timeline.shots:
        seconds = [sample.second for sample in timeline.samples_of(each)]
        middles = [(one + other) / 2 for one, other in pairwise(seconds)]
        found += pairwise([each.start, *middles, max(each.end, *seconds)])
    return found


def runs(timeline: Timeline) -> list[Run]:
    """Stretches in which one emotion is the strongest; very short ones go to the one before."""
    words = timeline.vocabulary.words
    begin, end = extent(timeline)
    least = SHORTEST_RUN * (end - begin)
    tops = [words[int(np.argmax(sample.smoothed))] for sample in timeline.samples]
    found: list[Run] = []
    for emotion, group in groupby(zip(tops, stands_for(timeline), strict=True), key=lambda pair: pair[0]):
        stretches = [stretch for _, stretch in group]
        run = Run(emotion, stretches[0][0], stretches[-1][1])
        short = found and run.end - run.start < least
        if found and (short or found[-1].emotion == emotion):
            run = Run(found[-1].emotion, found.pop().start, run.end)
        found.append(run)
    return found


def bands(timeline: Timeline, most: int = MOST) -> list[Band]:
    """Each shot's mean polarity with its interval; of more than `most`, means over equal parts of time."""
    if timeline.polarity is None:
        return []
    found = [_band(timeline, shot) for shot in timeline.shots if shot.end > shot.start]
    if len(found) <= most:
        return found
    edges = np.linspace(*extent(timeline), most + 1)
    rows = np.array([(band.mean, band.low, band.high) for band in found])
    means = _averaged([(band.start, band.end) for band in found], rows, edges).tolist()
    return [Band(start, end, *row) for (start, end), row in zip(pairwise(edges.tolist()), means, strict=True)]


def strip(timeline: Timeline, most: int) -> list[Shot]:
    """Shots to be shown as pictures: all, or of more than `most` the longest of each equal part of time."""
    if len(timeline.shots) <= most:
        return list(timeline.shots)
    begin, end = extent(timeline)
    parts: dict[int, Shot] = {}
    for shot in timeline.shots:
        place = min(most - 1, int((shot.start + shot.end - 2 * begin) / 2 / (end - begin) * most))
        if place not in parts or shot.duration > parts[place].duration:
            parts[place] = shot
    return [parts[place] for place in sorted(parts)]


def _with_cuts(timeline: Timeline) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Times of points and the number of the sample whose value each has; a value lasts up to the cut."""
    seconds: list[float] = []
    places: list[int] = []
    for shot in timeline.shots:
        own = list(range(shot.first, shot.first + shot.count))
        inside = [max(shot.start, timeline.samples[place].second) for place in own]
        seconds += [shot.start, *inside, shot.end]
        places += [own[0], *own, own[-1]]
    return np.array(seconds), np.array(places, dtype=np.int64)


def _averaged(
    stretches: Sequence[tuple[float, float]], values: NDArray[np.float64], edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean over each part of the time of what stands still over stretches: (S, k) -> (P, k)."""
    times = np.array([stretches[0][0], *(stop for _, stop in stretches)])
    # How much of each value has gone by at each end: what goes by within a part is a difference of two.
    gone = np.vstack([np.zeros(values.shape[1]), np.cumsum(np.diff(times)[:, None] * values, axis=0)])
    at_edges = np.column_stack([np.interp(edges, times, column) for column in gone.T])
    means: NDArray[np.float64] = np.diff(at_edges, axis=0) / np.diff(edges)[:, None]
    return means


def _band(timeline: Timeline, shot: Shot) -> Band:
    sign = np.array([signs(timeline.vocabulary)[word] for word in timeline.vocabulary.words])
    share = max(float(np.abs(sign) @ np.array(shot.emotions)), 1e-12)  # what has a polarity at all
    mean = float(sign @ np.array(shot.emotions)) / share
    error = CONFIDENT * _polarity_error(timeline, shot, sign) / share
    return Band(shot.start, shot.end, mean, max(-1.0, mean - error), min(1.0, mean + error))


def _polarity_error(timeline: Timeline, shot: Shot, sign: NDArray[np.int64]) -> float:
    """Standard error of a shot's mean polarity, before what has no polarity is left out.

    Of a shot with one judged frame it is made of the emotions' errors, taken as independent.
    """
    own = slice(shot.first, shot.first + shot.count)
    if shot.count > 1:
        answers = np.array([sample.emotions for sample in timeline.samples[own]], dtype=np.float64)
        values: NDArray[np.float64] = answers @ sign
        weights = np.array([stop - start for start, stop in stands_for(timeline, shot)])
        if weights.sum() > 0:
            return float(error_of_mean(values[:, None], weights)[0])
    return math.sqrt(float(np.square(sign * np.array(shot.error)).sum()))
