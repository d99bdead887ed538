"""A picture with what it evokes on average written over it: all emotions as bars in its upper left corner.

Sizes are shares of the picture's shorter side, so that a large picture's legend reads like a small one's.
Every bar stands between its word and its number: no colour need be recognised.

Letters: H x W pixels.
"""

from pathlib import Path
from typing import Any

from matplotlib.patches import Rectangle

from affectlens.emotions import EmotionDistribution
from affectlens.report import figures
from affectlens.report.emotion_colours import colours_of
from affectlens.report.figures import Figure, new_figure
from affectlens.report.heatmaps import Picture
from affectlens.report.text import percent

DPI = 100
TITLE = "evoked on average"
# Height of letters by the shorter side; all else by the height of letters.
_LETTERS = 1 / 30
_LINE, _MARGIN, _BAR, _LETTER_WIDTH = 1.45, 0.7, 5.0, 0.66
# Part of the picture that the legend of a long vocabulary may cover, and what stays visible through it.
_LARGEST, _GROUND = 0.9, 0.7


def write_legend(file: Path, picture: Picture, emotions: EmotionDistribution) -> None:
    """Write a picture, uint8 (H, W, 3), with its legend: PNG, JPEG, PDF or SVG, by the suffix.

    Raises `OutputError`.
    """
    figures.check_suffix(file)
    figures.save_figure(file, draw_legend(picture, emotions), dpi=DPI)


def draw_legend(picture: Picture, emotions: EmotionDistribution) -> Figure:
    """Draw a picture in its own pixels, with a bar for each emotion, in the order of the vocabulary."""
    height, width = picture.shape[:2]
    figure = new_figure(width / DPI, height / DPI, dpi=DPI)
    axes: Any = figure.add_axes((0, 0, 1, 1))
    axes.imshow(picture, extent=(0, width, height, 0), aspect="auto", interpolation="none")
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()

    words, colours = emotions.vocabulary.words, colours_of(emotions.vocabulary)
    numbers = [percent(emotions[word]) for word in words]
    to_bar = _MARGIN + _LETTER_WIDTH * max(map(len, words))
    across = to_bar + _BAR + _LETTER_WIDTH * max(map(len, numbers)) + _MARGIN
    down = _LINE * (len(words) + 1) + 2 * _MARGIN
    em = min(_LETTERS * min(height, width), _LARGEST * width / across, _LARGEST * height / down)
    style = {"color": "white", "va": "center", "fontsize": em * 72 / DPI, "parse_math": False}
    axes.add_patch(Rectangle((0, 0), across * em, down * em, facecolor="black", alpha=_GROUND, linewidth=0))
    axes.text(_MARGIN * em, (_MARGIN + _LINE / 2) * em, TITLE, **style)
    for row, (word, number) in enumerate(zip(words, numbers, strict=True), start=1):
        middle = (_MARGIN + (row + 0.5) * _LINE) * em
        weight = "bold" if word == emotions.top else "normal"
        axes.text(_MARGIN * em, middle, word, weight=weight, **style)
        bar = (to_bar * em, middle - 0.35 * em)
        axes.add_patch(Rectangle(bar, emotions[word] * _BAR * em, 0.7 * em, facecolor=colours[word],
                                 edgecolor="white", linewidth=0.06 * em))  # fmt: skip
        axes.text((across - _MARGIN) * em, middle, number, ha="right", weight=weight, **style)
    return figure
