"""A film is sampled by its settings, its frames are predicted as pictures are, and nothing is hidden."""

import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from affectlens.errors import NotAVideo, RunError, SettingsError, VideoDamaged
from affectlens.film import sampler as film_sampler
from affectlens.film import watch as film_watch
from affectlens.film.analysis.build import FramePrediction
from affectlens.film.events import WatchFinished, WatchProgress, WatchRequest, WatchStarted
from affectlens.film.settings import FilmSettings
from affectlens.film.shots import FadeSpan
from affectlens.film.timeline import Counts
from affectlens.film.watch import _left_out_notes, watch
from affectlens.inference.onnx_engine import OnnxEngine
from affectlens.inference.predictor import Predictor
from affectlens.version import VERSION
from affectlens.video import Video, frame_at
from films import as_pictures, plain, scene, write, write_tone
from rated import RatedEngine
from watching import watched


def test_a_film_is_sampled_every_so_many_seconds_of_its_own_time(
    four_scenes: Path, engine: OnnxEngine
) -> None:
    timeline = watched(four_scenes, engine, every=0.5, reuse=False)
    seconds = [sample.second for sample in timeline.samples]
    grid = [next(second for second in seconds if second >= number / 2 - 1e-6) for number in range(16)]
    assert grid == pytest.approx([number / 2 + 0.02 * (number % 2) for number in range(16)])
    assert [shot.start for shot in timeline.shots] == pytest.approx([0, 2, 4, 6])
    assert [shot.begins for shot in timeline.shots] == ["start", "cut", "cut", "cut"]
    assert timeline.shots[-1].end == timeline.film.duration == pytest.approx(8)
    assert timeline.counts.decoded == 200 and timeline.counts.predicted == len(seconds)
    assert timeline.weights_hash == engine.card.weights_hash and timeline.version == VERSION
    assert all(sample.frame == round(sample.second * 25) for sample in timeline.samples)


def test_a_frame_evokes_what_the_same_picture_evokes(four_scenes: Path, engine: OnnxEngine) -> None:
    timeline = watched(four_scenes, engine, every=1.0, reuse=False)
    predictor = Predictor(engine)
    size = engine.card.preprocessing.at_least
    for sample in timeline.samples[::3]:
        alone = predictor(frame_at(four_scenes, sample.second, size))
        assert sample.emotions == pytest.approx(alone.probabilities, abs=2e-5)


def test_a_frame_is_rated_as_the_same_picture_is_and_known_as_unusual(
    four_scenes: Path, engine: OnnxEngine, tmp_path: Path
) -> None:
    rated: Any = RatedEngine(engine)
    timeline = watched(four_scenes, rated, every=1.0, reuse=False)
    predictor, size = Predictor(rated), engine.card.preprocessing.at_least
    assert timeline.scales == rated.card.ratings
    for sample in timeline.samples[::3]:
        file = tmp_path / "frame.png"
        Image.fromarray(frame_at(four_scenes, sample.second, size)).save(file)
        alone = predictor.predict_file(file)
        assert sample.ratings == pytest.approx([each.mean for each in alone.ratings.values()], abs=1e-4)
        assert sample.unusual is alone.unusual is False
    white = as_pictures([scene(1)] * 50 + [scene(1) * 0 + 252] * 50 + [scene(2)] * 50, noise=1)
    cards = watched(write(tmp_path / "cards.mp4", white), rated)
    assert {sample.unusual for sample in cards.samples if 2 <= sample.second < 4} == {True}
    assert {sample.unusual for sample in cards.samples if not 2 <= sample.second < 4} == {False}
    assert any(note.startswith("Unusual frames") for note in cards.notes)
    assert any(sample.unusual and sample.reused for sample in cards.samples), (
        "as the frame that it looks like"
    )


def test_events_begin_with_started_go_on_and_end_with_finished(four_scenes: Path, engine: OnnxEngine) -> None:
    events = list(watch(WatchRequest(source=str(four_scenes), engine=engine, batch_size=2)))
    assert isinstance(events[0], WatchStarted) and isinstance(events[-1], WatchFinished)
    progress = [event for event in events if isinstance(event, WatchProgress)]
    assert len(progress) >= 4 and len(events) == len(progress) + 2
    assert all(a.second <= b.second for a, b in pairwise(progress))
    assert progress[-1].share == pytest.approx(1.0) and progress[-1].shots == 4
    assert progress[0].newest is not None and sum(progress[0].newest) == pytest.approx(1, abs=1e-4)
    assert progress[0].ratings == {} and progress[0].unusual is None
    rated: Any = RatedEngine(engine)
    events = list(watch(WatchRequest(source=str(four_scenes), engine=rated, batch_size=2)))
    assert isinstance(events[1], WatchProgress) and set(events[1].ratings) == {"valence", "arousal"}
    assert events[1].unusual is False


