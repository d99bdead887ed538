"""A map lies where the picture shows what it is about, and is written without loss."""

import io
import json
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from affectlens.emotions import MIKELS
from affectlens.explain.core.heatmap import Heatmap, MapValues
from affectlens.explain.core.question import Question, make_question
from affectlens.images import read_pixels
from affectlens.preprocess import Preprocessing

FITS: list[dict[str, Any]] = [
    {"fit": "squash"},
    {"fit": "crop"},
    {"fit": "crop", "crop_fraction": 0.875},
    {"fit": "pad"},
]
# Height and width of the stored picture, and where in it the patch is: all odd, none in a middle.
SIZE, PATCH = (301, 411), (71, 101, 201, 241)  # top, bottom, left, right
TURNED = {
    1: lambda rows: rows,
    3: lambda rows: rows[::-1, ::-1],
    6: lambda rows: np.rot90(rows, -1),
    8: lambda rows: np.rot90(rows, 1),
}


def photograph(orientation: int) -> bytes:
    """A black picture with a white patch, stored as it came from a camera that was held another way."""
    rows = np.zeros((*SIZE, 3), dtype=np.uint8)
    rows[PATCH[0] : PATCH[1], PATCH[2] : PATCH[3]] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(rows).save(file, "PNG", exif=exif.tobytes())
    return file.getvalue()


def heatmap(values: MapValues, size: tuple[int, int], preprocessing: Preprocessing, **more: Any) -> Heatmap:
    return Heatmap(
        image="a.jpg",
        size=size,
        view=preprocessing.view(*size),
        question=make_question(MIKELS, "fear"),
        method="planted",
        model="tiny",
        emotions=MIKELS.distribution({"fear": 3, "awe": 1}),
        answer=math.log(3),
        values=values,
        **more,
    )


def plain(values: MapValues, **more: Any) -> Heatmap:
    """A map of a picture as large as the network's input."""
    height, width = values.shape
    return heatmap(values, (height, width), Preprocessing(height=height, width=width), **more)


# --------------------------------------------------------------------------------------- where things are


@pytest.mark.parametrize("way", FITS)
@pytest.mark.parametrize("orientation", TURNED)
def test_a_patch_is_found_where_it_lies_in_the_upright_picture(orientation: int, way: dict[str, Any]) -> None:
    preprocessing = Preprocessing(height=96, width=128, **way)
    pixels = read_pixels(photograph(orientation))
    height, width, _ = pixels.shape
    # Bright where the patch is, as its map would be.
    fitted = preprocessing.fit_pixels(pixels)[..., 0].astype(np.float32)
    found = np.nan_to_num(heatmap(fitted, (height, width), preprocessing).at(height, width))

    stored = np.zeros(SIZE)
    stored[PATCH[0] : PATCH[1], PATCH[2] : PATCH[3]] = 1
    upright = TURNED[orientation](stored)
    assert upright.shape == found.shape
    assert middle_of(np.maximum(found, 0.05)) == pytest.approx(middle_of(upright), abs=2.5)
    assert found[upright > 0].mean() > 5 * found[upright == 0].mean()


def middle_of(values: NDArray[np.floating]) -> tuple[float, float]:
    """Measurement and column of the centre of mass of what exceeds the least value."""
    values = values.astype(np.float64) - values.min()
    rows, columns = np.arange(values.shape[0]), np.arange(values.shape[1])
    total = float(values.sum())
    return float(values.sum(axis=1) @ rows) / total, float(values.sum(axis=0) @ columns) / total


def test_a_patch_is_at_the_same_share_of_a_smaller_and_a_larger_map() -> None:
    values = np.zeros((64, 64), dtype=np.float32)
    values[20:30, 40:50] = 1
    found = heatmap(values, (201, 333), Preprocessing(height=64, width=64))
    for height, width in [(50, 83), (201, 333), (402, 666)]:
        row, column = middle_of(found.at(height, width))
        assert row / height == pytest.approx(25 / 64, abs=0.02)
        assert column / width == pytest.approx(45 / 64, abs=0.02)


def test_what_was_cropped_away_has_no_value_and_all_else_has_one() -> None:
    found = heatmap(
        np.ones((64, 64), dtype=np.float32), (100, 200), Preprocessing(height=64, width=64, fit="crop")
    ).at(100, 200)
    assert np.isnan(found[:, :50]).all()
    assert np.isnan(found[:, 150:]).all()
    assert not np.isnan(found[:, 50:150]).any()


@pytest.mark.parametrize("fit", ["squash", "pad"])
def test_where_nothing_is_cropped_every_pixel_has_a_value(fit: Any) -> None:
    found = heatmap(
        np.ones((64, 48), dtype=np.float32), (31, 203), Preprocessing(height=64, width=48, fit=fit)
    ).at(31, 203)
    assert not np.isnan(found).any()


def test_what_fell_on_padding_is_not_shown_but_counted() -> None:
    preprocessing = Preprocessing(height=60, width=60, fit="pad")
    values = np.zeros((60, 60), dtype=np.float32)
    values[:10] = 3  # above a picture of 20 x 60, which fills the rows from 20 to 40
    values[20:40] = 1
    found = heatmap(values, (20, 60), preprocessing, sums_up=True)
    assert found.on_padding == pytest.approx(1800 / 3000)
    assert found.at(20, 60).min() == pytest.approx(found.at(20, 60).max())


def test_a_map_of_squashed_pixels_alone_has_nothing_on_padding() -> None:
    assert plain(np.ones((9, 9), dtype=np.float32)).on_padding == 0
    assert plain(np.zeros((9, 9), dtype=np.float32)).on_padding == 0


