"""A decoded picture of any kind -> sRGB. What `images` promises of colours is kept here.

Pillow converts most. What needs more than it does is converted by arithmetic, some rows at a time
(`numeric_srgb`): code points, gamma, keys, more than 8 bits, grey by a profile, and a profile with opacity.
"""

import io
import sys
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import GifImagePlugin, Image, ImageCms, TiffImagePlugin

from affectlens.colour import (
    PQ,
    ColourCode,
    full_range,
    gamma_table,
    linear_to_srgb,
    matrix_to_srgb,
    srgb_to_linear,
    to_srgb,
)
from affectlens.decoding import check_cancelled
from affectlens.matrix_profiles import matrix_profile
from affectlens.picture_formats import BAD_DATA, COLOURS, decoded_as

_BITS_PER_SAMPLE_TAG, _PHOTOMETRIC_TAG, _SAMPLE_FORMAT_TAG = 0x0102, 0x0106, 0x0153
_MIN_IS_WHITE, _SIGNED = 0, 2
_PROFILE_SPACES = {"RGB": "RGB", "L": "GRAY", "I;16": "GRAY", "CMYK": "CMYK"}
_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
# Without lcms's one-pixel cache a transform may be shared by threads.
_SHARED = ImageCms.Flags.NOCACHE
# Of 16 bits, a table that lcms makes in advance is wrong by up to ten levels in the dark.
_EXACT = ImageCms.Flags.NOOPTIMIZE
# Pixels that are converted at once: memory for what is not the picture stays small.
_PIXELS_AT_ONCE = 500_000


def as_srgb(image: Image.Image) -> Image.Image:
    """Bring any of Pillow's modes to mode RGB, opaque, in sRGB."""
    if _is_deep(image):
        image = Image.fromarray(_grey_bytes(image))
    profile = _profile(image)
    if image.has_transparency_data or _covered(image) is not None:
        image = _on_white(image)
    if image.mode == "1":
        image = image.convert("L")
    elif image.mode not in ("L", "RGB", "CMYK", "LAB"):
        image = image.convert("RGB")
    transform = _from_lab() if image.mode == "LAB" else _transform(profile, image.mode)
    if transform is not None:
        return transform.apply(image)
    return image.convert("RGB")


def _profile(image: Image.Image) -> bytes | None:
    profile = image.info.get("icc_profile")
    return profile if isinstance(profile, bytes) else None


# ------------------------------------------------------------------ colours that Pillow does not convert

_GREY_ALPHA = "LA;16B"
# The order of bytes that is not this machine's.
_OTHER_ORDER = "B" if sys.byteorder == "little" else "L"
_GREYS = ("1", "L", "LA", "La")
_NEAR = 0.01  # that an entry of a matrix to sRGB may differ from doing nothing, unseen
# Of values of 16 bits, Pillow takes one byte. The name under which it takes the other.
_SECOND_BYTES = {
    _GREY_ALPHA: "RGBA",  # all four bytes, as if they were colours
    **{f"{kind};16B": f"{kind};16L" for kind in ("RGB", "RGBA", "RGBX")},
    **{f"{kind};16L": f"{kind};16B" for kind in ("RGB", "RGBA", "RGBX")},
    **{f"{kind};16N": f"{kind};16{_OTHER_ORDER}" for kind in ("RGB", "RGBA", "RGBX")},
}
# Greys of 2 and 4 bits in a PNG: what Pillow multiplies levels by, but not the key among them.
_FEWER_BITS = {"L;2": 85, "L;4": 17}


def is_numeric(image: Image.Image, raw: str) -> bool:
    """Whether a picture needs what Pillow does not do. `raw` is how the file's values are named by Pillow."""
    colours = image.info.get(COLOURS)
    if colours is not None and "icc_profile" not in image.info and not colours.is_srgb:
        return True
    if _needs_exact_profile(image, raw):
        return True
    if image.format != "PNG":
        return False
    is_key_lost = raw == "RGB;16B" or image.mode == "I;16" or raw in _FEWER_BITS
    has_key = "transparency" in image.info and is_key_lost
    has_colours = _gamma(image) is not None or _primaries(image) is not None
    return has_colours or has_key or raw == _GREY_ALPHA


