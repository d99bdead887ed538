"""Image file -> pixels: upright, RGB, uint8. The only file that imports Pillow.

What a picture looks like is decided once, here, for every part of the package:

    orientation     EXIF and XMP orientation is applied; broken EXIF data counts as upright
    colour          converted to sRGB by the embedded ICC profile; a profile that is broken, or that
                    belongs to another kind of picture, is ignored, as browsers do
    CMYK, Lab       converted to sRGB; CMYK without a profile by plain inversion
    transparency    laid on white, the page that most pictures are looked at on
    16 bits         the upper byte is kept, so that grey and colour agree
    32 bits, float  0..65535 or 0..1 where all values lie there; stretched from least to greatest
                    otherwise, since such a file does not state what is white
    frames, pages   the first

A file's content decides what it is, never its suffix. Whatever cannot be read is a `PictureError`
that names the file and the reason; warnings that Pillow gives on the way are left to the caller's
filters. All functions may be called from many threads at once.
"""

import io
import os
import re
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Literal, Protocol, TypeAlias, runtime_checkable

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

from affectlens.errors import (
    NotAPicture,
    PictureDamaged,
    PictureDenied,
    PictureEmpty,
    PictureIsFolder,
    PictureNotFound,
    PictureTooLarge,
)

Pixels: TypeAlias = NDArray[np.uint8]  # (H, W, 3), upright sRGB


@runtime_checkable
class Tensor(Protocol):
    """A tensor of torch, which need not be installed, by what is used of it."""

    shape: Any
    dtype: Any

    def detach(self) -> Any: ...
    def numel(self) -> int: ...


Source: TypeAlias = Path | str | bytes | Image.Image | NDArray[Any] | Tensor
Interpolation = Literal["bilinear", "bicubic"]

# What is decoded at once. The largest sensors of cameras and telephones have 200 million pixels, so
# every photograph passes; a picture at the limit takes 3.3 GB while it is read, and 0.75 GB after.
MAX_PIXELS = 250_000_000
# What a JPEG may hold that is decoded at reduced size: memory is small then, but time is not.
MAX_STORED_PIXELS = 4 * MAX_PIXELS

