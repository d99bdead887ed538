"""The Python interface: pictures in, emotions out.

    >>> from affectlens import Predictor
    >>> predictor = Predictor.load()                         # doctest: +SKIP
    >>> print(predictor("beach.jpg"))                        # doctest: +SKIP
    contentment 62 %, awe 27 %, excitement 6 %, amusement 5 %

What comes out is how likely a picture is to evoke each emotion in those who look at it, on average; it
says nothing about the feelings of any person.
"""

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from threading import Lock
from typing import Any, TypeAlias, TypeVar, overload

import numpy as np
import torch
from torch import Tensor

from affectlens import library
from affectlens.checkpoint import Card, Model
from affectlens.data.ahead import map_ahead
from affectlens.emotions import EmotionDistribution, NoConversion, Vocabulary
from affectlens.errors import PictureError, SettingsError
from affectlens.images import Source, read_pixels
from affectlens.inference.engine import Engine
from affectlens.inference.inputs import Input, name_of

BATCH_SIZE = 32
DIGITS = 6  # of probabilities in rows: far below what a model knows, and short to read
BATCHES_AHEAD = 2  # decoded while one is judged; bounds the memory, whatever the number of pictures

Answer: TypeAlias = EmotionDistribution | PictureError
Given = TypeVar("Given", bound=Source | PictureError)
T = TypeVar("T")


@dataclass(frozen=True)
class Prediction:
    """What a picture evokes, or why that cannot be said: of `emotions` and `error` one is None."""

    image: str
    emotions: EmotionDistribution | None
    error: PictureError | None

    def to_row(self, model_name: str) -> dict[str, Any]:
        """Return plain data for JSON, CSV or a data frame; the same keys for every picture."""
        emotions, error = self.emotions, self.error
        polarity = polarity_of(emotions) if emotions else None
        return {
            "image": self.image,
            "top": emotions.top if emotions else None,
            "emotions": _rounded(emotions) if emotions else None,
            "polarity": _rounded(polarity) if polarity else None,
            "model": model_name,
            "error": {"type": type(error).__name__, "message": str(error)} if error else None,
        }


class Predictor:
    """Say which emotions pictures evoke.

    A picture is a path, the bytes of a picture file, a Pillow picture, an array or a tensor, as
    `images.read_pixels` takes them. May be used from several threads.
    """

    def __init__(self, model: Model, device: str = "auto", precision: str = "auto") -> None:
        self._engine = Engine(model, device, precision)
        self._in_memory = Lock()

    @classmethod
    def load(cls, name: str = library.DEFAULT, device: str = "auto", precision: str = "auto") -> "Predictor":
        """Load a model by name, folder, or `owner/name` of the Hugging Face hub.

        `device` is auto, cpu, cuda, cuda:1 or mps; `precision` auto, float32 or bfloat16. Raises
        `ModelNotFound`, `BadModelFolder` or `SettingsError`.
        """
        return cls(library.load(name), device, precision)

    @property
    def card(self) -> Card:
        """How the model was made, what it was measured to do, and its limits."""
        return self._engine.card

    @property
    def vocabulary(self) -> Vocabulary:
        """The emotions that the model knows."""
        return self.card.vocabulary

    @overload
    def __call__(self, picture: Source) -> EmotionDistribution: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, picture: Iterable[Source]) -> list[EmotionDistribution]: ...
    def __call__(self, picture: Source | Iterable[Source]) -> EmotionDistribution | list[EmotionDistribution]:
        """Judge one picture, or several in batches: a list, a tuple or any other iterable of pictures.

        Raises `PictureError`; for several, that of the first that cannot be used. `predict_files`
        goes on after such a picture.
        """
        if isinstance(picture, Iterable) and not isinstance(picture, (str, bytes, np.ndarray, Tensor)):
            return [_raised(answer) for _, answer in self._answers(picture, BATCH_SIZE)]
        return self._judge([_raised(self._read(picture))])[0]

    def predict_files(
        self, paths: Iterable[Input], batch_size: int = BATCH_SIZE
    ) -> Generator[Prediction, None, None]:
        """Judge any number of files, and yield an answer for each in the order given.

        Files are decoded in threads, some batches ahead of the network; `paths` is read only as far
        as that, so it may be endless. A file that cannot be read is an answer with an error, and the
        job goes on; a `PictureError` among the paths is passed on in its place. Pictures share a
        batch by their position alone, so the same paths give the same answers.
        """
        if batch_size < 1:
            raise SettingsError(f"batch_size must be at least 1, not {batch_size}.")
        return self._predictions(paths, batch_size)

    def _predictions(self, paths: Iterable[Input], batch_size: int) -> Generator[Prediction, None, None]:
        with closing(self._answers(paths, batch_size)) as answers:
            for given, answer in answers:
                if isinstance(answer, PictureError):
                    yield Prediction(name_of(given), None, answer)
                else:
                    yield Prediction(name_of(given), answer, None)

    def _answers(
        self, sources: Iterable[Given], batch_size: int
    ) -> Generator[tuple[Given, Answer], None, None]:
        def read(source: Given) -> tuple[Given, Tensor | PictureError]:
            return source, self._read(source)

        def judge(batch: list[tuple[Given, Tensor | PictureError]]) -> list[tuple[Given, Answer]]:
            judged = iter(self._judge([pixels for _, pixels in batch if isinstance(pixels, Tensor)]))
            return [(s, pixels if isinstance(pixels, PictureError) else next(judged)) for s, pixels in batch]

        # Closed also when the caller stops early or is interrupted: what has not begun is not begun.
        with (
            closing(map_ahead(read, sources, ahead=BATCHES_AHEAD * batch_size)) as decoded,  # type: ignore[type-var]
            closing(self._engine.map(judge, self._together(decoded, batch_size))) as judged,
        ):
            for answers in judged:
                yield from answers

    def _together(self, items: Iterator[T], batch_size: int) -> Iterator[list[T]]:
        """Group what goes through the network together: each batch for itself, in as many parts as pay."""
        at_once = self._engine.at_once(batch_size)
        sizes = [min(at_once, batch_size - begin) for begin in range(0, batch_size, at_once)]
        for size in cycle(sizes):
            group = list(islice(items, size))
            if not group:
                return
            yield group

    def _read(self, source: Source | PictureError) -> Tensor | PictureError:
        """Read a picture and fit it to the network, or return why that is impossible."""
        if isinstance(source, PictureError):
            return source
        preprocessing = self.card.preprocessing
        # Pillow loads a picture when it is first used, and two threads must not do that to the same one.
        guard = nullcontext() if isinstance(source, (str, Path, bytes)) else self._in_memory
        try:
            with guard:
                return preprocessing.fit_pixels(read_pixels(source, at_least=preprocessing.at_least))
        except PictureError as error:
            return error

    def _judge(self, fitted: list[Tensor]) -> list[EmotionDistribution]:
        if not fitted:
            return []
        rows = self._engine(torch.stack(fitted)).tolist()
        return [EmotionDistribution(self.vocabulary, tuple(row)) for row in rows]


def polarity_of(emotions: EmotionDistribution) -> EmotionDistribution | None:
    """Probability of a positive and of a negative feeling; None where the words do not say."""
    try:
        return emotions.polarity
    except NoConversion:
        return None


def _rounded(distribution: EmotionDistribution) -> dict[str, float]:
    return {word: round(value, DIGITS) for word, value in distribution.weights.items()}


def _raised(answer: T | PictureError) -> T:
    if isinstance(answer, PictureError):
        raise answer
    return answer
