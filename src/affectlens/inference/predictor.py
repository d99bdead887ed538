"""The Python interface: pictures in, emotions out.

    >>> from affectlens import Predictor
    >>> predictor = Predictor.load()                         # doctest: +SKIP
    >>> print(predictor("beach.jpg"))                        # doctest: +SKIP
    contentment 62 %, awe 27 %, excitement 6 %, amusement 5 %

The answer is how likely a picture is to evoke each emotion in those who look at it, on average; it
does not describe the feelings of any person.
"""

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from io import IOBase
from itertools import cycle, islice
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, overload

import numpy as np

from affectlens import library
from affectlens.attributes import MEASURED
from affectlens.data.prefetch import map_ahead
from affectlens.emotions import EmotionDistribution, Vocabulary, polarity_sums
from affectlens.errors import PictureError, SettingsError
from affectlens.images import Source, Tensor
from affectlens.inference.attribute_evidence import EVIDENCE, PREDICTED, evidence_of
from affectlens.inference.coverage import PredictionSets
from affectlens.inference.engine import AUTO, Answers, Engine, load_engine, require_attributes
from affectlens.inference.fitting import FittedPicture, fit_picture
from affectlens.inference.inputs import Input, load_rows, name_of, opened, renamed
from affectlens.inference.output.rows import (
    AT_COVERAGE,
    MIN_CONFIDENCE,
    SET,
    UNUSUAL,
    RowSchema,
    made_by,
    rating_row,
)
from affectlens.inference.stores import PictureBytes
from affectlens.inference.unusual import UsualPictures
from affectlens.model_folder import Card
from affectlens.ratings import AROUSAL, COVERAGE, VALENCE, Rating, RatingScale, with_intervals

if TYPE_CHECKING:
    from affectlens.models.saved import Model
    from affectlens.report.figures import Figure

BATCH_SIZE = 32
DIGITS = 6  # of probabilities in rows: far below what a model knows, and short to read
MEASURED_DIGITS = 3  # of measured attributes in rows: decoding at reduced size can change the second
BATCHES_AHEAD = 2  # decoded while one is predicted; bounds the memory, whatever the number of pictures

# What `Predictor.predict_files`, `predict_file` and `row_schema` take by these names.
REQUESTS = ("attributes", "coverage", "min_confidence")
_NO_SETS = (
    "The card of this model has no thresholds for sets of emotions. Fit them by `affectlens calibrate`, "
    "or use a "
    "model that has them, as default."
)

Answer: TypeAlias = EmotionDistribution | PictureError
Attributes: TypeAlias = Mapping[str, Any] | None  # None where they are not wanted
Given = TypeVar("Given", bound=Source | PictureBytes | PictureError)
T = TypeVar("T")


