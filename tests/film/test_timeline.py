"""Curves, shots and moments agree with the predictions, and travel through JSON unchanged."""

import json
import math
import time
from contextlib import suppress
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import timelines
from affectlens.emotions import MIKELS, Vocabulary
from affectlens.errors import OutputError, UnknownName
from affectlens.film.analysis.build import AnalysisSettings, FramePrediction, build, shots_without_samples
from affectlens.film.analysis.curves import error_of_mean, smooth, uncertainty
from affectlens.film.analysis.moments import _runs
from affectlens.film.shots import Boundary
from affectlens.film.timeline import Timeline, up_to_milliseconds
from affectlens.video import Film

FILM = Film(name="film.mp4", duration=60.0, width=64, height=48, frame_rate=25.0)
MOMENT = {"kind": "peak", "emotion": "awe", "second": 1, "value": 1, "shot": 1, "start": 1, "end": 1}
AWE, FEAR = MIKELS.index("awe"), MIKELS.index("fear")


def prediction(second: float, fear: float, awe: float | None = None) -> FramePrediction:
    """Fear and awe as given, the rest spread over the other emotions."""
    awe = 1 - fear if awe is None else awe
    row = np.full(len(MIKELS), max(0.0, 1 - fear - awe) / 6)
    row[FEAR], row[AWE] = fear, awe
    return FramePrediction(second, round(second * 25), tuple(row.tolist()))


def timeline_of(
    fears: Any, boundaries: tuple[Boundary, ...] = (), every: float = 0.5, **analysis: float
) -> Timeline:
    predictions = [prediction(number * every, float(fear)) for number, fear in enumerate(fears)]
    end = len(predictions) * every
    return build(FILM, MIKELS, predictions, boundaries, AnalysisSettings(**analysis), model="m", end=end)


def test_a_timeline_goes_through_json_and_comes_back_the_same() -> None:
    timeline = timeline_of(np.linspace(0.1, 0.9, 40), (Boundary(5.0, "cut"), Boundary(12.3, "dissolve", 0.8)))
    assert Timeline.from_text(timeline.to_text()) == timeline
    assert Timeline.from_json(json.loads(json.dumps(timeline.to_json()))).to_json() == timeline.to_json()


@pytest.mark.parametrize("text", ["", "[]", '{"affectlens_timeline": 99}', '{"affectlens_timeline": 1}'])
def test_anything_else_is_not_a_timeline(text: str) -> None:
    with pytest.raises(OutputError, match="timeline"):
        Timeline.from_text(text)


def test_shots_follow_one_another_without_gaps_and_hold_their_samples() -> None:
    boundaries = (Boundary(4.0, "cut"), Boundary(9.9, "fade", 1.0))
    timeline = timeline_of(np.full(40, 0.3), boundaries)
    assert [(s.start, s.end, s.begins) for s in timeline.shots] == [
        (0.0, 4.0, "start"), (4.0, 9.9, "cut"), (9.9, 20.0, "fade"),
    ]  # fmt: skip
    assert [s.count for s in timeline.shots] == [8, 12, 20] and timeline.shots[2].transition == 1.0
    assert all(sample.shot == shot.number for shot in timeline.shots for sample in timeline.samples_of(shot))


def test_a_shot_without_a_sample_is_named_and_else_joined_to_the_one_before() -> None:
    boundaries = (Boundary(1.1, "cut"), Boundary(1.4, "cut"))
    assert shots_without_samples(boundaries, [0.0, 0.5, 1.0, 1.5], 0.0, 2.0) == pytest.approx([1.25])
    timeline = timeline_of([0.2] * 4, boundaries)
    assert [shot.start for shot in timeline.shots] == [0.0, 1.4]


def test_a_shots_mean_weighs_samples_by_the_time_they_stand_for() -> None:
    predictions = [prediction(0.0, 0.0), prediction(9.0, 1.0), prediction(10.0, 1.0)]
    shot = build(FILM, MIKELS, predictions, (), AnalysisSettings(), model="m", end=10.0).shots[0]
    assert shot.emotions[FEAR] == pytest.approx(0.55)  # 4.5 s of 10 without
    assert shot.key_second == 9.0


