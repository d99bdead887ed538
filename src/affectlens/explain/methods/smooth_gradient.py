"""SmoothGrad: a map averaged over noisy copies of the picture.

Paper: Smilkov et al., "SmoothGrad: removing noise by adding noise", 2017: gradients jump from one picture
    to one that no one could distinguish from it; their mean over such pictures does not. Noise of 10 to
    20 % of the range of levels, and 50 copies, were found to look well. captum's `NoiseTunnel` does the same
    in batches of a given size; here batches fit the memory allowed, and `details` has how well two halves
    of the copies agree.

`of` names what is averaged: `gradient`, of which afterwards the largest of the three channels is taken;
`gradient_times_input`; or `integrated_gradients`, each copy's with its own path, and steps as its options
set.

Letters: B pictures, h x w pixels of the network's input.
"""

import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from affectlens.errors import SettingsError, UnknownName
from affectlens.explain.core.attribution import Attribution
from affectlens.explain.core.baselines import BaselineOptions
from affectlens.explain.core.differentiable import DifferentiableModel, to_map
from affectlens.explain.core.question import AnyQuestion
from affectlens.explain.methods.gradient import MEMORY, InputGradients
from affectlens.explain.methods.integrated_gradients import IntegratedGradients
from affectlens.models.maps import frozen
from affectlens.preprocess import Images

AVERAGED = ("gradient", "gradient_times_input", "integrated_gradients")


@dataclass(frozen=True, kw_only=True)
class SmoothGradient(BaselineOptions):
    """The mean map over noisy copies. Raises `UnknownName` or `SettingsError` for an impossible value.

    Attributes:
        of: what is averaged, of `AVERAGED`
        samples: copies
        noise: standard deviation, as a share of the picture's range of levels
        seed: of the noise, and of a random baseline
        baseline: of all but `gradient`
        steps: gradients for each copy, of `integrated_gradients`
    """

    of: str = "gradient"
    samples: int = 32
    noise: float = 0.15
    steps: int = 9
    memory: int = MEMORY
    precision: str = "float32"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.of not in AVERAGED:
            raise UnknownName("map", self.of, AVERAGED, "those that are averaged")
        if self.samples < 1 or not self.noise >= 0 or self.steps < 2:
            raise SettingsError(
                "SmoothGrad needs at least 1 sample, noise of at least 0 and 2 steps, not "
                f"{self.samples}, {self.noise} and {self.steps}."
            )

    def __call__(self, model: DifferentiableModel, image: Images, question: AnyQuestion) -> Attribution:
        """Explain one picture, (1, 3, h, w)."""
        started = time.perf_counter()
        with frozen(model.network):
            if self.of == "integrated_gradients":
                maps = self._integrated(model, image, question)
            else:
                maps = self._gradients(model, image, question)
        details = {
            "of": self.of,
            "samples": self.samples,
            "noise": self.noise,
            "halves_agree": _agreement(self._average(maps[::2]), self._average(maps[1::2])),
            "seconds": time.perf_counter() - started,
        }
        return Attribution(to_map(self._average(maps)), details=details)

    def copies(self, image: Tensor) -> Tensor:
        """Noisy copies of a picture, the same for the same seed: (1, 3, h, w) -> (samples, 3, h, w)."""
        generator = torch.Generator().manual_seed(self.seed)
        noise = torch.randn((self.samples, *image.shape[1:]), generator=generator).to(image)
        return image + self.noise * (image.max() - image.min()) * noise

    def _gradients(self, model: DifferentiableModel, image: Images, question: AnyQuestion) -> Tensor:
        """Gradients at the copies, or these times the difference from the baseline: (samples, 3, h, w)."""
        picture = model.tensor(image)
        differentiate = InputGradients(model, picture, question, memory=self.memory, precision=self.precision)
        copies = self.copies(picture)
        _, gradients = differentiate(copies)
        if self.of == "gradient":
            return gradients
        return gradients * (copies - model.tensor(self.make_baseline(model, image)))

    def _integrated(self, model: DifferentiableModel, image: Images, question: AnyQuestion) -> Tensor:
        """(samples, 1, h, w)."""
        explain = IntegratedGradients(
            baselines=(self.baseline,), min_steps=self.steps, max_steps=self.steps, memory=self.memory,
            precision=self.precision, seed=self.seed,
        )  # fmt: skip
        copies = self.copies(model.tensor(image)).cpu().numpy()
        maps = [explain(model, copy[None], question).values for copy in copies]
        return torch.from_numpy(np.stack(maps))[:, None]

    def _average(self, maps: Tensor) -> Tensor:
        """(samples, channels, h, w) -> (h, w)."""
        mean = maps.mean(dim=0)
        return mean.abs().amax(dim=0) if self.of == "gradient" else mean.sum(dim=0)


def _agreement(first: Tensor, second: Tensor) -> float | None:
    """Correlation of the maps of every second copy and of the others: how much of the map is not noise."""
    both = torch.stack([first.flatten(), second.flatten()])
    if not torch.isfinite(both).all() or (both.std(dim=1) == 0).any():
        # Also of a single copy.
        return None
    return float(torch.corrcoef(both)[0, 1])
