"""Two films, or two cuts of one film, compared: how what they evoke differs, and where.

Films are aligned in one of two ways, and the result names it:

    time    by relative position: the beginning with the beginning, the middle with the middle
    shots   two cuts of one film: each shot that is in both with itself, and the shots that are in one alone

A shot is in both where the predictions agree: its first sample, or its mean, is within `SAME_SHOT` of the
other's, and the order of shots is the same. Of all ways to pair shots in order, the one that covers most
time is taken. Pictures are not compared, so two shots that evoke the same may be taken for one.

Unusual and faded frames, of which predictions mean little, are in no difference, as they are in no mean:
parts of the time and shots that show them in either film are left out, unless a film has no others.

Letters: A, B shots of the two films, P parts of the time, E emotions, R ratings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from affectlens.emotions import Vocabulary, polarity_score
from affectlens.errors import SettingsError
from affectlens.files import atomic_write, json_text
from affectlens.film.report.curves import EmotionCurves, Span, curves, extent
from affectlens.film.timeline import Shot, Timeline

Alignment = Literal["time", "shots"]
# Total variation distance between two predictions for one picture, coded twice; unlike pictures differ more.
SAME_SHOT = 0.04
# Total variation distance below which two stretches are not reported as different.
MIN_DISTANCE = 0.001
# Share of the shorter film's time that is in both, from which on they are taken for two cuts of one film.
MIN_SHARED = 0.5
# Pairs of shots up to which films are compared by shots: some hundred megabytes, films of 5,000 shots each.
MAX_PAIRS = 25_000_000
# Share of a point's frames that are unusual or faded, from which on it is left out.
_LEFT_OUT = 0.5
# Equal parts of the time.
PARTS = 100
# Parts in a stretch that is reported: shorter ones mean nothing in two different films.
_PARTS_REPORTED = PARTS // 20


@dataclass(frozen=True)
class AlignedSpan:
    """A stretch of one film and the one of the other that it is compared with.

    Attributes:
        one, other: seconds in each
        distance: total variation distance of what they evoke, 0..1
        more, less: the emotion that gains most from the first film to the second, and the one that loses most
        ratings: by name, how much higher the second film's is
    """

    one: Span
    other: Span
    distance: float
    more: str
    less: str
    ratings: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class RatingDifference:
    """A rating that both films have, on one scale.

    Attributes:
        one, other: mean of each film
        distance: mean absolute difference over time, or over the time of shots in both; None without such
    """

    name: str
    one: float
    other: float
    distance: float | None


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two films compared.

    Attributes:
        alignment: how they were aligned
        one, other: the films
        pairs: numbers of shots that are in both
        only_one, only_other: shots that are in one film alone; none where films are compared by time
        spans: where they differ most, the most first; none where they hardly do
        mean_distance: mean total variation distance over time, or over the time of shots in both: 0..1
        compared: share of that time of which it is the mean: what shows unusual or faded frames is left out
        ratings: those that both films have, as valence and arousal
    """

    alignment: Alignment
    one: Timeline
    other: Timeline
    pairs: tuple[tuple[int, int], ...]
    only_one: tuple[Shot, ...]
    only_other: tuple[Shot, ...]
    spans: tuple[AlignedSpan, ...]
    mean_distance: float
    ratings: tuple[RatingDifference, ...] = ()
    compared: float = 1.0

    @property
    def means(self) -> list[tuple[str, float, float]]:
        """What each film evokes over its full length: (emotion, first, second)."""
        return list(zip(self.one.vocabulary.words, self.one.emotions, self.other.emotions, strict=True))

    @property
    def polarities(self) -> tuple[float | None, float | None]:
        """The polarity of each film, in -1..1; None where what it evokes has none."""
        first, second = (polarity_score(each.distribution(each.emotions)) for each in (self.one, self.other))
        return first, second

    def to_json(self) -> dict[str, Any]:
        """Return plain data; ratings only of films that have some."""
        return {
            "films": [self.one.film.name, self.other.film.name],
            "models": [
                {
                    "model": each.model, "weights": each.weights_hash, "version": each.version,
                    **({"answers": each.answers_hash} if each.answers_hash else {}),
                }
                for each in (self.one, self.other)
            ],
            "alignment": self.alignment,
            "means": {word: [first, second, second - first] for word, first, second in self.means},
            "polarity": self.polarities,
            **({"ratings": self._ratings_as_plain()} if self.ratings else {}),
            "arc_difference": self.mean_distance,
            **({"compared": self.compared} if self.compared < 1 else {}),
            "pairs": [list(pair) for pair in self.pairs],
            "only_in_first": [shot.number for shot in self.only_one],
            "only_in_second": [shot.number for shot in self.only_other],
            "places": [
                {
                    "one": s.one, "other": s.other, "difference": s.distance, "more": s.more, "less": s.less,
                    **({"ratings": dict(s.ratings)} if self.ratings else {}),
                }
                for s in self.spans
            ],
        }  # fmt: skip

    def _ratings_as_plain(self) -> dict[str, Any]:
        return {r.name: {"means": [r.one, r.other], "difference": r.distance} for r in self.ratings}

    def write(self, file: Path) -> None:
        """Write all numbers as JSON. Raises `OutputError`."""
        with atomic_write(file, "w") as out:
            out.write(json_text(self.to_json(), indent=1) + "\n")


