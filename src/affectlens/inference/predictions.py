"""What is predicted for labelled pictures, as arrays, and how an engine predicts them.

Training predicts by its network in torch instead: `inference.labelled`.

Letters: N pictures, E emotions, W words of an attribute, R ratings.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from affectlens.attributes import Attribute
from affectlens.data.prefetch import batched, map_ahead
from affectlens.data.records import Record, encode_attributes
from affectlens.errors import DatasetError, PictureError
from affectlens.images import Pixels, read_pixels
from affectlens.inference.attribute_evidence import ExplainedAttributes
from affectlens.inference.engine import Engine
from affectlens.inference.predictor import Answer, Predictor
from affectlens.metrics import Doubles
from affectlens.ratings import RatingColumn

Found = TypeVar("Found")
Truth: TypeAlias = Mapping[str, NDArray[np.float32] | NDArray[np.int64]]

SMALLEST = float(np.finfo(np.float32).smallest_subnormal)  # stands for probabilities that are 0 in float32


@dataclass(frozen=True)
class Unreadable:
    """A picture that could not be read, and why."""

    key: str
    error: PictureError


@dataclass(frozen=True)
class RatingPredictions:
    """What a network that learns ratings predicts for N pictures, and what people gave.

    Attributes:
        columns: the R ratings
        shares: predicted, float32 (N, R), of their scales, not cut off
        rated: people's, likewise, NaN where a picture has none
    """

    columns: tuple[RatingColumn, ...]
    shares: NDArray[np.float32]
    rated: NDArray[np.float32]

    def on_scales(self) -> Iterator[tuple[RatingColumn, Doubles, Doubles]]:
        """Yield each rating with what is predicted and what people gave, (N,) both, on the model's scale."""
        for index, column in enumerate(self.columns):
            low, high = column.scale
            predicted, rated = (
                low + (high - low) * each[:, index].astype(np.float64) for each in (self.shares, self.rated)
            )
            yield column, predicted, rated


@dataclass(frozen=True)
class Predictions:
    """What is predicted for N pictures and what is true of them, in record order.

    Attributes:
        logits: float32 (N, E), before the model's temperature
        targets: float32 (N, E)
        keys: the records' keys
        unreadable: pictures that are in none of the above
        ratings: of a network that learns some
    """

    logits: NDArray[np.float32]
    targets: NDArray[np.float32]
    keys: tuple[str, ...]
    unreadable: tuple[Unreadable, ...]
    ratings: RatingPredictions | None = None

    def complete(self) -> "Predictions":
        """Return these; raise the `PictureError` of the first picture that could not be read, if any."""
        if self.unreadable:
            raise self.unreadable[0].error
        return self


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
        truth: by name, as `data.records.encode_attributes` encodes it
    """

    logits: NDArray[np.float32]
    targets: NDArray[np.float32]
    residual: NDArray[np.float32]
    usual: NDArray[np.float32]
    usual_residual: NDArray[np.float32]
    from_attributes: bool
    words: Mapping[str, NDArray[np.float32]]
    truth: Truth


def labelled_attributes(
    explained: ExplainedAttributes, targets: NDArray[np.float32], truth: Truth
) -> AttributePredictions:
    """Put what a network answers for B pictures next to what is true of them, (B, E) and by attribute."""
    return AttributePredictions(
        logits=explained.logits,
        targets=targets,
        residual=explained.residual,
        usual=explained.usual,
        usual_residual=explained.usual_residual,
        from_attributes=bool(explained.contributions),
        words=explained.attributes,
        truth=truth,
    )


def concatenate_attributes(parts: Sequence[AttributePredictions]) -> AttributePredictions:
    """Put one network's answers to the parts of a data set together, in the order given."""
    return replace(
        parts[0],
        logits=np.concatenate([part.logits for part in parts]),
        targets=np.concatenate([part.targets for part in parts]),
        residual=np.concatenate([part.residual for part in parts]),
        words={name: np.concatenate([part.words[name] for part in parts]) for name in parts[0].words},
        truth={name: np.concatenate([part.truth[name] for part in parts]) for name in parts[0].truth},
    )


