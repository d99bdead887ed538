"""Each metric against SciPy, scikit-learn, torchmetrics or a slow loop, and at the edges of what it means."""

import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import distance
from scipy.special import softmax
from scipy.stats import entropy as scipy_entropy
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
    top_k_accuracy_score,
)
from torch import Tensor

from affectlens import metrics
from affectlens.errors import SettingsError


def single_labels(
    seed: int, *, pictures: int = 300, emotions: int = 8, occurring: int | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (N, E), one-hot targets (N, E) and labels (N,); the last emotions may be left out."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(occurring or emotions, (pictures,), generator=generator)
    targets = torch.eye(emotions)[labels]
    return torch.randn(pictures, emotions, generator=generator) + 1.5 * targets, targets, labels


def votes(seed: int, *, pictures: int = 200, emotions: int = 6) -> tuple[Tensor, Tensor]:
    """Logits and targets from ten votes a picture, so with zeros and shared tops: twice (N, E)."""
    generator = torch.Generator().manual_seed(seed)
    cast = torch.randint(emotions, (pictures, 10), generator=generator)
    targets = torch.nn.functional.one_hot(cast, emotions).sum(dim=1) / 10
    return torch.randn(pictures, emotions, generator=generator) + 5 * targets, targets


seeds = st.integers(0, 10_000)
unhurried = settings(deadline=None)  # the first call into torch is slow


@pytest.mark.parametrize("occurring", [8, 5])
def test_hard_metrics_agree_with_scikit_learn_also_where_emotions_are_absent(occurring: int) -> None:
    logits, targets, labels = single_labels(1, occurring=occurring)
    predicted = logits.argmax(dim=1).numpy()
    assert metrics.accuracy(logits, targets) == pytest.approx(accuracy_score(labels, predicted))
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # predicted, but never occurs
        expected = balanced_accuracy_score(labels, predicted)
    assert metrics.balanced_accuracy(logits, targets) == pytest.approx(expected)
    assert metrics.macro_f1(logits, targets) == pytest.approx(f1_score(labels, predicted, average="macro"))
    np.testing.assert_array_equal(
        metrics.confusion_matrix(logits, targets), confusion_matrix(labels, predicted, labels=range(8))
    )


def test_figures_of_each_class_agree_with_scikit_learn_undefined_ones_included() -> None:
    logits, targets, labels = single_labels(2, occurring=6)
    logits[:, 4] = logits[:, 7] = -9.0  # class 4 occurs but is never predicted, class 7 neither
    ours = metrics.per_class(metrics.confusion_matrix(logits, targets))
    theirs = precision_recall_fscore_support(
        labels, logits.argmax(dim=1), labels=range(8), zero_division=np.nan
    )
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other)
    assert ours.precision[4].isnan() and ours.f1[4] == 0
    assert ours.recall[6].isnan() and ours.f1[6] == 0
    assert ours.f1[7].isnan()


def test_an_emotion_that_neither_occurs_nor_is_predicted_does_not_lower_the_averages() -> None:
    targets = torch.eye(4)[[0, 1, 1]]
    assert metrics.balanced_accuracy(targets, targets) == 1
    assert metrics.macro_f1(targets, targets) == 1


@pytest.mark.parametrize("k", [1, 2, 3, 8])
def test_top_k_accuracy_agrees_with_scikit_learn(k: int) -> None:
    logits, targets, labels = single_labels(3)
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # k = 8 is always right
        expected = top_k_accuracy_score(labels, logits.numpy(), k=k, labels=range(8))
    assert metrics.top_k_accuracy(logits, targets, k=k) == pytest.approx(expected)


def test_among_equal_outputs_the_first_is_the_prediction_in_every_metric() -> None:
    logits, targets = torch.zeros(2, 100), torch.eye(100)[[0, 1]]
    assert metrics.accuracy(logits, targets) == 0.5
    assert metrics.top_k_accuracy(logits, targets, k=1) == 0.5
    assert metrics.top_k_accuracy(logits, targets, k=2) == 1
    assert metrics.confusion_matrix(logits, targets)[:, 0].tolist() == [1, 1] + 98 * [0]


