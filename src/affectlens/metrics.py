"""What a set of predictions is worth: logits or probabilities and targets in, numbers out.

Targets are distributions, (N, E); a single label is all weight on one word. Metrics that need one
true class take the target's top. Where several words share the top, as votes often do, each of them
is as good an answer as any: a prediction among them is right, and one that misses them all counts as
a miss of each in equal parts. So the best accuracy that can be reached is always 1, and nothing
depends on the order of the vocabulary. Among equal outputs the first is the prediction.

Everything is computed in double precision on the CPU, wherever the tensors come from.

Sources:
    calibration     Guo et al., "On Calibration of Modern Neural Networks", ICML 2017; equal-mass bins:
                    Nguyen and O'Connor, "Posterior calibration and exploratory analysis for natural
                    language processing models", EMNLP 2015.
    Brier score     Brier, "Verification of forecasts expressed in terms of probability", 1950.
    distributions   Geng, "Label Distribution Learning", IEEE TKDE 28(7), 2016.

Letters: N pictures, E emotions, K cells, R resamples; `...` any leading axes, such as bootstrap resamples.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from affectlens.errors import AffectLensError, SettingsError

DISTRIBUTION_TOLERANCE = 1e-3  # a softmax taken in half precision sums to 1 only so far
TIE_TOLERANCE = 1e-6  # far below one vote among thousands, far above the rounding of single precision


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


def correct(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return for each picture whether the prediction is among the top words of its target: (N, E) -> (N,).

    `outputs` are logits or probabilities. Gives 1.0 or 0.0. Raises `NotMeasurable`.
    """
    outputs, targets = _outputs_and_targets(outputs, targets)
    predictions = outputs.argmax(dim=1, keepdim=True)
    return top_words(targets).gather(1, predictions).squeeze(1).double()


def accuracy(outputs: Tensor, targets: Tensor) -> float:
    """Share of pictures whose prediction is right, 0..1. Raises `NotMeasurable`.

    >>> accuracy(torch.tensor([[2.0, 1.0], [0.0, 3.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
    0.5
    """
    return float(correct(outputs, targets).mean())


def top_k_accuracy(outputs: Tensor, targets: Tensor, *, k: int) -> float:
    """Share of pictures with a top word of the target among the k highest outputs, 0..1.

    Raises `SettingsError` unless 1 <= k <= E, and `NotMeasurable`.
    """
    outputs, targets = _outputs_and_targets(outputs, targets)
    if not 1 <= k <= outputs.shape[1]:
        raise SettingsError(f"k must lie between 1 and the {outputs.shape[1]} emotions, not {k}.")
    # A stable sort, so that among equal outputs the first comes first, as it does for argmax.
    highest = outputs.argsort(dim=1, descending=True, stable=True)[:, :k]
    return float(top_words(targets).gather(1, highest).any(dim=1).double().mean())


class Cells(NamedTuple):
    """What each picture adds to the confusion matrix; K is N unless a shared top was missed.

    `pictures`, `truths` and `predictions` are positions, (K,); `weights` sum to 1 for each picture.
    """

    pictures: Tensor
    truths: Tensor
    predictions: Tensor
    weights: Tensor


def confusion_cells(outputs: Tensor, targets: Tensor) -> Cells:
    """Return which cells of the confusion matrix each picture falls into: (N, E) -> four times (K,).

    A right prediction falls into the diagonal with weight 1; a wrong one into the column of the
    prediction, in equal parts over the words that share the target's top. Raises `NotMeasurable`.
    """
    outputs, targets = _outputs_and_targets(outputs, targets)
    predictions = outputs.argmax(dim=1)
    top = top_words(targets)
    right = top.gather(1, predictions[:, None])
    chosen = torch.nn.functional.one_hot(predictions, outputs.shape[1]).bool()
    truth = torch.where(right, chosen, top)  # (N, E)
    pictures, truths = truth.nonzero(as_tuple=True)
    weights = 1.0 / truth.sum(dim=1).double()
    return Cells(pictures, truths, predictions[pictures], weights[pictures])


