"""What was predicted for each labelled picture, next to what it should be: a table, as CSV or Parquet.

Columns of emotions: image (the picture's key), label, top, for each word its probability (WORD) and the
target (WORD_target), error. Of ratings: image, for each rating NAME, NAME_low, NAME_high and NAME_rated,
error. A table of both has both, with one error. A picture that could not be read has a row too, with an error
and nothing else.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from affectlens.data.records import DataSource
from affectlens.errors import OutputError
from affectlens.extras import PARQUET, require
from affectlens.files import atomic_write
from affectlens.inference.output.rows import text_of
from affectlens.inference.predictions import Predictions, Unreadable
from affectlens.metrics import Doubles, softmax
from affectlens.ratings import Rating

SUFFIXES = (".csv", ".parquet")
_TEXTS = ("image", "label", "top", "error")  # all other columns are numbers
_DIGITS = 6  # of probabilities; ratings have three
_RATING_DIGITS = 3

Cell = str | float | None


@dataclass(frozen=True)
class PictureTable:
    """A row for each picture: its cells by column, None where there is none.

    Attributes:
        columns: N of them
        rows: each with a cell for each column
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def joined(self, other: "PictureTable") -> "PictureTable":
        """Add the columns of another table about the same pictures, or some of them, and others.

        Raises `OutputError` where both have a column of one name, besides image and error.
        """
        ours, theirs = ({row[0]: row for row in table.rows} for table in (self, other))
        none = [(None,) * (len(table.columns) - 2) for table in (self, other)]
        rows = []
        for key in dict.fromkeys([*ours, *theirs]):
            one, two = ours.get(key), theirs.get(key)
            error = (one and one[-1]) or (two and two[-1]) or None
            cells = (one[1:-1] if one else none[0], two[1:-1] if two else none[1])
            rows.append((key, *cells[0], *cells[1], error))
        return _table([*self.columns[:-1], *other.columns[1:]], rows)

    def write(self, file: Path) -> None:
        """Write it as CSV or Parquet, by the suffix.

        Raises `OutputError` for another suffix and where it cannot be written, and `MissingExtra` for Parquet
        where pyarrow is not installed.
        """
        require_table_file(file)
        if file.suffix.lower() == ".csv":
            text = io.StringIO(newline="")
            table = csv.writer(text, lineterminator="\n")
            table.writerow(self.columns)
            table.writerows(self.rows)
            with atomic_write(file) as out:
                out.write(text.getvalue().encode("utf-8", "surrogateescape"))
            return
        import pyarrow as pa
        import pyarrow.parquet as pq

        types = {name: pa.string() if name in _TEXTS else pa.float64() for name in self.columns}
        cells = [[text_of(cell) if isinstance(cell, str) else cell for cell in row] for row in self.rows]
        columns = zip(*cells, strict=True) if cells else ([] for _ in self.columns)
        arrays = [pa.array(each, types[name]) for name, each in zip(self.columns, columns, strict=True)]
        with atomic_write(file) as out:
            pq.write_table(pa.table(arrays, names=list(self.columns)), out)


def require_table_file(file: Path) -> None:
    """Raise `OutputError` for a suffix of something else, and `MissingExtra` for Parquet without pyarrow.

    It is called before pictures are predicted, so that nothing is lost.
    """
    if file.suffix.lower() not in SUFFIXES:
        raise OutputError(f"{file}: the suffix is the format of the table. Use {' or '.join(SUFFIXES)}.")
    if file.suffix.lower() == ".parquet":
        require(PARQUET, f"Writing {file}")


def emotions_of_pictures(
    found: Predictions, source: DataSource, split: str, temperature: float
) -> PictureTable:
    """Table the emotions of a split, in record order; the source is in the words of what was predicted.

    `temperature` is what the logits are divided by. Raises `OutputError` where a word is another's column.
    """
    words = source.vocabulary.words
    probabilities = softmax(found.logits.astype(np.float64) / temperature)
    columns = ["image", "label", "top", *words, *(f"{word}_target" for word in words), "error"]
    failed = _failed(found.unreadable, 1 + 2 * len(words))
    predicted = zip(probabilities, found.targets, strict=True)
    rows: list[tuple[Cell, ...]] = []
    for record in source.split(split):
        if record.key in failed:
            rows.append((record.key, record.target.top, *failed[record.key]))
            continue
        values, target = next(predicted)
        numbers = (round(float(number), _DIGITS) for number in (*values, *target))
        rows.append((record.key, record.target.top, words[int(values.argmax())], *numbers, None))
    return _table(columns, rows)


def ratings_of_pictures(
    keys: Sequence[str],
    predicted: Mapping[int, Sequence[Rating]],
    rated: Doubles,
    names: Sequence[str],
    unreadable: Sequence[Unreadable],
) -> PictureTable:
    """Table ratings of N pictures, in order: R predictions by their rows, people's (N, R), NaN for none.

    Raises `OutputError` where a rating's name is another's column.
    """
    ends = ("", "_low", "_high", "_rated")
    columns = ["image", *(f"{name}{end}" for name in names for end in ends), "error"]
    failed = _failed(unreadable, len(ends) * len(names))
    rows: list[tuple[Cell, ...]] = []
    for row, key in enumerate(keys):
        if row not in predicted:
            rows.append((key, *failed[key]))
            continue
        cells: list[Cell] = [key]
        for answer, own in zip(predicted[row], rated[row], strict=True):
            cells += [round(each, _RATING_DIGITS) for each in answer]
            cells.append(round(float(own), _RATING_DIGITS) if math.isfinite(own) else None)
        rows.append((*cells, None))
    return _table(columns, rows)


def _failed(unreadable: Sequence[Unreadable], number: int) -> dict[str, tuple[Cell, ...]]:
    return {each.key: (*(None,) * number, str(each.error)) for each in unreadable}


def _table(columns: Sequence[str], rows: Sequence[tuple[Cell, ...]]) -> PictureTable:
    if len(set(columns)) < len(columns):
        twice = next(name for name in columns if columns.count(name) > 1)
        raise OutputError(
            f"Two columns of the table would be {twice!r}: a word is what another's column is called."
        )
    return PictureTable(tuple(columns), tuple(rows))
