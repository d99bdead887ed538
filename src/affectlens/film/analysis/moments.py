"""Where to look first in a film: peaks, turns of the mood, longest moods, typical and extreme frames.

Letters: S samples, E emotions, in the order of the vocabulary's words.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise

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
    least = float(curve.min())
    for top in range(len(curve)):
        value = curve[top]
        rises = top == 0 or curve[top - 1] < value
        after = top + 1
        while after < len(curve) and curve[after] == value:
            after += 1
        if not rises or (after < len(curve) and curve[after] > value):
            continue
        valleys = []
        for side in (curve[:top][::-1], curve[after:]):
            higher = np.flatnonzero(side > value)
            stretch = side[: higher[0]] if len(higher) else side
            valleys.append(float(stretch.min()) if len(higher) and len(stretch) else least)
        yield float(value - max(valleys)), top


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
    runs = [(first, last, int(leads[first])) for first, last in pairwise([0, *changes, len(leads)])]
    while len(runs) > 1:
        lengths = [borders[last] - borders[first] for first, last, _ in runs]
        least = int(np.argmin(lengths))
        if lengths[least] >= shortest:
            break
        first, last, _ = runs[least]
        sides = [side for side in (least - 1, least + 1) if 0 <= side < len(runs)]
        taker = max(sides, key=lambda side: float(curves[first:last, runs[side][2]].mean()))
        runs[least] = (first, last, runs[taker][2])
        runs = [
            (g[0][0], g[-1][1], top) for top, group in groupby(runs, lambda run: run[2]) if (g := list(group))
        ]
    return runs


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
