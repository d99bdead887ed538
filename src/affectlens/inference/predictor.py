"""The Python interface: pictures in, emotions out.

    >>> from affectlens import Predictor
    >>> predictor = Predictor.load()                         # doctest: +SKIP
    >>> print(predictor("beach.jpg"))                        # doctest: +SKIP
    contentment 62 %, awe 27 %, excitement 6 %, amusement 5 %

The answer is how likely a picture is to evoke each emotion in those who look at it, on average; it
does not describe the feelings of any person.
"""

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass
from io import IOBase
from itertools import cycle, islice
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, overload

import numpy as np

from affectlens import library
from affectlens.attributes import MEASURED, measure
from affectlens.data.prefetch import map_ahead
from affectlens.emotions import EmotionDistribution, Vocabulary, polarity_sums
from affectlens.errors import PictureError, SettingsError
from affectlens.images import Pixels, Source, Tensor, read_pixels
from affectlens.inference.attribute_evidence import EVIDENCE, PREDICTED, evidence_of
from affectlens.inference.engine import AUTO, Engine, load_engine, require_attributes
from affectlens.inference.inputs import Input, load_rows, name_of, opened, renamed
from affectlens.inference.output.rows import made_by
from affectlens.inference.stores import PictureBytes
from affectlens.model_folder import Card

if TYPE_CHECKING:
    from affectlens.models.saved import Model

BATCH_SIZE = 32
DIGITS = 6  # of probabilities in rows: far below what a model knows, and short to read
MEASURED_DIGITS = 3  # of measured attributes in rows: decoding at reduced size can change the second
BATCHES_AHEAD = 2  # decoded while one is predicted; bounds the memory, whatever the number of pictures

Answer: TypeAlias = EmotionDistribution | PictureError
Attributes: TypeAlias = Mapping[str, Any] | None  # None where they are not wanted
Given = TypeVar("Given", bound=Source | PictureBytes | PictureError)
T = TypeVar("T")


@dataclass(frozen=True)
class Prediction:
    """What a picture evokes, or the error if it cannot be read: of `emotions` and `error` one is None.

    `attributes` is None unless attributes were requested. Otherwise it holds, by the names of
    `Predictor.attribute_names`, measured attributes as numbers in 0..1, and the attributes that the model
    predicts, with those that speak for the emotion (`attribute_evidence.evidence_of`). It is empty where the
    picture could not be read. `engine` and `precision` are those of `inference.engine.Engine`.
    """

    image: str
    emotions: EmotionDistribution | None
    error: PictureError | None
    attributes: Mapping[str, Any] | None = None
    engine: str = ""
    precision: str = ""

    def to_row(self, card: Card) -> dict[str, Any]:
        """Return plain data for JSON, CSV or a data frame; the same keys for every picture of a job.

        It names the model by its `card`, its weights by `Card.weights_id` (None where it was not saved), the
        version of the package, and the engine with its precision.
        """
        emotions, error, attributes = self.emotions, self.error, self.attributes
        polarity = polarity_sums(emotions) if emotions else None
        return {
            "image": self.image,
            "top": emotions.top if emotions else None,
            "emotions": _rounded(emotions) if emotions else None,
            "polarity": _rounded(polarity) if polarity else None,
            **({} if attributes is None else {"attributes": {k: _plain(v) for k, v in attributes.items()}}),
            **made_by(card.name, card.weights_id, self.engine, self.precision),
            "error": {"type": type(error).__name__, "message": str(error)} if error else None,
        }


@dataclass(frozen=True)
class _Prepared:
    """A picture fitted to the network, and what was measured of it before; None if not requested."""

    pixels: Pixels
    measured: dict[str, float] | None


