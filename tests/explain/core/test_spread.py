"""Cells become pixels, smoothly, and nothing is lost."""

import pytest
import torch

from affectlens.explain.core.spread import spread, upright


@pytest.mark.parametrize(
    ("cells", "pixels"), [((7, 7), (224, 224)), ((5, 3), (64, 50)), ((1, 1), (9, 4)), ((8, 8), (5, 8))]
)
def test_the_sum_is_kept_cell_by_cell(cells: tuple[int, int], pixels: tuple[int, int]) -> None:
    values = torch.randn(cells, generator=torch.Generator().manual_seed(0))
    assert spread(values, *pixels).shape == pixels
    assert float(spread(values, *pixels).sum()) == pytest.approx(float(values.sum()), abs=1e-4)
    one = torch.zeros(cells)
    one[-1, 0] = 3
    assert float(spread(one, *pixels).sum()) == pytest.approx(3, abs=1e-5)


def test_a_flat_map_stays_flat_and_no_borders_show() -> None:
    torch.testing.assert_close(spread(torch.ones(7, 7), 224, 224), torch.full((224, 224), 1 / 32**2))
    values = spread(torch.randn(7, 7, generator=torch.Generator().manual_seed(0)), 224, 224)
    steps = (values[1:] - values[:-1]).abs()
    assert float(steps.max()) < float(values.max() - values.min()) / 16


def test_a_mirrored_view_is_turned_back() -> None:
    seen = torch.tensor([[[1.0, 2.0]], [[30.0, 40.0]]])
    torch.testing.assert_close(upright(seen, 1), torch.tensor([[[41.0, 32.0]]]))
    assert torch.equal(upright(seen, 2), seen)
