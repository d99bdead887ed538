"""What describes a picture besides its emotions: attributes, their words, and two measured from pixels.

An attribute is a question about a picture with a list of possible answers: what scene it shows, which
objects, how bright it is. EmoSet annotates six of them (Yang et al., "EmoSet: A Large-scale Visual Emotion
Dataset with Rich Attributes", ICCV 2023); `data.emoset` reads them. Words travel by name, never by index.

Brightness and colourfulness need no annotation. What is known of how EmoSet made its levels, and what not:

    known       Both run from 0 to 1 in steps of 0.1. A black-and-white picture has colourfulness 0, the most
                colourful one 1. For brightness the paper cites Datta et al., "Studying Aesthetics in
                Photographic Images Using a Computational Approach", ECCV 2006, whose measure of light is the
                mean of V of HSV: it is used here. For colourfulness it cites Panetta et al., "No Reference
                Color Image Contrast and Quality Measures", 2013, which takes its opponent colours from Hasler
                and Süsstrunk.
    assumed     Colourfulness here is that of Hasler and Süsstrunk, "Measuring Colourfulness in Natural
                Images", 2003: Panetta's, a product of logarithms, is not defined for a grey picture. How
                EmoSet normalised it stands in a supplement that could not be read; here 1 stands for 109 and
                more, which Hasler and Süsstrunk's observers called extremely colourful. Rounding is to the
                nearest level. So EmoSet's level of a picture and the one measured here need not be the same.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from affectlens.errors import AffectLensError, NotAPicture, UnknownName

BRIGHTNESS, COLOURFULNESS = "brightness", "colourfulness"
MEASURED = (BRIGHTNESS, COLOURFULNESS)
LEVELS = tuple(f"{tenth / 10:.1f}" for tenth in range(11))  # "0.0", "0.1" ... "1.0"

# Of Hasler and Süsstrunk's measure: their observers' words for pictures were 15 slightly, 33 moderately,
# 45 averagely, 59 quite, 82 highly, 109 extremely colourful.
EXTREMELY_COLOURFUL = 109.0

# Up to the first and from the second bound a value has a word of its own: of 800 pictures of FI a fifth is
# dark and a seventh bright, a quarter is of low colourfulness (between slightly and moderately) and a fifth
# of high (from quite).
_REMARKABLE = {
    BRIGHTNESS: (0.35, "dark", 0.65, "bright"),
    COLOURFULNESS: (24 / EXTREMELY_COLOURFUL, "low", 59 / EXTREMELY_COLOURFUL, "high"),
}
_PIXELS_AT_ONCE = 1 << 16  # bounds memory, and stays in the cache of a core


class BadAttribute(AffectLensError):
    """An attribute without words or with one twice, or a picture with several words where one is expected."""


@dataclass(frozen=True)
class Attribute:
    """A question about a picture and its possible answers.

    `name` identifies it in data sets and model folders: letters, digits and underscores. `words` are spelt as
    the data set spells them. With `several`, a picture may have any number of them; without, one. Either way
    an answer may be missing. Raises `BadAttribute`.
    """

    name: str
    words: tuple[str, ...]
    several: bool = False

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise BadAttribute(
                f"{self.name!r} is not a name for an attribute. Use letters, digits and underscores."
            )
        if not self.words or not all(word.strip() == word and word for word in self.words):
            raise BadAttribute(
                f"The attribute {self.name} has no words, an empty one, or one with outer spaces."
            )
        twice = next((word for word, times in Counter(self.words).items() if times > 1), None)
        if twice is not None:
            raise BadAttribute(f"The attribute {self.name} has the word {twice!r} twice.")

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {word: position for position, word in enumerate(self.words)}

    def index(self, word: str) -> int:
        """Return the position of a word. Raises `UnknownName` with the nearest.

        >>> Attribute("brightness", LEVELS).index("0.3")
        3
        """
        if word not in self._positions:
            raise UnknownName("word", word, self.words, f"the attribute {self.name}")
        return self._positions[word]

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `json.dump`."""
        return {"name": self.name, "words": list(self.words), "several": self.several}

    @classmethod
    def from_json(cls, stored: Any) -> "Attribute":
        """Read what `to_json` wrote. Raises `BadAttribute` for anything else.

        >>> Attribute.from_json(Attribute("scene", ("beach", "street")).to_json()).words
        ('beach', 'street')
        """
        try:
            attribute = msgspec.convert(stored, _StoredAttribute)
        except ValueError as error:
            raise BadAttribute(
                f"Expected an object with name, words and several, found {str(stored)[:60]!r}: {error}."
            ) from None
        return cls(attribute.name, attribute.words, attribute.several)