def _needs_exact_profile(image: Image.Image, raw: str) -> bool:
    """Whether a profile changes colours that do not go through it as 8 opaque bits of red, green and blue."""
    profile = _profile(image)
    if profile is None or image.mode in ("CMYK", "LAB"):
        return False
    is_grey = image.mode in _GREYS or _is_deep(image)
    if _transform(profile, "L" if is_grey else "RGB") is None:
        return False
    is_finer = raw in _SECOND_BYTES and matrix_profile(profile) is not None
    return is_grey or image.has_transparency_data or is_finer


def _gamma(image: Image.Image) -> float | None:
    """The exponent from light to stored levels that a PNG states; None where that is as in sRGB."""
    if COLOURS in image.info or "icc_profile" in image.info or "srgb" in image.info:
        return None
    gamma = image.info.get("gamma") if image.format == "PNG" else None
    return float(gamma) if gamma and 0.05 < gamma < 20 and abs(gamma * 2.2 - 1) > 0.05 else None


def _primaries(image: Image.Image) -> NDArray[np.float32] | None:
    """The matrix to sRGB of the primaries that a PNG states; None where they are those of sRGB.

    As browsers do, they count where a gamma is stated as well.
    """
    if COLOURS in image.info or "icc_profile" in image.info or "srgb" in image.info:
        return None
    stated, gamma = image.info.get("chromaticity"), image.info.get("gamma")
    is_colour = image.format == "PNG" and image.mode not in _GREYS and not _is_deep(image)
    if not is_colour or not gamma or stated is None or len(stated) != 8:
        return None
    matrix = matrix_to_srgb(tuple(map(float, stated)))
    return None if matrix is None or np.abs(matrix - np.eye(3)).max() < _NEAR else matrix


def second_bytes(image: Image.Image, raw: str) -> Image.Image | None:
    """Decode what Pillow leaves out of values of 16 bits, for `numeric_srgb`; None where it is not needed.

    Called before the picture itself is decoded, with which its file may be closed.
    """
    is_file = getattr(image, "fp", None) is not None and image.format in ("PNG", "TIFF")
    if not is_file or raw not in _SECOND_BYTES or not is_numeric(image, raw):
        return None
    return decoded_as(image, _SECOND_BYTES[raw])


