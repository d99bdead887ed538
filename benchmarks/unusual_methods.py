"""Scores of how unusual an embedding is, of which benchmarks/unusual.py compares what they find.

By photographs alone:
    maximum softmax probability     Hendrycks and Gimpel, "A Baseline for Detecting Misclassified and
                                    Out-of-Distribution Examples in Neural Networks", ICLR 2017
    energy                          Liu et al., "Energy-based Out-of-distribution Detection", NeurIPS 2020
    nearest neighbours              Sun et al., "Out-of-Distribution Detection with Deep Nearest Neighbors",
                                    ICML 2022
    Mahalanobis distance            Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution
                                    Samples and Adversarial Attacks", NeurIPS 2018
    relative Mahalanobis distance   Ren et al., "A Simple Fix to Mahalanobis Distance for Improving Near-OOD
                                    Detection", 2021
    residual                        the distance from the principal subspace: of ViM without its logits
    ViM                             Wang et al., "ViM: Out-Of-Distribution with Virtual-logit Matching",
                                    CVPR 2022

By made pictures of other kinds, too (outlier exposure, Hendrycks et al., ICLR 2019): discriminants.

Letters: N pictures, D features, E emotions, R principal components.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from affectlens.adaptation.classifier import Classifier
from affectlens.inference.unusual import SHRINKAGE, UsualPictures
from affectlens.metrics import softmax

Array = NDArray[np.floating[Any]]
NEIGHBOURS = 10
TRAINED = 2  # branches of the default model that were trained on photographs of FI; they come first


@dataclass(frozen=True)
class World:
    """What methods are fitted to.

    Attributes:
        photographs, labels: a sample of those that the model was trained on: (N, D), (N,)
        altered: more of them, altered as photographs are in use: (n, D)
        kinds: made pictures of other kinds: (n, D) each
        branches: features of each branch
        classifier: reads logits of embeddings
    """

    photographs: Array
    labels: NDArray[np.int64]
    altered: Array
    kinds: Mapping[str, Array]
    branches: tuple[int, ...]
    classifier: Classifier

    def without(self, kind: str) -> "World":
        """Return the same without one kind, to measure it as one that will come."""
        kinds = {name: found for name, found in self.kinds.items() if name != kind}
        return World(self.photographs, self.labels, self.altered, kinds, self.branches, self.classifier)

    def logits(self, embeddings: Array) -> Array:
        """Read logits, not centred, whose level the energy needs: (N, D) -> (N, E)."""
        found: Array = embeddings @ self.classifier.weights.T + self.classifier.offsets
        return found

    def normalised(self, embeddings: Array) -> Array:
        """Bring each branch to length 1: (N, D) -> (N, D)."""
        parts = np.split(embeddings, np.cumsum(self.branches)[:-1], axis=1)
        lengths = [np.linalg.norm(part, axis=1, keepdims=True) for part in parts]
        found: Array = np.concatenate([part / n for part, n in zip(parts, lengths, strict=True)], axis=1)
        return found


class Scorer(NamedTuple):
    """Embeddings to scores, (N, D) -> (N, J), and how many numbers must be stored for it.

    Of several each has a limit, and the largest relative to its limit counts.
    """

    score: Callable[[Array], Array]
    numbers: int


class Components(NamedTuple):
    """Principal components: mean (D,), directions (D, D) and variances (D,), largest first."""

    mean: Array
    directions: Array
    variances: Array

    @classmethod
    def of(cls, features: Array) -> "Components":
        """Compute them of (N, D)."""
        mean = features.mean(axis=0)
        variances, directions = np.linalg.eigh(np.cov(features.T, bias=True))
        return cls(mean, directions[:, ::-1], np.maximum(variances[::-1], 1e-12))

    def residual(self, features: Array, kept: int) -> Array:
        """Squared distance from the subspace of the first R: (N, D) -> (N,)."""
        centred = features - self.mean
        along = centred @ self.directions[:, :kept]
        found: Array = np.maximum((centred**2).sum(axis=1) - (along**2).sum(axis=1), 0)
        return found


def _log_sum(logits: Array) -> Array:
    highest = logits.max(axis=1)
    found: Array = highest + np.log(np.exp(logits - highest[:, None]).sum(axis=1))
    return found


def _softmax_probability(world: World) -> Scorer:
    return Scorer(lambda x: -softmax(world.logits(x)).max(axis=1), 0)


def _energy(world: World) -> Scorer:
    return Scorer(lambda x: -_log_sum(world.logits(x)), 0)


def _neighbours(world: World, normalise: bool = True, kept: int | None = None) -> Scorer:
    """Distance to the tenth nearest photograph, among all features or R principal components."""
    features = world.normalised if normalise else lambda x: x
    if kept is None:
        project, stored = features, world.photographs.shape[1]
    else:
        found = Components.of(features(world.photographs))
        basis, stored = found.directions[:, :kept], kept

        def project(x: Array) -> Array:
            return (features(x) - found.mean) @ basis

    known = project(world.photographs)
    lengths = (known**2).sum(axis=1)

    def score(x: Array) -> Array:
        given = project(x)
        squares = (given**2).sum(axis=1)[:, None] + lengths - 2 * given @ known.T
        return np.sqrt(np.maximum(np.partition(squares, NEIGHBOURS - 1, axis=1)[:, NEIGHBOURS - 1], 0))

    return Scorer(score, len(known) * stored + (0 if kept is None else kept * world.photographs.shape[1]))


def _gaussians(world: World, relative: bool) -> Scorer:
    """Distance to the nearest emotion's mean by the covariance that all share; relative to that of all."""
    features = world.normalised(world.photographs)
    means = np.stack([features[world.labels == label].mean(axis=0) for label in np.unique(world.labels)])
    within = np.cov((features - means[world.labels]).T, bias=True)
    width = len(within)
    small = 1e-3 * np.trace(within) / width * np.eye(width)
    inverse, every = np.linalg.inv(within + small), np.linalg.inv(np.cov(features.T, bias=True) + small)

    def distance(x: Array, mean: Array, matrix: Array) -> Array:
        found: Array = ((x - mean) @ matrix * (x - mean)).sum(axis=1)
        return found

    def score(x: Array) -> Array:
        x = world.normalised(x)
        nearest = np.min([distance(x, mean, inverse) for mean in means], axis=0)
        found: Array = nearest - (distance(x, features.mean(axis=0), every) if relative else 0)
        return found

    return Scorer(score, (1 + relative) * width * width + means.size)


