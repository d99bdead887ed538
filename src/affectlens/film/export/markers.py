"""A timeline as markers for editing systems: peaks and changes of mood, in CMX 3600 and OpenTimelineIO.

Frames are counted at the film's rate, and each is the one nearest to its time, see `timecode`. A film with a
variable frame rate has no exact frame numbers: the usual rate that suffices for it is counted, and `exact`
returns False. The first frame has the timecode that the film's file states, if any.

Formats: CMX 3600 with the comments of Avid (`* LOC:`) and of DaVinci Resolve (`|C: |M: |D:`), which read each
    their own; OpenTimelineIO's JSON, of the schema versions in
    https://opentimelineio.readthedocs.io/en/stable/tutorials/otio-serialized-schema.html.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import cycle, pairwise, repeat
from pathlib import Path
from typing import Any

from affectlens.emotions import Vocabulary, is_known
from affectlens.errors import SettingsError
from affectlens.film.export.options import ExportOptions
from affectlens.film.export.timecode import Timecode, of_rate, usual_rate
from affectlens.film.timeline import Moment, Shot, Timeline
from affectlens.model_folder import WEIGHTS_ID_DIGITS
from affectlens.report.text import clock, percent, printable_in_files
from affectlens.video import UNKNOWN_RATE

# CMX 3600 has three digits for events.
_EDL_EVENTS = 999
# Characters of a marker's name.
_LONGEST_NAME = 60

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


@dataclass(frozen=True)
class Marker:
    """A moment for an editor: second, name, comment, and one of the eight usual colours."""

    second: float
    name: str
    comment: str
    colour: str


def markers(timeline: Timeline) -> list[Marker]:
    """Return peaks and changes of mood, by time."""
    colours = _colours(timeline.vocabulary)
    found = [_peak(each, colours) for each in timeline.of("peak")]
    found += [_turn(each, colours) for each in timeline.of("turn")]
    return sorted(found, key=lambda marker: (marker.second, marker.name))


def _peak(peak: Moment, colours: Mapping[str, str]) -> Marker:
    span = f"from {clock(peak.start, 1)} to {clock(peak.end, 1)}"
    comment = f"peak, {span}, prominence {percent(peak.prominence or 0.0)}"
    return Marker(peak.second, f"{peak.emotion} {percent(peak.value)}", comment, colours[peak.emotion])


def _turn(turn: Moment, colours: Mapping[str, str]) -> Marker:
    name = f"{turn.before} to {turn.emotion}"
    return Marker(turn.second, name, "the mood changes here", colours[turn.emotion])


def _colours(vocabulary: Vocabulary) -> dict[str, str]:
    """Return a usual colour for each word; words of their own take those that are free, in turn."""
    known = {word: _COLOURS[word] for word in vocabulary.words if word in _COLOURS}
    free = [colour for colour in _RESOLVE if colour not in known.values()]
    turns = repeat("PURPLE") if is_known(vocabulary) else cycle(free or _RESOLVE)
    return {word: known.get(word) or next(turns) for word in vocabulary.words}


# ---------------------------------------------------------------------------------------------- counting


def timecode_of(timeline: Timeline, options: ExportOptions) -> Timecode:
    """Return how the film's frames are counted. Raises `SettingsError` for a start that is not a timecode."""
    own = film_timecode(timeline, options)
    return of_rate(own.rate, own.drop, options.start) if options.start else own


def film_timecode(timeline: Timeline, options: ExportOptions) -> Timecode:
    """Return how frames of the film's file are counted, from the timecode that it states, if that can be."""
    film = timeline.film
    rate = Fraction(options.frame_rate or film.frame_rate or UNKNOWN_RATE)
    if film.variable and options.frame_rate is None:
        rate = usual_rate(rate)
    if film.timecode is not None:
        with suppress(SettingsError):
            drop = ";" in film.timecode if options.drop is None else options.drop
            return of_rate(rate, drop, film.timecode)
    return of_rate(rate, options.drop)


def exact(timeline: Timeline) -> bool:
    """Return whether frame numbers are exact: for films with a known, constant frame rate."""
    return bool(timeline.film.frame_rate) and not timeline.film.variable


def notes(timeline: Timeline, options: ExportOptions) -> Sequence[str]:
    """Return, in sentences, what an editor must know of the timecodes."""
    count = timecode_of(timeline, options)
    lines = [f"Timecodes count {count.name} frames a second."]
    if count.start and not options.start:
        lines.append(f"They begin at {count.of_frame(0)}, as the film's file states.")
    if options.frame_rate is not None:
        return lines
    if not timeline.film.frame_rate:
        lines.append("The film has no frame rate of its own: this one is a guess.")
    elif timeline.film.variable:
        lines.append(
            "The film has a variable frame rate: frame numbers are those of its times at this rate. Choose "
            "that of the editing project by --rate."
        )
    return lines


# --------------------------------------------------------------------------------------------------- EDL


