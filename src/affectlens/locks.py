"""Locks, so that of several processes one alone writes an output: a file of rows, or a folder.

    with locked_file(Path("answers.jsonl")):
        ...

The lock is the system's, on a hidden file next to the output (`.answers.jsonl.lock`) or in it (`.lock`),
which names the process that has it. It ends with its process, however that ends: what a killed process leaves
behind blocks no other. One process may lock the same output several times, so that an abandoned generator
does not stand in the way of the next; threads are not guarded from one another. Where a file system has no
locks, as on some network disks, outputs are written without.
"""

import errno
import os
import socket
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from affectlens.errors import OutputError, OutputInUse
from affectlens.files import LONGEST_NAME, fitting

# What systems answer where another process has the lock.
_TAKEN = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
# The byte that is locked: far behind the text, which on Windows could not be read otherwise.
_BYTE = 1 << 30
_NEITHER_LINK_NOR_WAIT = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # Windows has neither
# How a lock's file begins, and how long it may be.
_PROCESS, _LONGEST = b"process ", 400
_TRIES = 20  # to open a file in a folder that others make and remove


@dataclass
class _Held:
    """A lock of this process, the folder of its file, and how often it was taken."""

    descriptor: int
    process: int
    folder: os.stat_result
    times: int = 1


_held: dict[str, _Held] = {}
_guard = Lock()


@contextmanager
def locked_file(file: Path) -> Iterator[None]:
    """Keep other processes from writing a file while the block runs; its folder is made.

    Where nothing was written into that, it is removed again. Raises `OutputInUse`, with who writes it, where
    another process does, and `OutputError` where nothing can be written there.
    """
    target = Path(os.path.realpath(file))
    with (
        _empty_removed(target.parent),
        _locked(target.with_name(f".{fitting(target.name, LONGEST_NAME - len('..lock'))}.lock"), file),
    ):
        yield


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Keep other processes from writing into a folder while the block runs, as `locked_file` does.

    The folder is made; where nothing was written into it, it is removed again.
    """
    target = Path(os.path.realpath(folder))
    with _empty_removed(target), _locked(target / ".lock", folder):
        yield


@contextmanager
def _empty_removed(folder: Path) -> Iterator[None]:
    """Remove a folder, and those above it, that the block made and left empty."""
    new = [each for each in (folder, *folder.parents) if not os.path.lexists(each)]
    try:
        yield
    finally:
        with suppress(OSError):
            for each in new:
                each.rmdir()


def require_same_folder(folder: Path) -> None:
    """Raise `OutputError` where a folder that this process locked was removed, or another is in its stead.

    What is written there then may meet what another process writes. Without a lock nothing is known, and
    nothing raised.
    """
    target = Path(os.path.realpath(folder))
    with _guard:
        held = _held.get(str(target / ".lock"))
    if held is None:
        return
    try:
        is_same = os.path.samestat(target.stat(), held.folder)
        with suppress(FileNotFoundError):  # which does not matter
            is_same &= os.path.samestat((target / ".lock").lstat(), os.fstat(held.descriptor))
    except OSError:
        is_same = False
    if not is_same:
        raise OutputError(
            f"{folder} was removed, renamed or replaced while this process wrote into it. What it wrote is "
            "in the renamed folder, or lost."
        )


@contextmanager
def _locked(file: Path, output: Path) -> Iterator[None]:
    key = str(file)
    with _guard:
        held = _held.get(key)
        if held is not None and held.process == os.getpid():
            held.times += 1
        else:
            descriptor = _acquired(file, output)
            held = _held[key] = _Held(descriptor, os.getpid(), file.parent.stat())
    try:
        yield
    finally:
        with _guard:
            held.times -= 1
            if not held.times and held.process == os.getpid():
                _held.pop(key, None)
                _release(held.descriptor, file)


def _acquired(file: Path, output: Path) -> int:
    """Return the descriptor of the lock's file, locked where that is possible."""
    try:
        while True:
            descriptor = _opened_in_folder(file, output)
            try:
                _lock(descriptor)
            except OSError as error:
                if error.errno not in _TAKEN:
                    break
                holder = os.read(descriptor, 200).decode(errors="replace")
                os.close(descriptor)
                raise OutputInUse(output, holder) from None
            # Another process may have removed the file, as it ended, before it was locked.
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), file.lstat()):
                    break
            os.close(descriptor)
    except FileExistsError as error:  # only a folder is made without looking whether it is there
        raise OutputError(
            f"{output} cannot be written: {error.filename} is a file. Expected a folder."
        ) from error
    except OSError as error:
        raise OutputError(f"{output} cannot be written: {error.strerror or error}.") from error
    with suppress(OSError):  # on a full disk it is locked, and names no one
        os.ftruncate(descriptor, 0)
        os.write(descriptor, _this_process().encode())
    return descriptor


def _opened_in_folder(file: Path, output: Path) -> int:
    """Open the lock's file, and make its folder, which another process may remove as it ends."""
    for number in range(_TRIES):
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            return _opened(file, output)
        except FileNotFoundError:
            if number == _TRIES - 1:
                raise
    raise AssertionError("the last returns or raises")


def _opened(file: Path, output: Path) -> int:
    """Make the lock's file, or open what another process made.

    Never by a link, nor what no process of ours wrote: in a folder that others may write to, the lock's name
    may stand for any file.
    """
    while True:
        with suppress(FileExistsError):
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            with suppress(OSError, AttributeError):
                # Another user may have to lock what a killed process of this one leaves behind.
                os.fchmod(descriptor, 0o666)
            return descriptor
        try:
            descriptor = os.open(
                file, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
            )
        except FileNotFoundError:
            continue  # it was removed meanwhile
        except OSError as error:
            if file.is_symlink():
                raise _not_a_lock(file, output) from error
            raise
        if _is_lock(descriptor):
            return descriptor
        os.close(descriptor)
        raise _not_a_lock(file, output)


def _is_lock(descriptor: int) -> bool:
    """Whether an open file is one that `_acquired` writes."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1 or status.st_size > _LONGEST:
        return False
    begin = os.read(descriptor, len(_PROCESS))
    os.lseek(descriptor, 0, os.SEEK_SET)
    return _PROCESS.startswith(begin)


def _not_a_lock(file: Path, output: Path) -> OutputError:
    return OutputError(
        f"{output} cannot be written: {file}, by which processes keep one another out, is a link or another "
        "file. Remove it, or write elsewhere."
    )


def _release(descriptor: int, file: Path) -> None:
    """Remove the file, and end the lock; Windows removes no file that is open."""
    if os.name != "nt":
        with suppress(OSError):
            # Of a folder that was replaced meanwhile, it is another's.
            if os.path.samestat(os.fstat(descriptor), file.lstat()):
                file.unlink()
    os.close(descriptor)
    if os.name == "nt":
        with suppress(OSError):
            file.unlink()


def _this_process() -> str:
    began = time.strftime("%Y-%m-%d %H:%M:%S")
    return f"{_PROCESS.decode()}{os.getpid()} on {socket.gethostname()}, since {began}"[:_LONGEST]


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, _BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        # Not `flock`: its locks outlive the process in children that it forked.
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _BYTE)
