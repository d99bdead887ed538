"""What a layer detects, as one figure: a picture, where each block is active in it, and what it detects.

For each network within a network, a band: the picture, a map of each block laid on the picture, and below
them visualisations of the channels of some blocks, from shallow to deep.
"""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from affectlens.errors import OutputError
from affectlens.explain.features.visualisation import ActivationMap, FeatureStudy, FeatureVisualisation
from affectlens.images import Pixels
from affectlens.report import figures
from affectlens.report.canvas import Canvas, colours
from affectlens.report.figures import PALE

DPI = 180
LEVELS = ("colour", "texture", "structure")  # what the papers' authors call shallow, middle and deep

# All in inches.
_WIDTH, _MARGIN = 10.0, 0.25
_ACROSS = 5  # maps next to the picture
_GAP, _WIDE_GAP, _HAIR = 0.1, 0.32, 0.035
_BAND_TITLE, _MAP_TITLE, _GRID_TITLE, _LINE = 0.34, 0.34, 0.26, 0.155
_GRIDS_ACROSS = 3
_GRID = (_WIDTH - 2 * _MARGIN - (_GRIDS_ACROSS - 1) * _WIDE_GAP) / _GRIDS_ACROSS
_LONGEST_NAME, _CAPTION = 19, 168  # characters above a map, and in a line of the caption

_COLOURS = "inferno"
# This quantile of a map is drawn brightest: at the border, zero padding makes some channels very active.
_BRIGHTEST = 0.98

# Name of the network, its maps, and its visualisations by block.
Band = tuple[str, list[ActivationMap], list[tuple[FeatureVisualisation, ...]]]


def check_file(file: Path) -> None:
    """Raise `OutputError` for a suffix that no figure can be written as, and for a folder."""
    figures.check_suffix(file)
    if file.is_dir():
        raise OutputError(f"{file} is a folder. Name a file to write.")


def write_figure(file: Path, study: FeatureStudy, model_name: str) -> None:
    """Write the figure of a study: PNG, JPEG, PDF or SVG, by the suffix. Raises `OutputError`."""
    check_file(file)
    figures.save_figure(file, draw_figure(study, model_name), dpi=DPI)


def draw_figure(study: FeatureStudy, model_name: str) -> figures.Figure:
    """Draw the figure of a study."""
    caption = textwrap.wrap(_caption(study, model_name), width=_CAPTION)
    bands = _bands(study)
    several = len(bands) > 1
    heights = [_height_of(band, study.pixels, several) for band in bands]
    canvas = Canvas(_WIDTH, 2 * _MARGIN + sum(heights) + _LINE * len(caption), _MARGIN)
    for name, maps, visualisations in bands:
        if several:
            canvas.text(_MARGIN, name, 12, weight="bold")
            canvas.down(_BAND_TITLE)
        _draw_maps(canvas, study.pixels, maps)
        _draw_grids(canvas, visualisations, _titles(visualisations, study.named_blocks))
        canvas.down(_GAP)
    for line in caption:
        canvas.text(_MARGIN, line, 7.5, colour=PALE)
        canvas.down(_LINE)
    return canvas.figure


def _bands(study: FeatureStudy) -> list[Band]:
    """Divide a study by the network within that its blocks belong to."""
    trunks = dict.fromkeys(one.block.trunk for one in study.maps)
    return [
        (
            trunk or "network",
            [one for one in study.maps if one.block.trunk == trunk],
            [row for row in study.visualisations if row and row[0].block.trunk == trunk],
        )
        for trunk in trunks
    ]


def _height_of(band: Band, pixels: Pixels, named: bool) -> float:
    _, maps, visualisations = band
    rows = math.ceil(len(maps) / _ACROSS)
    grids = math.ceil(len(visualisations) / _GRIDS_ACROSS)
    return (
        (_BAND_TITLE if named else 0)
        + rows * (_MAP_TITLE + _tile(pixels)[1] + _GAP)
        + grids * (_GRID_TITLE + _GRID + _GAP)
        + 2 * _GAP
    )


def _tile(pixels: Pixels) -> tuple[float, float]:
    """Width and height of the picture and its maps; very long ones are shown smaller."""
    width = (_WIDTH - 2 * _MARGIN - _ACROSS * _GAP) / (_ACROSS + 1)
    return width, width * min(max(pixels.shape[0] / pixels.shape[1], 0.5), 1.5)


