"""Explanations in Python: a picture and an emotion, or a rating, in, a heat map out.

    >>> from affectlens import Explainer
    >>> explainer = Explainer.load()                              # doctest: +SKIP
    >>> heatmap = explainer("photo.jpg", "fear", against="anger")  # doctest: +SKIP
    >>> heatmap.at(*heatmap.size).shape                           # doctest: +SKIP
    (3000, 4000)
    >>> explainer("photo.jpg", "valence").rating                   # doctest: +SKIP
    4.83

A map shows how this model came to its answer, which is what a picture evokes on average. It shows nothing of
why any person feels something.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from affectlens import library
from affectlens.emotions import EmotionDistribution, Vocabulary
from affectlens.errors import BadModelFolder, MissingExtra, PictureError, SettingsError
from affectlens.explain.core.attribution import (
    Attribution,
    ExplainedModel,
    ExplainsTogether,
    HasAttributeEvidence,
    MarksUnusual,
    Method,
    NamesItsWeights,
    answer_questions,
    marks_unusual,
    ratings_of,
)
from affectlens.explain.core.engine_model import EngineModel
from affectlens.explain.core.heatmap import Heatmap
from affectlens.explain.core.question import (
    AnyQuestion,
    ImageAnswers,
    RatingQuestion,
    make_question,
    question_about,
    words_of,
)
from affectlens.explain.faithfulness.curves import RemovalOptions, faithfulness
from affectlens.explain.methods import catalog as methods
from affectlens.explain.story.contributions import Contributions
from affectlens.explain.story.effects import (
    PictureEffects,
    RegionBox,
    RegionShare,
    divide_by_region,
    measure_effects,
)
from affectlens.explain.story.text import disagreement, story
from affectlens.explain.text import doubts
from affectlens.extras import TRAIN
from affectlens.images import Pixels, Source, read_pixels, read_size, resize
from affectlens.inference.engine import AUTO, TORCH, load_engine
from affectlens.inference.inputs import Input, load_rows, name_of, opened, renamed
from affectlens.inference.output.rows import MADE_BY, UNUSUAL, rating_row
from affectlens.inference.stores import PictureBytes
from affectlens.machine import wait_passively
from affectlens.preprocess import Images, View
from affectlens.ratings import Rating, RatingScale, with_intervals
from affectlens.report.text import listed

if TYPE_CHECKING:
    from affectlens.explain.core.differentiable import DifferentiableModel

# Of the longer side of the pixels that an explanation keeps: no figure and no page shows more.
DISPLAYED = 1600
NO_REGIONS: Mapping[str, Sequence[RegionBox]] = {}


@dataclass(frozen=True, eq=False)
class PreparedPicture:
    """A picture and a model's answer to it, ready for questions.

    Attributes:
        name: of the picture
        size: (H, W), upright
        pixels: of the upright picture, of reduced size where a large JPEG was decoded so
        view: which part of it the network sees, and where in its input
        image: the network's input, (1, 3, h, w)
        emotions: what `Predictor` answers in float32
        answers: the model's to this picture, which questions read: with ratings where the model has any
        displayed: pixels for figures and pages, or None where they were not requested
        ratings, unusual: as `Prediction` has them
    """

    name: str
    size: tuple[int, int]
    pixels: Pixels
    view: View
    image: Images
    emotions: EmotionDistribution
    answers: ImageAnswers
    displayed: Pixels | None = None
    ratings: Mapping[str, Rating] = field(default_factory=dict)
    unusual: bool | None = None


@dataclass(frozen=True, kw_only=True)
class ExplanationRequest:
    """What is to be explained of each picture.

    Attributes:
        emotions: why these, or ratings, by name (`core.question.question_about`), each for itself; none means
            the most likely emotion
        all_emotions: all of the model's, rather than `emotions`
        against: rather than which emotion; None means than all others
        effects: measure what changes the answers, too
        removal: how to measure faithfulness; None for not at all
        keep_pixels: keep the picture at display size, which figures and pages need
    """

    emotions: tuple[str, ...] = ()
    all_emotions: bool = False
    against: str | None = None
    effects: bool = False
    removal: RemovalOptions | None = None
    keep_pixels: bool = True


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why a picture evokes what it does, on average; or an `error` and nothing else.

    Attributes:
        heatmaps: one for each question
        effects, parts: one for each question, or none where they were not requested; no parts of networks
            that cannot be divided (`explain.story.branches`), and None for those of a rating
        pixels: the picture upright, uint8 (H, W, 3), its longer side at most `DISPLAYED`; None where the
            request was not to keep them
        attributes: of models that answer them, what is seen in the picture and what of it speaks for its
            first emotion (`attribute_evidence.evidence_of`)
        made_by: model, weights, version, engine and precision, as rows of predictions name them
        scales: of the model's ratings
        ratings, unusual: as `Prediction` has them: by name with their intervals, and whether the picture is
            unlike those that the model was made for
        marks_unusual: whether the model knows which pictures are
    """

    image: str
    heatmaps: tuple[Heatmap, ...] = ()
    effects: tuple[PictureEffects, ...] = ()
    parts: tuple[Contributions | None, ...] = ()
    pixels: Pixels | None = None
    attributes: Mapping[str, Any] | None = None
    error: PictureError | None = None
    made_by: Mapping[str, str | None] = field(default_factory=dict)
    scales: tuple[RatingScale, ...] = ()
    ratings: Mapping[str, Rating] = field(default_factory=dict)
    unusual: bool | None = None
    marks_unusual: bool = False

    @cached_property
    def regions(self) -> tuple[list[RegionShare], ...]:
        """What each region has of each heat map."""
        return tuple(divide_by_region(heatmap) for heatmap in self.heatmaps)

    def story(self, index: int = 0) -> list[str]:
        """Return the sentences about one question's effects, and whether its map shows the opposite.

        A map that was found no better than random ones contradicts nothing. Raises `IndexError` where effects
        were not requested.
        """
        found = self.effects[index]
        disagrees = "" if doubts([self.heatmaps[index]]) else disagreement(found, self.regions[index])
        return [*story(found), *([disagrees] if disagrees else [])]

    def sentences(self) -> list[str]:
        """Return `story` of all questions; what is nearly the same for every emotion stands there once."""
        found: list[str] = []
        are_known = False
        for index, heatmap in enumerate(self.heatmaps):
            is_emotion = heatmap.rating is None
            found += self.story(index)[1 if are_known and is_emotion else 0 :]
            are_known = are_known or is_emotion
        return found

    def to_json(self) -> dict[str, Any]:
        """Return all but maps and pixels as plain data; the same keys for every picture."""
        error = self.error
        answers = []
        for index, heatmap in enumerate(self.heatmaps):
            answer = heatmap.to_json()
            answer["places"] = [share.to_json() for share in self.regions[index]]
            if self.effects:
                answer["influences"] = self.effects[index].to_json()
                answer["story"] = self.story(index)
            if self.parts and (parts := self.parts[index]):
                answer["parts"] = parts.to_json()
            answers.append(answer)
        return {
            "image": self.image,
            "explanations": answers,
            **{scale.name: rating_row(self.ratings.get(scale.name)) for scale in self.scales},
            **({UNUSUAL: self.unusual} if self.marks_unusual else {}),
            "attributes": self.attributes,
            **{name: self.made_by.get(name) for name in MADE_BY},
            "error": {"type": type(error).__name__, "message": str(error)} if error else None,
        }


