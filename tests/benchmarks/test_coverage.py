"""The rivals of the prediction sets, and the tables of what was measured."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import conformal_methods
import coverage
from affectlens.emotions import MIKELS
from affectlens.metrics import softmax


def test_each_method_holds_its_coverage_before_any_rule() -> None:
    """Within three errors over 100 planted worlds; what is between two thresholds promises nothing."""
    rng = np.random.default_rng(3)
    held: dict[str, list[float]] = {name: [] for name in conformal_methods.METHODS}
    for _ in range(100):
        labels = rng.choice(4, size=900, p=[0.4, 0.3, 0.2, 0.1])
        probabilities = softmax(rng.normal(size=(900, 4)) + 1.5 * np.eye(4)[labels])
        given = conformal_methods.Calibration(probabilities[:600], labels[:600], 0.9, rng)
        for name, method in conformal_methods.METHODS.items():
            held[name].append(float(method(given, probabilities[600:])[np.arange(300), labels[600:]].mean()))
    for name, shares in held.items():
        error = np.std(shares) / 10
        assert np.mean(shares) > 0.9 - 3 * error, name
        assert np.mean(shares) < (0.93 if "by emotion" in name else 0.91) + 3 * error, name


def test_the_scores_of_aps_are_sums_of_what_is_more_probable() -> None:
    row = np.array([[0.125, 0.5, 0.375]])
    assert conformal_methods.aps_scores(row, 0.0).tolist() == [[0.875, 0.0, 0.5]]
    assert conformal_methods.aps_scores(row, 1.0).tolist() == [[1.0, 0.5, 0.875]]
    assert conformal_methods.aps_scores(row, np.array([[0.5]])).tolist() == [[0.9375, 0.25, 0.6875]]
    assert conformal_methods.aps_scores(row, 0.0, 1.0, 1).tolist() == [[2.875, 0.0, 1.5]]


def test_sets_are_of_the_wrong_polarity_where_no_word_has_the_right_one() -> None:
    signs, truth = np.array([1, -1, 0]), np.array([1, 1, -1, -1])
    kept = np.array([[[1, 0, 1], [0, 1, 1], [1, 1, 0], [0, 0, 1]]], dtype=bool)
    assert coverage.sides(kept, truth, signs) == {"wrong": 0.25, "right": 0.25, "both": 0.25}


def test_methods_hold_by_every_division_or_not_at_all() -> None:
    def row(value: float, worst: float, size: float) -> dict[str, object]:
        return {"coverage": {"value": value}, "worst_coverage": worst, "size": {"value": size}}

    good, small, poor = row(0.9, 0.88, 2.5), row(0.9, 0.88, 2.0), row(0.9, 0.8, 1.0)
    sets = {
        "5": {"0.9": {"a": good, "b": small, "c": small}},
        "2": {"0.9": {"a": good, "b": small, "c": poor}},
    }
    assert coverage.holding(sets) == ["b", "a"]


def test_answers_are_the_same_after_a_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    answers = coverage.Answers(
        logits=rng.normal(size=(5, 8)),
        targets=np.eye(8)[:5],
        temperature=0.9,
        weights="abc",
        data="def",
        vocabulary=MIKELS,
        leaders={"awe/2.jpg": "awe/1.jpg"},
    )
    answers.write(tmp_path / "answers.npz")
    read = coverage.Answers.read(tmp_path / "answers.npz")
    assert (read.logits == answers.logits).all() and (read.targets == answers.targets).all()
    assert replace(read, logits=answers.logits, targets=answers.targets) == answers


def test_numbers_are_rounded_wherever_they_are() -> None:
    assert coverage.rounded({"a": [0.1234567, 3, None, "x"]}) == {"a": [0.12346, 3, None, "x"]}


@pytest.fixture(scope="module")
def result() -> dict[str, object]:
    """What was measured."""
    found: dict[str, object] = json.loads(coverage.RESULT.read_text())
    return found


def test_every_table_has_a_row_for_each_thing_that_was_measured(result: dict[str, object]) -> None:
    found = coverage.tables(result)
    rows = {name: len(table.splitlines()) - 2 for name, table in found.items()}
    methods = len(conformal_methods.METHODS)
    assert rows == {
        **{f"{half}{name}": methods for half in ("", "HALF_") for name in coverage.LEVEL_NAMES.values()},
        "EMOTIONS": 8, "SIZES": 8, "ABSTAINING": 8, "POLARITY": 9, "FROZEN_HEADS": 10, "PHOTOGRAPHS": 8,
    }  # fmt: skip


def test_the_shipped_method_is_among_those_that_hold(result: dict[str, object]) -> None:
    assert conformal_methods.SHIPPED in result["holding"]  # type: ignore[operator]
