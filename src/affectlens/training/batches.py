"""Records -> training batches of uint8 pictures, in an order that a seed and a position determine.

A training run reads an endless stream: the permutation of epoch 0, then that of epoch 1, and so on.
Batch n is positions n*B to (n+1)*B of it, so the number of the step determines the position: nothing else
needs saving to go on where a killed run stopped. No picture is left out at the end of an epoch.
"""

import hashlib
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from affectlens.attributes import Attribute
from affectlens.data.records import Record
from affectlens.errors import EmptySplit, PictureError, SettingsError
from affectlens.inference.labelled_batches import UNUSED_GENERATOR, Batch, Reader, attribute_tensors
from affectlens.models.network_input import to_tensor
from affectlens.preprocess import Preprocessing
from affectlens.training.augment import Augmentation, augment


def derived_seed(*parts: object) -> int:
    """Hash anything into a seed, so that streams of random numbers do not overlap by accident."""
    text = "/".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


@dataclass(frozen=True, eq=False)  # compared by identity: tensors give no truth value
class Order:
    """Which record stands at each position of the endless stream.

    `balance` 0 visits every record once an epoch. Above 0, an epoch samples as many pictures with
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
        epoch, index = divmod(position, len(self.targets))
        return int(_permutation(self, epoch)[index])

    def _grouped(self, position: int, emotions: int, each: int) -> int:
        decks = _decks(self)
        group, index = divmod(position, emotions * each)
        turn, seat = divmod(group * emotions + index // each, len(decks))
        emotion = int(_shuffled(self.seed, "emotions", turn, len(decks))[seat])
        deck = decks[emotion]
        again, card = divmod(turn * each + index % each, len(deck))
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


Item = tuple[Tensor, Tensor, str, dict[str, Tensor], Tensor | None]


class TrainingStream(Dataset[Item | PictureError]):
    """The endless stream of varied pictures. Item i depends on (seed, i) alone.

    Of `attributes`, which may be those of the `DataSource` or some of them, its batches hold what is true of
    the picture before it was varied. `targets` (N, E) are what is learned, where that is not what the order
    is made by; `ratings` (N, R) shares of their scales, where some are learned.
    """

    def __init__(
        self,
        records: Sequence[Record],
        order: Order,
        augmentation: Augmentation,
        preprocessing: Preprocessing,
        read: Reader,
        attributes: Sequence[Attribute] = (),
        targets: Tensor | None = None,
        ratings: Tensor | None = None,
    ) -> None:
        self.records = records
        self.order = order
        self.augmentation = augmentation
        self.preprocessing = preprocessing
        self.read = read
        self.attributes = attributes
        self.targets = order.targets if targets is None else targets
        self.ratings = ratings

    def with_size(self, preprocessing: Preprocessing) -> "TrainingStream":
        """Return the same stream with pictures of another size."""
        stream = copy(self)
        stream.preprocessing = preprocessing
        return stream

    def __getitem__(self, position: int) -> Item | PictureError:
        index = self.order(position)
        record = self.records[index]
        try:
            pixels = to_tensor(self.read(record))
        except PictureError as error:
            return error  # an exception raised in a worker process would arrive as another
        size = self.preprocessing
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derived_seed("augment", self.order.seed, position))
            varied = augment(pixels, self.augmentation, size.height, size.width)
        attributes = attribute_tensors(self.attributes, [record])
        ratings = None if self.ratings is None else self.ratings[index]
        return varied, self.targets[index], record.key, attributes, ratings


def training_batches(
    stream: TrainingStream,
    batch_size: int,
    first_step: int,
    last_step: int,
    workers: int,
    rows: Sequence[int] | None = None,
    *,
    pinned: bool = False,
) -> Iterator[Batch]:
    """Yield the batches of steps `first_step` to `last_step` - 1, the same for any number of workers.

    Of each batch `rows`, numbers below `batch_size`, are read; None is all. `pinned` batches lie in memory
    that a GPU copies from without waiting.

    An unreadable picture raises its `PictureError`: training on fewer pictures than the run folder
    lists would be a silent lie.
    """
    if not stream.records:
        raise EmptySplit("the data", "train", [])
    if batch_size < 1:
        raise SettingsError(f"batch_size must be at least 1, not {batch_size}.")
    rows = range(batch_size) if rows is None else rows
    steps = [[n * batch_size + row for row in rows] for n in range(first_step, last_step)]
    loader = DataLoader(
        stream, batch_sampler=steps, num_workers=workers, collate_fn=_collate,
        prefetch_factor=4 if workers else None, pin_memory=pinned,
        generator=UNUSED_GENERATOR,
    )  # fmt: skip
    for batch in loader:
        if isinstance(batch, PictureError):
            raise batch
        yield batch


def _collate(items: list[Item | PictureError]) -> Batch | PictureError:
    good: list[Item] = []
    for item in items:
        if isinstance(item, PictureError):
            return item
        good.append(item)
    pixels, targets, keys, rows, rated = zip(*good, strict=True)
    attributes = {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
    ratings = None if rated[0] is None else torch.stack(rated)
    return Batch(torch.stack(pixels), torch.stack(targets), keys, attributes, ratings)
