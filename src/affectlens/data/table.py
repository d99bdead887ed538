"""A CSV, TSV or JSONL file with a path and a label, or a path and weights, a row.

Columns (CSV, TSV) or keys (JSONL), whatever their order:
    path, image, file or filename      the picture, absolute or relative to the table's folder
    label or emotion                   one word; or instead
    emotions                           {word: weight} (JSONL only); or instead
    a column for each emotion          votes or weights, as in the label-distribution sets
    split                              optional: train, val, test; fold 1, fold 2 ...
    group                              optional: a theme or scene, whose pictures stay in one split
    valence, arousal                   optional: ratings, which `data.rated_table` reads, not emotions
    labels                             instead of emotions: several words (`adaptation.label_source`)

Words of no known vocabulary are words of their own (`data.vocabularies`); which columns are emotions must
then stand in a file `vocabulary.toml`, next to the table or in the folder of its pictures.

What `affectlens predict --out x.jsonl` or `x.csv` writes can be read back as such a table; a row with an
error instead of weights is a `BadRow`.
"""

import csv
import json
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from affectlens.attributes import MEASURED
from affectlens.data.records import ALL, FOLD, SPLIT_NAMES, DataSource, Record
from affectlens.data.vocabularies import FILE as VOCABULARY
from affectlens.data.vocabularies import OWN_WORDS, stored_vocabulary, vocabulary_of_labels
from affectlens.emotions import (
    POLARITY,
    VOCABULARIES,
    BadVocabulary,
    EmotionDistribution,
    Vocabulary,
    find_vocabulary,
    plain_word,
    to_toml,
)
from affectlens.errors import AffectLensError, BadRow, DatasetError, DatasetNotFound, UnknownName
from affectlens.files import atomic_write, bounded_lines, is_file, is_folder, is_pipe_or_device
from affectlens.ratings import AROUSAL, VALENCE

PATH_COLUMNS = ("path", "image", "file", "filename")
LABEL_COLUMNS = ("label", "emotion")
WEIGHTS_KEY = "emotions"
LABELS = "labels"  # several words of one picture, which `adaptation.label_source` reads
# What `affectlens predict` adds to its rows: why a picture has no weights, which model made the row (a hash
# may look like a number), the sums of its weights, and what was measured of it.
ERROR_COLUMNS = ("error", "error_message", "error_type")
MODEL_COLUMNS = ("model", "weights", "version", "engine", "precision")
# Ratings in data, and what predictions have of them, with the coverage of their sets.
RATINGS = (VALENCE, AROUSAL)
ENDS = ("_low", "_high")
RATING_COLUMNS = (*(f"{name}{end}" for name in RATINGS for end in ENDS), "coverage", "min_confidence")
SUMS = frozenset(POLARITY.words)
WITHOUT_SPLIT = "no split, though other rows have one. Give every row one, or none."
LabelRow = Mapping[str, Any]


def read(
    file: Path,
    name: str = "table",
    root: Path | None = None,
    vocabulary: Vocabulary | None = None,
    rated: Collection[str] = (),
) -> DataSource:
    """List the rows of a table. Every row becomes a record or the error names its line.

    `root` is where paths that are not absolute begin: by default the table's folder. `rated` are columns that
    hold ratings, and no weights of emotions. Raises
    `DatasetNotFound`, `DatasetError` for a file that is not such a table, `BadRow`, and `BadVocabulary` for
    labels that cannot be words.
    """
    if is_pipe_or_device(file):
        raise DatasetError(f"The table {file} is a pipe or a device. Save it as a file first.")
    if not is_file(file):
        raise DatasetNotFound("The table of pictures", file, "wherever your labels are")
    root = file.parent if root is None else root
    if not is_folder(root):
        raise DatasetNotFound("The folder of the table's pictures", root, "wherever your pictures are")
    rows = list(without_columns(rows_of(file), rated))
    if not rows:
        raise DatasetError(f"{file} has no rows. Expected a path and a label or weights a row.")
    notes: tuple[str, ...] = ()
    vocabulary = vocabulary or stored_vocabulary([file.parent, root])
    if vocabulary is None:
        vocabulary, notes = _vocabulary(file, rows)
    splits: dict[str, list[Record]] = defaultdict(list)
    for number, row in rows:
        key = key_below(picture_of(file, number, row), root)
        target = _target(file, number, row, vocabulary)
        group = str(row.get("group") or "").strip()
        splits[split_of(file, number, row)].append(Record(key, root / key, target, group=group))
    if ALL in splits and len(splits) > 1:
        number = next(number for number, row in rows if split_of(file, number, row) == ALL)
        raise BadRow(file, number, WITHOUT_SPLIT)
    return DataSource(name, root, vocabulary, dict(splits), notes)


def write_words(file: Path, source: DataSource) -> None:
    """Write `vocabulary.toml` next to a table of splits, where it would else be read by other words."""
    try:
        if read(file, root=source.root).vocabulary == source.vocabulary:
            return
    except AffectLensError:
        pass  # as of columns that are not known to be emotions
    require_no_other_words(file, source)
    with atomic_write(file.parent / VOCABULARY, "w") as out:
        out.write(to_toml(source.vocabulary))


