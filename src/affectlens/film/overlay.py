"""Drawings over a film that is written again: which emotions it evokes, moment by moment.

Of a shot whose frames are all unusual, or dimmed by a fade, no emotion is named and no colour is shown: it is
called that.

    bar     a dark strip along the lower edge: the strongest emotion with its probability in words, and all
            emotions as parts of one line
    tint    the film's edges take the colour of the strongest emotion, and its word stands in a corner

White words on a dark ground can be read on any picture. Sizes are shares of the picture's shorter side, so
that a film of a phone and one of a cinema look alike.

Letters: H x W pixels of the film as shown, h x w of a drawing.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Literal, get_args

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from affectlens.emotions import by_polarity
from affectlens.film.report.curves import sample_spans
from affectlens.film.timeline import Timeline
from affectlens.report.emotion_colours import colours_of
from affectlens.report.figures import STYLE
from affectlens.report.text import percent
from affectlens.video import Film
from affectlens.video.writer import Drawing

OverlayKind = Literal["bar", "tint"]
KINDS: tuple[OverlayKind, ...] = get_args(OverlayKind)

# Height of the strip, or of the word in a corner, by the shorter side; and its least number of pixels.
STRIP, LEAST = 0.085, 20
# Height of letters by that of the strip.
_TEXT = 0.5
# Opacity of what words stand on, of 255: white on it keeps a contrast of 4.5 on a white picture.
_GROUND = 185
# Width of the tinted edge by the shorter side, and its opacity at the rim.
_EDGE, _STRONGEST = 0.14, 0.62


def drawings(timeline: Timeline, kind: OverlayKind) -> Callable[[Film], Iterator[Drawing]]:
    """What `video.writer.write_film` draws for a timeline: a new drawing whenever its content changes."""
    return lambda film: _drawings(timeline, kind, film.width, film.height)


def _drawings(timeline: Timeline, kind: OverlayKind, width: int, height: int) -> Iterator[Drawing]:
    draw = _Bar(timeline, width, height) if kind == "bar" else _Tint(timeline, width, height)
    shown: tuple[Any, ...] | None = None
    left_out = {shot.number: timeline.left_out_as(shot) for shot in timeline.shots}
    for sample, (start, _) in zip(timeline.samples, sample_spans(timeline), strict=True):
        why = left_out[sample.shot]
        now = (why, None) if why else draw.content(sample.smoothed)
        if now != shown:
            shown = now
            yield Drawing(start, draw(now), draw.left, draw.top)


class _Bar:
    """The strip: (h, W, 4), the same size for every moment."""

    def __init__(self, timeline: Timeline, width: int, height: int) -> None:
        self.vocabulary = timeline.vocabulary
        self.order = [self.vocabulary.index(word) for word in by_polarity(self.vocabulary)]
        self.colours = [_levels(colour) for colour in colours_of(self.vocabulary).values()]
        self.height, self.width = strip_height(width, height), width
        self.left, self.top = 0, height - self.height
        longest = max(
            (text(f"{w} 100 %", self._letters) for w in self.vocabulary.words), key=lambda m: m.shape[1]
        )
        self.words = min(longest.shape[1] + self.height, round(0.55 * width))  # of the width, for words

    @property
    def _letters(self) -> int:
        return round(_TEXT * self.height)

    def content(self, probabilities: tuple[float, ...]) -> tuple[Any, ...]:
        """What of a moment can be seen: the word with its probability, and where parts of the line end."""
        top = max(range(len(probabilities)), key=lambda index: probabilities[index])
        line = self.width - self.words - self.height // 2
        ends = np.rint(np.cumsum([probabilities[index] for index in self.order]) * line).astype(int)
        return f"{self.vocabulary.words[top]} {percent(probabilities[top])}", tuple(ends.tolist())

    def __call__(self, content: tuple[Any, ...]) -> NDArray[np.uint8]:
        words, ends = content
        picture = np.zeros((self.height, self.width, 4), dtype=np.uint8)
        picture[..., 3] = _GROUND
        _write(picture, text(words, self._letters), self.height // 3, self.words - self.height // 3)
        upper, lower = round(0.3 * self.height), round(0.7 * self.height)
        start = self.words
        for index, end in zip(self.order, ends or (), strict=bool(ends)):
            stop = self.words + end
            picture[upper:lower, start : max(start, stop - 1), :3] = self.colours[index]
            picture[upper:lower, start:stop, 3] = 255
            start = stop
        return picture


class _Tint:
    """Tinted edges and a word: (H, W, 4)."""

    def __init__(self, timeline: Timeline, width: int, height: int) -> None:
        self.vocabulary = timeline.vocabulary
        self.colours = [_levels(colour) for colour in colours_of(self.vocabulary).values()]
        self.left, self.top = 0, 0
        self.chip = strip_height(width, height)
        rows = np.minimum(np.arange(height), np.arange(height)[::-1])[:, None]
        columns = np.minimum(np.arange(width), np.arange(width)[::-1])[None]
        inwards = np.minimum(rows, columns) / (_EDGE * min(width, height))
        self.opacity = (255 * _STRONGEST * np.clip(1 - inwards, 0, 1) ** 1.5).astype(np.uint8)

    def content(self, probabilities: tuple[float, ...]) -> tuple[Any, ...]:
        """What of a moment can be seen: the strongest emotion with its probability in words, its index."""
        top = max(range(len(probabilities)), key=lambda index: probabilities[index])
        return f"{self.vocabulary.words[top]} {percent(probabilities[top])}", top

    def __call__(self, content: tuple[Any, ...]) -> NDArray[np.uint8]:
        words, top = content
        picture = np.zeros((*self.opacity.shape, 4), dtype=np.uint8)
        if top is not None:
            picture[..., :3], picture[..., 3] = self.colours[top], self.opacity
        mask = text(words, round(_TEXT * self.chip))
        chip = picture[-self.chip :, : mask.shape[1] + self.chip]
        chip[..., :3], chip[..., 3] = 0, _GROUND
        _write(chip, mask, self.chip // 2, chip.shape[1])
        return picture


def strip_height(width: int, height: int) -> int:
    """Height of the strip in pixels; even, so that it ends where colours of neighbouring lines are stored."""
    return min(height, max(LEAST, 2 * round(STRIP * min(width, height) / 2)))


@lru_cache(maxsize=2048)
def text(words: str, letters: int) -> NDArray[np.uint8]:
    """Words as opacity, (h, w), in letters of so many pixels; cut to their width."""
    size = (len(words) * letters + 2 * letters, 2 * letters)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(size[0] / 100, size[1] / 100), dpi=100, facecolor="none")
        canvas = FigureCanvasAgg(figure)
        style: dict[str, Any] = {"va": "center", "color": "white", "weight": "bold", "parse_math": False}
        figure.text(letters / 2 / size[0], 0.5, words, fontsize=letters * 0.72, **style)
        canvas.draw()  # type: ignore[no-untyped-call]
        opacity = np.asarray(canvas.buffer_rgba())[..., 3].copy()  # type: ignore[no-untyped-call]
    used = np.flatnonzero(opacity.any(axis=0))
    cut: NDArray[np.uint8] = opacity[:, used[0] : used[-1] + 1] if len(used) else opacity[:, :1]
    return cut


def _write(picture: NDArray[np.uint8], mask: NDArray[np.uint8], left: int, right: int) -> None:
    """Write white words into a dark picture, in the middle of its height, cut at `right`."""
    top = max(0, (picture.shape[0] - mask.shape[0]) // 2)
    cut = mask[: picture.shape[0] - top, : max(0, right - left)]
    area = picture[top : top + cut.shape[0], left : left + cut.shape[1]]
    cut = cut[: area.shape[0], : area.shape[1]]
    area[..., :3] = cut[..., None]
    area[..., 3] = np.maximum(area[..., 3], cut)


def _levels(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[start : start + 2], 16) for start in (1, 3, 5))
