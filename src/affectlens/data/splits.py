"""Divide records into train, validation and test: stratified, seeded, written to a file."""

import csv
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from affectlens.data.records import ALL, DataSource, Record
from affectlens.errors import SettingsError
from affectlens.files import atomic_write

TRAIN, VAL, TEST = "train", "val", "test"


def stratified(records: Sequence[Record], shares: Mapping[str, float], seed: int) -> dict[str, list[Record]]:
    """Divide records so that each split has each emotion in the proportion of the whole.

    `shares` (positive, sum at most 1) go to the named splits; what is left goes to `train`. The same
    records and seed give the same split whatever the order of the records. An emotion with at least
    one picture a split is in every split. Raises `SettingsError` for impossible shares.
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
        for name, share in shares.items():
            wanted = max(1, round(share * len(strata[emotion]))) if len(pool) > 1 else 0
            taken = min(wanted, len(pool) - 1)
            splits[name] += pool[:taken]
            pool = pool[taken:]
        splits[TRAIN] += pool
    return {name: sorted(part, key=lambda r: r.key) for name, part in splits.items()}


def with_validation(source: DataSource, share: float, seed: int) -> DataSource:
    """Give a source that has no `train` and `val` both, leaving a `test` that exists alone."""
    if source.splits.get(TRAIN) and source.splits.get(VAL):
        return source
    pool = list(source.splits.get(TRAIN) or source.split(ALL if TEST not in source.splits else TRAIN))
    made = stratified(pool, {VAL: share}, seed)
    kept = {name: part for name, part in source.splits.items() if name not in {TRAIN, ALL}}
    note = f"no validation split was given: {share:.0%} of each emotion was drawn with seed {seed}"
    return DataSource(source.name, source.root, source.vocabulary, {**made, **kept}, (*source.notes, note))


def write(file: Path, source: DataSource) -> None:
    """Write splits as a table (path, label or weights by word, split) that `data.table` reads back."""
    words = source.vocabulary.words
    with atomic_write(file, "w") as out:
        table = csv.writer(out, delimiter="\t", lineterminator="\n")
        single = all(max(r.target.probabilities) == 1 for part in source.splits.values() for r in part)
        table.writerow(["path", *(["label"] if single else words), "split"])
        for name, part in source.splits.items():
            for record in part:
                label = [record.target.top] if single else [f"{p:.6g}" for p in record.target.probabilities]
                table.writerow([record.key, *label, name])
