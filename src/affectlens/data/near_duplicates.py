"""Near-duplicates: pictures made from one photograph, that must not stand on two sides of a split.

A copy that was stored anew, scaled, recoloured, mirrored, cut, framed or written on is found from small grey
thumbnails alone, in two steps:

1. Candidates. A thumbnail is described by its lowest frequencies (discrete cosine transform), each weighed by
   the square root of its frequency: half of what would make natural pictures, in which low frequencies
   prevail, equally strong in all. Whole thumbnails are compared with parts of all others, upright and
   mirrored, and upper and lower four fifths with one another, for a caption may cover the rest.
2. Alignment. For each candidate the part is moved and scaled until the two agree best, and they are compared
   in 16 blocks: what counts is in how many of them they agree, so that a caption or a logo does not hide a
   copy, and one light in the middle does not make two pictures one.

Pictures turned by other angles, cut to less than 0.6 of a side, or repainted are not found. Two of one
series, a moment apart, may be taken for one, which is as it should be for a split.

Letters: N pictures, S cells of a thumbnail's side, F frequencies, K parts, C cells of an aligned part's side.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SIDE = 48  # S: cells of a thumbnail's side
DESCRIBED_SIDE = 12  # cells of which frequencies are taken
FREQUENCIES = 64  # F
ALIGNED_SIDE = 24  # C
BLOCKS = 4  # blocks of a side in which an aligned pair is compared
IGNORED_BLOCKS = 4  # the worst of the 16: a caption covers as many

LEAST_SIMILARITY = 0.8  # of descriptions, for a candidate
CANDIDATES = 5  # at most, for each picture and part
LEAST_AGREEMENT = 0.93  # mean correlation of the best 12 blocks of an aligned pair
LEAST_DETAILED_BLOCKS = 5  # blocks with detail that agree: two sunsets are not a copy
LEAST_CENTRAL_BLOCKS = 2  # of the four in the middle: two pictures in one frame are not a copy
# Agreement before a candidate is aligned, and after its first and second round, below which it is given up.
# Of 2,019 pairs that were kept among FI and changed copies of it the lowest were 0.52, 0.75 and 0.87.
PROMISING = (0.5, 0.72, 0.85)
LEAST_SCALE = 0.6  # of a part's side

_DETAIL = 0.1  # standard deviation about a plane within a block, of a thumbnail's, above which it has detail
_FAINT = 0.08  # standard deviation below which a block is compared by its mean
_CENTRE = [5, 6, 9, 10]
_ROWS_AT_ONCE = 512

Floats = NDArray[np.float32]
Thumbnails = NDArray[np.uint8]
Crop = tuple[float, float, float, float]  # top, left, height, width in 0..1
COMPLETE: Crop = (0.0, 0.0, 1.0, 1.0)
_STRIPS: tuple[Crop, ...] = ((0.0, 0.0, 0.8, 1.0), (0.2, 0.0, 0.8, 1.0))


@dataclass(frozen=True)
class Match:
    """Two pictures of which one, seen through `region` and perhaps mirrored, is the other.

    Attributes:
        picture, other: indices of the thumbnails
        agreement: mean correlation of the blocks that agree best, in 0..1
        mirrored: whether one is the other's mirror image
        region: part of `picture` that `other` shows: top, left, height, width in 0..1
    """

    picture: int
    other: int
    agreement: float
    mirrored: bool
    region: Crop


def find(
    thumbnails: Thumbnails,
    earlier: int = 0,
    *,
    parts: bool = True,
    progress: Callable[[float], None] = lambda fraction: None,
) -> list[Match]:
    """Find near-duplicates among thumbnails, uint8 (N, S, S), by rising indices; each pair once.

    Pairs within the first `earlier` thumbnails are left out. Without `parts` no picture is looked for in a
    part of another: copies that were cut by more than a few hundredths are missed. `progress` receives which
    fraction is done, in 0..1. Time grows with the square of N.
    """
    if len(thumbnails) < 2:
        return []
    best: dict[tuple[int, int], Match] = {}
    half = 0.5  # of the time, about, goes into candidates
    candidates = _candidates(thumbnails, earlier, parts, lambda done: progress(half * done))
    for number, ((picture, other), (box, mirrored)) in enumerate(candidates.items()):
        match = _aligned(thumbnails, picture, other, box, mirrored)
        pair = (min(picture, other), max(picture, other))
        if match is not None and (pair not in best or match.agreement > best[pair].agreement):
            best[pair] = match
        progress(half + (1 - half) * (number + 1) / len(candidates))
    progress(1.0)
    return [best[pair] for pair in sorted(best)]


def groups(count: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """Join pairs into groups: for each of `count` pictures the smallest index of its group.

    >>> groups(5, [(1, 3), (3, 4)])
    [0, 1, 2, 1, 1]
    """
    parent = list(range(count))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for one, other in pairs:
        low, high = sorted((root(one), root(other)))
        parent[high] = low
    return [root(index) for index in range(count)]


# -------------------------------------------------------------------------------------------- candidates


def _candidates(
    thumbnails: Thumbnails, earlier: int, parts: bool, progress: Callable[[float], None]
) -> dict[tuple[int, int], tuple[Crop, bool]]:
    """Pairs (picture, other) that are described alike, with the part of `picture` and whether mirrored."""
    best: dict[tuple[int, int], tuple[float, Crop, bool]] = {}
    complete = _described(thumbnails, COMPLETE)
    comparisons: list[tuple[Crop, Floats]] = [(box, complete) for box in (_parts() if parts else (COMPLETE,))]
    comparisons += [(strip, _described(thumbnails, strip)) for strip in _STRIPS]
    for number, (box, library) in enumerate(comparisons):
        progress(number / len(comparisons))
        for mirrored in (False, True):
            seen = _described(thumbnails[:, :, ::-1] if mirrored else thumbnails, box)
            for picture, other, similarity in _alike(seen, library, earlier):
                if similarity > best.get((picture, other), (0.0,))[0]:
                    start = COMPLETE if box in _STRIPS else box
                    best[picture, other] = (similarity, start, mirrored)
    return {pair: (box, mirrored) for pair, (_, box, mirrored) in best.items()}


def _alike(seen: Floats, library: Floats, earlier: int) -> Iterable[tuple[int, int, float]]:
    """For each row of `seen` the rows of `library` that are most similar, itself excepted."""
    for start in range(0, len(seen), _ROWS_AT_ONCE):
        similarity = seen[start : start + _ROWS_AT_ONCE] @ library.T
        rows = np.arange(len(similarity))
        similarity[rows, rows + start] = -1
        similarity[rows[rows + start < earlier], :earlier] = -1
        # Few rows have any: sorting all would take most of the time.
        for row in np.flatnonzero(similarity.max(axis=1) >= LEAST_SIMILARITY):
            others = np.flatnonzero(similarity[row] >= LEAST_SIMILARITY)
            nearest = others[np.argsort(-similarity[row, others], kind="stable")[:CANDIDATES]]
            for other in nearest:
                yield int(row) + start, int(other), float(similarity[row, other])


@lru_cache(maxsize=1)
def _parts() -> tuple[Crop, ...]:
    """Parts of a picture of which another may be a copy: 4 scales, the small ones at 25 positions."""
    boxes = [COMPLETE]
    for scale in (0.92, 0.84, 0.76, 0.68):
        steps = (0.0, 0.5, 1.0) if scale > 0.8 else (0.0, 0.25, 0.5, 0.75, 1.0)
        free = 1 - scale
        boxes += [(down * free, right * free, scale, scale) for down in steps for right in steps]
    return tuple(boxes)


def _described(thumbnails: Thumbnails, box: Crop) -> Floats:
    """Describe parts of thumbnails: (N, S, S) -> (N, F), rows of length 1; 0 for parts without contrast."""
    top, left, height, width = box
    down, across = _averages(top, height, DESCRIBED_SIDE), _averages(left, width, DESCRIBED_SIDE)
    weights_of_cells: Floats = np.kron(down, across).T.astype(np.float32) @ _frequencies()
    # One product from thumbnails to frequencies: it takes a tenth of the time of going through the cells.
    weights: Floats = thumbnails.reshape(len(thumbnails), -1).astype(np.float32) @ weights_of_cells
    described: Floats = weights / np.maximum(np.linalg.norm(weights, axis=1, keepdims=True), 1.0)
    return described


@lru_cache(maxsize=1)
def _frequencies() -> Floats:
    """The lowest frequencies but the mean, (cells, F), each weighed by the square root of its frequency."""
    side = np.arange(DESCRIBED_SIDE)
    cosines = np.cos(np.pi * np.outer(side, side + 0.5) / DESCRIBED_SIDE)
    cosines /= np.linalg.norm(cosines, axis=1, keepdims=True)
    height = np.hypot(side[:, None], side[None])
    order = np.argsort(height, axis=None, kind="stable")[1 : FREQUENCIES + 1]
    rows, columns = np.unravel_index(order, height.shape)
    basis = np.einsum("fy,fx->yxf", cosines[rows], cosines[columns]).reshape(-1, FREQUENCIES)
    weighed: Floats = (basis * np.sqrt(height[rows, columns])).astype(np.float32)
    return weighed


@lru_cache(maxsize=4096)
def _averages(begin: float, length: float, side: int) -> Floats:
    """Weights (side, S) by which cells of a thumbnail make equal parts of [begin, begin + length)."""
    edges = (begin + length * np.arange(side + 1) / side) * SIDE
    low = np.maximum(edges[:-1, None], np.arange(SIDE))
    high = np.minimum(edges[1:, None], np.arange(1, SIDE + 1))
    overlap = np.clip(high - low, 0, None)
    weights: Floats = (overlap / overlap.sum(axis=1, keepdims=True)).astype(np.float32)
    return weights


# --------------------------------------------------------------------------------------------- alignment


def _aligned(thumbnails: Thumbnails, picture: int, other: int, box: Crop, mirrored: bool) -> Match | None:
    """Move and scale a part until it agrees best with the other picture; None where it is not a copy."""
    upright = thumbnails[picture].astype(np.float32)
    seen = upright[:, ::-1] if mirrored else upright
    wanted = _blocks(_parts_of(thumbnails[other].astype(np.float32), [COMPLETE]))

    def agreements(parts: Sequence[Crop]) -> Floats:
        return _agreement(_blocks(_parts_of(seen, parts)), wanted)

    value, step, needed = float(agreements([box])[0]), 0.06, list(PROMISING)
    if value < needed.pop(0):
        return None
    while step > 0.008:
        parts = _nearby(box, step)
        found = agreements(parts)
        best = int(found.argmax())
        if found[best] > value + 1e-4:
            value, box = float(found[best]), parts[best]
            continue
        step /= 2
        if needed and value < needed.pop(0):
            return None
    if value < LEAST_AGREEMENT or not _agree_in_detail(_blocks(_parts_of(seen, [box])), wanted):
        return None
    top, left, height, width = box
    left = 1 - left - width if mirrored else left
    return Match(picture, other, value, mirrored, (top, left, height, width))


def _parts_of(thumbnail: Floats, parts: Sequence[Crop]) -> Floats:
    """Average K parts of a thumbnail over equal cells, each brought to mean 0 and standard deviation 1.

    (S, S) -> (K, C, C). What has hardly any contrast stays near 0.
    """
    down = np.stack([_averages(top, height, ALIGNED_SIDE) for top, _, height, _ in parts])
    across = np.stack([_averages(left, width, ALIGNED_SIDE) for _, left, _, width in parts])
    cells = down @ thumbnail @ across.swapaxes(1, 2)
    cells -= cells.mean(axis=(1, 2), keepdims=True)
    standardised: Floats = cells / np.maximum(cells.std(axis=(1, 2), keepdims=True), 1.0)
    return standardised


def _nearby(box: Crop, step: float) -> list[Crop]:
    """Parts a little moved, scaled or stretched, inside the picture."""
    found = []
    for moved in (
        (step, 0, 0, 0), (-step, 0, 0, 0), (0, step, 0, 0), (0, -step, 0, 0),
        (0, 0, step, step), (0, 0, -step, -step), (-step / 2, -step / 2, step, step),
        (step / 2, step / 2, -step, -step), (0, 0, step, 0), (0, 0, 0, step),
        (0, 0, -step, 0), (0, 0, 0, -step),
    ):  # fmt: skip
        top, left, height, width = (a + b for a, b in zip(box, moved, strict=True))
        top, left = max(0.0, top), max(0.0, left)
        height, width = min(height, 1 - top), min(width, 1 - left)
        if height >= LEAST_SCALE and width >= LEAST_SCALE:
            found.append((round(top, 6), round(left, 6), round(height, 6), round(width, 6)))
    return found


def _agreement(ours: Floats, wanted: Floats) -> Floats:
    """Mean correlation of the blocks that agree best, (K, blocks, cells) with (1, blocks, cells) -> (K,).

    Blocks that are faint are compared by their means.
    """
    means = ours.mean(axis=2, keepdims=True), wanted.mean(axis=2, keepdims=True)
    correlation, contrast = _correlation(ours - means[0], wanted - means[1])
    offset = np.abs(means[0] - means[1])[:, :, 0]
    value = np.where(contrast > _FAINT, correlation, 1 - 2 * offset)
    agreement: Floats = np.sort(value, axis=1)[:, IGNORED_BLOCKS:].mean(axis=1)
    return agreement


def _agree_in_detail(ours: Floats, wanted: Floats) -> bool:
    """Whether enough blocks of a part, and enough in the middle, agree in more than a ramp of brightness."""
    correlation, contrast = _correlation(ours @ _off_planes(), wanted @ _off_planes())
    agreeing = ((contrast > _DETAIL) & (correlation > 0.8))[0]
    return bool(agreeing.sum() >= LEAST_DETAILED_BLOCKS and agreeing[_CENTRE].sum() >= LEAST_CENTRAL_BLOCKS)


def _correlation(ours: Floats, wanted: Floats) -> tuple[Floats, Floats]:
    """Correlation of each block and the lower of both contrasts, (K, blocks) each; blocks of mean 0."""
    lengths = np.linalg.norm(ours, axis=2), np.linalg.norm(wanted, axis=2)
    correlation: Floats = (ours * wanted).sum(axis=2) / np.maximum(lengths[0] * lengths[1], 1e-6)
    return correlation, np.minimum(*lengths) / np.sqrt(np.float32(ours.shape[2]))


@lru_cache(maxsize=1)
def _off_planes() -> Floats:
    """The projection that takes from a block, as a row, the plane that fits it best."""
    side = ALIGNED_SIDE // BLOCKS
    down, across = np.mgrid[0:side, 0:side].reshape(2, -1)
    planes, _ = np.linalg.qr(np.stack([np.ones(side * side), down, across], axis=1))
    projection: Floats = (np.eye(side * side) - planes @ planes.T).astype(np.float32)
    return projection


def _blocks(cells: Floats) -> Floats:
    """Divide parts into blocks: (K, C, C) -> (K, blocks, cells of a block)."""
    side = ALIGNED_SIDE // BLOCKS
    blocks: Floats = (
        cells.reshape(-1, BLOCKS, side, BLOCKS, side).swapaxes(2, 3).reshape(len(cells), BLOCKS**2, side**2)
    )
    return blocks
