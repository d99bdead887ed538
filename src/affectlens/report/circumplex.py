"""Valence and arousal in one plane: a picture as a point with its intervals, a film as a path.

Paper: Russell, "A Circumplex Model of Affect", Journal of Personality and Social Psychology 39, 1980:
    feelings lie around a circle whose axes are how pleasant and how stirring they are. The words in the
    corners are those of its quarters.

Intervals are drawn as wide as they are: those of single pictures span much of the plane, and where a point
lies within them is not known.

Letters: P points of a path.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affectlens.errors import SettingsError
from affectlens.ratings import AROUSAL, HIGHEST, LOWEST, VALENCE, Rating, RatingScale
from affectlens.report import figures
from affectlens.report.canvas import colours
from affectlens.report.figures import INK, LINE, PALE, Figure, new_figure
from affectlens.report.text import clock, listed

# Of a plane that stands alone.
RATED_ON_AVERAGE = "What people would rate on average, as predicted; the lines are intervals"
Scale = tuple[float, float]  # lowest and highest rating
USUAL: Scale = (LOWEST, HIGHEST)
POINT, UNUSUAL_POINT = "#a34f00", "#8a8a8a"
# Side of the plane in inches, and what is around it: left, bottom, right, top.
_SIDE, _AROUND = 4.6, (0.75, 0.65, 0.25, 0.35)
_COLOURS = "viridis"
# Its ends are too dark for a line on a dark page, and too light for one on white.
_FIRST_COLOUR, _LAST_COLOUR = 0.3, 0.9
# Names of the quarters: valence and arousal as shares of their scales, and where the words begin.
_CORNERS = (
    ("tense", 0.02, 0.98, "left", "top"),
    ("excited", 0.98, 0.98, "right", "top"),
    ("gloomy", 0.02, 0.02, "left", "bottom"),
    ("calm", 0.98, 0.02, "right", "bottom"),
)


class NoCircumplex(SettingsError):
    """Ratings that are not both of valence and of arousal."""


@dataclass(frozen=True, kw_only=True)
class CircumplexPoint:
    """A picture, or the mean of several, in the plane; the intervals of both ratings are a cross."""

    valence: Rating
    arousal: Rating
    name: str = ""
    unusual: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class CircumplexPath:
    """What moves through the plane in time; its colour runs from its beginning, dark, to its end, light.

    Attributes:
        valence, arousal, seconds: (P,) in the order of time
        joined: (P,) whether a point is joined with the one before it: not across what is unknown
    """

    valence: NDArray[np.float64]
    arousal: NDArray[np.float64]
    seconds: NDArray[np.float64]
    joined: NDArray[np.bool_]


def plane_of(scales: Sequence[RatingScale]) -> tuple[Scale, Scale]:
    """Return the ends of the scales of valence and of arousal.

    Raises `NoCircumplex` for a model that does not predict both.
    """
    ends = {scale.name: (scale.low, scale.high) for scale in scales}
    if missing := [name for name in (VALENCE, AROUSAL) if name not in ends]:
        known = f"its ratings are {listed(list(ends))}" if ends else "it predicts no ratings"
        raise NoCircumplex(
            f"The circumplex is a plane of {VALENCE} and {AROUSAL}, and this model lacks {listed(missing)}: "
            f"{known}. Use a model that has both, as default."
        )
    return ends[VALENCE], ends[AROUSAL]


def point_of(ratings: Mapping[str, Rating], *, unusual: bool = False, name: str = "") -> CircumplexPoint:
    """Return a picture's point. Raises `NoCircumplex` where it does not have both ratings."""
    if not {VALENCE, AROUSAL} <= set(ratings):
        raise NoCircumplex(f"The circumplex is a plane of {VALENCE} and {AROUSAL}: a picture needs both.")
    return CircumplexPoint(valence=ratings[VALENCE], arousal=ratings[AROUSAL], name=name, unusual=unusual)


def write_circumplex(
    file: Path, points: Sequence[CircumplexPoint], path: CircumplexPath | None = None
) -> None:
    """Write the plane as a figure: PNG, JPEG, PDF or SVG by the suffix. Raises `OutputError`."""
    figures.check_suffix(file)
    figures.save_figure(file, draw_circumplex(points, path))


