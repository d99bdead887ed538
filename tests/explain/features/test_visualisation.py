"""Visualisations show what a channel was built to detect, maps where it is active."""

from dataclasses import replace
from typing import Any

import numpy as np
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
from affectlens.images import Pixels
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
    """A network whose channels detect what is known: red, stripes either way, and anything."""

    def __init__(self) -> None:
        super().__init__()
        self.detect = nn.Conv2d(3, 4, 8, stride=2)
        self.act = nn.ReLU(inplace=True)
        wave = torch.tensor([1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0, -1.0]) / 64
        with torch.no_grad():
            self.detect.weight.zero_()
            self.detect.weight[RED] = torch.tensor([1.0, -0.5, -0.5]).view(3, 1, 1) / 64
            self.detect.weight[UPRIGHT] = wave  # changes from left to right
            self.detect.weight[LYING] = wave[:, None]
            self.detect.bias = nn.Parameter(torch.tensor([-0.1, 0.0, 0.0, 5.0]))
        self.read = nn.Linear(4, 2)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.read(self.act(self.detect(images)).mean(dim=(2, 3)))
        return logits


@pytest.fixture
def planted() -> Planted:
    return Planted().eval()


@pytest.fixture
def block(planted: Planted) -> activations.Block:
    return activations.find_block(activations.list_blocks(planted, 64, 64), "act")


@pytest.fixture(scope="module")
def default() -> nn.Module:
    """The pair that comes with the package: what it detects was learnt."""
    return saved.load().network


def grey(level: int = 128) -> Pixels:
    return np.full((64, 64, 3), level, dtype=np.uint8)


def with_red_patch() -> Pixels:
    pixels = grey()
    pixels[40:56, 8:24, 0] = 250
    pixels[40:56, 8:24, 1:] = 20
    return pixels


def activation_of(network: nn.Module, visualisation: FeatureVisualisation, channel: int) -> float:
    """Mean activation of another channel of the same block for a visualisation."""
    images = torch.from_numpy(SMALL.normalise(visualisation.pixels[None]))
    with torch.no_grad():
        return float(
            activations.activations_of(network, visualisation.block, images)[0, channel].clamp(min=0).mean()
        )


def snapshot(network: nn.Module) -> list[Any]:
    """All of a network that must stay as it was."""
    return [
        {name: value.clone() for name, value in network.state_dict().items()},
        [module.training for module in network.modules()],
        [(p.requires_grad, p.grad is None) for p in network.parameters()],
        [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in network.modules()],
        [getattr(module, "inplace", None) for module in network.modules()],
    ]


# ------------------------------------------------------------------------ what a channel detects


def test_a_channel_that_detects_red_gets_a_red_picture(planted: Planted, block: activations.Block) -> None:
    (visualisation,) = visualise(planted, SMALL, block, [RED], QUICK)
    assert visualisation.pixels.dtype == np.uint8
    red, green, blue = visualisation.pixels.mean(axis=(0, 1)).tolist()
    assert red > green + 60 and red > blue + 60


@pytest.mark.parametrize(("channel", "across", "along"), [(UPRIGHT, 1, 0), (LYING, 0, 1)])
def test_a_channel_that_detects_stripes_gets_stripes_of_that_direction(
    planted: Planted, block: activations.Block, channel: int, across: int, along: int
) -> None:
    (visualisation,) = visualise(planted, SMALL, block, [channel], QUICK)
    light = visualisation.pixels.astype(float).mean(axis=2)
    assert np.abs(np.diff(light, axis=across)).mean() > 1.3 * np.abs(np.diff(light, axis=along)).mean()


