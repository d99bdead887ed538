"""`affectlens evaluate MODEL --data NAME:PATH`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from affectlens.cli import options
from affectlens.cli.console import echo, table_console

if TYPE_CHECKING:
    from affectlens.adaptation.rated_evaluation import RatedEvaluation
    from affectlens.data.records import DataSource
    from affectlens.evaluation.evaluate import Evaluation
    from affectlens.evaluation.picture_tables import PictureTable
    from affectlens.model_folder import Card

# Options for models, of which a file of predictions has no use.
OF_MODELS = ("attributes", "batch_size", "device", "precision", "engine", "workers")

SETS_CAPTION = "Sets of emotions by coverage: how many pictures have theirs in the set, and how large it is"


@click.command()
@click.argument("model", metavar="MODEL|PREDICTIONS")
@click.option("--data", required=True, help="Data set as NAME:PATH: fi:/data/fi, csv:labels.csv.")
@click.option("--split", help="Split: train, val, test or all. Default: val; of data without splits, all.")
@click.option("--attributes", is_flag=True,
              help="Scores of the attributes that the model predicts as well, in a second pass.")  # fmt: skip
@click.option("--out", type=options.OutputFile(".json"), help="JSON file for the scores.")
@click.option("--predictions", "table", type=options.OutputFile(".csv", ".parquet"),
              help="Table to write: for each picture what was predicted, next to its label or ratings. "
                   ".csv or .parquet.")  # fmt: skip
@click.option("--scale", nargs=2, type=float, metavar="LOW HIGH",
              help="Ends of the scale of ratings in a table. Default: 1 9.")  # fmt: skip
@click.option("--batch-size", default=64, show_default=True, type=click.IntRange(1), help="Batch size.")
@click.option(
    "--workers", type=click.IntRange(0), hidden=True, help="Number of processes: not used any more."
)
@click.option("--device", default="auto", show_default=True, help="Device: auto, cpu, cuda, cuda:1 or mps.")
@click.option("--precision", default="auto", show_default=True,
              help="Number format: auto, float32 or bfloat16.")  # fmt: skip
@options.engine
@click.pass_context
def evaluate(
    context: click.Context,
    model: str,
    data: str,
    split: str | None,
    attributes: bool,
    out: Path | None,
    table: Path | None,
    scale: tuple[float, float] | None,
    batch_size: int,
    workers: int | None,
    device: str,
    precision: str,
    engine: str,
) -> int:
    """Evaluate MODEL (a name or folder) on labelled pictures, or a file of PREDICTIONS for them.

    PREDICTIONS is what `affectlens predict --out` wrote: .jsonl, .csv or .parquet. Its rows are matched with
    the pictures of the data set by their paths.

    Prints accuracy, balanced accuracy, macro F1, calibration, scores by emotion and the confusion, with
    95 % intervals by bootstrap. Of a table with people's ratings of valence or arousal, it prints how near
    the model's come; of one with labels as well, both. Choose between models on `val`; report `test` once.
    """
    from affectlens.evaluation.picture_tables import require_table_file
    from affectlens.inference.output.read import is_rows_file
    from affectlens.library import card as card_of

    if table:
        require_table_file(table)
    if is_rows_file(model):
        _refuse_options_of_models(context, model)
        found = _score_rows(model, Wanted(context, data, split, scale, (out, table)))
        return _report(found, out, table)
    if workers is not None:
        note = "Note: --workers has no effect: pictures are read in as many threads as there are cores."
        echo(note, err=True)
    card = card_of(model)  # before pictures are listed for a model that is not there
    if attributes and not card.attributes:
        raise click.UsageError(f"The model {card.name} does not predict attributes: leave out --attributes.")
    wanted = Wanted(context, data, split, scale, (out, table))
    runs_on = engine, device, precision
    return _report(_score_model(model, card, wanted, attributes, batch_size, runs_on), out, table)


@dataclass(frozen=True)
class Wanted:
    """What is to be scored: a data set with the ends of its scale of ratings, and the files to write."""

    context: click.Context
    data: str
    named_split: str | None
    scale: tuple[float, float] | None
    files: tuple[Path | None, Path | None]

    def split_of(self, source: "DataSource | None") -> str:
        """Return the split that is scored, as it is named or as the data set has it; None: ratings alone."""
        from affectlens.data.catalog import default_split

        return self.named_split or default_split(self.data, source)

    def what(self, has: tuple[bool, bool], name: str) -> tuple[bool, bool]:
        """Whether ratings are scored, and whether emotions are, of which `has` states whether they are there.

        The files that are written are kept from other processes until the command ends.
        """
        from affectlens.locks import locked_file

        rated, labelled = has
        if self.scale and not rated:
            raise click.UsageError(f"{self.data} has no ratings that {name} predicts: leave out --scale.")
        for file in filter(None, self.files):
            self.context.with_resource(locked_file(file))
        return rated, labelled or not rated

    def score(self, ratings: "Callable[[], RatedEvaluation]", *, alone: bool) -> "Ratings":
        """Score ratings; next to emotions, and without a scale, they need not be such as can be scored."""
        from affectlens.errors import DatasetError

        try:
            return Ratings(ratings())
        except DatasetError as error:
            if alone or self.scale:
                raise
            return Ratings(None, (f"ratings are not scored: {str(error).rstrip('.')}",))


@dataclass(frozen=True)
class Ratings:
    """Scores of ratings, where they could be scored, and why they could not."""

    found: "RatedEvaluation | None" = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """What was scored: emotions, ratings or both.

    Attributes:
        model: its name
        about: what JSON has of ratings alone: which model, and which pictures
        notes: on the data set, sentences without a full stop
    """

    model: str
    emotions: "Evaluation | None"
    ratings: Ratings
    about: Mapping[str, str | None]
    notes: tuple[str, ...]


def _score_rows(file: str, wanted: Wanted) -> Found:
    from affectlens.adaptation.rated_evaluation import evaluate_rated_rows, rows_have_ratings
    from affectlens.data.catalog import open_data
    from affectlens.data.rated_table import SCALE
    from affectlens.evaluation.evaluate import evaluate_rows
    from affectlens.inference.output.read import read_rows_file

    rows = read_rows_file(Path(file))
    first = rows.rows[0]
    rated, labelled = wanted.what(rows_have_ratings(rows, wanted.data), first.model)
    source = open_data(wanted.data) if labelled else None
    split = wanted.split_of(source)
    emotions = evaluate_rows(rows, source, split) if source else None
    ratings = Ratings()
    if rated:
        scale = wanted.scale or SCALE
        ratings = wanted.score(
            lambda: evaluate_rated_rows(rows, wanted.data, split, scale), alone=not labelled
        )
    about = {"model": first.model, "weights": first.weights or None, "predictions": rows.file.name}
    return Found(first.model, emotions, ratings, {**about, "split": split}, source.notes if source else ())


def _score_model(
    name: str, card: "Card", wanted: Wanted, attributes: bool, batch_size: int, runs_on: tuple[str, str, str]
) -> Found:
    from affectlens.adaptation.rated_evaluation import evaluate_ratings, has_own_ratings
    from affectlens.cli.progress import counter
    from affectlens.data.catalog import open_data
    from affectlens.data.rated_table import SCALE
    from affectlens.data.records import with_shares
    from affectlens.evaluation.evaluate import evaluate as evaluate_engine
    from affectlens.inference.engine import MANY, load_engine

    rated, labelled = wanted.what(has_own_ratings(wanted.data, card), card.name)
    source = open_data(wanted.data) if labelled else None
    split = wanted.split_of(source)
    number = len(with_shares(source).split(split)) if source else 0
    engine = load_engine(name, *runs_on, many=number >= MANY)
    emotions, ratings = None, Ratings()
    if source:
        with counter("predicting", number) as advance:
            emotions = evaluate_engine(
                engine, source, split, attributes=attributes, batch_size=batch_size, progress=advance
            )
    if rated:
        scale = wanted.scale or SCALE
        with counter("predicting ratings", None) as advance:
            ratings = wanted.score(
                lambda: evaluate_ratings(engine, wanted.data, split, scale, batch_size, advance),
                alone=not labelled,
            )
    about = {"model": card.name, "weights": card.weights_hash, "split": split}
    return Found(card.name, emotions, ratings, about, source.notes if source else ())


def _refuse_options_of_models(context: click.Context, file: str) -> None:
    for option in options.given(context, OF_MODELS):
        raise click.UsageError(f"{file} holds what was predicted before: leave out {option}.")


def _report(found: Found, out: Path | None, table: Path | None) -> int:
    """Write and print what was found; the exit status is 1 where a picture could not be read."""
    emotions, ratings = found.emotions, found.ratings.found
    if table:
        _write_table(table, [each.pictures for each in (emotions, ratings) if each and each.pictures])
    if out:
        _write_json(out, found)
    if emotions:
        _print_emotions(emotions)
    if ratings:
        from affectlens.evaluation.ratings import ratings_markdown

        echo(ratings_markdown(ratings.scores), several_lines=True)
    for note in (
        *found.notes,
        *(emotions.notes if emotions else ()),
        *found.ratings.notes,
        *(ratings.notes(found.model) if ratings else ()),
    ):
        echo(f"Note: {note}.", err=True)
    unreadable = {each.key: each for part in (emotions, ratings) if part for each in part.unreadable}
    for missing in list(unreadable.values())[:10]:
        echo(f"Not read: {missing.error}", err=True)
    if unreadable:
        echo(f"{len(unreadable)} pictures could not be read and are not in any score.", err=True)
    return 1 if unreadable else 0


def _write_table(file: Path, tables: "list[PictureTable]") -> None:
    first, *others = tables
    for other in others:
        first = first.joined(other)
    first.write(file)


def _write_json(file: Path, found: Found) -> None:
    import json

    from affectlens.files import atomic_write

    ratings = found.ratings.found.to_json() if found.ratings.found else None
    if found.emotions:
        found.emotions.write(file, ratings)
        return
    with atomic_write(file, "w") as out:
        out.write(json.dumps({**found.about, **(ratings or {})}, indent=2) + "\n")


def _print_emotions(found: "Evaluation") -> None:
    from affectlens.evaluation.sets import sets_table
    from affectlens.evaluation.tables import print_scores
    from affectlens.report.text import print_table

    console = table_console()
    print_scores(found.scores, console)
    if found.set_scores:
        print_table(sets_table(found.set_scores), console, SETS_CAPTION)
    if found.attribute_scores:
        echo(found.attribute_scores.markdown(), several_lines=True)
