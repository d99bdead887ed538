"""A timeline's markers as Premiere Pro exports its own (File > Export > Markers): UTF-16, cells between tabs.

Premiere reads no such table itself. Panels that add markers to a sequence do, and so do logging programs.
"""

from affectlens.film.export.markers import markers, timecode_of
from affectlens.film.export.options import ExportOptions
from affectlens.film.timeline import Timeline

COLUMNS = ("Marker Name", "Description", "In", "Out", "Duration", "Marker Type")
ENCODING = "utf-16"  # little-endian with its mark, as Premiere writes


def marker_table(timeline: Timeline, options: ExportOptions) -> str:
    """Write a row for each marker; a marker is a moment, so `Out` is `In`.

    Raises `SettingsError` for a start that is not a timecode.
    """
    count = timecode_of(timeline, options)
    nothing = "00:00:00;00" if count.drop else "00:00:00:00"
    rows = [COLUMNS]
    for marker in markers(timeline):
        at = count.at(marker.second)
        rows.append((_cell(marker.name), _cell(marker.comment), at, at, nothing, "Comment"))
    return "".join("\t".join(row) + "\r\n" for row in rows)


def _cell(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)