def confusion_matrix(outputs: Tensor, targets: Tensor) -> Tensor:
    """Count pictures by truth (rows) and prediction (columns): (N, E) -> (E, E), double, sum N.

    Whole numbers, but for pictures whose target has a shared top. Raises `NotMeasurable`.

    >>> confusion_matrix(torch.tensor([[2.0, 1.0], [3.0, 0.0]]), torch.eye(2)).tolist()
    [[1.0, 0.0], [1.0, 0.0]]
    """
    size = outputs.shape[-1]
    cells = confusion_cells(outputs, targets)
    flat = torch.zeros(size * size, dtype=torch.float64)
    flat.index_add_(0, cells.truths * size + cells.predictions, cells.weights)
    return flat.reshape(size, size)


class PerClass(NamedTuple):
    """Precision, recall and F1 of each class, 0..1 or NaN where undefined, and its pictures: (..., E)."""

    precision: Tensor
    recall: Tensor
    f1: Tensor
    support: Tensor


def per_class(confusion: Tensor) -> PerClass:
    """Describe each class by a confusion matrix with truth in rows: (..., E, E) -> four times (..., E).

    Undefined values are NaN, as scikit-learn gives with `zero_division=nan`: precision of a class
    that is never predicted, recall of one that never occurs, F1 of one that does neither.
    """
    right = confusion.diagonal(dim1=-2, dim2=-1)
    support, predicted = confusion.sum(dim=-1), confusion.sum(dim=-2)
    return PerClass(right / predicted, right / support, 2 * right / (support + predicted), support)


def mean_recall(confusion: Tensor) -> Tensor:
    """Average recall over the classes that occur: (..., E, E) -> (...), 0..1; NaN where none occurs."""
    return per_class(confusion).recall.nanmean(dim=-1)


def mean_f1(confusion: Tensor) -> Tensor:
    """Average F1 over the classes that occur or are predicted: (..., E, E) -> (...), 0..1."""
    return per_class(confusion).f1.nanmean(dim=-1)


def balanced_accuracy(outputs: Tensor, targets: Tensor) -> float:
    """Mean recall over the classes that occur, 0..1: each class weighs the same, however rare.

    A class without a picture has no recall and is left out, also where it is predicted, as in
    scikit-learn's `balanced_accuracy_score`. Raises `NotMeasurable`.
    """
    return float(mean_recall(confusion_matrix(outputs, targets)))


def macro_f1(outputs: Tensor, targets: Tensor) -> float:
    """Mean F1 over the classes that occur or are predicted, 0..1.

    A class that is predicted but never occurs counts with 0; one that does neither is left out.
    This is scikit-learn's `f1_score(average="macro")` without `labels`. Raises `NotMeasurable`.
    """
    return float(mean_f1(confusion_matrix(outputs, targets)))


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Surprise of each target under the predicted distribution, in nats: (N, E) -> (N,), 0 or more.

    Never less than the target's `entropy`; the difference is `kullback_leibler`. Raises `NotMeasurable`.
    """
    logits, targets = _outputs_and_targets(logits, targets)
    return -(targets * logits.log_softmax(dim=1)).sum(dim=1)


def negative_log_likelihood(logits: Tensor, targets: Tensor) -> float:
    """Mean `cross_entropy`, 0 or more. Raises `NotMeasurable`.

    With single labels a perfect model reaches 0; with soft targets no model gets below their mean
    `entropy`, so figures on different targets cannot be compared.
    """
    return float(cross_entropy(logits, targets).mean())


def entropy(distributions: Tensor) -> Tensor:
    """Entropy of each distribution in nats: (N, E) -> (N,), 0..ln E. Raises `NotMeasurable`."""
    distributions = _distributions("targets", distributions)
    # Adding 0 turns the -0.0 of a certain distribution into 0.0.
    return -torch.xlogy(distributions, distributions).sum(dim=1) + 0.0


def squared_error(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Squared distance of prediction and target, summed over classes: (N, E) -> (N,), 0..2.

    Raises `NotMeasurable`.
    """
    probabilities, targets = _probabilities_and_targets(probabilities, targets)
    return (probabilities - targets).square().sum(dim=1)


