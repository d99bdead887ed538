"""A sheet: pictures in rows, each with its title, above the colours of their maps and a caption.

The first picture is the one that the others explain; all have its shape. Positions are pixels from the
sheet's left and upper edge. Text has one size compared with the sheet, whatever the number of its pixels.
"""

import math
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from affectlens.report.figures import INK, PALE, new_figure, text_width
from affectlens.report.heatmaps import ColourScale, Picture, tinted

DPI = 100
_FRAME = "#c8c8c8"
_ALARM = "#8a1c1c"
_CAPTION, _NOTE, _WARNING = 1.15, 1.45, 1.45  # size of text, in units of the sheet
_LEAST_WIDTH = 300
_TALLEST = 1.6  # times as high as wide; what is taller is shown in this frame
_FLATTEST = 0.1

Panel = tuple[str, Picture]  # title and picture


def draw_sheet(
    panels: Sequence[Panel],
    header: str,
    caption: str,
    scale: ColourScale,
    warning: str = "",
    ends: tuple[str, str] = ("against", "for"),
    note: str = "",
) -> Figure:
    """Draw a sheet, with a note and a warning between its header and the pictures; write it with `DPI`.

    `ends` name what is negative and what is positive on the scale.
    """
    sheet = _Sheet(panels, caption, warning, note)
    sheet.draw(header, scale, ends)
    return sheet.figure


class _Sheet:
    def __init__(self, panels: Sequence[Panel], caption: str, warning: str, note: str) -> None:
        self.panels = panels
        height, width = panels[0][1].shape[:2]
        self.across = _across(len(panels), height, width)
        self.tile = _tile(height, width)
        self.unit = min(max(self.across * self.tile[0] / 100, 9.0), 22.0)  # of text
        self.margin = 2.2 * self.unit
        self.gap = 1.4 * self.unit
        self.width = self.across * self.tile[0] + (self.across - 1) * self.gap + 2 * self.margin
        self.lines = self._wrapped(caption, _CAPTION)
        self.note = self._wrapped(note, _NOTE)
        self.warning = self._wrapped(warning, _WARNING, "bold")
        rows = math.ceil(len(panels) / self.across)
        self.label, self.bar = 2.9 * self.unit, 6.6 * self.unit
        self.line = 1.5 * _CAPTION * self.unit
        self.warning_line = 1.5 * _WARNING * self.unit
        self.noted = 1.5 * _NOTE * self.unit * len(self.note)  # height of the note
        self.header = 4.6 * self.unit + self.noted + self.warning_line * len(self.warning)
        self.height = (
            self.margin + self.header + rows * (self.label + self.tile[1]) + (rows - 1) * self.gap
            + self.bar + self.line * len(self.lines) + self.margin
        )  # fmt: skip
        self.figure = new_figure(self.width / DPI, self.height / DPI, dpi=DPI)

    def draw(self, header: str, scale: ColourScale, ends: tuple[str, str]) -> None:
        self._text(self.margin, self.margin, header, 1.9, weight="bold")
        for number, line in enumerate(self.note):
            below = self.margin + (3.3 + 1.5 * _NOTE * number) * self.unit
            self._text(self.margin, below, line, _NOTE)
        for number, line in enumerate(self.warning):
            below = self.margin + 3.6 * self.unit + self.noted + number * self.warning_line
            self._text(self.margin, below, line, _WARNING, colour=_ALARM, weight="bold")
        self._draw_panels(self.margin + self.header)
        top = self.height - self.margin - self.line * len(self.lines) - self.bar
        self._draw_bar(top + 1.5 * self.unit, scale, ends)
        for number, line in enumerate(self.lines):
            self._text(self.margin, top + self.bar + number * self.line, line, _CAPTION, colour=PALE)

    def _wrapped(self, text: str, size: float, weight: str = "normal") -> list[str]:
        """Break text into lines that fit."""
        room = self.width - 2 * self.margin
        # A letter is about half as wide as its size, but some lines have many wide ones.
        letters = int(room / self.unit / (0.52 * size))
        while (lines := textwrap.wrap(text, width=letters)) and letters > 1:
            if max(text_width(line, size * self.unit, weight) for line in lines) <= room:
                break
            letters -= 1
        return lines

    def _points(self, size: float) -> float:
        return size * self.unit * 72 / DPI

    def _draw_panels(self, top: float) -> None:
        for number, (title, picture) in enumerate(self.panels):
            row, column = divmod(number, self.across)
            left = self.margin + column * (self.tile[0] + self.gap)
            below = top + row * (self.label + self.tile[1] + self.gap)
            self._text(left, below, title, 1.45, weight="bold" if number else "normal")
            axes = self._axes(left, below + self.label, *self.tile)
            axes.set_anchor("NW")
            axes.imshow(picture, interpolation="antialiased")  # which is none where sizes agree
            # A frame: without it the sides of a white picture could not be seen.
            axes.set_axis_on()
            axes.set(xticks=[], yticks=[])
            for side in axes.spines.values():
                side.set(color=_FRAME, linewidth=0.07 * self.unit)

    def _draw_bar(self, top: float, scale: ColourScale, ends: tuple[str, str]) -> None:
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
        self._text(self.margin, below, f"\N{MINUS SIGN}{number} {ends[0]}", 1.15)
        self._text(self.margin + width / 2, below, "0", 1.15, ha="center")
        self._text(self.margin + width, below, f"{ends[1]} +{number}", 1.15, ha="right")
        if self.width - 2 * self.margin - width > 30 * self.unit:
            self._text(self.margin + width + 2 * self.unit, top, scale.unit, 1.15, colour=PALE)
        else:
            self._text(self.margin + width, top - 1.6 * self.unit, scale.unit, 1.0, colour=PALE, ha="right")

    def _axes(self, left: float, top: float, width: float, height: float) -> Axes:
        bottom = self.height - top - height
        axes = self.figure.add_axes(
            (left / self.width, bottom / self.height, width / self.width, height / self.height)
        )
        axes.set_axis_off()
        return axes

    def _text(self, left: float, top: float, text: str, size: float, colour: str = INK, **style: Any) -> None:
        x, y = left / self.width, 1 - top / self.height
        self.figure.text(
            x, y, text, fontsize=self._points(size), color=colour, va="top", parse_math=False, **style
        )


def _tile(height: int, width: int) -> tuple[int, int]:
    """Width and height of the frame of a panel; a picture that is taller or flatter lies within it."""
    wide = max(width, _LEAST_WIDTH)
    if height > _TALLEST * width:
        wide = max(round(height / _TALLEST), _LEAST_WIDTH)
    return wide, round(wide * min(max(height / width, _FLATTEST), _TALLEST))


def _across(panels: int, height: int, width: int) -> int:
    """How many panels stand in a row: eight emotions and the picture as a square, flat pictures in fewer."""
    is_flat = width > 2 * height
    if panels == 2:
        return 1 if is_flat else 2
    if panels <= 4:
        return 2 if is_flat or panels == 4 else panels
    return 2 if is_flat else 3
