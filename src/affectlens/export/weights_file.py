"""A model's weights as one safetensors file, for programs that build the network themselves.

Names are those of the network's state in torch; facts of the model are the file's metadata.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from affectlens.errors import SettingsError
from affectlens.export.graph_file import METADATA, halved
from affectlens.graph_weights import stored_weights

_NUMBERS = {"F32": np.float32, "F16": np.float16, "I64": np.int64}


def weights_file(weights: bytes, facts: Mapping[str, Any], precision: str) -> bytes:
    """Return the bytes of a safetensors file with all weights in float32 or float16.

    Raises `SettingsError` for numbers that float16 does not hold.
    """
    found = {}
    for name, values in _arrays(weights).items():
        if values.dtype != np.float32:
            found[name] = values
        else:
            found[name] = halved(name, values) if precision == "float16" else values
    metadata = {"format": "pt", METADATA: json.dumps(facts, ensure_ascii=False)}
    data: bytes = safetensors.numpy.save(found, metadata)
    return data


def _arrays(weights: bytes) -> dict[str, NDArray[Any]]:
    """Read a safetensors file; floating numbers come back as float32, bfloat16 among them."""
    found: dict[str, NDArray[Any]] = {}
    for name, entry in stored_weights(weights).items():
        data = weights[entry.offset : entry.offset + entry.length]
        if entry.dtype == "BF16":
            # The upper half of a float32.
            values = (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32)
        elif entry.dtype in _NUMBERS:
            values = np.frombuffer(data, _NUMBERS[entry.dtype])
        else:
            raise SettingsError(f"{name} is stored as {entry.dtype}, which cannot be exported.")
        is_float = np.issubdtype(values.dtype, np.floating)
        found[name] = values.astype(np.float32 if is_float else values.dtype).reshape(entry.shape)
    return found
