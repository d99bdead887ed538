"""A folder per emotion, with or without a folder per split above it (the layout of ImageFolder).

On disk:
    root/<emotion>/**/<picture>                     one split, `all`
    root/<split>/<emotion>/**/<picture>             split: train, val or valid, test

Folder names are matched to a vocabulary by word or alias (`amuse`, `sad`), never by position.
"""

from collections.abc import Iterator
from pathlib import Path

from affectlens.data.records import ALL, SPLIT_NAMES, DataSource, Record
from affectlens.emotions import Vocabulary, find_vocabulary
from affectlens.errors import DatasetError, DatasetNotFound, PictureError
from affectlens.images import PICTURE_SUFFIXES
from affectlens.listing import list_pictures


def read(root: Path, name: str = "folder") -> DataSource:
    """List the pictures below each emotion's folder; notes list what else lies there and was not read.

    Raises `DatasetNotFound` where root is not a folder, `UnknownName` for a folder that is not an emotion,
    and `DatasetError` where there are no folders, or two for one split.
    """
    if not root.is_dir():
        raise DatasetNotFound("The data set", root, "wherever your pictures are")
    parts = _parts(root)
    emotion_folders = [f for part in parts.values() for f in _folders(part)]
    if not emotion_folders:
        raise DatasetError(f"{root} holds no folders. Expected one folder of pictures for each emotion.")
    vocabulary = find_vocabulary(f.name for f in emotion_folders)
    splits = {split: records_below(part, root, vocabulary) for split, part in parts.items()}
    return DataSource(name, root, vocabulary, splits, tuple(_left_out(root, parts)))


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
        loose = sum(f.suffix.lower() in PICTURE_SUFFIXES for f in folder.iterdir() if f.is_file())
        if loose:
            yield f"{loose:,} pictures in {folder.name} lie in no emotion's folder and were left out"


def records_below(part: Path, root: Path, vocabulary: Vocabulary) -> list[Record]:
    """List `part/<emotion>/**` in sorted order, with keys relative to root."""
    return [
        Record(path.relative_to(root).as_posix(), path, vocabulary.only(folder.name))
        for folder in _folders(part)
        for path in _listed(folder)
    ]


def _listed(folder: Path) -> Iterator[Path]:
    """List pictures. Raises `PictureError`: a data set that silently lacks some would be another one."""
    for found in list_pictures(folder):
        if isinstance(found, PictureError):
            raise found
        yield found


def _folders(root: Path) -> list[Path]:
    return sorted(f for f in root.iterdir() if f.is_dir() and not f.name.startswith("."))
