"""JSON Lines: one object a line, as `Prediction.to_row` returns it."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from affectlens.emotions import POLARITY
from affectlens.errors import NoPictures
from affectlens.files import bounded_lines, json_text
from affectlens.inference.output.rows import (
    MADE_BY,
    OtherOption,
    PredictionRow,
    RowColumns,
    RowSchema,
    StoredRow,
    is_rating,
    unflatten,
)
from affectlens.ratings import Rating


class JsonLines:
    """The rows of a file of JSON Lines."""

    header = b""
    begin = b'{"image": "'

    def __init__(self, schema: RowSchema) -> None:
        self.schema = schema
        self.words = schema.vocabulary.words
        self.attributes = schema.attributes

    def encode(self, row: PredictionRow) -> bytes:
        """Return a row as a line."""
        return json_line(row).encode()

    def decode(self, record: bytes) -> StoredRow:
        """Read a row. Raises `ValueError` for other JSON, other emotions or attributes, or no weights."""
        row = read_row(record)
        if row.weights is msgspec.UNSET:
            raise ValueError("it does not name its weights, as rows of versions before 0.2")
        if row.emotions is not None and tuple(row.emotions) != self.words:
            raise ValueError(f"its emotions are {', '.join(row.emotions)}")
        has_attributes = row.attributes is not msgspec.UNSET
        if has_attributes != bool(self.attributes):
            options = ("with --attributes", "without --attributes")
            raise OtherOption(*(options if has_attributes else reversed(options)))
        names = tuple(row.attributes) if isinstance(row.attributes, dict) else ()
        if row.error is None and names != self.attributes:
            raise ValueError(f"its attributes are {', '.join(names)}")
        failed = row.error is not None
        empty = row.error is not None and row.error.type == NoPictures.__name__
        self._check_besides(row)
        return StoredRow(
            row.image, row.model, row.weights, row.version, failed, row.engine, row.precision, empty
        )

    def _check_besides(self, row: "JsonRow") -> None:
        """Raise `ValueError` where a row has other things besides emotions and attributes."""
        wanted = self.schema
        if row.error is None and tuple(row.ratings) != wanted.ratings:
            raise ValueError(f"its ratings are {', '.join(row.ratings) or 'none'}")
        if (row.unusual is msgspec.UNSET) == wanted.unusual:
            raise ValueError("it does not state whether its picture is unusual, or it should not")
        given = (None if each is msgspec.UNSET else each for each in (row.coverage, row.min_confidence))
        wanted.check(*given)

    def is_complete(self, record: bytes) -> bool:
        """Whether the row ends where the line does: always."""
        return True


class JsonError(msgspec.Struct):
    """The error of a picture that could not be read."""

    type: str
    message: str


class JsonRow(msgspec.Struct, kw_only=True):
    """A row as it is stored.

    `attributes`, `set`, `coverage` and `min_confidence` are unset where none were requested, `unusual` where
    the model does not know it, `weights` before 0.2. Ratings stand in the row by their names; here they are
    in `ratings`.
    """

    image: str
    top: str | None
    emotions: dict[str, float] | None
    polarity: dict[str, float] | None
    model: str
    weights: str | msgspec.UnsetType | None = msgspec.UNSET
    version: str = ""
    engine: str | None = None
    precision: str | None = None
    error: JsonError | None
    attributes: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    ratings: dict[str, Rating] = {}
    unusual: bool | msgspec.UnsetType | None = msgspec.UNSET
    set: list[str] | msgspec.UnsetType | None = msgspec.UNSET
    coverage: float | msgspec.UnsetType = msgspec.UNSET
    min_confidence: float | msgspec.UnsetType = msgspec.UNSET


def read_row(record: bytes) -> JsonRow:
    """Read and validate a line. Raises `ValueError` for other JSON, or none."""
    try:
        # Not parsed by msgspec, which refuses names that are not text: they have unpaired surrogates.
        return _json_row(json.loads(record))
    except RecursionError:
        raise ValueError("its brackets are nested too deep") from None


def _json_row(plain: Any) -> JsonRow:
    """Validate a row. Raises `ValueError` for what is none."""
    if isinstance(plain, dict):
        ratings = {name: tuple(value.values()) for name, value in plain.items() if is_rating(value)}
        plain = {**plain, "ratings": ratings}
    return msgspec.convert(plain, JsonRow)


def read_lines(file: Path) -> Iterator[JsonRow]:
    """Read the rows of a file. Raises `ValueError` for one that is something else, and `OSError`."""
    with file.open("rb") as lines:
        yield from (read_row(line) for line in bounded_lines(lines) if line.strip())


def row_of_cells(cells: Mapping[str, Any], found: RowColumns) -> JsonRow:
    """Return a row of a table by the names of its columns, None where a cell is empty.

    Columns that tables of earlier versions lack may be absent. Raises `ValueError` for cells of other types.
    """
    filled = {name: value for name, value in cells.items() if value is not None}
    complete = {**dict.fromkeys((*MADE_BY, *POLARITY.words, *cells)), "version": "", **filled}
    return _json_row(unflatten(complete, found))


def json_line(row: PredictionRow) -> str:
    """Return a row as JSON with its line end; names that are not text are escaped: it is always UTF-8.

    >>> json_line({"image": "café.jpg"}), json_line({"image": "caf\\udce9.jpg"})
    ('{"image": "café.jpg"}\\n', '{"image": "caf\\\\udce9.jpg"}\\n')
    """
    return json_text(row) + "\n"
