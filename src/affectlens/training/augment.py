"""Pixels -> a random variation of them of the network's size: what training sees.

All random numbers come from torch's global generator, so that the caller seeds it for each picture
(`training.batches` does) and a picture's variation depends on nothing else.
"""

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor

from affectlens.errors import SettingsError

# How the colours of ImageNet's pixels vary (Krizhevsky et al., "ImageNet Classification with Deep
# Convolutional Neural Networks", NeurIPS 2012): for each principal axis the length of its variation in
# levels 0..255, and its share of red, green and blue. The first is brightness; the others are small.
_AXIS_LENGTHS = (55.46, 4.794, 1.148)
_AXES = (
    (-0.5675, -0.5808, -0.5836),
    (0.7192, -0.0045, -0.6948),
    (0.4009, -0.8140, 0.4203),
)


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How strongly training pictures are varied, in the order in which it is done.

    Attributes:
        squash: the picture is first resized to a square of this side, whatever its shape; 0 is off.
        crop_scale: smallest fraction of the picture's area that a random crop keeps; 1 keeps all.
        crop_ratio: largest stretch of a crop, at least 1: 4/3 allows 3:4 to 4:3.
        flip: probability of mirroring left and right.
        rand_augment: magnitude 0..30 of two random operations a picture (Cubuk et al., 2020); 0 is off.
        colour_jitter: brightness, contrast and saturation are each scaled by 1 +- this. Colour carries
            emotion (dark and grey is sad), so a strong jitter removes what is to be learned.
        lighting: all pixels move together along the principal axes of ImageNet's colours, by a normal
            sample of this standard deviation for each axis (Krizhevsky et al., 2012); 0.1 moves a channel by
            some 3 levels of 255.
        erase: probability of erasing a random rectangle (Zhong et al., 2020).
    """

    squash: int = 0
    crop_scale: float = 0.35
    crop_ratio: float = 4 / 3
    flip: float = 0.5
    rand_augment: int = 0
    colour_jitter: float = 0.0
    lighting: float = 0.0
    erase: float = 0.0

    def __post_init__(self) -> None:
        if self.squash < 0:
            raise SettingsError(f"squash must be a side in pixels, or 0 for none, not {self.squash}.")
        if not 0 < self.crop_scale <= 1:
            raise SettingsError(f"crop_scale must be above 0 and at most 1, not {self.crop_scale}.")
        if self.crop_ratio < 1:
            raise SettingsError(f"crop_ratio must be at least 1, not {self.crop_ratio}.")
        for name in ("flip", "erase", "colour_jitter", "lighting"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"{name} must be between 0 and 1, not {getattr(self, name)}.")
        if not 0 <= self.rand_augment <= 30:
            raise SettingsError(f"rand_augment must be between 0 and 30, not {self.rand_augment}.")


@lru_cache
def transform(settings: Augmentation, height: int, width: int) -> Any:
    """Compose torchvision transforms: uint8 (3, H, W) -> uint8 (3, height, width)."""
    from torchvision.transforms import v2  # here: it takes a second to import

    steps: list[Any] = []
    if settings.squash:
        steps.append(v2.Resize((settings.squash, settings.squash), antialias=True))
    steps += [
        v2.RandomResizedCrop(
            (height, width),
            scale=(settings.crop_scale, 1.0),
            ratio=(1 / settings.crop_ratio, settings.crop_ratio),
            antialias=True,
        )
        if settings.crop_scale < 1
        else v2.Resize((height, width), antialias=True),
        v2.RandomHorizontalFlip(settings.flip),
    ]
    if settings.rand_augment:
        steps.append(v2.RandAugment(num_ops=2, magnitude=settings.rand_augment))
    if settings.colour_jitter:
        strength = settings.colour_jitter
        steps.append(v2.ColorJitter(strength, strength, strength))
    if settings.lighting:
        steps.append(partial(_relight, strength=settings.lighting))
    if settings.erase:
        steps.append(v2.RandomErasing(settings.erase))
    return v2.Compose(steps)


def _relight(pixels: Tensor, strength: float) -> Tensor:
    """Move every pixel by the same random colour, rounded and clipped: uint8 (3, H, W) -> the same."""
    along = torch.randn(3) * strength * torch.tensor(_AXIS_LENGTHS)
    shift = (along[:, None] * torch.tensor(_AXES)).sum(dim=0)  # (3,), levels of red, green and blue
    return (pixels + shift.view(3, 1, 1)).round().clamp(0, 255).to(torch.uint8)


def augment(pixels: Tensor, settings: Augmentation, height: int, width: int) -> Tensor:
    """Vary one picture: uint8 (3, H, W) -> uint8 (3, height, width)."""
    varied: Tensor = transform(settings, height, width)(pixels)
    return varied.to(torch.uint8).contiguous()
