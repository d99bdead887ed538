"""A small model that is made without torch: its graph is written byte by byte, as ONNX stores it.

It averages each quarter of a picture, and multiplies the twelve means by a matrix: `MATRIX` (12, 8), `OFFSET`
(8,). So its answers differ from picture to picture, and can be computed by hand.
"""

import json
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from affectlens.emotions import MIKELS
from affectlens.images import Pixels
from affectlens.model_folder import GRAPH_INPUT, GRAPH_LOGITS, WEIGHTS, Card, write_model
from affectlens.preprocess import Preprocessing

SIDE = 96
CARD = Card(
    name="tiny",
    network="means of quarters",
    vocabulary=MIKELS,
    preprocessing=Preprocessing(height=SIDE, width=SIDE),
    temperature=1.5,
)
_random = np.random.default_rng(0)
MATRIX = _random.normal(size=(12, len(MIKELS))).astype(np.float32)
OFFSET = _random.normal(size=len(MIKELS)).astype(np.float32)

FLOAT, INTEGERS = 1, 7  # types of tensors and of attributes


def write(folder: Path, card: Card = CARD) -> Path:
    """Write the model's folder, and return it."""
    header, data, offsets = {}, b"", {}
    for name, values in {"matrix": MATRIX, "offset": OFFSET}.items():
        begin, data = len(data), data + values.tobytes()
        header[name] = {"dtype": "F32", "shape": values.shape, "data_offsets": (begin, len(data))}
        offsets[name] = begin
    text = json.dumps(header).encode()
    weights = struct.pack("<Q", len(text)) + text + data
    first = len(weights) - len(data)
    graph = graph_of({name: first + offset for name, offset in offsets.items()})
    write_model(folder, card, weights, "A model for tests.\n", dtype="float32", for_others={}, graph=graph)
    return folder


def logits_of(pixels: Pixels) -> NDArray[np.float64]:
    """Compute what the graph computes: fitted pixels, uint8 (B, SIDE, SIDE, 3) -> (B, 8)."""
    images = CARD.preprocessing.normalise(pixels).astype(float)
    half = SIDE // 2
    quarters = images.reshape(len(images), 3, 2, half, 2, half).mean(axis=(3, 5))
    logits: NDArray[np.float64] = quarters.reshape(len(images), 12) @ MATRIX + OFFSET
    return logits


# -------------------------------------------------------------------------------- ONNX, as protobuf stores it


def graph_of(offsets: dict[str, int]) -> bytes:
    """Return the model as ONNX, with weights at these offsets in the file of weights."""
    half = SIDE // 2
    nodes = (
        node("AveragePool", [GRAPH_INPUT], "quarters", kernel_shape=[half, half], strides=[half, half]),
        node("Flatten", ["quarters"], "means"),
        node("Gemm", ["means", "matrix", "offset"], GRAPH_LOGITS),
    )
    graph = b"".join(field(1, each) for each in nodes) + field(2, b"tiny")
    graph += field(5, weight("matrix", MATRIX, offsets["matrix"]))
    graph += field(5, weight("offset", OFFSET, offsets["offset"]))
    graph += field(11, value(GRAPH_INPUT, ("batch", 3, SIDE, SIDE)))
    graph += field(12, value(GRAPH_LOGITS, ("batch", len(MIKELS))))
    version, operators = 8, 17
    return field(1, version) + field(7, graph) + field(8, field(1, b"") + field(2, operators))


def node(operator: str, inputs: list[str], output: str, **attributes: list[int]) -> bytes:
    given = b"".join(field(1, name.encode()) for name in inputs)
    options = (
        field(1, name.encode()) + b"".join(field(8, number) for number in numbers) + field(20, INTEGERS)
        for name, numbers in attributes.items()
    )
    return (
        given
        + field(2, output.encode())
        + field(4, operator.encode())
        + b"".join(field(5, o) for o in options)
    )


def weight(name: str, values: NDArray[np.float32], offset: int) -> bytes:
    external, where = 1, {"location": WEIGHTS, "offset": str(offset), "length": str(values.nbytes)}
    entries = (field(1, key.encode()) + field(2, text.encode()) for key, text in where.items())
    return (
        b"".join(field(1, side) for side in values.shape)
        + field(2, FLOAT)
        + field(8, name.encode())
        + b"".join(field(13, entry) for entry in entries)
        + field(14, external)
    )


def value(name: str, shape: tuple[int | str, ...]) -> bytes:
    sides = (field(2, side.encode()) if isinstance(side, str) else field(1, side) for side in shape)
    tensor = field(1, FLOAT) + field(2, b"".join(field(1, side) for side in sides))
    return field(1, name.encode()) + field(2, field(1, tensor))


def field(number: int, content: int | bytes) -> bytes:
    """Return a field of a message: a whole number, or bytes with their length before them."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(number: int) -> bytes:
    """Return a number as seven bits a byte, the lowest first; the highest bit is set if more follow."""
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])
