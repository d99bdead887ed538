"""Divide records into train, validation and test, or into folds: stratified, seeded, written to a file."""

import csv
import hashlib
import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from affectlens.data.groups import NO_GROUPS, Groups
from affectlens.data.records import ALL, FOLD, DataSource, Record, digest
from affectlens.emotions import is_known
from affectlens.errors import DatasetError, SettingsError
from affectlens.files import atomic_write, exists

TRAIN, VAL, TEST = "train", "val", "test"


def stratified(
    records: Sequence[Record], shares: Mapping[str, float], seed: int, groups: Groups = NO_GROUPS
) -> dict[str, list[Record]]:
    """Divide records so that each split has each emotion in the proportion that all records have.

    `shares` (positive, sum below 1) go to the named splits; what is left goes to `train`. The pictures of a
    group stay together. The same records, groups and seed give the same split whatever the order of the
    records. An emotion with at least one group a split is in every split; one with fewer is in `train`
    first. Raises `SettingsError` for impossible shares.
    """
    check_shares(shares)
    splits: dict[str, list[Record]] = {TRAIN: [], **{name: [] for name in shares}}
    for pool in _shuffled_strata(records, groups, seed):
        count = sum(map(len, pool))
        for later, (name, share) in zip(range(len(shares), 0, -1), shares.items(), strict=True):
            # One group is left for each later split and for train.
            taken, pool = _take(pool, max(1, round(share * count)), max(0, len(pool) - later))
            splits[name] += [record for group in taken for record in group]
        splits[TRAIN] += [record for group in pool for record in group]
    return {name: sorted(part, key=lambda r: r.key) for name, part in splits.items()}


def folds(
    records: Sequence[Record], count: int, seed: int, *, test: float = 0.0, groups: Groups = NO_GROUPS
) -> dict[str, list[Record]]:
    """Divide records into `fold 1` to `fold N` for cross-validation, each emotion evenly among all.

    First the share `test` is set apart, which no fold has. The pictures of a group stay together. The same
    records, groups and seed give the same folds. Raises `SettingsError` for fewer than two folds and an
    impossible share.
    """
    if count < 2:
        raise SettingsError(f"Cross-validation needs at least 2 folds, not {count}.")
    made = stratified(records, {TEST: test}, seed, groups) if test else {TRAIN: list(records)}
    parts: list[list[Record]] = [[] for _ in range(count)]
    for pool in _shuffled_strata(made.pop(TRAIN), groups, seed):
        sizes = [0] * count
        for group in sorted(pool, key=len, reverse=True):
            # The smallest by this emotion, then by all: so that the few left over do not all go to fold 1.
            least = min(range(count), key=lambda fold: (sizes[fold], len(parts[fold])))
            sizes[least] += len(group)
            parts[least] += group
    made = {f"fold {number + 1}": part for number, part in enumerate(parts)} | made
    return {name: sorted(part, key=lambda r: r.key) for name, part in made.items()}


def with_fold(source: DataSource, number: int) -> DataSource:
    """Train on all folds but one, and validate on that one; a `test` that exists stays as it is.

    Raises `SettingsError` where the data set has no such fold.
    """
    parts = {name: part for name, part in source.splits.items() if FOLD.fullmatch(name)}
    chosen = f"fold {number}"
    if chosen not in parts:
        known = (
            f"Its folds: {', '.join(parts)}." if parts else "Make folds by `affectlens data split --folds`."
        )
        raise SettingsError(f"{source.name} at {source.root} has no {chosen}. {known}")
    others = {name: part for name, part in source.splits.items() if name not in parts}
    train = [record for name, part in parts.items() if name != chosen for record in part]
    note = f"{chosen} of {len(parts)} is the validation split; the other folds are trained on"
    splits = {TRAIN: sorted(train, key=lambda r: r.key), VAL: parts[chosen], **others}
    return replace(source, splits=splits, notes=(*source.notes, note))


def require_disjoint(source: DataSource) -> None:
    """Raise `DatasetError` where one file is in two splits: what was trained on would be tested on.

    Links lead to the file that they name, so a picture is found under other names too.
    """
    seen: dict[Hashable, str] = {}
    twice = []
    for name, part in source.splits.items():
        files = [_identity(record.path) for record in part]
        twice += [
            (record.key, seen[file], name) for record, file in zip(part, files, strict=True) if file in seen
        ]
        seen.update(dict.fromkeys(files, name))
    if twice:
        key, first, second = twice[0]
        raise DatasetError(
            f"{len(twice):,} pictures of {source.name} are in two splits, as {key} in {first} and {second}. "
            "Leave each in one."
        )


