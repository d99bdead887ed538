"""The progress bar of all commands: on a terminal only, on standard error, and gone when it is done."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from affectlens.cli.console import echo
from affectlens.report.text import printable

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress


class ProgressBar:
    """A bar that counts whatever a command does: pictures, steps, seconds of a film.

    Where standard error is not a terminal there is no bar, and all methods but `print` do nothing.
    """

    def __init__(self, display: "RichProgress | None" = None) -> None:
        self._display = display
        self._row = None if display is None else display.add_task("", visible=False, amount="", state="")
        self._done: float = 0
        self._total: float | None = None

    @property
    def is_shown(self) -> bool:
        """Whether there is a bar: what only it shows need not be computed otherwise."""
        return self._display is not None

    def start(self, what: str, total: float | None = None, done: float = 0) -> None:
        """Begin something new: its name, how much there is of it if that is known, and what is done of it."""
        if self._display is None or self._row is None:
            return
        # A new row, because rich cannot forget a total; its counts may be fractions, whatever its types are.
        self._display.remove_task(self._row)
        self._row = self._display.add_task(
            what,
            total=total,
            completed=done,  # type: ignore[arg-type]
            amount=_amount(done, total),
            state="",
        )
        self._done, self._total = done, total

    def set(
        self, done: float | None, *, total: float | None = None, amount: str | None = None, state: str = ""
    ) -> None:
        """Show how much is done; `amount` instead of the count, and `state` next to it.

        None leaves `done` and `total` as they are.
        """
        if self._display is None or self._row is None:
            return
        self._done = self._done if done is None else done
        self._total = self._total if total is None else total
        shown = _amount(self._done, self._total) if amount is None else amount
        self._display.update(self._row, completed=self._done, total=self._total, amount=shown, state=state)

    def advance(self, done: float = 1) -> None:
        """Count what was just done."""
        if self._display is not None:
            self.set(self._done + done)

    def print(self, text: str) -> None:
        """Print a line to standard error, above the bar."""
        if self._display is None:
            echo(text, err=True, several_lines=True)
        else:
            self._display.console.print(
                printable(text, keep="\n"), markup=False, highlight=False, soft_wrap=True
            )

    def stop(self) -> None:
        """Take the bar away, before the results are printed."""
        if self._display is not None:
            self._display.stop()


@contextmanager
def progress_bar(what: str = "", total: float | None = None) -> Iterator[ProgressBar]:
    """Show a bar while the block runs, where standard error is a terminal; without a name, once it starts."""
    if not sys.stderr.isatty():
        yield ProgressBar()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[amount]}", markup=False),
        TextColumn("{task.fields[state]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    # What is printed goes above the bar, but never out of a pipe.
    redirect = sys.stdout.isatty()
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, redirect_stdout=redirect) as display:
        bar = ProgressBar(display)
        if what:
            bar.start(what, total)
        yield bar


@contextmanager
def counter(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a bar while the block runs; call what it yields with the number of things just done."""
    with progress_bar(what, total) as bar:
        yield bar.advance


def _amount(done: float, total: float | None) -> str:
    return f"{done:,.0f}" if total is None else f"{done:,.0f}/{total:,.0f}"
