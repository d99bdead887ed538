"""`affectlens data check`, `affectlens data split`."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from affectlens.cli import options
from affectlens.cli.console import echo

if TYPE_CHECKING:
    from affectlens.data.groups import Search, SearchProgress

near_duplicates = click.option(
    "--near-duplicates",
    "search",
    type=click.Choice(["thorough", "quick", "off"]),
    default="thorough",
    show_default=True,
    help="Search for copies that were changed: thorough finds those that were cut too, and takes minutes for "
    "20,000 pictures; quick takes a fifth of that; off finds copies of the same bytes alone.",
)


@contextmanager
def _search_progress(pictures: int) -> Iterator[Callable[["SearchProgress"], None]]:
    """Show a bar for reading pictures, then one for comparing them."""
    from affectlens.cli.progress import progress_bar

    with progress_bar("opening", pictures) as bar:
        comparing = False

        def show(done: "SearchProgress") -> None:
            nonlocal comparing
            if done.compared and not comparing:
                comparing = True
                bar.start("comparing", 100)
            if comparing:
                bar.set(100 * done.compared, amount=f"{done.compared:.0%}")
            else:
                bar.set(done.read)

        yield show


@click.group()
def data() -> None:
    """Check a data set, or divide it into splits or folds."""


@data.command()
@click.argument("spec", metavar="NAME:PATH")
@click.option("--out", type=options.OutputFile(".json"), help="JSON file for the findings.")
@near_duplicates
def check(spec: str, out: Path | None, search: "Search") -> int:
    """Open every picture of a data set and report what is wrong with it.

    Unreadable pictures, copies and near-duplicates within and across splits, labels that contradict one
    another, sizes and how unequal the emotions are; of a table with ratings also these. Exit status 1 when a
    picture cannot be read, is in two splits or has two labels.
    """
    from affectlens.data.audit import audit
    from affectlens.data.catalog import open_with_ratings
    from affectlens.data.records import ALL
    from affectlens.files import atomic_write
    from affectlens.locks import locked_file

    source, rated, labelled = open_with_ratings(spec)
    with locked_file(out) if out else nullcontext():
        with _search_progress(len(source.split(ALL))) as progress:
            found = audit(source, search, progress, rated=rated, labelled=labelled)
        if out:
            with atomic_write(out, "w") as file:
                file.write(json.dumps(found.to_json(), indent=2) + "\n")
    for line in found.lines():
        echo(line)
    return 0 if found.sound else 1


@data.command()
@click.argument("spec", metavar="NAME:PATH")
@click.option(
    "--out",
    required=True,
    type=options.NamedPath(dir_okay=False, path_type=Path),
    help="Table of splits, a .tsv or .csv file that does not exist yet.",
)
@click.option(
    "--val",
    type=options.FiniteRange(0, 1, max_open=True),
    help="Share for validation.  [default: 0.15, without --folds]",
)
@click.option(
    "--test",
    type=options.FiniteRange(0, 1, max_open=True),
    default=0.0,
    show_default=True,
    help="Share for the final test.",
)
@click.option(
    "--folds", type=click.IntRange(2), metavar="N", help="Number of folds, instead of train and val."
)
@near_duplicates
@click.option("--seed", default=0, show_default=True, help="Random seed.")
def split(
    spec: str, out: Path, val: float | None, test: float, folds: int | None, search: "Search", seed: int
) -> int:
    """Divide a data set into train, val and test, or into folds, each emotion in the same proportion.

    Copies, near-duplicates and pictures of one `group` of a table stay together. The file lists path, label
    and split of every picture, and vocabulary.toml next to it their words, where labels alone do not show
    them. `csv:FILE@PATH` reads it, with PATH the data set's folder; in that folder itself `csv:FILE` does.
    `affectlens train --fold K` trains on all folds but one.
    """
    from affectlens.data import splits, table
    from affectlens.data.catalog import open_data
    from affectlens.data.groups import find_groups
    from affectlens.data.records import ALL, require_listed
    from affectlens.locks import locked_file

    if out.suffix.lower() not in (".tsv", ".csv"):
        raise click.UsageError(f"{out}: the suffix is the format of the table. Use .tsv or .csv.")
    if folds and val is not None:
        raise click.UsageError("With --folds each fold is the validation split in turn. Leave out --val.")
    shares = {splits.VAL: 0.0 if folds else 0.15 if val is None else val, splits.TEST: test}
    wanted = {name: share for name, share in shares.items() if share}
    # From before it is looked for: of two at once, the second may not replace what the first wrote.
    with locked_file(out):
        if out.exists():
            raise click.UsageError(f"{out} is there already. A split must not change: choose a new name.")
        source = open_data(spec)
        require_listed(source)
        splits.require_text(source)
        splits.check_shares(wanted)
        if folds:
            splits.require_enough(source.split(ALL), folds)
        table.require_no_other_words(out, source)
        with _search_progress(len(source.split(ALL))) as progress:
            groups = find_groups(source.split(ALL), search, progress)
        if folds:
            divided = splits.divide_into_folds(source, folds, seed, test=test, groups=groups)
        else:
            divided = splits.divide(source, wanted, seed, groups)
        splits.write_splits(out, divided)
        table.write_words(out, divided)
    if own := [name for name in source.splits if name != ALL]:
        echo(f"Instead of the data set's own: {', '.join(own)}.")
    for name, part in divided.splits.items():
        echo(f"{name}: {len(part):,} pictures")
    echo(f"{str(groups).capitalize()}. Hash of the division: {splits.digest_of_splits(divided)}.")
    if groups.unreadable:
        echo(
            f"Note: {groups.unreadable:,} pictures cannot be read, and are divided as if they had no copies. "
            "`affectlens data check` names them.",
            err=True,
        )
    return 1 if groups.unreadable else 0
