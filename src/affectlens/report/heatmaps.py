"""Heat maps -> figures: the picture, and each map laid on it so that the picture can still be read.

A map tints the picture's grey: orange where it speaks for the answer, blue where against, a pair that people
with any of the common colour deficiencies tell apart; the stronger, the more colour. Light and dark of the
picture stay, so that what is under the colour can be recognised. The scale is symmetric around 0 and, for
maps that divide up log-odds, the same for all maps of a figure.

Letters: H x W pixels of what is shown.
"""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from affectlens.errors import OutputError
from affectlens.explain.core.heatmap import Heatmap
from affectlens.explain.text import ON_AVERAGE, READING, doubts, evokes, how_made, title
from affectlens.files import atomic_write
from affectlens.images import Pixels, Source, read_pixels
from affectlens.preprocess import resize

Colours = NDArray[np.float64]  # (H, W, 3) or (H, W, 4), in 0..1

SUFFIXES = (".png", ".jpg", ".jpeg", ".pdf", ".svg")
FOR, AGAINST = (0.95, 0.52, 0.02), (0.13, 0.47, 0.93)  # orange and blue, both of middling lightness
STRONG = 0.995  # quantile of strengths that has full colour; a few pixels beyond it look the same
FAINT = 0.06  # of full strength: less has no colour, or all of the picture had a little
CLEAREST = 0.92  # opacity at full strength
_LUMA = np.array([0.299, 0.587, 0.114])
_HATCH = 9  # pixels between the lines over what was not seen
_INK, _PALE, _FRAME = "#1a1a1a", "#5c5c5c", "#c8c8c8"
_FONT: Any = {
    "font.family": "DejaVu Sans",
    "svg.hashsalt": "affectlens",
}  # comes with matplotlib, on every machine

# Pixels. A panel is as large as the picture between these sides, by how many there are in the figure.
_LONGEST = {1: 1600, 2: 1600, 3: 1100, 4: 1100}
_LONGEST_OF_MANY = 800
_LEAST = 480  # of the longer side: smaller pictures are enlarged, so that the map on them can be read
_LEAST_WIDTH = 300
_TALLEST = 1.6  # times as high as wide; what is taller is shown in this frame
_FLATTEST = 0.1
_DPI = 100


@dataclass(frozen=True)
class Scale:
    """The strength, in the unit of a map, that has full colour; 0 for the strongest place of each map."""

    full: float
    unit: str

    def of(self, heatmap: Heatmap) -> float:
        """Strength that has full colour in a map."""
        return self.full or float(heatmap.seen().abs().max()) or 1.0


def scale_of(heatmaps: Sequence[Heatmap]) -> Scale:
    """Choose one scale for maps that are shown together; those in units of their own have each its own."""
    if not all(each.sums_up for each in heatmaps):
        return Scale(0.0, "relative to the strongest place" + (" of each map" if len(heatmaps) > 1 else ""))
    strengths = np.concatenate([each.seen().abs().flatten().numpy() for each in heatmaps])
    return Scale(float(np.quantile(strengths, STRONG)) or 1.0, heatmaps[0].unit)


def overlay(heatmap: Heatmap, pixels: Pixels, scale: Scale | None = None) -> NDArray[np.uint8]:
    """Lay a map on its picture, uint8 (3, H, W) upright, of any size -> uint8 (H, W, 3)."""
    grey = _light(pixels)
    values = heatmap.at(*grey.shape).numpy().astype(np.float64)
    unseen = np.isnan(values)
    strength = values / (scale or scale_of([heatmap])).of(heatmap)
    laid = tinted(grey, np.where(unseen, 0, strength))
    laid[unseen] = _hatched(grey)[unseen]
    return _bytes(laid)


def tinted(grey: NDArray[np.float64], strength: NDArray[np.float64]) -> Colours:
    """Tint a grey picture: (H, W) in 0..1 and strengths in -1..1 (beyond is cut) -> (H, W, 3)."""
    opacity = opacity_of(strength)[..., None]
    hue = np.where(strength[..., None] >= 0, FOR, AGAINST)
    # Black and white take colour, too: light runs from a darkened hue to a whitened one.
    light = 0.32 + 0.38 * grey[..., None]
    coloured = np.where(light < 0.5, hue * light * 2, hue + (1 - hue) * (light - 0.5) * 2)
    laid: Colours = (1 - opacity) * (0.08 + 0.87 * grey[..., None]) + opacity * coloured
    return laid


