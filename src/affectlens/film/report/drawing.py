"""A film's curves as parts of a page of HTML: the stack of emotions, the ribbon, polarity, axis and legend.

All are drawn in shares of their frame and stretch with it, so that one page fits a telephone and a desk;
words lie above the drawing as text and are not stretched. Colour never stands alone: areas have their word
in them, what is negative is hatched, and the page says in text what a drawing shows.

Letters: P points, E emotions, from the top of the stack to its bottom.
"""

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from affectlens.emotions import Vocabulary
from affectlens.film.report.curves import Curves, bands, runs
from affectlens.film.report.text import from_top_to_bottom, signs
from affectlens.film.timeline import Timeline
from affectlens.report import wheel
from affectlens.report.text import clock

_OTHERS = ("#88CCEE", "#CC6677", "#DDCC77", "#117733", "#AA4499", "#44AA99", "#882255", "#999933", "#332288")
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)  # seconds between marks
_MARKS = 6  # on the axis, at most: as many times as fit on a telephone
_DESK, _TELEPHONE = 0.11, 0.27  # of the stack's width that a word takes
_THICK = 0.085  # of the stack's height that a word takes
_LIGHT = 0.18  # relative luminance from which on black can be read better than white


def colours(vocabulary: Vocabulary) -> dict[str, str]:
    """A colour for each word: that of the wheel, or for words that it does not know, of a longer scheme."""
    if len(vocabulary) > len(_OTHERS) or all(word in wheel.COLOURS for word in vocabulary.words):
        strangers = {word: wheel.COLOURS.get(word, wheel.OTHER) for word in vocabulary.words}
        return strangers if len(vocabulary) <= len(_OTHERS) else _many(vocabulary)
    free = [colour for colour in _OTHERS if colour not in [wheel.COLOURS.get(w) for w in vocabulary.words]]
    return {word: wheel.COLOURS.get(word) or free.pop(0) for word in vocabulary.words}


def _many(vocabulary: Vocabulary) -> dict[str, str]:
    return {word: _OTHERS[place % len(_OTHERS)] for place, word in enumerate(vocabulary.words)}


def ink_on(colour: str) -> str:
    """Black or white, whichever can be read better on a colour `#rrggbb` (WCAG 2.2, relative luminance).

    >>> ink_on("#332288"), ink_on("#DDCC77")
    ('#fff', '#111')
    """
    levels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in levels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#111" if luminance > _LIGHT else "#fff"


def style_of(vocabulary: Vocabulary) -> str:
    """CSS classes `e0`, `e1`, ... of the words in the vocabulary's order; negative ones are hatched."""
    rules = []
    for place, (word, colour) in enumerate(colours(vocabulary).items()):
        rules.append(f".e{place}{{fill:{colour};background-color:{colour};color:{ink_on(colour)}}}")
        if signs(vocabulary)[word] < 0:
            rules.append(f".e{place}.h{{background-image:var(--hatch)}}")
    return "".join(rules)


def kind(vocabulary: Vocabulary, word: str) -> str:
    """The CSS class of a word."""
    return f"e{vocabulary.index(word)}"


def stack(found: Curves, vocabulary: Vocabulary) -> str:
    """Emotions over time, each an area as thick as it is likely; where hatching begins is polarity."""
    words = from_top_to_bottom(vocabulary)
    x = np.array([found.share(second) for second in found.seconds.tolist()])
    if not len(x):
        return ""
    above = _above(found, vocabulary)
    areas = "".join(
        f'<path class="{kind(vocabulary, word)}" d="{_area(x, above[:, place])}"/>'
        for place, word in enumerate(words)
    )
    labels = "".join(
        f'<span class="word{"" if narrow else " wide"}" style="left:{100 * at:.1f}%;top:{100 * y:.1f}%;'
        f'color:{ink_on(colours(vocabulary)[word])}">{escape(word)}</span>'
        for word, at, y, narrow in _labels(x, above, words)
    )
    return (
        '<svg viewBox="0 0 1000 1000" preserveAspectRatio="none" aria-hidden="true">'
        f"{areas}</svg>{_hatching(x, above, vocabulary)}{labels}"
    )


def ribbon(timeline: Timeline) -> str:
    """The strongest emotion over time, as a row of words on its colour."""
    parts = "".join(
        f'<span class="h {kind(timeline.vocabulary, run.emotion)}" '
        f'style="flex-grow:{run.end - run.start:.3f}" '
        f'title="{escape(run.emotion)} {clock(run.start)}\N{EN DASH}{clock(run.end)}">'
        f"<b>{escape(run.emotion)}</b>"
        "</span>"
        for run in runs(timeline)
        if run.end > run.start
    )
    return f"<div class=ribbon aria-hidden=true>{parts}</div>"


def polarity(timeline: Timeline, found: Curves) -> str:
    """The curve of polarity over shots' means with their intervals; nothing where words have no polarity."""
    if found.polarity is None:
        return ""
    x = 1000 * np.array([found.share(second) for second in found.seconds.tolist()])
    line = "M" + "L".join(f"{at:.1f} {_height(value)}" for at, value in zip(x, found.polarity, strict=True))
    upper, lower, means = [], [], []
    for band in bands(timeline):
        start, end = (1000 * found.share(second) for second in (band.start, band.end))
        upper.append(f"{start:.1f} {_height(band.high)}L{end:.1f} {_height(band.high)}")
        lower.append(f"{end:.1f} {_height(band.low)}L{start:.1f} {_height(band.low)}")
        means.append(f"M{start:.1f} {_height(band.mean)}H{end:.1f}")
    around = f"M{'L'.join(upper)}L{'L'.join(reversed(lower))}Z" if upper else ""
    return (
        '<svg viewBox="0 0 1000 200" preserveAspectRatio="none" aria-hidden="true">'
        f'<path class=interval d="{around}"/><path class=zero d="M0 100H1000"/>'
        f'<path class=mean d="{"".join(means)}"/><path class=curve d="{line}"/></svg>'
        "<span class=plus>+1 positive</span><span class=minus>\N{MINUS SIGN}1 negative</span>"
    )


