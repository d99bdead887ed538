"""A picture's heat map: what each part of it speaks for, in the pixels of the picture that people see.

A method's map has the pixels of the network's input, which is squashed, cropped or padded. Here it is
brought back to the upright picture: what the network did not see has no value there, neither 0 nor a guess.

Letters: H x W pixels of the upright picture, h x w of the network's input, y x x of the map that is returned.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from affectlens.emotions import EmotionDistribution
from affectlens.explain.core.question import AnyQuestion, RatingQuestion
from affectlens.metrics import Doubles, softmax
from affectlens.preprocess import View

MapValues: TypeAlias = NDArray[np.float32]

# Single pixels' values are mostly noise, of neighbours with opposite signs; eyes need their sum over a
# region. Standard deviation of the Gaussian that sums them, in sides of a square as large as what is seen.
SMOOTHING = 0.02
MAX_PIXELS = 16_000_000  # of a map that is written; beyond, it is written smaller, in the same proportions
DIGITS = 6


@dataclass(frozen=True, eq=False, kw_only=True)
class Heatmap:
    """Why a model gives one answer for one picture, pixel by pixel. Positive values speak for it.

    Attributes:
        image: name of the picture
        size: (H, W) of the upright picture
        view: which part of the picture the network saw, and where in its input
        question: that the map answers
        method: the catalogue's name of the method
        model: name of the model
        emotions: what the picture is likely to evoke, over all words, in people on average
        answer: log-odds that the question is about, or the rating before it is cut off at its scale's ends
        values: float32 (h, w), as the method gave them: in the unit of the answer where it divides this up
            (`sums_up`), else in a unit of its own, good for comparing regions
        details: what it took and how exact it is, as JSON. `cells`, [rows, columns] of a map coarser than
            pixels or a list of such, has that map smoothed until its cells do not show
    """

    image: str
    size: tuple[int, int]
    view: View
    question: AnyQuestion
    method: str
    model: str
    emotions: EmotionDistribution
    answer: float
    values: MapValues
    sums_up: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def log_odds(self) -> float | None:
        """Log-odds that the question is about; None where it is about a rating."""
        return None if isinstance(self.question, RatingQuestion) else self.answer

    @property
    def probability(self) -> float | None:
        """How likely the picture is to evoke what the question favours; None where it is about a rating."""
        if isinstance(self.question, RatingQuestion):
            return None
        return math.fsum(self.emotions[word] for word in self.question.favour)

    @property
    def rating(self) -> float | None:
        """The rating that the question is about, as predictions have it; None where it is about emotions."""
        return self.question.shown(self.answer) if isinstance(self.question, RatingQuestion) else None

    @property
    def unit(self) -> str:
        """Unit of the numbers of `at`, in words."""
        return f"{self.question.unit} per 1 % of the picture" if self.sums_up else "relative to the maximum"

    @property
    def on_padding(self) -> float:
        """Share of all strength, in 0..1, that fell on the padding around the picture and is not shown."""
        total = float(np.abs(self.values).sum(dtype=np.float64))
        return 1 - float(np.abs(self._inside()).sum()) / total if total else 0.0

    def at(self, height: int, width: int, smoothing: float = SMOOTHING) -> MapValues:
        """Map of the whole upright picture at any size: float32 (height, width), NaN where it was not seen.

        Smoothed by a Gaussian, so that neither single pixels nor borders of patches show. Where the method
        sums up, in log-odds, or points of a rating, per 1 % of what was seen, so that the size does not
        matter; else in -1..1, relative to the map's maximum.
        """
        top, left, bottom, right = self.view.seen
        rows, vertical = _pixels_between(height, top, bottom)
        columns, horizontal = _pixels_between(width, left, right)
        found = np.full((height, width), np.nan, dtype=np.float32)
        if len(rows) and len(columns):
            found[vertical, horizontal] = self._smooth(rows, columns, smoothing) * self._scale(smoothing)
        return found

    def seen(self, smoothing: float = SMOOTHING) -> MapValues:
        """Map of what was seen alone, as many pixels large as the network saw of it; in the unit of `at`."""
        return (self._smooth(*self._cells(), smoothing) * self._scale(smoothing)).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """Return all but the map itself as plain data, which `to_arrays` has."""
        top, left, bottom, right = (round(value, DIGITS) for value in self.view.seen)
        return {
            "image": self.image,
            "height": self.size[0],
            "width": self.size[1],
            "model": self.model,
            "question": str(self.question),
            **self._answer_json(),
            "emotions": {word: round(value, DIGITS) for word, value in self.emotions.weights.items()},
            "seen": {"top": top, "left": left, "bottom": bottom, "right": right},
            "method": self.method,
            "unit": self.unit,
            "sums_up": self.sums_up,
            "details": dict(self.details),
        }

    def _answer_json(self) -> dict[str, Any]:
        """What the question is about, and its answer; of a rating as predictions have it, and before that."""
        question = self.question
        if isinstance(question, RatingQuestion):
            return {
                "rating": question.name,
                "value": round(question.shown(self.answer), DIGITS),
                "scale": [question.scale.low, question.scale.high],
                "before_cut_off": round(self.answer, DIGITS),
            }
        return {
            "favour": list(question.favour),
            "against": list(question.against),
            "probability": round(math.fsum(self.emotions[word] for word in question.favour), DIGITS),
            "log_odds": round(self.answer, DIGITS),
        }

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return arrays for `numpy.savez`; none needs pickle.

        `heatmap` (H, W) as `at` gives it, smaller where it would have more than `MAX_PIXELS`; `values` (h, w)
        as the method gave them; `inside`, their part that shows the picture; `about`, `to_json` as text.
        """
        shrink = min(1.0, math.sqrt(MAX_PIXELS / (self.size[0] * self.size[1])))
        height, width = (max(1, int(side * shrink)) for side in self.size)
        return {
            "heatmap": self.at(height, width),
            "values": self.values,
            "inside": np.array(self.view.inside),
            "about": np.array(json.dumps(self.to_json())),
        }

    def _inside(self) -> Doubles:
        top, left, bottom, right = self.view.inside
        return self.values[top:bottom, left:right].astype(np.float64)

    def _cells(self) -> tuple[Doubles, Doubles]:
        """Centres of the rows and of the columns of `_inside`, in fractions of what was seen."""
        height, width = self._inside().shape
        return _centres(height) / height, _centres(width) / width

    def _smooth(self, rows: Doubles, columns: Doubles, smoothing: float) -> Doubles:
        """Values, smoothed, at fractions of what was seen: (y,), (x,) -> (y, x)."""
        inside = self._inside()
        vertical, horizontal = self._deviations(smoothing)
        weights = _gaussian(columns, inside.shape[1], horizontal).T
        smoothed: Doubles = _gaussian(rows, inside.shape[0], vertical) @ inside @ weights
        return smoothed

    def _deviations(self, smoothing: float) -> tuple[float, float]:
        """Standard deviations of the Gaussian, in rows and in columns of `_inside`.

        It is round in the picture, and not in an input that squashes the picture.
        """
        height, width = self._inside().shape
        top, left, bottom, right = self.view.seen
        tall, wide = (bottom - top) * self.size[0], (right - left) * self.size[1]
        side = smoothing * math.sqrt(tall * wide)
        rows, columns = _finest(self.details.get("cells"), height, width)
        # Not less than half a cell of a coarse map, or its cells would show; nor than one pixel.
        half_row, half_column = self.values.shape[0] / rows / 2, self.values.shape[1] / columns / 2
        return max(side * height / tall, half_row, 1.0), max(side * width / wide, half_column, 1.0)

    def _scale(self, smoothing: float) -> float:
        inside = self._inside()
        if self.sums_up:
            return inside.size / 100
        return 1 / (float(np.abs(self._smooth(*self._cells(), smoothing)).max()) or 1.0)


