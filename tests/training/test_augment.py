"""Random variations of pictures: what each setting does."""

from typing import Any

import pytest
import torch
from torchvision.transforms.v2 import functional as torchvision

from affectlens.errors import SettingsError
from affectlens.images import resize
from affectlens.models.network_input import to_tensor
from affectlens.training.augment import Augmentation, augment

STILL = Augmentation(crop_scale=1.0, flip=0.0)


def picture(height: int = 60, width: int = 90) -> torch.Tensor:
    return torch.randint(0, 256, (3, height, width), generator=torch.Generator().manual_seed(0)).to(
        torch.uint8
    )


def varied(settings: Augmentation, seed: int, pixels: torch.Tensor) -> torch.Tensor:
    torch.manual_seed(seed)
    return augment(pixels, settings, 32, 40)


@pytest.mark.parametrize(
    "settings",
    [
        Augmentation(),
        STILL,
        Augmentation(colour_jitter=0.4),
        Augmentation(rand_augment=9),
        Augmentation(erase=1.0),
        Augmentation(lighting=1.0),
        Augmentation(squash=24),
        Augmentation(
            squash=50,
            lighting=0.1,
            crop_scale=0.05,
            crop_ratio=3.0,
            flip=1.0,
            colour_jitter=1.0,
            rand_augment=30,
            erase=0.5,
        ),
    ],
)
@pytest.mark.parametrize("size", [(60, 90), (1, 300), (20, 20)])
def test_any_variation_of_any_picture_is_of_the_size_of_the_network(
    settings: Augmentation, size: tuple[int, int]
) -> None:
    for seed in range(3):
        made = varied(settings, seed, picture(*size))
        assert made.shape == (3, 32, 40)
        assert made.dtype == torch.uint8


def test_a_variation_depends_on_the_seed_alone() -> None:
    settings = Augmentation(colour_jitter=0.4, rand_augment=9, lighting=0.1, erase=0.5)
    made = [varied(settings, seed, picture()) for seed in (1, 1, 2, 3)]
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])
    assert not torch.equal(made[2], made[3])


def resized(pixels: torch.Tensor, height: int, width: int) -> torch.Tensor:
    made: torch.Tensor = torchvision.resize(pixels, [height, width], antialias=True)
    return made


def test_without_variation_a_picture_is_only_resized_as_it_is_in_use_to_within_a_level() -> None:
    made = varied(STILL, 0, picture())
    assert torch.equal(made, resized(picture(), 32, 40))
    in_use = to_tensor(resize(picture().permute(1, 2, 0).numpy(), 32, 40))
    assert (made.int() - in_use.int()).abs().max() <= 1


def test_a_mirrored_picture_is_mirrored() -> None:
    mirrored = varied(Augmentation(crop_scale=1.0, flip=1.0), 0, picture())
    assert torch.equal(mirrored, resized(picture(), 32, 40).flip(2))


def test_half_of_the_pictures_are_mirrored() -> None:
    plain = resized(picture(), 32, 40)
    same = sum(
        torch.equal(varied(Augmentation(crop_scale=1.0), seed, picture()), plain) for seed in range(200)
    )
    assert 70 < same < 130  # five standard deviations


def test_jitter_changes_colour_within_its_strength_and_nothing_else() -> None:
    grey = torch.full((3, 8, 8), 100, dtype=torch.uint8)
    settings = Augmentation(crop_scale=1.0, flip=0.0, colour_jitter=0.2)
    levels = {int(varied(settings, seed, grey).float().mean()) for seed in range(40)}
    assert len(levels) > 10
    assert min(levels) >= 79
    assert max(levels) <= 121


def shifts(strength: float, level: int, count: int) -> torch.Tensor:
    """By how many levels lighting moves red, green and blue of flat pictures, (count, 3)."""
    flat = torch.full((3, 2, 2), level, dtype=torch.uint8)
    settings = Augmentation(crop_scale=1.0, flip=0.0, lighting=strength)
    made = [augment(flat, settings, 2, 2).float().flatten(1) for _ in range(count)]
    assert all(torch.equal(colour, colour[:, :1].expand_as(colour)) for colour in made), "not flat any more"
    return torch.stack([colour[:, 0] for colour in made]) - level


