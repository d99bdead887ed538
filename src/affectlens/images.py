"""Image file -> pixels: upright, RGB, uint8. The only file that imports Pillow.

What a picture looks like is decided once, here, for every part of the package:

    orientation     EXIF and XMP orientation is applied; broken EXIF data counts as upright
    colour          converted to sRGB by the embedded ICC profile; a profile that is broken, or that
                    belongs to another kind of picture, is ignored, as browsers do. Else by what PNG, AVIF
                    and HEIC state as code points (Display P3, BT.2020), or PNG as gamma
    PQ, HLG (HDR)   tone mapped to sRGB for a screen of 203 cd/m2, see `colour.to_srgb`
    CMYK, Lab       converted to sRGB; CMYK without a profile by plain inversion
    transparency    laid on white, the page that most pictures are looked at on; a BMP whose alpha is 0
                    everywhere is opaque
    16 bits         the upper byte is kept, so that grey and colour agree; of signed ones, 32767 is white
    32 bits, float  0..65535 or 0..1 where all values lie there; stretched from least to greatest
                    otherwise, since such a file does not state what is white
    frames, pages   the first
    raw files       the preview that the camera put into it

A file's content decides what it is, never its suffix. Whatever cannot be read is a `PictureError`
that names the file and the reason; warnings that Pillow gives on the way are left to the caller's
filters. All functions may be called from many threads at once; together they keep to `decoding.MEMORY`.
What may take long is decoded in a child process, which an interrupt or a time limit ends (`decoding`).
"""

import io
import json
import os
import re
import signal
import stat
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from math import ceil
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageCms,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from affectlens import errors
from affectlens.colour import ColourCode, gamma_table, to_srgb
from affectlens.decoding import (
    Cancelled,
    ChildFailed,
    can_have_child,
    check_cancelled,
    in_child,
    memory,
)
from affectlens.errors import (
    NotAPicture,
    PictureDamaged,
    PictureDenied,
    PictureEmpty,
    PictureError,
    PictureIsFolder,
    PictureNotFound,
    PictureTooLarge,
    backslash_hint,
)
from affectlens.extras import HEIF
from affectlens.png_chunks import essential
from affectlens.raw_previews import SUFFIXES as RAW_SUFFIXES
from affectlens.raw_previews import preview

Pixels: TypeAlias = NDArray[np.uint8]  # (H, W, 3), upright sRGB


@runtime_checkable
class Tensor(Protocol):
    """A tensor of torch, which need not be installed, by what is used of it."""

    shape: Any
    dtype: Any

    def detach(self) -> Any: ...
    def numel(self) -> int: ...


Source: TypeAlias = Path | str | bytes | IO[bytes] | io.IOBase | Image.Image | NDArray[Any] | Tensor
Interpolation = Literal["bilinear", "bicubic"]

# What is decoded at once. The largest sensors of cameras and telephones have 200 million pixels, so
# every photograph passes; a picture at the limit takes 3.3 GB while it is read, and 0.75 GB after.
MAX_PIXELS = 250_000_000
# What a JPEG may hold that is decoded at reduced size: memory is small then, but time is not.
MAX_STORED_PIXELS = 4 * MAX_PIXELS
# What a progressive JPEG may cost: its pixels times its scans. Programs write about ten scans; a file of
# thousands takes minutes.
MAX_SCANNED_PIXELS = 16 * MAX_PIXELS
MAX_SCANS = 500
# Time limit in seconds for one picture that is decoded in a child process.
MAX_SECONDS = 120.0
# For how long a picture of an animation is shown where none is given: browsers' rule.
_UNSTATED_MILLISECONDS = 100
# Bytes that a pixel takes while a picture is read.
_BYTES_PER_PIXEL = 14
# Pixels up to which memory is not counted: what all threads together hold of such pictures is small.
_SMALL_PIXELS = 500_000
# Pixels from which on a picture is decoded in a child process: some seconds, in which Python cannot be
# interrupted. Decoders of the second kind are several times slower.
_CHILD_PIXELS, _CHILD_PIXELS_SLOW = 32_000_000, 16_000_000
_SLOW_FORMATS = ("AVIF", "HEIF", "JPEG2000")

