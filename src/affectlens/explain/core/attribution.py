"""What an explanation method takes and returns: a model, a picture as its network sees it, a map.

Letters: B pictures, h x w pixels of the network's input, E emotions.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from affectlens.emotions import Vocabulary
from affectlens.errors import SettingsError
from affectlens.explain.core.question import AnyQuestion, ImageAnswers, RatingQuestion
from affectlens.images import Pixels
from affectlens.metrics import Doubles
from affectlens.preprocess import Images, Preprocessing
from affectlens.ratings import RatingScale

Map: TypeAlias = NDArray[np.float32]  # (h, w), a value for each pixel of the network's input


class ExplainedModel(Protocol):
    """A model ready to be explained: what every method uses of it.

    An engine's answers suffice (`engine_model.EngineModel`). Methods that take gradients, or look into the
    network, need `differentiable.DifferentiableModel`, in torch.
    """

    @property
    def name(self) -> str:
        """As its card has it."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The emotions that it knows."""

    @property
    def preprocessing(self) -> Preprocessing:
        """How pictures are fitted to it."""

    def predict_images(self, images: Images) -> Doubles:
        """Calibrated probabilities of normalised images: (B, 3, h, w) -> (B, E)."""


@runtime_checkable
class HasRatings(Protocol):
    """Models that may rate pictures, too."""

    @property
    def ratings(self) -> tuple[RatingScale, ...]:
        """Scales of the ratings; none of most models."""

    def answer_images(self, images: Images) -> ImageAnswers:
        """Probabilities and ratings of normalised images, in one run: (B, 3, h, w) -> B answers."""


@runtime_checkable
class MarksUnusual(Protocol):
    """Models that may know which pictures are unlike those that they were made for."""

    @property
    def marks_unusual(self) -> bool:
        """Whether this model knows."""

    def is_unusual(self, image: Images) -> bool | None:
        """Whether a normalised image, (1, 3, h, w), is unlike those; None where that is not known."""


class ClassMaps(NamedTuple):
    """What parts of pictures add to calibrated logits, (B, E, rows, columns), but for a number common to all.

    Attributes:
        logits: the calibrated logits, (B, E)
        cells: those of the last map that is read linearly; exact
        by_gradient: what cells add at first order in the other branches; None where there are none
    """

    logits: NDArray[np.float32]
    cells: NDArray[np.float32]
    by_gradient: NDArray[np.float32] | None = None


@runtime_checkable
class HasClassMaps(Protocol):
    """Models whose last maps are known, as what each cell adds to each emotion's logit."""

    @property
    def has_class_maps(self) -> bool:
        """Whether this model's are."""

    def class_maps(self, images: Images) -> "ClassMaps":
        """What cells of the last map, and patches that a class token attends to, add to calibrated logits."""


@runtime_checkable
class NamesItsWeights(Protocol):
    """Models that were loaded: what answers is known, by its weights and its engine."""

    def made_by(self) -> Mapping[str, str | None]:
        """Model, weights, version, engine and precision, as rows of predictions name them."""


@runtime_checkable
class HasAttributeEvidence(Protocol):
    """Models that may answer attributes, and which of them speak for an emotion."""

    def attribute_evidence(self, pixels: Pixels) -> dict[str, Any] | None:
        """What `attribute_evidence.evidence_of` returns for fitted pixels, uint8 (1, h, w, 3).

        None for a model without attributes, and for a graph that lacks them.
        """


def network_of(model: ExplainedModel) -> Any:
    """Return the network in torch of a `DifferentiableModel`, None for a model in another engine.

    Found by its attribute, so that torch need not be there.
    """
    return getattr(model, "network", None)


def ratings_of(model: ExplainedModel) -> tuple[RatingScale, ...]:
    """Return the scales of a model's ratings; none of a model without."""
    return model.ratings if isinstance(model, HasRatings) else ()


def marks_unusual(model: ExplainedModel) -> bool:
    """Return whether a model knows which pictures are unlike those that it was made for."""
    return isinstance(model, MarksUnusual) and model.marks_unusual


def answer_questions(model: ExplainedModel, images: Images, questions: Sequence[AnyQuestion]) -> ImageAnswers:
    """Answer what questions are about, and no more: (B, 3, h, w) -> B answers.

    Raises `SettingsError` for a question about a rating and a model without ratings.
    """
    if not any(isinstance(question, RatingQuestion) for question in questions):
        return ImageAnswers(model.predict_images(images), np.zeros((len(images), 0)))
    if not isinstance(model, HasRatings) or not model.ratings:
        raise SettingsError(f"{model.name} has no ratings.")
    return model.answer_images(images)


def scores(model: ExplainedModel, images: Images, question: AnyQuestion) -> Doubles:
    """Log-odds, or ratings, that a question is about: (B, 3, h, w) -> (B,)."""
    return question.read(answer_questions(model, images, [question]))


@dataclass(frozen=True)
class Attribution:
    """How much each pixel of the network's input speaks for the answer, or against it.

    Attributes:
        values: float32 (h, w), in units of the question's answer (log-odds, or points of a rating) where the
            method divides it up exactly (`sums_up`), else of the method's own
        details: what it took and how exact it is, as JSON: steps, baseline, completeness error, seconds
    """

    values: Map
    sums_up: bool = False
    details: dict[str, Any] = field(default_factory=dict)


@runtime_checkable
class ExplainsTogether(Protocol):
    """Methods that answer several questions about a picture with the answers to the same perturbations."""

    def explain_all(
        self, model: ExplainedModel, image: Images, questions: Sequence[AnyQuestion]
    ) -> list[Attribution]:
        """Explain one picture, (1, 3, h, w): an attribution for each question."""


# A method takes a model, one image (1, 3, h, w) as `Preprocessing.normalise` returns it, and a question: an
# `AnyQuestion`, or of a method for emotions alone a `Question`.
Method = Callable[[Any, Images, Any], Attribution]
