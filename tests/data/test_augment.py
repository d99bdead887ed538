from typing import Any

import pytest
import torch

from affectlens.data.augment import Augmentation, augment
from affectlens.errors import SettingsError
from affectlens.preprocess import resize

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
        Augmentation(
            crop_scale=0.05, crop_ratio=3.0, flip=1.0, colour_jitter=1.0, rand_augment=30, erase=0.5
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
    settings = Augmentation(colour_jitter=0.4, rand_augment=9, erase=0.5)
    made = [varied(settings, seed, picture()) for seed in (1, 1, 2, 3)]
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])
    assert not torch.equal(made[2], made[3])


def test_without_variation_a_picture_is_only_resized() -> None:
    assert torch.equal(varied(STILL, 0, picture()), resize(picture(), 32, 40))


def test_a_mirrored_picture_is_mirrored() -> None:
    mirrored = varied(Augmentation(crop_scale=1.0, flip=1.0), 0, picture())
    assert torch.equal(mirrored, resize(picture(), 32, 40).flip(2))


def test_half_of_the_pictures_are_mirrored() -> None:
    plain = resize(picture(), 32, 40)
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


def test_an_erased_part_is_black() -> None:
    white = torch.full((3, 60, 90), 255, dtype=torch.uint8)
    made = varied(Augmentation(crop_scale=1.0, erase=1.0), 0, white)
    assert set(made.flatten().tolist()) == {0, 255}


@pytest.mark.parametrize(
    ("name", "value"),
    [("crop_scale", 0.0), ("crop_scale", 1.1), ("crop_ratio", 0.9), ("flip", -0.1), ("erase", 2.0),
     ("colour_jitter", 1.5), ("rand_augment", 31), ("rand_augment", -1), ("flip", float("nan"))],
)  # fmt: skip
def test_an_impossible_strength_is_an_error_that_names_it(name: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=name):
        Augmentation(**{name: value})