# What is read, and what people have among their pictures, which must not be missing without a word.
PICTURE_SUFFIXES = RAW_SUFFIXES | {
    ".apng", ".avif", ".avifs", ".bmp", ".gif", ".heic", ".heif", ".hif", ".j2c", ".j2k", ".jfif", ".jp2",
    ".jpe", ".jpeg", ".jpf", ".jpg", ".jpx", ".jxl", ".mpo", ".pbm", ".pfm", ".pgm", ".png", ".pnm", ".ppm",
    ".tif", ".tiff", ".webp",
}  # fmt: skip

# Only these of Pillow's formats are ever tried: no PSD, EPS, FITS or PDF, where most of its recent security
# faults were, and nothing that starts another program. A multi-picture JPEG (MPO, as phones
# write it) is read as what it is to every viewer: a JPEG with more data behind it.
_READERS: tuple[type[ImageFile.ImageFile], ...] = (
    JpegImagePlugin.JpegImageFile,
    PngImagePlugin.PngImageFile,
    WebPImagePlugin.WebPImageFile,
    GifImagePlugin.GifImageFile,
    AvifImagePlugin.AvifImageFile,
    TiffImagePlugin.TiffImageFile,
    BmpImagePlugin.BmpImageFile,
    Jpeg2KImagePlugin.Jpeg2KImageFile,
    PpmImagePlugin.PpmImageFile,
)
_READABLE = "JPEG, PNG, WebP, GIF, AVIF, TIFF, BMP, JPEG 2000 or PPM"

# What people often have instead of a picture, by first bytes, so that the error can name it.
_HEIC = rb"....ftyp.{0,40}(hei[cxms]|hev[cxms])"
_STRANGERS: tuple[tuple[bytes, str], ...] = (
    (_HEIC, f'a HEIC photograph: pip install "affectlens[{HEIF.name}]", or export it as JPEG'),
    (
        rb"....ftypcrx|HEAPCCDR|FOVb|\0MRM",
        "a camera's raw file without a preview that is found here: export it as JPEG or TIFF",
    ),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "a JPEG XL picture: export it as PNG or JPEG"),
    (rb"....ftyp(?!avi|mif1|msf1)|\x1aE\xdf\xa3|RIFF....AVI ", "a video or sound file"),
    (rb"\s*<(!doctype\s+html|html|head|body)", "a web page, perhaps saved instead of the picture"),
    (rb"\s*(<\?xml.{0,200})?<svg", "an SVG drawing: export it as PNG"),
    (rb"%PDF", "a PDF document: export its page as PNG"),
    (rb"8BPS", "a Photoshop document: export it as PNG or JPEG"),
    (rb"PK\x03\x04", "a ZIP archive: unpack it first"),
    (rb"version https://git-lfs", "a Git LFS pointer: run `git lfs pull`"),
)

# What Pillow documents that it raises on bad data (`NotImplementedError` is a `RuntimeError`), and
# what mutated files brought out of its readers as well: `RuntimeError` from AVIF, `TypeError` and
# `struct.error` from TIFF tags. `Warning` is for callers who have warnings raised as errors.
_BAD_DATA = (
    OSError,
    SyntaxError,
    ValueError,
    RuntimeError,
    OverflowError,
    TypeError,
    EOFError,
    struct.error,
    Warning,
)

_UPRIGHT = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_ITS_SIDE = (5, 6, 7, 8)
_ORIENTATION_TAG = 0x0112
_BITS_PER_SAMPLE_TAG, _PHOTOMETRIC_TAG, _SAMPLE_FORMAT_TAG = 0x0102, 0x0106, 0x0153
_MIN_IS_WHITE, _SIGNED = 0, 2
# Key of `Image.info` under which `_identify` puts what a file states of its colours.
_COLOURS = "affectlens_colours"

