"""Ratings along a film, and unusual frames, which count for nothing but themselves."""

import json
from typing import Any

import numpy as np
import pytest

from affectlens.emotions import MIKELS
from affectlens.errors import OutputError
from affectlens.film.analysis.build import AnalysisSettings, FramePrediction, build
from affectlens.film.shots import Boundary, FadeSpan
from affectlens.film.timeline import Timeline, frame_interval
from rated import SCALES
from timelines import film_of, led_by

CUTS = (Boundary(4.0, "cut"), Boundary(6.0, "cut"))


def timeline_of(unusual: Any = (), half_life: float = 0.5, scales: Any = SCALES) -> Timeline:
    """Ten seconds of awe with a title card from 4 to 6 s, which a model takes for sadness."""
    predictions = []
    for index in range(20):
        second = index / 2
        emotion = "sadness" if 4 <= second < 6 else "awe"
        ratings = (2.0, 8.0) if 4 <= second < 6 else (6.0, 4.0 + second / 10)
        predictions.append(
            FramePrediction(second, index, led_by(emotion, 0.8), False, ratings if scales else (),
                            index in unusual if scales else None)
        )  # fmt: skip
    analysis = AnalysisSettings(half_life=half_life)
    return build(film_of(10), MIKELS, predictions, CUTS, analysis, model="m", end=10.0, scales=scales)


def test_ratings_are_smoothed_as_emotions_are_and_averaged_over_shots_and_film() -> None:
    timeline = timeline_of()
    assert timeline.rating_names == ("valence", "arousal")
    assert timeline.valence == tuple(sample.smoothed_ratings[0] for sample in timeline.samples)
    assert timeline.shots[0].ratings == pytest.approx((6.0, 4.175), abs=0.05)
    assert timeline.ratings[0] == pytest.approx(0.8 * 6 + 0.2 * 2)
    flat = timeline_of(half_life=0.0)
    assert all(sample.ratings == sample.smoothed_ratings for sample in flat.samples)
    assert Timeline.from_text(timeline.to_text()) == timeline


def test_a_title_card_does_not_count_as_sadness() -> None:
    """Frames 8 to 11 are a shot of their own: it has its mean, and the film's leaves it out."""
    counted, left_out = timeline_of(), timeline_of(range(8, 12))
    sadness = MIKELS.index("sadness")
    assert counted.emotions[sadness] > 0.18 and left_out.emotions[sadness] == pytest.approx(0.2 / 7, abs=1e-6)
    assert left_out.ratings[0] == pytest.approx(6.0)
    assert left_out.shots[1].emotions[sadness] == pytest.approx(0.8)
    assert any(peak.emotion == "sadness" for peak in counted.of("peak"))
    assert not any(moment.emotion == "sadness" for kind in ("peak", "mood", "typical")
                   for moment in left_out.of(kind))  # fmt: skip


def test_an_unusual_frame_does_not_change_its_neighbours() -> None:
    timeline = build(
        film_of(4), MIKELS,
        [FramePrediction(0.0, 0, led_by("awe", 0.8), False, (6.0, 5.0), False),
         FramePrediction(0.5, 1, led_by("fear", 0.8), False, (1.0, 9.0), True),
         FramePrediction(1.0, 2, led_by("awe", 0.8), False, (6.0, 5.0), False)],
        (), AnalysisSettings(), model="m", end=1.5, scales=SCALES,
    )  # fmt: skip
    assert all(sample.smoothed == pytest.approx(led_by("awe", 0.8), abs=1e-6) for sample in timeline.samples)
    assert timeline.samples[1].emotions == pytest.approx(led_by("fear", 0.8)), "it keeps its own prediction"
    assert timeline.shots[0].ratings == pytest.approx((6.0, 5.0)) and timeline.shots[0].key_second != 0.5


