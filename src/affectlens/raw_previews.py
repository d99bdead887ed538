"""The preview that cameras put into their raw files: a JPEG of the picture, as the camera developed it.

A raw file holds what the sensor measured. To develop it is a choice of taste, for which there are programs;
the camera's own choice lies in the file. TIFF 6.0 and DNG 1.7 describe the directories in which it is found;
Fujifilm's files name it in their header.
"""

import struct
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

SUFFIXES = frozenset({
    ".3fr", ".arw", ".bay", ".cap", ".cr2", ".cr3", ".crw", ".cs1", ".dcr", ".dng", ".erf", ".fff", ".gpr",
    ".iiq", ".kdc", ".mdc", ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".ptx", ".raf", ".raw",
    ".rw2", ".rwl", ".rwz", ".sr2", ".srf", ".srw", ".x3f",
})  # fmt: skip
_FUJIFILM = b"FUJIFILMCCD-RAW "
_OTHER_MAGIC = (b"IIRO", b"IIRS", b"MMOR", b"IIU\0")  # Olympus, Panasonic: TIFF with another number
_DIRECTORIES, _ENTRIES = 64, 1024  # no camera writes as many
_COMPRESSION, _PHOTOMETRIC, _STRIPS, _SUB, _COUNTS = 0x103, 0x106, 0x111, 0x14A, 0x117
_ORIENTATION, _JPEG, _JPEG_LENGTH, _DNG, _PANASONIC = 0x112, 0x201, 0x202, 0xC612, 0x002E
_OF_SENSORS = (32803, 34892)  # colour filter array, linear raw
# Markers at which a JPEG's frame begins, and those of frames of pixels: baseline, extended, progressive.
_FRAMES, _OF_PIXELS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}, (0xC0, 0xC1, 0xC2)
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 6: 1, 7: 1, 13: 4}
_FORMATS = {1: "B", 3: "H", 4: "I", 6: "b", 7: "B", 13: "I"}


class Preview(NamedTuple):
    """Where a JPEG lies in a raw file, and how the camera was held (EXIF's 1 to 8)."""

    position: int
    length: int
    orientation: int


def preview(file: IO[bytes]) -> Preview | None:
    """Find a raw file's greatest preview; of length 0 where it has none; None for what is not raw."""
    file.seek(0)
    start = file.read(108)
    if start.startswith(_FUJIFILM):
        position, length = struct.unpack_from(">II", start, 84) if len(start) >= 92 else (0, 0)
        return _is_jpeg(file, Preview(position, length, 1)) or Preview(0, 0, 1)
    if not _is_tiff(start):
        return None
    directories = list(_walk(file, "<" if start[:2] == b"II" else ">"))
    if not _is_raw(start, directories):
        return None
    orientation = next((d[_ORIENTATION][0] for d in directories if d.get(_ORIENTATION)), 1)
    found = [
        checked
        for directory in directories
        for each in _jpegs(directory, orientation)
        if (checked := _is_jpeg(file, each)) is not None
    ]
    return max(found, key=lambda each: each.length, default=Preview(0, 0, 1))


def _is_tiff(start: bytes) -> bool:
    return start[:4] in (b"II*\0", b"MM\0*", *_OTHER_MAGIC)


def _is_raw(start: bytes, directories: list[dict[int, Any]]) -> bool:
    if start[:4] in _OTHER_MAGIC or start[8:10] == b"CR":
        return True
    is_of_sensor = any(d.get(_PHOTOMETRIC, (0,))[0] in _OF_SENSORS for d in directories)
    return is_of_sensor or any(_DNG in d for d in directories)


def _jpegs(directory: dict[int, Any], orientation: int) -> Iterator[Preview]:
    if directory.get(_PHOTOMETRIC, (0,))[0] in _OF_SENSORS:
        return
    if directory.get(_JPEG) and directory.get(_JPEG_LENGTH):
        yield Preview(directory[_JPEG][0], directory[_JPEG_LENGTH][0], orientation)
    is_jpeg = directory.get(_COMPRESSION, (0,))[0] in (6, 7)
    if is_jpeg and len(directory.get(_STRIPS, ())) == len(directory.get(_COUNTS, ())) == 1:
        yield Preview(directory[_STRIPS][0], directory[_COUNTS][0], orientation)
    if _PANASONIC in directory:
        position, length = directory[_PANASONIC][-2:]
        yield Preview(position, length, orientation)


def _is_jpeg(file: IO[bytes], found: Preview) -> Preview | None:
    """Whether a JPEG of pixels lies there; some cameras store the sensor's values as a lossless JPEG."""
    if found.length <= 4:
        return None
    file.seek(found.position)
    start = file.read(min(found.length, 1 << 16))
    if not start.startswith(b"\xff\xd8\xff"):
        return None
    position = 2
    while position + 4 <= len(start) and start[position] == 0xFF:
        marker, length = start[position + 1], int.from_bytes(start[position + 2 : position + 4], "big")
        if marker in _FRAMES:
            return found if marker in _OF_PIXELS else None
        position += 2 + length
    return found  # its frame follows behind what a camera wrote about itself


def _walk(file: IO[bytes], order: str) -> Iterator[dict[int, Any]]:
    """The directories of a TIFF and those below them: tag -> values. Of a damaged one, what can be read."""
    file.seek(4)
    waiting = [value for value in struct.unpack(order + "I", file.read(4).ljust(4, b"\0")) if value]
    visited: set[int] = set()
    while waiting and len(visited) < _DIRECTORIES:
        position = waiting.pop(0)
        if position in visited:
            continue
        visited.add(position)
        directory, after = _directory(file, position, order)
        yield directory
        waiting += [value for value in (*directory.get(_SUB, ()), after) if value]


def _directory(file: IO[bytes], position: int, order: str) -> tuple[dict[int, Any], int]:
    file.seek(position)
    start = file.read(2)
    if len(start) < 2:
        return {}, 0
    number = min(struct.unpack(order + "H", start)[0], _ENTRIES)
    content = file.read(12 * number + 4).ljust(12 * number + 4, b"\0")
    directory: dict[int, tuple[Any, ...]] = {}
    for index in range(number):
        tag, kind, count = struct.unpack_from(order + "HHI", content, 12 * index)
        value = content[12 * index + 8 : 12 * index + 12]
        if tag == _PANASONIC and kind == 7:
            directory[tag] = (struct.unpack(order + "I", value)[0], count)
        elif kind in _FORMATS and 0 < count <= _ENTRIES and tag in _READ:
            directory[tag] = _values(file, order, kind, count, value)
    return directory, struct.unpack_from(order + "I", content, 12 * number)[0]


_READ = frozenset({
    _COMPRESSION, _PHOTOMETRIC, _STRIPS, _SUB, _COUNTS, _ORIENTATION, _JPEG, _JPEG_LENGTH, _DNG,
})  # fmt: skip


def _values(file: IO[bytes], order: str, kind: int, count: int, value: bytes) -> tuple[int, ...]:
    size = _SIZES[kind] * count
    if size > 4:
        file.seek(struct.unpack(order + "I", value)[0])
        value = file.read(size)
    if len(value) < size:
        return (0,)
    return struct.unpack(f"{order}{count}{_FORMATS[kind]}", value[:size])
