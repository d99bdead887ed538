"""Which picture formats are read, how a file is opened and decoded, and how it is turned.

A file's content decides what it is, never its suffix. `images` is what other modules use.
"""

import io
import re
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from math import ceil
from typing import IO, Any

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from affectlens.colour import ColourCode
from affectlens.errors import NotAPicture, PictureDamaged, PictureTooLarge
from affectlens.extras import HEIF
from affectlens.jpeg_scans import is_too_short, needless_segments
from affectlens.png_chunks import SIGNATURE, Parts, essential
from affectlens.raw_previews import preview
from affectlens.stored_profiles import profile_of_bmp, profile_of_jpeg_2000

_PLANES_TAG, _SEPARATE = 0x011C, 2
# Rows of values in the order of bytes of this machine, as libtiff gives them, for the names that Pillow has
# for the order of the file.
_AS_LIBTIFF_GIVES = {
    "I;16S": "I;16NS",
    "I;16BS": "I;16NS",
    "I;16B": "I;16N",
    "I;32S": "I;32NS",
    "I;32BS": "I;32NS",
    "I;32B": "I;32N",
    "F;32F": "F;32NF",
    "F;32BF": "F;32NF",
}
# Kinds of grey TIFF that Pillow decodes in one order of bytes, or of light, and does not know in the other:
# by order, whether 0 is black, whether signed (as the tag counts), and bits.
_MORE_TIFFS = {
    (b"II", 0, 2, 8): ("L", "L"),
    (b"MM", 0, 2, 8): ("L", "L"),
    (b"MM", 0, 1, 16): ("I;16B", "I;16B"),
    (b"II", 0, 2, 16): ("I", "I;16S"),
    (b"MM", 0, 2, 16): ("I", "I;16BS"),
    (b"II", 0, 1, 32): ("I", "I;32N" if sys.byteorder == "little" else "I;32"),
    (b"MM", 0, 1, 32): ("I", "I;32B"),
    (b"MM", 1, 1, 32): ("I", "I;32B"),
    (b"II", 0, 2, 32): ("I", "I;32S"),
    (b"MM", 0, 2, 32): ("I", "I;32BS"),
}
for (_order, _light, _sign, _bits), _modes in _MORE_TIFFS.items():
    TiffImagePlugin.OPEN_INFO.setdefault((_order, _light, (_sign,), 1, (_bits,), ()), _modes)


class _Jpeg(JpegImagePlugin.JpegImageFile):
    """A JPEG whose resolution is not looked up in its EXIF: some damaged EXIF would cost the picture."""

    def _read_dpi_from_exif(self) -> None:
        pass


class _Tiff(TiffImagePlugin.TiffImageFile):
    """A TIFF whose values are what is stored, where Pillow takes others.

    Of planes that are not compressed, Pillow takes any value for one of 8 bits; libtiff, with which it
    decodes all else, does not. And what libtiff gives has the order of bytes of this machine.
    """

    @property
    def _compression(self) -> str:
        is_planes = self._stored == "raw" and self.tag_v2.get(_PLANES_TAG) == _SEPARATE
        return "raw planes" if is_planes else self._stored

    @_compression.setter
    def _compression(self, compression: str) -> None:
        self._stored = compression

    def _setup(self) -> None:
        super()._setup()
        if self.mode in ("LA", "La", "PA", "LAB") and self._planar_configuration == _SEPARATE:
            raise SyntaxError(f"{self.mode} in separate planes")  # libtiff's planes are taken for RGB
        if self.use_load_libtiff:
            self.tile = [_with_raw(each, _AS_LIBTIFF_GIVES.get(_raw(each))) for each in self.tile]