def test_frames_that_a_fade_dims_are_left_out_as_unusual_ones_are() -> None:
    """A second of sadness at the end of the awe, as dark frames have it: of a model without a mark, too."""
    predictions = [
        FramePrediction(index / 2, index, led_by("sadness" if index >= 6 else "awe", 0.8))
        for index in range(8)
    ]
    given = (film_of(4), MIKELS, predictions, (), AnalysisSettings())
    counted = build(*given, model="m", end=4.0)
    left_out = build(*given, model="m", end=4.0, fades=[FadeSpan(2.9, 4.0)])
    assert [sample.faded for sample in left_out.samples] == [False] * 6 + [True] * 2
    sadness = MIKELS.index("sadness")
    assert counted.emotions[sadness] > 0.2 and left_out.emotions[sadness] == pytest.approx(0.2 / 7, abs=1e-6)
    assert left_out.shots[0].emotions == left_out.emotions
    assert left_out.samples[7].emotions[sadness] == 0.8, "it keeps its own prediction"
    assert all(moment.second < 2.9 for moment in left_out.moments)
    assert any(moment.second >= 2.9 for moment in counted.moments)
    assert Timeline.from_text(left_out.to_text()) == left_out
    assert "faded" not in counted.to_text() and '"faded":true' in left_out.to_text()


def test_a_shot_of_frames_that_are_left_out_alone_does_not_count_and_evokes_nothing_known() -> None:
    timeline = timeline_of(range(8, 12))
    assert [timeline.left_out_as(shot) for shot in timeline.shots] == [None, "unusual", None]
    predictions = [FramePrediction(index / 2, index, led_by("awe", 0.8)) for index in range(4)]
    cut = (Boundary(1.0, "cut"),)
    given = (film_of(2), MIKELS, predictions, cut, AnalysisSettings())
    timeline = build(*given, model="m", end=2.0, fades=[FadeSpan(1.0, 2.0)])
    assert [timeline.left_out_as(shot) for shot in timeline.shots] == [None, "faded"]


@pytest.mark.parametrize("unusual", [(), range(20)])
def test_where_all_frames_are_unusual_all_count(unusual: Any) -> None:
    timeline = timeline_of(unusual)
    assert timeline.emotions == timeline_of().emotions and timeline.moments == timeline_of().moments


def test_a_model_without_ratings_has_a_timeline_without_a_word_of_them() -> None:
    timeline = timeline_of(scales=())
    plain = timeline.to_json()
    assert timeline.arousal is None and timeline.ratings == ()
    assert not {"ratings", "scales"} & plain.keys()
    assert not {"ratings", "smoothed_ratings", "unusual"} & plain["samples"][0].keys()
    assert "ratings" not in plain["shots"][0] and "second" in plain["samples"][0]
    assert timeline.valence != timeline_of().valence, "that of words, where the model predicts none"


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        (None, {"ratings": [5.0]}),
        (None, {"scales": []}),
        (None, {"scales": [{"name": "valence", "coverages": [], "half_widths": []}] * 2}),
        (None, {"scales": [SCALES[0].to_json()] * 2}),
        ("samples", {"ratings": [5.0]}),
        ("samples", {"ratings": [5.0, 9.5]}),
        ("samples", {"smoothed_ratings": []}),
        ("samples", {"unusual": 1}),
        ("shots", {"ratings": [0.0, 5.0]}),
    ],
)
def test_altered_ratings_are_an_error(part: str | None, changes: dict[str, Any]) -> None:
    plain = json.loads(timeline_of().to_text())
    (plain[part][1] if part else plain).update(changes)
    with pytest.raises(OutputError, match="incomplete or was altered"):
        Timeline.from_json(plain)


def test_an_interval_is_that_of_a_picture_and_wider_for_an_unusual_one() -> None:
    usual, unusual = (frame_interval(SCALES[0], 5.0, unusual=each) for each in (False, True))
    assert (usual.low, usual.high) == (3.0, 7.0) and (unusual.low, unusual.high) == (2.5, 7.5)
    assert np.allclose(frame_interval(SCALES[0], 8.5), (8.5, 6.5, 9.0))
