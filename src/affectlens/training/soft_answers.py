"""Soft answers: what teachers predict for the training pictures, to learn from besides labels (distillation).

On disk: files that `affectlens predict --out` writes, `.jsonl` or `.csv`, one a teacher, with a row for every
training picture; rows of other pictures are passed over. A row is found by its picture's path below the data
set, whatever the folder of the data set is, and its probabilities by their words.

The target of a picture is a mixture, (1 - d) label + d soft answer. Cross-entropy to it is, up to a constant,
(1 - d) cross-entropy to the label + d Kullback-Leibler divergence from the soft answer: the loss of Hinton et
al., "Distilling the Knowledge in a Neural Network", 2015, at temperature 1. As one target it goes through
mixing, class weights, logit adjustment and every other loss as a label does. Theirs divides the student's
logits by the temperature too; here soft answers alone are softened, so that what is trained stays the
student's own probabilities. Where labels are noisy, mixing in predictions helps by itself, also those of a
network of the same kind (Das and Sanghavi, "Understanding Self-Distillation in the Presence of Label Noise",
ICML 2023).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath

import torch
from torch import Tensor

from affectlens.data import table
from affectlens.data.records import ALL, DataSource, Record
from affectlens.emotions import EmotionDistribution, is_known
from affectlens.errors import DatasetError

SUFFIXES = (".jsonl", ".csv")


def read_soft_answers(files: Sequence[Path], records: Sequence[Record], source: DataSource) -> list[Record]:
    """Return the records of a data set with what teachers predict as their targets.

    Of several teachers it is the mean of their probabilities, which keeps what only one of them sees; that of
    log-probabilities would give each a veto, and rows have no more than six digits of a small one. Raises
    `DatasetError` for a file that is not such a table, has other emotions, or lacks a picture, and `BadRow`.
    """
    answers = [_of_teacher(file, records, source) for file in files]
    return [
        replace(record, target=_mean([of_teacher[index] for of_teacher in answers]))
        for index, record in enumerate(records)
    ]


def mix_targets(labels: Tensor, soft: Tensor, weight: float, temperature: float = 1.0) -> Tensor:
    """Mix labels and soft answers, both float32 (N, E), rows of sum 1: (1 - d) label + d soft answer.

    `weight` is d, in 0..1. Soft answers p become p^(1/T), scaled to sum to 1: a `temperature` T above 1 makes
    them softer, one below 1 harder.

    >>> mix_targets(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.2, 0.8]]), 0.5)
    tensor([[0.6000, 0.4000]])
    """
    softened = (soft.log() / temperature).softmax(dim=1)
    return torch.lerp(labels, softened, weight)


def _mean(answers: Sequence[EmotionDistribution]) -> EmotionDistribution:
    columns = zip(*(answer.probabilities for answer in answers), strict=True)
    words = answers[0].vocabulary
    return words.distribution(dict(zip(words.words, map(sum, columns), strict=True)))


def _of_teacher(file: Path, records: Sequence[Record], source: DataSource) -> list[EmotionDistribution]:
    """Read one file: the answer to each record."""
    if file.suffix.lower() not in SUFFIXES:
        raise DatasetError(
            f"{file} cannot be read as soft answers: the suffix is not one of {', '.join(SUFFIXES)}. Write "
            "them by `affectlens predict --out FILE.jsonl`."
        )
    own = None if is_known(source.vocabulary) else source.vocabulary
    found = table.read(file, root=source.root, vocabulary=own)
    if found.vocabulary != source.vocabulary:
        raise DatasetError(
            f"{file} has soft answers over the emotions [{', '.join(found.vocabulary.words)}], but the data "
            f"is labelled with [{', '.join(source.vocabulary.words)}]. Let a model of these emotions predict."
        )
    rows: dict[str, EmotionDistribution] = {}
    for row in found.split(ALL):
        name = PurePath(row.key).as_posix()
        if name in rows:
            raise DatasetError(f"{file} has two rows for {row.key}. Keep one of them.")
        rows[name] = row.target
    return _matched(file, records, rows)


def _matched(
    file: Path, records: Sequence[Record], rows: Mapping[str, EmotionDistribution]
) -> list[EmotionDistribution]:
    """Find the row of each record; the paths of all begin with the folder that the pictures were in then."""
    first = records[0].key
    folders = [name.removesuffix(first) for name in rows if name == first or name.endswith(f"/{first}")]
    missing = first
    for folder in folders:
        lacking = next((record.key for record in records if folder + record.key not in rows), None)
        if lacking is None:
            return [rows[folder + record.key] for record in records]
        missing = lacking
    raise DatasetError(
        f"{file} has no row for the training picture {missing}. Every training picture needs one: predict "
        "all pictures of the data set into that file."
    )
