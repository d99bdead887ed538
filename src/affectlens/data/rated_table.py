"""Ratings of pictures, as valence and arousal, from the columns of a table (`data.table` has its format).

A row may lack a rating; its other columns are not read here. Letters: N pictures, R ratings.
"""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from affectlens.data.records import ALL, DataSource, Record
from affectlens.data.table import WITHOUT_SPLIT, is_number, key_below, picture_of, rows_of, split_of
from affectlens.emotions import Vocabulary
from affectlens.errors import BadRow, DatasetError, SettingsError

ScaleEnds: TypeAlias = tuple[float, float]  # its ends


@dataclass(frozen=True)
class RatedPicture:
    """A row with ratings: its key and path as `Record` has them, and the ratings that it has, by name."""

    key: str
    path: Path
    split: str
    group: str
    ratings: dict[str, float]


@dataclass(frozen=True)
class RatingSummary:
    """What a table has of one rating: how many pictures, and which values."""

    name: str
    pictures: int
    lowest: float
    mean: float
    highest: float


def read_ratings(
    file: Path, root: Path, names: Sequence[str], scale: ScaleEnds | Mapping[str, ScaleEnds] | None
) -> list[RatedPicture]:
    """Read the rows of a table that have one of the ratings; none where the table has no such column.

    `names` are columns, `scale` the ends of what they may hold, of all or of each by its name; None where
    they may hold any number. Raises `SettingsError` for a scale that does not rise, `BadRow` for a cell that
    is not a number on the scale and for a row without a split where others have one, and what reading the
    table raises. A picture that several rows rate has as many (`mean_ratings`).
    """
    scales = dict(scale) if isinstance(scale, Mapping) else dict.fromkeys(names, scale)
    for ends in scales.values() if isinstance(scale, Mapping) else (scale,):
        if ends is not None:
            require_rising(*ends)
    found = []
    first_of: dict[str, int] = {}  # line, by split
    for number, row in rows_of(file):
        given = {name: row[name.lower()] for name in names if row.get(name.lower()) not in (None, "")}
        if not given:
            continue
        key = key_below(picture_of(file, number, row), root)
        values = {name: _value(file, number, name, cell, scales[name]) for name, cell in given.items()}
        group = str(row.get("group") or "").strip()
        split = split_of(file, number, row)
        first_of.setdefault(split, number)
        found.append(RatedPicture(key, root / key, split, group, values))
    if ALL in first_of and len(first_of) > 1:
        raise BadRow(file, first_of[ALL], WITHOUT_SPLIT)
    return found


def mean_ratings(rated: Sequence[RatedPicture]) -> tuple[list[RatedPicture], tuple[str, ...]]:
    """Return each picture once, with the mean of the ratings that it has; with a note where rows were many.

    Raises `DatasetError` for a picture whose rows name several splits or groups.
    """
    rows: dict[str, list[RatedPicture]] = {}
    for each in rated:
        rows.setdefault(os.path.normpath(each.path), []).append(each)
    merged = []
    for same in rows.values():
        first = same[0]
        if any((each.split, each.group) != (first.split, first.group) for each in same):
            raise DatasetError(f"Rows of {first.key} name several splits or groups. Give all of them one.")
        of_each: dict[str, list[float]] = {}
        for each in same:
            for name, value in each.ratings.items():
                of_each.setdefault(name, []).append(value)
        means = {name: math.fsum(values) / len(values) for name, values in of_each.items()}
        merged.append(RatedPicture(first.key, first.path, first.split, first.group, means))
    if len(merged) == len(rated):
        return merged, ()
    note = f"{len(rated):,} rows rate {len(merged):,} pictures: what is learned is the mean rating of each"
    return merged, (note,)


def source_of_ratings(root: Path, rated: Sequence[RatedPicture], vocabulary: Vocabulary) -> DataSource:
    """Make a data set of pictures that have ratings alone: all emotions of the vocabulary are alike."""
    alike = vocabulary.distribution(dict.fromkeys(vocabulary.words, 1.0))
    splits: dict[str, list[Record]] = {}
    for each in rated:
        record = Record(each.key, each.path, alike, group=each.group)
        splits.setdefault(each.split, []).append(record)
    return DataSource("table", root, vocabulary, splits)


def summaries(rated: Sequence[RatedPicture]) -> tuple[RatingSummary, ...]:
    """Summarise each rating that pictures have, in the order in which they come."""
    values: dict[str, list[float]] = {}
    for each in rated:
        for name, value in each.ratings.items():
            values.setdefault(name, []).append(value)
    return tuple(
        RatingSummary(name, len(found), min(found), math.fsum(found) / len(found), max(found))
        for name, found in values.items()
    )


def require_rising(*ends: Any) -> None:
    """Raise `SettingsError` for ends of a scale that are not two finite numbers, or do not rise."""
    try:
        low, high = (math.nan if isinstance(end, str) else float(end) for end in ends)
        rises = math.isfinite(low) and math.isfinite(high) and low < high
    except (TypeError, ValueError, OverflowError):
        rises = False
    if not rises:
        shown = " ".join(f"{end:g}" if isinstance(end, int | float) else repr(end) for end in ends)
        raise SettingsError(f"A scale of ratings must rise, as 1 9, not {shown}.")


def _value(file: Path, number: int, name: str, cell: Any, scale: ScaleEnds | None) -> float:
    value = float(cell) if is_number(cell) else math.nan
    if scale is None:
        if not math.isfinite(value):
            raise BadRow(file, number, f"{name} is {str(cell)[:60]!r}, not a number.")
    elif not scale[0] <= value <= scale[1]:
        raise BadRow(
            file, number, f"{name} is {str(cell)[:60]!r}, not a number from {scale[0]:g} to {scale[1]:g}. "
            "State the scale of your ratings by --scale LOW HIGH.",
        )  # fmt: skip
    return value