def numeric_srgb(image: Image.Image, second: Image.Image | None, raw: str) -> NDArray[np.uint8]:
    """Convert by arithmetic, some rows at a time: (H, W, 3). `second` is from `second_bytes`."""
    deep = _DeepGrey(image) if _is_deep(image) else None

    def stored(top: int, bottom: int) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Colours (h, W, 1 or 3), and opacity (h, W, 1)."""
        if deep is not None:
            values = deep.levels(top, bottom)[..., None]
        else:
            values = _values(image, second, raw, top, bottom)
        if values.shape[2] in (2, 4):
            return values[..., :-1], values[..., -1:]
        key = image.info.get("transparency") if values.dtype == np.uint16 else None
        if key is None:
            return values, None
        return values, np.where((values == key).all(axis=2, keepdims=True), np.uint16(0), np.uint16(65535))

    colours = image.info.get(COLOURS)
    greatest = None
    if colours is not None and colours.transfer == PQ:
        greatest = max(int(_coded(stored(*rows)[0], colours).max()) for rows in _strips(image))
    result = np.empty((image.height, image.width, 3), np.uint8)
    for top, bottom in _strips(image):
        levels, opacity = stored(top, bottom)
        srgb = _levels_to_srgb(levels, image, greatest)
        if opacity is not None:
            share = opacity.astype(np.float32) / np.iinfo(opacity.dtype).max
            srgb = (srgb * share + 255 * (1 - share)).round().astype(np.uint8)
        result[top:bottom] = srgb
    return result


def _strips(image: Image.Image) -> Iterator[tuple[int, int]]:
    """The first row of each part of a picture, and the one behind its last."""
    step = max(1, _PIXELS_AT_ONCE // image.width)
    for top in range(0, image.height, step):
        check_cancelled()
        yield top, min(top + step, image.height)


def _rows(image: Image.Image, top: int, bottom: int) -> Image.Image:
    return image.crop((0, top, image.width, bottom))


def _values(image: Image.Image, second: Image.Image | None, raw: str, top: int, bottom: int) -> NDArray[Any]:
    """What is stored in some rows: (h, W, 1 to 4), uint16 where `second` has the other bytes, else uint8."""
    rows = _rows(image, top, bottom)
    if second is not None:
        others = np.ascontiguousarray(_rows(second, top, bottom))
        if raw == _GREY_ALPHA:
            return others.view(">u2").astype(np.uint16)
        levels: NDArray[np.uint16] = np.asarray(rows).astype(np.uint16) << 8 | others
        return levels
    is_transparent, is_grey = rows.has_transparency_data, image.mode in _GREYS
    if image.format == "PNG" and raw in _FEWER_BITS and isinstance(rows.info.get("transparency"), int):
        scale = _FEWER_BITS[raw]
        rows.info["transparency"] = image.info["transparency"] % (255 // scale + 1) * scale
    mode = ("LA" if is_transparent else "L") if is_grey else ("RGBA" if is_transparent else "RGB")
    values = np.asarray(rows if rows.mode == mode else rows.convert(mode))
    return values[..., None] if values.ndim == 2 else values


def rows_of(image: Image.Image) -> NDArray[np.uint8]:
    """The pixels of mode RGB, without the copies that Pillow makes of all at once: (H, W, 3)."""
    result = np.empty((image.height, image.width, 3), np.uint8)
    for top, bottom in _strips(image):
        result[top:bottom] = np.asarray(_rows(image, top, bottom))
    return result


def _levels_to_srgb(levels: NDArray[Any], image: Image.Image, greatest: int | None) -> NDArray[np.uint8]:
    """(h, W, 1 or 3) of 8 or 16 bits to (h, W, 3) in sRGB. `greatest` is the picture's greatest level."""
    colours, gamma, profile = image.info.get(COLOURS), _gamma(image), _profile(image)
    is_grey, is_fine = levels.shape[2] == 1, levels.dtype == np.uint16
    if profile is not None and (transform := _transform(profile, "L" if is_grey else "RGB")) is not None:
        if is_grey:
            return _grey_table(profile)[_as_16_bits(levels)[..., 0]]
        matrix = matrix_profile(profile) if is_fine else None
        if matrix is not None:
            return _gamma_table(1.0)[(matrix.to_light(levels) * 65535 + 0.5).astype(np.uint16)]
        given = (levels >> 8).astype(np.uint8) if is_fine else levels
        return np.asarray(transform.apply(Image.fromarray(np.ascontiguousarray(given))))
    shape = (*levels.shape[:2], 3)
    if gamma is None and colours is not None and not colours.is_srgb:
        return to_srgb(np.broadcast_to(_coded(levels, colours), shape), colours, greatest)
    primaries = None if is_grey else _primaries(image)
    if primaries is not None:
        stored = _as_16_bits(levels) / np.float32(65535)
        light = (srgb_to_linear(stored) if gamma is None else stored ** (1 / gamma)) @ primaries.T
        return (linear_to_srgb(np.clip(light, 0, 1)) * 255).round().astype(np.uint8)
    if gamma is not None:
        return np.broadcast_to(_gamma_table(gamma)[_as_16_bits(levels)], shape)
    return np.broadcast_to((levels >> 8).astype(np.uint8) if is_fine else levels, shape)