def require_no_other_words(file: Path, source: DataSource) -> None:
    """Raise `DatasetError` where `vocabulary.toml` next to a table lists other words than its source has."""
    found = stored_vocabulary([file.parent])
    if found is not None and found != source.vocabulary:
        raise DatasetError(
            f"{file.parent / VOCABULARY} lists other words than the data set has, by which a table in "
            "that folder would be read. Write it into another folder."
        )


def _vocabulary(file: Path, rows: list[tuple[int, LabelRow]]) -> tuple[Vocabulary, tuple[str, ...]]:
    """Find the vocabulary of all rows, with notes; a misspelt word is an error of the line where it occurs.

    That columns of numbers are emotions is known where they are words of a known vocabulary alone.
    """
    lines: dict[str, int] = {}
    guessed = False
    for number, row in rows:
        for word in _words(file, number, row):
            lines.setdefault(word, number)
        guessed = guessed or not (_label(row) is not None or isinstance(row.get(WEIGHTS_KEY), dict))
    try:
        return (find_vocabulary(lines), ()) if guessed else vocabulary_of_labels(lines)
    except UnknownName as error:
        # As they are spelt there, whatever the case.
        line = next(n for word, n in lines.items() if plain_word(word) == plain_word(error.name))
        remedy = f" {OWN_WORDS}" if guessed else ""
        raise BadRow(file, line, f"{error}{remedy}") from None
    except BadVocabulary as error:
        raise BadVocabulary(f"{file}: {error}") from None


def key_below(path: str, root: Path) -> str:
    """Write a path below root relative to it, so that it means the same on every machine."""
    if Path(path).is_absolute() and Path(path).is_relative_to(root):
        return Path(path).relative_to(root).as_posix()
    return path


def rows_of(file: Path) -> Iterator[tuple[int, LabelRow]]:
    """Read a table: yield line number and row.

    Numbers are those that an editor shows, of a row of several lines the last. Raises `DatasetError`.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            lines = bounded_lines(stream)
            yield from (_json_rows if file.suffix.lower() in {".jsonl", ".ndjson"} else _csv_rows)(
                file, lines
            )
    except UnicodeDecodeError as error:
        raise DatasetError(f"{file} is not UTF-8 text: {error.reason}. Save it as UTF-8.") from None
    except OSError as error:
        raise DatasetError(f"{file} cannot be read: {error.strerror or error}.") from None


def _csv_rows(file: Path, lines: Iterable[str]) -> Iterator[tuple[int, LabelRow]]:
    reader = csv.DictReader(lines, delimiter="\t" if file.suffix.lower() == ".tsv" else ",")
    try:
        _require_different(file, reader.fieldnames or ())
        _require_commas(file, reader.fieldnames or ())
        for row in reader:
            if None in row:  # where DictReader puts what has no column
                raise BadRow(file, reader.line_num, "more cells than columns. Quote cells that hold a comma.")
            yield reader.line_num, {name.strip().lower(): cell for name, cell in row.items() if name and cell}
    except csv.Error as error:
        raise BadRow(file, reader.line_num + 1, f"not a row of this table: {error}.") from None


def without_columns(
    rows: Iterable[tuple[int, LabelRow]], columns: Collection[str]
) -> Iterator[tuple[int, LabelRow]]:
    """Yield rows without some columns, which are in small letters."""
    for number, row in rows:
        yield number, {name: cell for name, cell in row.items() if name not in columns}


def has_emotions(rows: Iterable[tuple[int, LabelRow]], vocabulary: Vocabulary) -> bool:
    """Whether rows have labels, or columns that are words of a vocabulary, of this one or a known one."""
    known = (vocabulary, *VOCABULARIES.values())
    return any(
        _label(row) is not None
        or isinstance(row.get(WEIGHTS_KEY), dict)
        or any(each.knows(word) for word in _weights(row) for each in known)
        for _, row in rows
    )


def _require_commas(file: Path, names: Sequence[str]) -> None:
    """Raise `BadRow` for a table as spreadsheets write it where a comma begins the decimals, or by tabs.

    In a .tsv file tabs separate the columns, and commas are wrong.
    """
    if len(names) != 1:
        return
    if ";" in names[0]:
        raise BadRow(file, 1, "its columns are separated by semicolons. Save it with commas, or as .jsonl.")
    if "\t" in names[0]:
        raise BadRow(file, 1, "its columns are separated by tabs. Give it the suffix .tsv.")
    if "," in names[0]:
        raise BadRow(file, 1, "its columns are separated by commas. Give it the suffix .csv.")


def _require_different(file: Path, names: Iterable[str], line: int = 1) -> None:
    """Raise `BadRow` where two columns, or keys, are one: of two labels none is to be preferred."""
    found: set[str] = set()
    for name in names:
        plain = name.strip().lower()
        if plain and plain in found:
            raise BadRow(file, line, f"the column {plain!r} is there twice. Remove one, or rename it.")
        found.add(plain)


class _Twice(ValueError):
    """A JSON object with one key twice, of which JSON's own reader keeps the last."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _Twice(name)
        found[name] = value
    return found


