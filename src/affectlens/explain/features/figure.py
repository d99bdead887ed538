"""What a layer looks for, as one figure: a picture, where each block sees something in it, and what for.

For each network that was looked into, a band: the picture, a map of each block laid on the picture, and
below them the pictures that the channels of some blocks look for, from shallow to deep.
"""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from affectlens.errors import OutputError
from affectlens.explain.features.visualisation import ActivationMap, Painting, Study
from affectlens.files import atomic_write
from affectlens.images import Pixels

SUFFIXES = (".png", ".jpg", ".jpeg", ".pdf", ".svg")
DPI = 180
LEVELS = ("colour", "texture", "structure")  # what the seeds' authors call shallow, middle and deep

# All in inches: where a figure is read, text has one size whatever the number of its parts.
_WIDTH, _MARGIN = 10.0, 0.25
_ACROSS = 5  # maps beside the picture
_GAP, _WIDE_GAP, _HAIR = 0.1, 0.32, 0.035
_BAND_TITLE, _MAP_TITLE, _GRID_TITLE, _LINE = 0.34, 0.34, 0.26, 0.155
_GRIDS_ACROSS = 3
_GRID = (_WIDTH - 2 * _MARGIN - (_GRIDS_ACROSS - 1) * _WIDE_GAP) / _GRIDS_ACROSS
_LONGEST_NAME, _CAPTION = 19, 168  # characters above a map, and in a line of the caption

_INK, _PALE = "#1a1a1a", "#6b6b6b"
_COLOURS = "inferno"
# This quantile of a map is drawn brightest: where a picture ends, zero padding makes some channels shine.
_BRIGHTEST = 0.98
# The font comes with matplotlib, so it is on every machine; the salt makes the names within an SVG the same.
_STYLE: dict[Any, Any] = {"font.family": "DejaVu Sans", "svg.hashsalt": "affectlens"}


def check_file(file: Path) -> None:
    """Raise `OutputError` for a suffix that no figure can be written as, and for a folder."""
    if file.suffix.lower() not in SUFFIXES:
        raise OutputError(f"{file}: the suffix says how a figure is written. Use {', '.join(SUFFIXES)}.")
    if file.is_dir():
        raise OutputError(f"{file} is a folder. Name a file to write.")


def write(file: Path, study: Study, model_name: str) -> None:
    """Write the figure of a study: PNG, JPEG, PDF or SVG, as the suffix says. Raises `OutputError`."""
    check_file(file)
    kind = file.suffix.lower().lstrip(".")
    # No date in it: the same study gives the same bytes.
    dateless: dict[str, dict[str, Any]] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
    with matplotlib.rc_context(_STYLE), atomic_write(file) as out:
        draw(study, model_name).savefig(out, format=kind, dpi=DPI, metadata=dateless.get(kind))


def draw(study: Study, model_name: str) -> Figure:
    """Draw the figure of a study."""
    caption = textwrap.wrap(_caption(study, model_name), width=_CAPTION)
    bands = _bands(study)
    several = len(bands) > 1
    heights = [_height_of(band, study.pixels, several) for band in bands]
    page = _Page(2 * _MARGIN + sum(heights) + _LINE * len(caption))
    for name, maps, paintings in bands:
        if several:
            page.text(_MARGIN, name, 12, weight="bold")
            page.down(_BAND_TITLE)
        _draw_maps(page, study.pixels, maps)
        _draw_grids(page, paintings, _titles(paintings, study.named_blocks))
        page.down(_GAP)
    for line in caption:
        page.text(_MARGIN, line, 7.5, colour=_PALE)
        page.down(_LINE)
    return page.figure


Band = tuple[str, list[ActivationMap], list[tuple[Painting, ...]]]


class _Page:
    """A figure that is filled from the top; places are inches from its left and upper edge."""

    def __init__(self, height: float) -> None:
        self.height = height
        self.figure = Figure(figsize=(_WIDTH, height), facecolor="white")
        FigureCanvasAgg(self.figure)
        self.top = _MARGIN

    def down(self, inches: float) -> None:
        self.top += inches

    def image(self, left: float, below: float, width: float, height: float) -> Axes:
        bottom = self.height - self.top - below - height
        places = (left / _WIDTH, bottom / self.height, width / _WIDTH, height / self.height)
        axes = self.figure.add_axes(places)
        axes.set_axis_off()
        return axes

    def text(
        self, left: float, text: str, size: float, *, below: float = 0.0, colour: str = _INK, **style: Any
    ) -> None:
        place = (left / _WIDTH, 1 - (self.top + below) / self.height)
        self.figure.text(*place, text, fontsize=size, color=colour, va="top", parse_math=False, **style)


def _bands(study: Study) -> list[Band]:
    """Divide a study by the network within that its blocks belong to."""
    trunks = dict.fromkeys(one.block.trunk for one in study.maps)
    return [
        (
            trunk or "network",
            [one for one in study.maps if one.block.trunk == trunk],
            [row for row in study.paintings if row and row[0].block.trunk == trunk],
        )
        for trunk in trunks
    ]


def _height_of(band: Band, pixels: Pixels, named: bool) -> float:
    _, maps, paintings = band
    rows = math.ceil(len(maps) / _ACROSS)
    grids = math.ceil(len(paintings) / _GRIDS_ACROSS)
    return (
        (_BAND_TITLE if named else 0)
        + rows * (_MAP_TITLE + _tile(pixels)[1] + _GAP)
        + grids * (_GRID_TITLE + _GRID + _GAP)
        + 2 * _GAP
    )