def compare(
    one: Timeline, other: Timeline, alignment: Alignment | None = None, max_spans: int = 8
) -> Comparison:
    """Compare two films; without an `alignment`, by shots where half of the shorter one's time is in both.

    Raises `SettingsError` for films predicted in different emotions, for one without shots, and, by shots,
    for ones that have too many.
    """
    if one.vocabulary.words != other.vocabulary.words:
        raise SettingsError(
            f"{one.film.name} was predicted in the emotions of {one.vocabulary.name}, {other.film.name} in "
            f"those of {other.vocabulary.name}. Watch both with one model."
        )
    for each in (one, other):
        if not each.shots:
            raise SettingsError(f"{each.film.name} holds no sampled frame. Watch it again.")
    if len(one.shots) * len(other.shots) > MAX_PAIRS:
        if alignment == "shots":
            raise SettingsError(
                f"{len(one.shots):,} and {len(other.shots):,} shots are too many to be paired. Compare by "
                "--align time."
            )
        alignment = "time"
    pairs = match_shots(one, other) if alignment != "time" else []
    if alignment == "shots" or (alignment is None and _shared(one, other, pairs) >= MIN_SHARED):
        return _by_shots(one, other, pairs, max_spans)
    return _by_time(one, other, max_spans)


def match_shots(one: Timeline, other: Timeline) -> list[tuple[int, int]]:
    """Pair shots of two films in order, covering as much time as possible; return their indices.

    The longest common subsequence, each pair weighted by the seconds that it covers.
    """
    gain = np.minimum.outer(_lengths(one), _lengths(other)) * _same(one, other)  # (A, B)
    best = np.zeros((gain.shape[0] + 1, gain.shape[1] + 1))
    for row in range(gain.shape[0]):
        # A row at a time: the best of pairing, and of leaving out either shot.
        paired = best[row, :-1] + gain[row]
        best[row + 1, 1:] = np.maximum.accumulate(np.maximum(paired, best[row, 1:]))
    pairs = []
    row, column = gain.shape
    while row and column:
        if best[row, column] == best[row - 1, column]:
            row -= 1
        elif best[row, column] == best[row, column - 1]:
            column -= 1
        else:
            row, column = row - 1, column - 1
            pairs.append((row, column))
    return pairs[::-1]


def arc(timeline: Timeline, parts: int = PARTS) -> NDArray[np.float64]:
    """Return what a film evokes over equal parts of its time: (P, E)."""
    found = curves(timeline)
    values: NDArray[np.float64] = found.emotions[_points(found, parts)]
    return values


