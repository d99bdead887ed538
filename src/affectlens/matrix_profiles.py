"""ICC profiles of a matrix and three curves, as cameras' and screens' are: stored levels to light of sRGB.

Little CMS reads them, too; but as Pillow offers it, red, green and blue have 8 bits, which is too coarse
where a curve is steep: of a linear profile, the darkest levels of 16 bits lie twelve of sRGB apart.

Standard: ICC.1:2022, https://www.color.org/specification/ICC.1-2022-05.pdf.
"""

import struct
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_LEVELS = 65536
_HEADER = 128  # bytes, before the table of tags
_MOST_TAGS = 100
# Tags that come before matrix and curves.
_TABLES = (b"A2B0", b"D2B0")
# XYZ of sRGB's red, green and blue (columns) under the white of profiles, D50.
_XYZ_OF_SRGB = np.array(
    [
        [0.4360747, 0.3850649, 0.1430804],
        [0.2225045, 0.7168786, 0.0606169],
        [0.0139322, 0.0971045, 0.7141733],
    ]
)
# How many parameters a curve has that is given as a formula, by its type.
_PARAMETERS = (1, 3, 4, 5, 7)


@dataclass(frozen=True, kw_only=True)
class MatrixProfile:
    """`light`: (3, 65536), of each level of red, green and blue; `matrix`: (3, 3), from these to sRGB's."""

    light: NDArray[np.float32]
    matrix: NDArray[np.float32]

    def to_light(self, levels: NDArray[np.uint16]) -> NDArray[np.float32]:
        """Light of sRGB's primaries, 0..1: (h, W, 3) -> (h, W, 3). Colours that sRGB lacks are cut off."""
        light = np.stack([self.light[channel][levels[..., channel]] for channel in range(3)], axis=-1)
        return (light @ self.matrix.T).clip(0, 1)


@lru_cache(maxsize=4)
def matrix_profile(profile: bytes) -> MatrixProfile | None:
    """Read a profile for red, green and blue; None for one of another kind, or a broken one."""
    try:
        tags = _tags(profile)
        if profile[16:24] != b"RGB XYZ " or any(name in tags for name in _TABLES):
            return None
        xyz = np.stack([_xyz(tags[name]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")], axis=-1)
        with np.errstate(all="ignore"):  # curves that grow beyond all bounds are refused below
            light = np.stack([_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")])
    except (KeyError, IndexError, ValueError, struct.error, ZeroDivisionError):
        return None
    if not np.isfinite(light).all():
        return None
    matrix = np.linalg.inv(_XYZ_OF_SRGB) @ xyz
    return MatrixProfile(light=light.clip(0, 1).astype(np.float32), matrix=matrix.astype(np.float32))


def _tags(profile: bytes) -> dict[bytes, bytes]:
    count = struct.unpack_from(">I", profile, _HEADER)[0]
    tags = {}
    for number in range(min(count, _MOST_TAGS)):
        name, start, length = struct.unpack_from(">4sII", profile, _HEADER + 4 + 12 * number)
        tags[name] = profile[start : start + length]
    return tags


def _xyz(tag: bytes) -> NDArray[np.float64]:
    kind, *values = struct.unpack_from(">4s4x3i", tag)
    if kind != b"XYZ ":
        raise ValueError(kind)
    return np.array(values) / 65536


def _curve(tag: bytes) -> NDArray[np.float64]:
    """Light of each level: (65536,)."""
    levels = np.linspace(0, 1, _LEVELS)
    if tag[:4] == b"curv":
        count = struct.unpack_from(">I", tag, 8)[0]
        if count == 0:
            return levels
        values = np.frombuffer(tag, ">u2", count, 12)
        if count == 1:
            return np.asarray(levels ** (float(values[0]) / 256), np.float64)
        return np.asarray(np.interp(levels, np.linspace(0, 1, count), values / 65535), np.float64)
    if tag[:4] == b"para":
        return _formula(tag, levels)
    raise ValueError(tag[:4])


def _formula(tag: bytes, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """A parametric curve, its letters those of the standard (10.18)."""
    kind = struct.unpack_from(">H", tag, 8)[0]
    stored = struct.unpack_from(f">{_PARAMETERS[kind]}i", tag, 12)
    g, a, b, c, d, e, f = [value / 65536 for value in stored] + [0.0] * (7 - len(stored))
    if kind == 0:
        return np.asarray(x**g)
    if kind == 1:
        c, d = 0.0, -b / a
    elif kind == 2:
        c, d, e, f = 0.0, -b / a, c, c
    return np.asarray(np.where(x >= d, np.maximum(a * x + b, 0) ** g + e, c * x + f), np.float64)
