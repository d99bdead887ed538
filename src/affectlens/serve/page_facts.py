"""What the scripts of the page take from the package: sentences, wheels and colours of the reports."""

from collections.abc import Sequence
from typing import Any

from affectlens.emotions import MIKELS_CIRCLE
from affectlens.inference.text import UNUSUAL
from affectlens.ratings import COVERAGE
from affectlens.report.heatmaps import AGAINST, FOR
from affectlens.report.text import listed
from affectlens.report.wheel import PLUTCHIK_WHEEL

# Of a picture's set of emotions; the scripts fill in the same two.
SET_SENTENCE = (
    "Of a hundred pictures like those of the calibration, a set of the model holds their own emotion in "
    "about {hundredths}; here the set is: {words}."
)
ANY_EMOTION = "any of its emotions"


def set_sentence(words: Sequence[str], of: int, coverage: float) -> str:
    """Write a set of emotions for people; one of all `of` emotions names none.

    >>> set_sentence(["awe", "fear"], 8, 0.9).partition("; ")[2]
    'here the set is: awe or fear.'
    """
    named = ANY_EMOTION if len(words) == of else listed(words, "or")
    return SET_SENTENCE.format(hundredths=round(100 * coverage), words=named)


def facts(game: int) -> dict[str, Any]:
    """Return plain data for the page; `game` is how many pictures the service offers for guessing."""
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
        "game": game,
    }


def _hex(colour: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(255 * level):02x}" for level in colour)
