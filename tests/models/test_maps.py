"""The maps inside a network are found, captured and recognised, and the network is left as it was."""

import pytest
import torch

from affectlens.models.maps import (
    MapLayer,
    as_maps,
    frozen,
    last_map,
    merge_views,
    on_one_grid,
    reads_linearly,
    spread_over,
)
from planted import small_member

SIDE = 160
PAIR = {"transformer": "test_vit", "convolutional": "test_efficientnet"}


def test_the_last_map_is_found_in_every_kind_of_network() -> None:
    assert last_map(small_member("test_resnet"), "", SIDE, SIDE) == MapLayer("layer4")
    token = small_member("test_vit")
    assert last_map(token, "", SIDE, SIDE) == MapLayer("blocks.5.attn", is_input=True)
    mlm = small_member("mlm_paper", backbone="test_resnet", reduction=2).eval()
    assert last_map(mlm, "pyramid.body", SIDE, SIDE) == MapLayer("pyramid.body.layer4")


def test_which_networks_read_their_last_map_linearly() -> None:
    assert reads_linearly(small_member("test_resnet"))
    assert reads_linearly(small_member("pair", **PAIR))
    assert reads_linearly(small_member("mlm_paper", backbone="test_resnet", reduction=2))
    assert not reads_linearly(small_member("mam_paper", backbone="test_resnet"))
    assert not reads_linearly(small_member("test_vit"))


def test_a_frozen_network_learns_nothing_and_afterwards_all_is_as_it_was() -> None:
    network = small_member("test_resnet").train()
    network.get_submodule("layer1").eval()
    fixed = next(network.parameters()).requires_grad_(False)
    before = [module.training for module in network.modules()]
    with pytest.raises(KeyError), frozen(network):
        assert not any(module.training for module in network.modules())
        assert not any(parameter.requires_grad for parameter in network.parameters())
        raise KeyError
    assert [module.training for module in network.modules()] == before
    assert [p for p in network.parameters() if not p.requires_grad] == [fixed]


def test_maps_and_other_outputs_are_distinguished() -> None:
    tokens = torch.arange(2 * 18 * 5).float().reshape(2, 18, 5)
    maps = as_maps(tokens, 64, 64)
    assert maps is not None and maps.shape == (2, 5, 4, 4)
    assert torch.equal(maps[:, :, 0, 0], tokens[:, 2])  # after a class token and one of distillation
    assert torch.equal(maps[:, :, 1, 0], tokens[:, 6])
    assert as_maps(torch.zeros(1, 8, 1, 1), 64, 64) is None
    assert as_maps(torch.zeros(1, 8), 64, 64) is None


def test_a_mirrored_view_is_turned_back() -> None:
    seen = torch.tensor([[[1.0, 2.0]], [[30.0, 40.0]]])
    torch.testing.assert_close(merge_views(seen, 1), torch.tensor([[[41.0, 32.0]]]))
    assert torch.equal(merge_views(seen, 2), seen)


def test_cells_are_divided_by_area_among_those_of_another_grid() -> None:
    row = torch.tensor([[3.0, 6.0, 9.0]])
    torch.testing.assert_close(spread_over(row, 1, 2), torch.tensor([[6.0, 12.0]]))
    torch.testing.assert_close(spread_over(row, 1, 6), torch.tensor([[1.5, 1.5, 3.0, 3.0, 4.5, 4.5]]))
    maps = torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    for rows, columns in ((5, 7), (3, 4), (10, 9)):
        found = spread_over(maps, rows, columns)
        assert found.shape == (2, 3, rows, columns)
        torch.testing.assert_close(found.sum(dim=(2, 3)), maps.sum(dim=(2, 3)), rtol=1e-5, atol=1e-5)


def test_maps_are_added_on_the_coarsest_grid_of_whole_cells_unless_that_is_too_fine() -> None:
    assert on_one_grid([torch.ones(1, 1, 4, 4), torch.ones(1, 1, 6, 6)]).shape == (1, 1, 12, 12)
    found = on_one_grid([torch.ones(1, 1, 11, 11), torch.ones(1, 1, 7, 7)])
    assert found.shape == (1, 1, 11, 11) and float(found.sum()) == pytest.approx(11 * 11 + 7 * 7, rel=1e-5)
