"""RISE: cover the picture at random many times, and find pixels that were there when the answer was strong.

Paper: Petsiuk, Das and Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC
    2018. Coarse random grids, enlarged without hard edges and shifted by part of a cell.
Departs from it: the paper averages the masks, weighted by the probability. Log-odds may be negative, and a
    mean of masks weighted by them would show little but their mean. We return the coefficient of the
    regression of the log-odds on the share of the pixel that is kept (for a positive constant score, both
    rank pixels alike). Of a regression the standard error is known, and is reported.
captum has no RISE.

Letters: B masks at once, h x w pixels of the network's input.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from affectlens.explain.core.attribution import Attribution, ExplainedModel, Map
from affectlens.explain.core.perturbations import Masks, PerturbationOptions, require
from affectlens.explain.core.question import AnyQuestion
from affectlens.explain.core.upsampling import interpolation
from affectlens.metrics import Doubles
from affectlens.preprocess import Images


@dataclass(frozen=True, kw_only=True)
class Rise(PerturbationOptions):
    """Scores a picture under random masks. In log-odds, or points, for a pixel and what is kept with it.

    `details` has the `standard_error` of a value, its root mean square over pixels, and the `noise`: which
    share of the map's variance that is. Four times the masks halve the one and quarter the other.

    Attributes:
        masks: how many; also the number of pictures that the network is run on
        cells: of a mask, along either side
        kept: share of the cells that are kept

    Raises `SettingsError` for an impossible value.
    """

    masks: int = 1000
    cells: int = 7
    kept: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        require("masks", self.masks, self.masks >= 3, "at least 3")
        require("cells", self.cells, self.cells >= 2, "at least 2")
        require("kept", self.kept, 0 < self.kept < 1, "between 0 and 1")

    def __call__(self, model: ExplainedModel, image: Images, question: AnyQuestion) -> Attribution:
        """Explain one picture, (1, 3, h, w)."""
        return self.explain_all(model, image, [question])[0]

    def explain_all(
        self, model: ExplainedModel, image: Images, questions: Sequence[AnyQuestion]
    ) -> list[Attribution]:
        """Explain one picture, (1, 3, h, w), for several questions by the same masks."""
        started = time.perf_counter()
        regressions = [PixelRegression() for _ in questions]
        perturbations = self.perturb(model, image, *questions)
        for masks in self.sample_masks(*image.shape[2:]):
            answers = perturbations.answers(masks)
            for regression, question in zip(regressions, questions, strict=True):
                regression.add(masks, question.read(answers))
        return [self._attribution(regression, started) for regression in regressions]

    def _attribution(self, regression: "PixelRegression", started: float) -> Attribution:
        values, errors = regression.coefficients(), regression.standard_errors()
        noise = float((errors**2).mean() / max(float(values.var()), 1e-12))
        details = {
            "masks": self.masks,
            "cells": self.cells,
            "replacement": self.replacement,
            "standard_error": float(np.sqrt((errors**2).mean())),
            "noise": min(1.0, noise),
            "seconds": time.perf_counter() - started,
        }
        return Attribution(values, details=details)

    def sample_masks(self, height: int, width: int) -> Iterator[Masks]:
        """Yield the masks, in batches: float32 (B, height, width), 1 where the picture is kept."""
        generator = np.random.default_rng(self.seed)
        high, wide = -(-height // self.cells), -(-width // self.cells)  # pixels of a cell, rounded up
        rows, columns = (
            interpolation(self.cells, (self.cells + 1) * size).astype(np.float32) for size in (high, wide)
        )
        for begin in range(0, self.masks, self.batch_size):
            number = min(self.batch_size, self.masks - begin)
            grid = generator.random((number, self.cells, self.cells), dtype=np.float32) < self.kept
            smooth = rows.T @ grid.astype(np.float32) @ columns
            tops, lefts = generator.integers(high + 1, size=number), generator.integers(wide + 1, size=number)
            yield np.stack([
                mask[top : top + height, left : left + width]
                for mask, top, left in zip(smooth, tops, lefts, strict=True)
            ])  # fmt: skip


class PixelRegression:
    """Regression of a score on each pixel of the masks under which it was measured, batch by batch."""

    def __init__(self) -> None:
        self.number = 0
        self._masks = self._squares = self._products = np.zeros(())
        self._scores = self._scores_squared = 0.0
        self._shift: float | None = None

    def add(self, masks: Masks, scores: Doubles) -> None:
        """Add masks and the scores under them: (B, h, w) and (B,)."""
        if self._shift is None:
            # Small numbers, so that differences of squares stay exact.
            self._shift = float(scores.mean())
        scores = scores - self._shift
        exact = masks.astype(np.float64)
        self.number += len(masks)
        self._masks = self._masks + exact.sum(axis=0)
        self._squares = self._squares + (exact**2).sum(axis=0)
        self._products = self._products + np.tensordot(scores, exact, axes=1)
        self._scores += float(scores.sum())
        self._scores_squared += float((scores**2).sum())

    def coefficients(self) -> Map:
        """How much the score rises per pixel kept: float32 (h, w); 0 for one always kept, or never."""
        return self._coefficients().astype(np.float32)

    def standard_errors(self) -> Map:
        """Standard error of each value, as of any regression on one variable: float32 (h, w)."""
        variation = self._variation()
        total = self._scores_squared - self._scores**2 / self.number
        residual = np.maximum(total - self._coefficients() ** 2 * variation, 0) / max(1, self.number - 2)
        errors: Doubles = np.sqrt(residual / np.maximum(variation, 1e-12))
        return errors.astype(np.float32)

    def _variation(self) -> Doubles:
        return np.asarray(self._squares - self._masks**2 / self.number)

    def _coefficients(self) -> Doubles:
        covariation = self._products - self._masks * self._scores / self.number
        variation = self._variation()
        return np.where(variation > 1e-9, covariation / np.maximum(variation, 1e-12), 0.0)