PICTURE_SUFFIXES = frozenset({
    ".apng", ".avif", ".avifs", ".bmp", ".gif", ".j2c", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpf",
    ".jpg", ".jpx", ".mpo", ".pbm", ".pfm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
})  # fmt: skip

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
_STRANGERS: tuple[tuple[bytes, str], ...] = (
    (rb"....ftyp.{0,40}(hei[cx]|hev[cx])", "a HEIC photograph: export it as JPEG"),
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
_BITS_PER_SAMPLE_TAG = 0x0102

_PROFILE_SPACES = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK"}
_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
# Without lcms's one-pixel cache a transform may be shared by threads.
_SHARED = ImageCms.Flags.NOCACHE


def read_pixels(source: Source, *, at_least: int | tuple[int, int] | None = None) -> Pixels:
    """Read a picture as upright sRGB: uint8, (H, W, 3).

    `source` is a path, the bytes of a picture file, a Pillow picture, an array or a torch tensor. Arrays
    are (H, W), (H, W, 3) or (H, W, 4), uint8 or float in 0..1; a tensor is (3, H, W), uint8.

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
        case Image.Image():
            return _convert(source, str(getattr(source, "filename", "") or "picture in memory"))
        case np.ndarray():
            return _convert(_picture_of_array(source), "array")
        case Tensor():
            return _of_tensor(source)
    raise NotAPicture(
        f"{type(source).__name__} instead of a picture",
        "expected a path, bytes, a Pillow picture, an array or a tensor.",
    )


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


def is_animated_webp(path: Path) -> bool:
    """Whether a file is a WebP with several pictures; False for whatever cannot be read."""
    try:
        with path.open("rb") as file:
            start = file.read(21)
    except (OSError, ValueError):
        return False
    # The extended header's flags: https://developers.google.com/speed/webp/docs/riff_container
    return start[:4] == b"RIFF" and start[8:16] == b"WEBPVP8X" and bool(start[20] & 2)


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
                lasts = float(image.info.get("duration") or 100) / 1000  # browsers' rule where none is given
            yield second, lasts, _convert(image.copy(), str(path))
            second += lasts


def list_pictures(folder: Path | str) -> Iterator[Path]:
    """List the pictures below a folder, by suffix, lazily and in a fixed order: by name, depth first.

    Hidden files and folders are skipped. Links are followed, but no folder is listed twice. What
    has a picture's suffix and cannot be read, as a broken link, is listed too: `read_pixels` reports
    why. Raises `PictureNotFound` or `PictureDenied` where the folder, or one below it, cannot be listed.
    """
    root = Path(folder)
    if not stat.S_ISDIR(_status(root).st_mode):
        raise PictureNotFound(root, "this is a file. Expected a folder to look for pictures in.")
    return _walk(root)


def _walk(root: Path) -> Iterator[Path]:
    waiting = [(root, True)]
    visited = set()
    while waiting:
        path, is_folder = waiting.pop()
        if is_folder:
            status = _status(path)
            identity = (status.st_dev, status.st_ino)
            if identity not in visited:
                visited.add(identity)
                waiting.extend(reversed(_visible(path)))
        elif path.suffix.lower() in PICTURE_SUFFIXES:
            yield path


def _visible(folder: Path) -> list[tuple[Path, bool]]:
    """List what is in a folder and not hidden, by name, each with whether it is a folder."""
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        return [(path, path.is_dir()) for path in paths]
    except OSError as error:
        reason = f"the folder cannot be listed ({_why(error)}). Change its rights, or leave it out."
        raise PictureDenied(folder, reason) from error


def _status(path: Path) -> os.stat_result:
    """Return a file's kind and size. Raises `PictureNotFound` or `PictureDenied`."""
    try:
        return path.stat()
    except PermissionError as error:
        raise PictureDenied(path, "no permission to look at it. Change the rights of its folder.") from error
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        broken = " It is a link to something that is gone." if _is_link(path) else ""
        reason = f"nothing can be found at this path ({_why(error)}).{broken} Check its spelling."
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
        image = _identify(file, name)
        stored = image.width * image.height
        if at_least is not None:
            _shrink_while_decoding(image, at_least)
        # A progressive JPEG holds all its coefficients in memory, however small it comes out.
        decoded = stored if "progressive" in image.info else image.width * image.height
        _refuse_beyond(MAX_PIXELS, decoded, name)
        _refuse_beyond(MAX_STORED_PIXELS, stored, name)
    return _convert(image, name)


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
    start = file.read(256)
    failures = []
    for reader in _READERS:
        accepts = Image.OPEN[str(reader.format)][1]
        if accepts is not None and accepts(start[:16]) is True:
            file.seek(0)
            try:
                return reader(file, "")  # without the name, or Pillow would map the file into memory
            except SyntaxError as error:  # Pillow's word for "not mine", whatever went wrong
                failures.append(f"{reader.format}: {_why(error)}")
    kind = next((kind for first, kind in _STRANGERS if re.match(first, start, re.DOTALL | re.IGNORECASE)), "")
    if failures and not kind:
        reason = f"begins like a picture but is damaged, or of a rare kind ({'; '.join(failures)})."
        raise PictureDamaged(name, f"{reason} Export it again, as PNG or JPEG.")
    seems = f"It seems to be {kind}." if kind else "Check that it is a picture, or export it as one of these."
    raise NotAPicture(name, f"not a picture in a format that is read here: {_READABLE}. {seems}")


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


def _convert(image: Image.Image, name: str) -> Pixels:
    """Decode what is not decoded yet, and bring it to upright sRGB."""
    with _as_picture_errors(name):
        _refuse_beyond(MAX_PIXELS, image.width * image.height, name)
        if not image.width or not image.height:
            raise PictureEmpty(name, "no pixels: one side is zero. Expected at least one pixel.")
        image.load()
        turn = _UPRIGHT[_orientation(image)]  # after loading: a PNG may state it behind its pixels
        image = _as_srgb(image)
        if turn is not None:
            image = image.transpose(turn)
        return np.array(image)


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
    if values.dtype.kind == "u":
        # Scanners' 12-bit TIFF arrives unscaled; everything else fills its 16 bits.
        tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
        is_12_bit = tags.get(_BITS_PER_SAMPLE_TAG) == (12,)
        return (values // (16 if is_12_bit else 256)).astype(np.uint8)
    white = 65535.0 if values.dtype.kind == "i" else 1.0
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
        transform = ImageCms.buildTransform(source, _SRGB, mode, "RGB", flags=_SHARED)
    except (ImageCms.PyCMSError, *_BAD_DATA):
        return None
    return transform if mode == "CMYK" or _changes_colours(transform, mode) else None


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
