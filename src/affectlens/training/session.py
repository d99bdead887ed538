"""What a run needs and what stays the same all through it: settings, data, device, processes.

A run trains one state under one session. A search trains many states under sessions that differ by some
settings alone (`Session.with_settings`); those that change what data is read or how (`preprocessing`,
`cache_side`, `val_fraction`, `seed`) are not among them.
"""

from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import torch
from torch import Tensor, nn

from affectlens.attributes import Attribute
from affectlens.data import splits
from affectlens.data.groups import Groups, find_groups, search_for
from affectlens.data.records import ALL, DataSource, Record, in_vocabulary, require_listed
from affectlens.data.vocabularies import named_vocabulary
from affectlens.errors import RunError, SettingsError, first_line
from affectlens.inference.labelled import predict_labelled
from affectlens.inference.labelled_batches import (
    EvaluationSet,
    Reader,
    evaluation_batches,
    file_reader,
    rating_tensor,
    target_tensor,
)
from affectlens.inference.predictions import Predictions, concatenate
from affectlens.machine import keep_freed_memory, pick_device, pick_precision, usable_cores
from affectlens.models import catalog
from affectlens.models.backbones import NONE, suit_cpu
from affectlens.models.rated import add_ratings
from affectlens.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocessing, PreprocessingSettings
from affectlens.ratings import RatingColumn
from affectlens.training import batch_norm, cache
from affectlens.training.attributes import attributes_of, network_options, word_frequencies
from affectlens.training.batches import Order, TrainingStream
from affectlens.training.distributed import ALONE, CPU, ProcessGroup, broadcast_state
from affectlens.training.gather import gather_rows
from affectlens.training.kept_outputs import KeptOutputs
from affectlens.training.objective import Objective, check_network, make_objective
from affectlens.training.ratings import ratings_of, usual_shares
from affectlens.training.schedule import Schedule
from affectlens.training.settings import LAST_EPOCH, Settings, with_absolute_files
from affectlens.training.soft_answers import mix_targets, read_soft_answers
from affectlens.training.start import RowMixtures, input_of, load_start
from affectlens.training.state import State

EVALUATION_BATCH = 64


