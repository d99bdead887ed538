"""`affectlens evaluate MODEL --data NAME:PATH`."""

from pathlib import Path

import click


@click.command()
@click.argument("model")
@click.option("--data", required=True, help="Data set as NAME:PATH: fi:/data/fi, csv:labels.csv.")
@click.option("--split", default="val", show_default=True, help="Split: train, val, test or all.")
@click.option("--attributes", is_flag=True,
              help="Scores of the attributes that the model predicts as well, in a second pass.")  # fmt: skip
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="JSON file for the scores.")
@click.option("--batch-size", default=64, show_default=True, type=click.IntRange(1), help="Batch size.")
@click.option("--workers", default=0, show_default=True, type=click.IntRange(0), help="Processes that read.")
@click.option("--device", default="auto", show_default=True, help="Device: auto, cpu, cuda, cuda:1 or mps.")
@click.option("--precision", default="auto", show_default=True,
              help="Number format: auto, float32 or bfloat16.")  # fmt: skip
def evaluate(
    model: str,
    data: str,
    split: str,
    attributes: bool,
    out: Path | None,
    batch_size: int,
    workers: int,
    device: str,
    precision: str,
) -> int:
    """Evaluate MODEL (a name or folder) on labelled pictures.

    Prints accuracy, balanced accuracy, macro F1, calibration, scores by emotion and the confusion, with
    95 % intervals by bootstrap. Choose between models on `val`; report `test` once.
    """
    from rich.console import Console

    from affectlens.cli.progress import counter
    from affectlens.data.catalog import open_data
    from affectlens.evaluation.evaluate import evaluate as evaluate_network
    from affectlens.evaluation.tables import print_scores
    from affectlens.machine import keep_freed_memory
    from affectlens.models import saved

    keep_freed_memory()
    loaded = saved.load(model)
    card = loaded.card
    if attributes and not card.attributes:
        raise click.UsageError(f"The model {card.name} does not predict attributes: leave out --attributes.")
    source = open_data(data)
    with counter("predicting", len(source.split(split))) as advance:
        result = evaluate_network(
            loaded.network,
            card.vocabulary,
            card.preprocessing,
            source,
            split,
            temperature=card.temperature,
            attributes=card.attributes if attributes else (),
            batch_size=batch_size,
            workers=workers,
            device=device,
            precision=precision,
            progress=advance,
        )
    if out:
        result.write(out, card)
    print_scores(result.scores, Console())
    if result.attribute_scores:
        click.echo(result.attribute_scores.markdown())
    for note in source.notes:
        click.echo(f"Note: {note}.", err=True)
    for missing in result.unreadable[:10]:
        click.echo(f"Not read: {missing.error}", err=True)
    if result.unreadable:
        click.echo(f"{len(result.unreadable)} pictures could not be read and are not in any score.", err=True)
    return 1 if result.unreadable else 0
