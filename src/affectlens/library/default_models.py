"""Every model that is or was the default, oldest first, with its scores on one set of pictures.

A new default model gets the last entry; so `affectlens models show` can compare it with the one before it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from affectlens.model_folder import Card

FILE = Path(__file__).with_name("default_models.json")


@dataclass(frozen=True, kw_only=True)
class DefaultModel:
    """A model that is or was the default.

    Attributes:
        version: first version of the package that had it
        weights: `Card.weights_id`
        scores: by the names that `evaluation.scores.Scores` has for them, and how the probability of a
            positive feeling follows ratings of valence (Pearson's r)
    """

    version: str
    weights: str
    scores: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class DefaultModels:
    """All of them, the oldest first, and the pictures of their scores.

    Attributes:
        data: the data set
        which: which of its pictures, in words
        hash, pictures: of these pictures; how many there are
    """

    data: str
    which: str
    hash: str
    pictures: int
    models: tuple[DefaultModel, ...]

    @classmethod
    def read(cls, file: Path = FILE) -> "DefaultModels":
        """Read a file; that of the package by default."""
        return msgspec.json.decode(file.read_bytes(), type=cls)

    def last_two(self, card: Card) -> tuple[DefaultModel, DefaultModel] | None:
        """Return the default model before that of the card, and that of the card.

        None for a model that was never the default, and for the first.
        """
        for former, model in zip(self.models, self.models[1:], strict=False):
            if model.weights == card.weights_id:
                return former, model
        return None
