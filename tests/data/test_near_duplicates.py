"""Copies of made pictures are found whatever was done to them, and different pictures are left alone."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from affectlens.data.near_duplicates import SIDE, find, groups

Picture = Image.Image
COUNT = 30


def natural(seed: int) -> Picture:
    """A picture with the spectrum of photographs, amplitude falling with frequency."""
    random = np.random.default_rng(seed)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(224), np.fft.fftfreq(224)))
    frequency[0, 0] = 1
    spectrum = np.fft.fft2(random.normal(size=(224, 224))) / frequency**1.2
    spectrum[0, 0] = 0
    values = np.real(np.fft.ifft2(spectrum))
    return Image.fromarray(np.clip(128 + 50 * values / values.std(), 0, 255).astype(np.uint8))


def thumbnail(picture: Picture) -> NDArray[np.uint8]:
    return np.asarray(picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX))


def cut(picture: Picture, share: float) -> Picture:
    width, height = picture.size
    left, top = round(0.7 * (1 - share) * width), round(0.3 * (1 - share) * height)
    return picture.crop((left, top, left + round(share * width), top + round(share * height)))


def captioned(picture: Picture) -> Picture:
    written = picture.copy()
    draw = ImageDraw.Draw(written)
    draw.rectangle((0, 185, 224, 224), fill=0)
    draw.text((20, 195), "when you see it", fill=255)
    return written


def framed(picture: Picture) -> Picture:
    frame = Image.new("L", (260, 260), 255)
    frame.paste(picture, (18, 18))
    return frame


CHANGES: dict[str, Callable[[Picture], Picture]] = {
    "scaled": lambda picture: picture.resize((97, 97)),
    "brighter": lambda picture: picture.point(lambda level: min(255, int(level * 1.3))),
    "mirrored": lambda picture: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "cut to nine tenths": lambda picture: cut(picture, 0.9),
    "cut to three quarters": lambda picture: cut(picture, 0.75),
    "captioned": captioned,
    "framed": framed,
}


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    return [natural(seed) for seed in range(COUNT)]


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found_and_nothing_else(change: str, pictures: list[Picture]) -> None:
    copies = [CHANGES[change](picture) for picture in pictures[:10]]
    matches = find(np.stack([thumbnail(picture) for picture in [*pictures, *copies]]))
    assert [(match.picture, match.other) if match.picture < match.other else (match.other, match.picture)
            for match in matches] == [(index, COUNT + index) for index in range(10)]  # fmt: skip


def test_it_is_known_which_part_of_which_picture_was_cut_and_whether_it_was_mirrored(
    pictures: list[Picture],
) -> None:
    copy = cut(pictures[0], 0.75).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    (match,) = find(np.stack([thumbnail(pictures[0]), thumbnail(pictures[1]), thumbnail(copy)]))
    assert (match.picture, match.other, match.mirrored) == (0, 2, True)
    assert match.region == pytest.approx((0.075, 0.175, 0.75, 0.75), abs=0.04)


def test_pairs_among_the_earlier_pictures_are_left_out(pictures: list[Picture]) -> None:
    thumbnails = np.stack([thumbnail(picture) for picture in [pictures[0], pictures[0], pictures[0]]])
    assert {(match.picture, match.other) for match in find(thumbnails)} == {(0, 1), (0, 2), (1, 2)}
    later = {tuple(sorted((match.picture, match.other))) for match in find(thumbnails, earlier=2)}
    assert later == {(0, 2), (1, 2)}


def test_skies_in_one_frame_and_blank_pictures_are_not_copies() -> None:
    ramp = np.linspace(40, 220, 224)[:, None].repeat(224, axis=1).astype(np.uint8)
    steeper = np.linspace(0, 255, 224)[:, None].repeat(224, axis=1).astype(np.uint8)
    blank = np.full((224, 224), 128, np.uint8)
    skies = [Image.fromarray(values) for values in (ramp, np.maximum(steeper, 60), blank, blank + 1)]
    frames = [framed(natural(100)), framed(natural(101))]
    assert find(np.stack([thumbnail(picture) for picture in [*skies, *frames]])) == []


def test_a_group_holds_all_that_are_joined() -> None:
    labels = groups(6, [(4, 5), (0, 2), (2, 4)])
    assert labels == [0, 1, 0, 3, 0, 0]