def axis(found: Curves) -> str:
    """Times below a chart."""
    length = found.end - found.begin
    step = next((step for step in _STEPS if length / step <= _MARKS), _STEPS[-1])
    first = -(-found.begin // step) * step
    marks = np.arange(first, found.end + 1e-9, step).tolist()
    texts = "".join(
        f"<span style=left:{100 * found.share(mark):.2f}%>{clock(mark)}</span>"
        for mark in marks
        if found.share(mark) < 0.97
    )
    return f"<div class=axis aria-hidden=true>{texts}</div>"


def legend(vocabulary: Vocabulary) -> str:
    """All emotions with their colours, from the top of the stack to its bottom."""
    sign = signs(vocabulary)
    said = {1: "positive", -1: "negative", 0: "neither"}
    groups = []
    for value in (1, 0, -1):
        words = [word for word in from_top_to_bottom(vocabulary) if sign[word] == value]
        items = "".join(
            f'<li><i class="swatch h {kind(vocabulary, word)}"></i>{escape(word)}</li>' for word in words
        )
        if words:
            groups.append(f"<div><span class=note>{said[value]}</span><ul>{items}</ul></div>")
    return f"<div class=legend>{''.join(groups)}</div>"


def _above(found: Curves, vocabulary: Vocabulary) -> NDArray[np.float64]:
    """Share of the stack that lies above each word at each point: (P, E + 1), from 0 to 1."""
    order = [vocabulary.index(word) for word in from_top_to_bottom(vocabulary)]
    sums = np.cumsum(found.emotions[:, order], axis=1)
    return np.column_stack([np.zeros(len(sums)), sums / sums[:, -1:]])


def _area(x: NDArray[np.float64], top: NDArray[np.float64]) -> str:
    """All that lies below a line: the next word is drawn over it."""
    line = "L".join(f"{1000 * at:.1f} {1000 * y:.0f}" for at, y in zip(x, top, strict=True))
    return f"M0 1001L0 {1000 * top[0]:.0f}L{line}L1000 {1000 * top[-1]:.0f}L1000 1001Z"


def _hatching(x: NDArray[np.float64], above: NDArray[np.float64], vocabulary: Vocabulary) -> str:
    """Hatch what is negative. As a background that is cut out, because lines of an SVG would be stretched."""
    negative = sum(sign < 0 for sign in signs(vocabulary).values())
    if not negative:
        return ""
    border = above[:, len(vocabulary) - negative]
    corners = ",".join(f"{100 * at:.2f}% {100 * y:.1f}%" for at, y in zip(x, border, strict=True))
    edge = f"0 100%,0 {100 * border[0]:.1f}%,{corners},100% {100 * border[-1]:.1f}%,100% 100%"
    return f'<div class=hatch style="clip-path:polygon({edge})"></div>'


def _labels(
    x: NDArray[np.float64], above: NDArray[np.float64], words: Sequence[str]
) -> list[tuple[str, float, float, bool]]:
    """Where each word fits into its area: (word, x, y, also on a telephone); not where it does not."""
    grid = np.linspace(0, 1, 201)
    lines = np.column_stack([np.interp(grid, x, column) for column in above.T])
    placed = []
    for place, word in enumerate(words):
        for narrow, width in ((True, _TELEPHONE), (False, _DESK)):
            at, y, room = _roomiest(lines[:, place], lines[:, place + 1], width)
            if room >= _THICK:
                placed.append((word, at, y, narrow))
                break
    return placed


def _roomiest(
    top: NDArray[np.float64], bottom: NDArray[np.float64], width: float
) -> tuple[float, float, float]:
    """Middle and height of the place of so much width in which an area has most room: (x, y, height)."""
    across = max(1, round(width * (len(top) - 1)))
    upper = np.lib.stride_tricks.sliding_window_view(top, across + 1).max(axis=1)
    lower = np.lib.stride_tricks.sliding_window_view(bottom, across + 1).min(axis=1)
    best = int((lower - upper).argmax())
    at = (best + across / 2) / (len(top) - 1)
    return at, float(upper[best] + lower[best]) / 2, float(lower[best] - upper[best])


def _height(value: float) -> str:
    """Where a polarity is drawn: 1 near the top of 200, -1 near the bottom."""
    return f"{100 - 94 * value:.1f}"


def cuts(found: Curves, timeline: Timeline, most: int = 400) -> str:
    """Marks where shots begin; none of a film with so many that they would be grey."""
    starts = [shot.start for shot in timeline.shots[1:]]
    if not starts or len(starts) > most:
        return ""
    lines = "".join(f"M{1000 * found.share(start):.1f} 0V10" for start in starts)
    return (
        '<svg class=cuts viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<path d="{lines}"/></svg>'
    )


def spread_out(places: Sequence[float], apart: float, lanes: int) -> list[int | None]:
    """For each place of 0..1, weightiest first, the first lane in which nothing is nearer; None for none."""
    taken: list[list[float]] = [[] for _ in range(lanes)]
    found: list[int | None] = []
    for place in places:
        lane = next(
            (n for n, others in enumerate(taken) if all(abs(place - o) >= apart for o in others)), None
        )
        if lane is not None:
            taken[lane].append(place)
        found.append(lane)
    return found
