"""A decoded picture of any kind -> sRGB. What `images` promises of colours is kept here.

Pillow converts most; code points, gamma and 16 bits are converted by arithmetic (`numeric_srgb`).
"""

import io
from functools import lru_cache
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, PngImagePlugin, TiffImagePlugin

from affectlens.colour import gamma_table, to_srgb
from affectlens.decoding import check_cancelled
from affectlens.picture_formats import BAD_DATA, COLOURS

_BITS_PER_SAMPLE_TAG, _PHOTOMETRIC_TAG, _SAMPLE_FORMAT_TAG = 0x0102, 0x0106, 0x0153
_MIN_IS_WHITE, _SIGNED = 0, 2
_PROFILE_SPACES = {"RGB": "RGB", "L": "GRAY", "I;16": "GRAY", "CMYK": "CMYK"}
_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
# Without lcms's one-pixel cache a transform may be shared by threads.
_SHARED = ImageCms.Flags.NOCACHE
# Of 16 bits, a table that lcms makes in advance is wrong by up to ten levels in the dark.
_EXACT = ImageCms.Flags.NOOPTIMIZE


def as_srgb(image: Image.Image) -> Image.Image:
    """Bring any of Pillow's modes to mode RGB, opaque, in sRGB."""
    profile = image.info.get("icc_profile")
    profile = profile if isinstance(profile, bytes) else None
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_upper_byte(image))
    if image.has_transparency_data:
        image = _on_white(image)
    if image.mode == "1":
        image = image.convert("L")
    elif image.mode not in ("L", "RGB", "CMYK", "LAB"):
        image = image.convert("RGB")
    transform = _from_lab() if image.mode == "LAB" else _transform(profile, image.mode)
    if transform is not None:
        return transform.apply(image)
    return image.convert("RGB")


# ------------------------------------------------------------------ colours that Pillow does not convert

_GREY_ALPHA, _16_BITS = "LA;16B", ("LA;16B", "RGB;16B", "RGBA;16B")
# The second byte of a value of 16 bits, where Pillow's own way of reading takes the first.
_SECOND_BYTES = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L"}


def is_numeric(image: Image.Image, tile: list[Any]) -> bool:
    """Whether a picture needs what Pillow does not do: code points, gamma, or all 16 bits."""
    colours = image.info.get(COLOURS)
    if colours is not None and "icc_profile" not in image.info and not colours.is_srgb:
        return True
    if image.format != "PNG":
        return False
    raw = tile[0].args if tile else ""
    has_key = "transparency" in image.info and (raw == "RGB;16B" or image.mode == "I;16")
    return _gamma(image) is not None or has_key or raw == _GREY_ALPHA


def _gamma(image: Image.Image) -> float | None:
    """The exponent from light to stored levels that a PNG states; None where that is as in sRGB."""
    if COLOURS in image.info or "icc_profile" in image.info or "srgb" in image.info:
        return None
    gamma = image.info.get("gamma") if image.format == "PNG" else None
    return float(gamma) if gamma and 0.05 < gamma < 20 and abs(gamma * 2.2 - 1) > 0.05 else None


