"""Rows of answers -> a .jsonl, .csv or .parquet file that grows as they are computed and can be continued.

JSON Lines and CSV are written row by row, each row whole before the next: what is killed leaves whole
rows and at most a part of one. A Parquet file cannot be read before its end is written, so its rows
are first kept beside it, in `.NAME.parquet.partial.jsonl`, and become the Parquet file at the end, in
one step.

To continue, rows are compared one by one with the pictures that are given, and whole batches of them
are kept: the rest is judged again in the very batches of a run that was never interrupted, so that
the file comes out the same, bit by bit. Nothing here holds more than a batch, or a thousand rows.

Columns of CSV and Parquet: image, top, one for each emotion, positive, negative, one for each attribute
where these were asked for, model, error_type, error_message. What there is not is an empty field in CSV
and null in Parquet. What is no number or text, as the reasons for an answer, is JSON in its cell.
"""

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import IO, Any, TypeAlias

from affectlens.emotions import POLARITY, Vocabulary
from affectlens.errors import OutputError
from affectlens.files import atomic_write
from affectlens.inference.attribute_evidence import BECAUSE, PREDICTED
from affectlens.inference.inputs import Input, name_of

Row: TypeAlias = Mapping[str, Any]  # as `Prediction.to_row` gives it

SUFFIXES = (".jsonl", ".csv", ".parquet")
STRUCTURED = (PREDICTED, BECAUSE)  # attributes that are JSON in a cell
ROW_GROUP = 1_000  # rows of a Parquet file that are held at once


@dataclass(frozen=True)
class Kept:
    """Rows of an interrupted run that need not be made again, and how many of them are errors."""

    rows: int = 0
    failed: int = 0


@dataclass(frozen=True)
class Stored:
    """What must be known of a row that was written before."""

    image: str
    model: str
    failed: bool


class JsonLines:
    """One JSON object a line."""

    header = b""

    def __init__(self, vocabulary: Vocabulary, attributes: Sequence[str] = ()) -> None:
        self.words = vocabulary.words
        self.attributes = tuple(attributes)

    def encode(self, row: Row) -> bytes:
        return json_line(row).encode()

    def decode(self, record: bytes) -> Stored:
        row = json.loads(record)
        if row["emotions"] is not None and tuple(row["emotions"]) != self.words:
            raise ValueError(f"its emotions are {', '.join(row['emotions'])}")
        if ("attributes" in row) != bool(self.attributes):
            raise ValueError(f"it has {'' if 'attributes' in row else 'no '}attributes")
        if row["error"] is None and tuple(row.get("attributes", ())) != self.attributes:
            raise ValueError(f"its attributes are {', '.join(row['attributes'])}")
        return Stored(str(row["image"]), str(row["model"]), row["error"] is not None)

    def is_whole(self, record: bytes) -> bool:
        return True


class CommaSeparated:
    """CSV as RFC 4180 has it, but with the line ends of Unix; bytes of a name that are no text are kept."""

    def __init__(self, vocabulary: Vocabulary, attributes: Sequence[str] = ()) -> None:
        self.columns = columns(vocabulary, attributes)
        self.header = self._line(self.columns)

    def encode(self, row: Row) -> bytes:
        return self._line(flat(row, self.columns).values())

    def decode(self, record: bytes) -> Stored:
        text = io.StringIO(record.decode("utf-8", "surrogateescape"), newline="")
        row = dict(zip(self.columns, next(csv.reader(text, strict=True)), strict=True))
        return Stored(row["image"], row["model"], row["error_type"] != "")

    def is_whole(self, record: bytes) -> bool:
        """Whether a line ends its row: within a quoted name it does not. Quotes in a field are doubled."""
        return record.count(b'"') % 2 == 0

    def _line(self, values: Iterable[Any]) -> bytes:
        text = io.StringIO(newline="")
        # With these line ends either of their letters makes the writer quote a field.
        csv.writer(text, lineterminator="\r\n").writerow(values)
        return (text.getvalue().removesuffix("\r\n") + "\n").encode("utf-8", "surrogateescape")


class Output:
    """A result file being written. As a context manager it is finished only where the block was.

    `write` and the end of the block raise `OutputError` where the disk is full or the like.
    """

    def __init__(self, file: Path, encode: Callable[[Row], bytes], stream: IO[bytes]) -> None:
        self.file = file
        self._encode = encode
        self._stream = stream

    def write(self, row: Row) -> None:
        """Append a row and hand it to the system: it outlives this process, however that ends."""
        self.write_encoded(self._encode(row))

    def write_encoded(self, rows: bytes) -> None:
        """Append rows that were encoded elsewhere, by `encoding_of` with the same arguments."""
        try:
            self._stream.write(rows)
            self._stream.flush()
        except OSError as error:
            raise _unwritable(self.file, error) from error

    def __enter__(self) -> "Output":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            with suppress(OSError):  # what could not be written was reported already
                self._stream.close()
            return
        try:
            os.fsync(self._stream.fileno())
            self._stream.close()
        except OSError as problem:
            raise _unwritable(self.file, problem) from problem
        self.finish()

    def finish(self) -> None:
        """Make the file what its suffix says; nothing to do where rows are its final form."""


