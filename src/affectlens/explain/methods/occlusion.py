"""Occlusion: cover one patch after another, and measure what the answer loses.

Paper: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, section 4.
A pixel's value is the mean, over the patches that cover it, of the log-odds lost, or of the points of a
rating: what captum's `Occlusion` computes, with which tests compare. What is there twice (two faces, of
which either would do) is lost only when both are covered, so this shows neither; RISE and Shapley values
cover many parts at once.

Letters: h x w pixels of the network's input.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from affectlens.explain.core.attribution import Attribution, ExplainedModel
from affectlens.explain.core.perturbations import PerturbationOptions, require
from affectlens.explain.core.question import AnyQuestion
from affectlens.preprocess import Images


@dataclass(frozen=True, kw_only=True)
class Occlusion(PerturbationOptions):
    """Slides a patch over the picture. In log-odds or points, but the values do not add up to the answer.

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

    def __call__(self, model: ExplainedModel, image: Images, question: AnyQuestion) -> Attribution:
        """Explain one picture, (1, 3, h, w)."""
        return self.explain_all(model, image, [question])[0]

    def explain_all(
        self, model: ExplainedModel, image: Images, questions: Sequence[AnyQuestion]
    ) -> list[Attribution]:
        """Explain one picture, (1, 3, h, w), for several questions by the same patches."""
        started = time.perf_counter()
        height, width = image.shape[2:]
        side = max(1, round(self.patch * min(height, width)))
        stride = min(side, max(1, round(self.stride * min(height, width))))
        perturbations = self.perturb(model, image, *questions)
        patches = [
            (slice(top, top + side), slice(left, left + side))
            for top in _begins(height, side, stride)
            for left in _begins(width, side, stride)
        ]
        lost, covered = np.zeros((len(questions), height, width)), np.zeros((height, width))
        whole = perturbations.answers(np.ones((1, height, width), np.float32))
        before = np.array([question.read(whole)[0] for question in questions])
        for begin in range(0, len(patches), self.batch_size):
            some = patches[begin : begin + self.batch_size]
            kept = np.ones((len(some), height, width), np.float32)
            for mask, patch in zip(kept, some, strict=True):
                mask[patch] = 0
            answers = perturbations.answers(kept)
            after = np.stack([question.read(answers) for question in questions])
            for column, (rows, columns) in enumerate(some):
                lost[:, rows, columns] += (before - after[:, column])[:, None, None]
                covered[rows, columns] += 1
        details = {
            "patch": side,
            "stride": stride,
            "replacement": self.replacement,
            "seconds": time.perf_counter() - started,
        }
        return [Attribution((each / covered).astype(np.float32), details=dict(details)) for each in lost]


def _begins(side: int, patch: int, stride: int) -> range:
    """Where patches begin along a side, which the last one may overhang."""
    return range(0, side - patch + stride, stride)
