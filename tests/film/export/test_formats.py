import io
import json
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import opentimelineio as otio
import pytest

from affectlens.errors import SettingsError
from affectlens.film.export.formats import EXPORTS, Options, exact, markers, notes, stretches
from affectlens.film.timeline import Timeline
from timelines import SCRIPT, film_of, timeline_of

PLAIN = Options()
NTSC = 30000 / 1001


def written(kind: str, timeline: Timeline, options: Options = PLAIN) -> str:
    return EXPORTS[kind][1](timeline, options)


def cues_read_by_ffmpeg(text: str, suffix: str) -> list[tuple[int, int, str]]:
    """Start and end in milliseconds and text of each cue, as libavformat reads them."""
    name = {"srt": "srt", "vtt": "webvtt"}[suffix]
    cues = []
    with av.open(io.BytesIO(text.encode()), mode="r", format=name) as container:
        stream = container.streams.subtitles[0]
        assert stream.time_base == Fraction(1, 1000)
        for packet in container.demux(stream):
            if packet.pts is not None and packet.duration is not None:
                parts: list[Any] = list(packet.decode())
                said = b"".join(part.dialogue for part in parts).decode()
                cues.append((packet.pts, packet.pts + packet.duration, said))
    return cues


@pytest.mark.parametrize("kind", ["srt", "vtt"])
def test_subtitles_are_read_by_ffmpeg_with_each_shots_times_and_words(kind: str) -> None:
    timeline = timeline_of()
    cues = cues_read_by_ffmpeg(written(kind, timeline), kind)
    assert [(start / 1000, end / 1000) for start, end, _ in cues] == [
        (s.start, s.end) for s in timeline.shots
    ]
    for (_, _, said), (_, emotion) in zip(cues, SCRIPT, strict=True):
        assert said.startswith(f"{emotion} 65 %, ")
        assert "polarity" in said


@pytest.mark.parametrize("kind", ["srt", "vtt"])
def test_subtitles_of_moods_join_shots_of_one_mood(kind: str) -> None:
    cues = cues_read_by_ffmpeg(written(kind, timeline_of(), Options(cues="moods")), kind)
    assert [said.split("\n")[0] for *_, said in cues] == [
        "awe",
        "fear",
        "sadness",
        "contentment",
        "amusement",
    ]
    assert cues[0][:2] == (0, 7000)


def test_cues_beyond_an_hour_and_without_length_are_right() -> None:
    timeline = timeline_of(((3661.25, "awe"), (0.0001, "fear"), (2.0, "awe")), every=300.0)
    assert "01:01:01,250 --> 01:01:03,250" in written("srt", timeline)
    assert len(stretches(timeline, "shots")) == 2


def test_chapters_are_read_by_ffmpeg_one_a_mood_and_odd_letters_survive() -> None:
    timeline = timeline_of()
    with av.open(io.BytesIO(written("chapters", timeline).encode()), format="ffmetadata") as container:
        found: list[Any] = container.chapters()
    times = [(each["start"] * each["time_base"], each["end"] * each["time_base"]) for each in found]
    assert times == [(0, 7), (7, 12), (12, Fraction("14.5")), (Fraction("14.5"), Fraction("20.5")),
                     (Fraction("20.5"), 22)]  # fmt: skip
    assert [each["metadata"]["title"] for each in found][:2] == ["awe", "fear"]
    calm = replace(timeline, moments=())  # chapters of shots, whose titles have signs in them
    with av.open(io.BytesIO(written("chapters", calm).encode()), format="ffmetadata") as container:
        assert container.chapters()[0]["metadata"]["title"] == "awe 65 %, amusement 5 %, contentment 5 %"


def test_an_edl_is_read_by_opentimelineio_with_a_marker_at_the_frame_of_each_peak_and_turn() -> None:
    timeline = timeline_of()
    read = otio.adapters.read_from_string(written("edl", timeline), "cmx_3600", rate=25.0)
    events = list(read.find_clips())
    assert len(events) == len(markers(timeline)) == 6 + 4
    for event, marker in zip(events, markers(timeline), strict=True):
        at = event.source_range.start_time
        assert (at.rate, at.value) == (25.0, round(25 * marker.second))
        assert event.source_range.duration.value == 1
        assert event.markers[0].name.startswith(marker.name.split()[0])
        assert event.markers[0].color == marker.colour


