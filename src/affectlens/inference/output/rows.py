"""Rows of answers as plain data: nested as JSON has them, or flat with a value for each column.

Columns of CSV and Parquet: image, top, one for each emotion, positive, negative, three for each rating of the
model (valence, valence_low, valence_high), unusual where the model knows it, set and coverage where a
coverage was requested, one for each attribute where these were requested, model, weights, version, engine,
precision, error_type, error_message. Where `positive` or `negative` is a word among others, it is the first
of the emotions, and there are no sums. A missing value is an empty field in CSV and null in Parquet. What is
neither a number nor text, as the reasons for an answer, is JSON in its cell.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

from affectlens.attributes import MEASURED
from affectlens.emotions import POLARITY, Vocabulary, names_polarity
from affectlens.inference.attribute_evidence import EVIDENCE, PREDICTED
from affectlens.ratings import Rating
from affectlens.version import VERSION

PredictionRow: TypeAlias = Mapping[str, Any]  # as `Prediction.to_row` returns it

SET, AT_COVERAGE, MIN_CONFIDENCE, UNUSUAL = "set", "coverage", "min_confidence", "unusual"
STRUCTURED = (PREDICTED, EVIDENCE)  # attributes that are JSON in a cell
RATING_DIGITS = 3  # of ratings: their intervals are some units wide
_ENDS = ("", "_low", "_high")  # of the columns of a rating
MADE_BY = ("model", "weights", "version", "engine", "precision")  # what made a row
ABOUT_ERRORS = ("error_type", "error_message")
# What pandas calls the numbers of rows that it adds to a table, and what it reads them as.
_INDEX = re.compile(r"|__index_level_\d+__|Unnamed: \d+(\.\d+)?")
OTHER_COLUMNS = (
    "has other columns than this model's answers: it is of another model or program, of a version before "
    "0.2, whose rows do not name their weights, of an earlier one, whose rows have no ratings, or of a run "
    "with or without --attributes, --coverage or --min-confidence. Name another file."
)


@dataclass(frozen=True)
class RowSchema:
    """What the rows of a file hold.

    Attributes:
        attributes: names, empty where they were not requested
        ratings: names
        unusual: whether rows state if a picture is unlike those that the model was made for
        coverage: of the rows' sets of emotions; None where they have none
        min_confidence: below which rows name no first emotion; None where they always do
    """

    vocabulary: Vocabulary
    attributes: tuple[str, ...] = ()
    ratings: tuple[str, ...] = ()
    unusual: bool = False
    coverage: float | None = None
    min_confidence: float | None = None

    def check(self, coverage: Any, min_confidence: Any) -> None:
        """Raise `OtherOption` where a row was made at another coverage or least confidence than these."""
        pairs = (
            ("--coverage", coverage, self.coverage),
            ("--min-confidence", min_confidence, self.min_confidence),
        )
        for option, stored, wanted in pairs:
            then = None if stored in (None, "") else float(stored)
            if then != wanted:
                raise OtherOption(_with_option(option, then), _with_option(option, wanted))

    @property
    def columns(self) -> list[str]:
        """Names of the columns of CSV and Parquet; each once, also where the emotions are the polarity."""
        words = self.vocabulary.words
        emotions = [*words, *POLARITY.words]
        if names_polarity(words):
            # First, so that they are not taken for sums, which follow the emotions.
            emotions = sorted(words, key=lambda word: word not in POLARITY.words)
        names = ["image", "top", *emotions, *(f"{name}{end}" for name in self.ratings for end in _ENDS)]
        names += [UNUSUAL] if self.unusual else []
        names += [SET, AT_COVERAGE] if self.coverage is not None else []
        names += [MIN_CONFIDENCE] if self.min_confidence is not None else []
        return list(dict.fromkeys([*names, *self.attributes, *MADE_BY, *ABOUT_ERRORS]))


class OtherOption(ValueError):
    """A row of this model that another option requested.

    Attributes:
        then, now: option and value of the row and of this job, as "with --coverage 0.9"
    """

    def __init__(self, then: str, now: str) -> None:
        super().__init__(f"it was made {then}, not {now}")
        self.then, self.now = then, now


def _with_option(option: str, value: float | None) -> str:
    return f"without {option}" if value is None else f"with {option} {value}"


class RowColumns(NamedTuple):
    """What a table of predictions holds, by the names of its columns; see `RowSchema`."""

    words: tuple[str, ...]
    attributes: tuple[str, ...]
    ratings: tuple[str, ...]
    unusual: bool
    has_sets: bool
    may_abstain: bool

    @property
    def numbers(self) -> set[str]:
        """Columns whose cells are numbers."""
        ratings = {f"{name}{end}" for name in self.ratings for end in _ENDS}
        return {*self.words, *POLARITY.words, *MEASURED, *ratings, AT_COVERAGE, MIN_CONFIDENCE}


@dataclass(frozen=True)
class StoredRow:
    """What must be known of a row that was written before.

    Attributes:
        weights: `Card.weights_id` of the model; None where it was not saved
        version: of the package
        engine, precision: what answered; None where that is not known
        empty: whether it is of an input without pictures
    """

    image: str
    model: str
    weights: str | None
    version: str
    failed: bool
    engine: str | None = None
    precision: str | None = None
    empty: bool = False


class RowEncoding(Protocol):
    """How rows become bytes, one after the other, in a file that may be cut off at any byte.

    Attributes:
        header: what stands before the first row
        begin: what every row begins with
    """

    header: bytes
    begin: bytes

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


def columns_among(names: Sequence[str]) -> RowColumns:
    """Undo `RowSchema.columns`: return which columns of a table are emotions, attributes and ratings.

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
    attributes = tuple(name for name in names if name in (*MEASURED, *STRUCTURED))
    known = set(names)
    ratings = tuple(name for name in names if all(f"{name}{end}" in known for end in _ENDS))
    others = {"image", "top", *attributes, *MADE_BY, *ABOUT_ERRORS, UNUSUAL, SET, AT_COVERAGE, MIN_CONFIDENCE}
    others |= {f"{name}{end}" for name in ratings for end in _ENDS}
    numbers = [name for name in names if name not in others]
    words = [name for name in numbers if name not in POLARITY.words]
    if words and numbers[0] in POLARITY.words:
        words = numbers
    found = tuple(words or POLARITY.words)
    return RowColumns(found, attributes, ratings, UNUSUAL in known, SET in known, MIN_CONFIDENCE in known)


