"""Each metric at the edges of what it means. `test_metrics_elsewhere` compares them with other libraries."""

import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectlens import metrics
from affectlens.errors import SettingsError
from affectlens.metrics import Doubles
from outputs import single_labels, votes

seeds = st.integers(0, 10_000)
unhurried = settings(deadline=None)  # however busy the machine is


def test_an_emotion_that_neither_occurs_nor_is_predicted_does_not_lower_the_averages() -> None:
    targets = np.eye(4)[[0, 1, 1]]
    assert metrics.balanced_accuracy(targets, targets) == 1
    assert metrics.macro_f1(targets, targets) == 1


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


def test_the_entropy_of_a_single_label_is_a_plain_zero() -> None:
    assert math.copysign(1, metrics.entropy(np.eye(3))[0]) == 1


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


def test_lists_are_measured_like_arrays() -> None:
    logits, targets, _ = single_labels(10)
    assert metrics.macro_f1(logits.tolist(), targets.tolist()) == metrics.macro_f1(logits, targets)


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
