"""The temperature that makes probabilities honest, and the data of a reliability diagram."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectlens import metrics
from affectlens.evaluation.calibration import COLDEST, HOTTEST, fit_temperature, reliability
from affectlens.metrics import Doubles, softmax

unhurried = settings(deadline=None)  # however busy the machine is


def honest(seed: int, *, pictures: int = 4000, spread: float = 2.0) -> tuple[Doubles, Doubles]:
    """Logits, and one-hot targets sampled from their own softmax: twice (N, 8)."""
    rng = np.random.default_rng(seed)
    logits = spread * rng.normal(size=(pictures, 8))
    return logits, rng.multinomial(1, softmax(logits)).astype(np.float64)


@pytest.mark.parametrize("temperature", [0.25, 1.0, 3.0])
def test_the_temperature_that_spoiled_honest_logits_is_found(temperature: float) -> None:
    logits, targets = honest(0)
    spoiled = logits * temperature
    found = fit_temperature(spoiled, targets)
    assert found == pytest.approx(temperature, rel=0.06)
    probabilities = softmax(spoiled / found)
    assert metrics.expected_calibration_error(probabilities, targets) < 0.025


def test_votes_that_are_a_softmax_give_their_temperature_exactly() -> None:
    logits, _ = honest(1, pictures=50)
    assert fit_temperature(logits, softmax(logits / 2.5)) == pytest.approx(2.5, rel=1e-9)


@pytest.mark.needs("scipy")
@unhurried
@given(st.integers(0, 10_000), st.floats(0.1, 30))
def test_no_other_temperature_within_the_bounds_is_better(seed: int, spread: float) -> None:
    from scipy.optimize import minimize_scalar

    logits, targets = honest(seed, pictures=30, spread=spread)
    targets = np.roll(targets, seed % 2, axis=0)  # half of the time with labels that carry no information
    found = fit_temperature(logits, targets)

    def loss(log_temperature: float) -> float:
        return metrics.negative_log_likelihood(logits / math.exp(log_temperature), targets)

    other = minimize_scalar(loss, bounds=(math.log(COLDEST), math.log(HOTTEST)), method="bounded")
    assert COLDEST <= found <= HOTTEST
    assert loss(math.log(found)) <= other.fun + 1e-9
    assert loss(math.log(found)) <= loss(0.0)


@unhurried
@given(st.integers(0, 10_000), st.integers(0, 38))
def test_a_shift_of_all_logits_of_a_picture_changes_nothing_however_large(seed: int, power: int) -> None:
    logits, targets = honest(seed, pictures=30)
    logits = (logits * 2**10).round() / 2**10  # so that even the largest shift loses no digit
    shifted = logits + 2.0**power * np.arange(-15, 15)[:, None]
    assert fit_temperature(shifted, targets) == pytest.approx(fit_temperature(logits, targets), rel=1e-6)


def test_all_right_ends_at_the_cold_bound_and_all_wrong_at_the_hot_one() -> None:
    targets = np.eye(4)
    assert fit_temperature(targets, targets) == pytest.approx(COLDEST)
    assert fit_temperature(np.roll(targets, 1, axis=1), targets) == pytest.approx(HOTTEST)


@pytest.mark.parametrize(
    "logits",
    [
        np.zeros((5, 3)),
        np.full((5, 3), 7.3),
        np.tile([1.0, 2.0, 3.0], (5, 1)),
        np.tile([1e4, 0.0, 0.0], (5, 1)),
        np.tile([0.0, 1e30, 0.0], (5, 1)),
    ],
    ids=["zero", "constant", "the same for all", "right beyond doubt", "wrong beyond doubt"],
)
@pytest.mark.parametrize("rows", [1, 5])
def test_degenerate_logits_give_a_temperature_within_bounds_that_raises_no_loss(
    logits: Doubles, rows: int
) -> None:
    logits, targets = logits[:rows], np.eye(3)[[0] * rows]
    found = fit_temperature(logits, targets)
    assert COLDEST <= found <= HOTTEST
    after = metrics.negative_log_likelihood(logits / found, targets)
    assert after <= metrics.negative_log_likelihood(logits, targets)


@pytest.mark.parametrize("logits", [np.zeros((5, 3)), np.full((5, 3), 7.3), np.arange(5.0)[:, None]])
def test_where_temperature_makes_no_difference_it_stays_exactly_one(logits: Doubles) -> None:
    targets = np.eye(logits.shape[1])[[0] * 5]
    assert fit_temperature(logits, targets) == 1.0


def test_what_cannot_be_measured_cannot_be_calibrated() -> None:
    with pytest.raises(metrics.NoRows):
        fit_temperature(np.zeros((0, 3)), np.zeros((0, 3)))
    with pytest.raises(metrics.NotFinite):
        fit_temperature(np.full((2, 2), math.nan), np.eye(2))


def test_bins_of_a_reliability_diagram_hold_means_counts_and_nothing_where_they_are_empty() -> None:
    probabilities = [[0.7, 0.3], [0.8, 0.2], [0.45, 0.55]]
    low, high = reliability(probabilities, np.eye(2)[[0, 1, 1]], bins=2)
    assert (low.low, low.high, low.count, low.confidence, low.accuracy) == (0.0, 0.5, 0, None, None)
    assert (high.low, high.high, high.count) == (0.5, 1.0, 3)
    assert high.confidence == pytest.approx((0.7 + 0.8 + 0.55) / 3)
    assert high.accuracy == pytest.approx(2 / 3)
    assert json.loads(json.dumps(low.to_json(), allow_nan=False))["accuracy"] is None


@unhurried
@given(st.integers(0, 10_000), st.integers(1, 20))
def test_the_gaps_of_the_diagram_add_up_to_the_expected_calibration_error(seed: int, bins: int) -> None:
    logits, targets = honest(seed, pictures=100)
    probabilities = softmax(logits)
    gaps = [
        item.count * abs(item.confidence - item.accuracy)
        for item in reliability(probabilities, targets, bins)
        if item.confidence is not None and item.accuracy is not None
    ]
    expected = metrics.expected_calibration_error(probabilities, targets, bins=bins)
    assert sum(gaps) / 100 == pytest.approx(expected)