class Explainer:
    """Explain why pictures evoke emotions, or are rated so, on average, as one model predicts it.

    Pictures are given as to `Predictor`. May be used from several threads, which then wait for one another.
    """

    def __init__(
        self,
        model: ExplainedModel,
        method: str | Method | None = None,
        *,
        loaded_from: str | None = None,
        **options: Any,
    ) -> None:
        """Take a model; `method` is a name of `methods.catalog.METHODS` with its options, or a method.

        The model is an `EngineModel`, or a `DifferentiableModel` for methods that take gradients. None takes
        `methods.default_for` the model and the question. `loaded_from` is the model's name or folder, by
        which the parts of an engine's answers can be found in its network.

        Raises `UnknownName` for a method, `SettingsError` for an option that it does not have or a model that
        it cannot explain, and `MissingExtra` for a method whose libraries are not installed.
        """
        self._is_default = method is None and not options  # which are those of one method
        method = method or methods.default_for(model)
        if isinstance(method, str) and not methods.find(method).suits(model):
            fitting = ", ".join(methods.suitable_for(model))
            raise SettingsError(
                f"The method {method} cannot explain {model.name}. Methods that can: {fitting}."
            )
        self.model = model
        self._loaded_from = loaded_from
        self.method_name = method if isinstance(method, str) else _name_of(method)
        self._method = methods.make(method, **options) if isinstance(method, str) else method
        # Methods hang hooks into a network, and take gradients of it.
        self._lock = Lock()

    @classmethod
    def load(
        cls,
        name: str = library.DEFAULT,
        method: str | Method | None = None,
        device: str = "auto",
        engine: str = AUTO,
        **options: Any,
    ) -> "Explainer":
        """Load a model by name, folder, or `owner/name` of the hub; see `load_explained` and `__init__`."""
        model = load_explained(name, [method] if isinstance(method, str) else [], device, engine)
        return cls(model, method, loaded_from=name, **options)

    @property
    def vocabulary(self) -> Vocabulary:
        """The emotions that the model knows."""
        return self.model.vocabulary

    @property
    def ratings(self) -> tuple[RatingScale, ...]:
        """Scales of the model's ratings; none of most models."""
        return ratings_of(self.model)

    def __call__(self, picture: Source, emotion: str | None = None, against: str | None = None) -> Heatmap:
        """Explain why a picture evokes an emotion rather than another one, or rather than all others.

        Without an emotion it is the most likely one. `positive` and `negative` are possible, too, and so are
        the model's ratings, as `valence` or, where an emotion has that name, `rating:valence`.
        Raises `PictureError`, `UnknownName`, or `SettingsError` for an emotion against itself, for a rating
        against anything, and for a rating that the method cannot explain.
        """
        request = ExplanationRequest(emotions=(emotion,) if emotion else (), against=against)
        self.check(request)
        prepared = self.prepare(picture)
        return self.explain(prepared, self._questions(prepared, request)[0])

    def explain_files(
        self,
        paths: Iterable[Input] | Path | str,
        request: ExplanationRequest | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Generator[Explanation, None, None]:
        """Explain any number of files, or one, and yield an answer for each in the order given.

        A file that cannot be read is an answer with an error, and the job goes on; a `PictureError` among the
        paths is passed on where it stands. `progress` is called with the number of maps just made. Raises
        `UnknownName` or `SettingsError` for what cannot be requested, before any file is read.
        """
        request = request or ExplanationRequest()
        self.check(request)
        several = [paths] if isinstance(paths, (str, Path)) else paths
        return self._explanations(several, request, progress or (lambda _: None))

    def check(self, request: ExplanationRequest) -> None:
        """Raise `UnknownName` for what is neither an emotion nor a rating, `SettingsError` for an emotion
        against itself, a rating against anything, and a rating that the method cannot explain.
        """
        against = request.against
        if against is not None and len(words_of(self.vocabulary, against)) == len(self.vocabulary):
            raise SettingsError(f"Nothing is left to compare with {against!r}.")
        self._chosen([self._question(name, against) for name in request.emotions])

    def _question(self, name: str, against: str | None) -> AnyQuestion:
        return question_about(self.vocabulary, self.ratings, name, against)

    def _chosen(self, questions: Sequence[AnyQuestion]) -> tuple[str, Method]:
        """Return the method that answers questions together, with its name.

        That is the explainer's own; where none was named and one of the questions is about a rating, the
        default of ratings, which explains emotions, too.
        """
        name = self.method_name
        rated = [each.name for each in questions if isinstance(each, RatingQuestion)]
        entry = methods.METHODS.get(name)
        if rated and self._is_default:
            name = methods.default_for(self.model, ratings=True)
            return name, methods.make(name)
        if not rated or entry is None or entry.suits_ratings(self.model):
            return name, self._method
        fitting = ", ".join(methods.suitable_for(self.model, ratings=True))
        raise SettingsError(
            f"The method {name} cannot explain {rated[0]}, a rating, of {self.model.name}. "
            f"Methods that can: {fitting}."
        )

    def prepare(self, picture: Source | PictureBytes, *, displayed: bool = False) -> PreparedPicture:
        """Read a picture and predict its emotions; with `displayed`, keep it at display size, too.

        Raises `PictureError`.
        """
        preprocessing = self.model.preprocessing
        guard = nullcontext() if isinstance(picture, (str, Path, bytes, PictureBytes)) else self._lock
        try:
            with guard:
                source = opened(picture)
                size = read_size(source)
                pixels = read_pixels(source, at_least=preprocessing.at_least)
                kept = _for_display(source, size, pixels) if displayed else None
        except PictureError as error:
            raise renamed(error, picture) from None
        return self.prepare_pixels(_name_of(picture), size, pixels, kept)

    def prepare_pixels(
        self, name: str, size: tuple[int, int], pixels: Pixels, displayed: Pixels | None = None
    ) -> PreparedPicture:
        """Predict the emotions of a picture that was decoded elsewhere; see `PreparedPicture`.

        `pixels` are as `images.read_pixels` returns them with `at_least` of the model's preprocessing.
        """
        preprocessing = self.model.preprocessing
        image = preprocessing.normalise(preprocessing.fit_pixels(pixels)[None])
        with self._lock:
            answers = answer_questions(self.model, image, _about_each(self.ratings))
            unusual = self.model.is_unusual(image) if isinstance(self.model, MarksUnusual) else None
        view = preprocessing.view(*pixels.shape[:2])
        emotions = EmotionDistribution(self.vocabulary, tuple(answers.probabilities[0].tolist()))
        rated = with_intervals(self.ratings, answers.ratings[0].tolist(), unusual=unusual is True)
        return PreparedPicture(name, size, pixels, view, image, emotions, answers, displayed, rated, unusual)

    def explain(
        self, prepared: PreparedPicture, question: AnyQuestion, removal: RemovalOptions | None = None
    ) -> Heatmap:
        """Answer one question about a picture; with `removal`, measure the map's faithfulness too."""
        answer = next(self._answers(prepared, [question]))
        return self._measured(prepared, question, answer, self._chosen([question])[0], removal)

    def _answers(self, prepared: PreparedPicture, questions: Sequence[AnyQuestion]) -> Iterator[Attribution]:
        """Yield an attribution for each question; one method may answer all of them at once."""
        method: Any = self._chosen(questions)[1]
        if isinstance(method, ExplainsTogether):
            with self._lock:
                found = method.explain_all(self.model, prepared.image, questions)
            yield from found
            return
        for question in questions:
            with self._lock:
                answer = method(self.model, prepared.image, question)
            yield answer

    def _measured(
        self,
        prepared: PreparedPicture,
        question: AnyQuestion,
        answer: Attribution,
        method: str,
        removal: RemovalOptions | None,
    ) -> Heatmap:
        """Make the heat map of an answer, with its faithfulness where that is wanted."""
        details = dict(answer.details)
        if removal is not None:
            with self._lock:
                details["faithfulness"] = faithfulness(
                    self.model, prepared.image, question, answer.values, removal
                ).to_json()
        return self._heatmap(prepared, question, replace(answer, details=details), method)

    def effects(
        self,
        prepared: PreparedPicture,
        questions: Sequence[AnyQuestion],
        further: Mapping[str, Sequence[RegionBox]] = NO_REGIONS,
    ) -> list[PictureEffects]:
        """Measure what changes the answers; `further` are regions by name, as a detector's boxes of faces."""
        with self._lock:
            return measure_effects(self.model, prepared.pixels, questions, further)

    def parts(
        self, prepared: PreparedPicture, questions: Sequence[AnyQuestion]
    ) -> list[Contributions | None]:
        """Divide each answer about emotions among the network's parts; None for one about a rating.

        An empty list for a network that cannot be divided, for a graph whose network torch cannot load, and
        where torch, which divides them, is not installed.
        """
        network = self._network
        if network is None:
            return []
        from affectlens.explain.story import branches

        if not branches.has_parts(network.network):
            return []
        with self._lock:
            return [
                None
                if isinstance(question, RatingQuestion)
                else branches.contributions(network, prepared.image, question)
                for question in questions
            ]

    @cached_property
    def _network(self) -> "DifferentiableModel | None":
        """The model in torch: its own, or loaded again where torch is installed."""
        if not TRAIN.is_installed:
            return None
        from affectlens.explain.core.differentiable import DifferentiableModel

        if isinstance(self.model, DifferentiableModel):
            return self.model
        if self._loaded_from is None:
            return None
        try:
            return _load_network(self._loaded_from, "auto", "Parts of an answer")
        except BadModelFolder:
            # A graph answers for networks that are not among ours, too.
            return None

    def _explanations(
        self, paths: Iterable[Input], request: ExplanationRequest, progress: Callable[[int], None]
    ) -> Generator[Explanation, None, None]:
        for given in load_rows(paths):
            try:
                if isinstance(given, PictureError):
                    raise given
                prepared = self.prepare(given, displayed=request.keep_pixels)
                yield self.explain_prepared(prepared, request, progress)
            except PictureError as error:
                yield Explanation(name_of(given), error=error, **self._of_model())

    def explain_prepared(
        self,
        prepared: PreparedPicture,
        request: ExplanationRequest,
        progress: Callable[[int], None] = lambda _: None,
    ) -> Explanation:
        """Answer all of a request about a picture, as `explain_files` does. Raises as `check`."""
        self.check(request)
        questions = self._questions(prepared, request)
        heatmaps, method = [], self._chosen(questions)[0]
        for question, answer in zip(questions, self._answers(prepared, questions), strict=True):
            heatmaps.append(self._measured(prepared, question, answer, method, request.removal))
            progress(1)
        return Explanation(
            prepared.name,
            tuple(heatmaps),
            tuple(self.effects(prepared, questions)) if request.effects else (),
            tuple(self.parts(prepared, questions)) if request.effects else (),
            prepared.displayed,
            self._attributes(prepared),
            ratings=prepared.ratings,
            unusual=prepared.unusual,
            **self._of_model(),
        )

    def _of_model(self) -> dict[str, Any]:
        """What is known of each picture, also of one that could not be read."""
        made_by = self.model.made_by() if isinstance(self.model, NamesItsWeights) else {}
        return {"made_by": made_by, "scales": self.ratings, "marks_unusual": marks_unusual(self.model)}

    def _attributes(self, prepared: PreparedPicture) -> Mapping[str, Any] | None:
        if not isinstance(self.model, HasAttributeEvidence):
            return None
        with self._lock:
            return self.model.attribute_evidence(self.model.preprocessing.fit_pixels(prepared.pixels)[None])

    def _questions(self, prepared: PreparedPicture, request: ExplanationRequest) -> list[AnyQuestion]:
        against, emotions = request.against, request.emotions
        opposed = words_of(self.vocabulary, against) if against else ()
        left = [word for word, _ in prepared.emotions.ranked if word not in opposed]
        if request.all_emotions:
            emotions = tuple(word for word in self.vocabulary.words if word in left)
            return [make_question(self.vocabulary, word, against) for word in emotions]
        return [self._question(name, against) for name in emotions or left[:1]]

    def _heatmap(
        self, prepared: PreparedPicture, question: AnyQuestion, answer: Attribution, method: str
    ) -> Heatmap:
        return Heatmap(
            image=prepared.name,
            size=prepared.size,
            view=prepared.view,
            question=question,
            method=method,
            model=self.model.name,
            emotions=prepared.emotions,
            answer=float(question.read(prepared.answers)[0]),
            values=answer.values,
            sums_up=answer.sums_up,
            details=answer.details,
        )


def load_explained(
    name: str = library.DEFAULT, named: Sequence[str] = (), device: str = "auto", engine: str = AUTO
) -> ExplainedModel:
    """Load a model as the methods named need it, or as what is installed allows where none is.

    Methods that take gradients, or look into a network, get it in torch; all others an engine
    (`inference.engine.load_engine`), in float32. Without methods it is a network where torch is installed and
    no engine is named, so that `catalog.default_for` can choose among all.

    Raises `UnknownName` for a method, `SettingsError` for one that the engine cannot run, `MissingExtra` for
    one that needs what is not installed, and what loading a model raises.
    """
    wait_passively()  # before a method imports torch
    needing = [method for method in named if methods.find(method).needs_network]
    if needing and engine not in (AUTO, TORCH):
        raise SettingsError(
            f"The method {needing[0]} looks into a network in torch: leave out engine={engine}."
        )
    if needing or (not named and engine in (AUTO, TORCH) and TRAIN.is_installed):
        return _load_network(name, device, f"The method {needing[0]}" if needing else "The engine torch")
    # Many: explaining one picture perturbs it hundreds of times.
    model = EngineModel(load_engine(name, engine, device, "float32", many=True))
    lacking = [method for method in named if not methods.find(method).suits(model)]
    if not lacking:
        return model
    # A network can have maps that its graph does not return.
    if engine in (AUTO, TORCH):
        return _load_network(name, device, f"The method {lacking[0]}")
    raise SettingsError(
        f"The method {lacking[0]} needs maps of {model.name} that {engine} does not return: leave out "
        f"engine={engine}, or take {listed(methods.suitable_for(model), 'or')}."
    )


def _load_network(name: str, device: str, what: str) -> "DifferentiableModel":
    try:
        from affectlens.explain.core.differentiable import DifferentiableModel
        from affectlens.models import saved
    except ImportError as error:
        raise MissingExtra(what, error.name or TORCH, TRAIN.name) from None
    return DifferentiableModel.of(saved.load(name), device)


def _about_each(ratings: Sequence[RatingScale]) -> list[AnyQuestion]:
    return [RatingQuestion(scale, index) for index, scale in enumerate(ratings)]


def _for_display(source: Source, size: tuple[int, int], pixels: Pixels) -> Pixels:
    """Bring a picture of this (H, W) to display size; it is decoded again only where `pixels` are fewer."""
    shrink = min(1.0, DISPLAYED / max(size))
    height, width = (max(1, round(side * shrink)) for side in size)
    if pixels.shape[:2] != size:
        pixels = read_pixels(source, at_least=(height, width))
    return resize(pixels, height, width)


def _name_of(thing: Any) -> str:
    """The path of a file; of anything else its own name, or that of its type."""
    if isinstance(thing, (str, Path, PictureBytes)):
        return name_of(thing)
    return str(getattr(thing, "filename", "") or getattr(thing, "__name__", "") or type(thing).__name__)
