"""Heat maps and explanations made on the spot, for tests of what is drawn and written of them."""

import math
from typing import Any

import numpy as np

from affectlens.emotions import MIKELS, EmotionDistribution
from affectlens.explain.core.heatmap import Heatmap, MapValues
from affectlens.explain.core.question import AnyQuestion, make_question
from affectlens.explain.explainer import Explanation
from affectlens.explain.story.effects import APPEARANCES, REGIONS, PerturbationEffect, PictureEffects
from affectlens.images import Pixels
from affectlens.preprocess import Preprocessing

EMOTIONS = MIKELS.distribution(
    {"fear": 50, "sadness": 20, "awe": 12, "anger": 8, "disgust": 4, "excitement": 3, "contentment": 2,
     "amusement": 1}
)  # fmt: skip
FAITHFUL = {
    "random_maps": 5,
    "beats_random": True,
    "deletion": {"area": 0.21, "random": 0.44, "gain": 0.23},
    "insertion": {"area": 0.71, "random": 0.45, "gain": 0.26},
}


def heatmap_of(
    values: MapValues,
    size: tuple[int, int] | None = None,
    *,
    emotion: str = "fear",
    against: str | None = None,
    fit: Any = "squash",
    image: str = "photos/night street.jpg",
    emotions: EmotionDistribution = EMOTIONS,
    sums_up: bool = True,
    details: dict[str, Any] | None = None,
) -> Heatmap:
    """A map of a picture of this (H, W), by default as large as the network's input."""
    height, width = values.shape
    size = size or (height, width)
    question = make_question(MIKELS, emotion, against)
    favour, opposed = (
        math.fsum(emotions[word] for word in words) for words in (question.favour, question.against)
    )
    return Heatmap(
        image=image,
        size=size,
        view=Preprocessing(height=height, width=width, fit=fit).view(*size),
        question=question,
        method="integrated_gradients",
        model="tiny",
        emotions=emotions,
        answer=math.log(favour / opposed),
        values=values,
        sums_up=sums_up,
        details={"steps": 65, "baselines": ["mean"], "completeness_error_relative": 0.0042} | (details or {}),
    )


def with_patch(height: int = 60, width: int = 90) -> MapValues:
    """Values that speak for the answer at the upper left, against it at the lower right, and nowhere else."""
    values = np.zeros((height, width), dtype=np.float32)
    values[5:20, 5:30] = 0.01
    values[40:55, 60:85] = -0.01
    return values


def effects_of(question: AnyQuestion, effects: dict[str, float], noise: float = 0.3) -> PictureEffects:
    """Effects of which only some are beyond noise."""
    perturbations = [
        PerturbationEffect(
            name=name,
            kind="appearance" if name in APPEARANCES else "region",
            area=1 / 3,
            effect=effects.get(name, noise / 2),
            emotions=EMOTIONS,
        )
        for name in (*APPEARANCES, *REGIONS)
    ]
    return PictureEffects(
        question=question,
        model="tiny",
        emotions=EMOTIONS,
        answer=0.0,
        noise=noise,
        perturbations=tuple(perturbations),
    )


def explanation_of(*heatmaps: Heatmap, pixels: Pixels | None = None, **more: Any) -> Explanation:
    """Explanation of a picture by its maps; by default the picture is grey."""
    pixels = grey_picture() if pixels is None else pixels
    return Explanation(heatmaps[0].image, heatmaps, pixels=pixels, **more)


def grey_picture(height: int = 60, width: int = 90, level: int = 128) -> Pixels:
    """uint8 (H, W, 3) of one level."""
    return np.full((height, width, 3), level, dtype=np.uint8)