class ParquetOutput(Output):
    """Rows in a journal beside the file, which they become in the end."""

    def __init__(
        self, file: Path, encode: Callable[[Row], bytes], stream: IO[bytes], names: list[str]
    ) -> None:
        super().__init__(file, encode, stream)
        self._names = names

    def finish(self) -> None:
        _journal_to_parquet(journal_of(self.file), self.file, self._names)
        journal_of(self.file).unlink()


def open_output(
    file: Path,
    model: str,
    vocabulary: Vocabulary,
    inputs: Iterator[Input],
    *,
    resume: bool,
    batch_size: int,
    attributes: Sequence[str] = (),
) -> tuple[Output, Iterator[Input], Kept]:
    """Open a result file; return it, the inputs that are still to be judged, and what was kept.

    `attributes` are the names of those that every row will have; none where they were not asked for.
    With `resume`, rows of an earlier run with the same model and the same pictures in the same order
    are kept; where there are none, it is as without. Raises `OutputError`: see `refuse`, and where
    rows do not fit model or pictures.
    """
    refuse(file, resume)
    is_parquet = file.suffix.lower() == ".parquet"
    lines, names = JsonLines(vocabulary, attributes), columns(vocabulary, attributes)
    encoding = encoding_of(file.suffix, vocabulary, attributes)
    rows_file = journal_of(file) if is_parquet else file
    taken_apart = is_parquet and file.exists() and not rows_file.exists()
    try:
        if taken_apart:
            _parquet_to_journal(file, rows_file, lines, names)
        rows_file.parent.mkdir(parents=True, exist_ok=True)
        stream = rows_file.open("r+b" if rows_file.exists() else "w+b")
        try:
            end, kept, rest = _keep(stream, file, model, encoding, inputs, batch_size)
            stream.seek(end)
            stream.truncate()
            if not end:
                stream.write(encoding.header)
                stream.flush()
        except BaseException:
            stream.close()
            if taken_apart:
                rows_file.unlink()
            raise
    except OSError as error:
        raise _unwritable(file, error) from error
    if is_parquet:
        return ParquetOutput(file, encoding.encode, stream, names), rest, kept
    return Output(file, encoding.encode, stream), rest, kept


def encoding_of(
    suffix: str, vocabulary: Vocabulary, attributes: Sequence[str] = ()
) -> JsonLines | CommaSeparated:
    """How rows are encoded while a file of this suffix grows: those of Parquet are JSON Lines at first."""
    return (CommaSeparated if suffix.lower() == ".csv" else JsonLines)(vocabulary, attributes)


def refuse(file: Path, resume: bool) -> None:
    """Raise `OutputError` for a suffix that is not known, a folder, or rows that would be overwritten."""
    if file.suffix.lower() not in SUFFIXES:
        raise OutputError(f"{file}: the suffix says how results are written. Use {', '.join(SUFFIXES)}.")
    if file.is_dir():
        raise OutputError(f"{file} is a folder. Name a file to write.")
    if resume:
        return
    if file.exists():
        raise OutputError(
            f"{file} exists and is not overwritten. Go on with it by --resume, or name another file."
        )
    if file.suffix.lower() == ".parquet" and journal_of(file).exists():
        raise OutputError(
            f"An interrupted run left its rows in {journal_of(file)}. Go on with them by --resume, or delete "
            "that file."
        )


def journal_of(file: Path) -> Path:
    """Where a Parquet file's rows are until all are there."""
    return file.with_name(f".{file.name}.partial.jsonl")


