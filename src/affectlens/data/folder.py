"""A folder per emotion, with or without a folder per split above it (the layout of ImageFolder).

On disk:
    root/<emotion>/**/<picture>                     one split, `all`
    root/<split>/<emotion>/**/<picture>             split: train, val or valid, test

Folder names are matched to a vocabulary by word or alias (`amuse`, `sad`), never by position; a file
root/vocabulary.toml holds it where they are words of their own (`data.vocabularies`). Links are
followed, but none that leads into another emotion's folder, or above them all. A folder that cannot be listed
is a record in its position, as a picture that cannot be read is: opening it reports why.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from affectlens.data.records import ALL, SPLIT_NAMES, DataSource, Record
from affectlens.data.vocabularies import stored_vocabulary, vocabulary_of_labels
from affectlens.emotions import Vocabulary
from affectlens.errors import DatasetError, DatasetNotFound, OutputError, PictureError
from affectlens.files import is_file, is_folder
from affectlens.images import PICTURE_SUFFIXES
from affectlens.listing import list_pictures


def read(root: Path, name: str = "folder", vocabulary: Vocabulary | None = None) -> DataSource:
    """List the pictures below each emotion's folder; notes list what else lies there and was not read.

    Raises `DatasetNotFound` where root is not a folder, `UnknownName` for a folder that is not an emotion,
    `BadVocabulary` for folders whose names cannot be words, and `DatasetError` where there are no folders, or
    two for one split, or the folders of the emotions cannot be listed.
    """
    if not is_folder(root):
        raise DatasetNotFound("The data set", root, "wherever your pictures are")
    parts = _parts(root)
    emotion_folders = [f for part in parts.values() for f in _folders(part)]
    if not emotion_folders:
        raise DatasetError(f"{root} holds no folders. Expected one folder of pictures for each emotion.")
    notes: tuple[str, ...] = ()
    vocabulary = vocabulary or stored_vocabulary([root])
    if vocabulary is None:
        vocabulary, notes = vocabulary_of_labels(f.name for f in emotion_folders)
    unlisted: list[PictureError] = []
    splits: dict[str, list[Record]] = {}
    for split, part in parts.items():
        splits[split] = []
        for folder in _folders(part):
            target = vocabulary.only(folder.name)
            for found in list_pictures(folder, apart=emotion_folders):
                if isinstance(found, PictureError):
                    unlisted.append(found)
                path = Path(found.path) if isinstance(found, PictureError) else found
                splits[split].append(Record(path.relative_to(root).as_posix(), path, target))
    notes += tuple(_left_out(root, parts))
    return DataSource(name, root, vocabulary, splits, notes, unlisted=tuple(unlisted))


def require_apart(out: Path, source: DataSource) -> None:
    """Raise `OutputError` for a folder to write that would be read as one of the data set's own emotions.

    That is the folder of the data set itself, or one in it, where its pictures are found by listing folders.
    """
    target, root = (Path(os.path.realpath(path)) for path in (out, source.root))
    is_listed = source.name == "folder" or (source.name == "fi" and not is_file(root / "splits.tsv"))
    if not is_listed or not target.is_relative_to(root):
        return
    first = target.relative_to(root).parts[:1]
    keys = (record.key for part in source.splits.values() for record in part[:1])
    has_splits = any(key.split("/")[0].lower() in SPLIT_NAMES for key in keys)
    if has_splits and first and first[0].lower() not in SPLIT_NAMES:
        return  # next to the splits, where nothing is read
    raise OutputError(
        f"{out} is in the folder of the pictures, {source.root}, where each folder is read as an emotion. "
        "Choose a folder elsewhere."
    )


def _parts(root: Path) -> dict[str, Path]:
    """The folder of each split; root itself for all where there are none."""
    parts: dict[str, Path] = {}
    for folder in _folders(root):
        split = SPLIT_NAMES.get(folder.name.lower())
        if split in parts:
            raise DatasetError(
                f"{parts[split]} and {folder} both hold the split {split}. Merge them, or move one away."
            )
        if split:
            parts[split] = folder
    return parts or {ALL: root}


def _left_out(root: Path, parts: dict[str, Path]) -> Iterator[str]:
    if ALL not in parts:
        others = [folder.name for folder in _folders(root) if folder not in parts.values()]
        if others:
            yield f"folders next to the splits were not read: {', '.join(others)}"
    for folder in sorted({root, *parts.values()}):
        loose = sum(f.suffix.lower() in PICTURE_SUFFIXES for f in _inside(folder) if is_file(f))
        if loose:
            yield f"{loose:,} pictures in {folder.name} lie in no emotion's folder and were left out"


def _folders(root: Path) -> list[Path]:
    return sorted(f for f in _inside(root) if is_folder(f) and not f.name.startswith("."))


def _inside(folder: Path) -> Sequence[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        reason = error.strerror or error
        raise DatasetError(f"{folder} cannot be listed: {reason}. Change its rights.") from None
