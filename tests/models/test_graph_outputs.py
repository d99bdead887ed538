"""Class maps add up to the logits, and the embedding is what the last layer reads."""

import copy
from typing import Any

import pytest
import torch
from timm.layers.layer_scale import LayerScale
from torch import Tensor, nn

from affectlens.explain.methods.attention import attention_weights
from affectlens.model_folder import (
    GRAPH_CLASS_MAPS,
    GRAPH_EMBEDDING,
    GRAPH_GRADIENT_MAPS,
    GRAPH_LOGITS,
)
from affectlens.models.graph_outputs import GraphNetwork
from planted import small_member

SIDE = 96


def images() -> Tensor:
    return torch.randn(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def outputs(network: nn.Module) -> dict[str, Tensor]:
    complete = GraphNetwork(network, SIDE, SIDE)
    with torch.no_grad():
        return dict(zip(complete.names, complete(images()), strict=True))


def centred(logits: Tensor) -> Tensor:
    return logits - logits.mean(dim=1, keepdim=True)


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet"])
def test_of_a_convolutional_network_class_maps_add_up_to_differences_of_logits(name: str) -> None:
    found = outputs(small_member(name))
    sums, logits = found[GRAPH_CLASS_MAPS].sum(dim=(2, 3)), centred(found[GRAPH_LOGITS])
    torch.testing.assert_close(sums[0] - sums[1], logits[0] - logits[1], rtol=1e-3, atol=1e-5)
    assert float((logits[0] - logits[1]).abs().max()) > 1e-3
    assert found[GRAPH_CLASS_MAPS].shape[2] > 1


def test_maps_of_several_networks_are_added_on_the_grid_that_holds_the_cells_of_each() -> None:
    members = ["test_resnet", "test_efficientnet"]
    network = small_member("ensemble", members=members, sizes=[0, 64])
    found = outputs(network)
    sums, logits = found[GRAPH_CLASS_MAPS].sum(dim=(2, 3)), centred(found[GRAPH_LOGITS])
    torch.testing.assert_close(sums[0] - sums[1], logits[0] - logits[1], rtol=1e-3, atol=1e-5)
    assert float((logits[0] - logits[1]).abs().max()) > 1e-3
    cells = [outputs(small_member(name))[GRAPH_CLASS_MAPS].shape[2] for name in members]
    assert cells == [3, 3] and found[GRAPH_CLASS_MAPS].shape[2:] == (6, 6)  # 3 of 96 pixels, 2 of 64


def test_a_grid_of_too_many_cells_is_no_map() -> None:
    network = small_member("ensemble", members=["test_resnet", "test_efficientnet"], sizes=[0, 224])
    assert GRAPH_CLASS_MAPS not in GraphNetwork(network, 352, 352).names  # of 11 and 7 cells a side


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_vit"])
def test_the_embedding_times_the_last_layers_weights_are_the_logits(name: str) -> None:
    network = small_member(name)
    found = outputs(network)
    last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    torch.testing.assert_close(last(found[GRAPH_EMBEDDING]), found[GRAPH_LOGITS], rtol=1e-4, atol=1e-5)


def test_of_a_pair_both_embeddings_stand_side_by_side() -> None:
    pair = small_member("pair", transformer="test_vit", convolutional="test_efficientnet")
    width = outputs(pair)[GRAPH_EMBEDDING].shape[1]
    assert width == sum(
        outputs(small_member(n))[GRAPH_EMBEDDING].shape[1] for n in ("test_vit", "test_efficientnet")
    )


def test_of_mlm_class_maps_are_those_of_its_deep_map_alone() -> None:
    found = outputs(small_member("mlm_paper", backbone="test_resnet", reduction=2))
    sums, logits = found[GRAPH_CLASS_MAPS].sum(dim=(2, 3)), centred(found[GRAPH_LOGITS])
    assert not torch.allclose(sums[0] - sums[1], logits[0] - logits[1], rtol=1e-2)


@pytest.mark.parametrize("scaled", [False, True])
def test_of_a_pair_a_class_token_reads_its_last_attention_times_its_gradient(scaled: bool) -> None:
    pair: Any = small_member("pair", transformer="test_vit", convolutional="test_efficientnet")
    if scaled:
        last_block: Any = pair.transformer.blocks[-1]
        width = pair.transformer.num_features
        last_block.ls1, last_block.ls2 = (LayerScale(width, init_values=v) for v in (0.5, 2.0))
    found = outputs(pair)
    with attention_weights(pair, ["transformer"]) as captured:
        logits = centred(pair(images()))
        last = captured["transformer"][-1]
        for emotion in range(logits.shape[1]):
            (gradients,) = torch.autograd.grad(logits[:, emotion].sum(), last, retain_graph=True)
            expected = (last * gradients).sum(dim=1)[:, 0, -found[GRAPH_GRADIENT_MAPS][0, 0].numel() :]
            ours = found[GRAPH_GRADIENT_MAPS][:, emotion].flatten(1)
            torch.testing.assert_close(ours, expected.detach(), rtol=1e-3, atol=1e-6)
    assert found[GRAPH_CLASS_MAPS].shape[1] == logits.shape[1]


def levels_and(*members: str, **options: Any) -> Any:
    """An ensemble with a branch that reads several levels, whose answers differ."""
    own: list[dict[str, Any]] = [{} for _ in members]
    network: Any = small_member(
        "ensemble",
        members=[*members, "multilevel"],
        member_options=[*own, {"backbone": "test_efficientnet", "hidden": 16, **options}],
    )
    with torch.no_grad():
        network.multilevel.classifier.weight.mul_(30)
    return network


def test_a_branch_of_several_levels_is_its_share_of_the_gradient_at_each_cell() -> None:
    network = levels_and("test_resnet")
    found = outputs(network)[GRAPH_GRADIENT_MAPS]
    with torch.no_grad():
        features = network.multilevel.describe(network.shown["multilevel"](images()))
        gradients = network.multilevel.feature_gradients(features)
        usual = network.multilevel.standardise.running_mean
    expected = (gradients * (features - usual)[:, None]).sum(dim=2) / 2  # one of two branches
    assert float(expected.abs().max()) > 1e-3
    torch.testing.assert_close(found.sum(dim=(2, 3)), expected, rtol=1e-3, atol=1e-5)


def test_gradients_of_several_branches_are_added() -> None:
    three = levels_and("test_vit", "test_resnet")
    both = outputs(three)[GRAPH_GRADIENT_MAPS]
    alone = {}
    for name in ("test_vit", "multilevel"):
        copied = copy.deepcopy(three)
        with torch.no_grad():
            copied.get_submodule(name).get_classifier().weight.mul_(1e-4)
        alone[name] = outputs(copied)[GRAPH_GRADIENT_MAPS]
    assert all(float(each.abs().max()) > 1e-4 for each in alone.values())
    torch.testing.assert_close(both, alone["test_vit"] + alone["multilevel"], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("backbone", ["test_vit", "test_resnet"])
def test_levels_are_taken_apart_where_pooled_features_are_the_mean_of_the_last_map(backbone: str) -> None:
    found = outputs(levels_and("test_efficientnet", backbone=backbone))
    assert (GRAPH_CLASS_MAPS in found) == (GRAPH_GRADIENT_MAPS in found) == (backbone == "test_resnet")


@pytest.mark.parametrize(
    "options",
    [
        {"transformer": "test_vit", "mirror": True},  # one picture is two for it
        {"transformer": "test_vit2"},  # which averages its patches
        {"transformer": "test_vit3"},  # whose pooling attends to them once more
    ],
)
def test_where_the_last_attention_cannot_be_taken_apart_there_are_no_maps(options: dict[str, Any]) -> None:
    found = outputs(small_member("pair", convolutional="test_efficientnet", **options))
    assert GRAPH_GRADIENT_MAPS not in found and GRAPH_CLASS_MAPS not in found


@pytest.mark.parametrize(("name", "options"), [("test_vit", {}), ("mam_paper", {"backbone": "test_resnet"})])
def test_where_the_last_map_is_not_read_linearly_there_are_no_class_maps(
    name: str, options: dict[str, str]
) -> None:
    assert GRAPH_CLASS_MAPS not in outputs(small_member(name, **options))
