"""Measure a network on a split of a data set: what `affectlens evaluate` does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from affectlens.attributes import Attribute
from affectlens.data.records import DataSource, digest
from affectlens.emotions import Vocabulary
from affectlens.errors import VocabularyMismatch
from affectlens.evaluation.attributes import Named, name_and_score, shared_attributes
from affectlens.evaluation.scores import Scores, score
from affectlens.inference.labelled import judge
from affectlens.machine import pick_device, pick_precision
from affectlens.preprocess import Preprocessing
from affectlens.training.batches import EvaluationSet, Unreadable, evaluation_batches, file_reader


@dataclass(frozen=True)
class Measured:
    """Scores, what they were measured on, and the pictures that are in none of them.

    `named` are those of attributes, where they were asked for.
    """

    scores: Scores
    data: str
    split: str
    digest: str
    unreadable: tuple[Unreadable, ...]
    named: Named | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain data; an unreadable picture by its key and reason."""
        return {
            "data": {"name": self.data, "split": self.split, "hash": self.digest},
            "scores": self.scores.to_json(),
            "unreadable": [{"image": u.key, "error": str(u.error)} for u in self.unreadable],
            **(self.named.to_json() if self.named else {}),
        }


def measure(
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
) -> Measured:
    """Judge every picture of a split and score the answers. `progress` is told how many each step read.

    `attributes` are the model's; those that the data has too are scored in a second pass over the pictures.
    Raises `VocabularyMismatch` where data and network name other emotions, `EmptySplit`, `DatasetError`
    when not one picture can be read, and `SettingsError` for a device that is not here and for attributes
    that data and model do not share.
    """
    if source.vocabulary != vocabulary:
        raise VocabularyMismatch(vocabulary.words, source.vocabulary.words)
    records = source.split(split)
    shared = shared_attributes(attributes, source) if attributes else ()
    place = pick_device(device)
    digits = pick_precision(precision, place)
    pictures = EvaluationSet(records, preprocessing, file_reader(preprocessing), shared)
    batches = evaluation_batches(pictures, batch_size, workers)
    judged = judge(network.to(place), batches, preprocessing, place, digits, progress)
    named = None
    if shared:
        again = evaluation_batches(pictures, batch_size, workers)
        named = name_and_score(network, again, shared, preprocessing, place, digits)
    scores = score(
        judged.logits, judged.targets, vocabulary, temperature=temperature, unreadable=len(judged.unreadable)
    )
    return Measured(scores, source.name, split, digest(records), judged.unreadable, named)
