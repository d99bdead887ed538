"""How sure one can be of a difference between two networks that were each trained several times.

The difference varies with the training run, that is with the seed, and with the pictures that both are
measured on. Both are samples: of the runs that could have been, and of the pictures that could have been
shown. So every run of one network is set against the run of the same seed of the other, picture by
picture, which gives a table of seeds by pictures, and its variance is taken apart:

    MS_S, MS_P, MS_E   mean squares of the table between seeds, between pictures, and of what is left
    variance           (MS_S + [MS_P - MS_E]_+) / (S N), of the table's mean
    freedom            (MS_S + [MS_P - MS_E]_+)^2 / (MS_S^2 / (S - 1)), of Student's t

It is the analysis by which radiology compares methods over readers and cases, with seeds for readers:
Dorfman, Berbaum and Metz, "Receiver operating characteristic rating analysis: generalization to the
population of readers and patients with the jackknife method", Investigative Radiology 27, 1992; degrees of
freedom and the bound at 0: Hillis, "A comparison of denominator degrees of freedom methods for multiple
observer ROC analysis", Statistics in Medicine 26, 2007. A bootstrap would not do: three seeds have too few
resamples, and theirs vary less than the seeds do. In simulations with three seeds the 95 % intervals hold
the true difference in 95 % of cases where seeds do not matter, and in 92 % where they matter most; those of
pictures alone, in half.

A measure that is not a mean over pictures, such as macro F1, enters by its jackknife pseudovalues.

Letters: S seeds, N pictures, E emotions.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as students_t

from affectlens import metrics
from affectlens.errors import AffectLensError

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Measure = Callable[[Floats], Floats]  # confusion matrices with truth in rows, (..., E, E) -> (...)

LEVEL = 0.95
FEWEST_SEEDS = 2


class TooFewSeeds(AffectLensError):
    """One run alone, which shows nothing of how much runs differ."""

    def __init__(self, seeds: int) -> None:
        super().__init__(
            f"An interval over seeds needs {FEWEST_SEEDS} runs or more, not {seeds}. Train more."
        )


@dataclass(frozen=True)
class Difference:
    """A mean difference, its standard error, and the degrees of freedom of that (infinite: normal)."""

    mean: float
    error: float
    freedom: float

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Limits between which the true difference lies with this confidence."""
        reach = float(students_t.ppf((1 + level) / 2, self.freedom)) * self.error
        return self.mean - reach, self.mean + reach

    def sign(self, level: float = LEVEL) -> int:
        """1 or -1 where the complete interval lies above or below 0, and 0 where it does not."""
        low, high = self.interval(level)
        return int(low > 0) - int(high < 0)


def difference(table: Floats) -> Difference:
    """Take apart a table of differences, (S, N), as described above. Raises `TooFewSeeds`."""
    seeds, pictures = table.shape
    if seeds < FEWEST_SEEDS:
        raise TooFewSeeds(seeds)
    mean, of_seeds, of_pictures = table.mean(), table.mean(axis=1), table.mean(axis=0)
    rest = table - of_seeds[:, None] - of_pictures[None] + mean
    between_seeds = pictures * float(np.square(of_seeds - mean).sum()) / (seeds - 1)
    between_pictures = seeds * float(np.square(of_pictures - mean).sum()) / max(pictures - 1, 1)
    left = float(np.square(rest).sum()) / max((seeds - 1) * (pictures - 1), 1)
    total = between_seeds + max(between_pictures - left, 0.0)
    share = between_seeds / total if total > 0 else 0.0
    freedom = (seeds - 1) / share**2 if share > 0 else math.inf
    return Difference(float(mean), math.sqrt(total / (seeds * pictures)), freedom)


def accuracy(confusion: Floats) -> Floats:
    """Share of right answers: (..., E, E) -> (...)."""
    share: Floats = confusion.trace(axis1=-2, axis2=-1) / confusion.sum(axis=(-2, -1))
    return share


MEASURES: Mapping[str, Measure] = {
    "accuracy": accuracy,
    "balanced accuracy": metrics.mean_recall,
    "macro F1": metrics.mean_f1,
}


def f1_of(emotion: int) -> Measure:
    """The F1 of one emotion, by its index."""
    return lambda confusion: metrics.per_class(confusion).f1[..., emotion]


def pseudovalues(measure: Measure, truth: Indices, predicted: Indices, size: int) -> Floats:
    """What each picture contributes to a measure: indices (N,) twice -> (N,), with the measure as their mean.

    N times the measure less N - 1 times the measure without the picture, shifted to that mean. Pictures of
    one cell of the confusion matrix contribute alike, so it is computed once a cell. Of a measure that is
    a mean over pictures they are the pictures' own values.
    """
    cells = truth * size + predicted
    confusion = np.bincount(cells, minlength=size * size).astype(np.float64).reshape(size, size)
    without = confusion - np.eye(size * size).reshape(-1, size, size)
    count = len(truth)
    complete = measure(confusion)
    contributed = (count * complete - (count - 1) * measure(without))[cells]
    shifted: Floats = contributed - contributed.mean() + complete
    return shifted


def compare(row: Sequence[Floats], base: Sequence[Floats], truth: Indices, measure: Measure) -> Difference:
    """Compare logits of the same seeds and pictures, S times (N, E) each, by a measure: row minus base."""
    tables = [
        np.stack([pseudovalues(measure, truth, each.argmax(axis=1), each.shape[1]) for each in logits])
        for logits in (row, base)
    ]
    return difference(tables[0] - tables[1])


def compare_recall(row: Sequence[Floats], base: Sequence[Floats], truth: Indices, emotion: int) -> Difference:
    """Compare the recall of one emotion: over its pictures alone, as if others had been sampled of it."""
    chosen = truth == emotion
    tables = [
        np.stack([(each[chosen].argmax(axis=1) == emotion).astype(np.float64) for each in logits])
        for logits in (row, base)
    ]
    return difference(tables[0] - tables[1])


def least_calibration_error(probabilities: Floats, bins: int = 15, draws: int = 50, seed: int = 0) -> float:
    """The calibration error that perfect probabilities (N, E) would measure: above 0, as bins are finite.

    The mean of `metrics.expected_calibration_error` where a picture's answer, of probability p, is right
    with chance p.
    """
    rng = np.random.default_rng(seed)
    stated = probabilities.max(axis=1)  # (N,)
    in_bin = np.eye(bins)[np.ceil(stated * bins).astype(int).clip(1, bins) - 1]  # (N, bins)
    right = rng.random((draws, len(stated))) < stated
    return float(np.abs((right - stated) @ in_bin).sum(axis=1).mean() / len(stated))
