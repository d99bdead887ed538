"""A layer for ratings on any network: what it reads, what becomes of it, and what it leaves as it was."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from affectlens.errors import SettingsError
from affectlens.models import catalog
from affectlens.models.backbones import layer_depths, layers_from_input
from affectlens.models.capabilities import HasBranches
from affectlens.models.features import FeatureNetwork
from affectlens.models.rated import (
    RatingLayer,
    add_ratings,
    rating_layer,
    reading_ratings,
    remove_ratings,
)
from affectlens.ratings import RatingColumn

COLUMNS = (RatingColumn("valence", (1, 7), (1, 9)), RatingColumn("calm", (0, 100), (0, 100)))
START = torch.tensor([0.6, 0.3])
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "pdanet": ("pdanet", {"backbone": "test_efficientnet"}),
    "plain, convolutional": ("test_efficientnet", {}),
    "plain, transformer": ("test_vit", {}),
    "mam_paper": ("mam_paper", {"backbone": "test_resnet"}),
    "wscnet": ("wscnet", {"backbone": "test_resnet"}),
    "multilevel": ("multilevel", {"backbone": "test_efficientnet"}),
    "pair": ("pair", {"transformer": "test_vit", "convolutional": "test_efficientnet"}),
}


def built(name: str) -> nn.Module:
    torch.manual_seed(0)
    network, options = NETWORKS[name]
    return catalog.build(network, 8, **options)


def rated(name: str) -> tuple[nn.Module, RatingLayer]:
    network = built(name)
    add_ratings(network, COLUMNS, START, 96, 96, 8)
    layer = rating_layer(network)
    assert layer is not None
    return network, layer


def images(count: int = 3) -> Tensor:
    return torch.randn(count, 3, 96, 96, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_has_ratings_and_stays_as_it_was(name: str) -> None:
    before = built(name)
    network, layer = rated(name)
    depths, heights = layer_depths(network), layers_from_input(network)
    assert depths.pop("ratings.linear.weight") == depths.pop("ratings.linear.bias") == 0
    assert depths == layer_depths(before) and heights == layers_from_input(before)
    network.eval()
    with torch.no_grad(), reading_ratings(network) as read:
        logits, shares = network(images()), read()
    assert shares is not None and shares.shape == (3, 2)
    torch.testing.assert_close(shares, START.expand(3, 2), atol=0.1, rtol=0)
    with torch.no_grad():
        torch.testing.assert_close(before.eval()(images()), logits)
    remove_ratings(network)
    assert network.state_dict().keys() == before.state_dict().keys() and rating_layer(network) is None
    # What was learned reads the same, on its scales, of the features that a model folder's are of.
    with torch.no_grad():
        features = FeatureNetwork(network, layer.readers)(images()).features
    expected = np.array([1.0, 0.0]) + np.array([8.0, 100.0]) * shares.numpy()
    np.testing.assert_allclose(layer.head().read(features.numpy()), expected, rtol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_weight_that_learns_from_emotions_learns_from_ratings_but_for_classifiers(
    name: str,
) -> None:
    by_emotions, by_ratings = learning(name, by="emotions"), learning(name, by="ratings")
    own = {"ratings.linear.weight", "ratings.linear.bias"}
    assert own <= by_ratings and not own & by_emotions
    _, layer = rated(name)
    classifiers = {f"{path}.{kind}" for path in layer.readers for kind in ("weight", "bias")}
    assert by_emotions - by_ratings <= classifiers | {"emotion_maps.weight", "emotion_maps.bias"}
    assert len(by_ratings - own) > len(by_emotions) / 2


def learning(name: str, by: str) -> set[str]:
    """Names of the weights that have a gradient."""
    network, _ = rated(name)
    network.train()
    with reading_ratings(network) as read:
        if isinstance(network, HasBranches):
            logits = torch.stack(list(network.branches(images()))).sum(dim=0)
        else:
            logits = network(images())
        shares = read()
    assert shares is not None
    loss = (shares - 0.9).square().sum() if by == "ratings" else logits.log_softmax(dim=1)[:, 0].sum()
    loss.backward()
    return {name for name, p in network.named_parameters() if p.grad is not None and p.grad.any()}


def test_ratings_are_float32_under_autocast_and_none_of_a_network_without_them() -> None:
    network, _ = rated("pdanet")
    with torch.autocast("cpu", torch.bfloat16), reading_ratings(network) as read:
        network(images())
        shares = read()
    assert shares is not None and shares.dtype == torch.float32
    with reading_ratings(built("pdanet")) as read:
        assert read() is None


def test_a_network_without_a_linear_last_layer_is_refused() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(SettingsError, match="this network has none"):
        add_ratings(network, COLUMNS, START, 96, 96, 8)
