"""Files that the page loads: style sheets shared with the reports, its own, scripts and the sample."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from affectlens.report.html import static

SHEETS = ("tokens.css", "page.css", "serve.css")  # in the order in which later ones win
SHARED = ("tokens.css", "page.css")  # those of the reports
SAMPLE = "sample.jpg"
_FOLDER = Path(__file__).with_name("page")
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".jpg": "image/jpeg",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class StaticFile:
    """A file of the page: its bytes, its media type, and a tag that changes with its bytes."""

    content: bytes
    media_type: str
    tag: str


@cache
def static_files() -> Mapping[str, StaticFile]:
    """Read all files of the page, by name."""
    contents = {name: static(name).encode() for name in SHARED}
    contents |= {file.name: file.read_bytes() for file in _FOLDER.iterdir() if file.suffix in _TYPES}
    return {name: _file(name, content) for name, content in contents.items()}


def _file(name: str, content: bytes) -> StaticFile:
    tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    return StaticFile(content, _TYPES[Path(name).suffix], tag)
