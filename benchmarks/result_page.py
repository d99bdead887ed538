"""Pages of results: a template with places `@@NAME@@`, filled from what was measured, long lines wrapped."""

import re
import textwrap
from collections.abc import Mapping
from pathlib import Path

from affectlens.files import atomic_write

WIDTH = 120
RESULTS = Path(__file__).parents[1] / "docs" / "results"


def write(out: Path, template: str, parts: Mapping[str, str]) -> None:
    """Fill the template of this name, which stands beside the benchmarks, and write the page.

    Raises `ValueError` where a place has no part, or a part no place.
    """
    text = (Path(__file__).parent / template).read_text(encoding="utf-8")
    places = set(re.findall(r"@@([A-Z_]+)@@", text))
    if places != set(parts):
        raise ValueError(f"{template} has places {sorted(places)}, and there are parts {sorted(parts)}.")
    for name, part in parts.items():
        text = text.replace(f"@@{name}@@", part)
    with atomic_write(out, "w") as file:
        file.write("\n".join(map(_wrap, text.splitlines())) + "\n")


def _wrap(line: str) -> str:
    """Break a long line of text; a table's line cannot be broken."""
    if len(line) <= WIDTH or line.startswith("|"):
        return line
    indent = "  " if line.startswith("- ") else ""
    return textwrap.fill(
        line, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