def is_rating(value: Any) -> bool:
    """Whether a value of a row is a rating with its interval."""
    return isinstance(value, dict) and tuple(value) == Rating._fields


def rating_row(rating: Rating | None) -> dict[str, float] | None:
    """Return a rating with its interval as rows have it; None where there is none."""
    return None if rating is None else {k: round(v, RATING_DIGITS) for k, v in rating._asdict().items()}


def flatten(row: PredictionRow, names: Iterable[str]) -> dict[str, Any]:
    """Return a row as one value a column, None where there is none."""
    error = row["error"] or {}
    ratings = {name: value for name, value in row.items() if is_rating(value)}
    values = {
        **{name: _cell(value) for name, value in row.get("attributes", {}).items()},
        **(row["polarity"] or {}),
        **(row["emotions"] or {}),
        **{
            f"{name}{end}": v
            for name, of in ratings.items()
            for end, v in zip(_ENDS, of.values(), strict=True)
        },
        "image": row["image"],
        "top": row["top"],
        UNUSUAL: row.get(UNUSUAL),
        SET: _cell(row.get(SET)),
        AT_COVERAGE: row.get(AT_COVERAGE),
        MIN_CONFIDENCE: row.get(MIN_CONFIDENCE),
        **{name: row.get(name) for name in MADE_BY},
        "error_type": error.get("type"),
        "error_message": error.get("message"),
    }
    return {name: values.get(name) for name in names}


def unflatten(values: Mapping[str, Any], found: RowColumns) -> PredictionRow:
    """Undo `flatten`. Raises `ValueError` for a cell that should be JSON and is not."""
    failed = values["error_type"] is not None
    described = {} if failed else {name: _from_cell(name, values[name]) for name in found.attributes}
    words = list(found.words)
    polarity = {word: None if names_polarity(words) else values[word] for word in POLARITY.words}
    sets = {SET: _from_cell(SET, values[SET]), AT_COVERAGE: values[AT_COVERAGE]} if found.has_sets else {}
    return {
        "image": values["image"],
        "top": values["top"],
        "emotions": None if failed else {word: values[word] for word in words},
        "polarity": None if None in polarity.values() else polarity,
        **{name: _rating_of_cells(values, name) for name in found.ratings},
        **({UNUSUAL: values[UNUSUAL]} if found.unusual else {}),
        **sets,
        **({MIN_CONFIDENCE: values[MIN_CONFIDENCE]} if found.may_abstain else {}),
        **({"attributes": described} if found.attributes else {}),
        **{name: values[name] for name in MADE_BY},
        "error": {"type": values["error_type"], "message": values["error_message"]} if failed else None,
    }


def _rating_of_cells(values: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    rating = {part: values[f"{name}{end}"] for part, end in zip(Rating._fields, _ENDS, strict=True)}
    return None if None in rating.values() else rating


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def _from_cell(name: str, value: Any) -> Any:
    return json.loads(value) if name in (*STRUCTURED, SET) and isinstance(value, str) else value


def text_of(name: str) -> str:
    r"""Return a name as valid UTF-8: bytes that are not text are escaped, as Parquet's strings need it.

    >>> text_of("caf\udce9.jpg")
    'caf\\udce9.jpg'
    """
    return name.encode("utf-8", "backslashreplace").decode()
