"""A picture as a network takes it: decoded, measured where that is requested, and fitted to the input's size.

The first half of a prediction, which needs no model but its `Preprocessing`; other processes may do it.
"""

from dataclasses import dataclass

from affectlens.attributes import measure
from affectlens.images import Pixels, Source, read_pixels
from affectlens.preprocess import Preprocessing


@dataclass(frozen=True)
class FittedPicture:
    """A picture fitted to the network, and what was measured of it before; None if not requested.

    Attributes:
        pixels: uint8, (H, W, 3), of the network's input
        measured: by the names of `attributes.MEASURED`
    """

    pixels: Pixels
    measured: dict[str, float] | None = None


def fit_picture(source: Source, preprocessing: Preprocessing, *, measured: bool = False) -> FittedPicture:
    """Decode a picture and fit it to a network. Raises `PictureError`.

    It is measured as it was decoded, before it is cut or squashed.
    """
    pixels = read_pixels(source, at_least=preprocessing.at_least)
    return FittedPicture(preprocessing.fit_pixels(pixels), measure(pixels) if measured else None)
