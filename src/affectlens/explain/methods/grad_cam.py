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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from affectlens.errors import SettingsError
from affectlens.explain.core.activations import as_maps, frozen, merge_views
from affectlens.explain.core.attribution import Attribution
from affectlens.explain.core.differentiable import DifferentiableModel, to_map
from affectlens.explain.core.question import Question
from affectlens.explain.core.upsampling import upsample_all
from affectlens.explain.methods.attention import reads_token
from affectlens.models import backbones
from affectlens.models.backbones import attention_modules
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

    def __call__(self, model: DifferentiableModel, image: Images, question: Question) -> Attribution:
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


@dataclass(frozen=True)
class MapLayer:
    """The layer whose output, or input, is a map.

    Attributes:
        path: of the module
        is_input: whether its input is the map, and not its output
    """

    path: str
    is_input: bool = False


def makes_maps(network: nn.Module) -> bool:
    """Whether a network has maps that can be weighted: it is timm's, contains one that is, or convolves."""
    return bool(backbones.trunks(network)) or any(isinstance(m, nn.Conv2d) for m in network.modules())


def trunks(network: nn.Module) -> list[str]:
    """Paths of the networks within a network that read the picture; "" for itself."""
    return [trunk.path for trunk in backbones.trunks(network)] or [""]


def last_map(network: nn.Module, path: str, height: int, width: int) -> MapLayer:
    """Find the last map of the network at a path within a network, for pictures of `height` x `width` pixels.

    The outer network is run once, on a grey picture. Raises `SettingsError` where there is no map.
    """
    trunk = network.get_submodule(path)
    names = {module: f"{path}.{name}".strip(".") for name, module in trunk.named_modules()}
    if reads_token(trunk):
        return MapLayer(names[attention_modules(trunk)[-1]], is_input=True)
    found: list[str] = []

    def note(name: str, values: Any) -> None:
        # Windows of attention come as a larger batch; a network with `mirror` reads two views.
        is_complete = isinstance(values, Tensor) and values.shape[0] <= 2
        if is_complete and as_maps(values, height, width) is not None:
            found.append(name)

    hooks = [
        module.register_forward_hook(lambda _module, _inputs, values, name=name: note(name, values))
        for module, name in names.items()
    ]
    like = next(network.parameters(), torch.empty(0))
    try:
        with torch.no_grad():
            network(torch.zeros(1, 3, height, width, dtype=like.dtype, device=like.device))
    finally:
        for hook in hooks:
            hook.remove()
    if not found:
        raise SettingsError("This network makes no map of the picture, so none can be weighted.")
    return MapLayer(found[-1])


@contextmanager
def captured(
    network: nn.Module, layers: Sequence[MapLayer], instead: Mapping[MapLayer, Tensor] | None = None
) -> Iterator[dict[MapLayer, Tensor]]:
    """Capture the maps of some layers as a network runs, as leaves that gradients can be taken by.

    They are detached from the layers below. With `instead`, they are replaced by these. The hooks are gone
    afterwards.
    """
    maps: dict[MapLayer, Tensor] = {}

    def capture(layer: MapLayer, values: Tensor) -> Tensor:
        maps[layer] = (instead[layer] if instead else values).detach()
        if torch.is_grad_enabled():
            maps[layer].requires_grad_()
        return maps[layer]

    hooks = []
    try:
        for layer in layers:
            module = network.get_submodule(layer.path)
            if layer.is_input:
                hooks.append(module.register_forward_pre_hook(
                    lambda _module, inputs, layer=layer: (capture(layer, inputs[0]), *inputs[1:])
                ))  # fmt: skip
            else:
                hooks.append(module.register_forward_hook(
                    lambda _module, _inputs, values, layer=layer: capture(layer, values)
                ))  # fmt: skip
        yield maps
    finally:
        for hook in hooks:
            hook.remove()


def as_cells(values: Tensor, image: Tensor) -> Tensor:
    """Arrange the values of a layer as maps, without a graph: -> (B, C, rows, columns)."""
    maps = as_maps(values.detach(), image.shape[2], image.shape[3])
    assert maps is not None, "`last_map` finds maps alone"
    return maps.float()
