"""Frames of films in PQ and HLG, tone mapped to sRGB.

Letters: h x w pixels.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affectlens.colour import linear_to_srgb

# Transfer characteristics of ITU-T H.273.
PQ, HLG = 16, 18
HDR = {PQ: "PQ", HLG: "HLG"}
# Luminance in cd/m2 of a white page in HDR films, and of the screen that they are shown on here (BT.2408).
WHITE = 203.0
# Luminance in cd/m2 that films are taken to be mastered for: the greatest of most screens.
PEAK = 1000.0
_M1, _M2, _C1, _C2, _C3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
_BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], dtype=np.float32
)


def as_sdr(array: NDArray[np.uint16], transfer: int) -> NDArray[np.uint8]:
    """Tone map PQ or HLG to sRGB: uint16 (h, w, 3) -> uint8 (h, w, 3).

    Transfer curves: ITU-R BT.2100. Brightness: the curve of ITU-R BT.2390 (section 5.4), from `PEAK` to
    `WHITE` cd/m2, applied to the greatest of red, green and blue, so that no colour changes its hue. Colours:
    BT.2087, and those that sRGB does not have are cut off.
    """
    table = _light_of(transfer)
    light = table[array >> 4]  # (h, w, 3), cd/m2
    if transfer == HLG:  # what the screen adds: a power of the scene's luminance, 1.2 for 1000 cd/m2
        luminance = light @ np.array([0.2627, 0.6780, 0.0593], dtype=np.float32)
        light = light * (np.maximum(luminance, 1e-6) / PEAK)[..., None] ** np.float32(0.2)
    brightest = light.max(axis=2, keepdims=True)
    mapped = _from_pq(_compressed(_to_pq(np.minimum(brightest, PEAK))))
    light = light * (mapped / np.maximum(brightest, 1e-6))
    linear = np.clip(light @ _BT2020_TO_BT709.T / WHITE, 0, 1)
    return (linear_to_srgb(linear) * 255).round().astype(np.uint8)


@lru_cache(maxsize=2)
def _light_of(transfer: int) -> NDArray[np.float32]:
    """Light, in cd/m2, of each of 4096 stored values; of HLG, before what the screen adds."""
    stored = np.linspace(0, 1, 4096)
    if transfer == PQ:
        return _from_pq(stored).astype(np.float32)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(stored <= 0.5, stored**2 / 3, (np.exp((stored - c) / a) + b) / 12)
    return (scene * PEAK).astype(np.float32)


def _to_pq(light: NDArray[Any]) -> NDArray[Any]:
    power = (np.maximum(light, 0) / 10_000) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2  # type: ignore[no-any-return]


def _from_pq(stored: NDArray[Any]) -> NDArray[Any]:
    power = stored ** (1 / _M2)
    return 10_000 * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1)


def _compressed(stored: NDArray[Any]) -> NDArray[Any]:
    """BT.2390's curve on PQ values: the same up to a knee, then a spline that ends at the screen's white."""
    source, target = float(_to_pq(np.array(PEAK))), float(_to_pq(np.array(WHITE)))
    value, top = stored / source, target / source
    knee = 1.5 * top - 0.5
    t = np.clip((value - knee) / (1 - knee), 0, 1)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * top
    )
    return np.where(value < knee, value, spline) * source
