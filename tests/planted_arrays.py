"""Models of plain NumPy whose right explanation is known, for tests of what needs no torch."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from affectlens.emotions import MIKELS, Vocabulary
from affectlens.explain.core.attribution import Map
from affectlens.explain.core.question import ImageAnswers, Question, RatingQuestion, make_question
from affectlens.metrics import Doubles, softmax
from affectlens.preprocess import Images, Preprocessing
from affectlens.ratings import RatingScale

SIDE = 28
VALENCE = RatingScale(name="valence", coverages=(0.9,), half_widths=(1.5,))
FEAR, AWE = MIKELS.index("fear"), MIKELS.index("awe")


def levels(side: int = SIDE) -> Preprocessing:
    """Preprocessing that leaves levels in 0..1 as they are, so that black is 0."""
    return Preprocessing(height=side, width=side, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


@dataclass(frozen=True)
class ArrayModel:
    """An `ExplainedModel` that is a function: images (B, 3, h, w) -> logits (B, 8)."""

    logits: Callable[[Images], Doubles]
    preprocessing: Preprocessing
    vocabulary: Vocabulary = MIKELS
    name: str = "planted"

    def predict_images(self, images: Images) -> Doubles:
        """(B, 3, h, w) -> (B, 8)."""
        return softmax(self.logits(images))


@dataclass(frozen=True)
class RatedArrayModel(ArrayModel):
    """One that also has a rating, valence: images (B, 3, h, w) -> (B,)."""

    rates: Callable[[Images], Doubles] = lambda images: np.full(len(images), 5.0)

    @property
    def ratings(self) -> tuple[RatingScale, ...]:
        """Valence alone, of 1 to 9."""
        return (VALENCE,)

    def answer_images(self, images: Images) -> ImageAnswers:
        """Probabilities and ratings: (B, 3, h, w) -> B answers."""
        return ImageAnswers(self.predict_images(images), self.rates(images)[:, None])


def corner_rated(points: float = 2.0, side: int = 8) -> RatedArrayModel:
    """Valence is 4, and `points` more if all levels of a square at the upper left are 1; no emotion is."""

    def rates(images: Images) -> Doubles:
        means: Doubles = images[:, :, :side, :side].mean(axis=(1, 2, 3), dtype=np.float64)
        return 4 + points * means

    return RatedArrayModel(lambda images: np.zeros((len(images), len(MIKELS))), levels(), rates=rates)


def why_valence() -> RatingQuestion:
    """Why valence, the first rating of a model."""
    return RatingQuestion(VALENCE, 0)


def fearing(
    finds: Callable[[Images], NDArray[np.floating]], preprocessing: Preprocessing | None = None
) -> ArrayModel:
    """Fear is what a function finds in images, (B, 3, h, w) -> (B,); the logits of all others are 0."""

    def logits(images: Images) -> Doubles:
        found = np.zeros((len(images), len(MIKELS)))
        found[:, FEAR] = finds(images)
        return found

    return ArrayModel(logits, preprocessing or levels())


def spot_weights(top: int = 8, left: int = 16, side: int = 4, strength: float = 5.0) -> Map:
    """Weights of a square that sum to `strength` over three channels, and 0 elsewhere: (SIDE, SIDE)."""
    weights = np.zeros((SIDE, SIDE), np.float32)
    weights[top : top + side, left : left + side] = strength / (3 * side**2)
    return weights


def one_spot(top: int = 8, left: int = 16, side: int = 4, strength: float = 5.0) -> ArrayModel:
    """Sees fear in the mean of all levels within a square, and nothing else."""
    return summing(spot_weights(top, left, side, strength))


def coarse_weights() -> Map:
    """Weights of either sign, the same within each 4 x 4 pixels, which sum to above 0: (SIDE, SIDE)."""
    coarse = np.random.default_rng(2).standard_normal((7, 7), dtype=np.float32)
    return coarse.repeat(4, axis=0).repeat(4, axis=1) / np.float32(150)


def summing(weights: Map) -> ArrayModel:
    """Fear is the sum over pixels and channels of levels times weights, (h, w) of the images'."""
    return fearing(lambda images: (images * weights).sum(axis=(1, 2, 3), dtype=np.float64))


def brightness() -> ArrayModel:
    """Fear grows with how dark a picture is on average, awe with how bright."""

    def logits(images: Images) -> Doubles:
        found = np.zeros((len(images), len(MIKELS)))
        found[:, AWE] = 10 * (images.mean(axis=(1, 2, 3), dtype=np.float64) - 0.5)
        found[:, FEAR] = -found[:, AWE]
        return found

    return ArrayModel(logits, levels())


def why_fear() -> Question:
    """Why fear, rather than all others."""
    return make_question(MIKELS, "fear")


def white(side: int = SIDE) -> Images:
    """An image of which every level counts: (1, 3, side, side)."""
    return np.ones((1, 3, side, side), np.float32)


def noise(seed: int, number: int = 1, side: int = SIDE) -> Images:
    """Images of noise, levels in 0..1: (number, 3, side, side)."""
    return np.random.default_rng(seed).random((number, 3, side, side), dtype=np.float32)


def gaussian(seed: int, side: int) -> Images:
    """An image of noise of mean 0 and standard deviation 1: (1, 3, side, side)."""
    return np.random.default_rng(seed).standard_normal((1, 3, side, side), dtype=np.float32)
