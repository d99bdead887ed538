"""The transfer curve of sRGB: from stored levels to amounts of light, and back.

Standard: IEC 61966-2-1. Both functions keep the type of what they are given, arrays of any shape with values
in 0..1.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def srgb_to_linear(levels: NDArray[Any]) -> NDArray[Any]:
    """Light of stored levels, both in 0..1.

    >>> srgb_to_linear(np.array([0.0, 0.04, 0.5, 1.0])).round(4).tolist()
    [0.0, 0.0031, 0.214, 1.0]
    """
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(light: NDArray[Any]) -> NDArray[Any]:
    """Stored levels of light, both in 0..1.

    >>> linear_to_srgb(np.array([0.0, 0.003, 0.214, 1.0])).round(3).tolist()
    [0.0, 0.039, 0.5, 1.0]
    """
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
