"""Each metric against SciPy, scikit-learn, torchmetrics, torch or a slow loop."""

import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch
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
from outputs import single_labels, votes


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


@pytest.mark.parametrize("k", [1, 2, 3, 8])
def test_top_k_accuracy_agrees_with_scikit_learn(k: int) -> None:
    logits, targets, labels = single_labels(3)
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # k = 8 is always right
        expected = top_k_accuracy_score(labels, logits, k=k, labels=range(8))
    assert metrics.top_k_accuracy(logits, targets, k=k) == pytest.approx(expected)


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


def test_probabilities_of_logits_are_scipys_softmax_also_where_powers_would_overflow() -> None:
    logits, _, _ = single_labels(4)
    np.testing.assert_allclose(metrics.softmax(1e3 * logits), softmax(1e3 * logits, axis=1), atol=1e-15)


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


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_predictions_of_any_precision_are_measured_as_they_are(kind: type[np.floating[Any]]) -> None:
    logits, targets, labels = single_labels(10)
    rounded = logits.astype(kind)
    assert metrics.accuracy(rounded, targets) == accuracy_score(labels, rounded.argmax(axis=1))
    exact = metrics.negative_log_likelihood(rounded.astype(np.float64), targets)
    assert metrics.negative_log_likelihood(rounded, targets.astype(kind)) == exact


def test_rows_sampled_with_replacement_are_those_that_torch_gave_for_the_seed() -> None:
    generator = torch.Generator().manual_seed(7)
    sampler = metrics.RowSampler(7)
    for count, shape in ((1, (3,)), (5, (40, 3)), (118_102, (2, 50))):
        expected = torch.randint(count, shape, generator=generator).numpy()
        np.testing.assert_array_equal(sampler.rows(count, shape), expected)


def test_tensors_on_the_cpu_are_measured_like_arrays() -> None:
    logits, targets, _ = single_labels(10)
    found = metrics.macro_f1(torch.from_numpy(logits), torch.from_numpy(targets))
    assert found == metrics.macro_f1(logits, targets)