@pytest.mark.parametrize("name", ["deit_tiny_patch16_224.blocks.6", "mobilenetv2_100.blocks.2"])
def test_a_visualisation_beats_the_noise_it_began_with_and_those_of_other_channels(
    default: nn.Module, name: str
) -> None:
    block = activations.find_block(activations.list_blocks(default, 64, 64), name)
    first, second = visualise(default, SMALL, block, [3, 20], QUICK)
    for one, other in ((first, second), (second, first)):
        assert one.activations[-1] > max(one.activations[0], 0) + 0.1
        assert activation_of(default, one, one.channel) > 1.5 * activation_of(default, other, one.channel)


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_network_is_left_as_it_was(kind: str) -> None:
    torch.manual_seed(0)
    name, options, block = NETWORKS[kind]
    network = catalog.build(name, 8, **options).train()
    before = snapshot(network)
    study(network, SMALL, with_red_patch(), blocks=[block], channels=[1], ascent=GradientAscent(steps=2))
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


def test_the_same_seed_gives_the_same_picture_whatever_else_is_visualised(
    planted: Planted, block: activations.Block
) -> None:
    alone = visualise(planted, SMALL, block, [UPRIGHT], QUICK)[0].pixels.astype(int)
    together = visualise(planted, SMALL, block, [RED, UPRIGHT, LYING], QUICK)[1].pixels.astype(int)
    other_seed = visualise(planted, SMALL, block, [UPRIGHT], replace(QUICK, seed=1))[0].pixels.astype(int)
    assert np.abs(alone - together).max() <= 2
    assert np.abs(alone - other_seed).mean() > 10


def test_a_channel_that_is_inactive_for_noise_is_led_to_what_it_detects() -> None:
    """Below its threshold a ReLU passes no gradient, and grey is below it."""
    detect, choose = Planted().detect, nn.Conv2d(4, 1, 1, bias=False)
    detect.bias = nn.Parameter(torch.tensor([-1.5, 0.0, 0.0, 0.0]))
    choose.weight = nn.Parameter(torch.tensor([1.0, 0.0, 0.0, 0.0]).view(1, 4, 1, 1))
    deep = nn.Sequential(detect, nn.ReLU(), choose, nn.ReLU()).eval()
    block = activations.find_block(activations.list_blocks(deep, 64, 64), "3")
    (visualisation,) = visualise(deep, SMALL, block, [0], replace(QUICK, learning_rate=0.3))
    assert visualisation.activations[0] == 0
    assert visualisation.activations[-1] > 0.5


def test_progress_is_reported_step_by_step(planted: Planted, block: activations.Block) -> None:
    reported: list[int] = []
    visualise(planted, SMALL, block, [RED, LYING], GradientAscent(steps=3), reported.append)
    assert reported == [1, 1, 1]


def test_visualisations_of_shallow_blocks_are_small_so_that_cells_are_large() -> None:
    network = catalog.build("test_resnet", 2)
    preprocessing = Preprocessing(height=224, width=224)
    known = activations.list_blocks(network, 224, 224)
    sides = [
        visualise(network, preprocessing, one, [0], GradientAscent(steps=1))[0].pixels.shape[0]
        for one in known
    ]
    assert sides == [48, 64, 96, 128, 144]


def test_a_network_for_pictures_of_one_size_is_shown_that_size() -> None:
    network = catalog.build("test_coatnet", 2)
    preprocessing = Preprocessing(height=160, width=160)
    block = activations.list_blocks(network, 160, 160)[0]
    (visualisation,) = visualise(network, preprocessing, block, [0], GradientAscent(steps=1))
    assert visualisation.pixels.shape == (160, 160, 3)


@pytest.mark.parametrize("without_gradients", [torch.no_grad, torch.inference_mode])
def test_where_the_caller_disables_gradients_visualisations_are_made_all_the_same(
    planted: Planted, block: activations.Block, without_gradients: Any
) -> None:
    with without_gradients():
        (visualisation,) = visualise(planted, SMALL, block, [RED], QUICK)
    assert visualisation.activations[-1] > visualisation.activations[0] + 0.5


# ------------------------------------------------------------------------ where channels are active


