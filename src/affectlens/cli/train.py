"""`affectlens train RECIPE --data NAME:PATH --out RUN`."""

import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from affectlens.training.run import Event


@click.command()
@click.argument("recipe")
@click.option("--data", required=True, help="NAME:PATH, as in fi:/data/fi or folder:PICTURES.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The run folder to write.")
@click.option("--name", help="What the model is called. Default: the recipe's name.")
@click.option("--settings", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="A TOML file that changes the recipe.")  # fmt: skip
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Change one setting.")
@click.option("--seed", type=int, help="Of everything random. Default: the recipe's, 0.")
@click.option("--cache", type=click.Path(file_okay=False, path_type=Path),
              help="Decoded pictures (cache_side), shared between runs. Default: in OUT.")  # fmt: skip
@click.option("--resume", is_flag=True, help="Go on with the run in --out after an interruption.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 or mps.")
@click.option(
    "--dtype",
    default="float16",
    show_default=True,
    type=click.Choice(["float32", "float16", "bfloat16"]),
    help="How the model's weights are stored.",
)
@click.option("--workers", type=click.IntRange(1), metavar="N",
              help="Divide each batch among N processes, on this machine or a Ray cluster. Not the setting "
                   "workers, which is how many processes read pictures for each of them.")  # fmt: skip
@click.option("--address", default="auto", show_default=True,
              help="Of the Ray cluster for --workers: auto, none (one of our own) or HOST:PORT.")  # fmt: skip
def train(
    recipe: str,
    data: str,
    out: Path,
    name: str | None,
    file: Path | None,
    assignments: tuple[str, ...],
    seed: int | None,
    cache: Path | None,
    resume: bool,
    device: str,
    dtype: str,
    workers: int | None,
    address: str,
) -> None:
    """Train RECIPE (a recipe or a network, see `affectlens models`) on labelled pictures.

    The run folder holds settings, logs, checkpoints and in the end the model in OUT/model. A run that was
    interrupted, even by a power cut, goes on with --resume as if nothing had happened.
    """
    from affectlens import recipes
    from affectlens.data.catalog import open_data
    from affectlens.training.run import Request, fit, read_run_settings
    from affectlens.training.settings import override, read_settings

    if resume:
        if file or assignments or seed is not None:
            raise click.UsageError(
                "--resume takes the run's settings: leave out --settings, --set and --seed."
            )
        settings = read_run_settings(out)
    else:
        settings = recipes.recipe(recipe)
        settings = read_settings(file, settings) if file else settings
        settings = override(settings, [*assignments, *([f"seed={seed}"] if seed is not None else [])])
    source = open_data(data)
    for note in source.notes:
        click.echo(f"Note: {note}.", err=True)
    request = Request(
        name=name or recipe,
        data=data.partition(":")[0],
        source=source,
        settings=settings,
        out=out,
        cache=cache,
        resume=resume,
        device=device,
        dtype=dtype,
        command=portable_command(data, out, cache),
    )
    if workers:
        from affectlens.cluster.connection import Cluster
        from affectlens.cluster.train import fit_on_ray

        show(fit_on_ray(request, workers, Cluster(address=address, cpus=max(workers, os.cpu_count() or 1))))
    else:
        show(fit(request))


def portable_command(data: str, out: Path, cache: Path | None) -> str:
    """The command as another could type it: the places of data, run and cache without their folders."""
    name, separator, _ = data.partition(":")
    stand_ins = {str(cache): "CACHE", data: f"{name}:PATH" if separator else "PATH", str(out): "RUN"}
    words = [stand_ins.get(word, word) for word in sys.argv[1:]]
    words = ["weights=FOLDER" if word.startswith("weights=/") else word for word in words]
    if "--address" in words[:-1]:
        words[words.index("--address") + 1] = "ADDRESS"
    return shlex.join(["affectlens", *words])


def show(events: "Iterator[Event]") -> None:
    """Print what happens; with a bar on a terminal, in plain lines elsewhere."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from affectlens.evaluation.tables import render
    from affectlens.training.loop import Step
    from affectlens.training.run import EpochEnd, Finished, Started
    from affectlens.training.session import CacheProgress

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[state]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("starting", total=None, state="")
        meter = Meter()
        for event in events:
            if isinstance(event, CacheProgress):
                progress.update(task, description="decoding", total=event.total, completed=event.done)
            elif isinstance(event, Started):
                console.print(
                    f"Step {event.step} of {event.total_steps}, {event.pictures:,} training pictures, "
                    f"{event.device}, {event.precision}."
                )
                progress.reset(
                    task, description="training", total=event.total_steps, completed=event.step, state=""
                )
            elif isinstance(event, Step):
                progress.update(task, completed=event.number, state=meter.after(event))
            elif isinstance(event, EpochEnd):
                scores = ", ".join(
                    f"{key.replace('_', ' ')} {value:.4f}" for key, value in event.scores.items()
                )
                mark = " (best)" if event.best else ""
                console.print(f"Epoch {event.epoch}: {scores}{mark}. {meter.state}", highlight=False)
            elif isinstance(event, Finished):
                progress.stop()
                render(event.scores, Console())
                if event.attribute_scores:
                    click.echo(event.attribute_scores.markdown())
                click.echo(f"Model: {event.model}")


class Meter:
    """Loss, accuracy and speed as they were lately, not since the beginning."""

    def __init__(self, memory: float = 0.95) -> None:
        import time

        self.clock = time.monotonic
        self.memory = memory
        self.last = self.clock()
        self.values: dict[str, float] = {}

    def after(self, step: "Event") -> str:
        """Take a step in and return the state as text."""
        from affectlens.training.loop import Step

        assert isinstance(step, Step)
        now = self.clock()
        new = {"loss": step.loss, "accuracy": step.accuracy, "seconds": (now - self.last) / step.pictures}
        self.last = now
        for key, value in new.items():
            old = self.values.get(key, value)
            self.values[key] = self.memory * old + (1 - self.memory) * value
        return self.state

    @property
    def state(self) -> str:
        """The state as text; empty before the first step."""
        if not self.values:
            return ""
        v = self.values
        speed = 1 / max(v["seconds"], 1e-9)
        return f"loss {v['loss']:.3f}, accuracy {v['accuracy']:.3f}, {speed:.0f} pictures/s"
