"""Which row of a result file is about which picture of a data set.

A row is matched by its path, never by the name of a file alone: many folders hold a `1.jpg`. Either it leads
to the picture itself; a relative path begins at the current folder, as it did for `affectlens predict`. Or
the pictures lay elsewhere when they were predicted: then rows' paths are one folder, the same for all,
followed by the picture's path below the data set (`Record.key`). That folder is found by itself. The way that
finds most pictures of the split counts, of two the former; two folders that find equally many are an error.

Nothing is passed over in silence. Errors: a picture of the split without a row, two rows of one picture that
differ, rows of two models, other emotions. Notes: rows of other pictures, rows that are repeated, rows that
were computed in several ways, the folder if there is one, and what the digits of rows hide.
"""

import posixpath
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from affectlens.data.records import DataSource, Record
from affectlens.emotions import BadDistribution, EmotionDistribution, Vocabulary
from affectlens.errors import DatasetError, PictureError, VocabularyMismatch
from affectlens.inference.output.json_lines import JsonRow
from affectlens.inference.output.read import RowsFile
from affectlens.inference.output.rows import text_of
from affectlens.inference.predictor import DIGITS, Answer
from affectlens.inference.stores import is_url
from affectlens.report.text import listed

LAST_DIGIT = 10**-DIGITS
ROUNDED_TO_ZERO = LAST_DIGIT / 2  # stands for a probability that is 0 in a row: no larger one is
TIE_BREAK = LAST_DIGIT / 10  # added to the first of emotions that are equal only in a row's digits

Rows = Mapping[str, Sequence[int]]  # numbers of rows, from 0, by path


@dataclass(frozen=True)
class MatchedRows:
    """An answer to each picture of a split, in record order, the rows that they are from, and what should be
    known of these.

    `notes` are clauses without a full stop.
    """

    answers: tuple[tuple[Record, Answer], ...]
    rows: tuple[JsonRow, ...]
    notes: tuple[str, ...]


def match_rows(given: RowsFile, source: DataSource, split: str) -> MatchedRows:
    """Find the row of each picture of a split.

    Raises `EmptySplit`, `VocabularyMismatch` for rows of other emotions, and `DatasetError` as above and for
    a row whose probabilities are not a distribution.
    """
    records = source.split(split)
    _require_emotions(given, source.vocabulary)
    numbers, notes = rows_of_records(given, records, split)
    answers: list[tuple[Record, Answer]] = []
    hidden = 0
    for record, number in zip(records, numbers, strict=True):
        answer = _answer(given, number, record, source.vocabulary)
        if isinstance(answer, EmotionDistribution):
            hidden += _hides_target(answer, record)
            answer = _with_zeros_filled(answer)
        answers.append((record, answer))
    if hidden:
        notes.append(
            f"for {_count(hidden, 'picture')} an emotion of the label has the probability 0 in the {DIGITS} "
            f"digits of the row; {ROUNDED_TO_ZERO:.7f} is taken for it"
        )
    rows = tuple(given.rows[number] for number in numbers)
    abstaining = sum(row.top is None and row.error is None for row in rows)
    if abstaining:
        notes.append(
            f"{_count(abstaining, 'row')} name{'s' * (abstaining == 1)} no first emotion, since none was as "
            "probable as the least confidence; the likeliest is scored"
        )
    return MatchedRows(tuple(answers), rows, tuple(notes))


def rows_of_records(
    given: RowsFile, records: Sequence[Record], split: str
) -> tuple[tuple[int, ...], list[str]]:
    """Find the number of each picture's row, and notes on how they were found and which are left out.

    Raises `DatasetError` as above.
    """
    _require_one_model(given)
    found, notes = _find(given, records, split)
    for record, numbers in zip(records, found, strict=True):
        _require_same(given, record, numbers)
    used = {number for numbers in found for number in numbers}
    repeated = {number for numbers in found for number in numbers[1:]}
    if len(used) < len(given.rows):
        outside = _count(len(given.rows) - len(used), "row")
        notes.append(f"left out: {outside} of pictures outside the split {split!r}")
    if repeated:
        notes.append(f"left out: {_count(len(repeated), 'repeated row')}")
    notes += _several_ways(given)
    return tuple(number for number, *_ in found), notes


