"""The table of markers as Premiere Pro writes its own."""

import csv
from pathlib import Path

from affectlens.film.export.formats import FORMATS
from affectlens.film.export.markers import markers
from affectlens.film.export.options import ExportOptions
from affectlens.film.export.premiere import COLUMNS
from timelines import film_of, timeline_of


def test_each_marker_is_a_row_at_its_timecode(tmp_path: Path) -> None:
    timeline = timeline_of()
    (file,) = FORMATS["premiere"].write(tmp_path, timeline, ExportOptions(start="01:00:00:00"))
    assert file.read_bytes()[:2] == b"\xff\xfe"
    with file.open(encoding="utf-16", newline="") as opened:
        header, *rows = csv.reader(opened, delimiter="\t")
    assert tuple(header) == COLUMNS
    assert [row[0] for row in rows] == [marker.name for marker in markers(timeline)]
    first = rows[0]
    assert first[2] == first[3] == "01:00:02:00" and first[4:] == ["00:00:00:00", "Comment"]


def test_drop_frame_timecode_has_semicolons(tmp_path: Path) -> None:
    timeline = timeline_of(film=film_of(22.0, frame_rate=30000 / 1001))
    (file,) = FORMATS["premiere"].write(tmp_path, timeline, ExportOptions())
    assert "00:00:02;00\t00:00:02;00\t00:00:00;00" in file.read_text(encoding="utf-16")
