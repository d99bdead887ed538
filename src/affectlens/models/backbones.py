"""Any timm network as a classifier, as pooled features or as a pyramid of maps.

Weights come from the hub (the tag that timm or the name gives), from a file or a folder on disk, or
not at all. Every way ends in the same strict check: a weight that is missing or of another shape is
an error, never a layer that silently stays random; only a classifier of another width is left new.

Letters: B images, C channels, H x W cells of a map, E emotions.
"""

from collections.abc import Sequence
from pathlib import Path
from types import MethodType
from typing import Any

import timm
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.layers.attention import Attention
from torch import Tensor, nn

from affectlens.errors import UnknownName, WeightsNotFound

HUB, NONE = "hub", "none"


def classifier(name: str, num_emotions: int, *, weights: str = NONE, **options: Any) -> nn.Module:
    """Build timm's own network with a new classifier: images (B, 3, H, W) -> logits (B, E).

    `weights` is `hub`, `none`, a safetensors file, or a folder that holds one. Raises `UnknownName`
    for a network that timm does not have and `WeightsNotFound` for weights that cannot be had.
    """
    network = _create(name, weights, num_classes=num_emotions, **options)
    # Near zero: every emotion is equally likely at first. Some networks' own choice starts with logits so
    # large that the first hundred steps only undo them.
    for head in (network.get_submodule(part) for part in _classifier_names(network)):
        if isinstance(head, nn.Linear):
            nn.init.normal_(head.weight, std=0.01)
            nn.init.zeros_(head.bias)
    return network


def pooled(name: str, *, weights: str = NONE, **options: Any) -> nn.Module:
    """Build a network without classifier: images (B, 3, H, W) -> features (B, C); C is `num_features`."""
    return _create(name, weights, num_classes=0, **options)


class Pyramid(nn.Module):
    """Maps from shallow to deep: (B, 3, H, W) -> a list of (B, C_i, H_i, W_i), C_i in `channels`."""

    def __init__(self, name: str, *, weights: str = NONE, **options: Any) -> None:
        super().__init__()
        self.body = _create(name, weights, features_only=True, **options)
        self.channels: list[int] = list(self.body.feature_info.channels())  # type: ignore[operator, union-attr]
        self.strides: list[int] = list(self.body.feature_info.reduction())  # type: ignore[operator, union-attr]

    def forward(self, images: Tensor) -> list[Tensor]:
        maps: list[Tensor] = self.body(images)
        return maps


def known(name: str) -> bool:
    """Whether timm has a network of that name, with or without a tag of its weights."""
    return bool(timm.is_model(name))


def suit_cpu(network: nn.Module) -> None:
    """Replace two operations that torch does slowly on CPUs by equal ones (`benchmarks/training.py`).

    Attention as two matrix products, because the fused kernel's backward pass is slow; and a depthwise
    convolution of stride 2 as one of stride 1 of which every second value is kept.
    """
    for module in network.modules():
        if isinstance(module, Attention) and module.fused_attn:
            module.forward = MethodType(_plain_attention, module)  # type: ignore[method-assign]
        elif isinstance(module, nn.Conv2d) and module.groups > 1 and module.stride == (2, 2):
            module.forward = MethodType(_strided_afterwards, module)  # type: ignore[method-assign]


def _plain_attention(self: Attention, x: Tensor, attn_mask: Tensor | None = None, **_: Any) -> Tensor:
    """What timm's Attention computes, (B, tokens, C) -> the same shape; the softmax in x's own format."""
    batch, tokens, width = x.shape
    qkv = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
    query, key, value = qkv.unbind(0)
    scores = (self.q_norm(query) * self.scale) @ self.k_norm(key).transpose(-2, -1)
    if attn_mask is not None:
        scores = scores + attn_mask
    with torch.autocast(x.device.type, enabled=False):
        weights = self.attn_drop(scores.softmax(dim=-1))
    mixed = (weights @ value).transpose(1, 2).reshape(batch, tokens, width)
    out: Tensor = self.proj_drop(self.proj(self.norm(mixed)))
    return out


def _strided_afterwards(self: nn.Conv2d, x: Tensor) -> Tensor:
    full = F.conv2d(x, self.weight, self.bias, 1, self.padding, self.dilation, self.groups)
    return full[:, :, ::2, ::2].contiguous(memory_format=torch.channels_last)


