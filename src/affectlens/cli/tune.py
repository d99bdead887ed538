"""`affectlens tune RECIPE --data NAME:PATH --out DIR`, and its commands `replay` and `report`."""

from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from affectlens.cli.default_command import DefaultCommand
from affectlens.cli.train import portable_command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from affectlens.cluster.tune import Event
    from affectlens.data.records import DataSource
    from affectlens.training.lineage import Interval
    from affectlens.training.run import Request

FAMILY, SCHEDULE = "family.png", "schedule.png"


@click.group(cls=DefaultCommand, default="search")
def tune() -> None:
    """Search for settings with a population that trains at the same time."""


def _resources(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> dict[str, float] | None:
    if text is None:
        return None
    try:
        pairs = [part.split("=") for part in text.split(",")]
        found = {name.strip(): float(number) for name, number in pairs}
    except ValueError:
        found = {"?": 0.0}
    if not found.keys() <= {"cpu", "gpu"}:
        raise click.BadParameter(f"{text!r} is not like cpu=1,gpu=0.25.")
    return found


@tune.command()
@click.argument("recipe")
@click.option("--data", required=True, help="NAME:PATH, as in fi:/data/fi; the same on every machine.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The folder of the search.")
@click.option("--scheduler", default="pbt", show_default=True,
              type=click.Choice(["pbt", "pb2", "asha", "random"]), help="Who goes on with what.")  # fmt: skip
@click.option("--population", default=8, show_default=True, help="Members; more than the cores take turns.")
@click.option("--interval", default="200steps", show_default=True,
              help="What a member trains in a round, as 200steps or 0.5epochs.")  # fmt: skip
@click.option("--rounds", default=20, show_default=True, help="Training is interval x rounds long.")
@click.option("--budget", default=0, help="Steps of all members together after which it ends. Default: none.")
@click.option("--address", default="auto", show_default=True,
              help="auto: a Ray that runs, or our own; none: our own; or ray://HOST:PORT.")  # fmt: skip
@click.option("--resources", callback=_resources, metavar="cpu=1,gpu=0.25",
              help="Of each member. Default: one CPU, and one GPU where this machine has any.")  # fmt: skip
@click.option("--name", help="What the model is called. Default: the recipe's name.")
@click.option("--settings", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="A TOML file that changes the recipe.")  # fmt: skip
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Change one setting.")
@click.option("--seed", type=int, help="Of training and of the search. Default: the recipe's, 0.")
@click.option("--cache", type=click.Path(file_okay=False, path_type=Path),
              help="Decoded pictures (cache_side), shared between runs. Default: in OUT.")  # fmt: skip
@click.option("--resume", is_flag=True, help="Go on with the search in --out after an interruption.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps.")
@click.option("--dtype", default="float16", show_default=True,
              type=click.Choice(["float32", "float16", "bfloat16"]),
              help="How the model's weights are stored.")  # fmt: skip
def search(recipe: str, data: str, out: Path, **given: Any) -> None:
    """Search for the settings of RECIPE (a recipe or a network, see `affectlens models`).

    A population trains at the same time, each member with settings of its own. After each round the worst
    take over weights and settings of the best, and vary them (population based training). OUT/model is the
    best model, OUT/family.png the family tree. A search that was interrupted goes on with --resume.
    """
    from affectlens.cluster.connection import Cluster, import_ray
    from affectlens.data.catalog import open_data
    from affectlens.training.run import Request

    import_ray()  # says how to get it, before anything else is done
    from affectlens.cluster.tune import Search
    from affectlens.cluster.tune import search as run_search

    if given["resume"]:
        _refuse_changes(click.get_current_context())
    source = open_data(data)
    for note in source.notes:
        click.echo(f"Note: {note}.", err=True)
    settings, plan = _settings_and_plan(recipe, source, out, given)
    run = Request(
        name=given["name"] or recipe,
        data=data.partition(":")[0],
        source=source,
        settings=settings,
        out=out,
        cache=given["cache"],
        resume=given["resume"],
        device=given["device"],
        dtype=given["dtype"],
        command=portable_command(data, out, given["cache"]),
    )
    with _listener() as listen:
        run_search(Search(run=run, data=data, plan=plan, cluster=Cluster(address=given["address"])), listen)
    _draw(out)


def _refuse_changes(context: click.Context) -> None:
    fixed = (
        "scheduler",
        "population",
        "interval",
        "rounds",
        "budget",
        "resources",
        "file",
        "assignments",
        "seed",
    )
    source = click.core.ParameterSource.COMMANDLINE
    if any(context.get_parameter_source(name) is source for name in fixed):
        raise click.UsageError(
            "--resume takes the search's settings: leave out --scheduler, --population, --interval, "
            "--rounds, --budget, --resources, --settings, --set and --seed."
        )


def _settings_and_plan(recipe: str, source: "DataSource", out: Path, given: dict[str, Any]) -> Any:
    from affectlens import recipes
    from affectlens.cluster.tune import Plan, interval_steps
    from affectlens.training.run import read_run_settings
    from affectlens.training.settings import override, read_settings

    if given["resume"]:
        return read_run_settings(out), Plan.read(out)
    settings = recipes.recipe(recipe)
    settings = read_settings(given["file"], settings) if given["file"] else settings
    seed = [] if given["seed"] is None else [f"seed={given['seed']}"]
    settings = override(settings, [*given["assignments"], *seed])
    resources = given["resources"] or _own_resources(given["device"])
    plan = Plan(
        scheduler=given["scheduler"],
        population=given["population"],
        interval=interval_steps(given["interval"], settings, source),
        rounds=given["rounds"],
        budget=given["budget"],
        seed=settings.seed,
        cpus=resources.get("cpu", 1.0),
        gpus=resources.get("gpu", 0.0),
    )
    return settings, plan


def _own_resources(device: str) -> dict[str, float]:
    from affectlens.machine import pick_device

    return {"cpu": 1.0, "gpu": float(pick_device(device).type == "cuda")}


@contextmanager
def _listener() -> "Iterator[Callable[[Event], None]]":
    """Print what happens; with a bar on a terminal, in plain lines elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from affectlens.cluster.tune import RoundEnd, SearchFinished, SearchStarted
    from affectlens.evaluation.tables import render
    from affectlens.training.lineage import Interval
    from affectlens.training.session import CacheProgress

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("starting", total=None)

        def listen(event: "Event") -> None:
            if isinstance(event, CacheProgress):
                progress.update(task, description="decoding", total=event.total, completed=event.done)
            elif isinstance(event, SearchStarted):
                plan = event.plan
                done = plan.population * max(event.begin, 0)
                progress.reset(
                    task, description="intervals", total=plan.population * plan.rounds, completed=done
                )
                names = ", ".join(knob.name for knob in event.table)
                console.print(
                    f"{plan.scheduler}: {plan.population} members, {plan.rounds} rounds of "
                    f"{plan.interval} steps, {event.device}. Searched: {names}.",
                    highlight=False,
                )
            elif isinstance(event, Interval):
                progress.advance(task)
            elif isinstance(event, RoundEnd):
                console.print(_told(event), highlight=False)
            elif isinstance(event, SearchFinished):
                progress.stop()
                render(event.finished.scores, Console())
                winner = event.winner
                click.echo(f"Best: member {winner.member} after round {winner.round}, {winner.score:.4f}.")
                click.echo(f"Model: {event.finished.model}")

        yield listen


def _told(event: Any) -> str:
    more = f", {event.taken_over} from another's weights" if event.taken_over else ""
    more += f", {event.diverged} diverged" if event.diverged else ""
    return (
        f"Round {event.round}: best {event.best:.4f}, median {event.median:.4f}, "
        f"best so far {event.best_so_far:.4f}{more}."
    )


@tune.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def report(folder: Path) -> None:
    """Check the lineage of the search in FOLDER, and draw its figures again."""
    from affectlens.training import lineage

    intervals = lineage.read(folder / lineage.LINEAGE)
    lineage.verify(intervals)
    click.echo(f"The lineage is true: {len(intervals)} intervals, every one began where its parent ended.")
    if intervals:
        _draw(folder)


def _draw(folder: Path) -> None:
    from affectlens.training import lineage
    from affectlens.training.lineage_figure import write_family, write_schedule
    from affectlens.training.search_space import read_table

    intervals = lineage.read(folder / lineage.LINEAGE)
    write_family(folder / FAMILY, intervals)
    write_schedule(folder / SCHEDULE, intervals, read_table(folder))
    click.echo(f"Figures: {folder / FAMILY}, {folder / SCHEDULE}")


@tune.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--data", required=True, help="NAME:PATH, the data of the search.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="The run folder to write. Default: FOLDER/replay."
)
@click.option(
    "--cache", type=click.Path(file_okay=False, path_type=Path), help="Decoded pictures (cache_side)."
)
@click.option("--resume", is_flag=True, help="Go on with a replay after an interruption.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps.")
def replay(folder: Path, data: str, out: Path | None, cache: Path | None, resume: bool, device: str) -> None:
    """Train the winner's schedule of the search in FOLDER as one run."""
    from affectlens.data.catalog import open_data
    from affectlens.training import lineage
    from affectlens.training.run import RUN, Request, read_run_settings
    from affectlens.training.search_space import read_threads

    intervals = lineage.read(folder / lineage.LINEAGE)
    lineage.verify(intervals)
    line = lineage.ancestors(intervals, lineage.best(intervals))
    place = out or folder / "replay"
    run = Request(
        name=_name_of(folder / RUN),
        data=data.partition(":")[0],
        source=open_data(data),
        settings=read_run_settings(folder),
        out=place,
        cache=cache or (folder / "cache" if (folder / "cache").is_dir() else None),
        resume=resume,
        device=device,
        command=portable_command(data, place, cache),
    )
    _replay(run, line, read_threads(folder))


def _replay(run: "Request", line: "list[Interval]", threads: int) -> None:
    from affectlens.cli.progress import counter
    from affectlens.training.replay import Replayed
    from affectlens.training.replay import replay as run_replay
    from affectlens.training.session import prepared

    task = prepared(run.source, run.settings, run.device, run.out / "cache", run.cache)
    with counter("intervals", len(line)) as advance:
        for event in run_replay(run, task, line, threads):
            if isinstance(event, Replayed):
                advance(1)
                alike = "the same weights" if event.is_the_same else "other weights"
                reached, expected = event.reached, event.expected
                click.echo(
                    f"Round {expected.round}: {reached.score:.4f} (search {expected.score:.4f}, {alike})",
                    err=True,
                )
            else:
                click.echo(f"Model: {event.model}")


def _name_of(file: Path) -> str:
    import json

    name: str = json.loads(file.read_text(encoding="utf-8"))["name"]
    return name
