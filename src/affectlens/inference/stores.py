"""Pictures that are not local files: in object stores by URL, and in the rows of Parquet tables.

    s3://bucket/key, gs://bucket/key    what `pyarrow.fs` opens. A folder is walked and a pattern matched as
                    on a disk; `?` begins options, as in s3://bucket/key?region=eu-west-1
    TABLE.parquet   one picture a row: a column of paths or URLs, or one of encoded bytes, with or without a
                    a column of names. The column `image` of a Hugging Face data set is one of these

A relative path in a table is relative to the table's folder, as in any table of pictures (`data.table`).
Nothing here raises for what a store or a table answers, or does not answer within `SECONDS`: it is a
`PictureError` instead of the pictures that it concerns.
"""

import os
import queue
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path, PurePosixPath
from threading import Thread
from typing import Any, TypeVar

from affectlens.errors import (
    AffectLensError,
    DatasetError,
    NoPictures,
    NotAPicture,
    PictureDamaged,
    PictureDenied,
    PictureEmpty,
    PictureError,
    PictureIsFolder,
    PictureNotFound,
    PictureTooLarge,
    UnknownName,
    first_line,
)
from affectlens.extras import PARQUET, require
from affectlens.files import exists, is_file
from affectlens.images import PICTURE_SUFFIXES

TABLE = ".parquet"
COLUMNS = ("image", "path", "url", "file", "file_name", "bytes")  # looked for in this order
ROWS_AT_ONCE = 64  # encoded pictures of a table that are held at once
# A column that unpacks to more than so many bytes, and to more than so many times what is stored, is refused.
_DENSE_BYTES, _DENSEST = 64_000_000, 100
SCHEMES = ("s3", "gs", "gcs")  # of stores; others of pyarrow's start programs, or end the process
SECONDS = 60.0  # for each answer of a store
MAX_BYTES = 1 << 30  # of a picture's file that is held in memory

T = TypeVar("T")


@dataclass(frozen=True)
class PictureBytes:
    """A picture file's bytes, or where they can be read, under the name that its answer will have."""

    name: str
    data: bytes | str


@dataclass(frozen=True)
class TableRow:
    """A picture whose bytes stand in a row (from 0) of a Parquet table's column; nothing is read yet."""

    name: str
    table: str
    column: str
    row: int


# --------------------------------------------------------------------------------------- object stores


def is_url(path: str) -> bool:
    """Whether a path is a URL of an object store.

    >>> is_url("s3://bucket/a.jpg"), is_url("photos/a.jpg")
    (True, False)
    """
    scheme, separator, _ = path.partition("://")
    return bool(separator) and scheme.isalnum()


def fetch(url: str) -> bytes:
    """Read all bytes of a picture file. Raises `PictureError`."""
    data = _within_seconds(url, lambda: _fetched(url))
    if not data:
        raise PictureEmpty(url, "the file is empty: zero bytes. Upload it again.")
    return data


def _fetched(url: str) -> bytes:
    store, path = _opened(url)
    try:
        with store.open_input_file(path) as file:
            if file.size() > MAX_BYTES:
                raise PictureTooLarge(url, f"a file of {file.size():,} bytes. Make a smaller copy first.")
            data: bytes = file.read()
            return data
    except FileNotFoundError:
        raise PictureNotFound(url, "nothing can be found at this URL. Check its spelling.") from None
    except OSError:
        if store.get_file_info(path).type.name == "Directory":
            raise PictureIsFolder(url, "this is a folder. Expected a picture.") from None
        raise


def pictures_at(url: str) -> Iterator[str | PictureError]:
    """Expand a URL: a file to itself, a folder to the pictures below by name, a pattern to what matches.

    One folder at a time is listed, and held, as on a disk. A URL without pictures becomes a `PictureError`,
    and so does a folder below that cannot be listed.
    """

    def look() -> tuple[Any, str, str]:
        store, path = _opened(url)
        return store, path, store.get_file_info(path).type.name

    try:
        store, path, kind = _within_seconds(url, look)
    except PictureError as error:
        yield error
        return
    if kind == "File":
        yield url
        return
    root = path if kind == "Directory" else _before_pattern(path)
    found = False
    if kind == "Directory" or root != path:
        for below in _walk(store, root, url):
            if isinstance(below, PictureError):
                found = True
                yield below
                continue
            suits = PurePosixPath(below).suffix.lower() in PICTURE_SUFFIXES
            if suits if kind == "Directory" else _matches(below, path):
                found = True
                yield _url_of(url, below)
    if not found:
        yield NoPictures(url, "no picture can be found at this URL or below. Check its spelling.")


