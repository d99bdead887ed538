"""The question that an explanation answers: why this emotion, and rather than which.

Letters: B pictures, E emotions.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from affectlens.emotions import POLARITY, Vocabulary
from affectlens.errors import SettingsError, UnknownName

if TYPE_CHECKING:
    from torch import Tensor


_LEAST_PROBABILITY = 1e-30  # below it float32 has no more digits


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

    def _indices(self, words: tuple[str, ...]) -> list[int]:
        return [self.vocabulary.index(word) for word in words]

    def __str__(self) -> str:
        every = len(self.favour) + len(self.against) == len(self.vocabulary)
        return _name(self.vocabulary, self.favour) + (
            "" if every else f" rather than {_name(self.vocabulary, self.against)}"
        )


def make_question(vocabulary: Vocabulary, emotion: str, against: str | None = None) -> Question:
    """Question about an emotion or a polarity by name, against all others or against one other.

    Raises `UnknownName` for a word that is neither, `SettingsError` for one against itself.

    >>> from affectlens.emotions import MIKELS
    >>> print(make_question(MIKELS, "fear", "anger"))
    fear rather than anger
    """
    favour = words_of(vocabulary, emotion)
    opposed = words_of(vocabulary, against) if against else ()
    both = [word for word in favour if word in opposed]
    if both or len(favour) == len(vocabulary):
        raise SettingsError(f"{emotion} and {against} have {both[0] if both else 'all'} in common. Name two.")
    others = tuple(word for word in vocabulary.words if word not in favour)
    return Question(vocabulary, favour, opposed or others)


def words_of(vocabulary: Vocabulary, name: str) -> tuple[str, ...]:
    """Turn an emotion, or `positive` or `negative`, into words of the vocabulary. Raises `UnknownName`."""
    sides = {side: words for side, words in polarities(vocabulary).items() if not vocabulary.knows(side)}
    if name.strip().lower() in sides:
        return sides[name.strip().lower()]
    try:
        return (vocabulary.word(name),)
    except UnknownName:
        raise UnknownName("emotion", name, [*vocabulary.words, *sides], vocabulary.name) from None


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
