import io
import math
import os
import random
import signal
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from affectlens import images, picture_colours, picture_formats
from affectlens.colour import linear_to_srgb, srgb_to_linear
from affectlens.decoding import Memory, in_child, memory
from affectlens.errors import (
    NotAPicture,
    PictureDamaged,
    PictureDenied,
    PictureEmpty,
    PictureError,
    PictureIsFolder,
    PictureNotFound,
    PictureTooLarge,
)
from affectlens.extras import Extra
from affectlens.images import read_pixels, read_size
from affectlens.jpeg_scans import scans
from affectlens.matrix_profiles import matrix_profile
from affectlens.preprocess import Preprocessing

Bytes = NDArray[np.uint8]

# ------------------------------------------------------------------------------------- pictures to read


def quadrants(height: int = 32, width: int = 48) -> Bytes:
    """Red, green / blue, grey: no turn or flip leaves it as it was. (H, W, 3)"""
    picture = np.empty((height, width, 3), dtype=np.uint8)
    picture[: height // 2, : width // 2] = (200, 30, 30)
    picture[: height // 2, width // 2 :] = (30, 180, 30)
    picture[height // 2 :, : width // 2] = (30, 30, 190)
    picture[height // 2 :, width // 2 :] = (128, 128, 128)
    return picture


def photo_like(height: int, width: int, seed: int = 0) -> Bytes:
    """Noise whose spectrum falls as 1/f, as that of photographs does. (H, W, 3)"""
    generator = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = np.inf
    phases = generator.normal(size=(3, *frequency.shape)) + 1j * generator.normal(size=(3, *frequency.shape))
    noise = np.fft.irfft2(phases / frequency, s=(height, width))
    picture: Bytes = (128 + 48 * noise / noise.std()).clip(0, 255).astype(np.uint8)
    return picture.transpose(1, 2, 0)


def file_of(picture: Image.Image | NDArray[Any], kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_of(values: NDArray[Any], colour_type: int, *chunks: tuple[bytes, bytes], bits: int = 16) -> bytes:
    """A PNG of 16-bit values, which Pillow cannot write in colour, or of fewer. (H, W, C)"""
    height, width = values.shape[:2]
    levels = values.reshape(height, -1)
    if bits < 16:
        shifts = np.arange(bits)[::-1]
        rows = np.packbits(levels.astype(int)[..., None] >> shifts & 1, axis=None).reshape(height, -1)
    else:
        rows = levels.astype(">u2").view(np.uint8)
    stored = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(stored)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


def icc_profile(space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A minimal ICC profile, version 2, for a display."""
    table, body, offset = b"", b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        data += b"\0" * (-len(data) % 4)
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data
    size = offset + len(body)
    white = struct.pack(">3i", 63190, 65536, 54061)
    header = struct.pack(
        ">I4sI4s4s4s12s4s", size, b"lcms", 0x02400000, b"mntr", space, connection, b"", b"acsp"
    )
    return (
        header
        + bytes(28)
        + white
        + bytes(128 - len(header) - 40)
        + struct.pack(">I", len(tags))
        + table
        + body
    )


def curve(gamma: float) -> bytes:
    return b"curv" + struct.pack(">IIH", 0, 1, round(gamma * 256))


def colorant(*xyz: float) -> bytes:
    return b"XYZ " + struct.pack(">I3i", 0, *(round(value * 65536) for value in xyz))


RED, GREEN, BLUE = (0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)
WHITE_POINT = {b"wtpt": colorant(0.9642, 1.0, 0.8249)}


def rgb_profile(red: Any = RED, green: Any = GREEN, blue: Any = BLUE, gamma: float = 2.2) -> bytes:
    colorants = {b"rXYZ": colorant(*red), b"gXYZ": colorant(*green), b"bXYZ": colorant(*blue)}
    curves = {b"rTRC": curve(gamma), b"gTRC": curve(gamma), b"bTRC": curve(gamma)}
    return icc_profile(b"RGB ", b"XYZ ", {**WHITE_POINT, **colorants, **curves})


def cmyk_profile_of_grey_inks() -> bytes:
    """Bare paper is white, any ink the grey with L* = 50, all together black."""
    ramp = bytes(range(256))
    lightness = (255, *[128] * 14, 0)
    colours = b"".join(bytes((value, 128, 128)) for value in lightness)
    identity = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    table = b"mft1" + struct.pack(">IBBBB", 0, 4, 3, 2, 0) + identity + ramp * 4 + colours + ramp * 3
    return icc_profile(b"CMYK", b"Lab ", {**WHITE_POINT, b"A2B0": table})


def exif_of(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def corners(rows: Bytes) -> Bytes:
    """The outermost pixels, which lossy compression keeps where all around is of their colour. (2, 2, 3)"""
    return rows[[0, -1]][:, [0, -1]]


def first_colour(source: Any) -> tuple[int, ...]:
    return tuple(read_pixels(source)[0, 0].tolist())


def assert_near(actual: Any, expected: Any, levels: int) -> None:
    assert np.shape(actual) == np.shape(expected)
    worst = int(np.abs(np.int16(actual) - np.int16(expected)).max())
    assert worst <= levels


# -------------------------------------------------------------------------------- real files from outside

FIXTURES: dict[str, tuple[int, int] | type[PictureError]] = {
    "16-bit-grey-alpha.png": (96, 109),
    "4.webp": (772, 1024),
    "5_webp_a.webp": (300, 300),
    "65536-uint32-limit.png": PictureTooLarge,
    "8bit_depth.tiff": (21, 21),
    "Channel_digital_image_CMYK_color_no_profile.jpg": (333, 500),
    "Flag_of_the_Netherlands-16bit.png": (600, 900),
    "G31D_MULTI.TIF": (3248, 2464),
    "Landscape_1.jpg": (450, 600),
    "Landscape_3.jpg": (450, 600),
    "Landscape_6.jpg": (450, 600),
    "Landscape_8.jpg": (450, 600),
    "Portrait_5.jpg": (600, 450),
    "Portrait_8.jpg": (600, 450),
    "animated-loop-3.gif": (285, 370),
    "animated-loop-3.webp": (285, 370),
    "bandbool.png": (200, 200),
    "big-height.webp": (169, 13),
    "cielab-dagams.tiff": PictureDamaged,  # Lab with 16 bits, which Pillow cannot read
    "concert.jpg": (267, 400),
    "corrupt-header.jpg": PictureDamaged,
    "full-transparent.png": (300, 300),
    "giant-image.jpg": PictureTooLarge,
    "grey-plus-alpha.gif": (1, 2),
    "low-contrast.jpg": (245, 300),
    "pitm.avif": (800, 4096),
    "relax.jp2": (240, 320),
    "swiss.png": (68, 68),
    "truncated.jpg": PictureDamaged,
    "truncated.png": PictureDamaged,
}


@pytest.mark.parametrize("name", FIXTURES)
def test_every_real_file_is_pixels_or_an_error_that_names_it(shared: Path, name: str) -> None:
    path = shared / "fixtures" / "images" / name
    expected = FIXTURES[name]
    if isinstance(expected, tuple):
        pixels = read_pixels(path)
        assert pixels.shape == (*expected, 3)
        assert pixels.dtype == np.uint8
    else:
        with pytest.raises(expected, match=name) as caught:
            read_pixels(path)
        assert caught.value.path == str(path)


def test_no_real_file_is_left_out_of_the_table(shared: Path) -> None:
    assert {path.name for path in (shared / "fixtures" / "images").iterdir()} == set(FIXTURES)


def test_the_same_photograph_looks_the_same_however_the_camera_was_held(shared: Path) -> None:
    folder = shared / "fixtures" / "images"
    preprocessing = Preprocessing(height=8, width=8)
    upright = preprocessing.fit_pixels(read_pixels(folder / "Landscape_1.jpg"))
    for name in ("Landscape_3.jpg", "Landscape_6.jpg", "Landscape_8.jpg"):
        assert_near(
            preprocessing.fit_pixels(read_pixels(folder / name)), upright, levels=16
        )  # re-encoded; a wrong turn is off by 100


def test_the_size_of_a_jpeg_beyond_the_limit_is_known(shared: Path) -> None:
    assert read_size(shared / "fixtures" / "images" / "giant-image.jpg") == (14000, 20000)


def test_a_jpeg_beyond_the_limit_is_read_where_it_is_decoded_small(shared: Path) -> None:
    pixels = read_pixels(shared / "fixtures" / "images" / "giant-image.jpg", at_least=224)
    assert pixels.shape == (1750, 2500, 3)


# -------------------------------------------------------------------------------------------- orientation

STORED = {
    1: lambda picture: picture,
    2: lambda picture: picture[:, ::-1],
    3: lambda picture: picture[::-1, ::-1],
    4: lambda picture: picture[::-1],
    5: lambda picture: picture.swapaxes(0, 1),
    6: lambda picture: np.rot90(picture, 1),
    7: lambda picture: picture[::-1, ::-1].swapaxes(0, 1),
    8: lambda picture: np.rot90(picture, -1),
}
WRITERS: dict[str, tuple[str, dict[str, Any], int]] = {
    "jpeg": ("JPEG", {"quality": 100, "subsampling": 0}, 3),
    "png": ("PNG", {}, 0),
    "webp": ("WEBP", {"lossless": True}, 0),
    "avif": ("AVIF", {"quality": 100, "subsampling": "4:4:4"}, 3),
    "tiff": ("TIFF", {}, 0),
    "tiff-lzw": ("TIFF", {"compression": "tiff_lzw"}, 0),
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("orientation", STORED)
def test_all_orientations_give_the_same_upright_picture(writer: str, orientation: int) -> None:
    kind, options, levels = WRITERS[writer]
    stored = np.ascontiguousarray(STORED[orientation](quadrants()))
    source = file_of(stored, kind, exif=exif_of(orientation), **options)
    assert_near(read_pixels(source), quadrants(), levels)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("orientation", STORED)
def test_the_size_is_known_upright_before_a_picture_is_decoded(writer: str, orientation: int) -> None:
    kind, options, _ = WRITERS[writer]
    stored = np.ascontiguousarray(STORED[orientation](quadrants(24, 50)))
    source = file_of(stored, kind, exif=exif_of(orientation), **options)
    assert read_size(source) == read_pixels(source).shape[:2]


@pytest.mark.parametrize("orientation", STORED)
def test_a_picture_that_pillow_opened_is_turned_too(orientation: int) -> None:
    stored = np.ascontiguousarray(STORED[orientation](quadrants()))
    with Image.open(io.BytesIO(file_of(stored, "PNG", exif=exif_of(orientation)))) as image:
        assert_near(read_pixels(image), quadrants(), 0)


@pytest.mark.parametrize(
    "exif",
    [b"Exif\0\0broken", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", exif_of(0), exif_of(9), exif_of(60000), b""],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_data_counts_as_upright(kind: str, exif: bytes) -> None:
    source = file_of(quadrants(), kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    assert_near(corners(read_pixels(source)), corners(quadrants()), 3)


# ------------------------------------------------------------------------------------------------- colour


@pytest.mark.parametrize(
    ("inks", "colour"),
    [
        ((0, 0, 0, 0), (255, 255, 255)),
        ((255, 0, 0, 0), (0, 255, 255)),
        ((0, 255, 0, 0), (255, 0, 255)),
        ((0, 0, 255, 0), (255, 255, 0)),
        ((0, 0, 0, 255), (0, 0, 0)),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_without_a_profile_has_the_colours_of_its_inks(
    kind: str, inks: tuple[int, ...], colour: tuple[int, ...]
) -> None:
    assert_near(first_colour(file_of(Image.new("CMYK", (16, 16), inks), kind)), colour, 3)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_is_converted_by_its_profile(kind: str) -> None:
    paper, cyan = Image.new("CMYK", (16, 16), (0, 0, 0, 0)), Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    profile = cmyk_profile_of_grey_inks()
    assert_near(first_colour(file_of(paper, kind, icc_profile=profile)), (255, 255, 255), 3)
    assert_near(first_colour(file_of(cyan, kind, icc_profile=profile)), (119, 119, 119), 3)  # L* = 50


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG", "AVIF"])
def test_an_rgb_profile_is_applied(kind: str) -> None:
    red = Image.new("RGB", (16, 16), (255, 0, 0))
    profile = rgb_profile(red=GREEN, green=RED)  # in this space, what is called red is green
    assert_near(first_colour(file_of(red, kind, icc_profile=profile)), (0, 255, 0), 8)


def jp2_with(boxes: bytes) -> bytes:
    """A red JP2 with these boxes instead of the one that states its colours."""
    plain = file_of(Image.new("RGB", (16, 16), (255, 0, 0)), "JPEG2000")
    header, colours = plain.index(b"jp2h") - 4, plain.index(b"colr") - 4
    length = int.from_bytes(plain[colours : colours + 4], "big")
    size = int.from_bytes(plain[header : header + 4], "big") - length + len(boxes)
    changed = plain[:colours] + boxes + plain[colours + length :]
    return changed[:header] + size.to_bytes(4, "big") + changed[header + 4 :]


def colour_box(method: int, content: bytes) -> bytes:
    return struct.pack(">I4s3B", 11 + len(content), b"colr", method, 0, 0) + content


SRGB_BOX = colour_box(1, (16).to_bytes(4, "big"))
RED_IS_GREEN = rgb_profile(red=GREEN, green=RED)


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        (colour_box(2, RED_IS_GREEN), (0, 255, 0)),
        (colour_box(3, RED_IS_GREEN), (0, 255, 0)),
        (colour_box(2, RED_IS_GREEN) + SRGB_BOX, (0, 255, 0)),  # readers go by the first
        (SRGB_BOX + colour_box(2, RED_IS_GREEN), (255, 0, 0)),
        (colour_box(2, b"no profile"), (255, 0, 0)),
        (colour_box(2, b""), (255, 0, 0)),
        (b"\0\0\0\1free" + colour_box(2, RED_IS_GREEN), (255, 0, 0)),  # a box that is broken
    ],
)
def test_the_profile_of_a_jpeg_2000_is_applied(boxes: bytes, expected: tuple[int, ...]) -> None:
    try:
        assert_near(first_colour(jp2_with(boxes)), expected, 8)
    except PictureError:  # what the decoder refuses
        assert expected == (255, 0, 0)


@pytest.mark.parametrize(
    ("kind", "position", "expected"),
    [(b"DEBM", 124 + 768, (0, 255, 0)), (b"KNIL", 124 + 768, (255, 0, 0)), (b"DEBM", 1 << 31, (255, 0, 0))],
)
def test_the_profile_in_a_bmp_is_applied(kind: bytes, position: int, expected: tuple[int, ...]) -> None:
    header = struct.pack("<IiiHHIIiiII", 124, 16, 16, 1, 24, 0, 768, 2835, 2835, 0, 0) + bytes(16)
    header += kind + bytes(48) + struct.pack("<4I", 4, position, len(RED_IS_GREEN), 0)
    pixels = bytes((0, 0, 255)) * 256
    size = 14 + len(header) + len(pixels) + len(RED_IS_GREEN)
    start = b"BM" + struct.pack("<IHHI", size, 0, 0, 14 + len(header))
    assert_near(first_colour(start + header + pixels + RED_IS_GREEN), expected, 3)


def bmp_with_profile() -> bytes:
    header = struct.pack("<IiiHHIIiiII", 124, 16, 16, 1, 24, 0, 768, 2835, 2835, 0, 0) + bytes(16)
    header += b"DEBM" + bytes(48) + struct.pack("<4I", 4, 124 + 768, len(RED_IS_GREEN), 0)
    pixels = bytes((0, 0, 255)) * 256
    size = 14 + len(header) + len(pixels) + len(RED_IS_GREEN)
    start = b"BM" + struct.pack("<IHHI", size, 0, 0, 14 + len(header))
    return start + header + pixels + RED_IS_GREEN


def test_a_picture_that_pillow_opened_has_the_colours_of_its_file() -> None:
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 255
    files = {
        "jp2": jp2_with(colour_box(2, RED_IS_GREEN)),
        "bmp": bmp_with_profile(),
        "png": png_of(red, 2, (b"cICP", bytes([9, 16, 0, 1]))),
        "png of another gamut": png_of(red, 2, (b"cICP", bytes([12, 13, 0, 1]))),
    }
    for name, data in files.items():
        opened = Image.open(io.BytesIO(data))
        assert np.array_equal(read_pixels(opened), read_pixels(data)), name
        loaded = Image.open(io.BytesIO(data))
        before = loaded.fp.tell()  # type: ignore[union-attr]
        picture_formats.find_colours(loaded)
        assert loaded.fp.tell() == before  # type: ignore[union-attr]


def test_a_wider_gamut_becomes_more_saturated_in_srgb() -> None:
    display_p3 = rgb_profile((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))
    muted = Image.new("RGB", (4, 4), (180, 100, 100))
    red, green, blue = first_colour(file_of(muted, "PNG", icc_profile=display_p3))
    assert red > 185
    assert green < 98
    assert abs(green - blue) < 8


def test_a_profile_that_only_repeats_srgb_changes_no_bit() -> None:
    picture = photo_like(32, 32)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert_near(read_pixels(file_of(picture, "PNG", icc_profile=srgb)), picture, 0)


def test_a_grey_profile_is_applied_with_and_without_alpha() -> None:
    linear = icc_profile(b"GRAY", b"XYZ ", {**WHITE_POINT, b"kTRC": curve(1.0)})
    grey = Image.new("L", (4, 4), 128)
    for picture in (grey, grey.convert("LA")):
        assert_near(first_colour(file_of(picture, "PNG", icc_profile=linear)), (188, 188, 188), 1)


def test_a_grey_profile_is_applied_to_16_bits_of_grey_with_alpha() -> None:
    linear = icc_profile(b"GRAY", b"XYZ ", {**WHITE_POINT, b"kTRC": curve(1.0)})
    grey, opacity = [0, 0x8080, 0x0180, 0x8080, 0xFFFF], [0xFFFF, 0xFFFF, 0xFFFF, 0x8080, 0]
    values = np.array([grey, opacity], dtype=np.uint16).T[None]
    profile = (b"iCCP", b"linear\0\0" + zlib.compress(linear))
    # Light of 0x0180 / 0xFFFF is a level of 18; its first byte alone would be one of 13.
    assert read_pixels(png_of(values, 4, profile))[0].tolist() == [[v] * 3 for v in (0, 188, 18, 221, 255)]
    # Without a profile the first byte is the level.
    assert read_pixels(png_of(values, 4))[0].tolist() == [[v] * 3 for v in (0, 128, 1, 191, 255)]


@pytest.mark.parametrize(
    "profile", [b"no profile", rgb_profile()[:150], cmyk_profile_of_grey_inks(), bytes(500)]
)
def test_a_broken_or_foreign_profile_is_ignored(profile: bytes) -> None:
    assert_near(read_pixels(file_of(quadrants(), "PNG", icc_profile=profile)), quadrants(), 0)


def test_lab_has_the_colours_it_was_made_from() -> None:
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    lab = to_lab.apply(Image.fromarray(quadrants()))
    assert lab.mode == "LAB"
    assert_near(read_pixels(file_of(lab, "TIFF")), quadrants(), 8)  # 8 bits of Lab are coarse


# ------------------------------------------------------------------------------------------------- depth


def ramp_of_16_bits() -> NDArray[np.uint16]:
    return np.linspace(0, 65535, 4096).round().astype(np.uint16).reshape(64, 64)


def test_16_bits_are_scaled_not_clipped() -> None:
    ramp = ramp_of_16_bits()
    portable = b"P5 64 64 65535\n" + ramp.astype(">u2").tobytes()
    signed = file_of(Image.fromarray(ramp.astype(np.int32)), "TIFF")
    for source in (file_of(ramp, "PNG"), file_of(ramp, "TIFF"), portable, signed, file_of(ramp, "JPEG2000")):
        grey = read_pixels(source)[..., 0].ravel().astype(int)
        assert grey[[0, -1]].tolist() == [0, 255]
        assert (np.diff(grey) >= 0).all()
        assert set(grey.tolist()) == set(range(256))


def test_16_bit_grey_and_colour_agree() -> None:
    ramp = ramp_of_16_bits()
    grey = read_pixels(file_of(ramp, "PNG"))
    colour = read_pixels(png_of(np.stack([ramp] * 3, axis=-1), 2))
    assert np.array_equal(grey, colour)


def test_16_bit_big_endian_is_read_in_order() -> None:
    with Image.open(io.BytesIO(file_of(ramp_of_16_bits(), "PNG"))) as image:
        little = read_pixels(image)
    header = struct.pack(">2sHIH", b"MM", 42, 8, 8)
    entries = [(256, 3, 64), (257, 3, 64), (258, 3, 16), (259, 3, 1), (262, 3, 1), (273, 4, 110)]
    entries += [(278, 3, 64), (279, 4, 8192)]
    tags = b"".join(
        struct.pack(">HHII", tag, kind, 1, value << 16 if kind == 3 else value)
        for tag, kind, value in entries
    )
    source = header + tags + bytes(4) + ramp_of_16_bits().astype(">u2").tobytes()
    assert np.array_equal(read_pixels(source), little)


def test_12_bits_reach_white() -> None:
    values = np.array([0, 2048, 4095, 4095], dtype=np.uint16)
    packed = bytes((values[0] >> 4, (values[0] & 15) << 4 | values[1] >> 8, values[1] & 255))
    packed += bytes((values[2] >> 4, (values[2] & 15) << 4 | values[3] >> 8, values[3] & 255))
    entries = [(256, 3, 4), (257, 3, 1), (258, 3, 12), (259, 3, 1), (262, 3, 1), (273, 4, 110)]
    entries += [(278, 3, 1), (279, 4, 6)]
    tags = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    source = struct.pack("<2sHIH", b"II", 42, 8, 8) + tags + bytes(4) + packed
    assert read_pixels(source)[..., 0].tolist() == [[0, 128, 255, 255]]


def test_floats_in_0_to_1_are_scaled_and_others_stretched() -> None:
    inside = np.array([[0.25, 0.5, 0.75]], dtype=np.float32)
    outside = np.array([[-5.0, 0.0, 5.0, math.nan, math.inf, -math.inf]], dtype=np.float32)
    assert read_pixels(file_of(inside, "TIFF"))[..., 0].tolist() == [[64, 128, 191]]
    assert read_pixels(file_of(outside, "TIFF"))[..., 0].tolist() == [[0, 128, 255, 0, 255, 0]]


@pytest.mark.parametrize("value", [math.nan, math.inf, 3e38, -3e38, 0.0])
def test_a_constant_float_picture_is_read_without_a_warning(value: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_pixels(Image.fromarray(np.full((2, 2), value, dtype=np.float32))).shape == (2, 2, 3)


def test_one_bit_and_palette_pictures_keep_their_colours() -> None:
    black_and_white = Image.fromarray(np.array([[0, 255]], dtype=np.uint8)).convert("1")
    for kind in ("PNG", "TIFF", "BMP", "GIF"):
        assert read_pixels(file_of(black_and_white, kind))[0].tolist() == [[0] * 3, [255] * 3]
    palette = Image.fromarray(quadrants()).quantize(8)
    for kind in ("PNG", "GIF", "BMP", "TIFF"):
        assert_near(read_pixels(file_of(palette, kind)), quadrants(), 2)


# ------------------------------------------------------------------------------------------ transparency


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "JPEG2000"])
def test_alpha_is_laid_on_white(kind: str) -> None:
    colours = [[(255, 0, 0, 255), (255, 0, 0, 0), (255, 0, 0, 128), (0, 0, 0, 128)]]
    options = {"lossless": True} if kind == "WEBP" else {}
    pixels = read_pixels(file_of(np.array(colours, dtype=np.uint8), kind, **options))
    expected = [[(255, 0, 0), (255, 255, 255), (255, 127, 127), (127, 127, 127)]]
    assert_near(pixels, expected, 1)


def test_grey_with_alpha_is_laid_on_white() -> None:
    picture = Image.fromarray(np.array([[0, 0, 100]], dtype=np.uint8)).convert("LA")
    picture.putalpha(Image.fromarray(np.array([[0, 255, 128]], dtype=np.uint8)))
    assert_near(read_pixels(file_of(picture, "PNG"))[..., 0], [[255, 0, 177]], 1)


def test_a_transparent_palette_colour_or_key_colour_is_white() -> None:
    palette = Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8), "L").convert("P")
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    one = read_pixels(file_of(palette, "PNG", transparency=1))
    several = read_pixels(file_of(palette, "PNG", transparency=bytes([0, 255, 128])))
    assert_near(one, [[(255, 0, 0), (255, 255, 255), (0, 0, 255)]], 0)
    assert_near(several, [[(255, 255, 255), (0, 255, 0), (127, 127, 255)]], 1)
    key = read_pixels(file_of(quadrants(), "PNG", transparency=(200, 30, 30)))
    assert key[0, 0].tolist() == [255, 255, 255]
    assert key[0, -1].tolist() == [30, 180, 30]


# -------------------------------------------------------------------------------------- frames and kinds


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF", "MPO"])
def test_of_several_frames_the_first_is_read(kind: str) -> None:
    first, second = Image.new("RGB", (16, 16), (250, 0, 0)), Image.new("RGB", (16, 16), (0, 0, 250))
    source = file_of(first, kind, save_all=True, append_images=[second])
    assert_near(first_colour(source), (250, 0, 0), 8)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "AVIF", "TIFF", "BMP", "JPEG2000", "PPM"])
def test_the_content_decides_what_a_file_is_not_its_suffix(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "picture.txt"
    path.write_bytes(file_of(quadrants(), kind))
    pixels = read_pixels(path)
    assert_near(corners(pixels), corners(quadrants()), 3)
    assert np.array_equal(read_pixels(str(path)), pixels)
    assert np.array_equal(read_pixels(path.read_bytes()), pixels)


@pytest.mark.parametrize("kind", ["PSD", "EPS", "PDF", "ICO", "TGA"])
def test_formats_that_are_not_listed_are_never_tried(kind: str) -> None:
    source = b"8BPS" + bytes(100) if kind == "PSD" else file_of(quadrants(), kind)
    with pytest.raises(NotAPicture):
        read_pixels(source)


# --------------------------------------------------------------------------------- decoding at reduced size


def test_decoding_at_reduced_size_hardly_changes_what_the_network_sees() -> None:
    photo, preprocessing = photo_like(1500, 2000), Preprocessing()
    for options in ({}, {"progressive": True}):
        source = file_of(photo, "JPEG", quality=90, **options)
        full, reduced = read_pixels(source), read_pixels(source, at_least=preprocessing.at_least)
        assert full.shape == (1500, 2000, 3)
        assert reduced.shape == (750, 1000, 3)
        whole, small = (preprocessing.fit_pixels(each).astype(int) for each in (full, reduced))
        difference = np.abs(whole - small)
        assert difference.mean() < 0.5
        assert difference.max() <= 8


@pytest.mark.parametrize("orientation", STORED)
def test_the_sides_of_a_turned_jpeg_swap_before_it_is_reduced(orientation: int) -> None:
    stored = np.ascontiguousarray(STORED[orientation](quadrants(640, 480)))
    source = file_of(stored, "JPEG", exif=exif_of(orientation), quality=95)
    assert read_pixels(source, at_least=(160, 40)).shape == (320, 240, 3)
    assert read_pixels(source, at_least=(40, 120)).shape == (320, 240, 3)
    reduced = read_pixels(source, at_least=(80, 60))
    assert reduced.shape == (160, 120, 3)
    assert_near(corners(reduced), corners(quadrants()), 3)


@pytest.mark.parametrize(
    ("at_least", "height"), [(1, 25), (25, 50), (26, 100), (50, 100), (51, 200), (300, 200)]
)
def test_both_sides_stay_twice_as_large_as_needed_or_complete(at_least: int, height: int) -> None:
    pixels = read_pixels(file_of(quadrants(200, 400), "JPEG"), at_least=at_least)
    assert pixels.shape == (height, 2 * height, 3)


def test_grey_and_cmyk_jpegs_are_reduced_too() -> None:
    for mode in ("L", "CMYK"):
        source = file_of(Image.fromarray(quadrants(160, 160)).convert(mode), "JPEG")
        assert read_pixels(source, at_least=20).shape == (40, 40, 3)


# --------------------------------------------------------------------------------------------- not readable


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"Dear diary, today I looked at a picture.", "Check that it is a picture"),
        (b"<!DOCTYPE html><html><title>404</title></html>", "a web page"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3", "a PDF document"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "a video"),
        (b"\x1aE\xdf\xa3\x01\0\0\0", "a video"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC photograph"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "a HEIC photograph"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a Git LFS pointer"),
        (b"PK\x03\x04" + bytes(30), "a ZIP archive"),
        (b"\0", "Check that it is a picture"),
    ],
)
def test_what_is_no_picture_is_called_by_its_name(
    tmp_path: Path, content: bytes, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_formats, "HEIF", Extra("heif", "not_installed"))
    path = tmp_path / "picture.jpg"
    path.write_bytes(content)
    with pytest.raises(NotAPicture, match=f"picture.jpg: not a picture .* {kind}"):
        read_pixels(path)


def test_a_film_is_not_a_picture(shared: Path) -> None:
    for path in (shared / "fixtures" / "video").iterdir():
        with pytest.raises(NotAPicture, match="a video"):
            read_pixels(path)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "AVIF", "TIFF", "BMP", "JPEG2000", "PPM"])
def test_half_a_file_is_damaged_not_half_a_picture(tmp_path: Path, kind: str) -> None:
    content = file_of(photo_like(64, 64), kind)
    path = tmp_path / "half.picture"
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(PictureDamaged, match=r"half\.picture"):
        read_pixels(path)


def test_paths_without_a_readable_file_are_errors_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "link.jpg").symlink_to(tmp_path / "gone.jpg")
    (tmp_path / "circle.jpg").symlink_to(tmp_path / "circle.jpg")
    for name, error, words in [
        ("missing.jpg", PictureNotFound, "nothing can be found"),
        ("empty.jpg/below.jpg", PictureNotFound, "nothing can be found"),
        ("link.jpg", PictureNotFound, "a link to something that is gone"),
        ("circle.jpg", PictureNotFound, "a link"),
        ("null\0byte.jpg", PictureNotFound, "null byte"),
        ("x" * 5000, PictureNotFound, "nothing can be found"),
        ("empty.jpg", PictureEmpty, "zero bytes"),
        ("", PictureIsFolder, "a folder"),
    ]:
        with pytest.raises(error, match=words):
            read_pixels(tmp_path / name)
    with pytest.raises(PictureEmpty, match="it is empty"):
        read_pixels(b"")


def test_a_file_that_may_not_be_read_is_denied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret.jpg"
    path.write_bytes(file_of(quadrants(), "JPEG"))

    def refuse(*_: Any) -> None:  # instead of chmod, which does not stop an administrator
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(PictureDenied, match="Permission denied"):
        read_pixels(path)
    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(PictureDenied, match=r"secret\.jpg"):
        read_pixels(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_and_devices_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    failures: list[PictureError] = []

    def read_all() -> None:
        for path in (tmp_path / "pipe.jpg", Path("/dev/zero"), Path("/dev/null")):
            try:
                read_pixels(path)
            except NotAPicture as error:
                failures.append(error)

    thread = threading.Thread(target=read_all, daemon=True)
    thread.start()
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert len(failures) == 3


def test_more_pixels_than_allowed_are_refused_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 9_999)
    monkeypatch.setattr(images, "MAX_STORED_PIXELS", 39_999)
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "TIFF", "BMP", "JPEG2000", "PPM"):
        assert read_pixels(file_of(quadrants(99, 101), kind)).shape == (99, 101, 3)
        with pytest.raises(PictureTooLarge, match="10,000 pixels are more than the 9,999"):
            read_pixels(file_of(quadrants(100, 100), kind))
    assert read_pixels(file_of(quadrants(100, 100), "JPEG"), at_least=10).shape == (25, 25, 3)
    with pytest.raises(PictureTooLarge, match="10,000"):  # its coefficients fill memory at full size
        read_pixels(file_of(quadrants(100, 100), "JPEG", progressive=True), at_least=10)
    with pytest.raises(PictureTooLarge, match="40,000"):
        read_pixels(file_of(quadrants(200, 200), "JPEG"), at_least=10)
    with pytest.raises(PictureTooLarge):
        read_pixels(quadrants(100, 100))


# ----------------------------------------------------------------------------------- pictures in memory


def test_arrays_and_pictures_mean_the_same_pixels() -> None:
    picture = quadrants()
    opaque = np.dstack([picture, np.full(picture.shape[:2], 255, dtype=np.uint8)])
    for source in (
        picture,
        opaque,
        picture / 255,
        (picture / 255).astype(np.float32),
        Image.fromarray(picture),
    ):
        assert np.array_equal(read_pixels(source), picture)
    assert np.array_equal(read_pixels(picture[::-1, ::2]), picture[::-1, ::2])
    assert np.array_equal(read_pixels(picture[:, :, 0]), picture[:, :, :1].repeat(3, axis=2))


@pytest.mark.needs("torch")
def test_tensors_are_pixels_too_where_they_are_uint8_and_channels_come_first() -> None:
    import torch

    tensor = torch.from_numpy(quadrants()).permute(2, 0, 1)
    for source in (tensor, tensor.contiguous()):
        assert np.array_equal(read_pixels(source), quadrants())
    for other in (torch.zeros(3, 8, 8), torch.zeros(8, 8, 3, dtype=torch.uint8)):
        with pytest.raises(NotAPicture, match="expected uint8 pixels"):
            read_pixels(other)


def test_an_open_file_is_the_picture_in_it(tmp_path: Path) -> None:
    data = file_of(Image.effect_noise((30, 20), 60).convert("RGB"), "PNG")
    (tmp_path / "a.png").write_bytes(data)
    with (tmp_path / "a.png").open("rb") as file:
        for source in (file, io.BytesIO(data), io.BufferedReader(io.BytesIO(data))):
            assert read_size(source) == (20, 30)
            for _ in range(2):
                assert (read_pixels(source) == read_pixels(data)).all()
        for kept in (bytearray(data), memoryview(data)):
            assert read_size(kept) == (20, 30) and (read_pixels(kept) == read_pixels(data)).all()
    with pytest.raises(NotAPicture, match="open as text"):
        read_pixels(io.StringIO("a.png"))
    with (tmp_path / "a.png").open() as text, pytest.raises(NotAPicture, match=r"a\.png: open as text"):
        read_pixels(text)
    with pytest.raises(NotAPicture, match=r"a\.png: closed"):
        read_pixels(file)
    with (tmp_path / "b.png").open("wb") as written, pytest.raises(PictureDenied, match="cannot be read"):
        read_pixels(written)


@pytest.mark.skipif(os.name == "nt", reason="backslashes separate folders there")
def test_a_path_with_backslashes_is_pointed_out() -> None:
    with pytest.raises(PictureNotFound, match="It has backslashes"):
        read_pixels("photos\\a.jpg")
    with pytest.raises(PictureNotFound, match=r"spelling\.$"):
        read_pixels("photos/a.jpg")


def test_reading_an_array_leaves_it_alone() -> None:
    for array in (quadrants(), quadrants() / 255, (quadrants() / 255).astype(np.float32)):
        before = array.copy()
        pixels = read_pixels(array)
        pixels[:] = 0
        assert (array == before).all()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (quadrants().astype(np.float32), r"floats must lie in 0\.\.1"),
        (np.full((2, 2), math.nan), "NaN"),
        (np.full((2, 2), -0.5), r"floats must lie in 0\.\.1"),
        (quadrants().astype(np.int64), "expected uint8"),
        (np.zeros((3, 8, 8), dtype=np.uint8), "expected the shape"),
        (np.zeros(8, dtype=np.uint8), "expected the shape"),
        (None, "expected a path"),
        (5, "expected a path"),
    ],
)
def test_an_array_of_another_kind_is_refused_with_what_was_expected(source: Any, words: str) -> None:
    with pytest.raises(NotAPicture, match=words):
        read_pixels(source)


def test_an_array_without_pixels_is_empty() -> None:
    with pytest.raises(PictureEmpty):
        read_pixels(np.zeros((0, 4, 3), dtype=np.uint8))


# ------------------------------------------------------------------------------------------------- threads


def test_many_threads_read_the_same_pixels_as_one() -> None:
    sources = [
        file_of(photo_like(64, 96), "JPEG", exif=exif_of(6), icc_profile=rgb_profile(red=GREEN, green=RED)),
        file_of(
            Image.fromarray(photo_like(64, 96)).convert("CMYK"),
            "JPEG",
            icc_profile=cmyk_profile_of_grey_inks(),
        ),
        file_of(photo_like(64, 96), "AVIF"),
        b"no picture",
    ]

    def read(source: bytes) -> list[int] | str:
        try:
            return read_pixels(source).flatten().tolist()
        except PictureError as error:
            return str(error)

    expected = [read(source) for source in sources]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, sources * 20)) == expected * 20


# ------------------------------------------------------------------------------------------------- fuzzing


def seeds_of_mutation() -> dict[str, bytes]:
    """Small files that go through every reader and every conversion."""
    picture = Image.fromarray(photo_like(24, 32))
    turned = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    more = {"save_all": True, "append_images": [turned]}
    extras = {"exif": exif_of(6), "icc_profile": rgb_profile(red=GREEN, green=RED)}
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    return {
        "jpeg": file_of(picture, "JPEG", **extras),
        "jpeg progressive": file_of(picture, "JPEG", progressive=True),
        "jpeg cmyk": file_of(picture.convert("CMYK"), "JPEG", icc_profile=cmyk_profile_of_grey_inks()),
        "mpo": file_of(picture, "MPO", **more),
        "png": file_of(picture, "PNG", **extras),
        "png palette": file_of(picture.quantize(16), "PNG", transparency=b"\0\x80"),
        "png 16": file_of(ramp_of_16_bits()[:24, :24], "PNG"),
        "apng": file_of(picture.convert("RGBA"), "PNG", **more),
        "webp": file_of(picture, "WEBP", **extras),
        "webp animated": file_of(picture.convert("RGBA"), "WEBP", **more),
        "gif": file_of(picture, "GIF", **more),
        "avif": file_of(picture, "AVIF", **extras),
        "tiff": file_of(picture, "TIFF", **extras),
        "tiff lzw": file_of(picture, "TIFF", compression="tiff_lzw"),
        "tiff jpeg": file_of(picture, "TIFF", compression="jpeg"),
        "tiff fax": file_of(picture.convert("1"), "TIFF", compression="group4"),
        "tiff float": file_of(picture.convert("F"), "TIFF"),
        "tiff integer": file_of(picture.convert("I"), "TIFF"),
        "tiff lab": file_of(to_lab.apply(picture), "TIFF"),
        "bmp": file_of(picture, "BMP"),
        "bmp palette": file_of(picture.quantize(16), "BMP"),
        "jpeg 2000": file_of(picture, "JPEG2000"),
        "ppm": file_of(picture, "PPM"),
        "pgm 16": b"P5 4 4 65535\n" + bytes(32),
        "tiff planes": tiff_of([bytes(512)] * 3, 16, 2, size=16, separate=True, samples=3),
        "tiff signed": tiff_of(bytes(256), 8, 0, 2, size=16, order=">"),
        "tiff profile": tiff_of(bytes(1536), 16, 2, size=16, samples=3, more=((34675, 7, LINEAR_RGB),)),
        "png profile": png_of(np.zeros((16, 16, 3)), 2, iccp(LINEAR_RGB)),
        "png key": png_of(np.zeros((16, 16)), 0, (b"tRNS", bytes(2)), bits=4),
    }


def mutate(content: bytes, luck: random.Random) -> bytes:
    """Flip bits, set bytes and lengths to extremes, cut, splice: often in the header, where it hurts."""
    mutated = bytearray(content)
    for _ in range(luck.choice([1, 1, 2, 4, 16])):
        if len(mutated) < 4:
            break
        index = luck.randrange(len(mutated) if luck.random() < 0.5 else min(len(mutated), 200))
        match luck.randrange(6):
            case 0:
                mutated[index] ^= 1 << luck.randrange(8)
            case 1:
                mutated[index] = luck.choice([0, 127, 128, 255, luck.randrange(256)])
            case 2:
                del mutated[index:]
            case 3:
                start = luck.randrange(len(mutated))
                mutated[index:index] = mutated[start : start + luck.randrange(64)]
            case 4:
                del mutated[index : index + luck.randrange(32)]
            case _:
                number = luck.choice([0, 1, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF, luck.randrange(2**32)])
                mutated[index : index + 4] = struct.pack(luck.choice("<>") + "I", number)
    return bytes(mutated)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("count", [1_200, pytest.param(10_000, marks=pytest.mark.slow)])
def test_mutated_files_give_pixels_or_a_picture_error(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource", reason="peak memory cannot be measured here")
    monkeypatch.setattr(images, "MAX_PIXELS", 4_000_000)
    monkeypatch.setattr(images, "MAX_STORED_PIXELS", 16_000_000)
    luck = random.Random(20)
    seeds = list(seeds_of_mutation().values())
    assert all(read_pixels(seed).shape[2] == 3 for seed in seeds)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read = 0
    for number in range(count):
        content = mutate(seeds[number % len(seeds)], luck)
        try:
            pixels = read_pixels(content, at_least=luck.choice([None, 4]))
        except PictureError:
            continue
        read += 1
        assert pixels.dtype == np.uint8
        assert pixels.shape[2] == 3
    assert count / 10 < read < count * 9 / 10  # both ends mean that the mutations test nothing
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    kilobytes = grown / 1024 if sys.platform == "darwin" else grown
    assert kilobytes < 200_000  # 16 bytes for each of 4 million pixels, and the allocator's slack


# ---------------------------------------------------------------------- what files state about their pixels


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def with_chunk(png: bytes, added: bytes) -> bytes:
    """A PNG with a chunk behind its header."""
    return png[:33] + added + png[33:]


def tiff_of(
    planes: bytes | list[bytes],
    bits: int,
    photometric: int,
    sample_format: int = 1,
    size: int = 64,
    *,
    order: str = "<",
    separate: bool = False,
    samples: int = 1,
    more: tuple[tuple[int, int, bytes], ...] = (),
) -> bytes:
    """An uncompressed TIFF, `size` pixels wide: all in one strip, or a strip for each plane."""
    strips = [planes] if isinstance(planes, bytes) else planes
    data = b"".join(strips)
    starts = [8 + sum(len(each) for each in strips[:number]) for number in range(len(strips))]
    height = len(data) * 8 // bits // size // samples
    tags = [
        (256, 4, [size]), (257, 4, [height]), (258, 3, [bits] * samples), (259, 3, [1]),
        (262, 3, [photometric]), (273, 4, starts), (277, 3, [samples]), (278, 4, [height]),
        (279, 4, [len(each) for each in strips]), (284, 3, [1 + separate]),
        (339, 3, [sample_format] * samples),
    ]  # fmt: skip
    packed = [
        (tag, kind, len(values), struct.pack(order + "HI"[kind == 4] * len(values), *values))
        for tag, kind, values in tags
    ]
    entries = sorted(
        packed
        + [(tag, kind, len(content) // (2 if kind == 3 else 1), content) for tag, kind, content in more]
    )
    directory, behind = struct.pack(order + "H", len(entries)), b""
    first = 8 + len(data) + 2 + 12 * len(entries) + 4
    for tag, kind, count, content in entries:
        directory += struct.pack(order + "HHI", tag, kind, count)
        fits = len(content) <= 4
        directory += content.ljust(4, b"\0") if fits else struct.pack(order + "I", first + len(behind))
        behind += b"" if fits else content
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "HI", 42, 8 + len(data))
    return head + data + directory + bytes(4) + behind


RAMP = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (8, 1))  # (8, 64)


@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4", "f4"])
def test_grey_tiffs_of_every_kind_are_light_where_they_should_be(
    kind: str, photometric: int, order: str, separate: bool
) -> None:
    light = RAMP / RAMP.max()
    whites = {"u1": 255, "i1": 127, "u2": 65535, "i2": 32767, "u4": 65535, "i4": 65535, "f4": 1}
    values = (light if photometric else 1 - light) * whites[kind]
    stored = (values if kind == "f4" else values.round()).astype(order + kind)
    sample_format = {"u": 1, "i": 2, "f": 3}[kind[0]]
    read = read_pixels(
        tiff_of(
            stored.tobytes(), 8 * stored.itemsize, photometric, sample_format, order=order, separate=separate
        )
    )
    assert np.abs(read[..., 0] - light * 255).max() <= (2 if kind == "i1" else 1)


def test_great_values_of_32_bits_are_stretched() -> None:
    for order in "<>":
        values = (RAMP.astype(np.uint32) * 17_039_360).astype(order + "u4")
        read = read_pixels(tiff_of(values.tobytes(), 32, 1, order=order))
        assert np.abs(read[..., 0] - RAMP / RAMP.max() * 255).max() <= 1


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("samples", [3, 4])
def test_planes_of_a_tiff_are_its_colours(order: str, bits: int, samples: int, tmp_path: Path) -> None:
    picture = photo_like(48, 64)
    opacity = np.full((48, 64, 1), 128, np.uint8)
    values = np.dstack([picture, opacity])[..., :samples].astype(f"{order}u{bits // 8}") * (
        257 if bits > 8 else 1
    )
    planes = [np.ascontiguousarray(values[..., number]).tobytes() for number in range(samples)]
    more = ((338, 3, struct.pack(order + "H", 2)),) if samples == 4 else ()
    written = tiff_of(planes, bits, 2, order=order, separate=True, samples=samples, more=more)
    expected = (picture * (128 / 255) + 127).round() if samples == 4 else picture
    (tmp_path / "a.tif").write_bytes(written)
    with Image.open(io.BytesIO(written)) as image:
        for source in (written, tmp_path / "a.tif", image):
            assert_near(read_pixels(source), expected, 1)
    if order == ">":
        return
    beyond = struct.pack("<I", len(planes[0])) * samples  # as where a file breaks off
    broken = written.replace(beyond, struct.pack("<I", 2 * len(written)) * samples)
    assert broken != written
    with pytest.raises(PictureDamaged):
        read_pixels(broken)


def test_planes_that_are_not_those_of_colours_are_refused() -> None:
    lab = tiff_of([bytes(4096)] * 3, 8, 8, separate=True, samples=3)
    with pytest.raises(PictureDamaged, match="LAB in separate planes"):
        read_pixels(lab)


@pytest.mark.parametrize(
    "added",
    [
        chunk(b"zTXt", b"workflow\0\0" + zlib.compress(b"x" * (2 << 20))),
        chunk(b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(b"x" * (2 << 20))),
        chunk(b"tEXt", b"Comment\0hello")[:-1] + b"?",
        chunk(b"gAMA", struct.pack(">I", 100_000))[:-1] + b"?",
        chunk(b"prVt", bytes(3 << 20)),
        chunk(b"iCCP", b"srgb\0\0" + zlib.compress(
            ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() + bytes(2 << 20))),
    ],
)  # fmt: skip
def test_text_profiles_and_checksums_of_a_png_cost_no_pixel(added: bytes) -> None:
    picture = quadrants()
    assert np.array_equal(read_pixels(with_chunk(file_of(picture, "PNG"), added)), picture)


ONE_FRAME = struct.pack(">II", 1, 0)


@pytest.mark.parametrize(
    "added",
    [
        chunk(b"cHRM", bytes(3)),
        chunk(b"gAMA", bytes(3)),
        chunk(b"gAMA", bytes(5)),
        chunk(b"sRGB", b""),
        chunk(b"tRNS", bytes(5)),
        chunk(b"tRNS", bytes(8)),
        chunk(b"eXIf", b"MM"),
        chunk(b"PLTE", bytes(3))[:-1] + b"?",  # a picture without a palette
        chunk(b"acTL", bytes(4)),
        chunk(b"acTL", bytes(8)),
        chunk(b"acTL", ONE_FRAME)[:-1] + b"?",
        chunk(b"acTL", ONE_FRAME) + chunk(b"acTL", ONE_FRAME),
        chunk(b"fcTL", bytes(4)),
        chunk(b"fcTL", b"?" * 26),
        chunk(b"fcTL", b"?" * 64),
        chunk(b"fdAT", b""),
    ],
)
def test_a_png_with_a_chunk_of_a_wrong_length_is_read_as_without_it(added: bytes) -> None:
    picture = quadrants()
    png = file_of(picture, "PNG")
    assert np.array_equal(read_pixels(with_chunk(png, added)), picture)
    assert np.array_equal(read_pixels(png[:-12] + added + png[-12:]), picture)


@pytest.mark.parametrize("key", [b"", bytes(3)])
def test_a_palette_without_as_many_colours_as_its_transparency_is_opaque(key: bytes) -> None:
    pixels = np.zeros((4, 4), np.uint8)
    palette = (b"PLTE", bytes([9, 8, 7, 6, 5, 4]))
    read = read_pixels(png_of(pixels, 3, palette, (b"tRNS", key), bits=8))
    assert (read == (9, 8, 7)).all()
    assert (read_pixels(png_of(pixels, 3, palette, (b"tRNS", b"\0"), bits=8)) == 255).all()


@pytest.mark.parametrize("damaged", [b"acTL", b"fcTL", b"fdAT"])
@pytest.mark.parametrize("first", [False, True])
def test_a_damaged_animation_is_read_as_its_still_picture(damaged: bytes, first: bool) -> None:
    pictures = [Image.fromarray(quadrants()), Image.fromarray(quadrants()[::-1].copy())]
    buffer = io.BytesIO()
    pictures[0].save(buffer, "PNG", save_all=True, append_images=pictures[1:], default_image=first)
    animation = bytearray(buffer.getvalue())
    assert np.array_equal(read_pixels(bytes(animation)), quadrants())
    animation[animation.index(damaged) + 7] ^= 0x7F
    assert np.array_equal(read_pixels(bytes(animation)), quadrants())


def test_a_png_is_turned_by_text_before_and_behind_its_pixels() -> None:
    picture = quadrants()
    exif = Image.Exif()
    exif[0x0112] = 3
    written = file_of(picture, "PNG", exif=exif)
    assert np.array_equal(read_pixels(written), picture[::-1, ::-1])
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r tiff:Orientation="3"/></x:xmpmeta>'
    stated = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
    assert np.array_equal(read_pixels(with_chunk(file_of(picture, "PNG"), stated)), picture[::-1, ::-1])


def test_a_png_with_gamma_is_as_light_as_that_states() -> None:
    picture = photo_like(32, 32)
    linear = srgb_to_linear(picture / 255)
    for gamma, values in ((1.0, linear), (1 / 1.8, linear ** (1 / 1.8))):
        stated = (b"gAMA", struct.pack(">I", round(100_000 * gamma)))
        read = read_pixels(png_of((values * 65535).round(), 2, stated))
        assert np.abs(read.astype(int) - picture).max() <= 1
    usual = with_chunk(file_of(picture, "PNG"), chunk(b"gAMA", struct.pack(">I", 45_455)))
    assert np.array_equal(read_pixels(usual), picture)


def test_a_png_with_chromaticities_has_the_colours_of_those() -> None:
    """Display P3, with the white of sRGB; and with another white, which stays white."""
    picture = photo_like(32, 32)
    from_srgb = np.array([[0.8225, 0.1774, 0], [0.0332, 0.9669, 0], [0.0171, 0.0724, 0.9108]])
    stored = linear_to_srgb(np.clip(srgb_to_linear(picture / 255) @ from_srgb.T, 0, 1))

    def chromaticities(*white: float) -> bytes:
        return struct.pack(
            ">8I", *(round(100_000 * x) for x in (*white, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06))
        )

    stated, usual = (b"cHRM", chromaticities(0.3127, 0.329)), (b"gAMA", struct.pack(">I", 45_455))
    for values, bound in ((stored * 65535, 2), (np.round(stored * 255) * 257, 4)):
        read = read_pixels(png_of(values.round(), 2, stated, usual))
        assert np.abs(read.astype(int) - picture).max() <= bound
    # Alone, or next to a chunk that states sRGB, they do not count.
    for chunks in ((stated,), (stated, usual, (b"sRGB", b"\0"))):
        assert (
            np.abs(read_pixels(png_of((stored * 65535).round(), 2, *chunks)).astype(int) - picture).max() > 9
        )
    white = np.full((8, 8, 3), 65535)
    other = (b"cHRM", chromaticities(0.3457, 0.3585))
    assert read_pixels(png_of(white, 2, other, usual)).min() >= 254
    broken = (b"cHRM", bytes(32))
    assert read_pixels(png_of(white, 2, broken, usual)).min() == 255


def as_pq(picture: Bytes, white: float) -> NDArray[Any]:
    """sRGB as PQ in BT.2020, its white at so many cd/m2: 0..65535. (H, W, 3)"""
    matrix = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
    power = (srgb_to_linear(picture / 255) @ matrix.T * white / 10_000) ** (2610 / 16384)
    stored: NDArray[Any] = ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)
    return (stored.clip(0, 1) * 65535).round()


def test_hdr_pictures_are_tone_mapped_and_what_is_not_brighter_than_paper_is_kept() -> None:
    picture = photo_like(32, 32)
    stated = (b"cICP", bytes([9, 16, 0, 1]))
    assert np.abs(read_pixels(png_of(as_pq(picture, 203), 2, stated)).astype(int) - picture).max() <= 3
    grey = np.repeat(picture[..., :1], 3, axis=2)
    brighter = read_pixels(png_of(as_pq(grey, 1000), 2, stated)).astype(int)
    # Five times as bright: lighter, but with the highlights apart.
    assert grey.mean() + 20 < brighter.mean() < 250
    assert (brighter == 255).mean() < 0.1


def test_hdr_is_noticed_in_avif(monkeypatch: pytest.MonkeyPatch) -> None:
    grey = np.full((64, 64, 3), 200, np.uint8)
    written = file_of(Image.fromarray((as_pq(grey, 203) / 257).round().astype(np.uint8)), "AVIF", quality=100)
    at = written.index(b"colrnclx") + 8
    hdr = written[:at] + struct.pack(">HH", 9, 16) + written[at + 4 :]
    assert np.abs(read_pixels(hdr).astype(int) - 200).max() <= 6
    assert read_pixels(written).mean() < 160


def test_display_p3_without_a_profile_is_converted() -> None:
    red = np.zeros((4, 4, 3), np.uint16) + np.array([60_000, 20_000, 20_000], np.uint16)
    read = read_pixels(png_of(red, 2, (b"cICP", bytes([12, 13, 0, 1]))))[0, 0].astype(int)
    # By the primaries of both: redder than sRGB can be is cut off.
    assert np.abs(read - (253, 60, 70)).max() <= 1


@pytest.mark.parametrize("is_grey", [False, True])
def test_what_the_first_frame_of_a_gif_leaves_uncovered_is_white(is_grey: bool) -> None:
    picture = np.full((8, 12, 3), 90, np.uint8)
    picture[..., 0] += 0 if is_grey else 100
    written = bytearray(file_of(Image.fromarray(picture).convert("L" if is_grey else "RGB"), "GIF"))
    written[6:10] = struct.pack("<HH", 20, 16)  # a larger screen
    at = written.index(b"\x2c" + struct.pack("<HHHH", 0, 0, 12, 8))
    written[at + 1 : at + 5] = struct.pack("<HH", 3, 5)
    expected = np.full((16, 20, 3), 255, np.uint8)
    expected[5:13, 3:15] = picture
    for given in (bytes(written), Image.open(io.BytesIO(written))):
        assert np.abs(read_pixels(given).astype(int) - expected).max() <= 2


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("code", "tolerance"), [((1, 13), 1), ((9, 16), 3)], ids=["srgb", "pq"])
def test_narrow_range_is_stretched(bits: int, code: tuple[int, int], tolerance: int) -> None:
    picture = photo_like(16, 16)
    full = as_pq(picture, 203) / 65535 if code[1] == 16 else picture / 255
    unit = 2 ** (bits - 8)
    stored = (unit * (16 + 219 * full)).round().astype(np.uint16 if bits == 16 else np.uint8)
    found = read_pixels(png_of(stored, 2, (b"cICP", bytes([*code, 0, 0])), bits=bits)).astype(int)
    if code[1] == 16 and bits == 8:
        tolerance = 12  # 220 levels of PQ are that coarse
    assert np.abs(found - picture).max() <= tolerance
    assert np.abs(read_pixels(png_of(stored, 2, bits=bits)).astype(int) - picture).max() >= 15


@pytest.mark.parametrize("colour_type", [0, 2])
def test_a_key_colour_of_16_bits_is_transparent_and_its_neighbours_are_not(colour_type: int) -> None:
    values = np.full((4, 4, 3 if colour_type else 1), 1001, np.uint16)
    values[:2] = 1000
    key = struct.pack(">H", 1000) * values.shape[2]
    read = read_pixels(png_of(values, colour_type, (b"tRNS", key)))
    assert (read[:2] == 255).all()
    assert (read[2:] == 3).all()


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("stated", [(), ((b"gAMA", struct.pack(">I", 100_000)),)])
def test_a_key_of_few_bits_is_transparent_and_its_neighbours_are_not(
    bits: int, stated: tuple[tuple[bytes, bytes], ...]
) -> None:
    greys = np.tile(np.arange(2**bits), (2, 8))
    plain = read_pixels(png_of(greys, 0, *stated, bits=bits))
    for key in {0, 1, 2**bits - 2}:
        read = read_pixels(png_of(greys, 0, *stated, (b"tRNS", struct.pack(">H", key)), bits=bits))
        assert (read[greys == key] == 255).all()
        assert np.array_equal(read[greys != key], plain[greys != key])


# ------------------------------------------------------------------------------------- profiles, exactly

LINEAR_RGB, LINEAR_GREY = (
    rgb_profile(gamma=1.0),
    icc_profile(b"GRAY", b"XYZ ", {**WHITE_POINT, b"kTRC": curve(1.0)}),
)
COLOURS_OF_A_RAMP = np.stack([RAMP, RAMP[:, ::-1], RAMP // 2], axis=-1)  # (8, 64, 3)


def iccp(profile: bytes) -> tuple[bytes, bytes]:
    return b"iCCP", b"linear\0\0" + zlib.compress(profile)


@pytest.mark.parametrize("channels", ["grey", "colour"])
@pytest.mark.parametrize("also", ["nothing", "opacity", "key", "gamma"])
def test_all_16_bits_of_a_png_go_through_its_profile(channels: str, also: str) -> None:
    expected: NDArray[Any] = COLOURS_OF_A_RAMP
    if channels == "grey":
        expected = RAMP[..., None].repeat(3, axis=2)
    light = (srgb_to_linear(expected / 255) * 65535).round()
    values, colour_type, profile = light, 2, LINEAR_RGB
    if channels == "grey":
        values, colour_type, profile = light[..., :1], 0, LINEAR_GREY
    chunks = [iccp(profile)]
    if also == "opacity":
        values, colour_type = np.dstack([values, np.full(values.shape[:2], 32768)]), colour_type + 4
        expected = expected / 2 + 127.5
    elif also == "key":
        chunks.append((b"tRNS", values[0, 5].astype(">u2").tobytes()))
        expected = np.where((values == values[0, 5]).all(axis=2, keepdims=True), 255, expected)
    elif also == "gamma":
        chunks = [(b"gAMA", struct.pack(">I", 100_000))]
    assert np.abs(read_pixels(png_of(values, colour_type, *chunks)) - expected).max() <= 1


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("samples", [1, 3])
def test_all_16_bits_of_a_tiff_go_through_its_profile(samples: int, order: str) -> None:
    light = (srgb_to_linear(COLOURS_OF_A_RAMP / 255) * 65535).round()[..., :samples].astype(order + "u2")
    more = ((34675, 7, LINEAR_RGB if samples == 3 else LINEAR_GREY),)
    source = tiff_of(light.tobytes(), 16, 2 if samples == 3 else 1, order=order, samples=samples, more=more)
    expected = COLOURS_OF_A_RAMP if samples == 3 else RAMP[..., None].repeat(3, axis=2)
    assert_near(read_pixels(source), expected, 1)
    with Image.open(io.BytesIO(source)) as image:
        assert_near(read_pixels(image), expected, 1)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_grey_of_8_bits_goes_through_a_steep_profile_exactly(kind: str) -> None:
    greys = np.arange(256, dtype=np.uint8).reshape(8, 32)
    expected = [[round(float(each)) for each in row] for row in 255 * linear_to_srgb(greys / 255)]
    options = {"lossless": True} if kind == "WEBP" else {}
    if kind != "WEBP":  # which has no grey
        read = read_pixels(file_of(greys, kind, icc_profile=LINEAR_GREY, **options))
        assert_near(read[..., 0], expected, 1)
    colours = Image.fromarray(greys).convert("RGB")
    assert_near(read_pixels(file_of(colours, kind, icc_profile=LINEAR_RGB, **options))[..., 0], expected, 1)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_colours_are_converted_before_they_are_laid_on_white(kind: str) -> None:
    colours = np.array([[(0, 0, 0, 128), (255, 0, 0, 128), (128, 128, 128, 0)]], np.uint8)
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    read = read_pixels(file_of(colours, kind, icc_profile=LINEAR_RGB, **options))
    assert_near(read, [[(127, 127, 127), (255, 127, 127), (255, 255, 255)]], 1)
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), "L").convert("P")
    palette.putpalette([0, 0, 0, 255, 0, 0])
    read = read_pixels(file_of(palette, "PNG", transparency=bytes([128, 128]), icc_profile=LINEAR_RGB))
    assert_near(read, [[(127, 127, 127), (255, 127, 127)]], 1)


@pytest.mark.parametrize(
    "colorants",
    [
        (RED, GREEN, BLUE),
        ((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841)),  # Display P3
        ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446)),  # Adobe RGB
    ],
)
@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.2])
def test_16_bits_by_a_profile_are_what_little_cms_makes_of_8(colorants: Any, gamma: float) -> None:
    red, green, blue = colorants
    picture, profile = photo_like(32, 32), rgb_profile(red, green, blue, gamma)
    fine = read_pixels(png_of(picture.astype(np.uint16) * 257, 2, iccp(profile)))
    assert_near(fine, read_pixels(file_of(picture, "PNG", icc_profile=profile)), 1)


def test_curves_of_every_kind_are_those_of_the_standard() -> None:
    def light_of(tag: bytes) -> NDArray[Any]:
        tags = {b"rXYZ": colorant(*RED), b"gXYZ": colorant(*GREEN), b"bXYZ": colorant(*BLUE)}
        curves = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), tag)
        read = matrix_profile(icc_profile(b"RGB ", b"XYZ ", {**tags, **curves}))
        assert read is not None
        light: NDArray[Any] = read.light[1]
        return light

    def formula(kind: int, *values: float) -> bytes:
        fixed = (round(value * 65536) for value in values)
        return b"para" + struct.pack(f">IHH{len(values)}i", 0, kind, 0, *fixed)

    x = np.linspace(0, 1, 65536)
    a, b = 1 / 1.055, 0.055 / 1.055
    for tag, expected in [
        (b"curv" + struct.pack(">II", 0, 0), x),
        (b"curv" + struct.pack(">II3H", 0, 3, 0, 16384, 65535), np.interp(x, [0, 0.5, 1], [0, 0.25, 1])),
        (formula(0, 2.4), x**2.4),
        (formula(1, 2.0, 1.25, -0.25), np.maximum(1.25 * x - 0.25, 0) ** 2),
        (formula(2, 2.0, 1.0, -0.25, 0.25), np.maximum(x - 0.25, 0) ** 2 + 0.25),
        (formula(3, 2.4, a, b, 1 / 12.92, 0.04045), srgb_to_linear(x)),
        (formula(4, 2.4, a, b, 1 / 12.92, 0.04045, 0.0, 0.0), srgb_to_linear(x)),
    ]:
        assert np.abs(light_of(tag) - expected).max() < 1e-3
    assert matrix_profile(icc_profile(b"RGB ", b"XYZ ", {b"rXYZ": colorant(*RED)})) is None
    endless = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), formula(0, -1.0))
    colorants = {b"rXYZ": colorant(*RED), b"gXYZ": colorant(*GREEN), b"bXYZ": colorant(*BLUE)}
    assert matrix_profile(icc_profile(b"RGB ", b"XYZ ", {**colorants, **endless})) is None
    assert matrix_profile(b"no profile") is None


def test_a_picture_of_16_bits_that_pillow_opened_at_a_path_is_read(tmp_path: Path) -> None:
    light = (srgb_to_linear(COLOURS_OF_A_RAMP / 255) * 65535).round()
    (tmp_path / "a.png").write_bytes(png_of(light, 2, iccp(LINEAR_RGB)))
    with Image.open(tmp_path / "a.png") as image:
        assert_near(read_pixels(image), COLOURS_OF_A_RAMP, 1)


def test_pq_is_tone_mapped_alike_in_all_parts_of_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    grey = np.full((64, 64, 3), 200, np.uint8)
    levels = as_pq(grey, 600)
    levels[:8] = as_pq(grey[:8], 3000)
    written = png_of(levels, 2, (b"cICP", bytes([9, 16, 0, 1])))
    whole = read_pixels(written)
    monkeypatch.setattr(picture_colours, "_PIXELS_AT_ONCE", 64)
    assert np.array_equal(read_pixels(written), whole)


def test_alpha_of_a_bmp_that_is_0_everywhere_is_none() -> None:
    rgba = np.dstack([quadrants(), np.zeros((32, 48), np.uint8)])
    bgra = rgba[::-1, :, [2, 1, 0, 3]].tobytes()
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 124, 48, 32, 1, 32, 3, len(bgra), 2835, 2835, 0, 0) + masks + b"BGRs"
    header = header.ljust(124, b"\0")
    written = b"BM" + struct.pack("<IHHI", 138 + len(bgra), 0, 0, 138) + header + bgra
    assert np.array_equal(read_pixels(written), quadrants())


def segment(marker: int, content: bytes) -> bytes:
    """A segment of a JPEG in which an application states something."""
    return bytes([0xFF, marker]) + struct.pack(">H", 2 + len(content)) + content


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize(
    "added",
    [
        segment(0xE0, b"JFIF\0"),
        segment(0xE2, b"ICC_PROFILE\0"),
        segment(0xE2, b"ICC_PROFILE\0\2"),
        segment(0xED, b"Photoshop 3.0\x008BIM\4\4"),
        segment(0xEE, b"Adobe"),
        segment(0xE0, b"JFIF\0") + segment(0xFE, b"a comment") + segment(0xEE, b"Adobe"),
    ],
)
def test_a_jpeg_with_a_broken_segment_is_read_as_without_it(added: bytes, progressive: bool) -> None:
    colours = {"progressive": progressive, "icc_profile": LINEAR_RGB, "exif": b"Exif\0\0MM"}
    jpeg = file_of(photo_like(64, 48), "JPEG", **colours)
    expected = read_pixels(jpeg)
    assert np.abs(expected.astype(int) - photo_like(64, 48)).mean() > 9  # its profile counts
    at = jpeg.index(b"\xff\xdb")
    for broken in (jpeg[:2] + added + jpeg[2:], jpeg[:at] + added + jpeg[at:]):
        assert np.array_equal(read_pixels(broken), expected)
        assert read_size(broken) == (64, 48)
        assert scans(io.BytesIO(broken), 500) == scans(io.BytesIO(jpeg), 500)
        with pytest.raises(PictureDamaged):
            read_pixels(broken[: len(broken) // 2])
        if not progressive:  # complete without its end marker
            assert np.array_equal(read_pixels(broken[:-2]), expected)


def test_a_jpeg_whose_exif_lacks_its_resolution_is_turned_all_the_same() -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x011A], exif[0x0128] = 3, 72.0, 2
    jpeg = file_of(quadrants(), "JPEG", exif=exif)
    broken = jpeg.replace(struct.pack(">HHI", 0x011A, 5, 1), struct.pack(">HHI", 0x011A, 2, 1))  # a text
    assert broken != jpeg
    assert np.array_equal(read_pixels(broken), read_pixels(jpeg))


def test_scans_of_a_jpeg_with_a_broken_segment_are_counted_too() -> None:
    jpeg = many_scans(photo_like(64, 64), 600)
    with pytest.raises(PictureTooLarge, match="scans"):
        read_pixels(jpeg[:2] + segment(0xEE, b"Adobe") + jpeg[2:])


def test_a_jpeg_without_its_end_marker_is_complete_and_one_without_its_last_rows_is_not() -> None:
    complete = file_of(photo_like(96, 128), "JPEG", quality=90)
    assert np.array_equal(read_pixels(complete[:-2]), read_pixels(complete))
    for missing in (20, 200, 2000):
        with pytest.raises(PictureDamaged, match="truncated"):
            read_pixels(complete[:-missing])


@pytest.mark.parametrize("size", [(1601, 1199), (1607, 1193), (1600, 1200)])
def test_a_jpeg_of_odd_size_is_not_shifted_where_it_is_decoded_small(size: tuple[int, int]) -> None:
    height, width = size[1], size[0]
    written = file_of(photo_like(height, width), "JPEG", quality=95, subsampling=0)
    preprocessing = Preprocessing(height=96, width=96)
    reduced = preprocessing.fit_pixels(read_pixels(written, at_least=96)).astype(int)
    complete = preprocessing.fit_pixels(read_pixels(written)).astype(int)
    assert np.abs(reduced - complete).mean() < 0.5


# ------------------------------------------------------------------------------------------- raw files, HEIC


def raw_file(jpeg: bytes, orientation: int = 1, with_preview: bool = True) -> bytes:
    """A DNG: a directory of the sensor's values, and one of a JPEG in a directory below."""
    main = [(254, 4, 1), (256, 4, 2), (257, 4, 2), (258, 3, 16), (259, 3, 1), (262, 3, 32803), (273, 4, 8)]
    main += [(274, 3, orientation), (278, 4, 2), (279, 4, 8)]
    below_at = 16 + 2 + 12 * (len(main) + 2) + 4
    main += [(330, 4, below_at if with_preview else 0), (50706, 1, 1)]
    jpeg_at = below_at + 2 + 12 * 3 + 4
    below = [(259, 3, 7), (273, 4, jpeg_at), (279, 4, len(jpeg))]
    content = struct.pack("<2sHI", b"II", 42, 16) + bytes(8)
    for entries in (main, below):
        content += struct.pack("<H", len(entries))
        content += b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
        content += bytes(4)
    return content + jpeg


def test_of_a_raw_file_the_preview_is_read_upright() -> None:
    jpeg = file_of(quadrants(160, 240), "JPEG", quality=95)
    assert np.array_equal(read_pixels(raw_file(jpeg)), read_pixels(jpeg))
    assert np.array_equal(read_pixels(raw_file(jpeg, 6)), np.rot90(read_pixels(jpeg), -1))
    assert read_size(raw_file(jpeg, 6)) == (240, 160)


def test_scans_of_the_preview_in_a_raw_file_are_counted_too() -> None:
    with pytest.raises(PictureTooLarge, match="scans"):
        read_pixels(raw_file(many_scans(photo_like(64, 64), 600)))


def test_of_a_preview_that_claims_to_be_long_only_what_is_decoded_is_read(tmp_path: Path) -> None:
    jpeg = file_of(quadrants(160, 240), "JPEG", quality=95)
    raw = tmp_path / "long.dng"
    raw.write_bytes(raw_file(jpeg).replace(struct.pack("<I", len(jpeg)), struct.pack("<I", 1 << 29)))
    os.truncate(raw, 1 << 30)
    tracemalloc.start()
    try:
        assert np.array_equal(read_pixels(raw), read_pixels(jpeg))
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()


def test_a_raw_file_without_a_preview_is_an_error_with_what_to_do() -> None:
    with pytest.raises(NotAPicture, match="Develop it"):
        read_pixels(raw_file(b"", with_preview=False))
    with pytest.raises(NotAPicture, match="raw file"):
        read_pixels(b"\0\0\0\x18ftypcrx " + bytes(64))


def test_heic_is_read_where_its_extra_is_installed() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(quadrants(64, 96))).save(buffer, quality=95)
    assert np.abs(read_pixels(buffer.getvalue()).astype(int) - quadrants(64, 96)).mean() < 3


# ----------------------------------------------------------------------------------- memory, time, interrupts


def many_scans(pixels: Bytes, scans: int) -> bytes:
    """A progressive JPEG whose last scan is there again and again."""
    written = file_of(pixels, "JPEG", progressive=True)
    last = written.rindex(b"\xff\xda")
    return written[:last] + written[last:-2] * scans + b"\xff\xd9"


def test_a_progressive_jpeg_of_thousands_of_scans_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(PictureTooLarge, match="scans"):
        read_pixels(many_scans(photo_like(64, 64), 600))
    assert read_pixels(many_scans(photo_like(64, 64), 20)).shape == (64, 64, 3)


def sequential_scans(side: int, scans: int) -> bytes:
    """A JPEG that is not progressive, whose components are in scans of their own, one of them many times."""
    written = file_of(np.full((16, 16, 3), 90, np.uint8), "JPEG", subsampling=0)
    header, position = bytearray(), 2
    while written[position + 1] != 0xDA:
        length = int.from_bytes(written[position + 2 : position + 4], "big")
        segment = bytearray(written[position : position + 2 + length])
        if segment[1] == 0xC0:
            segment[5:9] = side.to_bytes(2, "big") * 2
        header += segment
        position += 2 + length
    first, second, third = (
        b"\xff\xda\0\x08\x01" + bytes([component, tables, 0, 63, 0, 0])
        for component, tables in ((1, 0), (2, 0x11), (3, 0x11))
    )
    return b"\xff\xd8" + bytes(header) + first * scans + second + third + b"\xff\xd9"


def test_scans_are_counted_whatever_the_kind_of_jpeg() -> None:
    with pytest.raises(PictureTooLarge, match="over 500 scans"):
        read_pixels(sequential_scans(64, 600))
    with pytest.raises(PictureTooLarge, match="202 scans of 31,360,000 pixels"):
        read_pixels(sequential_scans(5600, 200))
    assert scans(io.BytesIO(sequential_scans(64, 7)), 500) == 9
    photo = photo_like(64, 64)
    progressive = file_of(photo, "JPEG", progressive=True)
    assert scans(io.BytesIO(file_of(photo, "JPEG")), 500) == 1
    assert 5 < scans(io.BytesIO(progressive), 500) < 15
    assert scans(io.BytesIO(progressive[: len(progressive) // 2]), 500) <= 15
    assert scans(io.BytesIO(progressive[:100]), 500) == 0


def test_what_lies_behind_a_jpeg_is_not_taken_for_its_scans() -> None:
    progressive = file_of(photo_like(64, 64), "JPEG", progressive=True)
    behind = progressive + b"\xff\xda" * 1000
    assert np.array_equal(read_pixels(behind), read_pixels(progressive))


def test_scans_are_found_whatever_the_block_that_they_are_read_by() -> None:
    # 4,096 bytes are read first: a marker's two bytes lie on two sides of that.
    for length in range(4000, 4200):
        data = b"\xff\xd8\xff\xc2\0\x08\x08\0\x10\0\x10\x01" + b"\xff\xda\0\x02" + b"\x11" * length
        assert scans(io.BytesIO(data + b"\xff\xda\0\x02\x11\xff\xd9"), 500) == 2


def test_a_child_process_decodes_to_the_same_pixels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    written = file_of(quadrants(), "WEBP", lossless=True)
    (tmp_path / "a.webp").write_bytes(written)
    monkeypatch.setattr(images, "_CHILD_PIXELS", 100)
    calls: list[object] = []

    def counted(*given: Any) -> Any:
        calls.append(given)
        return in_child(*given)

    monkeypatch.setattr(images, "in_child", counted)
    assert np.array_equal(read_pixels(written), quadrants())
    assert np.array_equal(read_pixels(tmp_path / "a.webp"), quadrants())
    with pytest.raises(PictureDamaged, match="in memory"):
        read_pixels(file_of(photo_like(32, 48), "PNG")[:-300])
    assert len(calls) == 3


@pytest.mark.parametrize(("kind", "in_a_child"), [("JPEG2000", True), ("AVIF", True), ("PNG", False)])
def test_formats_whose_decoders_are_slow_go_to_a_child_process_early(
    kind: str, in_a_child: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[object] = []

    def started_only(*given: object) -> Bytes:
        started.append(given)
        return quadrants()

    monkeypatch.setattr(images, "_decode_in_child", started_only)
    read_pixels(file_of(Image.new("L", (2500, 2500)), kind))
    assert bool(started) == in_a_child


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory cannot be reset here")
@pytest.mark.parametrize("stored", ["gamma", "profile", "opacity", "turned", "float"])
def test_a_picture_takes_no_more_memory_than_is_counted_for_it(stored: str, tmp_path: Path) -> None:
    side = 2800
    row = np.linspace(0, 65535, side).astype(np.uint16)
    grey = np.broadcast_to(row[None, :, None], (side, side, 1))
    gamma, turned = (b"gAMA", struct.pack(">I", 100_000)), (b"eXIf", exif_of(6).removeprefix(b"Exif\0\0"))
    path = tmp_path / "large"
    if stored == "float":
        path.write_bytes(file_of(grey[..., 0].astype(np.float32), "TIFF"))
    else:
        kind, chunks = {
            "gamma": (2, [gamma]), "profile": (2, [iccp(LINEAR_RGB)]), "opacity": (6, [gamma]),
            "turned": (2, [gamma, turned]),
        }[stored]  # fmt: skip
        path.write_bytes(png_of(grey.repeat(4 if kind == 6 else 3, axis=2), kind, *chunks))
    del grey
    # In a process of its own, whose memory is not that of other tests.
    code = (
        "import sys; from affectlens.images import read_pixels\n"
        "def memory(key):\n"
        "    lines = open('/proc/self/status').read().splitlines()\n"
        "    return next(int(line.split()[1]) for line in lines if line.startswith(key))\n"
        "open('/proc/self/clear_refs', 'w').write('5')\n"
        "before = memory('VmRSS'); read_pixels(sys.argv[1]); print(memory('VmHWM') - before)"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, check=True)
    slack = 30_000  # of kilobytes: a part that is converted, tables, libraries that are loaded late
    assert int(ended.stdout) <= side * side * images._BYTES_PER_PIXEL / 1024 + slack


def test_a_child_process_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_CHILD_PIXELS", 100)
    monkeypatch.setattr(images, "MAX_SECONDS", 0.0)
    with pytest.raises(PictureTooLarge, match="longer than 0 seconds"):
        read_pixels(file_of(quadrants(), "WEBP"))


PREDICTING = """
import sys
from affectlens import images
from affectlens.cli.main import main

in_child = images.in_child

def noted(*given):
    print("begun", flush=True)
    return in_child(*given)

images.in_child = noted
main(["predict", *sys.argv[1:]])
"""


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT between processes")
@pytest.mark.parametrize(
    ("count", "made"),
    [
        # Just allowed.
        (1, lambda: many_scans(np.zeros((6000, 6000, 3), np.uint8), 100)),
        (3, lambda: sequential_scans(5600, 120)),
    ],
)
def test_an_interrupt_ends_the_decoding_of_pictures_that_take_long(
    graph_model: Path, tmp_path: Path, count: int, made: Callable[[], bytes]
) -> None:
    hostile = made()
    for number in range(count):
        (tmp_path / f"{number}.jpg").write_bytes(hostile)
    command = [sys.executable, "-c", PREDICTING, str(tmp_path), "--model", str(graph_model)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while process.stdout.readline() not in ("begun\n", ""):
            pass
        time.sleep(0.5)  # a child process is decoding
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        _, errors = process.communicate(timeout=60)
    assert time.monotonic() - began < 2
    assert process.returncode == 130 and errors.splitlines()[-1] == "Interrupted."


@pytest.mark.parametrize("kind", ["WEBP", "TIFF"])
def test_the_limit_on_pixels_is_ours_for_every_format(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written = file_of(quadrants(), kind)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    monkeypatch.setattr(images, "_CHILD_PIXELS", 500)
    assert read_pixels(written).shape == (32, 48, 3)


def test_pictures_that_are_decoded_at_once_keep_to_one_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "memory", memory := Memory(1000 * 1000 * images._BYTES_PER_PIXEL))
    used = []
    load = picture_formats.load

    def watched(image: Image.Image, file: Any) -> Image.Image:
        used.append(memory.used)
        return load(image, file)

    monkeypatch.setattr(images, "load", watched)
    written = file_of(np.zeros((1000, 800, 3), np.uint8), "PNG")
    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(read_pixels, [written] * 8))) == 8
    assert max(used) <= memory.size
    assert memory.used == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_process_that_was_forked_while_a_picture_was_read_reads_pictures() -> None:
    written = file_of(np.zeros((1000, 800, 3), np.uint8), "PNG")
    with memory.reserve(memory.size):
        child = os.fork()
        if not child:
            os._exit(0 if read_pixels(written).shape == (1000, 800, 3) else 1)
    assert os.waitpid(child, 0)[1] == 0
