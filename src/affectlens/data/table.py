"""A CSV, TSV or JSONL file with a path and a label, or a path and weights, a row.

Columns (CSV, TSV) or keys (JSONL), whatever their order:
    path, image, file or filename      the picture, absolute or relative to the table's folder
    label or emotion                   one word; or instead
    emotions                           {word: weight} (JSONL only); or instead
    a column for each emotion          votes or weights, as in the label-distribution sets
    split                              optional: train, val, test

What `affectlens predict --out x.jsonl` writes can be read back as such a table.
"""

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from affectlens.data.records import ALL, SPLIT_NAMES, DataSource, Record
from affectlens.emotions import EmotionDistribution, Vocabulary, find_vocabulary
from affectlens.errors import AffectLensError, BadRow, DatasetError, DatasetNotFound, UnknownName

PATH_COLUMNS = ("path", "image", "file", "filename")
LABEL_COLUMNS = ("label", "emotion")
WEIGHTS_KEY = "emotions"
Row = Mapping[str, Any]


def read(file: Path, name: str = "table") -> DataSource:
    """List the rows of a table. Every row becomes a record or the error names its line.

    Raises `DatasetNotFound`, `BadRow`, or `UnknownName` for a word of no vocabulary.
    """
    if not file.is_file():
        raise DatasetNotFound("The table of pictures", file, "wherever your labels are")
    rows = list(_rows(file))
    if not rows:
        raise DatasetError(f"{file} has no rows. Expected a path and a label or weights a row.")
    words = sorted({word for number, row in rows for word in _words(file, number, row)})
    vocabulary = find_vocabulary(words)
    splits: dict[str, list[Record]] = defaultdict(list)
    for number, row in rows:
        key = _picture(file, number, row)
        target = _target(file, number, row, vocabulary)
        splits[_split(file, number, row)].append(Record(key, file.parent / key, target))
    return DataSource(name, file.parent, vocabulary, dict(splits))


def _rows(file: Path) -> Iterator[tuple[int, Row]]:
    """Yield line number and row; numbers as an editor shows them."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            if file.suffix.lower() in {".jsonl", ".ndjson"}:
                yield from _json_rows(file, lines)
            else:
                reader = csv.DictReader(lines, delimiter="\t" if file.suffix.lower() == ".tsv" else ",")
                for row in reader:
                    yield reader.line_num, {k.strip().lower(): v for k, v in row.items() if k and v}
    except UnicodeDecodeError as error:
        raise DatasetError(f"{file} is not UTF-8 text: {error.reason}. Save it as UTF-8.") from None


def _json_rows(file: Path, lines: Iterable[str]) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise BadRow(file, number, f"no JSON: {error.msg} at column {error.colno}.") from None
        if not isinstance(row, dict):
            raise BadRow(file, number, f"expected a JSON object, found {line.strip()[:60]!r}.")
        yield number, row


def _weights(row: Row) -> Mapping[str, Any]:
    """The weights of a row that has no label: the `emotions` object, or the columns that are emotions."""
    given = row.get(WEIGHTS_KEY)
    if isinstance(given, dict):
        return given
    others = {*PATH_COLUMNS, *LABEL_COLUMNS, "split", WEIGHTS_KEY}
    return {column: value for column, value in row.items() if column not in others and _is_number(value)}


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _words(file: Path, number: int, row: Row) -> Iterable[str]:
    label = next((row[c] for c in LABEL_COLUMNS if row.get(c)), None)
    if label is not None:
        return [str(label).strip().lower()]
    words = [word.strip().lower() for word in _weights(row)]
    if not words:
        raise BadRow(file, number, "neither a label (column 'label') nor weights by emotion.")
    return words


def _picture(file: Path, number: int, row: Row) -> str:
    path = next((row[c] for c in PATH_COLUMNS if row.get(c)), None)
    if not isinstance(path, str):
        raise BadRow(file, number, f"no path. Expected a column named one of {', '.join(PATH_COLUMNS)}.")
    return path


def _target(file: Path, number: int, row: Row, vocabulary: Vocabulary) -> EmotionDistribution:
    label = next((row[c] for c in LABEL_COLUMNS if row.get(c)), None)
    try:
        if label is not None:
            return vocabulary.only(str(label))
        return vocabulary.distribution({word: float(weight) for word, weight in _weights(row).items()})
    except (AffectLensError, TypeError, ValueError) as error:
        raise BadRow(file, number, str(error)) from None


def _split(file: Path, number: int, row: Row) -> str:
    split = row.get("split")
    if not split:
        return ALL
    if str(split).lower() not in SPLIT_NAMES:
        raise BadRow(file, number, str(UnknownName("split", str(split), SPLIT_NAMES, "a data set")))
    return SPLIT_NAMES[str(split).lower()]
