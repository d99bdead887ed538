"""PDANet: both attentions by hand, what each feature reads, and its size."""

import math

import pytest
import torch
from torch import Tensor, nn

from affectlens.errors import SettingsError
from affectlens.models import catalog
from affectlens.models.pdanet import ChannelAttention, PDANet, PDANetConfig, SpatialAttention


def small(backbone: str = "test_resnet", spatial_mean: bool = False) -> PDANet:
    torch.manual_seed(0)
    return PDANet(PDANetConfig(num_emotions=8, backbone=backbone, spatial_mean=spatial_mean)).eval()


def images() -> Tensor:
    return torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))


def fill(layer: nn.Conv2d | nn.Linear, weight: float, bias: float | None = None) -> None:
    nn.init.constant_(layer.weight, weight)
    if bias is not None:
        assert layer.bias is not None
        nn.init.constant_(layer.bias, bias)


def test_channels_are_scaled_by_one_and_a_sigmoid_of_mean_sigmoids() -> None:
    attention = ChannelAttention(1)
    fill(attention.conv, 2.0, math.log(3))
    scale = attention(torch.tensor([[[[0.0, -math.log(3) / 2]]]]))  # sigmoids of log 3 and of 0: 3 / 4, 1 / 2
    assert scale.item() == pytest.approx(1 + 1 / (1 + math.exp(-5 / 8)))


def test_cells_are_weighed_by_a_softmax_over_them_of_the_joined_attention() -> None:
    attention = SpatialAttention(1)
    fill(attention.of_cells, 1.0)
    fill(attention.of_channels, 0.5, 0.25)
    fill(attention.score, 2.0)
    where = attention(torch.tensor([[[[0.0, 1.0]]]]), torch.tensor([[1.5]]))
    first, second = (math.exp(2 * math.tanh(cell + 0.5 * 1.5 + 0.25)) for cell in (0, 1))
    expected = torch.tensor([[[[first, second]]]]) / (first + second)
    torch.testing.assert_close(where, expected)


def test_the_weights_of_the_cells_of_a_picture_sum_to_1() -> None:
    torch.manual_seed(0)
    where = SpatialAttention(4)(torch.rand(3, 4, 5, 6), torch.rand(3, 4))
    assert where.shape == (3, 1, 5, 6)
    torch.testing.assert_close(where.sum(dim=(1, 2, 3)), torch.ones(3))


def test_only_the_first_half_of_the_features_is_scaled_by_the_attention_over_channels() -> None:
    network = small()
    last = network.pyramid(images()).maps[-1]
    logits, features = network.embed(images())
    cells = network.project(last).relu()
    scale = network.channel_attention(last)
    where = network.spatial_attention(cells, scale)
    by_channels, by_cells = features.chunk(2, dim=1)
    torch.testing.assert_close(by_channels, (cells * scale[:, :, None, None]).mean(dim=(2, 3)))
    torch.testing.assert_close(by_cells, torch.einsum("bchw,bhw->bc", cells, where[:, 0]))
    torch.testing.assert_close(logits, network.classifier(features))
    assert torch.equal(network(images()), logits)


def test_the_mean_of_the_authors_code_is_smaller_by_the_number_of_cells() -> None:
    network, last = small(), torch.rand(2, small().pyramid.channels[-1], 14, 14)
    by_channels, by_sum = network.attend(last).chunk(2, dim=1)
    same, by_mean = small(spatial_mean=True).attend(last).chunk(2, dim=1)
    torch.testing.assert_close(same, by_channels)
    torch.testing.assert_close(by_mean * 196, by_sum)


def test_on_resnet_101_it_has_so_many_weights_and_sees_196_cells_at_448_pixels() -> None:
    with torch.device("meta"):
        network = PDANet(PDANetConfig(num_emotions=8))
        last = network.pyramid(torch.empty(1, 3, 448, 448)).maps[-1]
    assert last.shape == (1, 2048, 14, 14)
    # Four of C x C, three with a bias; one weight a channel for the score of a cell; the classifier.
    beyond = 4 * 2048 * 2048 + 3 * 2048 + 2048 + 4096 * 8 + 8
    of_backbone = sum(p.numel() for p in network.pyramid.parameters())
    assert sum(p.numel() for p in network.parameters()) - of_backbone == beyond
    assert of_backbone + beyond == pytest.approx(59.3e6, abs=0.05e6)


def test_it_runs_on_any_backbone_that_gives_a_pyramid_and_on_no_other() -> None:
    network = catalog.build("pdanet", 6, backbone="test_efficientnet", spatial_mean=True).eval()
    assert network(images()).shape == (2, 6)
    with pytest.raises(SettingsError, match="gives no pyramid"):
        catalog.build("pdanet", 6, backbone="test_vit")
