"""Occlusion finds what is lost when a patch is covered."""

import numpy as np
import pytest

from affectlens.errors import SettingsError
from affectlens.explain.methods.occlusion import Occlusion
from planted_arrays import noise, one_spot, white, why_fear


def test_the_only_spot_that_counts_gets_all_that_is_lost_and_the_rest_nothing() -> None:
    found = Occlusion(patch=1 / 7, stride=1 / 7, replacement="black")(
        one_spot(top=8, left=16, strength=5.0), white(), why_fear()
    )
    expected = np.zeros((28, 28), np.float32)
    expected[8:12, 16:20] = 5
    np.testing.assert_allclose(found.values, expected, rtol=1.3e-6, atol=1e-5)
    assert not found.sums_up
    assert (found.details["patch"], found.details["stride"]) == (4, 4)


def test_a_pixel_that_several_patches_cover_gets_the_mean_of_what_they_cost() -> None:
    found = Occlusion(patch=1 / 7, stride=1 / 14, replacement="black")(
        one_spot(top=8, left=16, strength=8.0), white(), why_fear()
    )
    # Of the nine patches of 4 pixels that touch the spot in steps of 2, four cover its corner pixel: one
    # covers all of it, two a half, one a quarter.
    assert float(found.values[8, 16]) == pytest.approx(8 * (1 + 1 / 2 + 1 / 2 + 1 / 4) / 4)
    assert float(found.values[2, 2]) == pytest.approx(0, abs=1e-6)


def test_patches_that_do_not_fit_evenly_still_cover_every_pixel() -> None:
    found = Occlusion(patch=0.3, stride=0.3, replacement="black")(
        one_spot(top=24, left=24), white(), why_fear()
    )
    assert float(found.values[27, 27]) == pytest.approx(5, rel=1e-4)


def test_the_size_of_the_batch_changes_nothing() -> None:
    model, image = one_spot(), noise(0)
    maps = [Occlusion(batch_size=size)(model, image, why_fear()).values for size in (1, 10, 500)]
    np.testing.assert_allclose(maps[0], maps[1], rtol=1.3e-6, atol=1e-5)
    np.testing.assert_allclose(maps[0], maps[2], rtol=1.3e-6, atol=1e-5)
    assert float(maps[0].std()) > 0


# Of a side of 28: patches that fit, with and without overlap, and one that overhangs.
@pytest.mark.needs("torch")
@pytest.mark.parametrize(("patch", "stride"), [(4, 2), (7, 4), (4, 4), (8, 6)])
def test_on_a_network_it_is_captums(patch: int, stride: int) -> None:
    import torch
    from captum import attr

    from planted import model_of, small_network

    model, image, question = model_of(small_network()), noise(0), why_fear()
    ours = Occlusion(patch=patch / 28, stride=stride / 28, replacement="black")(model, image, question)
    assert (ours.details["patch"], ours.details["stride"]) == (patch, stride)
    theirs = attr.Occlusion(lambda images: model.score(images, question)).attribute(
        torch.from_numpy(image), (3, patch, patch), (3, stride, stride), baselines=0
    )
    np.testing.assert_allclose(ours.values, theirs[0, 0].numpy(), atol=1e-5)
    assert float(ours.values.std()) > 0.1


@pytest.mark.parametrize("options", [{"patch": 0}, {"patch": 1.5}, {"patch": 0.1, "stride": 0.2}])
def test_a_patch_that_is_no_share_or_steps_that_leave_gaps_are_errors(options: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match="expected"):
        Occlusion(**options)  # type: ignore[arg-type]
