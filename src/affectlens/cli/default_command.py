"""A group of commands that runs one of them where none is named: `film FILE` is `film films FILE`."""

import click


class _DefaultContext(click.Context):
    """The context of a default command: usage lines do not show its name, which need not be typed."""

    @property
    def command_path(self) -> str:
        """The group's words alone."""
        return self.parent.command_path if self.parent else super().command_path


class DefaultCommand(click.Group):
    """A group whose first word may be an argument or an option of its default command."""

    def __init__(self, *arguments: object, default: str, note: str = "", **more: object) -> None:
        """Take what a group takes, and the name of the default; `note` ends the help."""
        super().__init__(*arguments, **more)  # type: ignore[arg-type]
        self.default, self.note = default, note

    def add_command(self, command: click.Command, name: str | None = None) -> None:
        """Add a command; usage lines of the default show the group's name alone."""
        super().add_command(command, name)
        if (name or command.name) == self.default:
            command.context_class = _DefaultContext

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        """Put the default's name before words that do not begin with a command."""
        if arguments and arguments[0] not in (*self.commands, *context.help_option_names):
            arguments = [self.default, *arguments]
        return super().parse_args(context, arguments)

    def format_help(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Show what the default takes, and then the other commands."""
        default = self.commands[self.default]
        with click.Context(default, info_name=context.info_name, parent=context.parent) as inner:
            default.format_help(inner, formatter)
        others = [
            (name, one.get_short_help_str(80)) for name, one in self.commands.items() if one is not default
        ]
        with formatter.section("Commands"):
            formatter.write_dl(others)
        if self.note:
            formatter.write_paragraph()
            formatter.write_text(self.note)
