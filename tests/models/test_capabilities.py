"""What a network can do is found by its methods, and does what the protocol promises."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from affectlens.models import catalog
from affectlens.models.capabilities import (
    CONCEPTS,
    HasAttributes,
    HasAuxiliary,
    HasBranches,
    HasEmbedding,
    HasParts,
    HasTokens,
)

PROTOCOLS = (HasAuxiliary, HasBranches, HasEmbedding, HasAttributes, HasParts, HasTokens)
SMALL: dict[str, dict[str, Any]] = {
    "pair": {"transformer": "test_vit.r160_in1k", "convolutional": "test_efficientnet.r160_in1k"},
    "ensemble": {"members": ["test_resnet", "test_efficientnet"], "sizes": [0, 64]},
    "mlm_paper": {"backbone": "test_resnet"},
    "mlm_release": {"backbone": "test_resnet"},
    "mam_paper": {"backbone": "test_resnet"},
    "mam_release": {"backbone": "test_resnet"},
    "wscnet": {"backbone": "test_resnet"},
    "pdanet": {"backbone": "test_resnet"},
    "multilevel": {"backbone": "test_efficientnet"},
    "vit_attributes": {"backbone": "test_vit", "attributes": {"scene": {"words": 3, "several": False}}},
    "test_vit": {},
}
CAN: dict[str, set[type]] = {
    "pair": {HasBranches, HasParts},
    "ensemble": {HasBranches, HasParts},
    "mlm_paper": {HasEmbedding, HasParts},
    "mlm_release": {HasEmbedding, HasParts},
    "mam_paper": {HasEmbedding, HasParts, HasTokens},
    "mam_release": {HasEmbedding, HasParts, HasTokens},
    "wscnet": {HasAuxiliary},
    "pdanet": {HasEmbedding},
    "multilevel": {HasEmbedding},
    "vit_attributes": {HasAttributes},
    "test_vit": set(),
}


def build(name: str, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    return catalog.build(name, 4, **{**SMALL[name], **options}).eval()


def images() -> Tensor:
    return torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", SMALL)
def test_each_network_has_its_capabilities_and_no_others(name: str) -> None:
    network = build(name)
    assert {protocol for protocol in PROTOCOLS if isinstance(network, protocol)} == CAN[name]


@pytest.mark.parametrize("name", [name for name, can in CAN.items() if HasParts in can])
def test_every_division_answers_as_the_network_does(name: str) -> None:
    network = build(name)
    assert isinstance(network, HasParts)
    with torch.inference_mode():
        expected = network(images())
        for division in network.divisions():
            parts = division.describe(images())
            assert set(parts) == set(division.kinds)
            torch.testing.assert_close(division.answer(parts), expected)


@pytest.mark.parametrize("fusion", ["concatenate", "multiply"])
def test_only_the_first_division_of_mlm_knows_the_usual_picture(fusion: str) -> None:
    network = build("mlm_paper", fusion=fusion, reduction=1)
    assert isinstance(network, HasParts)
    divisions = network.divisions()
    assert [division.usual is not None for division in divisions] == [True, False][-len(divisions) :]
    assert len(divisions) == (2 if fusion == "concatenate" else 1)
    if divisions[0].usual is not None:
        parts = divisions[0].describe(images())
        assert {name: values.shape[1:] for name, values in divisions[0].usual.items()} == {
            name: values.shape[1:] for name, values in parts.items()
        }


@pytest.mark.parametrize("name", ["mam_paper", "mam_release"])
def test_the_tokens_of_a_division_are_those_of_the_token_maps(name: str) -> None:
    network = build(name, num_tokens=4)
    assert isinstance(network, HasTokens)
    with torch.inference_mode():
        division, maps = network.token_division(), network.token_maps(images())
        parts = division.describe(images())
        torch.testing.assert_close(division.answer(parts), network(images()))
    tokens = [parts[part] for part, kind in division.kinds.items() if kind == CONCEPTS]
    assert [each.shape[:2] for each in tokens] == [each.shape[:2] for each in maps]


def test_the_answer_of_branches_is_the_mean_of_the_networks_of_single_branches() -> None:
    network = build("pair")
    assert isinstance(network, HasBranches)
    with torch.inference_mode():
        alone = [branch(images()) for branch in network.branch_networks().values()]
        torch.testing.assert_close(torch.stack(alone).mean(dim=0), network(images()))


@pytest.mark.parametrize(("learned", "names"), [(True, {"scene"}), (False, set())])
def test_log_variances_are_named_by_attribute_where_they_are_learned(learned: bool, names: set[str]) -> None:
    network = build("vit_attributes", weigh_tasks=learned)
    assert isinstance(network, HasAttributes)
    assert set(network.attribute_log_variances()) == names