def _draw_maps(canvas: Canvas, pixels: Pixels, maps: Sequence[ActivationMap]) -> None:
    """Draw the picture and, to its right, the maps laid on it, in as many rows as they take."""
    width, height = _tile(pixels)
    canvas.text(_MARGIN, "picture", 8.5, weight="bold", below=_MAP_TITLE - 0.17)
    canvas.picture(_MARGIN, _MAP_TITLE, width, height, pixels)
    for begin in range(0, len(maps), _ACROSS):
        for column, one in enumerate(maps[begin : begin + _ACROSS], start=1):
            left = _MARGIN + column * (width + _GAP)
            canvas.text(left, _short(one.block.name, one.block.trunk), 8.5, weight="bold")
            canvas.text(left, f"channel {one.channel}", 7.5, below=_MAP_TITLE - 0.17, colour=PALE)
            canvas.picture(left, _MAP_TITLE, width, height, _laid_on(pixels, one))
        canvas.down(_MAP_TITLE + height + _GAP)
    canvas.down(_GAP)


def _draw_grids(
    canvas: Canvas, visualisations: Sequence[tuple[FeatureVisualisation, ...]], titles: Sequence[str]
) -> None:
    """Draw the visualisations of each block as a square, three squares across."""
    for begin in range(0, len(visualisations), _GRIDS_ACROSS):
        for number in range(begin, min(begin + _GRIDS_ACROSS, len(visualisations))):
            left = _MARGIN + (number - begin) * (_GRID + _WIDE_GAP)
            block = visualisations[number][0].block
            name = _short(block.name, block.trunk)
            canvas.text(left, titles[number] or name, 11, weight="bold")
            if titles[number]:
                # The name at the right, where no title ends.
                canvas.text(left + _GRID, name, 8.5, below=0.03, colour=PALE, ha="right")
            _draw_grid(canvas, left, visualisations[number])
        canvas.down(_GRID_TITLE + _GRID + _GAP)


def _draw_grid(canvas: Canvas, left: float, visualisations: Sequence[FeatureVisualisation]) -> None:
    across = math.ceil(len(visualisations) ** 0.5)
    side = (_GRID - (across - 1) * _HAIR) / across
    for number, one in enumerate(visualisations):
        row, column = divmod(number, across)
        x, y = left + column * (side + _HAIR), _GRID_TITLE + row * (side + _HAIR)
        canvas.picture(x, y, side, side, one.pixels, interpolation="bicubic")


def _titles(visualisations: Sequence[tuple[FeatureVisualisation, ...]], named_blocks: bool) -> list[str]:
    """Colour, texture and structure for a shallow, a middle and a deep block; nothing for any others."""
    are_usual = not named_blocks and len(visualisations) == len(LEVELS)
    return list(LEVELS) if are_usual else [""] * len(visualisations)


def _laid_on(picture: NDArray[np.uint8], one: ActivationMap) -> NDArray[np.float64]:
    """Lay a map on a picture: grey and dark where the channel is inactive, in colour where it is active."""
    upsampled = one.upsampled.numpy().astype(np.float64)
    strength = np.clip(upsampled / max(np.quantile(upsampled, _BRIGHTEST), 1e-12), 0, 1)[..., None]
    grey = (picture @ np.array([0.299, 0.587, 0.114]))[..., None] / 255
    tint = colours(_COLOURS, 0.15 + 0.85 * strength[..., 0])
    opacity = 0.85 * strength**0.6
    laid: NDArray[np.float64] = (1 - opacity) * (0.1 + 0.55 * grey) + opacity * tint
    return laid


def _caption(study: FeatureStudy, model_name: str) -> str:
    """What the figure shows and how it was made, in complete sentences."""
    if study.named_channels:
        maps = f"Maps: where channel {study.maps[0].channel} of each block is active."
        squares = "Squares: pictures that activate the named channels most, in rows"
    else:
        maps = (
            "Maps: where a channel is active (bright); of each block the channel whose response to this "
            "picture exceeds its response to noise most, in standard deviations."
        )
        squares = "Squares: pictures that activate the strongest channels most, in rows, the mapped one first"
    ascent = study.ascent
    return (
        f"Model {model_name}. {maps} {squares}; made from noise by gradient ascent on a channel's mean "
        f"activation (steps: {ascent.steps}, seed: {ascent.seed})."
    )


def _short(name: str, trunk: str) -> str:
    """A block's name without the network that it belongs to, cut to what fits above a map."""
    name = name.removeprefix(f"{trunk}.") if trunk else name
    return name if len(name) <= _LONGEST_NAME else f"…{name[-_LONGEST_NAME + 1 :]}"
