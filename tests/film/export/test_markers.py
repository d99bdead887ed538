"""Markers in CMX 3600 and OpenTimelineIO, as OpenTimelineIO reads them."""

import json
import re
from dataclasses import replace
from pathlib import Path

import opentimelineio
import pytest

from affectlens.emotions import Vocabulary
from affectlens.errors import SettingsError
from affectlens.film.export.markers import edl, exact, markers, notes, otio
from affectlens.film.export.options import ExportOptions
from rated import rated
from timelines import film_of, timeline_of

PLAIN = ExportOptions()
NTSC = 30000 / 1001


def test_an_edl_is_read_by_opentimelineio_with_a_marker_at_the_frame_of_each_peak_and_turn() -> None:
    timeline = timeline_of()
    read = opentimelineio.adapters.read_from_string(edl(timeline, PLAIN), "cmx_3600", rate=25.0)
    events = list(read.find_clips())
    assert len(events) == len(markers(timeline)) == 6 + 4
    for event, marker in zip(events, markers(timeline), strict=True):
        at = event.source_range.start_time
        assert (at.rate, at.value) == (25.0, round(25 * marker.second))
        assert event.source_range.duration.value == 1
        assert event.markers[0].name.startswith(marker.name.split()[0])
        assert event.markers[0].color == marker.colour


def test_an_edl_has_resolves_markers_and_a_start_at_one_hour_for_the_record_side_alone() -> None:
    text = edl(timeline_of(), ExportOptions(start="01:00:00:00"))
    assert re.search(
        r"^001  AX       V     C        00:00:02:00 00:00:02:01 01:00:02:00 01:00:02:01$", text, re.M
    )
    assert " |C:ResolveColorCyan |M:awe 80 % |D:1" in text
    assert text.startswith("TITLE: night train.mp4\nFCM: NON-DROP FRAME\n")


def test_words_of_their_own_have_colours_in_turn() -> None:
    words = Vocabulary("moods", ("cosy", "awe", "odd"))
    script = ((4.0, "cosy"), (4.0, "awe"), (4.0, "odd"))
    timeline = timeline_of(script, vocabulary=words, polarity=None)
    found = {m.name.split()[0]: m.colour for m in markers(timeline) if m.name.endswith("%")}
    assert found["awe"] == "CYAN" and len(set(found.values())) == 3


def test_29_97_is_counted_with_dropped_numbers_unless_chosen_otherwise() -> None:
    timeline = timeline_of(((120.0, "awe"), (60.0, "fear")), every=5.0, film=film_of(180.0, frame_rate=NTSC))
    text = edl(timeline, PLAIN)
    assert "FCM: DROP FRAME" in text
    turn = timeline.of("turn")[0]
    assert turn.second == 120.0  # frame 3596.4
    assert "00:01:59;28" in text
    assert "00:01:59:26" in edl(timeline, ExportOptions(drop=False))
    assert any("29.97 drop-frame" in note for note in notes(timeline, PLAIN))


def test_more_markers_than_an_edl_can_number_are_refused_with_what_to_do() -> None:
    timeline = timeline_of([(1.0, "awe" if number % 2 else "fear") for number in range(600)], every=1.0)
    with pytest.raises(SettingsError, match="Write otio"):
        edl(timeline, PLAIN)


def test_an_otio_document_is_read_and_written_alike_by_opentimelineio() -> None:
    timeline = timeline_of(film=film_of(22.0, frame_rate=24000 / 1001))
    text = otio(timeline, ExportOptions(start="01:00:00:00"))
    read = opentimelineio.adapters.read_from_string(text, "otio_json")
    assert isinstance(read, opentimelineio.schema.Timeline)
    assert json.loads(opentimelineio.adapters.write_to_string(read, "otio_json")) == json.loads(text)
    clips = list(read.find_clips())
    assert len(clips) == len(timeline.shots)
    rate = 24000 / 1001
    for clip, shot in zip(clips, timeline.shots, strict=True):
        assert clip.source_range.start_time.value == round(shot.start * rate)
        assert clip.media_reference.target_url == timeline.film.name
        assert clip.metadata["affectlens"]["emotions"]["awe"] == pytest.approx(shot.emotions[1], abs=1e-6)
    assert read.duration().value == round(22 * rate)
    assert read.global_start_time.to_timecode(rate, drop_frame=False) == "01:00:00:00"
    assert [each.marked_range.start_time.value for each in read.tracks.markers] == [
        round(marker.second * rate) for marker in markers(timeline)
    ]


