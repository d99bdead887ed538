"""`affectlens predict PATH... [--out FILE]`."""

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from affectlens.cli import options
from affectlens.cli.console import echo, standard_input
from affectlens.cli.progress import progress_bar
from affectlens.extras import CLUSTER, require
from affectlens.report.text import printable

if TYPE_CHECKING:
    from rich.console import Console

    from affectlens.inference.job import JobCounts, PredictionJob, Progress
    from affectlens.inference.predictor import Prediction


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--model", "name", default="default", show_default=True,
              help="Name from `affectlens models`, model folder, or owner/name on the hub.")  # fmt: skip
@click.option("--out", type=options.NamedPath(path_type=Path), metavar="FILE",
              help="Result file, with a row for each picture: .jsonl, .csv or .parquet.")  # fmt: skip
@click.option("--resume", is_flag=True, help="Continuation of FILE after an interruption.")
@click.option("--attributes", is_flag=True,
              help="Brightness and colourfulness of each picture as well; of a model that was trained on "
                   "attributes, also those that it predicts, and which speak for its answer.")  # fmt: skip
@click.option("--coverage", type=float, metavar="SHARE",
              help="Probability, 0.5 to 0.99, with which a set of emotions holds the picture's own: each row "
                   "gets the smallest such set. Intervals of ratings are of it too, else .9.")  # fmt: skip
