"""Infidelity and sensitivity: whether a map predicts what the network loses, and how steady a method is.

Both: Yeh et al., "On the (In)fidelity and Sensitivity of Explanations", NeurIPS 2019. Infidelity is what
happens when parts are replaced, so it is about its own replacement only (`perturbations`). captum's
`infidelity` samples new perturbations for each map; here all maps of a picture are measured on the same.

Letters: B rectangles, h x w pixels of the network's input.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from affectlens.explain.core.attribution import ExplainedModel, Map, Method
from affectlens.explain.core.perturbations import Masks, Perturbations
from affectlens.explain.core.question import AnyQuestion
from affectlens.preprocess import Images


class Infidelity(NamedTuple):
    """How far a map's sums are from what the network loses (Yeh et al. 2019, with rectangles removed).

    Attributes:
        absolute: mean square of the difference, in log-odds squared; for maps that add up
        relative: the same for the best multiple of the map, as a share of the mean square of the losses: 0
            for a map that predicts them, 1 for one that predicts nothing, or the contrary
    """

    absolute: float
    relative: float


class RectangleLosses:
    """What a network loses when random rectangles are removed from a picture, for any number of maps of it.

    Their sides are an eighth to a half of the picture's.
    """

    def __init__(self, perturbations: Perturbations, *, rectangles: int = 64, seed: int = 0) -> None:
        """Remove so many rectangles, one at a time."""
        height, width = perturbations.image.shape[2:]
        self._removed = np.stack(list(_rectangles(height, width, rectangles, seed)))  # (B, h, w)
        whole, _ = perturbations.endpoints()
        self._lost = whole - perturbations(1 - self._removed)

    def infidelity(self, values: Map) -> Infidelity:
        """Compare what was lost with the sum of a map, (h, w), over each rectangle.

        Relative infidelity is NaN where nothing was lost at all.
        """
        lost = self._lost
        predicted = np.tensordot(self._removed, values.astype(np.float64), axes=2)
        absolute, size = float(((predicted - lost) ** 2).mean()), float((lost**2).mean())
        product, own = float((predicted * lost).mean()), float((predicted**2).mean())
        # Never negative, since the sign of a map has a meaning.
        multiple = max(0.0, product / own) if own > 0 else 0.0
        best = float(((multiple * predicted - lost) ** 2).mean())
        return Infidelity(absolute, best / size if size > 0 else math.nan)


def sensitivity(
    method: Method,
    model: ExplainedModel,
    image: Images,
    question: AnyQuestion,
    *,
    radius: float = 0.02,
    tries: int = 3,
    seed: int = 0,
) -> float:
    """Largest change of a method's map under noise that no one sees, as a share of its norm (Yeh et al.).

    Each level changes by up to `radius`, of 0..1. Runs the method once for every try and once more. NaN where
    all values of the map are 0.
    """
    std = np.array(model.preprocessing.std, np.float32).reshape(3, 1, 1)
    generator = np.random.default_rng(seed)
    before = method(model, image, question).values
    changes = []
    for _ in range(tries):
        noise = (2 * generator.random(image.shape, dtype=np.float32) - 1) * radius
        after = method(model, image + noise / std, question).values
        changes.append(float(np.linalg.norm(after - before)))
    size = float(np.linalg.norm(before))
    return max(changes, default=0.0) / size if size > 0 else math.nan


def _rectangles(height: int, width: int, number: int, seed: int) -> Iterator[Masks]:
    """Yield masks, float32 (h, w), 1 within a random rectangle."""
    generator = np.random.default_rng(seed)
    for _ in range(number):
        sizes, corners = generator.random((2, 2)).tolist()
        # An eighth to a half of each side.
        tall, wide = (
            max(1, round(side * ((1 + 3 * size) / 8)))
            for side, size in zip((height, width), sizes, strict=True)
        )
        top, left = round(corners[0] * (height - tall)), round(corners[1] * (width - wide))
        mask = np.zeros((height, width), np.float32)
        mask[top : top + tall, left : left + wide] = 1
        yield mask
