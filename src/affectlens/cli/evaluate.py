"""`affectlens evaluate MODEL --data NAME:PATH`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from affectlens.cli import options
from affectlens.cli.console import echo, table_console

if TYPE_CHECKING:
    from affectlens.adaptation.rated_evaluation import RatedEvaluation
    from affectlens.data.records import DataSource
    from affectlens.evaluation.evaluate import Evaluation
    from affectlens.inference.engine import Engine

# Options for models, of which a file of predictions has no use.
OF_MODELS = ("attributes", "batch_size", "device", "precision", "engine", "workers")

# Of a table that has both, one is scored: the other would be missed without a word.
_RATINGS_ALONE = "ratings are scored, and labels of the table without --scale"
_LABELS_ALONE = "labels are scored, and ratings of the table with --scale LOW HIGH, as --scale 1 9"

SETS_CAPTION = "Sets of emotions by coverage: how many pictures have theirs in the set, and how large it is"


@click.command()
@click.argument("model", metavar="MODEL|PREDICTIONS")
@click.option("--data", required=True, help="Data set as NAME:PATH: fi:/data/fi, csv:labels.csv.")
@click.option("--split", default="val", show_default=True, help="Split: train, val, test or all.")
@click.option("--attributes", is_flag=True,
              help="Scores of the attributes that the model predicts as well, in a second pass.")  # fmt: skip
@click.option("--out", type=options.OutputFile(".json"), help="JSON file for the scores.")
@click.option("--predictions", "table", type=options.OutputFile(".csv", ".parquet"),
              help="Table to write: for each picture what was predicted, next to its label or ratings. "
                   ".csv or .parquet.")  # fmt: skip
@click.option("--scale", nargs=2, type=float, metavar="LOW HIGH",
              help="Ends of the scale of ratings in a table, which are scored instead of its labels. A table "
                   "that has ratings alone needs it where they are not from 1 to 9.")  # fmt: skip
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
    split: str,
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
    the model's come. Choose between models on `val`; report `test` once.
    """
    from affectlens.adaptation.own_pictures import SCALE
    from affectlens.adaptation.rated_evaluation import (
        evaluate_rated_rows,
        has_own_ratings,
        rows_have_ratings,
    )
    from affectlens.cli.progress import counter
    from affectlens.data.catalog import open_data
    from affectlens.data.records import with_shares
    from affectlens.evaluation.evaluate import evaluate as evaluate_engine
    from affectlens.evaluation.evaluate import evaluate_rows
    from affectlens.evaluation.picture_tables import require_table_file
    from affectlens.inference.engine import MANY, load_engine
    from affectlens.inference.output.read import is_rows_file, read_rows_file
    from affectlens.library import card as card_of

    if table:
        require_table_file(table)
    if is_rows_file(model):
        _refuse_options_of_models(context, model)
        rows = read_rows_file(Path(model))
        scores_ratings = _scores_ratings(rows_have_ratings(rows, data), data, rows.rows[0].model, scale)
        _lock(context, out, table)
        if scores_ratings:
            first = rows.rows[0]
            about = {"model": first.model, "weights": first.weights or None, "predictions": rows.file.name}
            found = evaluate_rated_rows(rows, data, split, scale or SCALE)
            return _report_ratings(found, {**about, "split": split}, first.model, (out, table))
        source = open_data(data)
        return _report(evaluate_rows(rows, source, split), source, out, table)
    if workers is not None:
        note = "Note: --workers has no effect: pictures are read in as many threads as there are cores."
        echo(note, err=True)
    card = card_of(model)  # before pictures are listed for a model that is not there
    if attributes and not card.attributes:
        raise click.UsageError(f"The model {card.name} does not predict attributes: leave out --attributes.")
    if _scores_ratings(has_own_ratings(data, card), data, card.name, scale):
        _lock(context, out, table)
        return _evaluate_ratings(
            load_engine(model, engine, device, precision), data, split, scale, (out, table), batch_size
        )
    source = open_data(data)
    number = len(with_shares(source).split(split))
    _lock(context, out, table)
    loaded = load_engine(model, engine, device, precision, many=number >= MANY)
    with counter("predicting", number) as advance:
        result = evaluate_engine(
            loaded, source, split, attributes=attributes, batch_size=batch_size, progress=advance
        )
    return _report(result, source, out, table)


def _scores_ratings(has: tuple[bool, bool], data: str, name: str, scale: tuple[float, float] | None) -> bool:
    """Whether ratings of a table are scored, not labels: `has` states which of both it has."""
    rated, labelled = has
    if scale and not rated:
        raise click.UsageError(f"{data} has no ratings that {name} predicts: leave out --scale.")
    if rated and labelled:
        echo(f"Note: {_RATINGS_ALONE if scale else _LABELS_ALONE}.", err=True)
    return rated and (bool(scale) or not labelled)


def _lock(context: click.Context, *files: Path | None) -> None:
    """Keep the files that are written from other processes until the command ends."""
    from affectlens.locks import locked_file

    for file in files:
        if file:
            context.with_resource(locked_file(file))


def _evaluate_ratings(
    engine: "Engine",
    data: str,
    split: str,
    scale: tuple[float, float] | None,
    files: tuple[Path | None, Path | None],
    batch_size: int,
) -> int:
    from affectlens.adaptation.own_pictures import SCALE
    from affectlens.adaptation.rated_evaluation import evaluate_ratings
    from affectlens.cli.progress import counter

    with counter("predicting", None) as advance:
        found = evaluate_ratings(engine, data, split, scale or SCALE, batch_size, advance)
    about = {"model": engine.card.name, "weights": engine.card.weights_hash, "split": split}
    return _report_ratings(found, about, engine.card.name, files)


def _report_ratings(
    found: "RatedEvaluation",
    about: Mapping[str, str | None],
    name: str,
    files: tuple[Path | None, Path | None],
) -> int:
    import json

    from affectlens.evaluation.ratings import ratings_markdown
    from affectlens.files import atomic_write

    out, table = files
    if table:
        found.pictures.write(table)
    if out:
        with atomic_write(out, "w") as file:
            file.write(json.dumps({**about, **found.to_json()}, indent=2) + "\n")
    echo(ratings_markdown(found.scores), several_lines=True)
    for note in found.notes(name):
        echo(f"Note: {note}.", err=True)
    for missing in found.unreadable[:10]:
        echo(f"Not read: {missing.error}", err=True)
    return 1 if found.unreadable else 0


def _refuse_options_of_models(context: click.Context, file: str) -> None:
    for option in options.given(context, OF_MODELS):
        raise click.UsageError(f"{file} holds what was predicted before: leave out {option}.")


def _report(result: "Evaluation", source: "DataSource", out: Path | None, table: Path | None) -> int:
    from affectlens.evaluation.sets import sets_table
    from affectlens.evaluation.tables import print_scores
    from affectlens.report.text import print_table

    if table and result.pictures:
        result.pictures.write(table)
    if out:
        result.write(out)
    console = table_console()
    print_scores(result.scores, console)
    if result.set_scores:
        print_table(sets_table(result.set_scores), console, SETS_CAPTION)
    if result.attribute_scores:
        echo(result.attribute_scores.markdown(), several_lines=True)
    for note in (*source.notes, *result.notes):
        echo(f"Note: {note}.", err=True)
    for missing in result.unreadable[:10]:
        echo(f"Not read: {missing.error}", err=True)
    if result.unreadable:
        echo(f"{len(result.unreadable)} pictures could not be read and are not in any score.", err=True)
    return 1 if result.unreadable else 0
