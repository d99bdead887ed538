"""Write result files: row by row, each complete before the next, so that a job can be killed and resumed.

A job that is killed leaves complete rows and at most a part of one. A format that cannot grow has its rows in
a journal until all are there (`formats`).
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import IO

from affectlens.errors import OutputError
from affectlens.files import clear_leftovers_of, exists, is_folder
from affectlens.inference.inputs import Input
from affectlens.inference.output.formats import format_of, journal_of
from affectlens.inference.output.resume import NOT_KNOWN, KeptRows, MadeBy, keep_rows
from affectlens.inference.output.rows import PredictionRow, RowSchema
from affectlens.locks import locked_file
from affectlens.model_folder import Card


class RowWriter:
    """A result file being written. As a context manager it is finished only where the block was.

    `write` and the end of the block raise `OutputError` where the disk is full or the like.
    """

    def __init__(
        self,
        file: Path,
        encode: Callable[[PredictionRow], bytes],
        stream: IO[bytes],
        finish: Callable[[], None],
        held: ExitStack,
    ) -> None:
        """Go on where the stream stands: behind the header, or behind a row."""
        self.file = file
        self._encode = encode
        self._stream = stream
        self._finish = finish
        self._held = held  # the lock of the file
        self._end = stream.tell()  # of the rows that are complete

    def write(self, row: PredictionRow) -> None:
        """Append a row and hand it to the system: it outlives this process, however that ends."""
        self.write_encoded(self._encode(row))

    def write_encoded(self, rows: bytes) -> None:
        """Append rows that were encoded elsewhere, by the same `RowEncoding`."""
        try:
            self._stream.write(rows)
            self._stream.flush()
        except OSError as error:
            _cut(self._stream, self._end)
            raise _unwritable(self.file, error) from error
        self._end += len(rows)

    def __enter__(self) -> "RowWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._held:
            if kind is not None:
                with suppress(OSError):  # what could not be written was reported already
                    self._stream.close()
                return
            try:
                os.fsync(self._stream.fileno())
                is_there = _is_there(self._stream)
                self._stream.close()
            except OSError as problem:
                raise _unwritable(self.file, problem) from problem
            if not is_there:
                raise OutputError(
                    f"{self.file} was removed, renamed or replaced while rows were written to it: they are "
                    "in the renamed file, or lost."
                )
            self._finish()


def open_output(
    file: Path,
    card: Card,
    inputs: Iterator[Input],
    *,
    resume: bool,
    batch_size: int,
    schema: RowSchema,
    by: MadeBy = NOT_KNOWN,
) -> tuple[RowWriter, Iterator[Input], KeptRows]:
    """Open and lock a result file; return it, the inputs that are left to predict, and what was kept.

    `schema` is what every row will hold. `by` is what will make the rows, as far as that is known.
    With `resume`, rows of an earlier run with the same weights, engine and precision and the same pictures in
    the same order are kept; where there are none, it is as without. Rows of versions before 0.2 are not
    resumed: they do not name their weights, and a model's name may mean others since. Raises `OutputError`:
    see `check_file`, and where rows do not fit model or pictures; `OutputInUse` where another process writes
    it.
    """
    format_of(file)  # an unknown suffix leaves no lock behind
    with ExitStack() as held:
        held.enter_context(locked_file(file))
        check_file(file, resume)
        clear_leftovers_of(file)
        stream, finish, rest, kept = _opened(file, card, inputs, batch_size, schema, by)
        encode = format_of(file).encoding(schema).encode
        return RowWriter(file, encode, stream, finish, held.pop_all()), rest, kept


def _opened(
    file: Path, card: Card, inputs: Iterator[Input], batch_size: int, schema: RowSchema, by: MadeBy
) -> tuple[IO[bytes], Callable[[], None], Iterator[Input], KeptRows]:
    """Open the file itself; return with it how it is finished."""
    row_format = format_of(file)
    rows_file = row_format.rows_file(file)
    encoding = row_format.encoding(schema)
    reopened = file != rows_file and exists(file) and not exists(rows_file)
    try:
        if reopened and row_format.to_journal:
            row_format.to_journal(file, rows_file, schema)
        rows_file.parent.mkdir(parents=True, exist_ok=True)
        stream = rows_file.open("r+b" if rows_file.exists() else "w+b")
        try:
            end, kept, rest = keep_rows(stream, file, card, encoding, inputs, batch_size, by)
            stream.seek(end)
            stream.truncate()
            if not end:
                _write_header(stream, encoding.header)
        except BaseException:
            stream.close()
            if reopened:
                rows_file.unlink()
            raise
    except OSError as error:
        raise _unwritable(file, error) from error

    def finish() -> None:
        if row_format.from_journal:
            row_format.from_journal(rows_file, file, schema)
            rows_file.unlink()

    return stream, finish, rest, kept


def _is_there(stream: IO[bytes]) -> bool:
    """Whether an open file still has its name."""
    try:
        return os.path.samestat(os.fstat(stream.fileno()), os.stat(stream.name))  # noqa: PTH116 - as opened
    except FileNotFoundError:
        return False


def _write_header(stream: IO[bytes], header: bytes) -> None:
    try:
        stream.write(header)
        stream.flush()
    except OSError:
        _cut(stream, 0)
        raise


def _cut(stream: IO[bytes], end: int) -> None:
    """Close a file that cannot be written, and leave what is complete of it, as far as that can be done."""
    with suppress(OSError):
        stream.close()  # which writes what is held back, or loses it
    with suppress(OSError):
        os.truncate(stream.name, end)


def check_file(file: Path, resume: bool) -> None:
    """Raise `OutputError` for a suffix that is not known, a folder, or rows that would be overwritten.

    Raises `MissingExtra` for a format that cannot be written here.
    """
    row_format = format_of(file)
    if is_folder(file):
        raise OutputError(f"{file} is a folder. Name a file to write.")
    if resume:
        return
    if exists(file):
        raise OutputError(
            f"{file} exists and is not overwritten. Go on with it by --resume, or name another file."
        )
    if row_format.from_journal and exists(journal_of(file)):
        raise OutputError(
            f"An interrupted run left its rows in {journal_of(file)}. Go on with them by --resume, or delete "
            "that file."
        )


def _unwritable(file: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{file} cannot be written: {error.strerror or error}. Rows written so far are kept; make room or "
        "change rights, then go on with --resume."
    )
