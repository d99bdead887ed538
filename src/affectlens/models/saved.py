"""Trained networks in model folders: build the network that a card names, load its weights, save it again."""

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from affectlens import library, model_folder
from affectlens.errors import BadModelFolder, SettingsError
from affectlens.locks import locked_folder
from affectlens.machine import import_onnx_runtime
from affectlens.model_folder import GRAPH, GRAPH_INPUT, WEIGHTS, Card, Heads, StoredModel
from affectlens.models import catalog
from affectlens.models.graph import export_graph
from affectlens.models.graph_outputs import GraphNetwork, RatedRow, last_layers
from affectlens.ratings import RatingHead

GRAPH_TOLERANCE = (
    1e-2  # of a logit: rounding through some hundred layers; a wrong one is off by whole numbers
)
FOLDED_TEMPERATURE = "folded_temperature"  # of a card's facts on training
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Model:
    """A network in evaluation mode, float32 on the CPU, with its card, and what else reads its features."""

    network: nn.Module
    card: Card
    heads: Heads = field(default_factory=dict)


def load(name: str = library.DEFAULT) -> Model:
    """Load a model by name or folder (`library.find`). Raises `ModelNotFound` or `BadModelFolder`."""
    return load_model(library.find(name))


def load_model(folder: Path) -> Model:
    """Load a network ready for use. Raises `ModelNotFound` or `BadModelFolder` with what is wrong."""
    return _model_of(folder, model_folder.read_model(folder))


def _model_of(folder: Path, stored: StoredModel) -> Model:
    card, state = stored.card, _decode(folder, stored.weights)
    # Or a stranger's folder could have any file read, or fetched.
    if "weights" in card.network_options:
        raise BadModelFolder(folder, "its options name other weights to begin with.")
    shapes = _shapes_of(card.network, len(card.vocabulary), json.dumps(card.network_options, sort_keys=True))
    if shapes is not None:
        _check_fit(folder, shapes, state)
    try:
        network = catalog.build(card.network, len(card.vocabulary), **card.network_options)
    except Exception as error:  # the options come from a file, and may be anything
        raise BadModelFolder(folder, f"its network cannot be built: {error}") from None
    _check_fit(folder, network.state_dict(), state)
    network.load_state_dict(state)
    return Model(network.eval(), card, stored.heads)


@lru_cache(maxsize=64)
def _shapes_of(network: str, num_emotions: int, options: str) -> Mapping[str, Tensor] | None:
    """Return the weights of a network without their memory, for a small card may name one of many gigabytes.

    `options` are JSON. None where it cannot be built so; what is wrong with it is found when it is built.
    """
    try:
        with torch.device("meta"):
            return catalog.build(network, num_emotions, **json.loads(options)).state_dict()
    except Exception:  # the options come from a file, and may be anything
        return None


def save_model(
    folder: Path,
    network: nn.Module,
    card: Card,
    readme: str,
    dtype: str = "float32",
    heads: Heads = MappingProxyType({}),
) -> None:
    """Write a model folder, replacing a model that is there; completely or not at all.

    `dtype` is how weights are stored: float32, float16 or bfloat16; `heads` what reads the card's ratings.
    Raises `BadModelFolder` for weights that are not finite, in the network or once stored, and `OutputError`
    where it cannot be written or where a folder lies that is not a model.
    """
    if dtype not in DTYPES:
        raise SettingsError(f"Weights can be stored as {', '.join(DTYPES)}, not as {dtype!r}.")
    network, card = _with_temperature_folded(network, card)
    stored = {name: _narrowed(value, DTYPES[dtype]) for name, value in network.state_dict().items()}
    broken = [name for name, value in stored.items() if not torch.isfinite(value).all()]
    if broken:
        raise BadModelFolder(folder, f"weights are not finite: {broken[0]}.", "Nothing was written.")
    weights = safetensors.torch.save(stored, {"format": "pt"})
    model_folder.write_model(
        folder, card, weights, readme, dtype=dtype, for_others=_for_others(card), heads=heads or None
    )


def _with_temperature_folded(network: nn.Module, card: Card) -> tuple[nn.Module, Card]:
    """Divide the last layer of a network that timm has by its temperature, which other programs know not of.

    The answers stay the same; the card has the temperature among the facts of training. Others, and networks
    whose last layer is not found, stay as they are.
    """
    if card.temperature == 1 or catalog.find(card.network).timm_name is None:
        return network, card
    size = card.preprocessing
    network = copy.deepcopy(network).eval()
    layers = last_layers(network, size.height, size.width, len(card.vocabulary))
    if len(layers) != 1:
        return network, card
    with torch.no_grad():
        for parameter in network.get_submodule(layers[0]).parameters():
            parameter.div_(card.temperature)
    facts = {**card.training, FOLDED_TEMPERATURE: card.temperature}
    return network, replace(card, temperature=1.0, training=facts)


def add_graph(folder: Path, images: Tensor | None = None) -> float:
    """Write the graph of a model folder next to its weights, once it is shown to answer as the network does.

    `images` are normalised, (B, 3, H, W); by default they are noise of eight kinds from flat to rough.
    Returns the largest difference of an output, relative where values are above 1. Raises `ModelNotFound`,
    `BadModelFolder`, what `graph.export_graph` raises, `OutputInUse` where another process does the same,
    and `SettingsError` where the answers differ by more than `GRAPH_TOLERANCE`; the folder is then as before.
    """
    model_folder.load_card(folder)  # nothing is written where there is none
    with locked_folder(folder):
        return _add_graph(folder, images)


