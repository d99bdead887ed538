"""What a set of predictions is worth: logits or probabilities and targets in, numbers out.

Targets are distributions, (N, E); a single label is all weight on one word. Metrics that need one
true class take the target's top. Where several words share the top, as votes often do, each of them
is as good an answer as any: a prediction among them is right, and one that misses them all counts as
a miss of each in equal parts. So the best accuracy that can be reached is always 1, and nothing
depends on the order of the vocabulary. Among equal outputs the first is the prediction.

Arguments are what `numpy.asarray` takes: arrays, lists, tensors on the CPU. Everything is computed in double
precision, and what is returned are NumPy arrays and floats.

Sources:
    calibration     Guo et al., "On Calibration of Modern Neural Networks", ICML 2017; equal-mass bins:
                    Nguyen and O'Connor, "Posterior calibration and exploratory analysis for natural
                    language processing models", EMNLP 2015.
    Brier score     Brier, "Verification of forecasts expressed in terms of probability", 1950.
    distributions   Geng, "Label Distribution Learning", IEEE TKDE 28(7), 2016.

Letters: N pictures, E emotions, K cells, R resamples; `...` any leading axes, such as bootstrap resamples.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from affectlens.errors import AffectLensError, SettingsError

DISTRIBUTION_TOLERANCE = 1e-3  # a softmax taken in half precision sums to 1 only so far
TIE_TOLERANCE = 1e-6  # far below one vote among thousands, far above the rounding of single precision

Doubles = NDArray[np.float64]


class NotMeasurable(AffectLensError):
    """Predictions and targets from which no metric can be computed."""


class NoRows(NotMeasurable):
    """Not one picture to measure on."""

    def __init__(self) -> None:
        super().__init__("There is nothing to measure: not one picture was given. Give at least one.")


class ShapesDiffer(NotMeasurable):
    """Predictions and targets that are not two tables of one size."""

    def __init__(self, name: str, shape: tuple[int, ...], target_shape: tuple[int, ...]) -> None:
        super().__init__(
            f"{name} of shape {shape} and targets of shape {target_shape} do not fit: both must be "
            "(pictures, emotions). A target is a distribution; make a single label one-hot."
        )


class NotFinite(NotMeasurable):
    """NaN or infinity among the numbers to measure."""

    def __init__(self, name: str, row: int) -> None:
        self.row = row
        super().__init__(
            f"{name} must be finite, but row {row} (counted from 0) holds NaN or infinity. "
            "Look at that picture, and at the network's weights."
        )


class NotDistributions(NotMeasurable):
    """Rows that are negative somewhere or do not sum to 1."""

    def __init__(self, name: str, row: int, values: list[float]) -> None:
        self.row = row
        shown = ", ".join(f"{value:.4g}" for value in values[:10]) + (", ..." if len(values) > 10 else "")
        hint = (
            "Divide votes by their sum." if name == "targets" else "Did you pass logits? Take their softmax."
        )
        super().__init__(
            f"Each row of {name} must be a distribution: not negative, with sum 1. "
            f"Row {row} (counted from 0) is [{shown}], with sum {sum(values):.4g}. {hint}"
        )


def correct(outputs: ArrayLike, targets: ArrayLike) -> Doubles:
    """Return for each picture whether the prediction is among the top words of its target: (N, E) -> (N,).

    `outputs` are logits or probabilities. Gives 1.0 or 0.0. Raises `NotMeasurable`.
    """
    outputs, targets = _outputs_and_targets(outputs, targets)
    right: Doubles = top_words(targets)[np.arange(len(outputs)), outputs.argmax(axis=1)].astype(np.float64)
    return right


def accuracy(outputs: ArrayLike, targets: ArrayLike) -> float:
    """Share of pictures whose prediction is right, 0..1. Raises `NotMeasurable`.

    >>> accuracy([[2.0, 1.0], [0.0, 3.0]], [[1.0, 0.0], [1.0, 0.0]])
    0.5
    """
    return float(correct(outputs, targets).mean())


def top_k_accuracy(outputs: ArrayLike, targets: ArrayLike, *, k: int) -> float:
    """Share of pictures with a top word of the target among the k highest outputs, 0..1.

    Raises `SettingsError` unless 1 <= k <= E, and `NotMeasurable`.
    """
    outputs, targets = _outputs_and_targets(outputs, targets)
    if not 1 <= k <= outputs.shape[1]:
        raise SettingsError(f"k must lie between 1 and the {outputs.shape[1]} emotions, not {k}.")
    # A stable sort, so that among equal outputs the first comes first, as it does for argmax.
    highest = np.argsort(-outputs, axis=1, kind="stable")[:, :k]
    return float(np.take_along_axis(top_words(targets), highest, axis=1).any(axis=1).mean())


class Cells(NamedTuple):
    """What each picture adds to the confusion matrix; K is N unless a shared top was missed.

    `pictures`, `truths` and `predictions` are positions, (K,); `weights` sum to 1 for each picture.
    """

    pictures: NDArray[np.int64]
    truths: NDArray[np.int64]
    predictions: NDArray[np.int64]
    weights: Doubles


def confusion_cells(outputs: ArrayLike, targets: ArrayLike) -> Cells:
    """Return which cells of the confusion matrix each picture falls into: (N, E) -> four times (K,).

    A right prediction falls into the diagonal with weight 1; a wrong one into the column of the
    prediction, in equal parts over the words that share the target's top. Raises `NotMeasurable`.
    """
    outputs, targets = _outputs_and_targets(outputs, targets)
    predictions = outputs.argmax(axis=1)
    top = top_words(targets)
    right = top[np.arange(len(outputs)), predictions]
    chosen = np.eye(outputs.shape[1], dtype=bool)[predictions]
    truth = np.where(right[:, None], chosen, top)  # (N, E)
    pictures, truths = truth.nonzero()
    weights = 1.0 / truth.sum(axis=1)
    return Cells(pictures, truths, predictions[pictures], weights[pictures])


def confusion_matrix(outputs: ArrayLike, targets: ArrayLike) -> Doubles:
    """Count pictures by truth (rows) and prediction (columns): (N, E) -> (E, E), double, sum N.

    Whole numbers, but for pictures whose target has a shared top. Raises `NotMeasurable`.

    >>> confusion_matrix([[2.0, 1.0], [3.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]).tolist()
    [[1.0, 0.0], [1.0, 0.0]]
    """
    cells = confusion_cells(outputs, targets)
    size = np.shape(outputs)[1]
    flat = _sums_by_index(cells.truths * size + cells.predictions, cells.weights, size * size)
    return flat.reshape(size, size)


class PerClass(NamedTuple):
    """Precision, recall and F1 of each class, 0..1 or NaN where undefined, and its pictures: (..., E)."""

    precision: Doubles
    recall: Doubles
    f1: Doubles
    support: Doubles


def per_class(confusion: ArrayLike) -> PerClass:
    """Describe each class by a confusion matrix with truth in rows: (..., E, E) -> four times (..., E).

    Undefined values are NaN, as scikit-learn gives with `zero_division=nan`: precision of a class
    that is never predicted, recall of one that never occurs, F1 of one that does neither.
    """
    table = np.asarray(confusion, dtype=np.float64)
    right = table.diagonal(axis1=-2, axis2=-1)
    support, predicted = table.sum(axis=-1), table.sum(axis=-2)
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN of what is undefined
        return PerClass(right / predicted, right / support, 2 * right / (support + predicted), support)


def mean_recall(confusion: ArrayLike) -> Doubles:
    """Average recall over the classes that occur: (..., E, E) -> (...), 0..1; NaN where none occurs."""
    return _mean_of_defined(per_class(confusion).recall)


def mean_f1(confusion: ArrayLike) -> Doubles:
    """Average F1 over the classes that occur or are predicted: (..., E, E) -> (...), 0..1."""
    return _mean_of_defined(per_class(confusion).f1)


def balanced_accuracy(outputs: ArrayLike, targets: ArrayLike) -> float:
    """Mean recall over the classes that occur, 0..1: each class weighs the same, however rare.

    A class without a picture has no recall and is left out, also where it is predicted, as in
    scikit-learn's `balanced_accuracy_score`. Raises `NotMeasurable`.
    """
    return float(mean_recall(confusion_matrix(outputs, targets)))


def macro_f1(outputs: ArrayLike, targets: ArrayLike) -> float:
    """Mean F1 over the classes that occur or are predicted, 0..1.

    A class that is predicted but never occurs counts with 0; one that does neither is left out.
    This is scikit-learn's `f1_score(average="macro")` without `labels`. Raises `NotMeasurable`.
    """
    return float(mean_f1(confusion_matrix(outputs, targets)))


def softmax(logits: ArrayLike) -> Doubles:
    """Turn logits into probabilities: (N, E) -> (N, E).

    >>> softmax([[1000.0, 1000.0]]).tolist()
    [[0.5, 0.5]]
    """
    table = np.asarray(logits, dtype=np.float64)
    powers: Doubles = np.exp(table - table.max(axis=1, keepdims=True))
    powers /= powers.sum(axis=1, keepdims=True)
    return powers


def sigmoid(logits: ArrayLike) -> Doubles:
    """Turn log-odds into probabilities, of any shape.

    >>> sigmoid([-1000.0, 0.0, 1000.0]).tolist()
    [0.0, 0.5, 1.0]
    """
    probabilities: Doubles = np.exp(-np.logaddexp(0.0, -np.asarray(logits, dtype=np.float64)))
    return probabilities


def cross_entropy(logits: ArrayLike, targets: ArrayLike) -> Doubles:
    """Surprise of each target under the predicted distribution, in nats: (N, E) -> (N,), 0 or more.

    Never less than the target's `entropy`; the difference is `kullback_leibler`. Raises `NotMeasurable`.
    """
    logits, targets = _outputs_and_targets(logits, targets)
    logits = logits - logits.max(axis=1, keepdims=True)
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return -_row_sums(targets * log_probabilities)


def negative_log_likelihood(logits: ArrayLike, targets: ArrayLike) -> float:
    """Mean `cross_entropy`, 0 or more. Raises `NotMeasurable`.

    With single labels a perfect model reaches 0; with soft targets no model gets below their mean
    `entropy`, so figures on different targets cannot be compared.
    """
    return float(cross_entropy(logits, targets).mean())


def entropy(distributions: ArrayLike) -> Doubles:
    """Entropy of each distribution in nats: (N, E) -> (N,), 0..ln E. Raises `NotMeasurable`."""
    table = _distributions("targets", np.asarray(distributions, dtype=np.float64))
    # Adding 0 turns the -0.0 of a certain distribution into 0.0.
    return -_row_sums(_times_log(table, table)) + 0.0


def squared_error(probabilities: ArrayLike, targets: ArrayLike) -> Doubles:
    """Squared distance of prediction and target, summed over classes: (N, E) -> (N,), 0..2.

    Raises `NotMeasurable`.
    """
    probabilities, targets = _probabilities_and_targets(probabilities, targets)
    return _row_sums(np.square(probabilities - targets))


def brier_score(probabilities: ArrayLike, targets: ArrayLike) -> float:
    """Mean `squared_error`: Brier's own sum over all classes, 0 (perfect) .. 2 (sure and wrong).

    Twice the figure that is usual for two classes. Raises `NotMeasurable`.
    """
    return float(squared_error(probabilities, targets).mean())


class CalibrationBins(NamedTuple):
    """Pictures, summed top probability and right predictions in each bin of the top probability: (bins,)."""

    pictures: Doubles
    confidence: Doubles
    correct: Doubles


def calibration_bins(probabilities: ArrayLike, targets: ArrayLike, *, bins: int = 15) -> CalibrationBins:
    """Sort pictures by top probability into bins of equal width: (N, E) -> three times (bins,).

    The i-th bin holds probabilities above i / bins up to and with (i + 1) / bins, as in Guo et al.
    Raises `SettingsError` for fewer than one bin, and `NotMeasurable`.
    """
    _require_bins(bins)
    probabilities, targets = _probabilities_and_targets(probabilities, targets)
    confidence = probabilities.max(axis=1)
    index = np.searchsorted(np.arange(1, bins) / bins, confidence)

    def total(values: Doubles) -> Doubles:
        return _sums_by_index(index, values, bins)

    return CalibrationBins(
        total(np.ones_like(confidence)), total(confidence), total(correct(probabilities, targets))
    )


def expected_calibration_error(probabilities: ArrayLike, targets: ArrayLike, *, bins: int = 15) -> float:
    """Mean gap between top probability and accuracy over bins of equal width, 0..1.

    A finite sample of a perfectly calibrated model is above 0, the more so the fewer the pictures.
    Raises `SettingsError` for fewer than one bin, and `NotMeasurable`.
    """
    sums = calibration_bins(probabilities, targets, bins=bins)
    return float(np.abs(sums.confidence - sums.correct).sum() / sums.pictures.sum())


def adaptive_calibration_error(probabilities: ArrayLike, targets: ArrayLike, *, bins: int = 15) -> float:
    """Mean gap between top probability and accuracy over bins of equally many pictures, 0..1.

    Bins of equal width can hold nearly all pictures of a confident model in one bin; these cannot.
    With fewer pictures than bins each picture is a bin. Raises as `expected_calibration_error`.
    """
    _require_bins(bins)
    probabilities, targets = _probabilities_and_targets(probabilities, targets)
    confidence = probabilities.max(axis=1)
    # Equally confident pictures share their accuracy, so that a bin edge that falls among them does
    # not make the result depend on the order of the rows. Rounded, because probabilities that are equal
    # but for the order in which they were summed differ in their last digits.
    _, index = np.unique(confidence.round(12), return_inverse=True)  # by rising confidence
    pictures = np.bincount(index)
    total = _sums_by_index(index, confidence - correct(probabilities, targets), len(pictures))
    parts = np.array_split((total / pictures)[np.sort(index)], bins)
    return float(sum(abs(part.sum()) for part in parts) / len(index))


def chebyshev(probabilities: ArrayLike, targets: ArrayLike) -> Doubles:
    """Largest difference over words: (N, E) -> (N,), 0..1, 0 is best. Raises `NotMeasurable`."""
    probabilities, targets = _probabilities_and_targets(probabilities, targets)
    largest: Doubles = np.abs(probabilities - targets).max(axis=1)
    return largest


def clark(probabilities: ArrayLike, targets: ArrayLike) -> Doubles:
    """Root of summed squared relative differences: (N, E) -> (N,), 0..sqrt(E), 0 is best.

    A word that neither side gives weight adds 0. Raises `NotMeasurable`.
    """
    return np.sqrt(_row_sums(np.square(_relative_differences(probabilities, targets))))


def canberra(probabilities: ArrayLike, targets: ArrayLike) -> Doubles:
    """Sum of relative differences: (N, E) -> (N,), 0..E, 0 is best.

    A word that neither side gives weight adds 0, as in SciPy. Raises `NotMeasurable`.
    """
    return _row_sums(_relative_differences(probabilities, targets))


def kullback_leibler(probabilities: ArrayLike, targets: ArrayLike) -> Doubles:
    """Divergence of the prediction from the target, in nats: (N, E) -> (N,), 0 or more, 0 is best.

    Infinite where a word has weight in the target and none in the prediction. Raises `NotMeasurable`.
    """
    probabilities, targets = _probabilities_and_targets(probabilities, targets)
    terms = _times_log(targets, targets) - _times_log(targets, probabilities)
    return np.maximum(_row_sums(terms), 0)


def cosine(probabilities: ArrayLike, targets: ArrayLike) -> Doubles:
    """Cosine of the angle between both: (N, E) -> (N,), 0..1, 1 is best. Raises `NotMeasurable`."""
    probabilities, targets = _probabilities_and_targets(probabilities, targets)
    # Neither length is 0: a distribution of E words is at least 1 / sqrt(E) long.
    lengths = np.sqrt(_row_sums(np.square(probabilities)) * _row_sums(np.square(targets)))
    return np.minimum(_row_sums(probabilities * targets) / lengths, 1)


def intersection(probabilities: ArrayLike, targets: ArrayLike) -> Doubles:
    """Weight that both have in common: (N, E) -> (N,), 0..1, 1 is best. Raises `NotMeasurable`."""
    probabilities, targets = _probabilities_and_targets(probabilities, targets)
    return _row_sums(np.minimum(probabilities, targets))


DISTRIBUTION_METRICS: dict[str, Callable[[ArrayLike, ArrayLike], Doubles]] = {
    "chebyshev": chebyshev,
    "clark": clark,
    "canberra": canberra,
    "kullback_leibler": kullback_leibler,
    "cosine": cosine,
    "intersection": intersection,
}


def label_distribution(probabilities: ArrayLike, targets: ArrayLike) -> dict[str, float]:
    """Mean over pictures of Geng's six measures; for the first four 0 is best, for the last two 1.

    Raises `NotMeasurable`.

    >>> label_distribution([[0.5, 0.5]], [[1.0, 0.0]])["intersection"]
    0.5
    """
    return {name: float(rows(probabilities, targets).mean()) for name, rows in DISTRIBUTION_METRICS.items()}


def bootstrap_interval(values: ArrayLike, tails: tuple[float, float] = (0.025, 0.975)) -> tuple[float, float]:
    """Percentile interval of a figure: its values for each bootstrap resample, (R,) -> the two quantiles.

    NaN, of a resample for which the figure is undefined, is left out; both are NaN where nothing is left.

    >>> bootstrap_interval(range(41), tails=(0.25, 0.75))
    (10.0, 30.0)
    """
    column = np.asarray(values, dtype=np.float64)
    column = column[~np.isnan(column)]
    if not len(column):
        return math.nan, math.nan
    low, high = np.quantile(column, tails)
    return float(low), float(high)


class RowSampler:
    """Samples rows with replacement; the same `seed` gives the same ones.

    By NumPy's legacy generator: its numbers are frozen, where those of the others may change with a release
    of NumPy, and intervals with them.
    """

    def __init__(self, seed: int) -> None:
        self._generator = np.random.RandomState(seed % 2**32)

    def rows(self, count: int, shape: tuple[int, ...]) -> NDArray[np.int64]:
        """Sample an array of row numbers of a shape, 0..count - 1; each call goes on where the last ended."""
        # The remainder favours low rows by less than one part in 2**32 / count.
        return (self._generator.randint(2**32, size=shape, dtype=np.uint32) % count).astype(np.int64)


def top_words(targets: ArrayLike) -> NDArray[np.bool_]:
    """Mark the words that have, or share, each target's highest weight: (N, E) -> (N, E) of bool."""
    table = np.asarray(targets, dtype=np.float64)
    marked: NDArray[np.bool_] = table >= table.max(axis=1, keepdims=True) - TIE_TOLERANCE
    return marked


def _row_sums(table: Doubles) -> Doubles:
    """Sum over words: (N, E) -> (N,)."""
    sums: Doubles = table.sum(axis=1)
    return sums


def _sums_by_index(index: NDArray[np.int64], values: Doubles, size: int) -> Doubles:
    """Sum the values that have one index: twice (N,) -> (size,)."""
    return np.bincount(index, weights=values, minlength=size).astype(np.float64, copy=False)


def _mean_of_defined(values: Doubles) -> Doubles:
    """Mean over the last axis of what is not NaN: (..., E) -> (...); NaN where that leaves nothing."""
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        mean: Doubles = np.where(defined, values, 0).sum(axis=-1) / defined.sum(axis=-1)
    return mean


def _times_log(weights: Doubles, values: Doubles) -> Doubles:
    """weights * log(values), and 0 where the weight is 0: (N, E) -> (N, E)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(weights > 0, weights * np.log(values), 0.0)


def _relative_differences(probabilities: ArrayLike, targets: ArrayLike) -> Doubles:
    """|p - t| / (p + t), and 0 where both are 0: (N, E) -> (N, E)."""
    probabilities, targets = _probabilities_and_targets(probabilities, targets)
    sums = probabilities + targets
    return np.divide(np.abs(probabilities - targets), sums, out=np.zeros_like(sums), where=sums > 0)


def _require_bins(bins: int) -> None:
    if bins < 1:
        raise SettingsError(f"A calibration error needs at least one bin, not {bins}.")


def _outputs_and_targets(outputs: ArrayLike, targets: ArrayLike) -> tuple[Doubles, Doubles]:
    """Check logits or probabilities with targets, and make both double: twice (N, E)."""
    first, second = _of_same_shape("outputs", outputs, targets)
    return _finite("outputs", first), _distributions("targets", second)


def _probabilities_and_targets(probabilities: ArrayLike, targets: ArrayLike) -> tuple[Doubles, Doubles]:
    """Check probabilities with targets, and make both double: twice (N, E)."""
    first, second = _of_same_shape("probabilities", probabilities, targets)
    return _distributions("probabilities", first), _distributions("targets", second)


def _of_same_shape(name: str, outputs: ArrayLike, targets: ArrayLike) -> tuple[Doubles, Doubles]:
    first, second = np.asarray(outputs, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 2:
        raise ShapesDiffer(name, first.shape, second.shape)
    return first, second


def _finite(name: str, table: Doubles) -> Doubles:
    if table.size == 0:
        raise NoRows
    bad = ~np.isfinite(table).all(axis=1)
    if bad.any():
        raise NotFinite(name, int(bad.argmax()))
    return table


def _distributions(name: str, table: Doubles) -> Doubles:
    """Check distributions and remove what rounding left: (N, E), each row not negative with sum 1."""
    table = _finite(name, table)
    bad = (table < -DISTRIBUTION_TOLERANCE).any(axis=1) | (
        np.abs(table.sum(axis=1) - 1) > DISTRIBUTION_TOLERANCE
    )
    if bad.any():
        row = int(bad.argmax())
        raise NotDistributions(name, row, table[row].tolist())
    table = np.maximum(table, 0)
    return table / _row_sums(table)[:, None]
