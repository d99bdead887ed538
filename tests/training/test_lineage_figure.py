"""The figures of a search: family tree and schedule."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from affectlens.errors import OutputError
from affectlens.images import read_pixels
from affectlens.training.lineage_figure import draw_family, draw_schedule, write_family, write_schedule
from lineages import SPACE, family


def test_the_tree_has_a_point_for_each_interval_that_trained_and_a_mark_for_each_that_did_not() -> None:
    axes: Any = draw_family(family()).axes[0]
    points = next(one for one in axes.collections if len(one.get_offsets()) > 1)
    shown = {(int(x), int(y)) for x, y in points.get_offsets().tolist()}
    assert shown == {(one.round, one.member) for one in family() if not one.failed}
    marks = [line for line in axes.lines if line.get_marker() == "x"]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in marks] == [(1, 2)]


def test_every_interval_is_connected_with_the_one_its_weights_came_from() -> None:
    axes: Any = draw_family(family()).axes[0]
    ends = {
        tuple(map(tuple, patch.get_path().vertices[[0, -1]].astype(int).tolist())) for patch in axes.patches
    }
    assert ends == {
        ((one.round - 1, one.parent), (one.round, one.member)) for one in family() if one.parent is not None
    }


def test_the_line_of_the_best_is_thick_and_goes_over_those_whose_weights_it_has() -> None:
    axes: Any = draw_family(family()).axes[0]
    widest = max(patch.get_linewidth() for patch in axes.patches)
    thick = [patch for patch in axes.patches if patch.get_linewidth() == widest]
    assert [tuple(patch.get_path().vertices[0]) for patch in thick] == [(1, 0), (2, 2)]


def test_each_setting_has_a_panel_with_the_values_along_the_winners_line() -> None:
    figure = draw_schedule(family(), SPACE)
    panels: list[Any] = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in panels] == [each.name for each in SPACE]
    assert [axes.get_yscale() for axes in panels] == ["log", "linear", "linear"]
    stairs = panels[1].patches[0].get_data()
    assert stairs.values.tolist() == pytest.approx([0.09, 0.15, 0.21])
    assert stairs.edges.tolist() == [0, 10, 20, 30]


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_same_search_gives_the_same_bytes(suffix: str, tmp_path: Path) -> None:
    files = [tmp_path / f"{name}{suffix}" for name in ("one", "two")]
    for file in files:
        write_family(file, family())
    assert files[0].read_bytes() == files[1].read_bytes()
    write_schedule(files[0], family(), SPACE)
    assert files[0].stat().st_size > 1000


def test_a_tall_population_gets_a_tall_figure(tmp_path: Path) -> None:
    many = [replace(one, member=member) for member in range(30) for one in family()[:1]]
    write_family(tmp_path / "many.png", many)
    write_family(tmp_path / "few.png", many[:3])
    heights = [read_pixels(tmp_path / name).shape[0] for name in ("many.png", "few.png")]
    assert heights[0] > 2 * heights[1]


def test_a_figure_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "family.png").mkdir()
    with pytest.raises(OutputError, match=r"family\.png"):
        write_family(tmp_path / "family.png", family())
