"""A model folder's graph in ONNX Runtime: probabilities on the CPU, in float32, without torch."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from affectlens.inference.engine import ONNX_RUNTIME, cores
from affectlens.inference.graph_engine import GraphEngine
from affectlens.machine import import_onnx_runtime
from affectlens.model_folder import GRAPH_INPUT, GRAPH_LOGITS
from affectlens.preprocess import Images

onnxruntime = import_onnx_runtime()


class OnnxEngine(GraphEngine):
    """A graph in ONNX Runtime: it is ready soonest."""

    name, title = ONNX_RUNTIME, "ONNX Runtime"

    def _open(self) -> None:
        self._on_all_cores = self._session(cores())

    def _size(self) -> tuple[int | None, int | None, int | None]:
        session = self._on_all_cores
        (images,) = (each for each in session.get_inputs() if each.name == GRAPH_INPUT)
        (logits,) = (each for each in session.get_outputs() if each.name == GRAPH_LOGITS)
        # What may be any number has a name instead.
        numbers = (*images.shape[2:], logits.shape[1])
        height, width, emotions = (number if isinstance(number, int) else None for number in numbers)
        return height, width, emotions

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the graph's outputs."""
        return tuple(each.name for each in self._on_all_cores.get_outputs())

    def _run(self, images: Images, names: Sequence[str]) -> Sequence[Any]:
        alone = getattr(self._thread, "has_one_core", False)
        session = self._on_one_core if alone else self._on_all_cores
        found: list[Any] = session.run(list(names), {GRAPH_INPUT: images})
        return found

    @cached_property
    def _on_one_core(self) -> Any:
        return self._session(1)

    def _session(self, threads: int) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # what it warns of is about its own optimisations
        return onnxruntime.InferenceSession(str(self._file), options, providers=["CPUExecutionProvider"])
