"""Ratings to learn from a table: columns of any names, each with the scale that people rated on.

A picture may be rated in several rows, as where a row is one rater's: its rating is their mean. A rating that
the start predicts already is brought to the start's scale, valence and arousal of another start to 1 to 9, as
`evaluate` and `calibrate` do (`ratings.rescaled`); any other keeps the scale that it was given on.

Letters: N pictures, R ratings.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from affectlens.data.catalog import table_of
from affectlens.data.rated_table import RatedPicture, ScaleEnds, mean_ratings, read_ratings, require_rising
from affectlens.data.records import DataSource, Record
from affectlens.data.splits import TEST, require_disjoint, require_pictures
from affectlens.data.table import ENDS, PATH_COLUMNS, RATINGS, has_emotions, rows_of
from affectlens.data.vocabularies import stored_vocabulary
from affectlens.emotions import LONGEST_WORD, MIKELS, POLARITY, RESERVED, RESERVED_BEGINNINGS, Vocabulary
from affectlens.errors import DatasetError, SettingsError, UnknownName
from affectlens.metrics import Doubles
from affectlens.model_folder import Card
from affectlens.ratings import HIGHEST, LOWEST, rescaled

FEWEST, FEWEST_GROUPS = 20, 5  # pictures of a rating: below, no interval of 95 % is known of their errors
_SCALE = (LOWEST, HIGHEST)  # of valence and arousal, where none is stated
_FLAT = 1e-9  # standard deviation below which all ratings are the same


@dataclass(frozen=True)
class RatingColumn:
    """A rating to learn: its name, and the ends of its scale, as people gave it and as the model has it."""

    name: str
    given: ScaleEnds
    scale: ScaleEnds


@dataclass(frozen=True)
class RatedSource:
    """Rated pictures to learn from.

    Attributes:
        source: the pictures, those of a split `test` included; every emotion has the same weight
        records: N, by key; those that may be learned from
        columns: R
        values: (N, R) on the scales of the model, NaN where a picture has no such rating
        notes: sentences without a full stop
    """

    source: DataSource
    records: Sequence[Record]
    columns: tuple[RatingColumn, ...]
    values: Doubles
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """State what a run was begun with: each rating with its scales, and a hash of all values."""
        rounded = json.dumps([[round(value, 6) for value in row] for row in self.values.tolist()])
        return {
            "columns": [[each.name, list(each.given), list(each.scale)] for each in self.columns],
            "values": hashlib.sha256(rounded.encode()).hexdigest()[:16],
        }


def rating_scales(names: Iterable[str], scale: ScaleEnds | None = None) -> dict[str, ScaleEnds]:
    """Read what ratings are named, as "cosiness" or with a scale of its own as "cosiness:1:7".

    `scale` is that of those without one; valence and arousal are from 1 to 9 by default. Raises
    `SettingsError` where a scale is not stated, not two numbers, or does not rise, and for a name twice.
    """
    found: dict[str, ScaleEnds] = {}
    for given in names:
        name, colon, ends = given.partition(":")
        name = name.strip().lower()
        own = _ends(given, ends) if colon else scale or (_SCALE if name in RATINGS else None)
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


def ratings_of_table(spec: str, scale: ScaleEnds | None = None) -> dict[str, ScaleEnds]:
    """Return the known ratings of a table that has no emotions: what can be learned of it; else none.

    Raises what reading the table raises.
    """
    table = table_of(spec)
    if table is None or not table[0].is_file():
        return {}
    rows = list(rows_of(table[0]))
    words = stored_vocabulary([table[0].parent, table[1]]) or MIKELS
    columns = {column for _, row in rows for column in row}
    names = [] if has_emotions(rows, words) else [name for name in RATINGS if name in columns]
    return rating_scales(names, scale)


def open_rated_source(spec: str, scales: Mapping[str, ScaleEnds], start: Card) -> RatedSource:
    """Read ratings of a table and its pictures. Opens no picture.

    `scales` are the ends of each rating's scale by its name. Raises `SettingsError` for data that are not a
    table and names that cannot be ratings, `UnknownName` for one that the table does not have, `BadRow`,
    `DatasetError` for too few ratings, those that are all the same, and pictures that are not there.
    """
    table = table_of(spec)
    if table is None:
        raise SettingsError(f"Ratings are columns of a table, which {spec} is not. Write csv:FILE@FOLDER.")
    for name, ends in scales.items():
        require_rating_name(name, start.vocabulary)
        require_rising(*ends)
    rated = read_ratings(*table, list(scales), scales)
    _require_columns(table[0], scales)
    merged, notes = mean_ratings(rated)
    source = source_of_pictures(table[1], merged, start.vocabulary)
    require_pictures(source)
    require_disjoint(source)
    learned = sorted((each for each in merged if each.split != TEST), key=lambda each: each.key)
    columns = tuple(RatingColumn(name, ends, _scale_of(name, ends, start)) for name, ends in scales.items())
    values = np.array([[_value(each, column) for column in columns] for each in learned])
    values = values.reshape(len(learned), len(columns))
    for column, of_all in zip(columns, values.T, strict=True):
        _require_learnable(table[0], column.name, of_all[np.isfinite(of_all)])
    by_key = {record.key: record for part in source.splits.values() for record in part}
    return RatedSource(source, [by_key[each.key] for each in learned], columns, values, notes)


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


def _require_columns(file: Path, names: Iterable[str]) -> None:
    columns = list(dict.fromkeys(column for _, row in rows_of(file) for column in row))
    for name in names:
        if name not in columns:
            raise UnknownName(
                "column", name, [each for each in columns if each not in PATH_COLUMNS], str(file)
            )


def source_of_pictures(root: Path, rated: Sequence[RatedPicture], words: Vocabulary) -> DataSource:
    """Make a data set of rated pictures, for which every emotion has the same weight."""
    alike = words.distribution(dict.fromkeys(words.words, 1.0))
    splits: dict[str, list[Record]] = {}
    for each in rated:
        splits.setdefault(each.split, []).append(Record(each.key, each.path, alike, group=each.group))
    return DataSource("table", root, words, splits)


def _scale_of(name: str, given: ScaleEnds, start: Card) -> ScaleEnds:
    for known in start.ratings:
        if known.name.lower() == name:
            return known.low, known.high
    return _SCALE if name in RATINGS else given


def _value(picture: RatedPicture, column: RatingColumn) -> float:
    value = picture.ratings.get(column.name, math.nan)
    return rescaled(value, column.given, column.scale)


def _require_learnable(file: Path, name: str, values: Doubles) -> None:
    if len(values) < FEWEST:
        raise DatasetError(
            f"{file} has {len(values):,} pictures with a rating of {name}, without those of a split test. "
            f"{FEWEST} or more are needed to learn it and to know how far predictions are from people's."
        )
    if values.std() < _FLAT:
        raise DatasetError(
            f"All {len(values):,} ratings of {name} are {values[0]:g}: there is nothing to learn."
        )