def test_the_map_points_at_the_patch_that_the_channel_detects(
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


def test_a_channel_that_is_active_everywhere_is_not_the_strongest(
    planted: Planted, block: activations.Block
) -> None:
    response = respond(planted, SMALL, with_red_patch(), block)
    assert response.cells[ALWAYS].mean() > 10 * response.cells[RED].mean()
    assert response.strongest(4)[0] == RED


def test_a_map_has_the_shape_of_the_picture_and_not_of_the_networks_input(planted: Planted) -> None:
    pixels = with_red_patch().repeat(2, axis=1)  # twice as wide, and squashed for the network
    found = study(planted, SMALL, pixels, blocks=["act"], channels=[RED], ascent=GradientAscent(steps=1))
    (one,) = found.maps
    assert one.upsampled.shape == found.pixels.shape[:2] == (64, 128)
    row, column = divmod(int(one.upsampled.argmax()), 128)
    assert 40 <= row < 56 and 16 <= column < 48


def test_where_the_centre_is_cut_out_the_picture_shown_is_the_centre(planted: Planted) -> None:
    cropping = Preprocessing(height=64, width=64, fit="crop")
    pixels = np.concatenate([with_red_patch(), grey(0), grey(0)], axis=1)
    found = study(planted, cropping, pixels, blocks=["act"], channels=[RED], ascent=GradientAscent(steps=1))
    assert np.array_equal(found.pixels, cropping.fit_pixels(pixels))


# -------------------------------------------------------------------------------------------- both at once


def test_a_study_maps_blocks_of_each_network_and_visualises_shallow_middle_and_deep_ones() -> None:
    torch.manual_seed(0)
    name, options, _ = NETWORKS["pair"]
    network = catalog.build(name, 8, **options)
    found = study(network, SMALL, with_red_patch(), ascent=GradientAscent(steps=1))
    visualised = [row[0].block.name for row in found.visualisations]
    assert visualised == [
        "transformer.blocks.0", "transformer.blocks.2", "transformer.blocks.5",
        "convolutional.blocks.0", "convolutional.blocks.2", "convolutional.blocks.4",
    ]  # fmt: skip
    assert {len(row) for row in found.visualisations} == {9}
    assert len(found.maps) == 10
    assert set(visualised) < {one.block.name for one in found.maps}
    first = {one.block.name: one.channel for one in found.maps}
    assert all(row[0].channel == first[row[0].block.name] for row in found.visualisations)


def test_blocks_and_channels_that_are_named_are_those_mapped_and_visualised(planted: Planted) -> None:
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


def test_a_block_of_few_channels_has_all_of_them_visualised(planted: Planted) -> None:
    found = study(planted, SMALL, with_red_patch(), blocks=["act"], ascent=GradientAscent(steps=1))
    assert sorted(one.channel for one in found.visualisations[0]) == [RED, UPRIGHT, LYING, ALWAYS]


def test_what_is_not_there_is_an_error_before_any_work(planted: Planted) -> None:
    with pytest.raises(UnknownName, match="Known: detect, act"):
        choose_blocks(planted, SMALL, blocks=["acts"])
    with pytest.raises(SettingsError, match=r"act has no channel 4; it has 4, from 0 to 3\."):
        choose_blocks(planted, SMALL, blocks=["act"], channels=[0, 4])
    with pytest.raises(SettingsError, match="no channel -1"):
        visualise(planted, SMALL, activations.list_blocks(planted, 64, 64)[0], [-1])


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"learning_rate": 0.0}, {"turn": 90.0}, {"zoom": 0.5}])
def test_impossible_settings_of_the_ascent_are_errors(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        GradientAscent(**wrong)


def test_noise_is_neither_all_rough_nor_all_grey() -> None:
    """What is usual is measured on it, from rough to smooth and from dark to light."""
    noise = features._noise(64, 64)
    assert noise.min() >= 0 and noise.max() <= 1
    roughness = noise.diff(dim=3).abs().mean(dim=(1, 2, 3)) / noise.std(dim=(1, 2, 3))
    assert roughness[0] > 3 * roughness[-1]
    assert noise.mean(dim=(1, 2, 3)).std() > 0.1
