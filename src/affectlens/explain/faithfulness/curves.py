"""Whether a map tells the truth about the network: measurements of one map, or of one method.

Deletion and insertion: Petsiuk, Das and Saenko, "RISE", BMVC 2018; by cells rather than pixels as Samek et
    al., "Evaluating the Visualization of What a Deep Neural Network Has Learned", TNNLS 2017. Single pixels
    taken out leave a pepper that breaks any network, wherever it falls, and favours maps of fine noise.
Infidelity and sensitivity: Yeh et al., "On the (In)fidelity and Sensitivity of Explanations", NeurIPS 2019.

All ask what happens when parts are replaced, so each has a say about its own replacement only (`trials.py`).
A map is used through its ranks, except by infidelity: doubling or squaring positive values changes nothing.

Letters: B trials, h x w pixels of the network's input, C cells.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from affectlens.errors import SettingsError
from affectlens.explain.core.attribution import ExplainedModel, Method
from affectlens.explain.core.perturbations import BATCH_SIZE, REPLACEMENT, Perturbations, require
from affectlens.explain.core.question import Question

Scale = Literal["probability", "log-odds", "normalised"]
LEAST_SPAN = 0.5  # log-odds of the picture above its replacement, below which there is little to explain


@dataclass(frozen=True, kw_only=True)
class RemovalOptions:
    """How parts of a picture are taken out, or put in, in the order of a map.

    Attributes:
        cells: along the shorter side; a cell's value is the mean of its pixels', and it goes as a whole
        steps: of a curve, about as many pictures
        replacement: what takes the place of a cell, as for `Occlusion`
        random_maps: with which a map is compared, each an order of the same cells drawn by chance
        seed: of these, and of the order of cells with equal values

    Raises `SettingsError` for what cannot be.
    """

    cells: int = 14
    steps: int = 16
    replacement: str = REPLACEMENT
    random_maps: int = 5
    seed: int = 0
    batch_size: int = BATCH_SIZE
    precision: str = "auto"

    def __post_init__(self) -> None:
        require("cells", self.cells, self.cells >= 2, "at least 2")
        require("steps", self.steps, self.steps >= 2, "at least 2")
        require("random_maps", self.random_maps, self.random_maps >= 0, "0 or more")


@dataclass(frozen=True)
class Curve:
    """Log-odds of the answer while a picture is taken apart, or put together.

    Attributes:
        shares: of the cells taken out, or put in, from 0 to 1
        log_odds: then
        whole, blank: log-odds of the picture, and of its replacement
    """

    shares: tuple[float, ...]
    log_odds: tuple[float, ...]
    whole: float
    blank: float

    def area(self, scale: Scale = "probability") -> float:
        """Mean height of the curve (trapezoids): low is good for deletion, high for insertion.

        `probability`: of what is asked for, as against what it is asked against. `normalised`: log-odds, 0
        for the replacement and 1 for the picture; NaN where the picture is not `LEAST_SPAN` above.
        """
        heights = torch.tensor(self.log_odds, dtype=torch.float64)
        if scale == "probability":
            heights = heights.sigmoid()
        elif scale == "normalised":
            span = self.whole - self.blank
            heights = (heights - self.blank) / (span if span >= LEAST_SPAN else math.nan)
        return float(torch.trapezoid(heights, torch.tensor(self.shares, dtype=torch.float64)))

    def to_json(self) -> dict[str, Any]:
        """Return the curve as plain data, log-odds to four digits."""
        return {
            "shares": [round(share, 4) for share in self.shares],
            "log_odds": [round(value, 4) for value in self.log_odds],
        }


class PerturbationCurves(NamedTuple):
    """Cells taken out of the picture, and put into its replacement, from the greatest value to the least."""

    deletion: Curve
    insertion: Curve


@dataclass(frozen=True)
class Faithfulness:
    """A map's curves beside those of maps drawn by chance.

    A gain is how much better than these the map is, on average: their area less its own for deletion, its own
    less theirs for insertion. Above 0, the map knows something.
    """

    own: PerturbationCurves
    random: tuple[PerturbationCurves, ...]
    options: RemovalOptions

    def deletion_gain(self, scale: Scale = "probability") -> float:
        """How much lower the map's deletion curve lies than a random map's. NaN without random maps."""
        return _mean([curves.deletion.area(scale) for curves in self.random]) - self.own.deletion.area(scale)

    def insertion_gain(self, scale: Scale = "probability") -> float:
        """How much higher the map's insertion curve lies than a random map's. NaN without random maps."""
        return self.own.insertion.area(scale) - _mean([c.insertion.area(scale) for c in self.random])

    @property
    def beats_random(self) -> bool | None:
        """Whether the map is better than each of the random ones, in deletion and in insertion.

        None without random maps. The mean of a few of them says less: a useless map is above it every other
        time.
        """
        own, others = self.own, self.random
        if not others:
            return None
        return own.deletion.area() < min(one.deletion.area() for one in others) and (
            own.insertion.area() > max(one.insertion.area() for one in others)
        )

    def to_json(self) -> dict[str, Any]:
        """Return areas, gains and the two curves as plain data, to four digits; None for NaN."""
        return {
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
    """Takes a picture apart, for as many maps of it as there are."""

    def __init__(
        self,
        subject: ExplainedModel,
        image: Tensor,
        question: Question,
        options: RemovalOptions | None = None,
    ) -> None:
        """Judge the picture, (1, 3, h, w), and its replacement."""
        self.options = options or RemovalOptions()
        self.trials = Perturbations(
            subject,
            image,
            question,
            replacement=self.options.replacement,
            seed=self.options.seed,
            batch_size=self.options.batch_size,
            precision=self.options.precision,
        )
        self.whole, self.blank = self.trials.ends()
        height, width = image.shape[2:]
        self.cell_of = cell_numbers(height, width, self.options.cells)

    def curves(self, values: Tensor) -> PerturbationCurves:
        """Follow a map, float (h, w), whose greatest values speak for the answer."""
        return self._follow(by_cell(values, self.cell_of), self._generator(0))

    def random(self) -> tuple[PerturbationCurves, ...]:
        """Follow maps drawn by chance."""
        number = int(self.cell_of.max()) + 1
        generators = [self._generator(1 + place) for place in range(self.options.random_maps)]
        return tuple(self._follow(torch.rand(number, generator=g), g) for g in generators)

    def _follow(self, values: Tensor, generator: torch.Generator) -> PerturbationCurves:
        ranks = ranks_from_greatest(values, generator)
        number, steps = len(ranks), min(self.options.steps, len(ranks))
        counts = torch.linspace(0, number, steps + 1).round().long()
        changed = (ranks[self.cell_of][None] < counts[1:-1, None, None])[:, None].float()  # (B, 1, h, w)
        heights = self.trials(torch.cat([1 - changed, changed])).tolist()
        shares = tuple((counts / number).tolist())
        deletion = (self.whole, *heights[: steps - 1], self.blank)
        insertion = (self.blank, *heights[steps - 1 :], self.whole)
        return PerturbationCurves(*(Curve(shares, h, self.whole, self.blank) for h in (deletion, insertion)))

    def _generator(self, stream: int) -> torch.Generator:
        return torch.Generator().manual_seed(self.options.seed * 1000 + stream)


def faithfulness(
    subject: ExplainedModel,
    image: Tensor,
    question: Question,
    values: Tensor,
    options: RemovalOptions | None = None,
) -> Faithfulness:
    """Compare one map, float (h, w), of one picture, (1, 3, h, w), with maps drawn by chance.

    Takes 2 * steps * (1 + random_maps) answers of the network. Raises `SettingsError` for a map of another
    size than the picture.
    """
    if values.shape != image.shape[2:]:
        raise SettingsError(f"The map has {tuple(values.shape)} pixels, the image {tuple(image.shape[2:])}.")
    removal = Removal(subject, image, question, options)
    return Faithfulness(removal.curves(values), removal.random(), removal.options)


# ------------------------------------------------------------------------------------------ infidelity


class Infidelity(NamedTuple):
    """How far a map's sums are from what the network loses (Yeh et al. 2019, with squares removed).

    Attributes:
        absolute: mean square of the difference, in log-odds squared; for maps that add up
        relative: the same for the best multiple of the map, as a share of the mean square of the losses: 0
            for a map that foretells them, 1 for one that says nothing, or the contrary
    """

    absolute: float
    relative: float


class Losses:
    """What a network loses when random rectangles are removed, for as many maps as there are of a picture.

    Their sides are an eighth to a half of the picture's.
    """

    def __init__(self, trials: Perturbations, *, rectangles: int = 64, seed: int = 0) -> None:
        """Remove each of so many rectangles, whole and one at a time."""
        height, width = trials.image.shape[2:]
        self._removed = torch.stack(list(_rectangles(height, width, rectangles, seed)))  # (B, h, w)
        whole, _ = trials.ends()
        self._lost = whole - trials(1 - self._removed[:, None]).double()

    def infidelity(self, values: Tensor) -> Infidelity:
        """Compare what was lost with the sum of a map, (h, w), over each rectangle.

        Relative infidelity is NaN where nothing was lost at all.
        """
        lost = self._lost
        foretold = (self._removed * values).sum(dim=(1, 2)).double()
        absolute, size = float(((foretold - lost) ** 2).mean()), float((lost**2).mean())
        together, own = float((foretold * lost).mean()), float((foretold**2).mean())
        multiple = max(0.0, together / own) if own > 0 else 0.0  # never negative: a map's sign is its message
        best = float(((multiple * foretold - lost) ** 2).mean())
        return Infidelity(absolute, best / size if size > 0 else math.nan)


def sensitivity(
    method: Method,
    subject: ExplainedModel,
    image: Tensor,
    question: Question,
    *,
    radius: float = 0.02,
    tries: int = 3,
    seed: int = 0,
) -> float:
    """Largest change of a method's map under noise that nobody sees, as a share of its norm (Yeh et al.).

    Each level moves by up to `radius`, of 0..1. Runs the method once for every try and once more. NaN where
    the map is nothing but zeros.
    """
    std = torch.tensor(subject.preprocessing.std).view(1, 3, 1, 1).to(image)
    generator = torch.Generator().manual_seed(seed)
    before = method(subject, image, question).values
    changes = []
    for _ in range(tries):
        noise = (2 * torch.rand(image.shape, generator=generator) - 1) * radius
        after = method(subject, image + noise.to(image) / std, question).values
        changes.append(float((after - before).norm()))
    size = float(before.norm())
    return max(changes, default=0.0) / size if size > 0 else math.nan


# ------------------------------------------------------------------------------------------------- cells


def cell_numbers(height: int, width: int, cells: int) -> Tensor:
    """Number the square cells of a picture row by row, so many along its shorter side: int64 (h, w)."""
    side = max(1, round(min(height, width) / cells))
    rows, columns = torch.arange(height) // side, torch.arange(width) // side
    return rows[:, None] * (int(columns[-1]) + 1) + columns[None]


def by_cell(values: Tensor, numbers: Tensor) -> Tensor:
    """Mean of a map over each cell: (h, w) -> (C,)."""
    totals = torch.bincount(numbers.flatten(), weights=values.flatten().double())
    return totals / torch.bincount(numbers.flatten())


def ranks_from_greatest(values: Tensor, generator: torch.Generator) -> Tensor:
    """Place of each value, 0 for the greatest; equal values in random order, so that none is favoured."""
    shuffled = torch.randperm(len(values), generator=generator)
    order = shuffled[values[shuffled].argsort(descending=True, stable=True)]
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(len(values))
    return ranks


def _rectangles(height: int, width: int, number: int, seed: int) -> Iterator[Tensor]:
    """Yield masks, float32 (h, w), 1 within a rectangle drawn by chance."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(number):
        drawn, places = torch.rand(2, 2, generator=generator).tolist()
        sizes = [(1 + 3 * share) / 8 for share in drawn]  # an eighth to a half
        tall, wide = max(1, round(height * sizes[0])), max(1, round(width * sizes[1]))
        top, left = round(places[0] * (height - tall)), round(places[1] * (width - wide))
        mask = torch.zeros(height, width)
        mask[top : top + tall, left : left + wide] = 1
        yield mask


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan
