"""`affectlens predict PATH... [--out FILE]`."""

import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from affectlens.report.text import printable

if TYPE_CHECKING:
    from rich.console import Console

    from affectlens.cluster.predict import Listing, Question
    from affectlens.inference.inputs import Input
    from affectlens.inference.output import Output
    from affectlens.inference.predictor import Prediction, Predictor

SHOWN_FAILURES = 10
SHOWN_EMOTIONS = 3  # on the line of one picture among several
BAR = 30  # columns of a probability of 1


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--model", "name", default="default", show_default=True,
              help="A name from `affectlens models`, a model folder, or owner/name of the hub.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE",
              help="Write a row for each picture to FILE: .jsonl, .csv or .parquet.")  # fmt: skip
@click.option("--resume", is_flag=True, help="Go on with FILE after an interruption.")
@click.option("--attributes", is_flag=True,
              help="Also say how bright and how colourful each picture is; of a model that was trained on "
                   "attributes, what it sees and judges by.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each picture.")
@click.option("--batch-size", type=click.IntRange(1), default=32, show_default=True,
              help="Pictures judged together.")  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 or mps.")
@click.option("--precision", default="auto", show_default=True, help="auto, float32 or bfloat16.")
@click.option("--column", help="Of .parquet tables: which holds paths, URLs or pictures. Default: image, "
                               "path, url, file, file_name or bytes.")  # fmt: skip
@click.option("--workers", type=click.IntRange(1), metavar="N",
              help="Judge in N processes, on this machine or a Ray cluster; writes FILE.")  # fmt: skip
@click.option("--address", default="auto", show_default=True,
              help="Of the Ray cluster for --workers: auto, none (one of our own) or HOST:PORT.")  # fmt: skip
def predict(
    paths: tuple[str, ...],
    name: str,
    out: Path | None,
    resume: bool,
    attributes: bool,
    as_json: bool,
    batch_size: int,
    device: str,
    precision: str,
    column: str | None,
    workers: int | None,
    address: str,
) -> int:
    """Say which emotions pictures evoke in the people who look at them, on average.

    PATH is a picture, a folder of pictures (with all below it), a pattern such as 'photos/**/*.jpg', or -
    for a list of pictures on standard input, one a line or separated by NUL bytes; a URL of an object store
    (s3://, gs://); or a .parquet table with a column of paths or of pictures.

    Without --out the answers are printed. A picture that cannot be read is reported and the rest is
    done. Exit status: 0 all pictures were read, 1 some were not, 2 wrong use.
    """
    if out and as_json:
        raise click.UsageError("--json prints to standard output: leave out --json or --out.")
    if resume and not out:
        raise click.UsageError("--resume goes on with a file: name it by --out.")
    if out:
        from affectlens.inference import output

        output.refuse(out, resume)  # before a model is loaded for nothing
    if workers and not out:
        raise click.UsageError("--workers writes a file: name it by --out.")
    from affectlens.inference.inputs import pictures
    from affectlens.inference.predictor import Predictor

    predictor = Predictor.load(name, device, precision)
    if workers and out:
        from affectlens.cluster.predict import Listing, Question

        question = Question(
            model=name, device=device, precision=precision, batch_size=batch_size, attributes=attributes,
            suffix=out.suffix,
        )  # fmt: skip
        listing = Listing.of(paths, column)
        job = Job(predictor, paths, iter(listing), batch_size, attributes)
        _write_on_ray(job, out, resume, question, listing, workers, address)
        return 1 if job.tally.failed else 0
    job = Job(predictor, paths, pictures(paths, sys.stdin.buffer, column), batch_size, attributes)
    if out:
        _write(job, out, resume)
    elif as_json:
        _print_json(job)
    else:
        _print_for_people(job)
    return 1 if job.tally.failed else 0


