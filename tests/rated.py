"""A model with ratings and a score of unusual pictures, and timelines that it could have made, for tests.

Valence is how red, arousal how green a picture is, on 1 to 9; one that is almost white is unusual.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affectlens.film.timeline import Timeline
from affectlens.images import Pixels
from affectlens.inference.engine import Answers, Engine
from affectlens.inference.unusual import UsualPictures
from affectlens.model_folder import Card
from affectlens.preprocess import Images
from affectlens.ratings import RatingScale

SCALES = (
    RatingScale(name="valence", coverages=(0.9, 0.95), half_widths=(2.0, 2.5)),
    RatingScale(name="arousal", coverages=(0.9, 0.95), half_widths=(1.5, 1.75)),
)
# An embedding is how light and how dark a picture is.
USUAL = UsualPictures(np.array([[1.0], [0.0]]), np.zeros(1), 0.99, (2,))


class RatedEngine:
    """An engine that also rates pictures, and knows which are unusual."""

    def __init__(self, engine: Engine, scales: Sequence[RatingScale] = SCALES) -> None:
        self._engine = engine
        self.card: Card = replace(engine.card, ratings=tuple(scales), unusual={"threshold": 0.99})
        self.heads: Mapping[str, NDArray[Any]] = MappingProxyType(USUAL.tensors())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def __call__(self, pixels: Pixels) -> Any:
        return self._engine(pixels)

    def answer_images(self, images: Images) -> Answers:
        """Answer as `answer` does."""
        fitted = self.card.preprocessing
        levels = images * np.array(fitted.std)[:, None, None] + np.array(fitted.mean)[:, None, None]
        return self.answer(np.clip(255 * levels, 0, 255).round().astype(np.uint8).transpose(0, 2, 3, 1))

    def answer(self, pixels: Pixels) -> Answers:
        shares = pixels.mean(axis=(1, 2)) / 255  # (B, 3)
        light = shares.mean(axis=1)
        ratings = (1 + 8 * shares[:, :2]).astype(np.float32)
        embedding = np.stack([light, 1 - light], axis=1).astype(np.float32)
        return Answers(self._engine.answer(pixels).probabilities, ratings, embedding)


def rated(timeline: Timeline, *unusual: int, scales: tuple[RatingScale, ...] = SCALES) -> Timeline:
    """Add ratings to a timeline, which rise from 4 to 6; the shots of these numbers are unusual."""
    count = len(timeline.samples)
    values = [tuple(4 + 2 * index / max(1, count - 1) for _ in scales) for index in range(count)]
    samples = tuple(
        replace(sample, ratings=value, smoothed_ratings=value, unusual=sample.shot in unusual)
        for sample, value in zip(timeline.samples, values, strict=True)
    )
    shots = tuple(replace(shot, ratings=values[shot.first]) for shot in timeline.shots)
    curve = tuple(value[0] for value in values)
    return replace(
        timeline, samples=samples, shots=shots, scales=scales, ratings=(5.0,) * len(scales), valence=curve,
        arousal=curve,
    )  # fmt: skip
