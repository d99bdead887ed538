"""Image file -> pixels: upright, RGB, uint8.

What a picture looks like is decided once, here, for every part of the package:

    orientation     EXIF and XMP orientation is applied; broken EXIF data counts as upright
    colour          converted to sRGB by the embedded ICC profile; a profile that is broken, or that
                    belongs to another kind of picture, is ignored, as browsers do. Else by what PNG, AVIF
                    and HEIC state as code points (Display P3, BT.2020), or PNG as gamma and
                    chromaticities
    PQ, HLG (HDR)   tone mapped to sRGB for a screen of 203 cd/m2, see `colour.to_srgb`
    CMYK, Lab       converted to sRGB; CMYK without a profile by plain inversion
    transparency    laid on white, the page that most pictures are looked at on; a BMP whose alpha is 0
                    everywhere is opaque
    signed          of 8 and 16 bits: 127 and 32767 are white
    16 bits         the upper byte is kept, so that grey and colour agree; a profile is applied to all bits,
                    unless it is a table of colours, or a TIFF has its colours in separate planes
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
import signal
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from affectlens import errors
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
    PictureDenied,
    PictureEmpty,
    PictureError,
    PictureIsFolder,
    PictureNotFound,
    PictureTooLarge,
    backslash_hint,
)
from affectlens.jpeg_scans import scans
from affectlens.picture_colours import (
    as_srgb,
    bytes_of_fractions,
    is_numeric,
    numeric_srgb,
    rows_of,
    second_bytes,
)
from affectlens.picture_formats import (
    ON_ITS_SIDE,
    READABLE,
    UPRIGHT,
    as_picture_errors,
    find_colours,
    identify,
    load,
    orientation,
    ours,
    raw_of,
    shrink_while_decoding,
    why,
    without_padding,
)
from affectlens.raw_previews import SUFFIXES as RAW_SUFFIXES

Pixels: TypeAlias = NDArray[np.uint8]  # (H, W, 3), upright sRGB


@runtime_checkable
class Tensor(Protocol):
    """A tensor of torch, which need not be installed, by what is used of it."""

    shape: Any
    dtype: Any

    def detach(self) -> Any: ...
    def numel(self) -> int: ...


Source: TypeAlias = (
    Path | str | bytes | bytearray | memoryview | IO[bytes] | io.IOBase | Image.Image | NDArray[Any] | Tensor
)
Interpolation = Literal["bilinear", "bicubic"]

# What is decoded at once. The largest sensors of cameras and telephones have 200 million pixels, so
# every photograph passes; a picture at the limit takes 3.3 GB while it is read, and 0.75 GB after.
MAX_PIXELS = 250_000_000
# What a JPEG may hold that is decoded at reduced size: memory is small then, but time is not.
MAX_STORED_PIXELS = 4 * MAX_PIXELS
# What a JPEG of several scans may cost: its pixels times its scans. Programs write about ten scans; a file
# of thousands takes minutes.
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
# Pixels from which on a picture is decoded in a child process. Some decoders are one call, in which Python
# cannot be interrupted: at these numbers it takes two seconds, as a million pixels of noise take 0.65 s of
# JPEG 2000, 0.4 s of AVIF and 0.12 s of WebP. A child takes half a second to start. Others give way between
# two blocks of a file.
_CHILD_PIXELS = 32_000_000
_CHILD_SCANNED_PIXELS = 10 * _CHILD_PIXELS  # of a JPEG of several scans: its pixels times its scans
_CHILD_PIXELS_OF = {"JPEG2000": 3_000_000, "AVIF": 5_000_000, "HEIF": 5_000_000, "WEBP": 16_000_000}

# What is read, and what people have among their pictures, which must not be missing without a word.
PICTURE_SUFFIXES = RAW_SUFFIXES | {
    ".apng", ".avif", ".avifs", ".bmp", ".dib", ".gif", ".heic", ".heif", ".hif", ".j2c", ".j2k", ".jfi",
    ".jfif", ".jif", ".jp2", ".jpc", ".jpe", ".jpeg", ".jpf", ".jpg", ".jpx", ".jxl", ".mpo", ".pbm", ".pfm",
    ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
}  # fmt: skip


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
            with open_picture(Path(source)) as file:
                return _decode(file, str(source), size)
        case bytes() | bytearray() | memoryview():
            data = bytes(source)
            if not data:
                raise PictureEmpty("bytes in memory", f"it is empty. Expected a picture: {READABLE}.")
            return _decode(io.BytesIO(data), f"{len(data):,} bytes in memory", size)
        case io.IOBase():
            return read_pixels(_bytes_of(source), at_least=at_least)
        case Image.Image():
            name = str(getattr(source, "filename", "") or "picture in memory")
            with as_picture_errors(name):
                find_colours(source)
            return _convert(source, name)
        case np.ndarray():
            return _convert(_picture_of_array(source), "array")
        case Tensor():
            return _of_tensor(source)
    raise NotAPicture(
        f"{type(source).__name__} instead of a picture",
        "expected a path, bytes, an open file, a Pillow picture, an array or a tensor.",
    )


def _bytes_of(file: io.IOBase) -> bytes:
    name = str(getattr(file, "name", "a file"))
    if isinstance(file, io.TextIOBase):
        raise NotAPicture(name, "open as text. Open it for bytes, with 'rb'.")
    if file.closed:
        raise NotAPicture(name, "closed. Read it while it is open, or give its path.")
    try:
        position = file.tell() if file.seekable() else None
        data: Any = file.read()
        if position is not None:
            file.seek(position)
    except (OSError, ValueError) as error:  # ValueError: of a file that was opened for writing alone, too
        reason = f"it cannot be read ({why(error)}). Open it for bytes, with 'rb'."
        raise PictureDenied(name, reason) from error
    if not isinstance(data, bytes):
        raise NotAPicture(name, "it has no bytes to read. Open it for bytes, with 'rb'.")
    return data


def read_size(source: Source) -> tuple[int, int]:
    """Return the size that `read_pixels` would find: (height, width), upright; decodes only a PNG.

    Raises `PictureError` as `read_pixels` does, but not for damage behind a file's beginning.
    """
    match source:
        case str() | Path():
            with open_picture(Path(source)) as file:
                return _upright_size(file, str(source))
        case bytes() | bytearray() | memoryview() if source:
            data = bytes(source)
            return _upright_size(io.BytesIO(data), f"{len(data):,} bytes in memory")
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


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Write pixels, uint8 (H, W, 3), or (H, W, 4) with opacity, as the bytes of a PNG file."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG")
    return file.getvalue()


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
    with open_picture(path) as file:
        with as_picture_errors(str(path)):
            image = identify(file, str(path))
        second = 0.0
        for number in range(getattr(image, "n_frames", 1)):
            with as_picture_errors(str(path)):
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
        reason = f"nothing can be found at this path ({why(error)}).{broken} {spelling}"
        raise PictureNotFound(path, reason) from error


def _is_link(path: Path) -> bool:
    try:
        return path.is_symlink()
    except (OSError, ValueError):
        return False


def open_picture(path: Path) -> IO[bytes]:
    """Open a regular file. A pipe or a device is refused before it is opened: it could block forever.

    Raises `PictureError` for what cannot be opened.
    """
    status = _status(path)
    if stat.S_ISDIR(status.st_mode):
        _require_listable(path)
        raise PictureIsFolder(path, "this is a folder. Expected a picture; list the folder's pictures first.")
    if not stat.S_ISREG(status.st_mode):
        raise NotAPicture(path, "this is a pipe, socket or device. Expected a file; save the picture first.")
    if status.st_size == 0:
        raise PictureEmpty(path, "the file is empty: zero bytes. Copy or download it again.")
    try:
        return path.open("rb")
    except OSError as error:
        raise PictureDenied(path, f"the file may not be read ({why(error)}). Change its rights.") from error


def _require_listable(folder: Path) -> None:
    try:
        os.scandir(folder).close()
    except OSError as error:
        reason = f"the folder cannot be listed ({why(error)}). Change its rights, or leave it out."
        raise PictureDenied(folder, reason) from error


def _decode(file: IO[bytes], name: str, at_least: tuple[int, int] | None) -> Pixels:
    with as_picture_errors(name):
        try:
            image = identify(file, name)
        except Image.DecompressionBombError:
            # Pillow's own limit, which is lower, can be raised for a process of ours only.
            if _may_have_child():
                return _decode_in_child(file, name, at_least)
            raise
        width, height = image.size
        if at_least is not None:
            shrink_while_decoding(image, at_least)
        # Not of `file`: the preview of a raw file lies in its midst.
        number = scans(image.fp, MAX_SCANS) if image.format == "JPEG" and image.fp else 1
        # A JPEG of several scans holds all its coefficients in memory, however small it comes out.
        decoded = width * height if number > 1 else image.width * image.height
        _refuse_beyond(MAX_PIXELS, decoded, name)
        _refuse_beyond(MAX_STORED_PIXELS, width * height, name)
        _refuse_many_scans(number, width * height, name)
    limit = min(_CHILD_PIXELS, _CHILD_PIXELS_OF.get(image.format or "", _CHILD_PIXELS))
    if (decoded > limit or number * decoded > _CHILD_SCANNED_PIXELS) and _may_have_child():
        return _decode_in_child(file, name, at_least, decoded)
    return _convert(image, name, decoded, (width, height))


def _refuse_many_scans(number: int, pixels: int, name: str) -> None:
    """Refuse a JPEG whose scans, each of which goes through all of its pixels, are too many."""
    if number > MAX_SCANS or number * pixels > MAX_SCANNED_PIXELS:
        many = f"over {MAX_SCANS:,}" if number > MAX_SCANS else f"{number:,}"
        reason = f"it would take minutes to decode: {many} scans of {pixels:,} pixels. Export it again."
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


def decode_in_this_process(most_pixels: int = MAX_PIXELS) -> None:
    """Start no child process for what may take long: this process is one, and another ends it.

    Pictures of more than `most_pixels` are refused from here on, as those of more than `MAX_PIXELS` were.
    """
    global _is_child, MAX_PIXELS, MAX_STORED_PIXELS
    _is_child = True
    MAX_PIXELS, MAX_STORED_PIXELS = most_pixels, min(4 * most_pixels, MAX_STORED_PIXELS)
    Image.MAX_IMAGE_PIXELS = None  # ours is the limit


def decode_for_parent(at_least: str) -> None:
    """Decode the picture on standard input; write a line of JSON, then its pixels, to standard output.

    What a child process of `read_pixels` does. `at_least` is JSON: null, or height and width.
    """
    decode_in_this_process()
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
    with as_picture_errors(name):
        return _turned(identify(file, name))


def _turned(image: Image.Image) -> tuple[int, int]:
    is_turned = image.format == "TIFF"  # of a TIFF, Pillow gives the upright size before it is loaded, too
    if orientation(image) in ON_ITS_SIDE and not is_turned:
        return image.width, image.height
    return image.height, image.width


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
    with as_picture_errors(name):
        pixels = image.width * image.height if pixels is None else pixels
        _refuse_beyond(MAX_PIXELS, pixels, name)
        if not image.width or not image.height:
            raise PictureEmpty(name, "no pixels: one side is zero. Expected at least one pixel.")
        with memory.reserve(pixels * _BYTES_PER_PIXEL if pixels > _SMALL_PIXELS else 0):
            return _upright_srgb(image, stored)


def _upright_srgb(image: Image.Image, stored: tuple[int, int] | None) -> Pixels:
    image = ours(image)
    file, raw = getattr(image, "fp", None), raw_of(image)
    second = second_bytes(image, raw)
    image = load(image, file)
    check_cancelled()
    turn = UPRIGHT[orientation(image)]  # after loading: a PNG may state it behind its pixels
    if image.format == "JPEG" and stored is not None:
        image = without_padding(image, stored)
    if is_numeric(image, raw):
        pixels = numeric_srgb(image, second, raw)
        second = None  # it is as large as the picture
        if turn is None:
            return pixels
        image = Image.fromarray(pixels)
        del pixels
    else:
        image = as_srgb(image)
    check_cancelled()
    if turn is not None:
        image = image.transpose(turn)
    return rows_of(image)


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
        array = bytes_of_fractions(array)
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
