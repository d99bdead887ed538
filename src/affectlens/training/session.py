"""What is the same all through a run: data, pictures, device. A run trains it once, a search many times.

Settings that change what data is read or how (`preprocessing`, `cache_side`, `val_fraction`, `seed`) belong to
the task. Others may change between two steps of the loop: a state goes on under them, because `start` and
`steps` take the settings anew.
"""

import os
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from affectlens.attributes import Attribute
from affectlens.data import splits
from affectlens.data.records import DataSource, Record
from affectlens.errors import RunError
from affectlens.inference.labelled import Predictions, concatenate, predict_labelled
from affectlens.inference.labelled_batches import (
    EvaluationSet,
    Reader,
    evaluation_batches,
    file_reader,
    target_tensor,
)
from affectlens.machine import keep_freed_memory, pick_device, pick_precision
from affectlens.models import catalog
from affectlens.models.backbones import NONE, suit_cpu
from affectlens.training import cache
from affectlens.training.attributes import attributes_of, network_options, word_frequencies
from affectlens.training.batches import Order, TrainingStream
from affectlens.training.distributed import ALONE, Team
from affectlens.training.loop import Schedule, State, Step, train
from affectlens.training.objective import check_network, make_objective
from affectlens.training.settings import Settings

EVALUATION_BATCH = 64


@dataclass(frozen=True)
class CacheProgress:
    """Pictures decoded so far for the cache."""

    done: int
    total: int


