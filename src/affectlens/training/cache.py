"""Pictures decoded and shrunk once, for the many epochs of a training run.

A cache is a folder of two files: `pixels.bin`, all pictures' bytes one after the other, and
`index.json`, where each begins. It is read through a memory map, so that worker processes and runs
share one copy in memory. For 100,000 pictures of 256x256 it takes 20 GB of disk.

Several processes may build one cache at once: each decodes for itself, the first to end renames its own
to the folder, and the others leave that one for those that read it by then.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from affectlens.data.prefetch import map_ahead
from affectlens.data.records import Record
from affectlens.errors import DatasetError, OutputError
from affectlens.files import atomic_folder, read_file
from affectlens.former_keys import PIXEL_CACHE, current_keys
from affectlens.images import Pixels, read_pixels, resize

VERSION = 3  # 1 had each picture's red before its green; 2 read 16 bits with a profile otherwise
PIXELS, INDEX = "pixels.bin", "index.json"


class _Index(msgspec.Struct):
    """The content of `index.json`: where each picture's pixels begin, and how large they are."""

    version: int
    side: int
    bytes: int
    positions: dict[str, tuple[int, int, int]]
    file_sizes: dict[str, int] = {}


@dataclass(frozen=True)
class PixelCache:
    """Decoded pictures by record key; opened with `PixelCache.open`, made with `build`.

    Attributes:
        positions: by key, offset, height and width
        file_sizes: by key, bytes of the file that it was read from
    """

    folder: Path
    side: int
    positions: Mapping[str, tuple[int, int, int]]
    file_sizes: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path) -> "PixelCache":
        """Read the index. Raises `DatasetError` for a folder without a cache, or one of another version."""
        try:
            stored = msgspec.json.decode(read_file(folder / INDEX), type=dict[str, Any])
            index = msgspec.convert(current_keys(stored, PIXEL_CACHE), _Index)
            size = (folder / PIXELS).stat().st_size
        except OSError as error:
            raise _unusable(folder, error.strerror or str(error)) from None
        except (ValueError, RecursionError) as error:
            raise _unusable(folder, f"{INDEX} is damaged, {type(error).__name__}") from None
        if index.version != VERSION:
            raise _unusable(folder, f"it is of version {index.version}, not {VERSION}")
        if size != index.bytes:
            raise _unusable(folder, f"{PIXELS} has {size:,} bytes, not {index.bytes:,}")
        if not all(
            o >= 0 and h > 0 and w > 0 and o + 3 * h * w <= size for o, h, w in index.positions.values()
        ):
            raise _unusable(folder, f"{INDEX} points outside of {PIXELS}")
        return cls(folder, index.side, index.positions, index.file_sizes)

    @classmethod
    def find(cls, folder: Path, records: Iterable[Record], side: int) -> "PixelCache | None":
        """Open a cache that has all these pictures at this side; None where none such is there."""
        try:
            stored = cls.open(folder)
        except DatasetError:
            return None
        return stored if stored.side == side and stored.covers(records) else None

    def covers(self, records: Iterable[Record]) -> bool:
        """Whether every record's picture is in the cache, and no file is of another size by now.

        A key is a path within some data set; the size gives away another data set's picture of that name.
        """
        return all(record.key in self.positions and not self._is_another(record) for record in records)

    def _is_another(self, record: Record) -> bool:
        known = self.file_sizes.get(record.key)
        return known is not None and record.path.is_file() and record.path.stat().st_size != known

    def __call__(self, record: Record) -> Pixels:
        """Return a picture's pixels, uint8 (H, W, 3), of the side it was cached with."""
        if record.key not in self.positions:
            raise _unusable(self.folder, f"{record.key} is not in it")
        offset, height, width = self.positions[record.key]
        # Opened for each picture: a map costs microseconds and holds no file across a fork.
        flat = np.memmap(self.folder / PIXELS, np.uint8, "r", offset, (height * width * 3,))
        return np.array(flat).reshape(height, width, 3)


def is_replaceable(folder: Path) -> bool:
    """Whether nothing is lost where a cache replaces what lies there: nothing, or another cache."""
    try:
        names = {found.name for found in folder.iterdir()}
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return not names or (INDEX in names and PIXELS in names and len(names) == 2)


class _MadeByAnother(Exception):
    """While this cache was built, another process put the same one there."""


def build(folder: Path, records: Sequence[Record], side: int) -> Iterator[int]:
    """Decode all records' pictures, shrink those whose shorter side is above `side`, write a cache.

    Yields the number done. The cache is there when the iteration has ended, this one or an equal one that
    another process made meanwhile; an unreadable picture ends it with its `PictureError` and leaves no
    cache behind. Replaces a cache of other pictures, which no one may be reading then.
    """
    try:
        with atomic_folder(folder) as temporary:
            yield from _write(temporary, records, side)
            if PixelCache.find(folder, records, side):
                raise _MadeByAnother
    except _MadeByAnother:
        return
    except OutputError:
        # Another's appeared in the very instant in which this one was to be renamed.
        if not PixelCache.find(folder, records, side):
            raise


def _write(folder: Path, records: Sequence[Record], side: int) -> Iterator[int]:
    def decode(record: Record) -> Pixels:
        return shrink(read_pixels(record.path, at_least=side), side)

    positions: dict[str, tuple[int, int, int]] = {}
    file_sizes: dict[str, int] = {}
    offset = 0
    with (folder / PIXELS).open("wb") as out:
        for record, pixels in zip(records, map_ahead(decode, records), strict=True):
            positions[record.key] = (offset, pixels.shape[0], pixels.shape[1])
            file_sizes[record.key] = record.path.stat().st_size
            offset += out.write(pixels.tobytes())
            yield len(positions)
    index = {
        "version": VERSION,
        "side": side,
        "bytes": offset,
        "positions": positions,
        "file_sizes": file_sizes,
    }
    (folder / INDEX).write_text(json.dumps(index), encoding="utf-8")


def shrink(pixels: Pixels, side: int) -> Pixels:
    """Shrink a picture so that its shorter side is at most `side`: uint8 (H, W, 3) -> (h, w, 3)."""
    height, width, _ = pixels.shape
    scale = side / min(height, width)
    if scale >= 1:
        return pixels
    return resize(pixels, max(1, round(height * scale)), max(1, round(width * scale)))


def _unusable(folder: Path, reason: str) -> DatasetError:
    return DatasetError(f"{folder} is not a usable picture cache ({reason}). Delete it to make it again.")
