"""What a model's sets of emotions are worth on labelled pictures: coverage and size.

Letters: N pictures, E emotions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from affectlens.inference.coverage import PredictionSets

COVERAGES = (0.8, 0.9, 0.95)


@dataclass(frozen=True, kw_only=True)
class SetScores:
    """How sets of one coverage fare. A picture with votes counts for each of its words in parts.

    Attributes:
        wanted: the coverage that was requested
        coverage: share of the pictures whose emotion is in their set
        by_emotion: the same of the pictures of each emotion, None for one without pictures
        size: words in a set, on average
        alone: share of the sets that are one word
    """

    wanted: float
    coverage: float
    by_emotion: Mapping[str, float | None]
    size: float
    alone: float

    @property
    def worst(self) -> tuple[str, float]:
        """The emotion whose pictures are covered least, and how often they are."""
        known = {word: share for word, share in self.by_emotion.items() if share is not None}
        return min(known.items(), key=lambda pair: pair[1])

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def score_sets(
    sets: PredictionSets,
    probabilities: ArrayLike,
    targets: ArrayLike,
    coverages: Sequence[float] = COVERAGES,
) -> tuple[SetScores, ...]:
    """Measure the sets of each coverage: probabilities and targets, (N, E) each.

    Raises `SettingsError` for a coverage that the sets do not have.
    """
    return tuple(
        score_members(sets.members(probabilities, coverage), targets, sets.vocabulary.words, coverage)
        for coverage in coverages
    )


def score_members(
    members: NDArray[np.bool_], targets: ArrayLike, words: Sequence[str], wanted: float
) -> SetScores:
    """Measure sets of a wanted coverage that are there: which words are in them, and targets, (N, E) each."""
    labels = np.asarray(targets, dtype=np.float64)
    hits, total = (members * labels).sum(axis=0), labels.sum(axis=0)
    by_emotion = {
        word: float(hit / count) if count else None
        for word, hit, count in zip(words, hits, total, strict=True)
    }
    sizes = members.sum(axis=1)
    return SetScores(
        wanted=wanted,
        coverage=float(hits.sum() / total.sum()),
        by_emotion=by_emotion,
        size=float(sizes.mean()),
        alone=float((sizes == 1).mean()),
    )


def sets_table(scores: Sequence[SetScores]) -> list[tuple[str, ...]]:
    """List sets by coverage, below the header."""
    rows: list[tuple[str, ...]] = [("sets of emotions", "hold it", "worst emotion", "words", "one word")]
    for each in scores:
        word, least = each.worst
        shares = (each.coverage, least, each.alone)
        covered, worst, alone = (f"{100 * share:.1f} %" for share in shares)
        rows.append((f"{100 * each.wanted:g} %", covered, f"{worst} ({word})", f"{each.size:.2f}", alone))
    return rows
