"""`python -m affectlens` is the command `affectlens`: both begin here, so that Ctrl-C is answered at once."""

import sys


def run() -> None:
    """Run the command and exit with its status, also where it is interrupted while it is imported."""
    try:
        from affectlens.cli.main import main
    except KeyboardInterrupt:
        sys.exit(_interrupted())
    main()


def _interrupted() -> int:
    if sys.stderr is not None:
        sys.stderr.write("Interrupted.\n")
    return 130


if __name__ == "__main__":
    run()
