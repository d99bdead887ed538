"""Validation of ratings and what is reported of it: on planted lines, noise, wrong ratings and groups."""

from dataclasses import replace

import numpy as np
import pytest

from affectlens.adaptation import validation
from affectlens.adaptation.rated_report import RatingReport, ResampledRatings, report_rating
from affectlens.adaptation.rated_validation import (
    MEAN,
    START,
    RatedOutOfFold,
    SimplerAnswers,
    rated_parts,
    rated_steps,
    some_groups,
    validate_rating,
)
from affectlens.adaptation.ridge import RatedFeatures, design, fit_rating
from affectlens.adaptation.validation import KNOWN, OWN
from affectlens.ratings import RatingColumn

COLUMN = RatingColumn("cosiness", (1, 7), (1, 7))


def world(noise: float, pictures: int = 120, features: int = 30, per_group: int = 3) -> RatedFeatures:
    """Cosiness is one feature, between 1 and 7 for almost all."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(pictures, features))
    rating = np.clip(4 + values[:, :1] + noise * rng.normal(size=(pictures, 1)), 1, 7)
    groups = np.array([f"theme {number // per_group:03}" for number in range(pictures)])
    return RatedFeatures(values.astype(np.float32), rating, groups, (features,), np.zeros((0, features)))


def validated(data: RatedFeatures, start: np.ndarray | None = None) -> RatedOutOfFold:
    log_odds = np.random.default_rng(1).normal(size=(len(data.features), 4))
    steps = validate_rating(data, 0, SimplerAnswers(log_odds, start), seed=0)
    count = 0
    while True:
        try:
            next(steps)
            count += 1
        except StopIteration as end:
            assert count == rated_steps(data.groups)
            found: RatedOutOfFold = end.value
            return found


def reported(data: RatedFeatures, found: RatedOutOfFold) -> RatingReport:
    keys = [f"{number}.png" for number in range(len(data.features))]
    return report_rating(COLUMN, found, data.values[:, 0], data.groups, keys, 1.0, seed=0)


def test_a_planted_line_is_found_and_is_better_than_the_mean_and_what_knows_nothing_of_it() -> None:
    data = world(noise=0.3)
    report = reported(data, validated(data))
    own = report.estimates[OWN]
    assert own["r"] is not None and own["r"].value > 0.85 and own["r"].low > 0.75
    assert all(found["error"] and found["error"].high < 0 for found in report.differences.values())
    better = [line for line in report.findings() if "is better than" in line]
    assert len(better) == 2 and "smaller by 0." in better[0] and "r 0.9" in report.findings()[0]


def test_what_cannot_be_predicted_is_not_reported_as_better_than_the_mean() -> None:
    data = world(noise=0.0)
    data = replace(data, values=np.random.default_rng(3).uniform(1, 7, size=data.values.shape))
    report = reported(data, validated(data))
    found = report.differences[MEAN]["error"]
    assert found is not None and found.high > 0
    assert not any("is better than" in line for line in report.findings())
    assert report.estimates[MEAN]["r"] is None


def test_intervals_hold_as_often_as_promised_and_few_pictures_promise_less() -> None:
    data = world(noise=0.5)
    report = reported(data, validated(data))
    assert abs(report.coverage.value - 0.9) < 0.07
    # Nine of ten normal errors of about 0.55 are below 0.9.
    assert 0.7 < report.scale.half_width(0.9) < 1.2
    assert report.scale.coverages[-1] == 0.99
    few = world(noise=0.5, pictures=30)
    assert reported(few, validated(few)).scale.coverages[-1] == 0.95


def test_a_rating_typed_wrongly_is_listed_and_a_clean_table_lists_few() -> None:
    data = world(noise=0.3)
    assert len(reported(data, validated(data)).suspects) <= 2
    wrong = data.values.copy()
    row = int(np.argmax(wrong[:, 0]))
    wrong[row] = 1.0
    data = replace(data, values=wrong)
    first = reported(data, validated(data)).suspects[0]
    assert first.key == f"{row}.png" and first.rated == 1.0 and first.predicted > 4


def test_the_start_is_compared_on_pictures_that_it_did_not_learn_from_alone() -> None:
    data = world(noise=0.3)
    start = data.values[:, 0].copy()  # by heart
    start[:60] = np.nan
    start[60:] = 4.0
    found = validated(data, start)
    report = reported(data, found)
    assert report.compared_with_start == 60
    difference = report.differences[START]["error"]
    assert difference is not None and difference.high < 0
    unknown = reported(data, validated(data, np.full(len(start), np.nan)))
    assert START not in unknown.differences and unknown.compared_with_start == 0


def test_groups_are_never_on_two_sides_and_a_share_takes_them_whole() -> None:
    data = world(noise=0.3)
    for learned, held_out in rated_parts(data.groups, seed=0):
        assert not set(data.groups[learned]) & set(data.groups[held_out])
        some = some_groups(data.groups, learned, 0.5, seed=0)
        assert abs(len(some) / len(learned) - 0.5) < 0.1 and set(some) <= set(learned)
        assert all(np.isin(np.flatnonzero(data.groups == name), some).all() for name in data.groups[some])


def test_what_only_groups_have_in_common_is_no_merit() -> None:
    """Ratings that are chance but for their group, which its features give away."""
    rng = np.random.default_rng(0)
    themes = np.repeat(np.arange(30), 4)
    features = rng.normal(size=(30, 20))[themes] + 0.01 * rng.normal(size=(120, 20))
    values = np.clip(4 + rng.normal(size=30)[themes], 1, 7)[:, None]
    data = RatedFeatures(features, values, themes.astype(str), (20,), np.zeros((0, 20)))
    assert not any("better than the mean" in line and "not shown" not in line
                   for line in reported(data, validated(data)).findings())  # fmt: skip
    alone = replace(data, groups=np.arange(120).astype(str))
    found = reported(alone, validated(alone)).estimates[OWN]["r"]
    assert found is not None and found.value > 0.8, "or the groups made no difference"


def test_many_pictures_are_held_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from affectlens.adaptation import rated_validation

    monkeypatch.setattr(rated_validation, "LARGE", 100)
    data = world(noise=0.3)
    report = reported(data, validated(data))
    assert report.parts == 1 and report.predicted == 24
    assert "24 of 120 pictures that were held out" in report.findings()[0]
    assert abs(report.coverage.value - 0.9) < 0.2


def test_divisions_are_counted_and_their_means_are_those_of_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "DIVISIONS", 2)
    data = world(noise=0.3, pictures=40)
    found = validated(data)
    report = reported(data, found)
    assert (report.divisions, report.parts, report.predicted, len(found.rows)) == (2, 5, 40, 80)
    assert len(found.mean_of(found.read[OWN])) == 40 and "divided 2 times" in report.findings()[0]


def test_concordance_is_lower_than_r_where_the_level_is_off_and_one_where_all_is_right() -> None:
    rated = np.array([1.0, 2.0, 3.0, 4.0])
    once = np.ones((4, 1))
    exact = ResampledRatings(rated, rated, once).measures
    assert exact["r"][0] == pytest.approx(1) and exact["concordance"][0] == pytest.approx(1)
    above = ResampledRatings(rated + 1, rated, once).measures
    # 2 * 1.25 / (1.25 + 1.25 + 1), by Lin's formula.
    assert above["r"][0] == pytest.approx(1) and above["concordance"][0] == pytest.approx(2.5 / 3.5)
    assert above["error"][0] == 1 and np.isnan(ResampledRatings(np.ones(4), rated, once).measures["r"][0])


def test_ridge_is_the_same_whichever_product_is_smaller() -> None:
    """Solved among features, as there are fewer of them, and by the normal equations written out."""
    data = world(noise=0.3)
    line = fit_rating(data, 0, seed=0)
    values = design(data).values
    inverse = np.linalg.inv(values.T @ values + line.penalty * np.eye(values.shape[1]))
    truth = data.values[:, 0]
    expected = values @ (inverse @ values.T @ (truth - truth.mean())) + truth.mean()
    np.testing.assert_allclose(line.read(data.features), expected, atol=1e-4)


def test_known_emotions_are_an_answer_where_they_are_all_there_is() -> None:
    data = world(noise=0.1)
    steps = validate_rating(data, 0, SimplerAnswers(data.features[:, :2].astype(float), None), seed=0)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found = end.value
            break
    report = reported(data, found)
    known = report.estimates[KNOWN]["r"]
    assert known is not None and known.value > 0.9


def test_few_pictures_of_which_one_group_is_most_are_reported_all_the_same() -> None:
    """Where it is held out four pictures are left: nothing narrower than the scale is known of errors."""
    data = world(noise=0.3, pictures=20)
    data = replace(data, groups=np.array([*["large"] * 16, *"abcd"]))
    report = reported(data, validated(data))
    assert report.coverage.value >= 0.9 and report.width > 6
    assert report.scale.coverages[-1] == 0.95 and len(report.findings()) == 4
