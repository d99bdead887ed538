"""`affectlens film FILE... [--out DIR]`: the command that `film` runs where no other is named."""

import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from affectlens.cli import options
from affectlens.cli.console import echo
from affectlens.cli.interrupts import on_interrupt
from affectlens.cli.progress import ProgressBar, progress_bar
from affectlens.film.export.formats import FORMATS, check_formats
from affectlens.report.text import printable

if TYPE_CHECKING:
    from affectlens.emotions import Vocabulary
    from affectlens.film.events import WatchEvent, WatchStarted
    from affectlens.film.job import ExportProgress, FilmEvent, FilmJob
    from affectlens.film.timeline import Timeline

OUT = Path("films")


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="FILE...")
@click.option("--out", type=options.NamedPath(path_type=Path, file_okay=False), default=OUT,
              show_default=True, metavar="DIR", help="Folder in which each film gets a folder.")  # fmt: skip
@click.option("--every", type=options.FiniteRange(0), metavar="SECONDS",
              help="Interval between sampled frames, in addition to those where shots begin; 0: every frame. "
                   "Default: 0.5.")  # fmt: skip
@click.option("--keyframes", is_flag=True, help="Sampling of keyframes only: fastest, and coarse.")
@click.option("--shots", "by_shots", is_flag=True, help="Sampling of a few frames of each shot.")
@click.option(
    "--begin", type=options.FiniteRange(0), metavar="SECONDS", help="Beginning of the watched part."
)
@click.option("--end", type=options.FiniteRange(0, min_open=True), metavar="SECONDS",
              help="End of the watched part; for a live source, how long to watch it.")  # fmt: skip
@click.option(
    "--prominence", type=options.FiniteRange(0, 1), help="Least prominence of a peak. Default: 0.1."
)
@click.option("--model", "name", default="default", show_default=True,
              help="Name from `affectlens models`, model folder, or owner/name on the hub.")  # fmt: skip
@click.option("--resume", is_flag=True, help="Continuation of an interrupted job; what is finished is kept.")
@click.option("--format", "formats", metavar="LIST", default="html", show_default=True,
              callback=options.formats(FORMATS),
              help=f"Formats, separated by commas: {','.join(FORMATS)}. timeline.json is always written."
              )  # fmt: skip
@click.option("--subtitles", type=click.Choice(["shots", "moods"]), default="shots", show_default=True,
              help="Unit of subtitles.")  # fmt: skip
@click.option("--timecode", metavar="HH:MM:SS:FF",
              help="Timecode of the first frame, for markers. Default: the file's, or 0.")  # fmt: skip
@click.option("--drop/--non-drop", "drop", default=None,
              help="Drop-frame timecode or not. Default: at 29.97 and 59.94 frames a second.")  # fmt: skip
@click.option("--rate", "frame_rate", type=options.FiniteRange(1, 1000), metavar="FRAMES",
              help="Frames a second that timecode counts. Default: the film's own.")  # fmt: skip
@click.option("--render", type=click.Choice(["bar", "tint"]), is_flag=False, flag_value="bar",
              help="Film with what it evokes drawn over it: a bar (also without a value), or tinted edges. "
                   "Sound is copied as it is.")  # fmt: skip
@click.option("--explain", type=click.Choice(["peaks"]), help="Heat maps of the peaks of the report.")
@click.option("--batch-size", type=click.IntRange(1), default=32, show_default=True,
              help="Batch size in frames.")  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="Device: auto, cpu, cuda, cuda:1 or mps.")
@click.option("--precision", default="auto", show_default=True,
              help="Number format: auto, float32 or bfloat16.")  # fmt: skip
@options.engine
@click.option("--hardware", metavar="NAME", help="Decoding hardware, as cuda or videotoolbox.")
def films(
    sources: tuple[str, ...],
    every: float | None,
    keyframes: bool,
    by_shots: bool,
    begin: float | None,
    end: float | None,
    prominence: float | None,
    name: str,
    subtitles: Any,
    timecode: str | None,
    drop: bool | None,
    frame_rate: float | None,
    explain: str | None,
    engine: str,
    device: str,
    precision: str,
    **more: Any,
) -> int:
    """Predict what FILE evokes in the people who watch it, on average, moment by moment.

    FILE is a film, or a camera or stream that is watched live: /dev/video0, rtsp://..., until Ctrl-C.
    A folder for each holds the report and whatever else is requested. A film that cannot be read is reported
    and the rest is done.

    Exit status: 0 all films were read, 1 some failed, 2 wrong use.
    """
    if sum((every is not None, keyframes, by_shots)) > 1:
        raise click.UsageError("--every, --keyframes and --shots are three ways to sample frames: name one.")
    if more["render"] and (begin is not None or end is not None):
        raise click.UsageError("--render writes the complete film: leave out --begin and --end.")
    check_formats(more["formats"])  # before a model is loaded for nothing
    from affectlens.film.export.options import ExportOptions
    from affectlens.film.job import FilmJob
    from affectlens.film.settings import FilmSettings
    from affectlens.inference.engine import load_engine

    given: dict[str, Any] = {"every": every, "begin": begin, "end": end, "prominence": prominence}
    settings = FilmSettings(
        sampling="keyframes" if keyframes else "shots" if by_shots else "time",
        **{key: value for key, value in given.items() if value is not None},
    )
    written = ExportOptions(cues=subtitles, start=timecode, drop=drop, frame_rate=frame_rate)
    explainer = None
    if explain is not None:
        from affectlens.explain.explainer import Explainer

        explainer = Explainer.load(name, device=device, engine=engine)
    loaded = load_engine(name, engine, device, precision)
    job = FilmJob(engine=loaded, explainer=explainer, settings=settings, options=written, **more)
    return _run(sources, job)