@dataclass(frozen=True)
class Prediction:
    """What a picture evokes, or the error if it cannot be read: of `emotions` and `error` one is None.

    Attributes:
        attributes: None unless attributes were requested. Otherwise it holds, by the names of
            `Predictor.attribute_names`, measured attributes as numbers in 0..1, and the attributes that the
            model predicts, with those that speak for the emotion (`attribute_evidence.evidence_of`). It is
            empty where the picture could not be read.
        engine, precision: those of `inference.engine.Engine`
        ratings: by name, as valence and arousal; empty of a model without ratings
        unusual: whether the picture is unlike those that the model was made for; None where that is not
            known.
            Its intervals and sets are those that miss half as often
        coverage: of the row's set of emotions; None for a row without
        min_confidence: probability below which the row names no first emotion; None for a row that always
            does
        sets: thresholds of the model's sets of emotions, None where it has none
        scales: of the model's ratings
    """

    image: str
    emotions: EmotionDistribution | None
    error: PictureError | None
    attributes: Mapping[str, Any] | None = None
    engine: str = ""
    precision: str = ""
    ratings: Mapping[str, Rating] = field(default_factory=dict)
    unusual: bool | None = None
    coverage: float | None = None
    min_confidence: float | None = None
    sets: PredictionSets | None = field(default=None, repr=False, compare=False)
    scales: tuple[RatingScale, ...] = field(default=(), repr=False, compare=False)

    @property
    def abstains(self) -> bool:
        """Whether no emotion is as probable as was requested, so that none is named."""
        if self.emotions is None or self.min_confidence is None:
            return False
        return self.emotions[self.emotions.top] < self.min_confidence

    @property
    def valence(self) -> Rating | None:
        """How pleasant people rate the picture on average, 1 to 9; None of a model without it."""
        return self.ratings.get(VALENCE)

    @property
    def arousal(self) -> Rating | None:
        """How stirring people rate the picture on average, 1 to 9; None of a model without it."""
        return self.ratings.get(AROUSAL)

    def set(self, coverage: float = COVERAGE) -> tuple[str, ...]:
        """Return the emotions that hold the picture's own with a probability, most probable first.

        `coverage` is that probability, 0.5 to 0.99, for pictures like those of the calibration; an unusual
        picture gets the set that misses half as often. Raises `SettingsError` for another coverage, for a
        model without thresholds, and for a picture that could not be read.
        """
        if self.emotions is None:
            raise SettingsError(f"{self.image} could not be read, so it has no set of emotions.")
        if self.sets is None:
            raise SettingsError(_NO_SETS)
        if not isinstance(coverage, int | float):
            raise SettingsError(f"A coverage is a number, as 0.9, not {coverage!r}.")
        return self.sets.of(self.emotions, coverage, unusual=bool(self.unusual))

    def draw_circumplex(self) -> "Figure":
        """Draw valence and arousal, with their intervals, as a point in one plane (Russell, 1980).

        `inference.circumplex.draw_predictions` draws several. Raises `NoCircumplex` for a model without both
        ratings, `SettingsError` for a picture that could not be read.
        """
        from affectlens.inference.circumplex import draw_predictions

        return draw_predictions([self])

    def to_row(self, card: Card) -> dict[str, Any]:
        """Return plain data for JSON, CSV or a data frame; the same keys for every picture of a job.

        It names the model by its `card`, its weights by `Card.weights_id` (None where it was not saved), the
        version of the package, and the engine with its precision.
        """
        emotions, error, attributes = self.emotions, self.error, self.attributes
        polarity = polarity_sums(emotions) if emotions else None
        return {
            "image": self.image,
            "top": emotions.top if emotions and not self.abstains else None,
            "emotions": _rounded(emotions) if emotions else None,
            "polarity": _rounded(polarity) if polarity else None,
            **{scale.name: rating_row(self.ratings.get(scale.name)) for scale in card.ratings},
            **({UNUSUAL: self.unusual} if card.unusual else {}),
            **({} if self.coverage is None else self._set_row(self.coverage)),
            **({} if self.min_confidence is None else {MIN_CONFIDENCE: self.min_confidence}),
            **({} if attributes is None else {"attributes": {k: _plain(v) for k, v in attributes.items()}}),
            **made_by(card.name, card.weights_id, self.engine, self.precision),
            "error": {"type": type(error).__name__, "message": str(error)} if error else None,
        }

    def _set_row(self, coverage: float) -> dict[str, Any]:
        return {SET: list(self.set(coverage)) if self.emotions else None, AT_COVERAGE: coverage}


@dataclass(frozen=True)
class _Requested:
    """What is requested besides emotions; `coverage` None for no sets, and intervals of `COVERAGE`."""

    attributes: bool = False
    coverage: float | None = None
    min_confidence: float | None = None


