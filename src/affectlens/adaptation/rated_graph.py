"""Other ratings in a graph (ONNX), read of its features by a linear layer; no torch is needed.

The layer has the names that `models.graph_outputs.GraphNetwork` gives it, so that what calibrates a model
finds it in a graph of either.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from affectlens.adaptation.classifier import without_outputs
from affectlens.model_folder import GRAPH_EMBEDDING, GRAPH_FEATURES, GRAPH_RATINGS
from affectlens.ratings import MOST_PERCENT, RatingHead

WEIGHTS, OFFSETS = "rating_weights", "rating_offsets"
_READ = "ratings read"  # the output of the layer: all ratings of a picture
_HUNDRED = "a hundred percent"
_FLOAT = 1  # TensorProto.FLOAT


def features_output(graph: Any) -> str:
    """Return the name of the output that ratings are read from: all features, or the embedding alone."""
    names = {output.name for output in graph.output}
    return GRAPH_FEATURES if GRAPH_FEATURES in names else GRAPH_EMBEDDING


def graph_with_ratings(graph: bytes, head: RatingHead, names: Sequence[str]) -> bytes:
    """Return a graph that reads these ratings, (B,) each, in the stead of those that it has."""
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load_from_string(graph)
    kept = model.graph
    without_outputs(kept, [each.name for each in kept.output if each.name.startswith(GRAPH_RATINGS)])
    batch = kept.output[0].type.tensor_type.shape.dim[0].dim_param or None
    arrays = {
        WEIGHTS: head.weights,
        OFFSETS: head.offsets,
        **({_HUNDRED: np.array(MOST_PERCENT, np.float32)} if head.percents is not None else {}),
        **{_index_name(index): np.array(index, np.int64) for index in range(len(names))},
    }
    for name, values in arrays.items():
        kept.initializer.append(numpy_helper.from_array(np.asarray(values, order="C"), name))
    kept.node.append(helper.make_node("Gemm", [features_output(kept), WEIGHTS, OFFSETS], [_READ], transB=1))
    for index, name in enumerate(names):
        output = f"{GRAPH_RATINGS}{name}"
        read = f"log-odds of {name}" if head.is_percent(index) else output
        kept.node.append(helper.make_node("Gather", [_READ, _index_name(index)], [read], axis=1))
        if head.is_percent(index):
            kept.node.append(helper.make_node("Sigmoid", [read], [f"share of {name}"]))
            kept.node.append(helper.make_node("Mul", [f"share of {name}", _HUNDRED], [output]))
        kept.output.append(helper.make_tensor_value_info(output, _FLOAT, [batch]))
    changed: bytes = model.SerializeToString()
    return changed


def _index_name(index: int) -> str:
    return f"rating number {index}"