def test_no_sample_stands_for_a_gap() -> None:
    predictions = [prediction(0.0, 0.0), prediction(1.0, 0.0), prediction(9.0, 1.0), prediction(10.0, 1.0)]
    timeline = build(
        FILM, MIKELS, predictions, (), AnalysisSettings(), model="m", end=10.0, gaps=[(1.0, 9.0)]
    )
    assert timeline.gaps == ((1.0, 9.0),)
    assert timeline.emotions[FEAR] == timeline.shots[0].emotions[FEAR] == pytest.approx(0.5)
    uneven = build(
        FILM, MIKELS, predictions[:3], (), AnalysisSettings(), model="m", end=10.0, gaps=[(1.0, 9.0)]
    )
    assert uneven.emotions[FEAR] == pytest.approx(0.5)  # one second of two that are known
    assert Timeline.from_text(timeline.to_text()) == timeline


def test_smoothing_keeps_to_its_shot_and_a_flat_curve_stays_flat() -> None:
    fears = [0.0] * 10 + [1.0] * 10
    timeline = timeline_of(fears, (Boundary(5.0, "cut"),))
    assert timeline.curve("fear") == pytest.approx(fears, abs=1e-6)
    joined = timeline_of(fears).curve("fear")
    assert 0.1 < joined[9] < 0.5 < joined[10] < 0.9
    assert joined[9] == pytest.approx(1 - joined[10], abs=0.02)  # the last stands for a little more


@pytest.mark.parametrize("half_life", [0.25, 1.0, 4.0])
def test_smoothing_is_the_exponential_of_its_docstring(half_life: float) -> None:
    random = np.random.default_rng(0)
    seconds, values, weights = (
        np.cumsum(random.uniform(0.1, 1, 30)),
        random.random((30, 3)),
        random.random(30),
    )
    kernel = 0.5 ** (np.abs(seconds[:, None] - seconds) / half_life) * weights
    expected = kernel @ values / kernel.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(smooth(values, seconds, weights, half_life), expected, rtol=1e-9)


def test_uncertainty_is_none_of_one_emotion_and_full_of_all_alike() -> None:
    assert uncertainty((1.0, *[0.0] * 7)) == 0 and uncertainty((0.125,) * 8) == pytest.approx(1)


def test_the_error_of_a_mean_covers_it_as_often_as_it_should_also_where_frames_resemble_each_other() -> None:
    random = np.random.default_rng(0)
    for likeness in (0.0, 0.8):
        covered = 0
        for _ in range(300):
            steps = random.normal(size=60)
            values = np.empty(60)
            values[0] = steps[0]
            for step in range(1, 60):
                values[step] = likeness * values[step - 1] + np.sqrt(1 - likeness**2) * steps[step]
            error = error_of_mean(values[:, None], np.ones(60))[0]
            covered += abs(values.mean()) < 1.96 * error
        assert 0.83 < covered / 300 < 0.99


def test_a_shot_of_one_sample_is_as_unsure_as_the_films_samples_differ() -> None:
    fears = [0.4, 0.6, 0.4, 0.6, 0.5]
    timeline = timeline_of(fears, (Boundary(2.0, "cut"),), half_life=0.0)
    assert timeline.shots[1].count == 1 and timeline.shots[1].error[FEAR] == pytest.approx(0.1, abs=0.01)


def hills(*tops: tuple[float, float, float]) -> Any:
    """A curve over 60 s of bells at (second, height, width)."""
    seconds = np.arange(120) / 2
    return 0.1 + sum(height * np.exp(-(((seconds - at) / width) ** 2)) for at, height, width in tops)


def test_peaks_are_found_with_their_prominence_the_most_prominent_first() -> None:
    timeline = timeline_of(hills((15, 0.3, 3), (40, 0.7, 4), (47, 0.05, 1)), half_life=0.0)
    found = timeline.of("peak", "fear")
    assert [(peak.second, round(peak.prominence or 0, 2)) for peak in found] == [(40.0, 0.7), (15.0, 0.3)]
    assert found[0].start < 40 < found[0].end and found[0].value == pytest.approx(0.8)
    assert 5 < found[0].duration < 8


