"""Paths as given on a command line -> a lazy stream of pictures.

    a file          itself, whatever its suffix
    a folder        the pictures in it and below, by name, depth first (`listing.list_pictures`)
    a pattern       the files that match: *, ?, [a-z], [!a], and ** for folders at any depth; folders that
                    match are left out (`listing.match_files`). A file that exists under that very name is
                    itself
    a URL           s3://, gs://: a file, a folder or a pattern of an object store (`stores`); file:// is a
                    path of this machine
    a .parquet      the pictures of a table's rows (`stores`); of tables of this machine, a pattern too
    -               paths on standard input, one a line or, as from `find -print0`, ended by NUL bytes;
                    taken as they are: neither folders nor patterns. An empty list is one of no pictures. Or
                    one picture, as from `< photo.jpg`

Order and duplicates stay as given: an answer can be found by its position. What cannot be listed or read, and
a path without pictures, becomes a `PictureError` at its position, and what follows is listed all the same.
"""

import os
import re
import select
import time
from codecs import getincrementaldecoder
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain, groupby
from pathlib import Path, PurePosixPath
from typing import BinaryIO, TypeAlias

from affectlens.errors import NoPictures, PictureDenied, PictureError, PictureTooLarge
from affectlens.extras import PARQUET, require
from affectlens.files import exists, is_file, is_folder
from affectlens.images import PICTURE_SUFFIXES, Source
from affectlens.inference.stores import (
    MAX_BYTES,
    PictureBytes,
    TableRow,
    check_column,
    fetch,
    is_table,
    is_url,
    pictures_at,
    read_rows,
    table_rows,
)
from affectlens.listing import is_pattern, list_pictures, match_files

STANDARD_INPUT = "-"
# A path or URL, a picture's bytes, or the error of a picture, which is passed on to the answers.
Openable: TypeAlias = Path | str | PictureBytes | PictureError
Input: TypeAlias = Openable | TableRow

_AT_ONCE = 65_536
# Bytes that no path has, on any system.
_LONGEST_PATH = 1 << 20
_MARKS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
# How a picture's file begins, by the formats of `images`; what could be a list of paths as well has to go on
# as a picture does, and may not be a name up to its end.
_PICTURE = re.compile(
    rb"\xff\xd8\xff|\x89PNG|RIFF....WEBP|GIF8[79]a.*[\0-\x08]|II[*+]\0|MM\0[*+]"
    rb"|BM........[\0-\x40]\0\0\0|\0\0\0.ftyp|\0\0\0\x0c(jP|JXL)|\xff\x4f\xff\x51|\xff\x0a"
    rb"|P[1-7Ff]\s+(#[^\n]*\n\s*)*\d+\s+\d+\s",
    re.DOTALL,
)
# The first name of a list: text in one line that ends in a suffix, as "GIF89a.jpg"; or, of those that begin
# as a PNM picture's header does, in any letters, as "P4 2023 12 beach": programs end such a header, and its
# lines, by line ends.
_NAME = re.compile(
    rb"[^\0-\x1f\x7f]+\.[^\W_]{3,5}(\r?\n|\0|\Z)"
    rb"|P[1-7Ff] [^\0-\x1f\x7f]*[A-Za-z\x80-\xff][^\0-\x1f\x7f]*\r?\n"
)


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
    (`stores.table_rows`). Raises only for wrong use, and before anything is listed: `UnknownName` or
    `DatasetError` for a table without such a column, and `MissingExtra` where a table or a URL of a store is
    among the paths and pyarrow is not installed.
    """
    return chain.from_iterable(bursts(paths, standard_input, column))


def bursts(
    paths: Iterable[str], standard_input: BinaryIO | None = None, column: str | None = None
) -> Iterator[Iterable[Input]]:
    """Expand paths as `pictures` does, divided so that no part waits for standard input once it has begun.

    What comes on standard input at once is a part, so that it can be predicted before the next comes.
    """
    paths = list(paths)
    silent: dict[str, PictureError] = {}
    for path in paths:
        if _is_in_store(path):
            require(PARQUET, f"Reading {path}")
        if _is_table(path) and path not in silent:
            require(PARQUET, f"Reading {path}")
            error = check_column(local_path(path) or path, column)
            if error is not None and _is_in_store(path):
                silent[path] = error
    return _bursts(paths, standard_input, column, silent)


def _bursts(
    paths: list[str],
    standard_input: BinaryIO | None,
    column: str | None,
    silent: Mapping[str, PictureError],
) -> Iterator[Iterable[Input]]:
    """Expand paths; `silent` are tables in stores that did not answer before, and are not opened again."""
    for path in paths:
        if path == STANDARD_INPUT:
            yield from _from_standard_input(standard_input)
        elif path in silent:
            yield [silent[path]]
        else:
            yield _expanded(path, column)


def _expanded(path: str, column: str | None) -> Iterator[Input]:
    local = local_path(path)
    if not path:
        yield NoPictures(path, "the path is empty. Name a picture, a folder or a pattern.")
    elif _is_table(path):
        yield from _in_tables(local or path, column)
    elif local is not None:
        yield from _as_urls(path, local)
    elif is_url(path):
        yield from pictures_at(path)
    else:
        yield from _on_disk(path)


def _in_tables(path: str, column: str | None) -> Iterator[Input]:
    """List the pictures of a table, or of all that match a pattern."""
    for table in match_files(path) if not is_url(path) and _is_for_others(path) else [path]:
        yield from [table] if isinstance(table, PictureError) else table_rows(table, column)


def _on_disk(path: str) -> Iterator[str | Path | PictureError]:
    if is_folder(path):
        yield from _in_folder(path)
    elif _is_for_others(path):
        yield from match_files(path)
    else:
        yield path


def _is_for_others(path: str) -> bool:
    """Whether a path is a pattern of other files, and not the very name of one."""
    return is_pattern(path) and not os.path.lexists(path)


def _as_urls(url: str, local: str) -> Iterator[Input]:
    """Expand a file:// URL as the path that it means; what is found is named by URLs, too."""
    for found in _on_disk(local):
        if isinstance(found, PictureError):
            yield type(found)(url if found.path == local else found.path, found.reason)
        else:
            yield url if str(found) == local else Path(found).absolute().as_uri()


