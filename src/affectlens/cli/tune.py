"""`affectlens tune RECIPE --data NAME:PATH --out DIR`, and its commands `replay` and `report`."""

import os
import sys
from collections.abc import Callable
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from affectlens.cli import options
from affectlens.cli.console import echo, table_console
from affectlens.cli.default_command import DefaultCommand
from affectlens.cli.interrupts import hint_to_resume, on_interrupt
from affectlens.files import is_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from affectlens.cluster.tune import SearchEvent

# What a search that goes on has already, as options and as parameters of `search`.
FIXED = {"--scheduler": "scheduler", "--population": "population", "--interval": "interval",
         "--rounds": "rounds", "--ranges": "ranges", "--budget": "budget", "--resources": "resources",
         "--settings": "file", "--set": "assignments", "--seed": "seed"}  # fmt: skip


@click.group(cls=DefaultCommand, default="search")
def tune() -> None:
    """Search for settings with a population that trains at the same time."""


def _resources(_: click.Context, __: click.Parameter, text: str | None) -> dict[str, float] | None:
    from affectlens.cluster.resources import parse_resources
    from affectlens.errors import SettingsError

    try:
        return None if text is None else parse_resources(text)
    except SettingsError as error:
        raise click.BadParameter(str(error)) from None


@tune.command()
@click.argument("recipe")
@click.option("--data", required=True, help="Data set, as fi:/data/fi; the same on every machine.")
@click.option("--out", required=True, type=options.NamedPath(path_type=Path), help="Folder of the search.")
@click.option(
    "--scheduler",
    default="pbt",
    show_default=True,
    type=click.Choice(["pbt", "pb2", "asha", "random"]),
    help="Algorithm: population based training, PB2, ASHA or random search.",
)
@click.option(
    "--population", default=8, show_default=True, help="Number of members; more than the cores take turns."
)
@click.option(
    "--interval", default="200steps", show_default=True, help="Length of a round, as 200steps or 0.5epochs."
)
@click.option(
    "--rounds", default=20, show_default=True, help="Number of rounds; training is interval x rounds long."
)
@click.option("--budget", default=0, help="Steps of all members together after which it ends. Default: none.")
@click.option(
    "--address",
    default="auto",
    show_default=True,
    help="Ray cluster: auto (one that runs, or our own), none (our own) or ray://HOST:PORT.",
)
@click.option(
    "--resources",
    callback=_resources,
    metavar="cpu=1,gpu=0.25",
    help="Resources of each member. Default: a CPU, and a GPU where this machine has one.",
)
@click.option(
    "--ranges",
    type=options.NamedPath(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="TOML file with ranges of settings, as lr = [1e-4, 1e-3], which replace those of the recipe.",
)
@options.model_name
@options.settings_file
@options.assignments
@click.option("--seed", type=int, help="Random seed of training and of the search. Default: the recipe's, 0.")
@options.cache_folder
@click.option("--resume", is_flag=True, help="Continuation of the search in --out after an interruption.")
@click.option("--device", default="auto", show_default=True, help="Device: auto, cpu, cuda or mps.")
@options.weights_dtype
@options.no_graph
def search(recipe: str, data: str, out: Path, **given: Any) -> None:
    """Search for the settings of RECIPE (a recipe or a network, see `affectlens models`).

    A population trains at the same time, each member with settings of its own. After each round the worst
    members copy weights and settings of the best (exploit) and perturb them (explore): population based
    training. OUT/model is the best model, OUT/family.png the family tree. A search that was interrupted goes
    on with --resume.
    """
    from affectlens.cli.portable_command import portable_command
    from affectlens.cluster.connection import Cluster, import_ray
    from affectlens.recipes.catalog import changed_recipe
    from affectlens.training.lineage_figure import write_figures
    from affectlens.training.ratings import open_source
    from affectlens.training.run_folder import TrainingRequest, read_run_settings
    from affectlens.training.search_plan import SearchFile
    from affectlens.training.search_ranges import read_ranges

    # The error that names the extra, before anything else is done.
    import_ray()
    from affectlens.cluster.tune import SearchRequest, plan_search
    from affectlens.cluster.tune import search as run_search

    if given["resume"]:
        _refuse_changes(click.get_current_context())
    if given["resume"]:
        settings = read_run_settings(out)
    else:
        settings = changed_recipe(recipe, given["file"], given["assignments"], given["seed"])
    space = read_ranges(given["ranges"], settings) if given["ranges"] else ()
    source = open_source(data, settings)
    for note in source.notes:
        echo(f"Note: {note}.", err=True)
    if given["resume"]:
        plan = SearchFile.read(out).plan
    else:
        planned = ("interval", "resources", "device", "scheduler", "population", "rounds", "budget")
        plan = plan_search(source, settings, **{name: given[name] for name in planned})
    run = TrainingRequest(
        name=given["name"] or recipe,
        data=data.partition(":")[0],
        source=source,
        settings=settings,
        out=out,
        cache=given["cache"],
        resume=given["resume"],
        device=given["device"],
        dtype=given["dtype"],
        graph=not given["no_graph"],
        command=portable_command(sys.argv[1:]),
    )
    cluster = Cluster(address=given["address"])
    with _listener() as listen, on_interrupt(partial(_answer_at_once, out)):
        run_search(SearchRequest(run=run, data=data, plan=plan, space=space, cluster=cluster), listen)
    echo(f"Figures: {', '.join(map(str, write_figures(out)))}")


def _answer_at_once(out: Path) -> None:
    """Answer Ctrl-C before Ray has ended: each of its processes has a second for it, one after the other."""
    from affectlens.training.run_folder import SETTINGS  # loaded by then

    # Written last of what a search begins with.
    is_begun = is_file(out / SETTINGS)
    how = "Go on with --resume." if is_begun else "No search was begun."
    with suppress(OSError):  # not by `echo`: Ctrl-C may come while it prints
        os.write(2, f"\nInterrupted: Ray is being ended, in some seconds. {how}\n".encode())
    raise KeyboardInterrupt


def _refuse_changes(context: click.Context) -> None:
    given = click.core.ParameterSource.COMMANDLINE
    if any(context.get_parameter_source(name) is given for name in FIXED.values()):
        raise click.UsageError(f"--resume takes the search's settings: leave out {', '.join(FIXED)}.")


@contextmanager
def _listener() -> "Iterator[Callable[[SearchEvent], None]]":
    """Print what happens; with a bar on a terminal, in plain lines elsewhere."""
    from affectlens.cli.progress import progress_bar
    from affectlens.cluster.search_record import RoundEnd
    from affectlens.cluster.text import round_text, start_text, winner_text
    from affectlens.cluster.tune import SearchFinished, SearchStarted
    from affectlens.evaluation.tables import print_scores
    from affectlens.training.lineage import Interval
    from affectlens.training.session import CacheProgress

    with progress_bar("starting") as bar:

        def listen(event: "SearchEvent") -> None:
            if isinstance(event, CacheProgress):
                bar.start("decoding", event.total, event.done)
            elif isinstance(event, SearchStarted):
                plan = event.plan
                done = plan.population * max(event.begin, 0)
                bar.start("intervals", plan.population * plan.rounds, done)
                bar.print(start_text(event))
            elif isinstance(event, Interval):
                bar.advance()
            elif isinstance(event, RoundEnd):
                bar.print(round_text(event))
            elif isinstance(event, SearchFinished):
                bar.stop()
                print_scores(event.run.scores, table_console())
                echo(winner_text(event.winner))
                echo(f"Model: {event.run.model}")

        yield listen


@tune.command()
@click.argument("folder", type=options.NamedPath(exists=True, file_okay=False, path_type=Path))
def report(folder: Path) -> None:
    """Check the lineage of the search in FOLDER, and write its figures again."""
    from affectlens.training.lineage_figure import write_figures
    from affectlens.training.search_plan import read_search

    intervals, left = read_search(folder)
    echo(f"The lineage is true: {len(intervals)} intervals, every one began where its parent ended.")
    if left:
        echo(f"The search has not ended: {left} members have rounds to do. Go on with --resume.")
    echo(f"Figures: {', '.join(map(str, write_figures(folder)))}")


@tune.command()
@click.argument("folder", type=options.NamedPath(exists=True, file_okay=False, path_type=Path))
@click.option("--data", required=True, help="Data set of the search, as NAME:PATH.")
@click.option(
    "--out", type=options.NamedPath(path_type=Path), help="Run folder to write. Default: FOLDER/replay."
)
@click.option(
    "--cache",
    type=options.NamedPath(file_okay=False, path_type=Path),
    help="Folder of decoded pictures (cache_side).",
)
@click.option("--resume", is_flag=True, help="Continuation of a replay after an interruption.")
@click.option("--device", default="auto", show_default=True, help="Device: auto, cpu, cuda or mps.")
def replay(folder: Path, data: str, out: Path | None, cache: Path | None, resume: bool, device: str) -> None:
    """Train the winner's schedule of the search in FOLDER as one run."""
    from affectlens.cli.portable_command import portable_command
    from affectlens.cli.progress import counter
    from affectlens.training.replay import ReplayedInterval, replay_request, replay_session, winners_line
    from affectlens.training.replay import replay as run_replay
    from affectlens.training.run_folder import SETTINGS
    from affectlens.training.search_plan import SearchFile
    from affectlens.training.text import replayed_text

    line = winners_line(folder)
    target = out or folder / "replay"
    command = portable_command(sys.argv[1:])
    run = replay_request(folder, data, out=target, cache=cache, resume=resume, device=device, command=command)
    session = replay_session(folder, run)
    with hint_to_resume(target / SETTINGS), counter("intervals", len(line)) as advance:
        for event in run_replay(run, session, line, SearchFile.read(folder).plan.threads):
            if isinstance(event, ReplayedInterval):
                advance(1)
                echo(replayed_text(event), err=True)
            else:
                echo(f"Model: {event.model}")