def draw_circumplex(
    points: Sequence[CircumplexPoint],
    path: CircumplexPath | None = None,
    *,
    valence: Scale = USUAL,
    arousal: Scale = USUAL,
    title: str = "",
) -> Figure:
    """Draw points with their intervals, over the path of a film if there is one, on scales of ratings."""
    left, bottom, right, top = _AROUND
    width, height = left + _SIDE + right, bottom + _SIDE + top
    figure = new_figure(width, height)
    axes: Any = figure.add_axes((left / width, bottom / height, _SIDE / width, _SIDE / height))
    _draw_plane(axes, valence, arousal)
    axes.set_title(title, fontsize=8.5, color=PALE, parse_math=False)
    if path is not None and len(path.seconds):
        _draw_path(axes, path)
    for point in points:
        _draw_point(axes, point)
    return figure


def _draw_plane(axes: Any, valence: Scale, arousal: Scale) -> None:
    """Draw the axes through the middle of both scales, the circle, and the words of the quarters."""
    middle = sum(valence) / 2, sum(arousal) / 2
    around = np.linspace(0, 2 * np.pi, 181)
    radii = (valence[1] - valence[0]) / 2, (arousal[1] - arousal[0]) / 2
    axes.plot(
        middle[0] + radii[0] * np.cos(around), middle[1] + radii[1] * np.sin(around), color=LINE, lw=0.8
    )
    axes.axvline(middle[0], color=LINE, linewidth=0.8)
    axes.axhline(middle[1], color=LINE, linewidth=0.8)
    for word, x, y, side, edge in _CORNERS:
        axes.text(x, y, word, ha=side, va=edge, fontsize=9, color=PALE, transform=axes.transAxes)
    axes.set(xlim=valence, ylim=arousal)
    axes.set_xlabel(f"{VALENCE}: unpleasant to pleasant", fontsize=9, color=INK)
    axes.set_ylabel(f"{AROUSAL}: calm to stirring", fontsize=9, color=INK)
    axes.tick_params(labelsize=8, colors=PALE)
    for spine in axes.spines.values():
        spine.set_color(LINE)


def _draw_path(axes: Any, path: CircumplexPath) -> None:
    """Draw the path from its beginning, a ring, to its end, a square; both are named by their times."""
    shades = _colours_of_times(path.seconds)
    for index in np.flatnonzero(path.joined[1:]).tolist():
        ends = slice(index, index + 2)
        axes.plot(path.valence[ends], path.arousal[ends], color=shades[index], linewidth=1.6,
                  solid_capstyle="round")  # fmt: skip
    for index, marker, side in ((0, "o", "right"), (-1, "s", "left")):
        x, y = path.valence[index], path.arousal[index]
        axes.plot([x], [y], marker, color=shades[index], markersize=6, markeredgecolor="white")
        axes.annotate(clock(float(path.seconds[index])), (x, y), xytext=(-6 if side == "right" else 6, 5),
                      textcoords="offset points", ha=side, fontsize=8, color=INK)  # fmt: skip


def _draw_point(axes: Any, point: CircumplexPoint) -> None:
    """Draw a point with a cross of its intervals, hollow and grey for what is unusual."""
    x, y = point.valence, point.arousal
    colour = UNUSUAL_POINT if point.unusual else POINT
    style = {"color": colour, "linewidth": 1.4, "linestyle": "--" if point.unusual else "-", "zorder": 4}
    axes.plot([x.low, x.high], [y.mean, y.mean], **style)
    axes.plot([x.mean, x.mean], [y.low, y.high], **style)
    face = "white" if point.unusual else colour
    axes.plot([x.mean], [y.mean], "o", color=colour, markerfacecolor=face, markersize=7, zorder=5)
    name = f"{point.name} (unusual)" if point.name and point.unusual else point.name
    low, high = axes.get_xlim()
    is_left = x.mean < (low + high) / 2  # its name is written towards the middle
    axes.annotate(name, (x.mean, y.mean), xytext=(7 if is_left else -7, 7), textcoords="offset points",
                  ha="left" if is_left else "right", fontsize=8.5, color=INK, parse_math=False,
                  zorder=6)  # fmt: skip


def _colours_of_times(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a colour for each second between the first and the last: (P,) -> (P, 3)."""
    length = seconds[-1] - seconds[0]
    shares = (seconds - seconds[0]) / length if length > 0 else np.zeros(len(seconds))
    within = _FIRST_COLOUR + (_LAST_COLOUR - _FIRST_COLOUR) * shares
    found: NDArray[np.float64] = colours(_COLOURS, within[None])[0]
    return found
