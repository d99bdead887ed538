"""FCPXML: times that are whole frames, clips that follow one another, markers within their clips."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree

import pytest

from affectlens.film.export.fcpxml import fcpxml
from affectlens.film.export.markers import markers
from affectlens.film.export.options import ExportOptions
from timelines import film_of, timeline_of

PLAIN = ExportOptions()
NTSC = 30000 / 1001


def seconds(element: ElementTree.Element, name: str) -> Fraction:
    text = element.attrib[name]
    assert text.endswith("s")
    return Fraction(text[:-1])


@pytest.mark.parametrize(("rate", "frame"), [(25.0, Fraction(1, 25)), (NTSC, Fraction(1001, 30000))])
def test_clips_follow_one_another_in_whole_frames_and_hold_their_markers(
    rate: float, frame: Fraction
) -> None:
    stated = "10:00:00:00" if rate == 25.0 else "10:00:00;00"
    timeline = timeline_of(film=film_of(22.0, frame_rate=rate, timecode=stated))
    document = ElementTree.fromstring(fcpxml(timeline, ExportOptions(start="01:00:00:00")))
    (sequence,) = document.iter("sequence")
    assert sequence.attrib["tcFormat"] == ("NDF" if rate == 25.0 else "DF")
    (resource,) = document.iter("format")
    assert seconds(resource, "frameDuration") == frame
    clips = list(document.iter("asset-clip"))
    assert len(clips) == len(timeline.shots)
    at = seconds(sequence, "tcStart")
    asset = seconds(next(document.iter("asset")), "start")
    assert at != asset
    for clip, shot in zip(clips, timeline.shots, strict=True):
        assert seconds(clip, "offset") == at
        assert seconds(clip, "start") - asset == round(Fraction(shot.start) / frame) * frame
        at += seconds(clip, "duration")
    assert at - seconds(sequence, "tcStart") == seconds(sequence, "duration")
    found = [
        (seconds(marker, "start") - asset, marker.attrib["value"])
        for clip in clips
        for marker in clip.iter("marker")
    ]
    wanted = [(round(Fraction(each.second) / frame) * frame, each.name) for each in markers(timeline)]
    assert found == wanted
    for clip in clips:
        begin, end = seconds(clip, "start"), seconds(clip, "start") + seconds(clip, "duration")
        assert all(begin <= seconds(marker, "start") < end for marker in clip.iter("marker"))


def test_what_was_not_watched_is_a_gap() -> None:
    complete = timeline_of()
    part = replace(complete, shots=complete.shots[1:])
    spine = next(ElementTree.fromstring(fcpxml(part, PLAIN)).iter("spine"))
    assert [each.tag for each in spine][:2] == ["gap", "asset-clip"]
    assert seconds(spine[1], "offset") == seconds(spine[0], "duration") == Fraction(complete.shots[1].start)


def test_the_film_is_named_by_its_address_and_its_sound(tmp_path: Path) -> None:
    timeline = timeline_of(film=film_of(22.0, has_sound=True, name="a & b\x01 <c>.mp4"))
    film = tmp_path / "a & b.mp4"
    document = ElementTree.fromstring(fcpxml(timeline, ExportOptions(film=film)))
    (media,) = document.iter("media-rep")
    assert media.attrib["src"] == film.as_uri()
    assert next(document.iter("asset")).attrib["hasAudio"] == "1"
