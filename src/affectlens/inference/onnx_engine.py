"""A model folder's graph in ONNX Runtime: probabilities on the CPU, in float32, without torch.

What makes it fast on a CPU: batches of eight, whose maps stay in the cache, and one core for each of several
batches at once, as in `inference.torch_engine`. A picture alone gets all cores.

Letters: B pictures, H x W pixels of the network's input, E emotions.
"""

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from functools import cached_property
from pathlib import Path
from threading import local
from typing import Any

import numpy as np
import onnxruntime

from affectlens.data.prefetch import map_ahead
from affectlens.errors import BadModelFolder, SettingsError
from affectlens.images import Pixels
from affectlens.inference.engine import CPU_BATCH, ONNX_RUNTIME, In, Out, Probabilities, cores
from affectlens.metrics import softmax
from affectlens.model_folder import GRAPH, GRAPH_INPUT, GRAPH_LOGITS, Card, read_graph


class OnnxEngine:
    """A graph on the CPU: pixels, uint8 (B, H, W, 3) -> probabilities, float32 (B, E).

    A picture gets the same answer alone and in any batch, to 1e-5.
    """

    name, device, precision = ONNX_RUNTIME, "cpu", "float32"

    def __init__(self, folder: Path, card: Card) -> None:
        self.card = card
        self._folder = folder
        self._thread = local()

    @classmethod
    def load(cls, folder: Path, device: str = "auto", precision: str = "auto") -> "OnnxEngine":
        """Load the graph of a model folder.

        Raises `ModelNotFound`, `BadModelFolder` for a folder without a graph or with a damaged one, and
        `SettingsError` for another device than the CPU and another precision than float32.
        """
        if device not in ("auto", "cpu"):
            raise SettingsError(f"ONNX Runtime answers on the CPU here, not on {device!r}. Use engine=torch.")
        if precision not in ("auto", "float32"):
            raise SettingsError(f"ONNX Runtime answers in float32 here, not {precision!r}. Use engine=torch.")
        engine = cls(folder, read_graph(folder))
        engine._on_all_cores  # noqa: B018 - a damaged graph is found now, not at the first picture
        return engine

    def __call__(self, pixels: Pixels) -> Probabilities:
        """Predict a batch. Each row sums to 1; logits are divided by the model's temperature before."""
        session = self._on_one_core if getattr(self._thread, "maps", False) else self._on_all_cores
        images = self.card.preprocessing.normalise(pixels)
        parts = [images[begin : begin + CPU_BATCH] for begin in range(0, len(images), CPU_BATCH)]
        logits = [session.run([GRAPH_LOGITS], {GRAPH_INPUT: part})[0] for part in parts]
        # In float64, so that not even many words' rounding errors add up to anything.
        scaled = np.concatenate(logits).astype(np.float64) / self.card.temperature
        return softmax(scaled).astype(np.float32)

    def at_once(self, batch_size: int) -> int:
        """Return how many pictures of a batch go through the network together."""
        return min(batch_size, CPU_BATCH)

    def map(self, predict: Callable[[In], Out], batches: Iterable[In]) -> Generator[Out, None, None]:
        """Yield `predict(batch)` for each batch in order, as many at once as there are cores."""
        if cores() == 1:
            yield from map(predict, batches)
            return

        def on_one_core(batch: In) -> Out:
            self._thread.maps = True
            try:
                return predict(batch)
            finally:
                self._thread.maps = False

        with closing(map_ahead(on_one_core, batches, ahead=cores() + 1)) as results:  # type: ignore[type-var]
            yield from results

    @cached_property
    def _on_all_cores(self) -> Any:
        return self._session(cores())

    @cached_property
    def _on_one_core(self) -> Any:
        return self._on_all_cores if cores() == 1 else self._session(1)

    def _session(self, threads: int) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # what it warns of is about its own optimisations
        try:
            file = str(self._folder / GRAPH)
            return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its errors have no class in common
            reason = f"ONNX Runtime cannot load {GRAPH}: {str(error).splitlines()[0][:300]}."
            raise BadModelFolder(self._folder, reason) from None
