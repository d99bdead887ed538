"""`affectlens film FILE... [--out DIR]`: the command that `film` runs where no other is named."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from affectlens.film.export.formats import FORMATS
from affectlens.report.text import printable

if TYPE_CHECKING:
    from affectlens.film.export.options import ExportOptions
    from affectlens.film.report.page import FilmPictures
    from affectlens.film.timeline import Film, Timeline
    from affectlens.film.watch import FilmSettings, Progress
    from affectlens.models.saved import Model

OUT = Path("films")
SHOWN_EMOTIONS = 3  # on a line of a live source
_NAME = 60  # characters of a folder that is named after an address


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="FILE...")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=OUT, show_default=True,
              metavar="DIR", help="A folder for each film is made in it.")  # fmt: skip
@click.option("--every", type=click.FloatRange(0), metavar="SECONDS",
              help="Judge a frame every so many seconds and where shots begin; 0: all.")  # fmt: skip
@click.option("--keyframes", is_flag=True,
              help="Judge those frames alone that are stored whole: fastest, and coarse.")  # fmt: skip
@click.option("--shots", "by_shots", is_flag=True, help="Judge a few frames of each shot.")
@click.option("--begin", type=click.FloatRange(0), metavar="SECONDS", help="Watch from here on.")
@click.option("--end", type=click.FloatRange(0, min_open=True), metavar="SECONDS",
              help="Watch up to here; a live source for so long.")  # fmt: skip
@click.option("--prominence", type=click.FloatRange(0, 1), help="Of a peak, at least. Default: 0.1.")
@click.option("--model", "name", default="default", show_default=True,
              help="A name from `affectlens models`, a model folder, or owner/name of the hub.")  # fmt: skip
@click.option("--resume", is_flag=True, help="Go on after an interruption, and keep what is finished.")
@click.option("--format", "formats", metavar="LIST", default="html", show_default=True,
              help=f"Of {','.join(FORMATS)}. timeline.json is always written.")  # fmt: skip
@click.option("--subtitles", type=click.Choice(["shots", "moods"]), default="shots", show_default=True,
              help="What a subtitle stands for.")  # fmt: skip
@click.option("--timecode", metavar="HH:MM:SS:FF", help="Of the first frame, in edl and otio. Default: 0.")
@click.option("--drop/--non-drop", "drop", default=None,
              help="Drop-frame timecode or not. Default: at 29.97 and 59.94 frames a second.")  # fmt: skip
@click.option("--render", type=click.Choice(["bar", "tint"]), is_flag=False, flag_value="bar",
              help="Write the film again with what it evokes drawn over it: a bar (also without a word), or "
                   "tinted edges. Sound is copied as it is.")  # fmt: skip
@click.option("--explain", type=click.Choice(["peaks"]), help="Add a heat map to each peak of the report.")
@click.option("--batch-size", type=click.IntRange(1), default=32, show_default=True,
              help="Frames judged together.")  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 or mps.")
@click.option("--precision", default="auto", show_default=True, help="auto, float32 or bfloat16.")
@click.option("--hardware", metavar="NAME", help="Decode by hardware, as cuda or videotoolbox.")
def films(
    sources: tuple[str, ...],
    every: float | None,
    keyframes: bool,
    by_shots: bool,
    begin: float | None,
    end: float | None,
    prominence: float | None,
    formats: str,
    subtitles: Any,
    timecode: str | None,
    drop: bool | None,
    name: str,
    **more: Any,
) -> int:
    """Say what FILE evokes in the people who watch it, on average, moment by moment.

    FILE is a film, or a camera or stream that is watched as it comes: /dev/video0, rtsp://..., until Ctrl-C.
    A folder for each holds the report and whatever else is asked for. A film that cannot be read is reported
    and the rest is done.

    Exit status: 0 all films were read, 1 some were not, 2 wrong use.
    """
    if sum((every is not None, keyframes, by_shots)) > 1:
        raise click.UsageError("--every, --keyframes and --shots are three ways to choose frames: name one.")
    if more["render"] and (begin is not None or end is not None):
        raise click.UsageError("--render writes the whole film: leave out --begin and --end.")
    kinds = _kinds(formats)
    from affectlens.film.export.options import ExportOptions
    from affectlens.film.watch import FilmSettings
    from affectlens.models import saved

    given: dict[str, Any] = {"every": every, "begin": begin, "end": end, "prominence": prominence}
    settings = FilmSettings(
        sampling="keyframes" if keyframes else "shots" if by_shots else "time",
        **{key: value for key, value in given.items() if value is not None},
    )
    options = ExportOptions(cues=subtitles, start=timecode, drop=drop)
    job = Job(model=saved.load(name), settings=settings, kinds=kinds, options=options, **more)
    return job.run(sources)


@dataclass
class Job:
    """What is to be done with each film; the fields are the command's options."""

    model: "Model"
    settings: "FilmSettings"
    kinds: list[str]
    options: "ExportOptions"
    out: Path
    resume: bool
    render: Any
    explain: str | None
    batch_size: int
    device: str
    precision: str
    hardware: str | None
    taken: dict[str, str] = field(default_factory=dict)

    def run(self, sources: tuple[str, ...]) -> int:
        """Watch film after film; return the exit status."""
        from affectlens.errors import RunError, SettingsError, VideoError

        failures = []
        for source in sources:
            folder = self.out / self._stem(source)
            try:
                timeline = self.watch(source, folder)
                self.tell(source, folder, timeline)
            except (VideoError, RunError) as error:
                failures.append(printable(str(error)))
                click.echo(f"Not watched: {failures[-1]}", err=True)
            except SettingsError as error:
                if len(sources) == 1:
                    raise
                failures.append(f"{shown_name(source)}: {printable(str(error))}")
                click.echo(f"Not watched: {failures[-1]}", err=True)
        if len(sources) > 1 or failures:
            number = len(sources)
            said = f"{number:,} film{'s' * (number != 1)}, {len(failures):,} could not be watched"
            click.echo(said, err=True)
            for failure in failures if len(sources) > 2 else ():
                click.echo(f"  {failure}", err=True)
        return 1 if failures else 0

    def watch(self, source: str, folder: Path) -> "Timeline":
        """Watch one film to its end, or a live source until Ctrl-C."""
        from affectlens.film.watch import Finished, Progress, Request, Started, watch

        request = Request(
            source=source,
            model=self.model,
            out=folder,
            settings=self.settings,
            resume=self.resume,
            device=self.device,
            precision=self.precision,
            batch_size=self.batch_size,
            hardware=self.hardware,
            stop=threading.Event(),
        )
        live = False
        try:
            with _interrupts(request.stop, lambda: live), closing(watch(request)) as events, Shown() as shown:
                for event in events:
                    if isinstance(event, Started):
                        live = event.film.live
                        shown.begin(source, event.film, event.resumed_at)
                    elif isinstance(event, Progress):
                        shown.advance(event, self.model.card.vocabulary)
                    elif isinstance(event, Finished):
                        return event.timeline
        except KeyboardInterrupt:
            click.echo(
                f"{shown_name(source)}: what was watched is kept in {folder}; go on with --resume.", err=True
            )
            raise
        raise AssertionError("watching ended without an end")

    def tell(self, source: str, folder: Path, timeline: "Timeline") -> None:
        """Write what is asked for about a film, and print its summary."""
        from affectlens.film.report.text import summary

        click.echo(shown_name(source))
        for line in summary(timeline):
            click.echo(f"  {printable(line)}")
        written = list(self.write(source, folder, timeline))
        for file in [folder / "timeline.json", *written]:
            click.echo(f"  {printable(str(file))}")

    def write(self, source: str, folder: Path, timeline: "Timeline") -> Iterator[Path]:
        """Write each format; yield the files."""
        live = timeline.film.live
        formats = [FORMATS[kind] for kind in self.kinds]
        options = self.options
        if any(each.with_pictures for each in formats):
            film = Path(source) if Path(source).is_file() else None
            options = replace(options, pictures=self._pictures(source, timeline), film=film)
        for each in formats:
            yield from each.write(folder, timeline, options)
            if each.with_timecode:
                from affectlens.film.export.markers import notes

                click.echo(f"  {each.files[0]}: {' '.join(notes(timeline, options))}")
        if self.render and live:
            click.echo("  A live source is not written again: --render takes films.", err=True)
        elif self.render:
            yield self._render(source, folder, timeline)

    def _pictures(self, source: str, timeline: "Timeline") -> "FilmPictures":
        from affectlens.errors import VideoError
        from affectlens.film.report import page as film_page
        from affectlens.video import stills

        pictures = film_page.FilmPictures()
        if not timeline.film.live:
            seconds = film_page.needed(timeline)
            with _bar("pictures", len(seconds)) as advance:
                shown = {}
                with suppress(VideoError):  # without pictures it is a report, too
                    for second, pixels in stills(source, seconds, film_page.LONGEST):
                        shown[second] = pixels
                        advance(1)
            maps = self._explain(source, timeline) if self.explain else {}
            pictures = film_page.FilmPictures(shown, maps)
        return pictures

    def _explain(self, source: str, timeline: "Timeline") -> dict[tuple[float, str], Any]:
        """Heat maps of the peaks that the report shows."""
        from affectlens.explain.core.question import make_question
        from affectlens.explain.explainer import Explainer
        from affectlens.explain.figures import laid_on
        from affectlens.film.report.page import LONGEST, MAX_PEAKS, shrunk
        from affectlens.video import stills

        explainer = Explainer(self.model, device=self.device)
        peaks = timeline.of("peak")[:MAX_PEAKS]
        maps = {}
        with _bar("explaining peaks", len(peaks)) as advance:
            for second, pixels in stills(source, sorted({peak.second for peak in peaks})):
                prepared = explainer.prepare(pixels)
                for peak in peaks:
                    if peak.second == second:
                        heatmap = explainer.explain(
                            prepared, make_question(explainer.vocabulary, peak.emotion)
                        )
                        maps[(second, peak.emotion)] = laid_on(heatmap, shrunk(pixels, LONGEST))
                        advance(1)
        return maps

    def _render(self, source: str, folder: Path, timeline: "Timeline") -> Path:
        from affectlens.film.overlay import drawings
        from affectlens.video import writer

        file = folder / f"{Path(source).stem}.{self.render}{writer.suffix_for(Path(source))}"
        if self.resume and file.exists():  # it is there only when it is whole
            return file
        length = timeline.film.duration or 0.0
        steps = writer.write(file, source, drawings(timeline, self.render))
        with closing(steps), _film_bar("writing", length) as show:
            for step in steps:
                show(step.second)
        return file

    def _stem(self, source: str) -> str:
        """A film's own stem, with a number where another one has it."""
        from affectlens.files import slug
        from affectlens.video import without_password

        is_address = "://" in source
        own = slug(without_password(source))[:_NAME] if is_address else Path(source).stem or slug(source)
        stem, number = own or "film", 1
        while self.taken.setdefault(stem.casefold(), source) != source:
            number += 1
            stem = f"{own}-{number}"
        return stem


