"""Resume a result file: its rows are compared one by one with the pictures of the job.

Complete batches are kept and the rest is predicted again, in the very batches of a job that was never
interrupted, so that the file comes out the same, bit by bit. Not more than a batch is held.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO

from affectlens.errors import OutputError
from affectlens.inference.inputs import Input, name_of
from affectlens.inference.output.rows import RowEncoding, StoredRow, text_of


@dataclass(frozen=True)
class KeptRows:
    """Rows of an interrupted job that need not be made again, and how many of them are errors."""

    rows: int = 0
    failed: int = 0


def keep_rows(
    stream: IO[bytes], file: Path, model: str, encoding: RowEncoding, inputs: Iterator[Input], batch_size: int
) -> tuple[int, KeptRows, Iterator[Input]]:
    """Compare the rows of a file with the pictures of a job.

    Returns the offset after the last complete batch of rows, their number, and the inputs without theirs.
    Raises `OutputError` where rows do not fit model or pictures.
    """
    header = stream.read(len(encoding.header))
    if header != encoding.header:
        if encoding.header.startswith(header):  # empty, or killed before the first row
            return 0, KeptRows(), inputs
        raise OutputError(
            f"{file} has other columns than this model's answers: it is of another model or program, or of a "
            "run with or without --attributes. Name another file."
        )
    end = position = len(encoding.header)
    kept, failed = KeptRows(), 0
    batch: list[Input] = []
    for number, record in enumerate(_records(stream, encoding), start=1):
        stored = _decoded(file, number, record, encoding)
        given = next(inputs, None)
        _check(file, number, stored, given, model)
        assert given is not None
        position += len(record)
        failed += stored.failed
        batch.append(given)
        if len(batch) == batch_size:
            end, kept = position, KeptRows(number, failed)
            batch.clear()
    return end, kept, chain(batch, inputs)


def _records(stream: IO[bytes], encoding: RowEncoding) -> Iterator[bytes]:
    """Yield the bytes of each complete row; a part of one at the end is left out."""
    record = b""
    for line in stream:
        record += line
        if line.endswith(b"\n") and encoding.is_complete(record):
            yield record
            record = b""


def _decoded(file: Path, number: int, record: bytes, encoding: RowEncoding) -> StoredRow:
    try:
        return encoding.decode(record)
    except ValueError as error:
        raise OutputError(
            f"{file}, row {number}, is not an answer of this model ({error}). Name another file."
        ) from None


def _check(file: Path, number: int, stored: StoredRow, given: Input | None, model: str) -> None:
    if stored.model != model:
        raise OutputError(
            f"{file} holds answers of the model {stored.model!r}; they cannot be continued with {model!r}. "
            "Pass the same --model, or name another file."
        )
    if given is None:
        raise OutputError(
            f"{file} holds more than the {number - 1:,} pictures that are given. --resume needs the same "
            "pictures in the same order; else name another file."
        )
    if text_of(stored.image) != text_of(name_of(given)):
        raise OutputError(
            f"{file}, row {number}, is about {stored.image!r}, but picture {number} is now "
            f"{name_of(given)!r}. --resume needs the same pictures in the same order; else name another file."
        )
