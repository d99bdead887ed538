"""A film's path through valence and arousal, as one figure."""

import numpy as np

from affectlens.film.report.curves import curves
from affectlens.film.timeline import Timeline, frame_interval
from affectlens.ratings import AROUSAL, VALENCE
from affectlens.report.circumplex import CircumplexPath, CircumplexPoint, draw_circumplex, plane_of
from affectlens.report.figures import Figure

# Points of a path; of more, a film would cover the plane with its line.
MAX_PATH = 60
# Share of a point's time that may be left out.
_MOSTLY = 0.5


def film_circumplex(timeline: Timeline) -> Figure | None:
    """Draw a film's path, without unusual and faded frames, and its mean with intervals of a single frame.

    None where the model does not predict both ratings.
    """
    names = timeline.rating_names
    if not {VALENCE, AROUSAL} <= set(names):
        return None
    first, second = names.index(VALENCE), names.index(AROUSAL)
    valence, arousal = (
        frame_interval(timeline.scales[index], timeline.ratings[index]) for index in (first, second)
    )
    plane = plane_of(timeline.scales)
    all_unusual = all(sample.unusual is True for sample in timeline.samples)
    mean = CircumplexPoint(valence=valence, arousal=arousal, name="mean", unusual=all_unusual)
    return draw_circumplex(
        [mean],
        film_path(timeline, first, second),
        valence=plane[0],
        arousal=plane[1],
    )


def film_path(timeline: Timeline, first: int, second: int) -> CircumplexPath:
    """Return a film's smoothed valence and arousal, the ratings of these indices, without what is left out:
    unusual and faded frames.

    Points are not joined across these, nor across the gaps of a live source.
    """
    found = curves(timeline, MAX_PATH)
    kept = np.flatnonzero(found.unusual + found.faded <= _MOSTLY)
    seconds = found.seconds[kept]
    joined = np.diff(kept, prepend=-2) == 1
    for begin, end in timeline.gaps:
        joined[1:] &= ~((seconds[:-1] <= begin) & (seconds[1:] >= end))
    return CircumplexPath(
        valence=found.ratings[kept, first],
        arousal=found.ratings[kept, second],
        seconds=seconds,
        joined=joined,
    )