class Shown:
    """What is shown of a film being watched: a bar of its time; of a live source, its answers."""

    def __init__(self) -> None:
        self.film: Film | None = None
        self._progress: Any = None
        self._task: Any = None
        self._started = time.monotonic()
        self._from = 0.0

    def __enter__(self) -> "Shown":
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def begin(self, source: str, film: "Film", resumed_at: float | None) -> None:
        """The film is open."""
        self.film, self._from, self._started = film, resumed_at or 0.0, time.monotonic()
        if film.live:
            click.echo(f"{shown_name(source)}: what it evokes, as it comes; Ctrl-C ends it.", err=True)
        elif sys.stderr.isatty():
            self._progress = _film_progress(Path(source).name)
            self._task = self._progress.add_task("", total=1.0, state="")
            self._progress.start()

    def advance(self, progress: "Progress", vocabulary: Any) -> None:
        """Something more was watched."""
        if self.film is not None and self.film.live:
            if progress.newest is not None:
                click.echo(live_line(progress, vocabulary))
        elif self._progress is not None:
            gone = max(time.monotonic() - self._started, 1e-3)
            state = f"{(progress.second - self._from) / gone:.1f} x, {progress.judged:,} judged"
            whole = self.film.duration if self.film else None
            total = None if progress.share is None else 1.0
            place = _place(progress.second, whole)
            self._progress.update(
                self._task, completed=progress.share, total=total, description=place, state=state
            )


