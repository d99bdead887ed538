"""Two films, or two cuts of one film, side by side: how what they evoke differs, and where.

Films are laid beside one another in one of two ways, and the result says which:

    time    by share of their time: the beginning beside the beginning, the middle beside the middle
    shots   two cuts of one film: shots that are in both beside one another, and what is in one alone by
    itself

A shot is in both where the model answers alike: its first judged frame, or its mean, is within `ALIKE` of the
other's, and the order of shots is the same. Of all ways to pair shots in order, the one is taken that
covers most time. Pictures are not compared, so that two shots which evoke the same may be taken for one.

Letters: A, B shots of the two films, P parts of the time, E emotions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from affectlens.errors import SettingsError
from affectlens.film.report.curves import curves, extent
from affectlens.film.report.text import polarity_of
from affectlens.film.timeline import Shot, Timeline

Alignment = Literal["time", "shots"]
# Total variation between two answers of one picture, coded twice; unlike pictures differ by more.
ALIKE = 0.04
NO_DIFFERENCE = 0.001  # total variation below which it is not said in what two places differ
MOST_IN_BOTH = 0.5  # of the shorter film's time: from there on they are taken for two cuts of one film
PARTS = 100  # of the time


@dataclass(frozen=True)
class Place:
    """Where two films differ: seconds in each, by how much (total variation, 0..1), and in what.

    `more` is the emotion that the second film evokes more there, by most, and `less` the one that it evokes
    less.
    """

    one: tuple[float, float]
    other: tuple[float, float]
    difference: float
    more: str
    less: str


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two films beside one another.

    Attributes:
        alignment: how they were laid beside one another
        one, other: the films
        pairs: numbers of shots that are in both
        only_one, only_other: shots that are in one film alone; none where films are compared by time
        places: where they differ most, the most first; none where they hardly do
        arc: mean total variation over time, or over the time of shots in both: 0..1
    """

    alignment: Alignment
    one: Timeline
    other: Timeline
    pairs: tuple[tuple[int, int], ...]
    only_one: tuple[Shot, ...]
    only_other: tuple[Shot, ...]
    places: tuple[Place, ...]
    arc: float

    @property
    def means(self) -> list[tuple[str, float, float]]:
        """What each film evokes over its whole time: (emotion, first, second)."""
        return list(zip(self.one.vocabulary.words, self.one.emotions, self.other.emotions, strict=True))

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        polarities = [polarity_of(each.vocabulary, each.emotions) for each in (self.one, self.other)]
        return {
            "films": [self.one.film.name, self.other.film.name],
            "alignment": self.alignment,
            "means": {word: [first, second, second - first] for word, first, second in self.means},
            "polarity": polarities,
            "arc_difference": self.arc,
            "pairs": [list(pair) for pair in self.pairs],
            "only_in_first": [shot.number for shot in self.only_one],
            "only_in_second": [shot.number for shot in self.only_other],
            "places": [vars(place) for place in self.places],
        }


def compare(one: Timeline, other: Timeline, alignment: Alignment | None = None, shown: int = 8) -> Comparison:
    """Lay two films beside one another; without an `alignment`, by shots where half of their time is in both.

    Raises `SettingsError` for films that were judged with different emotions, or of which one holds no shot.
    """
    if one.vocabulary.words != other.vocabulary.words:
        raise SettingsError(
            f"{one.film.name} was judged in the emotions of {one.vocabulary.name}, {other.film.name} in "
            "those of "
            f"{other.vocabulary.name}. Watch both with one model."
        )
    for each in (one, other):
        if not each.shots:
            raise SettingsError(f"{each.film.name} holds nothing that was judged. Watch it again.")
    pairs = match(one, other) if alignment != "time" else []
    if alignment == "shots" or (alignment is None and _covers(one, other, pairs) >= MOST_IN_BOTH):
        return _by_shots(one, other, pairs, shown)
    return _by_time(one, other, shown)


def match(one: Timeline, other: Timeline) -> list[tuple[int, int]]:
    """Pair shots of two films in order, as much time as can be: places among the first's and second's."""
    alike = _alike(one, other)
    gain = np.minimum.outer(_lengths(one), _lengths(other)) * alike  # seconds that a pair covers: (A, B)
    best = np.zeros((gain.shape[0] + 1, gain.shape[1] + 1))
    for place in range(gain.shape[0]):
        # Longest common subsequence, a row at a time: the best of pairing, and of leaving out either shot.
        paired = best[place, :-1] + gain[place]
        best[place + 1, 1:] = np.maximum.accumulate(np.maximum(paired, best[place, 1:]))
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