@dataclass(frozen=True, eq=False)
class Task:
    """Data to train and to judge on, and where; made by `prepare`.

    Attributes:
        source: with `train` and `val` splits
        attributes: those that are learned
        read: pixels of a record, from its file or the cache
        targets: float32 (N, E) of the training pictures
        workers: processes that read pictures
        team: the processes that do each step together; all call the same methods in the same order
    """

    source: DataSource
    attributes: tuple[Attribute, ...]
    training: list[Record]
    validation: list[Record]
    targets: Tensor
    read: Reader
    device: torch.device
    precision: torch.dtype
    workers: int
    team: Team = ALONE

    def start(self, settings: Settings, pretrained: bool = True) -> State:
        """A fresh state; not `pretrained` for one whose weights are about to be replaced.

        Of a team all get the leader's weights, so that only the leader has to find pretrained ones.

        Raises `SettingsError` for a network that cannot do what the losses need, and what reading weights
        raises.
        """
        torch.manual_seed(settings.seed)
        weights = settings.weights if pretrained and self.team.leads else NONE
        options = network_options(settings, self.attributes)
        with self.team.agreed():
            network = catalog.build(settings.network, len(self.source.vocabulary), weights=weights, **options)
            check_network(settings, network)
        placed(network, self.device)
        self.team.copy_of_the_leader(network)
        return State.start(network, settings)

    def total_steps(self, settings: Settings) -> int:
        """Steps of the whole run."""
        return Schedule(len(self.training), settings).total_steps

    def steps(self, state: State, settings: Settings) -> Iterator[Step]:
        """Train from where the state stands (`loop.train`)."""
        each = settings.pictures_per_emotion
        groups = (settings.batch_size // each, each) if each else None
        order = Order(self.targets, settings.seed, settings.balanced_sampling, groups)
        stream = TrainingStream(
            self.training, order, settings.augmentation, settings.preprocessing, self.read, self.attributes
        )
        frequencies = word_frequencies(self.attributes, self.training)
        gather = partial(self.team.whole, count=settings.batch_size)
        objective = make_objective(settings, self.targets, self.device, frequencies, gather)
        return train(state, settings, stream, objective, self.device, self.precision, self.workers, self.team)

    def judge(self, network: nn.Module, settings: Settings) -> Predictions:
        """Judge the validation pictures. Raises `PictureError` for one that cannot be read."""
        own = [self.validation[row] for row in self.team.rows(len(self.validation))]
        with self.team.agreed():
            judged = self._judge(own, network, settings) if own else None
        return concatenate([part for part in self.team.gather(judged) if part])

    def _judge(self, records: Sequence[Record], network: nn.Module, settings: Settings) -> Predictions:
        held_out = EvaluationSet(records, settings.preprocessing, self.read)
        batches = evaluation_batches(held_out, EVALUATION_BATCH, self.workers)
        judged = predict_labelled(network, batches, settings.preprocessing, self.device, self.precision)
        if judged.unreadable:
            raise judged.unreadable[0].error
        return judged


def prepare(
    source: DataSource,
    settings: Settings,
    device: str,
    own_cache: Path,
    shared_cache: Path | None = None,
    team: Team = ALONE,
) -> Generator[CacheProgress, None, Task]:
    """Make a task; where settings ask for a cache of decoded pictures, find it or make it first.

    Raises `RunError` for a `shared_cache` of something else, `SettingsError` for a device that is not here
    and for data that the network cannot learn from, `PictureError` when the cache is made.
    """
    source = splits.with_validation(source, settings.val_fraction, settings.seed)
    attributes = attributes_of(settings, source)
    keep_freed_memory()
    place = pick_device(device)
    training, validation = source.split(splits.TRAIN), source.split(splits.VAL)
    read = yield from _read_together(settings, [*training, *validation], own_cache, shared_cache, team)
    return Task(
        source=source,
        attributes=attributes,
        training=training,
        validation=validation,
        targets=target_tensor(training),
        read=read,
        device=place,
        precision=_precision(settings, place, team),
        workers=settings.num_workers if settings.num_workers >= 0 else _one_a_core(team),
        team=team,
    )


def _one_a_core(team: Team) -> int:
    return min((os.cpu_count() or 1) // team.local_size, 8)


def _precision(settings: Settings, device: torch.device, team: Team) -> torch.dtype:
    """The number format of all: bfloat16 by itself only where every machine multiplies it."""
    found = set(team.gather(pick_precision(settings.precision, device)))
    return found.pop() if len(found) == 1 else torch.float32


def prepared(
    source: DataSource, settings: Settings, device: str, own_cache: Path, shared_cache: Path | None = None
) -> Task:
    """Make a task as `prepare` does, without telling how far it is."""
    making = prepare(source, settings, device, own_cache, shared_cache)
    while True:
        try:
            next(making)
        except StopIteration as end:
            task: Task = end.value
            return task


def placed(network: nn.Module, device: torch.device) -> nn.Module:
    """Put a network on a device, laid out and rewritten as is fastest there."""
    network.to(device)
    network.to(memory_format=torch.channels_last)
    if device.type == "cpu":
        suit_cpu(network)
    return network


def _read_together(
    settings: Settings, records: Sequence[Record], own: Path, shared: Path | None, team: Team
) -> Generator[CacheProgress, None, Reader]:
    """Make the cache once, and once more on each machine that does not see it; then all open it."""
    for mine in [team.leads, team.local_rank == 0, True] if team.size > 1 else [True]:
        with team.agreed():
            if mine:
                read = yield from _reader(settings, records, own, shared)
    return read


def _reader(
    settings: Settings, records: Sequence[Record], own: Path, shared: Path | None
) -> Generator[CacheProgress, None, Reader]:
    """Read from files, or from a cache that is made when it is not there."""
    if not settings.cache_side:
        return file_reader(settings.preprocessing, settings.augmentation.squash)
    folder = shared or own
    stored = cache.PixelCache.find(folder, records, settings.cache_side)
    if stored:
        return stored
    if shared and folder.is_dir() and any(folder.iterdir()):
        raise RunError(
            f"{folder} holds something else than these pictures with a side of {settings.cache_side}. "
            "Another run may be reading it, so it is not replaced. Choose another folder for --cache, or "
            "delete this one when nothing uses it."
        )
    yield CacheProgress(0, len(records))
    for done in cache.build(folder, records, settings.cache_side):
        yield CacheProgress(done, len(records))
    return cache.PixelCache.open(folder)
