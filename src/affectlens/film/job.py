"""A film from its file to all that is written of it: watched, exported, rendered; one film or several.

    job = FilmJob(engine=load_engine("default"), out=Path("films"), formats=("html", "csv"))
    for event in analyse_films(["night train.mp4", "day.mp4"], job):
        ...

Each film has a folder of its own in `out`, with its `timeline.json` and a file or two for each format.
"""

import os
from collections.abc import Generator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event as Flag
from typing import TYPE_CHECKING, Literal

from affectlens.errors import OutputInUse, RunError, SettingsError, UnknownName, VideoError
from affectlens.files import LONGEST_NAME, fitting, is_file, slug
from affectlens.film.bars import Bars
from affectlens.film.events import WatchEvent, WatchFinished, WatchRequest
from affectlens.film.export import markers
from affectlens.film.export.formats import FORMATS, check_formats
from affectlens.film.export.options import ExportOptions
from affectlens.film.overlay import KINDS, OverlayKind, drawings
from affectlens.film.peak_attributes import Evidence, peak_attributes
from affectlens.film.record import FILM, TIMELINE
from affectlens.film.report.page import LONGEST, MAX_PEAKS, FilmPictures, needed
from affectlens.film.settings import FilmSettings
from affectlens.film.timeline import Timeline
from affectlens.film.watch import watch
from affectlens.images import Pixels
from affectlens.inference.engine import Engine
from affectlens.video import stills, without_password, writer

if TYPE_CHECKING:
    from affectlens.explain.explainer import Explainer

# Characters of a folder that is named after an address.
_LONGEST_NAME = 60


@dataclass(frozen=True, kw_only=True)
class FilmJob:
    """What to do with each film.

    Attributes:
        engine: what predicts the frames (`inference.engine.load_engine`)
        out: the folder in which each film gets a folder
        settings: how films are watched
        formats: names of `film.export.formats.FORMATS`
        options: options of the formats; pictures and the film's path are filled in for each film
        render: how the film is written again with what it evokes drawn over it; None writes no film. Live
            sources are not rendered
        explainer: what makes the heat maps of peaks that formats with pictures get; None makes none
        resume: whether to continue from what the folders hold, and to keep a film that is rendered already
        batch_size, hardware: as in `WatchRequest`
    Raises `UnknownName` for a format, `MissingExtra` for one that needs an extra, and `SettingsError` for
    what cannot be combined.
    """

    engine: Engine
    out: Path
    settings: FilmSettings = field(default_factory=FilmSettings)
    formats: Sequence[str] = ("html",)
    options: ExportOptions = field(default_factory=ExportOptions)
    render: OverlayKind | None = None
    explainer: "Explainer | None" = None
    resume: bool = False
    batch_size: int = 32
    hardware: str | None = None

    def __post_init__(self) -> None:
        check_formats(self.formats)
        if self.render not in (None, *KINDS):
            raise UnknownName("overlay", str(self.render), KINDS, "films")
        if self.render and (self.settings.begin is not None or self.settings.end is not None):
            raise SettingsError("The complete film is rendered: leave out begin and end.")


@dataclass(frozen=True, kw_only=True)
class FilmStarted:
    """The job begins with a film, whose files are written to the folder."""

    source: str
    folder: Path


@dataclass(frozen=True, kw_only=True)
class ExportProgress:
    """How far a step after watching has come: of stills and heat maps their number, of rendering seconds."""

    step: Literal["stills", "heat maps", "rendering"]
    done: float
    total: float | None


@dataclass(frozen=True, kw_only=True)
class FileWritten:
    """A file is complete; `notes` are sentences for people about its content."""

    file: Path
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FilmFailed:
    """A film that cannot be used; the job continues with the next."""

    source: str
    error: VideoError | RunError | SettingsError | OutputInUse


FilmEvent = FilmStarted | WatchEvent | ExportProgress | FileWritten | FilmFailed


def analyse_films(
    sources: Sequence[str], job: FilmJob, stop: Flag | None = None
) -> Generator[FilmEvent, None, None]:
    """Analyse film after film; yield what happens. `stop` ends the watching of one film, and is then cleared.

    A film that cannot be used, or that the settings do not fit, is a `FilmFailed`, whether it is one of
    several or the only one. A job that is resumed begins the films that it had not come to; where it had come
    to none, there is nothing to resume. Raises `OutputError` where nothing can be written.
    """
    folders = [job.out / name for name in folder_names(sources)]
    begun = [is_file(folder / FILM) for folder in folders]
    for source, folder, is_begun in zip(sources, folders, begun, strict=True):
        if stop is not None:
            stop.clear()
        resume = job.resume and (is_begun or not any(begun))
        try:
            yield from analyse_film(source, replace(job, resume=resume), folder, stop)
        except (VideoError, RunError, OutputInUse, SettingsError) as error:
            yield FilmFailed(source=source, error=error)


