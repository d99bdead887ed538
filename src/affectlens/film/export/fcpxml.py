"""A timeline for Final Cut Pro: FCPXML 1.10, a clip for each shot, with the markers that fall within.

DaVinci Resolve reads it too. Times are fractions of a second, whole numbers of frames.

Format: https://developer.apple.com/documentation/professional-video-applications/fcpxml-reference.
"""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from affectlens.film.export.markers import Marker, film_timecode, markers, timecode_of
from affectlens.film.export.options import ExportOptions
from affectlens.film.export.timecode import Timecode
from affectlens.film.timeline import Timeline

VERSION = "1.10"
FORMAT, ASSET = "r1", "r2"


def fcpxml(timeline: Timeline, options: ExportOptions) -> str:
    """Write the document. Raises `SettingsError` for a start that is not a timecode."""
    count, own = timecode_of(timeline, options), film_timecode(timeline, options).start
    end = count.frame(timeline.shots[-1].end) if timeline.shots else 0
    name = _plain(Path(timeline.film.name).name)
    document = Element("fcpxml", version=VERSION)
    _add_resources(SubElement(document, "resources"), timeline, options, count, own, end)
    event = SubElement(SubElement(document, "library"), "event", name=name)
    sequence = SubElement(
        SubElement(event, "project", name=name), "sequence", format=FORMAT, duration=_time(count, end),
        tcStart=_time(count, count.start), tcFormat="DF" if count.drop else "NDF",
    )  # fmt: skip
    _add_clips(SubElement(sequence, "spine"), timeline, count, own, end)
    indent(document, " ")
    text: str = tostring(document, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n{text}\n'


def _add_resources(
    resources: Element, timeline: Timeline, options: ExportOptions, count: Timecode, own: int, end: int
) -> None:
    film = timeline.film
    SubElement(
        resources, "format", id=FORMAT, frameDuration=_time(count, 1),
        width=str(film.width), height=str(film.height),
    )  # fmt: skip
    asset = SubElement(
        resources, "asset", id=ASSET, name=_plain(Path(film.name).name), start=_time(count, own),
        duration=_time(count, end), hasVideo="1", format=FORMAT,
    )  # fmt: skip
    if film.has_sound:
        asset.attrib.update(hasAudio="1", audioSources="1")
    address = film.name if options.film is None else options.film.absolute().as_uri()
    SubElement(asset, "media-rep", kind="original-media", src=_plain(address))


def _add_clips(spine: Element, timeline: Timeline, count: Timecode, own: int, end: int) -> None:
    """Add a clip for each shot that lasts a frame, and a gap for what was not watched before the first."""
    cuts = [count.frame(shot.start) for shot in timeline.shots]
    if any(cuts[:1]):
        SubElement(spine, "gap", name="not watched", offset=_time(count, count.start),
                   start="0s", duration=_time(count, cuts[0]))  # fmt: skip
    found = [(count.frame(marker.second), marker) for marker in markers(timeline)]
    for shot, (first, last) in zip(timeline.shots, pairwise([*cuts, end]), strict=True):
        if last > first:
            clip = SubElement(
                spine, "asset-clip", ref=ASSET, name=f"shot {shot.number}",
                offset=_time(count, count.start + first), start=_time(count, own + first),
                duration=_time(count, last - first),
            )  # fmt: skip
            for frame, marker in found:
                if first <= frame < last or frame == last == end:
                    _add_marker(clip, marker, count, own + min(frame, last - 1))


def _add_marker(clip: Element, marker: Marker, count: Timecode, frame: int) -> None:
    SubElement(
        clip, "marker", start=_time(count, frame), duration=_time(count, 1),
        value=_plain(marker.name), note=_plain(marker.comment),
    )  # fmt: skip


def _time(count: Timecode, frames: int) -> str:
    """Return the time of a frame: 2002/24000 of a second as `1001/12000s`, whole seconds as `2s`."""
    seconds = Fraction(frames) / count.rate
    shown = str(seconds.numerator) if seconds.denominator == 1 else str(seconds)
    return f"{shown}s"


def _plain(text: str) -> str:
    """Return text without the control characters that XML cannot hold."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
