"""Each metric against SciPy, scikit-learn, torchmetrics or a slow loop, and at the edges of what it means."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
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

from affectlens import metrics
from affectlens.errors import SettingsError
from affectlens.metrics import Doubles


def single_labels(
    seed: int, *, pictures: int = 300, emotions: int = 8, occurring: int | None = None
) -> tuple[Doubles, Doubles, NDArray[np.int64]]:
    """Logits (N, E), one-hot targets (N, E) and labels (N,); the last emotions may be left out."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(occurring or emotions, size=pictures)
    targets = np.eye(emotions)[labels]
    return rng.normal(size=(pictures, emotions)) + 1.5 * targets, targets, labels


def votes(seed: int, *, pictures: int = 200, emotions: int = 6) -> tuple[Doubles, Doubles]:
    """Logits and targets from ten votes a picture, so with zeros and shared tops: twice (N, E)."""
    rng = np.random.default_rng(seed)
    cast = rng.integers(emotions, size=(pictures, 10))
    targets = np.eye(emotions)[cast].sum(axis=1) / 10
    return rng.normal(size=(pictures, emotions)) + 5 * targets, targets


seeds = st.integers(0, 10_000)
unhurried = settings(deadline=None)  # however busy the machine is


@pytest.mark.parametrize("occurring", [8, 5])
def test_hard_metrics_agree_with_scikit_learn_also_where_emotions_are_absent(occurring: int) -> None:
    logits, targets, labels = single_labels(1, occurring=occurring)
    predicted = logits.argmax(axis=1)
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
        labels, logits.argmax(axis=1), labels=range(8), zero_division=np.nan
    )
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other)
    assert np.isnan(ours.precision[4]) and ours.f1[4] == 0
    assert np.isnan(ours.recall[6]) and ours.f1[6] == 0
    assert np.isnan(ours.f1[7])


def test_an_emotion_that_neither_occurs_nor_is_predicted_does_not_lower_the_averages() -> None:
    targets = np.eye(4)[[0, 1, 1]]
    assert metrics.balanced_accuracy(targets, targets) == 1
    assert metrics.macro_f1(targets, targets) == 1


@pytest.mark.parametrize("k", [1, 2, 3, 8])
def test_top_k_accuracy_agrees_with_scikit_learn(k: int) -> None:
    logits, targets, labels = single_labels(3)
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # k = 8 is always right
        expected = top_k_accuracy_score(labels, logits, k=k, labels=range(8))
    assert metrics.top_k_accuracy(logits, targets, k=k) == pytest.approx(expected)


def test_among_equal_outputs_the_first_is_the_prediction_in_every_metric() -> None:
    logits, targets = np.zeros((2, 100)), np.eye(100)[[0, 1]]
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
    targets = np.array([[0.4, 0.4, 0.2]] * 3)
    logits = np.eye(3)  # one prediction of each
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
    assert (metrics.top_words(targets).sum(axis=1) > 1).any()
    assert metrics.accuracy(targets, targets) == 1
    assert metrics.balanced_accuracy(targets, targets) == pytest.approx(1)
    assert metrics.macro_f1(targets, targets) == pytest.approx(1)


@unhurried
@given(seeds, st.permutations(range(6)))
def test_the_order_of_the_vocabulary_only_reorders_the_confusion_matrix(seed: int, order: list[int]) -> None:
    logits, targets = votes(seed)
    before = metrics.confusion_matrix(logits, targets)
    after = metrics.confusion_matrix(logits[:, order], targets[:, order])
    np.testing.assert_allclose(after, before[order][:, order])


def test_negative_log_likelihood_is_scikit_learns_log_loss_for_single_labels() -> None:
    logits, targets, labels = single_labels(4)
    expected = log_loss(labels, softmax(logits, axis=1), labels=range(8))
    assert metrics.negative_log_likelihood(logits, targets) == pytest.approx(expected)


def test_negative_log_likelihood_of_votes_is_torchs_cross_entropy_and_never_below_their_entropy() -> None:
    logits, targets = votes(5)
    expected = torch.nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(targets))
    assert metrics.negative_log_likelihood(logits, targets) == pytest.approx(float(expected))
    np.testing.assert_allclose(metrics.entropy(targets), scipy_entropy(targets, axis=1), atol=1e-12)
    assert (metrics.cross_entropy(logits, targets) >= metrics.entropy(targets) - 1e-12).all()
    honest = np.log(np.maximum(targets, 1e-300))
    np.testing.assert_allclose(metrics.cross_entropy(honest, targets), metrics.entropy(targets), atol=1e-12)


def test_the_entropy_of_a_single_label_is_a_plain_zero() -> None:
    assert math.copysign(1, metrics.entropy(np.eye(3))[0]) == 1


