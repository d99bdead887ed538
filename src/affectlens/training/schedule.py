"""How a run is divided into steps and epochs, and what size and learning rate each has."""

import math
from dataclasses import dataclass, replace

from affectlens.preprocess import Preprocessing
from affectlens.training.settings import Settings


@dataclass(frozen=True)
class Schedule:
    """Steps and epochs of a run: the stream of pictures divided into steps."""

    pictures: int
    settings: Settings

    @property
    def pictures_a_step(self) -> int:
        """Pictures that one step of the optimizer sees."""
        return self.settings.batch_size * self.settings.grad_accum_steps

    @property
    def total_steps(self) -> int:
        """Steps of the complete run."""
        return max(1, math.ceil(self.settings.epochs * self.pictures / self.pictures_a_step))

    def epoch_of(self, step: int) -> int:
        """Epoch, from 0, of the first picture of a step, from 0."""
        return step * self.pictures_a_step // self.pictures

    def ends_epoch(self, step: int) -> bool:
        """Whether the next step belongs to another epoch, or there is none."""
        return step + 1 == self.total_steps or self.epoch_of(step + 1) != self.epoch_of(step)

    def size(self, epoch: int) -> Preprocessing:
        """Size of the pictures in an epoch: low first, where the settings have a low size."""
        full = self.settings.preprocessing.resolved()
        low = self.settings.low_res_size
        if not low or epoch >= self.settings.low_res_fraction * self.settings.epochs:
            return full
        return replace(full, height=low, width=low)

    def drops_patches(self, epoch: int) -> bool:
        """Whether `patch_dropout` acts in an epoch, from 0."""
        return epoch < self.settings.patch_dropout_fraction * self.settings.epochs

    def holds_backbone(self, step: int) -> bool:
        """Whether the backbone is held in the epoch of a step, from 0, while what lies above it learns."""
        return self.epoch_of(step) < self.settings.frozen_epochs

    def lr(self, step: int) -> float:
        """Learning rate of a step, from 0, before each layer's own scale."""
        return self.settings.lr * lr_at(step, self.total_steps, self.epoch_of(step), self.settings)


def lr_at(step: int, total_steps: int, epoch: int, settings: Settings) -> float:
    """Learning rate at a step (from 0) of an epoch (from 0), as a fraction of its peak.

    First the warm-up, then the schedule.

    >>> [round(lr_at(step, 100, 0, Settings(warmup=0.1)), 2) for step in (0, 9, 10, 55, 99)]
    [0.1, 1.0, 1.0, 0.5, 0.0]
    >>> halved = Settings(schedule="steps", step_epochs=10, step_factor=0.5, warmup=0)
    >>> [lr_at(epoch, 60, epoch, halved) for epoch in (0, 9, 10, 50)]
    [1.0, 1.0, 0.5, 0.03125]
    """
    rising = max(1, round(settings.warmup * total_steps))
    risen = min(1.0, (step + 1) / rising)
    if settings.schedule == "steps":
        fallen: float = settings.step_factor ** (epoch // settings.step_epochs)
        # Both, because a long warm-up may reach beyond the first fall.
        return risen * fallen
    if step < rising:
        return risen
    falling = max(1, total_steps - rising)
    if settings.schedule == "linear":
        return 1 - (step - rising) / falling
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / falling))
