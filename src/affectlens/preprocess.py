"""Pixels -> network input: one versioned artefact, used by training, evaluation, serving and export.

A model folder carries its `Preprocessing` as JSON. Version 1 means: resized in uint8 with antialiasing, then
divided by 255, less `mean`, by `std`. A change that moves answers is another version. Pillow resizes, as for
most published networks; torch, which did until version 0.2 of this package, gives the same levels within one
for bilinear, and for bicubic within one but at hard edges, where the two clip its overshoot otherwise.

Letters: B pictures, H x W pixels of the picture, h x w of the network's input.
"""

import math
import reprlib
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from affectlens.errors import SettingsError
from affectlens.images import Interpolation, Pixels, resize

VERSION = 1
Images: TypeAlias = NDArray[np.float32]  # as networks take them, (B, 3, h, w)
Fit = Literal["squash", "crop", "pad"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Pixels of either side of a network's input. Published networks see up to about 600; a file with a far larger
# size is damaged, or made to fill the memory.
LARGEST_SIDE = 4096
# Pixels of either side to which a picture is resized before its centre is cropped.
LARGEST_COVER = 2 * LARGEST_SIDE

# A panorama's ends are cut before it is resized once it is this many times longer than what the
# centre crop keeps: a strip of 1 x 5000 would grow to a million columns, to be thrown away.
_KEPT_BEFORE_CROP = 4


class View(NamedTuple):
    """Which part of a picture a network sees, and where; boxes are top, left, bottom, right.

    `seen` is that part, in fractions of the picture's height and width. `inside` is the part of the
    network's input that shows it, in pixels; what lies around it is filling.
    """

    seen: tuple[float, float, float, float]
    inside: tuple[int, int, int, int]


class _Cut(NamedTuple):
    """How a picture is cropped: cut at both ends, resized to rows x columns, then cut at top and left."""

    top_end: int
    left_end: int
    rows: int
    columns: int
    top: int
    left: int


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How pixels of any size become the input of one network.

    `fit`:
        "squash"    both sides are resized to `height` and `width`: nothing is cut, shapes are distorted
        "crop"      resized to cover (`height`, `width`) / `crop_fraction`, then the centre is cut out
        "pad"       resized to lie within (`height`, `width`), the rest filled with the colour `mean`
    `mean` and `std` are of red, green and blue in 0..1. Raises `SettingsError` for impossible values.
    """

    version: int = VERSION
    height: int = 224
    width: int = 224
    fit: Fit = "squash"
    crop_fraction: float = 1.0
    interpolation: Interpolation = "bilinear"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        _require_version(self.version)
        expected = f"a whole number of pixels from 1 to {LARGEST_SIDE:,}"
        _require("height", self.height, _is_size(self.height), expected)
        _require("width", self.width, _is_size(self.width), expected)
        _require("fit", self.fit, self.fit in get_args(Fit), f"one of {', '.join(get_args(Fit))}")
        known = get_args(Interpolation)
        _require(
            "interpolation", self.interpolation, self.interpolation in known, f"one of {', '.join(known)}"
        )
        # A fraction that is not used would look as if it were.
        least, expected = (1e-3, "0.001 to 1") if self.fit == "crop" else (1, f"1 with fit={self.fit!r}")
        _require("crop_fraction", self.crop_fraction, _lies_in(least, 1, self.crop_fraction), expected)
        expected = (
            f"a fraction by which no side of {self.height} x {self.width} grows beyond {LARGEST_COVER:,}"
        )
        _require("crop_fraction", self.crop_fraction, max(self.at_least) <= LARGEST_COVER, expected)
        _require("mean", self.mean, _are_three_in(0, 1, self.mean), "a tuple of three numbers in 0..1")
        _require("std", self.std, _are_three_in(1e-6, math.inf, self.std), "a tuple of three numbers above 0")

    @property
    def at_least(self) -> tuple[int, int]:
        """(height, width) that a picture is shrunk to: what `read_pixels` wants to know."""
        return math.floor(self.height / self.crop_fraction), math.floor(self.width / self.crop_fraction)

    def fit_pixels(self, pixels: Pixels) -> Pixels:
        """Bring a picture to the network's size: uint8, (H, W, 3) -> (h, w, 3).

        In whole numbers, so that the bits are the same every time.
        """
        if self.fit == "squash":
            return resize(pixels, self.height, self.width, self.interpolation)
        return self._crop(pixels) if self.fit == "crop" else self._pad(pixels)

    def normalise(self, pixels: Pixels) -> Images:
        """Bring fitted pixels to the range that the network was trained on: (x / 255 - mean) / std.

        uint8, (B, h, w, 3) -> float32, (B, 3, h, w).
        """
        scaled = pixels.transpose(0, 3, 1, 2).astype(np.float32, order="C")
        scaled /= 255
        scaled -= np.array(self.mean, np.float32).reshape(3, 1, 1)
        scaled /= np.array(self.std, np.float32).reshape(3, 1, 1)
        return scaled

    def to_json(self) -> dict[str, Any]:
        """Write every setting as plain data for `json.dump`."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_json(cls, settings: dict[str, Any]) -> "Preprocessing":
        """Read what `to_json` wrote.

        Raises `SettingsError` for an unknown version or key, an impossible value, and a key that is
        missing: a default that changes later must not change an old model.

        >>> Preprocessing.from_json(Preprocessing(height=384, width=384).to_json()).height
        384
        """
        # First, as keys of another version would only hide that it is another.
        _require_version(settings.get("version"))
        _require_keys(settings, [field.name for field in fields(cls)])
        try:
            return msgspec.convert(settings, cls)
        except ValueError as error:
            raise SettingsError(f"A preprocessing setting is wrong: {error}.") from None

    def view(self, height: int, width: int) -> View:
        """Return which part of a picture of H x W pixels the network sees, and where in its input."""
        if self.fit == "squash":
            return View((0.0, 0.0, 1.0, 1.0), (0, 0, self.height, self.width))
        if self.fit == "pad":
            rows, columns, top, left = self._canvas_region(height, width)
            return View((0.0, 0.0, 1.0, 1.0), (top, left, top + rows, left + columns))
        cut = self._cut_of(height, width)
        kept_height, kept_width = height - 2 * cut.top_end, width - 2 * cut.left_end
        seen = (
            (cut.top_end + cut.top / cut.rows * kept_height) / height,
            (cut.left_end + cut.left / cut.columns * kept_width) / width,
            (cut.top_end + (cut.top + self.height) / cut.rows * kept_height) / height,
            (cut.left_end + (cut.left + self.width) / cut.columns * kept_width) / width,
        )
        return View(seen, (0, 0, self.height, self.width))

    def _crop(self, pixels: Pixels) -> Pixels:
        height, width, _ = pixels.shape
        cut = self._cut_of(height, width)
        pixels = pixels[cut.top_end : height - cut.top_end, cut.left_end : width - cut.left_end]
        pixels = resize(pixels, cut.rows, cut.columns, self.interpolation)
        return pixels[cut.top : cut.top + self.height, cut.left : cut.left + self.width]

    def _cut_of(self, height: int, width: int) -> _Cut:
        """Cover (height, width) / crop_fraction, rounded as torchvision's `Resize` and `CenterCrop` do."""
        cover_height, cover_width = self.at_least
        scale = max(cover_height / height, cover_width / width)
        top_end, left_end = _ends(height, self.height / scale), _ends(width, self.width / scale)
        height, width = height - 2 * top_end, width - 2 * left_end
        if height / cover_height <= width / cover_width:
            rows, columns = cover_height, max(cover_width, int(cover_height * width / height))
        else:
            rows, columns = max(cover_height, int(cover_width * height / width)), cover_width
        top, left = round((rows - self.height) / 2), round((columns - self.width) / 2)
        return _Cut(top_end, left_end, rows, columns, top, left)

    def _pad(self, pixels: Pixels) -> Pixels:
        rows, columns, top, left = self._canvas_region(*pixels.shape[:2])
        # The mean colour, so that after `normalise` the padding is as good as zero.
        colour = np.array([round(255 * value) for value in self.mean], dtype=np.uint8)
        canvas = np.tile(colour, (self.height, self.width, 1))
        canvas[top : top + rows, left : left + columns] = resize(pixels, rows, columns, self.interpolation)
        return canvas

    def _canvas_region(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Return rows, columns, top and left of a picture that lies within the input."""
        scale = min(self.height / height, self.width / width)
        rows = min(self.height, max(1, round(height * scale)))
        columns = min(self.width, max(1, round(width * scale)))
        return rows, columns, (self.height - rows) // 2, (self.width - columns) // 2


@dataclass(frozen=True, kw_only=True)
class ExpectedInput:
    """What a backbone was trained on, by its pretrained configuration, or a model, by its card.

    Fields are as those of `Preprocessing`.
    """

    height: int = 224
    width: int = 224
    fit: Fit = "squash"
    crop_fraction: float = 1.0
    interpolation: Interpolation = "bilinear"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD


ANY_INPUT = ExpectedInput()


@dataclass(frozen=True, kw_only=True)
class PreprocessingSettings:
    """`Preprocessing` as settings of training have it, which may be left to the weights.

    Weights lose points where they are fed images made otherwise than those that they were trained on, and
    some networks have one size only. None stands for what the backbone's pretrained configuration states, or
    the card of a model that training starts with; a crop applies where `fit` is "crop". A backbone leaves
    `fit` at "squash". Raises `SettingsError` for impossible values.
    """

    version: int = VERSION
    height: int | None = None
    width: int | None = None
    fit: Fit | None = None
    crop_fraction: float | None = None
    interpolation: Interpolation | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        self.resolved()

    def resolved(self, expected: ExpectedInput = ANY_INPUT) -> Preprocessing:
        """Return the preprocessing, with what weights expect where nothing is set."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        if (self.fit or expected.fit) != "crop":
            expected = replace(expected, crop_fraction=1.0)
        open_ = [name for name, value in values.items() if value is None]
        return Preprocessing(**{**values, **{name: getattr(expected, name) for name in open_}})


def _ends(length: int, seen: float) -> int:
    """How much is cut from both ends of a side, of which the centre that is seen is far shorter."""
    return max(0, math.floor((length - _KEPT_BEFORE_CROP * seen) / 2))


def _require_version(version: Any) -> None:
    if version != VERSION:
        raise SettingsError(
            f"Preprocessing of version {version!r} is not known; this AffectLens knows {VERSION}. "
            "Use a newer AffectLens, or a model made with this one."
        )


def _require(name: str, value: Any, is_possible: bool, expected: str) -> None:
    if not is_possible:
        given = reprlib.repr(value)  # shortened: a number may have hundreds of digits
        raise SettingsError(f"The preprocessing setting {name} is {given}; expected {expected}.")


def _require_keys(settings: dict[str, Any], known: list[str]) -> None:
    for name in settings:
        if name not in known:
            near = get_close_matches(str(name), known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise SettingsError(f"{name!r} is not a preprocessing setting.{hint} Known: {', '.join(known)}.")
    missing = [name for name in known if name not in settings]
    if missing:
        raise SettingsError(f"Preprocessing settings are missing: {', '.join(missing)}. All must be given.")


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LARGEST_SIDE


def _lies_in(least: float, most: float, value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return is_number and least <= value <= most


def _are_three_in(least: float, most: float, values: Any) -> bool:
    is_triple = isinstance(values, tuple) and len(values) == 3
    return is_triple and all(_lies_in(least, most, value) for value in values)