@pytest.mark.parametrize("k", [0, -1, 9])
def test_an_impossible_k_is_refused(k: int) -> None:
    logits, targets, _ = single_labels(0)
    with pytest.raises(SettingsError, match=f"between 1 and the 8 emotions, not {k}"):
        metrics.top_k_accuracy(logits, targets, k=k)


def test_either_of_two_emotions_with_equally_many_votes_is_right() -> None:
    targets = torch.tensor([[0.4, 0.4, 0.2]] * 3)
    logits = torch.eye(3)  # one prediction of each
    assert metrics.correct(logits, targets).tolist() == [1, 1, 0]
    assert metrics.confusion_matrix(logits, targets).tolist() == [[1, 0, 0.5], [0, 1, 0.5], [0, 0, 0]]


@unhurried
@given(seeds)
def test_the_diagonal_of_the_confusion_matrix_is_the_accuracy_and_its_sum_the_pictures(seed: int) -> None:
    logits, targets = votes(seed)
    confusion = metrics.confusion_matrix(logits, targets)
    assert float(confusion.sum()) == pytest.approx(200)
    assert float(confusion.trace()) / 200 == pytest.approx(metrics.accuracy(logits, targets))


@unhurried
@given(seeds)
def test_predicting_the_targets_themselves_is_always_right_even_with_shared_tops(seed: int) -> None:
    _, targets = votes(seed)
    assert (metrics.top_words(targets).sum(dim=1) > 1).any()
    assert metrics.accuracy(targets, targets) == 1
    assert metrics.balanced_accuracy(targets, targets) == pytest.approx(1)
    assert metrics.macro_f1(targets, targets) == pytest.approx(1)


@unhurried
@given(seeds, st.permutations(range(6)))
def test_the_order_of_the_vocabulary_only_reorders_the_confusion_matrix(seed: int, order: list[int]) -> None:
    logits, targets = votes(seed)
    before = metrics.confusion_matrix(logits, targets)
    after = metrics.confusion_matrix(logits[:, order], targets[:, order])
    torch.testing.assert_close(after, before[order][:, order])


def test_negative_log_likelihood_is_scikit_learns_log_loss_for_single_labels() -> None:
    logits, targets, labels = single_labels(4)
    expected = log_loss(labels, softmax(logits.double().numpy(), axis=1), labels=range(8))
    assert metrics.negative_log_likelihood(logits, targets) == pytest.approx(expected)


def test_negative_log_likelihood_of_votes_is_torchs_cross_entropy_and_never_below_their_entropy() -> None:
    logits, targets = votes(5)
    expected = torch.nn.functional.cross_entropy(logits.double(), targets.double())
    assert metrics.negative_log_likelihood(logits, targets) == pytest.approx(float(expected))
    np.testing.assert_allclose(metrics.entropy(targets), scipy_entropy(targets, axis=1), atol=1e-7)
    assert (metrics.cross_entropy(logits, targets) >= metrics.entropy(targets) - 1e-12).all()
    torch.testing.assert_close(
        metrics.cross_entropy(targets.log().clamp(-1e3), targets), metrics.entropy(targets)
    )


def test_the_entropy_of_a_single_label_is_a_plain_zero() -> None:
    assert math.copysign(1, float(metrics.entropy(torch.eye(3))[0])) == 1


def test_brier_score_is_a_sum_over_classes_from_nothing_to_two() -> None:
    sure = torch.eye(3)
    assert metrics.brier_score(sure, sure) == 0
    assert metrics.brier_score(sure.roll(1, dims=1), sure) == 2
    logits, targets = votes(6)
    probabilities = logits.softmax(dim=1)
    slow = [
        sum((p - t) ** 2 for p, t in zip(row, target, strict=True))
        for row, target in zip(probabilities.tolist(), targets.tolist(), strict=True)
    ]
    assert metrics.brier_score(probabilities, targets) == pytest.approx(sum(slow) / 200)


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_expected_calibration_error_agrees_with_torchmetrics(bins: int) -> None:
    from torchmetrics.functional.classification import multiclass_calibration_error

    logits, targets, labels = single_labels(7, pictures=2000)
    probabilities = logits.double().softmax(dim=1)
    theirs = multiclass_calibration_error(probabilities, labels, num_classes=8, n_bins=bins, norm="l1")
    assert metrics.expected_calibration_error(probabilities, targets, bins=bins) == pytest.approx(
        float(theirs), abs=1e-6
    )


