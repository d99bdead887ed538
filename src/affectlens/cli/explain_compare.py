"""`affectlens explain compare DATA`."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import click

from affectlens.cli import options
from affectlens.cli.console import echo, table_console
from affectlens.cli.interrupts import hint_to_resume


@click.command()
@click.argument("data")
@click.option("--methods", metavar="A,B,...", help="Names of methods; by default all that suit the model.")
@click.option("--pictures", "number", default=24, show_default=True, type=click.IntRange(2),
              help="Number of pictures, sampled evenly from the emotions.")  # fmt: skip
@click.option("--checked", default=8, show_default=True, type=click.IntRange(0),
              help="Number of these pictures on which methods are also checked by noise, a planted patch "
                   "and, where torch is installed, shuffled weights; each costs as much as five more."
              )  # fmt: skip
@click.option(
    "--split", default="val", show_default=True, help="Split of the data set: train, val, test or all."
)
@click.option("--model", "name", default="default", show_default=True,
              help="Name from `affectlens models`, model folder, or owner/name on the hub.")  # fmt: skip
@click.option("--out", type=options.OutputFile(".json"), metavar="FILE",
              help="File for the figures and their intervals, of every picture too, as JSON.")  # fmt: skip
@click.option(
    "--resume", is_flag=True, help="Continuation of the comparison in --out, also with more pictures."
)
@click.option(
    "--seed", default=0, show_default=True, help="Random seed of the sample of pictures and of random maps."
)
@click.option("--device", default="auto", show_default=True, help="Device: auto, cpu, cuda, cuda:1 or mps.")
def compare(
    data: str,
    methods: str | None,
    number: int,
    checked: int,
    split: str,
    name: str,
    out: Path | None,
    resume: bool,
    seed: int,
    device: str,
) -> None:
    """Measure which explanation of a model is most faithful, on pictures of DATA (NAME:PATH).

    Each method is compared with random maps and with the plain gradient: how soon the answer falls when the
    cells that it marks are removed, and how soon it rises when they are inserted. --out is written after
    every picture.
    """
    if resume and not out:
        raise click.UsageError("--resume continues the comparison in --out FILE: name it.")
    from affectlens import library
    from affectlens.cli.progress import counter
    from affectlens.data.catalog import open_data
    from affectlens.explain.explainer import load_explained
    from affectlens.explain.faithfulness import compare as comparison
    from affectlens.explain.faithfulness import results, tables
    from affectlens.explain.faithfulness.job import ComparisonJob
    from affectlens.explain.faithfulness.measurements import Measurement
    from affectlens.explain.methods.catalog import make, suitable_for
    from affectlens.extras import TRAIN
    from affectlens.report.text import print_table

    named = methods.replace(" ", "").split(",") if methods else []
    # Weights are shuffled in a network, even where the methods could do without.
    explained = load_explained(name, [] if checked and TRAIN.is_installed else named, device)
    named = named or suitable_for(explained)
    made = {title: make(title) for title in named}
    source = open_data(data)
    job = ComparisonJob(
        card=library.card(name),
        explained=explained,
        source=source,
        split=split,
        records=comparison.sample_records(source.split(split), number, seed),
        methods=made,
        options=comparison.ComparisonOptions(checked=checked, seed=seed),
        out=out,
        resume=resume,
    )
    rows: list[Measurement] = []
    kept: AbstractContextManager[None] = hint_to_resume(out) if out else nullcontext()
    with kept, counter("comparing", job.total) as advance:
        for row in job.measurements():
            rows.append(row)
            advance(1)
    summary = results.summarise(rows)
    console = table_console()
    for table in (tables.curves_table(summary), tables.checks_table(summary)):
        print_table(table, console)
    for sentence in tables.conclusions(summary, results.decide(summary)):
        echo(sentence.replace("`", ""))
