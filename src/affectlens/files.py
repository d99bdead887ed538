"""Write files so that a reader sees the old content or the new, never a part.

What is being written has a hidden name in the same folder that ends in `.part`. A process that is killed
leaves that behind, to be deleted, and the old content untouched.
"""

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, AnyStr

from affectlens.errors import OutputError

MOST_BYTES = 1 << 30  # of a file that is read at once, and of a line
LONGEST_NAME = 255  # bytes that a file's name may have on usual systems
_LONGEST_SUFFIX = 20
_HIDDEN = len("..01234567.part")  # what `_hidden_name` adds
# What `_hidden_name` makes: the name, and the suffix, of what is being written.
_LEFTOVER = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{8}\.part", re.DOTALL)


@contextmanager
def atomic_write(file: Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary file next to `file` that replaces it when the block ends without error.

    `mode` is `wb`, or `w` for UTF-8 text, whose line ends stay as they are written. Of a link, what it
    points to is written. A file that is replaced passes its rights on to the new one. Raises `OutputError`
    where the folder cannot be written, the disk is full, or a folder or a device lies there; the old file
    stays.
    """
    target = Path(os.path.realpath(file))
    temporary = _hidden_name(target, "part")
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    try:
        if target.exists() and not target.is_file():
            raise OutputError(f"{file} cannot be written: it is a folder or a device. Choose another name.")
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open(mode.replace("w", "x"), **text) as out:  # type: ignore[call-overload]
            if target.exists():
                # Before the first byte: what only its owner may read is never open to others.
                temporary.chmod(stat.S_IMODE(target.stat().st_mode))
            yield out
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        raise OutputError(f"{file} cannot be written: {error.strerror or error}.") from error
    finally:
        _remove(temporary)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder next to `folder` that replaces it when the block ends without error.

    An existing folder is replaced with all its files. Raises `OutputError`; the old folder stays. Where it
    replaces one, a kill in the instant between two renames leaves the old folder complete, but under the
    hidden name that ends in `.old`: no system renames one folder over another.
    """
    temporary, old = _hidden_name(folder, "part"), _hidden_name(folder, "old")
    try:
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"{folder} cannot be written: a file lies there. Choose another name.")
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
        yield temporary
        _sync_below(temporary)
        if folder.exists():
            folder.replace(old)
        try:
            temporary.replace(folder)
        except OSError:
            if old.exists():
                old.replace(folder)
            raise
        sync_folder(folder.parent)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror or error}.") from error
    finally:
        _remove(temporary)
    _remove(old)


def output_path(path: Path | str) -> Path:
    """Return a path that is to be written.

    Raises `OutputError` for an empty one, which would be the working folder, and for one with a null byte.
    """
    if not os.fspath(path) or "\0" in os.fspath(path):
        raise OutputError(
            f"{path!r} is not a path that can be written. Give a name; the folder that you work in is a dot."
        )
    return Path(path)


def read_file(file: Path, most: int = MOST_BYTES) -> bytes:
    """Read a file completely.

    Raises `OSError`, also for a pipe or a device, which may never end, and for one of more than `most` bytes,
    which may be sparse: longer than memory and disk.
    """
    status = file.stat()
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
        raise OSError(errno.EINVAL, "it is a pipe or a device", str(file))
    if status.st_size > most:
        raise OSError(errno.EFBIG, f"it has {status.st_size:,} bytes, more than {most:,}", str(file))
    return file.read_bytes()


def bounded_lines(stream: IO[AnyStr], most: int = MOST_BYTES) -> Iterator[AnyStr]:
    """Yield the lines of a stream. Raises `OSError` for one of more than `most` letters."""
    while line := stream.readline(most):
        if len(line) >= most:
            raise OSError(errno.EFBIG, f"it has a line of more than {most:,} letters")
        yield line


