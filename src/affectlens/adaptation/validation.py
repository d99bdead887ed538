"""How good a classifier on an embedding is on pictures that it did not learn from: nested cross-validation.

Each fold is predicted by a classifier that was fitted on the others, with a strength that was chosen by
cross-validation within them; pictures that belong together are never on two sides. The same folds measure
simpler answers, with which it is compared picture by picture:

    most frequent      the same for every picture: how frequent each word is
    positive           what the model's probability of positive emotions alone gives: thresholds on it
    known emotions     what its probabilities of the emotions that it knows give
    last layer         what the classifier gives, where more of the network was trained

How pictures fall into folds matters where they are few, so that below `FEW` of them all is done for several
divisions. With `LARGE` pictures or more a single part is held out instead, for folds would take long and gain
little.

Letters: N pictures, D features of the embedding, E words.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from affectlens.adaptation.classifier import Classifier
from affectlens.adaptation.head import (
    FEW_STRENGTHS,
    STRENGTHS,
    RowNumbers,
    Targets,
    choose_strength,
    fit_classifiers,
)
from affectlens.data import splits
from affectlens.data.groups import Groups
from affectlens.data.records import Record
from affectlens.errors import DatasetError
from affectlens.evaluation.calibration import fit_temperature
from affectlens.evaluation.scores import polarity_weights
from affectlens.metrics import Doubles, softmax
from affectlens.model_folder import Card

FEW, DIVISIONS = 1000, 3
LARGE = 2000
FOLDS, INNER_FOLDS = 5, 3
HELD_OUT = 0.2  # part of the pictures that is predicted where there are `LARGE` of them
SHARES = (0.25, 0.5, 0.75)  # of the pictures, for the learning curve
OWN, LAST_LAYER = "own", "last layer"
MOST_FREQUENT, POSITIVE, KNOWN = "most frequent", "positive", "known emotions"
_FEWEST = 1e-6

FeatureReader = Callable[[Classifier, Card, NDArray[np.floating]], Doubles]
Part = tuple[RowNumbers, RowNumbers]  # rows to learn from, rows to predict


@dataclass(frozen=True)
class Labelled:
    """Embeddings with their targets, and which pictures belong together.

    Attributes:
        features: (N, D)
        records: N
        targets: float64 (N, E), rows sum to 1
        known: what is known of the features (`head.known_directions`)
    """

    features: NDArray[np.floating]
    records: Sequence[Record]
    targets: Targets
    groups: Groups
    known: Sequence[Doubles] = ()

    @property
    def group_names(self) -> list[str]:
        """The group of each picture; one that is alone is its own."""
        return [self.groups.leader(record.key) for record in self.records]


@dataclass(frozen=True)
class OutOfFold:
    """Answers to pictures that were not learned from.

    Attributes:
        rows: of the pictures that were predicted: all, or those of the part that was held out; as many times
            as there are divisions
        part_of: which part each of them is in, from 0, counted over all divisions
        logits: by the name of the answer, (rows, E)
        strengths: what was chosen in each part
        divisions: how many times the pictures were divided
    """

    rows: RowNumbers
    part_of: RowNumbers
    logits: dict[str, Doubles]
    strengths: tuple[float, ...]
    divisions: int


def parts_of(data: Labelled, rows: RowNumbers, seed: int, count: int = FOLDS) -> list[Part]:
    """Divide rows for validation: folds, or one part where there are many; groups stay together.

    Raises `DatasetError` where all rows belong together.
    """
    records = [data.records[row] for row in rows]
    row_of = {record.key: int(row) for record, row in zip(records, rows, strict=True)}
    groups = len({data.groups.leader(record.key) for record in records})
    if groups < 2:
        raise DatasetError(
            f"All {len(records):,} pictures belong together (one group, or copies of one picture), so that "
            "none can be held out. Pictures of two groups or more are needed."
        )
    if len(rows) >= LARGE:
        made = [splits.stratified(records, {splits.VAL: HELD_OUT}, seed, data.groups)[splits.VAL]]
    else:
        found = splits.folds(records, min(count, groups), seed, groups=data.groups)
        made = [part for part in found.values() if part]
    held_out = [np.array(sorted(row_of[record.key] for record in part), dtype=np.int64) for part in made]
    return [(np.setdiff1d(rows, part), part) for part in held_out if 0 < len(part) < len(rows)]


def outer_parts(data: Labelled, seed: int, divisions: int | None = None) -> list[Part]:
    """Divide all pictures for validation, once or several times: the parts of all divisions.

    By default as many times as their number calls for. Raises `DatasetError` where all pictures belong
    together, and where those that are left to learn from are all of one word.
    """
    rows, count = np.arange(len(data.records)), divisions or _divisions(data)
    parts = [part for each in range(count) for part in parts_of(data, rows, seed + each)]
    for learned, held_out in parts:
        if np.count_nonzero(data.targets[learned].sum(axis=0)) < 2:
            raise DatasetError(
                f"Where {data.records[held_out[0]].key} and {len(held_out) - 1:,} more are held out, all "
                f"others are labelled {data.records[learned[0]].target.top!r}: there is nothing to "
                "distinguish. A second word needs pictures of two groups or more, copies not counted."
            )
    return parts


def _divisions(data: Labelled) -> int:
    return DIVISIONS if len(data.records) < FEW else 1


def steps_of(data: Labelled, seed: int) -> int:
    """Return how many times `validate` and `learning_curve` report progress."""
    return len(outer_parts(data, seed)) * (1 + len(SHARES))


def validate(
    data: Labelled, known: Classifier, card: Card, seed: int, divisions: int | None = None
) -> Generator[None, None, OutOfFold]:
    """Predict every picture, or those of the part that is held out, by classifiers that did not see it.

    Yields after each part (`outer_parts`), and returns the answers; those of the new classifier by the name
    `OWN`.
    """
    names = (MOST_FREQUENT, *_simpler(card), OWN)
    logits: dict[str, list[Doubles]] = {name: [] for name in names}
    simple = {name: read(known, card, data.features) for name, read in _simpler(card).items()}
    rows, part_of, strengths = [], [], []
    for number, (learned, held_out) in enumerate(outer_parts(data, seed, divisions)):
        chosen, found = _predict(data, learned, held_out, seed)
        strengths.append(chosen)
        logits[OWN].append(found)
        logits[MOST_FREQUENT].append(_frequencies(data.targets[learned], len(held_out)))
        for name, values in simple.items():
            other = replace(data, features=values, known=())
            logits[name].append(_predict(other, learned, held_out, seed, FEW_STRENGTHS)[1])
        rows.append(held_out)
        part_of.append(np.full(len(held_out), number))
        yield
    return OutOfFold(
        np.concatenate(rows),
        np.concatenate(part_of),
        {name: np.concatenate(each) for name, each in logits.items()},
        tuple(strengths),
        divisions or _divisions(data),
    )


def learning_curve(data: Labelled, seed: int) -> Generator[None, None, list[tuple[float, Doubles]]]:
    """Predict the same pictures by classifiers that learned from shares of the others.

    Yields after each part; returns each share with the answers, (rows, E).
    """
    curve = []
    for share in SHARES:
        logits = []
        for learned, held_out in outer_parts(data, seed):
            fewer = some_rows(data, learned, share, seed)
            logits.append(_predict(data, fewer, held_out, seed)[1])
            yield
        curve.append((share, np.concatenate(logits)))
    return curve


def cross_fitted(found: OutOfFold, targets: Targets, answer: str = OWN) -> Doubles:
    """ScaleEnds an answer's logits of each part by a temperature that was fitted on the other parts.

    Of a single part by one that was fitted on its other half, by turns.
    """
    logits, truth = found.logits[answer], targets[found.rows]
    scaled = np.empty_like(logits)
    parts = found.part_of if found.part_of.max() else np.arange(len(logits)) % 2
    for number in np.unique(parts):
        own = parts == number
        others = ~np.isin(found.rows, found.rows[own])  # another division has the same pictures
        temperature = fit_temperature(logits[others], truth[others]) if others.any() else 1.0
        scaled[own] = logits[own] / temperature
    return scaled


def _predict(
    data: Labelled,
    learned: RowNumbers,
    held_out: RowNumbers,
    seed: int,
    strengths: Sequence[float] = STRENGTHS,
) -> tuple[float, Doubles]:
    """Choose a strength within the rows to learn from, fit at it, and predict the rows held out."""
    strength = best_strength(data, learned, seed, strengths)
    fitted = fit_classifiers(data.features[learned], data.targets[learned], data.known, [strength])
    return strength, next(fitted).logits(data.features[held_out])


def best_strength(
    data: Labelled, rows: RowNumbers, seed: int, strengths: Sequence[float] = STRENGTHS
) -> float:
    """Choose a strength by validation within some rows; the strongest penalty where that cannot be."""
    if len({data.groups.leader(data.records[row].key) for row in rows}) < 2:
        return strengths[0]
    inner = parts_of(data, rows, seed, INNER_FOLDS)
    parts = [part for part in inner if np.count_nonzero(data.targets[part[0]].sum(axis=0)) > 1]
    if not parts:
        return strengths[0]
    return choose_strength(data.features, data.targets, data.known, parts, strengths)


def some_rows(data: Labelled, rows: RowNumbers, share: float, seed: int) -> RowNumbers:
    """Sample a share of rows, each word alike and groups whole, but two words at least."""
    records = [data.records[row] for row in rows]
    row_of = {record.key: int(row) for record, row in zip(records, rows, strict=True)}
    kept = splits.stratified(records, {"rest": 1 - share}, seed, data.groups)[splits.TRAIN]
    found = np.array(sorted(row_of[record.key] for record in kept), dtype=np.int64)
    enough = np.count_nonzero(data.targets[found].sum(axis=0)) > 1
    return found if enough else rows


def _frequencies(targets: Targets, count: int) -> Doubles:
    shares = np.maximum(targets.mean(axis=0), _FEWEST)
    return np.tile(np.log(shares), (count, 1))


def _simpler(card: Card) -> dict[str, FeatureReader]:
    """Features of simpler answers by name, of those that the model's emotions allow."""
    polarity = polarity_weights(card.vocabulary)
    simpler: dict[str, FeatureReader] = {POSITIVE: _positive} if polarity is not None else {}
    return {**simpler, KNOWN: _log_odds}


def _log_odds(known: Classifier, card: Card, features: NDArray[np.floating]) -> Doubles:
    return known.logits(features)


def _positive(known: Classifier, card: Card, features: NDArray[np.floating]) -> Doubles:
    """The log-odds that a picture evokes positive emotions rather than negative ones: (N, 1)."""
    weights = polarity_weights(card.vocabulary)
    assert weights is not None
    both = softmax(known.logits(features) / card.temperature) @ weights  # (N, 2)
    odds: Doubles = np.log(np.maximum(both, _FEWEST))
    return odds[:, :1] - odds[:, 1:]
