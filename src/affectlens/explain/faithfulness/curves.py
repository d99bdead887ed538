"""Perturbation curves: how an answer falls and rises as the cells that a map marks are removed or inserted.

Deletion and insertion: Petsiuk, Das and Saenko, "RISE", BMVC 2018; by cells rather than pixels as Samek et
    al., "Evaluating the Visualization of What a Deep Neural Network Has Learned", TNNLS 2017. Single pixels
    taken out leave a pepper that breaks any network, wherever it falls, and favours maps of fine noise.

Curves show what happens when parts are replaced, so they are about their own replacement only
(`perturbations`). Only the order of a map's values counts: doubling or squaring
positive values changes nothing.

Letters: B perturbed pictures, h x w pixels of the network's input, C cells.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from affectlens.errors import SettingsError
from affectlens.explain.core.attribution import ExplainedModel, Map
from affectlens.explain.core.perturbations import BATCH_SIZE, REPLACEMENT, Perturbations, require
from affectlens.explain.core.question import AnyQuestion, RatingQuestion
from affectlens.metrics import Doubles, sigmoid
from affectlens.preprocess import Images

ScoreScale = Literal["probability", "log-odds", "normalised"]
# Log-odds, or points, of the picture above its replacement, below which there is little to explain.
LEAST_SPAN = 0.5


@dataclass(frozen=True, kw_only=True)
class RemovalOptions:
    """How cells of a picture are removed, or inserted, in the order of a map.

    Attributes:
        cells: along the shorter side; the value of a cell is the mean of its pixels' values
        steps: of a curve, about as many pictures
        replacement: what a cell is replaced by, as for `Occlusion`
        random_maps: with which a map is compared, each a random order of the same cells
        seed: of these, and of the order of cells with equal values

    Raises `SettingsError` for an impossible value.
    """

    cells: int = 14
    steps: int = 16
    replacement: str = REPLACEMENT
    random_maps: int = 5
    seed: int = 0
    batch_size: int = BATCH_SIZE

    def __post_init__(self) -> None:
        require("cells", self.cells, self.cells >= 2, "at least 2")
        require("steps", self.steps, self.steps >= 2, "at least 2")
        require("random_maps", self.random_maps, self.random_maps >= 0, "0 or more")


@dataclass(frozen=True)
class Curve:
    """Log-odds of the answer, or a rating, while the cells of a picture are removed, or inserted.

    Attributes:
        shares: of the cells removed, or inserted, from 0 to 1
        answers: at each share, in log-odds or as a rating
        whole, blank: answers to the picture, and to its replacement
        rating: that the question is about, if it is about one
    """

    shares: tuple[float, ...]
    answers: tuple[float, ...]
    whole: float
    blank: float
    rating: RatingQuestion | None = None

    def area(self, scale: ScoreScale = "probability") -> float:
        """Mean height of the curve (trapezoids): low is good for deletion, high for insertion.

        `probability`: of what the question favours, not of what it is against; of a rating, the rating, cut
        off at the ends of its scale. `normalised`: log-odds or ratings, 0 for the replacement and 1 for the
        picture; NaN where the picture is not `LEAST_SPAN` above.
        """
        heights = np.array(self.answers)
        if scale == "probability" and self.rating is not None:
            heights = heights.clip(self.rating.scale.low, self.rating.scale.high)
        elif scale == "probability":
            heights = sigmoid(heights)
        elif scale == "normalised":
            span = self.whole - self.blank
            heights = (heights - self.blank) / (span if span >= LEAST_SPAN else math.nan)
        return float(((heights[1:] + heights[:-1]) / 2 * np.diff(self.shares)).sum())

    def to_json(self) -> dict[str, Any]:
        """Return the curve as plain data, answers to four digits."""
        return {
            "shares": [round(share, 4) for share in self.shares],
            "ratings" if self.rating else "log_odds": [round(value, 4) for value in self.answers],
        }


class PerturbationCurves(NamedTuple):
    """Cells removed from the picture, and inserted into its replacement, the greatest value first."""

    deletion: Curve
    insertion: Curve


@dataclass(frozen=True)
class Faithfulness:
    """A map's curves compared with those of random maps.

    A gain is how much better than these the map is, on average: their area less its own for deletion, its own
    less theirs for insertion. Above 0, the map is informative.
    """

    own: PerturbationCurves
    random: tuple[PerturbationCurves, ...]
    options: RemovalOptions

    def deletion_gain(self, scale: ScoreScale = "probability") -> float:
        """How much lower the map's deletion curve lies than a random map's. NaN without random maps."""
        return _mean([curves.deletion.area(scale) for curves in self.random]) - self.own.deletion.area(scale)

    def insertion_gain(self, scale: ScoreScale = "probability") -> float:
        """How much higher the map's insertion curve lies than a random map's. NaN without random maps."""
        return self.own.insertion.area(scale) - _mean([c.insertion.area(scale) for c in self.random])

    @property
    def beats_random(self) -> bool | None:
        """Whether the map is better than each of the random ones, in deletion and in insertion.

        None without random maps. To beat the mean of a few of them means less: a useless map does so every
        other time.
        """
        own, others = self.own, self.random
        if not others:
            return None
        return own.deletion.area() < min(one.deletion.area() for one in others) and (
            own.insertion.area() > max(one.insertion.area() for one in others)
        )

    def to_json(self) -> dict[str, Any]:
        """Return areas, gains and the two curves as plain data, to four digits; None for NaN."""
        rating = self.own.deletion.rating
        return {
            **({"rating": rating.name, "scale": [rating.scale.low, rating.scale.high]} if rating else {}),
            "cells": self.options.cells,
            "replacement": self.options.replacement,
            "random_maps": len(self.random),
            "beats_random": self.beats_random,
            "deletion": self._one("deletion", self.deletion_gain()),
            "insertion": self._one("insertion", self.insertion_gain()),
        }

    def _one(self, name: str, gain: float) -> dict[str, Any]:
        own: Curve = getattr(self.own, name)
        random = _mean([getattr(curves, name).area() for curves in self.random])
        figures = {"area": own.area(), "random": random, "gain": gain}
        rounded = {key: None if math.isnan(value) else round(value, 4) for key, value in figures.items()}
        return {**rounded, **own.to_json()}


class Removal:
    """Removes and inserts the cells of one picture, in the order of any number of maps of it."""

    def __init__(
        self,
        model: ExplainedModel,
        image: Images,
        question: AnyQuestion,
        options: RemovalOptions | None = None,
    ) -> None:
        """Score the picture, (1, 3, h, w), and its replacement."""
        self.options = options or RemovalOptions()
        self.perturbations = Perturbations(
            model,
            image,
            question,
            replacement=self.options.replacement,
            seed=self.options.seed,
            batch_size=self.options.batch_size,
        )
        self.whole, self.blank = self.perturbations.endpoints()
        self._rating = question if isinstance(question, RatingQuestion) else None
        height, width = image.shape[2:]
        self.cell_of = cell_numbers(height, width, self.options.cells)

    def curves(self, values: NDArray[np.floating]) -> PerturbationCurves:
        """Curves of a map, float (h, w), whose greatest values speak for the answer."""
        return self._curves(by_cell(values, self.cell_of), self._generator(0))

    def random(self) -> tuple[PerturbationCurves, ...]:
        """Curves of random maps."""
        number = int(self.cell_of.max()) + 1
        generators = [self._generator(1 + index) for index in range(self.options.random_maps)]
        return tuple(self._curves(each.random(number), each) for each in generators)

    def _curves(self, values: Doubles, generator: np.random.Generator) -> PerturbationCurves:
        ranks = ranks_from_greatest(values, generator)
        number, steps = len(ranks), min(self.options.steps, len(ranks))
        counts = np.linspace(0, number, steps + 1).round().astype(int)
        changed = (ranks[self.cell_of][None] < counts[1:-1, None, None]).astype(np.float32)  # (B, h, w)
        heights = self.perturbations(np.concatenate([1 - changed, changed])).tolist()
        shares = tuple((counts / number).tolist())
        deletion = (self.whole, *heights[: steps - 1], self.blank)
        insertion = (self.blank, *heights[steps - 1 :], self.whole)
        ends = (self.whole, self.blank, self._rating)
        return PerturbationCurves(Curve(shares, deletion, *ends), Curve(shares, insertion, *ends))

    def _generator(self, stream: int) -> np.random.Generator:
        return np.random.default_rng([self.options.seed, stream])


def faithfulness(
    model: ExplainedModel,
    image: Images,
    question: AnyQuestion,
    values: Map,
    options: RemovalOptions | None = None,
) -> Faithfulness:
    """Compare one map, float (h, w), of one picture, (1, 3, h, w), with random maps.

    Runs the network on 2 * steps * (1 + random_maps) pictures. Raises `SettingsError` for a map of another
    size than the picture.
    """
    if values.shape != image.shape[2:]:
        raise SettingsError(f"The map has {values.shape} pixels, the image {image.shape[2:]}.")
    removal = Removal(model, image, question, options)
    return Faithfulness(removal.curves(values), removal.random(), removal.options)


def cell_numbers(height: int, width: int, cells: int) -> NDArray[np.int64]:
    """Number the square cells of a picture row by row, so many along its shorter side: int64 (h, w)."""
    side = max(1, round(min(height, width) / cells))
    rows, columns = np.arange(height) // side, np.arange(width) // side
    return rows[:, None] * (int(columns[-1]) + 1) + columns[None]


def by_cell(values: NDArray[np.floating], numbers: NDArray[np.int64]) -> Doubles:
    """Mean of a map over each cell: (h, w) -> (C,)."""
    totals = np.bincount(numbers.ravel(), weights=values.ravel().astype(np.float64))
    return np.asarray(totals / np.bincount(numbers.ravel()))


def ranks_from_greatest(values: Doubles, generator: np.random.Generator) -> NDArray[np.int64]:
    """Rank of each value, 0 for the greatest; equal values in random order, so that none is favoured."""
    shuffled = generator.permutation(len(values))
    order = shuffled[np.argsort(-values[shuffled], kind="stable")]
    ranks = np.empty(len(values), dtype=np.int64)
    ranks[order] = np.arange(len(values))
    return ranks


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan
