"""Visualisations show what a channel was built to detect, maps where it is active."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from affectlens.errors import SettingsError, UnknownName
from affectlens.explain.core import activations
from affectlens.explain.features import visualisation as features
from affectlens.explain.features.visualisation import (
    FeatureVisualisation,
    GradientAscent,
    choose_blocks,
    respond,
    study,
    visualise,
)
from affectlens.models import catalog, saved
from affectlens.preprocess import Preprocessing

SMALL = Preprocessing(height=64, width=64)
RED, UPRIGHT, LYING, ALWAYS = range(4)
QUICK = GradientAscent(steps=32, learning_rate=0.1)
NETWORKS: dict[str, tuple[str, dict[str, Any], str]] = {
    "convolutional": ("test_resnet", {}, "layer2"),
    "transformer": ("test_vit", {}, "blocks.3"),
    "pair": (
        "pair", {"transformer": "test_vit", "convolutional": "test_efficientnet"}, "convolutional.blocks.2",
    ),
    "around a pyramid": ("mam_paper", {"backbone": "test_resnet"}, "pyramid.body.layer2"),
}  # fmt: skip


class Planted(nn.Module):
    """A network of which is known what its channels look for: red, stripes either way, and anything."""

    def __init__(self) -> None:
        super().__init__()
        self.see = nn.Conv2d(3, 4, 8, stride=2)
        self.act = nn.ReLU(inplace=True)
        wave = torch.tensor([1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0, -1.0]) / 64
        with torch.no_grad():
            self.see.weight.zero_()
            self.see.weight[RED] = torch.tensor([1.0, -0.5, -0.5]).view(3, 1, 1) / 64
            self.see.weight[UPRIGHT] = wave  # changes from left to right
            self.see.weight[LYING] = wave[:, None]
            self.see.bias = nn.Parameter(torch.tensor([-0.1, 0.0, 0.0, 5.0]))
        self.judge = nn.Linear(4, 2)

    def forward(self, images: Tensor) -> Tensor:
        judged: Tensor = self.judge(self.act(self.see(images)).mean(dim=(2, 3)))
        return judged


@pytest.fixture
def planted() -> Planted:
    return Planted().eval()


@pytest.fixture
def block(planted: Planted) -> activations.Block:
    return activations.find_block(activations.list_blocks(planted, 64, 64), "act")


@pytest.fixture(scope="module")
def default() -> nn.Module:
    """The pair that comes with the package: what it looks for was learnt."""
    return saved.load().network


def grey(level: int = 128) -> Tensor:
    return torch.full((3, 64, 64), level, dtype=torch.uint8)


def with_red_patch() -> Tensor:
    pixels = grey()
    pixels[0, 40:56, 8:24] = 250
    pixels[1:, 40:56, 8:24] = 20
    return pixels


def activation_of(network: nn.Module, visualisation: FeatureVisualisation, channel: int) -> float:
    """What another channel of the same block sees in a visualisation, on average."""
    images = SMALL.normalise(visualisation.pixels[None])
    with torch.no_grad():
        return float(
            activations.activations_of(network, visualisation.block, images)[0, channel].clamp(min=0).mean()
        )


def snapshot(network: nn.Module) -> list[Any]:
    """All that looking into a network must leave as it was."""
    return [
        {name: value.clone() for name, value in network.state_dict().items()},
        [module.training for module in network.modules()],
        [(p.requires_grad, p.grad is None) for p in network.parameters()],
        [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in network.modules()],
        [getattr(module, "inplace", None) for module in network.modules()],
    ]


# ------------------------------------------------------------------------------- what a channel looks for


def test_a_channel_that_looks_for_red_gets_a_red_picture(planted: Planted, block: activations.Block) -> None:
    (visualisation,) = visualise(planted, SMALL, block, [RED], QUICK)
    assert visualisation.pixels.dtype == torch.uint8
    red, green, blue = visualisation.pixels.float().mean(dim=(1, 2)).tolist()
    assert red > green + 60 and red > blue + 60


@pytest.mark.parametrize(("channel", "across", "along"), [(UPRIGHT, 2, 1), (LYING, 1, 2)])
def test_a_channel_that_looks_for_stripes_gets_stripes_of_that_direction(
    planted: Planted, block: activations.Block, channel: int, across: int, along: int
) -> None:
    (visualisation,) = visualise(planted, SMALL, block, [channel], QUICK)
    light = visualisation.pixels.float().mean(dim=0, keepdim=True)
    assert light.diff(dim=across).abs().mean() > 1.3 * light.diff(dim=along).abs().mean()


@pytest.mark.parametrize("place", ["transformer.blocks.6", "convolutional.blocks.2"])
def test_a_painting_beats_the_noise_it_began_with_and_those_of_other_channels(
    default: nn.Module, place: str
) -> None:
    block = activations.find_block(activations.list_blocks(default, 64, 64), place)
    first, second = visualise(default, SMALL, block, [3, 20], QUICK)
    for one, other in ((first, second), (second, first)):
        assert one.activations[-1] > max(one.activations[0], 0) + 0.1
        assert activation_of(default, one, one.channel) > 1.5 * activation_of(default, other, one.channel)


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_network_is_left_as_it_was(kind: str) -> None:
    torch.manual_seed(0)
    name, options, place = NETWORKS[kind]
    network = catalog.build(name, 8, **options).train()
    before = snapshot(network)
    study(network, SMALL, with_red_patch(), blocks=[place], channels=[1], ascent=GradientAscent(steps=2))
    after = snapshot(network)
    assert before[0].keys() == after[0].keys()
    assert all(torch.equal(value, after[0][name]) for name, value in before[0].items())
    assert before[1:] == after[1:]


def test_activations_are_kept_from_the_noise_to_the_finished_pixels(
    planted: Planted, block: activations.Block
) -> None:
    (visualisation,) = visualise(planted, SMALL, block, [RED], QUICK)
    assert len(visualisation.activations) == QUICK.steps + 1
    assert visualisation.activations[-1] == pytest.approx(
        activation_of(planted, visualisation, RED), rel=0.05
    )


def test_the_same_seed_paints_the_same_picture_whatever_is_painted_beside_it(
    planted: Planted, block: activations.Block
) -> None:
    alone = visualise(planted, SMALL, block, [UPRIGHT], QUICK)[0].pixels.int()
    beside = visualise(planted, SMALL, block, [RED, UPRIGHT, LYING], QUICK)[1].pixels.int()
    other_seed = visualise(planted, SMALL, block, [UPRIGHT], replace(QUICK, seed=1))[0].pixels.int()
    assert (alone - beside).abs().max() <= 2
    assert (alone - other_seed).abs().float().mean() > 10


def test_a_channel_that_sees_nothing_in_noise_is_led_to_what_it_looks_for() -> None:
    """Below its threshold a ReLU passes no gradient, and grey is below it."""
    see, choose = Planted().see, nn.Conv2d(4, 1, 1, bias=False)
    see.bias = nn.Parameter(torch.tensor([-1.5, 0.0, 0.0, 0.0]))
    choose.weight = nn.Parameter(torch.tensor([1.0, 0.0, 0.0, 0.0]).view(1, 4, 1, 1))
    deep = nn.Sequential(see, nn.ReLU(), choose, nn.ReLU()).eval()
    block = activations.find_block(activations.list_blocks(deep, 64, 64), "3")
    (visualisation,) = visualise(deep, SMALL, block, [0], replace(QUICK, learning_rate=0.3))
    assert visualisation.activations[0] == 0
    assert visualisation.activations[-1] > 0.5


def test_progress_is_told_step_by_step(planted: Planted, block: activations.Block) -> None:
    told: list[int] = []
    visualise(planted, SMALL, block, [RED, LYING], GradientAscent(steps=3), told.append)
    assert told == [1, 1, 1]


def test_paintings_of_shallow_blocks_are_small_so_that_cells_are_large() -> None:
    network = catalog.build("test_resnet", 2)
    preprocessing = Preprocessing(height=224, width=224)
    known = activations.list_blocks(network, 224, 224)
    sides = [
        visualise(network, preprocessing, one, [0], GradientAscent(steps=1))[0].pixels.shape[1]
        for one in known
    ]
    assert sides == [48, 64, 96, 128, 144]


def test_a_network_for_pictures_of_one_size_is_shown_that_size() -> None:
    network = catalog.build("test_coatnet", 2)
    preprocessing = Preprocessing(height=160, width=160)
    block = activations.list_blocks(network, 160, 160)[0]
    (visualisation,) = visualise(network, preprocessing, block, [0], GradientAscent(steps=1))
    assert visualisation.pixels.shape == (3, 160, 160)


@pytest.mark.parametrize("without_gradients", [torch.no_grad, torch.inference_mode])
def test_where_the_caller_wants_no_gradients_paintings_are_made_all_the_same(
    planted: Planted, block: activations.Block, without_gradients: Any
) -> None:
    with without_gradients():
        (visualisation,) = visualise(planted, SMALL, block, [RED], QUICK)
    assert visualisation.activations[-1] > visualisation.activations[0] + 0.5


# --------------------------------------------------------------------------- where channels see something


def test_the_map_points_at_the_patch_that_the_channel_looks_for(
    planted: Planted, block: activations.Block
) -> None:
    response = respond(planted, SMALL, with_red_patch(), block)
    assert response.strongest() == [RED]
    found = response.map_of(RED, 64, 64)
    assert found.upsampled.shape == (64, 64)
    assert found.cells.min() >= 0
    inside = found.upsampled[40:56, 8:24].sum()
    assert inside > 0.5 * found.upsampled.sum()
    row, column = divmod(int(found.upsampled.argmax()), 64)
    assert 40 <= row < 56 and 8 <= column < 24


def test_a_channel_that_sees_something_everywhere_is_not_the_strongest(
    planted: Planted, block: activations.Block
) -> None:
    response = respond(planted, SMALL, with_red_patch(), block)
    assert response.cells[ALWAYS].mean() > 10 * response.cells[RED].mean()
    assert response.strongest(4)[0] == RED


def test_a_map_is_laid_out_as_the_picture_is_and_not_as_the_network_sees_it(planted: Planted) -> None:
    pixels = with_red_patch().repeat_interleave(2, dim=2)  # twice as wide, and squashed for the network
    found = study(planted, SMALL, pixels, blocks=["act"], channels=[RED], ascent=GradientAscent(steps=1))
    (one,) = found.maps
    assert one.upsampled.shape == found.pixels.shape[1:] == (64, 128)
    row, column = divmod(int(one.upsampled.argmax()), 128)
    assert 40 <= row < 56 and 16 <= column < 48


def test_where_the_centre_is_cut_out_the_picture_shown_is_the_centre(planted: Planted) -> None:
    cropping = Preprocessing(height=64, width=64, fit="crop")
    pixels = torch.cat([with_red_patch(), grey(0), grey(0)], dim=2)
    found = study(planted, cropping, pixels, blocks=["act"], channels=[RED], ascent=GradientAscent(steps=1))
    assert torch.equal(found.pixels, cropping.fit_pixels(pixels))


# -------------------------------------------------------------------------------------------- both at once


def test_a_study_shows_blocks_of_each_network_and_paints_shallow_middle_and_deep_ones() -> None:
    torch.manual_seed(0)
    name, options, _ = NETWORKS["pair"]
    network = catalog.build(name, 8, **options)
    found = study(network, SMALL, with_red_patch(), ascent=GradientAscent(steps=1))
    painted = [row[0].block.name for row in found.visualisations]
    assert painted == [
        "transformer.blocks.0", "transformer.blocks.2", "transformer.blocks.5",
        "convolutional.blocks.0", "convolutional.blocks.2", "convolutional.blocks.4",
    ]  # fmt: skip
    assert {len(row) for row in found.visualisations} == {9}
    assert len(found.maps) == 10
    assert set(painted) < {one.block.name for one in found.maps}
    first = {one.block.name: one.channel for one in found.maps}
    assert all(row[0].channel == first[row[0].block.name] for row in found.visualisations)


def test_blocks_and_channels_that_are_named_are_those_shown_and_painted(planted: Planted) -> None:
    found = study(
        planted,
        SMALL,
        with_red_patch(),
        blocks=["act"],
        channels=[LYING, RED],
        ascent=GradientAscent(steps=1),
    )
    assert [(one.block.name, one.channel) for one in found.maps] == [("act", LYING)]
    assert [[one.channel for one in row] for row in found.visualisations] == [[LYING, RED]]
    assert (found.named_blocks, found.named_channels) == (True, True)


def test_a_block_of_few_channels_has_all_of_them_painted(planted: Planted) -> None:
    found = study(planted, SMALL, with_red_patch(), blocks=["act"], ascent=GradientAscent(steps=1))
    assert sorted(one.channel for one in found.visualisations[0]) == [RED, UPRIGHT, LYING, ALWAYS]


def test_what_is_not_there_is_an_error_before_any_work(planted: Planted) -> None:
    with pytest.raises(UnknownName, match="Known: see, act"):
        choose_blocks(planted, SMALL, blocks=["acts"])
    with pytest.raises(SettingsError, match=r"act has no channel 4; it has 4, from 0 to 3\."):
        choose_blocks(planted, SMALL, blocks=["act"], channels=[0, 4])
    with pytest.raises(SettingsError, match="no channel -1"):
        visualise(planted, SMALL, activations.list_blocks(planted, 64, 64)[0], [-1])


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"learning_rate": 0.0}, {"turn": 90.0}, {"zoom": 0.5}])
def test_an_impossible_way_of_painting_is_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        GradientAscent(**wrong)


def test_noise_is_neither_all_rough_nor_all_grey() -> None:
    """What is usual is measured on it, from rough to smooth and from dark to light."""
    noise = features._noise(64, 64)
    assert noise.min() >= 0 and noise.max() <= 1
    roughness = noise.diff(dim=3).abs().mean(dim=(1, 2, 3)) / noise.std(dim=(1, 2, 3))
    assert roughness[0] > 3 * roughness[-1]
    assert noise.mean(dim=(1, 2, 3)).std() > 0.1