def local_path(url: str) -> str | None:
    """Return the path on this machine that a file:// URL means; None for whatever else.

    >>> local_path("file:///photos/a%20b.jpg"), local_path("s3://bucket/a.jpg")
    ('/photos/a b.jpg', None)
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() != "file":
        return None
    from urllib.request import url2pathname  # here: it takes long to import

    rest = rest.removeprefix("localhost")
    decoded = url2pathname(rest)
    # Written without escapes, as many do, where a name has a percent sign.
    return rest if exists(rest) and not exists(decoded) else decoded


def _is_table(path: str) -> bool:
    return is_table(path) and not is_folder(local_path(path) or path)


def count(paths: Iterable[str], column: str | None = None, seconds: float = 1.0) -> int | None:
    """Count what `pictures` will yield; None where that takes longer or standard input is among it.

    No store is looked at, which may take a minute to answer, or not to: what has the name of one picture
    counts as one, and of folders, patterns and tables there the number is not known.
    """
    paths = list(paths)
    if any(path == STANDARD_INPUT or (_is_in_store(path) and not _is_one(path)) for path in paths):
        return None
    end = time.monotonic() + seconds
    number = 0
    for expanded in ([path] if _is_one(path) else _expanded(path, column) for path in paths):
        for _ in expanded:
            number += 1
            if time.monotonic() > end:
                return None
    return number


def _is_one(path: str) -> bool:
    if _is_in_store(path):
        name = path.partition("?")[0]
        return PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES and not is_pattern(name)
    return is_file(path) and not is_table(path)


def _is_in_store(path: str) -> bool:
    return is_url(path) and local_path(path) is None


def _from_standard_input(stream: BinaryIO | None) -> Iterator[Iterable[Input]]:
    """Read one picture, or paths as they come."""
    if stream is None:
        yield [NoPictures(STANDARD_INPUT, "standard input is closed. Give it a list of paths.")]
        return
    try:
        begin = _read(stream)
        if not _PICTURE.match(begin) or _NAME.match(begin):
            yield from _paths_in(stream, begin)
            return
        while len(begin) <= MAX_BYTES and (more := _read(stream)):
            begin += more
        if len(begin) > MAX_BYTES:
            yield [
                PictureTooLarge(STANDARD_INPUT, f"more than {MAX_BYTES:,} bytes. Make a smaller copy first.")
            ]
        else:
            yield [PictureBytes(STANDARD_INPUT, bytes(begin))]
    except (OSError, ValueError) as error:  # ValueError: a stream that is closed
        yield [_unreadable(error)]


def paths_in(stream: BinaryIO) -> Iterator[str | PictureError]:
    """Split a stream into paths at line ends, or at NUL bytes where there are any; empty ones are skipped.

    What goes on without either, for longer than any path is, ends it with an error.

    Bytes that are not UTF-8 text are kept, as Python does it with names of files. A byte order mark is not
    part of a path; one of UTF-16 states how the stream is encoded.
    """
    return chain.from_iterable(_paths_in(stream, _read(stream)))


def _paths_in(stream: BinaryIO, chunk: bytes) -> Iterator[list[str | PictureError]]:
    """Yield the paths that are complete after each read; `chunk` is the first."""
    mark = next((mark for mark in _MARKS if chunk.startswith(mark)), b"")
    chunk = chunk.removeprefix(mark)
    decoder = getincrementaldecoder(_MARKS[mark])("replace") if mark and len(mark) == 2 else None
    separator = None
    rest = b""
    while chunk:
        rest += chunk if decoder is None else decoder.decode(chunk).encode()
        separator = separator or next((end for end in (b"\0", b"\n") if end in rest), None)
        if separator:
            *complete, rest = rest.split(separator)
            yield list(_decoded(complete, separator))
        if len(rest) > _LONGEST_PATH:  # which may be endless, and is held in memory
            reason = f"more than {_LONGEST_PATH:,} bytes without a line end. Expected a list of paths."
            yield [PictureDenied(STANDARD_INPUT, reason)]
            return
        chunk = _read(stream)
    yield list(_decoded([rest], separator))


def read_to_end(stream: BinaryIO, most: int) -> bytes:
    """Read all of standard input, also where other programs have set that nothing waits for it.

    Raises `PictureDenied` where it cannot be read, and `PictureTooLarge` for more than `most` bytes.
    """
    found = bytearray()
    try:
        while more := _read(stream):
            found += more
            if len(found) > most:
                raise PictureTooLarge(STANDARD_INPUT, f"more than {most:,} bytes. Save the list as a table.")
    except (OSError, ValueError) as error:
        raise _unreadable(error) from None
    return bytes(found)


def _unreadable(error: Exception) -> PictureDenied:
    reason = getattr(error, "strerror", None) or error
    return PictureDenied(STANDARD_INPUT, f"standard input cannot be read ({reason}).")


def _read(stream: BinaryIO) -> bytes:
    """Read what is there, so that a slow list is used as it comes; nothing at its end."""
    _wait_for(stream)
    found: bytes = getattr(stream, "read1", stream.read)(_AT_ONCE)
    return found


def _wait_for(stream: BinaryIO) -> None:
    """Wait until there is something to read, or the end, where reading itself does not.

    A pipe is that of other programs, too, and they may have set that nothing waits for it. What has not come
    yet would be taken for its end.
    """
    with suppress(OSError, ValueError, AttributeError):  # in memory, closed, or of a system without that
        if not os.get_blocking(stream.fileno()):
            select.select([stream], [], [])


def opened(given: Source | PictureBytes) -> Source:
    """Return a picture as `images.read_pixels` takes it, fetched if it is a URL. Raises `PictureError`."""
    source = given.data if isinstance(given, PictureBytes) else given
    if not isinstance(source, str) or not is_url(source):
        return source
    return local_path(source) or fetch(source)


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


def _decoded(names: Iterable[bytes], separator: bytes | None) -> Iterator[str | PictureError]:
    for name in names:
        path = name if separator == b"\0" else name.removesuffix(b"\r")
        if path:
            yield os.fsdecode(path)


def _in_folder(folder: str) -> Iterator[Path | PictureError]:
    paths = list_pictures(folder)
    first = next(paths, None)
    if first is None:
        yield NoPictures(folder, "no picture lies in this folder or below, by suffix.")
        return
    yield first
    yield from paths
