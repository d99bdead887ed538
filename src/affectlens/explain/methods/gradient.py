"""The gradient of an answer with respect to the picture: the plainest of explanations, and what others use.

Gradient: Simonyan et al., "Deep Inside Convolutional Networks: Visualising Image Classification Models and
    Saliency Maps", ICLR workshop 2014. Where a small change of a pixel would change the answer most, in
    either direction; not what the picture owes its answer to.
Gradient times input: Shrikumar et al., "Not Just a Black Box: Learning Important Features Through Propagating
    Activation Differences", 2016. What the answer would change by if the network were linear, and each pixel
    were replaced by the baseline's. It seldom is: `details` has the error of the sum.

captum's `Saliency` and `InputXGradient` compute the same for one batch; here pictures run in groups that fit
the memory allowed, in a chosen precision.

Letters: B pictures, h x w pixels of the network's input.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from affectlens.errors import SettingsError
from affectlens.explain.core.attribution import Attribution
from affectlens.explain.core.baselines import BaselineOptions
from affectlens.explain.core.differentiable import DifferentiableModel, to_map
from affectlens.explain.core.question import AnyQuestion
from affectlens.machine import autocast, pick_precision
from affectlens.models.maps import frozen
from affectlens.preprocess import Images

MEMORY = 1024  # MiB that a method may fill with what it keeps of its pictures for the backward pass
_LARGEST_BATCH = 64  # pictures, however small


@dataclass(frozen=True, kw_only=True)
class Gradient:
    """The largest gradient of a pixel's three channels, without its sign (Simonyan et al. 2014).

    Of a change of one standard deviation of the level, in log-odds. Never negative.
    """

    precision: str = "float32"

    def __call__(self, model: DifferentiableModel, image: Images, question: AnyQuestion) -> Attribution:
        """Explain one picture, (1, 3, h, w)."""
        started = time.perf_counter()
        with frozen(model.network):
            picture = model.tensor(image)
            _, gradients = InputGradients(model, picture, question, precision=self.precision)(picture)
        return Attribution(to_map(gradients[0].abs().amax(dim=0)), details=_details(started))


@dataclass(frozen=True, kw_only=True)
class GradientTimesInput(BaselineOptions):
    """Gradient times the difference from a baseline, summed over a pixel's channels: log-odds, roughly.

    Raises `UnknownName` for an unknown baseline.
    """

    precision: str = "float32"

    def __call__(self, model: DifferentiableModel, image: Images, question: AnyQuestion) -> Attribution:
        """Explain one picture, (1, 3, h, w)."""
        started = time.perf_counter()
        with frozen(model.network):
            picture, against = model.tensor(image), model.tensor(self.make_baseline(model, image))
            differentiate = InputGradients(model, picture, question, precision=self.precision)
            _, gradients = differentiate(picture)
            answers = differentiate.scores(torch.cat([picture, against]))
        values = ((picture - against) * gradients).sum(dim=1)[0]
        error = float(values.sum()) - float(answers[0] - answers[1])
        return Attribution(
            to_map(values), details=_details(started, baselines=[self.baseline], completeness_error=error)
        )


class InputGradients:
    """Log-odds of a question and their gradients by the pixels, in batches as large as memory allows.

    Attributes:
        batch_size: pictures in one batch
    """

    def __init__(
        self,
        model: DifferentiableModel,
        image: Tensor,
        question: AnyQuestion,
        *,
        memory: int = MEMORY,
        precision: str = "float32",
    ) -> None:
        """Run one picture, (1, 3, h, w), to measure its memory. `memory` is in MiB.

        Raises `SettingsError` for an unknown precision or memory below 1.
        """
        if memory < 1:
            raise SettingsError(f"memory must be at least 1 MiB, not {memory}.")
        self.model = model
        self.question = question
        self.precision = pick_precision(precision, model.device)
        self.batch_size = max(1, min(_LARGEST_BATCH, memory * 2**20 // max(1, self._memory_of(image))))

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, h, w) -> float32 log-odds (B,) and their gradients (B, 3, h, w)."""
        pairs = [self._differentiate(batch) for batch in self.split(images)]
        return torch.cat([scores for scores, _ in pairs]), torch.cat([gradients for _, gradients in pairs])

    def split(self, images: Tensor) -> Iterator[Tensor]:
        """Yield the pictures in batches small enough: (B, 3, h, w) -> (b, 3, h, w) each."""
        yield from torch.split(images, self.batch_size)

    def scores(self, images: Tensor) -> Tensor:
        """Log-odds alone, always computed in float32: (B, 3, h, w) -> (B,)."""
        with torch.no_grad():
            return torch.cat([self.model.score(batch, self.question) for batch in self.split(images)])

    def _differentiate(self, images: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            # A quarter faster on CPUs.
            laid_out = images.detach().contiguous(memory_format=torch.channels_last)
            inputs = laid_out.requires_grad_()
            scores = self._score(inputs)
            # Of the sum, since no picture's score depends on another picture.
            (gradients,) = torch.autograd.grad(scores.sum(), inputs)
        return scores.detach(), gradients.float()

    def _score(self, images: Tensor) -> Tensor:
        with autocast(self.model.device, self.precision):
            return self.model.score(images, self.question).float()

    def _memory_of(self, image: Tensor) -> int:
        """Bytes that one picture keeps for the backward pass; without weights, which all pictures share."""
        weights = {p.untyped_storage().data_ptr() for p in self.model.network.parameters()}
        found: dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            memory = tensor.untyped_storage()
            if memory.data_ptr() not in weights:
                found[memory.data_ptr()] = memory.nbytes()
            return tensor

        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            self._score(image.detach().requires_grad_())
        return sum(found.values())


def _details(started: float, **more: Any) -> dict[str, Any]:
    return {**more, "seconds": time.perf_counter() - started}
