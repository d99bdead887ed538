"""`affectlens film FILE...`, and its command: `compare`."""

import click

from affectlens.cli.default_command import DefaultCommand
from affectlens.cli.film_compare import compare
from affectlens.cli.film_watch import films


@click.group(
    cls=DefaultCommand,
    default="films",
    note="A film that is called like a command is given with its folder, as ./compare.",
)
def film() -> None:
    """Say what films evoke, moment by moment."""


film.add_command(films)
film.add_command(compare)
