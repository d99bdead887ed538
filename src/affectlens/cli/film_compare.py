"""`affectlens film compare ONE OTHER [--out FILE]`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from affectlens.cli import options
from affectlens.cli.console import echo

if TYPE_CHECKING:
    from affectlens.film.timeline import Timeline

OUT = Path("compared.html")


@click.command()
@click.argument("one", metavar="ONE")
@click.argument("other", metavar="OTHER")
@click.option("--out", type=options.OutputFile(".html", ".htm"), default=OUT, show_default=True,
              metavar="FILE", help="Page to write; the numbers go next to it, as .json.")  # fmt: skip
@click.option("--align", type=click.Choice(["auto", "time", "shots"]), default="auto", show_default=True,
              help="Alignment: by relative position, or by shots in both, for cuts of one film.")  # fmt: skip
@click.option("--every", type=options.FiniteRange(0), default=0.5, show_default=True, metavar="SECONDS",
              help="Interval between sampled frames, for a film that is not watched yet.")  # fmt: skip
@click.option("--model", "name", default="default", show_default=True,
              help="Name from `affectlens models`, model folder, or owner/name on the hub.")  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="Device: auto, cpu, cuda, cuda:1 or mps.")
@click.pass_context
def compare(
    context: click.Context, one: str, other: str, out: Path, align: Any, every: float, name: str, device: str
) -> None:
    """Compare what two films, or two cuts of one film, evoke on average.

    ONE and OTHER are films, or folders that `affectlens film` wrote.
    """
    from affectlens.film.compare import match, page, text
    from affectlens.locks import locked_file

    context.with_resource(locked_file(out))
    context.with_resource(locked_file(out.with_suffix(".json")))
    timelines = [_timeline(source, every, name, device) for source in (one, other)]
    found = match.compare(timelines[0], timelines[1], None if align == "auto" else align)
    for line in text.summary(found):
        echo(line)
    for line in text.means_table(found):
        echo(f"  {line}")
    page.write_page(out, found)
    found.write(out.with_suffix(".json"))
    for file in (out, out.with_suffix(".json")):
        echo(file)


def _timeline(source: str, every: float, name: str, device: str) -> "Timeline":
    """Read a finished timeline, or watch the film."""
    from affectlens.errors import RunError
    from affectlens.film.compare.sources import finished_timeline

    try:
        return finished_timeline(source) or _watched(source, every, name, device)
    except RunError as error:
        raise click.UsageError(str(error)) from None


def _watched(source: str, every: float, name: str, device: str) -> "Timeline":
    from affectlens.cli.film_watch import WatchOutput
    from affectlens.cli.progress import progress_bar
    from affectlens.film.compare.sources import watched_timeline
    from affectlens.film.events import WatchRequest
    from affectlens.film.settings import FilmSettings
    from affectlens.inference.engine import load_engine

    engine = load_engine(name, device=device)
    request = WatchRequest(source=source, engine=engine, settings=FilmSettings(every=every))
    with progress_bar() as bar:
        output = WatchOutput(bar, engine.card.vocabulary)
        output.begin(source)
        return watched_timeline(request, output.show)
