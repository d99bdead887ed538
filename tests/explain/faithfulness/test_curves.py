"""Perturbation curves: a true map does better than chance, and no change of scale matters."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectlens.errors import SettingsError
from affectlens.explain.faithfulness.curves import (
    Curve,
    Removal,
    RemovalOptions,
    by_cell,
    cell_numbers,
    faithfulness,
    ranks_from_greatest,
)
from planted_arrays import coarse_weights, noise, one_spot, spot_weights, summing, white, why_fear

CELLS = RemovalOptions(cells=7, steps=49, replacement="black", random_maps=8)


def test_a_true_map_beats_chance_and_chance_beats_its_reverse() -> None:
    model, image, truth = summing(coarse_weights()), white(), coarse_weights()
    right = faithfulness(model, image, why_fear(), truth, CELLS)
    wrong = faithfulness(model, image, why_fear(), -truth, CELLS)
    assert right.deletion_gain() > 0.1 and right.insertion_gain() > 0.1
    assert wrong.deletion_gain() < -0.1 and wrong.insertion_gain() < -0.1


def test_no_order_beats_the_true_one_where_pixels_add_up() -> None:
    removal = Removal(summing(coarse_weights()), white(), why_fear(), CELLS)
    best = removal.curves(coarse_weights())
    for curves in removal.random():
        assert best.deletion.area("log-odds") < curves.deletion.area("log-odds")
        assert best.insertion.area("log-odds") > curves.insertion.area("log-odds")


def test_the_one_spot_that_counts_is_gone_after_the_first_cell() -> None:
    truth = spot_weights(top=8, left=16, side=4, strength=5.0)
    curves = Removal(summing(truth), white(), why_fear(), CELLS).curves(truth)
    others = math.log(7)  # seven emotions of logit 0
    assert curves.deletion.answers == pytest.approx([5 - others] + 49 * [-others], abs=1e-5)
    assert curves.insertion.answers == pytest.approx([-others] + 49 * [5 - others], abs=1e-5)


def test_chance_against_chance_gives_no_difference() -> None:
    model = summing(coarse_weights())
    gains = []
    for seed in range(20):
        map_of_chance = noise(100 + seed)[0, 0]
        # Each is compared with other random maps: those of one seed may all be lucky.
        options = RemovalOptions(cells=7, steps=8, replacement="black", random_maps=10, seed=seed)
        found = faithfulness(model, white(), why_fear(), map_of_chance, options)
        gains.append(found.deletion_gain("normalised"))
    assert abs(np.mean(gains)) < 3 * np.std(gains, ddof=1) / len(gains) ** 0.5


@settings(max_examples=10, deadline=None)
@given(st.floats(0.01, 100), st.floats(-10, 10), st.sampled_from(["line", "cube", "exponential"]))
def test_only_the_order_of_a_map_counts(factor: float, offset: float, shape: str) -> None:
    values = coarse_weights()  # the same within each cell, so that means of cells keep their order
    removal = Removal(summing(values), noise(0), why_fear(), RemovalOptions(cells=7, steps=5))
    exact = values.astype(np.float64)
    bent = {"line": exact, "cube": exact**3, "exponential": np.exp(exact)}[shape]
    assert removal.curves(factor * bent + offset) == removal.curves(values)


def test_equal_values_are_taken_in_random_order_not_from_the_top_down() -> None:
    number = 400
    ranks = ranks_from_greatest(np.zeros(number), np.random.default_rng(0))
    assert sorted(ranks.tolist()) == list(range(number))
    assert abs(np.corrcoef(ranks, np.arange(number))[0, 1]) < 0.15


def test_greater_values_come_first() -> None:
    ranks = ranks_from_greatest(np.array([0.5, -1.0, 3.0, 0.6]), np.random.default_rng(0))
    assert ranks.tolist() == [2, 3, 0, 1]


def test_curves_start_and_end_at_the_picture_and_its_replacement() -> None:
    removal = Removal(one_spot(), noise(0), why_fear(), RemovalOptions(cells=7, steps=6))
    curves = removal.curves(noise(1)[0, 0])
    assert curves.deletion.answers[0] == curves.insertion.answers[-1] == removal.whole
    assert curves.deletion.answers[-1] == curves.insertion.answers[0] == removal.blank
    assert curves.deletion.shares[0] == 0 and curves.deletion.shares[-1] == 1
    assert len(curves.deletion.shares) == 7
    assert removal.whole != removal.blank


def test_more_steps_than_cells_are_as_many_as_cells() -> None:
    removal = Removal(one_spot(), noise(0), why_fear(), RemovalOptions(cells=2, steps=50))
    assert removal.curves(noise(1)[0, 0]).deletion.shares == (0, 0.25, 0.5, 0.75, 1)


def test_areas_are_mean_heights_on_each_scale() -> None:
    straight = Curve((0.0, 0.5, 1.0), (2.0, 0.0, -2.0), whole=2.0, blank=-2.0)
    assert straight.area("log-odds") == pytest.approx(0)
    assert straight.area("normalised") == pytest.approx(0.5)
    assert straight.area() == pytest.approx(0.5)
    early = Curve((0.0, 0.1, 1.0), (2.0, -2.0, -2.0), whole=2.0, blank=-2.0)
    assert early.area("normalised") == pytest.approx(0.05)


def test_a_picture_that_scores_no_more_than_its_replacement_has_no_normalised_area() -> None:
    assert math.isnan(Curve((0.0, 1.0), (0.1, 0.0), whole=0.1, blank=0.0).area("normalised"))
    assert math.isnan(Curve((0.0, 1.0), (0.0, 3.0), whole=0.0, blank=3.0).area("normalised"))


def test_without_random_maps_there_is_no_gain_and_json_has_none() -> None:
    found = faithfulness(
        one_spot(), white(), why_fear(), white()[0, 0], RemovalOptions(cells=4, random_maps=0)
    )
    assert math.isnan(found.deletion_gain())
    data = found.to_json()
    assert data["deletion"]["gain"] is None and data["deletion"]["random"] is None
    assert found.beats_random is None and data["beats_random"] is None
    assert data["random_maps"] == 0 and isinstance(data["insertion"]["area"], float)


def test_a_map_beats_random_ones_only_if_it_is_better_than_each_of_them_both_ways() -> None:
    truth = spot_weights()
    options = replace(CELLS, seed=2)
    for values, expected in ((truth, True), (-truth, False), (0 * truth, False)):
        found = faithfulness(one_spot(strength=30.0), white(), why_fear(), values, options)
        assert found.beats_random is expected
        assert found.to_json()["beats_random"] is expected


def test_a_map_of_another_size_is_an_error() -> None:
    with pytest.raises(SettingsError, match=r"\(7, 7\) pixels, the image \(28, 28\)"):
        faithfulness(one_spot(), white(), why_fear(), np.zeros((7, 7), np.float32))


# ------------------------------------------------------------------------------------------------ cells


@settings(max_examples=25, deadline=None)
@given(st.integers(3, 60), st.integers(3, 60), st.integers(2, 20))
def test_cells_are_numbered_without_gaps_and_cover_every_pixel(height: int, width: int, cells: int) -> None:
    numbers = cell_numbers(height, width, cells)
    assert numbers.shape == (height, width)
    assert np.unique(numbers).tolist() == list(range(int(numbers.max()) + 1))


def test_a_cell_has_the_mean_of_its_pixels() -> None:
    values = np.arange(16.0).reshape(4, 4)
    assert by_cell(values, cell_numbers(4, 4, 2)).tolist() == [2.5, 4.5, 10.5, 12.5]
