"""The losses that settings name, their weights, and mixing of batches."""

from collections.abc import Sequence
from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from affectlens.emotions import MIKELS, Vocabulary
from affectlens.errors import SettingsError
from affectlens.losses import attribute_loss, class_imbalance_loss, emotion_similarity
from affectlens.models import catalog
from affectlens.models.capabilities import AttributeAnswers, AttributeExplanation
from affectlens.training.objective import check_network, make_objective, mix
from affectlens.training.settings import Loss, Settings

CPU = torch.device("cpu")


class Fixed(nn.Module):
    """A network that answers what it was given."""

    def __init__(self, *answers: Tensor) -> None:
        super().__init__()
        self.answers = answers

    def forward(self, images: Tensor) -> Tensor:
        return torch.stack(self.answers).mean(0)


class Branched(nn.Module):
    """A network of branches that answer what they were given."""

    def __init__(self, *logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def branches(self, images: Tensor) -> tuple[Tensor, ...]:
        return self.logits

    def answers(self, images: Tensor) -> tuple[Tensor, ...]:
        raise AssertionError("only for predictions")

    def branch_networks(self) -> dict[str, nn.Module]:
        raise AssertionError("only for predictions")

    def scale_branches(self, temperatures: Sequence[float]) -> None:
        raise AssertionError("only for predictions")


def one_hot(*labels: int) -> Tensor:
    return F.one_hot(torch.tensor(labels), 3).float()


def test_without_options_it_is_cross_entropy() -> None:
    logits, targets = torch.randn(4, 3), one_hot(0, 1, 2, 0)
    loss, answered, parts = make_objective(Settings(label_smoothing=0), targets, CPU)(
        Fixed(logits), torch.empty(4), targets
    )
    torch.testing.assert_close(loss, F.cross_entropy(logits, torch.tensor([0, 1, 2, 0])))
    assert not parts, "one loss is its own only part"
    assert answered is not logits and torch.equal(answered, logits)


def test_smoothing_is_that_of_torch() -> None:
    logits, targets = torch.randn(3, 3), one_hot(2, 1, 1)
    loss, *_ = make_objective(Settings(label_smoothing=0.2), targets, CPU)(Fixed(logits), logits, targets)
    expected = F.cross_entropy(logits, torch.tensor([2, 1, 1]), label_smoothing=0.2)
    torch.testing.assert_close(loss, expected)


def test_soft_targets_are_the_mean_over_the_words() -> None:
    logits, targets = torch.randn(1, 3), torch.tensor([[0.2, 0.5, 0.3]])
    loss, *_ = make_objective(Settings(label_smoothing=0), targets, CPU)(Fixed(logits), logits, targets)
    each = torch.stack([F.cross_entropy(logits, torch.tensor([word])) for word in range(3)])
    torch.testing.assert_close(loss, (each * targets[0]).sum())


def test_class_weights_grow_as_frequency_falls_and_keep_the_mean_loss() -> None:
    targets = one_hot(*[0] * 6, *[1] * 3, 2)
    objective = make_objective(Settings(class_weight=1.0, label_smoothing=0), targets, CPU)
    torch.testing.assert_close(objective.weights * targets.mean(0), torch.full((3,), 1 / 3))
    same, *_ = objective(Fixed(torch.zeros(10, 3)), targets, targets)
    torch.testing.assert_close(same, torch.tensor(3.0).log())


def test_logit_adjustment_makes_the_loss_see_the_frequencies() -> None:
    targets = one_hot(*[0] * 6, *[1] * 3, 2)
    objective = make_objective(Settings(logit_adjustment=1.0, label_smoothing=0), targets, CPU)
    loss, *_ = objective(Fixed(torch.zeros(10, 3)), targets, targets)
    frequency = targets.mean(0)
    torch.testing.assert_close(loss, -(frequency * frequency.log()).sum())


def test_an_emotion_without_pictures_does_not_make_the_loss_infinite() -> None:
    targets = one_hot(0, 1)
    settings = Settings(class_weight=0.5, logit_adjustment=0.5)
    loss, *_ = make_objective(settings, targets, CPU)(Fixed(torch.randn(2, 3)), targets, targets)
    assert torch.isfinite(loss)


def test_branches_are_trained_each_for_itself() -> None:
    first, second, targets = torch.randn(2, 3), torch.randn(2, 3), one_hot(0, 2)
    objective = make_objective(Settings(label_smoothing=0), targets, CPU)
    both, *_ = objective(Branched(first, second), targets, targets)
    apart = [objective(Fixed(logits), targets, targets)[0] for logits in (first, second)]
    torch.testing.assert_close(both, torch.stack(apart).mean())


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_mixing_keeps_sums_and_shapes_and_depends_on_the_seed_alone(kind: str) -> None:
    settings = Settings(**{kind: 1.0}, mix_prob=1.0)  # type: ignore[arg-type]
    images, targets = torch.rand(6, 3, 16, 16), one_hot(0, 1, 2, 0, 1, 2)

    def mixed(seed: int) -> tuple[Tensor, Tensor]:
        torch.manual_seed(seed)
        return mix(images.clone(), targets.clone(), settings)

    (pictures, weights), (again, _), (other, _) = mixed(1), mixed(1), mixed(2)
    assert pictures.shape == images.shape
    torch.testing.assert_close(weights.sum(1), torch.ones(6))
    assert (weights.max(1).values < 1).any()
    assert torch.equal(pictures, again) and not torch.equal(pictures, other)


def test_the_fraction_of_mixed_batches_is_as_set() -> None:
    settings = Settings(mixup=0.4, mix_prob=0.25)
    images, targets = torch.rand(2, 3, 4, 4), one_hot(0, 1)
    torch.manual_seed(0)
    unmixed = sum(mix(images, targets, settings)[0] is images for _ in range(400))
    assert 260 <= unmixed <= 340


class Embedding(Fixed):
    def embed(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.answers[0], self.answers[1]


def test_the_parts_of_a_sum_of_losses_are_reported_and_add_up() -> None:
    targets, logits, embedding = one_hot(*[0] * 6, 1, 1, 1, 2), torch.randn(10, 3), torch.randn(10, 7)
    wanted = Loss(
        cross_entropy=0.5, class_imbalance=2.0, similarity=3.0, similarity_of="embedding", focal_gamma=2.0
    )
    settings = Settings(loss=wanted, label_smoothing=0)
    loss, _, parts = make_objective(settings, targets, CPU)(Embedding(logits, embedding), targets, targets)
    torch.testing.assert_close(parts["cross_entropy"], F.cross_entropy(logits, targets))
    alpha = 10 / (3 * targets.sum(dim=0))  # N / (E n_c)
    expected = class_imbalance_loss(logits, targets, alpha, focal_gamma=2.0).mean()
    torch.testing.assert_close(parts["class_imbalance"], expected)
    similarity = emotion_similarity(embedding, targets.argmax(1)).loss
    torch.testing.assert_close(parts["similarity"], similarity)
    weights = {"cross_entropy": 0.5, "class_imbalance": 2.0, "similarity": 3.0}
    torch.testing.assert_close(loss, torch.stack([weights[name] * parts[name] for name in weights]).sum())
    assert parts["without_pairs"] == 0


def test_what_the_class_imbalance_loss_weighs_each_emotion_by_is_reported() -> None:
    settings = Settings(loss=Loss(cross_entropy=0.0, class_imbalance=1.0), label_smoothing=0)
    objective = make_objective(
        settings, one_hot(0, 0, 0, 1, 1, 2), CPU, vocabulary=Vocabulary("small", ("awe", "fear", "anger"))
    )
    targets, logits = one_hot(0, 0, 1), torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 3.0, 0.0]])
    _, _, parts = objective(Fixed(logits), targets, targets)
    missed = 1 - logits.softmax(dim=1)[[0, 1, 2], [0, 0, 1]]
    assert list(parts) == ["class_imbalance_weight.awe", "class_imbalance_weight.fear"], "no anger in it"
    # N / (E n_c) of 3, 2 and 1 pictures.
    torch.testing.assert_close(parts["class_imbalance_weight.awe"], 2 / 3 * missed[:2].mean())
    torch.testing.assert_close(parts["class_imbalance_weight.fear"], missed[2])
    several = objective(Branched(logits, logits), targets, targets).parts
    torch.testing.assert_close(several["class_imbalance_weight.fear"], missed[2])


