"""Options that several commands share."""

import math
import os
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import click

MOST_PROCESSES = 256  # of one command

Parser = Callable[[click.Context, click.Parameter, str | None], list[str] | None]


class NamedPath(click.Path):
    """A path that is not empty: `Path("")` would be the folder that one works in."""

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:
        """Refuse an empty path, as of a variable of the shell that is not set."""
        if value == "":
            self.fail(
                "the path is empty. Give a name; the folder that you work in is written as a dot.", param, ctx
            )
        return super().convert(value, param, ctx)


class FiniteRange(click.FloatRange):
    """A number in a range, which neither infinity is, nor NaN, which `click.FloatRange` lets pass."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse what is not finite."""
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return found


class OutputFile(NamedPath):
    """A file to write, with one of some suffixes: by another one a film, picture or table may be meant."""

    def __init__(self, *suffixes: str) -> None:
        super().__init__(dir_okay=False, path_type=Path)
        self.suffixes = suffixes

    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """Refuse another suffix."""
        path = super().convert(value, param, ctx)
        if path.suffix.lower() not in self.suffixes:
            self.fail(
                f"{value!s} is not the name of a {' or '.join(self.suffixes)} file, and another may "
                "be a film, picture or table. Give it that suffix.",
                param,
                ctx,
            )
        return path


def given(context: click.Context, names: Collection[str]) -> list[str]:
    """Return those of a command's options that were given, as they are written."""
    default = click.core.ParameterSource.DEFAULT
    return [
        each.opts[0]
        for each in context.command.params
        if each.name in names and context.get_parameter_source(each.name) is not default
    ]


# Of `train` and `tune`, which both make a run from a recipe.
def model_title(_: click.Context, __: click.Parameter, name: str | None) -> str | None:
    """Refuse a name with characters that cannot be shown, before any work."""
    if name is not None and not (name.isprintable() and name.strip()):
        raise click.BadParameter(f"{name!r} is empty or has characters that cannot be shown.")
    return name


model_name = click.option(
    "--name", callback=model_title, help="Name of the model. Default: the recipe's name."
)
settings_file = click.option(
    "--settings",
    "file",
    type=NamedPath(exists=True, dir_okay=False, path_type=Path),
    help="TOML file that changes the recipe.",
)
assignments = click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Setting to change."
)
cache_folder = click.option(
    "--cache",
    type=NamedPath(file_okay=False, path_type=Path),
    help="Folder of decoded pictures (cache_side), shared between runs. Default: in OUT.",
)
engine = click.option(
    "--engine",
    default="auto",
    show_default=True,
    help="Engine: auto, onnxruntime, openvino or torch.",
)
no_graph = click.option(
    "--no-graph", is_flag=True, help="No graph for the model, which then answers by torch alone."
)
weights_dtype = click.option(
    "--dtype",
    default="float16",
    show_default=True,
    type=click.Choice(["float32", "float16", "bfloat16"]),
    help="Number format in which the model's weights are stored.",
)


def formats(known: Iterable[str]) -> Parser:
    """Return a callback for `--format`: names separated by commas, each kept once, in the order given.

    Raises `click.BadParameter` with what is known.
    """
    names = tuple(known)

    def parse(_: click.Context, __: click.Parameter, text: str | None) -> list[str] | None:
        if text is None:
            return None
        kinds = list(dict.fromkeys(kind.strip().lower() for kind in text.split(",") if kind.strip()))
        unknown = [kind for kind in kinds if kind not in names]
        if unknown or not kinds:
            what = f"{unknown[0]!r} is not a format" if unknown else "No format is named"
            raise click.BadParameter(f"{what}. Known: {', '.join(names)}; several are separated by commas.")
        return kinds

    return parse
