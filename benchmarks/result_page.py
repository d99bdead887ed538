"""Pages of results: a template with slots `@@NAME@@`, filled from what was measured, long lines wrapped."""

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from affectlens.files import atomic_write

WIDTH = 120
_ALONE = re.compile(r"[|#!<]|    ")  # tables, headings, pictures, code
_BEGINS = re.compile(r"[|#!<]|    |- |\d+\. ")  # these, and points of lists
RESULTS = Path(__file__).parents[1] / "docs" / "results"


def write(out: Path, template: str, parts: Mapping[str, str]) -> None:
    """Fill the template of this name, next to the benchmarks, and write the page.

    Raises `ValueError` where a slot has no part, or a part no slot.
    """
    text = (Path(__file__).parent / template).read_text(encoding="utf-8")
    slots = set(re.findall(r"@@([A-Z_]+)@@", text))
    if slots != set(parts):
        raise ValueError(f"{template} has slots {sorted(slots)}, and there are parts {sorted(parts)}.")
    for name, part in parts.items():
        text = text.replace(f"@@{name}@@", part)
    write_text(out, text)


def write_text(out: Path, text: str) -> None:
    """Write a page with its long lines wrapped."""
    with atomic_write(out, "w") as file:
        file.write("\n".join(map(_wrap, _blocks(text.splitlines()))) + "\n")


def _blocks(lines: Iterable[str]) -> Iterator[str]:
    """Join the lines of a paragraph and of a point of a list; others stand as they are."""
    block, fenced = "", False
    for line in lines:
        fence = line.startswith("```")
        if block and line and not (fenced or fence or _BEGINS.match(line) or _ALONE.match(block)):
            block += " " + line.strip()
            continue
        if block:
            yield block
        block = line
        if fenced or fence or not line:
            yield line
            block = ""
        fenced ^= fence
    if block:
        yield block


def _wrap(line: str) -> str:
    """Break a long line of text; a table's line cannot be broken."""
    if len(line) <= WIDTH or line.startswith("|"):
        return line
    indent = "  " if line.startswith("- ") else ""
    return textwrap.fill(
        line, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
