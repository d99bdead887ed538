"""The question that an explanation answers: why this emotion, and rather than which; or why this rating.

Letters: B pictures, E emotions, R ratings.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from affectlens.emotions import POLARITY, Vocabulary
from affectlens.errors import SettingsError, UnknownName
from affectlens.metrics import Doubles
from affectlens.ratings import RatingScale

if TYPE_CHECKING:
    from torch import Tensor


RATING_PREFIX = "rating:"  # before the name of a rating that may also be that of an emotion
LOG_ODDS = "log-odds"
_LEAST_PROBABILITY = 1e-30  # below it float32 has no more digits


class ImageAnswers(NamedTuple):
    """What a model answers for a batch of images.

    Attributes:
        probabilities: (B, E), calibrated
        ratings: (B, R) in the order of the model's scales, before they are cut off at the ends of these;
            R is 0 where no question is about a rating
    """

    probabilities: Doubles
    ratings: Doubles

    @classmethod
    def joined(cls, parts: "Sequence[ImageAnswers]") -> "ImageAnswers":
        """Join the answers for several batches."""
        return cls(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


@dataclass(frozen=True)
class Question:
    """Why the emotions `favour`, rather than those `against`; words of one vocabulary.

    Its answer is a number that a heat map divides among the parts of a picture: the log-odds of the one side
    against the other. It does not change when all logits do, as the logit of one emotion would.
    """

    vocabulary: Vocabulary
    favour: tuple[str, ...]
    against: tuple[str, ...]

    def score(self, logits: "Tensor") -> "Tensor":
        """Log-odds of `favour` against `against`: (B, E) logits over the temperature -> (B,)."""
        favour, against = (logits[:, self._indices(words)] for words in (self.favour, self.against))
        return favour.logsumexp(dim=1) - against.logsumexp(dim=1)

    def log_odds(self, probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
        """Log-odds of `favour` against `against`, as `score` gives them: (B, E) probabilities -> (B,)."""
        table = np.maximum(probabilities.astype(np.float64), _LEAST_PROBABILITY)
        favour, against = (
            table[:, self._indices(words)].sum(axis=1) for words in (self.favour, self.against)
        )
        odds: NDArray[np.float64] = np.log(favour / against)
        return odds

    def read(self, answers: ImageAnswers) -> Doubles:
        """Log-odds that the question is about: (B,)."""
        return self.log_odds(answers.probabilities)

    @property
    def unit(self) -> str:
        """Unit of the answer, in words."""
        return LOG_ODDS

    def _indices(self, words: tuple[str, ...]) -> list[int]:
        return [self.vocabulary.index(word) for word in words]

    def __str__(self) -> str:
        every = len(self.favour) + len(self.against) == len(self.vocabulary)
        return _name(self.vocabulary, self.favour) + (
            "" if every else f" rather than {_name(self.vocabulary, self.against)}"
        )


@dataclass(frozen=True)
class RatingQuestion:
    """Why a rating is as high as it is, and no lower.

    Its answer is the predicted rating before it is cut off at the ends of its scale: in points of the scale.

    Attributes:
        index: of the rating among the model's
        is_ambiguous: whether an emotion of the model has the same name
    """

    scale: RatingScale
    index: int
    is_ambiguous: bool = False

    @property
    def name(self) -> str:
        """The rating's."""
        return self.scale.name

    @property
    def favour(self) -> tuple[str, ...]:
        """No emotion."""
        return ()

    @property
    def against(self) -> tuple[str, ...]:
        """No emotion."""
        return ()

    @property
    def range(self) -> str:
        """The ends of the scale, in words: `1 to 9`."""
        return f"{self.scale.low:g} to {self.scale.high:g}"

    @property
    def unit(self) -> str:
        """Unit of the answer, in words."""
        return f"points of {self.range}"

    @property
    def point(self) -> float:
        """An eighth of the scale: a point of 1 to 9, for limits that were chosen on that scale."""
        return (self.scale.high - self.scale.low) / 8

    def read(self, answers: ImageAnswers) -> Doubles:
        """Ratings that the question is about: (B,)."""
        return answers.ratings[:, self.index]

    def shown(self, answer: float) -> float:
        """Cut an answer off at the ends of the scale, as predictions have it."""
        return min(max(answer, self.scale.low), self.scale.high)

    def __str__(self) -> str:
        return f"{RATING_PREFIX}{self.name}" if self.is_ambiguous else self.name


AnyQuestion: TypeAlias = Question | RatingQuestion