def numeric_srgb(image: Image.Image, file: IO[bytes] | None, tile: list[Any]) -> NDArray[np.uint8]:
    """Convert by arithmetic, some rows at a time: (H, W, 3)."""
    values = _values(image, file, tile)  # (H, W, 1 to 4), uint8 or uint16
    result = np.empty((*values.shape[:2], 3), np.uint8)
    key = image.info.get("transparency") if values.dtype == np.uint16 else None
    step = max(1, 500_000 // values.shape[1])
    for top in range(0, len(values), step):
        check_cancelled()
        part = values[top : top + step]
        if part.dtype == np.uint8:
            part = part.astype(np.uint16) * 257
        opacity = part[..., -1:] if part.shape[2] in (2, 4) else None
        colours = part[..., : part.shape[2] - (opacity is not None)]
        srgb = _levels_to_srgb(colours, image)
        if opacity is None and key is not None:
            opacity = np.where((colours == key).all(axis=2, keepdims=True), 0, 65535)
        if opacity is not None:
            share = opacity.astype(np.float32) / 65535
            srgb = (srgb * share + 255 * (1 - share)).round().astype(np.uint8)
        result[top : top + step] = srgb
    return result


def _values(image: Image.Image, file: IO[bytes] | None, tile: list[Any]) -> NDArray[Any]:
    """What is stored: (H, W, C), uint16 of a PNG that has 16 bits, else uint8."""
    raw = tile[0].args if tile else ""
    if image.mode == "I;16":
        return np.asarray(image)[..., None]
    if image.format == "PNG" and raw in _16_BITS and file is not None:
        if raw == _GREY_ALPHA:
            four = np.asarray(_png_as(file, "RGBA"))
            return np.ascontiguousarray(four).view(">u2").astype(np.uint16)
        first, second = np.asarray(image), np.asarray(_png_as(file, _SECOND_BYTES[raw]))
        levels: NDArray[np.uint16] = first.astype(np.uint16) << 8 | second
        return levels
    if image.has_transparency_data:
        return np.asarray(image.convert("RGBA"))
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _png_as(file: IO[bytes], raw: str) -> Image.Image:
    """Decode a PNG again, its bytes taken as another kind of as many."""
    file.seek(0)
    image = PngImagePlugin.PngImageFile(file, "")
    image.tile = [each._replace(args=raw) for each in image.tile]
    image.load()
    return image


def _levels_to_srgb(levels: NDArray[np.uint16], image: Image.Image) -> NDArray[np.uint8]:
    """(h, W, 1 or 3) of 16 bits to (h, W, 3) in sRGB."""
    colours, gamma, profile = image.info.get(COLOURS), _gamma(image), image.info.get("icc_profile")
    is_grey = levels.shape[2] == 1
    if isinstance(profile, bytes) and (transform := _transform(profile, "I;16" if is_grey else "RGB")):
        given = levels[..., 0] if is_grey else (levels >> 8).astype(np.uint8)
        made = Image.new("RGB", (levels.shape[1], levels.shape[0]))
        transform.apply(Image.fromarray(np.ascontiguousarray(given)), made)
        return np.asarray(made)
    if gamma is None and colours is not None and not colours.is_srgb:
        return to_srgb(np.broadcast_to(levels, (*levels.shape[:2], 3)), colours)
    bytes_of = (levels >> 8).astype(np.uint8) if gamma is None else _gamma_table(gamma)[levels]
    return np.broadcast_to(bytes_of, (*levels.shape[:2], 3))


@lru_cache(maxsize=4)
def _gamma_table(gamma: float) -> NDArray[np.uint8]:
    return gamma_table(gamma, 65536)


@lru_cache(maxsize=1)
def _from_lab() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(ImageCms.createProfile("LAB"), _SRGB, "LAB", "RGB", flags=_SHARED)


def _on_white(image: Image.Image) -> Image.Image:
    grey = image.mode in ("1", "L", "LA", "La")
    image = image.convert("LA" if grey else "RGBA")
    page = Image.new("L" if grey else "RGB", image.size, "white")
    page.paste(image, mask=image)
    return page


def _upper_byte(image: Image.Image) -> NDArray[np.uint8]:
    """Bring more than 8 bits of grey to 8: modes I;16, I and F to (H, W)."""
    values: NDArray[Any] = np.asarray(image)
    tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    bits, signed = tags.get(_BITS_PER_SAMPLE_TAG), tags.get(_SAMPLE_FORMAT_TAG, (1,))[0] == _SIGNED
    if bits == (32,) and values.dtype == np.int32 and not signed:
        values = values.view(np.uint32)  # Pillow has no such mode
    if values.dtype.kind == "u" and values.itemsize == 2:
        # Scanners' 12-bit TIFF arrives unscaled; everything else fills its 16 bits.
        grey = (values // (16 if bits == (12,) else 256)).astype(np.uint8)
    else:
        white = 1.0 if values.dtype.kind == "f" else 32767.0 if signed and bits == (16,) else 65535.0
        grey = _stretched(values, white)
    return 255 - grey if tags.get(_PHOTOMETRIC_TAG) == _MIN_IS_WHITE else grey


def _stretched(values: NDArray[Any], white: float) -> NDArray[np.uint8]:
    """0..`white` to 0..255; where some value lies outside, from the least to the greatest."""
    values = values.astype(np.float32)  # a copy, changed in place below: the picture may be huge
    finite = np.isfinite(values)
    least = float(values.min(where=finite, initial=np.inf))
    greatest = float(values.max(where=finite, initial=-np.inf))
    if least >= 0 and greatest <= white:  # true as well where nothing is finite
        least, greatest = 0.0, white
    with np.errstate(over="ignore"):  # the ends of float32 lie further apart than its greatest number
        values -= least
        values /= (greatest - least) or 1.0
    return bytes_of_fractions(values)


def bytes_of_fractions(values: NDArray[Any]) -> NDArray[np.uint8]:
    """0..1 to 0..255, rounded; what lies outside goes to the nearer end, and NaN to 0."""
    scaled = values * 255
    np.nan_to_num(scaled, copy=False, nan=0.0)
    return scaled.clip(0, 255, out=scaled).round(out=scaled).astype(np.uint8)


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
