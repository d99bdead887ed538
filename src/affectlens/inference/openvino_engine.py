"""A model folder's graph in OpenVINO: probabilities on the CPU, in float32, without torch.

It takes longer to be ready than ONNX Runtime; which predicts batches faster depends on the machine
(`benchmarks/engines.py` compares them).
"""

from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from affectlens.inference.engine import OPENVINO, cores
from affectlens.inference.graph_engine import GraphEngine


class OpenVinoEngine(GraphEngine):
    """A graph in OpenVINO."""

    name, title = OPENVINO, "OpenVINO"

    def _open(self) -> None:
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "NUM_STREAMS": cores(),  # of a core each
            "INFERENCE_NUM_THREADS": cores(),
        }
        self._compiled: Any = openvino.Core().compile_model(str(self._file), "CPU", settings)

    def _logits(self, images: NDArray[np.float32]) -> Any:
        # A request for each thread: it holds the pictures that it is predicting.
        if not hasattr(self._thread, "request"):
            self._thread.request = self._compiled.create_infer_request()
        return self._thread.request.infer([images])[0]
