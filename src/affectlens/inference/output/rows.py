"""Rows of answers as plain data: nested as JSON has them, or flat with a value for each column.

Columns of CSV and Parquet: image, top, one for each emotion, positive, negative, one for each attribute where
these were requested, model, weights, version, engine, precision, error_type, error_message. Where `positive`
or `negative` is a word among others, it is the first of the emotions, and there are no sums. A missing value
is an empty field in CSV and null in Parquet. What is neither a number nor text, as the reasons for an answer,
is JSON in its cell.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from affectlens.attributes import MEASURED
from affectlens.emotions import POLARITY, Vocabulary, names_polarity
from affectlens.inference.attribute_evidence import EVIDENCE, PREDICTED
from affectlens.version import VERSION

PredictionRow: TypeAlias = Mapping[str, Any]  # as `Prediction.to_row` returns it

STRUCTURED = (PREDICTED, EVIDENCE)  # attributes that are JSON in a cell
MADE_BY = ("model", "weights", "version", "engine", "precision")  # what made a row
ABOUT_ERRORS = ("error_type", "error_message")
# What pandas calls the numbers of rows that it adds to a table, and what it reads them as.
_INDEX = re.compile(r"|__index_level_\d+__|Unnamed: \d+(\.\d+)?")
OTHER_COLUMNS = (
    "has other columns than this model's answers: it is of another model or program, of a version before "
    "0.2, whose rows do not name their weights, or of a run with or without --attributes. Name another file."
)


@dataclass(frozen=True)
class StoredRow:
    """What must be known of a row that was written before.

    Attributes:
        weights: `Card.weights_id` of the model; None where it was not saved
        version: of the package
        engine, precision: what answered; None where that is not known
    """

    image: str
    model: str
    weights: str | None
    version: str
    failed: bool
    engine: str | None = None
    precision: str | None = None


class RowEncoding(Protocol):
    """How rows become bytes, one after the other, in a file that may be cut off at any byte."""

    header: bytes

    def encode(self, row: PredictionRow) -> bytes:
        """Return the bytes of a row, its line end included."""

    def decode(self, record: bytes) -> StoredRow:
        """Read a row that was written before. Raises `ValueError` for what is not such a row."""

    def is_complete(self, record: bytes) -> bool:
        """Whether the row ends where the line does."""


def made_by(model: str, weights: str, engine: str, precision: str) -> dict[str, str | None]:
    """Return what `MADE_BY` names, by this version of the package; None for what is not known."""
    values = (model, weights or None, VERSION, engine or None, precision or None)
    return dict(zip(MADE_BY, values, strict=True))


def columns(vocabulary: Vocabulary, attributes: Sequence[str] = ()) -> list[str]:
    """Names of the columns of CSV and Parquet; each once, also where the emotions are the polarity."""
    emotions = [*vocabulary.words, *POLARITY.words]
    if names_polarity(vocabulary.words):
        # First, so that they are not taken for sums, which follow the emotions.
        emotions = sorted(vocabulary.words, key=lambda word: word not in POLARITY.words)
    about = [*MADE_BY, *ABOUT_ERRORS]
    return list(dict.fromkeys(["image", "top", *emotions, *attributes, *about]))


def emotions_among(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Undo `columns`: return which columns of a table are emotions, and which are attributes.

    Raises `ValueError` where it lacks what every table of predictions has, has a name twice, or numbers of
    its rows.
    """
    if twice := next((name for name, times in Counter(names).items() if times > 1), None):
        raise ValueError(f"it has several columns {twice!r}")
    index = next((name for name in names if _INDEX.fullmatch(name)), None)
    if index is not None:
        # Its numbers would be those of an emotion.
        raise ValueError(f"its column {index!r} numbers the rows, as of pandas; write it with index=False")
    missing = [name for name in ("image", "top", "model", *ABOUT_ERRORS) if name not in names]
    if missing:
        raise ValueError(f"it has no column {missing[0]!r}")
    attributes = [name for name in names if name in (*MEASURED, *STRUCTURED)]
    others = {"image", "top", *attributes, *MADE_BY, *ABOUT_ERRORS}
    numbers = [name for name in names if name not in others]
    words = [name for name in numbers if name not in POLARITY.words]
    if words and numbers[0] in POLARITY.words:
        return numbers, attributes
    return words or list(POLARITY.words), attributes


def flatten(row: PredictionRow, names: Iterable[str]) -> dict[str, Any]:
    """Return a row as one value a column, None where there is none."""
    error = row["error"] or {}
    values = {
        **{name: _cell(value) for name, value in row.get("attributes", {}).items()},
        **(row["polarity"] or {}),
        **(row["emotions"] or {}),
        "image": row["image"],
        "top": row["top"],
        **{name: row.get(name) for name in MADE_BY},
        "error_type": error.get("type"),
        "error_message": error.get("message"),
    }
    return {name: values.get(name) for name in names}


def unflatten(values: Mapping[str, Any], words: Iterable[str], attributes: Sequence[str]) -> PredictionRow:
    """Undo `flatten`. Raises `ValueError` for a cell that should be JSON and is not."""
    failed = values["error_type"] is not None
    described = {} if failed else {name: _from_cell(name, values[name]) for name in attributes}
    words = list(words)
    polarity = {word: None if names_polarity(words) else values[word] for word in POLARITY.words}
    return {
        "image": values["image"],
        "top": values["top"],
        "emotions": None if failed else {word: values[word] for word in words},
        "polarity": None if None in polarity.values() else polarity,
        **({"attributes": described} if attributes else {}),
        **{name: values[name] for name in MADE_BY},
        "error": {"type": values["error_type"], "message": values["error_message"]} if failed else None,
    }


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def _from_cell(name: str, value: Any) -> Any:
    return json.loads(value) if name in STRUCTURED and isinstance(value, str) else value


def text_of(name: str) -> str:
    r"""Return a name as valid UTF-8: bytes that are not text are escaped, as Parquet's strings need it.

    >>> text_of("caf\udce9.jpg")
    'caf\\udce9.jpg'
    """
    return name.encode("utf-8", "backslashreplace").decode()