def test_a_film_watched_from_its_middle_keeps_its_own_time_in_otio() -> None:
    complete = timeline_of()
    part = replace(complete, shots=complete.shots[1:])
    read = opentimelineio.adapters.read_from_string(otio(part, PLAIN), "otio_json")
    first = next(iter(read.find_clips()))
    assert read.tracks[0].range_of_child(first).start_time.to_seconds() == complete.shots[1].start


def test_otio_names_the_model_its_weights_and_the_version() -> None:
    made = replace(timeline_of(), model="default", weights_hash="0123456789abcdef", version="0.2.0")
    about = json.loads(otio(made, PLAIN))["metadata"]["affectlens"]
    assert [about[name] for name in ("model", "weights", "version")] == ["default", "0123456789ab", "0.2.0"]


def test_frame_numbers_of_a_variable_frame_rate_are_reported_as_inexact() -> None:
    variable = timeline_of(film=film_of(22.0, variable=True))
    assert not exact(variable)
    assert json.loads(otio(variable, PLAIN))["metadata"]["affectlens"]["frame_numbers_exact"] is False
    assert any("variable frame rate" in note for note in notes(variable, PLAIN))
    assert any("guess" in note for note in notes(timeline_of(film=film_of(22.0, frame_rate=None)), PLAIN))
    assert exact(timeline_of())


def test_a_name_of_a_film_cannot_add_lines_to_a_list() -> None:
    timeline = timeline_of(film=film_of(22.0, name="a\n001 |M:x *é.mp4"))
    lines = edl(timeline, PLAIN).splitlines()
    assert lines[0] == "TITLE: a?001 /M:x +?.mp4"


def test_media_is_named_by_an_address_and_its_sound_is_a_track(tmp_path: Path) -> None:
    film = tmp_path / "a film.mp4"
    timeline = timeline_of(film=film_of(22.0, has_sound=True))
    read = opentimelineio.adapters.read_from_string(otio(timeline, ExportOptions(film=film)), "otio_json")
    assert {clip.media_reference.target_url for clip in read.find_clips()} == {film.as_uri()}
    (sound,) = read.audio_tracks()
    assert sound.duration() == read.video_tracks()[0].duration()


def test_a_timecode_that_the_file_states_is_that_of_the_first_frame() -> None:
    timeline = timeline_of(film=film_of(22.0, timecode="10:00:00:00"))
    assert "10:00:02:00 10:00:02:01 10:00:02:00" in edl(timeline, PLAIN)
    assert "10:00:02:00 10:00:02:01 01:00:02:00" in edl(timeline, ExportOptions(start="01:00:00:00"))
    read = opentimelineio.adapters.read_from_string(otio(timeline, PLAIN), "otio_json")
    first = next(iter(read.find_clips()))
    assert first.source_range.start_time == first.available_range().start_time
    assert first.source_range.start_time.value == 36_000 * 25
    assert any("10:00:00:00" in line for line in notes(timeline, PLAIN))
    impossible = timeline_of(film=film_of(22.0, timecode="10:00:00:99"))
    assert "00:00:02:00" in edl(impossible, PLAIN)


def test_a_film_of_uneven_rate_is_counted_at_a_usual_one_or_as_chosen() -> None:
    timeline = timeline_of(film=film_of(22.0, frame_rate=14.367, variable=True))
    assert notes(timeline, PLAIN)[0] == "Timecodes count 24 frames a second."
    chosen = ExportOptions(frame_rate=25.0)
    assert list(notes(timeline, chosen)) == ["Timecodes count 25 frames a second."]
    assert "00:00:02:00" in edl(timeline, chosen)
    with pytest.raises(SettingsError, match="rate"):
        ExportOptions(frame_rate=0.0)


def test_clips_of_a_model_with_ratings_have_their_means() -> None:
    timeline = rated(timeline_of())
    clips = json.loads(otio(timeline, ExportOptions()))["tracks"]["children"][0]["children"]
    found = [clip["metadata"]["affectlens"]["ratings"] for clip in clips]
    assert [list(each) for each in found] == [["valence", "arousal"]] * len(timeline.shots)
    assert found[0]["valence"] == pytest.approx(timeline.shots[0].ratings[0], abs=1e-6)


def test_clips_of_unusual_frames_alone_are_marked() -> None:
    timeline = rated(timeline_of(), 2)
    clips = json.loads(otio(timeline, ExportOptions()))["tracks"]["children"][0]["children"]
    marks = [clip["metadata"]["affectlens"].get("left_out") for clip in clips]
    assert marks == [None, "unusual", None, None, None, None]