def _finest(cells: Any, height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the finest map that a method enlarged: of `details["cells"]`, where it has that."""
    if isinstance(cells, int):
        return cells, cells
    if not cells:
        return height, width
    each = [cells] if isinstance(cells[0], int) else cells
    return max(rows for rows, _ in each), max(columns for _, columns in each)


def _centres(count: int) -> Doubles:
    return np.arange(count, dtype=np.float64) + 0.5


def _pixels_between(length: int, begin: float, end: float) -> tuple[Doubles, slice]:
    """Of `length` pixels, those whose centre lies between two fractions: where between these, and which."""
    first, stop = math.ceil(begin * length - 0.5), math.floor(end * length - 0.5) + 1
    inside = slice(max(0, first), min(length, stop))
    return (_centres(length)[inside] / length - begin) / (end - begin), inside


def _gaussian(positions: Doubles, count: int, deviation: float) -> Doubles:
    """Weights of `count` cells at each position, a fraction of them all: (n,) -> (n, count), sums 1.

    Pixels of the map that lie further apart than cells would step over some, and take in what lies between.
    """
    step = float(positions[1] - positions[0]) * count if len(positions) > 1 else float(count)
    distance = (positions[:, None] * count - _centres(count)) / math.hypot(deviation, step / 2)
    return softmax(-(distance**2) / 2)
