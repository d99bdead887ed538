"""Any timm network: weights checked strictly, layers counted, equal operations on CPUs."""

import copy
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from affectlens.errors import UnknownName, WeightsNotFound
from affectlens.models import backbones, catalog
from affectlens.models.backbones import Pyramid, layer_depths, suit_cpu, undecayed

VIT, RESNET = "test_vit", "test_resnet"  # timm's own small networks for tests
SIDE = 160


@pytest.fixture(scope="module")
def vit() -> nn.Module:
    """A network of 1,000 classes, as one that was pretrained."""
    torch.manual_seed(1)
    return backbones.classifier(VIT, 1000)


def stored(network: nn.Module, file: Path, **changes: Tensor) -> Path:
    save_file({**{name: w.clone() for name, w in network.state_dict().items()}, **changes}, file)
    return file


def body(network: nn.Module) -> dict[str, Tensor]:
    return {name: w for name, w in network.state_dict().items() if not name.startswith(("head.", "fc."))}


def images(count: int = 2, side: int = SIDE) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["weights.safetensors", f"{VIT}.safetensors", "model.safetensors"])
def test_weights_come_from_a_file_or_from_its_folder(tmp_path: Path, vit: nn.Module, name: str) -> None:
    file = stored(vit, tmp_path / name)
    path = file if name == "weights.safetensors" else tmp_path
    network = backbones.classifier(f"{VIT}.r160_in1k", 8, weights=str(path))
    assert all(torch.equal(w, body(vit)[name]) for name, w in body(network).items())


def test_the_classifier_begins_with_every_emotion_equally_likely(tmp_path: Path, vit: nn.Module) -> None:
    file = stored(vit, tmp_path / "w.safetensors")
    network = backbones.classifier(VIT, 1000, weights=str(file)).eval()
    probabilities = network(images()).softmax(dim=1) * 1000
    assert probabilities.min() > 0.5
    assert probabilities.max() < 2


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_any_float_type_become_float32(tmp_path: Path, vit: nn.Module, dtype: torch.dtype) -> None:
    save_file({name: w.to(dtype) for name, w in vit.state_dict().items()}, tmp_path / "w.safetensors")
    network = backbones.classifier(VIT, 8, weights=str(tmp_path / "w.safetensors"))
    for name, weight in body(network).items():
        assert weight.dtype == torch.float32
        assert torch.equal(weight, vit.state_dict()[name].to(dtype).float())


def test_a_weight_that_is_missing_is_an_error_and_never_left_random(tmp_path: Path, vit: nn.Module) -> None:
    state = {name: w for name, w in vit.state_dict().items() if name != "norm.bias"}
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(WeightsNotFound, match=r"1 are missing.*norm\.bias"):
        backbones.classifier(VIT, 8, weights=str(tmp_path / "w.safetensors"))


def test_a_weight_of_another_shape_or_kind_is_an_error(tmp_path: Path, vit: nn.Module) -> None:
    for changed in (torch.zeros(3), torch.zeros_like(vit.state_dict()["norm.bias"], dtype=torch.int64)):
        file = stored(vit, tmp_path / "w.safetensors", **{"norm.bias": changed})
        with pytest.raises(WeightsNotFound, match=r"1 differ in shape or type.*norm\.bias"):
            backbones.classifier(VIT, 8, weights=str(file))


def test_weights_that_the_network_lacks_are_an_error(tmp_path: Path, vit: nn.Module) -> None:
    file = stored(vit, tmp_path / "w.safetensors", **{"blocks.99.norm1.weight": torch.zeros(64)})
    with pytest.raises(WeightsNotFound, match=r"1 are new.*blocks\.99"):
        backbones.classifier(VIT, 8, weights=str(file))
    with pytest.raises(WeightsNotFound, match=r"1 are new.*blocks\.99"):
        backbones.pooled(VIT, weights=str(file))


def test_weights_of_another_network_are_an_error(tmp_path: Path, vit: nn.Module) -> None:
    file = stored(vit, tmp_path / "w.safetensors")
    with pytest.raises(WeightsNotFound, match="another network"):
        backbones.classifier(RESNET, 8, weights=str(file))


