"""A difference of log-odds is divided without loss."""

import pytest
import torch
from torch import Tensor

from affectlens.emotions import MIKELS
from affectlens.explain.core.aumann_shapley import divide, logit_weights
from affectlens.explain.core.question import make_question

RANDOM = torch.Generator().manual_seed(0)
BEGIN, END = (5 * torch.randn(1, 8, generator=RANDOM) for _ in range(2))


@pytest.mark.parametrize(("emotion", "against"), [("fear", None), ("positive", None), ("awe", "sadness")])
def test_weights_times_the_difference_of_logits_is_that_of_the_log_odds(
    emotion: str, against: str | None
) -> None:
    question = make_question(MIKELS, emotion, against)
    weights = logit_weights(question, BEGIN, END)
    expected = float(question.score(END) - question.score(BEGIN))
    assert float(((END - BEGIN) @ weights)[0]) == pytest.approx(expected, rel=1e-4)


def test_a_number_added_to_all_logits_counts_for_nothing() -> None:
    weights = logit_weights(make_question(MIKELS, "fear"), BEGIN, END)
    assert float(weights.sum()) == pytest.approx(0, abs=1e-4)
    assert float(weights[MIKELS.index("fear")]) == pytest.approx(1, abs=1e-4)


def test_one_emotion_against_one_other_is_their_difference() -> None:
    weights = logit_weights(make_question(MIKELS, "fear", "anger"), BEGIN, END)
    expected = torch.zeros(8)
    expected[MIKELS.index("fear")], expected[MIKELS.index("anger")] = 1, -1
    torch.testing.assert_close(weights, expected, atol=1e-5, rtol=0)


def test_parts_of_a_product_get_what_they_bring_about_together_in_halves() -> None:
    def score(parts: dict[str, Tensor]) -> Tensor:
        return (parts["a"] * parts["b"]).sum(dim=1)

    zero, one = torch.zeros(1, 1), torch.ones(1, 1)
    shares = divide(score, {"a": zero, "b": zero}, {"a": 3 * one, "b": 4 * one})
    assert float(shares["a"]) == pytest.approx(6) and float(shares["b"]) == pytest.approx(6)
    unequal = divide(score, {"a": one, "b": zero}, {"a": one, "b": 4 * one})
    assert float(unequal["a"]) == 0 and float(unequal["b"]) == pytest.approx(4)


def test_a_part_that_is_not_read_gets_nothing() -> None:
    parts = {"read": torch.ones(1, 2), "unread": torch.ones(1, 3, 2)}
    shares = divide(lambda p: p["read"].sum(dim=1), {k: 0 * v for k, v in parts.items()}, parts)
    assert float(shares["read"].sum()) == pytest.approx(2)
    assert shares["unread"].shape == (1, 3, 2) and not shares["unread"].any()
