"""A film's curves as plain values that templates draw: paths, polygons, labels, marks, colours.

Paths are in the units of a viewBox that stretches with its frame, so that one page fits a phone and a desk;
labels are text above it, at shares of the frame, and are not stretched. Colour never stands alone: areas
carry their word, negative ones are hatched, and the page repeats in text what a drawing shows.

Letters: P points, E emotions, from the top of the stack to its bottom.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from affectlens.colour import srgb_to_linear
from affectlens.emotions import Vocabulary, by_polarity, polarity_signs
from affectlens.film.report.curves import (
    EmotionCurves,
    RatingCurve,
    Span,
    bands,
    leading_runs,
    left_out_spans,
    rating_curves,
)
from affectlens.film.timeline import Timeline
from affectlens.ratings import COVERAGE
from affectlens.report.emotion_colours import colours_of
from affectlens.report.text import terminal_columns

# Seconds between marks of the axis, of which there are at most as many as fit on a phone.
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
_MAX_MARKS = 6
# A mark further to the right would reach beyond the chart.
_LAST_MARK = 0.97
# Width of the longest of Mikels' words by that of the stack, and the height of one by that of the stack.
_WIDTH_ON_DESK, _WIDTH_ON_PHONE, _HEIGHT = 0.11, 0.27, 0.085
_LETTERS = len("contentment")
# Relative luminance from which on black has more contrast than white.
_LIGHT = 0.18
# More cuts than this would be a grey bar.
MAX_CUTS = 400


# ------------------------------------------------------------------------------------------------ colours


def ink_on(colour: str) -> str:
    """Return black or white, whichever has more contrast on `#rrggbb` (WCAG 2.2, relative luminance).

    >>> ink_on("#332288"), ink_on("#DDCC77")
    ('#fff', '#111')
    """
    light = srgb_to_linear(np.array([int(colour[start : start + 2], 16) for start in (1, 3, 5)]) / 255)
    luminance = 0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2]
    return "#111" if luminance > _LIGHT else "#fff"


def css_class(vocabulary: Vocabulary, word: str) -> str:
    """Return the CSS class of a word, which `style_of` defines."""
    return f"e{vocabulary.index(word)}"


def style_of(vocabulary: Vocabulary) -> Markup:
    """Write CSS classes `e0`, `e1`, ... for the words in the vocabulary's order; negative ones are hatched.

    It holds indices and colours, which vocabularies have as `#rrggbb` alone; never a word.
    """
    rules = []
    for index, (word, colour) in enumerate(colours_of(vocabulary).items()):
        rules.append(f".e{index}{{fill:{colour};background-color:{colour};color:{ink_on(colour)}}}")
        if polarity_signs(vocabulary)[word] < 0:
            rules.append(f".e{index}.h{{background-image:var(--hatch)}}")
    return Markup("".join(rules))


# ------------------------------------------------------------------------------------------------- charts


@dataclass(frozen=True)
class WordLabel:
    """A word in its area: position in percent of the stack, and whether it fits on a phone, too."""

    word: str
    x: float
    y: float
    on_phone: bool
    colour: str


@dataclass(frozen=True)
class StackDrawing:
    """Emotions over time, each an area as thick as it is likely; where hatching starts is polarity.

    Attributes:
        areas: CSS class and path, 1000 x 1000, from the top down; each covers all below it
        hatching: corners of the negative part as a CSS polygon, or None
        labels: words that fit into their areas
    """

    areas: list[tuple[str, str]]
    hatching: str | None
    labels: list[WordLabel]


@dataclass(frozen=True)
class PolarityDrawing:
    """Paths of 1000 x 200: the interval around shots' means, the means, the smoothed curve."""

    interval: str
    means: str
    curve: str


@dataclass(frozen=True)
class RatingDrawing:
    """A rating over time: paths of 1000 x 200, which span its scale.

    Attributes:
        name, low, high: of the rating and its scale
        half_width: of the interval of a single picture, which `interval` draws around the curve
    """

    name: str
    low: float
    high: float
    half_width: float
    interval: str
    middle: str
    means: str
    curve: str


