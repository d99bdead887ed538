"""Maps of numbers laid on pictures, so that the picture can still be read under them.

A map tints the picture's grey: orange where its values are positive, blue where negative, a pair that people
with any of the common colour deficiencies can distinguish; the stronger, the more colour. Light and dark of
the picture stay, so that what is under the colour can be recognised. The scale is symmetric around 0.

Letters: H x W pixels of the picture.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]  # (H, W, 3)
Colours = NDArray[np.float64]  # (H, W, 3), in 0..1

# Orange and blue, both of middling lightness, in 0..1.
FOR, AGAINST = (0.95, 0.52, 0.02), (0.13, 0.47, 0.93)
# Quantile of strengths that has full colour; a few pixels beyond it look the same.
STRONG = 0.995
# Of full strength: less has no colour, or all of the picture had a little.
FAINT = 0.06
CLEAREST = 0.92  # opacity at full strength
_LUMA = np.array([0.299, 0.587, 0.114])
_HATCH = 9  # pixels between the lines over what has no value


@dataclass(frozen=True)
class ColourScale:
    """The strength, in the unit of a map, that has full colour; 0 for the maximum of each map."""

    full: float
    unit: str

    @classmethod
    def of(cls, values: NDArray[np.float32], unit: str) -> "ColourScale":
        """Choose the scale for the values of all maps that are shown together."""
        return cls(float(np.quantile(np.abs(values), STRONG)) or 1.0, unit)


def overlay(values: NDArray[np.float64], picture: Picture, full: float) -> Picture:
    """Lay a map, (H, W), on its picture: `full` is the strength with full colour.

    Where a value is NaN the picture is faded and hatched.
    """
    grey = _light(picture)
    missing = np.isnan(values)
    laid = tinted(grey, np.where(missing, 0, values / full))
    laid[missing] = _hatched(grey)[missing]
    return _bytes(laid)


def overlay_layer(values: NDArray[np.float32], full: float) -> NDArray[np.uint8]:
    """Draw a map, (H, W), as a layer to be laid over its picture: uint8 (H, W, 4), with opacity.

    Where a value is NaN nothing is drawn. `full` is the strength with full colour.
    """
    strength = np.where(np.isnan(values), 0, values / full)
    hue = np.where(strength[..., None] >= 0, FOR, AGAINST)
    return _bytes(np.concatenate([hue, opacity_of(strength)[..., None]], axis=2))


def tinted(grey: NDArray[np.float64], strength: NDArray[np.float64]) -> Colours:
    """Tint a grey picture: (H, W) in 0..1 and strengths in -1..1 (beyond is cut) -> (H, W, 3)."""
    opacity = opacity_of(strength)[..., None]
    hue = np.where(strength[..., None] >= 0, FOR, AGAINST)
    # Black and white take colour, too: light runs from a darkened hue to a whitened one.
    light = 0.32 + 0.38 * grey[..., None]
    coloured = np.where(light < 0.5, hue * light * 2, hue + (1 - hue) * (light - 0.5) * 2)
    laid: Colours = (1 - opacity) * (0.08 + 0.87 * grey[..., None]) + opacity * coloured
    return laid


def opacity_of(strength: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much of a map's colour is laid on: 0 where it is faint, `CLEAREST` at full strength and beyond."""
    grown = np.clip((np.abs(strength) - FAINT) / (1 - FAINT), 0, 1)
    return CLEAREST * grown**0.75


def _light(picture: Picture) -> NDArray[np.float64]:
    grey: NDArray[np.float64] = picture @ _LUMA / 255
    return grey


def _hatched(grey: NDArray[np.float64]) -> Colours:
    """Fade a picture and draw lines across it: (H, W) -> (H, W, 3)."""
    rows, columns = np.indices(grey.shape)
    lines = (rows + columns) % _HATCH < 2
    faded = np.where(lines, 0.55, 0.72 + 0.25 * grey)
    return np.repeat(faded[..., None], 3, axis=2)


def _bytes(colours: Colours) -> Picture:
    return (colours.clip(0, 1) * 255).round().astype(np.uint8)
