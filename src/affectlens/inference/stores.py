"""Pictures that are not local files: in object stores by URL, and in the rows of Parquet tables.

    s3://bucket/key, gs://bucket/key, file:///path     whatever `pyarrow.fs` opens. A folder is walked and a
                    pattern matched as on a disk; `?` begins options, as in s3://bucket/key?region=eu-west-1
    TABLE.parquet   one picture a row: a column of paths or URLs, or one of encoded bytes, with or without a
                    a column of names. The column `image` of a Hugging Face data set is one of these

A relative path in a table is relative to the table's folder, as in any table of pictures (`data.table`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from affectlens.errors import (
    DatasetError,
    PictureDenied,
    PictureEmpty,
    PictureError,
    PictureIsFolder,
    PictureNotFound,
    UnknownName,
)
from affectlens.extras import PARQUET, require
from affectlens.images import PICTURE_SUFFIXES

TABLE = ".parquet"
COLUMNS = ("image", "path", "url", "file", "file_name", "bytes")  # looked for in this order
ROWS_AT_ONCE = 64  # encoded pictures of a table that are held at once


@dataclass(frozen=True)
class PictureBytes:
    """A picture file's bytes, under the name that its answer will have."""

    name: str
    data: bytes


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
    store, path = _opened(url)
    try:
        with store.open_input_file(path) as file:
            data: bytes = file.read()
    except FileNotFoundError:
        raise PictureNotFound(url, "nothing can be found at this URL. Check its spelling.") from None
    except OSError as error:
        if store.get_file_info(path).type.name == "Directory":
            raise PictureIsFolder(url, "this is a folder. Expected a picture.") from None
        raise _denied(url, error) from None
    if not data:
        raise PictureEmpty(url, "the file is empty: zero bytes. Upload it again.")
    return data


def pictures_at(url: str) -> Iterator[str | PictureError]:
    """Expand a URL: a file to itself, a folder to the pictures below by name, a pattern to what matches.

    One folder at a time is listed, and held, as on a disk. A URL without pictures becomes a `PictureError`.
    """
    try:
        store, path = _opened(url)
        kind = store.get_file_info(path).type.name
        if kind == "File":
            yield url
            return
        root = path if kind == "Directory" else _before_pattern(path)
        found = False
        if kind == "Directory" or root != path:
            for below in _walk(store, root):
                suits = PurePosixPath(below).suffix.lower() in PICTURE_SUFFIXES
                if suits if kind == "Directory" else _matches(below, path):
                    found = True
                    yield _url_of(url, below)
        if not found:
            yield PictureNotFound(url, "no picture can be found at this URL or below. Check its spelling.")
    except PictureError as error:
        yield error
    except OSError as error:
        yield _denied(url, error)