def picture_error(row: JsonRow, record: Record) -> PictureError | None:
    """Return why the picture of a row could not be read, None where it was."""
    if row.error is None:
        return None
    kinds = {kind.__name__: kind for kind in PictureError.__subclasses__()}
    # In the words of an evaluation that reads the picture itself.
    reason = row.error.message.removeprefix(f"{row.image}: ")
    return kinds.get(row.error.type, PictureError)(record.path, reason)


def _require_one_model(given: RowsFile) -> None:
    models = Counter((row.model, row.weights or "not known") for row in given.rows)
    if len(models) > 1:
        each = [f"{name} (weights {weights}, {_count(n, 'row')})" for (name, weights), n in models.items()]
        raise DatasetError(
            f"{given.file} holds predictions of {len(models)} models: {listed(each)}. Divide them into a "
            "file for each."
        )


def _require_emotions(given: RowsFile, vocabulary: Vocabulary) -> None:
    first: tuple[int, Mapping[str, float]] | None = None
    for number, row in enumerate(given.rows, start=1):
        if row.emotions is None:
            continue
        first = first or (number, row.emotions)
        if row.emotions.keys() != first[1].keys():
            raise DatasetError(f"{given.file}, row {number}, has other emotions than row {first[0]}.")
    if first and set(first[1]) != set(vocabulary.words):
        raise VocabularyMismatch(tuple(first[1]), vocabulary.words)


def _find(given: RowsFile, records: Sequence[Record], split: str) -> tuple[list[Sequence[int]], list[str]]:
    """Return the numbers of the rows of each record, and a note on where they were if that is elsewhere."""
    own, named = _by_path(given.rows)
    by_own = [own.get(_comparable(record.path.absolute()), ()) for record in records]
    keys = [_comparable(record.key) for record in records]
    folders = _folders(named, set(keys))
    most = max(folders.values(), default=0)
    found, notes = by_own, []
    if most > len({key for key, numbers in zip(keys, by_own, strict=True) if numbers}):
        first, *others = [folder for folder, number in folders.items() if number == most]
        if others:
            raise DatasetError(
                f"{given.file} has rows of the same pictures of the data set below {first!r} and below "
                f"{others[0]!r}. Keep the rows of one folder."
            )
        found = [named.get(first + key, ()) for key in keys]
        where = repr(first) if first else "the folder that they were predicted from"
        notes = [f"pictures and rows are matched by their paths below the data set and below {where}"]
    missing = [record for record, numbers in zip(records, found, strict=True) if not numbers]
    if missing:
        raise _no_row(given, missing[0], len(missing), len(records), split)
    return found, notes


def _no_row(given: RowsFile, first: Record, missing: int, records: int, split: str) -> DatasetError:
    """Pictures of the split have no row."""
    lacking = f"{given.file} has no row for {missing:,} of the {records:,} pictures of the split {split!r}"
    remedy = (
        f"Not one path of a row leads to a picture of the split, or ends as the picture's path below the "
        f"data set does; the first row's is {given.rows[0].image!r}. Relative paths begin at the current "
        "folder: go to where the pictures were predicted, or predict them again."
        if missing == records
        else "Predict these as well, or evaluate a split that was predicted completely."
    )
    return DatasetError(f"{lacking}, the first {first.key!r}. {remedy}")


def _by_path(rows: Sequence[JsonRow]) -> tuple[Rows, Rows]:
    """Return the rows by the path that they lead to from here, and by the path that they name."""
    own: dict[str, list[int]] = defaultdict(list)
    named: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        named[_comparable(row.image)].append(number)
        if not is_url(row.image):
            own[_comparable(Path(row.image).absolute())].append(number)
    return own, named


