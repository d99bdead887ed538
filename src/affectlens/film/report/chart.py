"""A film's curves as one figure for a document: emotions over time, the strongest one, polarity,
ratings and peaks.
"""

import textwrap
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from affectlens.emotions import by_polarity, polarity_signs
from affectlens.film.report.curves import (
    EmotionCurves,
    RatingCurve,
    Span,
    bands,
    curves,
    leading_runs,
    left_out_kinds,
    left_out_spans,
    rating_curves,
)
from affectlens.film.report.text import ON_AVERAGE, film_name
from affectlens.film.timeline import Timeline
from affectlens.report import figures
from affectlens.report.emotion_colours import colours_of
from affectlens.report.figures import INK, PALE, text_width
from affectlens.report.text import clock

# Peaks that are named above the chart, at most.
MAX_PEAKS = 8
# Width of the figure in inches, and of what is left of it without axes' numbers and the legend's colours.
_WIDTH, _WIDTH_OF_TEXT = 10, 8.6
# Sizes of names in points; gap between two above the chart, by its width; letters of a line.
_SIZE, _SIZE_OF_PEAKS, _GAP, _LINE = 9, 7.5, 0.015, 26
# Lines that the legend has at the height of the areas, and the height of a line by its size.
_LINES_OF_AREAS, _LINE_HEIGHT = 14, 1.65
# Words may hold dollars, between which no formula is meant.
_STYLE: Any = {**figures.STYLE, "hatch.linewidth": 0.7, "text.parse_math": False}
_HATCH = "///"


def write_chart(file: Path, timeline: Timeline) -> None:
    """Write the chart: PNG, JPEG, PDF or SVG by its suffix. Raises `OutputError`."""
    figures.check_suffix(file)
    with matplotlib.rc_context(_STYLE):
        figure = draw_chart(timeline)
    figures.save_figure(file, figure, style=_STYLE)


def draw_chart(timeline: Timeline) -> Figure:
    """Draw the chart of a film; without polarity where its words have none, and ratings where it has none."""
    found = curves(timeline)
    rated = rating_curves(timeline, found)
    heights = [3.0, 0.35, *([] if found.polarity is None else [1.3]), *(1.3 for _ in rated)]
    figure = figures.new_figure(_WIDTH, 4.8 + 1.4 * (len(heights) - 2), layout="constrained")
    panels = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    panels[0].set_title(film_name(timeline), loc="left", weight="bold", color=INK, pad=26, parse_math=False)
    _draw_stack(figure, panels[0], timeline, found)
    _draw_peaks(panels[0], timeline, found)
    _draw_ribbon(panels[1], timeline)
    if found.polarity is not None:
        _draw_polarity(panels[2], timeline, found)
    for panel, each in zip(panels[len(panels) - len(rated) :], rated, strict=True):
        _draw_rating(panel, found, each)
    for panel in panels:
        _draw_left_out(panel, timeline)
        _draw_gaps(panel, timeline)
    last: Axes = panels[-1]
    last.set_xlim(found.begin, max(found.end, found.begin + 1e-3))
    last.xaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 3, 6, 10], min_n_ticks=3))
    last.xaxis.set_major_formatter(FuncFormatter(lambda second, _: clock(second)))
    last.set_xlabel(" ".join(["Time.", *_reading(timeline), ON_AVERAGE]), fontsize=7.5, color=PALE, wrap=True)
    return figure


def _reading(timeline: Timeline) -> list[str]:
    """Explain what is drawn of ratings and of frames that are left out, where there are any."""
    ratings = "Around ratings: the interval that holds people's mean for nine of ten pictures."
    are_unusual, are_faded = left_out_kinds(timeline)
    kinds = [*(["unusual frames"] if are_unusual else []), *(["frames within a fade"] if are_faded else [])]
    hatched = f"Hatched in grey: {' and '.join(kinds)}, of which predictions mean little."
    return [*([ratings] if timeline.scales else []), *([hatched] if kinds else [])]


def _draw_stack(figure: Figure, axes: Axes, timeline: Timeline, found: EmotionCurves) -> None:
    """Draw areas from the top down, negative ones hatched, named at the right in the same order."""
    words = by_polarity(timeline.vocabulary)[::-1]
    colour, signs = colours_of(timeline.vocabulary), polarity_signs(timeline.vocabulary)
    rows = [found.emotions[:, timeline.vocabulary.index(word)] for word in words]
    areas = axes.stackplot(found.seconds, rows, colors=[colour[word] for word in words], labels=words)
    for word, area in zip(words, areas, strict=True):
        area.set(edgecolor="white", linewidth=0.4, hatch=_HATCH if signs[word] < 0 else None)
    axes.set(ylim=(0, 1), yticks=[0, 0.5, 1], yticklabels=["0 %", "50 %", "100 %"])
    handles, labels = axes.get_legend_handles_labels()
    names = [_in_lines(label) for label in labels[::-1]]
    lines = sum(name.count("\n") + 1 for name in names)
    if lines <= _LINES_OF_AREAS:
        where: Any = {"loc": "center left", "bbox_to_anchor": (1.005, 0.5)}
        axes.legend(handles[::-1], names, **where, frameon=False, fontsize=_SIZE)
    else:  # at the right of all panels, or these would be pushed apart
        size = min(_SIZE, 72 * figure.get_figheight() / lines / _LINE_HEIGHT)
        figure.legend(handles[::-1], names, loc="outside right upper", frameon=False, fontsize=size)