@dataclass(frozen=True)
class RibbonStretch:
    """Seconds in which one emotion is the strongest, and where its word is seen.

    Attributes:
        css: CSS class of its colour
        room: left end and width of what nothing covers, in percent of the stretch
    """

    css: str
    word: str
    start: float
    end: float
    room: Span


@dataclass(frozen=True)
class TimeMark:
    """A time below a chart: position in percent, and the second."""

    x: float
    second: float


def stack(found: EmotionCurves, timeline: Timeline) -> StackDrawing:
    """Draw emotions over time."""
    vocabulary = timeline.vocabulary
    words = by_polarity(vocabulary)
    x = np.array([found.position(second) for second in found.seconds.tolist()])
    if not len(x):
        return StackDrawing([], None, [])
    above = _above(found, vocabulary)
    areas = [(css_class(vocabulary, word), _area(x, above[:, index])) for index, word in enumerate(words)]
    return StackDrawing(areas, _hatching(x, above, vocabulary), _labels(x, above, timeline, found))


def ribbon(timeline: Timeline) -> list[RibbonStretch]:
    """Return the strongest emotion over time.

    A word stands in the middle of what is seen of its stretch: below a veil or a gap none could be read.
    """
    covered = sorted((*left_out_spans(timeline), *timeline.gaps))
    stretches = []
    for run in leading_runs(timeline):
        length = run.end - run.start
        if length > 0:
            start, end = _longest_outside(covered, run.start, run.end)
            room = (100 * (start - run.start) / length, 100 * (end - start) / length)
            css = css_class(timeline.vocabulary, run.emotion)
            stretches.append(RibbonStretch(css, run.emotion, run.start, run.end, room))
    return stretches


def _longest_outside(covered: Sequence[Span], start: float, end: float) -> Span:
    """Return the longest part of a stretch that none of the sorted spans covers; an empty one if all is."""
    longest, free = (start, start), start
    for begin, stop in [*covered, (end, end)]:
        if min(begin, end) - free > longest[1] - longest[0]:
            longest = (free, min(begin, end))
        free = max(free, stop)
    return longest


def polarity(timeline: Timeline, found: EmotionCurves) -> PolarityDrawing | None:
    """Draw the curve of polarity and shots' means with their intervals; None where there is no polarity."""
    if found.polarity is None:
        return None
    x = 1000 * np.array([found.position(second) for second in found.seconds.tolist()])
    line = "M" + "L".join(f"{at:.1f} {_height(value)}" for at, value in zip(x, found.polarity, strict=True))
    upper, lower, means = [], [], []
    for band in bands(timeline):
        start, end = (1000 * found.position(second) for second in (band.start, band.end))
        upper.append(f"{start:.1f} {_height(band.high)}L{end:.1f} {_height(band.high)}")
        lower.append(f"{end:.1f} {_height(band.low)}L{start:.1f} {_height(band.low)}")
        means.append(f"M{start:.1f} {_height(band.mean)}H{end:.1f}")
    around = f"M{'L'.join(upper)}L{'L'.join(reversed(lower))}Z" if upper else ""
    return PolarityDrawing(around, "".join(means), line)


def ratings(timeline: Timeline, found: EmotionCurves) -> list[RatingDrawing]:
    """Draw each rating that the model predicts, with its interval and shots' means."""
    shots = timeline.shots if len(timeline.shots) <= MAX_CUTS else ()
    x = [1000 * found.position(second) for second in found.seconds.tolist()]
    ends = [(1000 * found.position(shot.start), 1000 * found.position(shot.end)) for shot in shots]
    return [
        _rating(each, x, [(*end, shot.ratings[index]) for end, shot in zip(ends, shots, strict=True)])
        for index, each in enumerate(rating_curves(timeline, found))
    ]


