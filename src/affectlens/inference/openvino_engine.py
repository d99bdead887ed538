"""A model folder's graph in OpenVINO: probabilities on the CPU, in float32, without torch.

It takes longer to be ready than ONNX Runtime; which predicts batches faster depends on the machine
(`benchmarks/engines.py` compares them). One core to a batch, as in the other engines.

Letters: B pictures, H x W pixels of the network's input, E emotions.
"""

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from functools import cached_property
from pathlib import Path
from threading import local
from typing import Any

import numpy as np
import openvino

from affectlens.data.prefetch import map_ahead
from affectlens.errors import BadModelFolder, SettingsError
from affectlens.images import Pixels
from affectlens.inference.engine import CPU_BATCH, OPENVINO, In, Out, Probabilities, cores
from affectlens.metrics import softmax
from affectlens.model_folder import GRAPH, Card, read_graph


class OpenVinoEngine:
    """A graph on the CPU: pixels, uint8 (B, H, W, 3) -> probabilities, float32 (B, E).

    A picture gets the same answer alone and in any batch, to 1e-5.
    """

    name, device, precision = OPENVINO, "cpu", "float32"

    def __init__(self, folder: Path, card: Card) -> None:
        self.card = card
        self._folder = folder
        self._thread = local()

    @classmethod
    def load(cls, folder: Path, device: str = "auto", precision: str = "auto") -> "OpenVinoEngine":
        """Load the graph of a model folder.

        Raises `ModelNotFound`, `BadModelFolder` for a folder without a graph or with a damaged one, and
        `SettingsError` for another device than the CPU and another precision than float32.
        """
        if device not in ("auto", "cpu"):
            raise SettingsError(f"OpenVINO answers on the CPU here, not on {device!r}. Use engine=torch.")
        if precision not in ("auto", "float32"):
            raise SettingsError(f"OpenVINO answers in float32 here, not {precision!r}. Use engine=torch.")
        engine = cls(folder, read_graph(folder))
        engine._compiled  # noqa: B018 - a damaged graph is found now, not at the first picture
        return engine

    def __call__(self, pixels: Pixels) -> Probabilities:
        """Predict a batch. Each row sums to 1; logits are divided by the model's temperature before."""
        images = self.card.preprocessing.normalise(pixels)
        parts = [images[begin : begin + CPU_BATCH] for begin in range(0, len(images), CPU_BATCH)]
        logits = [self._request.infer([part])[0] for part in parts]
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
        with closing(map_ahead(predict, batches, ahead=cores() + 1)) as results:  # type: ignore[type-var]
            yield from results

    @property
    def _request(self) -> Any:
        """This thread's own: a request holds the pictures that it is predicting."""
        if not hasattr(self._thread, "request"):
            self._thread.request = self._compiled.create_infer_request()
        return self._thread.request

    @cached_property
    def _compiled(self) -> Any:
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "NUM_STREAMS": cores(),  # of a core each
            "INFERENCE_NUM_THREADS": cores(),
        }
        try:
            return openvino.Core().compile_model(str(self._folder / GRAPH), "CPU", settings)
        except Exception as error:  # its errors have no class in common
            reason = f"OpenVINO cannot load {GRAPH}: {str(error).splitlines()[0][:300]}."
            raise BadModelFolder(self._folder, reason) from None