def test_peaks_of_all_emotions_come_with_the_most_prominent_first() -> None:
    found = timeline_of(hills((15, 0.3, 3), (40, 0.7, 4)), half_life=0.0).of("peak")
    heights = [peak.prominence or 0 for peak in found]
    assert heights == sorted(heights, reverse=True) and {peak.emotion for peak in found} >= {"fear", "awe"}


def test_of_two_peaks_that_are_near_the_more_prominent_counts() -> None:
    curve = hills((20, 0.6, 1), (23, 0.4, 1))
    assert [p.second for p in timeline_of(curve, half_life=0.0, distance=5.0).of("peak", "fear")] == [20.0]
    assert len(timeline_of(curve, half_life=0.0, distance=2.0).of("peak", "fear")) == 2


def test_an_emotion_that_is_greatest_at_the_end_has_its_peak_there() -> None:
    peaks = timeline_of(np.linspace(0, 1, 40), half_life=0.0).of("peak", "fear")
    assert [peak.second for peak in peaks] == [19.5]


def test_peaks_agree_with_scipy() -> None:
    signal = pytest.importorskip("scipy.signal")
    random = np.random.default_rng(3)
    curve = np.clip(0.5 + np.cumsum(random.normal(0, 0.05, 300)), 0, 1)
    curve = np.round(curve, 3)
    curve[[0, -1]] = 0.0  # scipy knows no peaks at the ends
    tops, found = signal.find_peaks(curve, prominence=0.1)
    ours = timeline_of(curve, half_life=0.0, distance=0.0).of("peak", "fear")
    prominences = {round(peak.prominence or 0, 4) for peak in ours}
    assert prominences == {round(float(p), 4) for p in found["prominences"]}
    assert len(ours) == len(tops)


def test_moods_and_turns_are_where_the_lead_changes_for_a_while() -> None:
    fears = [0.2] * 20 + [0.8] * 1 + [0.2] * 9 + [0.8] * 30  # the single one is not a turn
    timeline = timeline_of(fears, half_life=0.0)
    turns, moods = timeline.of("turn"), timeline.of("mood")
    assert [(t.before, t.emotion) for t in turns] == [("awe", "fear")] and turns[0].second == pytest.approx(
        14.75
    )
    assert turns[0].value == pytest.approx(0.6)
    assert [(m.emotion, m.start, m.end) for m in moods] == [("fear", 14.75, 30.0), ("awe", 0.0, 14.75)]


def test_a_turn_at_a_cut_is_at_the_cut() -> None:
    timeline = timeline_of([0.1] * 20 + [0.9] * 20, (Boundary(9.62, "cut"),))
    assert timeline.of("turn")[0].second == 9.62


def test_the_most_extreme_frame_is_unsmoothed_and_the_typical_one_is_like_the_others() -> None:
    fears = np.array([0.6] * 30 + [0.99] + [0.62] * 9)
    timeline = timeline_of(fears)
    assert timeline.of("extreme", "fear")[0].second == 15.0
    assert timeline.of("typical", "fear")[0].value == pytest.approx(0.61, abs=0.02)
    assert not timeline.of("typical", "anger") and timeline.of("extreme", "anger")


def test_polarity_is_what_is_positive_less_what_is_negative() -> None:
    timeline = timeline_of([0.25] * 4)
    assert timeline.polarity == pytest.approx([0.5] * 4)
    words = Vocabulary("two", ("calm", "wild"))
    plain = build(
        FILM, words, [FramePrediction(0.0, 0, (0.5, 0.5))], (), AnalysisSettings(), model="m", end=1.0
    )
    assert plain.polarity is None and plain.valence is None


def test_moments_of_an_unknown_emotion_are_an_error_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'fear'"):
        timeline_of([0.5] * 3).of("peak", "feer")


def test_a_film_without_a_predicted_frame_has_no_timeline() -> None:
    with pytest.raises(OutputError, match="not one frame"):
        build(FILM, MIKELS, [], (), AnalysisSettings(), model="m")


def test_a_timeline_of_version_1_is_read() -> None:
    timeline = timeline_of(np.linspace(0.1, 0.9, 20), (Boundary(5.0, "cut"),))
    plain = json.loads(timeline.to_text())
    plain["affectlens_timeline"] = 1
    plain["counts"] = {("judged" if name == "predicted" else name): n for name, n in plain["counts"].items()}
    plain["counts"]["judged"] = 17
    former = Timeline.from_text(json.dumps(plain))
    assert former.counts.predicted == 17
    assert replace(former, counts=timeline.counts) == timeline