def json_line(row: Row) -> str:
    """A row as JSON with its line end; names that are no text are escaped, so that it always is UTF-8.

    >>> json_line({"image": "café.jpg"}), json_line({"image": "caf\\udce9.jpg"})
    ('{"image": "café.jpg"}\\n', '{"image": "caf\\\\udce9.jpg"}\\n')
    """
    text = json.dumps(row, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(row)
    return text + "\n"


def columns(vocabulary: Vocabulary, attributes: Sequence[str] = ()) -> list[str]:
    """Names of the columns of CSV and Parquet; each once, also where the emotions are the polarity."""
    emotions = [*vocabulary.words, *POLARITY.words]
    return list(
        dict.fromkeys(["image", "top", *emotions, *attributes, "model", "error_type", "error_message"])
    )


def flat(row: Row, names: Iterable[str]) -> dict[str, Any]:
    """A row as one value a column, None where there is none."""
    error = row["error"] or {}
    values = {
        **{name: _cell(value) for name, value in row.get("attributes", {}).items()},
        **(row["polarity"] or {}),
        **(row["emotions"] or {}),
        "image": row["image"],
        "top": row["top"],
        "model": row["model"],
        "error_type": error.get("type"),
        "error_message": error.get("message"),
    }
    return {name: values.get(name) for name in names}


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def _unwritable(file: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{file} cannot be written: {error.strerror or error}. Rows written so far are kept; make room or "
        "change rights, then go on with --resume."
    )


# ---------------------------------------------------------------------------------------- what is there


def _keep(
    stream: IO[bytes],
    file: Path,
    model: str,
    encoding: JsonLines | CommaSeparated,
    inputs: Iterator[Input],
    batch_size: int,
) -> tuple[int, Kept, Iterator[Input]]:
    """Compare what a file holds with the inputs, row by row.

    Returns the offset behind the last whole batch of rows, their number, and the inputs without theirs.
    """
    header = stream.read(len(encoding.header))
    if header != encoding.header:
        if encoding.header.startswith(header):  # empty, or killed before the first row
            return 0, Kept(), inputs
        raise OutputError(
            f"{file} has other columns than this model's answers: it is of another model or program, or of a "
            "run with or without --attributes. Name another file."
        )
    end = position = len(encoding.header)
    kept, failed = Kept(), 0
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
            end, kept = position, Kept(number, failed)
            batch.clear()
    return end, kept, chain(batch, inputs)


def _records(stream: IO[bytes], encoding: JsonLines | CommaSeparated) -> Iterator[bytes]:
    """Yield the bytes of each whole row; a part of one at the end is left out."""
    record = b""
    for line in stream:
        record += line
        if line.endswith(b"\n") and encoding.is_whole(record):
            yield record
            record = b""


def _decoded(file: Path, number: int, record: bytes, encoding: JsonLines | CommaSeparated) -> Stored:
    try:
        return encoding.decode(record)
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration, csv.Error) as error:
        raise OutputError(
            f"{file}, row {number}, is no answer of this model ({error}). Name another file."
        ) from None


def _check(file: Path, number: int, stored: Stored, given: Input | None, model: str) -> None:
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
    if _text(stored.image) != _text(name_of(given)):
        raise OutputError(
            f"{file}, row {number}, is about {stored.image!r}, but picture {number} is now "
            f"{name_of(given)!r}. --resume needs the same pictures in the same order; else name another file."
        )


# ---------------------------------------------------------------------------------------------- Parquet


def _schema(names: Iterable[str]) -> Any:
    import pyarrow as pa  # here: who writes JSON Lines need not wait for it

    texts = {"image", "top", "model", "error_type", "error_message", *STRUCTURED}
    return pa.schema([(name, pa.string() if name in texts else pa.float64()) for name in names])


def _journal_to_parquet(journal: Path, file: Path, names: list[str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(names)
    with journal.open("rb") as lines, atomic_write(file) as out, pq.ParquetWriter(out, schema) as writer:
        while group := [flat(json.loads(line), names) for line in islice(lines, ROW_GROUP)]:
            rows = [{k: _text(v) if isinstance(v, str) else v for k, v in row.items()} for row in group]
            writer.write_table(pa.Table.from_pylist(rows, schema))


def _text(name: str) -> str:
    """Parquet's strings are UTF-8: bytes of a name that are no text are written as in \\udce9."""
    return name.encode("utf-8", "backslashreplace").decode()


def _parquet_to_journal(file: Path, journal: Path, encoding: JsonLines, names: list[str]) -> None:
    """Take a finished file apart, to go on with it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as table, atomic_write(journal) as out:
            if table.schema_arrow.names != names:
                raise OutputError(
                    f"{file} has other columns than this model's answers, or those of a run with or without "
                    "--attributes. Name another file."
                )
            for batch in table.iter_batches(ROW_GROUP):
                out.writelines(
                    encoding.encode(_nested(values, encoding.words, encoding.attributes))
                    for values in batch.to_pylist()
                )
    except pa.ArrowException as error:
        raise OutputError(
            f"{file} is no Parquet file that can be read: {error}. Name another file."
        ) from error


def _uncelled(name: str, value: Any) -> Any:
    return json.loads(value) if name in STRUCTURED else value


def _nested(values: dict[str, Any], words: Iterable[str], attributes: Sequence[str]) -> Row:
    """Undo `flat`."""
    failed = values["error_type"] is not None
    said = {} if failed else {name: _uncelled(name, values[name]) for name in attributes}
    polarity = {word: values[word] for word in POLARITY.words}
    return {
        "image": values["image"],
        "top": values["top"],
        "emotions": None if failed else {word: values[word] for word in words},
        "polarity": None if None in polarity.values() else polarity,
        **({"attributes": said} if attributes else {}),
        "model": values["model"],
        "error": {"type": values["error_type"], "message": values["error_message"]} if failed else None,
    }
