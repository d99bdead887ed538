"""A graph in whole numbers of eight bits: static quantisation by calibration pictures (ONNX Runtime).

Weights are int8 with a scale for each channel, activations uint8 with one scale for each tensor, found on
the calibration pictures; the graph has pairs of QuantizeLinear and DequantizeLinear (QDQ), which ONNX
Runtime and OpenVINO fuse. Of transformers, products with weights are quantised: convolutions next to them
are not, since that cost the default model accuracy and made it hardly faster (docs/results/precisions.md).
Of other networks, convolutions are. The last linear layers, which cost nothing and read every answer, and
products of two activations, as attention's, stay in float32. Sources: Jacob et al., "Quantization and
Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR 2018; ONNX Runtime's
documentation of quantisation.

Letters: N pictures, H x W pixels of the network's input.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from affectlens.errors import SettingsError, first_line
from affectlens.export.graph_file import serialised
from affectlens.machine import import_onnx_runtime
from affectlens.model_folder import GRAPH_INPUT
from affectlens.preprocess import Images

INT8 = "int8"
LEAST_PICTURES = 32  # from which ranges of activations are found
_BATCH = 8
_TRANSFORMER = 8  # products with weights: two blocks of a transformer
# Those of a transformer's first block, and of the last's perceptron: left as they are, since half of the
# pictures whose first emotion changes change by them.
_FIRST, _LAST = 4, 2


def quantised(model: Any, images: Images, choose: Callable[[Any], list[str]] | None = None) -> Any:
    """Return a graph in int8, ranges of whose activations are those on `images` (N, 3, H, W), normalised.

    `choose` returns the names of a graph's nodes that are quantised; by default those of `quantisable`.
    Raises `SettingsError` for fewer than `LEAST_PICTURES`, and where the library cannot quantise the graph.
    """
    import onnx

    import_onnx_runtime()
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    if len(images) < LEAST_PICTURES:
        raise SettingsError(
            f"{len(images)} pictures are too few to find the ranges of activations from: --calibrate takes "
            f"at least {LEAST_PICTURES}, as unlike one another as those that the file is for."
        )
    with TemporaryDirectory() as folder, _silence():
        given, prepared, made = (str(Path(folder) / name) for name in ("given", "prepared", "made"))
        Path(given).write_bytes(serialised(model))
        try:
            quant_pre_process(given, prepared, skip_symbolic_shape=True)
            chosen = (choose or quantisable)(onnx.load(prepared).graph)
            quantize_static(
                prepared, made, _Batches(images), quant_format=QuantFormat.QDQ, per_channel=True,
                nodes_to_quantize=chosen, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax, extra_options={"CalibMovingAverage": True},
            )  # fmt: skip
        except Exception as error:  # the library raises whatever a graph leads it to
            raise SettingsError(f"This network cannot be quantised: {first_line(error)}.") from None
        return onnx.load(made)


def quantisable(graph: Any) -> list[str]:
    """Name a transformer's products with weights but for those at its ends; of other networks, convolutions.

    Convolutions within each channel, and the first one, are left as they are: they are cheap, and answers
    change most by them.
    """
    weights = {weight.name for weight in graph.initializer}
    outputs = {each.name for each in graph.output}
    within = [
        node
        for node in graph.node
        if weights.intersection(node.input) and not outputs.intersection(node.output)
    ]
    products = [node.name for node in within if node.op_type in ("Gemm", "MatMul")]
    whole = [node.name for node in within if node.op_type == "Conv" and _groups(node) == 1]
    return products[_FIRST:-_LAST] if len(products) >= _TRANSFORMER else whole[1:]


def _groups(convolution: Any) -> int:
    return next((each.i for each in convolution.attribute if each.name == "group"), 1)


class _Batches:
    """What `quantize_static` reads calibration pictures from."""

    def __init__(self, images: Images) -> None:
        self._left: Iterator[Images] = iter(images[i : i + _BATCH] for i in range(0, len(images), _BATCH))

    def get_next(self) -> dict[str, Images] | None:
        batch = next(self._left, None)
        return None if batch is None else {GRAPH_INPUT: batch}

    def __iter__(self) -> "_Batches":
        return self


@contextmanager
def _silence() -> Iterator[None]:
    """Keep the library's remarks about its own preparation from the user."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
