"""What a network says of a picture whose parts are replaced: how all that learns by trying asks it.

What takes the place of a part decides what its loss means. Where its blurred self does, the picture stays
plausible, and colour and rough shape stay with it; where a grey does, colour goes too, but edges come that no
photograph has (Hooker et al., "A Benchmark for Interpretability Methods in Deep Neural Networks", NeurIPS
2019, show how far such pictures lie from what a network learnt from). So the replacement is always named.

Letters: B trials, h x w pixels of the network's input.
"""

import torch
from torch import Tensor

from affectlens.errors import SettingsError
from affectlens.explain.core.attribution import ExplainedModel
from affectlens.explain.core.baselines import baselines
from affectlens.explain.core.question import Question
from affectlens.machine import autocast, pick_precision

BATCH_SIZE = 32
REPLACEMENT = "blurred"  # by default; a name of `baselines.BASELINES`


class Perturbations:
    """Asks one question about one picture again and again, each time with other parts of it replaced.

    Attributes:
        image: the picture, (1, 3, h, w), normalised
        blank: what stands where it is replaced, of the same shape
    """

    def __init__(
        self,
        subject: ExplainedModel,
        image: Tensor,
        question: Question,
        *,
        replacement: str = REPLACEMENT,
        seed: int = 0,
        batch_size: int = BATCH_SIZE,
        precision: str = "float32",
    ) -> None:
        """Prepare. `seed` is for a replacement that is drawn.

        Raises `UnknownName` for a replacement or `SettingsError` for a precision that there is not, or for
        an empty batch.
        """
        require("batch_size", batch_size, batch_size >= 1, "at least 1")
        self.subject = subject
        self.question = question
        self.image = image
        self.blank = baselines(subject, image, [replacement], seed)
        self.batch_size = batch_size
        self.precision = pick_precision(precision, subject.device)

    def __call__(self, kept: Tensor) -> Tensor:
        """Log-odds when this share of each pixel is kept: (B, 1, h, w), 0 to 1 -> (B,) on the CPU."""
        return torch.cat([self.judge(self.mix(some)) for some in kept.split(self.batch_size)])

    def ends(self) -> tuple[float, float]:
        """Log-odds of the whole picture, and of nothing but its replacement."""
        whole, blank = self.judge(torch.cat([self.image, self.blank])).tolist()
        return whole, blank

    def mix(self, kept: Tensor) -> Tensor:
        """Make pictures of which this share of each pixel is kept: (B, 1, h, w) -> (B, 3, h, w)."""
        return torch.lerp(self.blank, self.image, kept.to(self.image))

    def judge(self, images: Tensor) -> Tensor:
        """Log-odds of pictures, all at once: (B, 3, h, w) -> (B,) on the CPU."""
        laid_out = images.contiguous(memory_format=torch.channels_last)  # a quarter faster on CPUs
        with torch.no_grad(), autocast(self.subject.device, self.precision):
            return self.subject.score(laid_out, self.question).float().cpu()


def require(name: str, value: object, is_possible: bool, expected: str) -> None:
    """Raise `SettingsError` for an option that cannot be."""
    if not is_possible:
        raise SettingsError(f"{name} is {value!r}; expected {expected}.")
