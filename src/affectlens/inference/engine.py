"""What answers for pictures: fitted pixels in, calibrated probabilities out, by one protocol.

    torch           `inference.torch_engine`: every model, every device; needs the package torch
    onnxruntime     `inference.onnx_engine`: models whose folder holds a graph, on the CPU, in float32
    openvino        `inference.openvino_engine`: the same; needs the package openvino

Which one answers by default is `choose`'s rule: ONNX Runtime, which is ready in half a second, where
importing torch alone takes four; OpenVINO for many pictures; torch for what neither can do. In float32 all
three give the same probabilities to within 1e-4 (docs/results/engines.md), so that the number of pictures
changes no answer.

Letters: B pictures, H x W pixels of the network's input, E emotions, R ratings, D features of the embedding.
"""

import os
import platform
from collections.abc import Callable, Generator, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from affectlens import library
from affectlens.errors import MissingExtra, SettingsError, UnknownName
from affectlens.extras import TRAIN
from affectlens.images import Pixels
from affectlens.inference.attribute_evidence import ExplainedAttributes
from affectlens.machine import (
    check_device,
    check_precision,
    cpu_multiplies_bfloat16,
    has_nvidia_gpu,
    usable_cores,
)
from affectlens.model_folder import Card, Heads, has_graph
from affectlens.preprocess import Images

In = TypeVar("In")
Out = TypeVar("Out")
Probabilities: TypeAlias = NDArray[np.float32]

AUTO, TORCH, ONNX_RUNTIME, OPENVINO = "auto", "torch", "onnxruntime", "openvino"
ENGINES = (AUTO, ONNX_RUNTIME, OPENVINO, TORCH)

MANY = 500  # pictures, from which on a faster engine makes up for the seconds that it loads longer
CPU_BATCH = 8  # pictures at once on a CPU: the maps of more fall out of its cache


class Answers(NamedTuple):
    """What a network answers for a batch, all float32.

    Attributes:
        probabilities: (B, E), rows sum to 1
        ratings: (B, R) in the card's order, before they are cut off at the ends of their scales; None of a
            model without ratings
        embedding: (B, D), where the card has a score of unusual pictures, else None
    """

    probabilities: Probabilities
    ratings: NDArray[np.float32] | None = None
    embedding: NDArray[np.float32] | None = None


class Engine(Protocol):
    """A network ready for use. May be used from several threads."""

    @property
    def card(self) -> Card:
        """The model's card."""

    @property
    def heads(self) -> Heads:
        """What reads the network's features besides its classifier; empty for a model that has none."""

    @property
    def name(self) -> str:
        """One of `ENGINES`."""

    @property
    def device(self) -> str:
        """Where it computes: cpu, cuda, cuda:1 or mps."""

    @property
    def precision(self) -> str:
        """The number format of its products: float32 or bfloat16."""

    def __call__(self, pixels: Pixels) -> Probabilities:
        """Predict a batch: uint8 (B, H, W, 3) -> (B, E). Rows sum to 1."""

    def answer(self, pixels: Pixels) -> Answers:
        """Predict a batch, uint8 (B, H, W, 3), with all that the card promises besides emotions."""

    def answer_images(self, images: Images) -> Answers:
        """Predict normalised images, or a blend of such, (B, 3, H, W), as `answer` does pixels."""

    def predict_images(self, images: Images) -> Probabilities:
        """Predict what `Preprocessing.normalise` returns, or a blend of such: (B, 3, H, W) -> (B, E)."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what `output` returns: logits, and class maps and an embedding where there are any."""

    def read_outputs(self, images: Images, names: Sequence[str]) -> list[NDArray[np.float32]]:
        """Several of `outputs` in one run; see `output`."""

    def output(self, images: Images, name: str) -> NDArray[np.float32]:
        """Return a named output for normalised images: (B, 3, H, W) -> (B, ...).

        `SettingsError` for one that is not among `outputs`.
        """

    @property
    def explains(self) -> bool:
        """Whether `explain` is there: for a model that answers attributes."""

    def explain(self, pixels: Pixels) -> tuple[Answers, ExplainedAttributes]:
        """Predict a batch, uint8 (B, H, W, 3), and explain it by attributes."""

    def at_once(self, batch_size: int) -> int:
        """Return how many pictures of a batch go through the network together."""

    def map(self, predict: Callable[[In], Out], batches: Iterable[In]) -> Generator[Out, None, None]:
        """Yield `predict(batch)` for each batch in order; `predict` is what calls this engine."""