def _add_graph(folder: Path, images: Tensor | None) -> float:
    stored = model_folder.read_model(folder)
    model = _model_of(folder, stored)
    size = model.card.preprocessing
    network = _graph_network(model)
    graph = export_graph(network, size, stored.weights)
    images = _noise(size.height, size.width) if images is None else images
    difference = _difference(network, graph, stored.weights, images)
    if not difference <= GRAPH_TOLERANCE:
        raise SettingsError(
            f"The graph of {folder} answers otherwise than its network: one of its outputs differs by "
            f"{difference:.3g}, more than {GRAPH_TOLERANCE}. It was not written."
        )
    model_folder.store_graph(folder, graph)
    return difference


def _graph_network(model: Model) -> GraphNetwork:
    card, size = model.card, model.card.preprocessing
    rated: dict[str, RatedRow] = {}
    percents: list[str] = []
    if card.ratings:
        head = RatingHead.from_tensors(model.heads)
        rows = zip(head.weights, head.offsets.tolist(), strict=True)
        rated = {scale.name: row for scale, row in zip(card.ratings, rows, strict=True)}
        percents = [scale.name for index, scale in enumerate(card.ratings) if head.is_percent(index)]
    return GraphNetwork(model.network, size.height, size.width, card.feature_layers, rated, percents)


def _noise(height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    kinds = []
    for number in range(8):
        side = min(1 << number, height, width)
        coarse = torch.randn(1, 3, side, side, generator=generator)
        kinds.append(nn.functional.interpolate(coarse, (height, width), mode="bilinear"))
    return torch.cat(kinds)


def _difference(network: GraphNetwork, graph: bytes, weights: bytes, images: Tensor) -> float:
    onnxruntime = import_onnx_runtime()
    with TemporaryDirectory() as folder:
        (Path(folder) / WEIGHTS).write_bytes(weights)
        (Path(folder) / GRAPH).write_bytes(graph)
        session = onnxruntime.InferenceSession(Path(folder) / GRAPH, providers=["CPUExecutionProvider"])
        found = session.run(list(network.names), {GRAPH_INPUT: images.numpy()})
    with torch.inference_mode():
        pairs = zip(network(images), found, strict=True)
        return max(_largest(expected - torch.from_numpy(each), expected) for expected, each in pairs)


def _largest(differences: Tensor, expected: Tensor) -> float:
    """Largest difference, as a share of the largest value where that is above 1."""
    return float(differences.abs().max() / expected.abs().max().clamp_min(1))


def round_weights(network: nn.Module, dtype: str) -> None:
    """Round a network's weights in place to what `save_model` stores, so that it can be measured as used."""
    exact = network.state_dict()
    network.load_state_dict({n: _narrowed(v, DTYPES[dtype]).to(v.dtype) for n, v in exact.items()})


def _narrowed(value: Tensor, dtype: torch.dtype) -> Tensor:
    value = value.detach().cpu().contiguous().clone()
    return value.to(dtype) if value.is_floating_point() else value


def _for_others(card: Card) -> dict[str, Any]:
    """What timm and transformers look for in a config; empty for networks that they do not have."""
    backbone = catalog.find(card.network).timm_name
    if backbone is None:
        return {}
    p = card.preprocessing
    words = list(card.vocabulary.words)
    return {
        "architecture": backbone.split(".")[0],
        "num_classes": len(words),
        "label_names": words,
        "pretrained_cfg": {
            "num_classes": len(words),
            "input_size": [3, p.height, p.width],
            "mean": list(p.mean),
            "std": list(p.std),
            "interpolation": p.interpolation,
            "crop_pct": p.crop_fraction,
            "crop_mode": {"squash": "squash", "crop": "center", "pad": "border"}[p.fit],
            "label_names": words,
        },
    }


def _decode(folder: Path, data: bytes) -> dict[str, Tensor]:
    """Turn the bytes of a safetensors file into tensors; floats come back as float32."""
    try:
        state: dict[str, Tensor] = safetensors.torch.load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise BadModelFolder(folder, f"{WEIGHTS} is not a safetensors file: {error}.") from None
    for name, value in state.items():
        if value.is_floating_point() and value.dtype not in DTYPES.values():
            raise BadModelFolder(folder, f"{name} is stored as {value.dtype}; expected {', '.join(DTYPES)}.")
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise BadModelFolder(folder, f"{name} holds values that are not finite.")
    return {name: v.to(torch.float32) if v.is_floating_point() else v for name, v in state.items()}


def _check_fit(folder: Path, wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    differing = sorted(set(wanted) ^ set(state))
    if differing:
        raise BadModelFolder(
            folder,
            f"its weights are of another network: {len(differing)} names differ, as {differing[0]!r}.",
        )
    for name, value in state.items():
        if value.shape != wanted[name].shape:
            found, expected = tuple(value.shape), tuple(wanted[name].shape)
            raise BadModelFolder(folder, f"{name} has the shape {found}; the network has {expected}.")
        if value.dtype != wanted[name].dtype:
            raise BadModelFolder(folder, f"{name} is of {value.dtype}; the network has {wanted[name].dtype}.")
