"""A timeline as curves of bounded length: what charts, pages and comparisons draw.

A film of three hours has tens of thousands of samples, and a screen a thousand columns. Up to `MAX_POINTS`
samples are points of their own, and a curve keeps its value up to a cut and jumps there. More are averaged
over equal parts of the film's time, each sample weighted by the time that it stands for.

Letters: P points, E emotions in the order of the vocabulary's words, R ratings in that of the scales.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np
from numpy.typing import NDArray

from affectlens.emotions import polarity_signs
from affectlens.film.analysis.curves import error_of_mean
from affectlens.film.timeline import Shot, Timeline, frame_interval
from affectlens.ratings import RatingScale

MAX_POINTS = 900
# Standard errors on both sides of a mean that make its 95 % confidence interval.
CONFIDENT = 1.96
# Share of the film's time; what leads for less is too narrow to be seen.
SHORTEST_RUN = 0.002

Span = tuple[float, float]


@dataclass(frozen=True, eq=False)
class EmotionCurves:
    """What a film evokes over time, as points to draw.

    Attributes:
        begin, end: seconds between which the film was watched
        seconds: (P,) ascending; two points at a cut have the same
        emotions: (P, E) smoothed probabilities
        polarity: (P,) in -1..1, or None
        averaged_over: seconds that each point is the mean over; 0 where points are samples
        ratings: (P, R) smoothed
        unusual, faded: (P,) shares of the point's samples, by time, that are, in 0..1
    """

    begin: float
    end: float
    seconds: NDArray[np.float64]
    emotions: NDArray[np.float64]
    polarity: NDArray[np.float64] | None
    averaged_over: float
    ratings: NDArray[np.float64]
    unusual: NDArray[np.float64]
    faded: NDArray[np.float64]

    def position(self, second: float) -> float:
        """Return where a second lies between begin and end, in 0..1."""
        length = self.end - self.begin
        return min(1.0, max(0.0, (second - self.begin) / length)) if length > 0 else 0.0


@dataclass(frozen=True)
class LeadingRun:
    """A stretch of time in which one emotion is the strongest."""

    emotion: str
    start: float
    end: float


@dataclass(frozen=True)
class RatingCurve:
    """A rating over time, between the ends of the interval of a single picture (`timeline.frame_interval`).

    Attributes:
        values, low, high: (P,) at the seconds of the curves
    """

    scale: RatingScale
    values: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True)
class PolarityBand:
    """A shot's mean polarity and its 95 % confidence interval, cut off at -1 and 1."""

    start: float
    end: float
    mean: float
    low: float
    high: float


def curves(timeline: Timeline, max_points: int = MAX_POINTS) -> EmotionCurves:
    """Reduce a timeline to at most so many points, and two more a cut."""
    begin, end = extent(timeline)
    values = np.array([sample.smoothed for sample in timeline.samples], dtype=np.float64)
    ratings = np.array([s.smoothed_ratings for s in timeline.samples]).reshape(
        len(values), len(timeline.scales)
    )
    marks = [(s.unusual is True, s.faded) for s in timeline.samples]
    unusual, faded = np.array(marks, dtype=np.float64).reshape(-1, 2).T
    polarity = None if timeline.polarity is None else np.array(timeline.polarity, dtype=np.float64)
    if len(values) > max_points:
        edges, spans = np.linspace(begin, end, max_points + 1), sample_spans(timeline)
        return EmotionCurves(
            begin,
            end,
            (edges[:-1] + edges[1:]) / 2,
            _averaged(spans, values, edges),
            None if polarity is None else _averaged(spans, polarity[:, None], edges)[:, 0],
            (end - begin) / max_points,
            _averaged(spans, ratings, edges),
            *_averaged(spans, np.stack([unusual, faded], axis=1), edges).T,
        )
    seconds, samples = _with_cuts(timeline)
    return EmotionCurves(
        begin,
        end,
        seconds,
        values[samples],
        None if polarity is None else polarity[samples],
        0.0,
        ratings[samples],
        unusual[samples],
        faded[samples],
    )


def rating_curves(timeline: Timeline, found: EmotionCurves) -> list[RatingCurve]:
    """Return each rating over time, with the interval of a single picture; none of a model without ratings.

    The interval is that of an unusual picture wherever a part of a point is unusual.
    """
    all_curves = []
    for scale, values in zip(timeline.scales, found.ratings.T, strict=True):
        rows = np.array([
            frame_interval(scale, value, unusual=unusual > 0)
            for value, unusual in zip(values.tolist(), found.unusual.tolist(), strict=True)
        ]).reshape(-1, 3)  # fmt: skip
        all_curves.append(RatingCurve(scale, *rows.T))
    return all_curves


def left_out_spans(timeline: Timeline) -> list[Span]:
    """Return the stretches that unusual and faded samples stand for, those that follow one another as one."""
    marked = zip((sample.is_left_out for sample in timeline.samples), sample_spans(timeline), strict=True)
    found = []
    for is_left_out, group in groupby(marked, key=lambda pair: pair[0]):
        spans = [span for _, span in group]
        if is_left_out and spans[-1][1] > spans[0][0]:
            found.append((spans[0][0], spans[-1][1]))
    return found


def left_out_kinds(timeline: Timeline) -> tuple[bool, bool]:
    """Return whether any sample is unusual, and whether any is faded."""
    samples = timeline.samples
    return any(sample.unusual is True for sample in samples), any(sample.faded for sample in samples)


