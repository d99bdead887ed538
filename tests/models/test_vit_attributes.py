"""The network that names attributes: an exact sum, and words that keep their meaning."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from affectlens.errors import SettingsError
from affectlens.models.vit_attributes import AttributesConfig, AttributesNetwork

SIZES = {"scene": {"words": 5, "several": False}, "object": {"words": 7, "several": True}}
every_way = pytest.mark.parametrize("concepts", ["none", "residual", "only"])


def config(**options: Any) -> AttributesConfig:
    return AttributesConfig(**{"num_emotions": 3, "attributes": SIZES, "backbone": "test_vit", **options})


def build(**options: Any) -> AttributesNetwork:
    """A small network, beyond its almost zero beginning, that has seen some pictures."""
    torch.manual_seed(0)
    network = AttributesNetwork(config(**options))
    with torch.no_grad():
        for layer in (network.attributes, network.residual):
            if layer is not None:
                layer.weight.normal_()
        if network.emotions is not None:
            network.emotions.scaled.normal_(std=1 / network.emotions.gain)
    network.train()
    for _ in range(3):
        network(pictures(4))
    return network.eval()


def pictures(count: int = 2) -> Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@every_way
def test_usual_answer_contributions_and_residual_add_up_to_the_logits(concepts: str) -> None:
    with torch.inference_mode():
        explained = build(concepts=concepts).explain(pictures())
    parts = sum((part.sum(dim=2) for part in explained.contributions.values()), torch.zeros(()))
    total = explained.usual + parts + explained.residual
    torch.testing.assert_close(total, explained.logits, rtol=1e-5, atol=1e-4)
    assert explained.logits.std() > 0.1, "answers of zero would add up to anything"
    assert set(explained.contributions) == (set() if concepts == "none" else set(SIZES))


@every_way
def test_all_three_methods_give_the_same_emotions(concepts: str) -> None:
    network, images = build(concepts=concepts), pictures()
    with torch.inference_mode():
        logits, answers, explained = network(images), network.with_attributes(images), network.explain(images)
    assert torch.equal(logits, answers.logits) and torch.equal(logits, explained.logits)
    assert {name: words.shape for name, words in answers.attributes.items()} == {
        "scene": (2, 5),
        "object": (2, 7),
    }
    assert all(torch.equal(answers.attributes[name], explained.attributes[name]) for name in SIZES)


def test_a_number_added_to_the_weights_of_all_words_of_an_attribute_is_not_a_reason_for_anything() -> None:
    network, images = build(), pictures()
    before = network.explain(images).contributions
    assert network.emotions is not None
    with torch.no_grad():
        network._by_name(network.emotions.scaled)["scene"][1] += 10 / network.emotions.gain
    after = network.explain(images).contributions
    torch.testing.assert_close(after["scene"], before["scene"], rtol=0, atol=1e-4)


def test_a_picture_that_is_as_usual_has_no_contributions() -> None:
    network, images = build().requires_grad_(False), pictures(1)
    words = network.with_attributes(images).attributes
    usual = {"scene": words["scene"].softmax(dim=1), "object": words["object"].sigmoid()}
    network.usual_words.copy_(torch.cat([usual["object"], usual["scene"]], dim=1)[0])
    found = network.explain(images).contributions
    assert float(found["object"].abs().max()) < 1e-6
    torch.testing.assert_close(found["scene"].sum(dim=2), torch.zeros(1, 3), rtol=0, atol=1e-5)


def test_what_is_usual_is_the_mean_over_training_and_stands_still_in_use() -> None:
    torch.manual_seed(0)
    network = AttributesNetwork(
        AttributesConfig(num_emotions=3, attributes=SIZES, backbone="test_vit")
    ).train()
    seen = [pictures(4), -pictures(4)]
    expected = torch.zeros(12)
    for images in seen:
        words = network.with_attributes(images).attributes
        both = torch.cat([words["object"].sigmoid(), words["scene"].softmax(dim=1)], dim=1)
        expected += both.detach().mean(dim=0) / 2
    torch.testing.assert_close(network.usual_words, expected, rtol=1e-4, atol=1e-6)
    network.eval()(pictures())
    torch.testing.assert_close(network.usual_words, expected, rtol=1e-4, atol=1e-6)
    assert int(network.batches_seen) == 2


def test_without_its_residual_a_picture_in_training_is_predicted_by_words_alone() -> None:
    network, images = build(residual_dropout=0.999), pictures()
    torch.manual_seed(0)
    loss = F.cross_entropy(network.train()(images), torch.tensor([0, 1]))
    loss.backward()
    assert network.residual is not None and network.emotions is not None
    assert not network.residual.weight.grad.any()  # type: ignore[union-attr]
    assert network.emotions.scaled.grad.any()  # type: ignore[union-attr]
    network.eval()
    with torch.inference_mode():
        assert float(network.explain(images).residual.abs().max()) > 0.01, "in use it counts"


@pytest.mark.parametrize(("detach", "learns"), [(False, True), (True, False)])
def test_words_learn_from_emotions_unless_they_are_to_mean_what_annotators_meant(
    detach: bool, learns: bool
) -> None:
    network = build(detach=detach, concepts="only")
    F.cross_entropy(network(pictures()), torch.tensor([0, 1])).backward()
    assert (network.attributes.weight.grad is not None) == learns


def test_the_order_in_which_a_file_lists_attributes_means_nothing() -> None:
    network = build()
    other = build(attributes=dict(reversed(SIZES.items())))
    other.load_state_dict(network.state_dict())
    words, again = network.with_attributes(pictures()), other.with_attributes(pictures())
    assert all(torch.equal(words.attributes[name], again.attributes[name]) for name in SIZES)


def test_it_begins_undecided_about_one_word_and_expecting_one_of_several() -> None:
    network = AttributesNetwork(
        AttributesConfig(num_emotions=3, attributes=SIZES, backbone="test_vit")
    ).eval()
    with torch.inference_mode():
        words = network.with_attributes(pictures()).attributes
    torch.testing.assert_close(words["scene"].softmax(dim=1), torch.full((2, 5), 0.2), rtol=0, atol=0.05)
    torch.testing.assert_close(words["object"].sigmoid().sum(dim=1), torch.ones(2), rtol=0, atol=0.2)


def test_weights_of_attributes_are_there_when_requested() -> None:
    assert build().task_log_variances is None
    variances = build(weigh_tasks=True).task_log_variances
    assert variances is not None and variances.shape == (2,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attributes": None}, "none are given. Train it on a data set that has some, as emoset"),
        ({"attributes": {}}, "none are given"),
        ({"attributes": {"scene": {"words": 0, "several": False}}}, "scene must be given as"),
        ({"attributes": {"scene": 254}}, "not as 254"),
        ({"attributes": {"scene": {"words": 5}}}, "scene must be given as"),
        ({"concepts": "residuals"}, "concepts must be one of none, residual, only"),
        ({"residual_dropout": 1.0}, "residual_dropout must be at least 0 and below 1"),
    ],
)
def test_what_cannot_be_built_is_an_error_with_the_reason(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        config(**options)


def test_a_backbone_without_drop_path_is_an_error_that_names_it() -> None:
    with pytest.raises(SettingsError, match="no option for this"):
        build(backbone="vgg11", drop_path=0.1)
