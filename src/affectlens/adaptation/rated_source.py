"""Ratings to learn from a table: columns of any names, each with the scale that people rated on.

A picture may be rated in several rows, as where a row is one rater's: its rating is their mean. A rating that
the start predicts already is brought to the start's scale, valence and arousal of another start to 1 to 9, as
`evaluate` and `calibrate` do (`ratings.rescaled`); any other keeps the scale that it was given on.

Letters: N pictures, R ratings.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from affectlens.data.catalog import table_of
from affectlens.data.rated_table import (
    RatedPicture,
    ScaleEnds,
    mean_ratings,
    own_scale,
    rating_scales,
    read_ratings,
    require_columns,
    require_rating_name,
    require_rising,
    source_of_ratings,
)
from affectlens.data.records import DataSource, Record
from affectlens.data.splits import TEST, require_disjoint, require_pictures
from affectlens.data.table import RATINGS, has_emotions, rows_of
from affectlens.data.vocabularies import stored_vocabulary
from affectlens.emotions import MIKELS
from affectlens.errors import DatasetError, SettingsError
from affectlens.metrics import Doubles
from affectlens.model_folder import Card
from affectlens.ratings import FEWEST, RatingColumn, rescaled

FEWEST_GROUPS = 5  # of rated pictures, so that some can be held out
_FLAT = 1e-9  # standard deviation below which all ratings are the same


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
    require_columns(table[0], scales)
    merged, notes = mean_ratings(rated)
    source = source_of_ratings(table[1], merged, start.vocabulary)
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


def _scale_of(name: str, given: ScaleEnds, start: Card) -> ScaleEnds:
    for known in start.ratings:
        if known.name.lower() == name:
            return known.low, known.high
    return own_scale(name, given)


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
