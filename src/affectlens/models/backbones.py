"""Any timm network as a classifier, as pooled features or as a pyramid of maps.

Weights come from the hub (the tag that timm or the name gives), from a file or a folder on disk, or
not at all. Every way ends in the same strict check: a weight that is missing or of another shape is
an error, never a layer that silently stays random; only a classifier of another width is left new.

Letters: B images, C channels, D features, H x W cells of a map, E emotions.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import MethodType
from typing import Any, NamedTuple

import timm
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load as load_bytes
from safetensors.torch import load_file
from timm.layers.attention import Attention
from timm.layers.layer_scale import LayerScale
from timm.layers.mlp import Mlp
from timm.layers.patch_dropout import PatchDropout
from timm.models.efficientnet import EfficientNet
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from affectlens import hub
from affectlens.errors import SettingsError, UnknownName, WeightsNotFound
from affectlens.files import is_utf8
from affectlens.models import alexnet  # makes it known to timm
from affectlens.models.transformers_names import is_of_transformers, renamed
from affectlens.preprocess import ANY_INPUT, ExpectedInput

HUB, NONE = hub.HUB, hub.NONE
RATINGS = "ratings"  # the layer that `models.rated` adds to a network, also to one that is timm's own


def classifier(name: str, num_emotions: int, *, weights: str = NONE, **options: Any) -> nn.Module:
    """Build timm's own network with a new classifier: images (B, 3, H, W) -> logits (B, E).

    `weights` is `hub`, `none`, a safetensors file, a folder that holds one, or `owner/name` of the hub, with
    timm's names or those of transformers (`transformers_names`). Raises `UnknownName`
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


class Levels(NamedTuple):
    """What a picture becomes on its way up.

    Attributes:
        maps: from shallow to deep, (B, C_i, H_i, W_i)
        deep: (B, D), what the network's own classifier would see
    """

    maps: list[Tensor]
    deep: Tensor


class Pyramid(nn.Module):
    """Maps from shallow to deep and the pooled features above them: (B, 3, H, W) -> `Levels`.

    Attributes:
        channels, strides: C_i and H / H_i of each map
        num_features: D
    """

    def __init__(self, name: str, *, weights: str = NONE, **options: Any) -> None:
        super().__init__()
        self.body = _create(name, weights, num_classes=0, **options)
        if not hasattr(self.body, "forward_intermediates"):
            raise SettingsError(f"timm's {name} gives no maps from within. Choose another, as resnet50.")
        levels = _levels(self.body)
        self.channels: list[int] = [level["num_chs"] for level in levels]
        self.strides: list[int] = [level["reduction"] for level in levels]
        self.num_features: int = getattr(self.body, "head_hidden_size", self.body.num_features)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Levels:
        last, maps = self.body.forward_intermediates(images)  # type: ignore[operator]
        return Levels(maps, self.body.forward_head(last, pre_logits=True))  # type: ignore[operator]


def _levels(network: nn.Module) -> list[dict[str, Any]]:
    about: Any = network.feature_info
    levels: list[dict[str, Any]] = about if isinstance(about, list) else about.info
    return levels


def known(name: str) -> bool:
    """Whether timm has a network of that name, with or without a tag of its weights."""
    return bool(timm.is_model(name))


def suit_cpu(network: nn.Module) -> None:
    """Replace two operations that torch does slowly on CPUs by equal ones (`benchmarks/training.py`).

    Attention as two matrix products, because the fused kernel's backward pass is slow; and a depthwise
    convolution of stride 2 as one of stride 1 of which every second value is kept. Only the very classes
    that these were written for are touched: one derived from them may compute something else.
    """
    for module in network.modules():
        if _is_plain_attention(module):
            module.forward = MethodType(_attention_in_steps, module)
        elif _is_depthwise_of_stride_2(module):
            module.forward = MethodType(_strided_afterwards, module)


def keep_all_patches(network: nn.Module) -> None:
    """Make transformers see all patches of a picture in training too, for good."""
    for module in network.modules():
        if isinstance(module, PatchDropout):
            module.prob = 0.0


def drops_patches(network: nn.Module) -> bool:
    """Whether a transformer in a network leaves patches out in training."""
    return any(isinstance(module, PatchDropout) for module in network.modules())


Keep = Callable[[Tensor, Callable[[Tensor], Tensor]], Tensor]


