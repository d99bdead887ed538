"""Records -> batches of uint8 pictures, in an order that a seed and a position determine.

A training run reads an endless stream: the permutation of epoch 0, then that of epoch 1, and so on.
Batch n is positions n*B to (n+1)*B of it, so the step number is the whole position: nothing else
needs saving to go on where a killed run stopped. No picture is left out at the end of an epoch.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from affectlens.attributes import Attribute, BadAttribute
from affectlens.data.records import Record
from affectlens.errors import EmptySplit, PictureError, SettingsError
from affectlens.images import read_pixels
from affectlens.preprocess import Preprocessing
from affectlens.training.augment import Augmentation, augment

Reader = Callable[[Record], Tensor]

# A loader draws a seed for its workers, which need none here; without this, from the caller's stream.
_UNUSED = torch.Generator()


@dataclass(frozen=True)
class Batch:
    """Pictures and what they evoke; B of them, E emotions.

    Attributes:
        pixels: uint8 (B, 3, H, W)
        targets: float32 (B, E), rows sum to 1
        keys: the records' keys
        attributes: by name, as `attribute_tensors` gives them; empty where none were asked for
    """

    pixels: Tensor
    targets: Tensor
    keys: tuple[str, ...]
    attributes: Mapping[str, Tensor] = field(default_factory=dict)

    def pin_memory(self) -> "Batch":
        """Move to memory that a GPU copies from without waiting; loaders call it."""
        attributes = {name: tensor.pin_memory() for name, tensor in self.attributes.items()}
        return Batch(self.pixels.pin_memory(), self.targets.pin_memory(), self.keys, attributes)


@dataclass(frozen=True)
class Unreadable:
    """A picture that could not be judged, and why."""

    key: str
    error: PictureError


def derived_seed(*parts: object) -> int:
    """Hash anything into a seed, so that streams of random numbers do not overlap by accident."""
    text = "/".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def target_tensor(records: Sequence[Record]) -> Tensor:
    """Stack the targets: float32 (N, E)."""
    return torch.tensor([record.target.probabilities for record in records], dtype=torch.float32)


def attribute_tensors(attributes: Sequence[Attribute], records: Sequence[Record]) -> dict[str, Tensor]:
    """Encode the words of N records by name of the attribute, as losses want them.

    An attribute with one word: int64 (N,), its position, or -1 where it is not known. One with several:
    float32 (N, words), 1 for those that the picture has and 0 for the others, or a row of -1 where it is not
    known. Raises `UnknownName` for a word that the attribute lacks, and `BadAttribute` for several in place
    of one.
    """
    encode = {False: _one_word, True: _several_words}
    return {attribute.name: encode[attribute.several](attribute, records) for attribute in attributes}


def _one_word(attribute: Attribute, records: Sequence[Record]) -> Tensor:
    encoded = torch.full((len(records),), -1)
    for row, record in enumerate(records):
        words = record.attributes.get(attribute.name, ())
        if len(words) > 1:
            raise BadAttribute(f"{record.key} has several words of {attribute.name}: {', '.join(words)}.")
        if words:
            encoded[row] = attribute.index(words[0])
    return encoded


def _several_words(attribute: Attribute, records: Sequence[Record]) -> Tensor:
    encoded = torch.full((len(records), len(attribute)), -1.0)
    for row, record in enumerate(records):
        words = record.attributes.get(attribute.name)
        if words is not None:
            encoded[row] = 0
            encoded[row, [attribute.index(word) for word in words]] = 1
    return encoded


@dataclass(frozen=True, eq=False)  # compared by identity: tensors give no truth value
class Order:
    """Which record stands at each position of the endless stream.

    `balance` 0 visits every record once an epoch. Above 0, an epoch draws as many pictures with
    replacement, an emotion with n records with weight n ** (1 - balance): 1 makes all equally frequent.

    `groups` (P, K) makes every P * K positions in a row hold P emotions with K pictures of each (Hermans et
    al., 2017, batch sampling of the triplet loss). The emotions come round in turn, and so do the pictures of
    each; one may come twice in a group where P does not divide their number. An emotion without
    pictures is left out.
    """

    targets: Tensor  # (N, E)
    seed: int
    balance: float = 0.0
    groups: tuple[int, int] | None = None

    def __call__(self, position: int) -> int:
        if self.groups:
            return self._grouped(position, *self.groups)
        epoch, place = divmod(position, len(self.targets))
        return int(_permutation(self, epoch)[place])

    def _grouped(self, position: int, emotions: int, each: int) -> int:
        decks = _decks(self)
        group, place = divmod(position, emotions * each)
        turn, seat = divmod(group * emotions + place // each, len(decks))
        emotion = int(_shuffled(self.seed, "emotions", turn, len(decks))[seat])
        deck = decks[emotion]
        again, card = divmod(turn * each + place % each, len(deck))
        return int(deck[_shuffled(self.seed, f"deck {emotion}", again, len(deck))[card]])


@lru_cache(maxsize=4)
def _permutation(order: Order, epoch: int) -> Tensor:
    generator = torch.Generator().manual_seed(derived_seed("order", order.seed, epoch))
    count = len(order.targets)
    if not order.balance:
        return torch.randperm(count, generator=generator)
    tops = order.targets.argmax(dim=1)
    frequency = torch.bincount(tops, minlength=order.targets.shape[1])[tops].double()
    return torch.multinomial(frequency**-order.balance, count, replacement=True, generator=generator)


@lru_cache(maxsize=4)
def _decks(order: Order) -> list[Tensor]:
    """The records of each emotion that has any."""
    tops = order.targets.argmax(dim=1)
    return [torch.nonzero(tops == emotion)[:, 0] for emotion in tops.unique()]


@lru_cache(maxsize=64)  # a deck for each emotion, and its next
def _shuffled(seed: int, what: str, turn: int, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(derived_seed(what, seed, turn))
    return torch.randperm(count, generator=generator)


Item = tuple[Tensor, Tensor, str, dict[str, Tensor]]


class TrainingStream(Dataset[Item | PictureError]):
    """The endless stream of varied pictures. Item i depends on (seed, i) alone.

    Of `attributes`, which may be those of the `DataSource` or some of them, its batches hold what is true of
    the picture before it was varied.
    """

    def __init__(
        self,
        records: Sequence[Record],
        order: Order,
        augmentation: Augmentation,
        preprocessing: Preprocessing,
        read: Reader,
        attributes: Sequence[Attribute] = (),
    ) -> None:
        self.records = records
        self.order = order
        self.augmentation = augmentation
        self.preprocessing = preprocessing
        self.read = read
        self.attributes = attributes

    def with_size(self, preprocessing: Preprocessing) -> "TrainingStream":
        """Return the same stream with pictures of another size."""
        return TrainingStream(
            self.records, self.order, self.augmentation, preprocessing, self.read, self.attributes
        )

    def __getitem__(self, position: int) -> Item | PictureError:
        index = self.order(position)
        record = self.records[index]
        try:
            pixels = self.read(record)
        except PictureError as error:
            return error  # an exception raised in a worker process would arrive as another
        size = self.preprocessing
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derived_seed("augment", self.order.seed, position))
            varied = augment(pixels, self.augmentation, size.height, size.width)
        return varied, self.order.targets[index], record.key, attribute_tensors(self.attributes, [record])


def training_batches(
    stream: TrainingStream,
    batch_size: int,
    first_step: int,
    last_step: int,
    workers: int,
    rows: Sequence[int] | None = None,
) -> Iterator[Batch]:
    """Yield the batches of steps `first_step` to `last_step` - 1, the same for any number of workers.

    Of each batch `rows`, numbers below `batch_size`, are read; None is all.

    An unreadable picture raises its `PictureError`: training on fewer pictures than the run folder
    says would be a silent lie.
    """
    if not stream.records:
        raise EmptySplit("the data", "train", [])
    if batch_size < 1:
        raise SettingsError(f"batch_size must be at least 1, not {batch_size}.")
    rows = range(batch_size) if rows is None else rows
    steps = [[n * batch_size + row for row in rows] for n in range(first_step, last_step)]
    loader = DataLoader(
        stream, batch_sampler=steps, num_workers=workers, collate_fn=_collate,
        prefetch_factor=4 if workers else None, pin_memory=torch.cuda.is_available(), generator=_UNUSED,
    )  # fmt: skip
    for batch in loader:
        if isinstance(batch, PictureError):
            raise batch
        yield batch


class EvaluationSet(Dataset[tuple[Tensor | PictureError, int]]):
    """Every record once, in order, prepared as in use. An unreadable picture is returned as its error."""

    def __init__(
        self,
        records: Sequence[Record],
        preprocessing: Preprocessing,
        read: Reader,
        attributes: Sequence[Attribute] = (),
    ) -> None:
        self.records = records
        self.preprocessing = preprocessing
        self.read = read
        self.attributes = attributes

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> tuple[Tensor | PictureError, int]:
        try:
            return self.preprocessing.fit_pixels(self.read(self.records[index])), index
        except PictureError as error:
            return error, index


def evaluation_batches(
    data: EvaluationSet, batch_size: int, workers: int
) -> Iterator[tuple[Batch | None, list[Unreadable]]]:
    """Yield batches in record order, each with the pictures that could not be read."""
    loader = DataLoader(data, batch_size, num_workers=workers, collate_fn=list, generator=_UNUSED)
    for items in loader:
        good = [(pixels, data.records[i]) for pixels, i in items if isinstance(pixels, Tensor)]
        bad = [Unreadable(data.records[i].key, e) for e, i in items if isinstance(e, PictureError)]
        yield _evaluation_batch(good, data.attributes), bad


def _evaluation_batch(good: list[tuple[Tensor, Record]], attributes: Sequence[Attribute]) -> Batch | None:
    if not good:
        return None
    pixels, records = torch.stack([pixels for pixels, _ in good]), [record for _, record in good]
    keys = tuple(record.key for record in records)
    return Batch(pixels, target_tensor(records), keys, attribute_tensors(attributes, records))


@dataclass(frozen=True)
class FileReader:
    """Read pictures from their files. A class and no closure, because worker processes get a pickled copy."""

    at_least: tuple[int, int]

    def __call__(self, record: Record) -> Tensor:
        return read_pixels(record.path, at_least=self.at_least)


def file_reader(preprocessing: Preprocessing, side: int = 0) -> Reader:
    """Read pictures from their files, at the size that the network needs, and `side`, or above."""
    height, width = preprocessing.at_least
    return FileReader((max(height, side), max(width, side)))


def _collate(items: list[Item | PictureError]) -> Batch | PictureError:
    good: list[Item] = []
    for item in items:
        if isinstance(item, PictureError):
            return item
        good.append(item)
    pixels, targets, keys, rows = zip(*good, strict=True)
    attributes = {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
    return Batch(torch.stack(pixels), torch.stack(targets), keys, attributes)
