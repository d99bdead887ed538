"""What Ctrl-C does while a command works."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from affectlens.cli.console import echo
from affectlens.files import is_file


@contextmanager
def on_interrupt(act: Callable[[], None]) -> Iterator[None]:
    """Have Ctrl-C call a function while the block runs; in threads but the main one nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, lambda _number, _frame: act())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def hint_to_resume(kept: Path) -> Iterator[None]:
    """Report how to go on where Ctrl-C ends the block, if the file by which the work is resumed is there."""
    try:
        yield
    except KeyboardInterrupt:
        if is_file(kept):
            echo("What was done is kept; go on with --resume.", err=True)
        raise
