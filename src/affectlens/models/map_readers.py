"""What branches that read their maps by more than a linear layer make of each cell, at first order.

No division of such a branch's answer among cells is without loss. To first order each cell adds what is read
of it times the gradient by it at this picture (Draelos and Carin, "Use HiResCAM instead of Grad-CAM for
faithful explanations of convolutional neural networks", arXiv 2011.08891; here of all maps that are read, and
not of the last alone). The layers between these maps and the answer are few, so that their gradient is
written out, for all emotions at once.

Letters: B pictures, E emotions, D features, h x w cells.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from affectlens.models.class_token import find_class_token
from affectlens.models.maps import (
    Keeping,
    MapLayer,
    as_maps,
    common_factor,
    frozen,
    is_within,
    last_map,
    level_networks,
    noise_for,
    on_one_grid,
    transformers,
)


class MapReader(Protocol):
    """A branch of a network that can be taken apart so."""

    @property
    def captured(self) -> Mapping[str, tuple[str, bool]]:
        """What is read as the network runs, by name: the module's path, and whether it is its input."""

    def maps(self, network: nn.Module, read: Mapping[str, Any], height: int, width: int) -> Tensor:
        """What each cell adds to each emotion's logit, less the mean over emotions: (B, E, h, w).

        `read` holds what `captured` names, of pictures of `height` x `width` pixels.
        """


@dataclass(frozen=True)
class LevelReader:
    """A network within a network that reads maps of several depths (`capabilities.ReadsLevels`).

    Attributes:
        path: of that network, "" for the whole
        last: the layer of its last map
        factor: of its logits in those of the whole, but for a number that all emotions have in common
    """

    path: str
    last: MapLayer
    factor: float = 1.0

    @property
    def captured(self) -> Mapping[str, tuple[str, bool]]:
        """See `MapReader`."""
        return {
            "levels": (f"{self.path}.pyramid".strip("."), False),
            "last": (self.last.path, self.last.is_input),
        }

    def maps(self, network: nn.Module, read: Mapping[str, Any], height: int, width: int) -> Tensor:
        """See `MapReader`; cells are those of its last map, where those of earlier ones are added up."""
        last = as_maps(read["last"], height, width)
        assert last is not None, "`last_map` finds maps alone"
        reads: Any = network.get_submodule(self.path)
        found: Tensor = self.factor * reads.cell_maps(read["levels"], last)
        return found


def find_readers(network: nn.Module, height: int, width: int) -> tuple[MapReader, ...] | None:
    """Return what takes apart each transformer and each network that reads maps of several depths.

    None where one cannot be taken apart; an empty tuple where there is neither.
    """
    levels = level_networks(network)
    tokens = [path for path in transformers(network) if not is_within(path, levels)]
    found = [find_class_token(network, path, height, width) for path in tokens]
    found_levels = [_find_levels(network, path, height, width) for path in levels]
    readers = [reader for reader in (*found, *found_levels) if reader is not None]
    return tuple(readers) if len(readers) == len(tokens) + len(levels) else None


def _find_levels(network: nn.Module, path: str, height: int, width: int) -> LevelReader | None:
    """Return what reads the network at a path, compared with autograd on noise; None where it differs."""
    begin = f"{path}." if path else ""
    reader = LevelReader(path, last_map(network, f"{begin}pyramid.body", height, width))
    inner: Any = network.get_submodule(path)
    features: list[Tensor] = []

    def as_leaf(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
        features.append(inputs[0].detach().requires_grad_())
        return (features[-1],)

    with frozen(network):
        keeping = Keeping(network, reader.captured)
        hook = network.get_submodule(f"{begin}standardise").register_forward_pre_hook(as_leaf)
        try:
            with torch.enable_grad():
                logits = network(noise_for(network, height, width))[0]
                if len(features) != 1 or len(features[0]) != 1:  # a picture and its mirror image
                    return None
                centred = logits - logits.mean()
                theirs = [torch.autograd.grad(each, features[0], retain_graph=True)[0] for each in centred]
        finally:
            hook.remove()
            keeping.remove()
        with torch.no_grad():
            factor = common_factor(inner.feature_gradients(features[0].detach())[0], torch.cat(theirs))
            last, deep = as_maps(keeping.read["last"], height, width), keeping.read["levels"].deep
            is_mean = (
                last is not None
                and last.shape[1] == deep.shape[1]
                and torch.allclose(last.mean(dim=(2, 3)), deep, rtol=1e-3, atol=1e-5)
            )
    return replace(reader, factor=factor) if factor is not None and is_mean else None


def read_maps(
    network: nn.Module, readers: Sequence[MapReader], keeping: Sequence[Keeping], images: Tensor
) -> Tensor:
    """Add the maps of all readers, of what was kept of each as the network ran on images: (B, E, h, w)."""
    height, width = images.shape[2:]
    return on_one_grid(
        [
            reader.maps(network, kept.read, height, width)
            for reader, kept in zip(readers, keeping, strict=True)
        ]
    )