def _draw_peaks(axes: Axes, timeline: Timeline, found: EmotionCurves) -> None:
    """Mark the most prominent peaks; names that would overlap a more prominent one's are left out."""
    named: list[Span] = []
    across = _width_of_areas(timeline)
    for peak in timeline.of("peak")[:MAX_PEAKS]:  # the most prominent first
        axes.axvline(peak.second, color=INK, linewidth=0.7, linestyle=":")
        name = _shortened(peak.emotion)
        width = max(text_width(line, _SIZE_OF_PEAKS) for line in (name, clock(peak.second))) / across
        at = found.position(peak.second)
        side = "left" if at + width < 1 else "right"
        x = at if side == "left" else at - width
        if all(x > end + _GAP or x + width + _GAP < begin for begin, end in named):
            axes.annotate(
                f"{name}\n{clock(peak.second)}", (at, 1.02), xycoords="axes fraction", ha=side,
                fontsize=_SIZE_OF_PEAKS, color=INK, annotation_clip=False,
            )  # fmt: skip
            named.append((x, x + width))


def _width_of_areas(timeline: Timeline) -> float:
    """Return about how wide the areas are next to their legend, in points."""
    lines = [line for word in timeline.vocabulary.words for line in _in_lines(word).splitlines()]
    return 72 * _WIDTH_OF_TEXT - max(text_width(line, _SIZE) for line in lines)


def _in_lines(word: str) -> str:
    """Write a long word of one's own in several lines."""
    return textwrap.fill(word, _LINE)


def _shortened(word: str) -> str:
    """Cut a word of one's own that is longer than a line."""
    return word if len(word) <= _LINE else f"{word[: _LINE - 1].rstrip()}\N{HORIZONTAL ELLIPSIS}"


def _draw_ribbon(axes: Axes, timeline: Timeline) -> None:
    """Draw the strongest emotion over time."""
    colour, signs = colours_of(timeline.vocabulary), polarity_signs(timeline.vocabulary)
    for run in leading_runs(timeline):
        axes.axvspan(run.start, run.end, facecolor=colour[run.emotion], edgecolor="white", linewidth=0.4,
                     hatch=_HATCH if signs[run.emotion] < 0 else None)  # fmt: skip
    axes.set(yticks=[], ylabel="")
    axes.set_ylabel("strongest", rotation=0, ha="right", va="center", fontsize=8, color=PALE)


def _draw_gaps(axes: Axes, timeline: Timeline) -> None:
    """Cover the stretches of which nothing was predicted: a curve across them would pretend to know."""
    for begin, end in timeline.gaps:
        axes.axvspan(
            begin, end, facecolor="#ececec", edgecolor="#bdbdbd", linewidth=0.6, hatch=r"\\", zorder=4
        )


def _draw_left_out(axes: Axes, timeline: Timeline) -> None:
    """Veil the stretches of unusual and faded frames: what was predicted there means little."""
    for begin, end in left_out_spans(timeline):
        axes.axvspan(begin, end, facecolor="#ffffffb0", edgecolor="#8a8a8a", linewidth=0.6, hatch=r"\\\\",
                     zorder=3)  # fmt: skip


def _draw_rating(axes: Axes, found: EmotionCurves, curve: RatingCurve) -> None:
    """Draw the smoothed curve over the interval of a single picture, on the rating's full scale."""
    scale = curve.scale
    axes.fill_between(found.seconds, curve.low, curve.high, color="#d9d9d9", linewidth=0)
    axes.plot(found.seconds, curve.values, color=INK, linewidth=0.9)
    axes.axhline((scale.low + scale.high) / 2, color=PALE, linewidth=0.7, linestyle="--")
    axes.set(ylim=(scale.low, scale.high), yticks=[scale.low, (scale.low + scale.high) / 2, scale.high])
    axes.set_ylabel(f"{scale.name}\n\N{PLUS-MINUS SIGN}{scale.half_width():.1f}", fontsize=8, color=PALE)


def _draw_polarity(axes: Axes, timeline: Timeline, found: EmotionCurves) -> None:
    """Draw the smoothed curve over each shot's mean and its interval."""
    for band in bands(timeline):
        axes.fill_between([band.start, band.end], band.low, band.high, color="#bdbdbd", linewidth=0)
        axes.plot([band.start, band.end], [band.mean, band.mean], color=PALE, linewidth=1.6)
    assert found.polarity is not None
    axes.plot(found.seconds, found.polarity, color=INK, linewidth=0.9)
    axes.axhline(0, color=PALE, linewidth=0.7, linestyle="--")
    axes.set(ylim=(-1.05, 1.05), yticks=np.array([-1, 0, 1]), yticklabels=["negative", "0", "positive"])
