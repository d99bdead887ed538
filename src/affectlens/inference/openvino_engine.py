"""A model folder's graph in OpenVINO: probabilities on the CPU, in float32, without torch.

It takes longer to be ready than ONNX Runtime; which predicts batches faster depends on the machine
(`benchmarks/engines.py` compares them).
"""

from collections.abc import Sequence
from typing import Any

from affectlens.inference.engine import OPENVINO, OwnProcess, cores
from affectlens.inference.graph_engine import GraphEngine
from affectlens.machine import import_openvino
from affectlens.preprocess import Images

openvino = import_openvino()


class OpenVinoEngine(GraphEngine):
    """A graph in OpenVINO."""

    name, title = OPENVINO, "OpenVINO"

    def _open(self) -> None:
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "NUM_STREAMS": cores(),  # of a core each
            "INFERENCE_NUM_THREADS": cores(),
        }
        self._process = OwnProcess(self.title)
        self._compiled: Any = openvino.Core().compile_model(str(self._file), "CPU", settings)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the graph's outputs; an output may have several."""
        return tuple(name for each in self._compiled.outputs for name in sorted(each.names))

    def _run(self, images: Images, names: Sequence[str]) -> Sequence[Any]:
        self._process.require()
        # A request for each thread: it holds the pictures that it is predicting.
        if not hasattr(self._thread, "request"):
            self._thread.request = self._compiled.create_infer_request()
        found = self._thread.request.infer([images])
        return [found[name] for name in names]
