"""Evaluate a network on a split of a data set: what `affectlens evaluate` does."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from affectlens.attributes import Attribute
from affectlens.data.records import DataSource, digest
from affectlens.emotions import Vocabulary
from affectlens.errors import VocabularyMismatch
from affectlens.evaluation.attributes import AttributeScores, score_attributes, shared_attributes
from affectlens.evaluation.scores import Scores, score
from affectlens.files import atomic_write
from affectlens.inference.labelled import predict_attributes, predict_labelled
from affectlens.inference.labelled_batches import EvaluationSet, Unreadable, evaluation_batches, file_reader
from affectlens.machine import describe, pick_device, pick_precision
from affectlens.model_folder import Card
from affectlens.preprocess import Preprocessing


@dataclass(frozen=True)
class Evaluation:
    """Scores, what they were measured on, and the pictures that are in none of them.

    `attribute_scores` are there where they were requested.
    """

    scores: Scores
    data: str
    split: str
    digest: str
    unreadable: tuple[Unreadable, ...]
    attribute_scores: AttributeScores | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain data; an unreadable picture by its key and reason."""
        return {
            "data": {"name": self.data, "split": self.split, "hash": self.digest},
            "scores": self.scores.to_json(),
            "unreadable": [{"image": u.key, "error": str(u.error)} for u in self.unreadable],
            **(self.attribute_scores.to_json() if self.attribute_scores else {}),
        }

    def write(self, file: Path, card: Card) -> None:
        """Write it as JSON, with the name and weights of the model that was evaluated, and the machine."""
        row = {"model": card.name, "weights": card.weights_hash, **self.to_json(), "machine": describe()}
        with atomic_write(file, "w") as out:
            out.write(json.dumps(row, indent=2) + "\n")


def evaluate(
    network: nn.Module,
    vocabulary: Vocabulary,
    preprocessing: Preprocessing,
    source: DataSource,
    split: str,
    *,
    temperature: float = 1.0,
    attributes: Sequence[Attribute] = (),
    batch_size: int = 64,
    workers: int = 0,
    device: str = "auto",
    precision: str = "auto",
    progress: Callable[[int], None] = lambda done: None,
) -> Evaluation:
    """Predict every picture of a split and score the predictions.

    `progress` is called with how many pictures each step read. `attributes` are the model's; those that the
    data has too are scored in a second pass over the pictures. Raises `VocabularyMismatch` where data and
    network name other emotions, `EmptySplit`, `DatasetError` when not one picture can be read, and
    `SettingsError` for a device that is not here and for attributes that data and model do not share.
    """
    if source.vocabulary != vocabulary:
        raise VocabularyMismatch(vocabulary.words, source.vocabulary.words)
    records = source.split(split)
    shared = shared_attributes(attributes, source) if attributes else ()
    where = pick_device(device)
    digits = pick_precision(precision, where)
    pictures = EvaluationSet(records, preprocessing, file_reader(preprocessing), shared)
    batches = evaluation_batches(pictures, batch_size, workers)
    found = predict_labelled(network.to(where), batches, preprocessing, where, digits, progress)
    attribute_scores = None
    if shared:
        batches = evaluation_batches(pictures, batch_size, workers)
        named = predict_attributes(network, batches, preprocessing, where, digits)
        attribute_scores = score_attributes(named, shared)
    scores = score(
        found.logits, found.targets, vocabulary, temperature=temperature, unreadable=len(found.unreadable)
    )
    return Evaluation(scores, source.name, split, digest(records), found.unreadable, attribute_scores)
