"""Ratings of pictures, as valence and arousal, from the columns of a table (`data.table` has its format).

A row may lack a rating; its other columns are not read here. Letters: N pictures, R ratings.
"""

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from affectlens.data.records import ALL, DataSource, Record
from affectlens.data.table import (
    ENDS,
    PATH_COLUMNS,
    RATINGS,
    WITHOUT_SPLIT,
    is_number,
    key_below,
    picture_of,
    rows_of,
    split_of,
)
from affectlens.emotions import (
    LONGEST_WORD,
    POLARITY,
    RESERVED,
    RESERVED_BEGINNINGS,
    EmotionDistribution,
    Vocabulary,
)
from affectlens.errors import BadRow, DatasetError, SettingsError, UnknownName
from affectlens.ratings import HIGHEST, LOWEST, VALENCE, RatingColumn

ScaleEnds: TypeAlias = tuple[float, float]  # its ends
SCALE: ScaleEnds = (LOWEST, HIGHEST)  # of valence and arousal, where none is stated


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


def rating_scales(names: Iterable[str], scale: ScaleEnds | None = None) -> dict[str, ScaleEnds]:
    """Read what ratings are named, as "cosiness" or with a scale of its own as "cosiness:1:7".

    `scale` is that of those without one; valence and arousal are from 1 to 9 by default. Raises
    `SettingsError` where a scale is not stated, not two numbers, or does not rise, and for a name twice.
    """
    found: dict[str, ScaleEnds] = {}
    for given in names:
        name, colon, ends = given.partition(":")
        name = name.strip().lower()
        own = _ends(given, ends) if colon else scale or (SCALE if name in RATINGS else None)
        if own is None:
            raise SettingsError(
                f"The scale of {name} is not stated. Add its ends, as --scale 1 7, or name it as {name}:1:7."
            )
        if name in found:
            raise SettingsError(f"The rating {name} is named twice. Name it once.")
        require_rising(*own)
        found[name] = own
    return found


def _ends(given: str, ends: str) -> ScaleEnds:
    try:
        low, high = map(float, ends.split(":"))
    except ValueError:
        raise SettingsError(
            f"{given!r} is not a rating with its scale. Write NAME:LOW:HIGH, as cosiness:1:7."
        ) from None
    return low, high


def own_scale(name: str, given: ScaleEnds) -> ScaleEnds:
    """Return the scale on which a model predicts a rating: 1 to 9 for valence and arousal, else its own."""
    return SCALE if name in RATINGS else given


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
    return _source_of(root, rated, vocabulary, lambda _: alike)


def source_of_polarity(root: Path, rated: Sequence[RatedPicture], ends: ScaleEnds) -> DataSource:
    """Make a data set of pictures that have a valence, on a scale with these ends.

    Each is positive or negative, by which side of the middle its valence is on; on the middle it is half of
    each.
    """
    positive, negative = POLARITY.words
    middle = (ends[0] + ends[1]) / 2

    def target(each: RatedPicture) -> EmotionDistribution:
        valence = each.ratings[VALENCE]
        weights = {positive: float(valence >= middle), negative: float(valence <= middle)}
        return POLARITY.distribution(weights)

    return _source_of(root, rated, POLARITY, target)


def _source_of(
    root: Path,
    rated: Sequence[RatedPicture],
    vocabulary: Vocabulary,
    target: Callable[[RatedPicture], EmotionDistribution],
) -> DataSource:
    splits: dict[str, list[Record]] = {}
    for each in rated:
        record = Record(each.key, each.path, target(each), group=each.group)
        splits.setdefault(each.split, []).append(record)
    return DataSource("table", root, vocabulary, splits)


def with_ratings(
    source: DataSource, rated: Sequence[RatedPicture], columns: tuple[RatingColumn, ...]
) -> DataSource:
    """Return a data set whose records have the ratings of their pictures."""
    of_picture = {os.path.normpath(each.path): each.ratings for each in rated}
    splits = {
        name: [replace(record, ratings=of_picture.get(os.path.normpath(record.path), {})) for record in part]
        for name, part in source.splits.items()
    }
    return replace(source, splits=splits, ratings=columns)


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


def require_rating_name(name: str, words: Vocabulary) -> None:
    """Raise `SettingsError` for a name that cannot be that of a rating of a model with such words."""
    reserved = RESERVED - set(RATINGS)
    problem = ""
    if not name or len(name) > LONGEST_WORD or not name.isprintable():
        problem = f"it is empty, longer than {LONGEST_WORD} characters, or cannot be shown"
    elif name != name.strip().lower() or set(name) & set(":,;/"):
        problem = "names are in small letters, without colons, commas, semicolons and slashes"
    elif name in reserved or name.startswith(RESERVED_BEGINNINGS) or name.endswith(ENDS):
        problem = "it is the name of another column"
    elif words.knows(name) or POLARITY.knows(name):
        problem = "it is a word of the model's emotions"
    if problem:
        raise SettingsError(f"{name!r} cannot be the name of a rating: {problem}. Rename the column.")


def require_columns(file: Path, names: Iterable[str]) -> None:
    """Raise `UnknownName` for a rating that is not a column of a table."""
    columns = list(dict.fromkeys(column for _, row in rows_of(file) for column in row))
    for name in names:
        if name not in columns:
            raise UnknownName(
                "column", name, [each for each in columns if each not in PATH_COLUMNS], str(file)
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