_PROFILE_SPACES = {"RGB": "RGB", "L": "GRAY", "I;16": "GRAY", "CMYK": "CMYK"}
_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
# Without lcms's one-pixel cache a transform may be shared by threads.
_SHARED = ImageCms.Flags.NOCACHE
# Of 16 bits, a table that lcms makes in advance is wrong by up to ten levels in the dark.
_EXACT = ImageCms.Flags.NOOPTIMIZE


def read_pixels(source: Source, *, at_least: int | tuple[int, int] | None = None) -> Pixels:
    """Read a picture as upright sRGB: uint8, (H, W, 3).

    `source` is a path, the bytes of a picture file, a file that is open for reading bytes (`io.BytesIO` too;
    from its position, which stays where it can), a Pillow picture, an array or a torch tensor. Arrays are
    (H, W), (H, W, 3) or (H, W, 4), uint8 or float in 0..1; a tensor is (3, H, W), uint8.

    `at_least` is the (height, width) to which the caller will shrink; one number means both. A JPEG
    is then decoded at 1/2, 1/4 or 1/8 of its size, as long as both sides stay twice as large, which
    is faster and after shrinking hardly differs. Other sources ignore it.

    Raises `PictureError`: `PictureNotFound`, `PictureDenied`, `PictureIsFolder`, `PictureEmpty`,
    `NotAPicture`, `PictureDamaged`, or `PictureTooLarge` beyond `MAX_PIXELS` decoded.

    >>> read_pixels(np.zeros((2, 5), dtype=np.uint8)).shape
    (2, 5, 3)
    """
    size = (at_least, at_least) if isinstance(at_least, int) else at_least
    match source:
        case str() | Path():
            with _open(Path(source)) as file:
                return _decode(file, str(source), size)
        case bytes():
            if not source:
                raise PictureEmpty("bytes in memory", f"there are none. Expected a picture: {_READABLE}.")
            return _decode(io.BytesIO(source), f"{len(source):,} bytes in memory", size)
        case io.IOBase():
            return read_pixels(_bytes_of(source), at_least=at_least)
        case Image.Image():
            return _convert(source, str(getattr(source, "filename", "") or "picture in memory"))
        case np.ndarray():
            return _convert(_picture_of_array(source), "array")
        case Tensor():
            return _of_tensor(source)
    raise NotAPicture(
        f"{type(source).__name__} instead of a picture",
        "expected a path, bytes, an open file, a Pillow picture, an array or a tensor.",
    )


def _bytes_of(file: io.IOBase) -> bytes:
    position = file.tell() if file.seekable() else None
    data: Any = file.read()
    if position is not None:
        file.seek(position)
    if not isinstance(data, bytes):
        raise NotAPicture(str(getattr(file, "name", "a file")), "open as text. Open it for bytes, with 'rb'.")
    return data


def read_size(source: Source) -> tuple[int, int]:
    """Return the size that `read_pixels` would find: (height, width), upright; decodes only a PNG.

    Raises `PictureError` as `read_pixels` does, but not for damage behind a file's beginning.
    """
    match source:
        case str() | Path():
            with _open(Path(source)) as file:
                return _upright_size(file, str(source))
        case bytes() if source:
            return _upright_size(io.BytesIO(source), f"{len(source):,} bytes in memory")
        case io.IOBase():
            return read_size(_bytes_of(source))
        case Image.Image():
            return _turned(source)
    height, width, _ = read_pixels(source).shape
    return height, width


def resize(pixels: Pixels, height: int, width: int, interpolation: Interpolation = "bilinear") -> Pixels:
    """Bring a picture to another size, with antialiasing: uint8, (H, W, 3) -> (height, width, 3)."""
    if pixels.shape[:2] == (height, width):
        return pixels
    resampling = Image.Resampling.BICUBIC if interpolation == "bicubic" else Image.Resampling.BILINEAR
    return np.array(Image.fromarray(np.ascontiguousarray(pixels)).resize((width, height), resampling))


