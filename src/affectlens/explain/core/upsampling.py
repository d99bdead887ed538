"""Cells of a map -> pixels of the picture, smoothly and without loss.

Letters: B pictures, H x W pixels, h x w cells of a map.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def upsample(cells: Tensor, height: int, width: int) -> Tensor:
    """Divide each cell's value among the pixels around it: (h, w) -> (height, width), of the same sum.

    Linear between the centres of cells, so that no borders of cells show. The sum is kept for each cell,
    which plain resizing does only where the side of a cell is an integer number of pixels.
    """
    rows, columns = _weights(cells.shape[0], height, cells), _weights(cells.shape[1], width, cells)
    return rows.T @ cells @ columns


def merge_views(cells: Tensor, count: int) -> Tensor:
    """Add the maps of a picture and of its mirror image: (2 count, h, w) -> (count, h, w).

    A network with `mirror` runs both in one batch. Maps of the picture alone, (count, h, w), stay the same.
    """
    return cells if len(cells) == count else cells[:count] + cells[count:].flip(2)


def _weights(cells: int, pixels: int, like: Tensor) -> Tensor:
    """(cells, pixels): which share of a cell goes to each pixel of its line; rows sum to 1."""
    one_each = torch.eye(cells, dtype=like.dtype, device=like.device)
    lines = F.interpolate(one_each[None], size=pixels, mode="linear", align_corners=False)[0]
    total = lines.sum(dim=1, keepdim=True)
    # Of more cells than pixels some touch no pixel's centre.
    centre = ((torch.arange(cells, device=like.device) + 0.5) * pixels / cells).long()
    nearest = F.one_hot(centre, pixels).to(like.dtype)
    return torch.where(total > 0, lines / total.clamp_min(1e-12), nearest)
