"""Sets of emotions that hold the picture's own with a chosen probability, and what abstaining gains.

A prediction set holds every word whose probability reaches a threshold of its own, found on calibration
pictures so that, of the pictures of each emotion, the wanted share has its emotion in the set. This is split
conformal prediction with the score 1 - p of the true word, calibrated by class. It promises nothing of one
picture, and nothing of pictures unlike those that it was calibrated on.

Sources:
    score       Sadinle, Lei and Wasserman, "Least Ambiguous Set-Valued Classifiers with Bounded Error
                Levels", JASA 114, 2019: by class these sets are the smallest on average, were the
                probabilities true.
    by class    Vovk, Lindsay, Nouretdinov and Gammerman, "Mondrian Confidence Machine", 2003.
    votes       Tibshirani, Foygel Barber, Candes and Ramdas, "Conformal Prediction Under Covariate
                Shift", NeurIPS 2019: pictures of one emotion are all pictures, each weighted by its votes.
    abstaining  Geifman and El-Yaniv, "Selective Classification for Deep Neural Networks", NeurIPS 2017.

Departs from them: nothing is randomised, so that a picture has one set; the most probable word is always in
it, for an empty set helps no one; levels are a grid, and a level between two of them is served by the next
higher. Each of these can make a set larger, never smaller. benchmarks/coverage.py has what this score and its
rivals were measured to give.

Letters: N pictures, E emotions, C levels of coverage, K confidences.
"""

import math
from dataclasses import dataclass
from typing import Any, Self

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from affectlens import metrics
from affectlens.emotions import EmotionDistribution, Vocabulary
from affectlens.errors import AffectLensError, SettingsError
from affectlens.metrics import Doubles
from affectlens.ratings import stricter

LEVELS = tuple(percent / 100 for percent in range(50, 100))  # .50, .51 ... .99
DECIMALS = 6  # of stored thresholds
_ROUNDING = 1e-9  # of sums and of levels, far below the weight of one vote


