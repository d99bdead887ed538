"""Parquet: cannot be read before its end is written, so its rows are first kept in a journal of JSON Lines.

The journal lies next to the file, as `.NAME.parquet.partial.jsonl`, and becomes the Parquet file at the end,
in one step. Only a thousand rows are held at once. Names of files go to pyarrow as bytes: as text it takes
those alone that are UTF-8.
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from affectlens.data.prefetch import batched
from affectlens.errors import OutputError
from affectlens.files import atomic_write
from affectlens.inference.output.json_lines import JsonLines, JsonRow, read_row, row_of_cells
from affectlens.inference.output.rows import (
    ABOUT_ERRORS,
    MADE_BY,
    OTHER_COLUMNS,
    SET,
    STRUCTURED,
    UNUSUAL,
    RowSchema,
    columns_among,
    flatten,
    text_of,
    unflatten,
)

ROW_GROUP = 1_000  # rows that are held at once


def from_journal(journal: Path, file: Path, schema: RowSchema) -> None:
    """Write the Parquet file of a journal. Raises `OutputError` for a journal that is damaged."""
    # Imported here: a job that writes JSON Lines need not wait for it.
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = schema.columns
    arrow = _arrow_schema(names)
    try:
        with journal.open("rb") as lines, atomic_write(file) as out, pq.ParquetWriter(out, arrow) as writer:
            for group in batched(lines, ROW_GROUP):
                rows = [_cells(line, names) for line in group]
                writer.write_table(pa.Table.from_pylist(rows, arrow))
    except (ValueError, pa.ArrowException) as error:
        raise OutputError(
            f"{journal} has a row that cannot be written to {file} ({error}). Delete it and start again."
        ) from error


def to_journal(file: Path, journal: Path, schema: RowSchema) -> None:
    """Write the journal of a finished file, to resume it. Raises `OutputError` for another table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    encoding = JsonLines(schema)
    try:
        with (
            pa.OSFile(os.fsencode(file)) as opened,
            pq.ParquetFile(opened) as table,
            atomic_write(journal) as out,
        ):
            if table.schema_arrow.names != schema.columns:
                raise OutputError(f"{file} {OTHER_COLUMNS}")
            found = columns_among(schema.columns)._replace(words=schema.vocabulary.words)
            for batch in table.iter_batches(ROW_GROUP):
                out.writelines(encoding.encode(unflatten(values, found)) for values in batch.to_pylist())
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise OutputError(
            f"{file} is not a Parquet file that can be read: {error}. Name another file."
        ) from error


def read_table(file: Path) -> Iterator[JsonRow]:
    """Read the rows of a file. Raises `ValueError` for one that is something else, and `OSError`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pa.OSFile(os.fsencode(file)) as opened, pq.ParquetFile(opened) as table:
            found = columns_among(table.schema_arrow.names)
            for batch in table.iter_batches(ROW_GROUP):
                for cells in batch.to_pylist():
                    yield row_of_cells(cells, found)
    except pa.ArrowException as error:
        raise ValueError(str(error)) from None


def _cells(line: bytes, names: Sequence[str]) -> dict[str, Any]:
    read_row(line)  # which raises for what is not a row
    row = flatten(json.loads(line), names)
    return {name: text_of(value) if isinstance(value, str) else value for name, value in row.items()}


def _arrow_schema(names: Iterable[str]) -> Any:
    import pyarrow as pa

    texts = {"image", "top", *MADE_BY, *ABOUT_ERRORS, *STRUCTURED, SET}
    types = {**dict.fromkeys(texts, pa.string()), UNUSUAL: pa.bool_()}
    return pa.schema([(name, types.get(name, pa.float64())) for name in names])
