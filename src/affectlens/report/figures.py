"""How figures look and are written: fonts, inks, suffixes; the same figure gives the same bytes."""

import io
import re
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.image
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Figure  # for types of those that may not import matplotlib
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from numpy.typing import NDArray

from affectlens.errors import OutputError
from affectlens.files import atomic_write
from affectlens.report.html import data_url

SUFFIXES = (".png", ".jpg", ".jpeg", ".pdf", ".svg")
INK, PALE, LINE = "#1a1a1a", "#5c5c5c", "#d0d0d0"
# Text stays text in SVG, and its ids do not depend on chance.
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "svg.hashsalt": "affectlens",
    "svg.fonttype": "none",
}
DPI = 150
_MEASURED = 100.0  # size at which letters are measured; all sizes have the same proportions
# What stands for the colours of a light page in a dark one: inks, lines, its ground, its accent.
_DARK = {
    b"#1a1a1a": b"#ececec", b"#5c5c5c": b"#aeb3b8", b"#d0d0d0": b"#3a3e43", b"#ffffff": b"#15171a",
    b"#a34f00": b"#ffb066", b"#000000": b"#ececec",
}  # fmt: skip
_COLOUR = re.compile(rb"#[0-9a-fA-F]{6}\b")


def check_suffix(file: Path) -> None:
    """Raise `OutputError` where a suffix names no format of figures."""
    if file.suffix.lower() not in SUFFIXES:
        raise OutputError(f"{file}: the suffix decides how a figure is written. Use {', '.join(SUFFIXES)}.")


def new_figure(width: float, height: float, **options: Any) -> Figure:
    """Make a white figure of so many inches that needs no display."""
    figure = Figure(figsize=(width, height), facecolor="white", **options)
    FigureCanvasAgg(figure)
    return figure


def text_width(line: str, size: float, weight: str = "normal") -> float:
    """Return how wide a line of letters of `size` is, in the unit of `size`."""
    font = FontProperties(family=STYLE["font.family"], size=_MEASURED, weight=weight)
    across: float = text_to_path.get_text_width_height_descent(line, font, ismath=False)[0]
    return across * size / _MEASURED


def save_figure(file: Path, figure: Figure, *, style: Any = STYLE, dpi: float = DPI) -> None:
    """Write a figure in the format of its file's suffix, atomically and without a date.

    Give the `style` that the figure was drawn with. Raises `OutputError`.
    """
    check_suffix(file)
    kind = file.suffix.lower().lstrip(".")
    dateless: dict[str, dict[str, Any]] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
    with matplotlib.rc_context(style), atomic_write(file) as out:
        figure.savefig(out, format=kind, dpi=dpi, metadata=dateless.get(kind))


def jpeg_url(picture: NDArray[np.uint8], quality: int) -> str:
    """Write a picture, (H, W, 3), as an address that holds it as JPEG, for pages."""
    file = io.BytesIO()
    options: dict[str, Any] = {"quality": quality, "optimize": True}
    matplotlib.image.imsave(file, np.ascontiguousarray(picture), format="jpg", pil_kwargs=options)
    return data_url(file.getvalue(), "image/jpeg")


def themed_urls(figure: Figure, *, style: Any = STYLE) -> dict[str, str]:
    """Write a figure as addresses that hold it as SVG on a clear ground, for pages of both themes.

    `light` has its own colours; in `dark` inks, lines and white are those of `templates/tokens.css` there.
    """
    file = io.BytesIO()
    with matplotlib.rc_context(style):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    light = file.getvalue()
    dark = _COLOUR.sub(lambda found: _DARK.get(found[0].lower(), found[0]), light)
    return {"light": data_url(light, "image/svg+xml"), "dark": data_url(dark, "image/svg+xml")}
