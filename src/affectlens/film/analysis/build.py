"""A `Timeline`, made of a model's predictions and the boundaries of shots."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from affectlens.emotions import EmotionDistribution, NoConversion, Vocabulary, valence_of
from affectlens.errors import OutputError
from affectlens.film.analysis.curves import (
    FloatArray,
    borders_between,
    error_of_mean,
    hellinger,
    rounded,
    smooth,
    uncertainty,
)
from affectlens.film.analysis.moments import examples, moods_and_turns, peaks
from affectlens.film.shots import Boundary, FadeSpan
from affectlens.film.timeline import DIGITS, Counts, Moment, Sample, Shot, Timeline
from affectlens.ratings import AROUSAL, VALENCE, RatingScale
from affectlens.version import VERSION
from affectlens.video import Film


class FramePrediction(NamedTuple):
    """A model's (E,) probabilities for one frame; `reused` where they are those of a frame before.

    `ratings`, (R,), and `unusual` are those of `film.timeline.Sample`.
    """

    second: float
    frame: int | None
    emotions: tuple[float, ...]
    reused: bool = False
    ratings: tuple[float, ...] = ()
    unusual: bool | None = None


@dataclass(frozen=True, kw_only=True)
class AnalysisSettings:
    """How predictions become curves and moments; `film.settings.FilmSettings` explains each setting."""

    half_life: float = 0.5
    prominence: float = 0.1
    distance: float = 5.0
    shortest_mood: float = 2.0


def build(
    film: Film,
    vocabulary: Vocabulary,
    predictions: Iterable[FramePrediction],
    boundaries: Sequence[Boundary],
    analysis: AnalysisSettings,
    *,
    model: str,
    weights_hash: str = "",
    answers_hash: str = "",
    scales: Sequence[RatingScale] = (),
    begin: float = 0.0,
    end: float | None = None,
    settings: Mapping[str, Any] | None = None,
    gaps: Sequence[tuple[float, float]] = (),
    counts: Counts | None = None,
    notes: Sequence[str] = (),
    fades: Sequence[FadeSpan] = (),
) -> Timeline:
    """Make a timeline of a model's predictions and the boundaries of shots.

    A shot without a sample is joined to the one before it. No sample stands for what lies in `gaps`, given in
    seconds. Raises `OutputError` where there is no prediction at all.

    Unusual frames, as those of a title card, and frames that `fades` dim count for nothing but themselves:
    they are left out of the film's means and of those of a shot that has others, of their neighbours'
    smoothed values, and of moments. A shot of such frames alone has their mean, and does not count in the
    film's. Where all frames are such, all count, for there is nothing else. Measured by
    benchmarks/film_ratings.py.
    """
    ordered = sorted({each.second: each for each in predictions}.values())
    if not ordered:
        raise OutputError(f"Of {film.name} not one frame was predicted: there is no timeline to make.")
    end = max(end or 0.0, ordered[-1].second)
    seconds = np.array([each.second for each in ordered])
    emotions = np.array([each.emotions for each in ordered], dtype=np.float64)
    starts = _with_samples(boundaries, seconds, begin)
    numbers = np.searchsorted([b.second for b in starts], seconds + 1e-9, side="right").clip(1)
    edges = [*(boundary.second for boundary in starts), end]
    ratings = np.array([each.ratings for each in ordered], dtype=np.float64)  # (S, R)
    faded = [any(fade.holds(second) for fade in fades) for second in seconds.tolist()]
    counted = _counted(ordered, faded)
    weights = _usual_weights(_weights(seconds, numbers, edges, gaps), counted, numbers)
    smoothed, smoothed_ratings = (_smoothed(each, seconds, weights, numbers, analysis.half_life)
                                  for each in (emotions, ratings))  # fmt: skip
    samples = _samples(ordered, numbers, smoothed, smoothed_ratings, faded)
    shots = _shots(starts, edges, numbers, emotions, ratings, weights, seconds)
    lengths = [float(weights[rows][counted[rows]].sum()) for rows in _rows(numbers)]
    overall, overall_ratings = (
        np.average([getattr(shot, name) for shot in shots], axis=0, weights=lengths)
        for name in ("emotions", "ratings")
    )
    return Timeline(
        film=film,
        model=model,
        weights_hash=weights_hash,
        answers_hash=answers_hash,
        version=VERSION,
        vocabulary=vocabulary,
        settings=dict(settings or {}),
        samples=samples,
        shots=shots,
        moments=_moments(
            emotions[counted],
            smoothed[counted],
            seconds[counted],
            numbers[counted],
            edges,
            vocabulary,
            analysis,
        ),
        emotions=rounded(overall),
        ratings=rounded(overall_ratings),
        scales=tuple(scales),
        polarity=_polarity(samples, vocabulary),
        valence=_rated(VALENCE, samples, scales) or _valence(samples, vocabulary),
        arousal=_rated(AROUSAL, samples, scales),
        gaps=tuple(gaps),
        counts=counts or Counts(),
        notes=tuple(notes),
    )


def shots_without_samples(
    boundaries: Sequence[Boundary], seconds: Sequence[float], begin: float, end: float
) -> list[float]:
    """Middles, in seconds, of the shots without a sample."""
    starts = [begin, *(b.second for b in boundaries if b.second > begin)]
    edges = np.array([*starts, end])
    counts = np.histogram(seconds, bins=edges)[0] if len(edges) > 1 and np.all(np.diff(edges) > 0) else [1]
    return [float(edges[i] + edges[i + 1]) / 2 for i, count in enumerate(counts) if not count]


def _with_samples(boundaries: Sequence[Boundary], seconds: FloatArray, begin: float) -> list[Boundary]:
    """The shots' beginnings, the film's first; without those of shots that hold no sample."""
    starts = [Boundary(begin, "start"), *(b for b in sorted(boundaries) if b.second > begin)]
    ends = [*(b.second for b in starts[1:]), float("inf")]
    kept = [
        start
        for start, end in zip(starts, ends, strict=True)
        if start.begins == "start" or np.any((seconds >= start.second - 1e-9) & (seconds < end - 1e-9))
    ]
    if len(kept) > 1 and not np.any(seconds < kept[1].second - 1e-9):  # nothing in the first one
        kept = [kept[0], *kept[2:]]
    return kept


def _counted(predictions: Sequence[FramePrediction], faded: Sequence[bool]) -> NDArray[np.bool_]:
    """Which frames count in what is more than themselves: the usual ones in no fade, or all where none is."""
    usual = np.array([each.unusual is not True for each in predictions]) & ~np.array(faded)
    return usual if usual.any() else np.ones_like(usual)


def _usual_weights(weights: FloatArray, counted: NDArray[np.bool_], numbers: NDArray[np.int64]) -> FloatArray:
    """Take the weight from frames that do not count, in shots that have others: (S,) -> (S,)."""
    kept = np.where(counted, weights, 0.0)
    for rows in _rows(numbers):
        if not counted[rows].any():
            kept[rows] = weights[rows]
    return kept


def _smoothed(
    values: FloatArray, seconds: FloatArray, weights: FloatArray, numbers: NDArray[np.int64], half_life: float
) -> FloatArray:
    """Smooth the values of each shot: (S, k) -> (S, k)."""
    return np.concatenate(
        [smooth(values[rows], seconds[rows], weights[rows], half_life) for rows in _rows(numbers)]
    )


def _samples(
    predictions: Sequence[FramePrediction],
    numbers: NDArray[np.int64],
    smoothed: FloatArray,
    smoothed_ratings: FloatArray,
    faded: Sequence[bool],
) -> tuple[Sample, ...]:
    return tuple(
        Sample(
            second=each.second,
            frame=each.frame,
            shot=int(number),
            emotions=each.emotions,
            smoothed=rounded(row),
            uncertainty=round(uncertainty(each.emotions), DIGITS),
            reused=each.reused,
            ratings=each.ratings,
            smoothed_ratings=rounded(rated),
            unusual=each.unusual,
            faded=is_faded,
        )
        for each, number, row, rated, is_faded in zip(
            predictions, numbers, smoothed, smoothed_ratings, faded, strict=True
        )
    )


def _moments(
    emotions: FloatArray,
    smoothed: FloatArray,
    seconds: FloatArray,
    numbers: NDArray[np.int64],
    edges: Sequence[float],
    vocabulary: Vocabulary,
    analysis: AnalysisSettings,
) -> tuple[Moment, ...]:
    found = peaks(smoothed, seconds, numbers, vocabulary, analysis.prominence, analysis.distance)
    return (
        *sorted(found, key=lambda peak: -(peak.prominence or 0.0)),
        *moods_and_turns(smoothed, seconds, numbers, edges, vocabulary, analysis.shortest_mood),
        *examples(emotions, seconds, numbers, vocabulary),
    )


def _weights(
    seconds: FloatArray,
    numbers: NDArray[np.int64],
    edges: Sequence[float],
    gaps: Sequence[tuple[float, float]],
) -> FloatArray:
    """Seconds that each sample stands for: what is nearer to it than to others of its shot, and in no gap."""
    borders = borders_between(seconds, numbers, edges)
    unknown = [np.minimum(borders[1:], end) - np.maximum(borders[:-1], begin) for begin, end in gaps]
    lengths = np.diff(borders) - sum(np.maximum(part, 0) for part in unknown)
    result: FloatArray = np.maximum(lengths, 1e-6)
    return result


def _rows(numbers: NDArray[np.int64]) -> Iterator[slice]:
    """The samples of each shot in turn."""
    edges = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
    for first, last in pairwise(edges):
        yield slice(first, last)


def _shots(
    starts: Sequence[Boundary],
    edges: Sequence[float],
    numbers: NDArray[np.int64],
    emotions: FloatArray,
    ratings: FloatArray,
    weights: FloatArray,
    seconds: FloatArray,
) -> tuple[Shot, ...]:
    means, errors, rows = [], [], list(_rows(numbers))
    apart = []
    for row in rows:
        mean = np.average(emotions[row], axis=0, weights=weights[row])
        means.append(mean)
        own = np.flatnonzero(weights[row]) + row.start
        errors.append(error_of_mean(emotions[own], weights[own]))
        apart.append(emotions[own] - mean)
    several = [part for part in apart if len(part) > 1]
    # How the frames of a shot with one sample differ is unknown: as those of other shots do, or at most.
    usual = np.sqrt((np.concatenate(several) ** 2).mean(axis=0)) if several else None
    shots = []
    for index, (row, mean, error) in enumerate(zip(rows, means, errors, strict=True)):
        alone = np.sqrt(mean * (1 - mean)) if usual is None else usual
        shots.append(
            Shot(
                number=index + 1,
                start=float(edges[index]),
                end=float(edges[index + 1]),
                begins=starts[index].begins,
                transition=round(starts[index].transition, 3),
                emotions=rounded(mean),
                error=rounded(np.where(np.isnan(error), alone, error)),
                key_second=_key_second(emotions[row], mean, weights[row], seconds[row]),
                first=row.start,
                count=row.stop - row.start,
                ratings=rounded(np.average(ratings[row], axis=0, weights=weights[row])),
            )
        )
    return tuple(shots)


def _key_second(emotions: FloatArray, mean: FloatArray, weights: FloatArray, seconds: FloatArray) -> float:
    """Timestamp of the frame that is most like a shot's mean, of those that count in it."""
    return float(seconds[np.where(weights > 0, hellinger(emotions, mean), np.inf).argmin()])


def _rated(name: str, samples: Sequence[Sample], scales: Sequence[RatingScale]) -> tuple[float, ...] | None:
    """Smoothed values of a rating that the model predicts; None where it does not."""
    names = [scale.name for scale in scales]
    if name not in names:
        return None
    return tuple(sample.smoothed_ratings[names.index(name)] for sample in samples)


def _polarity(samples: Sequence[Sample], vocabulary: Vocabulary) -> tuple[float, ...] | None:
    try:
        found = [EmotionDistribution(vocabulary, s.smoothed).polarity.probabilities for s in samples]
    except NoConversion:
        return None
    return tuple(round(positive - negative, DIGITS) for positive, negative in found)


def _valence(samples: Sequence[Sample], vocabulary: Vocabulary) -> tuple[float, ...] | None:
    found = [valence_of(EmotionDistribution(vocabulary, sample.smoothed)) for sample in samples]
    known = [round(value, DIGITS) for value in found if value is not None]
    return tuple(known) if known and len(known) == len(found) else None