# ------------------------------------------------------------------------------------------- how it is shown


def test_a_map_that_sums_up_adds_up_to_the_same_at_any_size() -> None:
    values = np.zeros((80, 100), dtype=np.float32)
    values[20:60, 30:70] = np.random.default_rng(0).random((40, 40)) / 1000
    values[30:40, 40:50] = -0.004
    found = heatmap(values, (321, 501), Preprocessing(height=80, width=100), sums_up=True)
    for size in [(80, 100), (321, 501), (40, 50)]:
        # The mean over the picture, of log-odds per 1 % of it, is a hundredth of all log-odds.
        assert float(found.at(*size).mean()) * 100 == pytest.approx(float(values.sum()), rel=0.02)


def test_a_map_in_a_unit_of_its_own_is_relative_to_its_maximum() -> None:
    values = np.zeros((64, 64), dtype=np.float32)
    values[10:20, 10:20] = 7
    values[40:50, 40:50] = -14
    found = plain(values)
    assert float(found.at(640, 640).min()) == pytest.approx(-1, abs=0.01)
    assert float(found.at(640, 640).max()) == pytest.approx(0.5, abs=0.01)
    assert float(np.abs(found.seen()).max()) == pytest.approx(1)


def test_borders_of_patches_do_not_show() -> None:
    cells = np.random.default_rng(1).standard_normal((7, 7), dtype=np.float32)
    values = cells.repeat(32, axis=0).repeat(32, axis=1)
    rough, smooth = plain(values).at(224, 224), plain(values, details={"cells": [[7, 7]]}).at(224, 224)
    assert steepness(smooth) < 1 / 32 < steepness(rough)  # less than a straight line across one cell
    same = plain(values, details={"cells": 7}).at(224, 224)
    np.testing.assert_array_equal(smooth, same)


def steepness(values: MapValues) -> float:
    """The greatest step between neighbours, as a share of the map's range."""
    return float(np.abs(np.diff(values, axis=1)).max() / (values.max() - values.min()))


def test_single_pixels_are_summed_over_a_region() -> None:
    noise = np.random.default_rng(2).standard_normal((224, 224), dtype=np.float32)
    noise[100:140, 60:100] += 0.5  # a twentieth of the noise's range, yet seen once it is smoothed
    found = plain(noise).at(224, 224)
    row, column = divmod(int(found.argmax()), 224)
    assert 100 <= row < 140 and 60 <= column < 100


def test_smoothing_is_round_in_the_picture_and_not_in_what_is_squashed() -> None:
    values = np.zeros((100, 100), dtype=np.float32)
    values[50, 50] = 1
    found = heatmap(values, (200, 800), Preprocessing(height=100, width=100)).at(200, 800)
    high, wide = (int((found > 0.5).any(axis=axis).sum()) for axis in (1, 0))
    assert 0.8 < high / wide < 1.25


def test_a_picture_of_one_pixel_has_a_map() -> None:
    found = heatmap(np.ones((8, 8), dtype=np.float32), (1, 1), Preprocessing(height=8, width=8)).at(1, 1)
    assert found.tolist() == [[1.0]]


def test_a_map_of_zeros_is_a_map_of_zeros() -> None:
    for sums_up in (True, False):
        assert np.abs(plain(np.zeros((8, 8), dtype=np.float32), sums_up=sums_up).at(16, 16)).max() == 0


# ------------------------------------------------------------------------------------------- as plain data


def test_json_has_everything_but_the_map() -> None:
    preprocessing = Preprocessing(height=64, width=64, fit="crop")
    found = heatmap(np.ones((64, 64), dtype=np.float32), (100, 200), preprocessing, details={"steps": 64})
    data = json.loads(json.dumps(found.to_json()))
    assert data["question"] == "fear"
    assert data["favour"] == ["fear"]
    assert data["probability"] == 0.75
    assert data["log_odds"] == pytest.approx(math.log(3), abs=1e-6)
    assert (data["height"], data["width"]) == (100, 200)
    assert data["seen"] == {"top": 0, "left": 0.25, "bottom": 1, "right": 0.75}
    assert data["details"] == {"steps": 64}
    assert data["unit"] == "relative to the maximum"


def test_the_probability_of_a_polarity_is_the_sum_of_its_words() -> None:
    question: Question = make_question(MIKELS, "negative")
    found = plain(np.ones((4, 4), dtype=np.float32))
    assert Heatmap(**{**vars(found), "question": question}).probability == 0.75


def test_arrays_are_read_without_pickle_and_hold_the_complete_map(tmp_path: Any) -> None:
    values = np.random.default_rng(0).random((64, 64), dtype=np.float32)
    found = heatmap(values, (100, 200), Preprocessing(height=64, width=64, fit="crop"))
    arrays_of: dict[str, Any] = found.to_arrays()
    np.savez_compressed(tmp_path / "map.npz", **arrays_of)
    with np.load(tmp_path / "map.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["heatmap"], found.at(100, 200))
        np.testing.assert_array_equal(arrays["values"], values)
        assert arrays["inside"].tolist() == [0, 0, 64, 64]
        assert json.loads(str(arrays["about"])) == found.to_json()


def test_a_huge_pictures_map_is_written_smaller_in_the_same_proportions() -> None:
    found = heatmap(
        np.random.default_rng(0).random((8, 8), dtype=np.float32),
        (20_000, 5_000),
        Preprocessing(height=8, width=8),
    ).to_arrays()["heatmap"]
    assert found.size <= 16_000_000
    assert found.shape[0] / found.shape[1] == pytest.approx(4, rel=1e-3)
