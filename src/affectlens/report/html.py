"""Pages of HTML from the templates in `templates/`: escaped by default, complete without a network."""

import base64
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from affectlens.files import atomic_write
from affectlens.report.text import clock, duration, listed, percent, printable_in_files, signed

FILTERS = {
    "clock": clock,
    "duration": duration,
    "listed": listed,
    "percent": percent,
    "printable": printable_in_files,
    "signed": signed,
    "thousands": "{:,}".format,
}


def render(template: str, values: Mapping[str, Any]) -> str:
    """Fill a template of `templates/`. Text is escaped unless it is `Markup`; a missing value is an error.

    No line breaks between a number and its percent sign.
    """
    page = _environment().get_template(template).render(**values)
    return re.sub(r"(?<=\d) %", "\N{NO-BREAK SPACE}%", page)


def save_page(file: Path, page: str) -> None:
    """Write a page, completely or not at all. Raises `OutputError`."""
    with atomic_write(file, "w") as out:
        out.write(page)


def json_for_script(data: Any) -> Markup:
    """Write plain data for a `<script type="application/json">`: nothing in it can end the script."""
    plain = json.dumps(data, separators=(",", ":"))
    return Markup(plain.replace("<", "\\u003c"))


def data_url(content: bytes, media_type: str) -> str:
    """Write bytes as an address that holds them, for pictures inside a page."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def static(name: str) -> Markup:
    """Return the text of a style sheet or script of `templates/`, to be put into a page as it is."""
    loader = _environment().loader
    assert loader is not None
    text, _, _ = loader.get_source(_environment(), name)
    return Markup(text)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("affectlens.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS)
    environment.globals["static"] = static
    return environment
