"""Open every picture of a data set and report what is wrong with it, before a week of training does.

Checked are:
    unreadable pictures
    exact duplicates        files of the same bytes, within a split, across splits, with other labels
    near-duplicates         across splits: the same picture stored or scaled anew
    sizes, counts, balance

Near-duplicates are found by a difference hash: the picture is shrunk to 9 x 8 grey cells, and each of 64
bits is set where a cell is brighter than its left neighbour. Two pictures are near-duplicates when at most
2 bits differ and their cells correlate by 0.9 or more. The bits alone take scenes of one build for the same,
as any two with a light in the middle: on FI they named 19 pictures of one split and hardly a copy; with the
correlation 4 were left, of which 2 are copies.

Copies that were compressed, resized or changed in colour are found; cut, mirrored or turned ones are not. As
two plain scenes can still be taken for one, findings are to be looked at, and never removed unseen. Pictures
almost without contrast are left out: their bits are noise.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from affectlens.data.prefetch import map_ahead
from affectlens.data.records import DataSource, Record
from affectlens.errors import PictureError, PictureNotFound
from affectlens.images import read_pixels
from affectlens.preprocess import resize

NEAR_BITS = 2
LEAST_CORRELATION = 0.9
LEAST_CONTRAST = 8  # levels between the darkest and the brightest cell, below which bits are noise
_ROWS_AT_ONCE = 64  # of the table of all pairs: bounds memory
_SHOWN = 5  # findings of one kind that `lines` writes out


@dataclass(frozen=True)
class PictureLocation:
    """Where a picture is in a data set: its key and its split, with its top emotion."""

    key: str
    split: str
    emotion: str


@dataclass(frozen=True)
class UnreadablePicture:
    """A picture that cannot be used, and why."""

    key: str
    split: str
    error: str


@dataclass(frozen=True)
class Duplicates:
    """Records whose files have the same bytes.

    Attributes:
        across_splits: whether they are in more than one split, so that one tests what another trained
        conflicting: whether their labels differ
    """

    pictures: tuple[PictureLocation, ...]
    across_splits: bool
    conflicting: bool


@dataclass(frozen=True)
class NearDuplicate:
    """A picture and the nearest one of an earlier split, `distance` bits apart."""

    picture: PictureLocation
    like: PictureLocation
    distance: int


@dataclass(frozen=True)
class Size:
    """Height and width of a picture, upright."""

    key: str
    height: int
    width: int


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What was found in a data set, as plain data.

    Attributes:
        counts: pictures by split and top emotion, the unreadable ones included
        imbalance: pictures of the most frequent emotion for each of the rarest that has any
        absent: emotions of the vocabulary without a picture
        smallest, largest: by number of pixels; None where no picture could be read
        notes: what the reader of the data set left out
    """

    data: str
    vocabulary: str
    pictures: int
    counts: dict[str, dict[str, int]]
    imbalance: float
    absent: tuple[str, ...]
    unreadable: tuple[UnreadablePicture, ...]
    duplicates: tuple[Duplicates, ...]
    near_duplicates: tuple[NearDuplicate, ...]
    smallest: Size | None
    largest: Size | None
    notes: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """Whether every picture can be read and none is, to the byte, in two splits."""
        return not self.unreadable and not any(group.across_splits for group in self.duplicates)

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `json.dump`."""
        return {"sound": self.sound, **asdict(self)}

    def lines(self) -> list[str]:
        """Write what was found in sentences for people."""
        return [
            *self._lines_on_counts(),
            *self._lines_on_unreadable(),
            *self._lines_on_duplicates(),
            *self._lines_on_near_duplicates(),
            *(f"Note: {note}." for note in self.notes),
        ]

    def _lines_on_counts(self) -> Iterator[str]:
        splits = ", ".join(f"{split} {sum(counts.values()):,}" for split, counts in self.counts.items())
        yield f"{_count(self.pictures, 'picture')} labelled with {self.vocabulary}: {splits}."
        for split, counts in self.counts.items():
            yield f"{split}: {', '.join(f'{word} {number:,}' for word, number in counts.items())}."
        yield f"The most frequent emotion has {self.imbalance:.1f} times the pictures of the rarest."
        if self.absent:
            yield f"Without a picture: {', '.join(self.absent)}."
        if self.smallest and self.largest:
            small, large = self.smallest, self.largest
            yield (
                f"The smallest picture has {small.width} x {small.height} pixels ({small.key}), "
                f"the largest {large.width} x {large.height} ({large.key})."
            )

    def _lines_on_unreadable(self) -> Iterator[str]:
        if not self.unreadable:
            yield "Every picture can be read."
            return
        yield f"{_count(len(self.unreadable), 'picture')} cannot be read:"
        yield from _shown([f"{bad.split}: {bad.error}" for bad in self.unreadable])

    def _lines_on_duplicates(self) -> Iterator[str]:
        if not self.duplicates:
            yield "No two files have the same bytes."
            return
        across = sum(group.across_splits for group in self.duplicates)
        conflicting = sum(group.conflicting for group in self.duplicates)
        yield (
            f"{_count(len(self.duplicates), 'group')} of files with the same bytes; "
            f"{across:,} across splits, {conflicting:,} with different labels:"
        )
        worst_first = sorted(
            self.duplicates, key=lambda group: (not group.across_splits, not group.conflicting)
        )
        yield from _shown([" = ".join(map(_named, group.pictures[:4])) for group in worst_first])

    def _lines_on_near_duplicates(self) -> Iterator[str]:
        if len(self.counts) < 2:
            return
        if not self.near_duplicates:
            yield "No picture looks like one of another split."
            return
        number = len(self.near_duplicates)
        yield f"{_count(number, 'picture')} may show what one of another split shows; look at them:"
        nearest_first = sorted(self.near_duplicates, key=lambda pair: pair.distance)
        yield from _shown([f"{_named(pair.picture)} ~ {_named(pair.like)}" for pair in nearest_first])


def audit(source: DataSource, progress: Callable[[int], None] = lambda done: None) -> Audit:
    """Open all pictures of a data set. `progress` is called with how many more were opened.

    Takes milliseconds a picture and core, and about a kilobyte of memory a picture.
    """
    listed = [(record, split) for split, part in source.splits.items() for record in part]
    fingerprints = []
    for fingerprint in map_ahead(_fingerprint, [record for record, _ in listed]):
        fingerprints.append(fingerprint)
        progress(1)
    counts = source.counts()
    totals = {word: sum(part[word] for part in counts.values()) for word in source.vocabulary.words}
    present = [number for number in totals.values() if number]
    sizes = [
        Size(record.key, fingerprint.height, fingerprint.width)
        for (record, _), fingerprint in zip(listed, fingerprints, strict=True)
        if isinstance(fingerprint, _Fingerprint)
    ]
    return Audit(
        data=source.name,
        vocabulary=source.vocabulary.name,
        pictures=len(listed),
        counts=counts,
        imbalance=max(present) / min(present) if present else 1.0,
        absent=tuple(word for word, number in totals.items() if not number),
        unreadable=tuple(
            UnreadablePicture(record.key, split, fingerprint)
            for (record, split), fingerprint in zip(listed, fingerprints, strict=True)
            if isinstance(fingerprint, str)
        ),
        duplicates=tuple(_duplicates(listed, fingerprints)),
        near_duplicates=tuple(_near_duplicates(listed, fingerprints)),
        smallest=min(sizes, key=_area, default=None),
        largest=max(sizes, key=_area, default=None),
        notes=source.notes,
    )


def grey_cells(pixels: Tensor) -> NDArray[np.uint16]:
    """Shrink a picture, uint8 (3, H, W), to the sums of red, green and blue of (8, 9) cells."""
    cells: NDArray[np.uint16] = resize(pixels, 8, 9).numpy().sum(axis=0, dtype=np.uint16)
    return cells


def difference_hash(cells: NDArray[np.uint16]) -> int | None:
    """64 bits of (8, 9) cells: is a cell brighter than its left neighbour, row by row?

    None for a picture without contrast.

    >>> f"{difference_hash(np.full((8, 9), 20, np.uint16).cumsum(axis=1)):x}"
    'ffffffffffffffff'
    """
    if np.ptp(cells) < 3 * LEAST_CONTRAST:
        return None
    return int.from_bytes(np.packbits(cells[:, 1:] > cells[:, :-1]).tobytes(), "big")


@dataclass(frozen=True, slots=True)
class _Fingerprint:
    """What is kept of a picture that was read."""

    content: bytes  # hash of the file
    cells: bytes
    bits: int | None
    height: int
    width: int


_Fingerprints = Sequence[_Fingerprint | str]  # an error's text for a picture that cannot be read
_Listed = Sequence[tuple[Record, str]]


def _fingerprint(record: Record) -> _Fingerprint | str:
    try:
        data = _bytes_of(record.path)
        pixels = read_pixels(data)
    except PictureError as error:
        return f"{record.key}: {error.reason}"
    cells = grey_cells(pixels)
    content = hashlib.sha256(data).digest()[:16]
    return _Fingerprint(content, cells.tobytes(), difference_hash(cells), pixels.shape[1], pixels.shape[2])


def _bytes_of(path: Path) -> bytes:
    """Read a file once, for its hash and its pixels; what cannot be read is left to `read_pixels` to name."""
    data = b""
    with suppress(OSError):
        data = path.read_bytes() if path.is_file() else b""
    if data:
        return data
    read_pixels(path)
    raise PictureNotFound(path, "it could not be read a moment ago. Run the check again.")


def _duplicates(listed: _Listed, fingerprints: _Fingerprints) -> Iterator[Duplicates]:
    by_content: dict[bytes, list[tuple[Record, str]]] = defaultdict(list)
    for one, fingerprint in zip(listed, fingerprints, strict=True):
        if isinstance(fingerprint, _Fingerprint):
            by_content[fingerprint.content].append(one)
    for same in by_content.values():
        if len(same) > 1:
            yield Duplicates(
                tuple(_location(record, split) for record, split in same),
                across_splits=len({split for _, split in same}) > 1,
                conflicting=len({record.target for record, _ in same}) > 1,
            )


def _near_duplicates(listed: _Listed, fingerprints: _Fingerprints) -> Iterator[NearDuplicate]:
    """For each picture the nearest one of a split before its own, exact duplicates aside."""
    by_split: dict[str, list[int]] = defaultdict(list)
    for index, ((_, split), fingerprint) in enumerate(zip(listed, fingerprints, strict=True)):
        if isinstance(fingerprint, _Fingerprint) and fingerprint.bits is not None:
            by_split[split].append(index)
    before: list[int] = []
    for indices in by_split.values():
        for index, other, distance in _pairs(indices, before, fingerprints):
            yield NearDuplicate(_location(*listed[index]), _location(*listed[other]), distance)
        before += indices


def _pairs(
    indices: list[int], others: list[int], fingerprints: _Fingerprints
) -> Iterator[tuple[int, int, int]]:
    """For each of `indices` that looks like some of `others` the nearest of them, and the bits between."""
    if not indices or not others:
        return
    ours, theirs = _Columns.of(indices, fingerprints), _Columns.of(others, fingerprints)
    for start in range(0, len(indices), _ROWS_AT_ONCE):
        chunk = slice(start, start + _ROWS_AT_ONCE)
        distances = _capped_distances(ours.bits[chunk, None] ^ theirs.bits[None])
        distances[ours.files[chunk, None] == theirs.files[None]] = NEAR_BITS + 1
        rows, columns = np.nonzero(distances <= NEAR_BITS)
        correlations = (ours.shapes[rows + start] * theirs.shapes[columns]).sum(axis=1)
        found: dict[int, tuple[int, int]] = {}
        for index in np.flatnonzero(correlations >= LEAST_CORRELATION):
            row, column = int(rows[index]), int(columns[index])
            nearer = (int(distances[row, column]), column)
            found[row] = min(nearer, found.get(row, nearer))
        for row, (distance, column) in found.items():
            yield indices[start + row], others[column], distance


@dataclass(frozen=True)
class _Columns:
    """What is compared of N pictures: bits (N,), files' hashes (N,), cells of mean 0 and length 1 (N, 72)."""

    bits: NDArray[np.uint64]
    files: NDArray[np.uint64]
    shapes: NDArray[np.float32]

    @classmethod
    def of(cls, indices: list[int], fingerprints: _Fingerprints) -> "_Columns":
        chosen = [each for each in (fingerprints[i] for i in indices) if isinstance(each, _Fingerprint)]
        cells = np.stack([np.frombuffer(each.cells, np.uint16) for each in chosen]).astype(np.float32)
        cells -= cells.mean(axis=1, keepdims=True)
        return cls(
            np.array([each.bits or 0 for each in chosen], np.uint64),
            np.array([int.from_bytes(each.content[:8], "big") for each in chosen], np.uint64),
            cells / np.linalg.norm(cells, axis=1, keepdims=True),
        )


def _capped_distances(differing: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """How many bits are set, at most `NEAR_BITS` + 1: each round clears the lowest one."""
    count = np.zeros(differing.shape, np.uint8)
    for _ in range(NEAR_BITS + 1):
        count += differing != 0
        differing = differing & (differing - np.uint64(1))
    return count


def _location(record: Record, split: str) -> PictureLocation:
    return PictureLocation(record.key, split, record.target.top)


def _area(size: Size) -> int:
    return size.height * size.width


def _named(picture: PictureLocation) -> str:
    return f"{picture.key} ({picture.split}, {picture.emotion})"


def _shown(findings: list[str]) -> Iterator[str]:
    """The first findings, indented, and how many more there are."""
    yield from (f"  {finding}" for finding in findings[:_SHOWN])
    if len(findings) > _SHOWN:
        yield f"  and {len(findings) - _SHOWN:,} more"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")
