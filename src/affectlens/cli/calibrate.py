"""`affectlens calibrate MODEL --data NAME:PATH --out FOLDER`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from affectlens.cli import options
from affectlens.cli.console import echo, table_console
from affectlens.report.text import printable

if TYPE_CHECKING:
    from affectlens.adaptation.calibration_report import CalibrationReport


@click.command()
@click.argument("model")
@click.option("--data", required=True,
              help="Data set, as folder:PICTURES or csv:labels.csv; columns valence and arousal are "
                   "ratings.")  # fmt: skip
@click.option("--out", required=True, type=options.NamedPath(path_type=Path), help="Model folder to write.")
@click.option("--split", default="", help="Split: train, val, test or all. Default: all but test.")
@click.option("--scale", nargs=2, type=float, default=(1.0, 9.0), show_default=True, metavar="LOW HIGH",
              help="Ends of the scale of the ratings.")  # fmt: skip
@click.option("--name", callback=options.model_title, help="Name of the model. Default: that of the folder.")
@click.option("--seed", type=int, default=0, show_default=True, help="Random seed of the folds.")
@click.option("--device", default="auto", show_default=True, help="Device: auto, cpu, cuda, cuda:1 or mps.")
@options.engine
def calibrate(
    model: str,
    data: str,
    out: Path,
    split: str,
    scale: tuple[float, float],
    name: str | None,
    seed: int,
    device: str,
    engine: str,
) -> int:
    """Calibrate MODEL (a name or folder) on own pictures, which it did not learn from, into a new folder.

    The temperature of its probabilities, the thresholds of its sets of emotions, and with ratings the line
    and the intervals of these are fitted anew, each where that is shown to help by cross-validation. The
    network stays as it is. Nothing is written where nothing helps.
    """
    from affectlens.adaptation.calibrate import (
        CalibrationProgress,
        CalibrationRequest,
        NotCalibrated,
        fit_calibration,
    )
    from affectlens.cli.portable_command import portable_command
    from affectlens.cli.progress import progress_bar
    from affectlens.library import portable_name

    words = [portable_name(word) if word == model else word for word in sys.argv[1:]]
    request = CalibrationRequest(
        model=model, data=data, out=out, split=split, scale=scale, name=name or printable(out.resolve().name),
        engine=engine, device=device, seed=seed, command=portable_command(words),
    )  # fmt: skip
    with progress_bar("starting") as bar:
        doing = ""

        def show(event: CalibrationProgress) -> None:
            nonlocal doing
            if event.doing != doing:
                doing = event.doing
                bar.start(doing, event.total)
            # A search for copies is measured in parts of one.
            bar.set(event.done, amount=f"{event.done:.0%}" if event.total == 1 else None)

        try:
            found = fit_calibration(request, show)
        except NotCalibrated as error:
            bar.stop()
            _print_report(error.report)
            raise
    _print_report(found.report)
    for line in found.report.findings():
        echo(line)
    echo(f"Model: {found.model}")
    return 1 if found.report.unreadable else 0


def _print_report(report: "CalibrationReport") -> None:
    from affectlens.report.text import print_table

    if len(report.table()) > 1:
        print_table(report.table(), table_console())
    for note in report.notes:
        echo(f"Note: {note}.", err=True)
    for reason in report.unreadable[:10]:
        echo(f"Not read: {reason}", err=True)
    if report.unreadable:
        echo(f"{len(report.unreadable)} pictures could not be read and were left out.", err=True)