def question_about(
    vocabulary: Vocabulary, ratings: Sequence[RatingScale], name: str, against: str | None = None
) -> AnyQuestion:
    """Question about an emotion, a polarity or a rating by name.

    Where an emotion or a polarity has the name of a rating, it is meant; `rating:NAME` is the rating in any
    case. Raises `UnknownName` for a word that is none of these, `SettingsError` for a rating against anything
    and for an emotion against itself.
    """
    plain = name.strip().lower()
    is_emotion = _is_feeling(vocabulary, plain)
    rating = plain.removeprefix(RATING_PREFIX)
    names = [scale.name for scale in ratings]
    if plain.startswith(RATING_PREFIX) and not is_emotion and rating not in _lowered(names):
        known = [f"{RATING_PREFIX}{each}" for each in names]
        raise UnknownName("rating", name, [*known, *_feelings(vocabulary)], "this model")
    if is_emotion or rating not in _lowered(names):
        return make_question(vocabulary, name, against, names)
    if against:
        raise SettingsError(f"{name} is a rating, a number, which is not compared with {against}.")
    index = _lowered(names).index(rating)
    return RatingQuestion(ratings[index], index, _is_feeling(vocabulary, rating))


def emotions_only(question: AnyQuestion, method: str) -> Question:
    """Return a question about emotions; raise `SettingsError` for one about a rating.

    For methods that divide log-odds among parts that a rating is not a function of.
    """
    if isinstance(question, RatingQuestion):
        raise SettingsError(
            f"{method} divides the log-odds of emotions; of the rating {question.name} it cannot. "
            "Methods that can on any model: occlusion and rise."
        )
    return question


def make_question(
    vocabulary: Vocabulary, emotion: str, against: str | None = None, further: Sequence[str] = ()
) -> Question:
    """Question about an emotion or a polarity by name, against all others or against one other.

    `further` are names that an error lists, too. Raises `UnknownName` for a word that is neither,
    `SettingsError` for one against itself.

    >>> from affectlens.emotions import MIKELS
    >>> print(make_question(MIKELS, "fear", "anger"))
    fear rather than anger
    """
    favour = words_of(vocabulary, emotion, further)
    opposed = words_of(vocabulary, against) if against else ()
    both = [word for word in favour if word in opposed]
    if both or len(favour) == len(vocabulary):
        raise SettingsError(f"{emotion} and {against} have {both[0] if both else 'all'} in common. Name two.")
    others = tuple(word for word in vocabulary.words if word not in favour)
    return Question(vocabulary, favour, opposed or others)


def words_of(vocabulary: Vocabulary, name: str, further: Sequence[str] = ()) -> tuple[str, ...]:
    """Turn an emotion, or `positive` or `negative`, into words of the vocabulary.

    Raises `UnknownName`, which lists these and `further` names.
    """
    sides = _sides(vocabulary)
    if name.strip().lower() in sides:
        return sides[name.strip().lower()]
    try:
        return (vocabulary.word(name),)
    except UnknownName:
        raise UnknownName("emotion", name, [*_feelings(vocabulary), *further], vocabulary.name) from None


def _sides(vocabulary: Vocabulary) -> dict[str, tuple[str, ...]]:
    """Polarities that are not themselves emotions of the vocabulary."""
    return {side: words for side, words in polarities(vocabulary).items() if not vocabulary.knows(side)}


def _feelings(vocabulary: Vocabulary) -> list[str]:
    return [*vocabulary.words, *_sides(vocabulary)]


def _is_feeling(vocabulary: Vocabulary, name: str) -> bool:
    return vocabulary.knows(name) or name in _sides(vocabulary)


def _lowered(names: Sequence[str]) -> list[str]:
    return [name.lower() for name in names]


def polarities(vocabulary: Vocabulary) -> dict[str, tuple[str, ...]]:
    """Positive and negative words, by polarity; empty where the vocabulary has no polarity."""
    if vocabulary == POLARITY:
        return {}
    signs = vocabulary.signs
    positive, negative = (tuple(word for word in vocabulary.words if signs[word] == sign) for sign in (1, -1))
    return {side: words for side, words in zip(POLARITY.words, (positive, negative), strict=True) if words}


def _name(vocabulary: Vocabulary, words: tuple[str, ...]) -> str:
    """Name words; the only one of a side by itself, since a side may have the name of another word."""
    if len(words) == 1:
        return words[0]
    sides = {inside: side for side, inside in polarities(vocabulary).items()}
    return sides.get(words, " or ".join(words))