@dataclass(frozen=True)
class _Answered:
    """What was predicted of a picture that could be read."""

    emotions: EmotionDistribution
    attributes: Attributes = None
    ratings: Mapping[str, Rating] = field(default_factory=dict)
    unusual: bool | None = None


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
        card = self._engine.card
        thresholds = card.prediction_sets
        self._sets = PredictionSets.from_json(thresholds, card.vocabulary) if thresholds else None
        self._usual = UsualPictures.from_tensors(self._engine.heads) if card.unusual else None

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
            answers = self._answers(picture, BATCH_SIZE, _Requested())
            return [_raised(answer).emotions for _, answer in answers]
        single: Any = picture
        return self._predict([_raised(self._read(single, _Requested()))], _Requested())[0].emotions

    def predict_files(
        self,
        paths: Iterable[Input] | Path | str,
        batch_size: int = BATCH_SIZE,
        *,
        attributes: bool = False,
        coverage: float | None = None,
        min_confidence: float | None = None,
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

        With `coverage`, rows have a set of emotions that holds the picture's own with this probability
        (`Prediction.set`), and the intervals of ratings hold people's mean with it; by default these do with
        0.9. With `min_confidence`, 0 to 1, a row whose emotions are all less probable names none as the first
        (`Prediction.abstains`). Raises `SettingsError` for a coverage that the model has no thresholds for,
        and for another `min_confidence`.
        """
        if batch_size < 1:
            raise SettingsError(f"batch_size must be at least 1, not {batch_size}.")
        requested = self._requested(attributes, coverage, min_confidence)
        several = [paths] if isinstance(paths, (str, Path)) else paths
        return self._predictions(several, batch_size, requested)

    def predict_file(
        self,
        path: Input,
        *,
        attributes: bool = False,
        coverage: float | None = None,
        min_confidence: float | None = None,
    ) -> Prediction:
        """Predict one file, as `predict_files` does; the answer is there sooner, and the same to 1e-5."""
        requested = self._requested(attributes, coverage, min_confidence)
        (given,) = load_rows([path])
        made = self._read(given, requested)
        answer = made if isinstance(made, PictureError) else self._predict([made], requested)[0]
        return self._prediction(given, answer, requested)

    def predict_fitted(
        self,
        pictures: Sequence[tuple[str, FittedPicture]],
        *,
        attributes: bool = False,
        coverage: float | None = None,
    ) -> list[Prediction]:
        """Predict pictures, by their names, that were fitted to this model elsewhere, all in one batch.

        As `predict_files` does with files. Where attributes are requested, they were measured when the
        pictures were fitted. Raises `SettingsError`.
        """
        requested = self._requested(attributes, coverage, None)
        answers = self._predict([fitted for _, fitted in pictures], requested)
        return [
            self._prediction(name, answer, requested)
            for (name, _), answer in zip(pictures, answers, strict=True)
        ]

    def failed(
        self, error: PictureError, *, attributes: bool = False, coverage: float | None = None
    ) -> Prediction:
        """Return the answer about a picture that could not be read, under the error's path."""
        return self._prediction(error, error, self._requested(attributes, coverage, None))

    def row_schema(
        self,
        *,
        attributes: bool = False,
        coverage: float | None = None,
        min_confidence: float | None = None,
    ) -> RowSchema:
        """Return what the rows of predictions hold, by what is requested. Raises as `predict_files`."""
        card = self.card
        self._requested(attributes, coverage, min_confidence)
        return RowSchema(
            vocabulary=card.vocabulary,
            attributes=self.attribute_names if attributes else (),
            ratings=tuple(scale.name for scale in card.ratings),
            unusual=bool(card.unusual),
            coverage=coverage,
            min_confidence=min_confidence,
        )

    def _requested(
        self, attributes: bool, coverage: float | None, min_confidence: float | None
    ) -> _Requested:
        """Check that all that is requested can be had."""
        if attributes and self.card.attributes:
            require_attributes(self._engine)
        if coverage is not None:
            if self._sets is None:
                raise SettingsError(_NO_SETS)
            self._sets.check(coverage)
            for scale in self.card.ratings:
                scale.half_width(coverage)
        if min_confidence is not None and not 0 <= min_confidence <= 1:
            raise SettingsError(f"min_confidence is a probability, 0 to 1, not {min_confidence:g}.")
        return _Requested(attributes, coverage, min_confidence)

    def _predictions(
        self, paths: Iterable[Input], batch_size: int, requested: _Requested
    ) -> Generator[Prediction, None, None]:
        with closing(self._answers(load_rows(paths), batch_size, requested)) as answers:
            for given, answer in answers:
                yield self._prediction(given, answer, requested)

    def _prediction(
        self, given: Input, answer: _Answered | PictureError, requested: _Requested
    ) -> Prediction:
        shared: dict[str, Any] = {
            "image": name_of(given), "engine": self._engine.name, "precision": self._engine.precision,
            "coverage": requested.coverage, "min_confidence": requested.min_confidence, "sets": self._sets,
            "scales": self.card.ratings,
        }  # fmt: skip
        if isinstance(answer, PictureError):
            return Prediction(
                emotions=None, error=answer, attributes={} if requested.attributes else None, **shared
            )
        return Prediction(error=None, **vars(answer), **shared)

    def _answers(
        self, sources: Iterable[Given], batch_size: int, requested: _Requested
    ) -> Generator[tuple[Given, _Answered | PictureError], None, None]:
        def read(source: Given) -> tuple[Given, FittedPicture | PictureError]:
            return source, self._read(source, requested)

        def predict(
            batch: list[tuple[Given, FittedPicture | PictureError]],
        ) -> list[tuple[Given, _Answered | PictureError]]:
            readable = [made for _, made in batch if isinstance(made, FittedPicture)]
            predicted = iter(self._predict(readable, requested))
            return [
                (source, made if isinstance(made, PictureError) else next(predicted))
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
        self, given: Source | PictureBytes | PictureError, requested: _Requested
    ) -> FittedPicture | PictureError:
        """Read a picture, measure it if requested, and fit it to the network; or return its error."""
        if isinstance(given, PictureError):
            return given
        # Pillow loads a picture when it is first used, and two threads must not do that to the same one.
        guard = nullcontext() if isinstance(given, (str, Path, bytes, PictureBytes)) else self._in_memory
        try:
            with guard:
                return fit_picture(opened(given), self.card.preprocessing, measured=requested.attributes)
        except PictureError as error:
            return renamed(error, given)

    def _predict(self, prepared: list[FittedPicture], requested: _Requested) -> list[_Answered]:
        """Predict pictures. Where they were measured, a model with attributes adds its own."""
        if not prepared:
            return []
        pixels = np.stack([picture.pixels for picture in prepared])
        attributes: list[Attributes] = [picture.measured for picture in prepared]
        if self.card.attributes and requested.attributes:
            answers, explained = self._engine.explain(pixels)
            evidence = evidence_of(explained, self.card.attributes, self.vocabulary)
            attributes = [{**(old or {}), **new} for old, new in zip(attributes, evidence, strict=True)]
        else:
            answers = self._engine.answer(pixels)
        return self._answered(answers, attributes, requested.coverage or COVERAGE)

    def _answered(self, answers: Answers, attributes: list[Attributes], coverage: float) -> list[_Answered]:
        """Divide what was answered for a batch into its pictures."""
        count = len(attributes)
        unusual: list[bool | None] = [None] * count
        if self._usual is not None and answers.embedding is not None:
            unusual = list(self._usual.is_unusual(answers.embedding).tolist())
        ratings = answers.ratings.tolist() if answers.ratings is not None else [()] * count
        emotions = [
            EmotionDistribution(self.vocabulary, tuple(row)) for row in answers.probabilities.tolist()
        ]
        return [
            _Answered(
                each,
                own,
                with_intervals(self.card.ratings, rated, coverage, unusual=is_unusual is True),
                is_unusual,
            )
            for each, own, rated, is_unusual in zip(emotions, attributes, ratings, unusual, strict=True)
        ]


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
