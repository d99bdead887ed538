"""`affectlens train RECIPE --data NAME:PATH --out RUN`."""

import os
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from affectlens.adaptation.depths import DEPTHS, HEAD
from affectlens.cli import options
from affectlens.cli.console import echo, table_console
from affectlens.cli.interrupts import hint_to_resume
from affectlens.report.text import printable

if TYPE_CHECKING:
    from affectlens.adaptation.job import FinetuneEvent
    from affectlens.cli.progress import ProgressBar
    from affectlens.training.run import RunEvent


FINETUNE = "finetune"
# What fitting a classifier has a use for, and what training more of a model has besides.
OF_HEAD = frozenset({"recipe", "data", "out", "start", "depth", "name", "seed", "cache", "resume",
                     "ratings", "scale"})  # fmt: skip
OF_DEPTHS = OF_HEAD | {"file", "assignments", "device", "dtype", "no_graph", "trackers"}
NO_GRAPH = "Note: it has no graph and answers by torch. {}"
TRACKERS = ("tensorboard", "mlflow", "wandb")


@click.command()
@click.argument("recipe")
@click.option("--data", required=True, help="Data set, as fi:/data/fi or folder:PICTURES.")
@click.option("--out", required=True, type=options.NamedPath(path_type=Path), help="Run folder to write.")
@click.option("--fold", type=click.IntRange(0), metavar="K", help="Fold to validate on; the others train.")
@click.option(
    "--teachers",
    type=options.NamedPath(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Predictions of a teacher to learn from besides labels, as `affectlens predict --out` writes them: "
    ".jsonl or .csv, with every training picture. Several are averaged. Goes with --set distillation=0.5.",
)
@click.option(
    "--start",
    metavar="MODEL",
    help="Model that finetune begins with, by name or folder. Default: default.",
)
@click.option(
    "--depth",
    type=click.Choice(DEPTHS),
    help="Depth of finetune. head: the last layer learns, in seconds and without torch. last: the last block "
    "or stage too. all: everything. Both take minutes to hours, and torch. Default: head.",
)
@click.option(
    "--rating",
    "ratings",
    multiple=True,
    metavar="NAME",
    help="Column of ratings to learn, next to labels where the table has some; finetune learns it instead of "
    "words. Several may be named. With a scale of its own: NAME:LOW:HIGH.",
)
@click.option(
    "--scale",
    nargs=2,
    type=float,
    metavar="LOW HIGH",
    help="Ends of the scale of the ratings. Default: 1 9, in finetune of valence and arousal alone.",
)
@options.model_name
@options.settings_file
@options.assignments
@click.option("--seed", type=int, help="Random seed. Default: the recipe's, 0.")
@options.cache_folder
@click.option("--resume", is_flag=True, help="Continuation of the run in --out after an interruption.")
@click.option(
    "--epochs",
    type=options.FiniteRange(0, min_open=True),
    metavar="N",
    help="Number of epochs in total that a run goes on to, with --resume. (A new run takes --set epochs=N.)",
)
@click.option("--device", default="auto", show_default=True, help="Device: auto, cpu, cuda, cuda:1 or mps.")
@options.weights_dtype
@options.no_graph
@click.option(
    "--track",
    "trackers",
    type=click.Choice(TRACKERS),
    multiple=True,
    help="Tracker that gets all numbers of the run; several may be named. Each has an extra of that name. Of "
    "finetune it gets each training of the deeper ones.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, options.MOST_PROCESSES),
    metavar="N",
    help="Number of processes that divide each batch, on this machine or a Ray cluster. (The setting "
    "num_workers is how many processes read pictures for each of them.)",
)
@click.option(
    "--address",
    default="auto",
    show_default=True,
    help="Ray cluster for --workers: auto, none (one of our own) or HOST:PORT.",
)
@click.pass_context
def train(
    context: click.Context,
    recipe: str,
    data: str,
    out: Path,
    fold: int | None,
    teachers: tuple[Path, ...],
    start: str | None,
    depth: str | None,
    ratings: tuple[str, ...],
    scale: tuple[float, float] | None,
    name: str | None,
    file: Path | None,
    assignments: tuple[str, ...],
    seed: int | None,
    cache: Path | None,
    resume: bool,
    epochs: float | None,
    device: str,
    dtype: str,
    no_graph: bool,
    trackers: tuple[str, ...],
    workers: int | None,
    address: str,
) -> None:
    """Train RECIPE (a recipe or a network, see `affectlens models`) on labelled pictures.

    The run folder holds settings, logs, checkpoints and in the end the model in OUT/model. A run that was
    interrupted, even by a power cut, goes on with --resume as if nothing had happened. With --resume
    --epochs N one that was interrupted or has ended goes on to N epochs.

    RECIPE may be finetune: a trained model learns words, ratings or several labels of your own pictures. The
    run folder then also holds report.html, which shows how good the new model is on pictures that it did not
    learn from. With --resume it goes on by the same command.
    """
    if recipe == FINETUNE:
        depth = depth or HEAD
        _refuse_options_of_training(context, depth)
        finetune(
            data,
            {
                "out": out,
                "start": start,
                "depth": depth,
                "name": name,
                "seed": seed,
                "cache": cache,
                "resume": resume,
                # Of deeper ones alone; refused above where they are given for another.
                "file": file,
                "assignments": assignments,
                "device": device,
                "dtype": dtype,
                "graph": not no_graph,
                "trackers": trackers,
            },
            ratings,
            scale,
        )
        return
    if start or depth:
        raise click.UsageError(f"--start and --depth are of the recipe {FINETUNE}: leave them out.")
    from dataclasses import replace

    from affectlens.cli.portable_command import portable_command
    from affectlens.data.splits import with_fold
    from affectlens.recipes.catalog import changed_recipe
    from affectlens.training.ratings import open_source
    from affectlens.training.run import fit
    from affectlens.training.run_folder import SETTINGS, TrainingRequest, read_run_settings
    from affectlens.training.trackers import require_trackers, tracked

    require_trackers(trackers)
    if resume and (file or assignments or seed is not None or ratings or scale):
        raise click.UsageError(
            "--resume takes the run's settings: leave out --settings, --set, --seed, --rating and --scale."
        )
    if epochs is not None and not resume:
        raise click.UsageError("--epochs goes with --resume. For a new run: --set epochs=N.")
    named = {"ratings": list(ratings), "rating_scale": list(scale or ())}
    named = {name: values for name, values in named.items() if values}
    changes = (recipe, file, assignments, seed, named)
    settings = read_run_settings(out) if resume else changed_recipe(*changes)
    if epochs is not None:
        settings = replace(settings, epochs=epochs)
    source = open_source(data, settings)
    if fold is not None:
        source = with_fold(source, fold)
    for note in source.notes:
        echo(f"Note: {note}.", err=True)
    request = TrainingRequest(
        name=name or recipe,
        data=data.partition(":")[0],
        source=source,
        settings=settings,
        out=out,
        cache=cache,
        resume=resume,
        extends=epochs is not None,
        teachers=teachers,
        device=device,
        dtype=dtype,
        graph=not no_graph,
        command=portable_command(sys.argv[1:]),
    )
    if workers:
        from affectlens.cluster.connection import Cluster
        from affectlens.cluster.train import fit_on_ray

        cluster = Cluster(address=address, cpus=max(workers, os.cpu_count() or 1))
        events = fit_on_ray(request, workers, cluster)
    else:
        events = fit(request)
    with hint_to_resume(out / SETTINGS):
        show(tracked(events, request, trackers, partial(echo, err=True)))


def _refuse_options_of_training(context: click.Context, depth: str) -> None:
    of_depth, used = (f" --depth {HEAD}", OF_HEAD) if depth == HEAD else ("", OF_DEPTHS)
    for option in options.given(context, context.params.keys() - used):
        raise click.UsageError(f"{FINETUNE}{of_depth} has no use for {option}: leave it out.")


def finetune(
    data: str,
    given: Mapping[str, Any],
    ratings: tuple[str, ...] = (),
    scale: tuple[float, float] | None = None,
) -> None:
    """Adapt a trained model to the words or ratings of a data set, and print what was found.

    `given` are fields of the request by name; None is its default.
    """
    from affectlens.adaptation.folder import SETTINGS, FinetuneRequest
    from affectlens.adaptation.job import adapt, open_target, requested_target
    from affectlens.cli.portable_command import portable_command
    from affectlens.data.rated_table import rating_scales
    from affectlens.extras import ADAPT, TRAIN, require
    from affectlens.library import DEFAULT

    # Before any work.
    if given["depth"] != HEAD:
        require(TRAIN, f"Finetuning at depth {given['depth']}")
    require(ADAPT, "Fitting a classifier")
    target = open_target(data, given["start"] or DEFAULT, rating_scales(ratings, scale), scale)
    for note in target.notes:
        echo(f"Note: {note}.", err=True)
    values = {name: value for name, value in given.items() if value is not None}
    values.setdefault("name", printable(given["out"].resolve().name))
    command = portable_command(sys.argv[1:])
    request = FinetuneRequest(
        **requested_target(target),
        data=data.partition(":")[0],
        note=partial(echo, err=True),
        command=command,
        **values,
    )
    with hint_to_resume(request.out / SETTINGS):
        show_finetuning(adapt(request))


def show_finetuning(events: "Iterator[FinetuneEvent]") -> None:
    """Print what happens; with a bar on a terminal, in plain lines elsewhere."""
    from affectlens.adaptation.deep import PartEvent
    from affectlens.adaptation.embeddings import EmbeddingProgress
    from affectlens.adaptation.folder import Finetuned, ValidationProgress
    from affectlens.adaptation.report import Report
    from affectlens.cli.progress import progress_bar
    from affectlens.evaluation.tables import print_scores

    with progress_bar("starting") as bar:
        shown: TrainingDisplay | None = None
        for event in events:
            if isinstance(event, (EmbeddingProgress, ValidationProgress)):
                if event.done == 0:
                    doing = "embedding" if isinstance(event, EmbeddingProgress) else "validating"
                    bar.start(doing, event.total)
                bar.set(event.done)
            elif isinstance(event, PartEvent):
                if shown is None or shown.title != event.title:
                    shown = TrainingDisplay(bar, event.title)
                shown.show(event.event)
            elif isinstance(event, Finetuned):
                bar.stop()
                if isinstance(event.report, Report):
                    print_scores(event.report.scores, table_console())
                else:
                    echo(event.report.markdown(), several_lines=True)
                for line in event.report.findings():
                    echo(line)
                echo(f"Report: {event.page}")
                echo(f"Model: {event.model}")
                if event.no_graph:
                    echo(NO_GRAPH.format(event.no_graph), err=True)


class TrainingDisplay:
    """Prints what happens in training; `title` names which run it is, where there are several."""

    def __init__(self, bar: "ProgressBar", title: str = "") -> None:
        from affectlens.training.text import Meter

        self.bar = bar
        self.title = title
        self.prefix = f"{title}: " if title else ""
        self.meter = Meter()

    def show(self, event: "RunEvent") -> None:
        """Show an event, but for the end of the run."""
        from affectlens.training.loop import Step
        from affectlens.training.run import EpochEnd, RunStarted
        from affectlens.training.session import CacheProgress
        from affectlens.training.text import epoch_text, start_text

        if isinstance(event, CacheProgress):
            self.bar.start("decoding", event.total, event.done)
        elif isinstance(event, RunStarted):
            self.bar.print(f"{self.prefix}{start_text(event)}")
            self.bar.start(f"{self.prefix}training", event.total_steps, event.step)
        elif isinstance(event, Step):
            self.bar.set(event.number, state=self.meter.after(event))
        elif isinstance(event, EpochEnd):
            self.bar.print(f"{self.prefix}{epoch_text(event)} {self.meter.state}")


def show(events: "Iterator[RunEvent]") -> None:
    """Print what happens; with a bar on a terminal, in plain lines elsewhere."""
    from affectlens.cli.progress import progress_bar
    from affectlens.evaluation.regression import regression_markdown
    from affectlens.evaluation.tables import print_scores
    from affectlens.training.finish import RunFinished

    with progress_bar("starting") as bar:
        shown = TrainingDisplay(bar)
        for event in events:
            if isinstance(event, RunFinished):
                bar.stop()
                print_scores(event.scores, table_console())
                if event.attribute_scores:
                    echo(event.attribute_scores.markdown(), several_lines=True)
                if event.rating_scores:
                    echo(regression_markdown(event.rating_scores), several_lines=True)
                echo(f"Model: {event.model}")
                if event.no_graph:
                    echo(NO_GRAPH.format(event.no_graph), err=True)
            else:
                shown.show(event)
