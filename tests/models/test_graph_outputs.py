"""Class maps add up to the logits, and the embedding is what the last layer reads."""

import pytest
import torch
from torch import Tensor, nn

from affectlens.model_folder import GRAPH_CLASS_MAPS, GRAPH_EMBEDDING, GRAPH_LOGITS
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


@pytest.mark.parametrize(("name", "options"), [("test_vit", {}), ("mam_paper", {"backbone": "test_resnet"})])
def test_where_the_last_map_is_not_read_linearly_there_are_no_class_maps(
    name: str, options: dict[str, str]
) -> None:
    assert GRAPH_CLASS_MAPS not in outputs(small_member(name, **options))