def layer_depths(network: nn.Module) -> dict[str, int]:
    """Say for each parameter how many layers lie above it: 0 for the classifier, most for the stem.

    timm's networks know their layers: the blocks of a transformer, the stages of a convolutional
    network. A network built around some takes each one's layers, counted from the top; whatever it adds
    around them counts as the top.
    """
    depths = dict.fromkeys((name for name, _ in network.named_parameters()), 0)
    for prefix, module in _timm_networks(network):
        groups = timm.models.group_parameters(module, module.group_matcher(coarse=True))  # type: ignore[operator]
        for layer, names in enumerate(reversed(list(groups.values()))):
            depths.update({prefix + name: layer for name in names})
    return depths


def undecayed(network: nn.Module) -> set[str]:
    """Names of parameters that weight decay must not touch: biases, norms, position and class tokens."""
    names = {name for name, p in network.named_parameters() if p.ndim <= 1}
    for prefix, module in _timm_networks(network):
        if hasattr(module, "no_weight_decay"):
            names |= {prefix + name for name in module.no_weight_decay()}  # type: ignore[operator]
    return names


def _timm_networks(network: nn.Module) -> Sequence[tuple[str, nn.Module]]:
    found = [(name, m) for name, m in network.named_modules() if hasattr(m, "group_matcher")]
    return [(f"{name}." if name else "", module) for name, module in found]


def _create(name: str, weights: str, **options: Any) -> nn.Module:
    if not known(name):
        near = timm.list_models(f"*{name.split('.')[0][:6]}*")[:20] or timm.list_models("resnet*")[:5]
        raise UnknownName("network", name, near, "timm")
    if weights == HUB:
        return _from_hub(name, options)
    network: nn.Module = timm.create_model(name, pretrained=False, **options)
    if weights != NONE:
        _load(network, weights_file(name, Path(weights).expanduser()))
    return network


def _from_hub(name: str, options: dict[str, Any]) -> nn.Module:
    try:
        network: nn.Module = timm.create_model(name, pretrained=True, **options)
    except (OSError, RuntimeError, ConnectionError) as error:  # what huggingface_hub and timm raise offline
        raise WeightsNotFound(
            f"The pretrained weights of {name} cannot be fetched from the hub ({type(error).__name__}). "
            "Go online, or pass weights=FILE or FOLDER with a safetensors file, or weights=none."
        ) from error
    return network


def weights_file(name: str, place: Path) -> Path:
    """Find a network's weights: the file itself, or in a folder NAME.safetensors or model.safetensors."""
    if place.is_file():
        return place
    candidates = [place / f"{name}.safetensors", place / f"{name.split('.')[0]}.safetensors"]
    candidates.append(place / "model.safetensors")
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    tried = ", ".join(str(c) for c in [place, *candidates])
    raise WeightsNotFound(f"No weights for {name}. Tried: {tried}. Pass a safetensors file or its folder.")


def _load(network: nn.Module, file: Path) -> None:
    """Load weights of any float type, strictly but for the classifier."""
    try:
        state = load_file(file)
    except (SafetensorError, OSError) as error:
        raise WeightsNotFound(f"{file} is no readable safetensors file: {error}.") from error
    wanted = network.state_dict()
    heads = tuple(f"{head}." for head in _classifier_names(network))
    given = {name: w.to(torch.float32) if w.is_floating_point() else w for name, w in state.items()}
    wrong = [name for name, w in given.items() if name in wanted and w.shape != wanted[name].shape]
    given = {name: w for name, w in given.items() if not name.startswith(heads)} if heads else given
    missing = [n for n in wanted if n not in given and not n.startswith(heads)] if heads else [
        n for n in wanted if n not in given
    ]  # fmt: skip
    wrong = [name for name in wrong if name in given]
    if missing or wrong:
        raise WeightsNotFound(
            f"{file} holds the weights of another network: {len(missing)} are missing "
            f"({', '.join(missing[:3])}), {len(wrong)} have another shape ({', '.join(wrong[:3])})."
        )
    network.load_state_dict(given, strict=False)


def _classifier_names(network: nn.Module) -> list[str]:
    config = getattr(network, "pretrained_cfg", {}) or {}
    names = config.get("classifier") or []
    return [names] if isinstance(names, str) else list(names)
