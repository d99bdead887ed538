"""`affectlens bench PICTURES`: where the time goes on this machine."""

import json
from typing import TYPE_CHECKING

import click

from affectlens.cli import options
from affectlens.cli.console import echo, standard_input, table_console
from affectlens.report.text import printable

if TYPE_CHECKING:
    from affectlens.inference.stages import StageReport


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PICTURES...")
@click.option("--model", "name", default="default", show_default=True,
              help="Name from `affectlens models`, model folder, or owner/name on the hub.")  # fmt: skip
@click.option("--pictures", "count", type=click.IntRange(1, 10_000), default=128, show_default=True,
              help="Number of pictures that are measured, from the first on.")  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="Device: auto, cpu, cuda, cuda:1 or mps.")
@click.option("--precision", default="auto", show_default=True,
              help="Number format: auto, float32 or bfloat16.")  # fmt: skip
@options.engine
@click.option("--json", "as_json", is_flag=True, help="JSON with all that was measured.")
def bench(
    paths: tuple[str, ...],
    name: str,
    count: int,
    device: str,
    precision: str,
    engine: str,
    as_json: bool,
) -> int:
    """Measure where the time of predictions goes on this machine, and name what would help.

    PICTURES are files, folders or patterns, as for `affectlens predict`. The engine is that of many pictures.
    A stage's time is that of one core; all stages share the cores.

    Exit status: 0 all pictures were read, 1 some were not, 2 wrong use.
    """
    from affectlens.cli.progress import progress_bar
    from affectlens.inference.inputs import pictures
    from affectlens.inference.predictor import Predictor
    from affectlens.inference.stages import measure_stages

    given = pictures(paths, standard_input())
    predictor = Predictor.load(name, device, precision, engine=engine, many=True)
    with progress_bar("starting") as bar:
        report = measure_stages(predictor, given, count, lambda stage: bar.start(stage, None))
    if as_json:
        echo(json.dumps(report.to_json(), indent=2), several_lines=True)
    else:
        _print_stages(report)
    return 1 if report.unreadable else 0


def _print_stages(report: "StageReport") -> None:
    from rich.table import Table

    from affectlens.inference.stages import STAGES, TITLES

    for error in report.unreadable:
        echo(f"Not read: {printable(str(error))}", err=True)
    echo(
        f"{report.pictures:,} pictures of {report.megapixels:.1f} megapixels as decoded and "
        f"{report.megabytes:.2f} MB; {report.cores} cores, engine {report.engine}, {report.precision}, "
        f"on {report.device}."
    )
    table = Table("stage", "ms of a core", "share", "alone, pictures/s")
    for column in table.columns[1:]:
        column.justify = "right"
    for stage in STAGES:
        cells = (
            f"{report.milliseconds[stage]:.2f}",
            f"{report.share(stage):.0%}",
            f"{report.rate(stage):,.0f}",
        )
        table.add_row(TITLES[stage], *cells)
    table_console().print(table)
    echo(
        f"All stages together allow {report.limit:,.1f} pictures/s; a job does {1000 / report.job:,.1f}, "
        f"{report.achieved:.0%} of it."
    )
    for sentence in report.advice():
        echo(sentence)
