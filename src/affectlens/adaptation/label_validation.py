"""How good labels are on pictures that they were not learned from, each by itself.

A label is learned as two words are (`validation`): it is given or it is not. So it has the same features and
penalties, and the same simpler answers: how frequent it is, and what the emotions that the model knows give.
Its probability has a temperature of its own (Guo et al., "On Calibration of Modern Neural Networks", 2017),
of each part that of the others.

Letters: N pictures, W labels.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from affectlens.adaptation.classifier import Classifier
from affectlens.adaptation.head import fit_classifiers
from affectlens.adaptation.label_source import LabelSource
from affectlens.adaptation.ridge import RatingLine
from affectlens.adaptation.validation import (
    KNOWN,
    MOST_FREQUENT,
    OWN,
    SHARES,
    Labelled,
    OutOfFold,
    best_strength,
    cross_fitted,
    outer_parts,
    some_rows,
    validate,
)
from affectlens.data.groups import Groups
from affectlens.emotions import Vocabulary
from affectlens.evaluation.calibration import fit_temperature
from affectlens.metrics import Doubles, sigmoid
from affectlens.model_folder import Card

ANSWERS = (OWN, MOST_FREQUENT, KNOWN)


@dataclass(frozen=True)
class LabelOutOfFold:
    """What one label got from fits that did not see the pictures; NaN of those that were not predicted.

    Attributes:
        probabilities: by answer, (N,)
        line: probability from which a picture has the label, of each picture from the other parts, (N,)
        curve: shares of the pictures to learn from, with the probabilities that these gave, (N,)
        learned: how many pictures were learned from in a part, on average
        temperature: of all predictions
        best_line: of all predictions
        parts: how many parts were predicted
    """

    probabilities: dict[str, Doubles]
    line: Doubles
    curve: tuple[tuple[float, Doubles], ...]
    learned: float
    temperature: float
    best_line: float
    parts: int


def binary(
    labels: LabelSource, number: int, features: NDArray[np.floating], groups: Groups, known: Sequence[Doubles]
) -> Labelled:
    """Return one label as two words: it is not given, or it is."""
    word = labels.words[number]
    words = Vocabulary(f"label {word}", (f"without {word}", f"with {word}"))
    share = labels.values[:, number]
    targets = np.stack([1 - share, share], axis=1)
    records = [
        type(record)(record.key, record.path, words.distribution(dict(zip(words.words, row, strict=True))))
        for record, row in zip(labels.records, targets.tolist(), strict=True)
    ]
    return Labelled(features, records, targets, groups, known)


def label_steps(data: Labelled, seed: int) -> int:
    """Return how many times `validate_label` yields. Raises what `validation.outer_parts` does."""
    return len(outer_parts(data, seed, divisions=1)) * (1 + len(SHARES))


def validate_label(
    data: Labelled, known: Classifier, card: Card, seed: int
) -> Generator[None, None, LabelOutOfFold]:
    """Predict one label by fits that did not see the pictures. Yields after each part."""
    found = yield from validate(data, known, card, seed, divisions=1)
    curve = yield from _from_fewer(data, found, seed)
    probabilities = {name: _by_row(data, found, _odds(cross_fitted(found, data.targets, name)))
                     for name in (OWN, KNOWN)}  # fmt: skip
    probabilities[MOST_FREQUENT] = _by_row(data, found, _odds(found.logits[MOST_FREQUENT]))
    share, own = data.targets[:, 1], probabilities[OWN]
    logits = found.logits[OWN]
    learned = len(data.records) - len(found.rows) / len(found.strengths)
    predicted = np.isfinite(own)
    return LabelOutOfFold(
        probabilities,
        _by_row(data, found, _lines(found, own[found.rows], share[found.rows]), is_probability=True),
        tuple((each, _by_row(data, found, _odds(answers))) for each, answers in curve),
        learned,
        fit_temperature(logits, data.targets[found.rows]),
        best_line(own[predicted], share[predicted]),
        len(found.strengths),
    )


def _from_fewer(
    data: Labelled, found: OutOfFold, seed: int
) -> Generator[None, None, list[tuple[float, Doubles]]]:
    """Predict the same pictures by fits to shares of the others, at the strength that was chosen from all.

    To choose it again for each share would take most of the time. Yields after each part.
    """
    parts = list(zip(outer_parts(data, seed, divisions=1), found.strengths, strict=True))
    curve = []
    for share in SHARES:
        logits = []
        for (learned, held_out), strength in parts:
            rows = some_rows(data, learned, share, seed)
            fitted = fit_classifiers(data.features[rows], data.targets[rows], data.known, [strength])
            logits.append(next(fitted).logits(data.features[held_out]))
            yield
        curve.append((share, np.concatenate(logits)))
    return curve


def fit_label(data: Labelled, width: int, temperature: float, seed: int) -> RatingLine:
    """Fit one label to all pictures; return what reads its calibrated log-odds of `width` features.

    Those beyond the embedding count for nothing.
    """
    strength = best_strength(data, np.arange(len(data.records)), seed)
    fitted = next(fit_classifiers(data.features, data.targets, data.known, [strength]))
    row = (fitted.weights[1] - fitted.weights[0]) / temperature
    offset = float(fitted.offsets[1] - fitted.offsets[0]) / temperature
    return RatingLine(np.pad(row, (0, width - len(row))), offset, 1 / strength)


def best_line(probabilities: Doubles, share: Doubles) -> float:
    """Return the probability from which giving the label has the highest F1, between two pictures.

    >>> round(best_line(np.array([0.1, 0.4, 0.8]), np.array([0.0, 1.0, 1.0])), 2)
    0.25
    """
    order = np.argsort(-probabilities, kind="stable")
    ranked, truth = probabilities[order], share[order]
    right = np.cumsum(truth)
    scores = 2 * right / (np.arange(1, len(truth) + 1) + truth.sum())
    # A line lies between two probabilities, not within several that are the same.
    scores[:-1][ranked[:-1] == ranked[1:]] = -1
    last = int(np.argmax(scores))
    below = ranked[last + 1] if last + 1 < len(ranked) else 0.0
    return float((ranked[last] + below) / 2)


def _lines(found: OutOfFold, own: Doubles, share: Doubles) -> Doubles:
    """Return for each predicted row the best line of the other parts; of a single part, of its other half."""
    parts = found.part_of if found.part_of.max() else np.arange(len(own)) % 2
    lines = np.empty(len(own))
    for part in np.unique(parts):
        others = parts != part
        lines[~others] = best_line(own[others], share[others])
    return lines


def _odds(logits: Doubles) -> Doubles:
    found: Doubles = logits[:, 1] - logits[:, 0]
    return found


def _by_row(data: Labelled, found: OutOfFold, values: Doubles, is_probability: bool = False) -> Doubles:
    """Return probabilities in the order of all pictures, of log-odds in that of the predicted rows."""
    in_order = np.full(len(data.records), np.nan)
    in_order[found.rows] = values if is_probability else sigmoid(values)
    return in_order
