"""Cells become pixels, smoothly, and nothing is lost; pixels become fewer, and none is left out."""

import numpy as np
import pytest
from numpy.typing import NDArray

from affectlens.explain.core.upsampling import interpolation, shrunk, upsample, upsample_all


def random_cells(rows: int, columns: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((rows, columns), dtype=np.float32)


@pytest.mark.parametrize(
    ("cells", "pixels"), [((7, 7), (224, 224)), ((5, 3), (64, 50)), ((1, 1), (9, 4)), ((8, 8), (5, 8))]
)
def test_the_sum_is_kept_cell_by_cell(cells: tuple[int, int], pixels: tuple[int, int]) -> None:
    values = random_cells(*cells)
    assert upsample(values, *pixels).shape == pixels
    assert upsample(values, *pixels).dtype == np.float32
    assert float(upsample(values, *pixels).sum()) == pytest.approx(float(values.sum()), abs=1e-4)
    one = np.zeros(cells, np.float32)
    one[-1, 0] = 3
    assert float(upsample(one, *pixels).sum()) == pytest.approx(3, abs=1e-5)


def test_a_flat_map_stays_flat_and_no_borders_show() -> None:
    flat = upsample(np.ones((7, 7)), 224, 224)
    np.testing.assert_allclose(flat, np.full((224, 224), 1 / 32**2), rtol=1e-5)
    values = upsample(random_cells(7, 7), 224, 224)
    steps = np.abs(np.diff(values, axis=0))
    assert float(steps.max()) < float(np.ptp(values)) / 16


def test_maps_of_any_numbers_of_cells_are_added() -> None:
    maps = [random_cells(7, 7), random_cells(3, 5)]
    each = [upsample(cells, 30, 40) for cells in maps]
    np.testing.assert_allclose(upsample_all(maps, 30, 40), each[0] + each[1], rtol=1e-6)
    assert not upsample_all([], 30, 40).any() and upsample_all([], 30, 40).shape == (30, 40)


@pytest.mark.needs("torch")
@pytest.mark.parametrize(("cells", "pixels"), [(7, 224), (7, 256), (3, 50), (1, 9), (8, 5)])
def test_between_centres_of_cells_it_is_linear_as_torch_interpolates(cells: int, pixels: int) -> None:
    import torch
    from torch.nn import functional

    line = random_cells(1, cells)
    expected = functional.interpolate(
        torch.from_numpy(line)[None], size=pixels, mode="linear", align_corners=False
    )[0, 0]
    np.testing.assert_allclose(line[0] @ interpolation(cells, pixels), expected.numpy(), atol=1e-5)


@pytest.mark.needs("torch")
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((224, 224), (67, 67)),
        ((50, 31), (7, 31)),
        ((160, 224), (33, 90)),
        ((9, 4), (1, 1)),
        ((28, 28), (8, 8)),
    ],
)
def test_shrinking_is_torchs_antialiased_bilinear_interpolation(
    before: tuple[int, int], after: tuple[int, int]
) -> None:
    import torch
    from torch.nn import functional

    images = np.random.default_rng(0).standard_normal((2, 3, *before), dtype=np.float32)
    expected = functional.interpolate(torch.from_numpy(images), size=after, mode="bilinear", antialias=True)
    found = shrunk(images, *after)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def test_shrunken_pictures_keep_their_levels() -> None:
    np.testing.assert_allclose(shrunk(np.full((1, 3, 50, 31), 0.3, np.float32), 7, 10), 0.3, rtol=1e-6)
