"""A folder per emotion, with or without a folder per split above it (the layout of ImageFolder).

On disk:
    root/<emotion>/**/<picture>                     one split, `all`
    root/<split>/<emotion>/**/<picture>             split: train, val or valid, test

Folder names are matched to a vocabulary by word or alias (`amuse`, `sad`), never by position.
"""

from pathlib import Path

from affectlens.data.records import ALL, SPLIT_NAMES, DataSource, Record
from affectlens.emotions import Vocabulary, find_vocabulary
from affectlens.errors import DatasetError, DatasetNotFound
from affectlens.images import list_pictures


def read(root: Path, name: str = "folder") -> DataSource:
    """List the pictures below each emotion's folder.

    Raises `DatasetNotFound` where root is no folder, `UnknownName` for a folder that is no emotion.
    """
    if not root.is_dir():
        raise DatasetNotFound("The data set", root, "wherever your pictures are")
    parts = {SPLIT_NAMES[f.name.lower()]: f for f in _folders(root) if f.name.lower() in SPLIT_NAMES}
    parts = parts or {ALL: root}
    emotion_folders = [f for part in parts.values() for f in _folders(part)]
    if not emotion_folders:
        raise DatasetError(f"{root} holds no folders. Expected one folder of pictures for each emotion.")
    vocabulary = find_vocabulary(f.name for f in emotion_folders)
    splits = {split: records_below(part, root, vocabulary) for split, part in parts.items()}
    return DataSource(name, root, vocabulary, splits)


def records_below(part: Path, root: Path, vocabulary: Vocabulary) -> list[Record]:
    """List `part/<emotion>/**` in sorted order, with keys relative to root."""
    return [
        Record(path.relative_to(root).as_posix(), path, vocabulary.only(folder.name))
        for folder in _folders(part)
        for path in list_pictures(folder)
    ]


def _folders(root: Path) -> list[Path]:
    return sorted(f for f in root.iterdir() if f.is_dir() and not f.name.startswith("."))