def extent(timeline: Timeline) -> Span:
    """Return the seconds between which a film was watched; both 0 where it has no shot."""
    if timeline.shots:
        return timeline.shots[0].start, timeline.shots[-1].end
    return 0.0, 0.0


def sample_spans(timeline: Timeline, shot: Shot | None = None) -> list[Span]:
    """Return the time that each sample, or each of a shot, stands for: to the middles between neighbours."""
    found: list[Span] = []
    for each in [shot] if shot else timeline.shots:
        seconds = [sample.second for sample in timeline.samples_of(each)]
        middles = [(one + other) / 2 for one, other in pairwise(seconds)]
        found += pairwise([each.start, *middles, max(each.end, *seconds)])
    return found


def leading_runs(timeline: Timeline) -> list[LeadingRun]:
    """Return stretches in which one emotion is the strongest; very short ones go to the one before."""
    words = timeline.vocabulary.words
    begin, end = extent(timeline)
    shortest = SHORTEST_RUN * (end - begin)
    tops = [words[int(np.argmax(sample.smoothed))] for sample in timeline.samples]
    found: list[LeadingRun] = []
    for emotion, group in groupby(zip(tops, sample_spans(timeline), strict=True), key=lambda pair: pair[0]):
        spans = [span for _, span in group]
        run = LeadingRun(emotion, spans[0][0], spans[-1][1])
        short = found and run.end - run.start < shortest
        if found and (short or found[-1].emotion == emotion):
            run = LeadingRun(found[-1].emotion, found.pop().start, run.end)
        found.append(run)
    return found


def bands(timeline: Timeline, max_bands: int = MAX_POINTS) -> list[PolarityBand]:
    """Return each shot's mean polarity with its interval; of more shots, means over equal parts of time."""
    if timeline.polarity is None:
        return []
    found = [_band(timeline, shot) for shot in timeline.shots if shot.end > shot.start]
    if len(found) <= max_bands:
        return found
    edges = np.linspace(*extent(timeline), max_bands + 1)
    rows = np.array([(band.mean, band.low, band.high) for band in found])
    means = _averaged([(band.start, band.end) for band in found], rows, edges).tolist()
    return [
        PolarityBand(start, end, *row)
        for (start, end), row in zip(pairwise(edges.tolist()), means, strict=True)
    ]


def strip_shots(timeline: Timeline, max_shots: int) -> list[Shot]:
    """Return the shots to show as pictures: all, or of more the longest in each equal part of the time."""
    if len(timeline.shots) <= max_shots:
        return list(timeline.shots)
    begin, end = extent(timeline)
    longest: dict[int, Shot] = {}
    for shot in timeline.shots:
        part = min(max_shots - 1, int((shot.start + shot.end - 2 * begin) / 2 / (end - begin) * max_shots))
        if part not in longest or shot.duration > longest[part].duration:
            longest[part] = shot
    return [longest[part] for part in sorted(longest)]


def _with_cuts(timeline: Timeline) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the points' times, and the index of the sample whose value each has up to the next cut."""
    seconds: list[float] = []
    samples: list[int] = []
    for shot in timeline.shots:
        own = list(range(shot.first, shot.first + shot.count))
        inside = [max(shot.start, timeline.samples[index].second) for index in own]
        seconds += [shot.start, *inside, shot.end]
        samples += [own[0], *own, own[-1]]
    return np.array(seconds), np.array(samples, dtype=np.int64)


def _averaged(
    spans: Sequence[Span], values: NDArray[np.float64], edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Average values that are constant over spans within each part of the time: (S, k) -> (P, k)."""
    times = np.array([spans[0][0], *(stop for _, stop in spans)])
    # The integral of each value up to each time: within a part of the time it is a difference of two.
    integral = np.vstack([np.zeros(values.shape[1]), np.cumsum(np.diff(times)[:, None] * values, axis=0)])
    at_edges = np.empty((len(edges), values.shape[1]))
    for index, column in enumerate(integral.T):
        at_edges[:, index] = np.interp(edges, times, column)
    means: NDArray[np.float64] = np.diff(at_edges, axis=0) / np.diff(edges)[:, None]
    return means


def _band(timeline: Timeline, shot: Shot) -> PolarityBand:
    signs = np.array(list(polarity_signs(timeline.vocabulary).values()))
    # Probability of the words that have a polarity at all.
    share = max(float(np.abs(signs) @ np.array(shot.emotions)), 1e-12)
    mean = float(signs @ np.array(shot.emotions)) / share
    error = CONFIDENT * _polarity_error(timeline, shot, signs) / share
    return PolarityBand(shot.start, shot.end, mean, max(-1.0, mean - error), min(1.0, mean + error))


def _polarity_error(timeline: Timeline, shot: Shot, signs: NDArray[np.int64]) -> float:
    """Return the standard error of a shot's mean polarity, not yet divided by the share with a polarity.

    For a shot with one sample it is computed from the emotions' errors, taken as independent.
    """
    own = slice(shot.first, shot.first + shot.count)
    if shot.count > 1:
        predictions = np.array([sample.emotions for sample in timeline.samples[own]], dtype=np.float64)
        values: NDArray[np.float64] = predictions @ signs
        weights = np.array([stop - start for start, stop in sample_spans(timeline, shot)])
        if weights.sum() > 0:
            return float(error_of_mean(values[:, None], weights)[0])
    return math.sqrt(float(np.square(signs * np.array(shot.error)).sum()))