def concatenate(parts: Sequence[Predictions]) -> Predictions:
    """Put the predictions for parts of the pictures together, in the order given."""
    if len(parts) == 1:
        return parts[0]
    return Predictions(
        np.concatenate([part.logits for part in parts]),
        np.concatenate([part.targets for part in parts]),
        tuple(key for part in parts for key in part.keys),
        tuple(bad for part in parts for bad in part.unreadable),
        _concatenated_ratings([part.ratings for part in parts if part.ratings]),
    )


def _concatenated_ratings(parts: Sequence[RatingPredictions]) -> RatingPredictions | None:
    if not parts:
        return None
    shares, rated = (np.concatenate([getattr(part, name) for part in parts]) for name in ("shares", "rated"))
    return RatingPredictions(parts[0].columns, shares, rated)


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


@dataclass(frozen=True)
class AnsweredBatch(Generic[Found]):
    """What an engine answered for some pictures.

    Attributes:
        rows: positions of those that could be read, among all pictures
        found: what was answered for these; None where there are none
        unreadable: the others
    """

    rows: list[int]
    found: Found | None
    unreadable: list[Unreadable]


def answered_batches(
    engine: Engine,
    pictures: Iterable[tuple[str, Path | str]],
    answer: Callable[[Pixels], Found],
    batch_size: int = 64,
) -> Generator[AnsweredBatch[Found], None, None]:
    """Answer pictures, given by key and path, read ahead in as many threads as there are cores.

    `answer` gets fitted pixels, uint8 (B, H, W, 3), of those that can be read, and may call the engine. A
    picture is in the same batch whether or not others can be read.
    """
    preprocessing = engine.card.preprocessing

    def read(numbered: tuple[int, tuple[str, Path | str]]) -> tuple[int, Pixels] | Unreadable:
        number, (key, path) = numbered
        try:
            return number, preprocessing.fit_pixels(read_pixels(path, at_least=preprocessing.at_least))
        except PictureError as error:
            return Unreadable(key, error)

    def predict(batch: list[tuple[int, Pixels] | Unreadable]) -> AnsweredBatch[Found]:
        good = [each for each in batch if not isinstance(each, Unreadable)]
        bad = [each for each in batch if isinstance(each, Unreadable)]
        found = answer(np.stack([pixels for _, pixels in good])) if good else None
        return AnsweredBatch([number for number, _ in good], found, bad)

    with (
        closing(map_ahead(read, enumerate(pictures), ahead=2 * batch_size)) as decoded,  # type: ignore[type-var]
        closing(engine.map(predict, batched(decoded, engine.at_once(batch_size)))) as answered,
    ):
        yield from answered


def predict_attributes(
    engine: Engine,
    records: Sequence[Record],
    attributes: Sequence[Attribute],
    batch_size: int = 64,
    progress: Callable[[int], None] = lambda done: None,
) -> AttributePredictions:
    """Predict attributes and emotions of all pictures that can be read, by an engine that `explains`.

    `attributes` are those whose truth is wanted; `progress` as for `predict_records`. Raises `DatasetError`
    when not one picture could be read, and what `data.records.encode_attributes` does.
    """
    parts: list[AttributePredictions] = []
    unreadable: list[Unreadable] = []
    files = ((record.key, record.path) for record in records)

    def explained(pixels: Pixels) -> ExplainedAttributes:
        return engine.explain(pixels)[1]

    with closing(answered_batches(engine, files, explained, batch_size)) as answered:
        for batch in answered:
            of = [records[row] for row in batch.rows]
            if batch.found is not None:
                targets = np.array([record.target.probabilities for record in of], dtype=np.float32)
                parts.append(labelled_attributes(batch.found, targets, encode_attributes(attributes, of)))
            unreadable += batch.unreadable
            progress(len(of) + len(batch.unreadable))
    require_readable(len(parts), unreadable)
    return concatenate_attributes(parts)


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
