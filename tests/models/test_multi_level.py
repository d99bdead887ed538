"""The network whose classifier reads maps from shallow to deep."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from affectlens.errors import SettingsError
from affectlens.models import backbones, catalog
from affectlens.models.multi_level import MultiLevel

SIDE = 160  # what the weights of test_vit are for


def build(backbone: str, **options: float) -> MultiLevel:
    torch.manual_seed(0)
    network = catalog.build("multi_level", 8, backbone=backbone, **options)
    assert isinstance(network, MultiLevel)
    return network


def images(count: int = 3) -> Tensor:
    return torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("backbone", ["test_efficientnet", "test_resnet"])
def test_of_a_convolutional_network_every_map_is_read_by_its_moments(backbone: str) -> None:
    network = build(backbone).eval()
    with torch.inference_mode():
        embedding = network.embed(images()).embedding.numpy()
        pyramid = backbones.Pyramid(backbone).eval()
        pyramid.body.load_state_dict(network.body.state_dict())
        levels = pyramid(images())
    expected = [levels.deep.numpy()]
    for each in levels.maps:
        values = each.numpy().reshape(*each.shape[:2], -1)
        expected += [values.mean(axis=2), np.sqrt(values.var(axis=2) + 1e-6)]
    assert len(levels.maps) > 2
    # The norm of a new network changes nothing but by its 1e-5.
    np.testing.assert_allclose(embedding, np.concatenate(expected, axis=1), rtol=1e-4, atol=1e-5)


def test_of_a_transformer_three_of_its_blocks_are_read() -> None:
    network = build("test_vit").eval()
    blocks = len(network.body.blocks)  # type: ignore[arg-type]
    seen: dict[int, Tensor] = {}
    for index, block in enumerate(network.body.blocks):  # type: ignore[arg-type, union-attr]
        block.register_forward_hook(lambda _m, _i, out, index=index: seen.update({index: out[:, 1:]}))
    with torch.inference_mode():
        embedding = network.embed(images()).embedding
    chosen = [blocks * n // 3 - 1 for n in (1, 2, 3)]
    width = seen[0].shape[2]
    moments = embedding[:, width:].split(width, dim=1)
    assert len(moments) == 6
    for number, index in enumerate(chosen):
        torch.testing.assert_close(moments[2 * number], seen[index].mean(dim=1), rtol=1e-3, atol=1e-4)
        deviation = (seen[index].var(dim=1, unbiased=False) + 1e-6).sqrt()
        torch.testing.assert_close(moments[2 * number + 1], deviation, rtol=1e-3, atol=1e-4)


def test_features_are_standardised_as_in_training() -> None:
    network = build("test_efficientnet").train()
    for _ in range(100):
        network(images(8))
    network.eval()
    with torch.inference_mode():
        embedding = network.embed(images(8)).embedding
    varied = embedding.std(dim=0) > 0.5
    assert varied.float().mean() > 0.9, "but for channels that are constant"
    assert float(embedding[:, varied].mean(dim=0).abs().max()) < 0.3


def test_a_transformer_trains_on_half_of_the_patches_and_answers_by_all() -> None:
    network = build("test_vit", patch_dropout=0.5).train()
    tokens: list[int] = []
    first: nn.Module = network.body.blocks[0]  # type: ignore[assignment, index]
    first.register_forward_hook(lambda _m, _i, out: tokens.append(out.shape[1] - 1))
    network(images())
    network.eval()(images())
    assert tokens[1] == 2 * tokens[0]


@pytest.mark.parametrize(
    ("backbone", "options", "expected"),
    [
        ("test_efficientnet", {"patch_dropout": 0.5}, "test_efficientnet has no option for this"),
        ("mlp_mixer", {}, "mlp_mixer"),
    ],
)
def test_a_backbone_that_cannot_do_it_is_an_error(
    backbone: str, options: dict[str, float], expected: str
) -> None:
    with pytest.raises((SettingsError, catalog.UnknownName), match=expected):
        build(backbone, **options)