class OwnProcess:
    """The process that made an engine whose library starts threads, which a forked child does not have.

    A call there would wait for them for ever.
    """

    def __init__(self, title: str) -> None:
        self._title, self._number = title, os.getpid()

    def require(self) -> None:
        """Raise `SettingsError` in another process."""
        if os.getpid() != self._number:
            raise SettingsError(
                f"{self._title} cannot go on in a process that was forked after a model was loaded. Load the "
                "model in that process, start processes by multiprocessing's `spawn`, or use the engine "
                f"{ONNX_RUNTIME}, which can."
            )


def require_attributes(engine: Engine) -> None:
    """Raise `SettingsError` for a model with attributes whose graph does not return them."""
    if not engine.explains:
        raise SettingsError(
            f"The graph of {engine.card.name} returns not all of its attributes: an older "
            "version made it. Write it anew with `affectlens models graph FOLDER`, or use the engine torch."
        )


class Choice(NamedTuple):
    """An engine, and why it is the one."""

    engine: str
    reason: str


def load_engine(
    name: str = library.DEFAULT,
    engine: str = AUTO,
    device: str = "auto",
    precision: str = "auto",
    *,
    many: bool = False,
) -> Engine:
    """Load a model by name or folder (`library.find`) into an engine of `ENGINES`.

    `auto` is what `choose` chooses; `many` states that there are `MANY` pictures or more. Raises
    `ModelNotFound`, `BadModelFolder`, `SettingsError`, and `MissingExtra` where torch is needed and is not
    installed.
    """
    if engine not in ENGINES:
        raise SettingsError(str(UnknownName("value", engine, ENGINES, "engine")))
    check_device(device)
    check_precision(precision)
    folder, given = library.find(name), engine
    if engine == AUTO:
        engine = choose(folder, device, precision, many=many).engine
    if engine == ONNX_RUNTIME:
        from affectlens.inference.onnx_engine import OnnxEngine

        return OnnxEngine.load(folder, device, precision)
    if engine == OPENVINO:
        try:
            from affectlens.inference.openvino_engine import OpenVinoEngine
        except ImportError as error:
            raise MissingExtra("The engine openvino", error.name or OPENVINO, "openvino") from None
        return OpenVinoEngine.load(folder, device, precision)
    try:
        from affectlens.inference.torch_engine import TorchEngine
    except ImportError as error:
        needing = _needs_torch(name, given, device, precision)
        raise MissingExtra(needing, (error.name or TORCH).partition(".")[0], TRAIN.name) from None
    return TorchEngine.load(folder, device, precision)


def _needs_torch(name: str, engine: str, device: str, precision: str) -> str:
    """Name what it is that torch alone answers for, as the beginning of a sentence."""
    if engine == TORCH:
        return "The engine torch"
    if device not in ("auto", "cpu"):
        return f"The device {device}"
    if precision not in ("auto", "float32"):
        return f"The precision {precision}"
    return f"The model {name} has no graph (`affectlens models graph`) and"


def in_batches(images: NDArray[np.float32], size: int) -> list[NDArray[np.float32]]:
    """Divide images, or masks, into views of up to `size` of them: (B, ...) -> (b, ...) each."""
    return [images[begin : begin + size] for begin in range(0, len(images), size)]


def cores() -> int:
    """Cores that this process may use, or $OMP_NUM_THREADS, as torch counts them."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdecimal() and int(given):
        return int(given)
    return usable_cores()


def choose(folder: Path, device: str = "auto", precision: str = "auto", *, many: bool = False) -> Choice:
    """Choose the engine for a model folder on this machine.

    Measured by benchmarks/engines.py: OpenVINO takes longer to be ready than ONNX Runtime, and answers
    batches faster on x86-64, so it pays from some hundred pictures on. Nothing was measured on arm64.
    """
    if device not in ("auto", "cpu"):
        return Choice(TORCH, f"the device {device} is torch's")
    if not has_graph(folder):
        return Choice(TORCH, "the model has no graph")
    if device == "auto" and has_nvidia_gpu() and find_spec(TORCH):
        return Choice(TORCH, "there is a GPU, and torch is installed")
    if precision == "bfloat16":
        if find_spec(OPENVINO) and cpu_multiplies_bfloat16():
            return Choice(OPENVINO, f"it computes in {precision} on this processor")
        return Choice(TORCH, f"{precision} is computed by torch where OpenVINO cannot")
    if many and find_spec(OPENVINO) and platform.machine() in ("x86_64", "AMD64"):
        return Choice(OPENVINO, f"it answers {MANY} pictures and more soonest on this processor")
    return Choice(ONNX_RUNTIME, "it is ready soonest" if not many else "it is installed everywhere")