def brier_score(probabilities: Tensor, targets: Tensor) -> float:
    """Mean `squared_error`: Brier's own sum over all classes, 0 (perfect) .. 2 (sure and wrong).

    Twice the figure that is usual for two classes. Raises `NotMeasurable`.
    """
    return float(squared_error(probabilities, targets).mean())


class CalibrationBins(NamedTuple):
    """Pictures, summed top probability and right predictions in each bin of the top probability: (bins,)."""

    pictures: Tensor
    confidence: Tensor
    correct: Tensor


def calibration_bins(probabilities: Tensor, targets: Tensor, *, bins: int = 15) -> CalibrationBins:
    """Sort pictures by top probability into bins of equal width: (N, E) -> three times (bins,).

    The i-th bin holds probabilities above i / bins up to and with (i + 1) / bins, as in Guo et al.
    Raises `SettingsError` for fewer than one bin, and `NotMeasurable`.
    """
    _require_bins(bins)
    probabilities, targets = _probabilities_and_targets(probabilities, targets)
    confidence = probabilities.amax(dim=1)
    inner_edges = torch.arange(1, bins, dtype=torch.float64) / bins
    index = torch.bucketize(confidence, inner_edges)

    def total(values: Tensor) -> Tensor:
        return torch.zeros(bins, dtype=torch.float64).index_add_(0, index, values)

    return CalibrationBins(
        total(torch.ones_like(confidence)), total(confidence), total(correct(probabilities, targets))
    )


def expected_calibration_error(probabilities: Tensor, targets: Tensor, *, bins: int = 15) -> float:
    """Mean gap between top probability and accuracy over bins of equal width, 0..1.

    A finite sample of a perfectly calibrated model is above 0, the more so the fewer the pictures.
    Raises `SettingsError` for fewer than one bin, and `NotMeasurable`.
    """
    sums = calibration_bins(probabilities, targets, bins=bins)
    return float((sums.confidence - sums.correct).abs().sum() / sums.pictures.sum())


def adaptive_calibration_error(probabilities: Tensor, targets: Tensor, *, bins: int = 15) -> float:
    """Mean gap between top probability and accuracy over bins of equally many pictures, 0..1.

    Bins of equal width can hold nearly all pictures of a confident model in one bin; these cannot.
    With fewer pictures than bins each picture is a bin. Raises as `expected_calibration_error`.
    """
    _require_bins(bins)
    probabilities, targets = _probabilities_and_targets(probabilities, targets)
    values, index = torch.unique(probabilities.amax(dim=1), return_inverse=True)  # values in rising order
    right = torch.zeros_like(values).index_add_(0, index, correct(probabilities, targets))
    # Equally confident pictures share their accuracy, so that a bin edge that falls among them does
    # not make the result depend on the order of the rows.
    gaps = values - right / torch.bincount(index)
    return float(sum(part.sum().abs() for part in gaps[index.sort().values].tensor_split(bins)) / len(index))


