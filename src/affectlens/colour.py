"""Colours of pictures and films, from stored levels to sRGB: transfer curves, primaries, tone mapping.

Standards: IEC 61966-2-1 (sRGB); ITU-R BT.2100 (PQ, HLG), BT.2087 (BT.2020), BT.2390 (tone mapping),
BT.2408 (white); ITU-T H.273, whose code points films, PNG, AVIF and HEIC state.

Letters: h x w pixels.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# Transfer characteristics of ITU-T H.273.
PQ, HLG = 16, 18
HDR = {PQ: "PQ", HLG: "HLG"}
_LINEAR, _GAMMA_2_2, _GAMMA_2_8 = 8, 4, 5
# Colour primaries of ITU-T H.273.
BT2020 = 9
# Luminance in cd/m2 of a white page in HDR, and of the screen that it is shown on here (BT.2408).
WHITE = 203.0
# Luminance in cd/m2 that films are taken to be mastered for: the greatest of most screens.
PEAK = 1000.0
_M1, _M2, _C1, _C2, _C3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128

# From light of these primaries, with the white of sRGB, to that of sRGB. Primaries that are not here are
# those of sRGB, or too near to be seen (SMPTE 170M, BT.470 BG).
_TO_SRGB = {
    BT2020: ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187)),
    # Display P3
    12: ((1.2249, -0.2247, 0.0), (-0.0420, 1.0419, 0.0), (-0.0197, -0.0786, 1.0979)),
}
_SRGB_CHROMATICITIES = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_ROWS_AT_ONCE = 1 << 18  # pixels that are converted at once, so that memory stays small


def srgb_to_linear(levels: NDArray[Any]) -> NDArray[Any]:
    """Light of stored levels, both in 0..1; arrays of any shape, whose type is kept.

    >>> srgb_to_linear(np.array([0.0, 0.04, 0.5, 1.0])).round(4).tolist()
    [0.0, 0.0031, 0.214, 1.0]
    """
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(light: NDArray[Any]) -> NDArray[Any]:
    """Stored levels of light, both in 0..1; arrays of any shape, whose type is kept.

    >>> linear_to_srgb(np.array([0.0, 0.003, 0.214, 1.0])).round(3).tolist()
    [0.0, 0.039, 0.5, 1.0]
    """
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


class ColourCode(NamedTuple):
    """Which colours stored red, green and blue stand for, by the code points of ITU-T H.273.

    `is_narrow`: black is stored as 16 of 255 and white as 235, as in video (`full_range`).
    """

    primaries: int
    transfer: int
    is_narrow: bool = False

    @property
    def is_hdr(self) -> bool:
        """Whether the transfer curve is PQ or HLG."""
        return self.transfer in HDR

    @property
    def is_srgb(self) -> bool:
        """Whether screens show stored levels as they are."""
        curves = (PQ, HLG, _LINEAR, _GAMMA_2_2, _GAMMA_2_8)
        return self.primaries not in _TO_SRGB and self.transfer not in curves and not self.is_narrow


def full_range(levels: NDArray[Any]) -> NDArray[np.uint16]:
    """Stretch stored levels of narrow range, uint8 or uint16 of any shape, to 0..65535.

    Black is 16 and white 235 in 8 bits, 256 times that in 16 (ITU-R BT.2100); what lies beyond is cut off.

    >>> full_range(np.array([0, 16, 235, 255], np.uint8)).tolist()
    [0, 0, 65535, 65535]
    """
    unit = 256 if levels.dtype == np.uint16 else 1
    share = (levels.astype(np.float32) - 16 * unit) / np.float32(219 * unit)
    return (share.clip(0, 1) * 65535).round().astype(np.uint16)


def to_srgb(levels: NDArray[np.uint16], code: ColourCode, greatest: int | None = None) -> NDArray[np.uint8]:
    """Convert a picture, or a part of one, to sRGB: uint16 (h, w, 3) -> uint8 (h, w, 3).

    PQ is tone mapped from the picture's own greatest luminance, at most `PEAK`: one that nowhere exceeds
    `WHITE` keeps its brightness. Of a part, `greatest` is the greatest level of the whole. Colours that sRGB
    does not have are cut off.
    """
    peak = PEAK
    if code.transfer == PQ and levels.size:
        greatest = int(levels.max()) if greatest is None else greatest
        peak = min(PEAK, float(_light_of(PQ)[greatest >> 4]))
    result = np.empty(levels.shape, np.uint8)
    step = max(1, _ROWS_AT_ONCE // max(1, levels.shape[1]))
    for top in range(0, len(levels), step):
        part = levels[top : top + step]
        result[top : top + step] = as_sdr(part, code, peak) if code.is_hdr else _from_wide(part, code)
    return result


def as_sdr(levels: NDArray[np.uint16], code: ColourCode, peak: float = PEAK) -> NDArray[np.uint8]:
    """Tone map PQ or HLG to sRGB: uint16 (h, w, 3) -> uint8 (h, w, 3).

    Transfer curves: ITU-R BT.2100. Brightness: the curve of ITU-R BT.2390 (section 5.4), from `peak` to
    `WHITE` cd/m2, applied to the greatest of red, green and blue, so that no colour changes its hue. Colours:
    BT.2087, and those that sRGB does not have are cut off.
    """
    light = _light_of(code.transfer)[levels >> 4]  # (h, w, 3), cd/m2
    if code.transfer == HLG:  # what the screen adds: a power of the scene's luminance, 1.2 for 1000 cd/m2
        luminance = light @ np.array([0.2627, 0.6780, 0.0593], dtype=np.float32)
        light = light * (np.maximum(luminance, 1e-6) / PEAK)[..., None] ** np.float32(0.2)
    if peak > WHITE:
        brightest = light.max(axis=2, keepdims=True)
        mapped = _from_pq(_compressed(_to_pq(np.minimum(brightest, peak)), peak))
        light = light * (mapped / np.maximum(brightest, 1e-6))
    return _encoded(light / np.float32(WHITE), code)


def gamma_table(gamma: float, levels: int) -> NDArray[np.uint8]:
    """sRGB levels of stored ones that are light to the power of `gamma`: (levels,), 0 to 255.

    >>> gamma_table(1.0, 256)[[0, 1, 55, 255]].tolist()
    [0, 13, 128, 255]
    """
    light = np.linspace(0, 1, levels) ** (1 / gamma)
    return (linear_to_srgb(light) * 255).round().astype(np.uint8)


@lru_cache(maxsize=8)
def matrix_to_srgb(chromaticities: tuple[float, ...]) -> NDArray[np.float32] | None:
    """The matrix (3, 3) from light of some primaries to that of sRGB; None for what is no such set.

    `chromaticities` are x and y of white, red, green and blue (CIE 1931). White becomes the white of sRGB, by
    the Bradford transform.

    >>> matrix_to_srgb((0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)).round(2).tolist()[0][:1]
    [1.0]
    """
    own, srgb = _to_xyz(chromaticities), _to_xyz(_SRGB_CHROMATICITIES)
    if own is None or srgb is None:
        return None
    cones = [_BRADFORD @ matrix.sum(axis=1) for matrix in (own, srgb)]
    if min(map(np.min, cones)) <= 0:
        return None
    adapted = np.linalg.inv(_BRADFORD) @ np.diag(cones[1] / cones[0]) @ _BRADFORD
    return np.asarray(np.linalg.inv(srgb) @ adapted @ own, np.float32)


def _to_xyz(chromaticities: tuple[float, ...]) -> NDArray[np.float64] | None:
    """The matrix (3, 3) from light of primaries to CIE XYZ, white of luminance 1."""
    points = np.array(chromaticities, np.float64).reshape(4, 2)
    if not np.isfinite(points).all() or (points[:, 1] <= 1e-3).any() or (points.sum(axis=1) > 1.5).any():
        return None
    xyz = np.column_stack([points[:, 0], points[:, 1], 1 - points.sum(axis=1)]) / points[:, 1:]
    primaries = xyz[1:].T
    if abs(np.linalg.det(primaries)) < 1e-4:
        return None
    return np.asarray(primaries * np.linalg.solve(primaries, xyz[0]))


def _from_wide(levels: NDArray[np.uint16], code: ColourCode) -> NDArray[np.uint8]:
    return _encoded(_light_of(code.transfer)[levels >> 4], code)


def _encoded(light: NDArray[Any], code: ColourCode) -> NDArray[np.uint8]:
    """Light in 0..1 of white to sRGB."""
    if code.primaries in _TO_SRGB:
        light = light @ np.array(_TO_SRGB[code.primaries], dtype=np.float32).T
    return (linear_to_srgb(np.clip(light, 0, 1)) * 255).round().astype(np.uint8)


@lru_cache(maxsize=8)
def _light_of(transfer: int) -> NDArray[np.float32]:
    """Light of each of 4096 stored values: PQ in cd/m2, HLG too, before what the screen adds; else 0..1."""
    stored = np.linspace(0, 1, 4096)
    if transfer == PQ:
        return _from_pq(stored).astype(np.float32)
    if transfer == HLG:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(stored <= 0.5, stored**2 / 3, (np.exp((stored - c) / a) + b) / 12)
        return (scene * PEAK).astype(np.float32)
    powers = {_LINEAR: 1.0, _GAMMA_2_2: 2.2, _GAMMA_2_8: 2.8}
    light = stored ** powers[transfer] if transfer in powers else srgb_to_linear(stored)
    return np.asarray(light, np.float32)


def _to_pq(light: NDArray[Any]) -> NDArray[Any]:
    power = (np.maximum(light, 0) / 10_000) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2  # type: ignore[no-any-return]


def _from_pq(stored: NDArray[Any]) -> NDArray[Any]:
    power = stored ** (1 / _M2)
    return 10_000 * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1)


def _compressed(stored: NDArray[Any], peak: float) -> NDArray[Any]:
    """BT.2390's curve on PQ values: the same up to a knee, then a spline that ends at the screen's white."""
    source, target = float(_to_pq(np.array(peak))), float(_to_pq(np.array(WHITE)))
    value, top = stored / source, target / source
    knee = 1.5 * top - 0.5
    t = np.clip((value - knee) / (1 - knee), 0, 1)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * top
    )
    return np.where(value < knee, value, spline) * source