def test_a_probability_on_the_edge_of_two_bins_belongs_to_the_lower_as_in_the_paper() -> None:
    probabilities = torch.tensor([[0.6, 0.4], [0.61, 0.39], [1.0, 0.0]], dtype=torch.float64)
    sums = metrics.calibration_bins(probabilities, torch.eye(2)[[0, 0, 0]], bins=5)
    assert sums.pictures.tolist() == [0, 0, 1, 1, 1]


def test_adaptive_calibration_error_is_that_of_bins_of_equally_many_pictures() -> None:
    logits, targets, labels = single_labels(8, pictures=100)
    probabilities = logits.double().softmax(dim=1)
    rows = sorted(
        (float(row.max()), float(row.argmax() == label))
        for row, label in zip(probabilities, labels, strict=True)
    )
    fives = [rows[start : start + 20] for start in range(0, 100, 20)]
    slow = sum(abs(sum(confidence - right for confidence, right in part)) for part in fives) / 100
    assert metrics.adaptive_calibration_error(probabilities, targets, bins=5) == pytest.approx(slow)
    single = sum(abs(confidence - right) for confidence, right in rows) / 100
    assert metrics.adaptive_calibration_error(probabilities, targets, bins=1000) == pytest.approx(single)


@unhurried
@given(seeds)
def test_adaptive_calibration_error_of_equally_sure_pictures_does_not_depend_on_their_order(
    seed: int,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    probabilities = torch.tensor([[0.75, 0.25], [0.6, 0.4]], dtype=torch.float64)[[0, 1]].repeat(20, 1)
    targets = torch.eye(2)[torch.randint(2, (40,), generator=generator)]
    order = torch.randperm(40, generator=generator)
    before = metrics.adaptive_calibration_error(probabilities, targets, bins=7)
    after = metrics.adaptive_calibration_error(probabilities[order], targets[order], bins=7)
    assert after == pytest.approx(before)


@pytest.mark.parametrize("measure", [metrics.expected_calibration_error, metrics.adaptive_calibration_error])
def test_a_perfect_and_sure_model_has_no_calibration_error_and_a_wrong_one_has_all(
    measure: Callable[..., float],
) -> None:
    sure = torch.eye(4)
    assert measure(sure, sure) == 0
    assert measure(sure.roll(1, dims=1), sure) == 1
    with pytest.raises(SettingsError, match="at least one bin"):
        measure(sure, sure, bins=0)


SLOW_DISTANCES = {
    "chebyshev": distance.chebyshev,
    "clark": lambda p, t: math.sqrt(
        sum(((a - b) / (a + b)) ** 2 for a, b in zip(p, t, strict=True) if a + b)
    ),
    "canberra": distance.canberra,
    "kullback_leibler": lambda p, t: scipy_entropy(t, p),
    "cosine": lambda p, t: 1 - distance.cosine(p, t),
    "intersection": lambda p, t: sum(min(a, b) for a, b in zip(p, t, strict=True)),
}


@pytest.mark.parametrize("name", metrics.DISTRIBUTION_METRICS)
def test_measures_of_distributions_agree_with_scipy_or_a_slow_loop(name: str) -> None:
    logits, targets = votes(9)
    probabilities, targets = logits.double().softmax(dim=1), targets.double()
    slow = [SLOW_DISTANCES[name](p, t) for p, t in zip(probabilities.numpy(), targets.numpy(), strict=True)]
    np.testing.assert_allclose(metrics.DISTRIBUTION_METRICS[name](probabilities, targets), slow, atol=1e-12)
    assert metrics.label_distribution(probabilities, targets)[name] == pytest.approx(np.mean(slow))


def test_measures_of_distributions_have_the_ends_of_range_that_they_promise() -> None:
    one, other = torch.eye(2)[[0]], torch.eye(2)[[1]]
    best = {"chebyshev": 0, "clark": 0, "canberra": 0, "kullback_leibler": 0, "cosine": 1, "intersection": 1}
    worst = {
        "chebyshev": 1, "clark": math.sqrt(2), "canberra": 2, "kullback_leibler": math.inf, "cosine": 0,
        "intersection": 0,
    }  # fmt: skip
    assert metrics.label_distribution(one, one) == best
    assert metrics.label_distribution(one, other) == pytest.approx(worst)


def test_a_word_to_which_neither_side_gives_weight_adds_nothing() -> None:
    shorter = torch.tensor([[0.7, 0.3]]), torch.tensor([[0.2, 0.8]])
    longer = [torch.cat([table, torch.zeros(1, 3)], dim=1) for table in shorter]
    assert metrics.label_distribution(*shorter) == pytest.approx(metrics.label_distribution(*longer))


@unhurried
@given(seeds)
def test_the_order_of_the_pictures_changes_no_metric(seed: int) -> None:
    logits, targets = votes(seed)
    order = torch.randperm(len(logits), generator=torch.Generator().manual_seed(seed))
    of_logits: list[Callable[[Tensor, Tensor], float]] = [
        metrics.accuracy,
        metrics.balanced_accuracy,
        metrics.macro_f1,
        metrics.negative_log_likelihood,
    ]
    for measure in of_logits:
        assert measure(logits[order], targets[order]) == pytest.approx(measure(logits, targets))
    of_probabilities: list[Callable[[Tensor, Tensor], float]] = [
        metrics.brier_score,
        metrics.expected_calibration_error,
        metrics.adaptive_calibration_error,
    ]
    probabilities = logits.softmax(dim=1)
    for measure in of_probabilities:
        assert measure(probabilities[order], targets[order]) == pytest.approx(measure(probabilities, targets))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_predictions_of_any_precision_are_measured_as_they_are(kind: torch.dtype) -> None:
    logits, targets, labels = single_labels(10)
    rounded = logits.to(kind)
    assert metrics.accuracy(rounded, targets) == accuracy_score(labels, rounded.double().argmax(dim=1))
    assert metrics.negative_log_likelihood(rounded, targets) == pytest.approx(
        metrics.negative_log_likelihood(rounded.double(), targets)
    )


def test_gradients_do_not_travel_through_a_metric() -> None:
    logits, targets, _ = single_labels(0)
    assert not metrics.cross_entropy(logits.requires_grad_(), targets).requires_grad


@pytest.mark.parametrize("measure", [metrics.accuracy, metrics.macro_f1, metrics.negative_log_likelihood])
def test_no_pictures_are_an_error_and_not_a_nan(measure: Callable[..., float]) -> None:
    with pytest.raises(metrics.NoRows, match="nothing to measure"):
        measure(torch.zeros(0, 8), torch.zeros(0, 8))


@pytest.mark.parametrize("targets", [torch.tensor([0, 1]), torch.eye(3)[[0, 1]], torch.eye(2)[[0]]])
def test_targets_of_another_shape_are_refused_with_both_shapes(targets: Tensor) -> None:
    with pytest.raises(
        metrics.ShapesDiffer, match=r"outputs of shape \(2, 2\) and targets of shape .*one-hot"
    ):
        metrics.accuracy(torch.zeros(2, 2), targets)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_logits_that_are_not_finite_are_refused_with_the_row(bad: float) -> None:
    logits, targets, _ = single_labels(0)
    logits[7, 2] = bad
    with pytest.raises(metrics.NotFinite, match="row 7 "):
        metrics.accuracy(logits, targets)


def test_logits_where_probabilities_belong_are_refused() -> None:
    logits, targets, _ = single_labels(0)
    with pytest.raises(metrics.NotDistributions, match="Did you pass logits"):
        metrics.brier_score(logits, targets)


@pytest.mark.parametrize("row", [[3.0, 1.0], [1.5, -0.5], [0.0, 0.0], [math.nan, 1.0]])
def test_targets_that_are_no_distribution_are_refused_with_the_row(row: list[float]) -> None:
    with pytest.raises(metrics.NotMeasurable, match=r"[Rr]ow 1 "):
        metrics.accuracy(torch.zeros(2, 2), torch.tensor([[1.0, 0.0], row]))