def _low_rank(world: World, kept: int = 256) -> Scorer:
    """Mahalanobis distance whose covariance is R components and a sphere, as in probabilistic PCA."""
    found = Components.of(world.normalised(world.photographs))
    sphere = found.variances[kept:].mean()

    def score(x: Array) -> Array:
        features = world.normalised(x)
        along = (features - found.mean) @ found.directions[:, :kept]
        within: Array = (along**2 / found.variances[:kept]).sum(axis=1)
        distance: Array = within + found.residual(features, kept) / sphere
        return distance

    return Scorer(score, (kept + 1) * len(found.mean) + kept)


def _residual(world: World, kept: int = 256) -> Scorer:
    found = Components.of(world.normalised(world.photographs))
    return Scorer(lambda x: found.residual(world.normalised(x), kept), (kept + 1) * len(found.mean))


def _vim(world: World, kept: int = 256) -> Scorer:
    """The residual, scaled to the logits, less the energy."""
    found = Components.of(world.normalised(world.photographs))

    def distance(x: Array) -> Array:
        return np.sqrt(found.residual(world.normalised(x), kept))

    scale = world.logits(world.photographs).max(axis=1).mean() / distance(world.photographs).mean()
    return Scorer(lambda x: scale * distance(x) - _log_sum(world.logits(x)), (kept + 1) * len(found.mean))


def discriminants(
    world: World, shrinkage: float = SHRINKAGE, *, altered: bool = True, read: int = TRAINED
) -> UsualPictures:
    """Fit to the first `read` branches; of the others every feature has the weight 0."""
    photographs = np.concatenate([world.photographs, world.altered]) if altered else world.photographs
    width = sum(world.branches[:read])
    kinds = [kind[:, :width] for kind in world.kinds.values()]
    fitted = UsualPictures.fit(photographs[:, :width], kinds, world.branches[:read], shrinkage)
    others = np.zeros((sum(world.branches[read:]), fitted.weights.shape[1]))
    return replace(fitted, weights=np.concatenate([fitted.weights, others]), branches=world.branches)


def _discriminants(world: World, *given: float, **options: Any) -> Scorer:
    fitted = discriminants(world, *given, **options)
    return Scorer(fitted.discriminants, fitted.weights.size + len(fitted.offsets))


