"""Data sets by name: `emoset:PATH`, `fi:PATH`, `folder:PATH`, `csv:FILE`, `jsonl:FILE`.

A table's paths are relative to its own folder. Where the pictures lie elsewhere, as with the `splits.tsv`
of a training run, write `csv:FILE@FOLDER`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from affectlens.data import emoset, fi, folder, table, vocabularies
from affectlens.data.rated_table import (
    RatedPicture,
    ScaleEnds,
    mean_ratings,
    own_scale,
    read_ratings,
    require_columns,
    require_rating_name,
    source_of_polarity,
    source_of_ratings,
    with_ratings,
)
from affectlens.data.records import ALL, DataSource
from affectlens.data.splits import VAL
from affectlens.emotions import MIKELS, Vocabulary
from affectlens.errors import DatasetError, SettingsError, UnknownName
from affectlens.files import exists, is_file, is_folder, is_pipe_or_device
from affectlens.ratings import VALENCE, RatingColumn

SPLITS = "splits.tsv"
UNKNOWN_LICENCE = "as given by the makers of the data set"


@dataclass(frozen=True)
class DataSetEntry:
    """A data set, or a way to store one.

    Attributes:
        read: its folder or file -> records; those whose words may be any take a vocabulary too
        summary: one line for users
        licence: of its pictures and labels, a clause without its full stop
        commercial: whether its makers allow to sell what learned from it; None where that is not known here
        any_words: whether its labels may be any words
    """

    read: Callable[..., DataSource]
    summary: str
    licence: str = UNKNOWN_LICENCE
    commercial: bool | None = None
    any_words: bool = False


def _folder(path: Path, vocabulary: Vocabulary | None = None) -> DataSource:
    return folder.read(path, vocabulary=vocabulary)


def _table(path: Path, vocabulary: Vocabulary | None = None) -> DataSource:
    file, separator, root = str(path).rpartition("@")
    if separator and not exists(path):
        for part in (file, root):
            _require_path(str(path), part)
        return table.read(Path(file), root=Path(root).expanduser(), vocabulary=vocabulary)
    return table.read(path, vocabulary=vocabulary)


def _table_of_splits(root: Path, vocabulary: Vocabulary | None = None) -> DataSource:
    return table.read(root / SPLITS, vocabulary=vocabulary)


DATA_SETS: Mapping[str, DataSetEntry] = {
    "emoset": DataSetEntry(
        emoset.read,
        "EmoSet-118K (Yang et al., 2023), either release, with its attributes",
        emoset.LICENCE,
        commercial=False,
    ),
    "fi": DataSetEntry(
        fi.read,
        "Flickr and Instagram (You et al., 2016), in any of its layouts",
        fi.LICENCE,
        commercial=False,
    ),
    "folder": DataSetEntry(
        _folder, "one folder of pictures for each emotion, with or without splits above", any_words=True
    ),
    "csv": DataSetEntry(
        _table,
        "a CSV or TSV file: path, label or weights, split; FILE@FOLDER if its pictures lie there",
        any_words=True,
    ),
    "jsonl": DataSetEntry(_table, "a JSONL file with the same; likewise FILE@FOLDER", any_words=True),
}


def licence(name: str) -> str:
    """Return the licence of a data set by its name (`DataSource.name`).

    >>> licence("folder")
    'as given by the makers of the data set'
    """
    return DATA_SETS[name].licence if name in DATA_SETS else UNKNOWN_LICENCE


def commercial_use(licences: str) -> bool | None:
    """Whether what learned from data may be used commercially, by the `licence` of the data as a card has it.

    None where that is not known. Of a text with the licences of several data sets the strictest counts.

    >>> commercial_use(licence("fi")), commercial_use(f"{licence('folder')}; {licence('fi')}")
    (False, False)
    """
    for entry in DATA_SETS.values():
        if entry.commercial is False and entry.licence in licences:
            return False
    return True if any(e.commercial and e.licence == licences for e in DATA_SETS.values()) else None


def open_data(spec: str, vocabulary: Vocabulary | None = None) -> DataSource:
    """Read the data set that `NAME:PATH` means; the kind of a bare path is found by what lies there.

    Labels of folders and tables are words of `vocabulary` where it is given; by default it is found
    (`data.vocabularies`). Raises `UnknownName` for a name that is not a data set, `SettingsError` for an
    empty path, and what its reader raises.
    """
    name, separator, path = spec.partition(":")
    if separator and name in DATA_SETS:
        _require_path(spec, path)
        given = {"vocabulary": vocabulary} if DATA_SETS[name].any_words else {}
        return DATA_SETS[name].read(Path(path).expanduser(), **given)
    _require_path(spec, spec)
    bare = Path(spec).expanduser()
    if is_folder(bare):
        return _read_folder(bare, vocabulary)
    files = (bare, Path(spec.rpartition("@")[0]).expanduser())
    if any(is_file(file) or is_pipe_or_device(file) for file in files):
        return _table(bare, vocabulary)
    if separator and len(name) > 1:  # one letter is a drive of Windows
        raise UnknownName("data set", name, DATA_SETS, "the catalogue")
    raise SettingsError(
        f"{spec!r} is not a data set. Write NAME:PATH with a name of: {', '.join(DATA_SETS)}."
    )


def table_of(spec: str) -> tuple[Path, Path] | None:
    """Return the file and the folder of the pictures of the table that `open_data` reads, if it reads one.

    Raises `SettingsError` for an empty path.
    """
    name, separator, path = spec.partition(":")
    is_named = bool(separator) and name in DATA_SETS
    if is_named and DATA_SETS[name].read is not _table:
        return None
    given = Path(path if is_named else spec).expanduser()
    _require_path(spec, path if is_named else spec)
    file, at, root = str(given).rpartition("@")
    if at and not exists(given):
        given, folder_of = Path(file), Path(root).expanduser()
    else:
        folder_of = given.parent
    return (given, folder_of) if is_named or is_file(given) else None


def default_split(spec: str, source: DataSource | None) -> str:
    """Return the split that is scored where none is named: `val`; of a data set without splits, `all`.

    `source` is the data set, opened; None for a table of ratings alone, which is read. Raises what that does.
    """
    if source is not None:
        present = {name for name, part in source.splits.items() if part}
    else:
        found = table_of(spec)
        assert found is not None, "only tables have ratings"
        present = {table.split_of(found[0], number, row) for number, row in table.rows_of(found[0])}
    return ALL if present == {ALL} else VAL


def open_with_ratings(spec: str) -> tuple[DataSource, list[RatedPicture], bool]:
    """Open a data set, and the ratings of its table if it is one: also a table that has ratings alone.

    Returns the data set, the pictures that have valence or arousal, whatever their scale, and whether the
    data set has emotions; without them all of its targets are alike. Raises what `open_data` and
    `rated_table.read_ratings` raise.
    """
    found = table_of(spec)
    if found is None:
        return open_data(spec), [], True
    file, root = found
    rated, notes = mean_ratings(read_ratings(file, root, table.RATINGS, None))
    if not rated or table.has_emotions(table.rows_of(file), MIKELS):
        return open_data(spec), rated, True
    return replace(source_of_ratings(root, rated, MIKELS), notes=notes), rated, False


def open_rated_data(
    spec: str, scales: Mapping[str, ScaleEnds], vocabulary: Vocabulary | None = None
) -> DataSource:
    """Open a table of pictures with the ratings that are named, which have these ends of their scales.

    A table may have ratings and no labels: emotions are then positive and negative, by which side of the
    middle of its scale a picture's valence is on; on the middle it is half of each. Rows of one picture are
    several people's, whose mean counts.

    Raises `SettingsError` for data that are not a table and for names that cannot be ratings, `UnknownName`
    for one that is not a column, `DatasetError` where neither labels nor valence are there, and what
    `open_data` and `rated_table.read_ratings` raise.
    """
    found = table_of(spec)
    if found is None:
        raise SettingsError(f"Ratings are columns of a table, which {spec} is not. Write csv:FILE@FOLDER.")
    file, root = found
    rated, notes = mean_ratings(read_ratings(file, root, list(scales), scales))
    require_columns(file, scales)
    rows = table.without_columns(table.rows_of(file), scales)
    if table.has_emotions(rows, vocabulary or vocabularies.stored_vocabulary([file.parent, root]) or MIKELS):
        source = table.read(file, root=root, vocabulary=vocabulary, rated=scales)
    else:
        source = _of_polarity(file, root, rated, scales)
    columns = tuple(RatingColumn(name, ends, own_scale(name, ends)) for name, ends in scales.items())
    for name in scales:
        require_rating_name(name, source.vocabulary)
    return replace(with_ratings(source, rated, columns), notes=(*source.notes, *notes))


def _of_polarity(
    file: Path, root: Path, rated: Sequence[RatedPicture], scales: Mapping[str, ScaleEnds]
) -> DataSource:
    """Make a data set of pictures that have ratings and no labels: of which polarity their valence is.

    Pictures without a valence are left out, which a note states. Raises `DatasetError`.
    """
    if VALENCE not in scales:
        raise DatasetError(
            f"{file} has no labels, and {VALENCE}, by which a picture is positive or negative, is not among "
            f"the ratings: {', '.join(scales)}. Name it too, or add a column 'label'."
        )
    known = [each for each in rated if VALENCE in each.ratings]
    source = source_of_polarity(root, known, scales[VALENCE])
    note = f"labels are positive and negative, by which side of the middle of its scale {VALENCE} is on"
    left_out = len(rated) - len(known)
    note += f"; {left_out:,} pictures without {VALENCE} are left out" if left_out else ""
    return replace(source, notes=(note,))


def _require_path(spec: str, path: str) -> None:
    """Raise `SettingsError` for an empty path, which would mean the working folder."""
    if not path:
        raise SettingsError(f"{spec!r} has an empty path. Write . for the folder that you work in.")


def _read_folder(root: Path, vocabulary: Vocabulary | None) -> DataSource:
    """Read a folder as the kind of data set that a file shows, which no other kind has."""
    if (root / SPLITS).is_file():
        own = vocabulary is not None or (root / vocabularies.FILE).exists()
        source = _table_of_splits(root, vocabulary)
        return source if own or source.vocabulary != MIKELS else replace(source, name="fi")
    if (root / emoset.INFO).is_file() and (root / "annotation").is_dir():
        return emoset.read(root)
    return _folder(root, vocabulary)