def _comparable(path: str | Path) -> str:
    r"""Write a path in one way, whatever system and format it comes from; a URL without its options.

    >>> _comparable("./fi\\awe/1.jpg"), _comparable("s3://bucket/1.jpg?region=eu-west-1")
    ('fi/awe/1.jpg', 's3://bucket/1.jpg')
    """
    name = str(path)
    if is_url(name):
        return name.partition("?")[0]
    return posixpath.normpath(text_of(name).replace("\\", "/"))


def _folders(named: Rows, keys: set[str]) -> Counter[str]:
    """Count the pictures that rows below each folder are about; folders end with a slash, or are ""."""
    deepest = max((key.count("/") for key in keys), default=0)
    return Counter(name.removesuffix(key) for name in named for key in _endings(name, deepest) if key in keys)


def _endings(path: str, deepest: int) -> Iterator[str]:
    """Yield the last parts of a path with none, one, two ... up to so many folders.

    >>> list(_endings("a/b/c.jpg", 1))
    ['c.jpg', 'b/c.jpg']
    """
    at = len(path)
    for _ in range(deepest + 1):
        at = path.rfind("/", 0, at)
        yield path[at + 1 :]
        if at < 0:
            return


def _require_same(given: RowsFile, record: Record, numbers: Sequence[int]) -> None:
    first, *others = (given.rows[number] for number in numbers)
    for number, other in zip(numbers[1:], others, strict=True):
        if (other.top, other.emotions, other.ratings) != (first.top, first.emotions, first.ratings):
            raise DatasetError(
                f"{given.file}, rows {numbers[0] + 1} and {number + 1}, give different answers for "
                f"{record.key!r}. Keep one of them."
            )


def _several_ways(given: RowsFile) -> list[str]:
    ways = Counter((row.engine, row.precision, row.version) for row in given.rows)
    if len(ways) == 1:
        return []
    each = [
        f"{engine or 'unknown'} in {precision or 'unknown precision'} by version {version or 'unknown'} "
        f"({_count(number, 'row')})"
        for (engine, precision, version), number in ways.items()
    ]
    return [f"rows were computed in several ways: {listed(each)}"]


def _answer(given: RowsFile, number: int, record: Record, vocabulary: Vocabulary) -> Answer:
    row = given.rows[number]
    error = picture_error(row, record)
    if error is not None:
        return error
    try:
        return _distribution(row, vocabulary)
    except BadDistribution as error:
        raise DatasetError(f"{given.file}, row {number + 1}: {error}") from None


def _distribution(row: JsonRow, vocabulary: Vocabulary) -> EmotionDistribution:
    """Return the emotions of a row in the vocabulary's order; its first emotion is the first here too.

    Of a row that names none for want of confidence it is the likeliest.
    """
    weights = row.emotions or {}
    first = row.top
    if first is None and isinstance(row.min_confidence, float) and weights:
        first = max(weights, key=lambda word: weights[word])
    if first not in weights or weights[first] < max(weights.values()):
        raise BadDistribution(f"Its first emotion is {row.top}, which is not the likeliest of {weights}.")
    values = [weights[word] for word in vocabulary.words]
    top = vocabulary.index(first)
    if values.index(values[top]) < top:
        values[top] += TIE_BREAK
    return EmotionDistribution(vocabulary, tuple(values))


def _hides_target(answer: EmotionDistribution, record: Record) -> bool:
    pairs = zip(answer.probabilities, record.target.probabilities, strict=True)
    return any(target > 0 and probability <= 0 for probability, target in pairs)


def _with_zeros_filled(answer: EmotionDistribution) -> EmotionDistribution:
    filled = (probability if probability > 0 else ROUNDED_TO_ZERO for probability in answer.probabilities)
    return EmotionDistribution(answer.vocabulary, tuple(filled))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
