"""A timeline as curves of bounded length."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectlens.emotions import MIKELS, Vocabulary
from affectlens.film.report.curves import (
    MAX_POINTS,
    bands,
    curves,
    extent,
    leading_runs,
    left_out_spans,
    rating_curves,
    sample_spans,
    strip_shots,
)
from rated import rated
from timelines import SCRIPT, led_by, timeline_of

LONG = [(7.3, MIKELS.words[number % 8]) for number in range(300)]


def test_a_short_film_keeps_every_frame_and_jumps_at_cuts() -> None:
    timeline = timeline_of()
    found = curves(timeline)
    assert found.averaged_over == 0
    assert len(found.seconds) == len(timeline.samples) + 2 * len(timeline.shots)
    assert np.all(np.diff(found.seconds) >= 0)
    at_cut = np.flatnonzero(found.seconds == 7.0)
    assert found.emotions[at_cut[0]].argmax() == MIKELS.index("awe")
    assert found.emotions[at_cut[-1]].argmax() == MIKELS.index("fear")
    np.testing.assert_allclose(found.emotions.sum(axis=1), 1)


def test_a_long_film_is_averaged_to_few_points_that_keep_its_mean() -> None:
    timeline = timeline_of(LONG)
    found = curves(timeline, max_points=100)
    assert found.emotions.shape == (100, 8)
    assert found.averaged_over == pytest.approx(300 * 7.3 / 100)
    weights = np.array([stop - start for start, stop in sample_spans(timeline)])
    values = np.array([sample.smoothed for sample in timeline.samples])
    np.testing.assert_allclose(found.emotions.mean(axis=0), weights @ values / weights.sum(), rtol=1e-9)
    np.testing.assert_allclose(found.emotions.sum(axis=1), 1)
    assert found.polarity is not None
    assert np.abs(found.polarity).max() <= 1


@given(lengths=st.lists(st.floats(0.04, 30), min_size=1, max_size=30))
def test_what_samples_stand_for_covers_the_film_once(lengths: list[float]) -> None:
    timeline = timeline_of([(length, "awe") for length in lengths])
    spans = sample_spans(timeline)
    assert len(spans) == len(timeline.samples)
    begin, end = extent(timeline)
    assert spans[0][0] == begin
    assert spans[-1][1] == pytest.approx(end)
    for (_, stop), (start, _) in pairwise(spans):
        assert stop == pytest.approx(start)


def test_runs_join_shots_of_one_emotion_and_cover_the_film() -> None:
    found = leading_runs(timeline_of())
    assert [run.emotion for run in found] == ["awe", "fear", "sadness", "contentment", "amusement"]
    assert found[0].start == 0
    assert [run.start for run in found[1:]] == [run.end for run in found[:-1]]
    assert found[-1].end == sum(length for length, _ in SCRIPT)


def test_what_leads_for_an_instant_of_a_long_film_goes_to_the_run_before() -> None:
    timeline = timeline_of([(500.0, "awe"), (0.5, "fear"), (500.0, "awe")])
    assert [run.emotion for run in leading_runs(timeline)] == ["awe"]


def test_bands_lie_around_each_shots_mean_and_within_minus_one_and_one() -> None:
    timeline = timeline_of()
    found = bands(timeline)
    assert [band.start for band in found] == [shot.start for shot in timeline.shots]
    assert found[0].mean == pytest.approx(0.6)
    assert found[0].low < 0.6 < found[0].high
    still = replace(
        timeline,
        samples=tuple(replace(sample, emotions=led_by("awe", 0.65)) for sample in timeline.samples),
    )
    assert all(band.high - band.low == pytest.approx(0, abs=1e-9) for band in bands(still))
    single = timeline_of(every=100.0)  # one frame a shot: only its emotions' errors are known
    assert bands(single)[0].high - bands(single)[0].low == pytest.approx(2 * 1.96 * 0.02 * 8**0.5)
    wide = replace(single, shots=tuple(replace(shot, error=(0.9,) * 8) for shot in single.shots))
    assert all((band.low, band.high) == (-1, 1) for band in bands(wide))


def test_bands_of_many_shots_are_averaged_and_of_words_without_polarity_there_are_none() -> None:
    few = bands(timeline_of(LONG), max_bands=50)
    assert len(few) == 50
    assert all(band.low < band.mean < band.high for band in few)
    assert (
        bands(timeline_of(((1.0, "red"),), vocabulary=Vocabulary("own", ("red", "blue")), polarity=None))
        == []
    )


def test_a_strip_of_many_shots_shows_the_longest_of_each_part_of_the_time() -> None:
    script = [(1.0, "awe"), (3.0, "fear"), (1.0, "awe")] * 40
    timeline = timeline_of(script)
    shown = strip_shots(timeline, 40)
    assert len(shown) == 40
    assert {shot.duration for shot in shown} == {3.0}
    assert [shot.number for shot in shown] == sorted(shot.number for shot in shown)
    assert strip_shots(timeline, 120) == list(timeline.shots)


def test_intervals_are_as_wide_at_every_point_and_wider_where_frames_are_unusual() -> None:
    timeline = rated(timeline_of(), 2)
    found = curves(timeline)
    valence, arousal = rating_curves(timeline, found)
    inside = (found.seconds > 4.0) & (found.seconds < 7.0)
    assert np.allclose((valence.high - valence.low)[inside], 5.0)
    assert np.allclose((valence.high - valence.low)[found.seconds < 4.0], 4.0)
    assert np.allclose((arousal.high - arousal.low)[found.seconds > 7.0], 3.0)
    assert left_out_spans(timeline) == [(4.0, 7.0)] and left_out_spans(timeline_of()) == []


def test_a_long_film_with_ratings_keeps_their_mean() -> None:
    timeline = rated(timeline_of([(2000.0, "awe"), (10.0, "fear")]), 2)
    found = curves(timeline)
    assert found.ratings.shape == (MAX_POINTS, 2) and abs(found.ratings.mean() - 5) < 0.01
    assert 0 < found.unusual.sum() < 10 and found.unusual[-1] == 1