def _opened(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, and the path in it."""
    require(PARQUET, f"Opening {url}")
    scheme, _, rest = url.partition("://")
    path, _, options = rest.partition("?")
    bucket, _, key = path.partition("/")
    try:
        store = _store(scheme, bucket, options)
    except (ValueError, TypeError, OSError, NotImplementedError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise PictureDenied(url, f"this kind of URL cannot be opened ({reason}).") from None
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


def _walk(store: Any, root: str) -> Iterator[str]:
    """Yield files below a folder, by name, depth first, hidden ones left out."""
    from pyarrow import fs

    waiting = [(root, True)]
    while waiting:
        path, is_folder = waiting.pop()
        if is_folder:
            entries = sorted(store.get_file_info(fs.FileSelector(path)), key=lambda entry: entry.path)
            visible = [entry for entry in entries if not entry.base_name.startswith(".")]
            waiting += [(entry.path, entry.type.name == "Directory") for entry in reversed(visible)]
        else:
            yield path


def _denied(url: str, error: OSError) -> PictureDenied:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return PictureDenied(url, f"it cannot be read ({reason}). Check the rights and the connection.")


# --------------------------------------------------------------------------------------- Parquet tables


def is_table(path: str) -> bool:
    """Whether a path names a Parquet table, on a disk or in a store."""
    return PurePosixPath(path.partition("?")[0]).suffix.lower() == TABLE


def table_rows(table: str, column: str | None = None) -> Iterator[str | TableRow | PictureError]:
    """List a table's pictures in row order: paths or URLs as they can be opened, or rows with bytes.

    `column` holds them; None is the first of `COLUMNS` that is there, or the only one. Only names are read.
    Raises `UnknownName` or `DatasetError` for a table without such a column, or none that can be read.
    """
    with _parquet(table) as file:
        name = _picture_column(table, file.schema_arrow, column)
        paths, has_bytes = _leaf_with_names(file.schema_arrow, name)
        row = 0
        for batch in file.iter_batches(batch_size=4096, columns=[paths] if paths else []):
            names = batch.column(0) if paths else [None] * batch.num_rows
            for path in names if not paths else _leaves(names):
                if has_bytes:
                    yield TableRow(path or f"{table}#{row}", table, name, row)
                elif path:
                    yield path if is_url(path) else _relative_to(table, path)
                else:
                    yield PictureNotFound(f"{table}#{row}", f"the column {name!r} is empty in this row.")
                row += 1


def read_rows(rows: Iterable[TableRow]) -> Iterator[PictureBytes | PictureError]:
    """Read the bytes of rows that follow one another in one table, a few at once."""
    given = iter(rows)
    row = next(given, None)
    if row is None:
        return
    with _parquet(row.table) as file:
        leaf = _leaf_with_bytes(file.schema_arrow, row.column)
        groups, skip = _groups_from(file.metadata, row.row)
        for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, row_groups=groups, columns=[leaf]):
            for data in _leaves(batch.column(0).slice(skip)):
                empty = PictureEmpty(row.name, f"row {row.row} of {row.table} has no bytes.")
                yield PictureBytes(row.name, data) if data else empty
                row = next(given, None)
                if row is None:
                    return
            skip = max(0, skip - batch.num_rows)


def _parquet(table: str) -> Any:
    require(PARQUET, f"Reading {table}")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if is_url(table):
            store, path = _opened(table)
            return pq.ParquetFile(store.open_input_file(path), buffer_size=2**20)
        return pq.ParquetFile(table, buffer_size=2**20)  # a buffer: a column is never read at once
    except (OSError, pa.ArrowException, PictureError) as error:
        raise DatasetError(f"{table} is not a Parquet table that can be read: {error}") from None


def _picture_column(table: str, schema: Any, wanted: str | None) -> str:
    usable = [name for name in schema.names if _kind(schema.field(name).type)]
    if wanted is not None:
        if wanted not in usable:
            raise UnknownName("column of pictures", wanted, usable, table)
        return wanted
    found = [name for name in COLUMNS if name in usable] or (usable if len(usable) == 1 else [])
    if not found:
        raise DatasetError(
            f"Several columns of {table} could hold pictures. Name one by --column: {', '.join(usable)}."
            if usable
            else f"No column of {table} holds paths or bytes of pictures."
        )
    return found[0]


def _kind(kind: Any) -> str:
    """Return what a column can hold: `bytes`, `paths`, `both` in a structure, or "" for neither."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return "bytes"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "paths"
    if pa.types.is_struct(kind) and {"bytes", "path"} <= {field.name for field in kind}:
        return "both"
    return ""


def _leaf_with_names(schema: Any, column: str) -> tuple[str | None, bool]:
    """Return the column that names the pictures, if any, and whether the pictures are bytes."""
    kind = _kind(schema.field(column).type)
    if kind == "both":
        return f"{column}.path", True
    if kind == "paths":
        return column, False
    named = [name for name in COLUMNS if name in schema.names and _kind(schema.field(name).type) == "paths"]
    return (named[0] if named else None), True


def _leaf_with_bytes(schema: Any, column: str) -> str:
    return f"{column}.bytes" if _kind(schema.field(column).type) == "both" else column


def _leaves(column: Any) -> Iterator[Any]:
    """Yield values of a column, or of the one field of a structure that was read."""
    for value in column.to_pylist():
        yield next(iter(value.values())) if isinstance(value, dict) else value


def _groups_from(metadata: Any, row: int) -> tuple[list[int], int]:
    """Return the row groups from the one that holds a row on, and the row's index in it."""
    first = 0
    while (count := metadata.row_group(first).num_rows) <= row:
        row -= count
        first += 1
    return list(range(first, metadata.num_row_groups)), row


def _relative_to(table: str, path: str) -> str:
    """Return a path of a table as it can be opened."""
    if is_url(table):
        address, _, options = table.partition("?")
        return f"{address.rpartition('/')[0]}/{path}" + (f"?{options}" if options else "")
    return str(Path(table).parent / path)
