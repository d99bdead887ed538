"""The training loop, all of it, as a generator: each `next()` is one step of the optimizer.

Saving, logging, stopping and searching are ordinary loops around it (`training.run`). All that a step
does is determined by the state and the step's number: its pictures (`training.batches`), their variation,
mixing, dropout and rate. So a state that was saved and loaded goes on to the same bits on a CPU.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice

import torch
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor, nn

from affectlens.errors import RunError
from affectlens.inference.labelled_batches import Batch
from affectlens.machine import autocast
from affectlens.preprocess import Preprocessing
from affectlens.training.batches import TrainingStream, derived_seed, training_batches
from affectlens.training.distributed import ALONE, Team
from affectlens.training.objective import Outcome, mix
from affectlens.training.optimizer import make_optimizer, rate_at, set_rate
from affectlens.training.settings import Settings

Objective = Callable[[nn.Module, Tensor, Tensor, Mapping[str, Tensor]], Outcome]


@dataclass
class State:
    """What training changes. `step` is the number of steps done, and the position in the data."""

    network: nn.Module
    average: ModelEmaV3 | None
    optimizer: torch.optim.Optimizer
    step: int = 0

    @classmethod
    def start(cls, network: nn.Module, settings: Settings) -> "State":
        """The state before the first step, on the network's device."""
        average = (
            ModelEmaV3(network, decay=settings.ema_decay, use_warmup=True) if settings.ema_decay else None
        )
        return cls(network, average, make_optimizer(network, settings))

    @property
    def best_network(self) -> nn.Module:
        """The network to evaluate and keep: the running average, where there is one."""
        return self.network if self.average is None else self.average.module


@dataclass(frozen=True)
class Step:
    """What one step of the optimizer did.

    Attributes:
        number: from 1
        epoch: from 0, the one that the step's first picture belongs to
        loss: mean over the step's pictures
        accuracy: share of pictures whose top emotion was right, in training mode and before the step
        rate: learning rate, before each layer's own share of it
        pictures: how many
        parts: each loss for itself, where there are several (`training.objective.Outcome`): the mean over
            those batches of the step that had it
        ends_epoch: whether the next step belongs to another epoch, or there is none
    """

    number: int
    epoch: int
    loss: float
    accuracy: float
    rate: float
    pictures: int
    ends_epoch: bool
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Schedule:
    """Steps and epochs of a run: the stream of pictures divided into steps."""

    pictures: int
    settings: Settings

    @property
    def pictures_a_step(self) -> int:
        return self.settings.batch_size * self.settings.grad_accum_steps

    @property
    def total_steps(self) -> int:
        return max(1, math.ceil(self.settings.epochs * self.pictures / self.pictures_a_step))

    def epoch_of(self, step: int) -> int:
        """Epoch, from 0, of the first picture of a step, from 0."""
        return step * self.pictures_a_step // self.pictures

    def ends_epoch(self, step: int) -> bool:
        return step + 1 == self.total_steps or self.epoch_of(step + 1) != self.epoch_of(step)

    def size(self, epoch: int) -> Preprocessing:
        """Size of the pictures in an epoch: low first, where settings ask for it."""
        full = self.settings.preprocessing
        if not self.settings.low_res_size or epoch >= self.settings.low_res_fraction * self.settings.epochs:
            return full
        return replace(full, height=self.settings.low_res_size, width=self.settings.low_res_size)


