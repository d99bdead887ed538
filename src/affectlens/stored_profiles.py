"""ICC profiles that Pillow does not look for: of JPEG 2000, and of BMP.

Standards: ISO/IEC 15444-1, annex I (JP2); BITMAPV5HEADER of Windows.
"""

import struct
from collections.abc import Iterator
from typing import IO, NamedTuple

_JP2 = b"\0\0\0\x0cjP  "
# Boxes of boxes that are looked into; of the header of a JP2, colours are one.
_HEADER, _COLOURS = b"jp2h", b"colr"
# How a box of colours states them: by a profile that is restricted, or by any.
_BY_PROFILE = (2, 3)
_MOST_BOXES = 1000  # of a file: far more than any has
# Bytes of a profile: those of printers have some megabytes.
_LARGEST = 16 << 20
_BMP_V5 = 124  # bytes of the header that has a profile, and of any later one
_EMBEDDED = b"DEBM"


class _Box(NamedTuple):
    """The kind of a box, where its content begins, and where it ends."""

    kind: bytes
    begin: int
    end: int


def profile_of_jpeg_2000(file: IO[bytes]) -> bytes | None:
    """Return the ICC profile of a JP2; None where there is none, or colours are stated before it.

    Readers go by the first box of colours.
    """
    file.seek(0)
    if not file.read(len(_JP2)).startswith(_JP2):
        return None  # without boxes
    size = file.seek(0, 2)
    header = next((box for box in _boxes(file, 0, size) if box.kind == _HEADER), None)
    if header is None:
        return None
    colours = next((box for box in _boxes(file, header.begin, header.end) if box.kind == _COLOURS), None)
    if colours is None or not 3 < colours.end - colours.begin <= _LARGEST:
        return None
    file.seek(colours.begin)
    content = file.read(colours.end - colours.begin)
    return content[3:] if content[0] in _BY_PROFILE else None


def _boxes(file: IO[bytes], begin: int, end: int) -> Iterator[_Box]:
    """Yield the boxes of a part of a file, up to one that is broken."""
    for _ in range(_MOST_BOXES):
        file.seek(begin)
        start = file.read(16)
        if len(start) < 8 or begin + 8 > end:
            return
        length, kind, head = int.from_bytes(start[:4], "big"), start[4:8], 8
        if length == 1 and len(start) == 16:
            length, head = int.from_bytes(start[8:], "big"), 16
        elif length == 0:  # up to the end
            length = end - begin
        if length < head or begin + length > end:
            return
        yield _Box(kind, begin + head, begin + length)
        begin += length


def profile_of_bmp(file: IO[bytes]) -> bytes | None:
    """Return the ICC profile in a BMP; None where there is none. One in another file is not looked for."""
    file.seek(14)
    header = file.read(_BMP_V5)
    if len(header) < _BMP_V5 or struct.unpack_from("<I", header)[0] < _BMP_V5:
        return None
    if header[56:60] != _EMBEDDED:
        return None
    position, length = struct.unpack_from("<II", header, 112)
    if not 0 < length <= _LARGEST:
        return None
    file.seek(14 + position)
    return file.read(length) or None
