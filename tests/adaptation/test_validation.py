"""Cross-validation of classifiers on embeddings: nothing is predicted by what has seen it, or its group."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from affectlens import library
from affectlens.adaptation import validation
from affectlens.adaptation.classifier import Classifier
from affectlens.adaptation.head import fit_classifiers, fit_scaling, known_directions
from affectlens.adaptation.report import make_report
from affectlens.adaptation.validation import (
    FEW,
    KNOWN,
    LARGE,
    MOST_FREQUENT,
    OWN,
    POSITIVE,
    Labelled,
    OutOfFold,
    cross_fitted,
    learning_curve,
    outer_parts,
    parts_of,
    validate,
)
from affectlens.data.groups import Groups, find_groups
from affectlens.data.records import Record
from affectlens.emotions import MIKELS, own_vocabulary
from affectlens.errors import DatasetError
from affectlens.metrics import accuracy, softmax

pytestmark = pytest.mark.needs("sklearn")

WORDS = own_vocabulary(["cosy", "plain", "uncanny"])
FEATURES = 6


def known() -> Classifier:
    rng = np.random.default_rng(7)
    return Classifier(rng.normal(0, 1, (len(MIKELS), FEATURES)), np.zeros(len(MIKELS)))


def labelled(count: int, *, signal: float, group: int = 4, seed: int = 0) -> Labelled:
    """Features of which each word moves one by `signal`; `group` pictures share a group and its noise."""
    rng = np.random.default_rng(seed)
    words = np.repeat(rng.integers(0, len(WORDS), -(-count // group)), group)[:count]
    noise = np.repeat(rng.normal(0, 1, (-(-count // group), FEATURES)), group, axis=0)[:count]
    features = noise + rng.normal(0, 0.3, (count, FEATURES))
    features[np.arange(count), words] += signal
    records = [
        Record(
            f"{row:05}.jpg", Path(f"{row:05}.jpg"), WORDS.only(WORDS.words[word]), group=f"g{row // group}"
        )
        for row, word in enumerate(words)
    ]
    targets = np.eye(len(WORDS))[words]
    leaders = {record.key: f"{row // group * group:05}.jpg" for row, record in enumerate(records)}
    directions = known_directions(known(), MIKELS)
    return Labelled(features.astype(np.float32), records, targets, Groups(leaders), directions)


def validated(data: Labelled) -> OutOfFold:
    steps = validate(data, known(), library.card(), 0)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: OutOfFold = end.value
            return found


@pytest.mark.parametrize("count", [30, 200, LARGE])
def test_no_group_is_learned_from_and_predicted_at_once(count: int) -> None:
    data = labelled(count, signal=1)
    for learned, held_out in outer_parts(data, 0):
        names = data.group_names
        assert not {names[row] for row in learned} & {names[row] for row in held_out}
        assert len(learned) + len(held_out) == count


def test_every_picture_is_predicted_once_a_division_where_they_are_few(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(validation, "DIVISIONS", 3)
    found = validated(labelled(120, signal=2))
    assert found.divisions > 1 and len(found.rows) == 120 * found.divisions
    assert set(np.bincount(found.rows)) == {found.divisions}
    assert set(found.logits) == {MOST_FREQUENT, POSITIVE, KNOWN, OWN}


def test_where_a_part_leaves_one_word_to_learn_from_that_is_the_error() -> None:
    data = labelled(24, signal=1, group=1)
    alone = np.eye(len(WORDS))[[1, *[0] * 23]]
    words = ["plain", *["cosy"] * 23]
    records = [replace(r, target=WORDS.only(word)) for r, word in zip(data.records, words, strict=True)]
    with pytest.raises(DatasetError, match="all others are labelled 'cosy'"):
        outer_parts(replace(data, targets=alone, records=records), 0)


def test_many_pictures_are_validated_on_one_part_and_many_more_than_few_once() -> None:
    assert len(outer_parts(labelled(LARGE, signal=1), 0)) == 1
    assert len(outer_parts(labelled(FEW, signal=1), 0)) == 5


def test_what_the_embedding_shows_is_found_and_counts_are_means_over_divisions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(validation, "DIVISIONS", 2)
    data = labelled(160, signal=4)
    report = report_of(data)
    assert report.estimates[OWN]["accuracy"].value > 0.8
    assert report.differences[MOST_FREQUENT]["accuracy"].low > 0
    assert any("It is better than the most frequent word" in line for line in report.findings())
    assert report.scores.count == 160
    assert sum(map(sum, report.scores.confusion.rows)) == pytest.approx(160)


def test_labels_that_follow_from_nothing_are_not_reported_as_learned() -> None:
    """Over six made sets, of which one in twenty may be wrong by chance."""
    better = 0
    for seed in range(6):
        report = report_of(labelled(60, signal=0, seed=seed), with_curve=False)
        better += report.differences[MOST_FREQUENT]["accuracy"].low > 0
    assert better <= 1


def test_a_wrong_label_is_the_first_to_look_at() -> None:
    data = labelled(160, signal=5, group=1)
    wrong = 17
    data.targets[wrong] = np.roll(data.targets[wrong], 1)
    data.records[wrong] = Record(  # type: ignore[index]
        data.records[wrong].key, Path("x"), WORDS.only(WORDS.words[int(data.targets[wrong].argmax())])
    )
    assert [each.row for each in report_of(data).suspects][:1] == [wrong]


def test_one_group_cannot_be_validated() -> None:
    data = labelled(8, signal=1, group=8)
    with pytest.raises(DatasetError, match="belong together"):
        parts_of(data, np.arange(8), 0)


def test_a_temperature_is_not_fitted_on_the_pictures_that_it_scales() -> None:
    found = validated(labelled(120, signal=2))
    data = labelled(120, signal=2)
    scaled = cross_fitted(found, data.targets)
    for part in np.unique(found.part_of):
        own = found.part_of == part
        changed = data.targets.copy()
        changed[found.rows[own]] = np.roll(changed[found.rows[own]], 1, axis=1)
        np.testing.assert_array_equal(cross_fitted(found, changed)[own], scaled[own])


def test_scaled_rows_on_the_embedding_are_the_regression_on_scaled_features() -> None:
    data = labelled(40, signal=2)
    scaling = fit_scaling(data.features, data.known)
    features = scaling.apply(data.features)
    assert features.var(axis=0)[:FEATURES].sum() == pytest.approx(1, rel=1e-6)
    weights, offsets = np.random.default_rng(0).normal(0, 1, (3, features.shape[1])), np.arange(3.0)
    expected = features @ weights.T + offsets
    found = scaling.classifier(weights, offsets).logits(data.features)
    np.testing.assert_allclose(found, expected - expected.mean(axis=1, keepdims=True), atol=1e-6)


def test_targets_of_several_words_are_learned_by_their_weights() -> None:
    """Pictures that all look alike get the words as often as they were voted for."""
    features = np.zeros((60, FEATURES), np.float32)
    targets = np.tile([0.6, 0.3, 0.1], (60, 1))
    (classifier,) = fit_classifiers(features, targets, known_directions(known(), MIKELS), [1.0])
    np.testing.assert_allclose(softmax(classifier.logits(features[:1])), [[0.6, 0.3, 0.1]], atol=1e-3)


def test_a_word_that_was_not_learned_from_is_as_unlikely_as_the_least_likely() -> None:
    data = labelled(60, signal=3)
    some = data.targets[:, 2] == 0
    (classifier,) = fit_classifiers(data.features[some], data.targets[some], data.known, [1.0])
    assert classifier.weights.shape == (3, FEATURES)
    assert accuracy(classifier.logits(data.features[some]), data.targets[some]) > 0.8


def test_groups_of_the_data_set_are_those_of_validation(tmp_path: Path) -> None:
    records = [
        Record(f"{n}.jpg", tmp_path / f"{n}.jpg", WORDS.only("cosy"), group="ab"[n % 2]) for n in range(6)
    ]
    data = Labelled(np.zeros((6, 2)), records, np.ones((6, 1)), find_groups(records, "off"))
    assert len(set(data.group_names)) == 2


def report_of(data: Labelled, *, with_curve: bool = True):  # type: ignore[no-untyped-def]
    found = validated(data)
    curve = learning_curve(data, 0)
    points = []
    while with_curve:
        try:
            next(curve)
        except StopIteration as end:
            points = end.value
            break
    return make_report(data, found, points, library.card(), WORDS, 0.1, 0)
