"""Occlusion: cover one patch after another, and measure what the answer loses.

Paper: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, section 4.
A pixel's value is the mean, over the patches that cover it, of the log-odds lost: what captum's `Occlusion`
computes, with which tests compare. What is there twice (two faces, of which either would do) is lost only
when both are covered, so this shows neither; RISE and Shapley values cover many parts at once.

Letters: h x w pixels of the network's input.
"""

import time
from dataclasses import dataclass

import numpy as np

from affectlens.explain.core.attribution import Attribution, ExplainedModel
from affectlens.explain.core.perturbations import PerturbationOptions, require
from affectlens.explain.core.question import Question
from affectlens.preprocess import Images


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

    def __call__(self, model: ExplainedModel, image: Images, question: Question) -> Attribution:
        """Explain one picture, (1, 3, h, w)."""
        started = time.perf_counter()
        height, width = image.shape[2:]
        side = max(1, round(self.patch * min(height, width)))
        stride = min(side, max(1, round(self.stride * min(height, width))))
        perturbations = self.perturb(model, image, question)
        patches = [
            (slice(top, top + side), slice(left, left + side))
            for top in _begins(height, side, stride)
            for left in _begins(width, side, stride)
        ]
        lost, covered = np.zeros((height, width)), np.zeros((height, width))
        whole, _ = perturbations.endpoints()
        for begin in range(0, len(patches), self.batch_size):
            some = patches[begin : begin + self.batch_size]
            kept = np.ones((len(some), height, width), np.float32)
            for mask, patch in zip(kept, some, strict=True):
                mask[patch] = 0
            for score, patch in zip(perturbations(kept).tolist(), some, strict=True):
                lost[patch] += whole - score
                covered[patch] += 1
        details = {
            "patch": side,
            "stride": stride,
            "replacement": self.replacement,
            "seconds": time.perf_counter() - started,
        }
        return Attribution((lost / covered).astype(np.float32), details=details)


def _begins(side: int, patch: int, stride: int) -> range:
    """Where patches begin along a side, which the last one may overhang."""
    return range(0, side - patch + stride, stride)
