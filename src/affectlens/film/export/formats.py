"""A timeline as text that other programs read: subtitles, chapters, and markers for editing systems.

    srt, vtt      a cue for each shot, or for each mood
    chapters      ffmetadata, which `ffmpeg -i FILM -i FILE -map_metadata 1 -codec copy OUT` puts into a film
    edl           CMX 3600: an event for each peak and each change of mood, with a marker in it
    otio          OpenTimelineIO: a clip for each shot, markers at peaks and at changes of mood

Times are those of the film; where frames are counted (edl, otio), each is the frame nearest to its time, at
the film's rate, see `timecode`. A film whose frames follow at uneven times has no exact frame numbers: its
average rate is counted, and `exact` says so.

Formats: SubRip as VLC and ffmpeg read it; WebVTT, https://www.w3.org/TR/webvtt1/; ffmetadata,
    https://ffmpeg.org/ffmpeg-formats.html#Metadata-1; CMX 3600 with the comments of Avid (`* LOC:`) and of
    DaVinci Resolve (`|C: |M: |D:`), which read each its own; OpenTimelineIO's JSON, of the schema versions in
    https://opentimelineio.readthedocs.io/en/stable/tutorials/otio-serialized-schema.html.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from affectlens.errors import SettingsError
from affectlens.film.export.timecode import Timecode, of_rate
from affectlens.film.report.text import polarity_of, says
from affectlens.film.timeline import Moment, Shot, Timeline
from affectlens.report.text import clock, percent, signed
from affectlens.video import UNKNOWN_RATE

Cues = Literal["shots", "moods"]
Export = Callable[[Timeline, "Options"], str]

_EDL_EVENTS = 999  # CMX 3600 has three digits for them
_LONGEST_NAME = 60  # characters of a marker


@dataclass(frozen=True, kw_only=True)
class Options:
    """What can be chosen of exports.

    Attributes:
        cues: what subtitles stand for
        start: timecode of the film's first frame in the editing system; None is 00:00:00:00
        drop: whether timecode leaves out numbers; None where that is usual, at 29.97 and 59.94
    """

    cues: Cues = "shots"
    start: str | None = None
    drop: bool | None = None


@dataclass(frozen=True)
class Stretch:
    """A part of a film with what is said of it: seconds, and probabilities (E,) or none."""

    start: float
    end: float
    title: str
    detail: str


def timecode_of(timeline: Timeline, options: Options) -> Timecode:
    """How the film's frames are counted. Raises `SettingsError` for a start that is no timecode."""
    rate = timeline.film.frame_rate
    return of_rate(Fraction(rate or UNKNOWN_RATE), options.drop, options.start)


def exact(timeline: Timeline) -> bool:
    """Whether frame numbers are exact: of films that say their rate and keep to it."""
    return bool(timeline.film.frame_rate) and not timeline.film.variable


# ------------------------------------------------------------------------------------------- subtitles


def srt(timeline: Timeline, options: Options) -> str:
    """SubRip: times in milliseconds."""
    cues = [
        f"{number}\n{_stamp(each.start, ',')} --> {_stamp(each.end, ',')}\n{each.title}\n{each.detail}\n"
        for number, each in enumerate(stretches(timeline, options.cues), start=1)
    ]
    return "\n".join(cues)


def vtt(timeline: Timeline, options: Options) -> str:
    """WebVTT: times in milliseconds."""
    cues = [
        f"{number}\n{_stamp(each.start, '.')} --> {_stamp(each.end, '.')}\n"
        f"{escape(each.title, quote=False)}\n{escape(each.detail, quote=False)}\n"
        for number, each in enumerate(stretches(timeline, options.cues), start=1)
    ]
    note = "NOTE What the pictures are likely to evoke on average, by AffectLens.\n"
    return "\n".join(["WEBVTT\n", note, *cues])


def stretches(timeline: Timeline, cues: Cues) -> list[Stretch]:
    """What subtitles say, in the order of time, without overlap; what lasts no millisecond is left out."""
    found = _shots(timeline) if cues == "shots" else _moods(timeline)
    return [each for each in found if _milliseconds(each.end) > _milliseconds(each.start)]


def _shots(timeline: Timeline) -> Iterator[Stretch]:
    for shot in timeline.shots:
        polarity = polarity_of(timeline.vocabulary, shot.emotions)
        tone = "" if polarity is None else f", polarity {signed(polarity)}"
        said = says(timeline.vocabulary, shot.emotions)
        yield Stretch(shot.start, shot.end, said, f"shot {shot.number}{tone}")