def _identity(path: Path) -> Hashable:
    """What two names of one file have in common; of one that is not there, the name."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return path
    # Some file systems number no files.
    return (found.st_dev, found.st_ino) if found.st_ino else path


def digest_of_splits(source: DataSource) -> str:
    """Hash which picture with which label is in which split, on any machine: 16 hex digits."""
    parts = {name: digest(part) for name, part in source.splits.items()}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def check_shares(shares: Mapping[str, float]) -> None:
    """Raise `SettingsError` for shares of splits that are not above 0 or leave nothing for training."""
    # So that NaN, which is neither above nor below anything, is refused too.
    if not (all(share > 0 for share in shares.values()) and sum(shares.values()) < 1):
        raise SettingsError(f"Shares must be above 0 and leave some for training: {dict(shares)}.")


def _shuffled_strata(records: Sequence[Record], groups: Groups, seed: int) -> Iterator[list[list[Record]]]:
    """For each emotion, in alphabetical order, its groups in random order, each with its records.

    A group belongs to the emotion that most of its pictures have; of equally many, to the first of them.
    """
    members: dict[str, list[Record]] = defaultdict(list)
    for record in sorted(records, key=lambda r: r.key):
        members[groups.leader(record.key)].append(record)
    strata: dict[str, list[list[Record]]] = defaultdict(list)
    for group in members.values():
        tops = [record.target.top for record in group]
        strata[max(tops, key=tops.count)].append(group)
    for emotion in sorted(strata):
        pool = strata[emotion]
        random.Random(f"{seed} {emotion}").shuffle(pool)
        yield pool


def _take(
    pool: list[list[Record]], wanted: int, at_most: int
) -> tuple[list[list[Record]], list[list[Record]]]:
    """Take groups from the front until about `wanted` pictures are taken; those too large are left."""
    taken: list[list[Record]] = []
    left: list[list[Record]] = []
    count = 0
    for group in pool:
        if len(taken) < at_most and count + len(group) / 2 <= wanted:
            taken.append(group)
            count += len(group)
        else:
            left.append(group)
    if not taken and at_most:
        taken = [left.pop(min(range(len(left)), key=lambda index: len(left[index])))]
    return taken, left


def divide(
    source: DataSource, shares: Mapping[str, float], seed: int, groups: Groups = NO_GROUPS
) -> DataSource:
    """Return a data set with new splits instead of its own, as `stratified` makes them of all its records.

    Raises `SettingsError` for impossible shares, and `DatasetError` where a split would have no picture.
    """
    return _without_empty(replace(source, splits=stratified(source.split(ALL), shares, seed, groups)))


def divide_into_folds(
    source: DataSource, count: int, seed: int, *, test: float = 0.0, groups: Groups = NO_GROUPS
) -> DataSource:
    """Return a data set with folds instead of its own splits, as `folds` makes them of all its records.

    Raises `SettingsError` for another number of folds than there can be, and an impossible share, and
    `DatasetError` where a fold would have no picture.
    """
    records = source.split(ALL)
    require_enough(records, count)
    return _without_empty(replace(source, splits=folds(records, count, seed, test=test, groups=groups)))


def require_enough(records: Sequence[Record], folds: int) -> None:
    """Raise `SettingsError` for more folds than pictures, before any of them is made."""
    if folds > len(records):
        raise SettingsError(
            f"{len(records):,} pictures cannot be divided into {folds:,} folds, each with one of them at "
            "least. Make fewer folds."
        )


def _without_empty(source: DataSource) -> DataSource:
    """Return the data set. Raises `DatasetError` where one of its splits has no picture."""
    empty = [name for name, part in source.splits.items() if not part]
    if empty:
        shown = ", ".join(empty[:3]) + (" ..." if len(empty) > 3 else "")
        raise DatasetError(
            f"The {len(source.split(ALL)):,} pictures of {source.name} leave none for {shown}: copies, "
            "near-duplicates and the pictures of one group stay together, and each emotion is divided on its "
            "own. Make fewer splits or folds, or add pictures."
        )
    return source


def with_validation(
    source: DataSource,
    share: float,
    seed: int,
    find: Callable[[Sequence[Record]], Groups] = lambda records: NO_GROUPS,
) -> DataSource:
    """Give a source that lacks `train` or `val` both, leaving a `test` that exists alone.

    Validation is sampled from `train`, or from what belongs to no split; what `find` finds to belong
    together stays together. A `val` that exists stays as it is. Raises `EmptySplit` where there is nothing
    to train on.
    """
    if source.splits.get(TRAIN) and source.splits.get(VAL):
        return source
    pool = source.splits.get(TRAIN) or source.splits.get(ALL) or source.split(TRAIN)
    kept = {name: part for name, part in source.splits.items() if name not in {TRAIN, ALL} and part}
    if VAL in kept:
        return replace(source, splits={TRAIN: pool, **kept})
    groups = find(pool)
    made = stratified(pool, {VAL: share}, seed, groups)
    note = f"no validation split was given: {share:.0%} of each emotion was drawn with seed {seed}"
    note += f"; {groups}" if groups.search else ""
    return replace(source, splits={**made, **kept}, notes=(*source.notes, note))


def require_learnable(source: DataSource) -> None:
    """Raise `DatasetError` for labels that nothing can be learned from.

    That is where all pictures are for tests, those that are not are of one word alone, or a word of the data
    set's own, or every word, has a single one, which cannot be both learned and validated.
    """
    counts = Counter(
        word
        for name, part in source.splits.items()
        for record in part
        if name != TEST
        for word, weight in record.target.weights.items()
        if weight > 0
    )
    if not counts:
        raise DatasetError(
            f"All pictures of {source.root} are of the split {TEST!r}, which is set apart: none is left to "
            "learn from. Give those to learn from the split 'train', or leave the column out."
        )
    if len(counts) == 1:
        raise DatasetError(
            f"All training pictures of {source.root} are labelled {next(iter(counts))!r}: there is nothing "
            "to distinguish. Training needs pictures of two words or more."
        )
    single = [word for word, count in counts.items() if count == 1]
    if single and (len(single) == len(counts) or not is_known(source.vocabulary)):
        raise DatasetError(
            f"There is one picture only of {', '.join(map(repr, single))}. Each word needs two or more, one "
            "to learn from and one to validate on: add pictures, or leave the word out."
        )


def require_pictures(source: DataSource) -> None:
    """Raise `DatasetError` for pictures that are not there, before a day of training ends at one."""
    records = [record for part in source.splits.values() for record in part]
    missing = [record.path for record in records if not exists(record.path)]
    if missing:
        raise DatasetError(
            f"{len(missing):,} of the {len(records):,} pictures are not there, the first {missing[0]}. Paths "
            "that are not absolute begin in the table's folder; csv:FILE@FOLDER names another."
        )


def require_text(source: DataSource) -> None:
    """Raise `DatasetError` for a picture whose name is not text, which a table of splits cannot hold."""
    for part in source.splits.values():
        for record in part:
            try:
                record.key.encode()
            except UnicodeEncodeError:
                raise DatasetError(
                    f"The name {record.key} is not UTF-8 text, and a table of splits is. Rename the file."
                ) from None


def write_splits(file: Path, source: DataSource) -> None:
    """Write splits as a table: path, label (or weights by word), split.

    Commas divide the cells of a .csv, tabs those of any other file. Attributes are not written; groups are
    where there are any. Paths are relative to the data set, so that the file means the same on every machine.
    `data.table` reads it back with the data set's folder as `root`; in that folder it needs none. Raises
    `DatasetError` where `require_text` does.
    """
    require_text(source)
    words = source.vocabulary.words
    with atomic_write(file, "w") as out:
        delimiter = "," if file.suffix.lower() == ".csv" else "\t"  # as `data.table` reads it back
        table = csv.writer(out, delimiter=delimiter, lineterminator="\n")
        single = all(max(r.target.probabilities) == 1 for part in source.splits.values() for r in part)
        grouped = any(r.group for part in source.splits.values() for r in part)
        table.writerow(["path", *(["label"] if single else words), "split", *(["group"] if grouped else [])])
        for name, part in source.splits.items():
            for record in part:
                # repr: the shortest text that gives the same number back, for the same digest
                label = [record.target.top] if single else map(repr, record.target.probabilities)
                group = [record.group] if grouped else []
                table.writerow([record.key, *label, "" if name == ALL else name, *group])
