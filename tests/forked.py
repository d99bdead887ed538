"""Processes of the command that need not import torch anew, which takes longer than most of what they do.

They are forked from a server that has it imported, and are processes like any other: to be waited for,
interrupted, killed. What the start of Python itself does (its streams, its imports) is for tests that start
one by `subprocess`.
"""

import multiprocessing
import os
from collections.abc import Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path

SERVED = multiprocessing.get_context("forkserver")
# Of the whole test process: `torch.multiprocessing` starts its own from the same server.
SERVED.set_forkserver_preload(["affectlens.cli.main", "affectlens.training.run"])


def start(words: Sequence[object], log: str | Path = os.devnull) -> ForkServerProcess:
    """Begin `affectlens WORDS...`; what it prints goes to the end of a file."""
    process = SERVED.Process(target=_run, args=([str(word) for word in words], str(log)))
    process.start()
    return process


def wait(process: ForkServerProcess, timeout: float = 200) -> int:
    """Return the exit status of a process, once it has ended."""
    process.join(timeout)
    assert process.exitcode is not None, f"it did not end within {timeout:.0f} seconds"
    return process.exitcode


def _run(words: list[str], log: str) -> None:
    from affectlens.cli.main import main

    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    main(words)