def _as_16_bits(levels: NDArray[Any]) -> NDArray[np.uint16]:
    return levels if levels.dtype == np.uint16 else levels.astype(np.uint16) * 257


def _coded(levels: NDArray[Any], colours: ColourCode) -> NDArray[np.uint16]:
    """Levels as 16 bits of the full range, which code points are about."""
    return full_range(levels) if colours.is_narrow else _as_16_bits(levels)


@lru_cache(maxsize=4)
def _gamma_table(gamma: float) -> NDArray[np.uint8]:
    return gamma_table(gamma, 65536)


@lru_cache(maxsize=4)
def _grey_table(profile: bytes) -> NDArray[np.uint8]:
    """sRGB of each grey of 16 bits, by a profile that `_transform` knows: (65536, 3)."""
    transform = _transform(profile, "I;16")
    assert transform is not None
    greys = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    made = Image.new("RGB", (256, 256))
    transform.apply(Image.fromarray(greys), made)
    return np.asarray(made).reshape(-1, 3)


@lru_cache(maxsize=1)
def _from_lab() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(ImageCms.createProfile("LAB"), _SRGB, "LAB", "RGB", flags=_SHARED)


def _on_white(image: Image.Image) -> Image.Image:
    grey = image.mode in ("1", "L", "LA", "La")
    covered = _covered(image)
    image = image.convert("LA" if grey else "RGBA")
    if covered is not None:
        opacity = Image.new("L", image.size, 0)
        opacity.paste(image.getchannel("A").crop(covered), covered)
        image.putalpha(opacity)
    page = Image.new("L" if grey else "RGB", image.size, "white")
    page.paste(image, mask=image)
    return page


def _covered(image: Image.Image) -> tuple[int, int, int, int] | None:
    """The part of a GIF's screen that its first frame covers; None for all of it, or no GIF.

    Pillow fills the rest with whichever colour comes first.
    """
    if not isinstance(image, GifImagePlugin.GifImageFile) or image.tell():
        return None
    covered = image.dispose_extent
    return None if covered == (0, 0, *image.size) else covered


# ------------------------------------------------------------------------------- grey of other than 8 bits


def _is_deep(image: Image.Image) -> bool:
    """Whether a picture is grey of more than 8 bits, or signed."""
    return image.mode.startswith(("I", "F")) or (image.mode == "L" and _tiff_tags(image)[1])


def _tiff_tags(image: Image.Image) -> tuple[int, bool, bool]:
    """Of a TIFF: bits of a value, whether it is signed, and whether 0 is white. 0 bits: not a TIFF."""
    tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    bits, signed = tags.get(_BITS_PER_SAMPLE_TAG, (0,)), tags.get(_SAMPLE_FORMAT_TAG, (1,))[0] == _SIGNED
    return bits[0] if len(bits) == 1 else 0, signed, tags.get(_PHOTOMETRIC_TAG) == _MIN_IS_WHITE


