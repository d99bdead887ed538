"""How unlike photographs a picture is, from its embedding: for pictures that a model was not made for.

A model that learned from photographs gives a document, a chart or an empty film frame probabilities too, and
they mean nothing. `UsualPictures` scores by linear discriminants of embeddings between the photographs that
the model learned from and made pictures of other kinds: one for each kind, one for the mean of all kinds, by
which pictures of kinds that are not among them are found. A score costs one product for each discriminant.

Papers: Hendrycks, Mazeika and Dietterich, "Deep Anomaly Detection with Outlier Exposure", ICLR 2019:
    examples of what is unusual, though of other kinds than will come, show a detector what to respond to.
    Fisher, "The Use of Multiple Measurements in Taxonomic Problems", Annals of Eugenics 7, 1936: the
    direction between two means, by the inverse of the covariance within.
    Friedman, "Regularized Discriminant Analysis", JASA 84, 1989: that covariance is shrunk to a sphere.
    Sun et al., "Out-of-Distribution Detection with Deep Nearest Neighbors", ICML 2022: embeddings are brought
    to length 1, here those of each branch, so that neither's lengths count.
Departs from them: the detector is not a part of the network, which stays as it is.

What scores by photographs alone (nearest neighbours, Mahalanobis distance, energy, ViM) was measured by
benchmarks/unusual.py as well, and finds far less with the embeddings of the default model.

Letters: N pictures, D features of the embedding, K kinds of unusual pictures, J = K + 1 discriminants.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from affectlens.errors import ModelError, SettingsError
from affectlens.metrics import Doubles

SHRINKAGE = 0.4  # measured by benchmarks/unusual.py: 0.1 to 0.7 differ by little
# Fractions of the photographs of each source that are above the limit of one discriminant, and then flagged
# by all together: so few that of others of a source, by which these were not set, about 2 % are at most.
ABOVE_LIMIT = 0.02
FLAGGED = 0.01
_SAME = 1e-12  # a variance of features, whose squares add up to 1 in each branch, that is rounding alone
_ROUNDING = 1e-5  # of a score near 1 from stored weights: the photograph at the threshold is not flagged
FEWEST = 20  # photographs, and pictures of each kind: of fewer a mean and a covariance are chance

# A model folder keeps them next to those of other heads.
WEIGHTS, OFFSETS, THRESHOLD, BRANCHES = (
    f"unusual.{name}" for name in ("weights", "offsets", "threshold", "branches")
)


class BadEmbeddings(SettingsError):
    """Embeddings that cannot be scored or fitted to: of another width, not finite, or too few."""


class BadUsualPictures(ModelError):
    """Stored tensors that are not what `UsualPictures.tensors` returns."""


@dataclass(frozen=True, eq=False)
class UsualPictures:
    """A score of embeddings: the largest of J discriminants.

    A discriminant is 0 for the mean photograph, and 1 for the mean picture of its kind; once there is a
    threshold, 1 at its limit, which few photographs are above.

    Attributes:
        weights: of the embedding's features once each branch has length 1, float64 (D, J)
        offsets: are added, float64 (J,); the last discriminant is that of all kinds
        threshold: scores above it are of unusual pictures; infinity before `with_threshold`
        branches: how many features each branch of the network has, in the order of the embedding
    """

    weights: Doubles
    offsets: Doubles
    threshold: float
    branches: tuple[int, ...]

    @classmethod
    def fit(
        cls,
        photographs: ArrayLike,
        unusual: Sequence[ArrayLike],
        branches: Sequence[int] = (),
        shrinkage: float = SHRINKAGE,
    ) -> "UsualPictures":
        """Fit to embeddings of photographs, (N, D), and of K kinds of unusual pictures, (n, D) each.

        Kinds count alike, however many pictures they have. `branches` is one of D features by default;
        `shrinkage` is in 0..1. Raises `BadEmbeddings` for fewer than `FEWEST` pictures, numbers that are not
        finite and widths that differ, and `SettingsError`.
        """
        if not 0 < shrinkage <= 1:
            raise SettingsError(f"A shrinkage of {shrinkage}: expected a number above 0, and 1 at most.")
        if not unusual:
            raise BadEmbeddings("There is nothing unusual to fit to: give embeddings of one kind at least.")
        usual = _checked(photographs, FEWEST)
        width = usual.shape[1]
        parts = tuple(int(size) for size in branches) or (width,)
        usual = _normalised(usual, parts)
        kinds = [_normalised(_checked(kind, FEWEST, width), parts) for kind in unusual]
        means = np.stack([kind.mean(axis=0) for kind in kinds])  # (K, D)
        # Photographs and kinds count alike here, too: what varies within kinds must not raise the score.
        covariance = (_covariance(usual) + sum(map(_covariance, kinds)) / len(kinds)) / 2
        sphere = np.trace(covariance) / width
        if not sphere > _SAME:
            raise BadEmbeddings("All embeddings of a kind are the same: there is nothing to fit to.")
        covariance = (1 - shrinkage) * covariance + shrinkage * sphere * np.eye(width)
        between = np.concatenate([means, means.mean(axis=0)[None]]) - usual.mean(axis=0)  # (J, D)
        directions = np.linalg.solve(covariance, between.T)  # (D, J)
        distances = (directions * between.T).sum(axis=0)
        if not (distances > _SAME).all():
            raise BadEmbeddings("Photographs and unusual pictures have the same mean: nothing differs.")
        weights = directions / distances
        return cls(weights, -usual.mean(axis=0) @ weights, math.inf, parts)

    def discriminants(self, embeddings: ArrayLike) -> Doubles:
        """Compute every discriminant: (N, D) -> (N, J). Raises `BadEmbeddings`."""
        features = _normalised(_checked(embeddings, 0, len(self.weights)), self.branches)
        found: Doubles = features @ self.weights + self.offsets
        return found

    def score(self, embeddings: ArrayLike) -> Doubles:
        """Score embeddings, (N, D) -> (N,): higher is less like a photograph. Raises `BadEmbeddings`."""
        highest: Doubles = self.discriminants(embeddings).max(axis=1)
        return highest

    def is_unusual(self, embeddings: ArrayLike) -> NDArray[np.bool_]:
        """Whether scores are above the threshold: (N, D) -> (N,). Raises `BadEmbeddings`."""
        found: NDArray[np.bool_] = self.score(embeddings) > self.threshold
        return found

    def with_threshold(
        self, sources: Sequence[ArrayLike], flagged: float = FLAGGED, above_limit: float = ABOVE_LIMIT
    ) -> "UsualPictures":
        """Set limits and the threshold by embeddings of photographs of several sources, (N, D) each.

        At most the fraction `above_limit` of each source is above the limit of a discriminant, and at most
        `flagged` above the threshold. These should be photographs that neither the model nor the score was
        fitted to. Raises `BadEmbeddings` and `SettingsError`.
        """
        limits = limits_of([self.discriminants(source) for source in sources], above_limit)
        scaled = replace(self, weights=self.weights / limits, offsets=self.offsets / limits)
        threshold = threshold_of([scaled.score(source) for source in sources], flagged)
        return replace(scaled, threshold=threshold + _ROUNDING)

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Return what `from_tensors` reads, float32: (D, J), (J,), (1,) and, of b branches, (b,)."""
        return {
            WEIGHTS: self.weights.astype(np.float32),
            OFFSETS: self.offsets.astype(np.float32),
            THRESHOLD: np.array([self.threshold], np.float32),
            BRANCHES: np.array(self.branches, np.float32),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, NDArray[Any]]) -> "UsualPictures":
        """Read what `tensors` returned. Raises `BadUsualPictures` for what cannot be that."""
        missing = [name for name in (WEIGHTS, OFFSETS, THRESHOLD, BRANCHES) if name not in tensors]
        if missing:
            raise BadUsualPictures(f"The score of unusual pictures lacks {', '.join(missing)}.")
        weights, offsets, threshold, branches = (
            np.asarray(tensors[name], np.float64) for name in (WEIGHTS, OFFSETS, THRESHOLD, BRANCHES)
        )
        sizes = tuple(int(size) for size in branches.ravel() if np.isfinite(size))
        fits = weights.ndim == 2 and branches.ndim == 1 and offsets.shape == weights.shape[1:]
        fits = fits and offsets.size > 0 and threshold.size == 1
        if not fits or len(sizes) < branches.size or min(sizes, default=0) < 1 or sum(sizes) != len(weights):
            raise BadUsualPictures("The tensors of the score of unusual pictures do not fit one another.")
        if not (np.isfinite(weights).all() and np.isfinite(offsets).all()) or np.isnan(threshold).any():
            raise BadUsualPictures("The score of unusual pictures holds numbers that are not finite.")
        return cls(weights, offsets, float(threshold.item()), sizes)


