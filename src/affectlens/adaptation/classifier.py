"""The last linear layers of a model folder, read and replaced in its graph and in its weights, without torch.

Of most networks the logits are what one linear layer reads of an embedding; of a pair they are the mean of
what two read, each of its own part, up to a number that all words of a picture share. A classifier for other
words is the same layers with other rows.

Letters: N pictures, D features of the embedding, E emotions.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from affectlens.errors import SettingsError
from affectlens.graph_weights import StoredWeight, name_in_file, refer, stored_weights
from affectlens.metrics import Doubles
from affectlens.model_folder import (
    GRAPH,
    GRAPH_CLASS_MAPS,
    GRAPH_EMBEDDING,
    GRAPH_GRADIENT_MAPS,
    GRAPH_LOGITS,
    GRAPH_MAP_WEIGHTS,
    Card,
    Heads,
    read_graph,
    read_model,
)

_NAMES = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "I64": "int64"}
_FLOATS = {"F16": np.float16, "F32": np.float32}


class NoLinearClassifier(SettingsError):
    """A model whose answers are not read from its embedding by linear layers alone."""

    def __init__(self, card: Card, reason: str) -> None:
        super().__init__(
            f"A classifier for other words cannot be fitted to {card.name}: {reason}. Start from another "
            "model, as default, or train a network by `affectlens train`."
        )


class Layer(NamedTuple):
    """A linear layer: the names of its weights and of its offsets in the weights file, and its inputs."""

    weights: str
    offsets: str
    features: int


@dataclass(frozen=True)
class Classifier:
    """Rows that read logits of an embedding: weights (E, D), offsets (E,)."""

    weights: Doubles
    offsets: Doubles

    def logits(self, embeddings: NDArray[np.floating]) -> Doubles:
        """Read logits, less the mean over words: (N, D) -> (N, E)."""
        found: Doubles = embeddings.astype(np.float64) @ self.weights.T + self.offsets
        centred: Doubles = found - found.mean(axis=1, keepdims=True)
        return centred


@dataclass(frozen=True)
class ClassifierFolder:
    """A model folder whose classifier can be read and replaced.

    Attributes:
        layers: in the order of their inputs in the embedding
        classifier: what they read together, float64
        dtype: the number format of most weights
        heads: what reads the embedding besides the classifier
        graph: the graph (ONNX), which is not to be changed
    """

    card: Card
    layers: tuple[Layer, ...]
    classifier: Classifier
    dtype: str
    heads: Heads
    graph: Any
    _weights: bytes

    def replaced(self, classifier: Classifier) -> tuple[bytes, bytes]:
        """Return the weights file and the graph with another classifier, which may have other words.

        Its rows are stored in float32. Class maps, where the graph has them, are those of the new words;
        where they cannot be derived from its rows, the graph has none.
        """
        rows = dict(self._rows(classifier))
        weights = _with_weights(self._weights, rows)
        graph = _copied(self.graph)
        _refer_again(graph.graph, weights)
        _set_words(graph.graph, len(classifier.offsets))
        _set_map_weights(graph.graph, self.classifier, classifier)
        return weights, graph.SerializeToString()

    def _rows(self, classifier: Classifier) -> Iterator[tuple[str, NDArray[np.float32]]]:
        begin = 0
        for layer in self.layers:
            part = classifier.weights[:, begin : begin + layer.features]
            # The mean over layers divides by their number; each has the offsets.
            yield layer.weights, (part * len(self.layers)).astype(np.float32)
            yield layer.offsets, classifier.offsets.astype(np.float32)
            begin += layer.features


def open_classifier(folder: Path) -> ClassifierFolder:
    """Read a model folder with its graph.

    Raises `ModelNotFound`, `BadModelFolder`, also for one without a graph, and `NoLinearClassifier`.
    """
    import onnx

    card = read_graph(folder)
    if card.attributes:
        raise NoLinearClassifier(card, "it answers attributes, from which its emotions follow")
    graph = onnx.load_from_string((folder / GRAPH).read_bytes())
    _, weights, heads = read_model(folder)
    try:
        layers = tuple(_layers(graph.graph))
        entries = stored_weights(weights)
        names = [name for layer in layers for name in (layer.weights, layer.offsets)]
        stored = {name: _read(weights, entries, name) for name in names}
    except LookupError as error:
        raise NoLinearClassifier(card, str(error.args[0])) from None
    count = len(layers)
    classifier = Classifier(
        np.concatenate([stored[layer.weights] for layer in layers], axis=1) / count,
        np.sum([stored[layer.offsets] for layer in layers], axis=0) / count,
    )
    return ClassifierFolder(card, layers, classifier, number_format(weights), heads, graph, weights)


def number_format(weights: bytes) -> str:
    """Return the number format of most of the weights."""
    lengths: Counter[str] = Counter()
    for entry in stored_weights(weights).values():
        lengths[entry.dtype] += entry.length
    return _NAMES[lengths.most_common(1)[0][0]]


def _layers(graph: Any) -> Iterator[Layer]:
    """Find the linear layers that read the parts of the embedding. Raises `LookupError` with a reason."""
    makers = {output: node for node in graph.node for output in node.output}
    stored = {weight.name: weight for weight in graph.initializer}
    if GRAPH_EMBEDDING not in makers:
        raise LookupError("its graph has no embedding")
    products = [node for node in graph.node if node.op_type == "Gemm"]
    maker = makers[GRAPH_EMBEDDING]
    # One layer reads all of it, or each of several the part that was concatenated.
    parts = [GRAPH_EMBEDDING]
    if not any(_reads_by_stored_weights(node, GRAPH_EMBEDDING, makers, stored) for node in products):
        parts = list(maker.input) if maker.op_type in ("Concat", "Identity") else []
    for part in parts:
        readers = [node for node in products if _reads_by_stored_weights(node, part, makers, stored)]
        if len(readers) != 1 or len(readers[0].input) != 3:
            raise LookupError("its last layers are not linear ones with offsets")
        weights, offsets = (_stored_name(name, makers, stored) for name in readers[0].input[1:])
        yield Layer(name_in_file(weights), name_in_file(offsets), stored[weights].dims[1])


def _reads_by_stored_weights(
    product: Any, part: str, makers: Mapping[str, Any], stored: Mapping[str, Any]
) -> bool:
    """Whether a product reads a part of the embedding by weights of the network, not by those of ratings."""
    if product.input[0] != part:
        return False
    weights = stored[_stored_name(product.input[1], makers, stored)]
    return bool(weights.data_location == weights.EXTERNAL)


def _stored_name(name: str, makers: Mapping[str, Any], stored: Mapping[str, Any]) -> str:
    """Return the name of the stored weight that a node reads, through the cast that may lie between."""
    cast = makers.get(name)
    found = cast.input[0] if cast is not None and cast.op_type == "Cast" else name
    if found not in stored:
        raise LookupError("its last layers' weights are computed, not stored")
    return found


def _read(weights: bytes, entries: Mapping[str, StoredWeight], name: str) -> Doubles:
    entry = entries.get(name)
    if entry is None:
        raise LookupError(f"{name} is not in its weights file")
    if entry.dtype not in _FLOATS:
        raise LookupError(f"{name} is stored as {entry.dtype}, which needs torch")
    flat = np.frombuffer(weights, _FLOATS[entry.dtype], offset=entry.offset, count=int(np.prod(entry.shape)))
    return flat.reshape(entry.shape).astype(np.float64)


def _with_weights(weights: bytes, changed: Mapping[str, NDArray[np.float32]]) -> bytes:
    """Write a safetensors file again with some of its weights replaced."""
    from safetensors import TensorSpec, deserialize, serialize

    specs, kept = {}, []
    for name, entry in deserialize(weights):  # type: ignore[no-untyped-call]
        new = changed.get(name)
        if new is not None:
            array, dtype, shape = np.ascontiguousarray(new), "float32", new.shape
        else:
            array = np.frombuffer(entry["data"], np.uint8)
            dtype, shape = _NAMES[entry["dtype"]], tuple(entry["shape"])
        kept.append(array)  # or its memory would be free before it is written
        specs[name] = TensorSpec(dtype=dtype, shape=shape, data_ptr=array.ctypes.data, data_len=array.nbytes)
    return bytes(serialize(specs, {"format": "pt"}))


def _copied(model: Any) -> Any:
    from onnx import ModelProto

    copy = ModelProto()
    copy.CopyFrom(model)
    return copy


def _refer_again(graph: Any, weights: bytes) -> None:
    """Make the graph's references those of another weights file with the same names."""
    from onnx import TensorProto

    stored = stored_weights(weights)
    for weight in graph.initializer:
        if weight.data_location == TensorProto.EXTERNAL:
            refer(weight, stored[name_in_file(weight.name)])


