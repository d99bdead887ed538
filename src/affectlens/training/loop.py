"""The training loop, all of it, as a generator: each `next()` is one step of the optimizer.

Saving, logging, stopping and searching are ordinary loops around it (`training.run`). All that a step
does is determined by the state and the step's number: its pictures (`training.batches`), their variation,
mixing, dropout and learning rate. So a state that was saved and loaded goes on to the same bits on a CPU.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor, nn

from affectlens.errors import RunError
from affectlens.inference.labelled_batches import Batch
from affectlens.machine import autocast
from affectlens.models import backbones
from affectlens.models.network_input import normalise
from affectlens.preprocess import Preprocessing
from affectlens.training.batches import derived_seed, training_batches
from affectlens.training.distributed import BatchLoss, accumulating, average_buffers, parallel
from affectlens.training.frozen import hold_backbone, train_mode
from affectlens.training.gather import gather_rows
from affectlens.training.objective import mix
from affectlens.training.optimizer import set_lr
from affectlens.training.session import Session
from affectlens.training.state import State


@dataclass(frozen=True)
class Step:
    """What one step of the optimizer did.

    Attributes:
        number: from 1
        epoch: from 0, the one that the step's first picture belongs to
        loss: mean over the step's pictures
        accuracy: fraction of pictures whose top emotion is the target's, in training mode, before the step
        lr: learning rate, before each layer's own scale
        pictures: how many
        parts: each loss for itself, where there are several (`training.objective.Outcome`): the mean over
            those batches of the step that had it
        ends_epoch: whether the next step belongs to another epoch, or there is none
        gradient_norm: of all gradients together, before they were clipped
    """

    number: int
    epoch: int
    loss: float
    accuracy: float
    lr: float
    pictures: int
    ends_epoch: bool
    gradient_norm: float = 0.0
    parts: Mapping[str, float] = field(default_factory=dict)


def train(session: Session, state: State) -> Iterator[Step]:
    """Take steps from the state's own to the last, yielding after each.

    All processes of the session's group call it alike and yield the same steps.

    Raises `PictureError` for an unreadable picture and `RunError` when the loss is no longer finite;
    the state is then as after the last step yielded.
    """
    settings, schedule, group = session.settings, session.schedule, session.group
    rows = group.rows_to_read(settings.batch_size, settings.mixes)
    held: bool | None = None
    while state.step < schedule.total_steps:
        if held != (held := schedule.holds_backbone(state.step)):
            if settings.frozen_epochs:
                hold_backbone(state.network, state.learning, held)
            # Anew, because processes exchange the gradients of what learns when it is made.
            loss = parallel(BatchLoss(state.network, session.objective), group)
        epoch = schedule.epoch_of(state.step)
        if not schedule.drops_patches(epoch):
            backbones.keep_all_patches(state.network)
        stream = session.stream.with_size(schedule.size(epoch))
        end = next(n for n in range(state.step, schedule.total_steps) if schedule.ends_epoch(n)) + 1
        first_batch, last_batch = (n * settings.grad_accum_steps for n in (state.step, end))
        batches = training_batches(
            stream,
            settings.batch_size,
            first_batch,
            last_batch,
            session.num_workers,
            rows,
            pinned=session.device.type == "cuda",
        )
        while state.step < end:
            with group.agreed():
                of_the_step = list(islice(batches, settings.grad_accum_steps))
            yield take_step(session, state, loss, of_the_step)


def take_step(session: Session, state: State, loss: nn.Module, batches: Sequence[Batch]) -> Step:
    """Sum the gradients of some batches, clip them, step, and update the moving average (EMA).

    `loss` is a `BatchLoss` of the state's network. Where there are several processes it is made `parallel`,
    and `batches` hold the rows of `ProcessGroup.rows_to_read`.
    """
    settings, schedule = session.settings, session.schedule
    torch.manual_seed(derived_seed("step", settings.seed, state.step))
    number = state.step
    lr = schedule.lr(number)
    set_lr(state.optimizer, lr)
    train_mode(state.network, settings)
    state.optimizer.zero_grad(set_to_none=True)
    totals = _Totals()
    for index, batch in enumerate(batches):
        with accumulating(loss, more_to_come=index + 1 < len(batches)):
            _add_gradients(session, state, loss, batch, index, len(batches), totals)
    total = float(totals.loss)
    if not math.isfinite(total):
        raise RunError(
            f"The loss is {total} at step {number + 1}. Lower lr, or set clip_grad or "
            "precision=float32, and start again; the last checkpoint is complete."
        )
    parameters = list(state.network.parameters())
    norm = nn.utils.get_total_norm([each.grad for each in parameters if each.grad is not None])
    if settings.clip_grad:
        nn.utils.clip_grads_with_norm_(parameters, settings.clip_grad, norm)
    state.optimizer.step()
    if state.ema is not None:
        state.ema.update(state.network, step=number)
    state.step += 1
    return Step(
        number=number + 1,
        epoch=schedule.epoch_of(number),
        loss=total / len(batches),
        accuracy=float(totals.right) / totals.seen,
        lr=lr,
        pictures=totals.seen,
        ends_epoch=schedule.ends_epoch(number),
        gradient_norm=float(norm),
        parts={name: sum(map(float, values)) / len(values) for name, values in totals.parts.items()},
    )


@dataclass
class _Totals:
    """What the batches of a step add up to: tensors, for to read a number is to wait for the device."""

    loss: Tensor | float = 0.0
    right: Tensor | float = 0.0
    seen: int = 0
    parts: dict[str, list[Tensor]] = field(default_factory=dict)


def _add_gradients(
    session: Session, state: State, loss: nn.Module, batch: Batch, index: int, batches: int, totals: _Totals
) -> None:
    """Run one batch forward and backward."""
    settings, group = session.settings, session.group
    size = session.schedule.size(session.schedule.epoch_of(state.step))
    inputs = _inputs(session, batch, size)
    targets = inputs.targets

    def seed(rank: int) -> int:
        return derived_seed("step", settings.seed, state.step, index, rank)

    with autocast(session.device, session.precision), group.own_random_numbers(seed):
        value, logits, parts = loss(*inputs)
    average_buffers(state.network, group, settings.batch_size)
    (value / batches).backward()
    totals.loss += value.detach().float()
    totals.right += (logits.argmax(1) == targets.argmax(1)).sum()
    totals.seen += len(targets)
    for name, part in parts.items():
        totals.parts.setdefault(name, []).append(part.detach())


class _Inputs(NamedTuple):
    """What a loss takes: images of this process's rows, and the rest of the complete batch (`BatchLoss`)."""

    images: Tensor
    targets: Tensor
    attributes: dict[str, Tensor]
    ratings: Tensor | None


