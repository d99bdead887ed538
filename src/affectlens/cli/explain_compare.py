"""`affectlens explain compare DATA`."""

from pathlib import Path

import click


@click.command()
@click.argument("data")
@click.option("--methods", metavar="A,B,...", help="Names of methods; all that suit the model by default.")
@click.option("--pictures", "number", default=24, show_default=True, type=click.IntRange(2),
              help="How many, drawn evenly from the emotions.")  # fmt: skip
@click.option("--checked", default=8, show_default=True, type=click.IntRange(0),
              help="On how many of these methods are also tried with noise, shuffled weights and a planted "
                   "patch; each costs as much as five more.")  # fmt: skip
@click.option("--split", default="val", show_default=True, help="train, val, test or all.")
@click.option("--model", "name", default="default", show_default=True,
              help="A name from `affectlens models`, a model folder, or owner/name of the hub.")  # fmt: skip
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="Write figures and their intervals, of every picture too, as JSON.")  # fmt: skip
@click.option("--resume", is_flag=True, help="Go on with the comparison in --out, or add pictures to it.")
@click.option("--seed", default=0, show_default=True, help="Of the draw of pictures and of random maps.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 or mps.")
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
    """Measure which explanation of a model tells most truth, on pictures of DATA (NAME:PATH).

    Each method is compared with maps drawn by chance and with the plain gradient: how soon the answer goes
    when the cells that it marks are taken out, and how soon it comes when they are put in. --out is written
    after every picture.
    """
    if resume and not out:
        raise click.UsageError("--resume goes on with the comparison in --out FILE: name it.")
    import json

    from rich.console import Console

    from affectlens import library
    from affectlens.cli.progress import counter
    from affectlens.data.catalog import open_data
    from affectlens.explain.core.attribution import ExplainedModel
    from affectlens.explain.faithfulness import tables
    from affectlens.explain.faithfulness.compare import (
        CONTROLS,
        ComparisonOptions,
        Row,
        choose,
        open_pictures,
    )
    from affectlens.explain.faithfulness.compare import compare as compare_on
    from affectlens.explain.faithfulness.results import decided, describe, go_on, judge, summarise
    from affectlens.explain.methods.catalog import make, suitable_for
    from affectlens.files import atomic_write

    model = library.load(name)
    subject = ExplainedModel.of(model, device)
    named = methods.replace(" ", "").split(",") if methods else suitable_for(subject.network)
    made = {title: make(title) for title in named}
    source = open_data(data)
    records = choose(source.split(split), number, seed)
    options = ComparisonOptions(checked=checked, seed=seed)
    rows: list[Row] = []
    if resume and out and out.exists():
        rows = go_on(json.loads(out.read_text()), decided(model, source, split, made, options))
    pictures = open_pictures(subject, records)
    done = {row.picture for row in rows}
    with counter("comparing", len(pictures) * len(CONTROLS | made.keys())) as advance:
        advance(len(rows))
        for row in compare_on(subject, pictures, made, options, done):
            rows.append(row)
            advance(1)
            if out and row.method == named[-1]:  # of a picture
                document = describe(model, source, split, rows, made, options)
                with atomic_write(out, "w") as file:
                    file.write(json.dumps(document, indent=1) + "\n")
    summary = summarise(rows)
    console = Console()
    for table in (tables.curves_table(summary), tables.checks_table(summary)):
        tables.render(table, console)
    for sentence in tables.conclusions(summary, judge(summary)):
        click.echo(sentence.replace("`", ""))