@dataclass
class Tally:
    """What was done so far: counts, the first failures, and the time it took."""

    done: int = 0
    failed: int = 0
    kept: int = 0
    failures: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def add(self, prediction: "Prediction") -> None:
        """Count one answer."""
        self.done += 1
        if prediction.error is not None:
            self.failed += 1
            if len(self.failures) < SHOWN_FAILURES:
                self.failures.append(printable(str(prediction.error)))

    def add_part(self, done: int, failed: int, failures: Iterable[str]) -> None:
        """Count the answers of some pictures; `failures` are the first few of those that failed."""
        self.done += done
        self.failed += failed
        room = SHOWN_FAILURES - len(self.failures)
        self.failures += [printable(failure) for failure in islice(failures, room)]

    @property
    def speed(self) -> str:
        """Pictures a second since the beginning."""
        speed = self.done / max(time.monotonic() - self.started, 1e-9)
        return f"{speed:,.0f} pictures/s" if speed >= 10 else f"{speed:.1f} pictures/s"

    def report_failures(self) -> None:
        """Print the first failures, and how many more there are, to standard error."""
        for failure in self.failures:
            click.echo(f"Not read: {failure}", err=True)
        more = self.failed - len(self.failures)
        if more:
            click.echo(f"Not read: {more:,} more.", err=True)

    def report(self) -> None:
        """Print failures and the summary to standard error."""
        self.report_failures()
        kept = f", {self.kept:,} of them before" if self.kept else ""
        total = self.kept + self.done
        unread = f"{self.failed:,} could not be read"
        click.echo(f"{total:,} picture{'s' * (total != 1)}{kept}, {unread}, {self.speed}", err=True)


@dataclass
class Job:
    """What is to be done: the words of the command line, and the pictures that they stand for."""

    predictor: "Predictor"
    words: tuple[str, ...]
    inputs: "Iterator[Input]"
    batch_size: int
    attributes: bool
    tally: Tally = field(default_factory=Tally)

    def predictions(self, bar: bool) -> "Generator[Prediction, None, None]":
        """Judge the pictures and count them; with a bar where standard error is a terminal."""
        self.tally.started = time.monotonic()
        shown = _bar(self.tally, self.words) if bar and sys.stderr.isatty() else nullcontext(_nothing)
        answers = self.predictor.predict_files(self.inputs, self.batch_size, attributes=self.attributes)
        with shown as advance, closing(answers):
            for prediction in answers:
                yield prediction
                self.tally.add(prediction)
                advance(1)


def _write(job: Job, out: Path, resume: bool) -> None:
    model = job.predictor.card.name
    result, tally = _opened(job, out, resume)
    # Closed at once after an interruption, or files would be decoded that nobody waits for.
    with _kept_when_interrupted(tally), result, closing(job.predictions(bar=True)) as predictions:
        for prediction in predictions:
            result.write(prediction.to_row(model))
    _report(tally, out)


def _opened(job: Job, out: Path, resume: bool) -> "tuple[Output, Tally]":
    """Open the result file; leave to the job what is still to be judged, and count what is kept."""
    from affectlens.inference.output import open_output

    result, job.inputs, kept = open_output(
        out,
        job.predictor.card.name,
        job.predictor.vocabulary,
        job.inputs,
        resume=resume,
        batch_size=job.batch_size,
        attributes=job.predictor.attribute_names if job.attributes else (),
    )
    job.tally.kept, job.tally.failed = kept.rows, kept.failed
    return result, job.tally


@contextmanager
def _kept_when_interrupted(tally: Tally) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"{tally.kept + tally.done:,} rows are kept; go on with --resume.", err=True)
        raise


def _report(tally: Tally, out: Path) -> None:
    tally.report()
    click.echo(f"Written to {printable(str(out))}", err=True)


def _write_on_ray(
    job: Job,
    out: Path,
    resume: bool,
    question: "Question",
    listing: "Listing",
    workers: int,
    address: str,
) -> None:
    import os
    from dataclasses import replace

    from affectlens.cluster.connection import Cluster, connected
    from affectlens.cluster.predict import judge_on_ray
    from affectlens.inference.inputs import count

    tally = job.tally
    with connected(Cluster(address=address, cpus=max(workers, os.cpu_count() or 1))):
        result, tally = _opened(job, out, resume)
        listing = replace(listing, skip=tally.kept)
        total = count(job.words)
        left = None if total is None else max(0, total - tally.kept)
        shown = _bar(tally, job.words) if sys.stderr.isatty() else nullcontext(_nothing)
        tally.started = time.monotonic()
        answers = closing(judge_on_ray(question, listing, workers, left))
        with _kept_when_interrupted(tally), result, shown as advance, answers as parts:
            for part in parts:
                result.write_encoded(part.rows)
                tally.add_part(part.count, part.failed, part.failures)
                advance(part.count)
    _report(tally, out)


