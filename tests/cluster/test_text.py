"""A search in words."""

import pytest

pytest.importorskip("ray")

from affectlens.cluster.search_record import RoundEnd
from affectlens.cluster.text import round_text


def test_a_round_names_members_that_copied_or_diverged_only_where_there_are_some() -> None:
    assert round_text(RoundEnd(3, 0.5, 0.25, 0.75, 0, 0)) == (
        "Round 3: best 0.5000, median 0.2500, best so far 0.7500."
    )
    both = round_text(RoundEnd(3, 0.5, 0.25, 0.75, 2, 1))
    assert both.endswith("best so far 0.7500, 2 copied another (exploit), 1 diverged.")
