"""A trained network and all that its use needs, as a model folder. The only reader and writer of one.

On disk (the layout of the Hugging Face hub):
    config.json         network, vocabulary by name, preprocessing, temperature, history, licences, hash
    model.safetensors   weights; never a pickle
    README.md           the card for people

A folder is complete or it is not written, and is loaded only when all of it fits together. A plain timm
network in such a folder also loads with `timm.create_model("local-dir:FOLDER")` and with
`transformers.pipeline("image-classification", FOLDER)`; these do not apply the temperature.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from affectlens.attributes import Attribute
from affectlens.emotions import Vocabulary, vocabulary
from affectlens.errors import AffectLensError, BadModelFolder, ModelNotFound, OutputError, SettingsError
from affectlens.files import atomic_folder
from affectlens.models import catalog
from affectlens.preprocess import Preprocessing

FORMAT_VERSION = 1
CONFIG, WEIGHTS, README = "config.json", "model.safetensors", "README.md"
CONFIG_HASH = "config_sha256"
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
MAX_CONFIG_BYTES = 10_000_000  # a config is a few kilobytes; anything like this is no config


@dataclass(frozen=True, kw_only=True)
class Card:
    """What must be known to use a model, and what should be known before trusting it.

    Attributes:
        network, network_options: the catalogue's name and options
        attributes: those that the network answers, with their words in its order
        temperature: logits are divided by it before the softmax (Guo et al., 2017)
        training: how it was trained: settings, data and its hash, counts, seed, seconds, versions
        scores: measured on the validation split (`evaluation.scores.Scores.to_json`)
        licences: of `code`, `weights` and `data`
        limits: sentences for people
        weights_hash: SHA-256 of the weights file, known once the model was saved
    """

    name: str
    network: str
    network_options: Mapping[str, Any] = field(default_factory=dict)
    vocabulary: Vocabulary
    preprocessing: Preprocessing
    attributes: tuple[Attribute, ...] = ()
    temperature: float = 1.0
    training: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)
    licences: Mapping[str, str] = field(default_factory=dict)
    limits: tuple[str, ...] = ()
    weights_hash: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain data; the vocabulary by name and words."""
        words = {"name": self.vocabulary.name, "words": list(self.vocabulary.words)}
        apart = {"vocabulary", "preprocessing", "attributes", "weights_hash"}
        plain = {key: value for key, value in vars(self).items() if key not in apart}
        return {
            **plain,
            "limits": list(self.limits),
            "vocabulary": words,
            "preprocessing": self.preprocessing.to_json(),
            "attributes": [attribute.to_json() for attribute in self.attributes],
        }


@dataclass(frozen=True)
class Model:
    """A network in evaluation mode, float32 on the CPU, with its card."""

    network: nn.Module
    card: Card


