"""A training run's state as one safetensors file, which is replaced complete or not at all."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor, nn

from affectlens.errors import RunError
from affectlens.files import atomic_write, is_utf8
from affectlens.training.state import State

FORMAT = "1"
_REMEDY = "Put it back from a copy, or start another run."
# Names of tensors that hold the moving average begin so. They are part of the hashes of lineages, so the word
# stays as it was.
_EMA = "average."


def save_state(file: Path, state: State, notes: dict[str, Any]) -> None:
    """Write network, moving average (EMA), optimizer and step; `notes` is JSON that travels along."""
    header = {"format": FORMAT, "step": str(state.step), "notes": json.dumps(notes)}
    _write(file, _tensors(state), header)


def hash_state(state: State) -> str:
    """Hash all that `save_state` writes of a state: 64 hex digits, the same after loading it again."""
    found = hashlib.sha256(str(state.step).encode())
    for name, value in sorted(_tensors(state).items()):
        found.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        found.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def read_notes(file: Path) -> dict[str, Any]:
    """Read the notes of a state or of weights alone. Raises `RunError`."""
    _, header = _read(file, tensors=False)
    return _notes(file, header)


def read_step(file: Path) -> int:
    """Read after which step a state was written. Raises `RunError`."""
    _, header = _read(file, tensors=False)
    try:
        return int(header["step"])
    except (KeyError, ValueError) as error:
        raise RunError(f"The checkpoint {file} cannot be read: {error}. {_REMEDY}") from None


def _tensors(state: State) -> dict[str, Tensor]:
    tensors = {f"network.{name}": value for name, value in state.network.state_dict().items()}
    if state.ema is not None:
        tensors |= {f"{_EMA}{name}": v for name, v in state.ema.module.state_dict().items()}
    for index, values in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in values.items()}
    return tensors


def load_state(file: Path, state: State) -> dict[str, Any]:
    """Restore a state that `State.start` made with the same settings; return the notes.

    Raises `RunError` for a file that is damaged or of another network.
    """
    tensors, header = _read(file)
    try:
        state.network.load_state_dict(_below(tensors, "network."))
        if state.ema is not None:
            state.ema.module.load_state_dict(_below(tensors, _EMA))
        parameters = [p for group in state.optimizer.param_groups for p in group["params"]]
        slots: dict[int, dict[str, Tensor]] = {}
        for name, value in _below(tensors, "optimizer.").items():
            index, _, key = name.partition(".")
            slots.setdefault(int(index), {})[key] = _laid_out_like(parameters[int(index)], value)
        groups = state.optimizer.state_dict()["param_groups"]
        state.optimizer.load_state_dict({"state": slots, "param_groups": groups})
        state.step = int(header["step"])
    except (RuntimeError, LookupError, ValueError) as error:
        raise RunError(f"{file} is a checkpoint of another network: {str(error)[:300]}") from None
    return _notes(file, header)


def save_weights(file: Path, network: nn.Module, notes: dict[str, Any]) -> None:
    """Write a network's weights alone."""
    _write(file, dict(network.state_dict()), {"format": FORMAT, "notes": json.dumps(notes)})


def load_weights(file: Path, network: nn.Module) -> dict[str, Any]:
    """Load what `save_weights` wrote into a network of the same shape; return the notes."""
    tensors, header = _read(file)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise RunError(f"{file} holds weights of another network: {str(error)[:300]}") from None
    return _notes(file, header)


def _notes(file: Path, header: Mapping[str, str]) -> dict[str, Any]:
    try:
        return msgspec.json.decode(header["notes"], type=dict[str, Any])
    except (KeyError, ValueError, RecursionError) as error:
        raise RunError(f"The checkpoint {file} cannot be read: {error}. {_REMEDY}") from None


def _write(file: Path, tensors: dict[str, Tensor], header: dict[str, str]) -> None:
    data = save({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, header)
    with atomic_write(file) as out:
        out.write(data)


def _read(file: Path, tensors: bool = True) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        if not is_utf8(file):
            data = file.read_bytes()
            header, found = _metadata(data), load(data)
        else:
            with safe_open(file, framework="pt") as stored:
                header = stored.metadata() or {}
                # Copied out of the map, because the file is about to be replaced.
                names = list(stored.keys()) if tensors else []
                found = {name: torch.clone(stored.get_tensor(name)) for name in names}
    except (SafetensorError, OSError, ValueError, LookupError) as error:
        raise RunError(f"The checkpoint {file} cannot be read: {error}. {_REMEDY}") from None
    if header.get("format") != FORMAT:
        raise RunError(f"The checkpoint {file} is of format {header.get('format')}, not {FORMAT}. {_REMEDY}")
    return found, header


def _metadata(data: bytes) -> dict[str, str]:
    """Read the notes in the header of a safetensors file."""
    found: dict[str, str] = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    return found


def _laid_out_like(parameter: Tensor, value: Tensor) -> Tensor:
    """Give a moment the memory layout of its parameter.

    Files hold tensors row by row. The fused optimizer reads parameter and moments in parallel from memory,
    and would pair the wrong numbers where a convolution's weights lie with their channels last.
    """
    if value.shape != parameter.shape:
        return value
    return torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): v for name, v in tensors.items() if name.startswith(prefix)}
