"""Activations inside a network: its blocks, and the maps that the channels of each make of pictures.

A block's channels are read before its last nonlinearity: of a ReLU, GELU and the like, a positive input
means "seen here" and a negative one "not seen", while the sums that leave many blocks have no such sign
(the linear bottlenecks of Sandler et al., "MobileNetV2", CVPR 2018; the residual stream of a transformer).
Reading before it rather than after it leaves a gradient to climb where nothing is seen yet. A block without
nonlinearity of its own is read at its end.

Letters: B pictures, C channels, H x W pixels, h x w cells of a map.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from affectlens.errors import SettingsError, UnknownName
from affectlens.models import backbones
from affectlens.models.maps import as_maps, frozen

# By name, since timm has several of its own. Gates between 0 and 1 (sigmoids) detect nothing themselves.
_NONLINEAR = frozenset({
    "CELU", "ELU", "GELU", "GELUTanh", "HardMish", "HardMishMe", "HardSwish", "HardSwishMe", "Hardswish",
    "LeakyReLU", "Mish", "MishMe", "PReLU", "QuickGELU", "RReLU", "ReLU", "ReLU6", "SELU", "SiLU", "Softplus",
    "Swish", "SwishMe",
})  # fmt: skip


@dataclass(frozen=True)
class Block:
    """A level of a network, from shallow to deep.

    Attributes:
        name: of the module, as `blocks.2`, or `convolutional.blocks.2` in a network that holds several
        trunk: path of the network that it is a block of, "" for the network itself
        layer: path of the module that is read
        is_input: whether the input of `layer` is read, and not its output
        channels: C
        stride: H / h, the pixels of a picture that one cell stands for, from top to bottom
        any_size: whether the trunk takes pictures of other sizes
    """

    name: str
    trunk: str
    layer: str
    is_input: bool
    channels: int
    stride: float
    any_size: bool


def list_blocks(network: nn.Module, height: int = 224, width: int = 224) -> list[Block]:
    """List a network's blocks, from shallow to deep; those of each timm network within it in turn.

    A network that contains none from timm is listed child by child. The network is run once, on a grey
    picture of `height` x `width` pixels. Raises `SettingsError` for one in which no block makes maps.
    """
    found = [
        block
        for trunk in backbones.trunks(network) or [_by_children(network)]
        for block in _blocks_of(network, trunk, height, width)
    ]
    if not found:
        raise SettingsError(
            "This network has no block whose output is a map; its activations cannot be shown."
        )
    return found


def find_block(known: list[Block], name: str) -> Block:
    """Return the block of that name. Raises `UnknownName` with the names that there are."""
    for block in known:
        if block.name == name:
            return block
    raise UnknownName("block", name, [block.name for block in known], "this network")


def activations_of(network: nn.Module, block: Block, images: Tensor) -> Tensor:
    """Run pictures as far as a block: (B, 3, H, W) -> (B, C, h, w), differentiable.

    Cells are positive where a channel is active. The forward pass ends by a hook as soon as the block is
    reached; the hook is gone afterwards.
    """
    captured: list[Tensor] = []

    def capture(values: Any) -> NoReturn:
        captured.append(values[0] if isinstance(values, tuple) else values)
        raise _Reached

    layer = network.get_submodule(block.layer)
    if block.is_input:
        hook = layer.register_forward_pre_hook(lambda _module, inputs: capture(inputs))
    else:
        hook = layer.register_forward_hook(lambda _module, _inputs, output: capture(output))
    try:
        network.get_submodule(block.trunk)(images)
    except _Reached:
        pass
    finally:
        hook.remove()
    maps = as_maps(captured[0], images.shape[2], images.shape[3]) if captured else None
    if maps is None:
        raise SettingsError(f"The block {block.name} makes no map of pictures of this size.")
    return maps


@contextmanager
def leaky_gradients(trunk: nn.Module, share: float) -> Iterator[None]:
    """Let this share of the gradient pass where a ReLU lets none: below zero, and for some above six.

    The forward pass stays the same. Without this there would be no gradient at a picture for which a channel,
    or all that leads to it, is inactive. (Olah et al., 2017, do the like.)
    """
    hooks, in_place = [], []

    def leak(_module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        return output + share * (inputs[0] - inputs[0].detach())

    for module in trunk.modules() if share else ():
        if isinstance(module, nn.ReLU | nn.ReLU6):
            hooks.append(module.register_forward_hook(leak))
            in_place.append((module, module.inplace))
            module.inplace = False
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for module, was in in_place:
            module.inplace = was


class _Reached(Exception):
    """A block was reached; the layers above it need not run."""


def _by_children(network: nn.Module) -> backbones.Trunk:
    return backbones.Trunk("", tuple(name for name, _ in network.named_children()), any_size=True)


def _blocks_of(network: nn.Module, trunk: backbones.Trunk, height: int, width: int) -> list[Block]:
    """Run a trunk once, record the order and the output shapes of its layers, and derive its blocks."""
    module = network.get_submodule(trunk.path)
    inputs, outputs = _shapes(module, trunk.blocks, height, width)
    found = []
    for block in trunk.blocks:
        inside = [name for name in inputs if name == block or name.startswith(f"{block}.")]
        layer, shape = (inside[-1], inputs[inside[-1]]) if inside else (block, outputs.get(block))
        if shape is not None:
            name, path = _joined(trunk.path, block), _joined(trunk.path, layer)
            channels, rows, _ = shape
            found.append(Block(name, trunk.path, path, bool(inside), channels, height / rows, trunk.any_size))
    return found


def _shapes(
    trunk: nn.Module, blocks: tuple[str, ...], height: int, width: int
) -> tuple[dict[str, tuple[int, int, int]], dict[str, tuple[int, int, int]]]:
    """(C, h, w) of the input of each nonlinearity, in order of execution, and of the output of each block."""
    inputs: dict[str, tuple[int, int, int]] = {}
    outputs: dict[str, tuple[int, int, int]] = {}

    def note(into: dict[str, tuple[int, int, int]], name: str, values: Any) -> None:
        maps = as_maps(values[0] if isinstance(values, tuple) else values, height, width)
        # Windows of attention come as a batch of their own.
        if maps is not None and maps.shape[0] == 1:
            into.setdefault(name, (maps.shape[1], maps.shape[2], maps.shape[3]))

    hooks = [
        layer.register_forward_pre_hook(lambda _module, values, name=name: note(inputs, name, values))
        for name, layer in trunk.named_modules()
        if type(layer).__name__ in _NONLINEAR
    ]
    hooks += [
        trunk.get_submodule(block).register_forward_hook(
            lambda _module, _inputs, values, block=block: note(outputs, block, values)
        )
        for block in blocks
    ]
    parameter = next(trunk.parameters(), torch.empty(0))
    try:
        with frozen(trunk), torch.no_grad():
            trunk(torch.zeros(1, 3, height, width, dtype=parameter.dtype, device=parameter.device))
    finally:
        for hook in hooks:
            hook.remove()
    return inputs, outputs


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