def _run(sources: tuple[str, ...], job: "FilmJob") -> int:
    """Analyse film after film, and print what happens; return the exit status."""
    from affectlens.film.job import analyse_films

    stop = threading.Event()
    with progress_bar() as bar:
        printed = JobOutput(bar, job)
        with (
            on_interrupt(_stopping(stop, lambda: printed.is_watching and printed.watching.is_live)),
            closing(analyse_films(sources, job, stop)) as events,
        ):
            try:
                for event in events:
                    printed.show(event)
            except KeyboardInterrupt:
                printed.interrupted()
                raise
    number, failures = len(sources), printed.failures
    if number > 1 or failures:
        echo(f"{number:,} film{'s' * (number != 1)}, {len(failures):,} failed", err=True)
        for failure in failures if number > 2 else ():
            echo(f"  {failure}", err=True)
    return 1 if failures else 0


class JobOutput:
    """Prints the events of a job: each film's summary and files, and a bar for what takes time."""

    def __init__(self, bar: ProgressBar, job: "FilmJob") -> None:
        self.bar, self.job = bar, job
        self.watching = WatchOutput(bar, job.engine.card.vocabulary)
        self.folder: Path | None = None
        self.is_watching = False
        self.failures: list[str] = []
        self._step = ""

    def show(self, event: "FilmEvent") -> None:
        """Print one event."""
        from affectlens.film import job
        from affectlens.film.events import WatchFinished

        if isinstance(event, job.FilmStarted):
            self.watching.begin(event.source)
            self.folder, self.is_watching, self._step = event.folder, True, ""
        elif isinstance(event, WatchFinished):
            self.is_watching = False
            self._summary(event.timeline)
        elif isinstance(event, job.ExportProgress):
            self._export(event)
        elif isinstance(event, job.FileWritten):
            echo(f"  {printable(str(event.file))}")
            if event.notes:
                echo(f"    {' '.join(event.notes)}")
        elif isinstance(event, job.FilmFailed):
            self._failed(event)
        else:
            self.watching.show(event)

    def interrupted(self) -> None:
        """Report how to continue, where a film is being watched."""
        if self.is_watching:
            name = shown_name(self.watching.source)
            self.bar.print(f"{name}: what was watched is kept in {self.folder}; continue with --resume.")

    def _summary(self, timeline: "Timeline") -> None:
        from affectlens.film.report.text import summary

        echo(shown_name(self.watching.source))
        for line in summary(timeline):
            echo(f"  {printable(line)}")
        if self.job.render and timeline.film.live:
            self.bar.print("  A live source is not written again: --render takes films.")

    def _export(self, event: "ExportProgress") -> None:
        if event.step != self._step:
            self._step = event.step
            self.bar.start(event.step, event.total)
        if event.step == "rendering":
            self.bar.set(event.done, amount=_times(event.done, event.total))
        else:
            self.bar.set(event.done)

    def _failed(self, event: Any) -> None:
        from affectlens.errors import SettingsError

        text = printable(str(event.error))
        # Errors of films and folders name them; those of settings do not.
        if isinstance(event.error, SettingsError):
            text = f"{shown_name(event.source)}: {text}"
        self.failures.append(text)
        self.bar.print(f"Failed: {text}")


class WatchOutput:
    """Prints the events of watching: a bar of the film's time; for a live source, a line a prediction."""

    def __init__(self, bar: ProgressBar, vocabulary: "Vocabulary") -> None:
        self.bar, self.vocabulary = bar, vocabulary
        self.begin("")

    def begin(self, source: str) -> None:
        """Begin with another source."""
        self.source, self.is_live = source, False
        self._duration: float | None = None
        self._started, self._from = time.monotonic(), 0.0

    def show(self, event: "WatchEvent") -> None:
        """Print one event."""
        from affectlens.film.events import WatchProgress, WatchStarted
        from affectlens.film.report.text import live_line

        if isinstance(event, WatchStarted):
            self._open(event)
        elif isinstance(event, WatchProgress) and self.is_live:
            if event.newest is not None:
                echo(live_line(event, self.vocabulary))
        elif isinstance(event, WatchProgress) and self.bar.is_shown:
            elapsed = max(time.monotonic() - self._started, 1e-3)
            state = f"{(event.second - self._from) / elapsed:.1f} x, {event.predicted:,} predicted"
            total = None if event.share is None else 1.0
            amount = _times(event.second, self._duration)
            self.bar.set(event.share, total=total, amount=amount, state=state)

    def _open(self, event: "WatchStarted") -> None:
        self.is_live, self._duration = event.film.live, event.film.duration
        self._started, self._from = time.monotonic(), event.resumed_at or 0.0
        if self.is_live:
            self.bar.print(f"{shown_name(self.source)}: what it evokes, live; Ctrl-C ends it.")
        else:
            self.bar.start(printable(Path(self.source).name), 1.0)


def shown_name(source: str) -> str:
    """A film's path or address as it can be printed: without a password."""
    from affectlens.video import without_password

    return printable(without_password(source))


def _stopping(stop: threading.Event, is_live: Callable[[], bool]) -> Callable[[], None]:
    """End a live source in an orderly way at Ctrl-C; the second time, and for a film, interrupt."""

    def interrupted() -> None:
        if not is_live() or stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    return interrupted


def _times(second: float, duration: float | None) -> str:
    from affectlens.report.text import clock

    return f"{clock(second)} / {clock(duration)}" if duration else clock(second)
