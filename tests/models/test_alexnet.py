"""AlexNet: torchvision's network and weights, by the same ways as timm's networks."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torchvision.models import AlexNet_Weights
from torchvision.models.alexnet import AlexNet as TorchvisionAlexNet

from affectlens.errors import WeightsNotFound
from affectlens.models import alexnet, backbones, catalog


@pytest.fixture(scope="module")
def original() -> TorchvisionAlexNet:
    torch.manual_seed(0)
    return TorchvisionAlexNet().eval()


@pytest.fixture(scope="module")
def weights(original: TorchvisionAlexNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    save_file(original.state_dict(), folder / "alexnet.safetensors")
    return folder


def test_with_torchvisions_weights_it_sees_what_torchvisions_network_sees(
    original: TorchvisionAlexNet, weights: Path
) -> None:
    images = torch.randn(2, 3, 96, 128)
    pyramid = backbones.Pyramid("alexnet", weights=str(weights)).eval()
    with torch.inference_mode():
        found = pyramid(images)
        hidden = original.classifier[:6](original.avgpool(original.features(images)).flatten(1))
    torch.testing.assert_close(found.deep, hidden)
    assert [level.shape[1] for level in found.maps] == pyramid.channels == [64, 192, 256]
    assert found.deep.shape == (2, pyramid.num_features)


def test_a_new_classifier_learns_on_top_and_layers_are_counted_from_the_stem(weights: Path) -> None:
    network = catalog.build("alexnet", 8, weights=str(weights))
    heights = backbones.layers_from_input(network)
    assert heights["features.0.weight"] == 0 and heights["classifier.4.weight"] == max(heights.values())
    assert not any(name.startswith("classifier.6") for name in heights)
    network(torch.randn(2, 3, 64, 64)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_torchvisions_weights_are_fetched_once_and_their_absence_is_an_error(
    original: TorchvisionAlexNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = []

    def fetch(self: AlexNet_Weights, **options: object) -> dict[str, torch.Tensor]:
        fetched.append(options)
        if len(fetched) > 1:
            raise OSError("no route to host")
        state: dict[str, torch.Tensor] = original.state_dict()
        return state

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "first"))
    monkeypatch.setattr(AlexNet_Weights, "get_state_dict", fetch)
    for _ in range(2):
        file = alexnet.fetch_weights()
    assert len(fetched) == 1 and fetched[0]["check_hash"] and fetched[0]["weights_only"]
    assert load_file(file).keys() == original.state_dict().keys()
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "second"))
    with pytest.raises(WeightsNotFound, match=r"torchvision.*weights=FILE"):
        catalog.build("alexnet", 8, weights="hub")
