"""RISE: random masks, the regression on them, and its standard error."""

import pytest
import torch

from affectlens.errors import SettingsError
from affectlens.explain.methods.rise import PixelRegression, Rise
from planted import OneSpot, model_of, noise, white, why_fear


def test_it_points_to_the_only_spot_that_counts() -> None:
    found = Rise(masks=300, replacement="black")(model_of(OneSpot(top=8, left=16)), white(), why_fear())
    row, column = divmod(int(found.values.argmax()), 28)
    assert 8 <= row < 12 and 16 <= column < 20
    assert float(found.values.max()) == pytest.approx(5, rel=0.4)  # log-odds that the spot is worth
    assert abs(float(found.values[:4, :8].mean())) < 1


def test_the_same_seed_gives_the_same_map_in_batches_of_any_size_and_another_seed_another() -> None:
    model = model_of(OneSpot())
    first, again, other = (
        Rise(masks=40, seed=seed)(model, noise(0), why_fear()).values for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


def test_two_maps_differ_by_their_standard_errors() -> None:
    """Over many seeds the spread of a map is what one map reports of itself."""
    model = model_of(OneSpot())
    maps = [Rise(masks=100, seed=seed, replacement="black")(model, white(), why_fear()) for seed in range(30)]
    spread = float(torch.stack([found.values for found in maps]).var(dim=0).mean().sqrt())
    claimed = sum(found.details["standard_error"] for found in maps) / len(maps)
    assert claimed == pytest.approx(spread, rel=0.15)


def test_four_times_the_masks_halve_the_standard_error() -> None:
    model = model_of(OneSpot())
    few, many = (Rise(masks=masks)(model, noise(0), why_fear()).details for masks in (200, 800))
    assert few["standard_error"] / many["standard_error"] == pytest.approx(2, rel=0.15)
    assert many["noise"] < few["noise"]


def test_masks_are_smooth_keep_their_share_and_reach_every_pixel() -> None:
    masks = torch.cat(list(Rise(masks=400, cells=4, kept=0.3).sample_masks(30, 42)))
    assert masks.shape == (400, 1, 30, 42)
    assert float(masks.mean()) == pytest.approx(0.3, abs=0.03)
    assert float(masks.amin()) >= 0 and float(masks.amax()) <= 1
    assert float(masks.std(dim=0).min()) > 0.2
    assert float(masks.diff(dim=3).abs().max()) < 0.25  # no edge that the network could take for one


def test_a_coefficient_is_that_of_the_line_through_masks_and_scores() -> None:
    generator = torch.Generator().manual_seed(0)
    masks, scores = torch.rand(50, 1, 1, generator=generator), torch.randn(50, generator=generator)
    regression = PixelRegression()
    for begin in (0, 20):
        end = begin + (20 if begin == 0 else 30)
        regression.add(masks[begin:end], 1000 + scores[begin:end])
    design = torch.stack([torch.ones(50), masks[:, 0, 0]], dim=1).double()
    expected = torch.linalg.lstsq(design, scores[:, None].double()).solution[:, 0]
    left = scores.double() - design @ expected
    variance = (left**2).sum() / 48 * torch.linalg.inv(design.T @ design)[1, 1]
    assert float(regression.coefficients()) == pytest.approx(float(expected[1]), rel=1e-3)
    assert float(regression.standard_errors()) == pytest.approx(float(variance.sqrt()), rel=1e-3)


@pytest.mark.parametrize("options", [{"masks": 2}, {"cells": 1}, {"kept": 1.0}])
def test_options_that_cannot_be_are_errors(options: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match="expected"):
        Rise(**options)  # type: ignore[arg-type]
