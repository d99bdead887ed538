"""A canvas: a figure that is filled from the top with text and pictures, all lengths in inches.

In inches, so that text has one size where a figure is read, whatever the number of its parts.
"""

from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray

from affectlens.report.figures import INK, Figure, new_figure


class Canvas:
    """A white figure; positions are inches from its left edge, and below `top`, which moves down.

    Attributes:
        figure: to be written by `figures.save_figure`
        top: inches from the upper edge, where the next row begins
    """

    def __init__(self, width: float, height: float, margin: float) -> None:
        self.width, self.height = width, height
        self.figure: Figure = new_figure(width, height)
        self.top = margin

    def down(self, inches: float) -> None:
        """Begin the next row so much lower."""
        self.top += inches

    def picture(
        self, left: float, below: float, width: float, height: float, pixels: NDArray[Any], **style: Any
    ) -> None:
        """Draw a picture, (H, W, 3), `below` the top of the row."""
        bottom = self.height - self.top - below - height
        box = (left / self.width, bottom / self.height, width / self.width, height / self.height)
        axes = self.figure.add_axes(box)
        axes.set_axis_off()
        axes.imshow(pixels, **style)

    def text(
        self, left: float, text: str, size: float, *, below: float = 0.0, colour: str = INK, **style: Any
    ) -> None:
        """Write text of so many points, its upper edge `below` the top of the row."""
        x, y = left / self.width, 1 - (self.top + below) / self.height
        self.figure.text(x, y, text, fontsize=size, color=colour, va="top", parse_math=False, **style)


def colours(name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Look values of 0..1 up in one of matplotlib's colour maps: (H, W) -> (H, W, 3)."""
    found: NDArray[np.float64] = matplotlib.colormaps[name](values)[..., :3]
    return found
