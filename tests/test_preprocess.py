"""Preprocessing against torchvision, and its settings."""

import hashlib
import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from affectlens.errors import SettingsError
from affectlens.images import Pixels
from affectlens.preprocess import Preprocessing

WAYS: list[dict[str, Any]] = [
    {"fit": "squash"},
    {"fit": "crop"},
    {"fit": "crop", "crop_fraction": 0.875},
    {"fit": "pad"},
]
INTERPOLATIONS = ["bilinear", "bicubic"]


def pattern(height: int, width: int) -> Pixels:
    """A picture made of whole numbers alone, so that it is the same everywhere. (H, W, 3)"""
    rows, columns = np.mgrid[:height, :width]
    channels = [rows * columns // 16, rows * 3 + columns * 5, (rows - 40) ** 2 // 9 + columns]
    return np.stack(channels, axis=-1).astype(np.uint8)


def digest(array: NDArray[Any]) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()[:16]


def differences(one: Pixels, other: Pixels) -> NDArray[np.int64]:
    assert one.shape == other.shape
    return np.abs(one.astype(np.int64) - other.astype(np.int64))


needs_torch = pytest.mark.needs("torch")


def by_torchvision(
    pixels: Pixels, size: list[int], interpolation: Any = "bilinear", crop: list[int] | None = None
) -> Pixels:
    """Resize a picture, and cut its centre out, as torchvision does: (H, W, 3) -> (h, w, 3)."""
    from torchvision.transforms.v2 import functional as torchvision

    from affectlens.models.network_input import to_tensor

    mode = torchvision.InterpolationMode(interpolation)
    made = torchvision.resize(to_tensor(pixels), size, mode, antialias=True)
    cut = made if crop is None else torchvision.center_crop(made, crop)
    found: Pixels = cut.permute(1, 2, 0).numpy()
    return found


GOLDEN = {
    ("squash", 1.0, "bilinear"): ("5760a5b0ea244f5d", "c5544541bb10d878"),
    ("squash", 1.0, "bicubic"): ("d43522294b50bb57", "675ead33fc6e71ec"),
    ("crop", 0.875, "bilinear"): ("f8523a91a3036bbd", "3bb47439276bcaec"),
    ("crop", 0.875, "bicubic"): ("e7a65c4bc387b401", "87e34ce4f53b0d5f"),
    ("pad", 1.0, "bilinear"): ("e3529d8ec0f85f97", "f22088fc0110b45a"),
    ("pad", 1.0, "bicubic"): ("03c605ae17d5789a", "986f90da14aac676"),
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
    rows_first = pattern(240, 331)
    columns_first = np.asfortranarray(rows_first)
    assert np.array_equal(preprocessing.fit_pixels(rows_first), preprocessing.fit_pixels(columns_first))


@needs_torch
@pytest.mark.parametrize("size", [(300, 451), (451, 300), (100, 60), (224, 224), (224, 500), (1200, 640)])
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_squash_is_what_torch_does_within_rounding(size: tuple[int, int], interpolation: Any) -> None:
    pixels = pattern(*size)
    fitted = Preprocessing(height=256, width=192, interpolation=interpolation).fit_pixels(pixels)
    found = differences(fitted, by_torchvision(pixels, [256, 192], interpolation))
    # Bicubic overshoots at hard edges, of which this pattern is full; there the two clip differently.
    assert found.max() <= (1 if interpolation == "bilinear" else 8)
    assert found.mean() < 0.2
    assert (found > 1).mean() < 0.01


@needs_torch
@pytest.mark.parametrize("size", [(300, 451), (451, 300), (333, 333), (100, 60), (225, 224), (700, 224)])
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("crop_fraction", [1.0, 0.875, 0.95])
def test_crop_is_what_torchvision_and_timm_do(
    size: tuple[int, int], interpolation: Any, crop_fraction: float
) -> None:
    pixels = pattern(*size)
    short = int(224 / crop_fraction)
    expected = by_torchvision(pixels, [short], interpolation, crop=[224, 224])
    preprocessing = Preprocessing(fit="crop", crop_fraction=crop_fraction, interpolation=interpolation)
    found = differences(preprocessing.fit_pixels(pixels), expected)
    assert found.max() <= (1 if interpolation == "bilinear" else 8)
    assert (found > 1).mean() < 0.01
    assert preprocessing.at_least == (short, short)


@needs_torch
def test_normalise_is_what_torchvision_does_also_on_tensors() -> None:
    import torch
    from torchvision.transforms.v2 import functional as torchvision

    from affectlens.models.network_input import normalise, to_tensor

    preprocessing = Preprocessing()
    batch = np.stack([preprocessing.fit_pixels(pattern(300, 451)), preprocessing.fit_pixels(pattern(64, 64))])
    expected = torchvision.normalize(
        torchvision.to_dtype(to_tensor(batch), torch.float32, scale=True),
        list(preprocessing.mean),
        list(preprocessing.std),
    )
    normalised = preprocessing.normalise(batch)
    assert normalised.dtype == np.float32
    np.testing.assert_allclose(normalised, expected.numpy(), rtol=0, atol=1e-6)
    assert np.array_equal(normalise(to_tensor(batch), preprocessing).numpy(), normalised)


def test_normalise_leaves_its_input_alone() -> None:
    batch = pattern(8, 8)[None]
    before = batch.copy()
    Preprocessing().normalise(batch)
    assert np.array_equal(batch, before)


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1), (1, 1), (2, 3), (1, 20000), (4000, 3)])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("target", [(224, 224), (96, 160)])
def test_the_thinnest_strip_fits(size: tuple[int, int], way: dict[str, Any], target: tuple[int, int]) -> None:
    fitted = Preprocessing(height=target[0], width=target[1], **way).fit_pixels(pattern(*size))
    assert fitted.shape == (*target, 3)
    assert fitted.dtype == np.uint8


