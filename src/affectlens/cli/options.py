"""Options that several commands share."""

from collections.abc import Callable, Iterable

import click

Parser = Callable[[click.Context, click.Parameter, str | None], list[str] | None]


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
