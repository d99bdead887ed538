"""The formats in which a film's timeline is written, by name: pages, charts, tables, subtitles, markers.

To add one, write a function `(timeline, options) -> str`, or one that writes files, and add its entry. What
writes a format is imported when it is used, so that a command can list formats without waiting.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from affectlens.errors import UnknownName
from affectlens.extras import PARQUET, Extra, require
from affectlens.files import atomic_write
from affectlens.film.export.options import ExportOptions

if TYPE_CHECKING:
    from affectlens.film.timeline import Timeline

Write = Callable[[Path, "Timeline", ExportOptions], list[Path]]


@dataclass(frozen=True)
class Format:
    """A format of films.

    Attributes:
        name: as users give it
        files: names of the files that it writes into the film's folder
        summary: one line for users: what is in it
        write: `(folder, timeline, options) -> files written`; raises `OutputError`, and `SettingsError` for
            options that do not fit the film
        with_pictures: whether it shows `options.pictures`
        with_timecode: whether it counts frames, of which `markers.notes` then has something to report
        extra: what else must be installed
    """

    name: str
    files: tuple[str, ...]
    summary: str
    write: Write
    with_pictures: bool = False
    with_timecode: bool = False
    extra: Extra | None = None


def _html(folder: Path, timeline: "Timeline", options: ExportOptions) -> list[Path]:
    from affectlens.film.report import page

    file = folder / "report.html"
    page.write_page(file, timeline, options.pictures or page.FilmPictures(), options.film)
    return [file]


def _chart(suffix: str) -> Write:
    def write(folder: Path, timeline: "Timeline", options: ExportOptions) -> list[Path]:
        from affectlens.film.report import chart

        del options
        chart.write_chart(folder / f"chart.{suffix}", timeline)
        return [folder / f"chart.{suffix}"]

    return write


def _table(suffix: str) -> Write:
    def write(folder: Path, timeline: "Timeline", options: ExportOptions) -> list[Path]:
        from affectlens.film.export import tables

        del options
        return tables.write_tables(folder, timeline, suffix)

    return write


def _srt(timeline: "Timeline", options: ExportOptions) -> str:
    from affectlens.film.export.subtitles import srt

    return srt(timeline, options)


def _vtt(timeline: "Timeline", options: ExportOptions) -> str:
    from affectlens.film.export.subtitles import vtt

    return vtt(timeline, options)


def _chapters(timeline: "Timeline", options: ExportOptions) -> str:
    from affectlens.film.export.chapters import ffmetadata

    return ffmetadata(timeline, options)


def _edl(timeline: "Timeline", options: ExportOptions) -> str:
    from affectlens.film.export.markers import edl

    return edl(timeline, options)


def _otio(timeline: "Timeline", options: ExportOptions) -> str:
    from affectlens.film.export.markers import otio

    return otio(timeline, options)


def _fcpxml(timeline: "Timeline", options: ExportOptions) -> str:
    from affectlens.film.export.fcpxml import fcpxml

    return fcpxml(timeline, options)


def _premiere(folder: Path, timeline: "Timeline", options: ExportOptions) -> list[Path]:
    from affectlens.film.export.premiere import ENCODING, marker_table

    table = marker_table(timeline, options).encode(ENCODING)
    with atomic_write(folder / "markers.csv") as out:
        out.write(table)
    return [folder / "markers.csv"]


def _text(name: str, text_of: Callable[["Timeline", ExportOptions], str]) -> Write:
    def write(folder: Path, timeline: "Timeline", options: ExportOptions) -> list[Path]:
        text = text_of(timeline, options)
        with atomic_write(folder / name, "w") as out:
            out.write(text)
        return [folder / name]

    return write


FORMATS: Mapping[str, Format] = MappingProxyType({
    entry.name: entry
    for entry in (
        Format("html", ("report.html",), "page with the film, its curves, shots, peaks and moods", _html,
               with_pictures=True),
        Format("png", ("chart.png",), "curves as a picture", _chart("png")),
        Format("svg", ("chart.svg",), "curves as a drawing for the web", _chart("svg")),
        Format("pdf", ("chart.pdf",), "curves as a drawing for print", _chart("pdf")),
        Format("csv", ("frames.csv", "shots.csv"), "row for each sampled frame, and for each shot",
               _table("csv")),
        Format("jsonl", ("frames.jsonl", "shots.jsonl"), "same rows as JSON, one a line", _table("jsonl")),
        Format("parquet", ("frames.parquet", "shots.parquet"), "same rows as Parquet", _table("parquet"),
               extra=PARQUET),
        Format("srt", ("subtitles.srt",), "SubRip: a cue for each shot or mood",
               _text("subtitles.srt", _srt)),
        Format("vtt", ("subtitles.vtt",), "WebVTT: a cue for each shot or mood",
               _text("subtitles.vtt", _vtt)),
        Format("chapters", ("chapters.ffmetadata",), "chapter for each mood, for ffmpeg",
               _text("chapters.ffmetadata", _chapters)),
        Format("edl", ("markers.edl",), "CMX 3600: a marker at each peak and change of mood",
               _text("markers.edl", _edl), with_timecode=True),
        Format("otio", ("markers.otio",), "OpenTimelineIO: a clip for each shot, and the same markers",
               _text("markers.otio", _otio), with_timecode=True),
        Format("fcpxml", ("markers.fcpxml",), "Final Cut Pro: a clip for each shot, and the same markers",
               _text("markers.fcpxml", _fcpxml), with_timecode=True),
        Format("premiere", ("markers.csv",), "the same markers as Premiere Pro exports its own", _premiere,
               with_timecode=True),
    )
})  # fmt: skip


def check_formats(names: Iterable[str]) -> None:
    """Raise `UnknownName` for a format that is not one, and `MissingExtra` for one that needs an extra."""
    for name in names:
        if name not in FORMATS:
            raise UnknownName("format", name, FORMATS, "films")
        if extra := FORMATS[name].extra:
            require(extra, f"The format {name}")