def edl(timeline: Timeline, options: ExportOptions) -> str:
    """Write CMX 3600, an event of one frame for each marker.

    Raises `SettingsError` for a film that has more markers than such a list can number.
    """
    found, count = markers(timeline), timecode_of(timeline, options)
    if len(found) > _EDL_EVENTS:
        raise SettingsError(
            f"{len(found):,} markers are more than the {_EDL_EVENTS} events of a CMX 3600 list. Write otio, "
            "or find fewer peaks with a greater --prominence."
        )
    # The film's own timecode; that of the list may start at an hour.
    film = film_timecode(timeline, options)
    title = _plain(Path(timeline.film.name).name)
    lines = [f"TITLE: {title}", f"FCM: {'DROP FRAME' if count.drop else 'NON-DROP FRAME'}", ""]
    for number, marker in enumerate(found, start=1):
        frame = count.frame(marker.second)
        here, after = count.of_frame(frame), count.of_frame(frame + 1)
        source = f"{film.of_frame(frame)} {film.of_frame(frame + 1)}"
        name = _plain(marker.name)
        lines += [
            f"{number:03}  AX       V     C        {source} {here} {after}",
            f"* FROM CLIP NAME: {title}",
            f"* LOC: {here} {marker.colour:<7} {name}",
            f"* COMMENT: {_plain(marker.comment)}",
            f" |C:{_RESOLVE[marker.colour]} |M:{name} |D:1",
            "",
        ]
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Return text for one line of a list: ASCII, without what separates its fields."""
    letters = "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in text)
    return " ".join(letters.replace("|", "/").replace("*", "+").split())[:_LONGEST_NAME]


# -------------------------------------------------------------------------------------------------- OTIO


def otio(timeline: Timeline, options: ExportOptions) -> str:
    """Write an OpenTimelineIO document: a track of the film's shots, its sound, and markers on the stack.

    Clips name the film by the address of its file; what the shots evoke is in their metadata under
    `affectlens`.
    """
    count = timecode_of(timeline, options)
    cuts = [count.frame(shot.start) for shot in timeline.shots]
    end = count.frame(timeline.shots[-1].end) if timeline.shots else 0
    own = film_timecode(timeline, options).start
    media = _media(timeline, options, _range(count, own, end))
    # What was not watched before the first shot is a gap, so that the track's time is the film's.
    children = [_item("Gap.1", "", source_range=_range(count, 0, cuts[0]))] if any(cuts[:1]) else []
    for shot, (first, last) in zip(timeline.shots, pairwise([*cuts, end]), strict=True):
        if last > first:
            clip = _clip(f"shot {shot.number}", media, _range(count, own + first, last - first))
            children.append({**clip, "metadata": {"affectlens": _predicted(timeline, shot)}})
    tracks = [_item("Track.1", "film", children=children, kind="Video")]
    if timeline.film.has_sound and cuts and end > cuts[0]:
        sound = _clip("sound", media, _range(count, own + cuts[0], end - cuts[0]))
        before = [_item("Gap.1", "", source_range=_range(count, 0, cuts[0]))] if cuts[0] else []
        tracks.append(_item("Track.1", "sound", children=[*before, sound], kind="Audio"))
    marked = [_marker(marker, count) for marker in markers(timeline)]
    stack = _item("Stack.1", "tracks", children=tracks, markers=marked)
    about = {
        "model": timeline.model,
        "weights": timeline.weights_hash[:WEIGHTS_ID_DIGITS],
        "version": timeline.version,
        "frame_numbers_exact": exact(timeline),
        "rate": count.name,
    }
    document = {
        "OTIO_SCHEMA": "Timeline.1",
        "metadata": {"affectlens": about},
        "name": _name(timeline),
        "global_start_time": _time(count, count.start),
        "tracks": stack,
    }
    return json.dumps(document, indent=1) + "\n"


def _media(timeline: Timeline, options: ExportOptions, available: dict[str, Any]) -> dict[str, Any]:
    """Return what clips refer to: the film, by an address under which any program finds it."""
    film = options.film
    return {
        "OTIO_SCHEMA": "ExternalReference.1",
        "metadata": {},
        "name": _name(timeline),
        "available_range": available,
        "available_image_bounds": None,
        "target_url": printable_in_files(timeline.film.name) if film is None else film.absolute().as_uri(),
    }


def _name(timeline: Timeline) -> str:
    return printable_in_files(Path(timeline.film.name).name)


def _predicted(timeline: Timeline, shot: Shot) -> dict[str, Any]:
    """Return a shot's mean emotions and, of a model with ratings, these; and why both mean little, if so."""
    named = {"emotions": zip(timeline.vocabulary.words, shot.emotions, strict=True)}
    if timeline.scales:
        named["ratings"] = zip(timeline.rating_names, shot.ratings, strict=True)
    left_out = timeline.left_out_as(shot)
    return {
        **{what: {name: round(value, 6) for name, value in pairs} for what, pairs in named.items()},
        **({"left_out": left_out} if left_out else {}),
    }


def _clip(name: str, media: dict[str, Any], shown: dict[str, Any]) -> dict[str, Any]:
    return {
        **_item("Clip.2", name, source_range=shown),
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
