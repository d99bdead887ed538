"""What every network promises, over the catalogue; small members stand in for large backbones."""

from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from affectlens.emotions import MIKELS
from affectlens.errors import SettingsError, UnknownName
from affectlens.model_folder import Card
from affectlens.models import catalog
from affectlens.models.graph import export_graph
from affectlens.models.graph_outputs import GraphNetwork
from affectlens.models.saved import load_model, save_model
from affectlens.preprocess import Preprocessing

# Eight words in all, as there are emotions, so that `build` takes their layer too beyond its beginning.
ATTRIBUTES = {"scene": {"words": 3, "several": False}, "object": {"words": 5, "several": True}}

# Each built the way its entry of the catalogue is; the plain ones of the catalogue are all built alike.
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "pair": ("pair", {"transformer": "test_vit", "convolutional": "test_efficientnet", "dropout": 0.1}),
    "ensemble": (
        "ensemble",
        {
            "members": ["test_vit", "test_efficientnet", "test_efficientnet"],
            "sizes": [0, 0, 128],
            "drop_path": 0.1,
        },
    ),
    "mlm_paper": ("mlm_paper", {"backbone": "test_resnet", "reduction": 2, "dropout": 0.1}),
    "mlm_release": ("mlm_release", {"backbone": "test_efficientnet", "dropout": 0.1}),
    "mlm added": ("mlm_paper", {"backbone": "test_resnet", "reduction": 1, "fusion": "add"}),
    "mam_paper": ("mam_paper", {"backbone": "test_resnet"}),
    "mam_paper, tokens related": ("mam_paper", {"backbone": "test_efficientnet", "relation": True}),
    "mam_release": ("mam_release", {"backbone": "test_resnet"}),
    "wscnet": ("wscnet", {"backbone": "test_resnet"}),
    "wscnet, release": ("wscnet", {"backbone": "test_resnet", "pooling": "mean", "coupling": "mean"}),
    "pdanet": ("pdanet", {"backbone": "test_resnet"}),
    "multilevel": ("multilevel", {"backbone": "test_efficientnet", "levels": [0, 2], "drop_path": 0.1}),
    "multilevel, transformer": ("multilevel", {"backbone": "test_vit"}),
    "vit_attributes": ("vit_attributes", {"backbone": "test_vit", "attributes": ATTRIBUTES, "dropout": 0.1}),
    "vit_attributes, attributes alone": (
        "vit_attributes",
        {"backbone": "test_efficientnet", "attributes": ATTRIBUTES, "concepts": "only"},
    ),
    "plain transformer": ("test_vit", {"drop_path": 0.1}),
    "plain convolutional": ("test_resnet", {"dropout": 0.1}),
}
SIDE = 160
every_network = pytest.mark.parametrize("kind", NETWORKS)
# An export takes ten seconds: every design by default, those that share their blocks once. Graphs of plain
# networks, pairs and attributes are written and read in models/test_graph.py, models/test_join.py and
# inference/test_attribute_evidence.py.
SHARE_THEIR_BLOCKS = {
    "pair", "mlm_release", "mlm added", "mam_paper", "mam_release", "wscnet, release", "vit_attributes",
    "vit_attributes, attributes alone", "plain convolutional",
}  # fmt: skip
every_network_to_export = pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=pytest.mark.slow if kind in SHARE_THEIR_BLOCKS else ()) for kind in NETWORKS],
)


def build(kind: str) -> nn.Module:
    torch.manual_seed(0)
    name, options = NETWORKS[kind]
    network = catalog.build(name, len(MIKELS), **options)
    for parameter in network.parameters():  # beyond the classifier's almost zero beginning
        if parameter.ndim == 2 and parameter.shape[0] == len(MIKELS):
            nn.init.normal_(parameter, std=1.0)
    return network


def images(count: int = 3) -> Tensor:
    return torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def test_every_network_of_the_catalogue_stands_here() -> None:
    ours = {name for name, entry in catalog.NETWORKS.items() if entry.timm_name is None}
    assert ours <= {name for name, _ in NETWORKS.values()}


@pytest.mark.parametrize("name", catalog.NETWORKS)
def test_every_entry_names_what_it_is_and_where_it_comes_from(name: str) -> None:
    entry = catalog.find(name)
    assert entry.name == name
    assert entry.summary
    assert entry.source


@every_network
def test_images_become_one_logit_an_emotion(kind: str) -> None:
    logits = build(kind).eval()(images())
    assert logits.shape == (3, 8)
    assert logits.dtype == torch.float32
    assert torch.isfinite(logits).all()


@every_network
def test_the_answer_to_a_picture_does_not_depend_on_others_in_the_batch(kind: str) -> None:
    network, pictures = build(kind).eval(), images()
    with torch.inference_mode():
        together = network(pictures)
        assert together.std(dim=0).max() > 1e-3, "the pictures must differ to the network"
        for index in range(3):
            alone = network(pictures[index : index + 1])
            torch.testing.assert_close(together[index : index + 1], alone, rtol=1e-4, atol=1e-4)


@every_network
def test_the_order_of_a_batch_does_not_matter(kind: str) -> None:
    network, order = build(kind).eval(), [2, 0, 1]
    with torch.inference_mode():
        torch.testing.assert_close(network(images()[order]), network(images())[order], rtol=1e-4, atol=1e-4)