def test_lighting_moves_the_channels_together_by_as_much_as_alexnet_s_did() -> None:
    torch.manual_seed(0)
    moved = shifts(0.1, 128, 4000)
    # By hand from the published axes, red: 5.546 * 0.5675, 0.4794 * 0.7192 and 0.1148 * 0.4009 -> 3.17,
    # and a twelfth of a level squared for the rounding.
    expected = torch.tensor([3.18, 3.23, 3.27])
    torch.testing.assert_close(moved.std(dim=0), expected, rtol=0.05, atol=0)
    assert moved.mean(dim=0).abs().max() < 0.25  # five standard errors
    assert torch.corrcoef(moved.T).min() > 0.93


def test_lighting_off_the_grey_axis_is_smaller_and_redder_where_it_is_less_blue() -> None:
    torch.manual_seed(0)
    moved = shifts(1.0, 128, 2000)
    # The second axis: red against blue, 4.794 * (0.7192 + 0.6948) apart, the third and first all but equal.
    assert float((moved[:, 0] - moved[:, 2]).std()) == pytest.approx(6.84, rel=0.08)


def test_light_beyond_white_or_black_is_clipped_and_does_not_wrap_round() -> None:
    torch.manual_seed(0)
    assert -60 < shifts(0.1, 255, 200).min() <= shifts(0.1, 255, 200).max() == 0
    assert 60 > shifts(0.1, 0, 200).max() >= shifts(0.1, 0, 200).min() == 0


def test_a_shift_of_light_is_rounded_to_the_nearest_level_and_so_has_no_bias() -> None:
    torch.manual_seed(0)
    moved = shifts(0.005, 100, 4000)  # by a sixth of a level: almost all stays; cut off, half would fall
    assert (moved == 0).float().mean() > 0.98


def test_a_squashed_picture_loses_its_shape_before_it_is_cropped() -> None:
    settings = Augmentation(crop_scale=1.0, flip=0.0, squash=16)
    assert torch.equal(varied(settings, 0, picture()), resized(resized(picture(), 16, 16), 32, 40))


def test_a_crop_of_a_squashed_picture_is_square_on_the_square() -> None:
    rows = torch.arange(64, dtype=torch.uint8).view(1, 64, 1).expand(3, 64, 256)
    columns = torch.arange(256, dtype=torch.uint8).view(1, 1, 256).expand(3, 64, 256)
    settings = Augmentation(crop_scale=0.2, crop_ratio=1.0, flip=0.0, squash=64)
    for seed in range(5):  # a square crop spans the same share of both sides, one a quarter of the other
        height = varied(settings, seed, rows).float()[:, :, 0]
        width = varied(settings, seed, columns).float()[:, 0]
        share = float((height.max() - height.min()) / 64)
        assert float((width.max() - width.min()) / 256) == pytest.approx(share, abs=0.06)
        assert share < 0.95


def test_an_erased_part_is_black() -> None:
    white = torch.full((3, 60, 90), 255, dtype=torch.uint8)
    made = varied(Augmentation(crop_scale=1.0, erase=1.0), 0, white)
    assert set(made.flatten().tolist()) == {0, 255}


@pytest.mark.parametrize(
    ("name", "value"),
    [("crop_scale", 0.0), ("crop_scale", 1.1), ("crop_ratio", 0.9), ("flip", -0.1), ("erase", 2.0),
     ("colour_jitter", 1.5), ("lighting", -0.1), ("lighting", 1.1), ("squash", -1),
     ("rand_augment", 31), ("rand_augment", -1), ("flip", float("nan"))],
)  # fmt: skip
def test_an_impossible_strength_is_an_error_that_names_it(name: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=name):
        Augmentation(**{name: value})
