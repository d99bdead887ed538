"""The chunks of a PNG that decide how it looks, without those that do not.

Text, profiles and private chunks are where files of programs differ most: a workflow of some megabytes, a
wrong checksum. None of them may cost the picture. A decoder is given a file without them (`essential`); a
chunk that a picture can do without is left out where its checksum or its length is wrong, as browsers and
libpng do. An animation is left out, too: its still picture is read, which needs nothing of it.

Standard: https://www.w3.org/TR/png-3/.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, NamedTuple

from affectlens.colour import ColourCode

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Bytes of a profile, unpacked: those of printers have some megabytes.
_LARGEST_PROFILE = 16 << 20
# Bytes of any other chunk that is looked into.
_LARGEST_SMALL = 1 << 20
_PICTURE = (b"IHDR", b"IDAT", b"IEND")
# Lengths of chunks that a picture can do without. EXIF has the eight bytes of a TIFF's beginning at least.
_LENGTHS = {
    b"gAMA": range(4, 5),
    b"cHRM": range(32, 33),
    b"sRGB": range(1, 2),
    b"eXIf": range(8, _LARGEST_PROFILE + 1),
}
# Lengths of tRNS in pictures of grey and of colours; one with a palette has up to one byte for each colour.
_TRANSPARENT_LENGTHS = {0: range(2, 3), 2: range(6, 7)}
_WITH_PALETTE = 3
# Text in which programs store how a picture is turned.
_ORIENTED_TEXT = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0", b"Raw profile type APP1\0")


@dataclass(frozen=True)
class PngFile:
    """A PNG without what does not matter: a file to decode, its ICC profile, its colours' code (cICP)."""

    file: IO[bytes]
    profile: bytes | None
    colours: ColourCode | None


class _Chunk(NamedTuple):
    """Where a chunk begins, how long its content is, and its kind; empty where the file breaks off in it."""

    position: int
    length: int
    kind: bytes

    @property
    def part(self) -> tuple[int, int]:
        """All of it: position and length, with its own length, kind and checksum."""
        return self.position, self.length + 12 if self.kind else self.length


def essential(file: IO[bytes]) -> PngFile:
    """Go through the chunks of a PNG; nothing is decoded. A file that breaks off is kept up to there."""
    parts: list[tuple[int, int]] = [(0, len(SIGNATURE))]
    profile = colours = None
    lengths = dict(_LENGTHS)
    colour_type = 0
    for chunk in _chunks(file):
        length, kind = chunk.length, chunk.kind
        if kind == b"IHDR":
            colour_type = _colour_type(file)
            lengths[b"tRNS"] = _TRANSPARENT_LENGTHS.get(colour_type, range(0))
        elif kind == b"PLTE" and colour_type == _WITH_PALETTE:
            lengths[b"tRNS"] = range(1, length // 3 + 1)
            parts.append(chunk.part)
        elif kind == b"iCCP" and length <= _LARGEST_PROFILE:
            profile = _profile(_checked(file, kind, length)) or profile
        elif kind == b"cICP" and length == 4:
            code = _checked(file, kind, length)
            colours = ColourCode(code[0], code[1], code[3] == 0) if code else colours
        is_small = length in lengths.get(kind, ()) or _is_oriented_text(file, kind, length)
        if kind in _PICTURE or not kind or (is_small and _checked(file, kind, length)):
            parts.append(chunk.part)
    return PngFile(io.BufferedReader(Parts(file, parts)), profile, colours)


def _chunks(file: IO[bytes]) -> Iterator[_Chunk]:
    """Yield the chunks up to the last; the file stands where the content of each begins."""
    position = len(SIGNATURE)
    while True:
        file.seek(position)
        start = file.read(8)
        if len(start) < 8:
            yield _Chunk(position, len(start), b"")
            return
        length, kind = struct.unpack(">I4s", start)
        yield _Chunk(position, length, kind)
        if kind == b"IEND":
            return
        position += length + 12


def _colour_type(file: IO[bytes]) -> int:
    """What the header that the file stands in states: 0 grey, 2 colours, 3 a palette, 4 and 6 with alpha."""
    header = file.read(13)
    return header[9] if len(header) == 13 else 0


def _checked(file: IO[bytes], kind: bytes, length: int) -> bytes:
    """The content of the chunk that the file stands in; empty where its checksum is wrong."""
    if length > _LARGEST_PROFILE:
        return b""
    content, checksum = file.read(length), file.read(4)
    is_right = checksum == struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))
    return content if is_right else b""


def _profile(content: bytes) -> bytes | None:
    """The ICC profile in a chunk: a name, a NUL byte, the method of compression, and the profile."""
    _, _, packed = content.partition(b"\0")
    return _unpacked(packed[1:], _LARGEST_PROFILE)


def _is_oriented_text(file: IO[bytes], kind: bytes, length: int) -> bool:
    """Whether a small text chunk may state how the picture is turned. Leaves the file where it was."""
    if kind not in (b"tEXt", b"zTXt", b"iTXt") or length > _LARGEST_SMALL:
        return False
    here = file.tell()
    content = file.read(length)
    file.seek(here)
    keyword = content.partition(b"\0")[0] + b"\0"
    if keyword not in _ORIENTED_TEXT:
        return False
    after = content[len(keyword) :]
    is_packed = kind == b"zTXt" or (kind == b"iTXt" and after[:1] == b"\1")
    packed = after[1:] if kind == b"zTXt" else after[2:].partition(b"\0")[2].partition(b"\0")[2]
    return not is_packed or _unpacked(packed, _LARGEST_SMALL) is not None


def _unpacked(packed: bytes, limit: int) -> bytes | None:
    try:
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(packed, limit)
    except zlib.error:
        return None
    return None if unpacker.unconsumed_tail or not content else content


class Parts(io.RawIOBase):
    """Parts of a file, one after the other, as one file: (position, length) each."""

    def __init__(self, file: IO[bytes], parts: list[tuple[int, int]]) -> None:
        super().__init__()
        self._file, self._position = file, 0
        self._parts: list[tuple[int, int, int]] = []  # where it begins here, where there, how long it is
        for there, length in parts:
            if self._parts and there == sum(self._parts[-1][1:]):
                begin, first, before = self._parts[-1]
                self._parts[-1] = (begin, first, before + length)
            else:
                self._parts.append((self._length, there, length))

    @property
    def _length(self) -> int:
        return self._parts[-1][0] + self._parts[-1][2] if self._parts else 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._length}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        for begin, there, length in self._parts:
            within = self._position - begin
            if 0 <= within < length:
                self._file.seek(there + within)
                content = self._file.read(min(len(buffer), length - within))
                buffer[: len(content)] = content
                self._position += len(content)
                return len(content)
        return 0
