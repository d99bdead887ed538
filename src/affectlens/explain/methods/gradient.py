"""The gradient of an answer with respect to the picture: the plainest of explanations, and what others use.

Gradient: Simonyan et al., "Deep Inside Convolutional Networks: Visualising Image Classification Models and
    Saliency Maps", ICLR workshop 2014. Where a small change of a pixel would change the answer most, in
    either direction; not what the picture owes its answer to.
Gradient times input: Shrikumar et al., "Not Just a Black Box: Learning Important Features Through Propagating
    Activation Differences", 2016. What the answer would change by if the network were linear, and each pixel
    were replaced by the baseline's. It seldom is: `details` says how far the sum is off.

Letters: B pictures, h x w pixels of the network's input.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from affectlens.errors import SettingsError
from affectlens.explain.core.activations import frozen
from affectlens.explain.core.attribution import Attribution, ExplainedModel
from affectlens.explain.core.baselines import baselines, check
from affectlens.explain.core.question import Question
from affectlens.machine import autocast, pick_precision

MEMORY = 1024  # MiB that a method may fill with what it keeps of its pictures for the way back
_MOST = 64  # pictures at once, however small


@dataclass(frozen=True, kw_only=True)
class Gradient:
    """The largest gradient of a pixel's three channels, without its sign (Simonyan et al. 2014).

    Of a change of one standard deviation of the level, in log-odds. Never negative.
    """

    precision: str = "float32"

    def __call__(self, subject: ExplainedModel, image: Tensor, question: Question) -> Attribution:
        """Explain one picture, (1, 3, h, w)."""
        started = time.perf_counter()
        with frozen(subject.network):
            _, slopes = Slopes(subject, image, question, precision=self.precision)(image)
        return Attribution(slopes[0].abs().amax(dim=0).cpu(), details=_details(started))


@dataclass(frozen=True, kw_only=True)
class GradientTimesInput:
    """Gradient times the difference from a baseline, summed over a pixel's channels: log-odds, roughly.

    Raises `UnknownName` for a baseline that is none.
    """

    baseline: str = "mean"
    seed: int = 0
    precision: str = "float32"

    def __post_init__(self) -> None:
        check([self.baseline])

    def __call__(self, subject: ExplainedModel, image: Tensor, question: Question) -> Attribution:
        """Explain one picture, (1, 3, h, w)."""
        started = time.perf_counter()
        with frozen(subject.network):
            against = baselines(subject, image, [self.baseline], self.seed)
            slopes = Slopes(subject, image, question, precision=self.precision)
            _, gradients = slopes(image)
            answers = slopes.scores(torch.cat([image, against]))
        values = ((image - against) * gradients).sum(dim=1)[0]
        error = float(values.sum()) - float(answers[0] - answers[1])
        return Attribution(
            values.cpu(), details=_details(started, baselines=[self.baseline], completeness_error=error)
        )


class Slopes:
    """Log-odds of a question and their gradient, for as many pictures at a time as memory allows.

    Attributes:
        together: pictures that are run at once
    """

    def __init__(
        self,
        subject: ExplainedModel,
        image: Tensor,
        question: Question,
        *,
        memory: int = MEMORY,
        precision: str = "float32",
    ) -> None:
        """Run one picture, (1, 3, h, w), to see what it takes. `memory` is in MiB.

        Raises `SettingsError` for a precision that is none or memory below 1.
        """
        if memory < 1:
            raise SettingsError(f"memory must be at least 1 MiB, not {memory}.")
        self.subject = subject
        self.question = question
        self.precision = pick_precision(precision, subject.device)
        self.together = max(1, min(_MOST, memory * 2**20 // max(1, self._kept(image))))

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, h, w) -> float32 log-odds (B,) and their gradients (B, 3, h, w)."""
        pairs = [self._of_some(some) for some in self.split(images)]
        return torch.cat([scores for scores, _ in pairs]), torch.cat([slopes for _, slopes in pairs])

    def split(self, images: Tensor) -> Iterator[Tensor]:
        """Yield the pictures in groups small enough: (B, 3, h, w) -> (b, 3, h, w) each."""
        yield from torch.split(images, self.together)

    def scores(self, images: Tensor) -> Tensor:
        """Log-odds alone, always computed in float32: (B, 3, h, w) -> (B,)."""
        with torch.no_grad():
            return torch.cat([self.subject.score(some, self.question) for some in self.split(images)])

    def _of_some(self, images: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            laid_out = images.detach().contiguous(
                memory_format=torch.channels_last
            )  # a quarter faster on CPUs
            wanted = laid_out.requires_grad_()
            scores = self._score(wanted)
            (slopes,) = torch.autograd.grad(scores.sum(), wanted)  # no picture knows of the others
        return scores.detach(), slopes.float()

    def _score(self, images: Tensor) -> Tensor:
        with autocast(self.subject.device, self.precision):
            return self.subject.score(images, self.question).float()

    def _kept(self, image: Tensor) -> int:
        """Bytes that one picture keeps for the way back, weights left out: they are kept once for all."""
        weights = {p.untyped_storage().data_ptr() for p in self.subject.network.parameters()}
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
