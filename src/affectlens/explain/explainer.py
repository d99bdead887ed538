"""Explanations in Python: a picture and an emotion in, a heat map out.

    >>> from affectlens import Explainer
    >>> explainer = Explainer.load()                              # doctest: +SKIP
    >>> heatmap = explainer("photo.jpg", "fear", against="anger")  # doctest: +SKIP
    >>> heatmap.at(*heatmap.size).shape                           # doctest: +SKIP
    torch.Size([3000, 4000])

A map says how this model came to its answer, which is what a picture evokes on average. It says nothing about
why any person feels something.
"""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from affectlens import library
from affectlens.emotions import EmotionDistribution, Vocabulary
from affectlens.errors import PictureError, SettingsError
from affectlens.explain.core.attribution import Attribution, Method, Subject
from affectlens.explain.core.heatmap import Heatmap
from affectlens.explain.core.question import Question, ask, words_of
from affectlens.explain.faithfulness.curves import Removing, faithfulness
from affectlens.explain.methods import catalog as methods
from affectlens.explain.story import branches
from affectlens.explain.story.influences import Box, Influences, by_place, influences
from affectlens.explain.story.text import story
from affectlens.images import Pixels, Source, read_pixels, read_size
from affectlens.inference.inputs import Input, name_of, opened, read_ahead, renamed
from affectlens.inference.stores import Held
from affectlens.model_folder import Card, Model
from affectlens.preprocess import View

NO_PLACES: Mapping[str, Sequence[Box]] = {}


