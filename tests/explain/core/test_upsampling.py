"""Cells become pixels, smoothly, and nothing is lost."""

import pytest
import torch

from affectlens.explain.core.upsampling import merge_views, upsample


@pytest.mark.parametrize(
    ("cells", "pixels"), [((7, 7), (224, 224)), ((5, 3), (64, 50)), ((1, 1), (9, 4)), ((8, 8), (5, 8))]
)
def test_the_sum_is_kept_cell_by_cell(cells: tuple[int, int], pixels: tuple[int, int]) -> None:
    values = torch.randn(cells, generator=torch.Generator().manual_seed(0))
    assert upsample(values, *pixels).shape == pixels
    assert float(upsample(values, *pixels).sum()) == pytest.approx(float(values.sum()), abs=1e-4)
    one = torch.zeros(cells)
    one[-1, 0] = 3
    assert float(upsample(one, *pixels).sum()) == pytest.approx(3, abs=1e-5)


def test_a_flat_map_stays_flat_and_no_borders_show() -> None:
    torch.testing.assert_close(upsample(torch.ones(7, 7), 224, 224), torch.full((224, 224), 1 / 32**2))
    values = upsample(torch.randn(7, 7, generator=torch.Generator().manual_seed(0)), 224, 224)
    steps = (values[1:] - values[:-1]).abs()
    assert float(steps.max()) < float(values.max() - values.min()) / 16


def test_a_mirrored_view_is_turned_back() -> None:
    seen = torch.tensor([[[1.0, 2.0]], [[30.0, 40.0]]])
    torch.testing.assert_close(merge_views(seen, 1), torch.tensor([[[41.0, 32.0]]]))
    assert torch.equal(merge_views(seen, 2), seen)
