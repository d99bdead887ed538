"""EmoSet-118K: 118,102 pictures, each with one of Mikels' eight emotions and up to six attributes.

Paper: Yang et al., "EmoSet: A Large-scale Visual Emotion Dataset with Rich Attributes", ICCV 2023.
Get it: https://vcc.tech/EmoSet

On disk, of two releases that circulate (https://github.com/JingyuanYY/EmoSet describes the later one):
    root/info.json                           later: {emotion or attribute: {"label2idx": {word: number}, ...}}
                                             earlier: {"label2idx": {emotion: number}, ...}, no attributes
    root/train.json, val.json, test.json     later: rows of [emotion, id, image, annotation]
                                             earlier: rows of [emotion, image, annotation]
    root/image/<emotion>/<id>.jpg
    root/annotation/<emotion>/<id>.json      image_id, emotion, and those attributes that are known:
                                             brightness, colorfulness (numbers), scene, facial_expression,
                                             human_action (words), object (list of up to three words)

Every label and attribute travels by its word. Words of attributes are those of info.json, in its order;
where it has none, those found in the annotations, sorted. What is absent, null, empty or -1 is not known.
All annotations are read: some seconds for the whole set.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from affectlens.attributes import BRIGHTNESS, COLOURFULNESS, LEVELS, Attribute, BadAttribute
from affectlens.data.prefetch import map_ahead
from affectlens.data.records import DataSource, Record
from affectlens.emotions import MIKELS
from affectlens.errors import DatasetError, DatasetNotFound, UnknownName
from affectlens.files import read_file

TITLE, SOURCE = "EmoSet-118K", "https://vcc.tech/EmoSet"
LICENCE = "EmoSet was released for research; its pictures belong to those who made them"
INFO = "info.json"
PUBLISHED = {"train": 94_481, "val": 5_905, "test": 17_716}  # pictures by split

# Our name of each attribute, and the key under which EmoSet's files have it.
KEYS = {
    BRIGHTNESS: "brightness",
    COLOURFULNESS: "colorfulness",
    "scene": "scene",
    "object": "object",
    "facial_expression": "facial_expression",
    "human_action": "human_action",
}
SEVERAL = frozenset({"object"})
_LEVELLED = frozenset({BRIGHTNESS, COLOURFULNESS})  # numbers in annotations
_AT_ONCE = 256  # annotations: one by one, handing them to threads would take as long as reading them

Words = Mapping[str, tuple[str, ...]]  # of info.json by attribute, or of a picture by attribute


@dataclass(frozen=True)
class _Row:
    """A row of a list: its file and number, its emotion, and the paths of its two files below root."""

    source: str
    emotion: str
    image: str
    annotation: str


@dataclass(frozen=True)
class _Annotation:
    """What is known of a picture, and the emotion that the annotation names; None where it names none."""

    words: Words
    emotion: str | int | float | None


def read(root: Path) -> DataSource:
    """List EmoSet as either release has it, with attributes. Opens no picture.

    Notes describe how complete the copy is. Raises `DatasetNotFound` where the root lacks info.json or all
    lists, and `DatasetError`, with the file, for a list or an annotation that is damaged, a row whose picture
    or annotation is not there, and a word that is not an emotion or not one of its attribute.
    """
    known = _words_of(root / INFO)
    lists = {split: root / f"{split}.json" for split in PUBLISHED}
    if not any(file.is_file() for file in lists.values()):
        raise DatasetNotFound(TITLE, lists["train"], SOURCE)
    rows = {split: _rows(file) for split, file in lists.items() if file.is_file()}
    every = [row for part in rows.values() for row in part]
    _require_files(root, every)
    annotations = dict(zip(every, _annotations(root, every, known), strict=True))
    targets = {word: MIKELS.only(word) for word in MIKELS.words}
    splits = {
        split: [Record(r.image, root / r.image, targets[r.emotion], annotations[r].words) for r in part]
        for split, part in rows.items()
    }
    attributes = _attributes(known, [annotation.words for annotation in annotations.values()])
    notes = (
        *_notes_on_rows(splits, annotations),
        *_notes_on_attributes(known, attributes, every, annotations),
    )
    return DataSource("emoset", root, MIKELS, splits, notes, attributes)


def _words_of(file: Path) -> Words:
    """Return the words of each attribute that info.json lists, in its order; none in the earlier release.

    Levels are ours whatever it lists.
    """
    if not file.is_file():
        raise DatasetNotFound(TITLE, file, SOURCE)
    info = _read_json(file, dict[str, Any])
    words = {}
    for name, key in KEYS.items():
        if name not in _LEVELLED and key in info:
            try:
                numbers = msgspec.convert(info[key], _WordList).label2idx
                listed = tuple(word.strip() for word in sorted(numbers, key=numbers.__getitem__))
                words[name] = Attribute(name, listed, name in SEVERAL).words
            except (msgspec.ValidationError, BadAttribute) as error:
                raise DatasetError(f"{file}: {key!r} does not list words ({error}). Get it again.") from None
    return words


def _rows(file: Path) -> list[_Row]:
    """Read the list of a split, in either form."""
    entries = _read_json(file, list[Any])
    return [_row(f"{file}, row {number}", entry) for number, entry in enumerate(entries, start=1)]


def _row(source: str, entry: Any) -> _Row:
    try:
        emotion, *_, image, annotation = msgspec.convert(entry, _StoredEntry)
    except msgspec.ValidationError:
        raise DatasetError(
            f"{source}: expected [emotion, id, image, annotation], or that without the id, not {entry!r:.60}."
        ) from None
    try:
        return _Row(source, MIKELS.word(emotion), image, annotation)
    except UnknownName as error:
        raise DatasetError(f"{source}: {error}") from None


def _require_files(root: Path, rows: Sequence[_Row]) -> None:
    """Check that every row's files exist, by listing each folder once: file by file it can take minutes."""
    folders: dict[str, frozenset[str]] = {}
    for what in ("image", "annotation"):
        gone = []
        for row in rows:
            path = getattr(row, what)
            folder, _, name = path.rpartition("/")
            if folder not in folders:
                folders[folder] = _names_in(root / folder)
            if name not in folders[folder]:
                gone.append((row, path))
        if gone:
            row, path = gone[0]
            more = f" Nor do {len(gone) - 1:,} others." if len(gone) > 1 else ""
            raise DatasetError(
                f"{row.source}: its {what} {root / path} does not exist.{more} "
                f"Unpack or get {TITLE} again ({SOURCE})."
            )