def _discriminant(world: World, normalise: bool = True) -> Scorer:
    """The discriminant of the mean of all kinds, by itself."""
    photographs = np.concatenate([world.photographs, world.altered])
    kinds, features = list(world.kinds.values()), world.photographs.shape[1]
    if normalise:
        fitted = UsualPictures.fit(photographs, kinds, world.branches)
        return Scorer(lambda x: fitted.discriminants(x)[:, -1], features + 1)
    mean, means = photographs.mean(axis=0), np.stack([kind.mean(axis=0) for kind in kinds])
    within = np.cov(photographs.T, bias=True) / 2
    within += sum(np.cov(kind.T, bias=True) for kind in kinds) / len(kinds) / 2
    shrunk = (1 - SHRINKAGE) * within + SHRINKAGE * np.trace(within) / features * np.eye(features)
    weights = np.linalg.solve(shrunk, means.mean(axis=0) - mean)
    return Scorer(lambda x: x @ weights, features + 1)


def _posterior(world: World, shrinkage: float = SHRINKAGE) -> Scorer:
    """Posterior log-odds of any kind by discriminants of all kinds with one covariance."""
    photographs = world.normalised(np.concatenate([world.photographs, world.altered]))
    kinds = [world.normalised(kind) for kind in world.kinds.values()]
    mean, means = photographs.mean(axis=0), np.stack([kind.mean(axis=0) for kind in kinds])
    within = np.cov(photographs.T, bias=True) / 2
    within += sum(np.cov(kind.T, bias=True) for kind in kinds) / len(kinds) / 2
    width = len(within)
    shrunk = (1 - shrinkage) * within + shrinkage * np.trace(within) / width * np.eye(width)
    weights = np.linalg.solve(shrunk, (means - mean).T)
    offsets = ((means + mean) / 2 * weights.T).sum(axis=1)
    return Scorer(lambda x: _log_sum(world.normalised(x) @ weights - offsets), weights.size)


def _logistic(world: World) -> Scorer:
    """Logistic regression by scikit-learn, kinds and photographs weighted alike."""
    from sklearn.linear_model import LogisticRegression

    photographs = np.concatenate([world.photographs, world.altered])
    tables = [photographs, *world.kinds.values()]
    features = world.normalised(np.concatenate(tables))
    targets = np.repeat([0] + [1] * len(world.kinds), [len(table) for table in tables])
    weights = np.concatenate(
        [
            np.full(len(table), 1 / len(table) / (1 if n == 0 else len(world.kinds)))
            for n, table in enumerate(tables)
        ]
    )
    scale = features.std()
    model = LogisticRegression(C=1e-4, max_iter=500)
    model.fit(features / scale, targets, sample_weight=weights * len(features) / 2)
    return Scorer(lambda x: world.normalised(x) @ model.coef_[0] / scale, features.shape[1] + 1)


CHOSEN = "discriminants of each kind and of all, each with a limit, of the trained branches"
ALONE: dict[str, Callable[[World], Scorer]] = {
    "maximum softmax probability": _softmax_probability,
    "energy": _energy,
    "10th nearest neighbour, features as they are": lambda world: _neighbours(world, normalise=False),
    "10th nearest neighbour, branches of length 1": _neighbours,
    "the same in 64 principal components": lambda world: _neighbours(world, kept=64),
    "Mahalanobis distance": lambda world: _gaussians(world, relative=False),
    "relative Mahalanobis distance": lambda world: _gaussians(world, relative=True),
    "Mahalanobis distance of rank 256": _low_rank,
    "residual of 256 components": _residual,
    "ViM, 256 components": _vim,
}
EXPOSED: dict[str, Callable[[World], Scorer]] = {
    CHOSEN: _discriminants,
    "the same, shrinkage 0.1": lambda world: _discriminants(world, 0.1),
    "the same, shrinkage 0.7": lambda world: _discriminants(world, 0.7),
    "the same, without altered photographs": lambda world: _discriminants(world, altered=False),
    "the same, of all three branches": lambda world: _discriminants(world, read=len(world.branches)),
    "discriminant of all kinds alone": _discriminant,
    "the same, features as they are": lambda world: _discriminant(world, normalise=False),
    "posterior of any kind by discriminants of each": _posterior,
    "logistic regression": _logistic,
}
