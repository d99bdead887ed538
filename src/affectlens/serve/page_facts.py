"""What the scripts of the page take from the package: sentences, wheels and colours of the reports."""

from collections.abc import Mapping, Sequence
from typing import Any

from affectlens.emotions import (
    MIKELS_CIRCLE,
    PLUTCHIK,
    AllDropped,
    NoConversion,
    Vocabulary,
    convert,
)
from affectlens.inference.text import UNUSUAL
from affectlens.ratings import COVERAGE
from affectlens.report.heatmaps import AGAINST, FOR
from affectlens.report.text import listed
from affectlens.report.wheel import PLUTCHIK_WHEEL
from affectlens.serve.models import describe_emotions

# Of a picture's set of emotions; the scripts fill in the same two.
SET_SENTENCE = (
    "What to expect: {words}. Of a hundred pictures like those that the model was calibrated on, such sets "
    "hold their own emotion in about {hundredths}."
)
ANY_EMOTION = "any of its emotions"


def set_sentence(words: Sequence[str], of: int, coverage: float) -> str:
    """Write a set of emotions for people; one of all `of` emotions names none.

    >>> set_sentence(["awe", "fear"], 8, 0.9).partition(". ")[0]
    'What to expect: awe or fear'
    """
    named = ANY_EMOTION if len(words) == of else listed(words, "or")
    return SET_SENTENCE.format(hundredths=round(100 * coverage), words=named)


def facts(vocabularies: Mapping[str, Vocabulary], game: int) -> dict[str, Any]:
    """Return plain data for the page.

    `vocabularies` are those of the models, by name; `game` is how many pictures the service offers for
    guessing.
    """
    return {
        "coverage": COVERAGE,
        "set_sentence": SET_SENTENCE,
        "any_emotion": ANY_EMOTION,
        "unusual": f"This picture is {UNUSUAL}",
        "map_colours": {"positive": _hex(FOR), "negative": _hex(AGAINST)},
        "wheels": [
            {"words": list(MIKELS_CIRCLE), "clockwise": False},
            {"words": list(PLUTCHIK_WHEEL), "clockwise": True},
        ],
        "plutchik": describe_emotions(PLUTCHIK),
        "to_plutchik": {name: _to_plutchik(vocabulary) for name, vocabulary in vocabularies.items()},
        "game": game,
    }


def _to_plutchik(vocabulary: Vocabulary) -> dict[str, Any] | None:
    """Return which of Plutchik's emotions stands for each word, None for one without, and what is lost.

    None for a vocabulary that is Plutchik's, or from which no conversion is known.
    """
    if vocabulary == PLUTCHIK:
        return None
    words: dict[str, str | None] = {}
    lost = ""
    for word in vocabulary.words:
        try:
            converted = convert(vocabulary.only(word), PLUTCHIK)
        except AllDropped:
            words[word] = None
        except NoConversion:
            return None
        else:
            words[word], lost = converted.distribution.top, converted.lost
    return {"words": words, "lost": lost}


def _hex(colour: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(255 * level):02x}" for level in colour)
