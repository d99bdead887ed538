"""Rivals of `affectlens.inference.coverage`: methods of split conformal prediction, for comparison.

    LAC     Sadinle, Lei and Wasserman, JASA 114, 2019: the score of a word is 1 - p
    APS     Romano, Sesia and Candes, NeurIPS 2020: the probability of all more probable words, and of the
            word itself by a part: none of it, all of it (`own counted`), or a random part as in the paper
            (`randomised`), which gives a picture one set today and another tomorrow
    RAPS    Angelopoulos et al., ICLR 2021: APS with a penalty for low ranks. As in the authors' code its two
            numbers are chosen on 30 % of the calibration pictures, for small sets; the rest calibrate

A word is in the set up to the ceil((n + 1) level)-th lowest score of n calibration pictures. `by emotion`
(Vovk et al., 2003) each word has a threshold of its own, from the pictures of that emotion alone; that is a
promise for each emotion, where one threshold is a promise for all pictures together. `three quarters by
emotion` is no one's: thresholds between the two, weighted geometric means, that promise neither.

Departs from the papers: no rule that keeps a set from being empty, which is measured apart.

Letters: N pictures, M measured ones, E emotions.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from affectlens.emotions import Vocabulary
from affectlens.inference.coverage import PredictionSets
from affectlens.metrics import Doubles

SHIPPED = "LAC, by emotion"
TUNING = 0.3  # of the calibration pictures, for the numbers of RAPS
PENALTIES = (0.001, 0.01, 0.1, 0.2, 0.5)

Labels = NDArray[np.int64]
Marked = NDArray[np.bool_]
Part = float | None  # of the word's own probability that counts; None for a random one


@dataclass(frozen=True)
class Calibration:
    """Probabilities (N, E) and labels (N,) to calibrate on, at a level, with random numbers."""

    probabilities: Doubles
    labels: Labels
    level: float
    rng: np.random.Generator


Method = Callable[[Calibration, Doubles], Marked]  # and probabilities (M, E) -> sets (M, E)


def quantile(scores: Doubles, level: float) -> float:
    """The ceil((n + 1) level)-th lowest of n scores, infinite where there are too few.

    >>> quantile(np.arange(1.0, 10.0), 0.9), quantile(np.arange(1.0, 9.0), 0.9)
    (9.0, inf)
    """
    rank = int(np.ceil((len(scores) + 1) * level - 1e-9))
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else np.inf


def limits(scores: Doubles, labels: Labels, level: float, by_emotion: bool) -> Doubles:
    """Highest score of a word that is in the set, from calibration pictures: (N, E) -> (E,)."""
    own = scores[np.arange(len(labels)), labels]
    if not by_emotion:
        return np.full(scores.shape[1], quantile(own, level))
    return np.array([quantile(own[labels == word], level) for word in range(scores.shape[1])])


def lac(given: Calibration, probabilities: Doubles) -> Marked:
    """LAC with one threshold for all words."""
    within: Marked = 1 - probabilities <= limits(1 - given.probabilities, given.labels, given.level, False)
    return within


def shipped(given: Calibration, probabilities: Doubles) -> Marked:
    """LAC by emotion, by the package's own code, without its rule of the most probable word."""
    words = Vocabulary("measured", tuple(f"word {n}" for n in range(probabilities.shape[1])))
    sets = PredictionSets.fit(given.probabilities, np.eye(len(words))[given.labels], words)
    return sets.members(probabilities, given.level, keep_top=False)


def between(given: Calibration, probabilities: Doubles) -> Marked:
    """LAC with thresholds between those of the other two."""
    own, one = (
        np.maximum(1 - limits(1 - given.probabilities, given.labels, given.level, by_emotion), 1e-12)
        for by_emotion in (True, False)
    )
    within: Marked = probabilities >= own**0.75 * one**0.25
    return within


def aps_scores(
    probabilities: Doubles, parts: Doubles | float, penalty: float = 0.0, free: int = 0
) -> Doubles:
    """Score of each word: probability of all more probable ones, and of it by a part, (N, E) -> (N, E).

    RAPS adds a penalty for each rank below the first `free`. `parts` may differ by picture, (N, 1).

    >>> aps_scores(np.array([[0.25, 0.75]]), 0.0).tolist(), aps_scores(np.array([[0.25, 0.75]]), 1.0).tolist()
    ([[0.75, 0.0]], [[1.0, 0.75]])
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")
    falling = np.take_along_axis(probabilities, order, axis=1)
    scores = falling.cumsum(axis=1) - (1 - parts) * falling
    scores += penalty * np.maximum(np.arange(1, probabilities.shape[1] + 1) - free, 0)
    found = np.empty_like(scores)
    np.put_along_axis(found, order, scores, axis=1)
    return found


def aps(part: Part, *, by_emotion: bool = False, regularised: bool = False) -> Method:
    """APS, and RAPS where it is regularised."""

    def parts(rng: np.random.Generator, count: int) -> Doubles | float:
        return rng.random((count, 1)) if part is None else part

    def sets(given: Calibration, probabilities: Doubles) -> Marked:
        own, labels, rng = given.probabilities, given.labels, given.rng
        penalty, free = 0.0, 0
        if regularised:
            order, cut = rng.permutation(len(labels)), round(TUNING * len(labels))
            tuning = Calibration(own[order[:cut]], labels[order[:cut]], given.level, rng)
            penalty, free = chosen_penalty(tuning, parts(rng, cut), by_emotion)
            own, labels = own[order[cut:]], labels[order[cut:]]
        scores = aps_scores(own, parts(rng, len(own)), penalty, free)
        highest = limits(scores, labels, given.level, by_emotion)
        within: Marked = aps_scores(probabilities, parts(rng, len(probabilities)), penalty, free) <= highest
        return within

    return sets


def chosen_penalty(given: Calibration, parts: Doubles | float, by_emotion: bool) -> tuple[float, int]:
    """Choose the penalty that makes sets smallest, and the rank up to which there is none."""
    own, labels = given.probabilities, given.labels
    ranks = (own > own[np.arange(len(labels)), labels][:, None]).sum(axis=1) + 1.0
    free = int(min(quantile(ranks, given.level), own.shape[1]))

    def size(penalty: float) -> float:
        scores = aps_scores(own, parts, penalty, free)
        return float((scores <= limits(scores, labels, given.level, by_emotion)).sum(axis=1).mean())

    return min(PENALTIES, key=size), free


METHODS: Mapping[str, Method] = {
    "LAC": lac,
    SHIPPED: shipped,
    "LAC, three quarters by emotion": between,
    "APS": aps(0.0),
    "APS, by emotion": aps(0.0, by_emotion=True),
    "APS, own counted": aps(1.0),
    "APS, own counted, by emotion": aps(1.0, by_emotion=True),
    "APS, randomised": aps(None),
    "APS, randomised, by emotion": aps(None, by_emotion=True),
    "RAPS": aps(0.0, regularised=True),
    "RAPS, by emotion": aps(0.0, regularised=True, by_emotion=True),
    "RAPS, randomised": aps(None, regularised=True),
    "RAPS, randomised, by emotion": aps(None, regularised=True, by_emotion=True),
}
