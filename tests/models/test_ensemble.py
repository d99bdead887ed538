"""Ensembles: the mean of their branches, each with a temperature of its own."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from affectlens.errors import SettingsError, UnknownName
from affectlens.models import backbones, catalog
from affectlens.models.ensemble import Ensemble
from affectlens.models.multilevel import MultiLevel

VIT, NET, RESNET = "test_vit.r160_in1k", "test_efficientnet.r160_in1k", "test_resnet.r160_in1k"
OPTIONS: dict[str, dict[str, Any]] = {
    "pair": {"transformer": VIT, "convolutional": NET},
    "ensemble": {"members": [VIT, NET, RESNET, NET]},
}


def images(count: int = 2, side: int = 64) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0))


def build(name: str, **changes: Any) -> Ensemble:
    torch.manual_seed(0)
    network = catalog.build(name, 3, **{**OPTIONS[name], **changes}).eval()
    assert isinstance(network, Ensemble)
    with torch.no_grad():  # heads start near zero; larger ones make differences visible
        network.scale_branches([0.01] * len(network.members))
    return network


@pytest.fixture(params=OPTIONS)
def network(request: pytest.FixtureRequest) -> Ensemble:
    return build(request.param)


def test_the_answer_is_the_mean_of_the_branches_log_probabilities(network: Ensemble) -> None:
    logs = [logits.log_softmax(1) for logits in network.branches(images())]
    torch.testing.assert_close(network(images()), sum(logs) / len(logs))
    for log, alone in zip(logs, network.branch_networks().values(), strict=True):
        torch.testing.assert_close(alone(images()), log)


def test_with_mirror_a_picture_and_its_mirror_image_get_the_same_answer(network: Ensemble) -> None:
    seen = images(3)
    assert not torch.allclose(network(seen), network(seen.flip(3)), atol=1e-4)
    mean = (network(seen) + network(seen.flip(3))) / 2
    network.mirror = True
    torch.testing.assert_close(network(seen), network(seen.flip(3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(network(seen), mean, rtol=1e-4, atol=1e-5)


def test_training_sees_each_picture_once(network: Ensemble) -> None:
    network.mirror = True
    network.train()
    assert [each.shape for each in network.branches(images())] == [(2, 3)] * len(network.members)
    assert network(images()).shape == (2, 3)


def test_scaling_divides_each_branchs_logits_by_its_own_temperature(network: Ensemble) -> None:
    before = network.branches(images())
    temperatures = [2.0, 0.5, 1.0, 4.0][: len(before)]
    scaled = copy.deepcopy(network)
    scaled.scale_branches(temperatures)
    for after, once, temperature in zip(scaled.branches(images()), before, temperatures, strict=True):
        torch.testing.assert_close(after, once / temperature)


def test_scaling_needs_a_temperature_for_each_branch(network: Ensemble) -> None:
    with pytest.raises(ValueError):
        network.scale_branches([1.0])


def test_branches_have_the_names_of_their_networks_and_alike_ones_numbers() -> None:
    assert list(build("pair").members) == ["transformer", "convolutional"]
    names = ["test_vit", "test_efficientnet", "test_resnet", "test_efficientnet_2"]
    network = build("ensemble")
    assert list(network.members) == list(network.branch_networks()) == names
    assert {name.partition(".")[0] for name in network.state_dict()} == set(names)


def test_each_member_sees_pictures_of_its_size_as_its_weights_expect_them() -> None:
    network = build("ensemble", members=[VIT, "tf_efficientnet_lite0", NET], sizes=[0, 48, 0])
    given, expected = map(backbones.statistics, (VIT, "tf_efficientnet_lite0"))
    seen: dict[str, Tensor] = {}
    for name in network.members:
        network.get_submodule(name).register_forward_pre_hook(
            lambda _module, inputs, name=name: seen.__setitem__(name, inputs[0])
        )
    flat = torch.tensor([0.2, 0.5, 0.8]).view(1, 3, 1, 1).expand(1, 3, 64, 64)
    had, wanted = (torch.tensor(each).view(2, 3, 1, 1) for each in (given, expected))
    network((flat - had[0]) / had[1])
    assert [each.shape[2:] for each in seen.values()] == [(64, 64), (48, 48), (64, 64)]
    lite = (flat[:, :, :48, :48] - wanted[0]) / wanted[1]
    torch.testing.assert_close(seen["tf_efficientnet_lite0"], lite, rtol=1e-4, atol=1e-4)


def test_an_ensemble_needs_members_with_a_size_for_each() -> None:
    with pytest.raises(SettingsError, match="needs members"):
        catalog.build("ensemble", 3, members=[])
    for sizes in ([64], [64, -1], [64, "64"]):
        with pytest.raises(SettingsError, match="for 2 members: expected one for each"):
            catalog.build("ensemble", 3, members=[VIT, NET], sizes=sizes)


def test_a_member_may_be_a_network_of_the_catalogue_with_options_of_its_own() -> None:
    levels = {"backbone": NET, "levels": [0, 1], "hidden": 8}
    network = build("ensemble", members=[VIT, "multilevel"], member_options=[{}, levels])
    alone = network.get_submodule("multilevel")
    assert isinstance(alone, MultiLevel) and alone.levels == (0, 1)
    shown = backbones.Renormalise(backbones.statistics(VIT), backbones.statistics(NET))(images())
    torch.testing.assert_close(network.branches(images())[1], alone(shown))


def test_pictures_are_normalised_as_the_first_members_backbone_expects() -> None:
    options = {"members": ["multilevel", VIT], "member_options": [{"backbone": NET}, {}]}
    for names, expected in ((options, NET), ({"members": [VIT]}, VIT)):
        assert catalog.expected_input("ensemble", names).mean == backbones.statistics(expected).mean


def test_what_cannot_be_a_member_is_named() -> None:
    for member, problem in (("pair", "an ensemble itself"), ("mlm_paper", "no single last layer")):
        with pytest.raises(SettingsError, match=problem):
            catalog.build("ensemble", 3, members=[VIT, member])
    with pytest.raises(UnknownName):
        catalog.build("ensemble", 3, members=[VIT, "no_network"])
    wrong: list[list[Any]] = [[{}], [{}, 3]]
    for options in wrong:
        with pytest.raises(SettingsError, match="a table of options for each"):
            catalog.build("ensemble", 3, members=[VIT, NET], member_options=options)
    with pytest.raises(SettingsError, match="has no option 'depth'"):
        catalog.build("ensemble", 3, members=[VIT, NET], member_options=[{}, {"depth": 1}])


@pytest.mark.parametrize(("name", "changes"), [
    ("ensemble", {"members": [NET, RESNET]}),
    ("pair", {"transformer": NET, "convolutional": RESNET}),
])  # fmt: skip
def test_patches_can_be_left_out_where_there_are_any(name: str, changes: dict[str, Any]) -> None:
    assert backbones.drops_patches(build(name, patch_dropout=0.5))
    with pytest.raises(SettingsError, match="patches to leave out"):
        catalog.build(name, 3, **changes, patch_dropout=0.5)
