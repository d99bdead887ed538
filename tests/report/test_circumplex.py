"""The plane of valence and arousal: points with intervals, paths, files."""

import base64
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from affectlens.errors import OutputError
from affectlens.ratings import Rating
from affectlens.report import figures
from affectlens.report.circumplex import (
    UNUSUAL_POINT,
    CircumplexPath,
    CircumplexPoint,
    NoCircumplex,
    draw_circumplex,
    plane_of,
    point_of,
    write_circumplex,
)
from affectlens.report.figures import themed_urls
from rated import SCALES

PICTURE = CircumplexPoint(valence=Rating(6.0, 3.7, 8.3), arousal=Rating(4.0, 2.5, 5.5), name="a $ picture_1")
PATH = CircumplexPath(
    valence=np.array([3.0, 4.0, 5.0]),
    arousal=np.array([2.0, 3.0, 2.0]),
    seconds=np.array([0.0, 5.0, 65.0]),
    joined=np.array([False, True, False]),
)


def lines(figure: Figure) -> list[tuple[list[float], list[float]]]:
    (axes,) = figure.axes
    return [tuple(np.asarray(ends, float).tolist() for ends in line.get_data()) for line in axes.lines]


def texts(figure: Figure) -> set[str]:
    return {found.get_text() for found in figure.findobj(Text)}


def test_a_picture_is_a_point_with_both_intervals_as_wide_as_they_are() -> None:
    drawn = lines(draw_circumplex([PICTURE]))
    assert ([3.7, 8.3], [4.0, 4.0]) in drawn and ([6.0, 6.0], [2.5, 5.5]) in drawn
    assert ([6.0], [4.0]) in drawn


def test_the_plane_shows_the_full_scales_and_names_its_quarters() -> None:
    figure = draw_circumplex([PICTURE], valence=(1, 7), arousal=(0, 10))
    (axes,) = figure.axes
    assert axes.get_xlim() == (1, 7) and axes.get_ylim() == (0, 10)
    assert {"tense", "excited", "gloomy", "calm", "a $ picture_1"} <= texts(figure)


def test_a_path_is_joined_only_where_it_is_known_and_its_ends_have_times() -> None:
    figure = draw_circumplex([], PATH)
    drawn = lines(figure)
    assert ([3.0, 4.0], [2.0, 3.0]) in drawn and ([4.0, 5.0], [3.0, 2.0]) not in drawn
    assert {"0:00", "1:05"} <= texts(figure)


@pytest.mark.parametrize("count", [0, 1])
def test_a_path_of_a_point_or_none_is_drawn(count: int) -> None:
    path = CircumplexPath(**{name: getattr(PATH, name)[:count] for name in vars(PATH)})
    assert len(lines(draw_circumplex([], path))) == 3 + 2 * count


def test_an_unusual_picture_is_hollow_and_grey() -> None:
    unusual = CircumplexPoint(valence=PICTURE.valence, arousal=PICTURE.arousal, unusual=True)
    (axes,) = draw_circumplex([unusual]).axes
    point: Any = axes.lines[-1]
    assert point.get_markerfacecolor() == "white" and point.get_color() == UNUSUAL_POINT


def test_a_name_is_written_towards_the_middle_and_states_that_a_picture_is_unusual() -> None:
    right = CircumplexPoint(valence=Rating(8, 7, 9), arousal=PICTURE.arousal, name="right", unusual=True)
    left = CircumplexPoint(valence=Rating(2, 1, 3), arousal=PICTURE.arousal, name="left")
    found: dict[str, Any] = {text.get_text(): text for text in draw_circumplex([right, left]).findobj(Text)}
    assert found["right (unusual)"].get_ha() == "right" and found["left"].get_ha() == "left"


def test_a_model_without_both_ratings_has_no_plane() -> None:
    assert plane_of(SCALES) == ((1, 9), (1, 9))
    with pytest.raises(NoCircumplex, match=r"lacks arousal: its ratings are valence\."):
        plane_of(SCALES[:1])
    with pytest.raises(NoCircumplex, match="predicts no ratings"):
        plane_of(())
    with pytest.raises(NoCircumplex, match="needs both"):
        point_of({"valence": Rating(5, 4, 6)})


def test_in_a_dark_page_inks_are_light_and_data_keep_their_colours() -> None:
    urls = themed_urls(draw_circumplex([PICTURE], PATH))
    light, dark = (base64.b64decode(urls[name].partition(",")[2]).decode() for name in ("light", "dark"))
    of_light, of_dark = (set(re.findall(r"#[0-9a-f]{6}\b", svg)) for svg in (light, dark))
    themed = {"#1a1a1a", "#5c5c5c", "#d0d0d0", "#ffffff"}  # ink, pale ink, lines, ground
    assert themed <= of_light and not themed & of_dark
    assert {"#ececec", "#aeb3b8", "#3a3e43", "#15171a"} <= of_dark
    css = (Path(figures.__file__).parent / "templates" / "tokens.css").read_text()
    for colour in ("#ececec", "#aeb3b8", "#3a3e43", "#15171a", "#ffb066"):
        assert colour in css.partition("prefers-color-scheme: dark")[2]
    assert len(light) == len(dark)


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_same_plane_gives_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    files = [tmp_path / f"{name}.{suffix}" for name in ("one", "other")]
    for file in files:
        write_circumplex(file, [PICTURE], PATH)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_another_suffix_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="suffix"):
        write_circumplex(tmp_path / "plane.txt", [PICTURE])
