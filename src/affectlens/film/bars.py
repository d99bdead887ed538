"""Black bars around a film's picture, as of a cinema film in a television's frame.

People do not look at them, but a model takes them for a part of the picture. Some frames of the film are
looked at beforehand: what is black at an edge in all of them is a bar.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from affectlens.errors import VideoError
from affectlens.images import Pixels
from affectlens.report.text import percent
from affectlens.video import Video

# Frames that are looked at, and how many of them must show something.
FRAMES, LEAST_FRAMES = 9, 4
# Pixels of the longer side at which they are looked at.
LONGEST = 320
# Levels up to which a line is black, and the share of its pixels that must be.
BLACK_LEVEL, BLACK_SHARE = 28, 0.99
# Least height of a bar, and by how much two opposite ones may differ, as shares of the side.
LEAST, DIFFER = 0.02, 0.015


class Bars(NamedTuple):
    """Shares of height and width that bars take at each edge of a film as shown."""

    top: float = 0.0
    bottom: float = 0.0
    left: float = 0.0
    right: float = 0.0

    def cut(self, pixels: Pixels) -> Pixels:
        """Return what lies between the bars: uint8 (H, W, 3) -> (h, w, 3)."""
        if not any(self):
            return pixels
        height, width, _ = pixels.shape
        top, left = int(np.ceil(self.top * height)), int(np.ceil(self.left * width))
        bottom, right = int(self.bottom * height) + 1, int(self.right * width) + 1
        bottom, right = bottom if self.bottom else 0, right if self.right else 0
        return np.ascontiguousarray(pixels[top : height - bottom, left : width - right])

    def in_words(self) -> str:
        """Name where the bars are: `top and bottom, 12 % of the height each`."""
        named = []
        if self.top:
            named.append(f"top and bottom, {percent(self.top)} of the height each")
        if self.left:
            named.append(f"left and right, {percent(self.left)} of the width each")
        return "; ".join(named)


NO_BARS = Bars()


def find_bars(source: str, begin: float, end: float | None) -> Bars:
    """Look for bars at some keyframes of a film's file; none are found in addresses and very short films."""
    if end is None or not Path(source).is_file():
        return NO_BARS
    frames = []
    with suppress(VideoError), Video(source, keyframes=True) as video:
        for second in np.linspace(begin, end, FRAMES + 2)[1:-1]:
            if not video.seek(float(second)):
                break
            frame = next(video.frames(), None)
            if frame is not None:
                frames.append(frame.pixels(longest=LONGEST))
    return bars_of(frames)


def bars_of(frames: Sequence[Pixels]) -> Bars:
    """What is black at the edges of all frames that show something; bars come in pairs of one size."""
    shown = [frame for frame in frames if (frame.max(axis=2) > 2 * BLACK_LEVEL).mean() > 0.05]
    if len(shown) < LEAST_FRAMES:
        return Bars()
    black = [frame.max(axis=2) <= BLACK_LEVEL for frame in shown]
    rows = np.all([lines.mean(axis=1) >= BLACK_SHARE for lines in black], axis=0)
    columns = np.all([lines.mean(axis=0) >= BLACK_SHARE for lines in black], axis=0)
    return Bars(*_pair(rows), *_pair(columns))


def _pair(lines: NDArray[np.bool_]) -> tuple[float, float]:
    """Shares of a side that are black at its two ends; 0 where they differ, or are too thin."""
    if lines.all():
        return 0.0, 0.0
    first, last = int(np.argmin(lines)), int(np.argmin(lines[::-1]))
    one, other = first / len(lines), last / len(lines)
    if min(one, other) < LEAST or abs(one - other) > DIFFER + 1 / len(lines):
        return 0.0, 0.0
    return one, other
