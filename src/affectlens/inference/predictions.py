"""What is predicted for labelled pictures, as arrays, and how an engine predicts them.

Training predicts by its network in torch instead: `inference.labelled`.

Letters: N pictures, E emotions, W words of an attribute.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from affectlens.data.records import Record
from affectlens.errors import DatasetError, PictureError
from affectlens.inference.engine import Engine
from affectlens.inference.predictor import Answer, Predictor

SMALLEST = float(np.finfo(np.float32).smallest_subnormal)  # stands for probabilities that are 0 in float32


@dataclass(frozen=True)
class Unreadable:
    """A picture that could not be read, and why."""

    key: str
    error: PictureError


@dataclass(frozen=True)
class Predictions:
    """What is predicted for N pictures and what is true of them, in record order.

    Attributes:
        logits: float32 (N, E), before the model's temperature
        targets: float32 (N, E)
        keys: the records' keys
        unreadable: pictures that are in none of the above
    """

    logits: NDArray[np.float32]
    targets: NDArray[np.float32]
    keys: tuple[str, ...]
    unreadable: tuple[Unreadable, ...]


@dataclass(frozen=True)
class AttributePredictions:
    """What a network that answers attributes predicts for N pictures and what is true of them.

    All are float32, but for words of `truth` that are indices.

    Attributes:
        logits, targets: of emotions, (N, E)
        residual: what has no name, (N, E), less `usual_residual`
        usual, usual_residual: of the usual picture, (E,)
        from_attributes: whether emotions are read from attributes at all
        words: by name, logits (N, W)
        truth: by name, encoded as by `labelled_batches.attribute_tensors`
    """

    logits: NDArray[np.float32]
    targets: NDArray[np.float32]
    residual: NDArray[np.float32]
    usual: NDArray[np.float32]
    usual_residual: NDArray[np.float32]
    from_attributes: bool
    words: Mapping[str, NDArray[np.float32]]
    truth: Mapping[str, NDArray[np.float32] | NDArray[np.int64]]


def concatenate(parts: Sequence[Predictions]) -> Predictions:
    """Put the predictions for parts of the pictures together, in the order given."""
    if len(parts) == 1:
        return parts[0]
    return Predictions(
        np.concatenate([part.logits for part in parts]),
        np.concatenate([part.targets for part in parts]),
        tuple(key for part in parts for key in part.keys),
        tuple(bad for part in parts for bad in part.unreadable),
    )


def predict_records(
    engine: Engine,
    records: Sequence[Record],
    batch_size: int = 64,
    progress: Callable[[int], None] = lambda done: None,
) -> Predictions:
    """Predict labelled pictures by an engine, read ahead in as many threads as there are cores.

    `progress` is called with how many pictures each step predicted. Raises `DatasetError` when not one
    picture could be read, and `SettingsError` for a `batch_size` below 1.
    """
    paths = (record.path for record in records)
    with closing(Predictor(engine).predict_files(paths, batch_size)) as found:

        def answers() -> Iterator[tuple[Record, Answer]]:
            for record, prediction in zip(records, found, strict=True):
                answer = prediction.error or prediction.emotions
                assert answer is not None
                yield record, answer
                progress(1)

        return from_answers(answers(), engine.card.temperature)


def from_answers(answers: Iterable[tuple[Record, Answer]], temperature: float = 1.0) -> Predictions:
    """Gather probabilities, or errors, of labelled pictures; `temperature` is what made the probabilities.

    Raises `DatasetError` when not one picture could be read.
    """
    rows: list[tuple[float, ...]] = []
    targets: list[tuple[float, ...]] = []
    keys: list[str] = []
    unreadable: list[Unreadable] = []
    for record, answer in answers:
        if isinstance(answer, PictureError):
            unreadable.append(Unreadable(record.key, answer))
            continue
        rows.append(answer.probabilities)
        targets.append(record.target.probabilities)
        keys.append(record.key)
    require_readable(len(keys), unreadable)
    return Predictions(
        as_logits(rows, temperature), np.array(targets, dtype=np.float32), tuple(keys), tuple(unreadable)
    )


def require_readable(count: int, unreadable: Sequence[Unreadable]) -> None:
    """Raise `DatasetError` with the first reason where `count`, of pictures that were read, is 0."""
    if not count:
        first = f" The first: {unreadable[0].error}" if unreadable else ""
        raise DatasetError(f"Not one picture could be read.{first}")


def as_logits(probabilities: ArrayLike, temperature: float = 1.0) -> NDArray[np.float32]:
    """Return logits whose softmax, after division by `temperature`, is these probabilities: (N, E) -> (N, E).

    They are those of the network up to a number that all words of a picture share.

    >>> as_logits([[0.5, 0.5]], temperature=2.0).round(2).tolist()
    [[-1.3899999856948853, -1.3899999856948853]]
    """
    floored = np.maximum(np.asarray(probabilities, dtype=np.float64), SMALLEST)
    logits: NDArray[np.float32] = (temperature * np.log(floored)).astype(np.float32)
    return logits
