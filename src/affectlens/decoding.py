"""What is decoded at the same time in one process: its memory, its time, and how it is interrupted.

A decoder in C can run for a minute on a file of a kilobyte, and neither Ctrl-C nor a time limit reaches it. A
picture for which that is possible is therefore decoded in a child process, which can be ended at any moment.
All pictures together stay within `MEMORY`: a picture waits until there is room for it.

    with cancellable(event):         # of what this thread does from here on
        with memory.reserve(number_of_bytes):
            in_child(["-c", "..."], file, seconds)
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

# Bytes for all that is decoded at once: the largest picture that is allowed takes nearly all of it.
MEMORY = 3_500_000_000
# Seconds between two looks whether a decoder is still wanted.
_PATIENCE = 0.1


class Cancelled(Exception):
    """What was being decoded is no longer wanted."""


class ChildFailed(Exception):
    """A child process ended without a result, or took too long."""


_thread = threading.local()


@contextmanager
def cancellable(event: threading.Event) -> Iterator[None]:
    """Let an event end what this thread decodes: `Cancelled` is raised there."""
    before = getattr(_thread, "event", None)
    _thread.event = event
    try:
        yield
    finally:
        _thread.event = before


def check_cancelled() -> None:
    """Raise `Cancelled` where this thread's work is no longer wanted."""
    event = getattr(_thread, "event", None)
    if event is not None and event.is_set():
        raise Cancelled


class Memory:
    """A number of bytes for all threads together; who waited first gets it first."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.forget()

    def forget(self) -> None:
        """Begin anew: in a forked process, in which the threads that held something are not there."""
        self.used = 0
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()

    @contextmanager
    def reserve(self, wanted: int) -> Iterator[None]:
        """Wait for that much, and hold it; more than there is counts as all of it. Raises `Cancelled`."""
        wanted = min(wanted, self.size)
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            try:
                while self._waiting[0] is not ticket or self.used + wanted > self.size:
                    # With a limit: an interrupt from the keyboard is answered between two waits.
                    self._changed.wait(_PATIENCE)
                    check_cancelled()
                self.used += wanted
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self.used -= wanted
                self._changed.notify_all()


memory = Memory(MEMORY)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=memory.forget)


def can_have_child() -> bool:
    """Whether this process can start another Python: not where it is part of a program, or was frozen."""
    name = Path(sys.executable or "").name.lower()
    return name.startswith(("python", "pypy")) and not getattr(sys, "frozen", False)


def call_in_child(function: str, arguments: Sequence[str]) -> str:
    """Write the program by which another Python calls a function, "module:name", found as by this one."""
    module, name = function.split(":")
    return (
        f"import sys; sys.path[:] = {sys.path!r}; from {module} import {name} as call; "
        f"call(*{list(arguments)!r})"
    )


def in_child(function: str, file: IO[bytes], arguments: list[str], seconds: float) -> IO[bytes]:
    """Call a function in a child process: `function` is "module:name", called with `arguments`.

    `file` is its standard input. Returns a file, at its beginning, with what it wrote to standard output;
    close it. Raises `ChildFailed`, and `Cancelled`.
    """
    call = call_in_child(function, arguments)
    result: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
    try:
        with _as_input(file) as given, _child(call, given, result) as child:
            end = time.monotonic() + seconds
            while child.poll() is None:
                check_cancelled()
                if time.monotonic() > end:
                    raise ChildFailed(f"it takes longer than {seconds:g} seconds")
                try:
                    child.wait(_PATIENCE)
                except subprocess.TimeoutExpired:
                    continue
            if child.returncode:
                raise ChildFailed("the decoder failed on it, or ran out of memory")
        result.seek(0)
    except BaseException:
        result.close()
        raise
    return result


@contextmanager
def _child(call: str, given: Any, result: Any) -> Iterator["subprocess.Popen[bytes]"]:
    """A child process, which is ended with the block."""
    child = subprocess.Popen(
        [sys.executable, "-c", call], stdin=given, stdout=result, stderr=subprocess.DEVNULL
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()


@contextmanager
def _as_input(file: IO[bytes]) -> Iterator[Any]:
    """A file of the system, at its beginning, with the content of one that may be in memory."""
    try:
        file.fileno()
    except OSError:
        with tempfile.TemporaryFile() as copy:
            file.seek(0)
            while part := file.read(1 << 20):
                copy.write(part)
            copy.seek(0)
            yield copy
        return
    file.seek(0)
    yield file
