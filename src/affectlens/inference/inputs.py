"""Paths as given on a command line -> a lazy stream of pictures.

    a file          itself, whatever its suffix
    a folder        the pictures in it and below, by name, depth first (`images.list_pictures`)
    a pattern       the files that match: *, ?, [...], and ** for folders at any depth; folders that match
                    are left out. A file that exists under that very name is itself
    a URL           s3://, gs://, file://: a file, a folder or a pattern of an object store (`stores`)
    a .parquet      the pictures of a table's rows (`stores`)
    -               paths on standard input, one a line or, as from `find -print0`, ended by NUL bytes;
                    taken as they are: neither folders nor patterns

Order and duplicates stay as given: an answer can be found by its position. A path without pictures becomes a
`PictureError` at its position.
"""

import glob
import io
import os
import time
from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from pathlib import Path
from typing import BinaryIO, TypeAlias

from affectlens.errors import PictureDenied, PictureError, PictureNotFound
from affectlens.extras import PARQUET, require
from affectlens.images import Source, list_pictures
from affectlens.inference.stores import (
    PictureBytes,
    TableRow,
    fetch,
    is_table,
    is_url,
    pictures_at,
    read_rows,
    table_rows,
)

STANDARD_INPUT = "-"
# A path or URL, a picture's bytes, or the error of a picture, which is passed on to the answers.
Openable: TypeAlias = Path | str | PictureBytes | PictureError
Input: TypeAlias = Openable | TableRow

_AT_ONCE = 65_536


def name_of(given: Input) -> str:
    """Return the path as it is written into results."""
    if isinstance(given, PictureError):
        return given.path
    return given.name if isinstance(given, PictureBytes | TableRow) else str(given)


def pictures(
    paths: Iterable[str], standard_input: BinaryIO | None = None, column: str | None = None
) -> Iterator[Input]:
    """Expand paths to pictures, one after the other and only as far as they are taken.

    `standard_input` is read where `-` is among the paths; `column` of tables holds the pictures
    (`stores.table_rows`). Raises `DatasetError` or `UnknownName` for a table that cannot be read; and, before
    anything is read, `MissingExtra` where a table or a URL is among the paths and pyarrow is not installed.
    """
    paths = list(paths)
    for path in paths:
        if _is_table(path) or is_url(path):
            require(PARQUET, f"Reading {path}")
    return _expanded(paths, standard_input, column)


def _expanded(paths: list[str], standard_input: BinaryIO | None, column: str | None) -> Iterator[Input]:
    for path in paths:
        if path == STANDARD_INPUT:
            yield from paths_in(standard_input or io.BytesIO())
        elif _is_table(path):
            yield from table_rows(path, column)
        elif is_url(path):
            yield from pictures_at(path)
        elif Path(path).is_dir():
            yield from _in_folder(path)
        elif not os.path.lexists(path) and glob.has_magic(path):
            yield from _matching(path)
        else:
            yield path


def _is_table(path: str) -> bool:
    return is_table(path) and not Path(path).is_dir()


def count(paths: Iterable[str], seconds: float = 1.0) -> int | None:
    """Count what `pictures` will yield; None where that takes longer or standard input is among it."""
    paths = list(paths)
    if STANDARD_INPUT in paths:
        return None
    end = time.monotonic() + seconds
    number = 0
    for expanded in ([path] if _is_one(path) else pictures([path]) for path in paths):
        for _ in expanded:
            number += 1
            if time.monotonic() > end:
                return None
    return number


def _is_one(path: str) -> bool:
    return Path(path).is_file() and not is_table(path)


def paths_in(stream: BinaryIO) -> Iterator[str]:
    """Split a stream into paths at line ends, or at NUL bytes where there are any; empty ones are skipped.

    Bytes that are not UTF-8 text are kept, as Python does it with names of files.
    """
    separator = None
    rest = b""
    # A read that takes what is there, so that a slow list is used as it comes.
    while chunk := getattr(stream, "read1", stream.read)(_AT_ONCE):
        rest += chunk
        separator = separator or next((end for end in (b"\0", b"\n") if end in rest), None)
        if separator:
            *complete, rest = rest.split(separator)
            yield from _decoded(complete, separator)
    yield from _decoded([rest], separator)


def opened(given: Source | PictureBytes) -> Source:
    """Return a picture as `images.read_pixels` takes it, fetched if it is a URL. Raises `PictureError`."""
    if isinstance(given, PictureBytes):
        return given.data
    return fetch(given) if isinstance(given, str) and is_url(given) else given


def renamed(error: PictureError, given: Source | PictureBytes) -> PictureError:
    """Return the error of a picture; of one that was read as bytes from elsewhere, under its own name."""
    if isinstance(given, PictureBytes) or (isinstance(given, str) and is_url(given)):
        return type(error)(name_of(given), error.reason)
    return error


def load_rows(inputs: Iterable[Input]) -> Iterator[Openable]:
    """Replace rows of tables by their pictures' bytes, a few at a time; everything else passes through."""
    for run, numbered in groupby(enumerate(inputs), _run_of):
        members = (given for _, given in numbered)
        yield from members if run is None else read_rows(members)  # type: ignore[arg-type, misc]


def _run_of(numbered: tuple[int, Input]) -> tuple[str, str, int] | None:
    """Return what rows of a table that follow one another have in common."""
    index, given = numbered
    return (given.table, given.column, given.row - index) if isinstance(given, TableRow) else None


def _decoded(names: Iterable[bytes], separator: bytes | None) -> Iterator[str]:
    for name in names:
        path = name if separator == b"\0" else name.removesuffix(b"\r")
        if path:
            yield os.fsdecode(path)


def _in_folder(folder: str) -> Iterator[Input]:
    try:
        paths = list_pictures(folder)
        first = next(paths, None)
        if first is None:
            yield PictureNotFound(folder, "no picture lies in this folder or below, by suffix.")
            return
        yield from chain([first], paths)
    except PictureDenied as error:
        rest = "" if error.path == folder else f" What follows it in {folder} was left out as well."
        yield PictureDenied(error.path, error.reason + rest)
    except PictureError as error:
        yield error


def _matching(pattern: str) -> Iterator[Input]:
    # Sorted, and so held in memory: the order in which a system lists files is not the same every time.
    # Not Path.glob, which wants a folder and a pattern separately and lists hidden files.
    matches = sorted(glob.iglob(pattern, recursive=True))  # noqa: PTH207
    paths = [path for path in matches if not Path(path).is_dir()]
    if not paths:
        yield PictureNotFound(pattern, "no file matches this pattern. Check its spelling.")
    yield from paths