def _names_in(folder: Path) -> frozenset[str]:
    return frozenset(path.name for path in folder.iterdir()) if folder.is_dir() else frozenset()


def _annotations(root: Path, rows: Sequence[_Row], known: Words) -> Iterator[_Annotation]:
    def read_some(some: Sequence[_Row]) -> list[_Annotation]:
        return [_annotation(root / row.annotation, known) for row in some]

    for read_together in map_ahead(
        read_some, [rows[i : i + _AT_ONCE] for i in range(0, len(rows), _AT_ONCE)]
    ):
        yield from read_together


def _annotation(file: Path, known: Words) -> _Annotation:
    stored = _read_json(file, _StoredAnnotation)
    words = {name: _words(file, name, getattr(stored, key), known) for name, key in KEYS.items()}
    return _Annotation({name: found for name, found in words.items() if found}, stored.emotion)


def _words(file: Path, name: str, value: "_Value", known: Words) -> tuple[str, ...]:
    """Return the words of one attribute in an annotation; none where they are not known."""
    values = value if isinstance(value, list) else [value]
    given = [_spelt(file, name, value) for value in values if not _is_missing(value)]
    words = tuple(dict.fromkeys(given))  # each once
    if len(words) > 1 and name not in SEVERAL:
        raise DatasetError(f"{file}: several words for {KEYS[name]!r}, {', '.join(words)}. Expected one.")
    listed = LEVELS if name in _LEVELLED else known.get(name, words)
    for word in words:
        if word not in listed:
            near = get_close_matches(word, listed, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise DatasetError(
                f"{file}: {word!r} is none of the {len(listed)} words for {KEYS[name]!r}.{hint}"
            )
    return words


def _is_missing(value: Any) -> bool:
    return value is None or value in (-1, "-1", "") or (isinstance(value, str) and not value.strip())


def _spelt(file: Path, name: str, value: Any) -> str:
    """Return a value as a word. Levels are numbers, and 1 means the level 1.0."""
    if name in _LEVELLED and isinstance(value, int | float):
        tenth = f"{value:.1f}"
        return tenth if tenth in LEVELS and abs(value - float(tenth)) < 1e-6 else str(value)
    if not isinstance(value, str):
        raise DatasetError(f"{file}: {value!s:.60} is not a word for {KEYS[name]!r}.")
    return value.strip()


def _attributes(known: Words, annotations: Iterable[Words]) -> tuple[Attribute, ...]:
    """Return the attributes with their words: of info.json, or else those that were found."""
    found: dict[str, set[str]] = {name: set() for name in KEYS}
    for words in annotations:
        for name, of_picture in words.items():
            found[name].update(of_picture)
    listed = {name: LEVELS if name in _LEVELLED else tuple(sorted(found[name])) for name in KEYS}
    words = {**listed, **known}
    # One that no picture has cannot be learnt, and has no words where none are listed.
    return tuple(Attribute(name, words[name], name in SEVERAL) for name in KEYS if found[name])


def _notes_on_rows(
    splits: Mapping[str, Sequence[Record]], annotations: Mapping[_Row, _Annotation]
) -> Iterator[str]:
    """Note what is missing of the published set, and what contradicts itself."""
    for split, published in PUBLISHED.items():
        here = len(splits.get(split, ()))
        if here != published:
            yield f"{split} has {here:,} of the {published:,} pictures that were published"
    times = Counter(record.key for part in splits.values() for record in part)
    repeated = sum(count > 1 for count in times.values())
    if repeated:
        yield f"{repeated:,} pictures are in the lists more than once"
    other = [row for row, a in annotations.items() if a.emotion is not None and a.emotion != row.emotion]
    if other:
        yield (
            f"{len(other):,} annotations name another emotion than the lists do, which were followed; "
            f"the first is of {other[0].image}"
        )


def _notes_on_attributes(
    known: Words,
    attributes: Sequence[Attribute],
    rows: Sequence[_Row],
    annotations: Mapping[_Row, _Annotation],
) -> Iterator[str]:
    if rows:
        times = Counter(name for annotation in annotations.values() for name in annotation.words)
        shares = ", ".join(f"{name} {times[name] / len(rows):.0%}" for name in KEYS)
        yield f"share of pictures with each attribute: {shares}"
    made_up = [attribute.name for attribute in attributes if attribute.name not in {*known, *_LEVELLED}]
    if made_up:
        yield f"{INFO} has no words for {', '.join(made_up)}: those of the annotations were taken, sorted"


# What the files hold. -------------------------------------------------------------------------------

_Word = str | int | float | None  # -1 and None: not known
_Value = _Word | list[_Word]
_StoredEntry = Annotated[list[str], msgspec.Meta(min_length=3, max_length=4)]
T = TypeVar("T")


class _WordList(msgspec.Struct):
    """An attribute in info.json: its words with their numbers."""

    label2idx: dict[str, int | float]


class _StoredAnnotation(msgspec.Struct):
    """A file of annotations; other keys are ignored."""

    emotion: _Word = None
    brightness: _Value = None
    colorfulness: _Value = None
    scene: _Value = None
    object: _Value = None
    facial_expression: _Value = None
    human_action: _Value = None


def _read_json(file: Path, kind: type[T]) -> T:
    """Read and validate a file. Raises `DatasetError` for one that cannot be read or is something else."""
    try:
        return msgspec.json.decode(read_file(file), type=kind)
    except OSError as error:
        raise DatasetError(f"{file} cannot be read: {error.strerror or error}.") from None
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{file} is not as {TITLE} has it ({error}). Get it again ({SOURCE}).") from None
