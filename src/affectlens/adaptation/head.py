"""A classifier for one's own words on embeddings: multinomial logistic regression by scikit-learn.

It reads blocks of features: the embedding, and what the model already answers, the log-odds of the emotions
that it knows, and of positive against negative ones. The penalty is of all weights alike, so with few
pictures it leans on the known emotions, where few weights do much, and with many on the embedding. How large
each block is was chosen on thirds of valence and of arousal in OASIS and EMDT, with groups left out whole
(docs/own_model.md). All blocks are linear in the embedding, so that what is fitted is one linear layer.

Letters: N pictures, D features of the embedding, F features in all blocks, E words, K known emotions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affectlens.adaptation.classifier import Classifier
from affectlens.emotions import Vocabulary
from affectlens.metrics import Doubles, cross_entropy

# How weakly weights are penalised, as scikit-learn's C counts it.
STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0)
FEW_STRENGTHS = (0.1, 1.0, 10.0)  # for a few features, where little depends on it
ITERATIONS = 300
# Standard deviation of each block in all: the embedding's, the known emotions', and polarity's.
_EMBEDDING, _KNOWN = 1.0, (0.5, 2.0)
_WORSE = 2  # strengths in a row
_FLAT = 1e-9  # standard deviation below which a feature is the same for all pictures

RowNumbers = NDArray[np.int64]
Targets = Doubles  # (N, E), rows sum to 1


@dataclass(frozen=True)
class Scaling:
    """How an embedding becomes the features that are penalised alike: (N, D) -> (N, F).

    Attributes:
        centre, factors: of the embedding, (D,) both
        known: what reads the other blocks of a centred embedding, (D, F - D)
    """

    centre: Doubles
    factors: Doubles
    known: Doubles

    def apply(self, embeddings: NDArray[np.floating]) -> Doubles:
        """Return the scaled features of N pictures."""
        centred = embeddings.astype(np.float64) - self.centre
        return np.concatenate([centred * self.factors, centred @ self.known], axis=1)

    def classifier(self, weights: Doubles, offsets: Doubles) -> Classifier:
        """Return rows on scaled features as rows on the embedding."""
        count = len(self.centre)
        rows = weights[:, :count] * self.factors + weights[:, count:] @ self.known.T
        return Classifier(rows, offsets - rows @ self.centre)


def known_directions(known: Classifier, vocabulary: Vocabulary) -> tuple[Doubles, ...]:
    """Return what is known of an embedding: rows that read emotions of it, and a row that reads polarity.

    The second is left out where the vocabulary has no positive and negative words.
    """
    rows = known.weights - known.weights.mean(axis=0)
    signs = np.array([vocabulary.signs.get(word, 0) for word in vocabulary.words])
    if not ((signs > 0).any() and (signs < 0).any()):
        return (rows,)
    return rows, (rows[signs > 0].mean(axis=0) - rows[signs < 0].mean(axis=0))[None]


def fit_scaling(embeddings: NDArray[np.floating], known: Sequence[Doubles]) -> Scaling:
    """Scale features by the mean and standard deviation of these pictures; `known` are rows, (K, D) each."""
    features = embeddings.astype(np.float64)
    centre = features.mean(axis=0)
    factors = _EMBEDDING * _inverse(features.std(axis=0)) / np.sqrt(features.shape[1])
    blocks = [np.zeros((features.shape[1], 0))]
    for rows, size in zip(known, _KNOWN, strict=False):
        read = (features - centre) @ rows.T
        blocks.append(size * rows.T * _inverse(read.std(axis=0)) / np.sqrt(len(rows)))
    return Scaling(centre, factors, np.concatenate(blocks, axis=1))


def _inverse(spread: Doubles) -> Doubles:
    flat = spread < _FLAT
    return np.where(flat, 0.0, 1 / np.where(flat, 1.0, spread))


def fit_classifiers(
    embeddings: NDArray[np.floating], targets: Targets, known: Sequence[Doubles], strengths: Sequence[float]
) -> Iterator[Classifier]:
    """Fit a classifier at each strength, in rising order, from these pictures alone.

    A target of several words is a picture of each, by its weight.
    """
    scaling = fit_scaling(embeddings, known)
    features, basis = _reduced(scaling.apply(embeddings))
    pictures, words = np.nonzero(targets)
    regression: Any = None
    for strength in strengths:
        regression = regression or _regression()
        regression.C = strength
        regression.fit(features[pictures], words, sample_weight=targets[pictures, words])
        weights, offsets = _of_all_words(regression, targets.shape[1])
        yield scaling.classifier(weights @ basis.T, offsets)


def choose_strength(
    embeddings: NDArray[np.floating],
    targets: Targets,
    known: Sequence[Doubles],
    parts: Sequence[tuple[RowNumbers, RowNumbers]],
    strengths: Sequence[float] = STRENGTHS,
) -> float:
    """Return the strength with the least cross-entropy on the second rows of each part, from the first."""
    fits = [fit_classifiers(embeddings[learned], targets[learned], known, strengths) for learned, _ in parts]
    losses: list[float] = []
    for _ in strengths:
        loss = 0.0
        for fitted, (_, held_out) in zip(fits, parts, strict=True):
            found = next(fitted).logits(embeddings[held_out])
            loss += float(cross_entropy(found, targets[held_out]).sum())
        losses.append(loss)
        # Weaker penalties take longest, and where two in a row were worse none has been seen to be better.
        if len(losses) > _WORSE and min(losses[-_WORSE:]) > min(losses):
            break
    return strengths[int(np.argmin(losses))]


def _regression() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=ITERATIONS, warm_start=True)


def _reduced(features: Doubles) -> tuple[Doubles, Doubles]:
    """Rotate features into as many as there are pictures, where these are fewer: (N, F) -> (N, R), (F, R).

    The penalised optimum lies in the span of the pictures, so that nothing is lost.
    """
    count, width = features.shape
    if count >= width:
        return features, np.eye(width)
    _, _, directions = np.linalg.svd(features, full_matrices=False)
    basis = directions.T
    return features @ basis, basis


def _of_all_words(regression: Any, count: int) -> tuple[Doubles, Doubles]:
    """Return weights and offsets of every word; those without a picture are as unlikely as the least likely.

    Two words are one row of scikit-learn's, which becomes two.
    """
    weights, offsets = regression.coef_, regression.intercept_
    if len(regression.classes_) == 2:
        weights, offsets = (np.concatenate([-each, each]) / 2 for each in (weights, offsets))
    all_weights = np.zeros((count, weights.shape[1]))
    all_offsets = np.full(count, offsets.min())
    all_weights[regression.classes_], all_offsets[regression.classes_] = weights, offsets
    return all_weights, all_offsets