def _within_seconds(url: str, work: Callable[[], T]) -> T:
    """Return what a store answers. Raises `PictureError`, also where it has not answered in time.

    The work is done in a thread, which goes on without us then: there is no other way to leave it.
    """
    answers: queue.Queue[tuple[T | None, Exception | None]] = queue.Queue()

    def answer() -> None:
        try:
            answers.put((work(), None))
        except Exception as error:  # the clients of stores raise whatever they have
            answers.put((None, error))

    Thread(target=answer, name="store", daemon=True).start()
    try:
        value, error = answers.get(timeout=SECONDS)
    except queue.Empty:
        reason = f"no answer within {SECONDS:.0f} seconds. Check the address and the connection."
        raise PictureDenied(url, reason) from None
    if isinstance(error, AffectLensError):
        raise error
    if error is not None:
        raise _denied(url, error) from None
    return value  # type: ignore[return-value]


def _opened(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, and the path in it."""
    require(PARQUET, f"Opening {url}")
    scheme, _, rest = url.partition("://")
    path, _, options = rest.partition("?")
    bucket, _, key = path.partition("/")
    if scheme.lower() not in SCHEMES:
        raise PictureDenied(url, "URLs of this kind are not read; s3://, gs:// and file:// are.")
    try:
        store = _store(scheme, bucket, options)
    except (ValueError, TypeError, OSError, NotImplementedError) as error:
        raise PictureDenied(url, f"this kind of URL cannot be opened ({first_line(error)}).") from None
    return store, f"{bucket}/{key}" if bucket else f"/{key}"


@lru_cache(maxsize=64)
def _store(scheme: str, bucket: str, options: str) -> Any:
    from pyarrow import fs  # here: jobs on local files need not wait for it

    store, _ = fs.FileSystem.from_uri(f"{scheme}://{bucket}/{'?' if options else ''}{options}")
    return store


def _url_of(example: str, path: str) -> str:
    """Return the URL of a path in the same store, with the same options."""
    scheme, _, rest = example.partition("://")
    options = rest.partition("?")[2]
    return f"{scheme}://{path}" + (f"?{options}" if options else "")


def _before_pattern(path: str) -> str:
    """Return the deepest folder above the first part that has a wildcard."""
    plain: list[str] = []
    for part in path.split("/"):
        if any(letter in part for letter in "*[") and plain:
            return "/".join(plain)
        plain.append(part)
    return path


def _matches(path: str, pattern: str) -> bool:
    """Match as on a disk: * stays within a folder, ** is any number of folders."""
    return _match(path.split("/"), pattern.split("/"))


def _match(parts: list[str], patterns: list[str]) -> bool:
    if not patterns:
        return not parts
    if patterns[0] == "**":
        return any(_match(parts[skip:], patterns[1:]) for skip in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], patterns[0]) and _match(parts[1:], patterns[1:])


def _walk(store: Any, root: str, url: str) -> Iterator[str | PictureError]:
    """Yield files below a folder, by name, depth first, hidden ones left out."""
    from pyarrow import fs

    waiting = [(root, True)]
    while waiting:
        path, is_folder = waiting.pop()
        if not is_folder:
            yield path
            continue
        selector = fs.FileSelector(path)
        try:
            listed = _within_seconds(_url_of(url, path), lambda s=selector: store.get_file_info(s))  # type: ignore[misc]
        except PictureError as error:
            yield error
            continue
        entries = sorted(listed, key=lambda entry: entry.path)
        visible = [entry for entry in entries if not entry.base_name.startswith(".")]
        waiting += [(entry.path, entry.type.name == "Directory") for entry in reversed(visible)]


def _denied(url: str, error: Exception) -> PictureDenied:
    return PictureDenied(
        url, f"it cannot be read ({first_line(error)}). Check the rights and the connection."
    )


# --------------------------------------------------------------------------------------- Parquet tables


def is_table(path: str) -> bool:
    """Whether a path names a Parquet table, on a disk or in a store."""
    return PurePosixPath(path.partition("?")[0]).suffix.lower() == TABLE


def table_rows(table: str, column: str | None = None) -> Iterator[str | TableRow | PictureError]:
    """List a table's pictures in row order: paths or URLs as they can be opened, or rows with bytes.

    `column` holds them; None is the first of `COLUMNS` that is there, or the only one. Only names are read.
    A table that cannot be read, has no such column or no rows, is an error instead of its rows; so is each
    row in a damaged part of it.
    """
    try:
        with _parquet(table) as file:
            name = _picture_column(table, file.schema_arrow, column)
            paths, has_bytes = _leaf_with_names(file.schema_arrow, name)
            if not file.metadata.num_rows:
                yield NoPictures(table, "the table has no rows, and so no pictures.")
            for row, path in _cells(file, paths):
                if isinstance(path, Exception):
                    yield _damaged_row(f"{table}#{row}", path)
                elif has_bytes:
                    yield TableRow(path or f"{table}#{row}", table, name, row)
                elif path:
                    yield path if is_url(path) else _relative_to(table, path)
                else:
                    yield PictureNotFound(f"{table}#{row}", f"the column {name!r} is empty in this row.")
    except PictureError as error:
        yield error
    except (DatasetError, UnknownName) as error:
        yield NotAPicture(table, str(error))


def check_column(table: str, column: str | None) -> PictureError | None:
    """Raise `UnknownName` or `DatasetError` for a table that lacks the column, or has several to choose from.

    A table that cannot be read passes: it is an error among the pictures, and returned.
    """
    try:
        with _parquet(table) as file:
            _picture_column(table, file.schema_arrow, column)
    except PictureError as error:
        return error
    return None


def read_rows(rows: Iterable[TableRow]) -> Iterator[PictureBytes | PictureError]:
    """Read the bytes of rows that follow one another in one table, a few at once.

    Where a row has none but a path, the picture is that of the path. What cannot be read is an error.
    """
    given = iter(rows)
    row = next(given, None)
    if row is None:
        return
    try:
        with _parquet(row.table) as file:
            leaf = _leaf_with_bytes(file.schema_arrow, row.column)
            for _, data in _cells(file, leaf, row.row, ROWS_AT_ONCE):
                yield _picture_of(row, data)
                following = next(given, None)
                if following is None:
                    return
                row = following
    except PictureError as error:
        yield _damaged_row(row.name, error)
    for left in given:
        yield PictureDamaged(left.name, f"row {left.row} of {left.table} is not there any more.")


def _picture_of(row: TableRow, data: Any) -> PictureBytes | PictureError:
    if isinstance(data, Exception):
        return _damaged_row(row.name, data)
    if data:
        return PictureBytes(row.name, data)
    if row.name != f"{row.table}#{row.row}":
        return PictureBytes(row.name, row.name if is_url(row.name) else _relative_to(row.table, row.name))
    return PictureEmpty(row.name, f"row {row.row} of {row.table} has no bytes.")


def _damaged_row(name: str, error: Exception) -> PictureDamaged:
    reason = first_line(error)
    return PictureDamaged(name, f"this part of the table cannot be read ({reason}). Get the table again.")


def _cells(file: Any, leaf: str | None, begin: int = 0, at_once: int = 4096) -> Iterator[tuple[int, Any]]:
    """Yield rows from `begin` on, each with its value of a column, None without one.

    From where a row group is damaged, its rows have the error instead; the next group is read all the same.
    """
    first = 0
    for group in range(file.metadata.num_row_groups):
        last = first + file.metadata.row_group(group).num_rows
        row = first
        if last > begin:
            for value in _values(file, group, leaf, at_once, max(0, begin - first)):
                if row >= last:
                    break
                if isinstance(value, Exception):
                    for rest in range(max(row, begin), last):
                        yield rest, value
                    break
                if row >= begin:
                    yield row, value
                row += 1
        first = last


def _values(file: Any, group: int, leaf: str | None, at_once: int, skip: int) -> Iterator[Any]:
    """Yield the values of a row group, None for the first `skip`.

    The last one is the error, where the group cannot be read any further.
    """
    if leaf is None:
        yield from [None] * file.metadata.row_group(group).num_rows
        return
    if stated := _too_dense(file.metadata.row_group(group), leaf):
        yield ValueError(stated)
        return
    batches = file.iter_batches(batch_size=at_once, row_groups=[group], columns=[leaf])
    while True:
        try:
            batch = next(batches, None)
            passed = 0 if batch is None else min(skip, batch.num_rows)
            values = [] if batch is None else list(_leaves(batch.column(0).slice(passed)))
        except Exception as error:  # of damaged files pyarrow raises a dozen kinds
            yield error
            return
        if batch is None:
            return
        skip -= passed
        yield from [None] * passed
        yield from values


def _too_dense(group: Any, leaf: str) -> str:
    """Return what is wrong where a column would unpack to what no pictures or names do; "" for any other.

    Pages are unpacked at once, however much they hold, before a row of them is known.
    """
    chunks = [group.column(index) for index in range(group.num_columns)]
    own = [chunk for chunk in chunks if f"{chunk.path_in_schema}.".startswith(f"{leaf}.")]
    stored, unpacked = (
        sum(getattr(chunk, f"total_{size}_size") for chunk in own) for size in ("compressed", "uncompressed")
    )
    if unpacked <= _DENSE_BYTES or unpacked <= _DENSEST * stored:
        return ""
    return f"its {stored:,} bytes unpack to {unpacked:,}, as those of no picture do"


def _parquet(table: str) -> Any:
    """Open a table. Raises `PictureError`."""
    require(PARQUET, f"Reading {table}")
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not is_url(table) and exists(table) and not is_file(table):
        raise NotAPicture(table, "this is a pipe, socket or device. Expected a table; save it first.")

    def opened() -> Any:
        if is_url(table):
            store, path = _opened(table)
            return pq.ParquetFile(store.open_input_file(path), buffer_size=2**20)
        # As bytes, since pyarrow takes no text that is not UTF-8. A buffer: a column is never read at once.
        return pq.ParquetFile(pa.OSFile(os.fsencode(table)), buffer_size=2**20)

    try:
        return _within_seconds(table, opened) if is_url(table) else opened()
    except FileNotFoundError:
        raise PictureNotFound(table, "nothing can be found at this path. Check its spelling.") from None
    except PermissionError as error:
        raise PictureDenied(
            table, f"the table may not be read ({error.strerror}). Change its rights."
        ) from None
    except (OSError, ValueError, pa.ArrowException) as error:
        raise PictureDamaged(table, f"not a Parquet table that can be read ({first_line(error)}).") from None


def _picture_column(table: str, schema: Any, wanted: str | None) -> str:
    # By index: of two columns of one name, pyarrow returns neither by the name.
    usable = list(dict.fromkeys(field.name for field in schema if _kind(field.type)))
    if wanted is not None and wanted not in usable:
        raise UnknownName("column of pictures", wanted, usable, table)
    found = [wanted] if wanted is not None else [name for name in COLUMNS if name in usable]
    if not found and len(usable) == 1:
        found = usable
    if not found:
        raise DatasetError(
            f"Several columns of {table} could hold pictures. Name one by --column: {', '.join(usable)}."
            if usable
            else f"No column of {table} holds paths or bytes of pictures."
        )
    if schema.names.count(found[0]) > 1:
        raise NotAPicture(
            table, f"several columns have the name {found[0]!r}, that of the pictures. Rename all but one."
        )
    return found[0]


def _kind(kind: Any) -> str:
    """Return what a column can hold: `bytes`, `paths`, `both` in a structure, or "" for neither."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if kind in (pa.binary(), pa.large_binary(), pa.binary_view()):
        return "bytes"
    if kind in (pa.string(), pa.large_string(), pa.string_view()):
        return "paths"
    if pa.types.is_struct(kind):
        parts = {field.name: field.type for field in kind}
        if {"bytes", "path"} <= parts.keys() and _can_be_bytes(parts["bytes"]):
            return "both"
    return ""


def _can_be_bytes(kind: Any) -> bool:
    """Whether the `bytes` of a structure are bytes, or are none in every row."""
    return str(kind) == "null" or _kind(kind) == "bytes"


def _is_named(structure: Any) -> bool:
    """Whether the `path` of a structure is text, as the name of a picture is."""
    return any(field.name == "path" and _kind(field.type) == "paths" for field in structure)


def _leaf_with_names(schema: Any, column: str) -> tuple[str | None, bool]:
    """Return the column that names the pictures, if any, and whether the pictures are bytes."""
    kind = _kind(schema.field(column).type)
    if kind == "both":
        return (f"{column}.path" if _is_named(schema.field(column).type) else None), True
    if kind == "paths":
        return column, False
    texts = [field.name for field in schema if _kind(field.type) == "paths"]
    named = [name for name in COLUMNS if name in texts and schema.names.count(name) == 1]
    return (named[0] if named else None), True


def _leaf_with_bytes(schema: Any, column: str) -> str:
    return f"{column}.bytes" if _kind(schema.field(column).type) == "both" else column


def _leaves(column: Any) -> Iterator[Any]:
    """Yield values of a column, or of the one field of a structure that was read."""
    for value in column.to_pylist():
        yield next(iter(value.values())) if isinstance(value, dict) else value


def _relative_to(table: str, path: str) -> str:
    """Return a path of a table as it can be opened."""
    if is_url(table):
        address, _, options = table.partition("?")
        return f"{address.rpartition('/')[0]}/{path}" + (f"?{options}" if options else "")
    return str(Path(table).parent / path)
