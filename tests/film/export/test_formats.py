"""The registry of film formats."""

import subprocess
import sys
from pathlib import Path

import pytest

from affectlens.errors import SettingsError
from affectlens.film.export.formats import FORMATS
from affectlens.film.export.options import ExportOptions
from timelines import film_of, timeline_of

NAMES = [
    pytest.param(name, marks=pytest.mark.needs("pyarrow")) if name == "parquet" else name for name in FORMATS
]


@pytest.mark.parametrize("name", NAMES)
def test_a_format_writes_the_files_that_it_names_and_no_other(name: str, tmp_path: Path) -> None:
    entry = FORMATS[name]
    written = entry.write(tmp_path, timeline_of(), ExportOptions())
    assert [file.name for file in written] == list(entry.files)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(entry.files)
    assert all(file.stat().st_size > 100 for file in written)


def test_no_two_formats_write_the_same_file_and_each_has_a_summary() -> None:
    files = [file for entry in FORMATS.values() for file in entry.files]
    assert len(set(files)) == len(files)
    assert all(name == entry.name and entry.summary for name, entry in FORMATS.items())


def test_options_reach_the_formats_that_use_them(tmp_path: Path) -> None:
    options = ExportOptions(cues="moods", start="01:00:00:00", film=tmp_path.parent / "a film.mp4")
    timeline = timeline_of()
    for name in ("html", "srt", "edl"):
        FORMATS[name].write(tmp_path, timeline, options)
    assert 'src="../a%20film.mp4"' in (tmp_path / "report.html").read_text()
    assert (tmp_path / "subtitles.srt").read_text().count(" --> ") == len(timeline.of("mood"))
    assert "01:00:02:00" in (tmp_path / "markers.edl").read_text()


def test_what_cannot_be_written_leaves_no_file(tmp_path: Path) -> None:
    timeline = timeline_of(film=film_of(22.0, frame_rate=25.0))
    with pytest.raises(SettingsError, match="Drop-frame"):
        FORMATS["edl"].write(tmp_path, timeline, ExportOptions(drop=True))
    assert list(tmp_path.iterdir()) == []


def test_formats_are_listed_without_loading_what_writes_them() -> None:
    script = (
        "import sys; import affectlens.film.export.formats as f; assert len(f.FORMATS) > 9; "
        "print([name for name in ('numpy', 'torch', 'matplotlib', 'jinja2') if name in sys.modules])"
    )
    listed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert listed.stdout.strip() == "[]"