class _StoredAttribute(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    words: tuple[str, ...]
    several: bool


def brightness(pixels: NDArray[np.uint8]) -> float:
    """How bright a picture is on average, 0 (black) to 1: the mean of V of HSV, the greatest of R, G and B.

    `pixels` are uint8, (H, W, 3). As stored, not as light: a middle grey of 128 has brightness 0.5.

    >>> brightness(np.array([[[255, 0, 0]]], dtype=np.uint8))
    1.0
    """
    red, green, blue = np.moveaxis(pixels, 2, 0)
    brightest = np.maximum(np.maximum(red, green), blue)
    return int(brightest.sum(dtype=np.int64)) / (255 * int(brightest.size))


def colourfulness(pixels: NDArray[np.uint8]) -> float:
    """How colourful a picture is: uint8, (H, W, 3) -> 0 (grey) to 1 (109 and more, extremely colourful).

    Hasler and Süsstrunk, 2003, their third measure: with the signed differences rg = R - G and
    yb = (R + G) / 2 - B of all pixels, sqrt(var rg + var yb) + 0.3 sqrt(mean rg ** 2 + mean yb ** 2).
    Whole numbers are summed, so that the bits are the same whatever the machine and the number of threads.
    """
    height, width, _ = pixels.shape
    count, sums = height * width, np.zeros(4)
    rows = max(1, _PIXELS_AT_ONCE // max(1, width))
    for top in range(0, height, rows):
        strip = pixels[top : top + rows].astype(np.float64)  # signed: in uint8, 0 - 1 would be 255
        red, green, blue = np.moveaxis(strip, 2, 0)
        rg, twice_yb = (red - green).ravel(), (red + green - 2 * blue).ravel()
        sums += (rg.sum(), rg @ rg, twice_yb.sum(), twice_yb @ twice_yb)
    rg_sum, rg_squared, yb_sum, yb_squared = map(int, sums.tolist())  # whole, and below 2 ** 53: exact
    variance = 4 * (rg_squared * count - rg_sum**2) + (yb_squared * count - yb_sum**2)
    found = (math.sqrt(variance) + 0.3 * math.hypot(2 * rg_sum, yb_sum)) / (2 * int(count))
    return min(1.0, found / EXTREMELY_COLOURFUL)


def measure(pixels: NDArray[np.uint8]) -> dict[str, float]:
    """All of `MEASURED` by name: uint8, (H, W, 3) -> values in 0..1. Raises `NotAPicture` for others."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise NotAPicture(
            f"array of shape {pixels.shape} and type {pixels.dtype}",
            "expected uint8 pixels of shape (H, W, 3), as `images.read_pixels` gives them.",
        )
    return {BRIGHTNESS: brightness(pixels), COLOURFULNESS: colourfulness(pixels)}


def level(value: float) -> str:
    """The nearest of `LEVELS`, for a value in 0..1; halves go up.

    >>> level(0.31), level(0.25)
    ('0.3', '0.3')
    """
    return LEVELS[math.floor(min(1.0, max(0.0, value)) * 10 + 0.5)]


def in_words(attributes: Mapping[str, Any]) -> list[str]:
    """Word attributes for people, each as its name, its value and, where that is remarkable, a word for it.

    >>> in_words({"brightness": 0.2, "colourfulness": 0.4, "scene": "cemetery"})
    ['brightness 0.20 (dark)', 'colourfulness 0.40', 'scene cemetery']
    """
    return [f"{name} {_value_in_words(name, value)}" for name, value in attributes.items()]


def _value_in_words(name: str, value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    low, low_word, high, high_word = _REMARKABLE.get(name, (-math.inf, "", math.inf, ""))
    word = low_word if value <= low else high_word if value >= high else ""
    return f"{value:.2f} ({word})" if word else f"{value:.2f}"