def opacity_of(strength: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much of a map's colour is laid on: 0 where it is faint, `CLEAREST` at full strength and beyond."""
    grown = np.clip((np.abs(strength) - FAINT) / (1 - FAINT), 0, 1)
    return CLEAREST * grown**0.75


def write(file: Path, heatmaps: Sequence[Heatmap], picture: Source) -> None:
    """Write the figure of one picture's maps: PNG, JPEG, PDF or SVG, as the suffix says.

    Raises `OutputError`, and `PictureError` where the picture cannot be read.
    """
    if file.suffix.lower() not in SUFFIXES:
        raise OutputError(f"{file}: the suffix says how a figure is written. Use {', '.join(SUFFIXES)}.")
    kind = file.suffix.lower().lstrip(".")
    # No date in it: the same maps give the same bytes.
    dateless: dict[str, dict[str, Any]] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
    figure = draw(heatmaps, shown(picture, heatmaps[0].size, _longest(len(heatmaps))))
    with matplotlib.rc_context(_FONT), atomic_write(file) as out:
        figure.savefig(out, format=kind, dpi=_DPI, metadata=dateless.get(kind))


def shown(picture: Source, size: tuple[int, int], longest: int) -> Pixels:
    """Read a picture of this (H, W) no larger than it will be shown: its longest side at most so long."""
    shrink = min(1.0, longest / max(size))
    height, width = (max(1, round(side * shrink)) for side in size)
    pixels = resize(read_pixels(picture, at_least=(height, width)), height, width)
    grow = _LEAST / max(size)
    if grow <= 1:
        return pixels
    return resize(pixels, round(size[0] * grow), round(size[1] * grow), "bicubic")


def draw(heatmaps: Sequence[Heatmap], pixels: Pixels) -> Figure:
    """Draw a picture, uint8 (3, H, W) upright, and its maps by one method, with all that must be said."""
    scale = scale_of(heatmaps)
    panels = [("the picture", pixels.permute(1, 2, 0).numpy())]
    panels += [(title(each), overlay(each, pixels, scale)) for each in heatmaps]
    page = _Page(panels, _across(len(panels), pixels), _caption(heatmaps))
    first = heatmaps[0]
    page.draw(f"{_short(Path(first.image).name)}: {evokes(first.emotions)}", scale)
    return page.figure


def _caption(heatmaps: Sequence[Heatmap]) -> str:
    first = heatmaps[0]
    why = f"Why {first.question}? " if len(heatmaps) == 1 else ""
    said = [doubts(heatmaps), why + READING, *how_made(heatmaps), ON_AVERAGE]
    return " ".join(part for part in said if part)


class _Page:
    """A figure of panels in rows; places are pixels from its left and upper edge."""

    def __init__(self, panels: Sequence[tuple[str, NDArray[np.uint8]]], across: int, caption: str) -> None:
        self.panels = panels
        self.across = across
        height, width = panels[0][1].shape[:2]
        self.tile = _tile(height, width)
        self.unit = (
            across * self.tile[0] / 100
        )  # of text: it has one size beside the page, whatever its pixels
        self.unit = min(max(self.unit, 9.0), 22.0)
        self.margin = 2.2 * self.unit
        self.gap = 1.4 * self.unit
        self.width = across * self.tile[0] + (across - 1) * self.gap + 2 * self.margin
        self.lines = textwrap.wrap(caption, width=int((self.width - 2 * self.margin) / self.unit / 0.6))
        rows = math.ceil(len(panels) / across)
        self.header, self.label, self.bar = 4.6 * self.unit, 2.9 * self.unit, 6.6 * self.unit
        self.line = 1.75 * self.unit
        self.height = (
            self.margin + self.header + rows * (self.label + self.tile[1]) + (rows - 1) * self.gap
            + self.bar + self.line * len(self.lines) + self.margin
        )  # fmt: skip
        self.figure = Figure(figsize=(self.width / _DPI, self.height / _DPI), dpi=_DPI, facecolor="white")
        FigureCanvasAgg(self.figure)

    def draw(self, header: str, scale: Scale) -> None:
        self._text(self.margin, self.margin, header, 1.9, weight="bold")
        top = self.margin + self.header
        for number, (name, picture) in enumerate(self.panels):
            row, column = divmod(number, self.across)
            left = self.margin + column * (self.tile[0] + self.gap)
            below = top + row * (self.label + self.tile[1] + self.gap)
            self._text(left, below, name, 1.45, weight="bold" if number else "normal")
            axes = self._axes(left, below + self.label, *self.tile)
            axes.set_anchor("NW")
            axes.imshow(picture, interpolation="antialiased")  # which is none where sizes agree
            axes.set_axis_on()  # for its frame: without, the sides of a white picture could not be seen
            axes.set(xticks=[], yticks=[])
            for side in axes.spines.values():
                side.set(color=_FRAME, linewidth=0.07 * self.unit)
        top = self.height - self.margin - self.line * len(self.lines) - self.bar
        self._draw_bar(top + 1.5 * self.unit, scale)
        for number, line in enumerate(self.lines):
            self._text(self.margin, top + self.bar + number * self.line, line, 1.15, colour=_PALE)

    def _draw_bar(self, top: float, scale: Scale) -> None:
        """Draw the colours with their numbers, on the middle grey of a picture."""
        strengths = np.linspace(-1, 1, 256)
        colours = tinted(np.full((1, 256), 0.5), strengths[None])
        width = min(46 * self.unit, self.width - 2 * self.margin)
        axes = self._axes(self.margin, top, width, 1.5 * self.unit)
        axes.imshow(
            np.arange(256)[None], cmap=ListedColormap(colours[0]), aspect="auto", interpolation="nearest"
        )
        number = f"{scale.full or 1:.2g}"
        below = top + 1.8 * self.unit
        self._text(self.margin, below, f"\N{MINUS SIGN}{number} against", 1.15)
        self._text(self.margin + width / 2, below, "0", 1.15, ha="center")
        self._text(self.margin + width, below, f"for +{number}", 1.15, ha="right")
        if self.width - 2 * self.margin - width > 30 * self.unit:
            self._text(self.margin + width + 2 * self.unit, top, scale.unit, 1.15, colour=_PALE)
        else:
            self._text(self.margin + width, top - 1.6 * self.unit, scale.unit, 1.0, colour=_PALE, ha="right")

    def _axes(self, left: float, top: float, width: float, height: float) -> Axes:
        bottom = self.height - top - height
        axes = self.figure.add_axes(
            (left / self.width, bottom / self.height, width / self.width, height / self.height)
        )
        axes.set_axis_off()
        return axes

    def _text(
        self, left: float, top: float, text: str, size: float, colour: str = _INK, **style: Any
    ) -> None:
        points = size * self.unit * 72 / _DPI
        place = (left / self.width, 1 - top / self.height)
        self.figure.text(*place, text, fontsize=points, color=colour, va="top", parse_math=False, **style)


def _tile(height: int, width: int) -> tuple[int, int]:
    """Width and height of the frame of a panel; a picture that is taller or flatter lies within it."""
    wide = max(width, _LEAST_WIDTH)
    if height > _TALLEST * width:
        wide = max(round(height / _TALLEST), _LEAST_WIDTH)
    return wide, round(wide * min(max(height / width, _FLATTEST), _TALLEST))


def _across(panels: int, pixels: Pixels) -> int:
    """How many panels stand in a row: eight emotions and the picture as a square, flat pictures in fewer."""
    is_flat = pixels.shape[2] > 2 * pixels.shape[1]
    if panels == 2:
        return 1 if is_flat else 2
    if panels <= 4:
        return 2 if is_flat or panels == 4 else panels
    return 2 if is_flat else 3


def _longest(maps: int) -> int:
    return _LONGEST.get(maps, _LONGEST_OF_MANY)


def _light(pixels: Pixels) -> NDArray[np.float64]:
    grey: NDArray[np.float64] = pixels.permute(1, 2, 0).numpy() @ _LUMA / 255
    return grey


def _hatched(grey: NDArray[np.float64]) -> Colours:
    """Fade a picture and draw lines across it: (H, W) -> (H, W, 3)."""
    rows, columns = np.indices(grey.shape)
    lines = (rows + columns) % _HATCH < 2
    faded = np.where(lines, 0.55, 0.72 + 0.25 * grey)
    return np.repeat(faded[..., None], 3, axis=2)


def _bytes(colours: Colours) -> NDArray[np.uint8]:
    return (colours.clip(0, 1) * 255).round().astype(np.uint8)


def _short(name: str, longest: int = 48) -> str:
    printable = "".join(letter if letter.isprintable() else "?" for letter in name)
    return printable if len(printable) <= longest else f"{printable[: longest - 1]}…"