def test_the_similarity_loss_compares_logits_and_reports_a_batch_without_pairs() -> None:
    logits = torch.randn(3, 3)
    settings = Settings(loss=Loss(similarity=1.0), label_smoothing=0)
    objective = make_objective(settings, one_hot(0, 1, 2), CPU)
    _, _, parts = objective(Fixed(logits), logits, one_hot(0, 0, 2))
    torch.testing.assert_close(parts["similarity"], emotion_similarity(logits, torch.tensor([0, 0, 2])).loss)
    assert parts["without_pairs"] == 0
    _, _, parts = objective(Fixed(logits), logits, one_hot(0, 1, 2))
    assert parts["without_pairs"] == 1
    assert parts["similarity"] == 0


def test_a_network_without_an_embedding_is_refused_before_the_first_step() -> None:
    settings = Settings(network="test_resnet", loss=Loss(similarity=1.0, similarity_of="embedding"))
    network = catalog.build("test_resnet", 8)
    with pytest.raises(SettingsError, match=r"test_resnet gives no embedding.*similarity_of=logits"):
        check_network(settings, network)
    check_network(Settings(loss=Loss(similarity=1.0)), network)
    check_network(settings, catalog.build("mam_paper", 8, backbone="test_resnet"))


class Naming(Fixed):
    """A network that also names attributes, and learns how much each counts."""

    def __init__(self, logits: Tensor, words: dict[str, Tensor]) -> None:
        super().__init__(logits)
        self.words = words
        self.log_variances: nn.Parameter | None = nn.Parameter(torch.zeros(len(words)))

    def with_attributes(self, images: Tensor) -> AttributeAnswers:
        return AttributeAnswers(self.answers[0], self.words)

    def explain(self, images: Tensor) -> AttributeExplanation:
        raise AssertionError("only for predictions")

    def attribute_log_variances(self) -> dict[str, Tensor]:
        if self.log_variances is None:
            return {}
        return dict(zip(self.words, self.log_variances, strict=True))


