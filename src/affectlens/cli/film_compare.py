"""`affectlens film compare ONE OTHER [--out FILE]`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from affectlens.film.timeline import Timeline

OUT = Path("compared.html")


@click.command()
@click.argument("one", metavar="ONE")
@click.argument("other", metavar="OTHER")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default=OUT, show_default=True,
              metavar="FILE", help="The page; numbers come beside it, as .json.")  # fmt: skip
@click.option("--align", type=click.Choice(["auto", "time", "shots"]), default="auto", show_default=True,
              help="By share of time, or by shots that are in both, for two cuts of one film.")  # fmt: skip
@click.option("--every", type=click.FloatRange(0), default=0.5, show_default=True, metavar="SECONDS",
              help="Between judged frames of a film that is not watched yet.")  # fmt: skip
@click.option("--model", "name", default="default", show_default=True,
              help="A name from `affectlens models`, a model folder, or owner/name of the hub.")  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 or mps.")
def compare(one: str, other: str, out: Path, align: Any, every: float, name: str, device: str) -> None:
    """Lay two films, or two cuts of one film, beside one another.

    ONE and OTHER are films, or folders that `affectlens film` wrote.
    """
    from affectlens.files import atomic_write
    from affectlens.film.compare import match as film_compare
    from affectlens.film.compare import page as film_compare_page
    from affectlens.film.report.text import polarity_of
    from affectlens.report.text import signed

    timelines = [_timeline(source, every, name, device) for source in (one, other)]
    found = film_compare.compare(timelines[0], timelines[1], None if align == "auto" else align)
    for line in film_compare_page.sentences(found):
        click.echo(line)
    width = max(map(len, timelines[0].vocabulary.words))
    for word, first, second in found.means:
        click.echo(f"  {word:<{width}} {first:>6.1%} {second:>6.1%}  {signed(100 * (second - first), 1):>6}")
    tones = [polarity_of(each.vocabulary, each.emotions) for each in timelines]
    if tones[0] is not None and tones[1] is not None:
        click.echo(f"  {'polarity':<{width}} {signed(tones[0]):>6} {signed(tones[1]):>6}  "
                   f"{signed(tones[1] - tones[0]):>6}")  # fmt: skip
    film_compare_page.write(out, found)
    numbers = out.with_suffix(".json")
    with atomic_write(numbers, "w") as stream:
        import json

        stream.write(json.dumps(found.to_json(), indent=1, ensure_ascii=False) + "\n")
    click.echo(f"{out}\n{numbers}")


def _timeline(source: str, every: float, name: str, device: str) -> "Timeline":
    """Read a finished timeline, or watch the film."""
    from affectlens.film.timeline import Timeline

    path = Path(source)
    file = path / "timeline.json" if path.is_dir() else path
    if path.is_dir() and not file.is_file():
        raise click.UsageError(
            f"{source} holds no timeline.json. Give a film, or a folder of a finished one."
        )
    if file.suffix == ".json":
        return Timeline.from_text(file.read_text(encoding="utf-8"))
    return _watched(source, every, name, device)


def _watched(source: str, every: float, name: str, device: str) -> "Timeline":
    from affectlens import library
    from affectlens.cli.film_watch import Shown
    from affectlens.film.watch import FilmSettings, Finished, Progress, Request, Started, watch

    model = library.load(name)
    request = Request(source=source, model=model, settings=FilmSettings(every=every), device=device)
    with Shown() as shown:
        for event in watch(request):
            if isinstance(event, Started):
                if event.film.live:
                    raise click.UsageError(f"{source} is live: it cannot be compared. Watch it first.")
                shown.begin(source, event.film, None)
            elif isinstance(event, Progress):
                shown.advance(event, model.card.vocabulary)
            elif isinstance(event, Finished):
                return event.timeline
    raise AssertionError("watching ended without an end")
