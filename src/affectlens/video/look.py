"""How decoded frames become pictures as people see them: upright, square pixels, sRGB.

Letters: H x W pixels of a frame as shown, h x w as scaled.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import av
import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from affectlens.colour import BT2020, HDR, ColourCode, as_sdr
from affectlens.images import Pixels

# From either on, colours are BT.709 where a film does not specify them.
HD_LINES, HD_COLUMNS = 720, 1280
# Matrix coefficients of ITU-T H.273.
_UNSPECIFIED = 2


class Turn(NamedTuple):
    """How stored frames become upright: mirrored left to right or not, then turned clockwise."""

    degrees: int = 0
    mirrored: bool = False

    @property
    def on_its_side(self) -> bool:
        """Whether height and width are swapped."""
        return self.degrees in (90, 270)


class Look:
    """How frames of one kind become pictures: what is computed once for all of them."""

    def __init__(self, raw: "av.VideoFrame", turn: Turn, aspect: float) -> None:
        self.turn, self.transfer = turn, int(raw.color_trc)
        self.height, self.width = shown_size(raw.height, raw.width, aspect, Turn())  # before it is turned
        self.has_alpha = any(component.is_alpha for component in raw.format.components)
        hd = raw.height >= HD_LINES or raw.width >= HD_COLUMNS
        # What PyAV takes for None is SD whatever the size; and RGB has no such matrix.
        self.matrix = Colorspace.ITU709 if raw.colorspace == _UNSPECIFIED and hd else None
        self._small, self._large = VideoReformatter(), VideoReformatter()

    def thumbnail(self, raw: "av.VideoFrame", height: int, width: int) -> NDArray[np.uint8]:
        made = self._small.reformat(
            raw, width, height, "rgb24", src_colorspace=self.matrix,
            interpolation=Interpolation.FAST_BILINEAR, threads=1,
        )  # fmt: skip
        return made.to_ndarray()  # type: ignore[return-value]

    def pixels(self, raw: "av.VideoFrame", at_least: tuple[int, int] | None, longest: int | None) -> Pixels:
        height, width = self._size(at_least, longest)
        hdr = self.transfer in HDR
        kind = "rgb48le" if hdr else "rgba" if self.has_alpha else "rgb24"
        made = self._large.reformat(
            raw, width, height, kind, src_colorspace=self.matrix,
            interpolation=Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT,
            threads=1,
        )  # fmt: skip
        array: NDArray[Any] = made.to_ndarray()
        if hdr:
            array = as_sdr(array, ColourCode(BT2020, self.transfer))
        elif self.has_alpha:
            array = _on_white(array)
        if self.turn.mirrored:
            array = array[:, ::-1]
        array = np.rot90(array, -self.turn.degrees // 90)
        return np.ascontiguousarray(array)

    def _size(self, at_least: tuple[int, int] | None, longest: int | None) -> tuple[int, int]:
        """Height and width of the picture before it is turned."""
        scale = 1.0
        if at_least is not None:
            needed = tuple(reversed(at_least)) if self.turn.on_its_side else at_least
            scale = min(scale, 2 * max(needed[0] / self.height, needed[1] / self.width))
        if longest is not None:
            scale = min(scale, longest / max(self.height, self.width))
        return max(1, round(self.height * scale)), max(1, round(self.width * scale))


def shown_size(height: int, width: int, aspect: float, turn: Turn) -> tuple[int, int]:
    """(H, W) upright, with square pixels: a pixel's shorter side is stretched, so that nothing is lost."""
    if aspect >= 1:
        width = max(1, round(width * aspect))
    else:
        height = max(1, round(height / aspect))
    return (width, height) if turn.on_its_side else (height, width)


def turn_of(raw: "av.VideoFrame") -> Turn:
    """Read the display matrix: nine numbers, row by row; the first two of the first two rows turn."""
    for data in _side_data(raw):
        if data.type == SideDataType.DISPLAYMATRIX:
            a, b, _, c, d = np.frombuffer(bytes(data), dtype=np.int32)[:5].astype(float)
            mirrored = a * d - b * c < 0
            if mirrored:  # undo the mirroring, which is applied to the stored frame first
                a, b = -a, -b
            degrees = round(np.degrees(np.arctan2(b, a)) / 90) % 4 * 90
            return Turn(int(degrees), bool(mirrored))
    return Turn()


def _side_data(raw: "av.VideoFrame") -> Iterator[Any]:
    held: Any = raw.side_data
    for index in range(len(held)):
        yield held[index]


def _on_white(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(h, w, 4) with opacity -> (h, w, 3) on a white page."""
    opacity = array[..., 3:].astype(np.float32) / 255
    return (array[..., :3] * opacity + 255 * (1 - opacity)).round().astype(np.uint8)