@click.option("--min-confidence", type=click.FloatRange(0, 1), metavar="SHARE",
              help="Probability of the most probable emotion below which none is named.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="JSON on standard output, one object a picture.")
@click.option("--batch-size", type=click.IntRange(1), default=32, show_default=True, help="Batch size.")
@click.option("--device", default="auto", show_default=True, help="Device: auto, cpu, cuda, cuda:1 or mps.")
@click.option("--precision", default="auto", show_default=True,
              help="Number format: auto, float32 or bfloat16.")  # fmt: skip
@options.engine
@click.option("--column", help="Column of .parquet tables that holds paths, URLs or pictures. Default: the "
                               "first of image, path, url, file, file_name and bytes.")  # fmt: skip
@click.option("--workers", type=click.IntRange(1, options.MOST_PROCESSES), metavar="N",
              help="Number of processes, on this machine or a Ray cluster; writes FILE.")  # fmt: skip
@click.option("--address", default="auto", show_default=True,
              help="Ray cluster for --workers: auto, none (a new one here) or HOST:PORT.")  # fmt: skip
def predict(
    paths: tuple[str, ...],
    out: Path | None,
    resume: bool,
    as_json: bool,
    workers: int | None,
    column: str | None,
    **given: Any,
) -> int:
    """Predict which emotions pictures evoke in the people who look at them, on average.

    PATH is a picture, a folder of pictures (with all below it), a pattern such as 'photos/**/*.jpg', or -
    for standard input: a list of pictures, one a line or separated by NUL bytes, or one picture; a URL of an
    object store (s3://, gs://); or a .parquet table with a column of paths or of pictures.

    Without --out the answers are printed. A picture that cannot be read is reported and the rest is
    done. Exit status: 0 all pictures were read, 1 some were not, 2 wrong use.
    """
    if out and as_json:
        raise click.UsageError("--json prints to standard output: leave out --json or --out.")
    if resume and not out:
        raise click.UsageError("--resume goes on with a file: name it by --out.")
    if out:
        from affectlens.inference.output.writer import check_file

        check_file(out, resume)  # before a model is loaded for nothing
    if workers and not out:
        raise click.UsageError("--workers writes a file: name it by --out.")
    if workers:
        require(CLUSTER, "--workers")
    from affectlens.inference.engine import MANY
    from affectlens.inference.inputs import STANDARD_INPUT, bursts, count
    from affectlens.inference.job import PredictionJob
    from affectlens.inference.predictor import Predictor

    # Before the model: a table that cannot be read here is an error at once.
    parts: Any = iter(()) if workers else bursts(paths, standard_input(), column)
    number = 0 if workers or STANDARD_INPUT in paths else count(paths, column)
    predictor = Predictor.load(
        given["name"],
        given["device"],
        given["precision"],
        engine=given["engine"],
        many=number is None or number >= MANY,  # None: counting takes long
    )
    job = PredictionJob(predictor, chain.from_iterable(parts), given["batch_size"], given["attributes"])
    job.coverage, job.min_confidence = given["coverage"], given["min_confidence"]
    predictor.row_schema(coverage=given["coverage"])  # an impossible coverage is an error at once
    if not out and STANDARD_INPUT in paths:
        # What is printed may be waited for, while what feeds standard input waits for it.
        job.bursts = parts
    if workers and out:
        _write_on_ray(job, paths, column, out, resume, workers, given)
    elif out:
        with _reported(job.counts, out), _bar(paths, column) as show:
            job.write(out, resume=resume, progress=show)
    elif as_json:
        _print_json(job, paths, column)
    else:
        _print_for_people(job, paths, column)
    return 1 if job.counts.failed else 0


def _write_on_ray(
    job: "PredictionJob",
    paths: tuple[str, ...],
    column: str | None,
    out: Path,
    resume: bool,
    workers: int,
    given: dict[str, Any],
) -> None:
    import os

    from affectlens.cluster.connection import Cluster, connected
    from affectlens.cluster.predict import PictureListing, PredictionOptions, write_on_ray

    options = PredictionOptions(
        model=given["name"],
        device=given["device"],
        precision=given["precision"],
        engine=given["engine"],
        batch_size=given["batch_size"],
        attributes=given["attributes"],
        coverage=given["coverage"],
        min_confidence=given["min_confidence"],
        suffix=out.suffix,
    )
    listing = PictureListing.of(paths, column)
    cluster = Cluster(address=given["address"], cpus=max(workers, os.cpu_count() or 1))
    with connected(cluster), _reported(job.counts, out), _bar(paths, column) as show:
        write_on_ray(job, out, options, listing, workers, resume=resume, progress=show)


@contextmanager
def _reported(counts: "JobCounts", out: Path) -> Iterator[None]:
    """Report a job that writes a file when it ends; of one that is interrupted, what is kept."""
    try:
        yield
    except KeyboardInterrupt:
        if counts.total:
            echo(f"{counts.total:,} rows are kept; go on with --resume.", err=True)
        raise
    _report(counts)
    echo(f"Written to {printable(str(out))}", err=True)


def _report(counts: "JobCounts") -> None:
    for line in (*counts.failure_lines(), counts.summary()):
        echo(line, err=True)


@contextmanager
def _bar(paths: tuple[str, ...], column: str | None, shown: bool = True) -> Iterator["Progress"]:
    """Show how far a job is."""
    if not shown:
        yield lambda counts: None
        return
    from affectlens.inference.inputs import count

    with progress_bar() as bar:
        total = count(paths, column) if bar.is_shown else None

        def show(counts: "JobCounts") -> None:
            if not bar.is_shown:
                return
            if not counts.done:
                bar.start("predicting", total, counts.kept)
            unread = f", {counts.failed:,} not read" if counts.failed else ""
            bar.set(counts.total, state=f"{counts.speed}{unread}")

        yield show


def _print_json(job: "PredictionJob", paths: tuple[str, ...], column: str | None) -> None:
    from affectlens.inference.output.json_lines import json_line

    card = job.predictor.card

    def write(prediction: "Prediction") -> None:
        sys.stdout.buffer.write(json_line(prediction.to_row(card)).encode())
        # At once, so that a program that reads them has each row as soon as it is there.
        sys.stdout.buffer.flush()

    if alone := job.alone():
        write(alone)
    else:
        with (
            _bar(paths, column, not sys.stdout.isatty()) as show,
            closing(job.predictions(show)) as predictions,
        ):
            for prediction in predictions:
                write(prediction)
    _report(job.counts)


def _print_for_people(job: "PredictionJob", paths: tuple[str, ...], column: str | None) -> None:
    from affectlens.inference.text import prediction_line

    model = job.predictor.card.name
    if alone := job.alone():
        if alone.emotions is not None:
            _show(alone, model)
        for line in job.counts.failure_lines():
            echo(line, err=True)
        return
    echo(f"What each picture is likely to evoke in people who look at it (model {model}):")
    with _bar(paths, column, not sys.stdout.isatty()) as show, closing(job.predictions(show)) as predictions:
        for prediction in predictions:
            echo(prediction_line(prediction))
    _report(job.counts)


def _show(prediction: "Prediction", model: str) -> None:
    """Show one picture alone: a bar for each emotion, in a panel on a terminal."""
    if sys.stdout.isatty():
        from rich.console import Console

        _show_panel(prediction, model, Console(highlight=False, markup=False, emoji=False, soft_wrap=True))
        return
    from affectlens.inference.text import prediction_text

    echo(prediction_text(prediction, model), several_lines=True)


def _show_panel(prediction: "Prediction", model: str, console: "Console") -> None:
    from rich.panel import Panel
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    from affectlens.inference.text import (
        BAR,
        attribute_text,
        beyond_text,
        emotion_rows,
        notes_text,
        title_text,
    )

    table = Table.grid(padding=(0, 1))
    for number, (word, value, percent) in enumerate(emotion_rows(prediction)):
        style = "bold" if number == 0 else ""
        bar = ProgressBar(total=1.0, completed=value, width=BAR, complete_style="cyan", finished_style="cyan")
        table.add_row(Text(word, style), bar, Text(percent, style))
    notes = Text(notes_text(prediction, model), "dim")
    console.print(Text(title_text(prediction), "bold"))
    console.print(Panel(table, expand=False, subtitle=notes, subtitle_align="left"))
    for line in filter(None, (beyond_text(prediction), attribute_text(prediction))):
        console.print(f"  {line}")
