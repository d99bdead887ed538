"""How figures look and are written: fonts, inks, suffixes; the same figure gives the same bytes."""

import io
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.image
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Figure  # for types of those that may not import matplotlib
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


def check_suffix(file: Path) -> None:
    """Raise `OutputError` where a suffix names no format of figures."""
    if file.suffix.lower() not in SUFFIXES:
        raise OutputError(f"{file}: the suffix decides how a figure is written. Use {', '.join(SUFFIXES)}.")


def new_figure(width: float, height: float, **options: Any) -> Figure:
    """Make a white figure of so many inches that needs no display."""
    figure = Figure(figsize=(width, height), facecolor="white", **options)
    FigureCanvasAgg(figure)
    return figure


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


def svg_url(figure: Figure, *, style: Any = STYLE) -> str:
    """Write a figure as an address that holds it as SVG on a clear ground, for pages."""
    file = io.BytesIO()
    with matplotlib.rc_context(style):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    return data_url(file.getvalue(), "image/svg+xml")
