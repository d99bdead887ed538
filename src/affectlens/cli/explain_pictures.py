"""`affectlens explain IMAGE... [--out DIR]`: the command that `explain` runs where no other is named."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from affectlens.files import slug
from affectlens.report.text import printable

if TYPE_CHECKING:
    from affectlens.explain.explainer import Explainer, Explanation, Wish

FORMATS = ("png", "html", "npz", "json", "wheel", "plutchik")
MEASURED = ("png", "html", "json")  # formats that state how faithful a map is
OUT = Path("explanations")


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="IMAGE...")
@click.option("--emotion", "emotions", multiple=True, metavar="WORD",
              help="An emotion, or positive or negative; several times for several maps side by side. "
                   "Default: the most likely one.")  # fmt: skip
@click.option("--against", metavar="WORD", help="Why rather than this one. Default: than all others.")
@click.option("--all", "every", is_flag=True, help="All emotions of the model on one sheet.")
@click.option("--method", "method", metavar="NAME", help="See `affectlens explain methods`.")
@click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Change an option of the method."
)
@click.option("--model", "name", default="default", show_default=True,
              help="A name from `affectlens models`, a model folder, or owner/name of the hub.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help=f"Where files are written. Default: {OUT}; nowhere with --story alone.")  # fmt: skip
@click.option("--format", "formats", metavar="LIST", help=f"Of {','.join(FORMATS)}. Default: png.")
@click.option("--story", is_flag=True, help="Print three sentences made from measurements of each picture.")
@click.option("--faithfulness/--no-faithfulness", default=True, show_default=True,
              help="Compare each map with random ones; takes the longer half of the time.")  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 or mps.")
def pictures(
    paths: tuple[str, ...],
    emotions: tuple[str, ...],
    against: str | None,
    every: bool,
    method: str | None,
    assignments: tuple[str, ...],
    name: str,
    out: Path | None,
    formats: str | None,
    story: bool,
    faithfulness: bool,
    device: str,
) -> int:
    """Show what in IMAGE speaks for an emotion and what against it, as a model judges.

    IMAGE is a picture, a folder of pictures (with all below it), a pattern such as 'photos/**/*.jpg', or -
    for a list of pictures on standard input. Files are named after the picture and what was asked; existing
    ones are replaced. A picture that cannot be read is reported and the rest is done.

    Exit status: 0 all pictures were explained, 1 some were not, 2 wrong use.
    """
    if every and emotions:
        raise click.UsageError("--all explains every emotion: leave out --emotion, or --all.")
    kinds = _kinds(formats, out, story)
    from affectlens import library
    from affectlens.explain.explainer import Explainer, Wish
    from affectlens.explain.faithfulness.curves import RemovalOptions
    from affectlens.explain.methods import catalog as methods

    model = library.load(name)
    chosen = method or methods.default_for(model.network)
    explainer = Explainer(model, chosen, device, **_options(chosen, assignments))
    measures = faithfulness and any(kind in MEASURED for kind in kinds)
    wish = Wish(
        emotions=emotions,
        every=every,
        against=against,
        influences=story or "html" in kinds or "json" in kinds,
        removing=RemovalOptions() if measures else None,
    )
    explainer.check(wish)
    return _run(explainer, wish, paths, kinds, out or OUT, story)


def _run(
    explainer: "Explainer", wish: "Wish", paths: tuple[str, ...], kinds: list[str], out: Path, story: bool
) -> int:
    from affectlens.errors import PictureError
    from affectlens.inference.inputs import count
    from affectlens.inference.inputs import pictures as expand

    names = Names(out)
    failed = 0
    maps = len(explainer.vocabulary) if wish.every else max(1, len(wish.emotions))
    with _progress(paths, maps, count) as advance:
        for explanation in explainer.explain_files(expand(paths, sys.stdin.buffer), wish, advance):
            try:
                if explanation.error is not None:
                    advance(maps)
                    raise explanation.error
                written = [_write(kind, explanation, wish, names) for kind in kinds]
            except PictureError as error:
                failed += 1
                click.echo(f"Not explained: {printable(str(error))}", err=True)
                continue
            _tell(explanation, written, story)
    return 1 if failed else 0


def _write(kind: str, explanation: "Explanation", wish: "Wish", names: "Names") -> Path:
    """Write one file about a picture and return its path."""
    import json

    import numpy as np

    from affectlens.files import atomic_write

    file = names.file(explanation, wish, kind)
    heatmaps = explanation.heatmaps
    if kind == "png":
        from affectlens.report import heatmaps as figures

        figures.write(file, heatmaps, explanation.image)
    elif kind == "html":
        from affectlens.explain import page

        page.write(file, explanation, explanation.image)
    elif kind == "npz":
        arrays: dict[str, Any] = {
            key if len(heatmaps) == 1 else f"{slug(str(each.question))}.{key}": value
            for each in heatmaps
            for key, value in each.to_arrays().items()
        }
        with atomic_write(file) as stream:
            np.savez_compressed(stream, **arrays)
    elif kind == "json":
        with atomic_write(file, "w") as stream:
            # Escaped where the name of a file is no text; nothing else is.
            stream.write(json.dumps(explanation.to_json(), indent=1) + "\n")
    else:
        from affectlens.report import wheel

        title = printable(Path(explanation.image).name)
        wheel.write(file, heatmaps[0].emotions, plutchik=kind == "plutchik", name=title)
    return file


def _tell(explanation: "Explanation", written: list[Path], story: bool) -> None:
    """Print what was found about a picture and where it was written."""
    from affectlens.explain.story.text import story as tell
    from affectlens.explain.text import doubts, evokes

    image = printable(explanation.image)
    click.echo(f"{image}: {evokes(explanation.heatmaps[0].emotions)}")
    if doubt := doubts(explanation.heatmaps):
        click.echo(f"  {doubt}")
    if story:
        for place, found in enumerate(explanation.influences):
            # The first sentence, on what it evokes, is the same for all but for what was asked.
            for sentence in (
                tell(found) if place == 0 or len(explanation.influences) == 1 else tell(found)[1:]
            ):
                click.echo(f"  {sentence}")
    for file in written:
        click.echo(f"  {printable(str(file))}")


class Names:
    """Names of files: after the picture and what was asked, and never twice for two pictures."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self._stems: dict[str, str] = {}  # stem in use: the picture that has it

    def file(self, explanation: "Explanation", wish: "Wish", kind: str) -> Path:
        """Return the path of one file."""
        stem = self._stem(explanation.image)
        if kind in ("wheel", "plutchik"):
            return self.out / f"{stem}.{kind}.png"
        asked = "all" if wish.every else "+".join(slug(str(each.question)) for each in explanation.heatmaps)
        if wish.every and wish.against:
            asked = f"all-rather-than-{slug(wish.against)}"
        return self.out / f"{stem}.{asked}.{kind}"

    def _stem(self, image: str) -> str:
        """A picture's own stem, with a number where another one has it."""
        stem, number = Path(image).stem, 1
        while self._stems.setdefault(stem.casefold(), image) != image:
            number += 1
            stem = f"{Path(image).stem}-{number}"
        return stem


