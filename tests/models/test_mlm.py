"""MLM: sizes and structure of paper and release."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from affectlens.errors import SettingsError
from affectlens.models import catalog
from affectlens.models.blocks import fuse, gram_matrix
from affectlens.models.mlm import MLM, MLMConfig


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def on_meta(**options: Any) -> MLM:
    with torch.device("meta"):
        return MLM(MLMConfig(num_emotions=8, **options))


def small(**options: Any) -> MLM:
    torch.manual_seed(0)
    return MLM(MLMConfig(num_emotions=8, backbone="test_resnet", **options)).eval()


def images(side: int = 96) -> Tensor:
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))


def test_the_release_has_the_parameters_of_the_authors_script() -> None:
    network = on_meta(release=True)
    assert [count(encoder) for encoder in network.encoders] == [262_208, 1_048_832, 33_554_944]
    assert count(network.style) == 1_710_080
    assert count(network.classifier) == 40_968
    assert count(network.pyramid) == 23_508_032  # ResNet-50 without its classifier
    assert count(network) == 60_125_064


@pytest.mark.parametrize(("reduction", "millions"), [(2, 43.0), (4, 26.1), (8, 23.9)])
def test_the_papers_variant_with_whole_matrices_has_the_parameters_of_each_reduction(
    reduction: int, millions: float
) -> None:
    # 0.1: of 1 x 1 convolutions and norms, which the script only mentions
    assert count(on_meta(reduction=reduction, triangle=False)) / 1e6 == pytest.approx(millions, abs=0.25)


def test_the_upper_triangle_halves_the_weights_above_the_gram_matrices() -> None:
    whole, half = on_meta(triangle=False), on_meta(triangle=True)
    pairs: Any = zip(whole.encoders, half.encoders, strict=True)
    for all_values, some in pairs:
        weights = [branch.project.weight.numel() for branch in (some, all_values)]
        assert 0.5 < weights[0] / weights[1] < 0.54
    assert count(half) == 24_938_456


@pytest.mark.parametrize(
    ("release", "shapes"),
    [
        (True, [(64, 112, 112), (64, 56, 56), (256, 56, 56)]),
        (False, [(64, 112, 112), (256, 56, 56), (512, 28, 28)]),
    ],
)
def test_the_maps_lie_where_paper_and_script_have_them(release: bool, shapes: list[tuple[int, ...]]) -> None:
    levels = on_meta(release=release).levels(torch.empty(1, 3, 224, 224, device="meta"))
    assert [tuple(each.shape[1:]) for each in levels.maps] == shapes
    assert levels.deep.shape == (1, 2048)


def test_a_released_branch_is_a_dense_layer_over_the_full_gram_matrix_of_the_pooled_map() -> None:
    network = small(release=True)
    features = network.levels(images()).maps[1]
    pooled = nn.functional.max_pool2d(features, kernel_size=3, stride=2, padding=1)
    branch: Any = network.encoders[1]
    expected = (gram_matrix(pooled).flatten(1) @ branch.project.weight.T + branch.project.bias).relu()
    torch.testing.assert_close(network.texture(network.levels(images()).maps)[1], expected)
    first: Any = network.encoders[0]
    assert isinstance(first.pool, nn.Identity), "the first map is not pooled"


def test_a_branch_of_the_paper_is_convolved_rectified_pooled_and_normalised_before_its_gram_matrix() -> None:
    network = small(reduction=2)
    features = network.levels(images()).maps[1]
    branch: Any = network.encoders[1]
    convolution, norm = branch.reduce[0], branch.reduce[3]
    with torch.no_grad():  # else an unused norm, or an offset of 0, would not be seen
        norm.running_mean.uniform_(0.1, 0.3)
        convolution.bias.uniform_(-0.2, 0.2)
    convolved = nn.functional.conv2d(features, convolution.weight, convolution.bias).relu()
    pooled = nn.functional.max_pool2d(convolved, kernel_size=3, stride=2, padding=1)
    gram = gram_matrix(norm(pooled))
    rows, columns = torch.triu_indices(gram.shape[1], gram.shape[1])
    expected = branch.project(branch.norm(gram[:, rows, columns])).relu()
    torch.testing.assert_close(branch(features), expected)


def test_the_classifier_reads_deep_features_before_style() -> None:
    network = small(reduction=1)
    maps, deep = network.levels(images())
    style = network.style(torch.cat(network.texture(maps), dim=1))
    logits, embedding = network.embed(images())
    torch.testing.assert_close(embedding, torch.cat([deep, style], dim=1))
    torch.testing.assert_close(logits, network.classifier(embedding))
    assert torch.equal(network(images()), logits)


@pytest.mark.parametrize("release", [True, False])
def test_style_and_meaning_can_be_multiplied_or_added_where_their_widths_are_one(release: bool) -> None:
    for fusion in ("multiply", "add"):
        network = small(release=release, reduction=1, fusion=fusion)
        deep, style = torch.randn(2, 96), torch.randn(2, 96)
        joined = fuse(fusion, deep, style)
        torch.testing.assert_close(joined, deep * style if fusion == "multiply" else deep + style)
        assert network(images()).shape == (2, 8)
    with pytest.raises(SettingsError, match=r"one width, but they have 24 and 96\. Set style_width=96"):
        small(reduction=4, fusion="add")
    assert small(reduction=4, fusion="add", style_width=96)(images()).shape == (2, 8)


def test_a_fusion_or_reduction_that_is_none_is_an_error() -> None:
    with pytest.raises(SettingsError, match="concatenate, multiply, add, not 'mean'"):
        catalog.build("mlm_paper", 8, backbone="test_resnet", fusion="mean")
    with pytest.raises(SettingsError, match="reduction must be at least 1, not 0"):
        catalog.build("mlm_paper", 8, backbone="test_resnet", reduction=0)


@pytest.mark.parametrize("backbone", ["test_efficientnet", "test_resnet", "convnext_atto"])
def test_it_runs_on_any_backbone_that_gives_a_pyramid(backbone: str) -> None:
    for name in ("mlm_paper", "mlm_release"):
        assert catalog.build(name, 6, backbone=backbone).eval()(images()).shape == (2, 6)
