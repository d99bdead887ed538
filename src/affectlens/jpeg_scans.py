"""The segments of a JPEG, without decoding: how often its pixels are gone through, and what is broken in it.

Most files are one scan. A progressive one has about ten, and one whose components are apart has one each.
The standard (ISO/IEC 10918-1, B.2) sets no limit, and a scan that changes nothing takes ten bytes: a file of
some kilobytes may take hours to decode.

What applications state stands in segments before the first scan. One that is too short for what it begins to
state is passed over by libjpeg, and may not cost the picture.
"""

import re
from collections.abc import Iterator
from typing import IO, NamedTuple

_START_OF_SCAN, _END = 0xDA, 0xD9
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# What ends the data of a scan: not a byte 255 of the data itself, which has a 0 behind it, nor a restart.
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
# Least bytes that libjpeg takes for what such a segment states, by marker and first bytes.
_LEAST = {(0xE0, b"JFIF"): 14, (0xE2, b"ICC_PROFILE\0"): 14, (0xEE, b"Adobe"): 12}
# Notes of an editor, none of which are about pixels.
_NOTES = (0xED, b"Photoshop 3.0\0")
_WITHOUT_LENGTH = (0x01, *range(0xD0, 0xD9))
# Beyond this no decoder gets in the time that a picture has.
_MOST_BYTES = 1 << 30


class _Segment(NamedTuple):
    """A marker, where what belongs to it begins, and its first bytes."""

    marker: int
    position: int
    begin: bytes


def scans(file: IO[bytes], most: int) -> int:
    """Count a JPEG's scans up to its end, and not beyond `most` + 1; its first byte is the file's.

    1 for a file whose first scan has all of its components and is not progressive: decoders end with it.
    """
    number, components = 0, 0
    is_progressive = False
    for segment in _segments(file):
        if segment.marker in _FRAMES:
            is_progressive = segment.marker in _PROGRESSIVE
            components = segment.begin[7] if len(segment.begin) > 7 else 0
        elif segment.marker == _START_OF_SCAN:
            number += 1
            is_whole = number == 1 and len(segment.begin) > 2 and segment.begin[2] >= components
            if number > most or (is_whole and not is_progressive):
                break
    return number


def is_too_short(marker: int, content: bytes) -> bool:
    """Whether an application's segment is too short for what its first bytes begin to state."""
    return any(
        marker == kind and content.startswith(name) and len(content) < least
        for (kind, name), least in _LEAST.items()
    )


def needless_segments(file: IO[bytes]) -> list[tuple[int, int]]:
    """Position and length of each segment before the first scan without which a JPEG looks the same.

    They are those that are too short, and an editor's notes.
    """
    found = []
    for segment in _segments(file):
        if segment.marker == _START_OF_SCAN:
            break
        length = int.from_bytes(segment.begin[:2], "big")
        content = segment.begin[2 : max(2, length)]
        is_note = segment.marker == _NOTES[0] and content.startswith(_NOTES[1])
        if is_note or is_too_short(segment.marker, content):
            found.append((segment.position - 2, 2 + max(2, length)))
    return found


def _segments(file: IO[bytes]) -> Iterator[_Segment]:
    """Yield the segments up to the end of the picture; what lies behind it, or within one, is none."""
    position = 2
    while position < _MOST_BYTES and (found := _next_marker(file, position)) is not None:
        marker, position = found
        file.seek(position)
        begin = file.read(16)
        if marker == _END or len(begin) < 2:
            return
        yield _Segment(marker, position, begin)
        if marker not in _WITHOUT_LENGTH:
            position += max(2, int.from_bytes(begin[:2], "big"))


def _next_marker(file: IO[bytes], position: int) -> tuple[int, int] | None:
    """Return the next marker from a position on, and the position behind it; None where there is none."""
    size = 1 << 12  # most markers are near; the data of a scan may be long
    while position < _MOST_BYTES:
        file.seek(position)
        part = file.read(size)
        found = _MARKER.search(part)
        if found:
            return part[found.start() + 1], position + found.end()
        if len(part) < size:
            return None
        position += size - 1  # its last byte may begin a marker
        size = 1 << 20
    return None
