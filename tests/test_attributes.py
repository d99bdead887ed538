"""Attributes, their words, brightness and colourfulness."""

import colorsys
import json
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from affectlens.attributes import (
    EXTREMELY_COLOURFUL,
    LEVELS,
    Attribute,
    BadAttribute,
    brightness,
    colourfulness,
    in_words,
    level,
    measure,
)
from affectlens.errors import NotAPicture, UnknownName

SCENE = Attribute("scene", ("beach", "street", "bakery/shop"))


Bytes = NDArray[np.uint8]


def plain(red: int, green: int, blue: int) -> Bytes:
    return np.full((5, 7, 3), (red, green, blue), dtype=np.uint8)


def next_to(*pictures: Bytes) -> Bytes:
    return np.concatenate(pictures, axis=1)


def noise(seed: int, height: int = 23, width: int = 31) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def slow_colourfulness(pixels: Bytes) -> float:
    """Hasler and Süsstrunk's third measure, pixel by pixel, in 0..1."""
    colours = pixels.reshape(-1, 3).tolist()
    rg = [red - green for red, green, _ in colours]
    yb = [(red + green) / 2 - blue for red, green, blue in colours]
    spread = (statistics.pvariance(rg) + statistics.pvariance(yb)) ** 0.5
    centre = (statistics.fmean(rg) ** 2 + statistics.fmean(yb) ** 2) ** 0.5
    return float(min(1.0, (spread + 0.3 * centre) / EXTREMELY_COLOURFUL))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=40),
    st.integers(0, 60),
)
def test_colourfulness_is_what_the_formula_gives_pixel_by_pixel(
    colours: list[tuple[int, int, int]], spread: int
) -> None:
    pixels = np.array([colours], dtype=np.uint8)
    assert colourfulness(pixels) == pytest.approx(slow_colourfulness(pixels), abs=1e-6)
    faint = pixels // 255 * spread + 90  # below 1 as well, where the bound does not hide a difference
    assert colourfulness(faint) == pytest.approx(slow_colourfulness(faint), abs=1e-6)


def test_differences_of_colour_are_signed() -> None:
    # In whole numbers from 0 to 255, green less red would wrap round, and the spread be that of 255 and 1.
    reddish, greenish = plain(101, 100, 100), plain(100, 101, 100)
    assert colourfulness(next_to(reddish, greenish)) < 0.02
    assert colourfulness(plain(0, 1, 0)) < 0.01
    assert colourfulness(plain(1, 0, 0)) == pytest.approx(colourfulness(plain(0, 1, 0)))


@pytest.mark.parametrize("grey", [0, 1, 128, 255])
def test_grey_is_not_colourful_and_as_bright_as_it_is(grey: int) -> None:
    assert measure(plain(grey, grey, grey)) == {"brightness": grey / 255, "colourfulness": 0.0}


def test_a_picture_of_all_colours_is_extremely_colourful() -> None:
    assert colourfulness(next_to(plain(255, 0, 0), plain(0, 255, 0), plain(0, 0, 255))) == 1.0
    muted = next_to(plain(150, 110, 110), plain(110, 150, 110), plain(110, 110, 150))
    assert 0.2 < colourfulness(muted) < 0.5


def test_brightness_is_the_mean_of_v_of_hsv() -> None:
    pixels = noise(0)
    colours = pixels.reshape(-1, 3).tolist()
    values = [colorsys.rgb_to_hsv(*(part / 255 for part in colour))[2] for colour in colours]
    assert brightness(pixels) == pytest.approx(statistics.fmean(values), abs=1e-12)


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4), (3,), (0, 4, 3)])
def test_only_pixels_are_measured(shape: tuple[int, ...]) -> None:
    for kind in (np.uint8, np.float32):
        with pytest.raises(NotAPicture, match="expected uint8 pixels"):
            measure(np.zeros(shape, kind))
    with pytest.raises(NotAPicture, match="float64"):
        measure(np.zeros((4, 4, 3)))  # type: ignore[arg-type]


def test_a_large_picture_is_measured_as_a_small_one_that_is_repeated() -> None:
    small = noise(1)
    large = np.tile(small, (20, 9, 1))  # several strips, the last one shorter
    assert measure(large) == pytest.approx(measure(small), abs=1e-12)


def test_how_pixels_lie_in_memory_changes_no_bit() -> None:
    pixels = noise(2)
    assert measure(np.asfortranarray(pixels)) == measure(pixels)


def test_levels_are_tenths_from_0_to_1() -> None:
    assert LEVELS == ("0.0", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9", "1.0")
    assert [level(value) for value in (0, 0.049, 0.051, 0.95, 1, 1.2, -1)] == [
        "0.0", "0.0", "0.1", "1.0", "1.0", "1.0", "0.0",
    ]  # fmt: skip


def test_what_is_remarkable_has_a_word_next_to_its_value() -> None:
    assert in_words({"brightness": 0.1, "colourfulness": 0.0}) == [
        "brightness 0.10 (dark)",
        "colourfulness 0.00 (low)",
    ]
    assert in_words({"brightness": 0.9, "colourfulness": 0.9}) == [
        "brightness 0.90 (bright)",
        "colourfulness 0.90 (high)",
    ]
    assert in_words({"brightness": 0.5, "scene": "beach"}) == ["brightness 0.50", "scene beach"]


def test_words_have_the_positions_in_which_they_are_listed() -> None:
    assert [SCENE.index(word) for word in SCENE.words] == [0, 1, 2]
    assert len(SCENE) == 3


def test_a_misspelt_word_is_an_error_with_the_right_one() -> None:
    with pytest.raises(UnknownName, match=r"not a word of the attribute scene\. Did you mean 'beach'"):
        SCENE.index("beech")


@pytest.mark.parametrize(
    ("name", "words", "reason"),
    [
        ("scene", (), "no words"),
        ("scene", ("beach", ""), "empty"),
        ("scene", ("boxing ",), "outer spaces"),
        ("scene", ("beach", "street", "beach"), "'beach' twice"),
        ("a scene", ("beach",), "is not a name"),
        ("", ("beach",), "is not a name"),
    ],
)
def test_an_attribute_that_cannot_be_is_refused(name: str, words: tuple[str, ...], reason: str) -> None:
    with pytest.raises(BadAttribute, match=reason):
        Attribute(name, words)


@pytest.mark.parametrize("several", [False, True])
def test_an_attribute_survives_json(several: bool) -> None:
    attribute = Attribute("object", ("Dairy Product", "Zebra"), several)
    assert Attribute.from_json(json.loads(json.dumps(attribute.to_json()))) == attribute


@pytest.mark.parametrize(
    "stored",
    [None, [], {}, {"name": "scene", "words": ["beach"]},
     {"name": "scene", "words": "beach", "several": False},
     {"name": "scene", "words": [1], "several": False}, {"name": 3, "words": ["beach"], "several": False},
     {"name": "scene", "words": ["beach"], "several": 0},
     {"name": "scene", "words": ["beach"], "several": False, "more": 1}],
)  # fmt: skip
def test_what_is_not_a_stored_attribute_is_an_error(stored: object) -> None:
    with pytest.raises(BadAttribute):
        Attribute.from_json(stored)