# Only these of Pillow's formats are ever tried: no PSD, EPS, FITS or PDF, where most of its recent security
# faults were, and nothing that starts another program. A multi-picture JPEG (MPO, as phones
# write it) is read as what it is to every viewer: a JPEG with more data behind it.
_READERS: tuple[type[ImageFile.ImageFile], ...] = (
    _Jpeg,
    PngImagePlugin.PngImageFile,
    WebPImagePlugin.WebPImageFile,
    GifImagePlugin.GifImageFile,
    AvifImagePlugin.AvifImageFile,
    _Tiff,
    BmpImagePlugin.BmpImageFile,
    Jpeg2KImagePlugin.Jpeg2KImageFile,
    PpmImagePlugin.PpmImageFile,
)
# Those whose profile Pillow does not look for.
_PROFILES: dict[type[ImageFile.ImageFile], Callable[[IO[bytes]], bytes | None]] = {
    Jpeg2KImagePlugin.Jpeg2KImageFile: profile_of_jpeg_2000,
    BmpImagePlugin.BmpImageFile: profile_of_bmp,
}
READABLE = "JPEG, PNG, WebP, GIF, AVIF, TIFF, BMP, JPEG 2000 or PPM"

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
BAD_DATA = (
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

UPRIGHT = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
ON_ITS_SIDE = (5, 6, 7, 8)
_ORIENTATION_TAG = 0x0112
# Key of `Image.info` under which `identify` puts what a file states of its colours.
COLOURS = "affectlens_colours"


def why(error: Exception) -> str:
    """Return the system's text for an error, without the path, which our errors contain anyway."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


@contextmanager
def as_picture_errors(name: str) -> Iterator[None]:
    """Turn what Pillow raises on bad data into `PictureError`."""
    try:
        yield
    except (MemoryError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        reason = f"too large to be decoded here ({why(error)}). Make a smaller copy first."
        raise PictureTooLarge(name, reason) from error
    except BAD_DATA as error:
        raise PictureDamaged(
            name, f"truncated or corrupt ({why(error)}). Copy, download or export it again."
        ) from error


def identify(file: IO[bytes], name: str) -> ImageFile.ImageFile:
    """Open a picture by its first bytes, decoding nothing yet.

    Does what `PIL.Image.open(formats=...)` does, but without Pillow's limit on pixels: that one is
    global to the process and knows nothing of decoding at reduced size; ours follows in `_decode`.
    """
    file.seek(0)
    start = file.read(256)
    raw = preview(file)
    if raw is not None and raw.length:
        return _open_preview(io.BufferedReader(Parts(file, [raw[:2]])), raw.orientation, name)
    failures = []
    for reader in () if raw is not None else _READERS:
        accepts = Image.OPEN[str(reader.format)][1]
        if accepts is not None and accepts(start[:16]) is True:
            file.seek(0)
            try:
                return _with_colours(reader, file)
            except SyntaxError as error:  # Pillow's word for "not mine", whatever went wrong
                failures.append(f"{reader.format}: {why(error)}")
    if re.match(_HEIC, start, re.DOTALL) and HEIF.is_installed:
        file.seek(0)
        return _open_heif(file)
    if raw is not None:
        reason = "a camera's raw file without a preview. Develop it, and export it as JPEG or TIFF."
        raise NotAPicture(name, reason)
    kind = next((kind for first, kind in _STRANGERS if re.match(first, start, re.DOTALL | re.IGNORECASE)), "")
    if failures and not kind:
        reason = (
            f"begins like a picture, but is damaged or of a kind that is not read ({'; '.join(failures)})."
        )
        raise PictureDamaged(name, f"{reason} Export it again, as PNG or JPEG.")
    seems = f"It seems to be {kind}." if kind else "Check that it is a picture, or export it as one of these."
    raise NotAPicture(name, f"not a picture in a format that is read here: {READABLE}. {seems}")


def _with_colours(reader: type[ImageFile.ImageFile], file: IO[bytes]) -> ImageFile.ImageFile:
    """Open a picture, with what Pillow leaves out of its colours put under `COLOURS`.

    Without the file's name, or Pillow would map the file into memory.
    """
    if reader is PngImagePlugin.PngImageFile:
        png = essential(file)
        image: ImageFile.ImageFile = reader(png.file, "")
        if png.profile is not None:
            image.info["icc_profile"] = png.profile
        if png.colours is not None:  # comes before any profile
            image.info.pop("icc_profile", None)
            image.info[COLOURS] = png.colours
        return image
    image = _open_jpeg(file) if reader is _Jpeg else reader(file, "")
    if image.format == "AVIF":
        file.seek(0)
        image.info[COLOURS] = _colours_of_avif(file.read(1 << 16))
    elif reader in _PROFILES and (profile := _PROFILES[reader](file)):
        image.info["icc_profile"] = profile
    return image


def _open_jpeg(file: IO[bytes]) -> _Jpeg:
    """Open a JPEG; where a segment of an application is broken, as if it were not there.

    Pillow refuses a file for some of these, and for others no longer knows its profile.
    """
    try:
        image = _Jpeg(file, "")
        markers = [(0xE0 + int(name[3:]), content) for name, content in image.applist if name != "COM"]
        if not any(is_too_short(*each) for each in markers):
            return image
    except SyntaxError:
        if not needless_segments(file):
            raise
    return _Jpeg(_without(file, needless_segments(file)), "")


def _without(file: IO[bytes], gone: list[tuple[int, int]]) -> IO[bytes]:
    """A file without some of its parts, which are (position, length) in their order."""
    ends = [0, *(position + length for position, length in gone)]
    begins = [*(position for position, _ in gone), file.seek(0, io.SEEK_END)]
    kept = [(end, begin - end) for end, begin in zip(ends, begins, strict=True) if begin > end]
    return io.BufferedReader(Parts(file, kept))


def _colours_of_avif(start: bytes) -> ColourCode | None:
    """What the box `colr` of ISO/IEC 14496-12 states."""
    found = re.search(rb"colrnclx(..)(..)", start, re.DOTALL)
    if not found:
        return None
    primaries, transfer = (int.from_bytes(part, "big") for part in found.groups())
    return ColourCode(primaries, transfer)


def _open_heif(file: IO[bytes]) -> ImageFile.ImageFile:
    # Imported here because it is in an extra.
    from pillow_heif import HeifImageFile

    image: ImageFile.ImageFile = HeifImageFile(file, "")  # type: ignore[no-untyped-call, unused-ignore]
    stated = image.info.get("nclx_profile")
    if stated:
        colours = ColourCode(int(stated["color_primaries"]), int(stated["transfer_characteristics"]))
        image.info[COLOURS] = colours
    return image


def _open_preview(file: IO[bytes], orientation: int, name: str) -> ImageFile.ImageFile:
    """Open the JPEG in a raw file; it is turned as the raw file states, where it states nothing itself."""
    try:
        image = _open_jpeg(file)
    except SyntaxError as error:
        raise PictureDamaged(name, f"the preview in this raw file is damaged ({why(error)}).") from error
    with suppress(*BAD_DATA, LookupError):
        image.getexif().setdefault(_ORIENTATION_TAG, orientation)
    return image


def shrink_while_decoding(image: Image.Image, at_least: tuple[int, int]) -> None:
    """Let a JPEG be decoded at a fraction of its size, both sides at least twice (height, width)."""
    if image.format != "JPEG":
        return
    height, width = at_least
    if orientation(image) in ON_ITS_SIDE:
        height, width = width, height
    image.draft(None, (2 * max(1, width), 2 * max(1, height)))


def raw_of(image: Image.Image) -> str:
    """How Pillow names the values that a picture stores.

    Empty where it is decoded already, where there is no name, and for planes, whose values have one each.
    """
    is_planes = (
        isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(_PLANES_TAG) == _SEPARATE
    )
    tile = getattr(image, "tile", [])
    return _raw(tile[0]) if tile and not is_planes else ""


def _raw(tile: Any) -> str:
    raw = tile.args[0] if isinstance(tile.args, tuple) and tile.args else tile.args
    return raw if isinstance(raw, str) else ""


def _with_raw(tile: Any, raw: str | None) -> Any:
    if raw is None:
        return tile
    return tile._replace(args=(raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw)


def decoded_as(image: Image.Image, raw: str) -> Image.Image:
    """Decode a PNG or TIFF that is not decoded yet, its bytes taken as another kind of as many."""
    file: Any = getattr(image, "fp", None)
    file.seek(0)
    again = (PngImagePlugin.PngImageFile if image.format == "PNG" else _Tiff)(file, "")
    if image.format != "PNG":
        again.seek(image.tell())
    again.tile = [_with_raw(each, raw) for each in again.tile]
    again.load()
    return again


def ours(image: Image.Image) -> Image.Image:
    """Open a TIFF again that Pillow opened and has not decoded yet."""
    file = getattr(image, "fp", None)
    is_theirs = isinstance(image, TiffImagePlugin.TiffImageFile) and not isinstance(image, _Tiff)
    if not is_theirs or file is None or not getattr(image, "tile", None):
        return image
    file.seek(0)
    again = _Tiff(file, "")
    again.seek(image.tell())
    again.info = image.info
    return again


def find_colours(image: Image.Image) -> None:
    """Add to a picture that Pillow opened, and has not decoded yet, what it leaves out of the colours.

    So that it has the colours of its path. Its file stays where it is.
    """
    file = getattr(image, "fp", None)
    if file is None or not getattr(image, "tile", None) or COLOURS in image.info:
        return
    position = file.tell()
    try:
        if isinstance(image, PngImagePlugin.PngImageFile):
            file.seek(0)
            colours = essential(file).colours if file.read(len(SIGNATURE)) == SIGNATURE else None
            if colours is not None:  # comes before any profile
                image.info.pop("icc_profile", None)
                image.info[COLOURS] = colours
        elif image.format == "AVIF":
            file.seek(0)
            image.info[COLOURS] = _colours_of_avif(file.read(1 << 16))
        elif "icc_profile" not in image.info:
            of_kind = _PROFILES.get(type(image))  # type: ignore[arg-type]
            if of_kind is not None and (profile := of_kind(file)):
                image.info["icc_profile"] = profile
    finally:
        file.seek(position)


def load(image: Image.Image, file: IO[bytes] | None) -> Image.Image:
    """Decode; a JPEG is complete as well where only its end marker is missing."""
    is_jpeg = isinstance(image, JpegImagePlugin.JpegImageFile)
    if is_jpeg:
        jpeg: Any = image
        jpeg.decodermaxblock = 8192  # between two blocks Python can be interrupted
    try:
        image.load()
    except OSError as error:
        is_progressive = "progressive" in image.info
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
    one, other = (_Jpeg(io.BytesIO(content + more + b"\xff\xd9"), "") for more in (b"", b"\x55" * 4096))
    one.load()
    other.load()
    return one if one.tobytes() == other.tobytes() else None


def without_padding(image: Image.Image, stored: tuple[int, int]) -> Image.Image:
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


def orientation(image: Image.Image) -> int:
    """Return how the camera was held, as EXIF counts it: 1 to 8; 1 where that is unknown or invalid."""
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except (*BAD_DATA, LookupError):
        return 1
    return value if isinstance(value, int) and value in UPRIGHT else 1
