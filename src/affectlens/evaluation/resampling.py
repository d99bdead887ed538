"""Bootstrap resamples as counts, and what differs between answers to the same pictures.

A resample need not be made: it is a column of how often each picture was sampled, and sums over its pictures
are products with that column. Pictures of one group (a theme, a scene) are sampled together, since they are
alike and less certain than as many pictures of their own kinds: Field and Welsh, "Bootstrapping clustered
data", Journal of the Royal Statistical Society B 69, 2007.

Letters: N pictures, E emotions, R resamples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from affectlens import metrics
from affectlens.metrics import Doubles

RESAMPLES = 2000


@dataclass(frozen=True)
class Measured:
    """A measured value and its interval."""

    value: float
    low: float
    high: float


def times_sampled(sampler: metrics.RowSampler, count: int, resamples: int) -> Doubles:
    """Return how often each resample has each picture: (N, R)."""
    cells = sampler.rows(count, (count, resamples)) * resamples + np.arange(resamples)
    times = np.bincount(cells.ravel(), minlength=count * resamples)
    return times.reshape(count, resamples).astype(np.float64)


def times_sampled_by_groups(groups: Sequence[str], resamples: int, seed: int) -> Doubles:
    """Return how often each resample has each picture, groups sampled whole: (N, R). `groups` names each."""
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    times = times_sampled(metrics.RowSampler(seed), int(index.max()) + 1, resamples)
    return times[index]


def confusions(cells: metrics.Cells, times: Doubles, size: int) -> Doubles:
    """Return the confusion matrix of each resample: (N, R) -> (R, E, E)."""
    found = cells.truths * size + cells.predictions
    counted = np.zeros((times.shape[1], size * size))
    for cell in np.unique(found):
        own = found == cell
        counted[:, cell] = cells.weights[own] @ times[cells.pictures[own]]
    return counted.reshape(-1, size, size)


class Resampled:
    """Accuracy, balanced accuracy and negative log-likelihood of answers, for all pictures and resamples.

    Of each measure the first value is that of all pictures, then one for each resample: (1 + R,).
    """

    def __init__(self, logits: ArrayLike, targets: ArrayLike, times: Doubles) -> None:
        targets = np.asarray(targets, dtype=np.float64)
        once = np.concatenate([np.ones((len(targets), 1)), times], axis=1)
        counts = once.sum(axis=0)
        matrices = confusions(metrics.confusion_cells(logits, targets), once, targets.shape[1])
        self.measures: dict[str, NDArray[np.float64]] = {
            "accuracy": metrics.correct(logits, targets) @ once / counts,
            "balanced_accuracy": metrics.mean_recall(matrices),
            "negative_log_likelihood": metrics.cross_entropy(logits, targets) @ once / counts,
        }

    def estimates(self, level: float = 0.95) -> dict[str, Measured]:
        """Return each measure with its percentile interval."""
        return {name: _estimate(values, level) for name, values in self.measures.items()}

    def differences(self, other: "Resampled", level: float = 0.95) -> dict[str, Measured]:
        """Return by how much each measure is larger than that of other answers to the same resamples."""
        return {
            name: _estimate(values - other.measures[name], level) for name, values in self.measures.items()
        }


def _estimate(values: NDArray[np.float64], level: float) -> Measured:
    tails = ((1 - level) / 2, (1 + level) / 2)
    return Measured(float(values[0]), *metrics.bootstrap_interval(values[1:], tails))
