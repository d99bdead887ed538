"""A model folder's graph as one ONNX file that needs nothing else: weights, labels and card are in it.

To what the model's graph returns, `probabilities` (B, E) are added: softmax(logits / temperature). Facts of
the model are metadata of the file (`METADATA`).

Letters: B pictures, E emotions.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affectlens.errors import MissingExtra, SettingsError
from affectlens.extras import ONNX
from affectlens.model_folder import GRAPH, GRAPH_LOGITS, Card, read_graph
from affectlens.version import VERSION

PROBABILITIES = "probabilities"  # an output of exported files, (B, E)
PRECISIONS = ("float32", "float16")  # that weights are stored in
# Keys of a file's metadata: JSON with all that `facts` returns; the words in order, as JSON; and the card.
METADATA, LABELS, CARD = "affectlens", "labels", "card"

_LARGEST = 2**31 - 2**20  # bytes: Protocol Buffers, of which an ONNX file is made, end at 2 GiB
_SMALL = 256  # numbers: an array of fewer stays in float32, where halving it gains nothing


def facts(card: Card, precision: str) -> dict[str, Any]:
    """Return what a program must know to use an exported file, as plain data."""
    return {
        "name": card.name,
        "network": card.network,
        "vocabulary": card.vocabulary.name,
        "labels": list(card.vocabulary.words),
        "temperature": card.temperature,
        "preprocessing": card.preprocessing.to_json(),
        "ratings": [scale.to_json() for scale in card.ratings],
        "precision": precision,
        "weights_hash": card.weights_hash,
        "version": VERSION,
        "licences": dict(card.licences),
    }


def standalone_graph(folder: Path, precision: str = "float32") -> Any:
    """Read a model folder's graph and its weights into one `onnx.ModelProto`, weights in `precision`.

    In float16 weights take half the room; what is computed stays float32, so that answers hardly change.
    Metadata are added by `set_metadata`.
    Raises `ModelNotFound`, `BadModelFolder`, also where the folder has no graph, `MissingExtra`, and
    `SettingsError` for weights that float16 does not hold, or too many for one file.
    """
    onnx = require_onnx("Exporting a model")
    card = read_graph(folder)
    model = onnx.load(str(folder / GRAPH))  # which reads the weights at their offsets
    _store_weights(model.graph, precision)
    _add_probabilities(model.graph, card.temperature)
    model.producer_name, model.producer_version = "affectlens", VERSION
    return model


def serialised(model: Any) -> bytes:
    """Return the bytes of a graph. Raises `SettingsError` where they are more than one file holds."""
    size = sum(len(weight.raw_data) for weight in model.graph.initializer)
    if size > _LARGEST:
        raise SettingsError(
            f"The weights take {size / 2**30:.1f} GiB, and one ONNX file holds less than 2. Export them with "
            "--precision float16, or as OpenVINO's format."
        )
    data: bytes = model.SerializeToString()
    return data


def set_metadata(model: Any, entries: Mapping[str, Any]) -> None:
    """Replace a graph's metadata; values that are not text become JSON. `LABELS` follow from the facts."""
    labels = {LABELS: entries[METADATA]["labels"]}
    del model.metadata_props[:]
    for key, value in {**labels, **entries}.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        model.metadata_props.add(key=key, value=text)


def require_onnx(what: str) -> Any:
    """Import the library `onnx`. Raises `MissingExtra`, whose sentence `what` begins."""
    try:
        import onnx
    except ImportError:
        raise MissingExtra(what, ONNX.library, ONNX.name) from None
    return onnx


def _store_weights(graph: Any, precision: str) -> None:
    """Bring all weights to float32 or float16, with the casts that the latter takes."""
    from onnx import TensorProto, helper, numpy_helper

    arrays = {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer}
    floats, others = _folded(graph, arrays)
    kept, casts = [], []
    for name, values in floats.items():
        is_halved = precision == "float16" and values.size >= _SMALL
        stored = halved(name, values) if is_halved else values
        kept.append(numpy_helper.from_array(stored, f"{name}.half" if is_halved else name))
        if is_halved:
            casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = list(graph.node)
    del graph.initializer[:], graph.node[:], graph.value_info[:]
    graph.initializer.extend([*kept, *(numpy_helper.from_array(each, name) for name, each in others.items())])
    graph.node.extend([*casts, *nodes])


def _folded(
    graph: Any, arrays: Mapping[str, NDArray[Any]]
) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[Any]]]:
    """Return weights in float32 without the casts that read them, and other arrays, as shapes."""
    from onnx import TensorProto

    casts = {
        node.input[0]: node.output[0]
        for node in graph.node
        if node.op_type == "Cast" and node.input[0] in arrays and node.attribute[0].i == TensorProto.FLOAT
    }
    kept = [node for node in graph.node if not (node.op_type == "Cast" and node.input[0] in casts)]
    del graph.node[:]
    graph.node.extend(kept)
    floats: dict[str, NDArray[np.float32]] = {}
    others: dict[str, NDArray[Any]] = {}
    for name, values in arrays.items():
        if name in casts or values.dtype == np.float32:
            floats[casts.get(name, name)] = np.ascontiguousarray(values, dtype=np.float32)
        else:
            others[name] = values
    return floats, others


def halved(name: str, values: NDArray[np.float32]) -> NDArray[np.float16]:
    """Round weights to float16. Raises `SettingsError` where that does not hold them."""
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float16)
    if not np.isfinite(rounded).all():
        raise SettingsError(
            f"{name} has numbers that float16 does not hold. Export with --precision float32."
        )
    return rounded


def _add_probabilities(graph: Any, temperature: float) -> None:
    from onnx import TensorProto, helper, numpy_helper

    (logits,) = (each for each in graph.output if each.name == GRAPH_LOGITS)
    shape = [each.dim_param or each.dim_value for each in logits.type.tensor_type.shape.dim]
    divisor = f"{PROBABILITIES}.temperature"
    graph.initializer.append(numpy_helper.from_array(np.array(temperature, np.float32), divisor))
    scaled = f"{PROBABILITIES}.scaled"
    graph.node.append(helper.make_node("Div", [GRAPH_LOGITS, divisor], [scaled]))
    graph.node.append(helper.make_node("Softmax", [scaled], [PROBABILITIES], axis=-1))
    outputs = [helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, shape), *graph.output]
    del graph.output[:]
    graph.output.extend(outputs)


def names_of(values: Iterable[Any]) -> tuple[str, ...]:
    """Return the names of a graph's inputs or outputs."""
    return tuple(each.name for each in values)
