"""Cells of a map -> pixels of the picture, smoothly and without loss; and pixels -> fewer pixels.

Letters: h x w cells of a map.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from affectlens.explain.core.attribution import Map
from affectlens.metrics import Doubles


def upsample(cells: NDArray[np.floating], height: int, width: int) -> Map:
    """Divide each cell's value among the pixels around it: (h, w) -> (height, width), of the same sum.

    Linear between the centres of cells, so that no borders of cells show. The sum is kept for each cell,
    which plain resizing does only where the side of a cell is an integer number of pixels.
    """
    rows, columns = _divided_lines(cells.shape[0], height), _divided_lines(cells.shape[1], width)
    return np.asarray(rows.T @ cells.astype(np.float64) @ columns, dtype=np.float32)


def upsample_all(maps: Iterable[NDArray[np.floating]], height: int, width: int) -> Map:
    """Add up maps of any numbers of cells: (h, w) each -> (height, width)."""
    total = np.zeros((height, width), np.float32)
    for cells in maps:
        total += upsample(cells, height, width)
    return total


def interpolation(cells: int, pixels: int) -> Doubles:
    """Weight of each cell of a line in each of its pixels, linear between centres: (cells, pixels).

    Columns sum to 1: beyond the centres of the first and the last cell, their values stay.
    """
    centres = np.clip((np.arange(pixels) + 0.5) * cells / pixels - 0.5, 0, cells - 1)
    weights: Doubles = np.maximum(0.0, 1 - np.abs(centres[None] - np.arange(cells)[:, None]))
    return weights


def shrunk(images: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Shrink images, each pixel a mean over those that it covers: (..., h, w) -> (..., height, width)."""
    rows, columns = (
        _means(before, after) for before, after in zip(images.shape[-2:], (height, width), strict=True)
    )
    return np.asarray(rows @ images @ columns.T, dtype=np.float32)


def _divided_lines(cells: int, pixels: int) -> Doubles:
    """(cells, pixels): which share of a cell goes to each pixel of its line; rows sum to 1."""
    lines = interpolation(cells, pixels)
    total = lines.sum(axis=1, keepdims=True)
    # Of more cells than pixels some touch no pixel's centre.
    nearest = np.zeros_like(lines)
    nearest[np.arange(cells), ((np.arange(cells) + 0.5) * pixels / cells).astype(int)] = 1
    return np.where(total > 0, lines / np.maximum(total, 1e-12), nearest)


def _means(before: int, after: int) -> NDArray[np.float32]:
    """(after, before): weights of a line's pixels in each pixel of a shorter line; rows sum to 1."""
    step = before / after
    distance = np.abs((np.arange(after)[:, None] + 0.5) * step - (np.arange(before) + 0.5))
    weights = np.maximum(0, 1 - distance / max(1.0, step))  # linear between centres, as far as a step
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)