def _print_json(job: Job) -> None:
    from affectlens.inference.output import json_line

    for prediction in job.predictions(bar=not sys.stdout.isatty()):
        sys.stdout.buffer.write(json_line(prediction.to_row(job.predictor.card.name)).encode())
        sys.stdout.buffer.flush()  # whoever reads them has each row at once
    job.tally.report()


def _print_for_people(job: Job) -> None:
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    model = job.predictor.card.name
    first = list(islice(job.inputs, 2))
    job.inputs = chain(first, job.inputs)
    if len(first) != 1:
        click.echo(f"What each picture is likely to evoke in people who look at it (model {model}):")
        for prediction in job.predictions(bar=not sys.stdout.isatty()):
            click.echo(_line(prediction))
        job.tally.report()
        return
    for prediction in job.predictions(bar=False):
        if prediction.emotions is not None:
            _show(prediction, model, console)
    job.tally.report_failures()


def _line(prediction: "Prediction") -> str:
    """One picture among several: its first emotions, its polarity and its attributes on one line."""
    image = printable(prediction.image)
    emotions = prediction.emotions
    if emotions is None:
        return f"{image}: not read ({type(prediction.error).__name__})"
    shown = ", ".join(f"{word} {value:.0%}" for word, value in emotions.ranked[:SHOWN_EMOTIONS])
    return f"{image}: {'; '.join(filter(None, (shown, _polarity(prediction), _attributes(prediction))))}"


def _show(prediction: "Prediction", model: str, console: "Console") -> None:
    """One picture alone: a bar for each emotion."""
    emotions = prediction.emotions
    assert emotions is not None
    image = printable(prediction.image)
    width = max(map(len, emotions.vocabulary.words))
    bars = [(f"{word:<{width}}", value, f"{value:>6.1%}") for word, value in emotions.ranked]
    notes = [text for text in (_polarity(prediction), f"model {model}") if text]
    attributes = _attributes(prediction)
    title = f"{image} is most likely to evoke {emotions.top} in people who look at it"
    if console.is_terminal:
        _show_panel(title, bars, notes, console)
        if attributes:
            console.print(f"  {attributes}")
        return
    click.echo(title)
    for word, value, percent in bars:
        click.echo(f"  {word} {percent}  {'#' * round(value * BAR)}".rstrip())
    if attributes:
        click.echo(f"  {attributes}")
    click.echo(f"  {', '.join(notes)}")


def _show_panel(
    title: str, bars: Iterable[tuple[str, float, str]], notes: list[str], console: "Console"
) -> None:
    from rich.panel import Panel
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1))
    for number, (word, value, percent) in enumerate(bars):
        style = "bold" if number == 0 else ""
        bar = ProgressBar(total=1.0, completed=value, width=BAR, complete_style="cyan", finished_style="cyan")
        table.add_row(Text(word, style), bar, Text(percent, style))
    console.print(Text(title, "bold"))
    console.print(Panel(table, expand=False, subtitle=Text(", ".join(notes), "dim"), subtitle_align="left"))


def _polarity(prediction: "Prediction") -> str:
    from affectlens.emotions import polarity_of

    polarity = polarity_of(prediction.emotions) if prediction.emotions else None
    if polarity is None or polarity.vocabulary == (prediction.emotions and prediction.emotions.vocabulary):
        return ""
    return ", ".join(f"{word} {value:.0%}" for word, value in polarity.weights.items())


def _attributes(prediction: "Prediction") -> str:
    from affectlens.attributes import MEASURED, in_words
    from affectlens.inference import attribute_evidence as because

    said = prediction.attributes or {}
    measured = ", ".join(in_words({name: said[name] for name in MEASURED if name in said}))
    return printable("; ".join(filter(None, (measured, *because.in_words(said)))))


@contextmanager
def _bar(tally: Tally, words: tuple[str, ...]) -> Iterator[Callable[[int], None]]:
    """Show on standard error how far the job is; yields what is to be called with the pictures just done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from affectlens.inference.inputs import count

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[state]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=count(words), completed=tally.kept, state="")

        def advance(done: int) -> None:
            state = f"{tally.speed}, {tally.failed:,} not read" if tally.failed else tally.speed
            progress.update(task, advance=done, state=state)

        yield advance


def _nothing(_: int) -> None:
    """In place of a bar."""
