"""Everything that is reported about a model on one set of pictures, as plain data with intervals.

Intervals are percentiles of a bootstrap over pictures: Efron and Tibshirani, "An Introduction to the
Bootstrap", 1993, chapter 13. They show how far the figures depend on which pictures were sampled; not
how far they depend on the training run. The calibration error has none: a resample adds noise to
every bin and an absolute gap grows with noise, so for a well calibrated model whole intervals lie
above the estimate.

Letters: N pictures, E emotions, K cells, R resamples, M metrics.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from affectlens import metrics
from affectlens.emotions import POLARITY, NoConversion, Vocabulary, convert
from affectlens.errors import AffectLensError, SettingsError
from affectlens.evaluation.resampling import confusions, times_sampled
from affectlens.metrics import Doubles

CERTAIN = 1 - 1e-6  # a target with a weight above this is a single label
_NOT_KNOWN = ("across_polarity", None)
SAMPLES_AT_ONCE = 2**21  # bounds the memory of the bootstrap to some 100 MB


class BadScores(AffectLensError):
    """Data that are not scores: a figure is missing or of the wrong type."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"These data are not scores: {reason}. Evaluate the model again to get them.")


class VocabularySizeDiffers(metrics.NotMeasurable):
    """Predictions with more or fewer columns than the vocabulary has words."""

    def __init__(self, columns: int, vocabulary: Vocabulary) -> None:
        super().__init__(
            f"The predictions have {columns} columns but {vocabulary.name} has {len(vocabulary)} words: "
            f"{', '.join(vocabulary.words)}. Pass the vocabulary that the model was trained on."
        )


@dataclass(frozen=True, kw_only=True)
class EmotionScores:
    """One emotion's figures, 0..1 or None where undefined, and its number of pictures.

    `support` is a whole number unless targets have a shared top. See `metrics.per_class`.
    """

    precision: float | None
    recall: float | None
    f1: float | None
    support: float


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Counts of pictures: a row for each true emotion, a column for each predicted one.

    `labels` names both, in order; it stands here so that no one has to guess an axis.
    """

    labels: tuple[str, ...]
    rows: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        size = len(self.labels)
        if len(self.rows) != size or any(len(row) != size for row in self.rows):
            raise ValueError(f"a confusion of {size} labels must have {size} rows of {size} counts each")


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """How intervals were made: number of resamples (0 for none), seed, level, and whether groups of pictures
    were sampled instead of single ones."""

    resamples: int
    seed: int
    level: float = 0.95
    groups: bool = False


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What `score` measured. Metrics are defined in `affectlens.metrics`.

    `count` pictures were measured and `unreadable` ones could not be; of the measured, `shared_top`
    have targets with more than one top word. Probabilities were taken at `temperature`, or came as they are
    where it is None.
    `polarity_accuracy` is over the `polarity_count` pictures whose target leans either way, and None
    where the vocabulary has no polarity. `across_polarity` is the share of these whose likeliest emotion is
    of the other polarity: errors apart from those among emotions that are alike; None also in scores of
    earlier versions. `label_distribution` is None for single labels.
    `intervals` gives (low, high) by metric.
    """

    vocabulary: str
    words: tuple[str, ...]
    count: int
    unreadable: int
    shared_top: int
    temperature: float | None
    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    negative_log_likelihood: float
    expected_calibration_error: float
    brier: float
    polarity_accuracy: float | None
    polarity_count: int
    label_distribution: Mapping[str, float] | None
    per_emotion: Mapping[str, EmotionScores]
    confusion: Confusion
    intervals: Mapping[str, tuple[float, float]]
    bootstrap: Bootstrap
    across_polarity: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain data that can be written as JSON, without NaN; `from_json` reads it."""
        data = {name: value for name, value in asdict(self).items() if (name, value) != _NOT_KNOWN}
        data["words"] = list(self.words)
        if not self.bootstrap.groups:  # as versions wrote it that knew single pictures alone
            del data["bootstrap"]["groups"]
        data["confusion"] = {
            "labels": list(self.confusion.labels),
            "rows": [list(row) for row in self.confusion.rows],
        }
        data["intervals"] = {name: [low, high] for name, (low, high) in self.intervals.items()}
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` gave; keys of later versions are ignored. Raises `BadScores`."""
        try:
            return msgspec.convert(data, cls)
        except ValueError as error:
            raise BadScores(str(error)) from None


