"""Standard streams as all commands use them.

echo            prints lines: what would steer a terminal is escaped, in whatever text (a file's name, a
                model's card); what the console's encoding lacks is written otherwise, never an error
table_console   what prints tables
standard_input  what is read where a path is `-`
open_streams    once, before a command runs: a stream that is closed or full is dealt with here, and a width
                that no console has
"""

import codecs
import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

import click

from affectlens.errors import OutputError
from affectlens.report.text import printable

if TYPE_CHECKING:
    from rich.console import Console

# Of characters that consoles lack, those that have a likeness which they do have.
_LIKE = {"\N{MINUS SIGN}": "-", "\N{EN DASH}": "-", "\N{EM DASH}": "-", "\N{HORIZONTAL ELLIPSIS}": "..."}
_ENCODABLE = "affectlens-encodable"
_UNBOUNDED = 500  # columns, more than any table has


def echo(text: object = "", *, err: bool = False, several_lines: bool = False) -> None:
    """Print a line to standard output or standard error; line ends, as of a file's name, are escaped.

    They are kept where the text has `several_lines`.
    """
    keep = "\n\t" if several_lines else "\t"
    # The stream by name: otherwise click takes ascii for a mistake, and prints UTF-8.
    click.echo(printable(str(text), keep=keep), file=sys.stderr if err else sys.stdout)


def table_console(**options: Any) -> "Console":
    """Return what prints tables: up to the width of the terminal, and complete into a file or pipe."""
    from rich.console import Console  # here, since it is not needed by most commands

    is_bounded = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if is_bounded else _UNBOUNDED, **options)


def standard_input() -> BinaryIO | None:
    """Return standard input, None where it is closed."""
    return None if sys.stdin is None else sys.stdin.buffer


def open_streams() -> None:
    """Make standard streams safe to print to; those that were replaced, as in tests, are left alone."""
    _fill_descriptors()
    codecs.register_error(_ENCODABLE, _encodable)
    _forget_impossible_width()
    if sys.stdout is None or sys.stdout is sys.__stdout__:
        sys.stdout = _guarded(sys.stdout, "Standard output")
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        sys.stderr = _guarded(sys.stderr, None)


def flush_streams() -> None:
    """Write what is left. Raises `OutputError`, and `BrokenPipeError` where the reader went away."""
    sys.stdout.flush()
    sys.stderr.flush()


def _fill_descriptors() -> None:
    """Open nothing on numbers of closed streams: a file would get them, and what libraries print with it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def _forget_impossible_width() -> None:
    """Forget a width of zero, as some terminals and programs state one that they do not know.

    Tables would come out empty.
    """
    stated = os.environ.get("COLUMNS")
    if stated is not None and not stated.strip("0 "):
        del os.environ["COLUMNS"]


def _guarded(stream: Any, name: str | None) -> TextIO:
    if stream is None:
        return _text(_Guarded(None, name), "utf-8")
    buffer = getattr(stream, "buffer", None)
    raw = getattr(buffer, "raw", buffer)  # with PYTHONUNBUFFERED there is no buffer
    if isinstance(raw, io.FileIO):
        stream.flush()
        return _text(_Guarded(raw, name), stream.encoding)
    with suppress(AttributeError, ValueError):  # consoles of Windows, which have an encoding of their own
        stream.reconfigure(errors=_ENCODABLE)
    guarded: TextIO = stream
    return guarded


def _text(raw: "_Guarded", encoding: str) -> TextIO:
    lines = raw.name is None or raw.isatty()
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=encoding, errors=_ENCODABLE, line_buffering=lines
    )


class _Guarded(io.RawIOBase):
    """A stream whose failure is an `OutputError` with its name, once; without a name, no error at all."""

    def __init__(self, raw: io.FileIO | None, name: str | None) -> None:
        super().__init__()
        self.raw, self.name = raw, name
        self._failed = False

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self.raw is not None and self.raw.isatty()

    def fileno(self) -> int:
        if self.raw is None:
            raise io.UnsupportedOperation("the stream is closed")
        return self.raw.fileno()

    def write(self, data: Any) -> int:
        """Write bytes; after a failure they are dropped, so that no second error follows from the first."""
        size = len(data)
        if self._failed:
            return size
        try:
            if self.raw is None:
                raise OSError(0, "it is closed")
            return self.raw.write(data) or 0
        except OSError as error:
            self._failed = True
            if self.name is None:
                return size
            if isinstance(error, BrokenPipeError):
                raise
            raise OutputError(f"{self.name} cannot be written: {error.strerror or error}.") from None


def _encodable(error: UnicodeError) -> tuple[str, int]:
    """Return what is written instead of characters that an encoding lacks."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    written = "".join(
        _LIKE.get(letter) or letter.encode("ascii", "backslashreplace").decode() for letter in lacking
    )
    return written, error.end