def test_a_film_whose_name_is_not_text_has_a_timeline_that_is_read() -> None:
    timeline = timeline_of(np.linspace(0.1, 0.9, 20), (Boundary(5.0, "cut"),))
    named = replace(timeline, film=replace(timeline.film, name="caf\udce9.mp4"))
    assert Timeline.from_text(named.to_text().encode()) == named
    with pytest.raises(OutputError, match="not JSON"):
        Timeline.from_text(named.to_text().replace("0.1", "NaN", 1))


@pytest.mark.parametrize("value", ["\ud800", {"\ud800": "x"}, ["\ud800"]])
@pytest.mark.parametrize("name", ["vocabulary", "settings", "moments", "samples", "film", "\ud800"])
def test_half_of_a_surrogate_pair_in_a_timeline_is_an_error_of_ours_or_none(name: str, value: object) -> None:
    plain = timeline_of(np.linspace(0.1, 0.9, 20), (Boundary(5.0, "cut"),)).to_json()
    text = json.dumps({**plain, name: {**plain[name], **value} if name in ("vocabulary", "settings", "film")
                       and isinstance(value, dict) else value})  # fmt: skip
    with suppress(OutputError):
        Timeline.from_text(text)


def test_a_file_without_a_timeline_is_an_error_with_its_name(tmp_path: Path) -> None:
    for name, content in (("a.json", b"\xff\xfe"), ("b.json", b"{}"), ("c.json", b"[" * 100_000)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(OutputError, match=name):
            Timeline.read(tmp_path / name)
    for missing in (tmp_path, tmp_path / "gone.json"):
        with pytest.raises(OutputError, match="cannot be read"):
            Timeline.read(missing)


@pytest.mark.parametrize(
    "changes",
    [
        {"affectlens_timeline": True},
        {"model": 3},
        {"settings": {"every": "0.5"}},
        {"settings": {"sampling": "guess"}},
        {"settings": {"prominence": 2}},
        {"vocabulary": {"name": "mikels-8", "words": ["awe", "fear"]}},
        {"vocabulary": {"name": "none", "words": []}},
        {"samples": []},
        {"shots": []},
        {"emotions": [2.0, -1.0, 0, 0, 0, 0, 0, 0]},
        {"polarity": [0.5]},
        {"film": {"name": "film.mp4", "duration": "long", "width": 64, "height": 48, "frame_rate": 25}},
        {"film": {"name": "film.mp4", "duration": 60, "width": 0, "height": 48, "frame_rate": 25}},
        {"counts": {"predicted": 1.5}},
        {"notes": "a text"},
        {"moments": [{**MOMENT, "emotion": "joy"}]},
        {"moments": [{**MOMENT, "kind": "dip"}]},
        {"moments": [{**MOMENT, "shot": 9}]},
        {"film": {"name": "film.mp4", "duration": 60, "width": 64, "height": 48, "frame_rate": 1e10}},
        {"film": {"name": "film.mp4", "duration": 1e12, "width": 64, "height": 48, "frame_rate": 25}},
        {"moments": [{**MOMENT, "end": 1e12}]},
        {"gaps": [[3.0, 1e12]]},
        {"gaps": [[3.0, 2.0]]},
        {"gaps": [[3.0]]},
    ],
)
def test_an_altered_timeline_is_an_error(changes: dict[str, Any]) -> None:
    plain = timeline_of(np.linspace(0.1, 0.9, 20), (Boundary(5.0, "cut"),)).to_json()
    assert Timeline.from_json(plain).to_json() == plain
    with pytest.raises(OutputError, match="timeline"):
        Timeline.from_json({**plain, **changes})


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("samples", {"second": "0"}),
        ("samples", {"second": math.nan}),
        ("samples", {"second": 99.0}),
        ("samples", {"shot": 0}),
        ("samples", {"emotions": [1.0]}),
        ("samples", {"smoothed": [9.0] * 8}),
        ("shots", {"begins": "wipe"}),
        ("shots", {"number": 2}),
        ("shots", {"count": 0}),
        ("shots", {"first": 1}),
        ("shots", {"error": []}),
        ("shots", {"end": -1.0}),
        ("shots", {"end": 1e12}),
        ("shots", {"end": 2**64}),
        ("shots", {"key_second": -1e12}),
    ],
)
def test_an_altered_sample_or_shot_is_an_error(part: str, changes: dict[str, Any]) -> None:
    plain = timeline_of(np.linspace(0.1, 0.9, 20), (Boundary(5.0, "cut"),)).to_json()
    plain[part] = [{**plain[part][0], **changes}, *plain[part][1:]]
    with pytest.raises(OutputError, match="altered"):
        Timeline.from_json(plain)


