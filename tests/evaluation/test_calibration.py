"""The temperature that makes probabilities honest, and the data of a reliability diagram."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from torch import Tensor

from affectlens import metrics
from affectlens.evaluation.calibration import COLDEST, HOTTEST, fit_temperature, reliability

unhurried = settings(deadline=None)  # the first call into torch is slow


def honest(seed: int, *, pictures: int = 4000, spread: float = 2.0) -> tuple[Tensor, Tensor]:
    """Logits, and one-hot targets sampled from their own softmax: twice (N, 8)."""
    generator = torch.Generator().manual_seed(seed)
    logits = spread * torch.randn(pictures, 8, generator=generator, dtype=torch.float64)
    sampled = torch.multinomial(logits.softmax(dim=1), 1, generator=generator).squeeze(1)
    return logits, torch.eye(8)[sampled]


@pytest.mark.parametrize("temperature", [0.25, 1.0, 3.0])
def test_the_temperature_that_spoiled_honest_logits_is_found(temperature: float) -> None:
    logits, targets = honest(0)
    spoiled = logits * temperature
    found = fit_temperature(spoiled, targets)
    assert found == pytest.approx(temperature, rel=0.06)
    probabilities = (spoiled / found).softmax(dim=1)
    assert metrics.expected_calibration_error(probabilities, targets) < 0.025


def test_votes_that_are_a_softmax_give_their_temperature_exactly() -> None:
    logits, _ = honest(1, pictures=50)
    assert fit_temperature(logits, (logits / 2.5).softmax(dim=1)) == pytest.approx(2.5, rel=1e-6)


@unhurried
@given(st.integers(0, 10_000), st.floats(0.1, 30))
def test_no_other_temperature_within_the_bounds_is_better(seed: int, spread: float) -> None:
    logits, targets = honest(seed, pictures=30, spread=spread)
    targets = targets.roll(seed % 2, dims=0)  # half of the time with labels that carry no information
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
    shifted = logits + 2.0**power * torch.arange(-15, 15)[:, None]
    assert fit_temperature(shifted, targets) == pytest.approx(fit_temperature(logits, targets), rel=1e-6)


def test_all_right_ends_at_the_cold_bound_and_all_wrong_at_the_hot_one() -> None:
    targets = torch.eye(4)
    assert fit_temperature(targets, targets) == pytest.approx(COLDEST)
    assert fit_temperature(targets.roll(1, dims=1), targets) == pytest.approx(HOTTEST)


@pytest.mark.parametrize(
    "logits",
    [
        torch.zeros(5, 3),
        torch.full((5, 3), 7.3),
        torch.tensor([[1.0, 2.0, 3.0]]).repeat(5, 1),
        torch.tensor([[1e4, 0.0, 0.0]]).repeat(5, 1),
        torch.tensor([[0.0, 1e30, 0.0]]).repeat(5, 1),
    ],
    ids=["zero", "constant", "the same for all", "right beyond doubt", "wrong beyond doubt"],
)
@pytest.mark.parametrize("rows", [1, 5])
def test_degenerate_logits_give_a_temperature_within_bounds_that_raises_no_loss(
    logits: Tensor, rows: int
) -> None:
    logits, targets = logits[:rows], torch.eye(3)[[0] * rows]
    found = fit_temperature(logits, targets)
    assert COLDEST <= found <= HOTTEST
    after = metrics.negative_log_likelihood(logits.double() / found, targets)
    assert after <= metrics.negative_log_likelihood(logits, targets)


@pytest.mark.parametrize("logits", [torch.zeros(5, 3), torch.full((5, 3), 7.3), torch.randn(5, 1)])
def test_where_temperature_makes_no_difference_it_stays_exactly_one(logits: Tensor) -> None:
    targets = torch.eye(logits.shape[1])[[0] * 5]
    assert fit_temperature(logits, targets) == 1.0


def test_what_cannot_be_measured_cannot_be_calibrated() -> None:
    with pytest.raises(metrics.NoRows):
        fit_temperature(torch.zeros(0, 3), torch.zeros(0, 3))
    with pytest.raises(metrics.NotFinite):
        fit_temperature(torch.full((2, 2), math.nan), torch.eye(2))


def test_bins_of_a_reliability_diagram_hold_means_counts_and_nothing_where_they_are_empty() -> None:
    probabilities = torch.tensor([[0.7, 0.3], [0.8, 0.2], [0.45, 0.55]], dtype=torch.float64)
    low, high = reliability(probabilities, torch.eye(2)[[0, 1, 1]], bins=2)
    assert (low.low, low.high, low.count, low.confidence, low.accuracy) == (0.0, 0.5, 0, None, None)
    assert (high.low, high.high, high.count) == (0.5, 1.0, 3)
    assert high.confidence == pytest.approx((0.7 + 0.8 + 0.55) / 3)
    assert high.accuracy == pytest.approx(2 / 3)
    assert json.loads(json.dumps(low.to_json(), allow_nan=False))["accuracy"] is None


@unhurried
@given(st.integers(0, 10_000), st.integers(1, 20))
def test_the_gaps_of_the_diagram_add_up_to_the_expected_calibration_error(seed: int, bins: int) -> None:
    logits, targets = honest(seed, pictures=100)
    probabilities = logits.softmax(dim=1)
    gaps = [
        item.count * abs(item.confidence - item.accuracy)
        for item in reliability(probabilities, targets, bins)
        if item.confidence is not None and item.accuracy is not None
    ]
    expected = metrics.expected_calibration_error(probabilities, targets, bins=bins)
    assert sum(gaps) / 100 == pytest.approx(expected)