class Animation(NamedTuple):
    """A WebP with several pictures: size, number of pictures, seconds that they are shown together."""

    width: int
    height: int
    frames: int
    duration: float


def animation_of(path: Path) -> Animation | None:
    """Describe an animated WebP by its chunks, without decoding; None for all else, and what cannot be read.

    Layout: https://developers.google.com/speed/webp/docs/riff_container.
    """
    try:
        if not path.is_file():  # a pipe would be waited for
            return None
        with path.open("rb") as file:
            start = file.read(30)
            if start[:4] != b"RIFF" or start[8:16] != b"WEBPVP8X" or len(start) < 30 or not start[20] & 2:
                return None
            width, height = (1 + int.from_bytes(start[at : at + 3], "little") for at in (24, 27))
            frames, milliseconds = 0, 0
            while len(header := file.read(8)) == 8:
                length = int.from_bytes(header[4:], "little")
                content = file.read(min(length, 16))
                if header[:4] == b"ANMF" and len(content) == 16:
                    frames += 1
                    milliseconds += int.from_bytes(content[12:15], "little") or _UNSTATED_MILLISECONDS
                file.seek(length + length % 2 - len(content), os.SEEK_CUR)
    except (OSError, ValueError):
        return None
    return Animation(width, height, frames, milliseconds / 1000)


def read_frames(path: Path) -> Iterator[tuple[float, float, Pixels]]:
    """Read the pictures of an animation in turn: (second at which it is shown, for how long, pixels).

    Seconds count from 0. Raises `PictureError`, also in the midst of a file that breaks off.
    """
    with _open(path) as file:
        with _as_picture_errors(str(path)):
            image = _identify(file, str(path))
        second = 0.0
        for number in range(getattr(image, "n_frames", 1)):
            with _as_picture_errors(str(path)):
                image.seek(number)
                image.load()  # for the time it is shown, too
                lasts = float(image.info.get("duration") or _UNSTATED_MILLISECONDS) / 1000
            yield second, lasts, _convert(image.copy(), str(path))
            second += lasts


def _status(path: Path) -> os.stat_result:
    """Return a file's kind and size. Raises `PictureNotFound` or `PictureDenied`."""
    try:
        return path.stat()
    except PermissionError as error:
        raise PictureDenied(path, "no permission to look at it. Change the rights of its folder.") from error
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        broken = " It is a link to something that is gone." if _is_link(path) else ""
        spelling = f"Check its spelling.{backslash_hint(path)}"
        reason = f"nothing can be found at this path ({_why(error)}).{broken} {spelling}"
        raise PictureNotFound(path, reason) from error


def _is_link(path: Path) -> bool:
    try:
        return path.is_symlink()
    except (OSError, ValueError):
        return False


def _open(path: Path) -> IO[bytes]:
    """Open a regular file. A pipe or a device is refused before it is opened: it could block forever."""
    status = _status(path)
    if stat.S_ISDIR(status.st_mode):
        raise PictureIsFolder(path, "this is a folder. Expected a picture; list the folder's pictures first.")
    if not stat.S_ISREG(status.st_mode):
        raise NotAPicture(path, "this is a pipe, socket or device. Expected a file; save the picture first.")
    if status.st_size == 0:
        raise PictureEmpty(path, "the file is empty: zero bytes. Copy or download it again.")
    try:
        return path.open("rb")
    except OSError as error:
        raise PictureDenied(path, f"the file may not be read ({_why(error)}). Change its rights.") from error


