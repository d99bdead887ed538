"""Ratings: scales and their intervals, what reads them, and that intervals hold what they promise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectlens.errors import SettingsError
from affectlens.ratings import (
    BadRatings,
    RatingHead,
    RatingScale,
    conformal_half_widths,
    rescaled,
)

SCALE = RatingScale(name="valence", coverages=(0.5, 0.9, 0.95), half_widths=(1.0, 2.0, 3.0))


def test_an_interval_is_that_of_the_next_higher_coverage_and_ends_where_the_scale_does() -> None:
    assert SCALE.rating(5.0) == (5.0, 3.0, 7.0)
    assert SCALE.rating(5.0, 0.8) == SCALE.rating(5.0, 0.9)
    assert SCALE.rating(8.5) == (8.5, 6.5, 9.0)
    assert SCALE.rating(-3.0) == (1.0, 1.0, 1.0), "all are cut off at the ends of the scale"


@given(st.floats(-20, 20), st.floats(0.01, 0.95), st.floats(0.01, 0.95))
def test_intervals_are_nested_in_coverage_and_hold_the_mean(mean: float, one: float, other: float) -> None:
    narrow, wide = (SCALE.rating(mean, coverage) for coverage in sorted((one, other)))
    assert wide.low <= narrow.low <= narrow.mean <= narrow.high <= wide.high


@pytest.mark.parametrize("coverage", [0.0, 1.0, 0.96, -1.0, float("nan")])
def test_a_coverage_that_is_not_known_is_refused_with_what_is(coverage: float) -> None:
    with pytest.raises(SettingsError, match=r"up to 0\.95"):
        SCALE.half_width(coverage)


def test_an_unusual_picture_is_promised_half_the_misses_as_far_as_that_is_known() -> None:
    assert SCALE.stricter(0.5) == 0.75 and SCALE.stricter(0.9) == pytest.approx(0.95)
    assert SCALE.stricter(0.95) == 0.95


def test_a_scale_comes_back_from_json_as_it_was() -> None:
    assert RatingScale.from_json(SCALE.to_json()) == SCALE


@pytest.mark.parametrize(
    "changed",
    [
        {"low": 9.0}, {"coverages": (0.9, 0.5, 0.95)}, {"coverages": (0.5, 0.9, 1.0)},
        {"half_widths": (1.0, 2.0)}, {"half_widths": (3.0, 2.0, 1.0)}, {"half_widths": (0.0, 1.0, 2.0)},
        {"coverages": (), "half_widths": ()},
        {"half_widths": (1.0, 2.0, float("inf"))}, {"half_widths": (1.0, float("nan"), 3.0)},
    ],
)  # fmt: skip
def test_a_scale_that_cannot_be_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises((BadRatings, ValueError)):
        RatingScale.from_json(SCALE.to_json() | changed)


def test_ends_of_scales_are_brought_to_ends_and_the_middle_to_the_middle() -> None:
    assert [rescaled(value, (1, 7)) for value in (1, 4, 7)] == [1, 5, 9]
    assert rescaled(rescaled(2.5, (0, 10)), (1, 9), (0, 10)) == pytest.approx(2.5)


def test_a_head_reads_what_its_weights_are_and_comes_back_from_its_arrays() -> None:
    rng = np.random.default_rng(0)
    head = RatingHead(rng.normal(size=(2, 5)).astype(np.float32), np.array([1.0, 2.0], np.float32))
    features = rng.normal(size=(3, 5))
    np.testing.assert_allclose(head.read(features), features @ head.weights.T + head.offsets, rtol=1e-5)
    back = RatingHead.from_tensors(head.tensors())
    assert np.array_equal(back.weights, head.weights) and np.array_equal(back.offsets, head.offsets)


def test_arrays_that_do_not_read_ratings_are_refused() -> None:
    with pytest.raises(BadRatings, match=r"no ratings\.weights"):
        RatingHead.from_tensors({})
    for weights in (np.ones(3), np.ones((1, 3)), np.full((2, 3), np.nan)):
        with pytest.raises(BadRatings, match="finite weights"):
            RatingHead.from_tensors({"ratings.weights": weights, "ratings.offsets": np.ones(2)})


def test_half_widths_hold_their_promise_over_two_hundred_planted_worlds() -> None:
    """With 99 pictures to learn from, a share between .9 and .91 of new ones lies within, on average."""
    rng = np.random.default_rng(0)
    met = []
    for _ in range(200):
        known, new = np.abs(rng.standard_t(3, size=(2, 99)))  # heavy tails
        (half_width,) = conformal_half_widths(known, [0.9])
        met.append(np.mean(new <= half_width))
    # The exact expectation is 90 / 100; four standard errors of the mean over the worlds.
    assert abs(np.mean(met) - 0.9) < 4 * np.std(met) / np.sqrt(len(met))


def test_too_few_errors_for_a_coverage_are_refused() -> None:
    assert conformal_half_widths(np.arange(9.0), [0.9]) == (8.0,)
    with pytest.raises(BadRatings, match=r"8 finite errors are too few .* 0\.9"):
        conformal_half_widths(np.arange(8.0), [0.5, 0.9])
    with pytest.raises(BadRatings):
        conformal_half_widths(np.array([1.0, np.nan] * 50), [0.5])


def test_labels_are_read_in_percent_and_stored_with_the_head_that_reads_them() -> None:
    weights = np.array([[1.0, 0.0], [1.0, 0.0]], np.float32)
    head = RatingHead(weights, np.zeros(2, np.float32), np.array([False, True]))
    features = np.array([[0.0, 9.0], [1000.0, 9.0], [np.log(3), 9.0]], np.float32)
    np.testing.assert_allclose(head.read(features)[:, 0], features[:, 0], rtol=1e-6)
    np.testing.assert_allclose(head.read(features)[:, 1], [50, 100, 75], rtol=1e-5)
    read = RatingHead.from_tensors(head.tensors())
    assert read.is_percent(1) and not read.is_percent(0)
    np.testing.assert_array_equal(read.read(features), head.read(features))
    assert set(RatingHead(weights, np.zeros(2, np.float32)).tensors()) == {
        "ratings.weights",
        "ratings.offsets",
    }
    with pytest.raises(BadRatings):
        RatingHead(weights, np.zeros(2, np.float32), np.array([True]))


def test_a_scale_in_percent_is_stored_and_others_are_stored_as_before() -> None:
    plain = RatingScale(name="valence", coverages=(0.9,), half_widths=(1.0,)).to_json()
    assert "is_percent" not in plain and not RatingScale.from_json(plain).is_percent
    cosy = RatingScale(name="cosy", low=0, high=100, coverages=(0.9,), half_widths=(9.0,), is_percent=True)
    assert RatingScale.from_json(cosy.to_json()) == cosy and RatingScale.from_json(plain).to_json() == plain
