"""LIME and SHAP on superpixels: pieces of a picture of one colour each, put in and taken out at random.

LIME: Ribeiro, Singh and Guestrin, "'Why Should I Trust You?': Explaining the Predictions of Any Classifier",
    KDD 2016. A line through the answers near the whole picture.
SHAP: Lundberg and Lee, "A Unified Approach to Interpreting Model Predictions", NeurIPS 2017. Shapley values:
    what a piece adds on average, over all orders in which the pieces could come.
Superpixels: SLIC, Achanta et al., TPAMI 2012, by scikit-image, which comes with the extra `superpixels`.
By captum's `Lime` and `KernelShap`, with a regression of our own: theirs wants scikit-learn.

A piece's value is spread evenly over its pixels, so that a map of Shapley values adds up to the answer.

Letters: N samples, S superpixels, h x w pixels of the network's input.
"""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from affectlens.errors import SettingsError
from affectlens.explain.core.attribution import Attribution, ExplainedModel, Map
from affectlens.explain.core.perturbations import PerturbationOptions, Perturbations, require
from affectlens.explain.core.question import AnyQuestion
from affectlens.preprocess import Images


@dataclass(frozen=True, kw_only=True)
class SuperpixelOptions(PerturbationOptions):
    """Options that LIME and SHAP share.

    Attributes:
        segments: superpixels, about
        samples: pictures that the network is run on
        compactness: of superpixels, large for square ones; if small, there are far fewer than `segments`

    Raises `SettingsError` for an impossible value.
    """

    segments: int = 48
    samples: int = 500
    compactness: float = 30.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require("segments", self.segments, self.segments >= 2, "at least 2")
        require("samples", self.samples, self.samples >= 3, "at least 3")
        require("compactness", self.compactness, self.compactness > 0, "a number above 0")

    def segment(self, model: ExplainedModel, image: Images) -> Tensor:
        """Divide a picture, (1, 3, h, w), into superpixels: int64 (h, w) from 0."""
        return segment(model, image, self.segments, self.compactness)


@dataclass(frozen=True, kw_only=True)
class Lime(SuperpixelOptions):
    """A linear surrogate of the network near one picture, by superpixel. In log-odds per pixel.

    `details` has the `fit`: the share of the weighted variance of the answers that the surrogate explains.

    Attributes:
        width: how far from the whole picture an answer still counts; the distance is 1 less the cosine
            between the pieces kept and all pieces, its weight exp(-(distance / width) ** 2 / 2)
        penalty: on the squares of the surrogate's coefficients (ridge regression)

    Raises `SettingsError` for an impossible value, and when called without scikit-image.
    """

    width: float = 0.25
    penalty: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require("width", self.width, self.width > 0, "a number above 0")
        require("penalty", self.penalty, self.penalty >= 0, "0 or more")

    def __call__(self, model: ExplainedModel, image: Images, question: AnyQuestion) -> Attribution:
        """Explain one picture, (1, 3, h, w)."""
        # Here, since it takes a second to import.
        from captum.attr import Lime as CaptumLime

        started = time.perf_counter()
        pieces = self.segment(model, image)
        regression = RidgeRegression(self.penalty)
        with _seeded(self.seed):
            perturbations = self.perturb(model, image, question)
            lime = CaptumLime(
                _score_of(perturbations), interpretable_model=regression, similarity_func=self._similarity
            )
            values = _attribute(lime, perturbations, pieces, self.samples)
        details = {
            **_details(self, pieces),
            "fit": regression.explained_variance,
            "seconds": time.perf_counter() - started,
        }
        return Attribution(_per_pixel(values, pieces), details=details)

    def _similarity(self, image: Tensor, changed: Tensor, kept: Tensor, **_: object) -> Tensor:
        # This root is the cosine between 0s and 1s, and 1s alone.
        distance = 1 - kept.float().mean().sqrt()
        return torch.exp(-((distance / self.width) ** 2) / 2)[None]


@dataclass(frozen=True, kw_only=True)
class Shap(SuperpixelOptions):
    """Shapley values of superpixels, by weighted regression (KernelSHAP). In log-odds per pixel; they add up.

    `details` has the `fit` as for LIME: what is missing is noise or pieces that act together. Fewer than ten
    samples for each segment give mostly noise.

    Raises `SettingsError` for an impossible value, and when called without scikit-image.
    """

    def __call__(self, model: ExplainedModel, image: Images, question: AnyQuestion) -> Attribution:
        """Explain one picture, (1, 3, h, w)."""
        # Here, since it takes a second to import.
        import captum.attr  # noqa: F401

        started = time.perf_counter()
        pieces = self.segment(model, image)
        regression = RidgeRegression()
        with _seeded(self.seed):
            perturbations = self.perturb(model, image, question)
            shap = _paired_shap(perturbations, regression)
            values = _attribute(shap, perturbations, pieces, self.samples)
            whole, blank = perturbations.endpoints()
        error = float(values.sum()) - (whole - blank)
        details = {
            **_details(self, pieces),
            "fit": regression.explained_variance,
            "difference": whole - blank,
            "completeness_error": error,
            "completeness_error_relative": abs(error / (whole - blank)) if whole != blank else None,
            "seconds": time.perf_counter() - started,
        }
        return Attribution(_per_pixel(values, pieces), sums_up=True, details=details)