def _why(error: Exception) -> str:
    """Return the system's text for an error, without the path, which our errors contain anyway."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


@contextmanager
def _as_picture_errors(name: str) -> Iterator[None]:
    """Turn what Pillow raises on bad data into `PictureError`."""
    try:
        yield
    except (MemoryError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        reason = f"too large to be decoded here ({_why(error)}). Make a smaller copy first."
        raise PictureTooLarge(name, reason) from error
    except _BAD_DATA as error:
        raise PictureDamaged(
            name, f"truncated or corrupt ({_why(error)}). Copy, download or export it again."
        ) from error


def _decode(file: IO[bytes], name: str, at_least: tuple[int, int] | None) -> Pixels:
    with _as_picture_errors(name):
        try:
            image = _identify(file, name)
        except Image.DecompressionBombError:
            # Pillow's own limit, which is lower, can be raised for a process of ours only.
            if _may_have_child():
                return _decode_in_child(file, name, at_least)
            raise
        width, height = image.size
        if at_least is not None:
            _shrink_while_decoding(image, at_least)
        # A progressive JPEG holds all its coefficients in memory, however small it comes out.
        is_progressive = "progressive" in image.info
        decoded = width * height if is_progressive else image.width * image.height
        _refuse_beyond(MAX_PIXELS, decoded, name)
        _refuse_beyond(MAX_STORED_PIXELS, width * height, name)
        if is_progressive:
            _refuse_many_scans(file, width * height, name)
    if (
        decoded > (_CHILD_PIXELS_SLOW if image.format in _SLOW_FORMATS else _CHILD_PIXELS)
        and _may_have_child()
    ):
        return _decode_in_child(file, name, at_least, decoded)
    return _convert(image, name, decoded, (width, height))


def _refuse_many_scans(file: IO[bytes], pixels: int, name: str) -> None:
    """Refuse a progressive JPEG whose scans, each of which goes through all of its pixels, are too many."""
    file.seek(0)
    scans, before = 0, b""
    while part := file.read(1 << 20):
        scans += (before + part).count(b"\xff\xda")
        before = part[-1:]
    if scans > MAX_SCANS or scans * pixels > MAX_SCANNED_PIXELS:
        reason = f"it would take minutes to decode: {scans:,} scans of {pixels:,} pixels. Export it again."
        raise PictureTooLarge(name, reason)


def _may_have_child() -> bool:
    return not _is_child and can_have_child()


def _decode_in_child(
    file: IO[bytes], name: str, at_least: tuple[int, int] | None, pixels: int = MAX_PIXELS
) -> Pixels:
    """Do what `_decode` does in a process that can be ended."""
    size = json.dumps(at_least)
    try:
        with (
            memory.reserve(pixels * _BYTES_PER_PIXEL),
            in_child("affectlens.images:decode_for_parent", file, [size], MAX_SECONDS) as result,
        ):
            header = json.loads(result.readline())
            if "error" in header:
                raise getattr(errors, header["error"])(name, header["reason"])
            decoded = np.empty((header["height"], header["width"], 3), np.uint8)
            result.readinto(decoded.data.cast("B"))  # type: ignore[attr-defined]
            return decoded
    except ChildFailed as error:
        raise PictureTooLarge(
            name, f"it cannot be decoded here: {error}. Make a smaller copy first."
        ) from error
    except Cancelled as error:
        raise PictureTooLarge(name, "it was being decoded when the job was ended.") from error


_is_child = False


def decode_for_parent(at_least: str) -> None:
    """Decode the picture on standard input; write a line of JSON, then its pixels, to standard output.

    What a child process of `read_pixels` does. `at_least` is JSON: null, or height and width.
    """
    global _is_child
    _is_child = True
    Image.MAX_IMAGE_PIXELS = None  # ours, which is checked below, is the limit
    if hasattr(signal, "alarm"):  # should the parent be gone
        signal.alarm(int(MAX_SECONDS) + 10)
    size = json.loads(at_least)
    try:
        pixels = _decode(sys.stdin.buffer, "", tuple(size) if size else None)
    except PictureError as error:
        header: dict[str, Any] = {"error": type(error).__name__, "reason": error.reason}
        sys.stdout.buffer.write(json.dumps(header).encode() + b"\n")
    else:
        header = {"height": pixels.shape[0], "width": pixels.shape[1]}
        sys.stdout.buffer.write(json.dumps(header).encode() + b"\n")
        sys.stdout.buffer.write(pixels.data.cast("B"))
    sys.stdout.buffer.flush()


def _upright_size(file: IO[bytes], name: str) -> tuple[int, int]:
    with _as_picture_errors(name):
        return _turned(_identify(file, name))


def _turned(image: Image.Image) -> tuple[int, int]:
    is_turned = image.format == "TIFF"  # of a TIFF, Pillow gives the upright size before it is loaded, too
    if _orientation(image) in _ON_ITS_SIDE and not is_turned:
        return image.width, image.height
    return image.height, image.width


def _identify(file: IO[bytes], name: str) -> ImageFile.ImageFile:
    """Open a picture by its first bytes, decoding nothing yet.

    Does what `PIL.Image.open(formats=...)` does, but without Pillow's limit on pixels: that one is
    global to the process and knows nothing of decoding at reduced size; ours follows in `_decode`.
    """
    file.seek(0)
    start = file.read(256)
    raw = preview(file)
    if raw is not None and raw.length:
        file.seek(raw.position)
        return _open_preview(file.read(raw.length), raw.orientation, name)
    failures = []
    for reader in () if raw is not None else _READERS:
        accepts = Image.OPEN[str(reader.format)][1]
        if accepts is not None and accepts(start[:16]) is True:
            file.seek(0)
            try:
                return _with_colours(reader, file)
            except SyntaxError as error:  # Pillow's word for "not mine", whatever went wrong
                failures.append(f"{reader.format}: {_why(error)}")
    if re.match(_HEIC, start, re.DOTALL) and HEIF.is_installed:
        file.seek(0)
        return _open_heif(file)
    if raw is not None:
        reason = "a camera's raw file without a preview. Develop it, and export it as JPEG or TIFF."
        raise NotAPicture(name, reason)
    kind = next((kind for first, kind in _STRANGERS if re.match(first, start, re.DOTALL | re.IGNORECASE)), "")
    if failures and not kind:
        reason = f"begins like a picture but is damaged, or of a rare kind ({'; '.join(failures)})."
        raise PictureDamaged(name, f"{reason} Export it again, as PNG or JPEG.")
    seems = f"It seems to be {kind}." if kind else "Check that it is a picture, or export it as one of these."
    raise NotAPicture(name, f"not a picture in a format that is read here: {_READABLE}. {seems}")


def _with_colours(reader: type[ImageFile.ImageFile], file: IO[bytes]) -> ImageFile.ImageFile:
    """Open a picture, with what Pillow leaves out of its colours put under `_COLOURS`.

    Without the file's name, or Pillow would map the file into memory.
    """
    if reader is PngImagePlugin.PngImageFile:
        png = essential(file)
        image: ImageFile.ImageFile = reader(png.file, "")
        if png.profile is not None:
            image.info["icc_profile"] = png.profile
        if png.colours is not None:  # comes before any profile
            image.info.pop("icc_profile", None)
            image.info[_COLOURS] = png.colours
        return image
    image = reader(file, "")
    if image.format == "AVIF":
        file.seek(0)
        image.info[_COLOURS] = _colours_of_avif(file.read(1 << 16))
    return image


def _colours_of_avif(start: bytes) -> ColourCode | None:
    """What the box `colr` of ISO/IEC 14496-12 states."""
    found = re.search(rb"colrnclx(..)(..)", start, re.DOTALL)
    return ColourCode(*(int.from_bytes(part, "big") for part in found.groups())) if found else None


def _open_heif(file: IO[bytes]) -> ImageFile.ImageFile:
    # Imported here because it is in an extra.
    from pillow_heif import HeifImageFile

    image: ImageFile.ImageFile = HeifImageFile(file, "")  # type: ignore[no-untyped-call, unused-ignore]
    stated = image.info.get("nclx_profile")
    if stated:
        colours = ColourCode(int(stated["color_primaries"]), int(stated["transfer_characteristics"]))
        image.info[_COLOURS] = colours
    return image


def _open_preview(content: bytes, orientation: int, name: str) -> ImageFile.ImageFile:
    """Open the JPEG in a raw file; it is turned as the raw file states, where it states nothing itself."""
    try:
        image = JpegImagePlugin.JpegImageFile(io.BytesIO(content), "")
    except SyntaxError as error:
        raise PictureDamaged(name, f"the preview in this raw file is damaged ({_why(error)}).") from error
    with suppress(*_BAD_DATA):
        image.getexif().setdefault(_ORIENTATION_TAG, orientation)
    return image


def _shrink_while_decoding(image: Image.Image, at_least: tuple[int, int]) -> None:
    """Let a JPEG be decoded at a fraction of its size, both sides at least twice (height, width)."""
    if image.format != "JPEG":
        return
    height, width = at_least
    if _orientation(image) in _ON_ITS_SIDE:
        height, width = width, height
    image.draft(None, (2 * max(1, width), 2 * max(1, height)))


def _refuse_beyond(limit: int, pixels: int, name: str) -> None:
    if pixels > limit:
        reason = f"{pixels:,} pixels are more than the {limit:,} that are allowed. Make a smaller copy first."
        raise PictureTooLarge(name, reason)


def _convert(
    image: Image.Image, name: str, pixels: int | None = None, stored: tuple[int, int] | None = None
) -> Pixels:
    """Decode what is not decoded yet, and bring it to upright sRGB.

    `pixels` is how many are decoded on the way, `stored` the (width, height) of a picture that may be decoded
    at a fraction of it.
    """
    with _as_picture_errors(name):
        pixels = image.width * image.height if pixels is None else pixels
        _refuse_beyond(MAX_PIXELS, pixels, name)
        if not image.width or not image.height:
            raise PictureEmpty(name, "no pixels: one side is zero. Expected at least one pixel.")
        with memory.reserve(pixels * _BYTES_PER_PIXEL if pixels > _SMALL_PIXELS else 0):
            return _upright_srgb(image, stored)


def _upright_srgb(image: Image.Image, stored: tuple[int, int] | None) -> Pixels:
    file, tile = getattr(image, "fp", None), list(getattr(image, "tile", ()))
    image = _load(image, file)
    check_cancelled()
    turn = _UPRIGHT[_orientation(image)]  # after loading: a PNG may state it behind its pixels
    if image.format == "JPEG" and stored is not None:
        image = _without_padding(image, stored)
    is_numeric = _is_numeric(image, tile)
    image = Image.fromarray(_numeric_srgb(image, file, tile)) if is_numeric else _as_srgb(image)
    check_cancelled()
    if turn is not None:
        image = image.transpose(turn)
    return np.array(image)


def _load(image: Image.Image, file: IO[bytes] | None) -> Image.Image:
    """Decode; a JPEG is complete as well where only its end marker is missing."""
    is_jpeg = isinstance(image, JpegImagePlugin.JpegImageFile)
    is_progressive = "progressive" in image.info
    if is_jpeg and is_progressive:
        progressive: Any = image
        progressive.decodermaxblock = 8192  # between two blocks Python can be interrupted
    try:
        image.load()
    except OSError as error:
        if not is_jpeg or is_progressive or file is None or "truncated" not in str(error):
            raise
        completed = _completed(file)
        if completed is None:
            raise
        return completed
    if (
        image.format in ("BMP", "DIB")
        and image.mode == "RGBA"
        and image.getchannel("A").getextrema() == (0, 0)
    ):
        return image.convert("RGB")
    return image


def _completed(file: IO[bytes]) -> Image.Image | None:
    """Decode a JPEG that lacks its end marker; None where it lacks pixels as well.

    It lacks none where other data behind its end changes no pixel.
    """
    file.seek(0)
    content = file.read()
    one, other = (
        JpegImagePlugin.JpegImageFile(io.BytesIO(content + more + b"\xff\xd9"), "")
        for more in (b"", b"\x55" * 4096)
    )
    one.load()
    other.load()
    return one if one.tobytes() == other.tobytes() else None


def _without_padding(image: Image.Image, stored: tuple[int, int]) -> Image.Image:
    """Leave out what a JPEG at reduced size has beyond its picture: a part of the last column and row.

    A half of 4001 pixels is 2000.5 wide and decoded as 2001; taken for the complete picture, all of it would
    be shifted.
    """
    config = getattr(image, "decoderconfig", ())
    scale = config[0] if config else 1
    width, height = stored[0] / scale, stored[1] / scale
    if (width, height) == image.size or image.size != (ceil(width), ceil(height)):
        return image
    return image.resize(image.size, Image.Resampling.BICUBIC, box=(0, 0, width, height))


def _orientation(image: Image.Image) -> int:
    """Return how the camera was held, as EXIF counts it: 1 to 8; 1 where that is unknown or invalid."""
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except _BAD_DATA:
        return 1
    return value if isinstance(value, int) and value in _UPRIGHT else 1


def _as_srgb(image: Image.Image) -> Image.Image:
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


def _is_numeric(image: Image.Image, tile: list[Any]) -> bool:
    """Whether a picture needs what Pillow does not do: code points, gamma, or all 16 bits."""
    colours = image.info.get(_COLOURS)
    if colours is not None and "icc_profile" not in image.info and not colours.is_srgb:
        return True
    if image.format != "PNG":
        return False
    raw = tile[0].args if tile else ""
    has_key = "transparency" in image.info and (raw == "RGB;16B" or image.mode == "I;16")
    return _gamma(image) is not None or has_key or raw == _GREY_ALPHA


def _gamma(image: Image.Image) -> float | None:
    """The exponent from light to stored levels that a PNG states; None where that is as in sRGB."""
    if _COLOURS in image.info or "icc_profile" in image.info or "srgb" in image.info:
        return None
    gamma = image.info.get("gamma") if image.format == "PNG" else None
    return float(gamma) if gamma and 0.05 < gamma < 20 and abs(gamma * 2.2 - 1) > 0.05 else None


def _numeric_srgb(image: Image.Image, file: IO[bytes] | None, tile: list[Any]) -> Pixels:
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
    colours, gamma, profile = image.info.get(_COLOURS), _gamma(image), image.info.get("icc_profile")
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
    return _bytes_of_fractions(values)


def _bytes_of_fractions(values: NDArray[Any]) -> NDArray[np.uint8]:
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
    except (ImageCms.PyCMSError, *_BAD_DATA):
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


def _picture_of_array(array: NDArray[Any]) -> Image.Image:
    """(H, W), (H, W, 3) or (H, W, 4), uint8 or float in 0..1, to a Pillow picture."""
    name = f"array of shape {array.shape} and type {array.dtype}"
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise NotAPicture(name, "expected the shape (H, W), (H, W, 3) or (H, W, 4).")
    if not array.size:
        raise PictureEmpty(name, "it holds no pixel. Expected at least one.")
    if array.dtype.kind == "f":
        # A hair outside is left over from arithmetic; more means another range, such as 0..255.
        if not (array.min() >= -1e-3 and array.max() <= 1 + 1e-3):
            raise NotAPicture(name, "floats must lie in 0..1, without NaN. Divide by the value of white.")
        array = _bytes_of_fractions(array)
    if array.dtype != np.uint8:
        raise NotAPicture(name, "expected uint8 in 0..255 or float in 0..1.")
    return Image.fromarray(np.ascontiguousarray(array))


def _of_tensor(tensor: Tensor) -> Pixels:
    """(3, H, W), uint8, on any device, to (H, W, 3)."""
    shape, kind = tuple(tensor.shape), str(tensor.dtype)
    if kind != "torch.uint8" or len(shape) != 3 or shape[0] != 3 or not tensor.numel():
        raise NotAPicture(
            f"tensor of shape {shape} and type {kind}", "expected uint8 pixels of shape (3, H, W)."
        )
    array: Pixels = tensor.detach().cpu().permute(1, 2, 0).numpy()
    return np.ascontiguousarray(array)