def _rating(
    curve: RatingCurve, x: Sequence[float], means: Sequence[tuple[float, float, float]]
) -> RatingDrawing:
    """Draw a rating at so many thousandths of the width; `means` have a beginning and an end there."""
    scale = curve.scale

    def level(value: float) -> str:
        return f"{194 - 188 * (value - scale.low) / (scale.high - scale.low):.1f}"

    def line(values: NDArray[np.float64]) -> list[str]:
        return [f"{at:.1f} {level(value)}" for at, value in zip(x, values.tolist(), strict=True)]

    return RatingDrawing(
        name=scale.name,
        low=scale.low,
        high=scale.high,
        half_width=scale.half_width(COVERAGE),
        interval=f"M{'L'.join([*line(curve.high), *line(curve.low)[::-1]])}Z" if x else "",
        middle=f"M0 {level((scale.low + scale.high) / 2)}H1000",
        means="".join(f"M{start:.1f} {level(mean)}H{end:.1f}" for start, end, mean in means),
        curve=f"M{'L'.join(line(curve.values))}" if x else "",
    )


def cuts(found: EmotionCurves, timeline: Timeline) -> str:
    """Return a path, 1000 x 10, of marks where shots start; "" where there are none, or too many."""
    starts = [shot.start for shot in timeline.shots[1:]]
    if len(starts) > MAX_CUTS:
        return ""
    return "".join(f"M{1000 * found.position(start):.1f} 0V10" for start in starts)


def gaps(found: EmotionCurves, timeline: Timeline) -> list[Span]:
    """Return left end and width, in percent of a chart, of the stretches of which nothing was predicted."""
    return _across(found, timeline.gaps)


def left_out(found: EmotionCurves, timeline: Timeline) -> list[Span]:
    """Return left end and width, in percent of a chart, of the stretches of unusual and faded frames."""
    return _across(found, left_out_spans(timeline))


def _across(found: EmotionCurves, spans: Sequence[Span]) -> list[Span]:
    ends = [(100 * found.position(begin), 100 * found.position(end)) for begin, end in spans]
    return [(left, right - left) for left, right in ends if right > left]


