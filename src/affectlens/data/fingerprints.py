"""What is kept of a picture to know its copies: a hash of its file, a grey thumbnail, its size."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from affectlens.data.near_duplicates import SIDE
from affectlens.data.prefetch import map_ahead
from affectlens.data.records import Record
from affectlens.decoding import check_cancelled
from affectlens.errors import PictureError
from affectlens.files import read_file
from affectlens.images import Pixels, open_picture, read_pixels, resize

# Of red, green and blue in a grey level, of 1000 (ITU-R BT.601, as Pillow has it).
_GREY = np.array([299, 587, 114])
_HASHED_BYTES, _BLOCK = 1 << 30, 1 << 18
_HASH_DIGITS = 12  # of what cards keep


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A picture that was read.

    Attributes:
        content: hash of the file's bytes
        thumbnail: uint8, (48, 48), grey, of the complete picture squashed to a square
        height, width: as it was decoded, upright
    """

    content: bytes
    thumbnail: NDArray[np.uint8]
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class NoFingerprint:
    """A picture that cannot be used: its key, and why."""

    error: str


def content_hash(file: Path) -> str:
    """Return the first digits of a file's SHA-256, by which a card knows what ratings were learned from.

    Raises `OSError`, also for a pipe and a file of more than a gigabyte.
    """
    return hashlib.sha256(read_file(file)).hexdigest()[:_HASH_DIGITS]


def content_hashes(files: Iterable[Path]) -> set[str]:
    """Return the hash of each file that can be read; a picture that is gone since is not among them."""
    found = set()
    for file in files:
        with suppress(OSError):
            found.add(content_hash(file))
    return found


def fingerprints(
    records: Iterable[Record], *, full_size: bool = False
) -> Iterator[Fingerprint | NoFingerprint]:
    """Read the picture of each record, in order, on all cores.

    `full_size` decodes large JPEG files at their own size, where the height and width are wanted.
    """
    return map_ahead(partial(_fingerprint, full_size=full_size), records)


def same_bytes(paths: Iterable[Path], at_least: int = 2) -> list[list[Path]]:
    """Find files whose very bytes occur at least that often: for each such content its paths, in their order.

    Only files that share their size with that many others are read: seconds for all of FI. Files that are
    empty or cannot be read are left out; what is wrong with them is reported when they are opened.
    """
    by_size: dict[int, list[Path]] = defaultdict(list)
    for path in paths:
        with suppress(OSError):
            by_size[path.stat().st_size].append(path)
    by_content: dict[bytes, list[Path]] = defaultdict(list)
    for size, same_size in by_size.items():
        if size and len(same_size) >= at_least:
            for path in same_size:
                with suppress(OSError, PictureError):
                    by_content[_hash_of(path)].append(path)
    return [same for same in by_content.values() if len(same) >= at_least]


def thumbnails(found: Sequence[Fingerprint]) -> NDArray[np.uint8]:
    """Stack the thumbnails of N pictures: (N, 48, 48)."""
    return np.stack([each.thumbnail for each in found]) if found else np.empty((0, SIDE, SIDE), np.uint8)


def grey_thumbnail(pixels: Pixels) -> NDArray[np.uint8]:
    """Shrink a picture, uint8 (H, W, 3), to grey levels, uint8 (48, 48)."""
    small = resize(pixels, SIDE, SIDE).astype(np.int64)
    grey: NDArray[np.uint8] = np.rint(small @ _GREY / 1000).astype(np.uint8)
    return grey


def _fingerprint(record: Record, full_size: bool) -> Fingerprint | NoFingerprint:
    try:
        pixels = read_pixels(record.path, at_least=None if full_size else SIDE)
        content = _hash_of(record.path)
    except PictureError as error:
        return NoFingerprint(f"{record.key}: {error.reason}")
    except OSError as error:
        return NoFingerprint(f"{record.key}: it could not be read to its end: {error.strerror or error}.")
    return Fingerprint(content[:16], grey_thumbnail(pixels), pixels.shape[0], pixels.shape[1])


def _hash_of(path: Path) -> bytes:
    """Hash a file's size and its first gigabyte, a block at a time: 32 bytes.

    A longer file does not differ from others behind that alone, and may be sparse: longer than any disk.
    Raises `PictureError` and `OSError` for what cannot be read.
    """
    found = hashlib.sha256()
    with open_picture(path) as file:
        found.update(str(os.fstat(file.fileno()).st_size).encode())
        while file.tell() < _HASHED_BYTES and (block := file.read(_BLOCK)):
            check_cancelled()
            found.update(block)
    return found.digest()
