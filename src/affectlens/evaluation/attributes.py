"""How well a network names what it sees, and how far the names account for its emotions.

Letters: N pictures, E emotions, W words of an attribute.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from affectlens import metrics
from affectlens.attributes import Attribute
from affectlens.data.records import DataSource
from affectlens.errors import SettingsError
from affectlens.evaluation.tables import share
from affectlens.metrics import Doubles
from affectlens.report.text import markdown_table

if TYPE_CHECKING:
    from affectlens.inference.predictions import AttributePredictions

ACCURACY, AVERAGE_PRECISION = "accuracy", "mean average precision"


@dataclass(frozen=True, kw_only=True)
class AttributeScore:
    """How well one attribute is named.

    Attributes:
        measure: accuracy of attributes with one word; of those with several the mean over words of the
            average precision, for words that any of the pictures has
        value: 0..1, or None where not one picture has an answer
        guess: the same measure of guesses without the picture: the commonest word of these very pictures, or
            words in any order
        pictures: number of those whose answer is known
    """

    measure: str
    value: float | None
    guess: float | None
    pictures: int


@dataclass(frozen=True, kw_only=True)
class ConceptScore:
    """How often emotions are right: as answered, by the attributes alone, and by the residual alone.

    `by_attributes` far below `accuracy` means that emotions are not predicted from the attributes;
    `by_residual` near it, that the attributes contribute nothing.
    """

    accuracy: float
    by_attributes: float
    by_residual: float


@dataclass(frozen=True, kw_only=True)
class AttributeScores:
    """Scores of every attribute by name, and of emotions read from them; None where they are not read so."""

    attributes: Mapping[str, AttributeScore]
    concepts: ConceptScore | None

    def to_json(self) -> dict[str, Any]:
        """Return plain data, without NaN."""
        each = {name: asdict(score) for name, score in self.attributes.items()}
        return {"attributes": each, "concepts": asdict(self.concepts) if self.concepts else None}

    def markdown(self) -> str:
        """Write a table for the card, ended by a line break."""
        rows = [
            (name, score.measure, share(score.value), share(score.guess), f"{score.pictures:,}")
            for name, score in self.attributes.items()
        ]
        header = ("attribute", "measure", "value", "by guessing", "pictures")
        text = markdown_table(header, rows, left=2) + "\n"
        if self.concepts is None:
            return text
        c = self.concepts
        return (
            f"{text}\nEmotions are right for {c.accuracy:.1%} of the pictures; by the attributes alone for "
            f"{c.by_attributes:.1%}, by what has no name alone for {c.by_residual:.1%}.\n"
        )


def shared_attributes(attributes: Sequence[Attribute], source: DataSource) -> tuple[Attribute, ...]:
    """Return those of a model's attributes that a data set has too.

    Raises `SettingsError` where there is none, or where both have different words for one of them: indices
    would silently mean others.
    """
    there = {attribute.name: attribute for attribute in source.attributes}
    shared = tuple(attribute for attribute in attributes if attribute.name in there)
    if not shared:
        names = [", ".join(a.name for a in each) or "none" for each in (attributes, source.attributes)]
        raise SettingsError(
            f"No attribute can be scored: the model names {names[0]}, and {source.name} at {source.root} has "
            f"{names[1]}. Leave out --attributes, or take a model and data of the same attributes."
        )
    for attribute in shared:
        if attribute != there[attribute.name]:
            raise SettingsError(
                f"The model and {source.name} at {source.root} have different words for {attribute.name}. "
                "Train the model on this data, or take data with its words."
            )
    return shared


def score_attributes(predictions: "AttributePredictions", attributes: Sequence[Attribute]) -> AttributeScores:
    """Score how well attributes are named, and what they do for emotions."""
    p = predictions
    concepts = None
    if p.from_attributes:
        # As in training for pictures whose residual is left out: all of it, not what is unusual about it.
        full_residual = p.residual + p.usual_residual
        concepts = ConceptScore(
            accuracy=metrics.accuracy(p.logits, p.targets),
            by_attributes=metrics.accuracy(p.logits - full_residual, p.targets),
            by_residual=metrics.accuracy(p.usual + p.residual, p.targets),
        )
    scores = {a.name: attribute_score(a, p.words[a.name], p.truth[a.name]) for a in attributes}
    return AttributeScores(attributes=scores, concepts=concepts)


def attribute_score(attribute: Attribute, logits: ArrayLike, truth: ArrayLike) -> AttributeScore:
    """Score one attribute: logits (N, W), truth encoded as by `labelled_batches.attribute_tensors`."""
    logits, truth = np.asarray(logits, dtype=np.float64), np.asarray(truth)
    if attribute.several:
        known = truth[:, 0] >= 0
        truth = truth[known]
        return AttributeScore(
            measure=AVERAGE_PRECISION,
            value=mean_average_precision(logits[known], truth),
            guess=float(truth.mean(axis=0)[truth.any(axis=0)].mean()) if truth.any() else None,
            pictures=int(known.sum()),
        )
    known = truth >= 0
    truth = truth[known]
    right = logits[known].argmax(axis=1) == truth
    count = len(truth)
    return AttributeScore(
        measure=ACCURACY,
        value=float(right.mean()) if count else None,
        guess=float(np.bincount(truth).max()) / count if count else None,
        pictures=count,
    )


def mean_average_precision(scores: ArrayLike, truth: ArrayLike) -> float | None:
    """Mean over words of the average precision: scores (N, W), truth (N, W) of 0 and 1 -> 0..1.

    A word's average precision is the mean, over the pictures that have it, of the share of pictures that have
    it among those scored as high or higher. Words of no picture are left out; None where that leaves none.

    >>> mean_average_precision([[0.9], [0.8], [0.1]], [[1], [0], [1]])
    0.8333333333333333
    """
    words = zip(np.asarray(scores, dtype=np.float64).T, np.asarray(truth).T > 0, strict=True)
    each = [_average_precision(scores_of_word, has) for scores_of_word, has in words if has.any()]
    return sum(each) / len(each) if each else None


def _average_precision(scores: Doubles, truth: NDArray[np.bool_]) -> float:
    """(N,) scores, (N,) whether a picture has the word, at least one -> 0..1."""
    order = np.argsort(-scores)
    scores, hits = scores[order], truth[order].cumsum()
    # Among equal scores no order is better than another: all stand at the end of theirs.
    last = len(scores) - 1 - np.searchsorted(scores[::-1], scores)
    precision = hits[last] / (last + 1)
    return float(precision[truth[order]].mean())
