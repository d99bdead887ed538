"""Preprocessing against torchvision, and its settings."""

import hashlib
import json
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as torchvision

from affectlens.errors import SettingsError
from affectlens.images import read_pixels
from affectlens.preprocess import Preprocessing

WAYS: list[dict[str, Any]] = [
    {"fit": "squash"},
    {"fit": "crop"},
    {"fit": "crop", "crop_fraction": 0.875},
    {"fit": "pad"},
]
INTERPOLATIONS = ["bilinear", "bicubic"]


def pattern(height: int, width: int) -> torch.Tensor:
    """A picture made of whole numbers alone, so that it is the same everywhere. (3, H, W)"""
    rows, columns = np.mgrid[:height, :width]
    channels = [rows * columns // 16, rows * 3 + columns * 5, (rows - 40) ** 2 // 9 + columns]
    return torch.from_numpy(np.stack(channels).astype(np.uint8))


def digest(tensor: torch.Tensor) -> str:
    return hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()[:16]


def as_pillow(pixels: torch.Tensor) -> Image.Image:
    return Image.fromarray(pixels.permute(1, 2, 0).numpy())


def worst(one: torch.Tensor, other: torch.Tensor) -> int:
    assert one.shape == other.shape
    return int((one.int() - other.int()).abs().max())


GOLDEN = {
    ("squash", 1.0, "bilinear"): ("8346bb6a7a20ff4e", "27b4ada41cfd9a61"),
    ("squash", 1.0, "bicubic"): ("f7d741f696a8de63", "4cde9e8f2afe53f1"),
    ("crop", 0.875, "bilinear"): ("1160059b074606a5", "c45a0c3f0b11aec0"),
    ("crop", 0.875, "bicubic"): ("30896c898e627b0f", "f805d67e474f6937"),
    ("pad", 1.0, "bilinear"): ("26057dbe46616ccd", "caa54af128fa0057"),
    ("pad", 1.0, "bicubic"): ("747da9e2435c0140", "96bbd31e91810abc"),
}


@pytest.mark.parametrize(("fit", "crop_fraction", "interpolation"), GOLDEN)
def test_not_one_bit_of_the_network_input_ever_changes(
    fit: Any, crop_fraction: float, interpolation: Any
) -> None:
    preprocessing = Preprocessing(fit=fit, crop_fraction=crop_fraction, interpolation=interpolation)
    fitted = preprocessing.fit_pixels(pattern(300, 451))
    found = (digest(fitted), digest(preprocessing.normalise(fitted[None])))
    assert found == GOLDEN[fit, crop_fraction, interpolation], "this needs another version of Preprocessing"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_the_order_of_pixels_in_memory_changes_nothing(way: dict[str, Any], interpolation: Any) -> None:
    preprocessing = Preprocessing(**way, interpolation=interpolation)
    rows_of_channels = pattern(240, 331)
    channels_last = rows_of_channels.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    assert torch.equal(preprocessing.fit_pixels(rows_of_channels), preprocessing.fit_pixels(channels_last))


@pytest.mark.parametrize("size", [(300, 451), (451, 300), (100, 60), (224, 224), (224, 500), (1200, 640)])
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_squash_is_what_pillow_does_within_rounding(size: tuple[int, int], interpolation: Any) -> None:
    pixels = pattern(*size)
    filters = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    expected = read_pixels(as_pillow(pixels).resize((192, 256), filters[interpolation]))
    fitted = Preprocessing(height=256, width=192, interpolation=interpolation).fit_pixels(pixels)
    # Bicubic overshoots at hard edges, of which this pattern is full; there the two clip differently.
    assert worst(fitted, expected) <= (1 if interpolation == "bilinear" else 8)
    difference = (fitted.int() - expected.int()).abs()
    assert difference.float().mean() < 0.2
    assert (difference > 1).float().mean() < 0.01


@pytest.mark.parametrize("size", [(300, 451), (451, 300), (333, 333), (100, 60), (225, 224), (700, 224)])
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("crop_fraction", [1.0, 0.875, 0.95])
def test_crop_is_what_torchvision_and_timm_do(
    size: tuple[int, int], interpolation: Any, crop_fraction: float
) -> None:
    pixels = pattern(*size)
    mode = torchvision.InterpolationMode(interpolation)
    short = int(224 / crop_fraction)
    expected = torchvision.center_crop(torchvision.resize(pixels, [short], mode, antialias=True), [224, 224])
    preprocessing = Preprocessing(fit="crop", crop_fraction=crop_fraction, interpolation=interpolation)
    assert worst(preprocessing.fit_pixels(pixels), expected) <= 1
    assert preprocessing.at_least == (short, short)


def test_normalise_is_what_torchvision_does() -> None:
    preprocessing = Preprocessing()
    batch = torch.stack(
        [preprocessing.fit_pixels(pattern(300, 451)), preprocessing.fit_pixels(pattern(64, 64))]
    )
    expected = torchvision.normalize(
        torchvision.to_dtype(batch, torch.float32, scale=True),
        list(preprocessing.mean),
        list(preprocessing.std),
    )
    normalised = preprocessing.normalise(batch)
    assert normalised.dtype == torch.float32
    torch.testing.assert_close(normalised, expected, rtol=0, atol=1e-6)


def test_normalise_leaves_its_input_alone() -> None:
    batch = pattern(8, 8)[None].float()
    before = batch.clone()
    Preprocessing().normalise(batch)
    assert torch.equal(batch, before)


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1), (1, 1), (2, 3), (1, 20000), (4000, 3)])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("target", [(224, 224), (96, 160)])
def test_the_thinnest_strip_fits(size: tuple[int, int], way: dict[str, Any], target: tuple[int, int]) -> None:
    fitted = Preprocessing(height=target[0], width=target[1], **way).fit_pixels(pattern(*size))
    assert fitted.shape == (3, *target)
    assert fitted.dtype == torch.uint8


