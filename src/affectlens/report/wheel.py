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
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from affectlens.emotions import MIKELS, MIKELS_CIRCLE, PLUTCHIK, EmotionDistribution, NoConversion, convert
from affectlens.report import figures
from affectlens.report.figures import INK, LINE, PALE, new_figure
from affectlens.report.text import ON_AVERAGE, percent

# Plutchik, "A general psychoevolutionary theory of emotion", 1980: opposites face each other. Drawn clockwise
# from joy at the top, as usual.
PLUTCHIK_WHEEL = ("joy", "trust", "fear", "surprise", "sadness", "disgust", "anger", "anticipation")

# Tol's muted scheme (Paul Tol, "Colour Schemes", SRON technical note, 2021), which people with any of the
# common colour deficiencies can distinguish. Every petal has its name next to it: no colour need be
# recognised.
COLOURS = {
    "amusement": "#DDCC77", "awe": "#88CCEE", "contentment": "#44AA99", "excitement": "#CC6677",
    "anger": "#882255", "disgust": "#999933", "fear": "#332288", "sadness": "#5A7FA8",
    "joy": "#DDCC77", "trust": "#44AA99", "surprise": "#88CCEE", "anticipation": "#CC6677",
}  # fmt: skip
OTHER = "#888888"
_WIDTH, _DISC, _ABOVE, _CAPTION_LINE = 6.4, 4.3, 0.72, 0.19  # inches; names stand above and below the disc
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
    lines = textwrap.wrap(" ".join([*notes, _AREA, ON_AVERAGE]), width=94) if caption else []
    title, below = 0.5 if name else 0.0, _CAPTION_LINE * len(lines) + 0.15
    height = title + _DISC + 2 * _ABOVE + below
    figure = new_figure(_WIDTH, height)
    disc = ((1 - _DISC / _WIDTH) / 2, (below + _ABOVE) / height, _DISC / _WIDTH, _DISC / height)
    axes = figure.add_axes(disc, projection="polar")
    _draw_petals(axes, shown, _angles(shown, clockwise=plutchik))
    if name:
        style: dict[str, Any] = {"weight": "bold", "ha": "center", "va": "top", "parse_math": False}
        figure.text(0.5, 1 - 0.18 / height, name, fontsize=13, color=INK, **style)
    for number, line in enumerate(lines):
        figure.text(
            0.04, (below - 0.05 - number * _CAPTION_LINE) / height, line, fontsize=8.5, color=PALE, va="top"
        )
    return figure


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


def _draw_petals(axes: Any, shown: dict[str, float], angles: Sequence[float]) -> None:
    width = 2 * math.pi / len(shown)
    greatest = max(shown.values())
    outer = next(ring for ring in _RINGS if greatest <= ring or ring == _RINGS[-1])
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
    axes.set_axis_off()
    top = max(shown, key=lambda word: shown[word])
    for (word, value), angle in zip(shown.items(), angles, strict=True):
        x, y = math.cos(angle), math.sin(angle)
        share = percent(value) if value else "none"
        axes.annotate(
            f"{word}\n{share}", (0.5 + 0.545 * x, 0.5 + 0.545 * y), xycoords="axes fraction",
            ha="center" if abs(x) < 0.2 else "left" if x > 0 else "right",
            va="center" if abs(y) < 0.7 else "bottom" if y > 0 else "top",
            fontsize=11.5, color=INK, weight="bold" if word == top else "normal", annotation_clip=False,
        )  # fmt: skip
    axes.annotate(
        f"outer ring {100 * outer:.0f} %", (0.5, -0.135), xycoords="axes fraction", ha="center", va="top",
        fontsize=8.5, color=PALE, annotation_clip=False,
    )  # fmt: skip
