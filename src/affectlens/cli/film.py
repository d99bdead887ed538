"""`affectlens film FILE...`, and its command: `compare`."""

import click

from affectlens.cli.default_command import DefaultCommand
from affectlens.cli.film_compare import compare
from affectlens.cli.film_watch import films


@click.group(
    cls=DefaultCommand,
    default="films",
    note="Pass a film that has the name of a command with its folder, as ./compare.",
)
def film() -> None:
    """Predict what films evoke on average, moment by moment."""


film.add_command(films)
film.add_command(compare)
