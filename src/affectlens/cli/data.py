"""`affectlens data check`, `affectlens data split`."""

import json
from pathlib import Path

import click


@click.group()
def data() -> None:
    """Check a data set, or divide it into splits."""


@data.command()
@click.argument("spec", metavar="NAME:PATH")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="JSON file for the findings.")
def check(spec: str, out: Path | None) -> int:
    """Open every picture of a data set and report what is wrong with it.

    Unreadable pictures, copies within and across splits, labels that contradict one another, sizes and
    how unequal the emotions are. Exit status 1 when a picture cannot be read or is in two splits.
    """
    from affectlens.cli.progress import counter
    from affectlens.data.audit import audit
    from affectlens.data.catalog import open_data
    from affectlens.data.records import ALL
    from affectlens.files import atomic_write

    source = open_data(spec)
    with counter("opening", len(source.split(ALL))) as advance:
        found = audit(source, advance)
    if out:
        with atomic_write(out, "w") as file:
            file.write(json.dumps(found.to_json(), indent=2) + "\n")
    for line in found.lines():
        click.echo(line)
    return 0 if found.sound else 1


@data.command()
@click.argument("spec", metavar="NAME:PATH")
@click.option(
    "--out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Table of splits, a .tsv file that does not exist yet.",
)
@click.option("--val", default=0.15, show_default=True, help="Share for validation.")
@click.option("--test", default=0.0, show_default=True, help="Share for the final test.")
@click.option("--seed", default=0, show_default=True, help="Random seed.")
def split(spec: str, out: Path, val: float, test: float, seed: int) -> None:
    """Divide a data set into train, val and test, each with every emotion in the same proportion.

    The file lists path, label and split of every picture. `csv:FILE@PATH` reads it, with PATH the data
    set's folder; in that folder itself `csv:FILE` does.
    """
    from affectlens.data import splits
    from affectlens.data.catalog import open_data

    if out.exists():
        raise click.UsageError(f"{out} is there already. A split must not change: choose a new name.")
    shares = {name: share for name, share in ((splits.VAL, val), (splits.TEST, test)) if share}
    divided = splits.divide(open_data(spec), shares, seed)
    splits.write_splits(out, divided)
    for name, part in divided.splits.items():
        click.echo(f"{name}: {len(part):,} pictures")