def analyse_film(
    source: str, job: FilmJob, folder: Path, stop: Flag | None = None
) -> Generator[FilmEvent, None, Timeline]:
    """Watch a film and write all of it; yield what happens, return its timeline.

    Events come in this order: `FilmStarted`, those of `film.watch.watch`, then a `FileWritten` for each file,
    the timeline first. Raises as `watch` does, and `SettingsError` for options that do not fit the film.
    """
    yield FilmStarted(source=source, folder=folder)
    timeline = yield from _watched(source, job, folder, stop)
    yield FileWritten(file=folder / TIMELINE)
    yield from export(source, timeline, job, folder)
    if job.render and not timeline.film.live:
        yield from render_film(source, timeline, job, folder)
    return timeline


def _watched(
    source: str, job: FilmJob, folder: Path, stop: Flag | None
) -> Generator[FilmEvent, None, Timeline]:
    request = WatchRequest(
        source=source,
        engine=job.engine,
        out=folder,
        settings=job.settings,
        resume=job.resume,
        batch_size=job.batch_size,
        hardware=job.hardware,
        stop=stop,
    )
    with closing(watch(request)) as events:
        for event in events:
            yield event
            if isinstance(event, WatchFinished):
                return event.timeline
    raise AssertionError("watching ended without a timeline")


def export(
    source: str, timeline: Timeline, job: FilmJob, folder: Path
) -> Generator[ExportProgress | FileWritten, None, None]:
    """Write a timeline in each of the job's formats."""
    options, formats = job.options, [FORMATS[name] for name in job.formats]
    if not timeline.film.live and Path(source).is_file():
        options = replace(options, film=Path(source))
    if any(each.with_pictures for each in formats):
        pictures = yield from film_pictures(source, timeline, job)
        options = replace(options, pictures=pictures)
    for each in formats:
        files = each.write(folder, timeline, options)
        notes = tuple(markers.notes(timeline, options)) if each.with_timecode else ()
        for file in files:
            yield FileWritten(file=file, notes=notes)


def film_pictures(
    source: str, timeline: Timeline, job: FilmJob
) -> Generator[ExportProgress, None, FilmPictures]:
    """Collect the pictures that a page shows of a film: none of a live source, whose frames are gone."""
    if timeline.film.live:
        return FilmPictures()
    seconds, peaks = needed(timeline), timeline.of("peak")[:MAX_PEAKS]
    bars = Bars(*timeline.film.bars or ())
    shown: dict[float, Pixels] = {}
    evidence: dict[float, Evidence] = {}
    # Without pictures it is a report, too.
    with suppress(VideoError):
        for second, pixels in stills(source, seconds, LONGEST):
            shown[second] = pixels
            yield ExportProgress(step="stills", done=len(shown), total=len(seconds))
        evidence.update(peak_attributes(source, peaks, job.engine, bars))
    maps = {}
    if job.explainer is not None:
        # Imported here because most jobs explain nothing.
        from affectlens.film.peak_maps import peak_maps

        for each in peak_maps(source, peaks, job.explainer, bars):
            maps[(each.peak.second, each.peak.emotion)] = each.picture
            yield ExportProgress(step="heat maps", done=len(maps), total=len(peaks))
    return FilmPictures(shown, maps, evidence)


def render_film(
    source: str, timeline: Timeline, job: FilmJob, folder: Path
) -> Generator[ExportProgress | FileWritten, None, None]:
    """Write the film again with what it evokes drawn over it."""
    assert job.render is not None
    end = f".{job.render}{writer.suffix_for(Path(source))}"
    file = folder / f"{fitting(Path(source).stem, LONGEST_NAME - len(os.fsencode(end)))}{end}"
    # The file is there only when it is complete.
    if not (job.resume and file.exists()):
        with closing(writer.write_film(file, source, drawings(timeline, job.render))) as steps:
            for step in steps:
                yield ExportProgress(step="rendering", done=step.second, total=timeline.film.duration)
    yield FileWritten(file=file)


def folder_names(sources: Sequence[str]) -> list[str]:
    """Name a folder for each film: its own stem, with a number where another film has it.

    >>> folder_names(["one/a.mp4", "two/a.mp4", "one/a.mp4", "...mkv", "rtsp://me:secret@camera/1"])
    ['a', 'a-2', 'a', 'mkv', 'rtsp-me-camera-1']
    """
    taken: dict[str, str] = {}
    names = []
    for source in sources:
        is_address = "://" in source
        # Without dots at its ends: of "...mkv" the stem is "..", which is another folder.
        stem = Path(source).stem.strip(". ") or slug(source)
        own = (slug(without_password(source))[:_LONGEST_NAME] if is_address else stem) or "film"
        name, number = own, 1
        while taken.setdefault(name.casefold(), source) != source:
            number += 1
            name = f"{fitting(own, LONGEST_NAME - len(f'-{number}'))}-{number}"
        names.append(name)
    return names