class _DeepGrey:
    """Levels of Pillow's modes I;16, I and F, and of signed TIFF of 8 bits, some rows at a time."""

    def __init__(self, image: Image.Image) -> None:
        self._image = image
        self._bits, self._signed, self._min_is_white = _tiff_tags(image)
        first = self._stored(0, 1)
        # These fill their bits: all else is stretched, where some value lies outside of what is usual.
        self._is_counted = first.dtype.kind == "u" and first.itemsize == 2
        self._least, self._greatest = 0.0, 1.0
        if not self._is_counted:
            whites = {8: 127.0, 16: 32767.0} if self._signed else {}
            white = 1.0 if first.dtype.kind == "f" else whites.get(self._bits, 65535.0)
            self._least, self._greatest = self._range(white)

    def levels(self, top: int, bottom: int) -> NDArray[np.uint16]:
        """Some rows as 0..65535: (h, W)."""
        values = self._stored(top, bottom)
        if not self._is_counted:
            levels: NDArray[np.uint16] = _scaled(self._fractions(values), 65535).astype(np.uint16)
        elif self._bits == 12:  # scanners' TIFF arrives unscaled
            levels = (values << 4 | values >> 8).astype(np.uint16)
        else:
            levels = values.astype(np.uint16)
        return np.uint16(65535) - levels if self._min_is_white else levels

    def bytes(self, top: int, bottom: int) -> NDArray[np.uint8]:
        """Some rows as 0..255: (h, W). Of 16 bits, the upper byte."""
        if self._is_counted:
            return (self.levels(top, bottom) >> 8).astype(np.uint8)
        grey = bytes_of_fractions(self._fractions(self._stored(top, bottom)))
        return 255 - grey if self._min_is_white else grey

    def _stored(self, top: int, bottom: int) -> NDArray[Any]:
        values: NDArray[Any] = np.asarray(_rows(self._image, top, bottom))
        if self._bits == 32 and values.dtype == np.int32 and not self._signed:
            return values.view(np.uint32)  # Pillow has no such mode
        return values.view(np.int8) if values.dtype == np.uint8 else values

    def _range(self, white: float) -> tuple[float, float]:
        """0 and `white`; where some value lies outside, the least and the greatest."""
        least, greatest = np.inf, -np.inf
        for top, bottom in _strips(self._image):
            values = self._stored(top, bottom).astype(np.float32)
            finite = np.isfinite(values)
            least = min(least, float(values.min(where=finite, initial=np.inf)))
            greatest = max(greatest, float(values.max(where=finite, initial=-np.inf)))
        # True as well where nothing is finite.
        return (0.0, white) if least >= 0 and greatest <= white else (least, greatest)

    def _fractions(self, values: NDArray[Any]) -> NDArray[np.float32]:
        with np.errstate(over="ignore"):  # the ends of float32 lie further apart than its greatest number
            fractions = values.astype(np.float32) - np.float32(self._least)
            fractions /= (self._greatest - self._least) or 1.0
        return fractions


def _grey_bytes(image: Image.Image) -> NDArray[np.uint8]:
    """Bring grey of more than 8 bits to 8: (H, W)."""
    deep, result = _DeepGrey(image), np.empty((image.height, image.width), np.uint8)
    for top, bottom in _strips(image):
        result[top:bottom] = deep.bytes(top, bottom)
    return result


def bytes_of_fractions(values: NDArray[Any]) -> NDArray[np.uint8]:
    """0..1 to 0..255, rounded; what lies outside goes to the nearer end, and NaN to 0."""
    return _scaled(values, 255).astype(np.uint8)


def _scaled(values: NDArray[Any], white: int) -> NDArray[Any]:
    scaled = values * white
    np.nan_to_num(scaled, copy=False, nan=0.0)
    return scaled.clip(0, white, out=scaled).round(out=scaled)


@lru_cache(maxsize=16)
def _transform(profile: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Build the transform from an ICC profile to sRGB; None where there is nothing to do, or none exists.

    Most profiles are sRGB under some name; they are recognised by what they do to colours.
    """
    if profile is None:
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != _PROFILE_SPACES[mode]:
            return None
        flags = _SHARED | _EXACT if mode == "I;16" else _SHARED
        transform = ImageCms.buildTransform(source, _SRGB, mode, "RGB", flags=flags)
    except (ImageCms.PyCMSError, *BAD_DATA):
        return None
    return transform if mode in ("CMYK", "I;16") or _changes_colours(transform, mode) else None


def _changes_colours(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether any colour of a coarse grid moves by more than two levels, which is rounding."""
    levels = np.arange(0, 256, 17, dtype=np.uint8)
    grid = (
        levels[None] if mode == "L" else np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3)
    )
    before = Image.fromarray(grid)
    after = transform.apply(before)
    return bool(np.abs(np.int16(np.array(after)) - np.int16(np.array(before.convert("RGB")))).max() > 2)