@pytest.mark.parametrize("content", ["cut", "text", "empty"])
def test_a_file_that_is_damaged_is_an_error(tmp_path: Path, vit: nn.Module, content: str) -> None:
    file = stored(vit, tmp_path / "w.safetensors")
    complete = file.read_bytes()
    file.write_bytes(
        {"cut": complete[: len(complete) // 2], "text": b"no weights at all", "empty": b""}[content]
    )
    with pytest.raises(WeightsNotFound, match=r"w\.safetensors is not a readable safetensors file"):
        backbones.classifier(VIT, 8, weights=str(file))


def test_a_folder_without_weights_is_an_error_that_lists_what_was_tried(tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFound, match=rf"{VIT}\.safetensors.*model\.safetensors"):
        backbones.classifier(VIT, 8, weights=str(tmp_path))


def test_without_a_network_the_hub_is_an_error_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsNotFound, match="Go online, or pass weights=FILE or FOLDER"):
        backbones.classifier(f"{VIT}.r160_in1k", 8, weights="hub")
    with pytest.raises(WeightsNotFound, match="The weights owner/name are not on this machine"):
        backbones.classifier(VIT, 8, weights="owner/name")


def test_a_network_that_timm_does_not_have_is_an_error_with_near_names() -> None:
    with pytest.raises(UnknownName, match="resnet50"):
        backbones.classifier("resnet5", 8)


def test_pooled_features_have_the_width_that_they_report() -> None:
    network = backbones.pooled(RESNET).eval()
    assert network(images()).shape == (2, network.num_features)


@pytest.mark.parametrize("name", [RESNET, "test_efficientnet", VIT])
def test_a_pyramid_has_the_channels_and_strides_that_it_reports(tmp_path: Path, name: str) -> None:
    complete = backbones.classifier(name, 8)
    file = stored(complete, tmp_path / "w.safetensors")
    pyramid = Pyramid(name, weights=str(file)).eval()
    maps, deep = pyramid(images())
    assert [m.shape[1] for m in maps] == pyramid.channels
    assert deep.shape == (2, pyramid.num_features)
    complete.load_state_dict(pyramid.body.state_dict(), strict=False)
    expected = complete.eval().forward_head(complete.forward_features(images()), pre_logits=True)  # type: ignore[operator]
    torch.testing.assert_close(deep, expected)
    assert [SIDE // m.shape[2] for m in maps] == pyramid.strides
    known = {float(w.double().sum()) for w in complete.state_dict().values()}
    assert all(float(w.double().sum()) in known for w in pyramid.body.state_dict().values())


def depths_of(network: nn.Module, prefix: str) -> dict[str, int]:
    return {
        name.removeprefix(prefix): depth
        for name, depth in layer_depths(network).items()
        if name.startswith(prefix)
    }


@pytest.mark.parametrize(
    ("name", "stem", "block", "head", "deepest"),
    [
        (VIT, "patch_embed.proj.weight", "blocks.{}.attn.qkv.weight", "head.weight", 7),
        ("mobilenetv2_100", "conv_stem.weight", "blocks.{}.0.bn1.weight", "classifier.weight", 8),
    ],
)
def test_layers_are_counted_from_the_classifier_down_to_the_stem(
    name: str, stem: str, block: str, head: str, deepest: int
) -> None:
    depths = layer_depths(catalog.build(name, 8))
    assert depths[head] == 0
    assert depths[stem] == deepest == max(depths.values())
    blocks = [depths[block.format(n)] for n in range(6)]
    assert blocks == list(range(blocks[0], blocks[0] - 6, -1)), "each block is one layer above the one before"
    assert min(blocks) > 0
    assert max(blocks) < deepest


def test_a_pair_has_the_layers_of_both_its_networks() -> None:
    network = catalog.build("pair", 8, transformer=VIT, convolutional="test_efficientnet")
    assert depths_of(network, "transformer.") == layer_depths(catalog.build(VIT, 8))
    assert depths_of(network, "convolutional.") == layer_depths(catalog.build("test_efficientnet", 8))


@pytest.mark.parametrize("name", [RESNET, "test_efficientnet", VIT])
def test_below_a_classifier_of_ours_a_backbone_begins_at_one(name: str) -> None:
    class Ours(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.maps = Pyramid(name)
            self.classifier = nn.Linear(self.maps.num_features, 8)

    depths = layer_depths(Ours())
    assert {depth for parameter, depth in depths.items() if parameter.startswith("classifier.")} == {0}
    below = [depth for parameter, depth in depths.items() if parameter.startswith("maps.")]
    assert min(below) == 1
    assert below[0] == max(below) > 3, "the stem comes first and is the deepest"


def test_biases_norms_and_position_tokens_are_not_decayed() -> None:
    network = catalog.build("pair", 8, transformer=VIT, convolutional="test_efficientnet")
    free, parameters = undecayed(network), dict(network.named_parameters())
    assert free <= set(parameters)
    assert {"transformer.pos_embed", "transformer.cls_token", "transformer.head.bias"} <= free
    assert all(parameters[name].ndim > 1 for name in set(parameters) - free)
    assert "transformer.head.weight" not in free
    assert "convolutional.conv_stem.weight" not in free


def gradients(network: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", [VIT, "test_vit2", "mobilenetv2_035", "tf_mobilenetv3_small_minimal_100"])
def test_what_suits_a_cpu_computes_the_same_and_learns_the_same(name: str) -> None:
    torch.manual_seed(0)
    plain = catalog.build(name, 8).double()  # so that what differs is not rounding
    suited = copy.deepcopy(plain)
    suit_cpu(suited)
    assert any("forward" in vars(module) for module in suited.modules()) == (not name.startswith("tf_"))
    pictures = images(side=SIDE if "vit" in name else 65).double()  # an odd side: where strides can go wrong
    torch.testing.assert_close(suited.eval()(pictures), plain.eval()(pictures))
    for network in (plain, suited):
        network.train()(pictures).square().sum().backward()
    wanted = gradients(plain)
    assert wanted
    for parameter, gradient in gradients(suited).items():
        torch.testing.assert_close(gradient, wanted[parameter], rtol=1e-6, atol=1e-9, msg=parameter)


def test_a_gate_that_plain_attention_lacks_is_not_lost() -> None:
    from timm.layers.attention import Attention

    if "gated" not in Attention.__init__.__annotations__:
        pytest.skip("this version of timm has no gated attention")
    torch.manual_seed(0)
    attention = Attention(16, num_heads=2, gated=True).eval()
    tokens = torch.rand(2, 5, 16)
    before = attention(tokens)
    suit_cpu(attention)
    torch.testing.assert_close(attention(tokens), before)


def test_a_copy_of_a_suited_network_uses_its_own_weights() -> None:
    network = catalog.build(VIT, 8).eval()
    suit_cpu(network)
    other = copy.deepcopy(network)
    with torch.no_grad():
        for weight in other.parameters():
            weight.add_(0.1)
    assert not torch.allclose(network(images()), other(images()))
    assert isinstance(other.blocks[0].attn.forward.__self__, nn.Module)  # type: ignore[index, union-attr]
    assert other.blocks[0].attn.forward.__self__ is other.blocks[0].attn  # type: ignore[index, union-attr]
