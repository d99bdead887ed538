"""WSCNet: its size, the detection branch and the coupling by hand, and the two choices."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from affectlens.errors import SettingsError
from affectlens.models import catalog
from affectlens.models.maps import reads_linearly
from affectlens.models.wscnet import DetectionBranch, WSCNet, WSCNetConfig

CELLS = torch.tensor([[1.0, 2.0], [3.0, 4.0]])


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def small(**options: Any) -> WSCNet:
    torch.manual_seed(0)
    return WSCNet(WSCNetConfig(num_emotions=8, backbone="test_resnet", **options)).eval()


def images() -> Tensor:
    return torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))


def branch(**options: Any) -> DetectionBranch:
    """One channel x, two emotions of two maps each: x and 1 - x, then 2 x and 3."""
    detection = DetectionBranch(1, WSCNetConfig(num_emotions=2, maps_per_emotion=2, **options))
    with torch.no_grad():
        detection.maps.weight.copy_(torch.tensor([1.0, -1.0, 2.0, 0.0]).view(4, 1, 1, 1))
        assert detection.maps.bias is not None
        detection.maps.bias.copy_(torch.tensor([0.0, 1.0, 0.0, 3.0]))
    return detection


def test_on_resnet101_at_448_pixels_it_has_four_maps_an_emotion_of_14_x_14_cells() -> None:
    with torch.device("meta"):
        network = WSCNet(WSCNetConfig(num_emotions=8))
    assert count(network.pyramid) == 42_500_160  # ResNet-101 without its classifier
    assert count(network.detection) == 2048 * 4 * 8 + 4 * 8
    assert count(network.classifier) == 4096 * 8 + 8
    features = network.pyramid(torch.empty(1, 3, 448, 448, device="meta")).maps[-1]
    assert features.shape == (1, 2048, 14, 14)


@pytest.mark.parametrize(
    ("options", "scores", "offset", "factor"),
    [
        # F is 0.5 and x + 1.5; v is the mean of the maxima 4 and 0, and of 8 and 3.
        ({"pooling": "max", "coupling": "sum"}, [2.0, 5.5], 9.25, 5.5),
        ({"pooling": "max", "coupling": "mean"}, [2.0, 5.5], 4.625, 2.75),
        # Here it is the mean of the means 2.5 and -1.5, and of 5 and 3.
        ({"pooling": "mean", "coupling": "sum"}, [0.5, 4.0], 6.25, 4.0),
        ({"pooling": "mean", "coupling": "mean"}, [0.5, 4.0], 3.125, 2.0),
    ],
)
def test_scores_and_sentiment_map_are_those_of_the_equations(
    options: dict[str, str], scores: list[float], offset: float, factor: float
) -> None:
    detected = branch(**options)(CELLS[None, None])
    torch.testing.assert_close(detected.scores, torch.tensor([scores]))
    torch.testing.assert_close(detected.sentiment_map, (offset + factor * CELLS)[None, None])


def test_the_answer_is_read_from_features_and_coupled_features() -> None:
    network = small()
    features = network.pyramid(images()).maps[-1]
    coupled = network.sentiment_map(images())[:, None] * features
    logits, scores = network.with_auxiliary(images())
    read = torch.cat([features.mean(dim=(2, 3)), coupled.mean(dim=(2, 3))], dim=1)
    torch.testing.assert_close(logits, network.classifier(read))
    torch.testing.assert_close(network(images()), logits)
    torch.testing.assert_close(scores, network.detection(features).scores)


def test_both_choices_change_the_answer_and_no_weight() -> None:
    networks = [small(pooling=p, coupling=c) for p in ("max", "mean") for c in ("sum", "mean")]
    assert len({count(network) for network in networks}) == 1
    answers = [network(images()) for network in networks]
    assert not any(torch.allclose(one, other) for i, one in enumerate(answers) for other in answers[i + 1 :])


def test_its_last_map_is_not_read_linearly() -> None:
    assert not reads_linearly(small())


@pytest.mark.parametrize("options", [{"pooling": "median"}, {"coupling": "max"}, {"maps_per_emotion": 0}])
def test_a_choice_that_is_not_offered_is_an_error_that_names_it(options: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=f"{next(iter(options))} must be"):
        catalog.build("wscnet", 8, backbone="test_resnet", **options)