class RidgeRegression:
    """Weighted ridge regression with a constant that is not penalised, in the form that captum expects.

    Attributes:
        explained_variance: share of the weighted variance explained, 0 to 1. A weight counts as 1 at most, so
            that the complete and the empty picture, which KernelSHAP weighs a million times, do not decide it
    """

    def __init__(self, penalty: float = 0.0) -> None:
        self.penalty = penalty
        self.explained_variance = 0.0
        self._coefficients = torch.zeros(0)

    def fit(self, train_data: Iterable[tuple[Tensor, Tensor, Tensor]], **_: object) -> None:
        """Fit to batches of pieces kept (N, S), answers (N,) and weights (N,)."""
        kept, answers, weights = (torch.cat(parts).double().cpu() for parts in zip(*train_data, strict=True))
        share = (weights / weights.sum())[:, None]
        mean_kept, mean_answer = (share * kept).sum(dim=0), (share[:, 0] * answers).sum()
        root = weights.sqrt()[:, None]
        rows = torch.cat([root * (kept - mean_kept), self.penalty**0.5 * torch.eye(kept.shape[1]).double()])
        targets = torch.cat([root[:, 0] * (answers - mean_answer), torch.zeros(kept.shape[1]).double()])
        # The driver that copes with pieces that were always kept, or always went together.
        self._coefficients = torch.linalg.lstsq(rows, targets[:, None], driver="gelsd").solution[:, 0]
        residuals = answers - mean_answer - (kept - mean_kept) @ self._coefficients
        self.explained_variance = _explained(answers, residuals, weights.clamp(max=1))

    def representation(self) -> Tensor:
        """Return the coefficients, float32 (1, S)."""
        return self._coefficients.float()[None]


def segment(model: ExplainedModel, image: Images, number: int, compactness: float = 30.0) -> Tensor:
    """Divide a picture, (1, 3, h, w), into about so many superpixels, at least two: int64 (h, w) from 0.

    Raises `SettingsError` when scikit-image is not installed.
    """
    try:
        from skimage.segmentation import slic
    except ImportError:
        raise SettingsError(
            "Superpixels need scikit-image, which is not installed. Get it with "
            "`pip install 'affectlens[superpixels]'`, or choose another method."
        ) from None
    preprocessing = model.preprocessing
    levels = np.clip(image[0].transpose(1, 2, 0) * preprocessing.std + preprocessing.mean, 0, 1)
    labels = slic(
        levels.astype(np.float32), n_segments=number, compactness=compactness, start_label=0, channel_axis=-1
    )
    pieces = torch.from_numpy(labels).long()
    # Of one colour: a single piece could not be compared with another.
    if int(pieces.max()) == 0:
        pieces[:, pieces.shape[1] // 2 :] = 1
    return pieces


def _paired_shap(perturbations: Perturbations, regression: RidgeRegression) -> Any:
    """Make captum's KernelSHAP, whose every sample is followed by its complement.

    That lessens the noise at no cost (Covert and Lee, "Improving KernelSHAP: Practical Shapley Value
    Estimation via Linear Regression", AISTATS 2021): pieces are in and out equally often.
    """
    from captum.attr import KernelShap

    class Paired(KernelShap):  # type: ignore[misc, unused-ignore]
        def kernel_shap_perturb_generator(self, original_inp: Tensor, **kwargs: Any) -> Iterator[Tensor]:
            samples = super().kernel_shap_perturb_generator(original_inp, **kwargs)
            # The complete picture, and nothing of it.
            yield from itertools.islice(samples, 2)
            for kept in samples:
                yield kept
                yield 1 - kept

    shap = Paired(_score_of(perturbations))
    shap.interpretable_model = regression
    return shap


def _score_of(perturbations: Perturbations) -> Callable[[Tensor], Tensor]:
    """What captum calls: log-odds of pictures, (B, 3, h, w) -> float32 (B,)."""
    return lambda images: torch.from_numpy(perturbations.score(images.numpy())).float()


def _attribute(method: Any, perturbations: Perturbations, pieces: Tensor, samples: int) -> Tensor:
    """Run one of captum's: values of the pieces, float32 (S,) on the CPU."""
    values: Tensor = method.attribute(
        torch.from_numpy(perturbations.image),
        baselines=torch.from_numpy(perturbations.blank),
        feature_mask=pieces[None, None],
        n_samples=samples,
        perturbations_per_eval=perturbations.batch_size,
        return_input_shape=False,
    )
    return values.flatten().float()


def _per_pixel(values: Tensor, pieces: Tensor) -> Map:
    """Divide each piece's value evenly among its pixels: (S,) and (h, w) -> (h, w)."""
    sizes = torch.bincount(pieces.flatten(), minlength=len(values)).clamp(min=1)
    return np.asarray((values / sizes)[pieces].numpy(), dtype=np.float32)


def _explained(answers: Tensor, residuals: Tensor, weights: Tensor) -> float:
    """Share of the weighted variance of the answers that is not in the residuals, at least 0."""
    mean = (weights * answers).sum() / weights.sum()
    total = (weights * (answers - mean) ** 2).sum()
    return max(0.0, float(1 - (weights * residuals**2).sum() / total)) if total > 0 else 0.0


def _details(options: SuperpixelOptions, pieces: Tensor) -> dict[str, object]:
    return {
        "superpixels": int(pieces.max()) + 1,
        "samples": options.samples,
        "replacement": options.replacement,
    }


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed torch's random numbers, since captum takes no generator; the caller's stay untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