def shown_name(source: str) -> str:
    """A film's path or address as it can be shown: without a password."""
    from affectlens.video import without_password

    return printable(without_password(source))


def live_line(progress: "Progress", vocabulary: Any) -> str:
    """One answer of a live source."""
    from affectlens.emotions import EmotionDistribution, polarity_score
    from affectlens.report.text import clock, likeliest, signed

    assert progress.newest is not None
    emotions = EmotionDistribution(vocabulary, progress.newest)
    polarity = polarity_score(emotions)
    parts = [clock(progress.second, 1), likeliest(emotions.weights, SHOWN_EMOTIONS)]
    parts += [f"polarity {signed(polarity)}"] if polarity is not None else []
    parts += [f"{progress.dropped:,} frames dropped"] if progress.dropped else []
    return "  ".join(parts)


def _kinds(formats: str) -> list[str]:
    kinds = list(dict.fromkeys(kind.strip().lower() for kind in formats.split(",") if kind.strip()))
    unknown = [kind for kind in kinds if kind not in FORMATS]
    if unknown or not kinds:
        what = f"{unknown[0]!r} is no format" if unknown else "No format is named"
        raise click.UsageError(f"{what}. Known: {', '.join(FORMATS)}; several with commas between.")
    return kinds


@contextmanager
def _interrupts(stop: threading.Event | None, live: Callable[[], bool]) -> Iterator[None]:
    """Let Ctrl-C end a live source in an orderly way; the second time, and of a film, it interrupts."""

    def interrupted(number: int, frame: FrameType | None) -> None:
        if stop is None or not live() or stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from affectlens.cli.progress import counter

    with counter(what, total) as advance:
        yield advance


@contextmanager
def _film_bar(what: str, length: float) -> Iterator[Callable[[float], None]]:
    """Show how far in a film's time something is; yields what takes its second."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with _film_progress(what) as progress:
        task = progress.add_task("", total=length or None, state="")
        yield lambda second: progress.update(task, completed=second, description=_place(second, length))


def _film_progress(what: str) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn(printable(what), markup=False),
        BarColumn(),
        TextColumn("{task.description}"),
        TextColumn("{task.fields[state]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def _place(second: float, whole: float | None) -> str:
    from affectlens.report.text import clock

    return f"{clock(second)} / {clock(whole)}" if whole else clock(second)
