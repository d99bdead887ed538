"""Another process that writes an output, as far as its lock goes."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CODE = """
import sys
from pathlib import Path
from affectlens import locks
with getattr(locks, sys.argv[1])(Path(sys.argv[2])):
    print("locked", flush=True)
    input()
"""


def command(kind: str, output: Path) -> list[str]:
    """Lock an output by a function of `affectlens.locks`, until standard input ends."""
    return [sys.executable, "-c", CODE, kind, str(output)]


@contextmanager
def holder(kind: str, output: Path) -> Iterator["subprocess.Popen[str]"]:
    """Start the process, and wait until it has the lock; it is killed at the end of the block."""
    with subprocess.Popen(
        command(kind, output), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        try:
            yield process
        finally:
            process.kill()
