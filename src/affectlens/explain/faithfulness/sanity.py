"""Whether a method depends on the network at all: checks whose right outcome is known beforehand.

Randomised weights: Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018. A map of a network that
    has unlearnt everything must be another than before.
Planted patches: a small picture pasted into another, where that moves the answer most. Nothing else changed,
    so the patch is the cause, and a map that explains it must point there. After the pointing game (Zhang
    et al., "Top-down Neural Attention by Excitation Backprop", ECCV 2016), which takes what people have boxed
    for the cause.

Letters: B donors, h x w pixels of the network's input, C cells.
"""

import copy
import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from affectlens.explain.core.attribution import ExplainedModel
from affectlens.explain.core.perturbations import BATCH_SIZE
from affectlens.explain.core.question import Question, make_question
from affectlens.explain.faithfulness.curves import by_cell, cell_numbers


def randomised(model: ExplainedModel, *, share: float = 1.0, seed: int = 0) -> ExplainedModel:
    """Copy a network with its weights shuffled, each layer's among themselves: it has unlearnt everything.

    `share` of its layers, from the last towards the first in order of definition: a share that grows is the
    cascade of Adebayo et al., who sample new weights. Shuffling keeps each layer's scale instead, so that
    answers neither vanish nor explode. A map that stays the same does not show what the network has learnt.
    """
    network = copy.deepcopy(model.network)
    generator = torch.Generator().manual_seed(seed)
    layers = [module for module in network.modules() if any(True for _ in module.parameters(recurse=False))]
    with torch.no_grad():
        for layer in layers[len(layers) - math.ceil(share * len(layers)) :]:
            for parameter in layer.parameters(recurse=False):
                order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
                parameter.copy_(parameter.flatten()[order].view_as(parameter))
    return ExplainedModel(
        network,
        model.vocabulary,
        model.preprocessing,
        model.temperature,
        model.device,
        f"{model.name}, weights shuffled",
    )


def rank_correlation(first: Tensor, second: Tensor) -> float:
    """Spearman's: 1 for the same order, 0 for none in common, -1 for the reverse. NaN if either is constant.

    >>> rank_correlation(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([10.0, 100.0, 1000.0]))
    1.0
    """
    ranks = torch.stack([_middle_ranks(values.flatten()) for values in (first, second)])
    ranks -= ranks.mean(dim=1, keepdim=True)
    size = ranks.norm(dim=1).prod()
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

    image: Tensor
    box: PatchBox
    question: Question
    moved: float


class Pointing(NamedTuple):
    """Whether a map points at a box: its highest cell lies inside, and the share of positive values there."""

    hit: bool
    mass: float


def plant(
    model: ExplainedModel, image: Tensor, donors: Tensor, *, size: float = 0.3, grid: int = 4
) -> PlantedPatch | None:
    """Paste one of several shrunken pictures, (B, 3, h, w), into one, (1, 3, h, w), to the greatest effect.

    Tries each donor at `grid` x `grid` positions, shrunk to `size` of the picture's sides. The question is
    why the emotion that the network predicts for the donor, and not the one that it predicts for the picture.
    None if no donor has another.
    """
    words = model.vocabulary.words
    height, width = image.shape[2:]
    tall, wide = max(1, round(size * height)), max(1, round(size * width))
    small = F.interpolate(
        donors.to(image), (tall, wide), mode="bilinear", align_corners=False, antialias=True
    )
    own = words[int(_top(model, image)[0])]
    tops = [round(row * (height - tall) / max(1, grid - 1)) for row in range(grid)]
    lefts = [round(column * (width - wide) / max(1, grid - 1)) for column in range(grid)]
    best: PlantedPatch | None = None
    for patch, top in zip(small, _top(model, donors), strict=True):
        if words[int(top)] == own:
            continue
        question = make_question(model.vocabulary, words[int(top)], own)
        boxes = [PatchBox(row, column, row + tall, column + wide) for row in tops for column in lefts]
        pasted = torch.cat([image, *(_paste(image, patch, box) for box in boxes)])
        with torch.no_grad():
            scores = torch.cat([model.score(some, question) for some in pasted.split(BATCH_SIZE)]).cpu()
        moved, winner = (scores[1:] - scores[0]).max(dim=0)
        if best is None or float(moved) > best.moved:
            chosen = int(winner)
            best = PlantedPatch(pasted[chosen + 1 : chosen + 2], boxes[chosen], question, float(moved))
    return best


def points_at(values: Tensor, box: PatchBox, *, cells: int = 14) -> Pointing:
    """Check whether a map, (h, w), points at a box. A box gets its share of the area by chance alone.

    The highest cell is inside if its centre is. A map without positive values has no mass anywhere.
    """
    height, width = values.shape
    numbers = cell_numbers(height, width, cells)
    highest = int(by_cell(values, numbers).argmax())
    rows, columns = (numbers == highest).nonzero(as_tuple=True)
    row, column = float(rows.float().mean()), float(columns.float().mean())
    hit = box.top <= row < box.bottom and box.left <= column < box.right
    positive = values.clamp(min=0)
    total = float(positive.sum())
    inside = float(positive[box.top : box.bottom, box.left : box.right].sum())
    return Pointing(hit, inside / total if total > 0 else 0.0)


def _middle_ranks(values: Tensor) -> Tensor:
    """Ranks of values, equal ones all with the mean of their ranks: (C,) -> float64 (C,)."""
    _, inverse, counts = values.unique(return_inverse=True, return_counts=True)
    ends = counts.cumsum(dim=0).double()
    middles: Tensor = ends - (counts - 1) / 2
    return middles[inverse]


def _paste(image: Tensor, patch: Tensor, box: PatchBox) -> Tensor:
    pasted = image.clone()
    pasted[:, :, box.top : box.bottom, box.left : box.right] = patch
    return pasted


def _top(model: ExplainedModel, images: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([model.logits(some) for some in images.split(BATCH_SIZE)]).argmax(dim=1).cpu()
