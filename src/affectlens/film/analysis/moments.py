"""Where to look first in a film: peaks, turns of the mood, longest moods, typical and extreme frames.

Letters: S samples, E emotions, in the order of the vocabulary's words.
"""

from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heappush
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from affectlens.emotions import Vocabulary
from affectlens.film.analysis.curves import FloatArray, borders_between, hellinger
from affectlens.film.timeline import DIGITS, Moment, MomentKind

MOODS = 20  # that are kept, the longest


def peaks(
    curves: FloatArray,
    seconds: FloatArray,
    shots: NDArray[np.int64],
    vocabulary: Vocabulary,
    prominence: float,
    distance: float,
) -> Iterator[Moment]:
    """Peaks of (S, E) curves, for each emotion the most prominent first.

    A peak's prominence is by how much it exceeds the higher of the two valleys between it and higher ground,
    or the film's ends; there, the curve is taken to fall to its least value. Of two peaks that are less than
    `distance` seconds apart, the more prominent counts.
    """
    for index, word in enumerate(vocabulary.words):
        curve = curves[:, index]
        found = sorted(_prominences(curve), reverse=True)
        kept: list[int] = []
        for height, top in found:
            if height < prominence:
                break
            if all(abs(seconds[top] - seconds[other]) >= distance for other in kept):
                kept.append(top)
                first, last = _span(curve, top, curve[top] - height / 2)
                yield Moment(
                    kind="peak",
                    emotion=word,
                    second=float(seconds[top]),
                    value=round(float(curve[top]), DIGITS),
                    shot=int(shots[top]),
                    start=float(seconds[first]),
                    end=float(seconds[last]),
                    prominence=round(height, DIGITS),
                )


def _prominences(curve: FloatArray) -> Iterator[tuple[float, int]]:
    """(prominence, index) of each local maximum; for a plateau, its first index."""
    # Plateaus as one value each; then every value is compared with few others, however long the film is.
    firsts = np.flatnonzero(np.concatenate([[True], curve[1:] != curve[:-1]]))
    values = curve[firsts].tolist()
    least = min(values)
    before = _valleys(values, least)
    after = _valleys(values[::-1], least)[::-1]
    for number, value in enumerate(values):
        rises = number == 0 or values[number - 1] < value
        falls = number == len(values) - 1 or values[number + 1] < value
        if rises and falls:
            yield value - max(before[number], after[number]), int(firsts[number])


def _valleys(values: list[float], least: float) -> list[float]:
    """For each value, the least after the last greater one before it; `least` where there is none."""
    found = []
    # Values before, each greater than the next, with the least between it and the one before it.
    greater: list[tuple[float, float]] = []
    for value in values:
        valley = float("inf")
        while greater and greater[-1][0] <= value:
            passed, below = greater.pop()
            valley = min(valley, passed, below)
        found.append(valley if greater and valley < float("inf") else least)
        greater.append((value, valley))
    return found


def _span(curve: FloatArray, top: int, level: float) -> tuple[int, int]:
    """First and last index around a peak that lie at a level or above."""
    below = np.flatnonzero(curve < level)
    before, after = below[below < top], below[below > top]
    return (int(before[-1]) + 1 if len(before) else 0), (int(after[0]) - 1 if len(after) else len(curve) - 1)


def moods_and_turns(
    curves: FloatArray,
    seconds: FloatArray,
    shots: NDArray[np.int64],
    edges: Sequence[float],
    vocabulary: Vocabulary,
    shortest: float,
) -> Iterator[Moment]:
    """Stretches in which one emotion leads, the longest first, and when the lead changes."""
    borders = borders_between(seconds, shots, edges)
    runs = _runs(curves, borders, shortest)
    moods, turns = [], []
    for number, (first, last, top) in enumerate(runs):
        part, word = curves[first:last], vocabulary.words[top]
        start, end = float(borders[first]), float(borders[last])
        strongest = first + int(part[:, top].argmax())
        moods.append(Moment(
            kind="mood", emotion=word, second=float(seconds[strongest]), shot=int(shots[strongest]),
            value=round(float(part[:, top].mean()), DIGITS), start=start, end=end,
        ))  # fmt: skip
        if number:
            old = runs[number - 1][2]
            turns.append(Moment(
                kind="turn", emotion=word, before=vocabulary.words[old], second=start, shot=int(shots[first]),
                value=round(float((part[:, top] - part[:, old]).mean()), DIGITS), start=start, end=end,
            ))  # fmt: skip
    yield from sorted(moods, key=lambda mood: -mood.duration)[:MOODS]
    yield from sorted(turns, key=lambda turn: -turn.value)


def _runs(curves: FloatArray, borders: FloatArray, shortest: float) -> list[tuple[int, int, int]]:
    """(first, last + 1, emotion) of stretches with one leading emotion, none shorter than `shortest` seconds.

    The shortest is joined to that neighbour whose emotion is stronger in it, until all are long enough.
    """
    leads = curves.argmax(axis=1)
    changes = (np.flatnonzero(np.diff(leads)) + 1).tolist()
    runs = {
        first: _Run(first, last, int(leads[first])) for first, last in pairwise([0, *changes, len(leads)])
    }
    ends = {run.last: run.first for run in runs.values()}

    def entry(run: _Run) -> tuple[float, _Run]:
        return float(borders[run.last] - borders[run.first]), run

    queue = [entry(run) for run in runs.values()]
    heapify(queue)
    while queue and len(runs) > 1 and queue[0][0] < shortest:
        _, run = heappop(queue)
        if runs.get(run.first) != run:  # joined to another meanwhile
            continue
        neighbours = [runs[ends[run.first]]] if run.first else []
        neighbours += [runs[run.last]] if run.last in runs else []
        part = curves[run.first : run.last]
        top = max(neighbours, key=lambda side: float(part[:, side.top].mean())).top
        joined = [run, *(side for side in neighbours if side.top == top)]
        for each in joined:
            del runs[each.first], ends[each.last]
        new = _Run(min(each.first for each in joined), max(each.last for each in joined), top)
        runs[new.first], ends[new.last] = new, new.first
        heappush(queue, entry(new))
    return [(run.first, run.last, run.top) for run in sorted(runs.values())]


class _Run(NamedTuple):
    """Samples that follow one another with one leading emotion."""

    first: int
    last: int
    top: int


def examples(
    emotions: FloatArray, seconds: FloatArray, shots: NDArray[np.int64], vocabulary: Vocabulary
) -> Iterator[Moment]:
    """The most typical and the most extreme sample of each emotion."""
    tops = emotions.argmax(axis=1)
    typical, extreme = [], []
    for index, word in enumerate(vocabulary.words):
        chosen = np.flatnonzero(tops == index)
        most = int(emotions[:, index].argmax())
        extreme.append(_moment("extreme", word, most, emotions[most, index], seconds, shots))
        if len(chosen):
            near = hellinger(emotions[chosen], emotions[chosen].mean(axis=0))
            best = int(chosen[near.argmin()])
            typical.append(_moment("typical", word, best, emotions[best, index], seconds, shots))
    yield from sorted(typical, key=lambda moment: -moment.value)
    yield from sorted(extreme, key=lambda moment: -moment.value)


def _moment(
    kind: MomentKind, word: str, sample: int, value: float, seconds: FloatArray, shots: NDArray[np.int64]
) -> Moment:
    second = float(seconds[sample])
    return Moment(
        kind=kind, emotion=word, second=second, start=second, end=second, shot=int(shots[sample]),
        value=round(float(value), DIGITS),
    )  # fmt: skip