WORDS = {"object": torch.randn(2, 4), "scene": torch.randn(2, 5)}
KNOWN = {"scene": torch.tensor([3, -1]), "object": torch.tensor([[0.0, 1, 0, 0], [-1, -1, -1, -1]])}


@pytest.mark.parametrize("weights", ["fixed", "learned"])
def test_attributes_count_by_the_mean_of_their_losses(weights: Literal["fixed", "learned"]) -> None:
    settings = Settings(loss=Loss(attributes=3.0, attribute_weights=weights), label_smoothing=0)
    logits, targets = torch.randn(2, 3), one_hot(0, 1)
    found = make_objective(settings, targets, CPU)(Naming(logits, WORDS), logits, targets, KNOWN)
    each = [attribute_loss(WORDS[name], KNOWN[name]).loss for name in KNOWN]
    expected = F.cross_entropy(logits, torch.tensor([0, 1])) + 3 * (each[0] + each[1]) / 2
    torch.testing.assert_close(found.loss, expected)  # variances of 0 change nothing
    assert set(found.parts) == {"cross_entropy", "attributes", "attributes.scene", "attributes.object"}
    torch.testing.assert_close(found.parts["attributes.scene"], each[0])


def test_a_learned_weight_moves_only_where_the_attribute_is_known() -> None:
    settings = Settings(loss=Loss(attributes=1.0, attribute_weights="learned"))
    network, targets = Naming(torch.randn(2, 3), WORDS), one_hot(0, 1)
    unknown = {**KNOWN, "object": torch.full((2, 4), -1.0)}
    found = make_objective(settings, targets, CPU)(network, targets, targets, unknown)
    found.loss.backward()
    assert network.log_variances is not None
    gradient = network.log_variances.grad
    assert gradient is not None
    assert (gradient != 0).tolist() == [False, True]  # in the order of the network's words
    assert "attributes.object" not in found.parts


