"""Subtitles, as libavformat reads them."""

import io
from dataclasses import replace
from fractions import Fraction
from typing import Any

import av
import pytest

from affectlens.film.export.options import ExportOptions
from affectlens.film.export.subtitles import cues, srt, vtt
from rated import rated
from timelines import SCRIPT, timeline_of

PLAIN = ExportOptions()
WRITERS = {"srt": srt, "vtt": vtt}


def cues_read_by_ffmpeg(text: str, suffix: str) -> list[tuple[int, int, str]]:
    """Start and end in milliseconds and text of each cue, as libavformat reads them."""
    name = {"srt": "srt", "vtt": "webvtt"}[suffix]
    found = []
    with av.open(io.BytesIO(text.encode()), mode="r", format=name) as container:
        stream = container.streams.subtitles[0]
        assert stream.time_base == Fraction(1, 1000)
        for packet in container.demux(stream):
            if packet.pts is not None and packet.duration is not None:
                parts: list[Any] = list(packet.decode())
                text = b"".join(part.dialogue for part in parts).decode()
                found.append((packet.pts, packet.pts + packet.duration, text))
    return found


@pytest.mark.parametrize("kind", ["srt", "vtt"])
def test_subtitles_are_read_by_ffmpeg_with_each_shots_times_and_words(kind: str) -> None:
    timeline = timeline_of()
    found = cues_read_by_ffmpeg(WRITERS[kind](timeline, PLAIN), kind)
    assert [(start / 1000, end / 1000) for start, end, _ in found] == [
        (s.start, s.end) for s in timeline.shots
    ]
    for (_, _, text), (_, emotion) in zip(found, SCRIPT, strict=True):
        assert text.startswith(f"{emotion} 65 %, ")
        assert "polarity" in text


@pytest.mark.parametrize("kind", ["srt", "vtt"])
def test_subtitles_of_moods_join_shots_of_one_mood(kind: str) -> None:
    found = cues_read_by_ffmpeg(WRITERS[kind](timeline_of(), ExportOptions(cues="moods")), kind)
    assert [text.split("\n")[0] for *_, text in found] == [
        "awe",
        "fear",
        "sadness",
        "contentment",
        "amusement",
    ]
    assert found[0][:2] == (0, 7000)


def test_cues_beyond_an_hour_and_without_length_are_right() -> None:
    timeline = timeline_of(((3661.25, "awe"), (0.00000001, "fear"), (2.0, "awe")), every=300.0)
    assert "01:01:01,250 --> 01:01:03,250" in srt(timeline, PLAIN)
    assert len(cues(timeline, "shots")) == 2


def test_a_shot_of_unusual_or_faded_frames_alone_is_named_so_and_evokes_no_emotion() -> None:
    timeline = rated(timeline_of(), 2)
    samples = tuple(replace(each, faded=each.shot == 5) for each in timeline.samples)
    found = cues(replace(timeline, samples=samples), "shots")
    assert [(found[n].title, found[n].detail) for n in (1, 4)] == [
        ("unusual pictures", "shot 2"), ("a fade", "shot 5")
    ]  # fmt: skip
    assert found[2].title.startswith("fear 65 %")


@pytest.mark.parametrize("kind", ["srt", "vtt"])
def test_subtitles_of_shots_have_their_ratings(kind: str) -> None:
    timeline = rated(timeline_of())
    for (*_, text), shot in zip(
        cues_read_by_ffmpeg(WRITERS[kind](timeline, PLAIN), kind), timeline.shots, strict=True
    ):
        valence, arousal = shot.ratings
        assert f", valence {valence:.1f}, arousal {arousal:.1f}" in text