def limits_of(sources: Sequence[ArrayLike], above: float = ABOVE_LIMIT) -> Doubles:
    """Return the limit of each discriminant by those of photographs: (N, J) each -> (J,).

    Raises `BadEmbeddings` where a limit is not above 0, the mean of photographs, and as `threshold_of`.
    """
    tables = [np.asarray(source, dtype=np.float64) for source in sources]
    columns = tables[0].shape[1] if tables else 0
    limits = np.array([threshold_of([table[:, j] for table in tables], above) for j in range(columns)])
    if not tables or not (limits > 0).all():
        raise BadEmbeddings(
            "There is no source of photographs to set limits by, or one that differs from all."
        )
    return limits


def threshold_of(sources: Sequence[ArrayLike], flagged: float = FLAGGED) -> float:
    """Return the lowest score that at most the fraction `flagged` of each source, (N,) each, is above.

    Of a source of few photographs none is above. Raises `BadEmbeddings` for fewer than `FEWEST`, and
    `SettingsError`.

    >>> threshold_of([range(100), range(50)], 0.02)
    97.0
    """
    if not 0 < flagged < 1:
        raise SettingsError(f"A fraction of {flagged} to be flagged: expected one between 0 and 1.")
    if not sources:
        raise BadEmbeddings("There is no source of photographs to set a threshold by.")
    found = []
    for source in sources:
        scores = np.sort(np.asarray(source, dtype=np.float64))
        if len(scores) < FEWEST:
            raise BadEmbeddings(
                f"A source of {len(scores)} photographs is too small for a threshold: give {FEWEST} at least."
            )
        above = math.floor(flagged * len(scores) + 1e-9)
        found.append(float(scores[len(scores) - above - 1]))
    return max(found)


