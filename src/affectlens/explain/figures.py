"""Heat maps as figures: the picture, each map laid on it, and all that must be stated about them.

The scale of colours is, for maps that divide up log-odds, the same for all maps of a figure.

Letters: H x W pixels of what is shown.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from affectlens.errors import SettingsError
from affectlens.explain.colour_scale import full_strength, scale_of
from affectlens.explain.core.heatmap import Heatmap
from affectlens.explain.text import doubts, ends_of, how_made, reading, title, unusual_in_words, why
from affectlens.images import Pixels, resize
from affectlens.inference.text import ratings_text
from affectlens.report import circumplex, figures, legend, sheet
from affectlens.report.heatmaps import ColourScale, Picture, overlay
from affectlens.report.text import ON_AVERAGE, likeliest, printable_in_files

if TYPE_CHECKING:
    from affectlens.explain.explainer import Explanation

# Pixels. A panel is as large as the picture between these sides, by how many maps there are in the figure.
_LONGEST = {1: 1600, 2: 1600, 3: 1100, 4: 1100}
_LONGEST_OF_MANY = 800
_LEAST = 480  # of the longer side: smaller pictures are enlarged, so that the map on them can be read
_LONGEST_NAME = 48  # characters


def write_figure(file: Path, explanation: "Explanation") -> None:
    """Write the figure of one picture's maps: PNG, JPEG, PDF or SVG, by the suffix.

    Raises `OutputError`, or `SettingsError` for an explanation that kept no pixels.
    """
    figures.check_suffix(file)
    figures.save_figure(file, draw_figure(explanation), dpi=sheet.DPI)


def write_legend(file: Path, explanation: "Explanation") -> None:
    """Write the picture with all its emotions in a corner: PNG, JPEG, PDF or SVG, by the suffix.

    Raises `OutputError`, or `SettingsError` for an explanation that kept no pixels.
    """
    picture = displayed(explanation, _LONGEST[1])
    legend.write_legend(file, picture, explanation.heatmaps[0].emotions, unusual_in_words(explanation))


def write_plane(file: Path, explanation: "Explanation") -> None:
    """Write valence and arousal with their intervals: PNG, JPEG, PDF or SVG, by the suffix.

    Raises `OutputError`, or `NoCircumplex` for a model that does not predict both.
    """
    figures.check_suffix(file)
    figures.save_figure(file, draw_plane(explanation, circumplex.RATED_ON_AVERAGE))


def draw_plane(explanation: "Explanation", heading: str = "") -> figures.Figure:
    """Draw valence and arousal with their intervals as a point in one plane.

    Raises `NoCircumplex` for a model that does not predict both.
    """
    valence, arousal = circumplex.plane_of(explanation.scales)
    point = circumplex.point_of(
        explanation.ratings, unusual=explanation.unusual is True, name=_short(Path(explanation.image).name)
    )
    return circumplex.draw_circumplex([point], valence=valence, arousal=arousal, title=heading)


def draw_figure(explanation: "Explanation") -> figures.Figure:
    """Draw a picture and its maps by one method, with all that must be stated about them."""
    heatmaps = explanation.heatmaps
    picture = displayed(explanation, _LONGEST.get(len(heatmaps), _LONGEST_OF_MANY))
    scale = scale_of(heatmaps)
    panels = [("the picture", picture)]
    panels += [(title(each), laid_on(each, picture, scale)) for each in heatmaps]
    header = f"{_short(Path(explanation.image).name)}: {likeliest(heatmaps[0].emotions.weights)}"
    warnings = (unusual_in_words(explanation), doubts(heatmaps))
    return sheet.draw_sheet(
        panels,
        header,
        _caption(heatmaps),
        scale,
        warning=" ".join(filter(None, warnings)),
        ends=ends_of(heatmaps),
        note=ratings_text(explanation.ratings),
    )


def displayed(explanation: "Explanation", longest: int) -> Pixels:
    """Return the picture of an explanation as it is shown: (H, W, 3), its longer side at most `longest`.

    A tiny picture is enlarged. Raises `SettingsError` for an explanation that kept no pixels.
    """
    pixels = explanation.pixels
    if pixels is None:
        raise SettingsError(
            f"The explanation of {explanation.image} kept no pixels to show. "
            "Leave `keep_pixels` of the request as it is."
        )
    size = explanation.heatmaps[0].size
    shrink = min(1.0, longest / max(size))
    height, width = (max(1, round(side * shrink)) for side in size)
    pixels = resize(pixels, height, width)
    grow = _LEAST / max(size)
    if grow <= 1:
        return pixels
    height, width = (round(side * grow) for side in size)
    return resize(pixels, height, width, "bicubic")


def laid_on(heatmap: Heatmap, pixels: Pixels, scale: ColourScale | None = None) -> Picture:
    """Lay a map on its picture, uint8 (H, W, 3) upright, of any size -> uint8 (H, W, 3)."""
    scale = scale or scale_of([heatmap])
    values = heatmap.at(*pixels.shape[:2]).astype(np.float64)
    return overlay(values, pixels, full_strength(heatmap, scale))


def _caption(heatmaps: Sequence[Heatmap]) -> str:
    question = f"{why(heatmaps[0])} " if len(heatmaps) == 1 else ""
    sentences = [question + reading(heatmaps), *how_made(heatmaps), ON_AVERAGE]
    return " ".join(sentence for sentence in sentences if sentence)


def _short(name: str) -> str:
    name = printable_in_files(name)
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
