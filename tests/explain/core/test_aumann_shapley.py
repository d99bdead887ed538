"""A difference of scores is divided among parts, without loss."""

import pytest
import torch
from torch import Tensor

from affectlens.explain.core.aumann_shapley import divide


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
