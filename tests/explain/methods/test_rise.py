"""RISE: random masks, the regression on them, and its standard error."""

import numpy as np
import pytest

from affectlens.errors import SettingsError
from affectlens.explain.methods.rise import PixelRegression, Rise
from planted_arrays import noise, one_spot, white, why_fear


def test_it_points_to_the_only_spot_that_counts() -> None:
    found = Rise(masks=300, replacement="black")(one_spot(top=8, left=16), white(), why_fear())
    row, column = divmod(int(found.values.argmax()), 28)
    assert 8 <= row < 12 and 16 <= column < 20
    assert float(found.values.max()) == pytest.approx(5, rel=0.4)  # log-odds that the spot is worth
    assert abs(float(found.values[:4, :8].mean())) < 1


def test_the_same_seed_gives_the_same_map_and_another_seed_another() -> None:
    model = one_spot()
    first, again, other = (
        Rise(masks=40, seed=seed)(model, noise(0), why_fear()).values for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)


def test_two_maps_differ_by_their_standard_errors() -> None:
    """Over many seeds the spread of a map is what one map reports of itself."""
    model = one_spot()
    maps = [Rise(masks=100, seed=seed, replacement="black")(model, white(), why_fear()) for seed in range(30)]
    variances = np.stack([found.values for found in maps]).var(axis=0, ddof=1)
    claimed = sum(found.details["standard_error"] for found in maps) / len(maps)
    assert claimed == pytest.approx(float(variances.mean()) ** 0.5, rel=0.15)


def test_four_times_the_masks_halve_the_standard_error() -> None:
    model = one_spot()
    few, many = (Rise(masks=masks)(model, noise(0), why_fear()).details for masks in (200, 800))
    assert few["standard_error"] / many["standard_error"] == pytest.approx(2, rel=0.15)
    assert many["noise"] < few["noise"]


def test_masks_are_smooth_keep_their_share_and_reach_every_pixel() -> None:
    masks = np.concatenate(list(Rise(masks=400, cells=4, kept=0.3).sample_masks(30, 42)))
    assert masks.shape == (400, 30, 42) and masks.dtype == np.float32
    assert float(masks.mean()) == pytest.approx(0.3, abs=0.03)
    assert float(masks.min()) >= 0 and float(masks.max()) <= 1
    assert float(masks.std(axis=0).min()) > 0.2
    assert float(np.abs(np.diff(masks, axis=2)).max()) < 0.25  # no edge that the network could take for one


def test_a_coefficient_is_that_of_the_line_through_masks_and_scores() -> None:
    generator = np.random.default_rng(0)
    masks, scores = generator.random((50, 1, 1), dtype=np.float32), generator.standard_normal(50)
    regression = PixelRegression()
    for begin, end in ((0, 20), (20, 50)):
        regression.add(masks[begin:end], 1000 + scores[begin:end])
    design = np.stack([np.ones(50), masks[:, 0, 0]], axis=1)
    expected = np.linalg.lstsq(design, scores)[0]
    left = scores - design @ expected
    variance = (left**2).sum() / 48 * np.linalg.inv(design.T @ design)[1, 1]
    assert regression.coefficients() == pytest.approx(np.array([[expected[1]]]), rel=1e-3)
    assert regression.standard_errors() == pytest.approx(np.array([[variance**0.5]]), rel=1e-3)


@pytest.mark.parametrize("options", [{"masks": 2}, {"cells": 1}, {"kept": 1.0}])
def test_options_that_cannot_be_are_errors(options: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match="expected"):
        Rise(**options)  # type: ignore[arg-type]
