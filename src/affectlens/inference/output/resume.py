"""Resume a result file: its rows are compared one by one with the pictures of the job.

Complete batches are kept and the rest is predicted again, in the very batches of a job that was never
interrupted, so that the file comes out the same, bit by bit. Not more than a batch is held.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, TypeAlias

from affectlens.errors import OutputError
from affectlens.inference.inputs import Input, name_of
from affectlens.inference.output.rows import OTHER_COLUMNS, OtherOption, RowEncoding, StoredRow, text_of
from affectlens.model_folder import Card
from affectlens.version import VERSION

# Names of an engine and a number format, as `inference.engine.Engine` has them; None: not known.
MadeBy: TypeAlias = tuple[str | None, str | None]
NOT_KNOWN: MadeBy = (None, None)


@dataclass(frozen=True)
class KeptRows:
    """Rows of an interrupted job that need not be made again.

    Attributes:
        rows: their number
        failed: how many of them are errors
        by: what made the last of them
        empty: how many are of inputs without pictures
    """

    rows: int = 0
    failed: int = 0
    by: MadeBy = NOT_KNOWN
    empty: int = 0


def keep_rows(
    stream: IO[bytes],
    file: Path,
    card: Card,
    encoding: RowEncoding,
    inputs: Iterator[Input],
    batch_size: int,
    by: MadeBy = NOT_KNOWN,
) -> tuple[int, KeptRows, Iterator[Input]]:
    """Compare the rows of a file with the pictures of a job.

    Returns the offset after the last complete batch of rows, their number, and the inputs without theirs.
    Raises `OutputError` where rows do not fit model or pictures, or were made by something else than `by`.
    """
    header = stream.read(len(encoding.header))
    if header != encoding.header:
        if encoding.header.startswith(header):  # empty, or killed before the first row
            return 0, KeptRows(), inputs
        raise OutputError(f"{file} {OTHER_COLUMNS}")
    end = position = len(encoding.header)
    kept, failed, empty = KeptRows(), 0, 0
    batch: list[Input] = []
    for number, record in enumerate(_records(stream, encoding), start=1):
        try:
            stored = encoding.decode(record)
        except OtherOption as error:
            raise OutputError(
                f"{file}, row {number}, was made {error.then}; now rows would be made {error.now}. "
                f"Go on {error.then}, or name another file."
            ) from None
        except ValueError as error:
            if b"\0" in record:  # a power cut left it so, and what follows; rows themselves have none
                break
            raise OutputError(
                f"{file}, row {number}, is not an answer of this model ({error}). Name another file."
            ) from None
        given = next(inputs, None)
        _check(file, number, stored, given, card)
        assert given is not None
        check_made_by(file, (stored.engine, stored.precision), by)
        position += len(record)
        failed += stored.failed
        empty += stored.empty
        batch.append(given)
        if len(batch) == batch_size:
            end, kept = position, KeptRows(number, failed, (stored.engine, stored.precision), empty)
            batch.clear()
    stream.seek(position)
    # What a kill cut off is dropped, and what a power cut left as zeros; a file of another kind is not.
    rest = stream.read(len(encoding.begin)).partition(b"\0")[0]
    if not encoding.begin.startswith(rest):
        raise OutputError(
            f"{file} has lines that are not answers of a model, and is not overwritten. Name another file."
        )
    return end, kept, chain(batch, inputs)


def check_made_by(file: Path, then: MadeBy, now: MadeBy) -> None:
    """Raise `OutputError` where rows would go on with another engine, or in another number format."""
    if all(None in (before, after) or before == after for before, after in zip(then, now, strict=True)):
        return
    (engine, precision), (other, other_precision) = then, now
    raise OutputError(
        f"{file} holds answers of the engine {engine} in {precision}; now they would be of {other} in "
        f"{other_precision}, whose numbers differ. Pass --engine {engine} --precision {precision}, or name "
        "another file."
    )


def _records(stream: IO[bytes], encoding: RowEncoding) -> Iterator[bytes]:
    """Yield the bytes of each complete row; a part of one at the end is left out."""
    record = b""
    for line in stream:
        record += line
        if line.endswith(b"\n") and encoding.is_complete(record):
            yield record
            record = b""


def _check(file: Path, number: int, stored: StoredRow, given: Input | None, card: Card) -> None:
    if stored.model != card.name:
        raise OutputError(
            f"{file} holds answers of the model {stored.model!r}; they cannot be continued with "
            f"{card.name!r}. Pass the same --model, or name another file."
        )
    if stored.weights != (card.weights_id or None):
        raise OutputError(
            f"{file}, row {number}, is an answer of other weights: those of {stored.model!r} were "
            f"{stored.weights} (version {stored.version}), and now are {card.weights_id or None} (version "
            f"{VERSION}). Pass the model with those weights as --model, or name another file."
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