@needs_torch
def test_cutting_the_ends_of_a_panorama_first_keeps_what_its_centre_shows() -> None:
    pixels = np.tile(pattern(64, 64), (1, 31, 1))
    expected = by_torchvision(pixels, [256], crop=[224, 224])
    fitted = Preprocessing(fit="crop", crop_fraction=0.875).fit_pixels(pixels)
    assert differences(fitted, expected).max() <= 1


def test_squash_keeps_the_edges_and_crop_cuts_them() -> None:
    pixels = np.zeros((100, 300, 3), dtype=np.uint8)
    pixels[:, :60] = 255
    assert Preprocessing().fit_pixels(pixels)[:, 0].min() == 255
    assert Preprocessing(fit="crop").fit_pixels(pixels).max() == 0


SIZES = [(97, 211), (301, 203), (40, 3000), (2000, 31), (640, 480), (224, 224)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", SIZES)
def test_a_point_of_the_picture_is_found_where_the_view_has_it(
    size: tuple[int, int], way: dict[str, Any]
) -> None:
    height, width = size
    preprocessing = Preprocessing(height=60, width=80, **way)
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[..., 0] = np.linspace(0, 255, height).round()[:, None]
    pixels[..., 1] = np.linspace(0, 255, width).round()
    view = preprocessing.view(height, width)
    fitted = preprocessing.fit_pixels(pixels).astype(float)
    top, left, bottom, right = view.inside
    inside = fitted[top:bottom, left:right]
    y0, x0, y1, x1 = view.seen
    assert 0 <= y0 < y1 <= 1 and 0 <= x0 < x1 <= 1
    for channel, (begin, end), length, cells in (
        (0, (y0, y1), height, bottom - top),
        (1, (x0, x1), width, right - left),
    ):
        # Where the middle of each cell of the input lies in the picture, and which level it was given there.
        centres = begin + (np.arange(cells) + 0.5) / cells * (end - begin)
        levels = ((centres * length - 0.5) / max(1, length - 1)).clip(0, 1) * 255
        found = inside[..., channel].mean(axis=1 - channel)
        cell = 255 * (end - begin) / cells  # levels between two cells
        assert (np.abs(found - levels)[1:-1] <= 0.5 * cell + 1.5).all()


def test_pad_keeps_the_shape_and_fills_with_what_the_network_takes_for_nothing() -> None:
    preprocessing = Preprocessing(fit="pad")
    fitted = preprocessing.fit_pixels(np.full((100, 200, 3), 255, dtype=np.uint8))
    assert (fitted[56:168] == 255).all()
    padding = preprocessing.normalise(fitted[None])[:, :, [0, 55, 168, 223]]
    assert np.abs(padding).max() < 0.01


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


@needs_torch
@pytest.mark.gpu
def test_the_gpu_normalises_as_the_cpu_does() -> None:
    import torch

    from affectlens.models.network_input import normalise, to_tensor

    preprocessing = Preprocessing()
    batch = to_tensor(preprocessing.fit_pixels(pattern(300, 451))[None])
    found = normalise(batch.cuda(), preprocessing).cpu()
    torch.testing.assert_close(found, normalise(batch, preprocessing))


def test_a_crop_that_would_fill_the_memory_is_refused() -> None:
    assert Preprocessing(height=600, width=600, fit="crop", crop_fraction=0.5).at_least == (1200, 1200)
    with pytest.raises(SettingsError, match="crop_fraction"):
        Preprocessing(fit="crop", crop_fraction=1e-3)
