"""What own pictures show to be wrong of a model's calibration, and what they put right.

Three parts, each changed only where that is shown to help, by pictures that it was not fitted to:
    temperature    of the probabilities; what counts is their negative log-likelihood
    sets           the thresholds of sets of emotions, which hold for one temperature
    a rating       the line by which its readings become people's ratings, and the width of its intervals

Helping is measured by cross-validation that is repeated (Kohavi, "A Study of Cross-Validation and Bootstrap
for Accuracy Estimation and Model Selection", IJCAI 1995): groups are in one fold, and gains are compared
picture by picture, with intervals by a bootstrap over groups. Answers that do not follow the labels at all
are not calibrated: a temperature that makes every answer alike would lower the likelihood's loss on labels
that are noise, and help no one. What one cannot decide by a mean, whether coverage is missed, is decided by
exact binomial tests, corrected for their number (Bonferroni).

Letters: N pictures, E emotions, R resamples, K repetitions.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from affectlens.adaptation.calibration_report import Change, PartReport
from affectlens.data.groups import Groups
from affectlens.data.records import Record
from affectlens.data.splits import folds
from affectlens.emotions import Vocabulary
from affectlens.evaluation.calibration import COLDEST, HOTTEST, fit_temperature
from affectlens.evaluation.resampling import RESAMPLES, Measured, times_sampled_by_groups
from affectlens.inference.coverage import PredictionSets
from affectlens.metrics import Doubles, bootstrap_interval, correct, cross_entropy, softmax
from affectlens.ratings import COVERAGE, RatingScale, conformal_half_widths

FEWEST = 50  # pictures
FEWEST_GROUPS = 20  # of pictures that belong together, or single ones
# Pictures of each emotion, so that of four fifths of them sets of coverage .95 need not hold it always.
FEWEST_OF_WORD = 25
REPEATS, FOLDS = 5, 5
COVERAGES = (0.8, 0.9, 0.95)  # that are reported; COVERAGE decides, or the nearest that a model has
LEVEL = 0.95  # of intervals
# Of the interval that shows that answers follow the labels at all; what does is far from its end.
FOLLOWING = 0.998
ERRORS = 1 - LEVEL  # of all tests of a part together
BINS = 15
_AT_BOUND = 1.01
_ERROR = "mean absolute error"
_RIGHT = (
    "another line is not shown to help on pictures that it was not fitted to, nor do they show that its "
    "intervals miss their coverage"
)
_CELLS = 40_000_000  # of a table of resamples: 320 MB

Folds = NDArray[np.int64]


@dataclass(frozen=True)
class DividedPictures:
    """How pictures are divided and resampled.

    Attributes:
        folds: the fold of each, from 0, for each repetition, (K, N)
        groups: the name of the group of each, its own where it is alone, N
        seed: of the bootstrap
    """

    folds: Folds
    groups: Sequence[str]
    seed: int = 0

    def __len__(self) -> int:
        return len(self.groups)

    def times(self) -> Doubles:
        """Return how often each resample has each picture, after the pictures themselves: (N, 1 + R)."""
        resamples = max(200, min(RESAMPLES, _CELLS // max(1, len(self))))
        sampled = times_sampled_by_groups(self.groups, resamples, self.seed)
        return np.concatenate([np.ones((len(self), 1)), sampled], axis=1)

    def some(self, rows: NDArray[np.int64]) -> "DividedPictures":
        """Return a part of the pictures."""
        return DividedPictures(self.folds[:, rows], [self.groups[row] for row in rows], self.seed)

    @property
    def independent(self) -> float:
        """Which part of the pictures would be as certain, were they not in groups: groups by pictures."""
        return len(set(self.groups)) / len(self)

    def too_few(self) -> str:
        """Return why nothing can be found from so few, "" where they are enough."""
        groups = len(set(self.groups))
        if len(self) < FEWEST:
            of = "1 picture is" if len(self) == 1 else f"{len(self)} pictures are"
            return f"{of} too few: it takes {FEWEST}"
        if groups < FEWEST_GROUPS:
            return (
                f"{len(self)} pictures in {groups} groups of those that belong together are too few: it "
                f"takes {FEWEST_GROUPS} groups"
            )
        return ""


def divided(records: Sequence[Record], groups: Groups, seed: int) -> DividedPictures:
    """Divide pictures into folds several times, each emotion evenly, groups in one fold."""
    index = {record.key: row for row, record in enumerate(records)}
    names = [groups.leader(record.key) for record in records]
    made = np.zeros((REPEATS, len(records)), dtype=np.int64)
    for repeat in range(REPEATS):
        parts = folds(records, FOLDS, seed + repeat, groups=groups).values()
        for number, part in enumerate(parts):
            made[repeat, [index[record.key] for record in part]] = number
    return DividedPictures(made, names, seed)


# ----------------------------------------------------------------------------------------------- emotions


@dataclass(frozen=True)
class EmotionAnswers:
    """What a model answers, logits before its temperature, and what is true: twice (N, E)."""

    logits: Doubles
    targets: Doubles
    vocabulary: Vocabulary


@dataclass(frozen=True)
class EmotionFit:
    """A temperature and sets, which may be those that the model had, and what was measured of them.

    Attributes:
        crossed: logits of each picture, divided by the temperature that was fitted without it, (N, E)
    """

    temperature: float
    sets: PredictionSets | None
    parts: tuple[PartReport, PartReport]
    crossed: Doubles


def refit_emotions(
    answers: EmotionAnswers,
    temperature: float,
    sets: PredictionSets | None,
    pictures: DividedPictures,
    progress: Callable[[int], None] = lambda done: None,
) -> EmotionFit:
    """Fit temperature and sets to own pictures, and keep what helps. `progress` counts `REPEATS` steps."""
    few = pictures.too_few() or _unfollowed(answers, pictures)
    if few:
        progress(REPEATS)
        parts = PartReport("temperature", len(pictures), few), PartReport("sets", len(pictures), few)
        return EmotionFit(temperature, sets, parts, answers.logits / temperature)
    times = pictures.times()
    crossed = np.stack([_crossed_temperatures(answers, each) for each in pictures.folds])  # (K, N)
    fitted = fit_temperature(answers.logits, answers.targets)
    part = _temperature_part(answers, temperature, fitted, crossed, times)
    if not part.changed:
        fitted, crossed = temperature, np.full_like(crossed, temperature)
    of_sets, kept = _refit_sets(answers, (temperature, fitted), sets, crossed, pictures, times, progress)
    return EmotionFit(fitted, kept, (part, of_sets), answers.logits / crossed[0][:, None])


def _unfollowed(answers: EmotionAnswers, pictures: DividedPictures) -> str:
    """Return why answers cannot be calibrated that have nothing to do with the labels; "" where they have.

    A logit is higher for pictures with the label than for all pictures, on average, however frequent labels
    are.
    """
    centred = answers.logits - answers.logits.mean(axis=1, keepdims=True)
    frequent = answers.targets.mean(axis=0)
    products = ((answers.targets - frequent) * centred).sum(axis=1)
    if _mean_of(products, pictures.times(), FOLLOWING).low > 0:
        return ""
    return "its answers are not shown to follow these labels, which no calibration would change"


def _crossed_temperatures(answers: EmotionAnswers, fold_of: NDArray[np.int64]) -> Doubles:
    """Return for each picture the temperature that was fitted to the other folds: (N,)."""
    found = np.ones(len(fold_of))
    for number in np.unique(fold_of):
        own = fold_of == number
        found[own] = fit_temperature(answers.logits[~own], answers.targets[~own])
    return found


def _temperature_part(
    answers: EmotionAnswers, before: float, fitted: float, crossed: Doubles, times: Doubles
) -> PartReport:
    """Compare the temperature of the card with those that were fitted without each picture."""
    logits, targets = answers.logits, answers.targets
    old = cross_entropy(logits / before, targets)
    new = np.mean([cross_entropy(logits / each[:, None], targets) for each in crossed], axis=0)
    gain = _mean_of(old - new, times)
    likelihood = Change(_mean_of(old, times), _mean_of(new, times), gain)
    were = _calibration_errors(softmax(logits / before), targets, times)
    are = np.mean(
        [_calibration_errors(softmax(logits / each[:, None]), targets, times) for each in crossed], axis=0
    )
    reason = ""
    if not COLDEST * _AT_BOUND < fitted < HOTTEST / _AT_BOUND:
        reason = "no temperature is best: the likelihood goes on rising to the end of the range"
    elif not gain.low > 0:
        reason = "another temperature is not shown to help on pictures that it was not fitted to"
    return PartReport(
        "temperature", len(logits), reason,
        {
            "negative log-likelihood": likelihood,
            "expected calibration error": Change(
                _measured(_unbiased(were)), _measured(_unbiased(are)), _measured(_unbiased(were - are))
            ),
        },
        {"temperature": (before, fitted)},
    )  # fmt: skip


def _calibration_errors(probabilities: Doubles, targets: Doubles, times: Doubles) -> Doubles:
    """Return the expected calibration error of all pictures and of each resample: (1 + R,)."""
    confidence = probabilities.max(axis=1)
    index = np.searchsorted(np.arange(1, BINS) / BINS, confidence)
    gaps = np.zeros((BINS, len(confidence)))
    gaps[index, np.arange(len(confidence))] = confidence - correct(probabilities, targets)
    errors: Doubles = np.abs(gaps @ times).sum(axis=0) / times.sum(axis=0)
    return errors


# --------------------------------------------------------------------------------------------------- sets


@dataclass(frozen=True)
class _Marked:
    """Which words sets hold, by coverage, and which they hold by their thresholds alone.

    Attributes:
        words: by coverage, the part of the repetitions in which a word is in the set of a picture, (N, E)
        reached: words that reach their threshold, at the coverage that decides, likewise
    """

    words: dict[float, Doubles]
    reached: Doubles


def _refit_sets(
    answers: EmotionAnswers,
    temperatures: tuple[float, float],
    sets: PredictionSets | None,
    crossed: Doubles,
    pictures: DividedPictures,
    times: Doubles,
    progress: Callable[[int], None],
) -> tuple[PartReport, PredictionSets | None]:
    """Fit sets anew where that helps; where the temperature alone changed, bring their thresholds to it."""
    before, after = temperatures
    few = _too_few_of_a_word(answers)
    if few and sets is None:
        progress(REPEATS)
        return PartReport("sets", len(pictures), few), None
    old = softmax(answers.logits / before)
    level = COVERAGE if sets is None else _nearest(COVERAGE, sets.coverages)
    were = None if sets is None else _marked([(sets, np.arange(len(old)))], old, level)
    carried = before != after

    def measured(make: Callable[[NDArray[np.int64], float], PredictionSets]) -> _Marked:
        found = []
        for repeat, fold_of in enumerate(pictures.folds):
            pairs = []
            for number in np.unique(fold_of):
                own = np.flatnonzero(fold_of == number)
                pairs.append((make(np.flatnonzero(fold_of != number), crossed[repeat, own[0]]), own))
            found.append(_marked(pairs, softmax(answers.logits / crossed[repeat][:, None]), level))
        return _mean_marked(found)

    def fitted(rows: NDArray[np.int64], temperature: float) -> PredictionSets:
        logits, targets = answers.logits[rows], answers.targets[rows]
        return PredictionSets.fit_logits(logits, targets, answers.vocabulary, temperature)

    def brought(rows: NDArray[np.int64], temperature: float) -> PredictionSets:
        assert sets is not None, "there are thresholds to bring to another temperature"
        return carried_sets(sets, old[rows], softmax(answers.logits[rows] / temperature))

    are = None if few else measured(fitted)
    progress(REPEATS)
    every = np.arange(len(old))
    reason = few or ("" if were is None else _no_reason(were, are, answers, pictures, level, carried))
    if not reason:
        assert are is not None, "sets are fitted where there are pictures enough"
        return _sets_part(answers, were, are, times, "", pictures), fitted(every, after)
    if carried:
        part = _sets_part(answers, were, measured(brought), times, reason, pictures)
        return replace(part, brought=True), brought(every, after)
    return _sets_part(answers, were, are, times, reason, pictures), sets


def carried_sets(sets: PredictionSets, before: Doubles, after: Doubles) -> PredictionSets:
    """Bring thresholds to other probabilities of the same pictures, so that no word leaves its set: (N, E).

    The threshold of a word becomes the least probability that a picture now has which reached the former one.
    """
    rows = []
    for word, thresholds in enumerate(sets.thresholds):
        found, least = [], float(after[:, word].max(initial=0.0))
        for threshold in thresholds:
            reached = before[:, word] >= threshold
            least = min(least, float(after[reached, word].min(initial=least)))
            # None reaches it where thresholds are high; it must not rise above what it was.
            found.append(math.floor((least if reached.any() else min(least, threshold)) * 1e6) / 1e6)
        rows.append(tuple(np.minimum.accumulate(found).tolist()))
    return PredictionSets(
        vocabulary=sets.vocabulary, coverages=sets.coverages, thresholds=tuple(rows), pictures=sets.pictures
    )


def _too_few_of_a_word(answers: EmotionAnswers) -> str:
    counts = dict(zip(answers.vocabulary.words, answers.targets.sum(axis=0).tolist(), strict=True))
    fewest = min(counts, key=lambda word: counts[word])
    if counts[fewest] >= FEWEST_OF_WORD:
        return ""
    return f"{counts[fewest]:.0f} pictures of {fewest} are too few: it takes {FEWEST_OF_WORD} of each emotion"


def _nearest(coverage: float, known: Sequence[float]) -> float:
    """Return a coverage, or the end of those that are known where it is not among them."""
    return float(np.clip(coverage, known[0], known[-1]))


def _marked(
    pairs: Sequence[tuple[PredictionSets, NDArray[np.int64]]], probabilities: Doubles, level: float
) -> _Marked:
    """Mark the words of sets, each of its own pictures, by their numbers; `level` is what decides."""
    words = {coverage: np.zeros(probabilities.shape) for coverage in COVERAGES}
    reached = np.zeros(probabilities.shape)
    for sets, own in pairs:
        for coverage, table in words.items():
            table[own] = sets.members(probabilities[own], _nearest(coverage, sets.coverages))
        reached[own] = sets.members(probabilities[own], _nearest(level, sets.coverages), keep_top=False)
    return _Marked(words, reached)


def _mean_marked(several: Sequence[_Marked]) -> _Marked:
    words = {coverage: np.mean([each.words[coverage] for each in several], axis=0) for coverage in COVERAGES}
    return _Marked(words, np.mean([each.reached for each in several], axis=0))


def _no_reason(
    were: _Marked,
    are: _Marked | None,
    answers: EmotionAnswers,
    pictures: DividedPictures,
    level: float,
    carried: bool,
) -> str:
    """Return why sets stay, "" where they are to be fitted anew: they miss their coverage, or do so less."""
    targets, totals = answers.targets, answers.targets.sum(axis=0)
    former = (were.reached * targets).sum(axis=0) / totals
    assert are is not None, "sets are fitted where there are pictures enough"
    now = (are.reached * targets).sum(axis=0) / totals
    if not np.abs(now - level).mean() < np.abs(former - level).mean():
        return "other thresholds come no closer to their coverage on pictures that they were not fitted to"
    counts = totals * pictures.independent
    chances = [chance_of(c * n, n, level) for c, n in zip(former, counts, strict=True)]
    if carried or min(chances) * len(chances) < ERRORS:
        return ""
    return "these pictures do not show that sets miss their coverage"


def _sets_part(
    answers: EmotionAnswers,
    were: _Marked | None,
    are: _Marked | None,
    times: Doubles,
    reason: str,
    pictures: DividedPictures,
) -> PartReport:
    """Report coverage, of all pictures and of the worst emotion, and how large sets are."""
    changes = {}
    for coverage in COVERAGES:
        former = None if were is None else _coverages(were.words[coverage], answers.targets, times)
        now = None if are is None else _coverages(are.words[coverage], answers.targets, times)
        for name in ("coverage", "worst emotion", "words"):
            changes[f"{name} at {coverage:g}"] = Change(
                None if former is None else former[name], None if now is None else now[name]
            )
    return PartReport("sets", len(pictures), reason, changes, added=were is None)


def _coverages(words: Doubles, targets: Doubles, times: Doubles) -> dict[str, Measured]:
    """Measure sets: coverage of all pictures, of the emotion with the least of it, and words in a set."""
    held = (words * targets).T @ times  # (E, 1 + R)
    totals = targets.T @ times
    with np.errstate(invalid="ignore", divide="ignore"):
        by_word = np.where(totals > 0, held / totals, np.nan)
    return {
        "coverage": _measured(held.sum(axis=0) / totals.sum(axis=0)),
        "worst emotion": _measured(by_word[np.nanargmin(by_word[:, 0])]),
        "words": _mean_of(words.sum(axis=1), times),
    }


# ------------------------------------------------------------------------------------------------ ratings


@dataclass(frozen=True)
class RatingFit:
    """A line, and a scale with its intervals, which may be those that the model had, and what was measured.

    Ratings are `factor` times the readings, and `offset`.
    """

    factor: float
    offset: float
    scale: RatingScale
    part: PartReport


def refit_rating(scale: RatingScale, read: Doubles, rated: Doubles, pictures: DividedPictures) -> RatingFit:
    """Fit line and intervals of a rating, (N,) read and (N,) rated by people; keep what helps."""
    few = pictures.too_few()
    if not few:
        products = (read - read.mean()) * (rated - rated.mean())
        if not _mean_of(products, pictures.times(), FOLLOWING).low > 0:
            few = "its readings are not shown to follow these ratings, which no line would change"
    if few:
        return RatingFit(1.0, 0.0, scale, PartReport(scale.name, len(read), few))
    times = pictures.times()
    crossed = np.stack([_crossed_lines(read, rated, each) for each in pictures.folds])  # (K, N)
    ends = (scale.low, scale.high)
    old = np.abs(np.clip(read, *ends) - rated)
    new = np.abs(np.clip(crossed, *ends) - rated).mean(axis=0)
    gain = _mean_of(old - new, times)
    error = Change(_mean_of(old, times), _mean_of(new, times), gain)
    factor, offset = _line(read, rated)
    if not (gain.low > 0 and factor > 0):
        factor, offset, crossed = 1.0, 0.0, np.stack([read] * len(pictures.folds))
    return _with_intervals(scale, rated - read, rated - crossed, (factor, offset), error, pictures, times)


def _with_intervals(
    scale: RatingScale,
    former: Doubles,
    errors: Doubles,
    line: tuple[float, float],
    error: Change,
    pictures: DividedPictures,
    times: Doubles,
) -> RatingFit:
    """Fit intervals to errors, (K, N), where the line changed or the former ones, of (N,), miss coverage."""
    level = _nearest(COVERAGE, scale.coverages)
    half = scale.half_width(level)
    held = (np.abs(former) <= half).astype(np.float64)
    widths = [
        _crossed_widths(each, fold_of, level) for each, fold_of in zip(errors, pictures.folds, strict=True)
    ]
    now = np.mean([np.abs(each) <= width for each, width in zip(errors, widths, strict=True)], axis=0)
    count = len(former) * pictures.independent
    misses = chance_of(held.mean() * count, count, level) < ERRORS
    closer = abs(now.mean() - level) < abs(held.mean() - level)
    changes = {
        f"coverage at {level:g}": Change(_mean_of(held, times), _mean_of(now, times)),
        f"width at {level:g}": Change(
            Measured(2 * half, 2 * half, 2 * half), _mean_of(2 * np.mean(widths, axis=0), times)
        ),
    }
    if line != (1.0, 0.0):
        values = {"factor": (1.0, line[0]), "offset": (0.0, line[1])}
        changes = {_ERROR: error, **changes}
        part = PartReport(scale.name, len(former), "", changes, values)
    elif misses and closer:
        part = PartReport(f"intervals of {scale.name}", len(former), "", changes)
    else:
        return RatingFit(
            *line, scale, PartReport(scale.name, len(former), _RIGHT, {_ERROR: error, **changes})
        )
    return RatingFit(*line, _with_widths(scale, errors[0]), part)


def _with_widths(scale: RatingScale, errors: Doubles) -> RatingScale:
    """Return a scale with the intervals of errors, (N,), at those coverages that N is enough for."""
    possible = [each for each in scale.coverages if math.ceil((len(errors) + 1) * each) <= len(errors)]
    widths = conformal_half_widths(errors, possible)
    smallest = np.nextafter(0.0, 1.0)
    return RatingScale(
        name=scale.name, low=scale.low, high=scale.high, coverages=tuple(possible),
        half_widths=tuple(max(smallest, width) for width in widths),
    )  # fmt: skip


def _line(read: Doubles, rated: Doubles) -> tuple[float, float]:
    """Fit a line by least squares: factor and offset; a factor of 0 where all readings are the same."""
    centred = read - read.mean()
    factor = float(centred @ (rated - rated.mean()) / max(float(centred @ centred), 1e-12))
    return factor, float(rated.mean() - factor * read.mean())


def _crossed_lines(read: Doubles, rated: Doubles, fold_of: NDArray[np.int64]) -> Doubles:
    """Return each rating by the line that was fitted to the other folds: (N,)."""
    found = np.zeros(len(read))
    for number in np.unique(fold_of):
        own = fold_of == number
        factor, offset = _line(read[~own], rated[~own])
        found[own] = factor * read[own] + offset
    return found


def _crossed_widths(errors: Doubles, fold_of: NDArray[np.int64], level: float) -> Doubles:
    """Return for each picture half the width of the interval that the errors of the other folds give."""
    found = np.zeros(len(errors))
    for number in np.unique(fold_of):
        own = fold_of == number
        found[own] = conformal_half_widths(errors[~own], [level])[0]
    return found


# ---------------------------------------------------------------------------------------------- intervals


def chance_of(held: float, count: float, coverage: float) -> float:
    """Return how likely a count as far off as `held` of `count` is, were the coverage right: two-sided.

    Exact for whole numbers (Clopper and Pearson, Biometrika 26, 1934); others are rounded towards what is
    expected.

    >>> round(chance_of(8, 10, 0.9), 3), round(chance_of(50, 100, 0.9), 3)
    (0.528, 0.0)
    """
    number = max(1, math.floor(count + 1e-9))
    share = min(1.0, held / count) if count else coverage
    near = math.ceil(share * number - 1e-9) if share < coverage else math.floor(share * number + 1e-9)
    logs = [
        math.lgamma(number + 1) - math.lgamma(k + 1) - math.lgamma(number - k + 1)
        + k * math.log(coverage) + (number - k) * math.log1p(-coverage)
        for k in range(number + 1)
    ]  # fmt: skip
    chances = np.exp(logs)
    return float(min(1.0, 2 * min(chances[: near + 1].sum(), chances[near:].sum())))


def _mean_of(values: Doubles, times: Doubles, level: float = LEVEL) -> Measured:
    """Return the mean of values of pictures, (N,), with its interval."""
    return _measured(values @ times / times.sum(axis=0), level)


def _unbiased(values: Doubles) -> Doubles:
    """Shift a figure of resamples to have that of all pictures as its mean: (1 + R,) -> (1 + R,).

    A sum of absolute errors is larger in resamples, which have chance twice.
    """
    shifted: Doubles = values - (values[1:].mean() - values[0])
    shifted[0] = values[0]
    return shifted


def _measured(values: Doubles, level: float = LEVEL) -> Measured:
    """Return a figure with its interval, from that of all pictures and those of resamples: (1 + R,)."""
    tails = ((1 - level) / 2, (1 + level) / 2)
    return Measured(float(values[0]), *bootstrap_interval(values[1:], tails))