@every_network
def test_in_use_the_same_picture_gets_the_same_bits(kind: str) -> None:
    network = build(kind).eval()
    with torch.inference_mode():
        assert torch.equal(network(images()), network(images()))


@every_network
def test_every_weight_learns_within_two_steps(kind: str) -> None:
    network = build(kind).train()
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for step in range(2):  # what begins at zero passes nothing down in the first
        torch.manual_seed(step)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(images()), torch.tensor([0, 1, 2]))
        loss.backward()
        optimizer.step()
    still = [name for name, p in network.named_parameters() if torch.equal(p, before[name])]
    assert not still


@every_network
def test_a_saved_network_is_loaded_to_the_same_bits(kind: str, tmp_path: Path) -> None:
    name, options = NETWORKS[kind]
    network = build(kind).eval()
    card = Card(
        name="small", network=name, network_options=options, vocabulary=MIKELS,
        preprocessing=Preprocessing(height=SIDE, width=SIDE),
    )  # fmt: skip
    save_model(tmp_path / "model", network, card, "A model of tests.")
    loaded = load_model(tmp_path / "model").network
    with torch.inference_mode():
        assert torch.equal(loaded(images()), network(images()))


@every_network_to_export
def test_the_graph_of_a_network_gives_the_same_outputs(kind: str, tmp_path: Path) -> None:
    network, pictures = build(kind).eval(), images()
    weights = safetensors.torch.save(dict(network.state_dict()))
    (tmp_path / "model.safetensors").write_bytes(weights)
    file = tmp_path / "model.onnx"
    complete = GraphNetwork(network, SIDE, SIDE)
    file.write_bytes(export_graph(complete, Preprocessing(height=SIDE, width=SIDE), weights))
    assert file.stat().st_size < max(1_000_000, len(weights) / 4), "weights are stored once"
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    for count in (3, 1):
        found = session.run(None, {"images": pictures[:count].numpy()})
        with torch.inference_mode():
            torch.testing.assert_close(complete(pictures[:count])[0], network(pictures[:count]))
            expected = complete(pictures[:count])
        for each, right in zip(found, expected, strict=True):
            torch.testing.assert_close(torch.from_numpy(each), right, rtol=1e-3, atol=1e-3)
    openvino = pytest.importorskip("openvino")
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(str(file), "CPU", settings)
    answered = compiled([pictures.numpy()])
    with torch.inference_mode():
        for name, right in zip(complete.names, complete(pictures), strict=True):
            torch.testing.assert_close(torch.from_numpy(answered[name]), right, rtol=1e-3, atol=1e-3)


def test_an_option_that_a_network_does_not_have_is_an_error_with_those_it_has() -> None:
    with pytest.raises(SettingsError, match=r"no option 'droput'\. Its options: transformer, convolutional"):
        catalog.build("pair", 8, droput=0.1)
    with pytest.raises(SettingsError, match="test_resnet"):
        catalog.build("test_resnet", 8, transformer="test_vit")


@pytest.mark.parametrize(
    ("option", "value"), [("dropout", "much"), ("dropout", True), ("dropout", None), ("transformer", 3)]
)
def test_an_option_of_another_type_is_an_error_that_names_it(option: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=f"{option} of the network pair must be like"):
        catalog.build("pair", 8, **{option: value})


@pytest.mark.parametrize("option", ["dropout", "drop_path", "patch_dropout"])
@pytest.mark.parametrize("value", [-0.1, 1, 1.5, float("nan")])
def test_what_is_dropped_is_a_fraction_below_1(option: str, value: float) -> None:
    options: dict[str, Any] = {option: value}
    with pytest.raises(SettingsError, match=f"{option} of the network test_vit is a fraction below 1"):
        catalog.build("test_vit", 8, **options)


@pytest.mark.parametrize(
    ("name", "options"),
    [("test_vit", {}), ("pair", {"transformer": "test_vit", "convolutional": "test_efficientnet"})],
)
def test_in_training_alone_a_transformer_sees_a_part_of_the_patches(
    name: str, options: dict[str, Any]
) -> None:
    network = catalog.build(name, len(MIKELS), patch_dropout=0.5, **options)
    transformer: Any = getattr(network, "transformer", network)
    lengths: list[int] = []
    transformer.blocks[0].register_forward_hook(lambda _, inputs, __: lengths.append(inputs[0].shape[1]))
    for training in (True, False):
        network.train(training)(images(2))
    seen, every = (length - transformer.num_prefix_tokens for length in lengths)
    assert seen * 2 == every
    with pytest.raises(SettingsError, match="no option for this"):
        catalog.build("test_resnet", 8, patch_dropout=0.5)


def test_a_network_of_no_catalogue_is_an_error_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'pair'") as caught:
        catalog.build("pairs", 8)
    assert str(caught.value).count("mlm_paper") == 1


def test_a_pair_is_the_mean_of_the_answers_of_its_branches() -> None:
    network = build("pair").eval()
    with torch.inference_mode():
        branches = network.branches(images())  # type: ignore[operator]
        expected = torch.stack([logits.log_softmax(1) for logits in branches]).mean(0)
        torch.testing.assert_close(network(images()), expected)
    assert not torch.allclose(*branches)
