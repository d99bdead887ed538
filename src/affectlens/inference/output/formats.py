"""The formats of result files by suffix.

To add one, write a file with its `RowEncoding` and the function that reads it back, and add its entry. A
format that cannot grow row by row, as Parquet, has its rows in a journal first: `from_journal` writes the
file when all rows are there, `to_journal` takes a finished file apart to resume it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from affectlens.errors import OutputError
from affectlens.extras import PARQUET, Extra, require
from affectlens.files import LONGEST_NAME, fitting
from affectlens.inference.output import parquet
from affectlens.inference.output.csv_rows import CsvRows, read_cells
from affectlens.inference.output.json_lines import JsonLines, JsonRow, read_lines
from affectlens.inference.output.rows import RowEncoding, RowSchema

Convert = Callable[[Path, Path, RowSchema], None]  # from, to


@dataclass(frozen=True, kw_only=True)
class RowFormat:
    """A format of result files.

    Attributes:
        summary: one line for users
        encoding: what rows hold -> how they are written while the job runs
        read: yields the rows of a finished file; raises `ValueError` for one that is something else
        from_journal, to_journal: see above; None where the rows are the file
        extra: what else must be installed
    """

    summary: str
    encoding: Callable[[RowSchema], RowEncoding]
    read: Callable[[Path], Iterator[JsonRow]]
    from_journal: Convert | None = None
    to_journal: Convert | None = None
    extra: Extra | None = None

    def rows_file(self, file: Path) -> Path:
        """Return where the rows are while the job runs."""
        return file if self.from_journal is None else journal_of(file)


FORMATS: Mapping[str, RowFormat] = MappingProxyType({
    ".jsonl": RowFormat(summary="JSON Lines, one object a picture", encoding=JsonLines, read=read_lines),
    ".csv": RowFormat(
        summary="CSV, one line a picture and one column an emotion", encoding=CsvRows, read=read_cells
    ),
    ".parquet": RowFormat(
        summary="Parquet, with the columns of CSV",
        encoding=JsonLines,
        read=parquet.read_table,
        from_journal=parquet.from_journal,
        to_journal=parquet.to_journal,
        extra=PARQUET,
    ),
})  # fmt: skip


def format_of(file: Path) -> RowFormat:
    """Find the format of a file by its suffix.

    Raises `OutputError` with those that are known, and `MissingExtra` for one that cannot be written here.
    """
    suffix = file.suffix.lower()
    if suffix not in FORMATS:
        raise OutputError(f"{file}: the suffix is the format of the results. Use {', '.join(FORMATS)}.")
    if extra := FORMATS[suffix].extra:
        require(extra, f"Writing {file}")
    return FORMATS[suffix]


def journal_of(file: Path) -> Path:
    """Return where the rows of a file are that cannot grow, until all are there."""
    # Short enough to be written as a whole, too, under a hidden name of its own.
    return file.with_name(f".{fitting(file.name, LONGEST_NAME - 32)}.partial.jsonl")