def test_cutting_the_ends_of_a_panorama_first_keeps_what_its_centre_shows() -> None:
    pixels = pattern(64, 64).repeat(1, 1, 31)
    expected = torchvision.center_crop(torchvision.resize(pixels, [256], antialias=True), [224, 224])
    fitted = Preprocessing(fit="crop", crop_fraction=0.875).fit_pixels(pixels)
    assert worst(fitted, expected) <= 1


def test_squash_keeps_the_edges_and_crop_cuts_them() -> None:
    pixels = torch.zeros(3, 100, 300, dtype=torch.uint8)
    pixels[:, :, :60] = 255
    assert Preprocessing().fit_pixels(pixels)[:, :, 0].min() == 255
    assert Preprocessing(fit="crop").fit_pixels(pixels).max() == 0


SIZES = [(97, 211), (301, 203), (40, 3000), (2000, 31), (640, 480), (224, 224)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", SIZES)
def test_a_point_of_the_picture_is_found_where_the_view_has_it(
    size: tuple[int, int], way: dict[str, Any]
) -> None:
    height, width = size
    preprocessing = Preprocessing(height=60, width=80, **way)
    rows = torch.linspace(0, 255, height).round()[:, None].expand(height, width)
    columns = torch.linspace(0, 255, width).round()[None].expand(height, width)
    pixels = torch.stack([rows, columns, torch.zeros(height, width)]).to(torch.uint8)
    view = preprocessing.view(height, width)
    fitted = preprocessing.fit_pixels(pixels)[:2].float()
    top, left, bottom, right = view.inside
    inside = fitted[:, top:bottom, left:right]
    y0, x0, y1, x1 = view.seen
    assert 0 <= y0 < y1 <= 1 and 0 <= x0 < x1 <= 1
    for channel, (begin, end), length, cells in (
        (0, (y0, y1), height, bottom - top),
        (1, (x0, x1), width, right - left),
    ):
        # Where the middle of each cell of the input lies in the picture, and which level it was given there.
        centres = begin + (torch.arange(cells) + 0.5) / cells * (end - begin)
        levels = ((centres * length - 0.5) / max(1, length - 1)).clamp(0, 1) * 255
        found = inside[channel].mean(dim=1 if channel == 0 else 0)
        cell = 255 * (end - begin) / cells  # levels between two cells
        assert ((found - levels)[1:-1].abs() <= 0.5 * cell + 1.5).all()


def test_pad_keeps_the_shape_and_fills_with_what_the_network_takes_for_nothing() -> None:
    preprocessing = Preprocessing(fit="pad")
    fitted = preprocessing.fit_pixels(torch.full((3, 100, 200), 255, dtype=torch.uint8))
    assert (fitted[:, 56:168] == 255).all()
    padding = preprocessing.normalise(fitted[None])[:, :, [0, 55, 168, 223]]
    assert padding.abs().max() < 0.01


def test_settings_survive_json() -> None:
    preprocessing = Preprocessing(
        height=384, width=320, fit="crop", crop_fraction=0.9, interpolation="bicubic", mean=(0.5, 0.5, 0.5)
    )
    assert Preprocessing.from_json(json.loads(json.dumps(preprocessing.to_json()))) == preprocessing
    assert Preprocessing().to_json() == {
        "version": 1,
        "height": 224,
        "width": 224,
        "fit": "squash",
        "crop_fraction": 1.0,
        "interpolation": "bilinear",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"heigth": 224}, "Did you mean 'height'"),
        ({"version": 2}, "version 2 is not known"),
        ({"version": "1"}, "version '1' is not known"),
        ({"version": 2, "colour_space": "lab"}, "version 2 is not known"),
        ({"height": 0}, "height is 0; expected a whole number"),
        ({"height": 4097}, "height is 4097; expected a whole number of pixels from 1 to 4,096"),
        ({"width": 10**400}, r"width is 1\d{17}\.\.\.\d+; expected"),
        ({"width": 224.0}, r"Expected `int`, got `float` - at `\$\.width`"),
        ({"width": True}, r"\$\.width"),
        ({"fit": "stretch"}, r"\'stretch\' - at `\$\.fit`"),
        ({"fit": ["crop"]}, r"\$\.fit"),
        ({"interpolation": "nearest"}, r"\'nearest\' - at `\$\.interpolation`"),
        ({"crop_fraction": 0.875}, "expected 1 with fit='squash'"),
        ({"fit": "crop", "crop_fraction": 0}, r"expected 0\.001 to 1"),
        ({"fit": "crop", "crop_fraction": 1.5}, r"expected 0\.001 to 1"),
        ({"crop_fraction": "1"}, r"\$\.crop_fraction"),
        ({"mean": [0.5, 0.5]}, r"\$\.mean"),
        ({"mean": [124, 116, 104]}, "in 0..1"),
        ({"std": [0.2, 0.0, 0.2]}, "above 0"),
        ({"std": [0.2, float("nan"), 0.2]}, "above 0"),
        ({"std": 0.2}, r"\$\.std"),
    ],
)
def test_unknown_and_impossible_settings_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Preprocessing.from_json({**Preprocessing().to_json(), **change})


def test_a_missing_setting_is_refused_instead_of_guessed() -> None:
    for name in Preprocessing().to_json():
        settings = Preprocessing().to_json()
        del settings[name]
        with pytest.raises(SettingsError):
            Preprocessing.from_json(settings)


@pytest.mark.gpu
def test_the_gpu_normalises_as_the_cpu_does() -> None:
    preprocessing = Preprocessing()
    batch = preprocessing.fit_pixels(pattern(300, 451))[None]
    torch.testing.assert_close(preprocessing.normalise(batch.cuda()).cpu(), preprocessing.normalise(batch))