def rating_arc(timeline: Timeline, names: Sequence[str], parts: int = PARTS) -> NDArray[np.float64]:
    """Return ratings, by their names, over equal parts of a film's time: (P, R)."""
    found = curves(timeline)
    columns = [timeline.rating_names.index(name) for name in names]
    values: NDArray[np.float64] = found.ratings[_points(found, parts)][:, columns]
    return values


def shared_ratings(one: Timeline, other: Timeline) -> list[str]:
    """Return the names of the ratings that both films have on one scale, in the first one's order."""
    ends = {scale.name: (scale.low, scale.high) for scale in other.scales}
    return [scale.name for scale in one.scales if ends.get(scale.name) == (scale.low, scale.high)]


def _points(found: EmotionCurves, parts: int) -> NDArray[np.int64]:
    """Index of the point that stands for the middle of each part of the time: (P,)."""
    middles = found.begin + (np.arange(parts) + 0.5) / parts * (found.end - found.begin)
    return np.clip(np.searchsorted(found.seconds, middles, side="right") - 1, 0, None)


def _counted_parts(one: Timeline, other: Timeline) -> NDArray[np.bool_]:
    """Return which parts of the time show what counts in both films; all where there is none: (P,)."""
    counted = np.ones(PARTS, dtype=bool)
    for timeline in (one, other):
        found = curves(timeline)
        usual = (found.unusual + found.faded < _LEFT_OUT)[_points(found, PARTS)]
        counted &= usual | ~usual.any()
    return counted | ~counted.any()


