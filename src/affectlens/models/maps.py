"""The maps inside a network: where they are, how they are captured, and which networks read them linearly.

The last map of a transformer that answers from its class token is what its last attention reads: after that
no patch matters. Of a network that contains several networks, as `pair`, each has a map.

Letters: B pictures, E emotions, C channels, H x W pixels, h x w cells of a map.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from affectlens.errors import SettingsError
from affectlens.models import backbones
from affectlens.models.backbones import attention_modules
from affectlens.models.capabilities import ReadsLevels

_MAX_PREFIX = 16  # class token, distillation token and registers that may precede the tokens of a map
_SAME = 1e-3  # of the largest gradient: by how much ours may be off autograd's
MOST_CELLS = 64  # a side: a grid finer than that is larger than it is of use
_SIDE = 224  # of the picture that a network is tested with, unless its configuration has a size


@dataclass(frozen=True)
class MapLayer:
    """The layer whose output, or input, is a map.

    Attributes:
        path: of the module
        is_input: whether its input is the map, and not its output
    """

    path: str
    is_input: bool = False


def trunks(network: nn.Module) -> list[str]:
    """Paths of the networks within a network that read the picture; "" for itself."""
    return [trunk.path for trunk in backbones.trunks(network)] or [""]


def transformers(network: nn.Module) -> list[str]:
    """Paths of the transformers in a network whose attention reaches across the picture, "" for itself."""
    return [
        trunk.path
        for trunk in backbones.trunks(network)
        if backbones.num_prefix_tokens(network.get_submodule(trunk.path)) is not None
        and attention_modules(network.get_submodule(trunk.path))
    ]


def reads_token(trunk: nn.Module) -> bool:
    """Whether a network is a transformer that answers from its class token, and not from the mean of all."""
    return backbones.pools_token(trunk) and bool(attention_modules(trunk))


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


def level_networks(network: nn.Module) -> list[str]:
    """Paths of the networks within a network that read maps of several depths, "" for itself."""
    return [path for path, module in network.named_modules() if isinstance(module, ReadsLevels)]


def is_within(path: str, outer: Sequence[str]) -> bool:
    """Whether a module is one of some others, or within one, by their paths."""
    return any(path == each or not each or path.startswith(f"{each}.") for each in outer)


def linear_layers(network: nn.Module, height: int, width: int) -> list[MapLayer]:
    """The last maps of all networks within that read theirs linearly by what they are.

    Neither transformers do nor what reads maps of several depths. Raises `SettingsError` for none.
    """
    others = [*transformers(network), *level_networks(network)]
    paths = [path for path in trunks(network) if not is_within(path, others)]
    if not paths:
        raise SettingsError("This network has no map that is read linearly. Use gradient_attention.")
    return [last_map(network, path, height, width) for path in paths]


def reads_linearly(network: nn.Module) -> bool:
    """Whether logits, but for a number common to all, are linear in the last maps; tested on noise."""
    if not any(isinstance(module, nn.Conv2d) for module in network.modules()):
        return False
    size = backbones.input_size(network, default=(_SIDE, _SIDE))
    noise = noise_for(network, *size)
    try:
        with frozen(network), torch.no_grad():
            layers = linear_layers(network, *size)
            with captured(network, layers) as found:
                once = _centred(network(noise))
            zero, twice = (
                _centred(_with(network, noise, {layer: maps * factor for layer, maps in found.items()}))
                for factor in (0, 2)
            )
    except SettingsError:
        return False
    return torch.allclose(twice - once, once - zero, rtol=1e-3, atol=1e-3 * float((once - zero).abs().max()))


def noise_for(network: nn.Module, height: int, width: int) -> Tensor:
    """One image of noise for a network, always the same: (1, 3, height, width), of its weights' format."""
    like = next(network.parameters(), torch.empty(0))
    return torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(0)).to(like)


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


class Keeping:
    """Hooks that keep what some modules take or return as a network runs.

    Attributes:
        read: by the names that were given, of the last run
    """

    def __init__(self, network: nn.Module, modules: Mapping[str, tuple[str, bool]]) -> None:
        """Keep by name what the module at a path returns, or its first input where `is_input` is true."""
        self.read: dict[str, Any] = {}
        self._hooks = [
            self._hook(network.get_submodule(path), name, is_input)
            for name, (path, is_input) in modules.items()
        ]

    def _hook(self, module: nn.Module, name: str, is_input: bool) -> torch.utils.hooks.RemovableHandle:
        if is_input:
            return module.register_forward_pre_hook(
                lambda _module, inputs: self.read.__setitem__(name, inputs[0])
            )
        return module.register_forward_hook(
            lambda _module, _inputs, values: self.read.__setitem__(name, values)
        )

    def remove(self) -> None:
        """Take the hooks off."""
        for hook in self._hooks:
            hook.remove()