@dataclass(frozen=True, eq=False)
class Sight:
    """A picture as a model sees it, ready to be asked about.

    Attributes:
        name: of the picture
        size: (H, W), upright
        pixels: of the upright picture, of reduced size where a large JPEG was decoded so
        view: which part of it the network sees, and where
        image: what it sees, (1, 3, h, w)
        logits: calibrated, float64 (1, E)
        emotions: what that means: as `Predictor` says it in float32
    """

    name: str
    size: tuple[int, int]
    pixels: Pixels
    view: View
    image: Tensor
    logits: Tensor
    emotions: EmotionDistribution


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is to be explained of each picture.

    Attributes:
        emotions: why these, by name, each for itself; none means the most likely one
        every: all of the model's emotions, in place of `emotions`
        against: rather than which; None means than all others
        influences: also measure what moves the answers
        removing: how to measure faithfulness; None for not at all
    """

    emotions: tuple[str, ...] = ()
    every: bool = False
    against: str | None = None
    influences: bool = False
    removing: Removing | None = None


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why a picture evokes what it does; or why that cannot be said, an `error` and nothing else.

    Attributes:
        heatmaps: one for each question
        influences, parts: one for each question, or none where they were not wished for. Parts are None of
            networks without (`explain.story.branches`)
    """

    image: str
    heatmaps: tuple[Heatmap, ...] = ()
    influences: tuple[Influences, ...] = ()
    parts: tuple[branches.Contributions, ...] = ()
    error: PictureError | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain data; the same keys for every picture."""
        error = self.error
        answers = []
        for place, heatmap in enumerate(self.heatmaps):
            answer = heatmap.to_json()
            answer["places"] = [_rounded(vars(share)) for share in by_place(heatmap)]
            if self.influences:
                answer["influences"] = self.influences[place].to_json()
                answer["story"] = story(self.influences[place])
            if self.parts:
                answer["parts"] = self.parts[place].to_json()
            answers.append(answer)
        return {
            "image": self.image,
            "explanations": answers,
            "error": {"type": type(error).__name__, "message": str(error)} if error else None,
        }


class Explainer:
    """Say why pictures evoke emotions, as one model judges them and one method explains it.

    Pictures are given as to `Predictor`. May be used from several threads, which then wait for one another.
    """

    def __init__(
        self, model: Model, method: str | Method | None = None, device: str = "auto", **options: Any
    ) -> None:
        """Take a model; `method` is a name of `methods.catalog.METHODS` with its options, or a method.

        None takes `methods.default_for` the network.

        Raises `UnknownName` for a method, `SettingsError` for an option that it does not have, a network that
        it cannot explain, or a device that is not here.
        """
        method = method or methods.default_for(model.network)
        if isinstance(method, str) and not methods.find(method).suits(model.network):
            fitting = ", ".join(methods.suiting(model.network))
            raise SettingsError(
                f"The method {method} cannot explain {model.card.name}, a network of the kind "
                f"{model.card.network}. Methods that can: {fitting}."
            )
        self.card: Card = model.card
        self.subject = Subject.of(model, device)
        self.method_name = method if isinstance(method, str) else _name_of(method)
        self._method = methods.make(method, **options) if isinstance(method, str) else method
        self._lock = Lock()  # methods hang hooks into the network, and ask it for gradients

    @classmethod
    def load(
        cls,
        name: str = library.DEFAULT,
        method: str | Method | None = None,
        device: str = "auto",
        **options: Any,
    ) -> "Explainer":
        """Load a model by name, folder, or `owner/name` of the hub; see `Predictor.load` and `__init__`."""
        return cls(library.load(name), method, device, **options)

    @property
    def vocabulary(self) -> Vocabulary:
        """The emotions that the model knows."""
        return self.card.vocabulary

    def __call__(self, picture: Source, emotion: str | None = None, against: str | None = None) -> Heatmap:
        """Say why a picture evokes an emotion rather than another one, or rather than all others.

        Without an emotion it is the most likely one. `positive` and `negative` can be asked for too.
        Raises `PictureError`, `UnknownName`, or `SettingsError` for an emotion against itself.
        """
        self.check(Wish(emotions=(emotion,) if emotion else (), against=against))
        sight = self.look(picture)
        return self.explain(sight, self._questions(sight, (emotion,) if emotion else (), against)[0])

    def explain_files(
        self, paths: Iterable[Input], wish: Wish | None = None, progress: Callable[[int], None] | None = None
    ) -> Generator[Explanation, None, None]:
        """Explain any number of files, and yield an answer for each in the order given.

        A file that cannot be read is an answer with an error, and the job goes on; a `PictureError` among the
        paths is passed on in its place. `progress` is called with the number of maps just made. Raises
        `UnknownName` or `SettingsError` for what cannot be wished for, before any file is read.
        """
        wish = wish or Wish()
        self.check(wish)
        return self._explanations(paths, wish, progress or (lambda _: None))

    def check(self, wish: Wish) -> None:
        """Raise `UnknownName` for an emotion that is none, `SettingsError` for one against itself."""
        if wish.against is not None and len(words_of(self.vocabulary, wish.against)) == len(self.vocabulary):
            raise SettingsError(f"Nothing is left beside {wish.against!r}.")
        for emotion in wish.emotions:
            ask(self.vocabulary, emotion, wish.against)

    def look(self, picture: Source | Held) -> Sight:
        """Read a picture and judge it. Raises `PictureError`."""
        preprocessing = self.card.preprocessing
        guard = nullcontext() if isinstance(picture, (str, Path, bytes, Held)) else self._lock
        try:
            with guard:
                source = opened(picture)
                size = read_size(source)
                pixels = read_pixels(source, at_least=preprocessing.at_least)
        except PictureError as error:
            raise renamed(error, picture) from None
        image = self.subject.see(preprocessing.fit_pixels(pixels))
        with self._lock, torch.no_grad():
            logits = self.subject.logits(image).double().cpu()
        view = preprocessing.view(pixels.shape[1], pixels.shape[2])
        emotions = EmotionDistribution(self.vocabulary, tuple(logits[0].softmax(dim=0).tolist()))
        return Sight(_name_of(picture), size, pixels, view, image, logits, emotions)

    def explain(self, sight: Sight, question: Question, removing: Removing | None = None) -> Heatmap:
        """Answer one question about a picture; with `removing`, measure the map's faithfulness too."""
        with self._lock:
            answer = self._method(self.subject, sight.image, question)
            details = dict(answer.details)
            if removing is not None:
                details["faithfulness"] = faithfulness(
                    self.subject, sight.image, question, answer.values, removing
                ).to_json()
        return self._heatmap(sight, question, replace(answer, details=details))

    def influences(
        self, sight: Sight, questions: Sequence[Question], further: Mapping[str, Sequence[Box]] = NO_PLACES
    ) -> list[Influences]:
        """Measure what moves the answers; `further` are places by name, as boxes of faces by a detector."""
        with self._lock:
            return influences(self.subject, sight.pixels, questions, further)

    def parts(self, sight: Sight, questions: Sequence[Question]) -> list[branches.Contributions]:
        """Divide each answer among the network's parts; none for a network that has no parts."""
        if not branches.has_parts(self.subject.network):
            return []
        with self._lock:
            return [branches.contributions(self.subject, sight.image, question) for question in questions]

    def _explanations(
        self, paths: Iterable[Input], wish: Wish, progress: Callable[[int], None]
    ) -> Generator[Explanation, None, None]:
        for given in read_ahead(paths):
            try:
                if isinstance(given, PictureError):
                    raise given
                yield self._explain_all(self.look(given), wish, progress)
            except PictureError as error:
                yield Explanation(name_of(given), error=error)

    def _explain_all(self, sight: Sight, wish: Wish, progress: Callable[[int], None]) -> Explanation:
        questions = self._questions(sight, wish.emotions, wish.against, wish.every)
        heatmaps = []
        for question in questions:
            heatmaps.append(self.explain(sight, question, wish.removing))
            progress(1)
        return Explanation(
            sight.name,
            tuple(heatmaps),
            tuple(self.influences(sight, questions)) if wish.influences else (),
            tuple(self.parts(sight, questions)) if wish.influences else (),
        )

    def _questions(
        self, sight: Sight, emotions: Sequence[str], against: str | None, every: bool = False
    ) -> list[Question]:
        opposed = words_of(self.vocabulary, against) if against else ()
        left = [word for word, _ in sight.emotions.ranked if word not in opposed]
        if every:
            emotions = [word for word in self.vocabulary.words if word in left]
        return [ask(self.vocabulary, emotion, against) for emotion in emotions or left[:1]]

    def _heatmap(self, sight: Sight, question: Question, answer: Attribution) -> Heatmap:
        return Heatmap(
            image=sight.name,
            size=sight.size,
            view=sight.view,
            question=question,
            method=self.method_name,
            model=self.card.name,
            emotions=sight.emotions,
            log_odds=float(question.score(sight.logits)),
            values=answer.values.detach().float().cpu(),
            sums_up=answer.sums_up,
            details=answer.details,
        )


def _name_of(thing: Any) -> str:
    """The path of a file; of anything else what it says it is."""
    if isinstance(thing, (str, Path, Held)):
        return name_of(thing)
    return str(getattr(thing, "filename", "") or getattr(thing, "__name__", "") or type(thing).__name__)


def _rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in values.items()}
