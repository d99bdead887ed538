"""What a model with attributes sees at a film's peaks, and what of it speaks for the emotion there."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from affectlens.film.bars import NO_BARS, Bars
from affectlens.film.peak_frames import peak_frames
from affectlens.film.timeline import Moment
from affectlens.inference.attribute_evidence import evidence_of
from affectlens.inference.engine import Engine

Evidence = Mapping[str, Any]  # of one frame, as `evidence_of` describes it


def peak_attributes(
    source: str, peaks: Sequence[Moment], engine: Engine, bars: Bars = NO_BARS
) -> Iterator[tuple[float, Evidence]]:
    """Describe the frames of a film's peaks, by second, in the order of time, without its black bars.

    Reasons are for the likeliest emotion of the frame, which need not be that of the peak. A model without
    attributes yields nothing. Raises `VideoError` where the film cannot be read.
    """
    card = engine.card
    if not (card.attributes and engine.explains):
        return
    for second, pixels in peak_frames(source, peaks, bars):
        _, explained = engine.explain(card.preprocessing.fit_pixels(pixels)[None])
        yield second, evidence_of(explained, card.attributes, card.vocabulary)[0]
