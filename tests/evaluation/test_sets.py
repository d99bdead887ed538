"""Scores of sets of emotions: counted by hand, for labels and for votes."""

import numpy as np
import pytest

from affectlens.emotions import Vocabulary
from affectlens.evaluation.sets import score_sets, sets_table
from affectlens.inference.coverage import PredictionSets

WORDS = Vocabulary("moods", ("calm", "glad", "sad"))
SETS = PredictionSets(
    vocabulary=WORDS, coverages=(0.8, 0.9), pictures=(50.0, 50.0, 50.0),
    thresholds=((0.5, 0.2), (0.4, 0.3), (0.6, 0.1)),
)  # fmt: skip
PROBABILITIES = np.array([[0.6, 0.3, 0.1], [0.3, 0.6, 0.1], [0.2, 0.3, 0.5], [0.5, 0.45, 0.05]])


def test_coverage_and_size_are_those_of_a_count_by_hand() -> None:
    labels = np.eye(3)[[0, 0, 1, 0]]
    narrow, wide = score_sets(SETS, PROBABILITIES, labels, (0.8, 0.9))
    # At .8: {calm}, {glad}, {sad} (the most probable), {calm, glad}. At .9: all but sad in the last.
    assert (narrow.coverage, narrow.size, narrow.alone) == (0.5, 1.25, 0.75)
    assert narrow.by_emotion == {"calm": pytest.approx(2 / 3), "glad": 0.0, "sad": None}
    assert narrow.worst == ("glad", 0.0)
    assert (wide.coverage, wide.size) == (1.0, 2.75)
    header, *rows = sets_table([narrow, wide])
    assert {len(row) for row in rows} == {len(header)}
    assert "2.75" in {row[3] for row in rows} and "0.0 % (glad)" in {row[2] for row in rows}


def test_votes_count_in_parts() -> None:
    votes = np.array([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.25, 0.25, 0.5]])
    (found,) = score_sets(SETS, PROBABILITIES, votes, (0.8,))
    assert found.coverage == pytest.approx((0.5 + 1 + 1 + 0.5) / 4)
    assert found.by_emotion["sad"] == pytest.approx(1 / 1.5)
