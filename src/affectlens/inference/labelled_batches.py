"""Labelled pictures as batches, in record order: records -> pixels and targets, prepared as in use.

Letters: B pictures of a batch, N records, E emotions, R ratings, H x W pixels.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from affectlens.attributes import Attribute
from affectlens.data.records import Record, encode_attributes, encode_ratings
from affectlens.errors import PictureError
from affectlens.images import Pixels, read_pixels
from affectlens.inference.predictions import Unreadable
from affectlens.models.network_input import to_tensor
from affectlens.preprocess import Preprocessing
from affectlens.ratings import RatingColumn

Reader = Callable[[Record], Pixels]

# A loader samples a seed for its workers, which need none here; without this, from the caller's stream.
UNUSED_GENERATOR = torch.Generator()


@dataclass(frozen=True)
class Batch:
    """Pictures and what they evoke.

    Attributes:
        pixels: uint8 (B, 3, H, W)
        targets: float32 (B, E), rows sum to 1
        keys: the records' keys
        attributes: by name, as `attribute_tensors` gives them; empty where none were requested
        ratings: float32 (B, R), shares of their scales, NaN where a picture has none; None where none were
            requested
    """

    pixels: Tensor
    targets: Tensor
    keys: tuple[str, ...]
    attributes: Mapping[str, Tensor] = field(default_factory=dict)
    ratings: Tensor | None = None

    def pin_memory(self) -> "Batch":
        """Move to memory that a GPU copies from without waiting; loaders call it."""
        attributes = {name: tensor.pin_memory() for name, tensor in self.attributes.items()}
        ratings = None if self.ratings is None else self.ratings.pin_memory()
        return Batch(self.pixels.pin_memory(), self.targets.pin_memory(), self.keys, attributes, ratings)


def target_tensor(records: Sequence[Record]) -> Tensor:
    """Stack the targets: float32 (N, E)."""
    return torch.tensor([record.target.probabilities for record in records], dtype=torch.float32)


def attribute_tensors(attributes: Sequence[Attribute], records: Sequence[Record]) -> dict[str, Tensor]:
    """Return what `data.records.encode_attributes` does as tensors, and raise what it raises."""
    encoded = encode_attributes(attributes, records)
    return {name: torch.from_numpy(values) for name, values in encoded.items()}


def rating_tensor(columns: Sequence[RatingColumn], records: Sequence[Record]) -> Tensor:
    """Return what `data.records.encode_ratings` does as a tensor: float32 (N, R)."""
    return torch.from_numpy(encode_ratings(columns, records))


class EvaluationSet(Dataset[tuple[Tensor | PictureError, int]]):
    """Every record once, in order, prepared as in use. An unreadable picture is returned as its error."""

    def __init__(
        self,
        records: Sequence[Record],
        preprocessing: Preprocessing,
        read: Reader,
        attributes: Sequence[Attribute] = (),
        ratings: Sequence[RatingColumn] = (),
    ) -> None:
        self.records = records
        self.preprocessing = preprocessing
        self.read = read
        self.attributes = attributes
        self.ratings = ratings

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> tuple[Tensor | PictureError, int]:
        try:
            return to_tensor(self.preprocessing.fit_pixels(self.read(self.records[index]))), index
        except PictureError as error:
            return error, index


def evaluation_batches(
    data: EvaluationSet, batch_size: int, workers: int
) -> Iterator[tuple[Batch | None, list[Unreadable]]]:
    """Yield batches in record order, each with the pictures that could not be read."""
    loader = DataLoader(data, batch_size, num_workers=workers, collate_fn=list, generator=UNUSED_GENERATOR)
    for items in loader:
        yield _with_unreadable(data, items)


def _with_unreadable(
    data: EvaluationSet, items: Sequence[tuple[Tensor | PictureError, int]]
) -> tuple[Batch | None, list[Unreadable]]:
    good = [(pixels, data.records[i]) for pixels, i in items if isinstance(pixels, Tensor)]
    bad = [Unreadable(data.records[i].key, error) for error, i in items if isinstance(error, PictureError)]
    return _evaluation_batch(data, good), bad


def _evaluation_batch(data: EvaluationSet, good: list[tuple[Tensor, Record]]) -> Batch | None:
    if not good:
        return None
    pixels, records = torch.stack([pixels for pixels, _ in good]), [record for _, record in good]
    keys = tuple(record.key for record in records)
    attributes = attribute_tensors(data.attributes, records)
    ratings = rating_tensor(data.ratings, records) if data.ratings else None
    return Batch(pixels, target_tensor(records), keys, attributes, ratings)


@dataclass(frozen=True)
class FileReader:
    """Read pictures from their files.

    A class and not a closure, because worker processes get a pickled copy.
    """

    at_least: tuple[int, int]

    def __call__(self, record: Record) -> Pixels:
        return read_pixels(record.path, at_least=self.at_least)


def file_reader(preprocessing: Preprocessing, side: int = 0) -> Reader:
    """Read pictures from their files, at the size that the network needs, and `side`, or above."""
    height, width = preprocessing.at_least
    return FileReader((max(height, side), max(width, side)))
