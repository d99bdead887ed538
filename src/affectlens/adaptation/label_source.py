"""Several labels of a picture at once, from a column `labels` of a table.

    path,labels
    a.jpg,cosy; bright          words with semicolons between them, in JSONL a list of words
    b.jpg,                      none of the labels

A picture may be in several rows, as where a row is one rater's: its label is then the share of the rows that
name it.

Letters: N pictures, W labels.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from affectlens.data.catalog import table_of
from affectlens.data.rated_table import RatedPicture, mean_ratings, require_rating_name, source_of_ratings
from affectlens.data.records import DataSource, Record
from affectlens.data.splits import TEST, require_disjoint, require_pictures
from affectlens.data.table import LABEL_COLUMNS, LABELS, LabelRow, key_below, picture_of, rows_of, split_of
from affectlens.data.vocabularies import require_distinct
from affectlens.emotions import plain_word
from affectlens.errors import BadRow, DatasetError, SettingsError
from affectlens.metrics import Doubles
from affectlens.model_folder import Card
from affectlens.ratings import MOST_PERCENT

FEWEST = 10  # pictures with a label, and without it: of fewer nothing can be learned and measured
_SEPARATOR = ";"


@dataclass(frozen=True)
class LabelSource:
    """Pictures with several labels to learn from.

    Attributes:
        source: the pictures, those of a split `test` included; every emotion has the same weight
        records: N, by key; those that may be learned from
        words: W, in alphabetical order
        values: share of the rows of a picture that name each label, in 0..1, (N, W)
        notes: sentences without a full stop
    """

    source: DataSource
    records: Sequence[Record]
    words: tuple[str, ...]
    values: Doubles
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """State what a run was begun with: the labels, and a hash of which picture has which."""
        rounded = json.dumps(self.values.round(6).tolist())
        return {"words": list(self.words), "values": hashlib.sha256(rounded.encode()).hexdigest()[:16]}


def has_several_labels(spec: str) -> bool:
    """Whether a data set is a table with a column `labels` and none of one label for each picture.

    Raises what reading the table raises.
    """
    table = table_of(spec)
    if table is None or not table[0].is_file():
        return False
    columns = {column for _, row in rows_of(table[0]) for column in row}
    return LABELS in columns and not columns & set(LABEL_COLUMNS)


def open_label_source(spec: str, start: Card) -> LabelSource:
    """Read the labels of a table and its pictures. Opens no picture.

    Raises `SettingsError` for data that are not a table and labels that cannot be names, `BadVocabulary` for
    those that differ by case or accents alone, `BadRow`, and `DatasetError` where no label has pictures
    enough, and for pictures that are not there.
    """
    table = table_of(spec)
    if table is None:
        raise SettingsError(f"Labels are a column of a table, which {spec} is not. Write csv:FILE@FOLDER.")
    file, root = table
    rows = list(rows_of(file))
    given = {number: _words(file, number, row) for number, row in rows}
    spellings = list(dict.fromkeys(word for words in given.values() for word in words))
    require_distinct(spellings)
    known = sorted({plain_word(word) for word in spellings})
    for word in known:
        require_rating_name(word, start.vocabulary)
    merged, notes = mean_ratings(
        [_picture(file, root, number, row, given[number], known) for number, row in rows]
    )
    source = source_of_ratings(root, merged, start.vocabulary)
    require_pictures(source)
    require_disjoint(source)
    learned = sorted((each for each in merged if each.split != TEST), key=lambda each: each.key)
    kept, left_out = _learnable(known, learned)
    if not kept:
        raise DatasetError(
            f"No label of {file} has {FEWEST} pictures with it and {FEWEST} without it, those of a split "
            f"test not counted: {_counts(known, learned)}. Add pictures, or join labels that mean the same."
        )
    if left_out:
        few = f"labels that fewer than {FEWEST} pictures have, or lack, are left out: {', '.join(left_out)}"
        notes = (*notes, few)
    by_key = {record.key: record for part in source.splits.values() for record in part}
    shares = np.array([[each.ratings[word] for word in kept] for each in learned])
    return LabelSource(source, [by_key[each.key] for each in learned], tuple(kept), shares, notes)


def labelled_percents(file: Path, root: Path, words: Sequence[str]) -> list[RatedPicture]:
    """Return how many of a picture's rows name each of these labels, in percent; none without the column.

    Raises `BadRow`, `DatasetError` for a picture in several splits or groups, and what reading the table
    raises.
    """
    rows = list(rows_of(file))
    if not words or not any(LABELS in row for _, row in rows):
        return []
    given = [_picture(file, root, number, row, _words(file, number, row), words) for number, row in rows]
    return [
        replace(each, ratings={word: MOST_PERCENT * share for word, share in each.ratings.items()})
        for each in mean_ratings(given)[0]
    ]


def _picture(
    file: Path, root: Path, number: int, row: LabelRow, given: Iterable[str], words: Iterable[str]
) -> RatedPicture:
    """Return a row with 1 for each of these words that it names, and 0 for the others."""
    key = key_below(picture_of(file, number, row), root)
    own = {plain_word(word) for word in given}
    group = str(row.get("group") or "").strip()
    values = {word: float(plain_word(word) in own) for word in words}
    return RatedPicture(key, root / key, split_of(file, number, row), group, values)


def _words(file: Path, number: int, row: LabelRow) -> list[str]:
    """Return the labels of a row, as they are spelt there. Raises `BadRow`."""
    cell = row.get(LABELS) or ""
    parts = cell.split(_SEPARATOR) if isinstance(cell, str) else cell
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        shown = json.dumps(cell, ensure_ascii=False)[:60]
        raise BadRow(file, number, f"its labels are {shown}; expected words with semicolons between them.")
    found = [part.strip() for part in parts if part.strip()]
    if twice := [word for word, times in Counter(map(plain_word, found)).items() if times > 1]:
        raise BadRow(file, number, f"the label {twice[0]!r} is there twice. Remove one.")
    if comma := next((word for word in found if "," in word), None):
        raise BadRow(file, number, f"{comma!r} has a comma. Separate labels by semicolons.")
    return found


def _learnable(words: Iterable[str], pictures: Sequence[RatedPicture]) -> tuple[list[str], list[str]]:
    """Divide labels into those that can be learned and those that cannot."""
    kept: list[str] = []
    left_out: list[str] = []
    for word in words:
        share = math.fsum(each.ratings[word] for each in pictures)
        (kept if min(share, len(pictures) - share) >= FEWEST else left_out).append(word)
    return kept, left_out


def _counts(words: Sequence[str], pictures: Sequence[RatedPicture]) -> str:
    counts = {word: sum(each.ratings[word] > 0 for each in pictures) for word in words}
    listed = ", ".join(f"{word} {count}" for word, count in list(counts.items())[:8])
    return f"of {len(pictures):,} pictures " + (listed or "none has a label")
