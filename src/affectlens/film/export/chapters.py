"""A timeline as chapters, which ffmpeg puts into a film, all else of which stays:

    ffmpeg -i FILM -i FILE -map 0 -map_metadata 0 -map_chapters 1 -codec copy OUT

Format: ffmetadata, https://ffmpeg.org/ffmpeg-formats.html#Metadata-1.
"""

from affectlens.film.export.options import ExportOptions
from affectlens.film.export.subtitles import cues, milliseconds
from affectlens.film.timeline import Timeline


def ffmetadata(timeline: Timeline, options: ExportOptions) -> str:
    """Write a chapter for each mood; for each shot where there is no mood."""
    del options
    lines = [";FFMETADATA1"]
    for each in cues(timeline, "moods" if timeline.of("mood") else "shots"):
        lines += [
            "[CHAPTER]",
            "TIMEBASE=1/1000",
            f"START={milliseconds(each.start)}",
            f"END={milliseconds(each.end)}",
            f"title={_escaped(each.title)}",
        ]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return "".join(f"\\{letter}" if letter in "=;#\\\n" else letter for letter in text)