def test_probabilities_of_logits_are_scipys_softmax_also_where_powers_would_overflow() -> None:
    logits, _, _ = single_labels(4)
    np.testing.assert_allclose(metrics.softmax(1e3 * logits), softmax(1e3 * logits, axis=1), atol=1e-15)


def test_brier_score_is_a_sum_over_classes_from_nothing_to_two() -> None:
    sure = np.eye(3)
    assert metrics.brier_score(sure, sure) == 0
    assert metrics.brier_score(np.roll(sure, 1, axis=1), sure) == 2
    logits, targets = votes(6)
    probabilities = metrics.softmax(logits)
    slow = [
        sum((p - t) ** 2 for p, t in zip(row, target, strict=True))
        for row, target in zip(probabilities.tolist(), targets.tolist(), strict=True)
    ]
    assert metrics.brier_score(probabilities, targets) == pytest.approx(sum(slow) / 200)


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_expected_calibration_error_agrees_with_torchmetrics(bins: int) -> None:
    from torchmetrics.functional.classification import multiclass_calibration_error

    logits, targets, labels = single_labels(7, pictures=2000)
    probabilities = metrics.softmax(logits)
    theirs = multiclass_calibration_error(
        torch.from_numpy(probabilities), torch.from_numpy(labels), num_classes=8, n_bins=bins, norm="l1"
    )
    assert metrics.expected_calibration_error(probabilities, targets, bins=bins) == pytest.approx(
        float(theirs), abs=1e-6
    )


def test_a_probability_on_the_edge_of_two_bins_belongs_to_the_lower_as_in_the_paper() -> None:
    probabilities = np.array([[0.6, 0.4], [0.61, 0.39], [1.0, 0.0]])
    sums = metrics.calibration_bins(probabilities, np.eye(2)[[0, 0, 0]], bins=5)
    assert sums.pictures.tolist() == [0, 0, 1, 1, 1]


def test_adaptive_calibration_error_is_that_of_bins_of_equally_many_pictures() -> None:
    logits, targets, labels = single_labels(8, pictures=100)
    probabilities = metrics.softmax(logits)
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
    rng = np.random.default_rng(seed)
    probabilities = np.tile([[0.75, 0.25], [0.6, 0.4]], (20, 1))
    targets = np.eye(2)[rng.integers(2, size=40)]
    order = rng.permutation(40)
    before = metrics.adaptive_calibration_error(probabilities, targets, bins=7)
    after = metrics.adaptive_calibration_error(probabilities[order], targets[order], bins=7)
    assert after == pytest.approx(before)


@unhurried
@given(seeds, st.permutations(range(6)))
def test_pictures_are_equally_sure_whichever_emotions_they_are_sure_of(seed: int, order: list[int]) -> None:
    logits, targets = votes(seed)
    # Whole logits, each row with one that is highest: many pictures are equally sure but for last digits.
    logits = logits.round() + (logits == logits.max(axis=1, keepdims=True))
    before = metrics.adaptive_calibration_error(metrics.softmax(logits), targets, bins=7)
    after = metrics.adaptive_calibration_error(metrics.softmax(logits[:, order]), targets[:, order], bins=7)
    assert after == pytest.approx(before)


@pytest.mark.parametrize("measure", [metrics.expected_calibration_error, metrics.adaptive_calibration_error])
def test_a_perfect_and_sure_model_has_no_calibration_error_and_a_wrong_one_has_all(
    measure: Callable[..., float],
) -> None:
    sure = np.eye(4)
    assert measure(sure, sure) == 0
    assert measure(np.roll(sure, 1, axis=1), sure) == 1
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
    probabilities = metrics.softmax(logits)
    slow = [SLOW_DISTANCES[name](p, t) for p, t in zip(probabilities, targets, strict=True)]
    np.testing.assert_allclose(metrics.DISTRIBUTION_METRICS[name](probabilities, targets), slow, atol=1e-12)
    assert metrics.label_distribution(probabilities, targets)[name] == pytest.approx(np.mean(slow))


def test_measures_of_distributions_have_the_ends_of_range_that_they_promise() -> None:
    one, other = np.eye(2)[[0]], np.eye(2)[[1]]
    best = {"chebyshev": 0, "clark": 0, "canberra": 0, "kullback_leibler": 0, "cosine": 1, "intersection": 1}
    worst = {
        "chebyshev": 1, "clark": math.sqrt(2), "canberra": 2, "kullback_leibler": math.inf, "cosine": 0,
        "intersection": 0,
    }  # fmt: skip
    assert metrics.label_distribution(one, one) == best
    assert metrics.label_distribution(one, other) == pytest.approx(worst)