def _kinds(formats: str | None, out: Path | None, story: bool) -> list[str]:
    """What is to be written: nothing, where a story is all that was asked for."""
    if formats is None:
        return ["png"] if out or not story else []
    kinds = list(dict.fromkeys(kind.strip().lower() for kind in formats.split(",") if kind.strip()))
    unknown = [kind for kind in kinds if kind not in FORMATS]
    if unknown or not kinds:
        what = f"{unknown[0]!r} is no format" if unknown else "No format is named"
        raise click.UsageError(f"{what}. Known: {', '.join(FORMATS)}; several with commas between.")
    return kinds


def _options(method: str, assignments: tuple[str, ...]) -> dict[str, Any]:
    """Read KEY=VALUE as options of a method, each of the type of its default."""
    from affectlens.explain.methods import catalog as methods

    known = methods.find(method).options
    options: dict[str, Any] = {}
    for assignment in assignments:
        key, separator, value = assignment.partition("=")
        if not separator or key not in known:
            names = ", ".join(f"{name}={_shown(default)}" for name, default in known.items()) or "none"
            raise click.UsageError(
                f"--set {assignment}: expected KEY=VALUE with an option of {method}. Its options: {names}."
            )
        options[key] = _parsed(key, value, known[key])
    return options


def _parsed(key: str, value: str, default: Any) -> Any:
    try:
        if isinstance(default, tuple):
            return tuple(part.strip() for part in value.split(","))
        if isinstance(default, bool):
            return {"true": True, "false": False}[value.lower()]
        return type(default)(value) if isinstance(default, (int, float)) else value
    except (KeyError, ValueError):
        kind = "true or false" if isinstance(default, bool) else type(default).__name__
        raise click.UsageError(f"--set {key}={value}: expected {kind}.") from None


def _shown(default: Any) -> str:
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)


@contextmanager
def _progress(
    paths: tuple[str, ...], maps: int, count: Callable[[tuple[str, ...]], int | None]
) -> Iterator[Callable[[int], None]]:
    """Show how many maps are made, where standard error is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from affectlens.cli.progress import counter

    number = count(paths)
    with counter("explaining", None if number is None else maps * number) as advance:
        yield advance


@click.command()
@click.option("--model", "name", metavar="NAME", help="Only those that can explain this model.")
def methods(name: str | None) -> None:
    """List the methods of explanation, with their options."""
    from affectlens import library
    from affectlens.explain.methods.catalog import METHODS, default_for

    network = library.load(name or library.DEFAULT).network
    default = default_for(network)
    width = max(map(len, METHODS))
    for entry in METHODS.values():
        if name is None or entry.suits(network):
            mark = f" (default of {name or library.DEFAULT})" if entry.name == default else ""
            click.echo(f"{entry.name:<{width}}  {entry.summary}{mark}")
            options = " ".join(f"{key}={_shown(value)}" for key, value in entry.options.items())
            if options:
                click.echo(f"{'':<{width}}  {options}")
