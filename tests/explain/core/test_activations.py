"""Blocks are listed, their activations are maps of the picture, and the network is left as it was."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from affectlens.errors import SettingsError, UnknownName
from affectlens.explain.core import activations
from affectlens.models import catalog

SIDE = 96
# Network, its options, and for each network within: its first block and the number of its blocks.
NETWORKS: dict[str, tuple[str, dict[str, Any], dict[str, tuple[str, int]]]] = {
    "convolutional": ("test_resnet", {}, {"": ("act1", 5)}),
    "transformer": ("test_vit", {}, {"": ("blocks.0", 6)}),
    "channels last": ("test_convnext", {}, {"": ("stages.0", 4)}),
    "pair": (
        "pair", {"transformer": "test_vit", "convolutional": "test_efficientnet"},
        {"transformer": ("transformer.blocks.0", 6), "convolutional": ("convolutional.blocks.0", 5)},
    ),
    "around a pyramid": (
        "mam_paper", {"backbone": "test_resnet"}, {"pyramid.body": ("pyramid.body.act1", 5)},
    ),
}  # fmt: skip
every_network = pytest.mark.parametrize("kind", NETWORKS)


def build(kind: str) -> nn.Module:
    torch.manual_seed(0)
    name, options, _ = NETWORKS[kind]
    return catalog.build(name, 8, **options).eval()


def images(count: int = 2, height: int = SIDE, width: int = SIDE) -> Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(0))


def is_untouched(network: nn.Module) -> bool:
    return not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


@every_network
def test_blocks_are_listed_from_shallow_to_deep_for_each_network_within(kind: str) -> None:
    found = activations.list_blocks(build(kind), SIDE, SIDE)
    expected = NETWORKS[kind][2]
    assert [block.trunk for block in found] == [trunk for trunk, (_, n) in expected.items() for _ in range(n)]
    for trunk, (first, _) in expected.items():
        strides = [block.stride for block in found if block.trunk == trunk]
        assert strides == sorted(strides)
        assert next(block.name for block in found if block.trunk == trunk) == first


@every_network
def test_a_block_is_reached_as_maps_of_its_number_of_channels(kind: str) -> None:
    network = build(kind)
    for block in activations.list_blocks(network, SIDE, SIDE):
        maps = activations.activations_of(network, block, images())
        assert maps.shape[:2] == (2, block.channels)
        assert maps.shape[2] == maps.shape[3] == pytest.approx(SIDE / block.stride)
    assert is_untouched(network)


@every_network
def test_a_picture_moved_by_a_cell_moves_the_maps_and_not_the_channels(kind: str) -> None:
    """Which axes are cells and which are channels: exact where no cell sees another, as in a first block."""
    network = build(kind)
    block = activations.list_blocks(network, SIDE, SIDE)[0]
    step = 16  # an integer number of cells of every first block here
    picture = torch.zeros(1, 3, SIDE, SIDE)
    picture[:, :, 32:48, 32:48] = 1
    with torch.no_grad():
        seen, moved = (
            activations.activations_of(network, block, one)
            .sub(activations.activations_of(network, block, one * 0))
            .abs()
            .sum(dim=1)[0]
            for one in (picture, picture.roll(step, dims=3))
        )
    across, down = (step / block.stride, 0)
    peaks = [divmod(int(maps.argmax()), maps.shape[1]) for maps in (seen, moved)]
    assert (peaks[1][0] - peaks[0][0], peaks[1][1] - peaks[0][1]) == (down, across)


def test_what_is_read_is_the_input_of_the_last_nonlinearity_of_a_block() -> None:
    network = build("convolutional")
    block = activations.find_block(activations.list_blocks(network, SIDE, SIDE), "layer2")
    assert (block.layer, block.is_input) == ("layer2.0.act2", True)
    after = network.get_submodule("layer2")
    outputs: list[Tensor] = []
    hook = after.register_forward_hook(lambda _module, _inputs, output: outputs.append(output.clone()))
    network(images())
    hook.remove()
    torch.testing.assert_close(activations.activations_of(network, block, images()).relu(), outputs[0])
    assert activations.activations_of(network, block, images()).min() < 0


def test_gates_and_squeezed_maps_are_not_taken_for_what_a_block_sees() -> None:
    """The blocks of EfficientNet end in a gate whose own nonlinearity has one cell, the whole picture."""
    network = catalog.build("efficientnet_b0", 2)
    layers = [block.layer for block in activations.list_blocks(network, 64, 64)]
    assert layers == [
        f"blocks.{n}.bn{m}.act" for n, m in (("0.0", 1), ("1.1", 2), ("2.1", 2), ("4.2", 2), ("6.0", 2))
    ]


def test_pictures_that_are_not_square_keep_their_proportions() -> None:
    for kind in ("transformer", "channels last"):
        network = build(kind)
        block = activations.list_blocks(network, 64, 128)[-1]
        rows, columns = activations.activations_of(network, block, images(1, 64, 128)).shape[2:]
        assert columns == 2 * rows


def test_a_network_without_any_from_timm_is_taken_child_by_child() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.Flatten(), nn.Linear(4 * 16 * 16, 2))
    (block,) = activations.list_blocks(network, 32, 32)
    assert (block.name, block.channels, block.stride, block.is_input) == ("0", 4, 2.0, False)
    torch.testing.assert_close(
        activations.activations_of(network, block, images(1, 32, 32)), network[0](images(1, 32, 32))
    )


def test_a_network_without_maps_is_an_error() -> None:
    with pytest.raises(SettingsError, match="no block whose output is a map"):
        activations.list_blocks(nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2)), 8, 8)


def test_an_unknown_block_is_an_error_with_the_names_that_there_are() -> None:
    with pytest.raises(UnknownName, match=r"Did you mean 'layer2'\? Known: act1, layer1, layer2"):
        activations.find_block(activations.list_blocks(build("convolutional"), SIDE, SIDE), "layer22")


def test_a_hook_is_gone_also_after_an_error() -> None:
    network = build("convolutional")
    block = activations.list_blocks(network, SIDE, SIDE)[-1]
    with pytest.raises(RuntimeError):
        activations.activations_of(network, block, torch.zeros(1, 7, SIDE, SIDE))
    assert is_untouched(network)


def test_a_leak_changes_gradients_alone_and_ends() -> None:
    network = nn.Sequential(nn.ReLU(inplace=True), nn.ReLU6())
    values = torch.tensor([-1.0, 2.0, 7.0], requires_grad=True)
    with activations.leaky_gradients(network, 0.1):
        leaked = network(values * 1)
        (leaky,) = torch.autograd.grad(leaked.sum(), values)
    assert leaked.tolist() == pytest.approx([0.0, 2.0, 6.0])
    assert leaky.tolist() == pytest.approx([0.1 * 0.1, 1.1 * 1.1, 1.1 * 0.1])
    (plain,) = torch.autograd.grad(network(values * 1).sum(), values)
    assert plain.tolist() == [0.0, 1.0, 0.0]
    assert is_untouched(network) and network[0].inplace and not network[1].inplace