def _counted_pairs(one: Timeline, other: Timeline, pairs: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """Return which pairs of shots count in both films; all where none does."""
    counted = np.ones(len(pairs), dtype=bool)
    for side, timeline in enumerate((one, other)):
        usual = np.array([timeline.left_out_as(shot) is None for shot in timeline.shots])
        if usual.any():
            counted &= usual[[pair[side] for pair in pairs]] if pairs else True
    return counted | ~counted.any()


def _same(one: Timeline, other: Timeline) -> NDArray[np.bool_]:
    """Return whether two shots' predictions are those of the same pictures: (A, B)."""
    found = np.zeros((len(one.shots), len(other.shots)), dtype=bool)
    for predictions in (_first_samples, _means):
        rows, columns = predictions(one), predictions(other)
        for index, row in enumerate(rows):
            found[index] |= np.abs(columns - row).sum(axis=1) / 2 < SAME_SHOT
    return found


def _first_samples(timeline: Timeline) -> NDArray[np.float64]:
    return np.array([timeline.samples[shot.first].emotions for shot in timeline.shots])


def _means(timeline: Timeline) -> NDArray[np.float64]:
    return np.array([shot.emotions for shot in timeline.shots])


def _lengths(timeline: Timeline) -> NDArray[np.float64]:
    return np.array([max(shot.duration, 1e-3) for shot in timeline.shots])


def _shared(one: Timeline, other: Timeline, pairs: Sequence[tuple[int, int]]) -> float:
    """Return the share of the shorter film's time that is in both."""
    lengths = _lengths(one), _lengths(other)
    both = sum(min(lengths[0][first], lengths[1][second]) for first, second in pairs)
    return float(both / min(lengths[0].sum(), lengths[1].sum()))


def _by_shots(one: Timeline, other: Timeline, pairs: Sequence[tuple[int, int]], max_spans: int) -> Comparison:
    first, second = _means(one), _means(other)
    names = shared_ratings(one, other)
    changes = np.array([_changes(one, other, pair, names) for pair in pairs]).reshape(len(pairs), len(names))
    counted = _counted_pairs(one, other, pairs)
    spans, weights = [], []
    for (row, column), change in zip(pairs, changes, strict=True):
        here, there = one.shots[row], other.shots[column]
        difference = second[column] - first[row]
        times = (here.start, here.end), (there.start, there.end)
        spans.append(_span(one.vocabulary, *times, difference, _by_name(names, change)))
        weights.append(max(min(here.duration, there.duration), 1e-3))
    shared = np.array(weights)
    in_one, in_other = {row for row, _ in pairs}, {column for _, column in pairs}
    distances = [span.distance for span in spans]
    return Comparison(
        alignment="shots",
        one=one,
        other=other,
        pairs=tuple((one.shots[row].number, other.shots[column].number) for row, column in pairs),
        only_one=tuple(shot for index, shot in enumerate(one.shots) if index not in in_one),
        only_other=tuple(shot for index, shot in enumerate(other.shots) if index not in in_other),
        spans=_most_different(list(compress(spans, counted)), max_spans),
        mean_distance=float(np.average(distances, weights=shared * counted)) if pairs else 1.0,
        ratings=_differences(one, other, names, changes, shared * counted),
        compared=float(shared[counted].sum() / shared.sum()) if pairs else 1.0,
    )


def _changes(one: Timeline, other: Timeline, pair: tuple[int, int], names: Sequence[str]) -> list[float]:
    """How much higher each rating is in the second of two shots: (R,)."""
    here = dict(zip(one.rating_names, one.shots[pair[0]].ratings, strict=True))
    there = dict(zip(other.rating_names, other.shots[pair[1]].ratings, strict=True))
    return [there[name] - here[name] for name in names]


def _differences(
    one: Timeline,
    other: Timeline,
    names: Sequence[str],
    changes: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> tuple[RatingDifference, ...]:
    """Compare the ratings of films by how they change in each part of the time, weighted: (P, R), (P,)."""
    distances: list[Any] = [None] * len(names)
    if len(changes):
        distances = np.average(np.abs(changes), axis=0, weights=weights).tolist()
    means = [dict(zip(each.rating_names, each.ratings, strict=True)) for each in (one, other)]
    return tuple(
        RatingDifference(name, means[0][name], means[1][name], distance)
        for name, distance in zip(names, distances, strict=True)
    )


def _by_name(names: Sequence[str], change: NDArray[np.float64]) -> dict[str, float]:
    return dict(zip(names, change.tolist(), strict=True))


def _by_time(one: Timeline, other: Timeline, max_spans: int) -> Comparison:
    arcs = arc(one), arc(other)
    names = shared_ratings(one, other)
    changes = rating_arc(other, names) - rating_arc(one, names)  # (P, R)
    counted = _counted_parts(one, other)
    spans = []
    for begin in range(0, PARTS, _PARTS_REPORTED):
        end = begin + _PARTS_REPORTED
        within = np.flatnonzero(counted[begin:end]) + begin
        if not len(within):
            continue
        difference = (arcs[1][within] - arcs[0][within]).mean(axis=0)
        here, there = (_seconds(film, begin / PARTS, end / PARTS) for film in (one, other))
        named = _by_name(names, changes[within].mean(axis=0))
        spans.append(_span(one.vocabulary, here, there, difference, named))
    return Comparison(
        alignment="time",
        one=one,
        other=other,
        pairs=(),
        only_one=(),
        only_other=(),
        spans=_most_different(spans, max_spans),
        mean_distance=float((np.abs(arcs[1] - arcs[0]).sum(axis=1) / 2)[counted].mean()),
        ratings=_differences(one, other, names, changes, counted.astype(np.float64)),
        compared=float(counted.mean()),
    )


def _most_different(spans: Sequence[AlignedSpan], max_spans: int) -> tuple[AlignedSpan, ...]:
    differing = [span for span in spans if span.distance >= MIN_DISTANCE]
    return tuple(sorted(differing, key=lambda span: -span.distance)[:max_spans])


def _seconds(timeline: Timeline, first: float, last: float) -> Span:
    begin, end = extent(timeline)
    return begin + first * (end - begin), begin + last * (end - begin)


def _span(
    vocabulary: Vocabulary,
    one: Span,
    other: Span,
    difference: NDArray[np.float64],
    ratings: Mapping[str, float],
) -> AlignedSpan:
    more, less = (vocabulary.words[int(index)] for index in (difference.argmax(), difference.argmin()))
    return AlignedSpan(one, other, float(np.abs(difference).sum() / 2), more, less, ratings)