def keep_below_last_layer(network: nn.Module, keep: Callable[[str], Keep]) -> bool:
    """Have backbones compute what lies below their last layer by `keep`, where none of it learns.

    `keep` gives, by the name of a backbone, what is called with images (B, 3, H, W) and the computation.
    Returns whether there is such a backbone: of the very classes that this was written for, and not read at
    several levels, for which more is computed than its features.
    """
    parameters, found = dict(network.named_parameters()), False
    distances = layers_from_output(network)
    read_at_levels = {each.body for each in network.modules() if isinstance(each, Pyramid)}
    for prefix, module in _timm_networks(network):
        below = [
            parameters[name] for name, distance in distances.items() if distance and name.startswith(prefix)
        ]
        is_known = type(module) in (VisionTransformer, EfficientNet) and module not in read_at_levels
        if not is_known or any(p.requires_grad for p in below):
            continue
        setattr(module, "forward_features", MethodType(_KeptFeatures(keep(prefix)), module))  # noqa: B010
        found = True
    return found


class _KeptFeatures:
    """A backbone's `forward_features`, (B, 3, H, W) -> features, of which the first part is kept."""

    def __init__(self, keep: Keep) -> None:
        self.keep = keep

    def __call__(
        self, backbone: Any, images: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        # No classifier of ours masks.
        features: Tensor
        if isinstance(backbone, VisionTransformer):
            tokens = self.keep(images, partial(_tokens_below_last, backbone))
            features = backbone.norm(backbone.blocks[-1](tokens))
        else:
            maps = self.keep(images, partial(_maps_below_last, backbone))
            features = backbone.bn2(backbone.conv_head(backbone.blocks[-1](maps)))
        return features


def _tokens_below_last(backbone: Any, images: Tensor) -> Tensor:
    tokens = backbone.patch_drop(backbone._pos_embed(backbone.patch_embed(images)))
    below: Tensor = backbone.blocks[:-1](backbone.norm_pre(tokens))
    return below


def _maps_below_last(backbone: Any, images: Tensor) -> Tensor:
    maps: Tensor = backbone.blocks[:-1](backbone.bn1(backbone.conv_stem(images)))
    return maps


def _is_plain_attention(module: nn.Module) -> bool:
    return type(module) is Attention and module.fused_attn and getattr(module, "gate", None) is None


def _is_depthwise_of_stride_2(module: nn.Module) -> bool:
    return (
        type(module) is nn.Conv2d
        and module.groups == module.in_channels > 1
        and module.stride == (2, 2)
        and module.padding_mode == "zeros"
    )


def _attention_in_steps(
    self: Attention, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False
) -> Tensor:
    """What timm's Attention computes, (B, tokens, C) -> the same shape; the softmax in x's own format."""
    if attn_mask is not None or is_causal:  # no classifier of ours masks; its own way knows how
        return Attention.forward(self, x, attn_mask, is_causal)
    batch, tokens, _ = x.shape
    qkv = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
    query, key, value = qkv.unbind(0)
    scores = (self.q_norm(query) * self.scale) @ self.k_norm(key).transpose(-2, -1)
    with torch.autocast(x.device.type, enabled=False):
        weights = self.attn_drop(scores.softmax(dim=-1))
    mixed = (weights @ value).transpose(1, 2).flatten(2)
    out: Tensor = self.proj_drop(self.proj(self.norm(mixed)))
    return out


def _strided_afterwards(self: nn.Conv2d, x: Tensor) -> Tensor:
    full = F.conv2d(x, self.weight, self.bias, 1, self.padding, self.dilation, self.groups)
    return full[:, :, ::2, ::2].contiguous(memory_format=torch.channels_last)


def layer_depths(network: nn.Module) -> dict[str, int]:
    """Count for each parameter how many layers lie above it: 0 for the classifier, most for the stem.

    timm's networks know their layers: the blocks of a transformer, the stages of a convolutional
    network. A network built around some takes each one's layers, counted from the top; whatever it adds
    around them counts as the top, so the layers of one without classifier of its own begin at 1.
    """
    depths = dict.fromkeys((name for name, _ in network.named_parameters()), 0)
    for prefix, module in _timm_networks(network):
        layers = list(reversed(_layers(module)))
        has_classifier = any(name.startswith(_heads(module)) for name in layers[0])
        for depth, names in enumerate(layers, start=0 if has_classifier else 1):
            depths.update({prefix + name: depth for name in names})
    return depths


def layers_from_input(network: nn.Module) -> dict[str, int]:
    """Count for each parameter of a backbone how many layers lie below it: 0 for the stem.

    Parameters of classifiers, and those that a network adds around its backbones, are not among them.
    """
    heights: dict[str, int] = {}
    for prefix, module in _timm_networks(network):
        heads = _heads(module)
        for height, names in enumerate(_layers(module)):
            heights.update({prefix + name: height for name in names if not name.startswith(heads)})
    return heights


def layers_from_output(network: nn.Module) -> dict[str, int]:
    """Count for each parameter of a backbone how many layers of it lie above it: 0 for its last layer.

    Of several backbones each counts for itself. The parameters are those of `layers_from_input`.
    """
    heights = layers_from_input(network)
    distances: dict[str, int] = {}
    for prefix, module in _timm_networks(network):
        own = {n: heights[n] for n in (prefix + m for m, _ in module.named_parameters()) if n in heights}
        last = max(own.values(), default=0)
        distances.update({name: last - height for name, height in own.items()})
    return distances


def _layers(network: nn.Module) -> list[list[str]]:
    """Names of the parameters of each layer of one of timm's networks, from the input on."""
    groups = timm.models.group_parameters(network, network.group_matcher(coarse=True))  # type: ignore[operator]
    of_timm = [[name for name in names if not name.startswith(f"{RATINGS}.")] for names in groups.values()]
    return [names for names in of_timm if names]


def _heads(network: nn.Module) -> tuple[str, ...]:
    """How the names of the classifier's parameters begin."""
    return tuple(f"{head}." for head in _classifier_names(network))


def undecayed(network: nn.Module) -> set[str]:
    """Names of parameters that weight decay must not touch: biases, norms, position and class tokens."""
    parameters = dict(network.named_parameters())
    names = {name for name, p in parameters.items() if p.ndim <= 1}
    for prefix, module in _timm_networks(network):
        if hasattr(module, "no_weight_decay"):
            names |= {prefix + name for name in module.no_weight_decay()}  # type: ignore[operator]
    return names & set(parameters)


class Trunk(NamedTuple):
    """A timm network within a network, for those who look into it.

    Attributes:
        path: of the timm network, "" for one that is timm's own
        blocks: names within it of the modules whose output is a level of its maps, from shallow to deep
        any_size: whether it takes pictures of other sizes than the one it was made for
    """

    path: str
    blocks: tuple[str, ...]
    any_size: bool


def trunks(network: nn.Module) -> list[Trunk]:
    """Return each timm network within a network, in its own order; none where there is none."""
    found: list[Trunk] = []
    for path, module in network.named_modules():
        about = getattr(module, "feature_info", None)
        levels = getattr(about, "info", about)
        if not isinstance(levels, list):  # the blocks of some have a method of that name
            continue
        inside = {name for name, _ in module.named_modules()}
        blocks = tuple(level["module"] for level in levels if level.get("module") in inside)
        config = getattr(module, "pretrained_cfg", None) or {}
        any_size = not config.get("fixed_input_size") or bool(getattr(module, "dynamic_img_size", False))
        if blocks:
            found.append(Trunk(path, blocks, any_size))
    return found


def attention_modules(network: nn.Module) -> list[Any]:
    """Modules of a network that compute attention as timm's do: softmax, then a dropout; in order."""
    return [
        module
        for module in network.modules()
        if isinstance(getattr(module, "fused_attn", None), bool)
        and isinstance(getattr(module, "attn_drop", None), nn.Module)
        and isinstance(getattr(module, "num_heads", None), int)
    ]


def num_prefix_tokens(network: nn.Module) -> int | None:
    """Tokens that precede those of the picture in one of timm's transformers; None for another network."""
    number = getattr(network, "num_prefix_tokens", None)
    return None if number is None else int(number)


def pools_token(network: nn.Module) -> bool:
    """Whether one of timm's transformers answers from its class token, not from the mean of all tokens."""
    pool = getattr(network, "global_pool", "token")
    return bool(num_prefix_tokens(network)) and pool in ("token", "")


def has_plain_last_block(trunk: Any) -> bool:
    """Whether one of timm's networks is a plain transformer that answers from its class token.

    Its last block is then attention and a perceptron between layer norms, with a scale for each or none.
    """
    if type(trunk) is not VisionTransformer or not pools_token(trunk):
        return False
    block: Any = trunk.blocks[-1]
    if [type(each) for each in (block, block.attn, block.mlp)] != [Block, Attention, Mlp]:
        return False
    nothing = (block.attn.q_norm, block.attn.k_norm, block.attn.norm, block.mlp.norm, trunk.fc_norm)
    return (
        all(isinstance(each, nn.Identity) for each in nothing)
        and all(isinstance(each, nn.Identity | LayerScale) for each in (block.ls1, block.ls2))
        and getattr(block.attn, "gate", None) is None
        and isinstance(trunk.head, nn.Linear)
        and isinstance(block.mlp.act, nn.GELU)
        and all(isinstance(each, nn.LayerNorm) for each in (block.norm2, trunk.norm))
    )


def input_size(network: nn.Module, default: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the pictures that the first timm network within was made for, or `default`."""
    configs: list[Any] = [getattr(module, "pretrained_cfg", None) for module in network.modules()]
    return next((tuple(config["input_size"][1:]) for config in configs if config), default)


class Statistics(NamedTuple):
    """Mean and standard deviation of red, green and blue, in 0..1, that weights were trained with."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def statistics(name: str) -> Statistics:
    """Return what the pretrained weights of one of timm's networks expect; ImageNet's where timm knows none.

    >>> statistics("tf_efficientnet_lite2").mean
    (0.5, 0.5, 0.5)
    """
    expected = expected_input(name)
    return Statistics(expected.mean, expected.std)


def expected_input(name: str) -> ExpectedInput:
    """Return which images one of timm's networks was trained on; the usual ones where timm knows nothing.

    >>> expected_input("tf_efficientnet_lite2").height
    260
    """
    config = timm.get_pretrained_cfg(name) if known(name) else None
    if config is None:
        return ANY_INPUT
    _, height, width = config.input_size
    (red, green, blue), (*spread,) = config.mean, config.std
    return ExpectedInput(
        height=height,
        width=width,
        crop_fraction=config.crop_pct,
        interpolation="bicubic" if config.interpolation == "bicubic" else "bilinear",
        mean=(red, green, blue),
        std=(spread[0], spread[1], spread[2]),
    )


class Resize(nn.Module):
    """Bring images to another size, bilinearly and without aliasing: (B, C, H, W) -> (B, C, side, side).

    What `F.interpolate(antialias=True)` computes, as two products of matrices, which every engine has.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        if height == width == self.side:
            return images
        rows, columns = (_bilinear(length, self.side).to(images) for length in (height, width))
        with torch.autocast(images.device.type, enabled=False):  # bfloat16 has not the digits of a pixel
            return rows @ (images @ columns.T)


def _bilinear(length: int, wanted: int) -> Tensor:
    """Weights of `length` pixels in each of `wanted`: (wanted, length), rows sum to 1."""
    scale = length / wanted
    centres = (torch.arange(wanted, dtype=torch.float64) + 0.5) * scale
    distances = (torch.arange(length, dtype=torch.float64) + 0.5 - centres[:, None]).abs()
    weights = (1 - distances / max(scale, 1.0)).clamp(min=0)
    return (weights / weights.sum(dim=1, keepdim=True)).float()


class Renormalise(nn.Module):
    """Bring images of one mean and standard deviation to those that another network's weights expect.

    (B, 3, H, W) -> the same shape. It has no weights.
    """

    def __init__(self, given: Statistics, expected: Statistics) -> None:
        super().__init__()
        had, wanted = (torch.tensor(pair).view(2, 3, 1, 1) for pair in (given, expected))
        self.register_buffer("factor", had[1] / wanted[1], persistent=False)
        self.register_buffer("offset", (had[0] - wanted[0]) / wanted[1], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        factor, offset = self.get_buffer("factor"), self.get_buffer("offset")
        return images * factor.to(images.dtype) + offset.to(images.dtype)


def _timm_networks(network: nn.Module) -> Sequence[tuple[str, nn.Module]]:
    found = [(name, m) for name, m in network.named_modules() if hasattr(m, "group_matcher")]
    return [(f"{name}." if name else "", module) for name, module in found]


def _create(name: str, weights: str, **options: Any) -> nn.Module:
    if not known(name):
        near = timm.list_models(f"*{name.split('.')[0][:6]}*")[:20] or timm.list_models("resnet*")[:5]
        raise UnknownName("network", name, near, "timm")
    network = _any_size(name, options)
    if weights != NONE:
        _load(network, _file_of(name, weights))
    return network


def _any_size(name: str, options: dict[str, Any]) -> nn.Module:
    """Build a network, of those that can be built for pictures of any size one that is."""
    try:
        network: nn.Module = timm.create_model(
            name, pretrained=False, **{"dynamic_img_size": True, **options}
        )
    except TypeError:
        network = timm.create_model(name, pretrained=False, **options)
    return network


def _file_of(name: str, weights: str) -> Path:
    path = Path(weights).expanduser()
    if weights == HUB:
        return _fetch(name)
    if hub.is_name(weights) and not path.exists():
        return _fetched(f"The weights {weights}", weights)
    return weights_file(name, path)


def _fetch(name: str) -> Path:
    """Fetch a network's pretrained weights from the hub, or find them among those fetched before.

    Not by timm's own way, which takes a pickle where there is no safetensors file.
    """
    if name.partition(".")[0] == alexnet.NAME:
        return _or_not_found(
            f"The pretrained weights of {name}", "torchvision's pages", alexnet.fetch_weights
        )
    config = timm.get_pretrained_cfg(name)
    repository = config.hf_hub_id if config else None
    if not repository:
        raise WeightsNotFound(f"There are no pretrained weights of {name} on the hub. Pass weights=none.")
    return _fetched(f"The pretrained weights of {name}", repository)


def _fetched(what: str, repository: str) -> Path:
    return _or_not_found(
        what, f"{repository} of the hub", lambda: hub.fetch_file(repository, "model.safetensors")
    )


def _or_not_found(what: str, where: str, fetch: Callable[[], Path]) -> Path:
    try:
        return fetch()
    except Exception as error:  # the hub's client raises some dozen kinds, from four libraries
        raise WeightsNotFound(
            f"{what} are not on this machine and cannot be fetched from {where}. Go online, or pass "
            "weights=FILE or FOLDER with a safetensors file, or weights=none."
        ) from error


def weights_file(name: str, path: Path) -> Path:
    """Find a network's weights: the file itself, or in a folder NAME.safetensors or model.safetensors."""
    if path.is_file():
        return path
    candidates = [path / f"{name}.safetensors", path / f"{name.split('.')[0]}.safetensors"]
    candidates.append(path / "model.safetensors")
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    tried = ", ".join(str(c) for c in [path, *candidates])
    raise WeightsNotFound(f"No weights for {name}. Tried: {tried}. Pass a safetensors file or its folder.")


def _load(network: nn.Module, file: Path) -> None:
    """Load weights of any float type, strictly but for the classifier, which stays new."""
    try:
        given = load_file(file) if is_utf8(file) else load_bytes(file.read_bytes())
    except (SafetensorError, OSError) as error:
        raise WeightsNotFound(f"{file} is not a readable safetensors file: {error}.") from error
    if is_of_transformers(given):
        given = renamed(given)
    heads = tuple(f"{head}." for head in _classifier_names(network))
    wanted = {name: w for name, w in network.state_dict().items() if not name.startswith(heads)}
    missing = [name for name in wanted if name not in given]
    differing = [name for name, w in wanted.items() if name in given and not _fits(given[name], w)]
    strange = [name for name in given if name not in wanted and not name.startswith(heads)]
    if missing or differing or strange:
        counts = (
            f"{len(missing)} are missing, {len(differing)} differ in shape or type, {len(strange)} are new"
        )
        example = [*missing, *differing, *strange][0]
        raise WeightsNotFound(f"{file} holds the weights of another network: {counts}, as {example}.")
    network.load_state_dict({name: given[name] for name in wanted}, strict=False)


def _fits(given: Tensor, wanted: Tensor) -> bool:
    """Whether a weight has the shape, and is a float where a float belongs; which float is left open."""
    return given.shape == wanted.shape and given.is_floating_point() == wanted.is_floating_point()


def _classifier_names(network: nn.Module) -> list[str]:
    config = getattr(network, "pretrained_cfg", {}) or {}
    names = config.get("classifier") or []
    return [names] if isinstance(names, str) else list(names)