def _json_rows(file: Path, lines: Iterable[str]) -> Iterator[tuple[int, LabelRow]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            # Not parsed by msgspec, which refuses names that are not text; `affectlens predict` has them.
            row = msgspec.convert(json.loads(line, object_pairs_hook=_object), dict[str, Any])
            _require_different(file, row, number)
        except _Twice as error:
            raise BadRow(file, number, f"{error.args[0]!r} is there twice. Remove one.") from None
        except msgspec.ValidationError:
            raise BadRow(file, number, f"expected a JSON object, found {line.strip()[:60]!r}.") from None
        except json.JSONDecodeError as error:
            raise BadRow(file, number, f"not JSON: {error.msg} at column {error.colno}.") from None
        except (ValueError, RecursionError):
            reason = "JSON that cannot be read: brackets too deep, or a number of thousands of digits."
            raise BadRow(file, number, reason) from None
        yield number, {key.strip().lower(): value for key, value in row.items()}


def _label(row: LabelRow) -> Any:
    return next((row[c] for c in LABEL_COLUMNS if row.get(c)), None)


def _weights(row: LabelRow, sums: Collection[str] = SUMS) -> Mapping[str, Any]:
    """Return the weights of a row without a label: the `emotions` object, or columns that are emotions.

    `sums` are columns that are not, where there are others.
    """
    given = row.get(WEIGHTS_KEY)
    if isinstance(given, dict):
        return given
    about = (*PATH_COLUMNS, *LABEL_COLUMNS, *ERROR_COLUMNS, *MODEL_COLUMNS, *MEASURED)
    others = {*about, "split", "group", WEIGHTS_KEY, *RATINGS, *RATING_COLUMNS}
    # Ratings of other names, as `affectlens predict` writes them: with the ends of their intervals.
    rated = [column for column in row if all(f"{column}{end}" in row for end in ENDS)]
    others |= {f"{column}{end}" for column in rated for end in ("", *ENDS)}
    found = {column: value for column, value in row.items() if column not in others and is_number(value)}
    emotions = {column: value for column, value in found.items() if column not in sums}
    return emotions or found


def is_number(value: Any) -> bool:
    """Whether a cell can be read as a number."""
    try:
        float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _words(file: Path, number: int, row: LabelRow) -> Iterable[str]:
    label = _label(row)
    if label is not None:
        return [str(label).strip()]
    problem = next((row[c] for c in ERROR_COLUMNS if row.get(c)), None)
    if problem and not row.get(WEIGHTS_KEY):
        reason = problem.get("message", problem) if isinstance(problem, dict) else problem
        raise BadRow(file, number, f"a picture that could not be predicted ({reason}). Remove the row.")
    words = [word.strip() for word in _weights(row)]
    if not words:
        rated = " Its ratings are not labels." if any(row.get(name) for name in RATINGS) else ""
        raise BadRow(file, number, f"neither a label (column 'label') nor weights by emotion.{rated}")
    return words


def picture_of(file: Path, number: int, row: LabelRow) -> str:
    """Return the path that a row names. Raises `BadRow`."""
    path = next((row[c] for c in PATH_COLUMNS if row.get(c)), None)
    if not isinstance(path, str):
        raise BadRow(file, number, f"no path. Expected a column named one of {', '.join(PATH_COLUMNS)}.")
    return path


def _target(file: Path, number: int, row: LabelRow, vocabulary: Vocabulary) -> EmotionDistribution:
    label = _label(row)
    try:
        if label is not None:
            return vocabulary.only(str(label))
        # Where `positive` is a word next to others, its column does not hold a sum of theirs.
        own = any(vocabulary.knows(word) for word in SUMS)
        weights = dict(_weights(row, () if own else SUMS))
        if not isinstance(row.get(WEIGHTS_KEY), dict):
            # A column of an emotion is one in every row, also where its cell is text.
            weights |= {key: cell for key, cell in row.items() if vocabulary.knows(key) and cell is not None}
        _check_weights(file, number, weights)
        return vocabulary.distribution(weights)
    except BadRow:
        raise
    except AffectLensError as error:
        raise BadRow(file, number, str(error)) from None


def _check_weights(file: Path, number: int, weights: Mapping[str, Any]) -> None:
    """Raise `BadRow` with the key for a weight that is not one."""
    for key, value in weights.items():
        if not is_number(value) or not math.isfinite(float(value)) or float(value) < 0:
            shown = json.dumps(value, ensure_ascii=False)[:60]
            raise BadRow(
                file, number, f"the weight of {key!r} is {shown}; expected a finite number, not negative."
            )


def split_of(file: Path, number: int, row: LabelRow) -> str:
    """Return the split that a row names, `ALL` for none. Raises `BadRow`."""
    split = str(row.get("split") or "").strip()
    if not split:
        return ALL
    if fold := FOLD.fullmatch(split):
        return f"fold {int(fold[1])}"
    if split.lower() not in SPLIT_NAMES:
        raise BadRow(file, number, str(UnknownName("split", split, SPLIT_NAMES, "a data set")))
    return SPLIT_NAMES[split.lower()]
