"""Ratings of pictures, as valence and arousal, from the columns of a table (`data.table` has its format).

A row may lack a rating; its other columns are not read here. Letters: N pictures, R ratings.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from affectlens.data.records import ALL
from affectlens.data.table import WITHOUT_SPLIT, is_number, key_below, picture_of, rows_of, split_of
from affectlens.errors import BadRow, SettingsError


@dataclass(frozen=True)
class RatedPicture:
    """A row with ratings: its key and path as `Record` has them, and the ratings that it has, by name."""

    key: str
    path: Path
    split: str
    group: str
    ratings: dict[str, float]


def read_ratings(
    file: Path, root: Path, names: Sequence[str], scale: tuple[float, float]
) -> list[RatedPicture]:
    """Read the rows of a table that have one of the ratings; none where the table has no such column.

    `names` are columns, `scale` the ends of what they may hold. Raises `SettingsError` for a scale that does
    not rise, `BadRow` for a cell that is not a number on the scale, a picture that is rated twice and a row
    without a split where others have one, and what reading the table raises.
    """
    require_scale(scale)
    found = []
    lines: dict[str, int] = {}
    first_of: dict[str, int] = {}  # line, by split
    for number, row in rows_of(file):
        given = {name: row[name.lower()] for name in names if row.get(name.lower()) not in (None, "")}
        if not given:
            continue
        key = key_below(picture_of(file, number, row), root)
        values = {name: _value(file, number, name, cell, scale) for name, cell in given.items()}
        first = lines.setdefault(os.path.normpath(root / key), number)
        if first != number:
            reason = f"{key} has ratings in line {first} already. Write one row for it, with the mean of all."
            raise BadRow(file, number, reason)
        group = str(row.get("group") or "").strip()
        split = split_of(file, number, row)
        first_of.setdefault(split, number)
        found.append(RatedPicture(key, root / key, split, group, values))
    if ALL in first_of and len(first_of) > 1:
        raise BadRow(file, first_of[ALL], WITHOUT_SPLIT)
    return found


def require_scale(scale: Sequence[float] | str) -> None:
    """Raise `SettingsError` for ends of a scale that are not two numbers, the second above the first."""
    try:
        low, high = map(float, () if isinstance(scale, str) else scale)
        rises = math.isfinite(low) and math.isfinite(high) and low < high
    except (TypeError, ValueError, OverflowError):
        rises = False
    if not rises:
        shown = " ".join(f"{end:g}" if isinstance(end, int | float) else repr(end) for end in scale)
        raise SettingsError(f"A scale of ratings must rise, as 1 9, not {shown}.")


def _value(file: Path, number: int, name: str, cell: Any, scale: tuple[float, float]) -> float:
    value = float(cell) if is_number(cell) else math.nan
    if not scale[0] <= value <= scale[1]:
        raise BadRow(
            file, number, f"{name} is {str(cell)[:60]!r}, not a number from {scale[0]:g} to {scale[1]:g}. "
            "State the scale of your ratings by --scale LOW HIGH.",
        )  # fmt: skip
    return value