class BadPredictionSets(AffectLensError):
    """Levels and thresholds that cannot be those of prediction sets."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"These are not prediction sets: {reason}. Fit them again on calibration pictures.")


@dataclass(frozen=True, kw_only=True)
class PredictionSets:
    """A threshold for each word at each level of coverage; a word is in a set where it is as probable.

    They hold for one model's probabilities at one temperature: fit them again where either changes. At a
    level below the model's accuracy a set is little more than the top word, which is right more often.
    Raises `BadPredictionSets` for thresholds that rise with coverage, among others: since they do not, the
    sets of a picture are nested, each within those of every higher coverage.

    Attributes:
        vocabulary: the words
        coverages: levels, rising, within 0..1 (exclusive), (C,)
        thresholds: by word in the vocabulary's order, then by level, each in 0..1, (E, C); a word whose
            threshold is 0 is always in the set
        pictures: by word, how many calibration pictures it had, of which one with votes counts in parts, (E,)
    """

    vocabulary: Vocabulary
    coverages: tuple[float, ...]
    thresholds: tuple[tuple[float, ...], ...]
    pictures: tuple[float, ...]

    def __post_init__(self) -> None:
        for problem in _problems(self):
            raise BadPredictionSets(problem)

    @classmethod
    def fit(cls, probabilities: ArrayLike, targets: ArrayLike, vocabulary: Vocabulary) -> Self:
        """Find thresholds at `LEVELS` from calibration pictures that were not trained on: twice (N, E).

        Of n pictures of a word, the threshold is the probability that ceil((n + 1) level) of them reach
        (given to the word itself), rounded down to `DECIMALS`. A word with fewer than
        level / (1 - level) pictures is always in the set at that level: it takes 1 for .50, 9 for .90 and 99
        for .99. Pictures with votes count for each of their words in parts, and the picture that is to
        be predicted as one: then the promise is of the word that one viewer would choose.
        Raises `NotMeasurable`, and `SettingsError` where the words are not E.
        """
        metrics.squared_error(probabilities, targets)  # checks both
        given, wanted = np.asarray(probabilities, np.float64), np.asarray(targets, np.float64)
        if given.shape[1] != len(vocabulary):
            raise SettingsError(
                f"The probabilities have {given.shape[1]} columns, but {vocabulary.name} has "
                f"{len(vocabulary)} words: {', '.join(vocabulary.words)}. Pass the model's vocabulary."
            )
        columns = zip(given.T, np.maximum(wanted.T, 0), strict=True)
        return cls(
            vocabulary=vocabulary,
            coverages=LEVELS,
            thresholds=tuple(tuple(_thresholds(own, weights).tolist()) for own, weights in columns),
            pictures=tuple(np.maximum(wanted, 0).sum(axis=0).round(DECIMALS).tolist()),
        )

    @classmethod
    def fit_logits(
        cls, logits: ArrayLike, targets: ArrayLike, vocabulary: Vocabulary, temperature: float
    ) -> Self:
        """Fit to all of `inference.predictions.Predictions` at the model's temperature: as a model ships.

        Takes (N, E) twice. Raises as `fit`.
        """
        return cls.fit(metrics.softmax(np.asarray(logits, np.float64) / temperature), targets, vocabulary)

    def of(
        self, distribution: EmotionDistribution, coverage: float, *, unusual: bool = False
    ) -> tuple[str, ...]:
        """Return the words of the set, most probable first; never none, as the most probable is always in it.

        For an `unusual` picture, one unlike those of the calibration, the set is that of the level which
        misses half as often: .90 becomes .95, and what lies above the highest level becomes the highest. It
        holds all words of the usual set, and may hold the same; that it has the coverage on unusual pictures
        is not promised. Raises `SettingsError` for a coverage outside the levels or another vocabulary.

        >>> words = Vocabulary("moods", ("calm", "glad", "sad"))
        >>> sets = PredictionSets(vocabulary=words, coverages=(0.8, 0.9), pictures=(50.0, 50.0, 50.0),
        ...                       thresholds=((0.5, 0.2), (0.4, 0.3), (0.6, 0.1)))
        >>> picture = words.distribution({"calm": 0.3, "glad": 0.6, "sad": 0.1})
        >>> sets.of(picture, 0.8), sets.of(picture, 0.85), sets.of(picture, 0.8, unusual=True)
        (('glad',), ('glad', 'calm', 'sad'), ('glad', 'calm', 'sad'))
        """
        if distribution.vocabulary != self.vocabulary:
            raise SettingsError(
                f"These prediction sets are of {self.vocabulary.name} ({', '.join(self.vocabulary.words)}), "
                f"not of {distribution.vocabulary.name} ({', '.join(distribution.vocabulary.words)}). "
                "Take the sets before the distribution is converted."
            )
        table = np.array([distribution.probabilities])
        marked = self.members(table, coverage, unusual=unusual)[0].tolist()
        within = dict(zip(self.vocabulary.words, marked, strict=True))
        return tuple(word for word, _ in distribution.ranked if within[word])

    def members(
        self, probabilities: ArrayLike, coverage: float, *, unusual: bool = False, keep_top: bool = True
    ) -> NDArray[np.bool_]:
        """Mark the words of each picture's set: (N, E) -> (N, E) of bool. As `of`, for many pictures.

        Without `keep_top` the most probable word has to reach its threshold too, and a set may be empty.
        Raises `SettingsError` for a coverage outside the levels.
        """
        level = self._level(coverage)
        if unusual:
            level = max(level, self._level(min(stricter(coverage), self.coverages[-1])))
        given = np.maximum(np.asarray(probabilities, np.float64), 0)  # a hair below 0 counts as 0
        within: NDArray[np.bool_] = given >= np.array([row[level] for row in self.thresholds])
        if keep_top:
            within[np.arange(len(given)), given.argmax(axis=1)] = True
        return within

    def check(self, coverage: float) -> None:
        """Raise `SettingsError` for a coverage outside the levels."""
        self._level(coverage)

    def _level(self, coverage: float) -> int:
        """Index of the lowest level that is not below a coverage; `SettingsError` where there is none."""
        low, high = self.coverages[0], self.coverages[-1]
        if not low - _ROUNDING <= coverage <= high + _ROUNDING:  # also for NaN
            raise SettingsError(
                f"A coverage of {coverage:g} is not possible: these prediction sets have {low:g} to {high:g}."
            )
        return int(np.searchsorted(np.array(self.coverages), coverage - _ROUNDING))

    def to_json(self) -> dict[str, Any]:
        """Return plain data that can be written as JSON; `from_json` reads it."""
        words = self.vocabulary.words
        return {
            "vocabulary": self.vocabulary.name,
            "coverages": list(self.coverages),
            "thresholds": {word: list(row) for word, row in zip(words, self.thresholds, strict=True)},
            "pictures": dict(zip(words, self.pictures, strict=True)),
        }

    @classmethod
    def from_json(cls, data: Any, vocabulary: Vocabulary) -> Self:
        """Read what `to_json` gave, for a model of this vocabulary; keys of later versions are ignored.

        Words are found by name, whatever their order. Raises `BadPredictionSets` for anything else.
        """
        try:
            stored = msgspec.convert(data, _StoredPredictionSets)
        except ValueError as error:
            raise BadPredictionSets(str(error)) from None
        for words in (stored.thresholds, stored.pictures):
            if stored.vocabulary != vocabulary.name or set(words) != set(vocabulary.words):
                raise BadPredictionSets(
                    f"they are of {stored.vocabulary} ({', '.join(words)}) and not of {vocabulary.name} "
                    f"({', '.join(vocabulary.words)})"
                )
        return cls(
            vocabulary=vocabulary,
            coverages=stored.coverages,
            thresholds=tuple(stored.thresholds[word] for word in vocabulary.words),
            pictures=tuple(stored.pictures[word] for word in vocabulary.words),
        )


class _StoredPredictionSets(msgspec.Struct):
    vocabulary: str
    coverages: tuple[float, ...]
    thresholds: dict[str, tuple[float, ...]]
    pictures: dict[str, float]


def _problems(sets: PredictionSets) -> list[str]:
    """What keeps levels and thresholds from being those of prediction sets."""
    levels, size = np.array(sets.coverages, np.float64), len(sets.vocabulary)
    if not len(levels) or not ((levels > 0) & (levels < 1)).all() or (np.diff(levels) <= 0).any():
        return ["levels of coverage must lie between 0 and 1 and rise"]
    if len(sets.thresholds) != size or any(len(row) != len(levels) for row in sets.thresholds):
        return [f"each of {size} words must have {len(levels)} thresholds, one a level"]
    thresholds, pictures = np.array(sets.thresholds, np.float64), np.array(sets.pictures, np.float64)
    found = []
    if not ((thresholds >= 0) & (thresholds <= 1)).all():
        found.append("thresholds must lie between 0 and 1")
    if (np.diff(thresholds, axis=1) > 0).any():
        found.append("thresholds must not rise with coverage")
    if len(pictures) != size or not ((pictures >= 0) & (pictures < math.inf)).all():
        found.append(f"there must be {size} numbers of pictures, each 0 or more")
    return found


def _thresholds(own: Doubles, weights: Doubles) -> Doubles:
    """Thresholds of one word: its probability and its weight for each picture, twice (N,) -> (C,).

    The picture that is to be predicted is among those that are counted, with weight 1, the most that one can
    have, and as the least probable: so its level is reached whatever its probability is.
    """
    order = np.argsort(-own, kind="stable")
    reached = np.cumsum(weights[order])
    needed = np.array(LEVELS) * (weights.sum() + 1)
    index = np.searchsorted(reached, needed - _ROUNDING)
    found = np.append(np.maximum(own[order], 0), 0.0)[index]
    found = np.minimum(found, 1)
    # Down, so that rounding takes no word from a set; the product itself may be rounded up.
    floored: Doubles = np.minimum(np.floor(found * 10**DECIMALS) / 10**DECIMALS, found)
    return floored


@dataclass(frozen=True, kw_only=True)
class Abstention:
    """What abstaining below a confidence leaves: `answered` of all pictures, of which `errors` are wrong.

    Both are shares in 0..1; `errors` is None where nothing is answered.
    """

    min_confidence: float
    answered: float
    errors: float | None


@dataclass(frozen=True, kw_only=True)
class RiskCoverage:
    """Errors among the answers that are left when those below a confidence are withheld.

    Attributes:
        confidences: top probabilities that occur, falling, (K,)
        answered: share of pictures with that confidence or more, (K,)
        errors: share of these that are wrong, (K,)
        area: mean error over all numbers of answered pictures (AURC), 0 is best
    """

    confidences: tuple[float, ...]
    answered: tuple[float, ...]
    errors: tuple[float, ...]
    area: float

    def at(self, min_confidence: float) -> Abstention:
        """Return what is left when answers below a confidence are withheld. `SettingsError` outside 0..1."""
        if not 0 <= min_confidence <= 1:
            raise SettingsError(f"A confidence lies between 0 and 1, and {min_confidence:g} does not.")
        count = int(np.searchsorted(-np.array(self.confidences), -min_confidence, side="right"))
        if not count:
            return Abstention(min_confidence=min_confidence, answered=0.0, errors=None)
        return Abstention(
            min_confidence=min_confidence, answered=self.answered[count - 1], errors=self.errors[count - 1]
        )


def risk_coverage(probabilities: ArrayLike, targets: ArrayLike) -> RiskCoverage:
    """Measure what abstaining gains, from the top probability as confidence: twice (N, E).

    A prediction is an error as in `metrics.correct`. Equally confident pictures are answered together; in the
    area each counts as their mean error, what a random order of them has on average. Raises `NotMeasurable`.

    >>> found = risk_coverage([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], [[1, 0], [0, 1], [0, 1]])
    >>> found.answered, found.errors, found.at(0.7).errors
    ((0.3333333333333333, 0.6666666666666666, 1.0), (0.0, 0.0, 0.3333333333333333), 0.0)
    """
    metrics.squared_error(probabilities, targets)  # checks both
    wrong = 1 - metrics.correct(probabilities, targets)
    rising, index, counts = np.unique(
        np.asarray(probabilities, np.float64).max(axis=1), return_inverse=True, return_counts=True
    )
    errors, counts = np.bincount(index.ravel(), weights=wrong)[::-1], counts[::-1]
    total = counts.cumsum()
    expected = np.repeat(errors / counts, counts).cumsum() / np.arange(1, len(wrong) + 1)
    return RiskCoverage(
        confidences=tuple(rising[::-1].tolist()),
        answered=tuple((total / len(wrong)).tolist()),
        errors=tuple((errors.cumsum() / total).tolist()),
        area=float(expected.mean()),
    )
