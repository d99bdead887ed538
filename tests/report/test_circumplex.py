"""The plane of valence and arousal: points with intervals, paths, files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from affectlens.errors import OutputError
from affectlens.ratings import Rating
from affectlens.report.circumplex import (
    UNUSUAL_POINT,
    CircumplexPath,
    CircumplexPoint,
    draw_circumplex,
    write_circumplex,
)

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


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_same_plane_gives_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    files = [tmp_path / f"{name}.{suffix}" for name in ("one", "other")]
    for file in files:
        write_circumplex(file, [PICTURE], PATH)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_another_suffix_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="suffix"):
        write_circumplex(tmp_path / "plane.txt", [PICTURE])
