"""MultiLevel: which features it reads, how they are standardised, and that all of it can learn."""

from typing import Any

import pytest
import torch
from torch import Tensor

from affectlens.errors import SettingsError
from affectlens.models import catalog
from affectlens.models.backbones import layers_from_input
from affectlens.models.multilevel import MultiLevel


def small(**options: Any) -> MultiLevel:
    torch.manual_seed(0)
    network = catalog.build("multilevel", 4, **{"backbone": "test_efficientnet", **options})
    assert isinstance(network, MultiLevel)
    return network


def images(count: int = 5) -> Tensor:
    return torch.randn(count, 3, 96, 96, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("backbone", ["test_efficientnet", "test_vit", "test_resnet"])
def test_features_are_pooled_ones_then_means_and_deviations_of_each_level(backbone: str) -> None:
    network = small(backbone=backbone, levels=[0, 1]).eval()
    with torch.inference_mode():
        found, levels = network.describe(images()), network.pyramid(images())
    first, second = (levels.maps[level].flatten(2) for level in (0, 1))
    expected = [levels.deep, first.mean(2), second.mean(2)]
    expected += [each.std(dim=2, correction=0) for each in (first, second)]
    torch.testing.assert_close(found, torch.cat(expected, dim=1), rtol=1e-4, atol=2e-3)
    assert found.shape[1] == network.standardise.num_features


def test_without_levels_all_are_read_and_those_that_there_are_not_are_an_error() -> None:
    every = small()
    assert every.levels == tuple(range(len(every.pyramid.channels)))
    for levels in ([9], [-1], ["1"]):
        with pytest.raises(SettingsError, match="has levels 0 to"):
            small(levels=levels)


def test_features_are_standardised_by_what_training_has_seen() -> None:
    network = small().eval()
    network.standardise.train()  # alone: a backbone that is frozen is in evaluation mode
    for _ in range(60):
        network(images())
    network.eval()
    with torch.inference_mode():
        features = network.describe(images())
        standard = network.standardise(features)
    assert float(standard.mean(dim=0).abs().max()) < 0.05
    varied = features.var(dim=0) > 1e-3
    torch.testing.assert_close(standard.var(dim=0)[varied], torch.ones(int(varied.sum())), rtol=0.1, atol=0.1)


def test_the_classifier_reads_the_embedding_and_every_layer_of_the_backbone_learns() -> None:
    network = small()
    logits, embedding = network.embed(images())
    torch.testing.assert_close(network.classifier(embedding), logits)
    logits[:, 0].sum().backward()
    lacking = [name for name, each in network.named_parameters() if each.grad is None]
    assert not lacking
    below = layers_from_input(network)
    assert below and all(name.startswith("pyramid.body.") for name in below)


def test_a_flat_picture_has_finite_gradients() -> None:
    network = small(backbone="test_resnet")
    network(torch.zeros(2, 3, 64, 64)).square().sum().backward()
    assert all(bool(each.grad.isfinite().all()) for each in network.parameters() if each.grad is not None)
