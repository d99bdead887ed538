"""Grad-CAM: the last map of a network, its channels weighted by what they add to the answer.

Paper: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization",
    ICCV 2017, eq. 1 and 2: a cell gets sum_c w_c M_c, w_c the gradient of the answer by channel c, averaged
    over the cells. Departs from it: what speaks against the answer is kept, unless `positive`.
Without `pooled` each cell has its own gradient: Draelos and Carin, "Use HiResCAM instead of Grad-CAM for
    faithful explanations of convolutional neural networks", 2020. Where the map is averaged and read by a
    linear layer, the two are the same.

The last map of a transformer that answers from its class token is what its last attention reads: after that
no patch matters. Of a network that contains several networks, as `pair`, each has a map. All are in units of
the one log-odds that the question is about, so they are added; `details` has the sum of each.

captum's `LayerGradCam` takes one layer of convolutional maps; tests compare with it.

Letters: B pictures, C channels, h x w pixels of the network's input.
"""

import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from affectlens.explain.core.attribution import Attribution
from affectlens.explain.core.differentiable import DifferentiableModel, to_map
from affectlens.explain.core.question import AnyQuestion
from affectlens.explain.core.upsampling import upsample_all
from affectlens.models import backbones
from affectlens.models.maps import as_cells, captured, frozen, last_map, merge_views, trunks
from affectlens.preprocess import Images


@dataclass(frozen=True, kw_only=True)
class GradCam:
    """What cells of the last maps add to the answer, to first order, in log-odds.

    Attributes:
        pooled: average the gradient of a channel over all cells
        positive: leave out what speaks against the answer
    """

    pooled: bool = True
    positive: bool = False

    def __call__(self, model: DifferentiableModel, image: Images, question: AnyQuestion) -> Attribution:
        """Explain one picture, (1, 3, h, w). Raises `SettingsError` for a network that makes no maps."""
        started = time.perf_counter()
        height, width = image.shape[2:]
        picture = model.tensor(image)
        with frozen(model.network):
            layers = [last_map(model.network, path, height, width) for path in trunks(model.network)]
            with captured(model.network, layers) as maps, torch.enable_grad():
                score = model.score(picture, question).sum()
                gradients = torch.autograd.grad(score, [maps[layer] for layer in layers])
        cells = [
            self._cells(as_cells(maps[layer], picture), as_cells(gradient, picture), len(image))
            for layer, gradient in zip(layers, gradients, strict=True)
        ]
        details = {
            "layers": [layer.path for layer in layers],
            "cells": [list(each.shape) for each in cells],
            "sums": [float(each.sum()) for each in cells],
            "seconds": time.perf_counter() - started,
        }
        values = upsample_all(map(to_map, cells), height, width)
        return Attribution(values, details=details)

    def _cells(self, maps: Tensor, gradients: Tensor, count: int) -> Tensor:
        """(B, C, rows, columns) -> (rows, columns)."""
        weights = gradients.mean(dim=(2, 3), keepdim=True) if self.pooled else gradients
        cells = merge_views((weights * maps).sum(dim=1), count)[0]
        return cells.clamp_min(0) if self.positive else cells


def makes_maps(network: nn.Module) -> bool:
    """Whether a network has maps that can be weighted: it is timm's, contains one that is, or convolves."""
    return bool(backbones.trunks(network)) or any(isinstance(m, nn.Conv2d) for m in network.modules())