def score(
    logits: ArrayLike,
    targets: ArrayLike,
    vocabulary: Vocabulary,
    *,
    temperature: float = 1.0,
    resamples: int = 1000,
    seed: int = 0,
    times: Doubles | None = None,
    unreadable: int = 0,
) -> Scores:
    """Measure predictions on one set of pictures: (N, E) logits and (N, E) target distributions.

    Columns are the vocabulary's words in its order. Probabilities are softmax(logits / temperature).
    `resamples` = 0 leaves out intervals; the same `seed` gives the same ones. `times` are resamples to take
    instead, as of groups: how often each has each picture, (N, R), made with this seed. `unreadable` is
    passed on, so that no one takes a part of the data set for all of it. Raises `SettingsError`,
    and `NotMeasurable` for no pictures, shapes that differ, NaN, and targets that are not distributions.
    """
    _require_settings(temperature, resamples, unreadable)
    logits, targets = np.asarray(logits, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    if logits.ndim == 2 and logits.shape[1] != len(vocabulary):
        raise VocabularySizeDiffers(logits.shape[1], vocabulary)
    cells = metrics.confusion_cells(logits, targets)  # checks both
    confusion = metrics.confusion_matrix(logits, targets)
    logits = logits / temperature
    probabilities = metrics.softmax(logits)
    polarity = _polarity_rows(logits, targets, vocabulary)
    terms = {
        "accuracy": metrics.correct(logits, targets),
        "negative_log_likelihood": metrics.cross_entropy(logits, targets),
        "brier": metrics.squared_error(probabilities, targets),
    }
    soft = bool((targets.max(axis=1) < CERTAIN).any())
    if soft:
        terms |= {name: rows(probabilities, targets) for name, rows in metrics.DISTRIBUTION_METRICS.items()}
        # By way of logits it stays finite however small a probability is.
        divergence = terms["negative_log_likelihood"] - metrics.entropy(targets)
        terms["kullback_leibler"] = np.maximum(divergence, 0)
    means = {name: float(rows.mean()) for name, rows in terms.items()}
    settings = Bootstrap(
        resamples=resamples if times is None else times.shape[1], seed=seed, groups=times is not None
    )
    return Scores(
        vocabulary=vocabulary.name,
        words=vocabulary.words,
        count=len(logits),
        unreadable=unreadable,
        shared_top=int((metrics.top_words(targets).sum(axis=1) > 1).sum()),
        temperature=float(temperature),
        accuracy=means["accuracy"],
        balanced_accuracy=float(metrics.mean_recall(confusion)),
        macro_f1=float(metrics.mean_f1(confusion)),
        negative_log_likelihood=means["negative_log_likelihood"],
        expected_calibration_error=metrics.expected_calibration_error(probabilities, targets),
        brier=means["brier"],
        polarity_accuracy=None if polarity is None else float(polarity[0].sum() / polarity[1].sum()),
        polarity_count=0 if polarity is None else int(polarity[1].sum()),
        across_polarity=None if polarity is None else float(polarity[2].sum() / polarity[1].sum()),
        label_distribution={name: means[name] for name in metrics.DISTRIBUTION_METRICS} if soft else None,
        per_emotion=_per_emotion(confusion, vocabulary),
        confusion=Confusion(labels=vocabulary.words, rows=tuple(tuple(row) for row in confusion.tolist())),
        intervals=_intervals(terms, cells, polarity, logits.shape[1], settings, times),
        bootstrap=settings,
    )


def polarity_weights(vocabulary: Vocabulary) -> Doubles | None:
    """Tabulate `convert` to polarity: (E, 2), what each word gives to positive and to negative.

    A word without polarity has a row of zeros. None where the vocabulary has no polarity at all.

    >>> polarity_weights(Vocabulary("colours", ("red", "green"))) is None
    True
    """
    rows = []
    for word in vocabulary.words:
        try:
            rows.append(convert(vocabulary.only(word), POLARITY).distribution.probabilities)
        except NoConversion:
            rows.append((0.0, 0.0))
    weights = np.array(rows, dtype=np.float64)
    return weights if weights.any() else None


def _polarity_rows(
    logits: Doubles, targets: Doubles, vocabulary: Vocabulary
) -> tuple[Doubles, Doubles, Doubles] | None:
    """Return which pictures have the right polarity, which have one at all, and of which the likeliest
    emotion is of the other polarity: (N, E) -> three times (N,).

    Weights are summed to polarity before they are compared: the polarity of the sum, not of the top
    word, but for the last. None where no picture has a polarity.
    """
    weights = polarity_weights(vocabulary)
    if weights is None:
        return None
    truth = targets @ weights  # (N, 2)
    counted = truth.sum(axis=1) > metrics.TIE_TOLERANCE
    if not counted.any():
        return None
    # Summed as logarithms, so that the polarity of words that were nearly ruled out is not lost to 0.
    with np.errstate(divide="ignore"):
        log_weights = np.log(weights)
    predicted = np.logaddexp.reduce(logits[:, :, None] + log_weights, axis=1).argmax(axis=1)
    right = metrics.top_words(truth)[np.arange(len(truth)), predicted] & counted
    of_top = weights[logits.argmax(axis=1)]  # (N, 2)
    on_a_right_side = (metrics.top_words(truth) & (of_top > 0)).any(axis=1)
    crosses = counted & (of_top.sum(axis=1) > 0) & ~on_a_right_side
    return right.astype(np.float64), counted.astype(np.float64), crosses.astype(np.float64)


def _per_emotion(confusion: Doubles, vocabulary: Vocabulary) -> dict[str, EmotionScores]:
    def defined(value: float) -> float | None:
        return None if math.isnan(value) else value

    columns = [column.tolist() for column in metrics.per_class(confusion)]
    return {
        word: EmotionScores(
            precision=defined(precision), recall=defined(recall), f1=defined(f1), support=support
        )
        for word, precision, recall, f1, support in zip(vocabulary.words, *columns, strict=True)
    }


def _intervals(
    terms: Mapping[str, Doubles],
    cells: metrics.Cells,
    polarity: tuple[Doubles, Doubles, Doubles] | None,
    size: int,
    settings: Bootstrap,
    given: Doubles | None,
) -> dict[str, tuple[float, float]]:
    """Measure resamples of the pictures and give the middle `level` of each metric's values.

    Every metric here is a function of sums over pictures. So a resample need not be made: it is a
    column of how often each picture was sampled, and its sums are a product with that column.
    A class that a resample lacks is left out of that resample's averages.
    """
    if not settings.resamples:
        return {}
    table = np.stack(list(terms.values()))  # (M, N)
    count = table.shape[1]
    sampler = metrics.RowSampler(settings.seed)
    at_once = max(1, SAMPLES_AT_ONCE // count)
    values: dict[str, list[Doubles]] = {}
    for start in range(0, settings.resamples, at_once):
        end = min(start + at_once, settings.resamples)
        times = times_sampled(sampler, count, end - start) if given is None else given[:, start:end]
        resampled = dict(zip(terms, table @ times / times.sum(axis=0), strict=True))
        confusion = confusions(cells, times, size)
        resampled["balanced_accuracy"] = metrics.mean_recall(confusion)
        resampled["macro_f1"] = metrics.mean_f1(confusion)
        if polarity is not None:
            with np.errstate(invalid="ignore"):
                resampled["polarity_accuracy"] = (polarity[0] @ times) / (polarity[1] @ times)
                resampled["across_polarity"] = (polarity[2] @ times) / (polarity[1] @ times)
        for name, part in resampled.items():
            values.setdefault(name, []).append(part)
    tails = ((1 - settings.level) / 2, (1 + settings.level) / 2)
    # A resample may hold no picture with a polarity: that one is undefined and is left out.
    limits = {
        name: metrics.bootstrap_interval(np.concatenate(parts), tails) for name, parts in values.items()
    }
    return {name: (low, high) for name, (low, high) in limits.items() if not math.isnan(low)}


def _require_settings(temperature: float, resamples: int, unreadable: int) -> None:
    if not (math.isfinite(temperature) and temperature > 0):
        raise SettingsError(f"A temperature must be a positive number, not {temperature}.")
    if resamples < 0:
        raise SettingsError(f"The number of bootstrap resamples must be 0 or more, not {resamples}.")
    if unreadable < 0:
        raise SettingsError(f"The number of unreadable pictures must be 0 or more, not {unreadable}.")
