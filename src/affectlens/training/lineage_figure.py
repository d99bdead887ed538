"""Who descends from whom in a search, and how settings changed along the winner's line, as two figures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.patches
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.path import Path as Curve
from matplotlib.ticker import MaxNLocator

from affectlens.report.figures import INK, STYLE, new_figure, save_figure
from affectlens.training.lineage import Interval, ancestors, best
from affectlens.training.search_plan import SearchFile, read_search
from affectlens.training.search_space import Hyperparameter, SearchSpace

FAMILY, SCHEDULE = "family.png", "schedule.png"
# Cividis is made to look alike with and without colour blindness (Nuñez et al., PLOS ONE 2018); orange is
# distinguishable from its blue and yellow greys for everyone, and the winner's line is thicker as well.
_COLOURS, _WINNER, _OTHERS = "cividis", "#d55e00", "#9a9a9a"
_STYLE: Any = {**STYLE, "font.size": 9}
_WIDTH = 10.0
_PANELS_ACROSS = 3


def write_figures(folder: Path) -> tuple[Path, Path]:
    """Write both figures of the search in a folder, and return their files.

    Raises `LineageError` and `RunError` where there is no search, and `OutputError`.
    """
    intervals, _ = read_search(folder)
    family, schedule = folder / FAMILY, folder / SCHEDULE
    write_family(family, intervals)
    write_schedule(schedule, intervals, SearchFile.read(folder).search_space)
    return family, schedule


def write_family(file: Path, intervals: Sequence[Interval]) -> None:
    """Write the family tree of a search, in the format of the file's suffix. Raises `OutputError`."""
    with matplotlib.rc_context(_STYLE):
        save_figure(file, draw_family(intervals), style=_STYLE)


def write_schedule(file: Path, intervals: Sequence[Interval], space: SearchSpace) -> None:
    """Write how each setting changed along the winner's line. Raises `OutputError`."""
    with matplotlib.rc_context(_STYLE):
        save_figure(file, draw_schedule(intervals, space), style=_STYLE)


def draw_family(intervals: Sequence[Interval]) -> Figure:
    """Draw a row for each member and a point for each round, coloured by its score.

    A line comes from where the weights came from: level where a member went on, bent where it copied another
    (exploit). The winner's line is thick.
    """
    winner = best(intervals)
    line = {one.key for one in ancestors(intervals, winner)}
    members = 1 + max(one.member for one in intervals)
    rounds = max(one.round for one in intervals)
    figure = new_figure(_WIDTH, 1.6 + 0.34 * max(members, 4), layout="constrained")
    axes = figure.add_subplot()
    _draw_descent(axes, intervals, line)
    trained = [one for one in intervals if not one.failed]
    points = axes.scatter(
        [one.round for one in trained],
        [one.member for one in trained],
        c=[one.score for one in trained],
        cmap=_COLOURS,
        s=[70 if one.key in line else 34 for one in trained],
        edgecolors=[_WINNER if one.key in line else "none" for one in trained],
        linewidths=1.6,
        zorder=3,
    )
    figure.colorbar(points, ax=axes, label="score on the validation split", pad=0.01)
    _mark_ends(axes, intervals, winner)
    axes.set(xlim=(0.5, rounds + 0.5), ylim=(members - 0.4, -0.8), xlabel="round", ylabel="member")
    axes.set_yticks(range(members))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    copies = sum(one.is_exploit for one in intervals)
    axes.set_title(
        f"{members} members, {rounds} rounds; another member copied {copies} times (exploit); best score "
        f"{winner.score:.4f} by member {winner.member} in round {winner.round}",
        loc="left",
        fontsize=10,
    )
    _add_legend(figure, intervals)
    return figure


