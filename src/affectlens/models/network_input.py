"""Pixels -> images as networks take them: what `preprocess` does after fitting, for tensors on any device.

Letters: B pictures, h x w pixels of the network's input.
"""

import numpy as np
import torch
from torch import Tensor

from affectlens.images import Pixels
from affectlens.preprocess import Preprocessing


def to_tensor(pixels: Pixels) -> Tensor:
    """Turn pixels into a tensor that shares their memory: uint8, (..., H, W, 3) -> (..., 3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).movedim(-1, -3)


def normalise(batch: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Bring fitted pixels to the range that the network was trained on, on the batch's device.

    uint8, (B, 3, h, w) -> float32, (B, 3, h, w): what `Preprocessing.normalise` computes.
    """
    mean, std = (
        torch.tensor(values, dtype=torch.float32, device=batch.device).view(3, 1, 1)
        for values in (preprocessing.mean, preprocessing.std)
    )
    return (batch.to(torch.float32) / 255).sub_(mean).div_(std)