def _moods(timeline: Timeline) -> Iterator[Stretch]:
    for mood in sorted(timeline.of("mood"), key=lambda each: each.start):
        yield Stretch(mood.start, mood.end, mood.emotion, f"mean {percent(mood.value)}")


def _stamp(seconds: float, point: str) -> str:
    whole, thousandths = divmod(_milliseconds(seconds), 1000)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours:02}:{minute:02}:{second:02}{point}{thousandths:03}"


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)


# -------------------------------------------------------------------------------------------- chapters


def chapters(timeline: Timeline, options: Options) -> str:
    """A chapter for each mood, as ffmpeg reads it; for each shot where there is no mood."""
    del options
    lines = [";FFMETADATA1"]
    for each in stretches(timeline, "moods" if timeline.of("mood") else "shots"):
        lines += [
            "[CHAPTER]",
            "TIMEBASE=1/1000",
            f"START={_milliseconds(each.start)}",
            f"END={_milliseconds(each.end)}",
            f"title={_for_ffmetadata(each.title)}",
        ]
    return "\n".join(lines) + "\n"


def _for_ffmetadata(text: str) -> str:
    return "".join(f"\\{letter}" if letter in "=;#\\\n" else letter for letter in text)


# --------------------------------------------------------------------------------------------- markers


@dataclass(frozen=True)
class Marker:
    """A place for an editor: second, length in seconds, a name, more, and one of the eight usual colours."""

    second: float
    duration: float
    name: str
    comment: str
    colour: str


# Negative emotions have warm or dark colours, positive ones light or cool ones; all that both systems know.
_COLOURS = {
    "amusement": "YELLOW", "awe": "CYAN", "contentment": "GREEN", "excitement": "MAGENTA",
    "anger": "RED", "disgust": "BLACK", "fear": "BLUE", "sadness": "WHITE",
}  # fmt: skip
_RESOLVE = {
    "YELLOW": "ResolveColorYellow", "CYAN": "ResolveColorCyan", "GREEN": "ResolveColorGreen",
    "MAGENTA": "ResolveColorFuchsia", "RED": "ResolveColorRed", "BLACK": "ResolveColorCocoa",
    "BLUE": "ResolveColorBlue", "WHITE": "ResolveColorCream", "PURPLE": "ResolveColorPurple",
}  # fmt: skip


def markers(timeline: Timeline) -> list[Marker]:
    """Peaks, and changes of mood, in the order of time."""
    found = [_peak(each) for each in timeline.of("peak")] + [_turn(each) for each in timeline.of("turn")]
    return sorted(found, key=lambda marker: (marker.second, marker.name))


def _peak(peak: Moment) -> Marker:
    lasts = f"from {clock(peak.start, 1)} to {clock(peak.end, 1)}"
    comment = f"peak, {lasts}, stands out by {percent(peak.prominence or 0.0)}"
    return Marker(peak.second, 0.0, f"{peak.emotion} {percent(peak.value)}", comment, _colour(peak))


def _turn(turn: Moment) -> Marker:
    return Marker(
        turn.second, 0.0, f"{turn.before} to {turn.emotion}", "the mood changes here", _colour(turn)
    )


def _colour(moment: Moment) -> str:
    return _COLOURS.get(moment.emotion, "PURPLE")


def edl(timeline: Timeline, options: Options) -> str:
    """CMX 3600, an event of one frame for each marker.

    Raises `SettingsError` for a film that has more markers than such a list can number.
    """
    found, count = markers(timeline), timecode_of(timeline, options)
    if len(found) > _EDL_EVENTS:
        raise SettingsError(
            f"{len(found):,} markers are more than the {_EDL_EVENTS} events of a CMX 3600 list. Write otio, "
            "or "
            "find fewer peaks with a greater --prominence."
        )
    film = replace(count, start=0)  # the film's own timecode; the list's may begin at an hour
    lines = [f"TITLE: {_title(timeline)}", f"FCM: {'DROP FRAME' if count.drop else 'NON-DROP FRAME'}", ""]
    for number, marker in enumerate(found, start=1):
        frame = count.frame(marker.second)
        here, after = count.of_frame(frame), count.of_frame(frame + 1)
        source = f"{film.of_frame(frame)} {film.of_frame(frame + 1)}"
        name = _plain(marker.name)
        lines += [
            f"{number:03}  AX       V     C        {source} {here} {after}",
            f"* FROM CLIP NAME: {_title(timeline)}",
            f"* LOC: {here} {marker.colour:<7} {name}",
            f"* COMMENT: {_plain(marker.comment)}",
            f" |C:{_RESOLVE[marker.colour]} |M:{name} |D:1",
            "",
        ]
    return "\n".join(lines)