class Predictor:
    """Predict which emotions pictures evoke.

    A picture is a path, the bytes of a picture file, an open file, a Pillow picture, an array or a tensor, as
    `images.read_pixels` takes them. May be used from several threads; in a process that was forked after it
    was made by the engine onnxruntime alone, others raise `SettingsError` there.
    """

    def __init__(self, model: "Model | Engine", device: str = "auto", precision: str = "auto") -> None:
        """Predict by an engine, or by a model of torch on a device in a precision."""
        self._engine = model if callable(model) else _torch_engine(model, device, precision)
        self._in_memory = Lock()

    @classmethod
    def load(
        cls,
        name: str = library.DEFAULT,
        device: str = "auto",
        precision: str = "auto",
        *,
        engine: str = AUTO,
        many: bool = False,
    ) -> "Predictor":
        """Load a model by name, folder, or `owner/name` of the Hugging Face hub.

        `device` is auto, cpu, cuda, cuda:1 or mps; `precision` auto, float32 or bfloat16; `engine` one of
        `inference.engine.ENGINES`; `many` that there are `inference.engine.MANY` pictures or more, for which
        another engine may be worth its loading. Raises as `inference.engine.load_engine`.
        """
        return cls(load_engine(name, engine, device, precision, many=many))

    @property
    def engine(self) -> Engine:
        """What answers: its name, device and precision."""
        return self._engine

    @property
    def card(self) -> Card:
        """How the model was made, its measured scores, and its limits."""
        return self._engine.card

    @property
    def vocabulary(self) -> Vocabulary:
        """The emotions that the model knows."""
        return self.card.vocabulary

    @property
    def attribute_names(self) -> tuple[str, ...]:
        """Names of the attributes that `predict_files` returns where attributes are requested."""
        return (*MEASURED, PREDICTED, EVIDENCE) if self.card.attributes else MEASURED

    @overload
    def __call__(self, picture: Source) -> EmotionDistribution: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, picture: Iterable[Source]) -> list[EmotionDistribution]: ...
    def __call__(self, picture: Source | Iterable[Source]) -> EmotionDistribution | list[EmotionDistribution]:
        """Predict one picture, or several in batches: a list, a tuple or any other iterable of pictures.

        Raises `PictureError`; for several, that of the first that cannot be used. `predict_files`
        goes on after such a picture.
        """
        one = (str, bytes, bytearray, memoryview, IOBase, np.ndarray, Tensor)
        if isinstance(picture, Iterable) and not isinstance(picture, one):
            return [_raised(answer) for _, answer, _ in self._answers(picture, BATCH_SIZE, False)]
        single: Any = picture
        return self._predict([_raised(self._read(single, False))])[0][0]

    def predict_files(
        self, paths: Iterable[Input] | Path | str, batch_size: int = BATCH_SIZE, *, attributes: bool = False
    ) -> Generator[Prediction, None, None]:
        """Predict any number of files, or one, and yield an answer for each in the order given.

        Files are decoded in threads, some batches ahead of the network; `paths` is read only as far
        as that, so it may be endless. A file that cannot be read is an answer with an error, and the
        job goes on; a `PictureError` among the paths is passed on at its position. URLs of object stores and
        rows of tables (`inference.stores`) may stand among the paths. Pictures share a
        batch by their position alone, so the same paths give the same answers.

        With `attributes`, each answer also has those of `attribute_names`. Brightness and colourfulness are
        measured on the upright sRGB picture as it was decoded, before it is cut or squashed for the network:
        a large JPEG at 1/2, 1/4 or 1/8 of its size, anything else at full size. That changes them by less
        than 0.02. A model that was trained on attributes also predicts them, and returns which of them speak
        for its first emotion.
        """
        if batch_size < 1:
            raise SettingsError(f"batch_size must be at least 1, not {batch_size}.")
        if attributes and self.card.attributes:
            require_attributes(self._engine)
        several = [paths] if isinstance(paths, (str, Path)) else paths
        return self._predictions(several, batch_size, attributes)

    def predict_file(self, path: Input, *, attributes: bool = False) -> Prediction:
        """Predict one file, as `predict_files` does; the answer is there sooner, and the same to 1e-5."""
        if attributes and self.card.attributes:
            require_attributes(self._engine)
        (given,) = load_rows([path])
        made = self._read(given, attributes)
        if isinstance(made, PictureError):
            return self._prediction(given, made, None, attributes)
        return self._prediction(given, *self._predict([made])[0], attributes)

    def _predictions(
        self, paths: Iterable[Input], batch_size: int, attributes: bool
    ) -> Generator[Prediction, None, None]:
        with closing(self._answers(load_rows(paths), batch_size, attributes)) as answers:
            for given, answer, measured in answers:
                yield self._prediction(given, answer, measured, attributes)

    def _prediction(self, given: Input, answer: Answer, measured: Attributes, attributes: bool) -> Prediction:
        by = {"engine": self._engine.name, "precision": self._engine.precision}
        if isinstance(answer, PictureError):
            return Prediction(name_of(given), None, answer, {} if attributes else None, **by)
        return Prediction(name_of(given), answer, None, measured, **by)

    def _answers(
        self, sources: Iterable[Given], batch_size: int, attributes: bool
    ) -> Generator[tuple[Given, Answer, Attributes], None, None]:
        def read(source: Given) -> tuple[Given, _Prepared | PictureError]:
            return source, self._read(source, attributes)

        def predict(
            batch: list[tuple[Given, _Prepared | PictureError]],
        ) -> list[tuple[Given, Answer, Attributes]]:
            predicted = iter(self._predict([made for _, made in batch if isinstance(made, _Prepared)]))
            return [
                (source, made, None) if isinstance(made, PictureError) else (source, *next(predicted))
                for source, made in batch
            ]

        # Closed also when the caller stops early or is interrupted: what has not begun is not begun.
        with (
            closing(map_ahead(read, sources, ahead=BATCHES_AHEAD * batch_size)) as decoded,  # type: ignore[type-var]
            closing(self._engine.map(predict, self._together(decoded, batch_size))) as predicted,
        ):
            for answers in predicted:
                yield from answers

    def _together(self, items: Iterator[T], batch_size: int) -> Iterator[list[T]]:
        """Divide each batch into the parts that go through the network together."""
        at_once = self._engine.at_once(batch_size)
        sizes = [min(at_once, batch_size - begin) for begin in range(0, batch_size, at_once)]
        for size in cycle(sizes):
            group = list(islice(items, size))
            if not group:
                return
            yield group

    def _read(
        self, given: Source | PictureBytes | PictureError, attributes: bool
    ) -> _Prepared | PictureError:
        """Read a picture, measure it if requested, and fit it to the network; or return its error."""
        if isinstance(given, PictureError):
            return given
        preprocessing = self.card.preprocessing
        # Pillow loads a picture when it is first used, and two threads must not do that to the same one.
        guard = nullcontext() if isinstance(given, (str, Path, bytes, PictureBytes)) else self._in_memory
        try:
            with guard:
                pixels = read_pixels(opened(given), at_least=preprocessing.at_least)
                return _Prepared(preprocessing.fit_pixels(pixels), measure(pixels) if attributes else None)
        except PictureError as error:
            return renamed(error, given)

    def _predict(self, prepared: list[_Prepared]) -> list[tuple[EmotionDistribution, Attributes]]:
        """Predict pictures. Where they were measured, a model with attributes adds its own."""
        if not prepared:
            return []
        pixels = np.stack([picture.pixels for picture in prepared])
        attributes: list[Attributes] = [picture.measured for picture in prepared]
        if self.card.attributes and prepared[0].measured is not None:
            rows, explained = self._engine.explain(pixels)
            evidence = evidence_of(explained, self.card.attributes, self.vocabulary)
            attributes = [{**(old or {}), **new} for old, new in zip(attributes, evidence, strict=True)]
        else:
            rows = self._engine(pixels)
        answers = [EmotionDistribution(self.vocabulary, tuple(row)) for row in rows.tolist()]
        return list(zip(answers, attributes, strict=True))


def _torch_engine(model: "Model", device: str, precision: str) -> Engine:
    from affectlens.inference.torch_engine import TorchEngine

    return TorchEngine(model, device, precision)


def _rounded(distribution: EmotionDistribution) -> dict[str, float]:
    return {word: round(value, DIGITS) for word, value in distribution.weights.items()}


def _plain(value: Any) -> Any:
    return round(value, MEASURED_DIGITS) if isinstance(value, float) else value


def _raised(answer: T | PictureError) -> T:
    if isinstance(answer, PictureError):
        raise answer
    return answer
