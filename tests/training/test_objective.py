import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from affectlens.errors import SettingsError
from affectlens.losses import class_imbalance_loss, emotion_similarity
from affectlens.models import catalog
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


class Branched(Fixed):
    def branches(self, images: Tensor) -> tuple[Tensor, ...]:
        return self.answers


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


def test_prior_adjustment_makes_the_loss_see_the_frequencies() -> None:
    targets = one_hot(*[0] * 6, *[1] * 3, 2)
    objective = make_objective(Settings(prior_adjustment=1.0, label_smoothing=0), targets, CPU)
    loss, *_ = objective(Fixed(torch.zeros(10, 3)), targets, targets)
    frequency = targets.mean(0)
    torch.testing.assert_close(loss, -(frequency * frequency.log()).sum())


def test_an_emotion_without_pictures_does_not_make_the_loss_infinite() -> None:
    targets = one_hot(0, 1)
    settings = Settings(class_weight=0.5, prior_adjustment=0.5)
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
    settings = Settings(**{kind: 1.0}, mix_share=1.0)  # type: ignore[arg-type]
    images, targets = torch.rand(6, 3, 16, 16), one_hot(0, 1, 2, 0, 1, 2)

    def mixed(seed: int) -> tuple[Tensor, Tensor]:
        torch.manual_seed(seed)
        return mix(images.clone(), targets.clone(), settings)

    (pictures, weights), (again, _), (other, _) = mixed(1), mixed(1), mixed(2)
    assert pictures.shape == images.shape
    torch.testing.assert_close(weights.sum(1), torch.ones(6))
    assert (weights.max(1).values < 1).any()
    assert torch.equal(pictures, again) and not torch.equal(pictures, other)


def test_the_share_of_mixed_batches_is_as_asked() -> None:
    settings = Settings(mixup=0.4, mix_share=0.25)
    images, targets = torch.rand(2, 3, 4, 4), one_hot(0, 1)
    torch.manual_seed(0)
    unmixed = sum(mix(images, targets, settings)[0] is images for _ in range(400))
    assert 260 <= unmixed <= 340


class Embedding(Fixed):
    def embed(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.answers[0], self.answers[1]


def test_the_parts_of_a_sum_of_losses_are_told_apart_and_add_up() -> None:
    targets, logits, embedding = one_hot(*[0] * 6, 1, 1, 1, 2), torch.randn(10, 3), torch.randn(10, 7)
    wanted = Loss(cross_entropy=0.5, class_imbalance=2.0, similarity=3.0, focus=2.0)
    settings = Settings(loss=wanted, label_smoothing=0)
    loss, _, parts = make_objective(settings, targets, CPU)(Embedding(logits, embedding), targets, targets)
    torch.testing.assert_close(parts["cross_entropy"], F.cross_entropy(logits, targets))
    alpha = 10 / (3 * targets.sum(dim=0))  # N / (E n_c)
    expected = class_imbalance_loss(logits, targets, alpha, focus=2.0).mean()
    torch.testing.assert_close(parts["class_imbalance"], expected)
    similarity = emotion_similarity(embedding, targets.argmax(1)).loss
    torch.testing.assert_close(parts["similarity"], similarity)
    weights = {"cross_entropy": 0.5, "class_imbalance": 2.0, "similarity": 3.0}
    torch.testing.assert_close(loss, torch.stack([weights[name] * parts[name] for name in weights]).sum())
    assert parts["without_pairs"] == 0


def test_the_similarity_loss_can_compare_logits_and_says_when_a_batch_has_no_pairs() -> None:
    logits = torch.randn(3, 3)
    settings = Settings(loss=Loss(similarity=1.0, similarity_of="logits"), label_smoothing=0)
    objective = make_objective(settings, one_hot(0, 1, 2), CPU)
    _, _, parts = objective(Fixed(logits), logits, one_hot(0, 0, 2))
    torch.testing.assert_close(parts["similarity"], emotion_similarity(logits, torch.tensor([0, 0, 2])).loss)
    assert parts["without_pairs"] == 0
    _, _, parts = objective(Fixed(logits), logits, one_hot(0, 1, 2))
    assert parts["without_pairs"] == 1
    assert parts["similarity"] == 0


def test_a_network_without_an_embedding_is_refused_before_the_first_step() -> None:
    settings = Settings(network="test_resnet", loss=Loss(similarity=1.0))
    network = catalog.build("test_resnet", 8)
    with pytest.raises(SettingsError, match=r"test_resnet gives no embedding.*similarity_of=logits"):
        check_network(settings, network)
    check_network(Settings(loss=Loss(similarity=1.0, similarity_of="logits")), network)
    check_network(settings, catalog.build("mam_paper", 8, backbone="test_resnet"))
