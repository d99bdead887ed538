"""A sheet of pictures: its text lies within it."""

import matplotlib
import numpy as np
import pytest

from affectlens.report.figures import STYLE
from affectlens.report.heatmaps import ColourScale
from affectlens.report.sheet import draw_sheet


@pytest.mark.parametrize("side", [(40, 300), (400, 600), (1600, 1600)])
def test_lines_of_wide_letters_are_broken_where_the_sheet_ends(side: tuple[int, int]) -> None:
    black = np.zeros((*side, 3), np.uint8)
    wide = "Method: maps of MAM, on maps WWW, elsewhere MMM. " * 8
    with matplotlib.rc_context(STYLE):
        figure = draw_sheet(
            [("the picture", black), ("the map", black)],
            "a header", wide, ColourScale(1.0, "log-odds"), warning=wide,
        )  # fmt: skip
        right = figure.bbox.width
        lines = [text for text in figure.texts if "MMM" in text.get_text()]
        assert len(lines) > 4
        assert max(text.get_window_extent().x1 for text in lines) <= right
