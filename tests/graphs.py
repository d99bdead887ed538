"""A small model that is made without torch: its graph is written byte by byte, as ONNX stores it.

It averages each quarter of a picture, and multiplies the twelve means by a matrix: `MATRIX` (12, 8), `OFFSET`
(8,). So its answers differ from picture to picture, and can be computed by hand. One with ratings,
`write_rated`, reads these as well: each of a quarter of its own, `RATED` (12, 2).
"""

import json
import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affectlens.emotions import MIKELS
from affectlens.images import Pixels
from affectlens.model_folder import GRAPH_INPUT, GRAPH_LOGITS, GRAPH_RATINGS, WEIGHTS, Card, write_model
from affectlens.preprocess import Preprocessing
from affectlens.ratings import RatingHead, RatingScale

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

SCALES = tuple(
    RatingScale(name=name, coverages=(0.5, 0.9), half_widths=(0.5, 1.5)) for name in ("valence", "arousal")
)
# Two points of valence for a standard deviation of the upper left quarter; of arousal, by the lower right.
RATED = np.zeros((12, 2), np.float32)
RATED[[0, 4, 8], 0], RATED[[3, 7, 11], 1] = 2 / 3, -1 / 3
RATED_OFFSET = np.array([5, 4], np.float32)

FLOAT, INTEGER, INTEGERS = 1, 2, 7  # types of tensors and of attributes


def write(folder: Path, card: Card = CARD) -> Path:
    """Write the model's folder, and return it; with ratings where the card has `SCALES`."""
    header, data, offsets = {}, b"", {}
    rows = {f"{name}/{scale.name}": values[..., index : index + 1].copy()
            for index, scale in enumerate(card.ratings)
            for name, values in {"rated": RATED, "rated offset": RATED_OFFSET}.items()}  # fmt: skip
    for name, values in {"matrix": MATRIX, "offset": OFFSET, **rows}.items():
        begin, data = len(data), data + values.tobytes()
        header[name] = {"dtype": "F32", "shape": values.shape, "data_offsets": (begin, len(data))}
        offsets[name] = begin
    text = json.dumps(header).encode()
    weights = struct.pack("<Q", len(text)) + text + data
    first = len(weights) - len(data)
    names = [scale.name for scale in card.ratings]
    graph = graph_of({name: first + offset for name, offset in offsets.items()}, names)
    heads = RatingHead(RATED.T, RATED_OFFSET).tensors() if names else None
    write_model(
        folder,
        card,
        weights,
        "A model for tests.\n",
        dtype="float32",
        for_others={},
        graph=graph,
        heads=heads,
    )
    return folder


def write_rated(folder: Path, **changes: Any) -> Path:
    """Write the folder of the same model with valence and arousal, and return it."""
    return write(folder, replace(CARD, ratings=SCALES, **changes))


def ratings_of(pixels: Pixels) -> NDArray[np.float64]:
    """Compute the ratings that its graph computes: fitted pixels, uint8 (B, SIDE, SIDE, 3) -> (B, 2)."""
    ratings: NDArray[np.float64] = means_of(pixels) @ RATED + RATED_OFFSET
    return ratings


def logits_of(pixels: Pixels) -> NDArray[np.float64]:
    """Compute what the graph computes: fitted pixels, uint8 (B, SIDE, SIDE, 3) -> (B, 8)."""
    logits: NDArray[np.float64] = means_of(pixels) @ MATRIX + OFFSET
    return logits


def means_of(pixels: Pixels) -> NDArray[np.float64]:
    """Average each channel of each quarter: (B, SIDE, SIDE, 3) -> (B, 12)."""
    images = CARD.preprocessing.normalise(pixels).astype(float)
    half = SIDE // 2
    quarters: NDArray[np.float64] = images.reshape(len(images), 3, 2, half, 2, half).mean(axis=(3, 5))
    return quarters.reshape(len(images), 12)


# -------------------------------------------------------------------------------- ONNX, as protobuf stores it


def graph_of(offsets: dict[str, int], ratings: Sequence[str] = ()) -> bytes:
    """Return the model as ONNX, with weights at these offsets in the file of weights, and ratings by name."""
    half = SIDE // 2
    nodes = (
        node("AveragePool", [GRAPH_INPUT], "quarters", kernel_shape=[half, half], strides=[half, half]),
        node("Flatten", ["quarters"], "means"),
        node("Gemm", ["means", "matrix", "offset"], GRAPH_LOGITS),
        *(each for name in ratings for each in (
            node("Gemm", ["means", f"rated/{name}", f"rated offset/{name}"], f"column/{name}"),
            node("ReduceMean", [f"column/{name}"], f"{GRAPH_RATINGS}{name}", axes=[1], keepdims=0),
        )),
    )  # fmt: skip
    graph = b"".join(field(1, each) for each in nodes) + field(2, b"tiny")
    graph += field(5, weight("matrix", MATRIX, offsets["matrix"]))
    graph += field(5, weight("offset", OFFSET, offsets["offset"]))
    for index, name in enumerate(ratings):
        graph += field(5, weight(f"rated/{name}", RATED[:, index : index + 1], offsets[f"rated/{name}"]))
        bias, offset = RATED_OFFSET[index : index + 1], offsets[f"rated offset/{name}"]
        graph += field(5, weight(f"rated offset/{name}", bias, offset))
    graph += field(11, value(GRAPH_INPUT, ("batch", 3, SIDE, SIDE)))
    graph += field(12, value(GRAPH_LOGITS, ("batch", len(MIKELS))))
    for name in ratings:
        graph += field(12, value(f"{GRAPH_RATINGS}{name}", ("batch",)))
    version, operators = 8, 17
    return field(1, version) + field(7, graph) + field(8, field(1, b"") + field(2, operators))


def node(operator: str, inputs: list[str], output: str, **attributes: int | list[int]) -> bytes:
    given = b"".join(field(1, name.encode()) for name in inputs)
    options = (
        field(1, name.encode())
        + (
            field(3, numbers) + field(20, INTEGER)
            if isinstance(numbers, int)
            else b"".join(field(8, number) for number in numbers) + field(20, INTEGERS)
        )
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
