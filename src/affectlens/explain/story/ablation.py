"""What each part of a network is worth: scores on labelled pictures without it.

A part is replaced by its mean over the pictures, and so describes none of them (mean ablation). The rest of
the network was trained together with it and is not trained again. So a fall is what this network loses
without the part; what a network that never had it would lose is another question, which training one answers.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from affectlens.data.records import DataSource, digest
from affectlens.errors import VocabularyMismatch
from affectlens.evaluation.scores import Bootstrap, Scores, score
from affectlens.files import atomic_write
from affectlens.inference.predictions import Unreadable, require_readable
from affectlens.metrics import RowSampler, bootstrap_interval, correct
from affectlens.report.text import listed, signed

if TYPE_CHECKING:
    from torch import Tensor

    from affectlens.explain.core.differentiable import DifferentiableModel

BOOTSTRAP = Bootstrap(resamples=1000, seed=0)


@dataclass(frozen=True, kw_only=True)
class PartAblation:
    """Scores with some parts of a network at their mean.

    Attributes:
        parts: their names; none for the complete network
        scores: without intervals
        accuracy_change: from the complete network, and `interval` its 95 % interval over the pictures
        changed: fraction of pictures whose first emotion is another than that of the complete network
    """

    parts: tuple[str, ...]
    scores: Scores
    accuracy_change: float
    interval: tuple[float, float]
    changed: float

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "parts": list(self.parts),
            "accuracy_change": self.accuracy_change,
            "interval": list(self.interval),
            "changed": self.changed,
            "scores": self.scores.to_json(),
        }


@dataclass(frozen=True, kw_only=True)
class Ablations:
    """All ablations of a model on one split of a data set, the complete network first.

    `made_by` names the model as rows of predictions do: with weights, version, engine and precision.
    """

    made_by: Mapping[str, str | None]
    data: str
    split: str
    digest: str
    rows: tuple[PartAblation, ...]
    unreadable: tuple[Unreadable, ...]

    def write(self, file: Path) -> None:
        """Write them as JSON."""
        plain = {
            **self.made_by,
            "data": {"name": self.data, "split": self.split, "hash": self.digest},
            "bootstrap": {"resamples": BOOTSTRAP.resamples, "seed": BOOTSTRAP.seed, "level": BOOTSTRAP.level},
            "ablations": [row.to_json() for row in self.rows],
            "unreadable": [{"image": u.key, "error": str(u.error)} for u in self.unreadable],
        }
        with atomic_write(file, "w") as out:
            out.write(json.dumps(plain, indent=2) + "\n")

    def table(self) -> list[tuple[str, ...]]:
        """List scores in percent and differences in points, for people."""
        rows: list[tuple[str, ...]] = [
            ("without", "accuracy", "change (95 %)", "balanced accuracy", "macro F1", "answers changed")
        ]
        for row in self.rows:
            low, high = (signed(100 * end, 1) for end in row.interval)
            change = f"{signed(100 * row.accuracy_change, 1)} ({low} to {high})" if row.parts else "\u2013"
            fractions = (row.scores.balanced_accuracy, row.scores.macro_f1, row.changed)
            accuracy, *others = (f"{100 * share:.1f} %" for share in (row.scores.accuracy, *fractions))
            rows.append((listed(row.parts) or "nothing", accuracy, change, *others))
        return rows


def ablate(
    model: "DifferentiableModel",
    source: DataSource,
    split: str,
    *,
    batch_size: int = 64,
    progress: Callable[[int], None] = lambda done: None,
) -> Ablations:
    """Score a network on a split with each of its parts at its mean over the pictures.

    `progress` is called with how many pictures each step read. Raises `SettingsError` for a network without
    parts, `VocabularyMismatch` where data and model name other emotions, `EmptySplit`, and `DatasetError`
    when not one picture can be read.
    """
    from affectlens.explain.story.branches import ablated_logits
    from affectlens.inference import labelled_batches

    if source.vocabulary != model.vocabulary:
        raise VocabularyMismatch(model.vocabulary.words, source.vocabulary.words)
    records = source.split(split)
    read = labelled_batches.file_reader(model.preprocessing)
    pictures = labelled_batches.EvaluationSet(records, model.preprocessing, read)
    targets: list[NDArray[np.float32]] = []
    unreadable: list[Unreadable] = []

    def batches() -> Iterator["Tensor"]:
        for batch, bad in labelled_batches.evaluation_batches(pictures, batch_size, workers=0):
            unreadable.extend(bad)
            progress(len(bad) + (len(batch.keys) if batch else 0))
            if batch:
                targets.append(batch.targets.numpy())
                yield batch.pixels
        require_readable(len(targets), unreadable)

    logits = ablated_logits(model, batches())
    truth = np.concatenate(targets)
    rows = (
        _compare(parts, each, logits[()], truth, model, len(unreadable)) for parts, each in logits.items()
    )
    return Ablations(
        made_by=model.made_by(),
        data=source.name,
        split=split,
        digest=digest(records),
        rows=tuple(rows),
        unreadable=tuple(unreadable),
    )


def _compare(
    parts: tuple[str, ...],
    logits: NDArray[np.float32],
    complete: NDArray[np.float32],
    truth: NDArray[np.float32],
    model: "DifferentiableModel",
    unreadable: int,
) -> PartAblation:
    differences = correct(logits, truth) - correct(complete, truth)
    sampler, count = RowSampler(BOOTSTRAP.seed), len(truth)
    resampled = [differences[sampler.rows(count, (count,))].mean() for _ in range(BOOTSTRAP.resamples)]
    return PartAblation(
        parts=parts,
        scores=score(
            logits, truth, model.vocabulary, temperature=model.temperature, resamples=0, unreadable=unreadable
        ),
        accuracy_change=float(differences.mean()),
        interval=bootstrap_interval(resampled),
        changed=float((logits.argmax(axis=1) != complete.argmax(axis=1)).mean()),
    )
