"""Pictures decoded and shrunk once, for the many epochs of a training run.

A cache is a folder of two files: `pixels.bin`, all pictures' bytes one after the other, and
`index.json`, where each begins. It is read through a memory map, so that worker processes and runs
share one copy in memory. For 100,000 pictures of 256x256 it takes 20 GB of disk.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from affectlens.data.ahead import map_ahead
from affectlens.data.records import Record
from affectlens.errors import DatasetError
from affectlens.files import atomic_folder
from affectlens.images import read_pixels
from affectlens.preprocess import resize

VERSION = 1
PIXELS, INDEX = "pixels.bin", "index.json"


@dataclass(frozen=True)
class PixelCache:
    """Decoded pictures by record key; opened with `PixelCache.open`, made with `build`."""

    folder: Path
    side: int
    places: dict[str, tuple[int, int, int]]  # key -> offset, height, width

    @classmethod
    def open(cls, folder: Path) -> "PixelCache":
        """Read the index. Raises `DatasetError` for a folder that is no cache, or of another version."""
        try:
            index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
            size = (folder / PIXELS).stat().st_size
            version, side, expected = index["version"], int(index["side"]), int(index["bytes"])
            places = {key: (int(o), int(h), int(w)) for key, (o, h, w) in index["places"].items()}
        except OSError as error:
            raise _unusable(folder, error.strerror or str(error)) from None
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise _unusable(folder, f"{INDEX} is damaged, {type(error).__name__}") from None
        if version != VERSION:
            raise _unusable(folder, f"it is of version {version}, not {VERSION}")
        if size != expected:
            raise _unusable(folder, f"{PIXELS} has {size:,} bytes, not {expected:,}")
        if not all(o >= 0 and h > 0 and w > 0 and o + 3 * h * w <= size for o, h, w in places.values()):
            raise _unusable(folder, f"{INDEX} points outside of {PIXELS}")
        return cls(folder, side, places)

    def covers(self, records: Iterable[Record]) -> bool:
        """Whether every record's picture is in the cache."""
        return all(record.key in self.places for record in records)

    def __call__(self, record: Record) -> Tensor:
        """Return a picture's pixels, uint8 (3, H, W), of the side it was cached with."""
        if record.key not in self.places:
            raise _unusable(self.folder, f"{record.key} is not in it")
        offset, height, width = self.places[record.key]
        # Opened for each picture: a map costs microseconds and holds no file across a fork.
        flat = np.memmap(self.folder / PIXELS, np.uint8, "r", offset, (height * width * 3,))
        return torch.from_numpy(np.array(flat)).reshape(3, height, width)


def build(folder: Path, records: Sequence[Record], side: int) -> Iterator[int]:
    """Decode all records' pictures, shrink those whose shorter side is above `side`, write a cache.

    Yields the number done. The cache is there when the iteration has ended; an unreadable picture
    ends it with its `PictureError` and leaves no cache behind.
    """

    def decode(record: Record) -> Tensor:
        return shrink(read_pixels(record.path, at_least=side), side)

    places: dict[str, tuple[int, int, int]] = {}
    offset = 0
    with atomic_folder(folder) as temporary:
        with (temporary / PIXELS).open("wb") as out:
            for record, pixels in zip(records, map_ahead(decode, records), strict=True):
                places[record.key] = (offset, pixels.shape[1], pixels.shape[2])
                offset += out.write(pixels.numpy().tobytes())
                yield len(places)
        index = {"version": VERSION, "side": side, "bytes": offset, "places": places}
        (temporary / INDEX).write_text(json.dumps(index), encoding="utf-8")


def shrink(pixels: Tensor, side: int) -> Tensor:
    """Shrink a picture so that its shorter side is at most `side`: uint8 (3, H, W) -> (3, h, w)."""
    _, height, width = pixels.shape
    scale = side / min(height, width)
    if scale >= 1:
        return pixels
    return resize(pixels, max(1, round(height * scale)), max(1, round(width * scale)))


def _unusable(folder: Path, reason: str) -> DatasetError:
    return DatasetError(f"{folder} is no usable picture cache ({reason}). Delete it to make it again.")