def _checked(embeddings: ArrayLike, fewest: int, width: int | None = None) -> Doubles:
    table = np.asarray(embeddings, dtype=np.float64)
    if table.ndim != 2 or not table.shape[1]:
        raise BadEmbeddings(f"Embeddings of shape {table.shape}: expected (pictures, features).")
    if width is not None and table.shape[1] != width:
        raise BadEmbeddings(
            f"Embeddings of {table.shape[1]:,} features, where {width:,} are expected: they are of another "
            "model. Embed the pictures by the one that the score was fitted to."
        )
    if len(table) < fewest:
        raise BadEmbeddings(f"{len(table)} embeddings are too few: {fewest} are needed at least.")
    bad = np.flatnonzero(~np.isfinite(table).all(axis=1))
    if len(bad):
        raise BadEmbeddings(f"Embedding {bad[0]} holds a number that is not finite.")
    return table


def _normalised(embeddings: Doubles, branches: Sequence[int]) -> Doubles:
    """Bring the embedding of each branch to length 1: (N, D) -> (N, D). One of only zeros stays."""
    if sum(branches) != embeddings.shape[1] or min(branches) < 1:
        raise BadEmbeddings(
            f"Branches of {' + '.join(map(str, branches))} features do not add up to the embedding's "
            f"{embeddings.shape[1]:,}."
        )
    parts = np.split(embeddings, np.cumsum(branches)[:-1], axis=1)
    lengths = [np.linalg.norm(part, axis=1, keepdims=True) for part in parts]
    return np.concatenate(
        [part / np.where(length > 0, length, 1) for part, length in zip(parts, lengths, strict=True)], axis=1
    )


def _covariance(features: Doubles) -> Doubles:
    centred = features - features.mean(axis=0)
    covariance: Doubles = centred.T @ centred / len(features)
    return covariance
