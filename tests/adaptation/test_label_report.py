"""What is measured of labels: against scikit-learn, by hand, on chance and on labels typed wrongly."""

from pathlib import Path

import numpy as np
import pytest

from affectlens.adaptation.label_report import (
    BRIER,
    LabelsReport,
    f1_of,
    measure_label,
    ranked_measures,
    report_labels,
    signs_by_groups,
)
from affectlens.adaptation.label_source import LabelSource
from affectlens.adaptation.label_validation import LabelOutOfFold, best_line
from affectlens.adaptation.validation import KNOWN, MOST_FREQUENT, OWN
from affectlens.data.records import DataSource, Record
from affectlens.emotions import MIKELS

COUNT = 200


def made(signal: float, wrong: int = 0, sureness: float = 1.0) -> LabelsReport:
    """Report on two labels whose probabilities are right; `wrong` of the clearest lack the first.

    With another `sureness` than 1 probabilities are too sure, or not sure enough.
    """
    rng = np.random.default_rng(0)
    odds = signal * rng.normal(size=(COUNT, 2))
    true = 1 / (1 + np.exp(-odds))
    shares = (rng.uniform(size=(COUNT, 2)) < true).astype(float)
    clear = np.argsort(-odds[:, 0])[:wrong]
    shares[clear, 0] = 0
    stated = 1 / (1 + np.exp(-sureness * odds))
    found = [
        LabelOutOfFold(
            probabilities={OWN: stated[:, w], MOST_FREQUENT: np.full(COUNT, shares[:, w].mean()),
                           KNOWN: np.full(COUNT, 0.5)},
            line=np.full(COUNT, 0.5), curve=((0.5, np.full(COUNT, 0.5)),), learned=160.0, temperature=1.0,
            best_line=0.5, parts=5,
        )
        for w in range(2)
    ]  # fmt: skip
    alike = MIKELS.distribution(dict.fromkeys(MIKELS.words, 1.0))
    records = [Record(f"{number}.png", Path(f"{number}.png"), alike) for number in range(COUNT)]
    source = LabelSource(DataSource("table", Path(), MIKELS, {}), records, ("cosy", "bright"), shares)
    return report_labels(source, found, [record.key for record in records], ("start", "abc"), seed=0)


def test_probabilities_that_are_right_are_better_than_frequencies_and_calibrated() -> None:
    report = made(signal=2.0)
    assert report.differences[MOST_FREQUENT][BRIER].high < 0
    assert report.calibration[OWN].value < 0.08
    assert "The labels are better than the frequency of each label" in report.findings()[1]
    assert not any("Not shown to be better" in line for line in report.findings())
    assert all(each.scale.is_percent and each.scale.high == 100 for each in report.labels)


def test_what_is_chance_is_not_reported_as_better() -> None:
    report = made(signal=0.05)
    assert report.differences[MOST_FREQUENT][BRIER].high >= 0
    assert any("by itself: cosy and bright" in line for line in report.findings())
    assert report.estimates[MOST_FREQUENT]["auc"].value == 0.5


def test_labels_that_are_missing_where_they_are_almost_certain_are_listed_first() -> None:
    report = made(signal=3.0, wrong=3)
    first = report.suspects[:3]
    assert all(each.word == "cosy" and each.given == 0 and each.probability > 0.9 for each in first)


@pytest.mark.needs("sklearn")
def test_ranks_are_measured_as_scikit_learn_does_also_of_scores_that_are_the_same() -> None:
    from sklearn.metrics import average_precision_score, roc_auc_score

    rng = np.random.default_rng(1)
    scores, truth = rng.integers(0, 8, 60) / 8, rng.integers(0, 2, 60).astype(float)
    times = rng.integers(0, 3, (60, 4)).astype(float)
    precision, area = ranked_measures(scores, truth, times)
    for sample, weights in enumerate(times.T):
        assert precision[sample] == pytest.approx(
            average_precision_score(truth, scores, sample_weight=weights)
        )
        assert area[sample] == pytest.approx(roc_auc_score(truth, scores, sample_weight=weights))


def test_a_calibration_error_is_within_chance_where_probabilities_are_right_and_beyond_it_where_not() -> None:
    right, sure = made(signal=2.0), made(signal=2.0, sureness=4.0)
    for found in (right.calibration, *(each.calibration for each in right.labels)):
        assert 0 < found[OWN].value < found[OWN].by_chance
        # A frequency has next to no gap on the pictures that it is of, and chance is more than none.
        assert found[MOST_FREQUENT].value < 1e-9 < found[MOST_FREQUENT].by_chance
    for found in (sure.calibration, *(each.calibration for each in sure.labels)):
        assert found[OWN].value > found[OWN].by_chance
    calibration = str(sure.labels[0].calibration[OWN])
    assert calibration in sure.markdown() and "(chance 0." in calibration


def test_chance_is_larger_where_pictures_belong_together() -> None:
    error = np.repeat([0.2, -0.2, 0.2, -0.2, 0.2, -0.2], 10)
    p = np.full(60, 0.55)
    once = np.ones((60, 1))

    def by_chance(groups: list[str]) -> float:
        signs = signs_by_groups(groups, 500, seed=0)
        assert signs.shape == (60, 501) and (signs[:, 0] == 1).all() and set(np.unique(signs)) == {-1.0, 1.0}
        return float(np.quantile(measure_label(p, p - error, once, signs, p).errors[1:], 0.95))

    assert by_chance([f"{row // 10}" for row in range(60)]) > 2 * by_chance([f"{row}" for row in range(60)])


def test_measures_of_one_label_are_those_of_its_formulas() -> None:
    once = np.ones((4, 1))
    p, y = np.array([0.9, 0.6, 0.4, np.nan]), np.array([1.0, 0.0, 1.0, 1.0])
    found = measure_label(p, y, once, once, np.full(4, 0.5))
    assert found.measures[BRIER][0] == pytest.approx((0.01 + 0.36 + 0.36) / 3)
    assert found.errors[0] == pytest.approx((0.1 + 0.6 + 0.6) / 3)
    assert [float(each[0]) for each in found.counts] == [1, 2, 2]  # the last was not predicted
    assert f1_of(*found.counts)[0] == 0.5 and f1_of(*np.zeros((3, 1)))[0] == 0


def test_the_best_line_lies_between_two_pictures_and_gives_the_most() -> None:
    assert best_line(np.array([0.9, 0.8, 0.3, 0.2]), np.array([1.0, 1.0, 0.0, 0.0])) == pytest.approx(0.55)
    # Of pictures with one probability all are given the label, or none.
    assert best_line(np.array([0.5, 0.5, 0.1]), np.array([1.0, 0.0, 0.0])) == pytest.approx(0.3)
    assert best_line(np.array([0.5, 0.4]), np.array([1.0, 1.0])) == pytest.approx(0.2)