def train(
    state: State,
    settings: Settings,
    stream: TrainingStream,
    objective: Objective,
    device: torch.device,
    precision: torch.dtype,
    workers: int,
    team: Team = ALONE,
) -> Iterator[Step]:
    """Take steps from where the state stands to the end, yielding after each.

    All processes of a `team` call it alike and yield the same steps.

    Raises `PictureError` for an unreadable picture and `RunError` when the loss is no longer finite;
    the state is then as after the last step yielded.
    """
    schedule = Schedule(len(stream.records), settings)
    rows = team.rows_to_read(settings.batch_size, settings.mixes)
    while state.step < schedule.total_steps:
        size = schedule.size(schedule.epoch_of(state.step))
        epoch_stream = stream.with_size(size)
        last = next(n for n in range(state.step, schedule.total_steps) if schedule.ends_epoch(n)) + 1
        first_batch, last_batch = state.step * settings.grad_accum_steps, last * settings.grad_accum_steps
        batches = training_batches(epoch_stream, settings.batch_size, first_batch, last_batch, workers, rows)
        while state.step < last:
            with team.agreed():
                group = list(islice(batches, settings.grad_accum_steps))
            yield take_step(state, settings, schedule, group, objective, size, device, precision, team)


def take_step(
    state: State,
    settings: Settings,
    schedule: Schedule,
    batches: list[Batch],
    objective: Objective,
    size: Preprocessing,
    device: torch.device,
    precision: torch.dtype,
    team: Team = ALONE,
) -> Step:
    """Average the gradient over some batches, clip it, step, and move the running average.

    Of a `team`, `batches` hold what `Team.rows_to_read` says, and `objective` gathers.
    """
    torch.manual_seed(derived_seed("step", settings.seed, state.step))
    epoch = schedule.epoch_of(state.step)
    rate = settings.lr * rate_at(state.step, schedule.total_steps, epoch, settings)
    set_rate(state.optimizer, rate)
    state.network.train()
    state.optimizer.zero_grad(set_to_none=True)
    loss_sum, right, seen = 0.0, 0.0, 0
    parts: dict[str, list[float]] = {}
    for batch in batches:
        images, targets, attributes = _inputs(batch, size, settings, device, team)
        with autocast(device, precision), team.as_one(settings.batch_size):
            loss, logits, found = objective(state.network, images, targets, attributes)
        team.average_buffers(state.network, settings.batch_size)
        (loss / len(batches)).backward()
        loss_sum += float(loss.detach())
        right += float((logits.argmax(1) == targets.argmax(1)).sum())
        seen += len(targets)
        for name, part in found.items():
            parts.setdefault(name, []).append(float(part))
    if not math.isfinite(loss_sum):
        raise RunError(
            f"The loss is {loss_sum} at step {state.step + 1}. Lower lr, or set clip_grad or "
            "precision=float32, and start again; the last checkpoint is whole."
        )
    team.average_gradients(state.network.parameters())
    if settings.clip_grad:
        nn.utils.clip_grad_norm_(state.network.parameters(), settings.clip_grad)
    state.optimizer.step()
    if state.average is not None:
        state.average.update(state.network, step=state.step)
    number = state.step
    state.step += 1
    return Step(
        number + 1, schedule.epoch_of(number), loss_sum / len(batches), right / seen, rate, seen,
        schedule.ends_epoch(number), {name: sum(values) / len(values) for name, values in parts.items()},
    )  # fmt: skip


def _inputs(
    batch: Batch, size: Preprocessing, settings: Settings, device: torch.device, team: Team
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Images for the network, (b, 3, H, W), and what is true of the whole batch: targets and attributes."""
    whole = size.normalise(batch.pixels.to(device, non_blocking=True))
    images, targets = mix(whole, batch.targets.to(device, non_blocking=True), settings)
    attributes = _moved(batch.attributes, device) if images is whole else {}
    if team.size > 1:
        count = settings.batch_size
        only_mixed_with = len(images) - len(team.rows(count))
        images = images[only_mixed_with:]
        targets = team.whole(targets[only_mixed_with:], count)
        attributes = {
            name: team.whole(labels[only_mixed_with:], count) for name, labels in attributes.items()
        }
    return images.contiguous(memory_format=torch.channels_last), targets, attributes


def _moved(attributes: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    return {name: labels.to(device, non_blocking=True) for name, labels in attributes.items()}