def save_model(folder: Path, network: nn.Module, card: Card, readme: str, dtype: str = "float32") -> None:
    """Write a model folder, replacing one that is there, as a whole or not at all.

    `dtype` is how weights are stored: float32, float16 or bfloat16. Raises `BadModelFolder` for weights
    that are not finite, in the network or once stored, and `OutputError` where it cannot be written or
    where a folder lies that is no model.
    """
    if dtype not in DTYPES:
        raise SettingsError(f"Weights can be stored as {', '.join(DTYPES)}, not as {dtype!r}.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / CONFIG).is_file():
        raise OutputError(f"{folder} holds something else than a model; it is not replaced. Choose another.")
    stored = {name: _narrowed(value, DTYPES[dtype]) for name, value in network.state_dict().items()}
    broken = [name for name, value in stored.items() if not torch.isfinite(value).all()]
    if broken:
        raise BadModelFolder(folder, f"weights are not finite: {broken[0]}.", "Nothing was written.")
    weights = save(stored, {"format": "pt"})
    ours = {
        "format_version": FORMAT_VERSION,
        **card.to_json(),
        "weights": {"sha256": hashlib.sha256(weights).hexdigest(), "bytes": len(weights), "dtype": dtype},
    }
    config = {**_for_others(card), "affectlens": {**ours, CONFIG_HASH: _hash_of(ours)}}
    text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    with atomic_folder(folder) as temporary:
        (temporary / WEIGHTS).write_bytes(weights)
        (temporary / README).write_text(readme, encoding="utf-8")
        (temporary / CONFIG).write_text(text, encoding="utf-8")


def load_card(folder: Path) -> Card:
    """Read the card alone, without the weights. Raises `ModelNotFound` or `BadModelFolder`."""
    return _card(folder, _config(folder))


def load_model(folder: Path) -> Model:
    """Load a network ready for use. Raises `ModelNotFound` or `BadModelFolder` with what is wrong."""
    config = _config(folder)
    card = _card(folder, config)
    state = _weights(folder, config["weights"])
    if "weights" in card.network_options:  # or a stranger's folder could have any file read, or fetched
        raise BadModelFolder(folder, "its options name other weights to begin with.")
    try:
        network = catalog.build(card.network, len(card.vocabulary), **card.network_options)
    except Exception as error:  # the options come from a file, and may be anything
        raise BadModelFolder(folder, f"its network cannot be built: {error}") from None
    _check_fit(folder, network, state)
    network.load_state_dict(state)
    return Model(network.eval(), card)


def round_weights(network: nn.Module, dtype: str) -> None:
    """Round a network's weights in place to what `save_model` stores, so that it can be measured as used."""
    exact = network.state_dict()
    network.load_state_dict({n: _narrowed(v, DTYPES[dtype]).to(v.dtype) for n, v in exact.items()})


def _hash_of(config: Mapping[str, Any]) -> str:
    """Hash what a config says, however it is laid out in the file."""
    as_read = json.loads(json.dumps(config))  # numbers as keys become text, as in the file
    return hashlib.sha256(json.dumps(as_read, sort_keys=True).encode()).hexdigest()


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


def _config(folder: Path) -> dict[str, Any]:
    file = folder / CONFIG
    if not file.is_file():
        raise ModelNotFound(
            f"{folder} is no model folder: it has no {CONFIG}. Pass a folder written by training."
        )
    try:
        if file.stat().st_size > MAX_CONFIG_BYTES:
            raise BadModelFolder(folder, f"{CONFIG} is {file.stat().st_size:,} bytes long.")
        ours: dict[str, Any] = json.loads(file.read_bytes().decode("utf-8"))["affectlens"]
        version = ours["format_version"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadModelFolder(folder, f"{CONFIG} is damaged or not ours ({type(error).__name__}).") from None
    if version != FORMAT_VERSION:
        raise BadModelFolder(
            folder, f"it is of format {version!r}; this version reads format {FORMAT_VERSION}.",
            "Install the version of affectlens that wrote it.",
        )  # fmt: skip
    # A changed digit of the mean or the temperature would give other answers and no error.
    if ours.pop(CONFIG_HASH, None) != _hash_of(ours):
        raise BadModelFolder(
            folder, f"{CONFIG} was changed after it was written (its hash differs).",
            "Get the model again; to change its card, load it and save it with another.",
        )  # fmt: skip
    return ours


def _card(folder: Path, config: dict[str, Any]) -> Card:
    try:
        words = vocabulary(config["vocabulary"]["name"])
        if list(words.words) != config["vocabulary"]["words"]:
            raise BadModelFolder(
                folder, f"its words of {words.name} are others or in another order than ours."
            )
        temperature = float(config["temperature"])
        if not 0.01 <= temperature <= 100:
            raise ValueError("temperature")
        card = Card(
            name=str(config["name"]),
            network=str(config["network"]),
            network_options=dict(config["network_options"]),
            vocabulary=words,
            preprocessing=Preprocessing.from_json(config["preprocessing"]),
            attributes=tuple(map(Attribute.from_json, config.get("attributes", ()))),  # older cards have none
            temperature=temperature,
            training=dict(config["training"]),
            scores=dict(config["scores"]),
            licences=dict(config["licences"]),
            limits=tuple(map(str, config["limits"])),
            weights_hash=str(config["weights"]["sha256"]),
        )
    except BadModelFolder:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, AffectLensError) as error:
        raise BadModelFolder(folder, f"{CONFIG} lacks or spoils an entry: {error}.") from None
    sizes = {a.name: {"words": len(a), "several": a.several} for a in card.attributes}
    if card.attributes and sizes != card.network_options.get("attributes"):
        raise BadModelFolder(folder, f"{CONFIG} has words of other attributes than its network answers.")
    return card


def _weights(folder: Path, expected: Any) -> dict[str, Tensor]:
    """Read and check the weights' bytes, then their form; floats come back as float32."""
    file = folder / WEIGHTS
    try:
        found = file.stat().st_size
        size, digest = int(expected["bytes"]), str(expected["sha256"])
    except OSError as error:
        raise BadModelFolder(folder, f"{WEIGHTS} cannot be read: {error.strerror}.") from None
    except (KeyError, TypeError, ValueError, OverflowError):
        raise BadModelFolder(folder, f"{CONFIG} does not say what {WEIGHTS} should be.") from None
    if found != size or not file.is_file():
        raise BadModelFolder(folder, f"{WEIGHTS} has {found:,} bytes, not {size:,}: the copy is incomplete.")
    try:
        data = file.read_bytes()
    except OSError as error:
        raise BadModelFolder(folder, f"{WEIGHTS} cannot be read: {error.strerror}.") from None
    if hashlib.sha256(data).hexdigest() != digest:
        raise BadModelFolder(folder, f"{WEIGHTS} is not the file that {CONFIG} describes (its hash differs).")
    try:
        state = load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise BadModelFolder(folder, f"{WEIGHTS} is no safetensors file: {error}.") from None
    for name, value in state.items():
        if value.is_floating_point() and value.dtype not in DTYPES.values():
            raise BadModelFolder(folder, f"{name} is stored as {value.dtype}; expected {', '.join(DTYPES)}.")
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise BadModelFolder(folder, f"{name} holds values that are not finite.")
    return {name: v.to(torch.float32) if v.is_floating_point() else v for name, v in state.items()}


def _check_fit(folder: Path, network: nn.Module, state: dict[str, Tensor]) -> None:
    wanted = network.state_dict()
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
