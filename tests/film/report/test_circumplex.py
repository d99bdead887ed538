"""A film's path through valence and arousal."""

from dataclasses import replace

import numpy as np

from affectlens.film.report.circumplex import MAX_PATH, film_circumplex, film_path
from rated import SCALES, rated
from timelines import timeline_of


def test_a_path_goes_from_the_first_rating_to_the_last_in_few_points() -> None:
    timeline = rated(timeline_of([(200.0, "awe"), (200.0, "fear")]))
    path = film_path(timeline, 0, 1)
    assert 10 < len(path.seconds) <= MAX_PATH and np.all(np.diff(path.seconds) >= 0)
    assert abs(path.valence[0] - 4) < 0.1 and abs(path.arousal[-1] - 6) < 0.1


def test_unusual_frames_and_gaps_interrupt_a_path() -> None:
    timeline = rated(timeline_of(), 2)
    path = film_path(timeline, 0, 1)
    card = timeline.shots[1]
    assert not np.any((path.seconds > card.start) & (path.seconds < card.end))
    assert np.count_nonzero(~path.joined) == 2, "the first point, and the one after the card"
    assert np.count_nonzero(~film_path(replace(timeline, gaps=((15.0, 15.5),)), 0, 1).joined) == 3


def test_a_film_without_both_ratings_has_no_such_figure() -> None:
    assert film_circumplex(timeline_of()) is None
    assert film_circumplex(rated(timeline_of(), scales=SCALES[:1])) is None
    assert film_circumplex(rated(timeline_of())) is not None
