"""`affectlens explain parts DATA --model NAME`."""

from pathlib import Path

import click

from affectlens.cli import options
from affectlens.cli.console import echo, table_console


@click.command()
@click.argument("data")
@click.option("--model", "name", default="default", show_default=True,
              help="Name from `affectlens models`, model folder, or owner/name on the hub.")  # fmt: skip
@click.option(
    "--split", default="val", show_default=True, help="Split of the data set: train, val, test or all."
)
@click.option("--out", type=options.OutputFile(".json"), metavar="FILE",
              help="JSON file for all scores.")  # fmt: skip
@click.option("--batch-size", default=64, show_default=True, type=click.IntRange(1), help="Batch size.")
@click.option("--device", default="auto", show_default=True, help="Device: auto, cpu, cuda, cuda:1 or mps.")
@click.pass_context
def parts(
    context: click.Context, data: str, name: str, split: str, out: Path | None, batch_size: int, device: str
) -> int:
    """Measure what a model loses without each of its parts, on pictures of DATA (NAME:PATH).

    Parts are the branches of MLM and MAM, and the networks of an ensemble as `default`. Each is replaced by
    its mean over the pictures, so that it describes none of them; nothing is trained again.

    Exit status: 0 all pictures were read, 1 some were not, 2 wrong use.
    """
    from affectlens.cli.progress import counter
    from affectlens.data.catalog import open_data
    from affectlens.explain.core.differentiable import DifferentiableModel
    from affectlens.explain.story.ablation import ablate
    from affectlens.locks import locked_file
    from affectlens.models import saved
    from affectlens.report.text import print_table

    model = DifferentiableModel.of(saved.load(name), device)
    source = open_data(data)
    if out:
        context.with_resource(locked_file(out))
    with counter("predicting", len(source.split(split))) as advance:
        found = ablate(model, source, split, batch_size=batch_size, progress=advance)
    if out:
        found.write(out)
    print_table(found.table(), table_console())
    for missing in found.unreadable[:10]:
        echo(f"Not read: {missing.error}", err=True)
    if found.unreadable:
        echo(f"{len(found.unreadable)} pictures could not be read and are not in any score.", err=True)
    return 1 if found.unreadable else 0
