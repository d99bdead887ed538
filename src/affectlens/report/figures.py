"""How figures look and are written: fonts, inks, suffixes; the same figure gives the same bytes."""

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from affectlens.errors import OutputError
from affectlens.files import atomic_write

SUFFIXES = (".png", ".jpg", ".jpeg", ".pdf", ".svg")
INK, PALE, LINE = "#1a1a1a", "#5c5c5c", "#d0d0d0"
# Text stays text in SVG, and its ids do not depend on chance.
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "svg.hashsalt": "affectlens",
    "svg.fonttype": "none",
}
DPI = 150


def check_suffix(file: Path) -> None:
    """Raise `OutputError` where a suffix names no format of figures."""
    if file.suffix.lower() not in SUFFIXES:
        raise OutputError(f"{file}: the suffix says how a figure is written. Use {', '.join(SUFFIXES)}.")


def new_figure(width: float, height: float, **options: Any) -> Figure:
    """Make a white figure of so many inches that needs no display."""
    figure = Figure(figsize=(width, height), facecolor="white", **options)
    FigureCanvasAgg(figure)
    return figure


def write(file: Path, figure: Figure, *, style: Any = STYLE, dpi: float = DPI) -> None:
    """Write a figure as its file's suffix says, atomically and without a date.

    Give the `style` that the figure was drawn with. Raises `OutputError`.
    """
    check_suffix(file)
    kind = file.suffix.lower().lstrip(".")
    dateless: dict[str, dict[str, Any]] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
    with matplotlib.rc_context(style), atomic_write(file) as out:
        figure.savefig(out, format=kind, dpi=dpi, metadata=dateless.get(kind))