def _inputs(session: Session, batch: Batch, size: Preprocessing) -> _Inputs:
    """Images for the network, (b, 3, H, W), and targets, attributes and ratings of the complete batch."""
    settings, group, device = session.settings, session.group, session.device
    unmixed = normalise(batch.pixels.to(device, non_blocking=True), size)
    images, targets = mix(unmixed, batch.targets.to(device, non_blocking=True), settings)
    # A blend of two pictures has no attributes, and was not rated.
    attributes = _moved(batch.attributes, device) if images is unmixed else {}
    ratings = batch.ratings if images is unmixed else None
    ratings = None if ratings is None else ratings.to(device, non_blocking=True)
    if group.world_size > 1:
        count = settings.batch_size
        only_mixed_with = len(images) - len(group.rows(count))

        def complete(rows: Tensor) -> Tensor:
            return gather_rows(rows[only_mixed_with:], group, count)

        images, targets = images[only_mixed_with:], complete(targets)
        attributes = {name: complete(labels) for name, labels in attributes.items()}
        ratings = None if ratings is None else complete(ratings)
    return _Inputs(images.contiguous(memory_format=torch.channels_last), targets, attributes, ratings)


def _moved(attributes: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    return {name: labels.to(device, non_blocking=True) for name, labels in attributes.items()}
