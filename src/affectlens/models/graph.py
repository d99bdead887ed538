"""A network as a graph (ONNX) whose weights are those of the safetensors file next to it.

Each weight of the graph is a reference into that file (`graph_weights`). Weights stored in float16 or
bfloat16 are cast to float32 by the graph, as torch does on loading; engines fold the casts when they load it.

Letters: B images, H x W pixels, E emotions.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from affectlens.errors import MissingExtra, SettingsError, first_line
from affectlens.extras import TRAIN
from affectlens.graph_weights import STORED, name_in_file, refer, stored_weights
from affectlens.model_folder import GRAPH_INPUT
from affectlens.models.graph_outputs import GraphNetwork
from affectlens.preprocess import Preprocessing

_LARGEST_BATCH = 1 << 20
_LARGEST_CONSTANT, _LARGEST_FOLDED = 64, 1 << 14  # numbers that go into folding, and that come out of it


def export_graph(network: GraphNetwork, preprocessing: Preprocessing, weights: bytes) -> bytes:
    """Return the graph of a network: images (B, 3, H, W) -> what `GraphNetwork` names, float32.

    `weights` are the bytes of the safetensors file that the graph refers to, by the name `model.safetensors`.
    Raises `SettingsError` for a network that cannot be exported, and `MissingExtra` where ONNX is missing.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401 - what torch exports by
    except ImportError as error:
        raise MissingExtra("Writing a graph", error.name or "onnx", TRAIN.name) from None
    images = torch.zeros(2, 3, preprocessing.height, preprocessing.width)
    batch = torch.export.Dim("batch", min=1, max=_LARGEST_BATCH)
    try:
        with _silence():
            program = torch.onnx.export(
                network, (images,), dynamo=True, input_names=[GRAPH_INPUT], output_names=list(network.names),
                dynamic_shapes=({0: batch},), optimize=False, verbose=False,
            )  # fmt: skip
    except Exception as error:  # the exporter raises whatever a network's own code does
        raise SettingsError(f"This network cannot be written as a graph: {first_line(error)}.") from None
    assert program is not None
    _fold_constants(program.model)
    model = program.model_proto
    _refer(model.graph, weights)
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    return bytes(model.SerializeToString())


def _fold_constants(model: Any) -> None:
    """Compute what depends on no picture once and for all, but for what weights become.

    ONNX Runtime folds no `CastLike`, by which the exporter makes offsets of zero and the ends of activations;
    without these as constants it fuses neither normalisation nor activations with convolutions, which takes
    longer. Weights stay what the weights file holds, so that the graph can refer to it.
    """
    from onnxscript.optimizer import fold_constants, remove_unused_nodes

    def may_fold(node: Any) -> bool | None:
        constants = (each.const_value for each in node.inputs if each is not None)
        # None leaves it to the library, which would also transpose weights, whatever their size.
        return (
            False if any(each is not None and each.size > _LARGEST_CONSTANT for each in constants) else None
        )

    fold_constants(model, output_size_limit=_LARGEST_FOLDED, should_fold=may_fold)
    remove_unused_nodes(model)


def _refer(graph: Any, weights: bytes) -> None:
    """Replace each weight by a reference into the safetensors file, and a cast to float32 where needed."""
    from onnx import TensorProto, helper

    stored = stored_weights(weights)
    references, casts, own = [], [], []
    for weight in graph.initializer:
        entry = stored.get(name_in_file(weight.name))
        # A constant of the network's code, or positions that were interpolated.
        if entry is None or tuple(weight.dims) != entry.shape:
            own.append(weight)
            continue
        reference = TensorProto(name=weight.name)
        refer(reference, entry)
        if reference.data_type != weight.data_type:
            reference.name = f"{weight.name}{STORED}"
            casts.append(helper.make_node("Cast", [reference.name], [weight.name], to=weight.data_type))
        references.append(reference)
    nodes = list(graph.node)
    del graph.initializer[:], graph.node[:], graph.value_info[:]
    graph.initializer.extend([*references, *own])
    graph.node.extend([*casts, *nodes])


@contextmanager
def _silence() -> Iterator[None]:
    """Keep the exporter's remarks about its own versions from the user."""
    level = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.getLogger("torch.onnx").setLevel(level)
