"""Outputs of networks with their targets, for tests of metrics."""

import numpy as np
from numpy.typing import NDArray

from affectlens.metrics import Doubles


def single_labels(
    seed: int, *, pictures: int = 300, emotions: int = 8, occurring: int | None = None
) -> tuple[Doubles, Doubles, NDArray[np.int64]]:
    """Logits (N, E), one-hot targets (N, E) and labels (N,); the last emotions may be left out."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(occurring or emotions, size=pictures)
    targets = np.eye(emotions)[labels]
    return rng.normal(size=(pictures, emotions)) + 1.5 * targets, targets, labels


def votes(seed: int, *, pictures: int = 200, emotions: int = 6) -> tuple[Doubles, Doubles]:
    """Logits and targets from ten votes a picture, so with zeros and shared tops: twice (N, E)."""
    rng = np.random.default_rng(seed)
    cast = rng.integers(emotions, size=(pictures, 10))
    targets = np.eye(emotions)[cast].sum(axis=1) / 10
    return rng.normal(size=(pictures, emotions)) + 5 * targets, targets
