"""Occlusion: cover one patch after another, and measure what the answer loses.

Paper: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, section 4.
By captum's `Occlusion`. A pixel's value is the mean, over the patches that cover it, of the log-odds lost.
What is there twice (two faces, of which either would do) is lost only when both are covered, so this shows
neither; RISE and Shapley values cover many parts at once.

Letters: h x w pixels of the network's input.
"""

import time
from dataclasses import dataclass

from torch import Tensor

from affectlens.explain.core.activations import frozen
from affectlens.explain.core.attribution import Attribution, ExplainedModel
from affectlens.explain.core.perturbations import PerturbationOptions, require
from affectlens.explain.core.question import Question


@dataclass(frozen=True, kw_only=True)
class Occlusion(PerturbationOptions):
    """Slides a patch over the picture. In log-odds, but the values do not add up to the answer.

    Attributes:
        patch: side of the patch, as a share of the picture's shorter side
        stride: how far it moves, in the same unit; at most `patch`, or pixels would be left out

    Raises `SettingsError` for an impossible value.
    """

    patch: float = 1 / 7
    stride: float = 1 / 14

    def __post_init__(self) -> None:
        super().__post_init__()
        require("patch", self.patch, 0 < self.patch <= 1, "a share of a side: above 0, and up to 1")
        require("stride", self.stride, 0 < self.stride <= self.patch, f"above 0 and up to {self.patch:.3g}")

    def __call__(self, model: ExplainedModel, image: Tensor, question: Question) -> Attribution:
        """Explain one picture, (1, 3, h, w)."""
        # Here, since it takes a second to import.
        from captum.attr import Occlusion as SlidingWindow

        started = time.perf_counter()
        side = max(1, round(self.patch * min(image.shape[2:])))
        stride = min(side, max(1, round(self.stride * min(image.shape[2:]))))
        with frozen(model.network):
            perturbations = self.perturb(model, image, question)
            lost = SlidingWindow(perturbations.score).attribute(
                image,
                sliding_window_shapes=(3, side, side),
                strides=(3, stride, stride),
                baselines=perturbations.blank,
                perturbations_per_eval=self.batch_size,
            )
        details = {
            "patch": side,
            "stride": stride,
            "replacement": self.replacement,
            "seconds": time.perf_counter() - started,
        }
        # One channel of three, since a patch covers all alike.
        return Attribution(lost[0, 0].float().cpu(), details=details)
