"""What lies over a film that is written again: size, times, words, colours."""

from dataclasses import replace

import numpy as np
import pytest

from affectlens.film.overlay import KINDS, LEAST, OverlayKind, drawings, strip_height, text
from rated import rated
from timelines import film_of, timeline_of


@pytest.mark.parametrize("size", [(640, 360), (360, 640), (1920, 800), (64, 48)])
@pytest.mark.parametrize("kind", KINDS)
def test_drawings_fit_the_film_and_have_one_size(kind: str, size: tuple[int, int]) -> None:
    width, height = size
    found = list(drawings(timeline_of(), kind)(film_of(22.0, width=width, height=height)))  # type: ignore[arg-type]
    assert {drawing.picture.shape for drawing in found} == {found[0].picture.shape}
    for drawing in found:
        assert drawing.left + drawing.picture.shape[1] <= width
        assert drawing.top + drawing.picture.shape[0] <= height
    seconds = [drawing.second for drawing in found]
    assert seconds[0] == 0
    assert seconds == sorted(set(seconds))


def test_a_new_drawing_begins_at_a_cut_and_none_where_nothing_changes() -> None:
    seconds = {d.second for d in drawings(timeline_of(), "tint")(film_of(22.0))}
    assert {7.0, 12.0, 14.5, 20.5} <= seconds
    still = timeline_of(((4.0, "awe"),), every=100.0)
    assert len(list(drawings(still, "bar")(film_of(4.0)))) == 1


def test_the_parts_of_the_line_are_as_long_as_emotions_are_likely() -> None:
    timeline = timeline_of(((4.0, "fear"),), every=100.0)
    (drawing,) = drawings(timeline, "bar")(film_of(4.0, width=1280, height=720))
    middle = drawing.picture[drawing.picture.shape[0] // 2]
    opaque = (middle[:, 3] == 255).nonzero()[0]
    line = opaque[opaque > 0.3 * 1280]
    fear = (middle[:, :3] == np.array([0x33, 0x22, 0x88])).all(axis=1).sum()
    assert fear / len(line) == pytest.approx(timeline.samples[0].smoothed[6], abs=0.01)


@pytest.mark.parametrize("faded", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_shot_of_unusual_or_faded_frames_alone_has_neither_a_colour_nor_the_name_of_an_emotion(
    kind: OverlayKind, faded: bool
) -> None:
    timeline = rated(timeline_of(), 3)
    if faded:
        samples = [replace(s, unusual=False, faded=s.shot == 3) for s in timeline.samples]
        timeline = replace(timeline, samples=tuple(samples))
    found = list(drawings(timeline, kind)(film_of(22.0)))
    ((index, own),) = [(n, drawing) for n, drawing in enumerate(found) if 7 <= drawing.second < 12]
    colours = own.picture[..., :3]
    assert (colours.min(axis=-1) == colours.max(axis=-1)).all() and colours.max() == 255, "white words alone"
    before = found[index - 1].picture[..., :3]
    assert (before.min(axis=-1) < before.max(axis=-1)).any()
    letters = round(0.5 * strip_height(640, 360))
    word = text("faded" if faded else "unusual", letters)
    assert own.picture[..., :3].max(axis=-1).any(axis=0).sum() == pytest.approx(word.any(axis=0).sum(), abs=1)


def test_words_stand_on_a_ground_dark_enough_for_any_picture() -> None:
    (drawing,) = drawings(timeline_of(((4.0, "awe"),), every=100.0), "bar")(film_of(4.0))
    ground = drawing.picture[2, 2]
    on_white = 255 * (1 - ground[3] / 255)
    linear = (on_white / 255) ** 2.2
    assert 1.05 / (linear + 0.05) >= 4.5
    assert (drawing.picture[..., :3] == 255).all(axis=2).any()  # white letters


def test_the_tint_leaves_the_middle_as_it_is() -> None:
    drawing = next(drawings(timeline_of(), "tint")(film_of(22.0)))
    assert drawing.picture[180, 320, 3] == 0
    assert drawing.picture[0, 320, 3] > 120


def test_sizes_are_shares_of_the_shorter_side() -> None:
    assert strip_height(1920, 1080) == strip_height(1080, 1920) == 92
    assert strip_height(100, 60) == LEAST
    assert text("awe 63 %", 20).shape[1] < text("contentment 63 %", 20).shape[1]
