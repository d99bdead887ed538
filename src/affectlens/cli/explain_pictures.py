"""`affectlens explain IMAGE... [--out DIR]`: the command that `explain` runs where no other is named."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from affectlens.cli import options
from affectlens.cli.console import echo, standard_input
from affectlens.explain.formats import FORMATS
from affectlens.report.text import printable

if TYPE_CHECKING:
    from affectlens.explain.explainer import Explainer, Explanation, ExplanationRequest

OUT = Path("explanations")
TO_INSTALL = 'pip install "affectlens[train]".'


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="IMAGE...")
@click.option("--emotion", "emotions", multiple=True, metavar="WORD",
              help="Emotion, positive or negative, or a rating of the model, as valence or arousal; several "
                   "times for several maps side by side. Default: the most likely emotion.")  # fmt: skip
@click.option("--against", metavar="WORD",
              help="Emotion to compare with: why rather than this one. Default: all others.")  # fmt: skip
@click.option("--all", "all_emotions", is_flag=True, help="Every emotion of the model, on one sheet.")
@click.option("--method", "method", metavar="NAME",
              help="Method of `affectlens explain methods`. Default: the first that suits.")  # fmt: skip
@click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Option of the method to change."
)
@click.option("--model", "name", default="default", show_default=True,
              help="Name from `affectlens models`, model folder, or owner/name on the hub.")  # fmt: skip
@click.option("--out", type=options.NamedPath(path_type=Path, file_okay=False), metavar="DIR",
              help=f"Folder of the files. Default: {OUT}; none is written with --story alone.")  # fmt: skip
@click.option("--format", "formats", metavar="LIST", callback=options.formats(FORMATS),
              help=f"Formats, separated by commas: {', '.join(FORMATS)}. Default: png.")  # fmt: skip
@click.option("--story", is_flag=True,
              help="Three sentences made from measurements of each picture, printed.")  # fmt: skip
@click.option("--faithfulness/--no-faithfulness", default=True, show_default=True,
              help="Comparison of each map with random ones; takes the longer half of the time.")  # fmt: skip
@options.engine
@click.option("--device", default="auto", show_default=True, help="Device: auto, cpu, cuda, cuda:1 or mps.")
def pictures(
    paths: tuple[str, ...],
    emotions: tuple[str, ...],
    against: str | None,
    all_emotions: bool,
    method: str | None,
    assignments: tuple[str, ...],
    name: str,
    out: Path | None,
    formats: list[str] | None,
    story: bool,
    faithfulness: bool,
    engine: str,
    device: str,
) -> int:
    """Show what in IMAGE speaks for an emotion and what against it, as a model predicts it.

    Of a rating, as --emotion valence, show what raises it and what lowers it.

    IMAGE is a picture, a folder of pictures (with all below it), a pattern such as 'photos/**/*.jpg', or -
    for a list of pictures on standard input. Files are named after the picture and the question; existing
    ones are replaced. A picture that cannot be read is reported and the rest is done.

    Exit status: 0 all pictures were explained, 1 some were not, 2 wrong use.
    """
    if all_emotions and emotions:
        raise click.UsageError("--all explains every emotion: leave out --emotion, or --all.")
    from affectlens.explain.formats import FORMATS, request_for
    from affectlens.explain.output import ExplanationFiles
    from affectlens.inference.inputs import pictures as expand

    if formats is None:
        formats = ["png"] if out or not story else []
    request = request_for(
        formats,
        emotions=emotions,
        all_emotions=all_emotions,
        against=against,
        story=story,
        faithfulness=faithfulness,
    )
    files = ExplanationFiles(out or OUT, request)
    status = 0
    with files if formats else nullcontext():  # before a model is loaded for nothing
        explainer = _loaded(name, method, assignments, device, engine, request)
        for each in formats:
            FORMATS[each].require(explainer.vocabulary, explainer.ratings)
        maps = len(explainer.vocabulary) if all_emotions else max(1, len(emotions))
        with _progress(paths, maps) as advance:
            for explanation in explainer.explain_files(expand(paths, standard_input()), request, advance):
                if explanation.error is not None:
                    advance(maps)
                    status = 1
                    echo(f"Not explained: {printable(str(explanation.error))}", err=True)
                else:
                    _print(explanation, files.write(explanation, formats), story)
    return status


def _loaded(
    name: str,
    method: str | None,
    assignments: tuple[str, ...],
    device: str,
    engine: str,
    request: "ExplanationRequest",
) -> "Explainer":
    """Load a model with the method named, or with the first that suits, which is then printed.

    Checks that it can explain what is requested.
    """
    from affectlens.explain.core.attribution import ratings_of
    from affectlens.explain.core.question import RatingQuestion, question_about
    from affectlens.explain.explainer import Explainer, load_explained
    from affectlens.explain.methods import catalog
    from affectlens.explain.methods.options import parse

    model = load_explained(name, [method] if method else [], device, engine)
    questions = [
        question_about(model.vocabulary, ratings_of(model), word, request.against)
        for word in request.emotions
    ]
    rates = any(isinstance(question, RatingQuestion) for question in questions)
    chosen = method or catalog.default_for(model, ratings=rates)
    explainer = Explainer(model, chosen, loaded_from=name, **parse(chosen, assignments))
    explainer.check(request)
    if method is None:
        echo(f"Method: {chosen}, the default for this model with what is installed.", err=True)
    return explainer


def _print(explanation: "Explanation", written: list[Path], with_story: bool) -> None:
    """Print what was found about a picture and where it was written."""
    from affectlens.explain.text import doubts, unusual_in_words
    from affectlens.inference.attribute_evidence import evidence_lines
    from affectlens.inference.text import ratings_text
    from affectlens.report.text import likeliest

    emotions = explanation.heatmaps[0].emotions
    echo(f"{printable(explanation.image)}: {likeliest(emotions.weights)}")
    if explanation.ratings:
        echo(f"  {ratings_text(explanation.ratings)}")
    if unusual := unusual_in_words(explanation):
        echo(f"  {unusual}")
    if doubt := doubts(explanation.heatmaps):
        echo(f"  {doubt}")
    for line in evidence_lines(explanation.attributes or {}):
        echo(f"  {line}")
    if with_story:
        for sentence in explanation.sentences():
            echo(f"  {sentence}")
    for file in written:
        echo(f"  {printable(str(file))}")


@contextmanager
def _progress(paths: tuple[str, ...], maps: int) -> Iterator[Callable[[int], None]]:
    """Show how many maps are made."""
    from affectlens.cli.progress import progress_bar
    from affectlens.inference.inputs import count

    with progress_bar() as bar:
        if bar.is_shown:
            number = count(paths)
            bar.start("explaining", None if number is None else maps * number)
        yield bar.advance


@click.command()
@click.option("--model", "name", metavar="NAME", help="Model that the methods must be able to explain.")
def methods(name: str | None) -> None:
    """List the methods of explanation, with their options."""
    from affectlens import library
    from affectlens.errors import MissingExtra
    from affectlens.explain.core.attribution import ratings_of
    from affectlens.explain.explainer import load_explained
    from affectlens.explain.methods.catalog import METHODS, default_for
    from affectlens.explain.methods.options import listing
    from affectlens.extras import TRAIN

    model = load_explained(name or library.DEFAULT)
    default = default_for(model)
    width = max(map(len, METHODS))
    for entry in METHODS.values():
        if name is None or entry.suits(model):
            mark = f" (default of {name or library.DEFAULT})" if entry.name == default else ""
            suits_ratings = entry.explains_ratings and (not entry.suits(model) or entry.suits_ratings(model))
            alone = "" if suits_ratings else "; of emotions, not of ratings"
            echo(f"{entry.name:<{width}}  {entry.summary}{alone if ratings_of(model) else ''}{mark}")
            try:
                settable = listing(entry.name)
            except MissingExtra as error:
                settable = str(error)
            else:
                if not TRAIN.is_installed and not entry.suits(model):
                    settable = f"For {model.name} it needs the network in torch: {TO_INSTALL}"
            if settable:
                echo(f"{'':<{width}}  {settable}")