@dataclass(frozen=True)
class CacheProgress:
    """Pictures decoded so far for the cache."""

    done: int
    total: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Session:
    """Settings, data and device of training; made by `open_session`.

    Attributes:
        source: with `train` and `val` splits
        attributes, ratings: those that are learned
        read: pixels of a record, from its file or the cache
        targets: float32 (N, E), the labels of the training pictures
        taught: the training pictures with teachers' soft answers as their targets; empty without teachers
        num_workers: processes that read pictures
        group: the processes that do each step together; all call the same methods in the same order
        kept: outputs of layers that do not learn, of this and of other runs; None computes them each time
    """

    settings: Settings
    source: DataSource
    read: Reader
    targets: Tensor = field(repr=False)
    taught: Sequence[Record] = field(default=(), repr=False)
    attributes: tuple[Attribute, ...] = ()
    ratings: tuple[RatingColumn, ...] = ()
    device: torch.device = CPU
    precision: torch.dtype = torch.float32
    num_workers: int = 0
    group: ProcessGroup = ALONE
    kept: KeptOutputs | None = field(default=None, repr=False)

    def with_settings(self, settings: Settings) -> "Session":
        """The same data and device under other settings."""
        return replace(self, settings=settings)

    @cached_property
    def preprocessing(self) -> Preprocessing:
        """Size of the network's input, and how a picture is brought to it."""
        return self.settings.preprocessing.resolved()

    @cached_property
    def training(self) -> list[Record]:
        """The training pictures."""
        return self.source.split(splits.TRAIN)

    @cached_property
    def validation(self) -> list[Record]:
        """The validation pictures; none where all are learned from."""
        return list(self.source.splits.get(splits.VAL, ()))

    @cached_property
    def learned_targets(self) -> Tensor:
        """What the losses compare answers with, float32 (N, E): labels, or labels mixed with soft answers."""
        weight, temperature = self.settings.distillation, self.settings.distillation_temperature
        if not weight:
            return self.targets
        return mix_targets(self.targets, target_tensor(self.taught), weight, temperature)

    @cached_property
    def schedule(self) -> Schedule:
        """Steps and epochs."""
        return Schedule(len(self.training), self.settings)

    @cached_property
    def stream(self) -> TrainingStream:
        """The training pictures in their order, varied, without end."""
        settings = self.settings
        each = settings.pictures_per_emotion
        groups = (settings.batch_size // each, each) if each else None
        order = Order(self.targets, settings.seed, settings.balanced_sampling, groups)
        return TrainingStream(
            self.training,
            order,
            settings.augmentation,
            self.preprocessing,
            self.read,
            self.attributes,
            self.learned_targets,
            rating_tensor(self.ratings, self.training) if self.ratings else None,
        )

    @cached_property
    def objective(self) -> Objective:
        """The losses."""
        frequencies = word_frequencies(self.attributes, self.training)
        gather = partial(gather_rows, group=self.group, count=self.settings.batch_size)
        return make_objective(
            self.settings,
            self.learned_targets,
            self.device,
            frequencies,
            gather,
            self.source.vocabulary,
            tuple(each.name for each in self.ratings),
        )

    def start(self, pretrained: bool = True) -> State:
        """A fresh state; not `pretrained` for one whose weights are about to be replaced.

        All processes get the weights of the main one, so that only that one has to find pretrained ones, or
        the model that the settings start with.

        Raises `SettingsError` for a network that cannot do what the losses need, takes no pictures of a size
        that it is to be trained on, or is not that of the model to start with, and what reading weights
        raises.
        """
        settings, group = self.settings, self.group
        torch.manual_seed(settings.seed)
        loads = pretrained and group.is_main
        weights = settings.weights if loads and not settings.start else NONE
        options = network_options(settings, self.attributes)
        rows: RowMixtures = {}
        with group.agreed():
            network = catalog.build(settings.network, len(self.source.vocabulary), weights=weights, **options)
            check_network(settings, network)
            if loads and settings.start:
                rows = load_start(network, settings, self.source, self.attributes, self.device)
            if pretrained:
                self._check_sizes(network)
            self.add_ratings(network)
        move_to(network, self.device)
        if group.world_size > 1:
            broadcast_state(network, group)
            network = batch_norm.synchronise(network, self.device)
        return State.start(network, settings, group.gather(rows)[0], self.kept)

    def add_ratings(self, network: nn.Module) -> None:
        """Give a network on the CPU a layer for the ratings, where some are learned, before its first step.

        Raises `SettingsError` for one without features to read them from.
        """
        if self.ratings:
            start = torch.tensor(usual_shares(self.ratings, self.training))
            size = self.preprocessing
            emotions = len(self.source.vocabulary)
            add_ratings(network, self.ratings, start, size.height, size.width, emotions)

    def _check_sizes(self, network: nn.Module) -> None:
        network.eval()
        last = self.schedule.epoch_of(self.schedule.total_steps - 1)
        for shape in {self.schedule.size(0), self.schedule.size(last), self.preprocessing}:
            try:
                with torch.no_grad():
                    network(torch.zeros(1, 3, shape.height, shape.width))
            except (AssertionError, RuntimeError, ValueError) as error:
                reason = first_line(error)
                raise SettingsError(
                    f"The network {self.settings.network} takes no pictures of {shape.width} x "
                    f"{shape.height} pixels: {reason}. Set preprocessing.width and preprocessing.height, and "
                    "low_res_size where it is not 0, to a size that it takes, as 224."
                ) from error

    def predict(self, network: nn.Module) -> Predictions:
        """Predict the validation pictures. Raises `PictureError` for one that cannot be read."""
        own = [self.validation[row] for row in self.group.rows(len(self.validation))]
        with self.group.agreed():
            predictions = self._predict(own, network) if own else None
        return concatenate([part for part in self.group.gather(predictions) if part])

    def _predict(self, records: Sequence[Record], network: nn.Module) -> Predictions:
        shape = self.preprocessing
        batches = evaluation_batches(
            EvaluationSet(records, shape, self.read, ratings=self.ratings),
            EVALUATION_BATCH,
            self.num_workers,
        )
        return predict_labelled(network, batches, shape, self.device, self.precision).complete()


def open_session(
    source: DataSource,
    settings: Settings,
    device: str = "auto",
    group: ProcessGroup = ALONE,
    teachers: Sequence[Path] = (),
    *,
    validates: bool = True,
    kept: KeptOutputs | None = None,
) -> Session:
    """Divide the data, pick device and number format; pictures are read from their files (`with_cache`).

    Only here a data set without a validation split gets one, with copies on one side, and settings that leave
    the mean and standard deviation of images to the weights get those. `teachers` are files of soft answers
    (`training.soft_answers`), which the main process reads. Where it does not validate, all pictures are
    training pictures, and the settings select the last epoch.

    Raises `UnknownName` and `NoConversion` for a vocabulary that labels cannot be brought to, `SettingsError`
    for a device that is not here, for data that the network cannot learn from, or has other ratings, and for
    teachers without `distillation` or the other way round, and `EmptySplit`, `DatasetError` where a
    picture is in two splits or soft answers are not complete, and `PictureError` where a folder of pictures
    cannot be listed.
    """
    _check_teachers(settings, teachers)
    require_listed(source)
    group.require_rows(settings.batch_size)
    settings = with_absolute_files(with_expected_input(settings, group))
    if settings.vocabulary:
        source = in_vocabulary(source, named_vocabulary(settings.vocabulary))
    splits.require_learnable(source)
    if not settings.cache_side:
        splits.require_pictures(source)
    if validates:
        source = splits.with_validation(
            source, settings.val_fraction, settings.seed, partial(_groups_of_all, group=group)
        )
        source.split(splits.VAL)  # where all pictures belong together, none is left for it
    else:
        if settings.select_by != LAST_EPOCH:
            raise SettingsError(
                f"select_by={settings.select_by} selects an epoch by pictures that are held out, and none "
                f"are. Set select_by={LAST_EPOCH}."
            )
        source = replace(source, splits={splits.TRAIN: source.split(ALL)})
    splits.require_disjoint(source)
    attributes, ratings = attributes_of(settings, source), ratings_of(settings, source)
    keep_freed_memory()
    picked = pick_device(device)
    return Session(
        settings=settings,
        source=source,
        attributes=attributes,
        ratings=ratings,
        read=file_reader(settings.preprocessing.resolved(), settings.augmentation.squash),
        targets=target_tensor(source.split(splits.TRAIN)),
        taught=_read_by_main(teachers, source, group) if teachers else (),
        device=picked,
        precision=_common_precision(settings, picked, group),
        num_workers=settings.num_workers if settings.num_workers >= 0 else _one_a_core(group),
        group=group,
        kept=kept,
    )


def _groups_of_all(records: Sequence[Record], group: ProcessGroup) -> Groups:
    """Find which pictures belong together, in the main process alone, for all of them."""
    with group.agreed():
        found = find_groups(records, search_for(len(records))) if group.is_main else None
    return next(each for each in group.gather(found) if each is not None)


def _read_by_main(teachers: Sequence[Path], source: DataSource, group: ProcessGroup) -> Sequence[Record]:
    """Read soft answers in the main process alone, for all of them."""
    with group.agreed():
        found = read_soft_answers(teachers, source.split(splits.TRAIN), source) if group.is_main else None
    return next(each for each in group.gather(found) if each is not None)


def _check_teachers(settings: Settings, teachers: Sequence[Path]) -> None:
    if settings.distillation and not teachers:
        raise SettingsError(
            f"distillation={settings.distillation} needs soft answers of teachers: pass files of predictions "
            "by `affectlens train --teachers FILE`, or set distillation=0. Searches have no teachers."
        )
    if teachers and not settings.distillation:
        raise SettingsError(
            f"The soft answers in {teachers[0]} count for nothing while distillation is 0. Set it, as "
            "distillation=0.5, or leave out --teachers."
        )


def with_expected_input(settings: Settings, group: ProcessGroup = ALONE) -> Settings:
    """Set the preprocessing that the network's backbone expects, where settings leave it open.

    That of a model to start with is on its card, which the main process reads for all of `group`. Without
    pretrained weights mean and standard deviation are ImageNet's. Raises `UnknownName` for a network, and
    `ModelNotFound` or `BadModelFolder` for a model.
    """
    if None not in asdict(settings.preprocessing).values():
        return settings
    expected = catalog.expected_input(settings.network, settings.network_options)
    if settings.start:
        with group.agreed():
            expected = input_of(settings.start) if group.is_main else expected
        expected = group.gather(expected)[0]
    elif settings.weights == NONE:
        expected = replace(expected, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    found = settings.preprocessing.resolved(expected)
    return replace(settings, preprocessing=PreprocessingSettings(**asdict(found)))


def with_cache(
    session: Session, own: Path, shared: Path | None = None
) -> Generator[CacheProgress, None, Session]:
    """Read pictures from a cache of decoded ones, where the settings have one: find it, or make it first.

    It is made once, and once more on each machine that does not see it; then all processes open it. Raises
    `RunError` for a `shared` cache of something else, and `PictureError` when the cache is made.
    """
    if not session.settings.cache_side:
        return session
    group = session.group
    for mine in [group.is_main, group.local_rank == 0, True] if group.world_size > 1 else [True]:
        with group.agreed():
            if mine:
                read = yield from _cached(session, own, shared)
    return replace(session, read=read)


def open_cached_session(
    source: DataSource, settings: Settings, device: str, own: Path, shared: Path | None = None
) -> Session:
    """Open a session and its cache without reporting progress."""
    making = with_cache(open_session(source, settings, device), own, shared)
    while True:
        try:
            next(making)
        except StopIteration as end:
            session: Session = end.value
            return session


def move_to(network: nn.Module, device: torch.device) -> nn.Module:
    """Put a network on a device, laid out and rewritten as is fastest there."""
    network.to(device)
    network.to(memory_format=torch.channels_last)
    if device.type == "cpu":
        suit_cpu(network)
    return network


def _one_a_core(group: ProcessGroup) -> int:
    return min(usable_cores() // group.local_world_size, 8)


def _common_precision(settings: Settings, device: torch.device, group: ProcessGroup) -> torch.dtype:
    """The number format of all: bfloat16 by itself only where every machine multiplies it."""
    found = set(group.gather(pick_precision(settings.precision, device)))
    return found.pop() if len(found) == 1 else torch.float32


def _cached(session: Session, own: Path, shared: Path | None) -> Generator[CacheProgress, None, Reader]:
    folder, side = shared or own, session.settings.cache_side
    records = [*session.training, *session.validation]
    stored = cache.PixelCache.find(folder, records, side)
    if stored:
        return stored
    if shared and folder.is_dir() and any(folder.iterdir()):
        raise RunError(
            f"{folder} holds something else than these pictures with a side of {side}. Another run may be "
            "reading it, so it is not replaced. Choose another folder for --cache, or delete this one when "
            "nothing uses it."
        )
    if not shared and not cache.is_replaceable(folder):
        raise RunError(
            f"{folder} holds something else than decoded pictures. Choose another folder, or --cache."
        )
    yield CacheProgress(0, len(records))
    for done in cache.build(folder, records, side):
        yield CacheProgress(done, len(records))
    return cache.PixelCache.open(folder)
