"""Words of a command line -> a lazy stream of pictures' paths.

    a file          itself, whatever its suffix
    a folder        the pictures in it and below, by name, depth first (`images.list_pictures`)
    a pattern       the files that match: *, ?, [...], and ** for folders at any depth; folders that match
                    are left out. What exists under that very name is no pattern
    a URL           s3://, gs://, file://: a file, a folder or a pattern of an object store (`stores`)
    a .parquet      the pictures of a table's rows (`stores`)
    -               paths on standard input, one a line or, as from `find -print0`, ended by NUL bytes;
                    taken as they are: neither folders nor patterns

Order and duplicates stay as given: an answer can be found by its position, and nobody's list is changed
behind their back. A word that stands for no picture becomes a `PictureError` in its place.
"""

import glob
import os
import time
from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from pathlib import Path
from typing import BinaryIO, TypeAlias

from affectlens.errors import PictureDenied, PictureError, PictureNotFound
from affectlens.images import Source, list_pictures
from affectlens.inference.stores import (
    Held,
    TableRow,
    fetch,
    held,
    is_table,
    is_url,
    listed_at,
    table_rows,
)

STANDARD_INPUT = "-"
# A path or URL, a picture's bytes or where they stand, or why there is none: it takes its place among the
# answers.
Ready: TypeAlias = Path | str | Held | PictureError
Input: TypeAlias = Ready | TableRow

_AT_ONCE = 65_536


def name_of(given: Input) -> str:
    """The path as it is written into results."""
    if isinstance(given, PictureError):
        return given.path
    return given.name if isinstance(given, Held | TableRow) else str(given)


def pictures(words: Iterable[str], standard_input: BinaryIO, column: str | None = None) -> Iterator[Input]:
    """Expand words to paths, one after the other and only as far as they are asked for.

    `column` of tables holds the pictures (`stores.table_rows`). Raises `DatasetError` or `UnknownName` for a
    table that cannot be read.
    """
    for word in words:
        if word == STANDARD_INPUT:
            yield from listed(standard_input)
        elif is_table(word) and not Path(word).is_dir():
            yield from table_rows(word, column)
        elif is_url(word):
            yield from listed_at(word)
        elif Path(word).is_dir():
            yield from _in_folder(word)
        elif not os.path.lexists(word) and glob.has_magic(word):
            yield from _matching(word)
        else:
            yield word


def count(words: Iterable[str], seconds: float = 1.0) -> int | None:
    """Count what `pictures` will yield; None where that takes longer or standard input is among it."""
    words = list(words)
    if STANDARD_INPUT in words:
        return None
    end = time.monotonic() + seconds
    number = 0
    for expanded in ([word] if _is_one(word) else pictures([word], _NOTHING) for word in words):
        for _ in expanded:
            number += 1
            if time.monotonic() > end:
                return None
    return number


def _is_one(word: str) -> bool:
    return Path(word).is_file() and not is_table(word)


def listed(stream: BinaryIO) -> Iterator[str]:
    """Split a stream into paths at line ends, or at NUL bytes where there are any; empty ones are skipped.

    Bytes that are no text stay what they are, as Python does it with names of files.
    """
    separator = None
    rest = b""
    # A read that takes what is there, so that a slow list is not waited for as a whole.
    while chunk := getattr(stream, "read1", stream.read)(_AT_ONCE):
        rest += chunk
        separator = separator or next((end for end in (b"\0", b"\n") if end in rest), None)
        if separator:
            *whole, rest = rest.split(separator)
            yield from _paths(whole, separator)
    yield from _paths([rest], separator)


def opened(given: Source | Held) -> Source:
    """What `images.read_pixels` takes, of a picture given by URL or with its bytes. Raises `PictureError`."""
    if isinstance(given, Held):
        return given.data
    return fetch(given) if isinstance(given, str) and is_url(given) else given


def renamed(error: PictureError, given: Source | Held) -> PictureError:
    """The error of a picture; of one that was read as bytes from elsewhere, under its own name."""
    if isinstance(given, Held) or (isinstance(given, str) and is_url(given)):
        return type(error)(name_of(given), error.reason)
    return error


def read_ahead(inputs: Iterable[Input]) -> Iterator[Ready]:
    """Put their bytes in the place of rows of tables, a few at a time; everything else passes through."""
    for run, numbered in groupby(enumerate(inputs), _run_of):
        members = (given for _, given in numbered)
        yield from members if run is None else held(members)  # type: ignore[arg-type, misc]


def _run_of(numbered: tuple[int, Input]) -> tuple[str, str, int] | None:
    """What rows of a table that follow one another have in common."""
    place, given = numbered
    return (given.table, given.column, given.row - place) if isinstance(given, TableRow) else None


def _paths(names: Iterable[bytes], separator: bytes | None) -> Iterator[str]:
    for name in names:
        path = name if separator == b"\0" else name.removesuffix(b"\r")
        if path:
            yield os.fsdecode(path)


def _in_folder(word: str) -> Iterator[Input]:
    try:
        paths = list_pictures(word)
        first = next(paths, None)
        if first is None:
            yield PictureNotFound(word, "no picture lies in this folder or below, by suffix.")
            return
        yield from chain([first], paths)
    except PictureDenied as error:
        rest = "" if error.path == word else f" What follows it in {word} was left out as well."
        yield PictureDenied(error.path, error.reason + rest)
    except PictureError as error:
        yield error


def _matching(pattern: str) -> Iterator[Input]:
    # Sorted, and so held in memory: the order in which a system lists files is not the same every time.
    # Not Path.glob, which wants a folder and a pattern apart and lists hidden files.
    matches = sorted(glob.iglob(pattern, recursive=True))  # noqa: PTH207
    paths = [path for path in matches if not Path(path).is_dir()]
    if not paths:
        yield PictureNotFound(pattern, "no file matches this pattern. Check its spelling.")
    yield from paths


class _Nothing:
    """An empty standard input."""

    def read(self, _: int) -> bytes:
        return b""


_NOTHING: BinaryIO = _Nothing()  # type: ignore[assignment]
