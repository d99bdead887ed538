"""The emotions that a picture evokes, as a wheel: each a petal whose area is its probability.

Mikels' emotions stand in the order and at the angles of `emotions.MIKELS_CIRCLE` (Yang et al., "A
Circular-Structured Representation for Visual Emotion Distribution Learning", CVPR 2021): alike emotions are
neighbours, the positive ones lie on the left.

Plutchik's wheel has other emotions. A picture's distribution is drawn on it only by the conversion of
`emotions.convert`, which states what is lost; both stand below the wheel, and what cannot be shown on it is
named there with its probability rather than spread over the others.
"""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text

from affectlens.emotions import (
    MIKELS,
    MIKELS_CIRCLE,
    PLUTCHIK,
    EmotionDistribution,
    NoConversion,
    Vocabulary,
    convert,
)
from affectlens.report import figures
from affectlens.report.canvas import Canvas
from affectlens.report.emotion_colours import COLOURS
from affectlens.report.figures import INK, LINE, PALE, new_figure, text_width
from affectlens.report.text import ON_AVERAGE, percent

# Plutchik, "A general psychoevolutionary theory of emotion", 1980: opposites face each other. Drawn clockwise
# from joy at the top, as usual.
PLUTCHIK_WHEEL = ("joy", "trust", "fear", "surprise", "sadness", "disgust", "anger", "anticipation")

OTHER = "#888888"
# Inches: the disc's diameter, the least width of the figure, its margin, lines of title and caption, and gaps
# between the disc, its labels, and what stands above and below them. Labels are measured.
_DISC, _LEAST_WIDTH, _MARGIN, _TITLE_LINE, _CAPTION_LINE, _GAP = 4.3, 6.4, 0.15, 0.24, 0.19, 0.12
_TITLE_LETTERS, _CAPTION_LETTERS = 48, 94  # in a line of the least width
_TITLE: dict[str, Any] = {"size": 13, "weight": "bold"}
_RINGS = (0.1, 0.25, 0.5, 1.0)
_AREA = "The area of a petal is its probability."


class NoWheel(NoConversion):
    """Emotions that cannot be shown on a wheel."""


def write_wheel(file: Path, emotions: EmotionDistribution, *, plutchik: bool = False, name: str = "") -> None:
    """Write a wheel: PNG, JPEG, PDF or SVG, by the suffix. Raises `OutputError` or `NoWheel`."""
    figures.check_suffix(file)
    figures.save_figure(file, draw_wheel(emotions, plutchik=plutchik, name=name))


def draw_wheel(
    emotions: EmotionDistribution, *, plutchik: bool = False, name: str = "", caption: bool = True
) -> Figure:
    """Draw a distribution over Mikels' emotions on their circle, or converted on Plutchik's wheel.

    Raises `NoWheel` for emotions of another vocabulary.
    """
    shown, notes = _on_plutchik(emotions) if plutchik else (_on_mikels(emotions), [])
    angles = _angles(shown, clockwise=plutchik)
    outer = _outer_ring(shown)
    labels = _labels(shown, angles, outer)
    left, bottom, right, top = _box_around(labels)
    title = textwrap.wrap(name, width=_TITLE_LETTERS)
    lines = textwrap.wrap(" ".join([*notes, _AREA, ON_AVERAGE]), width=_CAPTION_LETTERS) if caption else []
    above = _MARGIN + len(title) * _TITLE_LINE + (_GAP if title else 0)
    below = _MARGIN + len(lines) * _CAPTION_LINE + (_GAP if lines else 0)
    half = max([right, -left, *(text_width(line, **_TITLE) / 72 / 2 for line in title)])
    width = max(_LEAST_WIDTH, 2 * (half + _MARGIN))
    height = above + top - bottom + below
    canvas = Canvas(width, height, _MARGIN)
    for line in title:
        canvas.text(width / 2, line, ha="center", **_TITLE)
        canvas.down(_TITLE_LINE)
    centre = (width / 2, below - bottom)
    _draw_petals(_add_disc(canvas.figure, centre), shown, angles, outer)
    for label in labels:
        _draw_label(canvas.figure, label, centre)
    canvas.top = height - below + (_GAP if lines else 0)
    for line in lines:
        canvas.text((width - _LEAST_WIDTH) / 2 + 0.26, line, 8.5, colour=PALE)
        canvas.down(_CAPTION_LINE)
    return canvas.figure


def require_wheel(vocabulary: Vocabulary, *, plutchik: bool = False) -> None:
    """Raise `NoWheel` for emotions that cannot be shown on a wheel."""
    emotions = vocabulary.distribution(dict.fromkeys(vocabulary.words, 1.0))
    if plutchik:
        _on_plutchik(emotions)
    else:
        _on_mikels(emotions)


def plutchik_notes(emotions: EmotionDistribution) -> list[str]:
    """State by which mapping a distribution comes onto Plutchik's wheel, and its loss. Raises `NoWheel`."""
    return _on_plutchik(emotions)[1]


def _on_mikels(emotions: EmotionDistribution) -> dict[str, float]:
    if emotions.vocabulary != MIKELS:
        raise NoWheel(
            f"The emotions of {emotions.vocabulary.name} have no order on a circle that could be defended. "
            f"There are wheels of {MIKELS.name} and {PLUTCHIK.name}."
        )
    return {word: emotions[word] for word in MIKELS_CIRCLE}


