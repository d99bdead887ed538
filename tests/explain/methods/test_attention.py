"""Attention is read as it is, through all blocks, and the network is left as it was."""

from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor

from affectlens.emotions import MIKELS
from affectlens.errors import SettingsError
from affectlens.explain.core.question import make_question
from affectlens.explain.methods.attention import (
    AttentionRollout,
    GradientAttention,
    attention_weights,
    relevance,
)
from affectlens.models import backbones
from affectlens.models.backbones import attention_modules
from affectlens.models.maps import transformers
from affectlens.preprocess import Images
from planted import model_of, small_member
from planted_arrays import gaussian, why_fear

SIDE = 160
BOTH = pytest.mark.parametrize("method", [AttentionRollout(), GradientAttention()])


def picture(seed: int = 0) -> Images:
    return gaussian(seed, SIDE)


def tensor(seed: int = 0) -> Tensor:
    return torch.from_numpy(picture(seed))


def attending_evenly() -> Any:
    """A transformer all of whose tokens attend to all alike, and which cannot distinguish positions."""
    network: Any = small_member("test_vit")
    with torch.no_grad():
        network.pos_embed.zero_()
        for module in attention_modules(network):
            width = module.qkv.in_features
            module.qkv.weight[: 2 * width] = 0
            module.qkv.bias[: 2 * width] = 0
    return network


def test_weights_sum_to_one_and_are_those_that_the_network_attends_by() -> None:
    network: Any = small_member("test_vit").eval()
    fused = network(tensor())
    with attention_weights(network, [""]) as captured, torch.no_grad():
        explicit = network(tensor())
    assert len(captured[""]) == len(network.blocks)
    for weights in captured[""]:
        assert weights.shape == (1, network.blocks[0].attn.num_heads, 101, 101)
        torch.testing.assert_close(weights.sum(dim=-1), torch.ones(weights.shape[:-1]))
    torch.testing.assert_close(explicit, fused, rtol=1e-4, atol=1e-4)


def test_rollout_of_even_attention_is_even() -> None:
    cells = relevance(model_of(attending_evenly(), SIDE), tensor(), None)[""]
    # Half of a token stays where it is in each block; what leaves the class token is spread over 101.
    kept = 0.5 ** len(attending_evenly().blocks)
    torch.testing.assert_close(cells, torch.full((10, 10), (1 - kept) / 101), rtol=1e-4, atol=0)


def test_rollout_is_the_product_of_the_blocks() -> None:
    network: Any = small_member("test_vit")
    with attention_weights(network.eval(), [""]) as captured, torch.no_grad():
        network(tensor())
    product = torch.eye(101)
    for weights in captured[""]:
        product = (weights[0].mean(dim=0) + torch.eye(101)) / 2 @ product
    cells = relevance(model_of(network, SIDE), tensor(), None)[""]
    torch.testing.assert_close(cells, product[0, 1:].reshape(10, 10))
    assert float(cells.std()) > 0


def test_the_one_patch_that_differs_stands_out_for_what_it_speaks_for() -> None:
    model = model_of(attending_evenly(), SIDE)
    image = torch.zeros(1, 3, SIDE, SIDE)
    image[:, :, 32:48, 112:128] = torch.tensor([2.0, -2.0, 1.0]).view(3, 1, 1)
    maps = torch.stack([relevance(model, image, make_question(MIKELS, word))[""] for word in MIKELS.words])
    others = torch.ones(10, 10, dtype=torch.bool)
    others[2, 7] = False
    torch.testing.assert_close(maps[:, others], maps[:, 0, 0, None].expand(-1, 99), rtol=1e-3, atol=1e-7)
    assert (maps[:, 2, 7] > 1.1 * maps[:, 0, 0]).any()


