"""Heat maps of a film's peaks: what in the frame speaks for the emotion."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from affectlens.explain.core.question import make_question
from affectlens.explain.explainer import Explainer
from affectlens.explain.figures import laid_on
from affectlens.film.bars import NO_BARS, Bars
from affectlens.film.peak_frames import peak_frames
from affectlens.film.report.page import LONGEST, shrunk
from affectlens.film.timeline import Moment


class PeakMap(NamedTuple):
    """A peak, and its heat map laid over the frame: uint8 (h, w, 3)."""

    peak: Moment
    picture: NDArray[np.uint8]


def peak_maps(
    source: str, peaks: Sequence[Moment], explainer: Explainer, bars: Bars = NO_BARS
) -> Iterator[PeakMap]:
    """Explain the peaks of a film, in the order of time, without its black bars.

    Raises `VideoError` where it cannot be read.
    """
    for second, pixels in peak_frames(source, peaks, bars):
        prepared = explainer.prepare(pixels)
        for peak in peaks:
            if peak.second == second:
                heatmap = explainer.explain(prepared, make_question(explainer.vocabulary, peak.emotion))
                yield PeakMap(peak, laid_on(heatmap, shrunk(pixels, LONGEST)))
