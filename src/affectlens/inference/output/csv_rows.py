"""CSV as RFC 4180 has it, but with the line ends of Unix; bytes of a name that are not text are kept."""

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from affectlens.errors import NoPictures
from affectlens.files import bounded_lines
from affectlens.inference.output.json_lines import JsonRow, row_of_cells
from affectlens.inference.output.rows import (
    AT_COVERAGE,
    MIN_CONFIDENCE,
    UNUSUAL,
    PredictionRow,
    RowSchema,
    StoredRow,
    columns_among,
    flatten,
)

_TRUTH = {True: "true", False: "false"}  # as JSON has them, and spreadsheets read them


class CsvRows:
    """The rows of a CSV file, whose first line names the columns."""

    begin = b""  # by a name

    def __init__(self, schema: RowSchema) -> None:
        self._schema = schema
        self.columns = schema.columns
        self.header = self._line(self.columns)

    def encode(self, row: PredictionRow) -> bytes:
        """Return a row as a line, or as several where a name has line ends."""
        cells = flatten(row, self.columns).values()
        return self._line(map(csv_cell, cells))

    def decode(self, record: bytes) -> StoredRow:
        """Read a row. Raises `ValueError` for other columns."""
        text = io.StringIO(record.decode("utf-8", "surrogateescape"), newline="")
        try:
            cells = next(csv.reader(text, strict=True), [])
        except csv.Error as error:
            raise ValueError(str(error)) from None
        row = dict(zip(self.columns, cells, strict=True))
        self._schema.check(row.get(AT_COVERAGE), row.get(MIN_CONFIDENCE))
        return StoredRow(
            row["image"],
            row["model"],
            row["weights"] or None,
            row["version"],
            row["error_type"] != "",
            row["engine"] or None,
            row["precision"] or None,
            row["error_type"] == NoPictures.__name__,
        )

    def is_complete(self, record: bytes) -> bool:
        """Whether a line ends its row: within a quoted name it does not. Quotes in a field are doubled."""
        return record.count(b'"') % 2 == 0

    def _line(self, values: Iterable[Any]) -> bytes:
        text = io.StringIO(newline="")
        # With these line ends either of their letters makes the writer quote a field.
        csv.writer(text, lineterminator="\r\n").writerow(values)
        return (text.getvalue().removesuffix("\r\n") + "\n").encode("utf-8", "surrogateescape")


def csv_cell(value: Any) -> Any:
    """Write a truth value as a cell of CSV; what is none stays.

    >>> csv_cell(True), csv_cell(1)
    ('true', 1)
    """
    return _TRUTH[value] if isinstance(value, bool) else value


def read_cells(file: Path) -> Iterator[JsonRow]:
    """Read the rows of a file. Raises `ValueError` for one that is something else, and `OSError`."""
    # As `CsvRows` writes it, and with the mark that a spreadsheet puts at its beginning.
    with file.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as text:
        lines = csv.reader(bounded_lines(text), strict=True)
        try:
            names = next(lines, [])
            found = columns_among(names)
            numbers = found.numbers
            for cells in lines:
                if len(cells) != len(names):
                    raise ValueError(f"it has {len(cells)} cells in {len(names)} columns")
                filled = {name: cell or None for name, cell in zip(names, cells, strict=True)}
                row: dict[str, Any] = {
                    name: float(c) if c and name in numbers else c for name, c in filled.items()
                }
                if found.unusual:
                    row[UNUSUAL] = _as_truth(filled[UNUSUAL])
                yield row_of_cells(row, found)
        except csv.Error as error:
            raise ValueError(str(error)) from None


def _as_truth(cell: str | None) -> bool | None:
    """Read true or false, however a spreadsheet wrote it again. Raises `ValueError` for another word."""
    if cell is None:
        return None
    found = {word: truth for truth, word in _TRUTH.items()}.get(cell.lower())
    if found is None:
        raise ValueError(f"its column {UNUSUAL!r} holds {cell!r}, not true or false")
    return found