def _title(timeline: Timeline) -> str:
    return _plain(Path(timeline.film.name).name)


def _plain(text: str) -> str:
    """Text for one line of a list: ASCII, without what parts its fields."""
    letters = "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in text)
    return " ".join(letters.replace("|", "/").replace("*", "+").split())[:_LONGEST_NAME]


# ----------------------------------------------------------------------------------------------- otio


def otio(timeline: Timeline, options: Options) -> str:
    """An OpenTimelineIO document: one track of the film's shots, and markers that lie on its whole stack.

    Clips name the film by the path given; what the shots evoke is in their metadata under `affectlens`.
    """
    count = timecode_of(timeline, options)
    cuts = [count.frame(shot.start) for shot in timeline.shots]
    end = count.frame(timeline.shots[-1].end) if timeline.shots else 0
    # What was not watched before the first shot is a gap, so that the track's time is the film's.
    children = [_item("Gap.1", "", source_range=_range(count, 0, cuts[0]))] if any(cuts[:1]) else []
    for shot, (first, last) in zip(timeline.shots, pairwise([*cuts, end]), strict=True):
        if last > first:
            children.append(_clip(timeline, shot, _range(count, first, last - first), _range(count, 0, end)))
    track = _item("Track.1", "film", children=children, kind="Video")
    placed = [_marker(marker, count) for marker in markers(timeline)]
    stack = _item("Stack.1", "tracks", children=[track], markers=placed)
    about = {"model": timeline.model, "frame_numbers_exact": exact(timeline), "rate": count.name}
    document = {
        "OTIO_SCHEMA": "Timeline.1",
        "metadata": {"affectlens": about},
        "name": Path(timeline.film.name).name,
        "global_start_time": _time(count, count.start),
        "tracks": stack,
    }
    return json.dumps(document, indent=1) + "\n"


def _clip(timeline: Timeline, shot: Shot, shown: dict[str, Any], available: dict[str, Any]) -> dict[str, Any]:
    media = {
        "OTIO_SCHEMA": "ExternalReference.1",
        "metadata": {},
        "name": Path(timeline.film.name).name,
        "available_range": available,
        "available_image_bounds": None,
        "target_url": timeline.film.name,
    }
    said = zip(timeline.vocabulary.words, shot.emotions, strict=True)
    return {
        **_item("Clip.2", f"shot {shot.number}", source_range=shown),
        "metadata": {"affectlens": {"emotions": {word: round(value, 6) for word, value in said}}},
        "media_references": {"DEFAULT_MEDIA": media},
        "active_media_reference_key": "DEFAULT_MEDIA",
    }


def _item(schema: str, name: str, **more: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "metadata": {},
        "source_range": None,
        "effects": [],
        "markers": [],
        "enabled": True,
    }
    return {"OTIO_SCHEMA": schema, "name": name, **plain, "color": None, **more}


def _marker(marker: Marker, count: Timecode) -> dict[str, Any]:
    return {
        "OTIO_SCHEMA": "Marker.2",
        "metadata": {},
        "name": marker.name,
        "color": marker.colour,
        "marked_range": _range(count, count.frame(marker.second), 1),
        "comment": marker.comment,
    }


def _range(count: Timecode, first: int, frames: int) -> dict[str, Any]:
    return {
        "OTIO_SCHEMA": "TimeRange.1",
        "start_time": _time(count, first),
        "duration": _time(count, frames),
    }


def _time(count: Timecode, frames: int) -> dict[str, Any]:
    return {"OTIO_SCHEMA": "RationalTime.1", "rate": float(count.rate), "value": float(frames)}


def notes(timeline: Timeline, options: Options) -> Sequence[str]:
    """What must be said beside timecodes, in sentences."""
    count = timecode_of(timeline, options)
    said = [f"Timecodes count {count.name} frames a second."]
    if not timeline.film.frame_rate:
        said.append("The film does not say its frame rate: they are a guess.")
    elif timeline.film.variable:
        said.append("The film's frames follow at uneven times: frame numbers are those of its average rate.")
    return said


# Name of a format: the file's name, and what writes it.
EXPORTS: dict[str, tuple[str, Export]] = {
    "srt": ("subtitles.srt", srt),
    "vtt": ("subtitles.vtt", vtt),
    "chapters": ("chapters.ffmetadata", chapters),
    "edl": ("markers.edl", edl),
    "otio": ("markers.otio", otio),
}
