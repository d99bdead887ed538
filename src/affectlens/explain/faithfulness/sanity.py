"""Whether a method depends on the network at all: checks whose right outcome is known beforehand.

Randomised weights: Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018. A map of a network that
    has unlearnt everything must be another than before.
Planted patches: a small picture pasted into another, where that moves the answer most. Nothing else changed,
    so the patch is the cause, and a map that explains it must point there. After the pointing game (Zhang
    et al., "Top-down Neural Attention by Excitation Backprop", ECCV 2016), which takes what people have boxed
    for the cause.

Letters: B donors, h x w pixels of the network's input, C cells.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from affectlens.explain.core.attribution import ExplainedModel, Map
from affectlens.explain.core.attribution import scores as scores_of
from affectlens.explain.core.perturbations import BATCH_SIZE
from affectlens.explain.core.question import Question, make_question
from affectlens.explain.core.upsampling import shrunk
from affectlens.explain.faithfulness.curves import by_cell, cell_numbers
from affectlens.inference.engine import in_batches
from affectlens.metrics import Doubles
from affectlens.preprocess import Images


def rank_correlation(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Spearman's: 1 for the same order, 0 for none in common, -1 for the reverse. NaN if either is constant.

    >>> rank_correlation(np.array([1.0, 2.0, 3.0]), np.array([10.0, 100.0, 1000.0]))
    1.0
    """
    ranks = np.stack([_middle_ranks(values.ravel()) for values in (first, second)])
    ranks -= ranks.mean(axis=1, keepdims=True)
    size = np.linalg.norm(ranks, axis=1).prod()
    return round(float((ranks[0] * ranks[1]).sum() / size), 12) if size > 0 else math.nan


class PatchBox(NamedTuple):
    """Pixels of the network's input: from top and left, up to bottom and right but without these."""

    top: int
    left: int
    bottom: int
    right: int


@dataclass(frozen=True)
class PlantedPatch:
    """A picture into which a small one was pasted, where that moved the answer most.

    Attributes:
        image: (1, 3, h, w), normalised
        box: of the small picture
        question: why its emotion, and not that of the picture without it
        moved: log-odds that the question gained by it; the effect of the patch, since nothing else changed
    """

    image: Images
    box: PatchBox
    question: Question
    moved: float


class Pointing(NamedTuple):
    """Whether a map points at a box: its highest cell lies inside, and the share of positive values there."""

    hit: bool
    mass: float


def plant(
    model: ExplainedModel, image: Images, donors: Images, *, size: float = 0.3, grid: int = 4
) -> PlantedPatch | None:
    """Paste one of several shrunken pictures, (B, 3, h, w), into one, (1, 3, h, w), to the greatest effect.

    Tries each donor at `grid` x `grid` positions, shrunk to `size` of the picture's sides. The question is
    why the emotion that the network predicts for the donor, and not the one that it predicts for the picture.
    None if no donor has another.
    """
    words = model.vocabulary.words
    height, width = image.shape[2:]
    tall, wide = max(1, round(size * height)), max(1, round(size * width))
    small = shrunk(donors, tall, wide)
    own = words[int(_top(model, image)[0])]
    tops = [round(row * (height - tall) / max(1, grid - 1)) for row in range(grid)]
    lefts = [round(column * (width - wide) / max(1, grid - 1)) for column in range(grid)]
    best: PlantedPatch | None = None
    for patch, top in zip(small, _top(model, donors), strict=True):
        if words[int(top)] == own:
            continue
        question = make_question(model.vocabulary, words[int(top)], own)
        boxes = [PatchBox(row, column, row + tall, column + wide) for row in tops for column in lefts]
        pasted = np.concatenate([image, *(_paste(image, patch, box) for box in boxes)])
        scores = np.concatenate([scores_of(model, some, question) for some in in_batches(pasted, BATCH_SIZE)])
        moved = scores[1:] - scores[0]
        chosen = int(moved.argmax())
        if best is None or moved[chosen] > best.moved:
            best = PlantedPatch(
                pasted[chosen + 1 : chosen + 2], boxes[chosen], question, float(moved[chosen])
            )
    return best


def points_at(values: Map, box: PatchBox, *, cells: int = 14) -> Pointing:
    """Check whether a map, (h, w), points at a box. A box gets its share of the area by chance alone.

    The highest cell is inside if its centre is. A map without positive values has no mass anywhere.
    """
    height, width = values.shape
    numbers = cell_numbers(height, width, cells)
    highest = int(by_cell(values, numbers).argmax())
    rows, columns = (numbers == highest).nonzero()
    row, column = float(rows.mean()), float(columns.mean())
    hit = box.top <= row < box.bottom and box.left <= column < box.right
    positive = np.maximum(values, 0)
    total = float(positive.sum())
    inside = float(positive[box.top : box.bottom, box.left : box.right].sum())
    return Pointing(hit, inside / total if total > 0 else 0.0)


def _middle_ranks(values: NDArray[np.floating]) -> Doubles:
    """Ranks of values, equal ones all with the mean of their ranks: (C,) -> float64 (C,)."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    middles = np.cumsum(counts) - (counts - 1) / 2
    return np.asarray(middles[inverse])


def _paste(image: Images, patch: Images, box: PatchBox) -> Images:
    pasted = image.copy()
    pasted[:, :, box.top : box.bottom, box.left : box.right] = patch
    return pasted


def _top(model: ExplainedModel, images: Images) -> NDArray[np.int64]:
    answers = [model.predict_images(part) for part in in_batches(images, BATCH_SIZE)]
    top: NDArray[np.int64] = np.concatenate(answers).argmax(axis=1)
    return top