def axis(found: EmotionCurves) -> list[TimeMark]:
    """Return the times to write below a chart."""
    length = found.end - found.begin
    # What is longer has multiples of the greatest step, never more marks.
    most = _STEPS[-1] * ceil(length / _STEPS[-1] / _MAX_MARKS)
    step = next((step for step in _STEPS if length / step <= _MAX_MARKS), most)
    first = -(-found.begin // step) * step
    marks = np.arange(first, found.end + 1e-9, step).tolist()
    return [
        TimeMark(100 * position, mark) for mark in marks if (position := found.position(mark)) < _LAST_MARK
    ]


def legend(vocabulary: Vocabulary) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return all emotions by polarity: the group's name, and the CSS class and word of each emotion.

    Where no word has a polarity they are one group without a name.
    """
    signs = polarity_signs(vocabulary)
    if not any(signs.values()):
        return [("", [(css_class(vocabulary, word), word) for word in vocabulary.words])]
    groups = []
    for sign, name in ((1, "positive"), (-1, "negative"), (0, "neither")):
        words = [word for word in vocabulary.words if signs[word] == sign]
        if words:
            groups.append((name, [(css_class(vocabulary, word), word) for word in words]))
    return groups


def link(spans: tuple[Span, Span], films: tuple[EmotionCurves, EmotionCurves]) -> str:
    """Return a path, 1000 x 60, from a stretch of one film's time, above, to one of another's, below."""
    (a, b), (c, d) = (
        [1000 * film.position(second) for second in span] for span, film in zip(spans, films, strict=True)
    )
    return f"M{a:.1f} 0L{b:.1f} 0L{d:.1f} 60L{c:.1f} 60Z"


def assign_lanes(positions: Sequence[float], distance: float, lanes: int) -> list[int | None]:
    """Return for each position, most important first, the first lane in which none is nearer; or None."""
    taken: list[list[float]] = [[] for _ in range(lanes)]
    found: list[int | None] = []
    for position in positions:
        free = [n for n, others in enumerate(taken) if all(abs(position - o) >= distance for o in others)]
        if free:
            taken[free[0]].append(position)
        found.append(free[0] if free else None)
    return found


def _above(found: EmotionCurves, vocabulary: Vocabulary) -> NDArray[np.float64]:
    """Return the share of the stack above each word at each point: (P, E + 1), from 0 to 1."""
    order = [vocabulary.index(word) for word in by_polarity(vocabulary)]
    sums = np.cumsum(found.emotions[:, order], axis=1)
    return np.column_stack([np.zeros(len(sums)), sums / sums[:, -1:]])


def _area(x: NDArray[np.float64], top: NDArray[np.float64]) -> str:
    """Return everything below a line: the next word is drawn over it."""
    line = "L".join(f"{1000 * at:.1f} {1000 * y:.0f}" for at, y in zip(x, top, strict=True))
    return f"M0 1001L0 {1000 * top[0]:.0f}L{line}L1000 {1000 * top[-1]:.0f}L1000 1001Z"


def _hatching(x: NDArray[np.float64], above: NDArray[np.float64], vocabulary: Vocabulary) -> str | None:
    """Return the negative part as a polygon of CSS: an SVG's own hatching would be stretched."""
    negative = sum(sign < 0 for sign in polarity_signs(vocabulary).values())
    if not negative:
        return None
    border = above[:, len(vocabulary) - negative]
    corners = ",".join(f"{100 * at:.2f}% {100 * y:.1f}%" for at, y in zip(x, border, strict=True))
    return f"0 100%,0 {100 * border[0]:.1f}%,{corners},100% {100 * border[-1]:.1f}%,100% 100%"


def _labels(
    x: NDArray[np.float64], above: NDArray[np.float64], timeline: Timeline, found: EmotionCurves
) -> list[WordLabel]:
    """Return where each word fits into its area; a word that fits nowhere has no label.

    Where nothing or little is known the chart is covered, which would cut words in two: none stands there.
    """
    vocabulary = timeline.vocabulary
    grid = np.linspace(0, 1, 201)
    lines = np.column_stack([np.interp(grid, x, column) for column in above.T])
    for left, width in (*left_out(found, timeline), *gaps(found, timeline)):
        lines[(grid > left / 100) & (grid < (left + width) / 100)] = 0.0
    labels = []
    for index, word in enumerate(by_polarity(vocabulary)):
        longer = max(1.0, terminal_columns(word) / _LETTERS)
        for on_phone, width in ((True, longer * _WIDTH_ON_PHONE), (False, longer * _WIDTH_ON_DESK)):
            if width > 1:
                continue
            at, y, room = _roomiest(lines[:, index], lines[:, index + 1], width)
            if room >= _HEIGHT:
                colour = ink_on(colours_of(vocabulary)[word])
                labels.append(WordLabel(word, 100 * at, 100 * y, on_phone, colour))
                break
    return labels


def _roomiest(
    top: NDArray[np.float64], bottom: NDArray[np.float64], width: float
) -> tuple[float, float, float]:
    """Return middle and height of the stretch of a given width where an area is thickest: (x, y, height)."""
    across = max(1, round(width * (len(top) - 1)))
    upper = np.lib.stride_tricks.sliding_window_view(top, across + 1).max(axis=1)
    lower = np.lib.stride_tricks.sliding_window_view(bottom, across + 1).min(axis=1)
    best = int((lower - upper).argmax())
    at = (best + across / 2) / (len(top) - 1)
    return at, float(upper[best] + lower[best]) / 2, float(lower[best] - upper[best])


def _height(value: float) -> str:
    """Return where a polarity is drawn: 1 near the top of 200, -1 near the bottom."""
    return f"{100 - 94 * value:.1f}"
