"""The frames of a film's peaks, for what looks at them: heat maps and attributes."""

from collections.abc import Iterator, Sequence

from affectlens.film.bars import NO_BARS, Bars
from affectlens.film.timeline import Moment
from affectlens.images import Pixels
from affectlens.video import stills


def peak_frames(source: str, peaks: Sequence[Moment], bars: Bars = NO_BARS) -> Iterator[tuple[float, Pixels]]:
    """Yield the second and the frame of each peak, in the order of time, without its black bars.

    Peaks of one second have one frame: uint8 (H, W, 3). Raises `VideoError` where the film cannot be read.
    """
    for second, still in stills(source, sorted({peak.second for peak in peaks})):
        yield second, bars.cut(still)
