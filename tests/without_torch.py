"""Programs that run as where the base alone is installed: no torch, nor any library of another extra."""

import subprocess
import sys

from halves import LIBRARIES

# Importing what stands in `sys.modules` as None raises ImportError.
PRELUDE = f"import sys\nsys.modules.update(dict.fromkeys({LIBRARIES!r}))\n"
COMMAND = "from affectlens.cli.main import main\nmain(sys.argv[1:])\n"


def run(program: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
    """Run a program of Python, or `COMMAND` with a command's words."""
    words = [sys.executable, "-c", PRELUDE + program, *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False)