def test_a_question_changes_the_weighted_map_and_not_the_rollout() -> None:
    model = model_of(small_member("test_vit"), SIDE)
    questions = [
        make_question(MIKELS, "fear"),
        make_question(MIKELS, "awe"),
        make_question(MIKELS, "fear", "anger"),
    ]
    weighted = [GradientAttention()(model, picture(), question).values for question in questions]
    assert not np.allclose(weighted[0], weighted[1]) and not np.allclose(weighted[0], weighted[2])
    rolled = [AttentionRollout()(model, picture(), question).values for question in questions]
    assert np.array_equal(rolled[0], rolled[1])


def test_gradients_are_those_of_the_attention_weights() -> None:
    """The first-order change of the answer when one weight changes, checked by changing it."""
    network: Any = small_member("test_vit")
    model, last = model_of(network, SIDE), network.blocks[-1].attn
    nudge = torch.zeros(1, last.num_heads, 101, 101)
    nudge[0, 0, 0, 40] = 0.05

    def nudged(sign: int) -> float:
        hook = last.attn_drop.register_forward_hook(lambda _m, _i, weights: weights + sign * nudge)
        last.fused_attn = False
        try:
            with torch.no_grad():
                return float(model.score(tensor(), why_fear()))
        finally:
            hook.remove()

    expected = (nudged(1) - nudged(-1)) / 0.1
    with attention_weights(network, [""]) as captured, torch.enable_grad():
        (gradient,) = torch.autograd.grad(model.score(tensor(), why_fear()).sum(), [captured[""][-1]])
    assert float(gradient[0, 0, 0, 40]) == pytest.approx(expected, rel=0.05)


@BOTH
def test_within_a_pair_it_is_the_transformer_that_is_read(method: Any) -> None:
    network = small_member("pair", transformer="test_vit", convolutional="test_efficientnet")
    found = method(model_of(network, SIDE), picture(), why_fear())
    assert found.details["explains"] == ["transformer"]
    assert found.values.shape == (SIDE, SIDE)
    assert float(found.values.min()) >= 0 and float(found.values.sum()) == pytest.approx(1, abs=1e-3)


@BOTH
def test_of_a_pair_with_mirror_the_mirror_image_has_the_mirrored_map(method: Any) -> None:
    network = small_member("pair", transformer="test_vit", convolutional="test_efficientnet", mirror=True)
    model = model_of(network, SIDE)
    found, mirrored = (method(model, image, why_fear()).values for image in (picture(), picture()[..., ::-1]))
    np.testing.assert_allclose(mirrored, found[:, ::-1], rtol=1e-3, atol=1e-8)


@BOTH
def test_attention_that_was_made_to_suit_a_cpu_gives_the_same_map(method: Any) -> None:
    plain, suited = small_member("test_vit"), small_member("test_vit")
    backbones.suit_cpu(suited)
    maps = [method(model_of(network, SIDE), picture(), why_fear()).values for network in (plain, suited)]
    np.testing.assert_allclose(maps[0], maps[1], rtol=1e-3, atol=1e-8)


def test_afterwards_attention_is_fused_as_before_even_after_an_interruption() -> None:
    network: Any = small_member("test_vit")
    network.blocks[1].attn.fused_attn = False
    before = [module.fused_attn for module in attention_modules(network)]
    assert any(before) and not all(before)
    with pytest.raises(KeyboardInterrupt), attention_weights(network, [""]):
        raise KeyboardInterrupt
    assert [module.fused_attn for module in attention_modules(network)] == before
    assert not any(module.attn_drop._forward_hooks for module in attention_modules(network))


def test_networks_without_such_a_transformer_are_refused() -> None:
    assert transformers(small_member("pair", transformer="test_vit", convolutional="test_efficientnet")) == [
        "transformer"
    ]
    assert transformers(small_member("test_resnet")) == []
    swin = timm.create_model(
        "swin_tiny_patch4_window7_224", embed_dim=12, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1)
    )
    assert transformers(swin) == []
    with pytest.raises(SettingsError, match="no transformer"):
        GradientAttention()(model_of(small_member("test_resnet"), SIDE), picture(), why_fear())
