"""Divide records into train, validation and test: stratified, seeded, written to a file."""

import csv
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from affectlens.data.records import ALL, DataSource, Record
from affectlens.errors import SettingsError
from affectlens.files import atomic_write

TRAIN, VAL, TEST = "train", "val", "test"


def stratified(records: Sequence[Record], shares: Mapping[str, float], seed: int) -> dict[str, list[Record]]:
    """Divide records so that each split has each emotion in the proportion that all records have.

    `shares` (positive, sum below 1) go to the named splits; what is left goes to `train`. The same
    records and seed give the same split whatever the order of the records. An emotion with at least
    one picture a split is in every split; one with fewer is in `train` first. Raises
    `SettingsError` for impossible shares.
    """
    if any(share <= 0 for share in shares.values()) or sum(shares.values()) >= 1:
        raise SettingsError(f"Shares must be above 0 and leave some for training: {dict(shares)}.")
    strata: dict[str, list[Record]] = defaultdict(list)
    for record in sorted(records, key=lambda r: r.key):
        strata[record.target.top].append(record)
    splits: dict[str, list[Record]] = {TRAIN: [], **{name: [] for name in shares}}
    for emotion in sorted(strata):
        pool = strata[emotion]
        random.Random(f"{seed} {emotion}").shuffle(pool)
        for later, (name, share) in zip(range(len(shares), 0, -1), shares.items(), strict=True):
            wanted = max(1, round(share * len(strata[emotion])))
            taken = max(0, min(wanted, len(pool) - later))  # one is left for each later split and for train
            splits[name] += pool[:taken]
            pool = pool[taken:]
        splits[TRAIN] += pool
    return {name: sorted(part, key=lambda r: r.key) for name, part in splits.items()}


def divide(source: DataSource, shares: Mapping[str, float], seed: int) -> DataSource:
    """Return a data set with new splits instead of its own, as `stratified` makes them of all its records."""
    return replace(source, splits=stratified(source.split(ALL), shares, seed))


def with_validation(source: DataSource, share: float, seed: int) -> DataSource:
    """Give a source that lacks `train` or `val` both, leaving a `test` that exists alone.

    Validation is sampled from `train`, or from what belongs to no split. A `val` that exists stays as it is.
    Raises `EmptySplit` where there is nothing to train on.
    """
    if source.splits.get(TRAIN) and source.splits.get(VAL):
        return source
    pool = source.splits.get(TRAIN) or source.splits.get(ALL) or source.split(TRAIN)
    kept = {name: part for name, part in source.splits.items() if name not in {TRAIN, ALL} and part}
    if VAL in kept:
        return replace(source, splits={TRAIN: pool, **kept})
    made = stratified(pool, {VAL: share}, seed)
    note = f"no validation split was given: {share:.0%} of each emotion was drawn with seed {seed}"
    return replace(source, splits={**made, **kept}, notes=(*source.notes, note))


def write_splits(file: Path, source: DataSource) -> None:
    """Write splits as a table: path, label (or weights by word), split.

    Attributes are not written. Paths are relative to the data set, so that the file means the same on every
    machine. `data.table` reads it back with the data set's folder as `root`; in that folder it needs none.
    """
    words = source.vocabulary.words
    with atomic_write(file, "w") as out:
        table = csv.writer(out, delimiter="\t", lineterminator="\n")
        single = all(max(r.target.probabilities) == 1 for part in source.splits.values() for r in part)
        table.writerow(["path", *(["label"] if single else words), "split"])
        for name, part in source.splits.items():
            for record in part:
                # repr: the shortest text that gives the same number back, for the same digest
                label = [record.target.top] if single else map(repr, record.target.probabilities)
                table.writerow([record.key, *label, "" if name == ALL else name])