def test_a_mixed_batch_which_comes_without_attributes_learns_emotions_alone() -> None:
    settings = Settings(loss=Loss(attributes=1.0), label_smoothing=0)
    logits, targets = torch.randn(2, 3), one_hot(0, 1)
    found = make_objective(settings, targets, CPU)(Fixed(logits), logits, targets)
    torch.testing.assert_close(found.loss, F.cross_entropy(logits, torch.tensor([0, 1])))


def test_rare_words_weigh_more_where_the_settings_have_it() -> None:
    shares = {"object": torch.tensor([0.5, 0.1, 0.5, 0.5])}
    targets, network = one_hot(0, 1), Naming(torch.zeros(2, 3), WORDS)
    losses = []
    for balance in (0.0, 1.0):
        settings = Settings(loss=Loss(attributes=1.0, attribute_balance=balance))
        objective = make_objective(settings, targets, CPU, shares)
        losses.append(objective(network, targets, targets, {"object": KNOWN["object"]}).parts["attributes"])
    missed = F.softplus(-WORDS["object"][0, 1])  # the loss of the one word that a picture has
    torch.testing.assert_close(losses[1] - losses[0], 8 * missed)


def test_attributes_need_a_network_that_names_them_and_learned_weights_one_that_has_them() -> None:
    plain, naming = Fixed(torch.zeros(2, 3)), Naming(torch.zeros(2, 3), WORDS)
    with pytest.raises(SettingsError, match="answers no attributes"):
        check_network(Settings(loss=Loss(attributes=1.0)), plain)
    naming.log_variances = None
    check_network(Settings(loss=Loss(attributes=1.0)), naming)
    with pytest.raises(SettingsError, match="weigh_tasks"):
        check_network(Settings(loss=Loss(attributes=1.0, attribute_weights="learned")), naming)


def test_where_every_batch_is_mixed_attributes_cannot_be_learned() -> None:
    with pytest.raises(SettingsError, match="mix_prob below 1"):
        Settings(loss=Loss(attributes=1.0), mixup=0.2, mix_prob=1.0)


def test_an_auxiliary_classifier_learns_alike_and_does_not_answer() -> None:
    class Helped(nn.Module):
        def with_auxiliary(self, images: Tensor) -> tuple[Tensor, Tensor]:
            return first, second

    first, second, targets = torch.randn(4, 3), torch.randn(4, 3), one_hot(0, 1, 2, 0)
    found = make_objective(Settings(label_smoothing=0), targets, CPU)(Helped(), torch.empty(4), targets)
    expected = (F.cross_entropy(first, targets) + F.cross_entropy(second, targets)) / 2
    torch.testing.assert_close(found.loss, expected)
    assert torch.equal(found.logits, first)


def test_pictures_of_the_other_polarity_count_more() -> None:
    settings = Settings(label_smoothing=0, loss=Loss(polarity=0.5))
    targets, words = one_hot(2, 0, 2), Vocabulary("three", ("cosy", "uncanny", "premium"))
    with pytest.raises(SettingsError, match="no polarity"):
        make_objective(settings, targets, CPU)
    with pytest.raises(SettingsError, match="no polarity"):
        make_objective(settings, targets, CPU, vocabulary=words)
    eight, answers = (
        torch.tensor([MIKELS.only(word).probabilities for word in row])
        for row in (("fear", "awe", "fear"), ("awe", "contentment", "fear"))
    )
    each = F.cross_entropy(answers, eight, reduction="none")
    found = make_objective(settings, eight, CPU, vocabulary=MIKELS)(Fixed(answers), answers, eight)
    torch.testing.assert_close(found.loss, (each * torch.tensor([1.5, 1.0, 1.0])).mean())
