"""The job of films as a notebook calls it: events in order, a folder for each film, failures kept."""

import json
import os
import shutil
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from affectlens.errors import SettingsError, UnknownName, VideoError
from affectlens.film.events import WatchFinished, WatchProgress, WatchStarted
from affectlens.film.export.formats import FORMATS
from affectlens.film.job import (
    ExportProgress,
    FileWritten,
    FilmFailed,
    FilmJob,
    FilmStarted,
    analyse_films,
    folder_names,
)
from affectlens.film.settings import FilmSettings
from affectlens.film.timeline import Timeline
from affectlens.inference.onnx_engine import OnnxEngine
from films import plain, write


def job_of(engine: OnnxEngine, out: Path, **changes: Any) -> FilmJob:
    return FilmJob(engine=engine, out=out, **changes)


def test_events_come_in_order_and_every_file_is_there_when_it_is_reported(
    four_scenes: Path, engine: OnnxEngine, tmp_path: Path
) -> None:
    job = job_of(engine, tmp_path, formats=("html", "csv"), render="bar")
    kinds: list[type] = []
    files = []
    for event in analyse_films([str(four_scenes)], job):
        if not kinds or kinds[-1] is not type(event):
            kinds.append(type(event))
        if isinstance(event, FileWritten):
            assert event.file.is_file() and event.file.parent == tmp_path / "scenes"
            files.append(event.file.name)
    assert kinds[:4] == [FilmStarted, WatchStarted, WatchProgress, WatchFinished]
    assert kinds[4:] == [FileWritten, ExportProgress, FileWritten, ExportProgress, FileWritten]
    assert files == ["timeline.json", "report.html", "frames.csv", "shots.csv", "scenes.bar.mp4"]


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="every name there is text")
def test_a_name_that_is_not_text_is_escaped_in_every_file(
    four_scenes: Path, engine: OnnxEngine, tmp_path: Path
) -> None:
    film = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    shutil.copy(four_scenes, film)
    formats = [name for name, entry in FORMATS.items() if entry.extra is None or entry.extra.is_installed]
    job = job_of(engine, tmp_path / "out", formats=formats, render="bar")
    written = [event.file for event in analyse_films([str(film)], job) if isinstance(event, FileWritten)]
    assert written[0] == tmp_path / "out" / film.stem / "timeline.json"
    assert written[-1].name == f"{film.stem}.bar.mp4"
    for file in (*written, written[0].with_name("film.json")):
        if file.suffix in (".json", ".jsonl", ".html", ".svg", ".edl", ".otio", ".fcpxml"):
            file.read_text(encoding="utf-8")
    assert Timeline.read(written[0]).film.name == str(film)
    otio = json.loads((written[0].with_name("markers.otio")).read_text())
    assert otio["name"] == "caf?.mp4"  # strict readers refuse half of a surrogate pair
    *_, last = analyse_films([str(film)], job_of(engine, tmp_path / "out", formats=(), resume=True))
    assert isinstance(last, FileWritten)


@pytest.mark.skipif(os.name == "nt", reason="names as long as POSIX has them")
def test_a_name_as_long_as_can_be_is_shortened_where_more_is_added_to_it(
    four_scenes: Path, engine: OnnxEngine, tmp_path: Path
) -> None:
    film = tmp_path / f"{'n' * 251}.mp4"
    shutil.copy(four_scenes, film)
    *_, last = analyse_films([str(film)], job_of(engine, tmp_path / "out", formats=(), render="bar"))
    assert isinstance(last, FileWritten) and last.file.is_file()
    assert last.file.name.startswith("n" * 200) and last.file.name.endswith(".bar.mp4")


def test_a_film_that_fails_is_an_event_and_the_next_one_is_analysed(
    four_scenes: Path, engine: OnnxEngine, tmp_path: Path
) -> None:
    stop = threading.Event()
    stop.set()  # what ended the film before does not end the next
    events = list(
        analyse_films([str(tmp_path / "gone.mp4"), str(four_scenes)], job_of(engine, tmp_path), stop)
    )
    failed = [event for event in events if isinstance(event, FilmFailed)]
    assert len(failed) == 1 and isinstance(failed[0].error, VideoError)
    finished = [event for event in events if isinstance(event, WatchFinished)]
    assert [event.timeline.counts.decoded for event in finished] == [200]


def test_a_job_that_is_resumed_begins_the_films_that_it_had_not_come_to(
    four_scenes: Path, engine: OnnxEngine, tmp_path: Path
) -> None:
    other = shutil.copy(four_scenes, tmp_path / "other.mp4")
    out = tmp_path / "out"
    list(analyse_films([str(four_scenes)], job_of(engine, out)))
    sources, resumed = [str(four_scenes), str(other)], job_of(engine, out, resume=True)
    events = list(analyse_films(sources, resumed))
    assert not [event for event in events if isinstance(event, FilmFailed)]
    assert (out / "other" / "timeline.json").is_file()
    # Where nothing was begun, there is nothing to resume: another folder is meant.
    events = list(analyse_films(sources, job_of(engine, tmp_path / "misspelt", resume=True)))
    failed = [event for event in events if isinstance(event, FilmFailed)]
    assert len(failed) == 2 and "nothing to resume" in str(failed[0].error)


def test_options_that_do_not_fit_a_film_fail_it_whether_it_is_one_of_several_or_the_only_one(
    four_scenes: Path, engine: OnnxEngine, tmp_path: Path
) -> None:
    from affectlens.film.export.options import ExportOptions

    options = ExportOptions(start="no timecode")
    job = job_of(engine, tmp_path, formats=("edl",), options=options)
    *_, last = analyse_films([str(four_scenes)], job)
    assert isinstance(last, FilmFailed) and isinstance(last.error, SettingsError)
    job = job_of(engine, tmp_path / "two", formats=("edl",), options=options)
    events = list(analyse_films([str(four_scenes), str(tmp_path / "gone.mp4")], job))
    failed = [event for event in events if isinstance(event, FilmFailed)]
    assert [isinstance(event.error, SettingsError) for event in failed] == [True, False]


def test_a_job_that_cannot_be_is_an_error_before_anything_is_watched(
    engine: OnnxEngine, tmp_path: Path
) -> None:
    with pytest.raises(UnknownName, match="doc"):
        job_of(engine, tmp_path, formats=("html", "doc"))
    with pytest.raises(SettingsError):
        job_of(engine, tmp_path, render="tint", settings=FilmSettings(end=5.0))
    with pytest.raises(UnknownName):
        job_of(engine, tmp_path, render="frame")


def test_a_film_that_ends_before_the_watched_part_fails_alone_and_leaves_no_folder(
    four_scenes: Path, engine: OnnxEngine, tmp_path: Path
) -> None:
    short = write(tmp_path / "short.mp4", [plain((90, 90, 90))] * 25)
    job = job_of(engine, tmp_path / "out", settings=FilmSettings(begin=3.0))
    events = list(analyse_films([str(short), str(four_scenes)], job))
    failed = [event for event in events if isinstance(event, FilmFailed)]
    assert [Path(event.source).name for event in failed] == ["short.mp4"]
    assert "ends at 1.00 s" in str(failed[0].error)
    assert not (tmp_path / "out" / "short").exists()
    assert any(isinstance(event, WatchFinished) for event in events)


@pytest.mark.parametrize("name", ["...mkv", "..mp4", ". .mov", ".mkv"])
def test_no_name_of_a_film_leads_out_of_the_folder(name: str, tmp_path: Path) -> None:
    (folder,) = folder_names([f"films/{name}"])
    assert (tmp_path / folder).resolve().parent == tmp_path.resolve()
