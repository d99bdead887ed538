"""A model folder's graph in OpenVINO: probabilities on the CPU, without torch.

It takes longer to be ready than ONNX Runtime; which predicts batches faster depends on the machine
(`benchmarks/engines.py` compares them). Where the processor multiplies bfloat16 it answers in that too, by
name: a probability of the default model then differs by up to .04.
"""

from collections.abc import Sequence
from typing import Any

from affectlens.errors import SettingsError
from affectlens.inference.engine import OPENVINO, OwnProcess, cores
from affectlens.inference.graph_engine import GraphEngine
from affectlens.machine import cpu_multiplies_bfloat16, import_openvino
from affectlens.model_folder import GRAPH_INPUT, GRAPH_LOGITS
from affectlens.preprocess import Images

openvino = import_openvino()


class OpenVinoEngine(GraphEngine):
    """A graph in OpenVINO."""

    name, title = OPENVINO, "OpenVINO"
    precisions = ("float32", "bfloat16")

    def _open(self) -> None:
        if self.precision == "bfloat16" and not cpu_multiplies_bfloat16():
            raise SettingsError(
                "This processor does not multiply bfloat16: use float32, which is faster here."
            )
        settings = {
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[self.precision],
            "NUM_STREAMS": cores(),  # of a core each
            "INFERENCE_NUM_THREADS": cores(),
        }
        self._process = OwnProcess(self.title)
        self._compiled: Any = openvino.Core().compile_model(str(self._file), "CPU", settings)

    def _size(self) -> tuple[int | None, int | None, int | None]:
        images = self._compiled.input(GRAPH_INPUT).partial_shape
        logits = self._compiled.output(GRAPH_LOGITS).partial_shape
        height, width, emotions = (
            None if each.is_dynamic else each.get_length() for each in (images[2], images[3], logits[1])
        )
        return height, width, emotions

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