def _tile(pixels: Pixels) -> tuple[float, float]:
    """Width and height of the picture and its maps; very long ones are shown smaller."""
    width = (_WIDTH - 2 * _MARGIN - _ACROSS * _GAP) / (_ACROSS + 1)
    return width, width * min(max(pixels.shape[1] / pixels.shape[2], 0.5), 1.5)


def _draw_maps(page: _Page, pixels: Pixels, maps: Sequence[ActivationMap]) -> None:
    """Draw the picture and, to its right, the maps laid on it, in as many rows as they take."""
    width, height = _tile(pixels)
    picture = _for_matplotlib(pixels)
    page.text(_MARGIN, "picture", 8.5, weight="bold", below=_MAP_TITLE - 0.17)
    page.image(_MARGIN, _MAP_TITLE, width, height).imshow(picture)
    for begin in range(0, len(maps), _ACROSS):
        for place, one in enumerate(maps[begin : begin + _ACROSS], start=1):
            left = _MARGIN + place * (width + _GAP)
            page.text(left, _short(one.block.name, one.block.trunk), 8.5, weight="bold")
            page.text(left, f"channel {one.channel}", 7.5, below=_MAP_TITLE - 0.17, colour=_PALE)
            page.image(left, _MAP_TITLE, width, height).imshow(_laid_on(picture, one))
        page.down(_MAP_TITLE + height + _GAP)
    page.down(_GAP)


def _draw_grids(page: _Page, paintings: Sequence[tuple[Painting, ...]], titles: Sequence[str]) -> None:
    """Draw the paintings of each block as a square, three squares across."""
    for begin in range(0, len(paintings), _GRIDS_ACROSS):
        for place in range(begin, min(begin + _GRIDS_ACROSS, len(paintings))):
            left = _MARGIN + (place - begin) * (_GRID + _WIDE_GAP)
            block = paintings[place][0].block
            name = _short(block.name, block.trunk)
            page.text(left, titles[place] or name, 11, weight="bold")
            if titles[place]:  # the name at the right, where no title ends
                page.text(left + _GRID, name, 8.5, below=0.03, colour=_PALE, ha="right")
            _draw_grid(page, left, paintings[place])
        page.down(_GRID_TITLE + _GRID + _GAP)


def _draw_grid(page: _Page, left: float, paintings: Sequence[Painting]) -> None:
    across = math.ceil(len(paintings) ** 0.5)
    side = (_GRID - (across - 1) * _HAIR) / across
    for number, painting in enumerate(paintings):
        row, column = divmod(number, across)
        axes = page.image(left + column * (side + _HAIR), _GRID_TITLE + row * (side + _HAIR), side, side)
        axes.imshow(_for_matplotlib(painting.pixels), interpolation="bicubic")


def _titles(paintings: Sequence[tuple[Painting, ...]], named_blocks: bool) -> list[str]:
    """Colour, texture and structure for a shallow, a middle and a deep block; nothing for any others."""
    return list(LEVELS) if not named_blocks and len(paintings) == len(LEVELS) else [""] * len(paintings)


def _laid_on(picture: NDArray[np.uint8], one: ActivationMap) -> NDArray[np.float64]:
    """Lay a map on a picture: grey and darkened where nothing is seen, in colour where much is."""
    upsampled = one.upsampled.numpy().astype(np.float64)
    strength = np.clip(upsampled / max(np.quantile(upsampled, _BRIGHTEST), 1e-12), 0, 1)[..., None]
    grey = (picture @ np.array([0.299, 0.587, 0.114]))[..., None] / 255
    colours = matplotlib.colormaps[_COLOURS](0.15 + 0.85 * strength[..., 0])[..., :3]
    opacity = 0.85 * strength**0.6
    laid: NDArray[np.float64] = (1 - opacity) * (0.1 + 0.55 * grey) + opacity * colours
    return laid


def _caption(study: Study, model_name: str) -> str:
    """What the figure shows and how it was made, in whole sentences."""
    if study.named_channels:
        maps = f"Maps: where channel {study.maps[0].channel} of each block sees what it looks for."
        squares = "Squares: pictures that the channels named look for, in rows"
    else:
        maps = (
            "Maps: where a channel sees what it looks for (bright); of each block the channel whose response "
            "to this picture exceeds its response to noise most, in standard deviations."
        )
        squares = "Squares: pictures that the strongest such channels look for, in rows, the mapped one first"
    ascent = study.ascent
    return (
        f"Model {model_name}. {maps} {squares}; painted from noise by gradient ascent on a channel's mean "
        f"activation (steps: {ascent.steps}, seed: {ascent.seed})."
    )


def _short(name: str, trunk: str) -> str:
    """A block's name without the network that it stands in, cut to what fits above a map."""
    name = name.removeprefix(f"{trunk}.") if trunk else name
    return name if len(name) <= _LONGEST_NAME else f"…{name[-_LONGEST_NAME + 1 :]}"


def _for_matplotlib(pixels: Pixels) -> NDArray[np.uint8]:
    turned: NDArray[np.uint8] = pixels.permute(1, 2, 0).numpy()
    return turned
