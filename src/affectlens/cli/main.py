"""`affectlens`: the group of commands, and the only file where our errors become exit codes.

Exit status: 0 all went well; 1 some pictures could not be read, the rest was done; 2 wrong use or an
error that ended the job; 130 interrupted. A reader that goes away early (`| head`) is click's: status 1.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from io import StringIO

import click

from affectlens import __version__
from affectlens.cli.console import echo, flush_streams, open_streams
from affectlens.errors import AffectLensError, MissingExtra
from affectlens.extras import TRAIN

# Command: its module below this package and its line in --help. A module is imported only when its
# command runs, so that `affectlens --help` takes a tenth of a second.
COMMANDS = {
    "predict": "Predict which emotions pictures evoke on average.",
    "train": "Train a network on labelled pictures.",
    "tune": "Search for settings with a population that trains at the same time.",
    "evaluate": "Evaluate a model on labelled pictures.",
    "calibrate": "Calibrate a model on own pictures.",
    "models": "List models and networks, or show a model's card.",
    "film": "Predict which emotions films evoke on average, moment by moment.",
    "explain": "Show why a model answers as it does, and what its layers detect.",
    "serve": "Serve predictions and explanations over HTTP, and a page.",
    "data": "Check a data set, or divide it into splits.",
    "bench": "Measure where the time of predictions goes on this machine.",
}

# Libraries of the extra `train`: commands import them before they begin with their work.
BUILD_HALF = frozenset({
    "torch", "torchvision", "timm", "captum", "onnx", "onnxscript", "tomli_w",
})  # fmt: skip


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"affectlens.cli.{name}"), name)
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="affectlens")
def affectlens() -> None:
    """Which emotions does a picture evoke in the people who look at it?

    AffectLens predicts what a picture evokes on average; it does not read any person's feelings.
    """
    import logging  # here: --help need not wait for it
    import warnings

    # Where the home folder cannot be written to, it warns in two lines of the folder that it takes instead.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    # Of letters that the font of figures lacks, one for each letter (docs/vocabularies.md).
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # of damaged metadata
    warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from", UserWarning)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit with its status."""
    open_streams()
    try:
        status = affectlens.main(args=arguments, standalone_mode=False)
        flush_streams()
    except BrokenPipeError:
        sys.exit(1)
    except (click.exceptions.Abort, KeyboardInterrupt):
        sys.exit(_interrupted())
    except click.ClickException as error:
        shown = StringIO()
        error.show(shown)
        echo(shown.getvalue().removesuffix("\n"), err=True, several_lines=True)
        sys.exit(2)
    except AffectLensError as error:
        echo(f"Error: {error}", err=True)
        sys.exit(2)
    except OSError as error:
        if error.filename is None:
            raise
        # What a user named and the system refuses: most commands find out themselves, with a better sentence.
        echo(
            f"Error: {error.filename} cannot be used: {error.strerror}. Check the path and its rights.",
            err=True,
        )
        sys.exit(2)
    except MemoryError:
        echo(
            "Error: there is not enough memory for this. Smaller batches and fewer workers take less.",
            err=True,
        )
        sys.exit(2)
    except ImportError as error:
        sys.exit(_not_imported(error))
    sys.exit(status if isinstance(status, int) else 0)


def _interrupted() -> int:
    echo("Interrupted.", err=True)
    return 130


def _not_imported(error: ImportError) -> int:
    """Report a library that is missing and return the status. Raises what is another fault."""
    if _was_interrupted(error):
        return _interrupted()
    library = (error.name or "").partition(".")[0]
    if library not in BUILD_HALF:
        raise error
    # Where nothing of the extra is there, its small libraries are not worth naming.
    named = library if TRAIN.is_installed else TRAIN.library
    echo(f"Error: {MissingExtra('This command', named, TRAIN.name)}", err=True)
    return 2


def _was_interrupted(error: BaseException) -> bool:
    """Whether Ctrl-C is behind an error: libraries in C++ fail to be imported with one of their own then."""
    causes: BaseException | None = error
    while causes is not None:
        if isinstance(causes, KeyboardInterrupt):
            return True
        causes = causes.__cause__ or causes.__context__
    return False