def test_a_source_that_was_watched_for_a_year_has_a_timeline() -> None:
    year = 366 * 24 * 3600.0
    plain = timeline_of(np.linspace(0.1, 0.9, 20), (Boundary(5.0, "cut"),)).to_json()
    plain["shots"][-1]["end"] = year
    assert Timeline.from_json(plain).shots[-1].end == year
    plain["shots"][-1]["end"] = 2 * year
    with pytest.raises(OutputError, match="beyond 10,000 hours"):
        Timeline.from_json(plain)


def test_moments_of_a_long_film_take_no_longer_per_sample() -> None:
    # An hour of samples, still at first, then with another lead at every sample.
    number = 4000
    flicker = np.where(np.arange(number) % 2, 0.7, 0.3)
    begun = time.monotonic()
    for curve in (np.full(2 * number, 0.5), flicker, np.linspace(0, 1, 2 * number)):
        assert timeline_of(curve, half_life=0.0, shortest_mood=20.0).of("mood")
    assert time.monotonic() - begun < 60


@pytest.mark.parametrize("seed", range(5))
def test_short_stretches_join_the_neighbour_whose_emotion_is_stronger_in_them(seed: int) -> None:
    random = np.random.default_rng(seed)
    curves = random.dirichlet(np.ones(4), 60)
    borders = np.concatenate([[0.0], np.cumsum(random.uniform(0.1, 1.0, 60))])
    assert _runs(curves, borders, 2.0) == joined_one_by_one(curves, borders, 2.0)


def joined_one_by_one(curves: Any, borders: Any, shortest: float) -> list[tuple[int, int, int]]:
    """The definition: the shortest stretch of all is joined, again and again."""
    leads = curves.argmax(axis=1).tolist()
    runs = [(number, number + 1, lead) for number, lead in enumerate(leads)]
    while True:
        grouped = [list(group) for _, group in groupby(runs, lambda run: run[2])]
        runs = [(group[0][0], group[-1][1], group[0][2]) for group in grouped]
        lengths = [borders[last] - borders[first] for first, last, _ in runs]
        least = int(np.argmin(lengths))
        if len(runs) == 1 or lengths[least] >= shortest:
            return runs
        first, last, _ = runs[least]
        sides = [runs[side][2] for side in (least - 1, least + 1) if 0 <= side < len(runs)]
        runs[least] = (first, last, max(sides, key=lambda top: float(curves[first:last, top].mean())))


def test_times_to_go_to_never_lie_in_the_frame_before() -> None:
    for frame in range(0, 3000, 7):
        exact = frame * 1001 / 24000
        assert exact - 1e-6 <= up_to_milliseconds(exact) < exact + 0.001


def test_facts_of_words_are_written_and_read_back() -> None:
    words = Vocabulary(
        "moods", ("calm", "wild"), polarity={"calm": "positive"}, colours={"wild": "#aa7733"},
        valence={"calm": 7.0}, aliases={"quiet": "calm"},
    )  # fmt: skip
    script = ((2.0, "calm"), (2.0, "wild"))
    timeline = timelines.timeline_of(script, vocabulary=words, polarity=None)
    read = Timeline.from_text(timeline.to_text()).vocabulary
    for name in ("words", "polarity", "colours", "valence", "aliases"):
        assert getattr(read, name) == getattr(words, name), name
    assert Timeline.from_text(timelines.timeline_of().to_text()).vocabulary is MIKELS
