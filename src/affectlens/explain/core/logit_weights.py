"""How a difference of log-odds is a weighted sum of differences of logits.

Letters: E emotions, S steps.
"""

from functools import cache

import numpy as np

from affectlens.explain.core.question import Question
from affectlens.metrics import Doubles, softmax

STEPS = 512  # many, since layers in between may bend at as many points (MAM: 512 ReLUs)


def logit_weights(question: Question, begin: Doubles, end: Doubles) -> Doubles:
    """Weight of each emotion's logit along the path between two pictures' logits: (E,), (E,) -> (E,).

    The gradient of the log-odds by the logits, averaged along the straight path (Aumann and Shapley, "Values
    of Non-Atomic Games", 1974): its product with the difference of the logits is the difference of the
    log-odds. The weights add up to 0, so a number added to all logits counts for nothing, and
    log-probabilities will do.
    """
    steps, weights = steps_of_path()
    points = begin + steps[:, None] * (end - begin)
    found = np.zeros_like(begin, dtype=np.float64)
    for words, sign in ((question.favour, 1), (question.against, -1)):
        side = [question.vocabulary.index(word) for word in words]
        # The gradient of a log of a sum of exponentials is the softmax.
        found[side] += sign * (weights @ softmax(points[:, side]))
    return found


@cache
def steps_of_path() -> tuple[Doubles, Doubles]:
    """Return steps in 0..1 and their weights, by Gauss and Legendre: (S,) each."""
    points, weights = np.polynomial.legendre.leggauss(STEPS)
    return (points + 1) / 2, weights / 2
