"""`affectlens film compare ONE OTHER [--out FILE]`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from affectlens.film.compare.match import Comparison
    from affectlens.film.timeline import Timeline

OUT = Path("compared.html")


@click.command()
@click.argument("one", metavar="ONE")
@click.argument("other", metavar="OTHER")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default=OUT, show_default=True,
              metavar="FILE", help="Page to write; the numbers go next to it, as .json.")  # fmt: skip
@click.option("--align", type=click.Choice(["auto", "time", "shots"]), default="auto", show_default=True,
              help="Alignment: by relative position, or by shots in both, for cuts of one film.")  # fmt: skip
@click.option("--every", type=click.FloatRange(0), default=0.5, show_default=True, metavar="SECONDS",
              help="Interval between sampled frames, for a film that is not watched yet.")  # fmt: skip
@click.option("--model", "name", default="default", show_default=True,
              help="Name from `affectlens models`, model folder, or owner/name on the hub.")  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="Device: auto, cpu, cuda, cuda:1 or mps.")
def compare(one: str, other: str, out: Path, align: Any, every: float, name: str, device: str) -> None:
    """Compare what two films, or two cuts of one film, evoke on average.

    ONE and OTHER are films, or folders that `affectlens film` wrote.
    """
    from affectlens.film.compare import match, page

    timelines = [_timeline(source, every, name, device) for source in (one, other)]
    found = match.compare(timelines[0], timelines[1], None if align == "auto" else align)
    for line in page.summary(found):
        click.echo(line)
    _show_means(found)
    page.write(out, found)
    found.write(out.with_suffix(".json"))
    click.echo(f"{out}\n{out.with_suffix('.json')}")


def _show_means(found: "Comparison") -> None:
    from affectlens.report.text import signed

    width = max(map(len, found.one.vocabulary.words))
    for word, first, second in found.means:
        click.echo(f"  {word:<{width}} {first:>6.1%} {second:>6.1%}  {signed(100 * (second - first), 1):>6}")
    first_polarity, second_polarity = found.polarities
    if first_polarity is not None and second_polarity is not None:
        click.echo(f"  {'polarity':<{width}} {signed(first_polarity):>6} {signed(second_polarity):>6}  "
                   f"{signed(second_polarity - first_polarity):>6}")  # fmt: skip


def _timeline(source: str, every: float, name: str, device: str) -> "Timeline":
    """Read a finished timeline, or watch the film."""
    from affectlens.film.timeline import Timeline

    path = Path(source)
    file = path / "timeline.json" if path.is_dir() else path
    if path.is_dir() and not file.is_file():
        raise click.UsageError(
            f"{source} holds no timeline.json. Give a film, or a folder that `affectlens film` finished."
        )
    if file.suffix == ".json":
        return Timeline.read(file)
    return _watched(source, every, name, device)


def _watched(source: str, every: float, name: str, device: str) -> "Timeline":
    from affectlens.cli.film_watch import WatchOutput
    from affectlens.cli.progress import progress_bar
    from affectlens.film.events import WatchFinished, WatchRequest, WatchStarted
    from affectlens.film.settings import FilmSettings
    from affectlens.film.watch import watch
    from affectlens.models import saved

    model = saved.load(name)
    request = WatchRequest(source=source, model=model, settings=FilmSettings(every=every), device=device)
    with progress_bar() as bar:
        output = WatchOutput(bar, model.card.vocabulary)
        output.begin(source)
        for event in watch(request):
            if isinstance(event, WatchStarted) and event.film.live:
                raise click.UsageError(f"{source} is live: it cannot be compared. Watch it first.")
            if isinstance(event, WatchFinished):
                return event.timeline
            output.show(event)
    raise AssertionError("watching ended without an end")
