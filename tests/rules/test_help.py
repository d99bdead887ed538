"""Help texts begin with the noun: "Batch size", not "Of a batch" and not "Show ..."."""

from collections.abc import Iterator

import click

from affectlens.cli.main import affectlens

# First words that are not nouns. Grows when someone invents another.
NOT_NOUNS = """
A Add Also An Answer As Ask At Begin Between By Change Check Choose Compare Continue Copy Count Decode
Describe Divide Do Draw Each Evaluate Explain Fit From Give Go Have How Ignore In Into Judge Keep Leave
Let List Look Make Measure Not Of On Only Open Or Overwrite Pick Predict Print Put Read Record Remove
Render Replace Report Resume Save Say See Set Show Skip Sort Start Stop Take Tell That The These
This To Train Treat Try Use Watch What When Where Whether Which Who With Without Write
"""


def options(command: click.Command, path: str) -> Iterator[tuple[str, click.Option]]:
    """List every option of a command and of those below it, with what is typed to get there."""
    yield from ((f"{path} {p.opts[-1]}", p) for p in command.params if isinstance(p, click.Option))
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from options(below, f"{path} {name}")


def begins_with_a_noun(text: str) -> bool:
    """Whether the first word is capitalised and is not one of `NOT_NOUNS`.

    >>> begins_with_a_noun("Batch size."), begins_with_a_noun("Of the batch."), begins_with_a_noun("size")
    (True, False, False)
    """
    first = text.split(" ")[0].strip(".,:;")
    return first[:1].isupper() and first not in NOT_NOUNS.split()


def test_help_texts_begin_with_a_noun() -> None:
    found = {path: option.help or "" for path, option in options(affectlens, "affectlens")}
    assert len(found) > 50
    del found["affectlens --version"]  # click's own
    assert {path: text for path, text in found.items() if not begins_with_a_noun(text)} == {}
