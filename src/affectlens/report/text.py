"""Numbers, times and names as people read them: one wording for the terminal, pages, figures and tables."""

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

TextTable = Sequence[tuple[str, ...]]  # rows of cells; the first is the header

# What would end a cell of a Markdown table: a bar that is not escaped yet.
_CELL_END = re.compile(r"(?<!\\)((?:\\\\)*)\|")

ON_AVERAGE = (
    "This is what the picture is likely to evoke in people on average, as one model predicts it; not what "
    "any person feels."
)


def percent(share: float) -> str:
    """Write a share of 0..1 as people read it; near the ends with a digit more.

    >>> percent(0.614), percent(0.0042), percent(0.99996)
    ('61 %', '0.4 %', 'over 99.9 %')
    """
    if share > 0.9995:
        return "over 99.9 %"
    if share < 0.0005:
        return "under 0.1 %"
    digits = 1 if share < 0.0095 or share > 0.9905 else 0
    return f"{100 * share:.{digits}f} %"


def terminal_columns(text: str) -> int:
    """Count the columns of a terminal that a text fills: letters of East Asia two, marks on others none.

    >>> terminal_columns("cosy"), terminal_columns("\u4e0d\u6c17\u5473"), terminal_columns("a\u030angest")
    (4, 6, 6)
    """
    return sum(
        0 if unicodedata.combining(letter) else 1 + (unicodedata.east_asian_width(letter) in "WF")
        for letter in text
    )


def padded(text: str, width: int) -> str:
    """Fill a text up with spaces to so many columns."""
    return text + " " * (width - terminal_columns(text))


def signed(value: float, digits: int = 2) -> str:
    """Write a number with its sign and a true minus.

    >>> signed(0.5), signed(-0.25), signed(0.001)
    ('+0.50', '\N{MINUS SIGN}0.25', '0.00')
    """
    rounded = f"{abs(value):.{digits}f}"
    return rounded if not float(rounded) else f"{'+' if value > 0 else chr(0x2212)}{rounded}"


def with_minus(number: str) -> str:
    """Set a true minus in a number that was formatted with a hyphen.

    >>> with_minus(f"{-0.306:.3g}")
    '\N{MINUS SIGN}0.306'
    """
    return number.replace("-", "\N{MINUS SIGN}")


def clock(seconds: float, digits: int = 0) -> str:
    """Time of a film as a player shows it, cut rather than rounded.

    >>> clock(7.96), clock(75), clock(3725.26, 1)
    ('0:07', '1:15', '1:02:05.2')
    """
    # A hair is added, or 0.3 s, which no float is, would be shown as 0.2.
    units = math.floor(max(0.0, seconds) * 10**digits + 1e-6)
    whole, part = divmod(units, 10**digits)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    text = f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
    return f"{text}.{part:0{digits}}" if digits else text


def duration(seconds: float) -> str:
    """Length of time: `0.8 s`, `12 s`, `3 min 20 s`, `2 h 5 min`.

    >>> duration(0.84), duration(200), duration(7505)
    ('0.8 s', '3 min 20 s', '2 h 5 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, second = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {second} s" if second else f"{minutes} min"
    hours, minute = divmod(round(seconds / 60), 60)
    return f"{hours} h {minute} min" if minute else f"{hours} h"


def listed(names: Sequence[str], last: str = "and") -> str:
    """Join names as in a sentence.

    >>> listed(["awe", "fear", "anger"], "or")
    'awe, fear or anger'
    """
    return ", ".join(names) if len(names) < 2 else f"{', '.join(names[:-1])} {last} {names[-1]}"


def likeliest(probabilities: Mapping[str, float], shown: int = 3) -> str:
    """Name the likeliest emotions with their probabilities; of equal ones, the first in the mapping.

    >>> likeliest({"awe": 0.1, "fear": 0.62, "sadness": 0.28}, shown=2)
    'fear 62 %, sadness 28 %'
    """
    ranked = sorted(probabilities.items(), key=lambda item: -item[1])
    return ", ".join(f"{word} {percent(value)}" for word, value in ranked[:shown])


def stands_out(probabilities: Mapping[str, float]) -> bool:
    """Return whether the likeliest emotion is at least twice as likely as if all were equally likely.

    >>> stands_out({"awe": 0.7, "fear": 0.2, "anger": 0.1})
    True
    >>> stands_out({"awe": 0.4, "fear": 0.3, "anger": 0.3})
    False
    """
    return max(probabilities.values()) * len(probabilities) >= 2 or len(probabilities) <= 2


def headline(probabilities: Mapping[str, float]) -> str:
    """Write what comes before the likeliest emotion in a title: it may be the first among many.

    >>> headline({"awe": 0.7, "fear": 0.2, "anger": 0.1})
    'Most likely to evoke'
    """
    return "Most likely to evoke" if stands_out(probabilities) else "No emotion stands out; the likeliest is"


def printable(text: str, keep: str = "") -> str:
    r"""Escape what a terminal cannot show, or what would steer it; characters of `keep`, and spaces, stay.

    >>> printable("a\x1b[31m.jpg"), printable("\udcff.jpg"), printable("one\ntwo", keep="\n")
    ('a\\x1b[31m.jpg', '\\udcff.jpg', 'one\ntwo')
    """
    if text.isprintable():
        return text
    return "".join(
        letter
        if letter.isprintable() or letter in keep or unicodedata.category(letter) == "Zs"
        else letter.encode("unicode_escape", "surrogatepass").decode()
        for letter in text
    )


def printable_in_files(text: str, keep: str = "") -> str:
    r"""Replace what is not a printable character of UTF-8 by question marks; those of `keep` stay.

    >>> printable_in_files("a\x1b.jpg")
    'a?.jpg'
    """
    return "".join(letter if letter.isprintable() or letter in keep else "?" for letter in text)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """Write a table in Markdown; all but the first `left` columns are set right.

    What would end a cell is escaped. Cells may hold markup; those of others go through `markdown_text`.

    >>> print(markdown_table(["network", "accuracy"], [["a|b", "0.67"]]))
    | network | accuracy |
    | --- | ---: |
    | a\\|b | 0.67 |
    """
    rule = ["---" if number < left else "---:" for number in range(len(header))]
    return "\n".join([_markdown_row(header), f"| {' | '.join(rule)} |", *map(_markdown_row, rows)])


def print_table(table: TextTable, console: "Console", title: str | None = None) -> None:
    """Print a table to a terminal; all but the first column are set right."""
    # Here, so that Markdown can be written without loading rich.
    from rich.table import Table
    from rich.text import Text

    header, *body = table
    # Text, so that no word is read as a colour.
    shown = Table(title=None if title is None else Text(title), title_justify="left")
    for number, name in enumerate(header):
        shown.add_column(Text(printable(name)), justify="right" if number else "left")
    for row in body:
        shown.add_row(*(Text(printable(cell)) for cell in row))
    console.print(shown)


def _markdown_row(cells: Sequence[str]) -> str:
    escaped = (_CELL_END.sub(r"\1\\|", cell.replace("\n", " ")) for cell in cells)
    return f"| {' | '.join(escaped)} |"
