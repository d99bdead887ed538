"""Data sets by name: `fi:PATH`, `folder:PATH`, `csv:FILE`, `jsonl:FILE`."""

from collections.abc import Callable, Mapping
from pathlib import Path

from affectlens.data import fi, folder, table
from affectlens.data.records import DataSource
from affectlens.errors import SettingsError, UnknownName

READERS: Mapping[str, tuple[Callable[[Path], DataSource], str]] = {
    "fi": (fi.read, "Flickr and Instagram (You et al., 2016), in any of its layouts"),
    "folder": (folder.read, "one folder of pictures for each emotion, with or without splits above"),
    "csv": (table.read, "a CSV or TSV file: path, label or weights, split"),
    "jsonl": (table.read, "a JSONL file: path, label or weights, split"),
}


def open_data(spec: str) -> DataSource:
    """Read the data set that `NAME:PATH` means; a bare path is looked at to find what it is.

    Raises `UnknownName` for a name that is no data set, and what its reader raises.
    """
    name, separator, path = spec.partition(":")
    if separator and name in READERS:
        return READERS[name][0](Path(path).expanduser())
    bare = Path(spec).expanduser()
    if bare.is_dir():
        return (fi.read if (bare / "splits.tsv").is_file() else folder.read)(bare)
    if bare.is_file():
        return table.read(bare)
    if separator and len(name) > 1:  # one letter is a drive of Windows
        raise UnknownName("data set", name, READERS, "the catalogue")
    raise SettingsError(f"{spec!r} is no data set. Write NAME:PATH with a name of: {', '.join(READERS)}.")