def test_each_shot_is_sampled_even_where_it_is_shorter_than_the_interval(
    tmp_path: Path, engine: OnnxEngine
) -> None:
    frames = (scene(number // 15) for number in range(150))  # 0.6 s each
    path = write(tmp_path / "film.mp4", as_pictures(frames, noise=2))
    timeline = watched(path, engine, every=5.0)
    assert len(timeline.shots) == 10 and all(shot.count >= 1 for shot in timeline.shots)
    assert timeline.counts.predicted <= 13


def test_a_shot_without_a_sample_is_predicted_in_its_middle(
    four_scenes: Path, engine: OnnxEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(film_sampler, "SETTLED", 1e9)  # no shot is sampled because it begins
    timeline = watched(four_scenes, engine, every=5.0)
    assert [sample.second for sample in timeline.samples] == pytest.approx([0, 3, 5, 7], abs=0.05)
    assert [shot.count for shot in timeline.shots] == [1, 1, 1, 1] and timeline.counts.predicted == 4


def test_only_keyframes_are_predicted_and_nothing_else_is_decoded(
    four_scenes: Path, engine: OnnxEngine
) -> None:
    timeline = watched(four_scenes, engine, sampling="keyframes", every=0.0)
    assert timeline.counts.decoded <= 12
    assert [shot.start for shot in timeline.shots] == pytest.approx([0, 2, 4, 6])
    assert timeline.shots[-1].end == pytest.approx(8)
    assert any("keyframes" in note for note in timeline.notes)


def test_a_few_frames_of_each_shot_lie_ever_further_apart(tmp_path: Path, engine: OnnxEngine) -> None:
    path = write(tmp_path / "film.mp4", as_pictures((scene(n // 250) for n in range(500)), noise=2))
    timeline = watched(path, engine, sampling="shots", reuse=False)
    for shot in timeline.shots:
        times = [sample.second for sample in timeline.samples_of(shot)]
        gaps = np.diff(times)
        assert times[0] - shot.start < 0.2 and 4 <= len(times) <= 6
        assert all(b > 1.5 * a for a, b in pairwise(gaps[-4:]))


def test_only_a_part_is_watched_where_one_is_requested(four_scenes: Path, engine: OnnxEngine) -> None:
    timeline = watched(four_scenes, engine, begin=3.0, end=5.0)
    assert [shot.start for shot in timeline.shots] == pytest.approx([3, 4])
    assert timeline.samples[0].second == pytest.approx(3.0) and timeline.samples[-1].second < 5
    assert timeline.shots[-1].end == pytest.approx(5.0) and timeline.counts.decoded == 50
    assert timeline.film.duration == pytest.approx(8)


def test_frames_that_look_the_same_are_predicted_once_and_the_predictions_hardly_differ(
    tmp_path: Path, engine: OnnxEngine
) -> None:
    slides = (scene(number // 100) for number in range(300))
    path = write(tmp_path / "slides.mp4", as_pictures(slides), options={"crf": "23"})
    once = watched(path, engine, every=0.2)
    each = watched(path, engine, every=0.2, reuse=False)
    assert [s.second for s in once.samples] == [s.second for s in each.samples]
    assert once.counts.predicted <= 8 < 55 <= each.counts.predicted
    assert once.counts.reused == sum(sample.reused for sample in once.samples) >= 50
    apart = [
        np.abs(np.subtract(a.emotions, b.emotions)).max()
        for a, b in zip(once.samples, each.samples, strict=True)
    ]
    assert max(apart) < 0.06


def test_a_film_with_grain_and_motion_is_not_mistaken_for_a_still_one(
    tmp_path: Path, engine: OnnxEngine
) -> None:
    frames = (np.roll(scene(1), 2 * number, axis=1) for number in range(100))
    timeline = watched(write(tmp_path / "film.mp4", as_pictures(frames, noise=3)), engine, every=0.2)
    assert timeline.counts.reused == 0


def test_a_film_of_one_frame_and_an_animated_picture_are_films(tmp_path: Path, engine: OnnxEngine) -> None:
    one = write(tmp_path / "one.mp4", [plain((200, 10, 10))])
    assert len(watched(one, engine).samples) == 1
    from PIL import Image

    first, *rest = [Image.fromarray(scene(n).astype(np.uint8)) for n in range(3)]
    for suffix in ("gif", "webp"):
        first.save(tmp_path / f"film.{suffix}", save_all=True, append_images=rest, duration=1000)
        timeline = watched(tmp_path / f"film.{suffix}", engine)
        assert [sample.second for sample in timeline.samples] == pytest.approx([0, 1, 2])
        assert timeline.film.duration == pytest.approx(3.0)


def test_sound_alone_and_impossible_settings_are_errors(tmp_path: Path, engine: OnnxEngine) -> None:
    with av.open(str(tmp_path / "song.m4a"), "w") as out:
        write_tone(out, out.add_stream("aac", rate=44100), 10)
    with pytest.raises(NotAVideo):
        watched(tmp_path / "song.m4a", engine)
    for name, value in [("every", -1), ("prominence", 2.0), ("sampling", "guess"), ("end", 0.0)]:
        with pytest.raises(SettingsError):
            FilmSettings(**{name: value})  # type: ignore[arg-type]


def test_what_is_unusual_about_a_film_is_in_its_notes(tmp_path: Path, engine: OnnxEngine) -> None:
    times = [0.0, 0.04, 0.3, 0.9, 1.0, 1.5]
    path = write(tmp_path / "film.mkv", [scene(n).astype(np.uint8) for n in range(6)], seconds=times)
    timeline = watched(path, engine)
    assert timeline.film.variable and any("uneven" in note for note in timeline.notes)


def test_watching_can_be_ended_early_with_what_was_seen(long_film: Path, engine: OnnxEngine) -> None:
    stop = threading.Event()
    events = watch(WatchRequest(source=str(long_film), engine=engine, stop=stop, threads=1, batch_size=2))
    last: Any = None
    for event in events:
        last = event
        if isinstance(event, WatchProgress) and event.second > 5:
            stop.set()
    assert isinstance(last, WatchFinished)
    assert 5 < last.timeline.samples[-1].second < 39 and any("ended at" in n for n in last.timeline.notes)


def test_a_live_source_is_predicted_as_it_comes_until_it_is_stopped(
    engine: OnnxEngine, free_port: int, tmp_path: Path
) -> None:
    from streams import send

    sender = threading.Thread(target=send, args=(free_port, 120, 0.02), daemon=True)
    sender.start()
    source = f"tcp://127.0.0.1:{free_port}?listen=1"
    timeline = watched(source, engine, every=0.5, out=tmp_path / "out")
    sender.join()
    assert timeline.film.live and len(timeline.samples) >= 3
    assert timeline.samples[0].second == pytest.approx(0, abs=0.2)
    with pytest.raises(RunError, match="is live"):
        watched(source, engine, out=tmp_path / "out", resume=True)


def test_a_model_is_warm_before_a_live_source_is_opened_and_each_answer_is_reported_once(
    engine: OnnxEngine, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from streams import send

    order: list[str] = []

    def noted(*given: Any, **more: Any) -> Video:
        order.append("open")
        return Video(*given, **more)

    monkeypatch.setattr(film_watch, "_warm_up", lambda warmed: order.append("warm"))
    monkeypatch.setattr(film_watch, "Video", noted)
    sender = threading.Thread(target=send, args=(free_port, 60, 0.02), daemon=True)
    sender.start()
    request = WatchRequest(
        source=f"tcp://127.0.0.1:{free_port}?listen=1", engine=engine, settings=FilmSettings(every=0.5)
    )
    *events, last = watch(request)
    sender.join()
    assert order == ["warm", "open"]
    assert isinstance(last, WatchFinished)
    assert sum(isinstance(event, WatchProgress) for event in events) == len(last.timeline.samples)


def test_gaps_of_a_live_source_are_found_and_an_even_rhythm_has_none() -> None:
    assert film_watch._gaps([0.0, 0.5, 10.5, 11.0, 11.5, 15.0]) == [(0.5, 10.5), (11.5, 15.0)]
    assert film_watch._gaps([0.0, 5.0, 10.0, 15.0]) == []
    assert film_watch._gaps([]) == []
    (note,) = film_watch._live_notes(Counts(), [(11.5, 15.0), (0.5, 10.5)])
    assert "from 0.5 s to 10.5 s nothing was predicted, nor in 1 shorter stretch;" in note


def test_frames_within_fades_are_left_out_and_reported(engine: OnnxEngine, tmp_path: Path) -> None:
    """Two seconds in which a scene comes from black, two of it, two in which it goes."""
    light = [min(1.0, number / 50, (149 - number) / 50) for number in range(150)]
    path = write(tmp_path / "fades.mp4", as_pictures(scene(1) * each for each in light))
    timeline = watched(path, engine, every=0.2)
    for sample in timeline.samples:
        if not 1.2 < sample.second < 1.8 and not 4.2 < sample.second < 4.8:
            assert sample.faded is not (1.5 < sample.second < 4.5)
    bright = [sample.emotions for sample in timeline.samples if 2.2 < sample.second < 3.8]
    alone, every = (
        np.mean(rows, axis=0) for rows in (bright, [sample.emotions for sample in timeline.samples])
    )
    assert np.abs(timeline.emotions - alone).sum() < np.abs(every - alone).sum() / 2 > 0.05
    number, total = sum(sample.faded for sample in timeline.samples), len(timeline.samples)
    assert f"Frames that a fade dims: {number} of {total} sampled." in " ".join(timeline.notes)


def test_notes_do_not_claim_that_frames_are_left_out_where_there_are_no_others() -> None:
    frames = [FramePrediction(second, None, (1.0,), unusual=second > 1) for second in (0.0, 1.0, 2.0)]
    some = _left_out_notes([FadeSpan(0.0, 0.5)], frames)
    assert [note.endswith("They are left out of means, moods and peaks.") for note in some] == [True, True]
    every = _left_out_notes([FadeSpan(0.0, 1.5)], frames)
    assert [note.split(":")[1] for note in every] == [
        " 1 of 3 sampled. They are counted, for there are no others.",
        " 2 of 3 sampled. They are counted, for there are no others.",
    ]


def test_black_frames_are_left_out_and_reported(engine: OnnxEngine, tmp_path: Path) -> None:
    picture = scene(3).clip(60, 200)
    dim = [picture * share for share in (0.6, 0.3, 0.1, 0.05)]
    frames = [*[picture] * 40, *dim, *[picture * 0.03] * 30, *dim[::-1], *[picture] * 40]
    film = write(tmp_path / "fade.mp4", as_pictures(iter(frames), noise=1))
    timeline = watched(film, engine, every=0.1)
    assert timeline.counts.black >= 30
    assert not any(1.8 < sample.second < 2.9 for sample in timeline.samples)
    assert any("Black frames" in note for note in timeline.notes)
    empty = write(tmp_path / "black.mp4", [plain((2, 2, 2))] * 25)
    with pytest.raises(VideoDamaged, match="every frame of it is black"):
        watched(empty, engine)
    with pytest.raises(VideoDamaged, match="every keyframe of the part that was watched is black"):
        watched(empty, engine, sampling="keyframes", end=0.5)


@pytest.mark.slow
def test_a_film_of_three_hours_takes_no_more_memory_than_a_short_one(
    engine: OnnxEngine, tmp_path: Path
) -> None:
    """Three hours of 5 frames a second: below 1.5 GB, and no more than 200 MB above what one minute took."""
    psutil = pytest.importorskip("psutil")

    def frames(seconds: int) -> Iterator[Any]:
        for number in range(seconds * 5):
            base = scene(number // 100 % 50)
            yield np.roll(base, number, axis=1).astype(np.uint8)

    options = {"preset": "ultrafast", "g": "50"}
    short = write(tmp_path / "short.mp4", frames(60), rate=5, options=options)
    long = write(tmp_path / "long.mp4", frames(3 * 3600), rate=5, options=options)
    process, most = psutil.Process(), list[int]()
    last: Any
    for path in (short, long):
        peak, last = 0, None
        for event in watch(WatchRequest(source=str(path), engine=engine, settings=FilmSettings(every=4.0))):
            peak, last = max(peak, process.memory_info().rss), event
        assert isinstance(last, WatchFinished)
        most.append(peak)
    assert last.timeline.counts.decoded == 3 * 3600 * 5
    assert abs(len(last.timeline.shots) - 540) <= 5
    assert most[1] < 1.5e9 and most[1] - most[0] < 2e8, most
    print(f"one minute {most[0] / 1e6:.0f} MB, three hours {most[1] / 1e6:.0f} MB")


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port that no one listens to."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    yield port
