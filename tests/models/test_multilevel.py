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


def sure(**options: Any) -> MultiLevel:
    """A network whose answers differ from picture to picture, and whose features are standardised."""
    network = small(**options)
    for _ in range(3):
        network(images())
    with torch.no_grad():
        network.classifier.weight.mul_(50)
    return network.eval()


def test_its_gradient_written_out_is_that_of_autograd() -> None:
    network = sure()
    features = network.describe(images()).detach().requires_grad_()
    logits = network.classifier(network.perceptron(network.standardise(features)))
    centred = logits - logits.mean(dim=1, keepdim=True)
    expected = [torch.autograd.grad(centred[:, e].sum(), features, retain_graph=True)[0] for e in range(4)]
    found = network.feature_gradients(features.detach()).detach()
    assert float(found.abs().max()) > 0.01
    torch.testing.assert_close(found, torch.stack(expected, dim=1), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("side", [96, 80])  # 80: levels whose cells do not fit into those of the last
def test_cells_add_up_to_the_gradient_times_what_it_is_of(side: int) -> None:
    network = sure(levels=[1, 3])
    pictures = torch.nn.functional.interpolate(images(), (side, side))
    maps: list[Tensor] = []
    hook = network.pyramid.body.bn2.register_forward_hook(lambda *values: maps.append(values[-1]))  # type: ignore[union-attr]
    with torch.inference_mode():
        levels = network.pyramid(pictures)
        found = network.cell_maps(levels, maps[0])
        features = network.describe(pictures)
        usual = network.standardise.running_mean
        assert usual is not None
        expected = (network.feature_gradients(features) * (features - usual)[:, None]).sum(dim=2)
    hook.remove()
    assert found.shape == (5, 4, *maps[0].shape[2:]) and found.shape[2] > 1
    torch.testing.assert_close(found.sum(dim=(2, 3)), expected, rtol=1e-3, atol=1e-4)


def test_a_picture_of_one_bright_corner_is_read_there() -> None:
    network = sure(levels=[0])
    picture = torch.zeros(1, 3, 96, 96)
    picture[:, :, :32, :32] = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(3)) * 3
    maps: list[Tensor] = []
    hook = network.pyramid.body.bn2.register_forward_hook(lambda *values: maps.append(values[-1]))  # type: ignore[union-attr]
    with torch.inference_mode():
        levels = network.pyramid(picture)
        of_level = network.cell_maps(levels, torch.zeros_like(maps[0])).abs().sum(dim=1)[0]
    hook.remove()
    assert int(of_level.argmax()) == 0
