"""Words, sentences and fonts for the pictures that benchmarks/unusual_pictures.py makes."""

from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import ImageFont

SANS = ("DejaVuSans", "DejaVuSans-Bold", "cmss10")
SERIF = ("DejaVuSerif", "STIXGeneral", "STIXGeneralBol", "cmr10")
MONO = ("DejaVuSansMono", "cmtt10")
SLANTED = ("DejaVuSans-Oblique", "DejaVuSerif-Italic", "STIXGeneralItalic", "DejaVuSans-BoldOblique")
ANY = SANS + SERIF + MONO + SLANTED
BOLD = ("DejaVuSans-Bold", "DejaVuSerif-Bold", "STIXGeneralBol", "DejaVuSans-BoldOblique")
_TEXT = (
    "the of and to in for on with from by that this which report account water light report city order "
    "season price market number people system value result model energy project company history weather "
    "region road garden music paper letter service support contact product review summer winter morning "
    "evening journey meeting office agreement payment balance invoice delivery customer address total "
    "amount date reference section article chapter figure table method analysis measure sample change "
    "growth level field window settings search profile message notice update version file folder share "
    "download upload language open close new old large small early late often never always between "
    "during after before under over through "
)
_WORDS = _TEXT.split()
SLOGANS = (
    "Keep going", "Less is more", "Begin again today", "Sale ends Sunday", "Open 24 hours",
    "Mind the gap", "No parking at any time", "Dream big, work hard", "Coffee first", "We are hiring",
    "Good things take time", "Buy one, get one free", "Silence please", "Made with care",
    "Choose kindness", "Grand opening Saturday", "Vote on Tuesday", "Closed for renovation",
    "Happy birthday!", "Thank you", "Never stop learning", "The best is yet to come",
    "Private property. Keep out", "Stay curious", "50 % off everything",
    "Do what you love, love what you do", "Out of order", "Wet floor", "Exit", "Monday again?",
)  # fmt: skip


@cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(str(folder / f"{name}.ttf"), size)


def font(rng: np.random.Generator, size: int, names: tuple[str, ...] = SANS) -> ImageFont.FreeTypeFont:
    """Choose a font of this size in pixels."""
    return _font(names[int(rng.integers(len(names)))], max(6, size))


def words(rng: np.random.Generator, low: int, high: int) -> str:
    """Return some words, the first one with a capital."""
    return " ".join(rng.choice(_WORDS, int(rng.integers(low, high + 1)))).capitalize()


def sentences(rng: np.random.Generator, number: int) -> str:
    """Return sentences of usual length."""
    return " ".join(f"{words(rng, 6, 16)}." for _ in range(number))


def lines_within(text: str, letters: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """Break a text into lines that are not wider than so many pixels."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and letters.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
