"""`affectlens explain IMAGE...`, and its commands: `filters`, `methods`, `compare`, `parts`."""

import click

from affectlens.cli.default_command import DefaultCommand
from affectlens.cli.explain_compare import compare
from affectlens.cli.explain_filters import filters
from affectlens.cli.explain_parts import parts
from affectlens.cli.explain_pictures import methods, pictures


class WithEvaluate(DefaultCommand):
    """`--evaluate DATA` is another name for `compare DATA`."""

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        """Replace `--evaluate` by `compare`."""
        if "--evaluate" in arguments:
            arguments = ["compare", *(word for word in arguments if word != "--evaluate")]
        return super().parse_args(context, arguments)


@click.group(
    cls=WithEvaluate,
    default="pictures",
    note="`--evaluate DATA` is the same as `compare DATA`. A picture with the name of a command is given "
    "with its folder, as ./filters.",
)
def explain() -> None:
    """Show why a model answers as it does, and what its layers detect."""


explain.add_command(pictures)
explain.add_command(methods)
explain.add_command(compare)
explain.add_command(filters)
explain.add_command(parts)
