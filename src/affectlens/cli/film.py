"""`affectlens film FILE...`, and its command: `compare`."""

import click

from affectlens.cli.film_compare import compare
from affectlens.cli.film_watch import films


class FilmsOrCommand(click.Group):
    """A group whose first word may be a film or an option: it then runs `films`."""

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        """Put the command's name before words that do not begin with one."""
        if arguments and arguments[0] not in (*self.commands, *context.help_option_names):
            arguments = ["films", *arguments]
        return super().parse_args(context, arguments)

    def format_help(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Show what `films` takes, and then the other command."""
        with click.Context(films, info_name=context.info_name, parent=context.parent) as inner:
            films.format_help(inner, formatter)
        with formatter.section("Commands"):
            formatter.write_dl([("compare", compare.get_short_help_str(80))])
        formatter.write_paragraph()
        formatter.write_text("A film that is called like a command is given with its folder, as ./compare.")


@click.group(cls=FilmsOrCommand)
def film() -> None:
    """Say what films evoke, moment by moment."""


film.add_command(films)
film.add_command(compare)