class GrowingFile:
    """A file of JSON lines; each is handed to the system at once, and is there completely or not at all.

    As a context manager it closes the file. Raises `OutputError` where the disk is full or the like.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        with self._reported():
            if exists(file) and stat.S_ISFIFO(file.stat().st_mode):
                raise OSError(errno.EINVAL, "it is a pipe, which would be waited for")
            self._stream = file.open("ab", buffering=0)  # without what would be tried again when it is closed

    def append(self, plain: Any) -> None:
        """Append a line."""
        data = f"{json.dumps(plain)}\n".encode()
        with self._reported():
            end = os.fstat(self._stream.fileno()).st_size
            try:
                while data:
                    data = data[self._stream.write(data) :]
            except OSError:
                with suppress(OSError):
                    self._stream.truncate(end)
                raise

    def sync(self) -> None:
        """Wait until all lines are on the disk."""
        with self._reported():
            os.fsync(self._stream.fileno())

    def __enter__(self) -> "GrowingFile":
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._stream.close()

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(f"{self.file} cannot be written: {error.strerror or error}.") from error


def json_text(plain: Any, **layout: Any) -> str:
    """Write JSON with its letters as they are; escaped where a name is not text, so that it is always UTF-8.

    >>> json_text("café.jpg"), json_text("caf\\udce9.jpg")
    ('"café.jpg"', '"caf\\\\udce9.jpg"')
    """
    text = json.dumps(plain, ensure_ascii=False, **layout)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(plain, **layout)
    return text


def fitting(name: str, room: int = LONGEST_NAME) -> str:
    """Shorten a file's name to so many bytes, its suffix kept; cut ones end in digits of the hash of it all.

    >>> fitting("short.jpg"), fitting("a-name-that-is-too-long.jpg", 20)
    ('short.jpg', 'a-name--500f57ee.jpg')
    """
    whole = name.encode("utf-8", "surrogatepass")
    if len(whole) <= room:
        return name
    end = f"-{hashlib.sha256(whole).hexdigest()[:8]}"
    suffix = Path(name).suffix
    if len(suffix) <= _LONGEST_SUFFIX:
        end += suffix
    # Cut within a letter of several bytes, nothing of it is left.
    start = whole[: max(0, room - len(end.encode("utf-8", "surrogatepass")))].decode(errors="ignore")
    return start + end


def slug(text: str) -> str:
    """Write words as a part of a file's name.

    >>> slug("fear rather than anger")
    'fear-rather-than-anger'
    """
    return "-".join("".join(letter if letter.isalnum() else " " for letter in text.lower()).split())


def clear_leftovers(folder: Path, suffixes: Collection[str] | None = None) -> None:
    """Delete what killed processes left half written in a folder. No process may be writing there.

    With `suffixes`, only what was to become a file with one of them.
    """
    for path in list(folder.iterdir()) if folder.is_dir() else ():
        leftover = _LEFTOVER.fullmatch(path.name)
        if leftover and (suffixes is None or Path(leftover["name"]).suffix in suffixes):
            _remove(path)


def clear_leftovers_of(file: Path) -> None:
    """Delete what killed processes left of a file, half written. No process may be writing it."""
    for path in list(file.parent.iterdir()) if file.parent.is_dir() else ():
        leftover = _LEFTOVER.fullmatch(path.name)
        if leftover and leftover["name"] == fitting(file.name, LONGEST_NAME - _HIDDEN):
            _remove(path)


# `Path` has these methods too, but some versions of Python raise there where a folder above may not be
# entered or a name is too long. Of what a user named, it suffices that nothing can be found there: opening
# it reports why.
def is_folder(path: Path | str) -> bool:
    """Whether a folder lies at a path; False where that cannot be found out."""
    return os.path.isdir(path)  # noqa: PTH112


def is_file(path: Path | str) -> bool:
    """Whether a file lies at a path; False where that cannot be found out."""
    return os.path.isfile(path)  # noqa: PTH113


def exists(path: Path | str) -> bool:
    """Whether anything lies at a path; False where that cannot be found out."""
    return os.path.exists(path)  # noqa: PTH110


def is_utf8(path: Path | str) -> bool:
    """Whether a path is UTF-8 text: some libraries, as safetensors, open no file of another name."""
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def is_pipe_or_device(path: Path | str) -> bool:
    """Whether what lies at a path is neither a file nor a folder: reading it may never end."""
    return exists(path) and not is_file(path) and not is_folder(path)


def sync_folder(folder: Path) -> None:
    """Make a rename in the folder survive a power cut, where the system can (not on Windows)."""
    if os.name != "nt":
        _sync(folder)


def _sync_below(folder: Path) -> None:
    """Bring all files of a folder to the disk: a rename alone can survive a power cut before they do."""
    if os.name == "nt":
        return
    for path in folder.rglob("*"):
        _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _hidden_name(path: Path, suffix: str) -> Path:
    """Return a hidden name in the same folder, so that a rename suffices, and one that is not in use."""
    name = fitting(path.name, LONGEST_NAME - _HIDDEN)
    return path.with_name(f".{name}.{secrets.token_hex(4)}.{suffix}")


def _remove(path: Path) -> None:
    """Remove a file or folder of ours, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)