def common_factor(ours: Tensor, theirs: Tensor) -> float | None:
    """The number by which what we computed becomes what autograd found; None where none does."""
    factor = float((ours * theirs).sum() / ours.square().sum().clamp_min(1e-30))
    is_same = (factor * ours - theirs).abs().max() <= _SAME * theirs.abs().max()
    return factor if bool(is_same) and factor else None


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Hold a network in evaluation mode and its weights without gradients; afterwards all is as it was."""
    modes = [(module, module.training) for module in network.modules()]
    required = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    try:
        network.eval()
        for parameter, _ in required:
            parameter.requires_grad_(False)
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter, requires_grad in required:
            parameter.requires_grad_(requires_grad)


def as_maps(values: Any, height: int, width: int) -> Tensor | None:
    """Bring a layer's output for pictures of H x W pixels to (B, C, h, w); None for what is not a map.

    Maps with channels last are permuted; tokens, (B, tokens, C), are arranged in rows, without those that
    precede the map. The axes of cells are known by their proportions, those of the picture.
    """
    if not isinstance(values, Tensor) or values.ndim not in (3, 4):
        return None
    if values.ndim == 4:
        _, first, second, third = values.shape
        is_last = _mismatch(first, second, height, width) < _mismatch(second, third, height, width)
        maps = values.permute(0, 3, 1, 2) if is_last else values
        return maps if maps.shape[2] * maps.shape[3] > 1 else None
    batch, tokens, channels = values.shape
    for prefix in range(min(_MAX_PREFIX, tokens - 2) + 1):
        rows = round(((tokens - prefix) * height / width) ** 0.5)
        if rows and (tokens - prefix) % rows == 0:
            columns = (tokens - prefix) // rows
            # Equal to less than a cell.
            if abs(columns * height - rows * width) < max(height, width):
                return values[:, prefix:].transpose(1, 2).reshape(batch, channels, rows, columns)
    return None


def as_cells(values: Tensor, image: Tensor) -> Tensor:
    """Arrange the values of a layer as maps, without a graph: -> (B, C, rows, columns)."""
    maps = as_maps(values.detach(), image.shape[2], image.shape[3])
    assert maps is not None, "`last_map` finds maps alone"
    return maps.float()


def spread_over(maps: Tensor, rows: int, columns: int) -> Tensor:
    """Bring maps (..., h, w) to another grid: each cell is divided among those that it overlaps, by area.

    Sums over all cells stay what they are.
    """
    if maps.shape[-2:] == (rows, columns):
        return maps
    high, wide = (
        _overlaps(length, wanted).to(maps)
        for length, wanted in zip(maps.shape[-2:], (rows, columns), strict=True)
    )
    return high @ (maps @ wide.T)


def on_one_grid(maps: Sequence[Tensor]) -> Tensor:
    """Add maps (B, E, h, w) of several sizes, on the coarsest grid that holds the cells of each whole.

    Where that is finer than is of use, it is the finest of theirs.
    """
    shapes = [tuple(each.shape[2:]) for each in maps]
    rows, columns = (math.lcm(*sides) for sides in zip(*shapes, strict=True))
    if max(rows, columns) > MOST_CELLS:
        rows, columns = max(shapes)
    found = [spread_over(each, rows, columns) for each in maps]
    return sum(found[1:], start=found[0])


def _overlaps(length: int, wanted: int) -> Tensor:
    """Which share of each of `length` cells lies in each of `wanted` ones: (wanted, length)."""
    # In units in which both kinds of cells begin at whole numbers.
    begin, own = torch.arange(wanted)[:, None] * length, torch.arange(length) * wanted
    shared = torch.minimum(begin + length, own + wanted) - torch.maximum(begin, own)
    return shared.clamp(min=0).double() / wanted


def merge_views(cells: Tensor, count: int) -> Tensor:
    """Add the maps of a picture and of its mirror image: (2 count, h, w) -> (count, h, w).

    A network with `mirror` runs both in one batch. Maps of the picture alone, (count, h, w), stay the same.
    """
    return cells if len(cells) == count else cells[:count] + cells[count:].flip(2)


def _mismatch(rows: int, columns: int, height: int, width: int) -> float:
    """How far two axes are from the proportions of a picture."""
    return abs(rows * width - columns * height) / max(rows * width, columns * height)


def _with(network: nn.Module, image: Tensor, maps: dict[MapLayer, Tensor]) -> Tensor:
    """Logits of an image with other maps instead of its own."""
    with captured(network, list(maps), instead=maps):
        logits: Tensor = network(image)
    return logits


def _centred(logits: Tensor) -> Tensor:
    return logits - logits.mean(dim=1, keepdim=True)
