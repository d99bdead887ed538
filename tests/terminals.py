"""Standard error as a terminal, for tests of what is shown on one alone."""

import io
import sys

import pytest


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


def use_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Make standard error a terminal, wide enough for a bar; in the test, for pytest sets it before each."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    return stream
