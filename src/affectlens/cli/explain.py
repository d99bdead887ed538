"""`affectlens explain IMAGE...`, and its commands: `filters`, `methods`, `compare`."""

import click

from affectlens.cli.explain_compare import compare
from affectlens.cli.explain_filters import filters
from affectlens.cli.explain_pictures import methods, pictures


class PicturesOrCommand(click.Group):
    """A group whose first word may be a picture or an option: it then runs `pictures`."""

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        """Put the command's name before words that do not begin with one.

        `--evaluate DATA` asks for `compare`, too.
        """
        if "--evaluate" in arguments:
            arguments = ["compare", *(word for word in arguments if word != "--evaluate")]
        if arguments and arguments[0] not in (*self.commands, *context.help_option_names):
            arguments = ["pictures", *arguments]
        return super().parse_args(context, arguments)

    def format_help(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Show what `pictures` takes, and then the other commands."""
        with click.Context(pictures, info_name=context.info_name, parent=context.parent) as inner:
            pictures.format_help(inner, formatter)
        others = [
            (name, one.get_short_help_str(80)) for name, one in self.commands.items() if one is not pictures
        ]
        with formatter.section("Commands"):
            formatter.write_dl(others)
        formatter.write_paragraph()
        formatter.write_text(
            "A picture that is called like a command is given with its folder, as ./filters."
        )


@click.group(cls=PicturesOrCommand)
def explain() -> None:
    """Show what a model looks at, and what it looks for."""


explain.add_command(pictures)
explain.add_command(methods)
explain.add_command(compare)
explain.add_command(filters)
