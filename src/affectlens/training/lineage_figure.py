"""Who descends from whom in a search, and how settings changed along the winner's line, as two figures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.patches
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.path import Path as Curve
from matplotlib.ticker import MaxNLocator

from affectlens.files import atomic_write
from affectlens.training.lineage import Interval, ancestors, best
from affectlens.training.search_space import Knob

DPI = 150
# Cividis is made to look alike with and without colour blindness (Nuñez et al., PLOS ONE 2018); orange is
# told from its blue and yellow greys by all, and the winner's line is thicker as well.
_COLOURS, _WINNER, _OTHERS, _INK = "cividis", "#d55e00", "#9a9a9a", "#1a1a1a"
_STYLE: dict[Any, Any] = {"font.family": "DejaVu Sans", "font.size": 9, "svg.hashsalt": "affectlens"}
_WIDTH = 10.0
_PANELS_ACROSS = 3


def write_family(file: Path, intervals: Sequence[Interval]) -> None:
    """Write the family tree of a search: PNG, PDF or SVG, as the suffix says. Raises `OutputError`."""
    with matplotlib.rc_context(_STYLE):
        _write(file, draw_family(intervals))


def write_schedule(file: Path, intervals: Sequence[Interval], table: Sequence[Knob]) -> None:
    """Write how each setting changed along the winner's line. Raises `OutputError`."""
    with matplotlib.rc_context(_STYLE):
        _write(file, draw_schedule(intervals, table))


def draw_family(intervals: Sequence[Interval]) -> Figure:
    """Draw a row for each member and a point for each round, coloured by its score.

    A line comes from where the weights came from: level where a member went on, bent where it took over
    another's. The winner's line is thick.
    """
    winner = best(intervals)
    line = {one.place for one in ancestors(intervals, winner)}
    members = 1 + max(one.member for one in intervals)
    rounds = max(one.round for one in intervals)
    figure = Figure(figsize=(_WIDTH, 1.6 + 0.34 * max(members, 4)), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _draw_descent(axes, intervals, line)
    trained = [one for one in intervals if not one.failed]
    points = axes.scatter(
        [one.round for one in trained],
        [one.member for one in trained],
        c=[one.score for one in trained],
        cmap=_COLOURS,
        s=[70 if one.place in line else 34 for one in trained],
        edgecolors=[_WINNER if one.place in line else "none" for one in trained],
        linewidths=1.6,
        zorder=3,
    )
    figure.colorbar(points, ax=axes, label="score on the validation split", pad=0.01)
    _mark_ends(axes, intervals, winner)
    axes.set(xlim=(0.5, rounds + 0.5), ylim=(members - 0.4, -0.8), xlabel="round", ylabel="member")
    axes.set_yticks(range(members))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    taken_over = sum(one.parent not in (None, one.member) for one in intervals)
    axes.set_title(
        f"{members} members, {rounds} rounds; others' weights taken over {taken_over} times; best score "
        f"{winner.score:.4f} by member {winner.member} in round {winner.round}",
        loc="left",
        fontsize=10,
    )
    _explain(figure, intervals)
    return figure


def _draw_descent(axes: Axes, intervals: Sequence[Interval], line: set[tuple[int, int]]) -> None:
    """Connect each point with the one its weights came from."""
    for one in intervals:
        if one.parent is None:
            continue
        chosen = one.place in line
        start, end = (one.round - 1, one.parent), (one.round, one.member)
        middle = one.round - 0.5
        curve = Curve(
            [start, (middle, one.parent), (middle, one.member), end],
            [Curve.MOVETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4],
        )
        took_over = one.parent != one.member
        axes.add_patch(
            matplotlib.patches.PathPatch(
                curve,
                facecolor="none",
                edgecolor=_WINNER if chosen else _INK if took_over else _OTHERS,
                linewidth=2.6 if chosen else 1.0 if took_over else 0.8,
                zorder=2 if chosen else 1,
            )
        )


def _mark_ends(axes: Axes, intervals: Sequence[Interval], winner: Interval) -> None:
    """Mark where training diverged, where a member was given up, and the winner."""
    for one in intervals:
        if one.failed:
            axes.plot(one.round, one.member, "x", color=_INK, markersize=7, zorder=4)
        elif one.stopped:
            axes.plot(one.round + 0.25, one.member, "|", color=_INK, markersize=8, zorder=4)
    axes.annotate("best", (winner.round, winner.member), (0, 8), textcoords="offset points", ha="center",
                  color=_WINNER, weight="bold", zorder=5)  # fmt: skip


def _explain(figure: Figure, intervals: Sequence[Interval]) -> None:
    handles = [
        Line2D([], [], color=_WINNER, linewidth=2.6, label="the line of the best"),
        Line2D([], [], color=_OTHERS, linewidth=0.8, label="went on"),
    ]
    if any(one.parent not in (None, one.member) for one in intervals):
        handles.append(Line2D([], [], color=_INK, linewidth=1.0, label="took over another's weights"))
    if any(one.failed for one in intervals):
        handles.append(Line2D([], [], color=_INK, marker="x", linestyle="none", label="diverged"))
    if any(one.stopped and not one.failed for one in intervals):
        handles.append(Line2D([], [], color=_INK, marker="|", linestyle="none", label="given up"))
    figure.legend(handles=handles, loc="outside lower left", ncols=5, frameon=False)


def draw_schedule(intervals: Sequence[Interval], table: Sequence[Knob]) -> Figure:
    """Draw a panel for each setting: the winner's line over the steps, and all other members behind it."""
    line = ancestors(intervals, best(intervals))
    down = -(-len(table) // _PANELS_ACROSS)
    figure = Figure(figsize=(_WIDTH, 0.5 + 1.9 * down), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle("Settings along the line of the best (orange); of all other members (grey)", fontsize=10)
    panels = figure.subplots(down, _PANELS_ACROSS, squeeze=False, sharex=True).ravel()
    for panel, knob in zip(panels, table, strict=False):
        others = [
            [(one.first_step, one.settings[knob.name]), (one.last_step, one.settings[knob.name])]
            for one in intervals
        ]
        panel.add_collection(LineCollection(others, colors=_OTHERS, linewidths=0.7, alpha=0.6, zorder=1))
        edges = [line[0].first_step, *(one.last_step for one in line)]
        panel.stairs(
            [one.settings[knob.name] for one in line], edges, baseline=None, color=_WINNER, lw=2.4, zorder=3
        )
        panel.set_yscale("log" if knob.kind == "factor" else "linear")
        margin = 1.15 if knob.kind == "factor" else 0.06 * (knob.high - knob.low)
        bounds = (
            (knob.low / margin, knob.high * margin)
            if knob.kind == "factor"
            else (knob.low - margin, knob.high + margin)
        )
        panel.set(ylim=bounds, xlim=(0, max(one.last_step for one in intervals)))
        panel.set_title(knob.name, loc="left", fontsize=9)
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[len(table) :]:
        panel.set_visible(False)
    for panel in panels[max(0, len(table) - _PANELS_ACROSS) : len(table)]:
        panel.set_xlabel("steps")
        panel.tick_params(labelbottom=True)
    return figure


def _write(file: Path, figure: Figure) -> None:
    kind = file.suffix.lower().lstrip(".")
    # No date in it: the same search gives the same bytes.
    dateless: dict[str, dict[str, Any]] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
    with atomic_write(file) as out:
        figure.savefig(out, format=kind, dpi=DPI, metadata=dateless.get(kind))
