"""Exported files opened by the libraries that they are for, to see what they answer."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affectlens.export.graph_file import names_of
from affectlens.export.pixels import PIXELS
from affectlens.machine import import_onnx_runtime, import_openvino


class OnnxFile:
    """A graph in ONNX Runtime, from its bytes."""

    def __init__(self, graph: bytes) -> None:
        onnxruntime = import_onnx_runtime()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # what it warns of is about its own optimisations
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        (self._input,) = names_of(self._session.get_inputs())
        self.takes_pixels = self._input == PIXELS
        self.outputs: Sequence[str] = names_of(self._session.get_outputs())

    def run(self, batch: NDArray[Any]) -> Mapping[str, NDArray[np.float32]]:
        """Answer a batch: outputs by name."""
        return dict(zip(self.outputs, self._session.run(None, {self._input: batch}), strict=True))


class OpenVinoFile:
    """A model in OpenVINO, from its .xml file."""

    def __init__(self, file: Path) -> None:
        openvino = import_openvino()
        self._compiled: Any = openvino.Core().compile_model(
            str(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
        )
        (given,) = self._compiled.inputs
        self.takes_pixels = PIXELS in given.names
        self.outputs: Sequence[str] = tuple(
            name for out in self._compiled.outputs for name in sorted(out.names)
        )

    def run(self, batch: NDArray[Any]) -> Mapping[str, NDArray[np.float32]]:
        """Answer a batch: outputs by name."""
        found = self._compiled([batch])
        return {name: np.array(found[name]) for name in self.outputs}