def test_an_edl_has_resolves_markers_and_a_start_at_one_hour_for_the_record_side_alone() -> None:
    text = written("edl", timeline_of(), Options(start="01:00:00:00"))
    assert re.search(
        r"^001  AX       V     C        00:00:02:00 00:00:02:01 01:00:02:00 01:00:02:01$", text, re.M
    )
    assert " |C:ResolveColorCyan |M:awe 80 % |D:1" in text
    assert text.startswith("TITLE: night train.mp4\nFCM: NON-DROP FRAME\n")


def test_29_97_is_counted_with_dropped_numbers_unless_asked_otherwise() -> None:
    timeline = timeline_of(((120.0, "awe"), (60.0, "fear")), every=5.0, film=film_of(180.0, frame_rate=NTSC))
    text = written("edl", timeline)
    assert "FCM: DROP FRAME" in text
    turn = timeline.of("turn")[0]
    assert turn.second == 120.0  # frame 3596.4
    assert "00:01:59;28" in text
    assert "00:01:59:26" in written("edl", timeline, Options(drop=False))
    assert any("29.97 drop-frame" in note for note in notes(timeline, PLAIN))


def test_more_markers_than_an_edl_can_number_are_refused_with_what_to_do() -> None:
    timeline = timeline_of([(1.0, "awe" if place % 2 else "fear") for place in range(600)], every=1.0)
    with pytest.raises(SettingsError, match="Write otio"):
        written("edl", timeline)


def test_an_otio_document_is_read_and_written_alike_by_opentimelineio() -> None:
    timeline = timeline_of(film=film_of(22.0, frame_rate=24000 / 1001))
    text = written("otio", timeline, Options(start="01:00:00:00"))
    read = otio.adapters.read_from_string(text, "otio_json")
    assert isinstance(read, otio.schema.Timeline)
    assert json.loads(otio.adapters.write_to_string(read, "otio_json")) == json.loads(text)
    clips = list(read.find_clips())
    assert len(clips) == len(timeline.shots)
    rate = 24000 / 1001
    for clip, shot in zip(clips, timeline.shots, strict=True):
        assert clip.source_range.start_time.value == round(shot.start * rate)
        assert clip.media_reference.target_url == timeline.film.name
        assert clip.metadata["affectlens"]["emotions"]["awe"] == pytest.approx(shot.emotions[1], abs=1e-6)
    assert read.duration().value == round(22 * rate)
    assert read.global_start_time.to_timecode(rate, drop_frame=False) == "01:00:00:00"
    placed = read.tracks.markers
    assert [each.marked_range.start_time.value for each in placed] == [
        round(marker.second * rate) for marker in markers(timeline)
    ]


def test_a_film_watched_from_its_middle_keeps_its_own_time_in_otio() -> None:
    whole = timeline_of()
    part = replace(whole, shots=whole.shots[1:])
    read = otio.adapters.read_from_string(written("otio", part), "otio_json")
    first = next(iter(read.find_clips()))
    assert read.tracks[0].range_of_child(first).start_time.to_seconds() == whole.shots[1].start


def test_frame_numbers_of_uneven_films_are_said_to_be_no_exact_ones() -> None:
    uneven = timeline_of(film=film_of(22.0, variable=True))
    assert not exact(uneven)
    assert json.loads(written("otio", uneven))["metadata"]["affectlens"]["frame_numbers_exact"] is False
    assert any("uneven times" in note for note in notes(uneven, PLAIN))
    assert any("guess" in note for note in notes(timeline_of(film=film_of(22.0, frame_rate=None)), PLAIN))
    assert exact(timeline_of())


def test_a_name_of_a_film_cannot_add_lines_to_a_list(tmp_path: Path) -> None:
    timeline = timeline_of(film=film_of(22.0, name="a\n001 |M:x *é.mp4"))
    lines = written("edl", timeline).splitlines()
    assert lines[0] == "TITLE: a?001 /M:x +?.mp4"
