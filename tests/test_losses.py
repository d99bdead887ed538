"""Losses against their papers and worked examples."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from affectlens.losses import (
    attribute_loss,
    class_imbalance_loss,
    class_weights,
    emotion_similarity,
    positive_weights,
    rating_loss,
    uncertainty_weighted,
)

# Pictures of FI by emotion, in alphabetical order as in the authors' script, and the weights that it prints.
FI_COUNTS = torch.tensor([4942, 1266, 3151, 5374, 1658, 2963, 1032, 2922.0])
PRINTED_ALPHA = torch.tensor([0.053, 0.211, 0.086, 0.049, 0.158, 0.092, 0.258, 0.094])


def one_hot(labels: Tensor, emotions: int = 8) -> Tensor:
    return F.one_hot(labels, emotions).float()


def test_the_weights_are_the_alpha_that_the_authors_print_but_for_its_scale() -> None:
    weights = class_weights(FI_COUNTS / FI_COUNTS.sum())
    torch.testing.assert_close(weights / weights.sum(), PRINTED_ALPHA, atol=0.003, rtol=0)
    torch.testing.assert_close(weights, FI_COUNTS.sum() / (8 * FI_COUNTS))
    assert math.isclose(float((weights * FI_COUNTS).sum() / FI_COUNTS.sum()), 1.0, rel_tol=1e-6)


def test_with_weights_of_one_and_no_focal_gamma_the_class_imbalance_loss_is_cross_entropy() -> None:
    logits, labels = torch.randn(6, 8), torch.randint(8, (6,))
    found = class_imbalance_loss(logits, one_hot(labels), torch.ones(8), focal_gamma=0)
    torch.testing.assert_close(found, F.cross_entropy(logits, labels, reduction="none"))


@pytest.mark.parametrize("double_softmax", [False, True])
@pytest.mark.parametrize("focal_gamma", [0.5, 1.0, 2.0])
def test_the_class_imbalance_loss_is_its_formula(focal_gamma: float, double_softmax: bool) -> None:
    logits, labels, alpha = 3 * torch.randn(5, 8), torch.randint(8, (5,)), PRINTED_ALPHA
    expected = []
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        exponentials = [math.exp(z) for z in row]
        p = [e / sum(exponentials) for e in exponentials]
        q = [math.exp(x) / sum(map(math.exp, p)) for x in p] if double_softmax else p
        expected.append(float(alpha[label]) * (1 - p[label]) ** focal_gamma * -math.log(q[label]))
    found = class_imbalance_loss(logits, one_hot(labels), alpha, focal_gamma, double_softmax)
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-4, atol=1e-6)


def test_the_second_softmax_of_the_script_hides_a_picture_that_is_wrong_with_confidence() -> None:
    def gradient(double_softmax: bool) -> float:
        logits = torch.tensor([[5.0, *[0.0] * 7]], requires_grad=True)
        target = one_hot(torch.tensor([1]))
        loss = class_imbalance_loss(logits, target, torch.ones(8), 1.0, double_softmax)
        loss.sum().backward()
        assert logits.grad is not None
        return abs(float(logits.grad[0, 1]))

    assert gradient(double_softmax=True) < 0.05
    assert gradient(double_softmax=False) > 1


def test_a_target_of_several_emotions_is_the_mean_of_their_losses() -> None:
    logits, weights = torch.randn(1, 3), torch.tensor([0.5, 1.0, 2.0])
    mixed = class_imbalance_loss(logits, torch.tensor([[0.2, 0.0, 0.8]]), weights)
    first, last = (class_imbalance_loss(logits, one_hot(torch.tensor([n]), 3), weights) for n in (0, 2))
    torch.testing.assert_close(mixed, 0.2 * first + 0.8 * last)


def slow_circle_loss(embedding: Tensor, labels: Tensor, margin: float, scale: float) -> float:
    """The formula pair by pair, in double precision."""
    rows = [[float(x) for x in row] for row in embedding.double()]
    rows = [[x / math.sqrt(sum(y * y for y in row)) for x in row] for row in rows]
    towards, apart = 0.0, 0.0
    for i in range(len(rows)):
        for j in range(i + 1, len(rows)):
            s = sum(x * y for x, y in zip(rows[i], rows[j], strict=True))
            if labels[i] == labels[j]:
                towards += math.exp(-scale * max(0.0, 1 + margin - s) * (s - (1 - margin)))
            else:
                apart += math.exp(scale * max(0.0, s + margin) * (s - margin))
    return math.log1p(towards * apart) / scale if towards and apart else 0.0


@given(st.integers(0, 10_000), st.integers(2, 9), st.sampled_from([(0.25, 80.0), (0.4, 10.0)]))
def test_the_similarity_loss_is_its_formula(seed: int, count: int, constants: tuple[float, float]) -> None:
    generator = torch.Generator().manual_seed(seed)
    embedding = torch.randn(count, 5, generator=generator)
    labels = torch.randint(3, (count,), generator=generator)
    found = emotion_similarity(embedding, labels, *constants)
    assert float(found.loss) == pytest.approx(
        slow_circle_loss(embedding, labels, *constants), rel=1e-3, abs=1e-5
    )


def test_perfect_features_of_eight_emotions_with_four_pictures_each_give_the_least_loss() -> None:
    labels = torch.arange(8).repeat_interleave(4)
    assert float(emotion_similarity(one_hot(labels), labels).loss) * 80 == pytest.approx(0.681, abs=0.001)


@pytest.mark.parametrize("labels", [[0, 1, 2, 3], [5, 5, 5, 5], [3]])
def test_a_batch_without_pairs_of_both_kinds_is_harmless_and_reported(labels: list[int]) -> None:
    embedding = torch.randn(len(labels), 6, requires_grad=True)
    loss, has_pairs = emotion_similarity(embedding, torch.tensor(labels))
    assert not has_pairs
    assert loss.item() == 0
    loss.backward()
    assert embedding.grad is not None and torch.equal(embedding.grad, torch.zeros_like(embedding))


def test_following_the_similarity_loss_brings_equal_labels_together() -> None:
    torch.manual_seed(0)
    labels = torch.tensor([0, 0, 1, 1])
    embedding = torch.randn(4, 3, requires_grad=True)
    optimizer = torch.optim.SGD([embedding], lr=0.5)
    for _ in range(100):
        optimizer.zero_grad()
        emotion_similarity(embedding, labels).loss.backward()
        optimizer.step()
    similarity = F.normalize(embedding.detach()) @ F.normalize(embedding.detach()).T
    assert similarity[0, 1] > 0.9 and similarity[2, 3] > 0.9
    assert similarity[:2, 2:].max() < 0.3


def test_under_autocast_the_similarity_loss_keeps_its_digits() -> None:
    embedding, labels = torch.randn(32, 64), torch.arange(32) % 8
    exact = emotion_similarity(embedding, labels).loss
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(emotion_similarity(embedding, labels).loss, exact, rtol=1e-6, atol=0)


def test_one_word_costs_what_it_was_unlikely_over_the_pictures_that_have_an_answer() -> None:
    logits = torch.randn(4, 5)
    found = attribute_loss(logits, torch.tensor([3, -1, 0, -1]))
    torch.testing.assert_close(found.loss, F.cross_entropy(logits[[0, 2]], torch.tensor([3, 0])))
    assert int(found.known) == 2


def test_several_words_cost_what_the_whole_answer_was_unlikely() -> None:
    logits = torch.randn(3, 4)
    labels = torch.tensor([[1.0, 0, 0, 1], [-1, -1, -1, -1], [0, 0, 0, 0]])
    likely = torch.where(labels > 0, logits.sigmoid(), (-logits).sigmoid())
    found = attribute_loss(logits, labels)
    torch.testing.assert_close(found.loss, -likely[[0, 2]].log().sum(dim=1).mean())
    assert int(found.known) == 2


MISSING = (torch.tensor([1, -1, -1]), torch.tensor([[0.0, 1, 1], [-1, -1, -1], [-1, -1, -1]]))


@pytest.mark.parametrize("labels", MISSING)
def test_a_picture_without_an_answer_gives_no_gradient(labels: Tensor) -> None:
    logits = torch.randn(3, 3, requires_grad=True)
    attribute_loss(logits, labels).loss.backward()
    assert logits.grad is not None
    assert logits.grad[0].any()
    assert not logits.grad[1:].any()


@pytest.mark.parametrize("labels", MISSING)
def test_a_batch_without_any_answer_does_no_harm(labels: Tensor) -> None:
    logits = torch.randn(2, 3, requires_grad=True)
    found = attribute_loss(logits, labels[1:])
    found.loss.backward()
    assert (float(found.loss.detach()), int(found.known)) == (0.0, 0)
    assert logits.grad is not None
    assert not logits.grad.any()


def test_with_balance_having_a_rare_word_weighs_as_much_as_not_having_it() -> None:
    frequency = torch.tensor([0.01, 0.5, 0.0])
    weights = positive_weights(frequency, power=1.0)
    torch.testing.assert_close((weights * frequency)[:2], (1 - frequency)[:2])
    torch.testing.assert_close(positive_weights(frequency, power=0.0), torch.ones(3))
    labels, logits = torch.tensor([[1.0, 0.0, 0.0]]), torch.zeros(1, 3)
    torch.testing.assert_close(attribute_loss(logits, labels, weights).loss, torch.tensor(101 * math.log(2)))


@given(st.floats(0.01, 10))
def test_a_learned_weight_is_best_where_it_is_half_the_inverse_of_the_loss(loss: float) -> None:
    variance = torch.tensor(math.log(2 * loss), requires_grad=True)
    uncertainty_weighted(torch.tensor(loss), variance).backward()
    assert variance.grad is not None
    assert abs(float(variance.grad)) < 1e-5
    assert math.isclose(float(torch.exp(-variance.detach())), 1 / (2 * loss), rel_tol=1e-5)


# Two pictures with valence and arousal, and one with valence alone, as shares of their scales.
SHARES = torch.tensor([[0.7, 0.4], [0.2, 0.5], [0.9, 0.1]])
RATED = torch.tensor([[0.4, 0.2], [0.3, 0.9], [1.0, float("nan")]])


def test_the_loss_of_ratings_is_pdanets_by_hand() -> None:
    # Of five ratings one, the first valence, is on the wrong side; the second arousal is on the middle.
    squares = [0.3**2, 0.2**2, 0.1**2, 0.4**2, 0.1**2]
    assert rating_loss(SHARES, RATED).item() == pytest.approx(sum(squares) / 5)
    assert rating_loss(SHARES, RATED, 10.0).item() == pytest.approx((sum(squares) + 10 * squares[0]) / 5)


def test_a_rating_on_the_wrong_side_pulls_harder_and_an_unknown_one_not_at_all() -> None:
    gradients = []
    for polarity in (0.0, 3.0):
        shares = SHARES.clone().requires_grad_(True)
        rating_loss(shares, RATED, polarity).backward()
        assert shares.grad is not None
        gradients.append(shares.grad)
    plain, consistent = gradients
    torch.testing.assert_close(plain, 2 * (SHARES - RATED).nan_to_num(0.0) / 5)
    harder = torch.ones_like(plain)
    harder[0, 0] = 4.0
    torch.testing.assert_close(consistent, harder * plain)


def test_a_batch_without_any_rating_costs_nothing() -> None:
    shares = SHARES.clone().requires_grad_(True)
    loss = rating_loss(shares, torch.full_like(SHARES, float("nan")), 1.0)
    loss.backward()
    assert loss.item() == 0 and shares.grad is not None and not shares.grad.any()
