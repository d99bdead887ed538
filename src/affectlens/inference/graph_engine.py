"""What engines that answer by a model folder's graph have in common: on the CPU, without torch.

What makes them fast: batches of eight, whose maps stay in the cache, and one core for each of several batches
at once, as in `inference.torch_engine`. A picture alone gets all cores.

Letters: B pictures, H x W pixels of the network's input, E emotions.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from threading import local
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from affectlens.data.prefetch import map_ahead
from affectlens.errors import BadModelFolder, SettingsError, first_line
from affectlens.files import is_utf8
from affectlens.images import Pixels
from affectlens.inference.attribute_evidence import ExplainedAttributes
from affectlens.inference.engine import (
    CPU_BATCH,
    OPENVINO,
    Answers,
    In,
    Out,
    Probabilities,
    cores,
    in_batches,
)
from affectlens.metrics import softmax
from affectlens.model_folder import (
    CONFIG,
    GRAPH,
    GRAPH_ATTRIBUTES,
    GRAPH_CONTRIBUTIONS,
    GRAPH_EMBEDDING,
    GRAPH_LOGITS,
    GRAPH_RATINGS,
    GRAPH_RESIDUAL,
    GRAPH_USUAL,
    GRAPH_USUAL_RESIDUAL,
    GRAPH_USUAL_WORDS,
    Card,
    Heads,
    read_graph_and_heads,
)
from affectlens.preprocess import Images


class GraphEngine(ABC):
    """A graph on the CPU: pixels, uint8 (B, H, W, 3) -> probabilities, float32 (B, E).

    A picture gets the same answer alone and in any batch, to 1e-5. A subclass opens the graph by a library,
    `title`, whose name among the engines is `name`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    precisions: ClassVar[tuple[str, ...]] = ("float32",)
    device = "cpu"

    def __init__(self, folder: Path, card: Card, heads: Heads, precision: str = "float32") -> None:
        self.card = card
        self.heads = heads
        self.precision = precision
        self._file = folder / GRAPH
        self._thread = local()
        if not is_utf8(self._file):
            raise BadModelFolder(
                folder, f"its path is not UTF-8 text, which {self.title} needs.",
                "Rename the folder, or use the engine torch.",
            )  # fmt: skip
        try:
            self._open()  # a damaged graph is found now, not at the first picture
        except SettingsError:
            raise
        except Exception as error:  # the errors of these libraries have no class in common
            reason = f"{self.title} cannot load {GRAPH}: {first_line(error)}."
            raise BadModelFolder(folder, reason) from None
        size = card.preprocessing.height, card.preprocessing.width, len(card.vocabulary)
        found = self._size()
        if any(here not in (None, there) for here, there in zip(found, size, strict=True)):
            reason = (
                f"{GRAPH} takes pictures of {found[1]}x{found[0]} pixels and returns {found[2]} emotions, "
                f"{CONFIG} has {size[1]}x{size[0]} and {size[2]}."
            )
            raise BadModelFolder(folder, reason)
        self._ratings = tuple(f"{GRAPH_RATINGS}{scale.name}" for scale in card.ratings)
        self._beyond = (*self._ratings, *((GRAPH_EMBEDDING,) if card.unusual else ()))
        if missing := [name for name in self._beyond if name not in self.outputs]:
            reason = f"{GRAPH} has no output {missing[0]}, which its {CONFIG} calls for."
            raise BadModelFolder(folder, reason, "Write it anew with `affectlens models graph FOLDER`.")

    @classmethod
    def load(cls, folder: Path, device: str = "auto", precision: str = "auto") -> Self:
        """Load the graph of a model folder.

        Raises `ModelNotFound`, `BadModelFolder` for a folder without a graph or with a damaged one, and
        `SettingsError` for another device than the CPU and a precision that the library does not compute in.
        """
        if device not in ("auto", cls.device):
            raise SettingsError(
                f"{cls.title} answers on the CPU here, not on {device!r}. Use the engine torch."
            )
        if precision not in ("auto", *cls.precisions):
            known = " or ".join(cls.precisions)
            raise SettingsError(
                f"{cls.title} answers in {known} here, not {precision!r}. Use the engine {OPENVINO} or torch."
            )
        card, heads = read_graph_and_heads(folder)
        return cls(folder, card, heads, "float32" if precision == "auto" else precision)

    def __call__(self, pixels: Pixels) -> Probabilities:
        """Predict a batch. Each row sums to 1; logits are divided by the model's temperature before."""
        return self.predict_images(self.card.preprocessing.normalise(pixels))

    def answer(self, pixels: Pixels) -> Answers:
        """Predict a batch with its ratings and what unusual pictures are known by."""
        return self.answer_images(self.card.preprocessing.normalise(pixels))

    def answer_images(self, images: Images) -> Answers:
        """Predict normalised images, float32 (B, 3, H, W), as `answer` does."""
        names = [GRAPH_LOGITS, *self._beyond]
        found = self._outputs(images, names)
        return self._answers(dict(zip(names, found, strict=True)))

    def _answers(self, found: Mapping[str, NDArray[np.float32]]) -> Answers:
        """Put named outputs together."""
        ratings = [found[name] for name in self._ratings]
        return Answers(
            self._probabilities(found[GRAPH_LOGITS]),
            np.stack(ratings, axis=1) if ratings else None,
            found[GRAPH_EMBEDDING] if self.card.unusual else None,
        )

    def predict_images(self, images: Images) -> Probabilities:
        """Predict normalised images, float32 (B, 3, H, W)."""
        return self._probabilities(self._outputs(images, [GRAPH_LOGITS])[0])

    def output(self, images: Images, name: str) -> NDArray[np.float32]:
        """Return a named output of the graph: (B, 3, H, W) -> (B, ...)."""
        return self.read_outputs(images, [name])[0]

    def read_outputs(self, images: Images, names: Sequence[str]) -> list[NDArray[np.float32]]:
        """Return named outputs of the graph, of one run: (B, 3, H, W) -> (B, ...) each."""
        for name in names:
            if name not in self.outputs:
                raise SettingsError(f"The graph of {self.card.name} has no output {name!r}.")
        return self._outputs(images, names)

    @property
    def explains(self) -> bool:
        """Whether the graph returns attributes."""
        return GRAPH_USUAL_RESIDUAL in self.outputs

    def explain(self, pixels: Pixels) -> tuple[Answers, ExplainedAttributes]:
        """Predict a batch, uint8 (B, H, W, 3), and explain it by attributes."""
        images = self.card.preprocessing.normalise(pixels)
        found = dict(zip(self.outputs, self._outputs(images, self.outputs), strict=True))

        def by_name(kind: str) -> dict[str, NDArray[np.float32]]:
            return {name.removeprefix(kind): each for name, each in found.items() if name.startswith(kind)}

        explained = ExplainedAttributes(
            logits=found[GRAPH_LOGITS],
            attributes=by_name(GRAPH_ATTRIBUTES),
            contributions=by_name(GRAPH_CONTRIBUTIONS),
            residual=found[GRAPH_RESIDUAL],
            usual=found[GRAPH_USUAL][0],
            usual_residual=found[GRAPH_USUAL_RESIDUAL][0],
            usual_words={name: each[0] for name, each in by_name(GRAPH_USUAL_WORDS).items()},
        )
        return self._answers(found), explained

    def _probabilities(self, logits: NDArray[np.float32]) -> Probabilities:
        # In float64, so that not even many words' rounding errors add up to anything.
        return softmax(logits.astype(np.float64) / self.card.temperature).astype(np.float32)

    def _outputs(self, images: Images, names: Sequence[str]) -> list[NDArray[np.float32]]:
        found = [self._run(part, names) for part in in_batches(images, CPU_BATCH)]
        return [np.concatenate(each) for each in zip(*found, strict=True)]

    def at_once(self, batch_size: int) -> int:
        """Return how many pictures of a batch go through the network together."""
        return min(batch_size, CPU_BATCH)

    def map(self, predict: Callable[[In], Out], batches: Iterable[In]) -> Generator[Out, None, None]:
        """Yield `predict(batch)` for each batch in order, as many at once as there are cores."""
        if cores() == 1:
            yield from map(predict, batches)
            return

        def on_one_core(batch: In) -> Out:
            self._thread.has_one_core = True
            try:
                return predict(batch)
            finally:
                self._thread.has_one_core = False

        with closing(map_ahead(on_one_core, batches, ahead=cores() + 1)) as results:  # type: ignore[type-var]
            yield from results

    @abstractmethod
    def _open(self) -> None:
        """Open the graph. May raise anything."""

    @abstractmethod
    def _run(self, images: Images, names: Sequence[str]) -> Sequence[Any]:
        """Run the graph for some of its outputs: (B, 3, H, W) -> (B, ...) each. Several threads call it."""

    @abstractmethod
    def _size(self) -> tuple[int | None, int | None, int | None]:
        """Height and width of the graph's pictures, and how many emotions it returns; None for any."""

    @property
    @abstractmethod
    def outputs(self) -> tuple[str, ...]:
        """Names of the graph's outputs."""