def _draw_descent(axes: Axes, intervals: Sequence[Interval], line: set[tuple[int, int]]) -> None:
    """Connect each point with the one its weights came from."""
    for one in intervals:
        if one.parent is None:
            continue
        chosen = one.key in line
        start, end = (one.round - 1, one.parent), (one.round, one.member)
        middle = one.round - 0.5
        curve = Curve(
            [start, (middle, one.parent), (middle, one.member), end],
            [Curve.MOVETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4],
        )
        axes.add_patch(
            matplotlib.patches.PathPatch(
                curve,
                facecolor="none",
                edgecolor=_WINNER if chosen else INK if one.is_exploit else _OTHERS,
                linewidth=2.6 if chosen else 1.0 if one.is_exploit else 0.8,
                zorder=2 if chosen else 1,
            )
        )


def _mark_ends(axes: Axes, intervals: Sequence[Interval], winner: Interval) -> None:
    """Mark where training diverged, where a member was stopped, and the winner."""
    for one in intervals:
        if one.failed:
            axes.plot(one.round, one.member, "x", color=INK, markersize=7, zorder=4)
        elif one.stopped:
            axes.plot(one.round + 0.25, one.member, "|", color=INK, markersize=8, zorder=4)
    axes.annotate("best", (winner.round, winner.member), (0, 8), textcoords="offset points", ha="center",
                  color=_WINNER, weight="bold", zorder=5)  # fmt: skip


def _add_legend(figure: Figure, intervals: Sequence[Interval]) -> None:
    handles = [
        Line2D([], [], color=_WINNER, linewidth=2.6, label="the line of the best"),
        Line2D([], [], color=_OTHERS, linewidth=0.8, label="went on"),
    ]
    if any(one.is_exploit for one in intervals):
        handles.append(Line2D([], [], color=INK, linewidth=1.0, label="copied another (exploit)"))
    if any(one.failed for one in intervals):
        handles.append(Line2D([], [], color=INK, marker="x", linestyle="none", label="diverged"))
    if any(one.stopped and not one.failed for one in intervals):
        handles.append(Line2D([], [], color=INK, marker="|", linestyle="none", label="stopped"))
    figure.legend(handles=handles, loc="outside lower left", ncols=5, frameon=False)


def draw_schedule(intervals: Sequence[Interval], space: SearchSpace) -> Figure:
    """Draw a panel for each setting: the winner's line over the steps, and all other members behind it."""
    line = ancestors(intervals, best(intervals))
    down = -(-len(space) // _PANELS_ACROSS)
    figure = new_figure(_WIDTH, 0.5 + 1.9 * down, layout="constrained")
    figure.suptitle("Settings along the line of the best (orange); of all other members (grey)", fontsize=10)
    panels = figure.subplots(down, _PANELS_ACROSS, squeeze=False, sharex=True).ravel()
    for panel, hyperparameter in zip(panels, space, strict=False):
        _draw_panel(panel, hyperparameter, intervals, line)
    for panel in panels[len(space) :]:
        panel.set_visible(False)
    for panel in panels[max(0, len(space) - _PANELS_ACROSS) : len(space)]:
        panel.set_xlabel("steps")
        panel.tick_params(labelbottom=True)
    return figure


def _draw_panel(
    panel: Axes, of: Hyperparameter, intervals: Sequence[Interval], line: Sequence[Interval]
) -> None:
    others = [
        [(one.first_step, one.settings[of.name]), (one.last_step, one.settings[of.name])] for one in intervals
    ]
    panel.add_collection(LineCollection(others, colors=_OTHERS, linewidths=0.7, alpha=0.6, zorder=1))
    edges = [line[0].first_step, *(one.last_step for one in line)]
    values = [one.settings[of.name] for one in line]
    panel.stairs(values, edges, baseline=None, color=_WINNER, lw=2.4, zorder=3)
    is_log = of.scale == "log"
    panel.set_yscale(of.scale)
    margin = 1.15 if is_log else 0.06 * (of.high - of.low)
    bounds = (of.low / margin, of.high * margin) if is_log else (of.low - margin, of.high + margin)
    panel.set(ylim=bounds, xlim=(0, max(one.last_step for one in intervals)))
    panel.set_title(of.name, loc="left", fontsize=9)
    panel.spines[["top", "right"]].set_visible(False)
