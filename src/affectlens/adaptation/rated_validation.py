"""How near learned ratings come to people's on pictures that they were not learned from.

Cross-validation is nested: each fold is predicted by a fit to the others, whose penalty was chosen by folds
of these; pictures that belong together are never on two sides. The same folds measure simpler answers:

    mean               the mean rating of the pictures that are learned from, for every picture
    known emotions     what the model's log-odds of the emotions that it knows give
    start              the rating of that name of the model that it began with, where it has one; not of
                       pictures that this was learned from

Few pictures are divided several times, many once, by the numbers that `validation` has for labels.

Letters: N pictures, F features, E emotions, P pictures that were predicted, as many times as divided.
"""

from collections.abc import Generator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from affectlens.adaptation import validation
from affectlens.adaptation.ridge import INNER_SEED, RatedFeatures, RowIndices, fit_rating, group_folds
from affectlens.adaptation.validation import FOLDS, KNOWN, LARGE, OWN, SHARES
from affectlens.metrics import Doubles

MEAN, START = "mean", "start"

RatedPart = tuple[RowIndices, RowIndices]  # rows to learn from, rows to predict


@dataclass(frozen=True)
class SimplerAnswers:
    """What simpler answers of one rating are read from.

    Attributes:
        log_odds: of the emotions that the model knows, (N, E)
        start: the rating that it predicts already, (N,), NaN of pictures that this was learned from; None of
            a model without this rating
    """

    log_odds: Doubles
    start: Doubles | None


@dataclass(frozen=True)
class RatedOutOfFold:
    """Predictions of one rating for pictures that were not learned from, before they are cut off at its ends.

    Attributes:
        rows: of the pictures, (P,)
        part_of: which part each of them is in, from 0, counted over all divisions, (P,)
        read: by the name of the answer, (P,)
        penalties: what was chosen in each part
        divisions: how many times the pictures were divided
        curve: shares of the pictures to learn from, and what these gave, (P,) each
    """

    rows: RowIndices
    part_of: RowIndices
    read: dict[str, Doubles]
    penalties: tuple[float, ...]
    divisions: int
    curve: tuple[tuple[float, Doubles], ...]

    def mean_of(self, values: Doubles) -> dict[int, float]:
        """Return the mean over divisions of what each picture has, by its row."""
        return {int(row): float(values[self.rows == row].mean()) for row in np.unique(self.rows)}


def divisions_of(pictures: int) -> int:
    """Return how many times so many pictures are divided."""
    return validation.DIVISIONS if pictures < validation.FEW else 1


def rated_parts(groups: NDArray[np.str_], seed: int) -> list[RatedPart]:
    """Divide rated pictures for validation, groups whole: parts of all divisions; one of many."""
    parts = []
    for division in range(divisions_of(len(groups))):
        folds = group_folds(groups, FOLDS, seed + division)
        held_out = np.unique(folds)[: 1 if len(groups) >= LARGE else None]
        parts += [(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in held_out]
    return parts


def rated_steps(groups: NDArray[np.str_]) -> int:
    """Return how many times `validate_rating` yields."""
    parts = 1 if len(groups) >= LARGE else min(FOLDS, len(np.unique(groups)))
    return divisions_of(len(groups)) * parts


def validate_rating(
    data: RatedFeatures, rating: int, simpler: SimplerAnswers, seed: int
) -> Generator[None, None, RatedOutOfFold]:
    """Predict one rating, which all pictures have, by fits that did not see them. Yields after each part."""
    truth = data.values[:, rating]
    emotions = replace(
        data, features=simpler.log_odds, blocks=(simpler.log_odds.shape[1],),
        directions=np.zeros((0, simpler.log_odds.shape[1])),
    )  # fmt: skip
    read: dict[str, list[Doubles]] = {OWN: [], MEAN: [], KNOWN: []}
    fewer: dict[float, list[Doubles]] = {share: [] for share in SHARES}
    rows, part_of, penalties = [], [], []
    for number, (learned, held_out) in enumerate(rated_parts(data.groups, seed)):
        fit = fit_rating(data.rows(learned), rating, seed + INNER_SEED)
        penalties.append(fit.penalty)
        read[OWN].append(fit.read(data.features[held_out]))
        read[MEAN].append(np.full(len(held_out), truth[learned].mean()))
        by_emotions = fit_rating(emotions.rows(learned), rating, seed + INNER_SEED)
        read[KNOWN].append(by_emotions.read(emotions.features[held_out]))
        for share, found in fewer.items():
            some = some_groups(data.groups, learned, share, seed + number)
            line = fit_rating(data.rows(some), rating, seed + INNER_SEED)
            found.append(line.read(data.features[held_out]))
        rows.append(held_out)
        part_of.append(np.full(len(held_out), number))
        yield
    predicted = np.concatenate(rows)
    answers = {name: np.concatenate(each) for name, each in read.items()}
    if simpler.start is not None:
        answers[START] = simpler.start[predicted]
    return RatedOutOfFold(
        predicted,
        np.concatenate(part_of),
        answers,
        tuple(penalties),
        divisions_of(len(data.groups)),
        tuple((share, np.concatenate(found)) for share, found in fewer.items()),
    )


def some_groups(groups: NDArray[np.str_], rows: RowIndices, share: float, seed: int) -> RowIndices:
    """Sample about a share of some rows, groups whole and two at least."""
    names = np.unique(groups[rows])
    order = np.random.default_rng(seed).permutation(names)
    sizes = np.array([np.count_nonzero(groups[rows] == name) for name in order])
    enough = int(np.searchsorted(np.cumsum(sizes), share * len(rows))) + 1
    return rows[np.isin(groups[rows], order[: max(2, enough)])]
