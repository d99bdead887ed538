"""A timeline as subtitles: a cue for each shot, or for each mood.

Formats: SubRip as VLC and ffmpeg read it; WebVTT, https://www.w3.org/TR/webvtt1/.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from affectlens.emotions import polarity_score
from affectlens.film.export.options import CueKind, ExportOptions
from affectlens.film.timeline import Timeline, up_to_milliseconds
from affectlens.report.text import likeliest, percent, signed

# What begins a tag of SubRip, or of the dialects that players read as well.
_INSTEAD = str.maketrans({"<": "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}", "{": "("})

# Titles of shots that evoke nothing known.
LEFT_OUT = {"unusual": "unusual pictures", "faded": "a fade"}


@dataclass(frozen=True)
class Cue:
    """A stretch of a film in seconds, with two lines of text about it."""

    start: float
    end: float
    title: str
    detail: str


def srt(timeline: Timeline, options: ExportOptions) -> str:
    """Write SubRip: times in milliseconds."""
    return "\n".join(
        f"{number}\n{_stamp(each.start, ',')} --> {_stamp(each.end, ',')}\n"
        f"{_without_markup(each.title)}\n{each.detail}\n"
        for number, each in enumerate(cues(timeline, options.cues), start=1)
    )


def vtt(timeline: Timeline, options: ExportOptions) -> str:
    """Write WebVTT: times in milliseconds."""
    written = [
        f"{number}\n{_stamp(each.start, '.')} --> {_stamp(each.end, '.')}\n"
        f"{escape(each.title, quote=False)}\n{escape(each.detail, quote=False)}\n"
        for number, each in enumerate(cues(timeline, options.cues), start=1)
    ]
    note = "NOTE What the pictures are likely to evoke on average, by AffectLens.\n"
    return "\n".join(["WEBVTT\n", note, *written])


def cues(timeline: Timeline, kind: CueKind) -> list[Cue]:
    """Return cues by time, without overlap; those shorter than a millisecond are left out."""
    found = _of_shots(timeline) if kind == "shots" else _of_moods(timeline)
    return [each for each in found if milliseconds(each.end) > milliseconds(each.start)]


def milliseconds(seconds: float) -> int:
    """Seconds in milliseconds; up, so that a cue never begins with the frame before its first."""
    return round(1000 * up_to_milliseconds(seconds))


def _of_shots(timeline: Timeline) -> Iterator[Cue]:
    for shot in timeline.shots:
        if why := timeline.left_out_as(shot):
            yield Cue(shot.start, shot.end, LEFT_OUT[why], f"shot {shot.number}")
            continue
        emotions = timeline.distribution(shot.emotions)
        polarity = polarity_score(emotions)
        detail = [f"shot {shot.number}", *([] if polarity is None else [f"polarity {signed(polarity)}"])]
        rated = zip(timeline.rating_names, shot.ratings, strict=True)
        detail += [f"{name} {value:.1f}" for name, value in rated]
        yield Cue(shot.start, shot.end, likeliest(emotions.weights), ", ".join(detail))


def _of_moods(timeline: Timeline) -> Iterator[Cue]:
    for mood in sorted(timeline.of("mood"), key=lambda each: each.start):
        yield Cue(mood.start, mood.end, mood.emotion, f"mean {percent(mood.value)}")


def _without_markup(text: str) -> str:
    """Write what players of SubRip, which knows no escaping, take for a tag or for times by its likeness."""
    return text.replace("-->", "->").translate(_INSTEAD)


def _stamp(seconds: float, point: str) -> str:
    whole, thousandths = divmod(milliseconds(seconds), 1000)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours:02}:{minute:02}:{second:02}{point}{thousandths:03}"