def _alike(one: Timeline, other: Timeline) -> NDArray[np.bool_]:
    """Whether two shots' answers are those of the same pictures: (A, B)."""
    found = np.zeros((len(one.shots), len(other.shots)), dtype=bool)
    for answers in (_firsts, _means):
        rows, columns = answers(one), answers(other)
        for place, row in enumerate(rows):
            found[place] |= np.abs(columns - row).sum(axis=1) / 2 < ALIKE
    return found


def _firsts(timeline: Timeline) -> NDArray[np.float64]:
    return np.array([timeline.samples[shot.first].emotions for shot in timeline.shots])


def _means(timeline: Timeline) -> NDArray[np.float64]:
    return np.array([shot.emotions for shot in timeline.shots])


def _lengths(timeline: Timeline) -> NDArray[np.float64]:
    return np.array([max(shot.duration, 1e-3) for shot in timeline.shots])


def _covers(one: Timeline, other: Timeline, pairs: Sequence[tuple[int, int]]) -> float:
    """Share of the shorter film's time that is in both."""
    lengths = _lengths(one), _lengths(other)
    both = sum(min(lengths[0][first], lengths[1][second]) for first, second in pairs)
    return float(both / min(lengths[0].sum(), lengths[1].sum()))


def _by_shots(one: Timeline, other: Timeline, pairs: Sequence[tuple[int, int]], shown: int) -> Comparison:
    first, second = _means(one), _means(other)
    places, weights, differences = [], [], []
    for row, column in pairs:
        here, there = one.shots[row], other.shots[column]
        difference = second[column] - first[row]
        places.append(_place(one, (here.start, here.end), (there.start, there.end), difference))
        weights.append(max(min(here.duration, there.duration), 1e-3))
        differences.append(places[-1].difference)
    in_one, in_other = {row for row, _ in pairs}, {column for _, column in pairs}
    return Comparison(
        "shots",
        one,
        other,
        tuple((one.shots[row].number, other.shots[column].number) for row, column in pairs),
        tuple(shot for place, shot in enumerate(one.shots) if place not in in_one),
        tuple(shot for place, shot in enumerate(other.shots) if place not in in_other),
        _most(places, shown),
        float(np.average(differences, weights=weights)) if pairs else 1.0,
    )


def _by_time(one: Timeline, other: Timeline, shown: int) -> Comparison:
    arcs = arc(one), arc(other)
    differences = np.abs(arcs[1] - arcs[0]).sum(axis=1) / 2
    each = max(1, PARTS // 20)  # a place is a twentieth of the time: shorter ones say nothing of two films
    places = []
    for begin in range(0, PARTS, each):
        part = slice(begin, begin + each)
        difference = (arcs[1][part] - arcs[0][part]).mean(axis=0)
        spans = [_seconds(film, begin / PARTS, (begin + each) / PARTS) for film in (one, other)]
        places.append(_place(one, spans[0], spans[1], difference))
    return Comparison("time", one, other, (), (), (), _most(places, shown), float(differences.mean()))


def _most(places: Sequence[Place], shown: int) -> tuple[Place, ...]:
    differing = [place for place in places if place.difference >= NO_DIFFERENCE]
    return tuple(sorted(differing, key=lambda place: -place.difference)[:shown])


def arc(timeline: Timeline, parts: int = PARTS) -> NDArray[np.float64]:
    """What a film evokes over equal parts of its time: (P, E)."""
    found = curves(timeline)
    begin, end = extent(timeline)
    middles = begin + (np.arange(parts) + 0.5) / parts * (end - begin)
    places = np.searchsorted(found.seconds, middles, side="right") - 1
    values: NDArray[np.float64] = found.emotions[np.clip(places, 0, None)]
    return values


def _seconds(timeline: Timeline, first: float, last: float) -> tuple[float, float]:
    begin, end = extent(timeline)
    return begin + first * (end - begin), begin + last * (end - begin)


def _place(
    timeline: Timeline, one: tuple[float, float], other: tuple[float, float], difference: NDArray[np.float64]
) -> Place:
    words = timeline.vocabulary.words
    total = float(np.abs(difference).sum() / 2)
    return Place(one, other, total, words[int(difference.argmax())], words[int(difference.argmin())])
