"""A picture with what it evokes on average written over it: all emotions as bars in its upper left corner.

Sizes are shares of the picture's shorter side, so that a large picture's legend reads like a small one's.
Every bar stands between its word and its number: no colour need be recognised.

Letters: H x W pixels.
"""

import textwrap
from pathlib import Path
from typing import Any

from matplotlib.patches import Rectangle

from affectlens.emotions import EmotionDistribution
from affectlens.report import figures
from affectlens.report.emotion_colours import colours_of
from affectlens.report.figures import Figure, new_figure, text_width
from affectlens.report.heatmaps import Picture
from affectlens.report.text import percent

DPI = 100
TITLE = "evoked on average"
# Height of letters by the shorter side; all else by the height of letters.
_LETTERS = 1 / 30
_LINE, _MARGIN, _BAR, _GAP = 1.45, 0.7, 5.0, 0.6
_NOTE_LETTERS = 30  # of a line of the note
# Part of the picture that the legend of a long vocabulary may cover, and what stays visible through it.
_LARGEST, _GROUND = 0.9, 0.7
_NOTE = "#ffcf8a"


def write_legend(file: Path, picture: Picture, emotions: EmotionDistribution, note: str = "") -> None:
    """Write a picture, uint8 (H, W, 3), with its legend: PNG, JPEG, PDF or SVG, by the suffix.

    A `note` of the picture stands below its emotions. Raises `OutputError`.
    """
    figures.check_suffix(file)
    figures.save_figure(file, draw_legend(picture, emotions, note), dpi=DPI)


def draw_legend(picture: Picture, emotions: EmotionDistribution, note: str = "") -> Figure:
    """Draw a picture in its own pixels, with a bar for each emotion, in the order of the vocabulary."""
    height, width = picture.shape[:2]
    figure = new_figure(width / DPI, height / DPI, dpi=DPI)
    axes: Any = figure.add_axes((0, 0, 1, 1))
    axes.imshow(picture, extent=(0, width, height, 0), aspect="auto", interpolation="none")
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()

    words, colours = emotions.vocabulary.words, colours_of(emotions.vocabulary)
    numbers = [percent(emotions[word]) for word in words]
    weights = ["bold" if word == emotions.top else "normal" for word in words]
    notes = textwrap.wrap(note, width=_NOTE_LETTERS)
    to_bar = _MARGIN + max(map(_width, words, weights)) + _GAP
    row_width = to_bar + _BAR + _GAP + max(map(_width, numbers, weights))
    across = max(row_width, *(_MARGIN + _width(line) for line in [TITLE, *notes])) + _MARGIN
    down = _LINE * (1 + len(words) + len(notes)) + 2 * _MARGIN
    em: float = min(_LETTERS * min(height, width), _LARGEST * width / across, _LARGEST * height / down)
    style = {"color": "white", "va": "center", "fontsize": em * 72 / DPI, "parse_math": False}

    def middle(row: int) -> float:
        return (_MARGIN + (row + 0.5) * _LINE) * em

    axes.add_patch(Rectangle((0, 0), across * em, down * em, facecolor="black", alpha=_GROUND, linewidth=0))
    axes.text(_MARGIN * em, middle(0), TITLE, **style)
    for row, (word, number, weight) in enumerate(zip(words, numbers, weights, strict=True), start=1):
        axes.text(_MARGIN * em, middle(row), word, weight=weight, **style)
        bar = (to_bar * em, middle(row) - 0.35 * em)
        axes.add_patch(Rectangle(bar, emotions[word] * _BAR * em, 0.7 * em, facecolor=colours[word],
                                 edgecolor="white", linewidth=0.06 * em))  # fmt: skip
        axes.text((across - _MARGIN) * em, middle(row), number, ha="right", weight=weight, **style)
    for row, line in enumerate(notes, start=1 + len(words)):
        axes.text(_MARGIN * em, middle(row), line, **{**style, "color": _NOTE})
    return figure


def _width(text: str, weight: str = "normal") -> float:
    """Return how wide a text is, by the height of its letters."""
    return text_width(text, 1.0, weight)
