"""A graph's weights (ONNX) as references into the safetensors file next to it, by offset; no torch is needed.

Each weight is stored once, for the network in torch and for the graph. The graph names the weight W of a
network `network.W`, and `network.W.stored` where it is cast to float32 when the graph is loaded.
"""

import json
from dataclasses import dataclass
from typing import Any

from affectlens.model_folder import WEIGHTS

NETWORK = "network"  # what precedes the names of a network's weights in its graph
STORED = ".stored"  # what follows them where a cast to float32 reads them

_LENGTH = 8  # bytes at the beginning of a safetensors file: how long its header is
_TYPES = {"F32": "FLOAT", "F16": "FLOAT16", "BF16": "BFLOAT16", "I64": "INT64"}


@dataclass(frozen=True)
class StoredWeight:
    """A weight of a safetensors file: its type by the format's name, its shape, and its bytes in the file."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
    length: int


def stored_weights(weights: bytes) -> dict[str, StoredWeight]:
    """Read the header of a safetensors file: its weights by name."""
    length = int.from_bytes(weights[:_LENGTH], "little")
    header = json.loads(weights[_LENGTH : _LENGTH + length])
    begin = _LENGTH + length
    return {
        name: StoredWeight(
            entry["dtype"],
            tuple(entry["shape"]),
            begin + entry["data_offsets"][0],
            entry["data_offsets"][1] - entry["data_offsets"][0],
        )
        for name, entry in header.items()
        if name != "__metadata__"
    }


def name_in_file(name: str) -> str:
    """Return the name that a graph's weight has in the safetensors file."""
    return name.removeprefix(f"{NETWORK}.").removesuffix(STORED)


def refer(tensor: Any, stored: StoredWeight) -> None:
    """Make a `TensorProto` a reference to a stored weight, of its type and shape."""
    from onnx import TensorProto

    tensor.ClearField("raw_data")
    del tensor.dims[:], tensor.external_data[:]
    tensor.dims.extend(stored.shape)
    tensor.data_type = getattr(TensorProto, _TYPES[stored.dtype])
    tensor.data_location = TensorProto.EXTERNAL
    reference = {"location": WEIGHTS, "offset": stored.offset, "length": stored.length}
    for key, value in reference.items():
        tensor.external_data.add(key=key, value=str(value))
