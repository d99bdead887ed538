"""A difference of log-odds is a weighted sum of differences of logits."""

import numpy as np
import pytest

from affectlens.emotions import MIKELS
from affectlens.explain.core.logit_weights import logit_weights
from affectlens.explain.core.question import make_question
from affectlens.metrics import softmax

BEGIN, END = 5 * np.random.default_rng(0).standard_normal((2, 8))


@pytest.mark.parametrize(("emotion", "against"), [("fear", None), ("positive", None), ("awe", "sadness")])
def test_weights_times_the_difference_of_logits_is_that_of_the_log_odds(
    emotion: str, against: str | None
) -> None:
    question = make_question(MIKELS, emotion, against)
    before, after = question.log_odds(softmax([BEGIN, END])).tolist()
    assert (END - BEGIN) @ logit_weights(question, BEGIN, END) == pytest.approx(after - before, rel=1e-6)


def test_a_number_added_to_all_logits_counts_for_nothing() -> None:
    question = make_question(MIKELS, "fear")
    weights = logit_weights(question, BEGIN, END)
    assert float(weights.sum()) == pytest.approx(0, abs=1e-9)
    assert float(weights[MIKELS.index("fear")]) == pytest.approx(1, abs=1e-9)
    np.testing.assert_allclose(logit_weights(question, BEGIN - 7, END + 3), weights, atol=1e-9)


def test_one_emotion_against_one_other_is_their_difference() -> None:
    weights = logit_weights(make_question(MIKELS, "fear", "anger"), BEGIN, END)
    expected = np.zeros(8)
    expected[MIKELS.index("fear")], expected[MIKELS.index("anger")] = 1, -1
    np.testing.assert_allclose(weights, expected, atol=1e-9)


@pytest.mark.needs("torch")
def test_weights_are_the_mean_gradient_along_the_path_as_torch_takes_it() -> None:
    import torch

    question = make_question(MIKELS, "positive")
    along = torch.linspace(0, 1, 4001, dtype=torch.float64)[:, None]
    begin, end = torch.from_numpy(BEGIN), torch.from_numpy(END)
    points = (begin + along * (end - begin)).requires_grad_()
    (gradients,) = torch.autograd.grad(question.score(points).sum(), points)
    expected = torch.trapezoid(gradients, along[:, 0], dim=0)
    np.testing.assert_allclose(logit_weights(question, BEGIN, END), expected.numpy(), atol=1e-5)