def _set_words(graph: Any, count: int) -> None:
    for output in graph.output:
        if output.name in (GRAPH_LOGITS, GRAPH_CLASS_MAPS):
            output.type.tensor_type.shape.dim[1].dim_value = count


def _set_map_weights(graph: Any, former: Classifier, new: Classifier) -> None:
    """Give the class maps the rows of the new words, or take them out of the graph.

    Where a map is read as its mean over cells, what a cell adds is its part of the centred row.
    """
    from onnx import numpy_helper

    # What a transformer's class token reads follows from its classifier, whose rows are others now.
    without_outputs(graph, [GRAPH_GRADIENT_MAPS])
    every = [weight for weight in graph.initializer if weight.name.startswith(GRAPH_MAP_WEIGHTS)]
    if not every:
        return
    held = every[0]
    before, rows = numpy_helper.to_array(held).astype(np.float64), _centred(former.weights)
    if len(every) == 1 and before.shape == (*rows.shape, 1, 1):
        scale = float((before[:, :, 0, 0] * rows).sum() / (rows**2).sum())
        if np.allclose(before[:, :, 0, 0], scale * rows, atol=1e-3 * np.abs(before).max()):
            made = (scale * _centred(new.weights))[:, :, None, None].astype(np.float32)
            held.CopyFrom(numpy_helper.from_array(made, GRAPH_MAP_WEIGHTS))
            for node in graph.node:
                if GRAPH_MAP_WEIGHTS in node.input:
                    del node.input[2:]  # offsets, which are zero, as many as there were words
            return
    without_outputs(graph, [GRAPH_CLASS_MAPS])


def _centred(rows: Doubles) -> Doubles:
    centred: Doubles = rows - rows.mean(axis=0)
    return centred


def without_outputs(graph: Any, names: Collection[str]) -> None:
    """Take outputs out of a graph, with the nodes and weights that nothing else reads."""
    left = [output for output in graph.output if output.name not in names]
    del graph.output[:]
    graph.output.extend(left)
    needed, nodes = {output.name for output in left}, []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed |= set(node.input)
            nodes.append(node)
    weights = [weight for weight in graph.initializer if weight.name in needed]
    _replace_all(graph.node, list(reversed(nodes)))
    _replace_all(graph.initializer, weights)


def _replace_all(field: Any, values: Sequence[Any]) -> None:
    del field[:]
    field.extend(values)