def test_a_word_to_which_neither_side_gives_weight_adds_nothing() -> None:
    shorter = np.array([[0.7, 0.3]]), np.array([[0.2, 0.8]])
    longer = [np.pad(table, ((0, 0), (0, 3))) for table in shorter]
    assert metrics.label_distribution(*shorter) == pytest.approx(metrics.label_distribution(*longer))


@unhurried
@given(seeds)
def test_the_order_of_the_pictures_changes_no_metric(seed: int) -> None:
    logits, targets = votes(seed)
    order = np.random.default_rng(seed).permutation(len(logits))
    of_logits: list[Callable[[Doubles, Doubles], float]] = [
        metrics.accuracy,
        metrics.balanced_accuracy,
        metrics.macro_f1,
        metrics.negative_log_likelihood,
    ]
    for measure in of_logits:
        assert measure(logits[order], targets[order]) == pytest.approx(measure(logits, targets))
    of_probabilities: list[Callable[[Doubles, Doubles], float]] = [
        metrics.brier_score,
        metrics.expected_calibration_error,
        metrics.adaptive_calibration_error,
    ]
    probabilities = metrics.softmax(logits)
    for measure in of_probabilities:
        assert measure(probabilities[order], targets[order]) == pytest.approx(measure(probabilities, targets))


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_predictions_of_any_precision_are_measured_as_they_are(kind: type[np.floating[Any]]) -> None:
    logits, targets, labels = single_labels(10)
    rounded = logits.astype(kind)
    assert metrics.accuracy(rounded, targets) == accuracy_score(labels, rounded.argmax(axis=1))
    exact = metrics.negative_log_likelihood(rounded.astype(np.float64), targets)
    assert metrics.negative_log_likelihood(rounded, targets.astype(kind)) == exact


def test_lists_and_tensors_on_the_cpu_are_measured_like_arrays() -> None:
    logits, targets, _ = single_labels(10)
    expected = metrics.macro_f1(logits, targets)
    assert metrics.macro_f1(logits.tolist(), targets.tolist()) == expected
    assert metrics.macro_f1(torch.from_numpy(logits), torch.from_numpy(targets)) == expected


def test_no_metric_changes_the_arrays_that_it_was_given() -> None:
    logits, targets = votes(11)
    probabilities = metrics.softmax(logits)
    for array in (logits, targets, probabilities):
        array.flags.writeable = False
    metrics.macro_f1(logits, targets)
    metrics.negative_log_likelihood(logits, targets)
    metrics.adaptive_calibration_error(probabilities, targets)
    metrics.label_distribution(probabilities, targets)


def test_intervals_are_quantiles_of_what_is_defined_and_undefined_where_nothing_is() -> None:
    values = np.random.default_rng(12).normal(size=500)
    holes = np.insert(values, [0, 100, 500], math.nan)
    assert metrics.bootstrap_interval(holes) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])))
    with warnings.catch_warnings(action="error"):
        assert all(map(math.isnan, metrics.bootstrap_interval([math.nan, math.nan])))


def test_undefined_figures_are_no_warnings() -> None:
    with warnings.catch_warnings(action="error"):
        assert math.isnan(metrics.mean_recall(np.zeros((3, 3))))
        assert metrics.mean_f1([[2.0, 0.0], [0.0, 0.0]]) == 1
        assert metrics.label_distribution([[1.0, 0.0]], [[0.0, 1.0]])["kullback_leibler"] == math.inf


def test_rows_sampled_with_replacement_are_those_that_torch_gave_for_the_seed() -> None:
    generator = torch.Generator().manual_seed(7)
    sampler = metrics.RowSampler(7)
    for count, shape in ((1, (3,)), (5, (40, 3)), (118_102, (2, 50))):
        expected = torch.randint(count, shape, generator=generator).numpy()
        np.testing.assert_array_equal(sampler.rows(count, shape), expected)


@pytest.mark.parametrize("measure", [metrics.accuracy, metrics.macro_f1, metrics.negative_log_likelihood])
def test_no_pictures_are_an_error_and_not_a_nan(measure: Callable[..., float]) -> None:
    with pytest.raises(metrics.NoRows, match="nothing to measure"):
        measure(np.zeros((0, 8)), np.zeros((0, 8)))


@pytest.mark.parametrize("targets", [np.array([0, 1]), np.eye(3)[[0, 1]], np.eye(2)[[0]]])
def test_targets_of_another_shape_are_refused_with_both_shapes(targets: Doubles) -> None:
    with pytest.raises(
        metrics.ShapesDiffer, match=r"outputs of shape \(2, 2\) and targets of shape .*one-hot"
    ):
        metrics.accuracy(np.zeros((2, 2)), targets)


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
        metrics.accuracy(np.zeros((2, 2)), [[1.0, 0.0], row])
