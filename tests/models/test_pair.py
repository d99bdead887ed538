"""Pair: the mean of two branches, each with a temperature of its own."""

import copy

import pytest
import torch

from affectlens.models.pair import Pair, PairConfig

TINY = PairConfig(
    num_emotions=3, transformer="test_vit.r160_in1k", convolutional="test_efficientnet.r160_in1k"
)


@pytest.fixture
def pair() -> Pair:
    torch.manual_seed(0)
    network = Pair(TINY).eval()
    with torch.no_grad():  # heads start near zero; larger ones make differences visible
        network.scale_branches([0.01, 0.01])
    return network


def test_the_answer_is_the_mean_of_the_branches_log_probabilities(pair: Pair) -> None:
    images = torch.rand(2, 3, 64, 64)
    logs = [logits.log_softmax(1) for logits in pair.branches(images)]
    torch.testing.assert_close(pair(images), (logs[0] + logs[1]) / 2)
    for log, alone in zip(logs, pair.branch_networks().values(), strict=True):
        torch.testing.assert_close(alone(images), log)


def test_with_mirror_a_picture_and_its_mirror_image_get_the_same_answer(pair: Pair) -> None:
    images = torch.rand(3, 3, 64, 64)
    assert not torch.allclose(pair(images), pair(images.flip(3)), atol=1e-4)
    pair.mirror = True
    torch.testing.assert_close(pair(images), pair(images.flip(3)), rtol=1e-4, atol=1e-5)
    pair.mirror = False
    mean = (pair(images) + pair(images.flip(3))) / 2
    pair.mirror = True
    torch.testing.assert_close(pair(images), mean, rtol=1e-4, atol=1e-5)


def test_training_sees_each_picture_once(pair: Pair) -> None:
    pair.mirror = True
    pair.train()
    assert pair.branches(torch.rand(2, 3, 64, 64)).transformer.shape == (2, 3)
    assert pair(torch.rand(2, 3, 64, 64)).shape == (2, 3)


def test_scaling_divides_each_branchs_logits_by_its_own_temperature(pair: Pair) -> None:
    images = torch.rand(2, 3, 64, 64)
    before = pair.branches(images)
    scaled = copy.deepcopy(pair)
    scaled.scale_branches([2.0, 0.5])
    after = scaled.branches(images)
    torch.testing.assert_close(after.transformer, before.transformer / 2)
    torch.testing.assert_close(after.convolutional, before.convolutional * 2)


def test_scaling_needs_a_temperature_for_each_branch(pair: Pair) -> None:
    with pytest.raises(ValueError):
        pair.scale_branches([1.0])
