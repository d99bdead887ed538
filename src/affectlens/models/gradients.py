"""Gradients of two layers, written out: a graph (ONNX) has none of its own.

Letters: B pictures, E emotions, C channels.
"""

import math
from typing import Any

import torch
from torch import Tensor


def through_layer_norm(gradient: Tensor, given: Tensor, norm: Any) -> Tensor:
    """Gradients by what enters a layer norm of those by what leaves it: (B, E, C), (B, C) -> (B, E, C)."""
    offset = given - given.mean(dim=1, keepdim=True)
    deviation = (offset.square().mean(dim=1, keepdim=True) + norm.eps).sqrt()
    normal = (offset / deviation)[:, None]
    scaled = gradient * norm.weight.float()
    inner = scaled - scaled.mean(dim=2, keepdim=True) - normal * (scaled * normal).mean(dim=2, keepdim=True)
    found: Tensor = inner / deviation[:, None]
    return found


def gelu_gradient(given: Tensor) -> Tensor:
    """The derivative of GELU, value by value."""
    density = (-0.5 * given.square()).exp() / math.sqrt(2 * math.pi)
    return 0.5 * (1 + torch.erf(given / math.sqrt(2))) + given * density