def _on_plutchik(emotions: EmotionDistribution) -> tuple[dict[str, float], list[str]]:
    """Probabilities of Plutchik's emotions, shares of the complete answer, and the notes that they need."""
    if emotions.vocabulary == PLUTCHIK:
        return {word: emotions[word] for word in PLUTCHIK_WHEEL}, []
    try:
        converted = convert(emotions, PLUTCHIK)
    except NoConversion as error:
        raise NoWheel(str(error)) from None
    # What is dropped is not spread over the others: that would be another answer.
    kept = 1 - converted.dropped
    shown = {word: kept * converted.distribution[word] for word in PLUTCHIK_WHEEL}
    notes = [
        f"Plutchik's wheel, by a mapping from {emotions.vocabulary.name} that loses something: "
        f"{converted.lost}.",
        f"{percent(converted.dropped)} of the answer has no counterpart on this wheel.",
    ]
    return shown, notes


def _angles(shown: dict[str, float], clockwise: bool) -> list[float]:
    """Middles of petals in radians: Mikels' as in the paper, Plutchik's clockwise from the top."""
    each = 2 * math.pi / len(shown)
    if clockwise:
        return [math.pi / 2 - number * each for number in range(len(shown))]
    return [(number + 0.5) * each for number in range(len(shown))]


def _outer_ring(shown: dict[str, float]) -> float:
    """Choose the probability of a petal that reaches the edge of the disc."""
    greatest = max(shown.values())
    return next(ring for ring in _RINGS if greatest <= ring or ring == _RINGS[-1])


@dataclass(frozen=True)
class _Label:
    """Text next to the disc: its anchor in inches from the disc's centre, and its style."""

    text: str
    x: float
    y: float
    style: dict[str, Any]


def _labels(shown: dict[str, float], angles: Sequence[float], outer: float) -> list[_Label]:
    """Name each petal with its probability, around the disc; below them, what the outer ring stands for."""
    most_likely = max(shown, key=lambda word: shown[word])
    radius = _DISC / 2 + 2 * _GAP
    labels = []
    for (word, value), angle in zip(shown.items(), angles, strict=True):
        x, y = math.cos(angle), math.sin(angle)
        style = {
            "ha": "center" if abs(x) < 0.2 else "left" if x > 0 else "right",
            "va": "center" if abs(y) < 0.7 else "bottom" if y > 0 else "top",
            "fontsize": 11.5,
            "color": INK,
            "weight": "bold" if word == most_likely else "normal",
        }
        share = percent(value) if value else "none"
        labels.append(_Label(f"{word}\n{share}", radius * x, radius * y, style))
    _, bottom, _, _ = _box_around(labels)
    ring = {"ha": "center", "va": "top", "fontsize": 8.5, "color": PALE}
    return [*labels, _Label(f"outer ring {100 * outer:.0f} %", 0, bottom - _GAP, ring)]


def _box_around(labels: Sequence[_Label]) -> tuple[float, float, float, float]:
    """Return left, bottom, right and top of the disc with its labels, in inches from the disc's centre."""
    figure = new_figure(1, 1)  # so that its coordinates are inches
    texts = [_draw_label(figure, label, (0, 0)) for label in labels]
    boxes = np.array([text.get_window_extent().extents for text in texts]) / figure.dpi
    least, most = boxes.min(axis=0), boxes.max(axis=0)
    edge = _DISC / 2
    return min(least[0], -edge), min(least[1], -edge), max(most[2], edge), max(most[3], edge)


def _draw_label(figure: Figure, label: _Label, centre: tuple[float, float]) -> Text:
    """Draw a label around a disc whose centre is so many inches from the left and from the bottom."""
    width, height = figure.get_size_inches()
    x, y = (centre[0] + label.x) / width, (centre[1] + label.y) / height
    return figure.text(x, y, label.text, parse_math=False, **label.style)


def _add_disc(figure: Figure, centre: tuple[float, float]) -> Any:
    """Add the axes of the disc."""
    width, height = figure.get_size_inches()
    corner = ((centre[0] - _DISC / 2) / width, (centre[1] - _DISC / 2) / height)
    axes = figure.add_axes((*corner, _DISC / width, _DISC / height), projection="polar")
    axes.set_axis_off()
    return axes


def _draw_petals(axes: Any, shown: dict[str, float], angles: Sequence[float], outer: float) -> None:
    width = 2 * math.pi / len(shown)
    # The area of a petal is its probability, so its radius is the root of that.
    radii = [math.sqrt(max(0.0, value) / outer) for value in shown.values()]
    around = np.linspace(0, 2 * math.pi, 361)
    for ring in (0.25, 0.5, 0.75, 1.0):
        axes.plot(around, np.full(361, math.sqrt(ring)), color=LINE, linewidth=0.7, zorder=1)
    for angle in angles:
        axes.plot([angle + width / 2] * 2, [0, 1], color=LINE, linewidth=0.7, zorder=1)
    axes.bar(
        angles, radii, width=width * 0.96, color=[COLOURS.get(word, OTHER) for word in shown],
        edgecolor="white", linewidth=0.8, zorder=2,
    )  # fmt: skip
    axes.set_ylim(0, 1.02)
