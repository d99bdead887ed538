"""A film's curves as one picture for a document: emotions over time, the strongest one, polarity, peaks."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from affectlens.errors import OutputError
from affectlens.files import atomic_write
from affectlens.film.report.curves import Curves, bands, curves, runs
from affectlens.film.report.drawing import colours
from affectlens.film.report.text import ON_AVERAGE, from_top_to_bottom, signs
from affectlens.film.timeline import Timeline
from affectlens.report.text import clock
from affectlens.report.text import printable_in_files as printable
from affectlens.report.wheel import FONT

SUFFIXES = (".png", ".jpg", ".jpeg", ".pdf", ".svg")
PEAKS = 8  # that are named above the chart
_INK, _PALE = "#1a1a1a", "#5c5c5c"


def write(file: Path, timeline: Timeline) -> None:
    """Write the chart: PNG, JPEG, PDF or SVG, as the suffix says. Raises `OutputError`."""
    if file.suffix.lower() not in SUFFIXES:
        raise OutputError(f"{file}: the suffix says how a figure is written. Use {', '.join(SUFFIXES)}.")
    kind = file.suffix.lower().lstrip(".")
    dateless: dict[str, dict[str, Any]] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
    with matplotlib.rc_context({**FONT, "hatch.linewidth": 0.7}), atomic_write(file) as out:
        draw(timeline).savefig(out, format=kind, dpi=150, metadata=dateless.get(kind))


def draw(timeline: Timeline) -> Figure:
    """Draw the chart of a film; without polarity where the emotions' words do not say."""
    found = curves(timeline)
    toned = found.polarity is not None
    figure = Figure(figsize=(10, 6.2 if toned else 4.8), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    heights = [3.0, 0.35, 1.3][: 3 if toned else 2]
    parts = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    name = printable(Path(timeline.film.name).name or timeline.film.name)
    parts[0].set_title(name, loc="left", weight="bold", color=_INK, pad=26, parse_math=False)
    _draw_stack(parts[0], timeline, found)
    _draw_ribbon(parts[1], timeline)
    if toned:
        _draw_polarity(parts[2], timeline, found)
    last: Axes = parts[-1]
    last.set_xlim(found.begin, max(found.end, found.begin + 1e-3))
    last.xaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 3, 6, 10], min_n_ticks=3))
    last.xaxis.set_major_formatter(FuncFormatter(lambda second, _: clock(second)))
    last.set_xlabel(f"Time. {ON_AVERAGE}", fontsize=7.5, color=_PALE, wrap=True)
    return figure


def _draw_stack(axes: Axes, timeline: Timeline, found: Curves) -> None:
    """Areas from the top down, negative ones hatched, named at the right in the same order."""
    order = from_top_to_bottom(timeline.vocabulary)[::-1]
    colour, sign = colours(timeline.vocabulary), signs(timeline.vocabulary)
    rows = [found.emotions[:, timeline.vocabulary.index(word)] for word in order]
    areas = axes.stackplot(found.seconds, rows, colors=[colour[word] for word in order], labels=order)
    for word, area in zip(order, areas, strict=True):
        area.set(edgecolor="white", linewidth=0.4, hatch="///" if sign[word] < 0 else None)
    axes.set(ylim=(0, 1), yticks=[0, 0.5, 1], yticklabels=["0 %", "50 %", "100 %"])
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        handles[::-1], labels[::-1], loc="center left", bbox_to_anchor=(1.005, 0.5), frameon=False, fontsize=9
    )
    shown = sorted(timeline.of("peak")[:PEAKS], key=lambda peak: peak.second)
    free = -1.0
    for peak in shown:
        place = found.share(peak.second)
        axes.axvline(peak.second, color=_INK, linewidth=0.7, linestyle=":")
        if place > free:  # words that would lie on one another are left out; their line stays
            axes.annotate(
                f"{peak.emotion}\n{clock(peak.second)}", (min(place, 0.93), 1.02), xycoords="axes fraction",
                fontsize=7.5, color=_INK, annotation_clip=False,
            )  # fmt: skip
            free = place + 0.1


def _draw_ribbon(axes: Axes, timeline: Timeline) -> None:
    colour, sign = colours(timeline.vocabulary), signs(timeline.vocabulary)
    for run in runs(timeline):
        axes.axvspan(run.start, run.end, facecolor=colour[run.emotion], edgecolor="white", linewidth=0.4,
                     hatch="///" if sign[run.emotion] < 0 else None)  # fmt: skip
    axes.set(yticks=[], ylabel="")
    axes.set_ylabel("strongest", rotation=0, ha="right", va="center", fontsize=8, color=_PALE)


def _draw_polarity(axes: Axes, timeline: Timeline, found: Curves) -> None:
    """The smoothed curve over each shot's mean and its interval."""
    for band in bands(timeline):
        axes.fill_between([band.start, band.end], band.low, band.high, color="#bdbdbd", linewidth=0)
        axes.plot([band.start, band.end], [band.mean, band.mean], color=_PALE, linewidth=1.6)
    assert found.polarity is not None
    axes.plot(found.seconds, found.polarity, color=_INK, linewidth=0.9)
    axes.axhline(0, color=_PALE, linewidth=0.7, linestyle="--")
    axes.set(ylim=(-1.05, 1.05), yticks=np.array([-1, 0, 1]), yticklabels=["negative", "0", "positive"])