def chebyshev(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Largest difference over words: (N, E) -> (N,), 0..1, 0 is best. Raises `NotMeasurable`."""
    probabilities, targets = _probabilities_and_targets(probabilities, targets)
    return (probabilities - targets).abs().amax(dim=1)


def clark(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Root of summed squared relative differences: (N, E) -> (N,), 0..sqrt(E), 0 is best.

    A word that neither side gives weight adds 0. Raises `NotMeasurable`.
    """
    return _relative_differences(probabilities, targets).square().sum(dim=1).sqrt()


def canberra(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Sum of relative differences: (N, E) -> (N,), 0..E, 0 is best.

    A word that neither side gives weight adds 0, as in SciPy. Raises `NotMeasurable`.
    """
    return _relative_differences(probabilities, targets).sum(dim=1)


def kullback_leibler(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Divergence of the prediction from the target, in nats: (N, E) -> (N,), 0 or more, 0 is best.

    Infinite where a word has weight in the target and none in the prediction. Raises `NotMeasurable`.
    """
    probabilities, targets = _probabilities_and_targets(probabilities, targets)
    terms = torch.xlogy(targets, targets) - torch.xlogy(targets, probabilities)
    return terms.sum(dim=1).clamp(min=0)


def cosine(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Cosine of the angle between both: (N, E) -> (N,), 0..1, 1 is best. Raises `NotMeasurable`."""
    probabilities, targets = _probabilities_and_targets(probabilities, targets)
    # Neither length is 0: a distribution of E words is at least 1 / sqrt(E) long.
    lengths = (probabilities.square().sum(dim=1) * targets.square().sum(dim=1)).sqrt()
    return ((probabilities * targets).sum(dim=1) / lengths).clamp(max=1)


def intersection(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Weight that both have in common: (N, E) -> (N,), 0..1, 1 is best. Raises `NotMeasurable`."""
    probabilities, targets = _probabilities_and_targets(probabilities, targets)
    return torch.minimum(probabilities, targets).sum(dim=1)


DISTRIBUTION_METRICS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "chebyshev": chebyshev,
    "clark": clark,
    "canberra": canberra,
    "kullback_leibler": kullback_leibler,
    "cosine": cosine,
    "intersection": intersection,
}


def label_distribution(probabilities: Tensor, targets: Tensor) -> dict[str, float]:
    """Mean over pictures of Geng's six measures; for the first four 0 is best, for the last two 1.

    Raises `NotMeasurable`.

    >>> label_distribution(torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.0]]))["intersection"]
    0.5
    """
    return {name: float(rows(probabilities, targets).mean()) for name, rows in DISTRIBUTION_METRICS.items()}


def bootstrap_interval(values: Tensor, tails: tuple[float, float] = (0.025, 0.975)) -> tuple[float, float]:
    """Percentile interval of a figure: its values for each bootstrap resample, (R,) -> the two quantiles.

    NaN, of a resample for which the figure is undefined, is left out; both are NaN where nothing is left.

    >>> bootstrap_interval(torch.arange(41.0), tails=(0.25, 0.75))
    (10.0, 30.0)
    """
    low, high = values.nanquantile(torch.tensor(tails, dtype=values.dtype)).tolist()
    return low, high


def top_words(targets: Tensor) -> Tensor:
    """Mark the words that have, or share, each target's highest weight: (N, E) -> (N, E) of bool."""
    return targets.ge(targets.amax(dim=1, keepdim=True) - TIE_TOLERANCE)


def _relative_differences(probabilities: Tensor, targets: Tensor) -> Tensor:
    """|p - t| / (p + t), and 0 where both are 0: (N, E) -> (N, E)."""
    probabilities, targets = _probabilities_and_targets(probabilities, targets)
    sums = probabilities + targets
    return torch.where(sums > 0, (probabilities - targets).abs() / sums, 0.0)


def _require_bins(bins: int) -> None:
    if bins < 1:
        raise SettingsError(f"A calibration error needs at least one bin, not {bins}.")


def _outputs_and_targets(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Check logits or probabilities with targets, and make both double: twice (N, E)."""
    _require_same_shape("outputs", outputs, targets)
    return _finite("outputs", outputs), _distributions("targets", targets)


def _probabilities_and_targets(probabilities: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Check probabilities with targets, and make both double: twice (N, E)."""
    _require_same_shape("probabilities", probabilities, targets)
    return _distributions("probabilities", probabilities), _distributions("targets", targets)


def _require_same_shape(name: str, outputs: Tensor, targets: Tensor) -> None:
    if outputs.shape != targets.shape or outputs.ndim != 2:
        raise ShapesDiffer(name, tuple(outputs.shape), tuple(targets.shape))


def _finite(name: str, table: Tensor) -> Tensor:
    if table.numel() == 0:
        raise NoRows
    table = table.detach().cpu().double()
    bad = ~table.isfinite().all(dim=1)
    if bad.any():
        raise NotFinite(name, int(bad.nonzero()[0]))
    return table


def _distributions(name: str, table: Tensor) -> Tensor:
    """Check distributions and remove what rounding left: (N, E), each row not negative with sum 1."""
    table = _finite(name, table)
    bad = (table < -DISTRIBUTION_TOLERANCE).any(dim=1) | (
        (table.sum(dim=1) - 1).abs() > DISTRIBUTION_TOLERANCE
    )
    if bad.any():
        row = int(bad.nonzero()[0])
        raise NotDistributions(name, row, table[row].tolist())
    table = table.clamp(min=0)
    return table / table.sum(dim=1, keepdim=True)
