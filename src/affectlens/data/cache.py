"""Pictures decoded and shrunk once, for the many epochs of a training run.

A cache is a folder of two files: `pixels.bin`, all pictures' bytes one after the other, and
`index.json`, where each begins. It is read through a memory map, so that worker processes and runs
share one copy in memory. For 100,000 pictures of 256x256 it takes 20 GB of disk.
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from affectlens.data.records import Record
from affectlens.errors import DatasetError
from affectlens.files import atomic_folder
from affectlens.images import read_pixels

VERSION = 1
CHUNK = 256  # pictures decoded ahead: bounds memory, keeps every core busy


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
            index = json.loads((folder / "index.json").read_text())
            places = {key: (int(o), int(h), int(w)) for key, (o, h, w) in index["places"].items()}
            if index["version"] != VERSION or (folder / "pixels.bin").stat().st_size != index["bytes"]:
                raise ValueError("it was made by another version, or is truncated")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DatasetError(
                f"{folder} is no usable picture cache ({error}). Delete it to make it again."
            ) from None
        return cls(folder, int(index["side"]), places)

    def covers(self, records: Iterable[Record]) -> bool:
        """Whether every record's picture is in the cache."""
        return all(record.key in self.places for record in records)

    def __call__(self, record: Record) -> Tensor:
        """Return a picture's pixels, uint8 (3, H, W), of the side it was cached with."""
        offset, height, width = self.places[record.key]
        count = height * width * 3
        # Opened for each picture: a map costs microseconds and holds no file across a fork.
        flat = np.memmap(self.folder / "pixels.bin", np.uint8, "r", offset, (count,))
        return torch.from_numpy(np.array(flat)).reshape(3, height, width)


def build(folder: Path, records: Sequence[Record], side: int) -> Iterator[int]:
    """Decode all records' pictures, shrink those whose shorter side is above `side`, write a cache.

    Yields the number done. The cache is there when the iteration has ended; an unreadable picture
    ends it with its `PictureError` and leaves no cache behind.
    """
    places: dict[str, tuple[int, int, int]] = {}
    offset = 0
    with atomic_folder(folder) as temporary, (temporary / "pixels.bin").open("wb") as out:
        for record, pixels in _decoded(records, side):
            places[record.key] = (offset, pixels.shape[1], pixels.shape[2])
            offset += out.write(pixels.numpy().tobytes())
            yield len(places)
        out.flush()
        os.fsync(out.fileno())
        index = {"version": VERSION, "side": side, "bytes": offset, "places": places}
        (temporary / "index.json").write_text(json.dumps(index))


def _decoded(records: Sequence[Record], side: int) -> Iterator[tuple[Record, Tensor]]:
    def decode(record: Record) -> Tensor:
        return shrink(read_pixels(record.path, at_least=side), side)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(records), CHUNK):
            chunk = records[start : start + CHUNK]
            yield from zip(chunk, pool.map(decode, chunk), strict=True)


def shrink(pixels: Tensor, side: int) -> Tensor:
    """Shrink a picture so that its shorter side is at most `side`: uint8 (3, H, W) -> (3, h, w)."""
    _, height, width = pixels.shape
    scale = side / min(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    return F.interpolate(pixels[None], size=size, mode="bilinear", align_corners=False, antialias=True)[0]
