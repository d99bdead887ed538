"""What is reported about a model: figures that hold together, intervals that cover, JSON that comes back."""

import json
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectlens import metrics
from affectlens.emotions import (
    EKMAN,
    EMOTION6,
    MIKELS,
    POLARITY,
    VOCABULARIES,
    NoConversion,
    Vocabulary,
    convert,
)
from affectlens.errors import SettingsError
from affectlens.evaluation.scores import BadScores, Scores, VocabularySizeDiffers, polarity_weights, score
from affectlens.evaluation.tables import scores_table
from affectlens.metrics import Doubles, softmax


def single_labels(seed: int, *, pictures: int = 200, emotions: int = 8) -> tuple[Doubles, Doubles]:
    """Logits and one-hot targets: twice (N, E)."""
    rng = np.random.default_rng(seed)
    targets = np.eye(emotions)[rng.integers(emotions, size=pictures)]
    return rng.normal(size=(pictures, emotions)) + 2 * targets, targets


def votes(seed: int, *, pictures: int = 100, emotions: int = 6) -> tuple[Doubles, Doubles]:
    """Logits and targets of ten votes a picture, with zeros and shared tops: twice (N, E)."""
    rng = np.random.default_rng(seed)
    targets = np.eye(emotions)[rng.integers(emotions, size=(pictures, 10))].sum(axis=1) / 10
    return rng.normal(size=(pictures, emotions)) + 5 * targets, targets


def figures(scores: Scores) -> dict[str, float]:
    """All figures of scores but those that go by emotion, and without intervals."""
    data = scores.to_json()
    mine = {name: value for name, value in data.items() if isinstance(value, float)}
    return mine | (data["label_distribution"] or {})


seeds = st.integers(0, 10_000)


def test_perfect_predictions_score_one_one_one_and_no_error() -> None:
    _, targets = single_labels(0)
    scores = score(100 * targets, targets, MIKELS, resamples=50)
    assert (scores.accuracy, scores.balanced_accuracy, scores.macro_f1) == (1, 1, 1)
    assert scores.polarity_accuracy == 1
    assert scores.negative_log_likelihood == pytest.approx(0)
    assert scores.brier == pytest.approx(0)
    assert scores.expected_calibration_error == pytest.approx(0)
    assert scores.intervals["accuracy"] == scores.intervals["macro_f1"] == (1, 1)


def test_figures_are_those_of_the_metrics_at_the_given_temperature() -> None:
    logits, targets = votes(1)
    scores = score(logits, targets, EKMAN, temperature=2.0, resamples=10, unreadable=3)
    probabilities = softmax(logits / 2)
    assert scores.accuracy == metrics.accuracy(logits, targets)
    assert scores.balanced_accuracy == metrics.balanced_accuracy(logits, targets)
    assert scores.macro_f1 == metrics.macro_f1(logits, targets)
    expected = metrics.negative_log_likelihood(logits / 2, targets)
    assert scores.negative_log_likelihood == pytest.approx(expected)
    assert scores.brier == pytest.approx(metrics.brier_score(probabilities, targets))
    assert scores.expected_calibration_error == pytest.approx(
        metrics.expected_calibration_error(probabilities, targets)
    )
    assert scores.label_distribution == pytest.approx(metrics.label_distribution(probabilities, targets))
    assert (scores.count, scores.unreadable, scores.temperature) == (100, 3, 2.0)
    assert scores.shared_top == int(
        sum(sum(weight >= max(row) - 1e-6 for weight in row) > 1 for row in targets.tolist())
    )


def test_a_confusion_in_one_direction_stands_in_the_row_of_what_was_evoked() -> None:
    logits, targets = np.eye(8)[[MIKELS.index("fear")]], np.eye(8)[[MIKELS.index("awe")]]
    confusion = score(logits, targets, MIKELS, resamples=0).confusion
    at = {label: index for index, label in enumerate(confusion.labels)}
    assert confusion.rows[at["awe"]][at["fear"]] == 1
    assert sum(map(sum, confusion.rows)) == 1


def test_an_emotion_without_pictures_has_no_recall_rather_than_a_recall_of_zero() -> None:
    targets = np.eye(8)[[0, 1]]
    scores = score(targets, targets, MIKELS, resamples=0)
    assert scores.per_emotion["fear"].recall is None
    assert scores.per_emotion["fear"].support == 0
    assert scores.per_emotion["awe"].recall == 1


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_the_order_of_the_pictures_changes_no_figure(seed: int) -> None:
    logits, targets = votes(seed)
    order = np.random.default_rng(seed).permutation(100)
    before = score(logits, targets, EKMAN, resamples=0)
    after = score(logits[order], targets[order], EKMAN, resamples=0)
    assert figures(after) == pytest.approx(figures(before))
    assert after.confusion.labels == before.confusion.labels
    np.testing.assert_allclose(after.confusion.rows, before.confusion.rows)


@given(seeds, st.permutations(range(6)))
@settings(max_examples=20, deadline=None)
def test_the_order_of_the_vocabulary_changes_only_the_order_of_emotions(seed: int, order: list[int]) -> None:
    logits, targets = votes(seed)
    words = Vocabulary("letters", tuple("abcdef"))
    reordered = Vocabulary("letters", tuple(words.words[index] for index in order))
    before = score(logits, targets, words, resamples=20)
    after = score(logits[:, order], targets[:, order], reordered, resamples=20)
    assert figures(after) == pytest.approx(figures(before))
    assert list(after.per_emotion) == list(after.confusion.labels) == list(reordered.words)
    for word in words.words:
        assert vars(after.per_emotion[word]) == pytest.approx(vars(before.per_emotion[word]))
    for name, limits in before.intervals.items():
        assert after.intervals[name] == pytest.approx(limits)


@given(seeds, st.floats(0.05, 20))
@settings(max_examples=20, deadline=None)
def test_temperature_changes_no_figure_that_looks_only_at_the_prediction(
    seed: int, temperature: float
) -> None:
    logits, targets = single_labels(seed)
    plain = score(logits, targets, MIKELS, resamples=0)
    tempered = score(logits, targets, MIKELS, temperature=temperature, resamples=0)
    assert tempered.accuracy == plain.accuracy
    assert tempered.balanced_accuracy == plain.balanced_accuracy
    assert tempered.macro_f1 == plain.macro_f1
    assert tempered.confusion == plain.confusion


def test_temperature_changes_probabilities_in_its_direction() -> None:
    logits, targets = single_labels(0)
    losses = [
        score(100 * logits, targets, MIKELS, temperature=temperature, resamples=0).negative_log_likelihood
        for temperature in (1, 10, 100)
    ]
    assert losses == sorted(losses, reverse=True)


@pytest.mark.parametrize("name", VOCABULARIES)
def test_polarity_weights_agree_with_convert_on_any_distribution(name: str) -> None:
    vocabulary = VOCABULARIES[name]
    weights = polarity_weights(vocabulary)
    assert weights is not None
    mixture = vocabulary.distribution({word: index + 1 for index, word in enumerate(vocabulary.words)})
    summed = np.array(mixture.probabilities) @ weights
    expected = convert(mixture, POLARITY).distribution.probabilities
    assert (summed / summed.sum()).tolist() == pytest.approx(expected)


def test_polarity_is_that_of_the_summed_weights_and_not_of_the_top_emotion() -> None:
    # Sadness leads with 0.3, but 0.7 lie on positive emotions.
    logits = np.log(np.array([[0.2, 0.2, 0.2, 0.1, 0.0, 0.0, 0.0, 0.3]]) + 1e-9)
    for word, expected in (("awe", 1), ("sadness", 0)):
        target = np.eye(8)[[MIKELS.index(word)]]
        assert score(logits, target, MIKELS, resamples=0).polarity_accuracy == expected


def test_polarity_accuracy_agrees_with_converting_picture_by_picture() -> None:
    logits, targets = votes(2)
    right = []
    for row, target in zip(softmax(logits).tolist(), targets.tolist(), strict=True):
        try:
            truth = convert(EKMAN.distribution(dict(zip(EKMAN.words, target, strict=True))), POLARITY)
        except NoConversion:  # all votes for surprise
            continue
        converted = convert(EKMAN.distribution(dict(zip(EKMAN.words, row, strict=True))), POLARITY)
        positive, negative = truth.distribution.probabilities
        right.append(abs(positive - negative) < 1e-6 or converted.distribution.top == truth.distribution.top)
    scores = score(logits, targets, EKMAN, resamples=0)
    assert 0 < sum(right) < len(right)
    assert scores.polarity_accuracy == pytest.approx(sum(right) / len(right))
    assert scores.polarity_count == len(right)


def test_errors_across_polarity_are_counted_apart_from_errors_within_it() -> None:
    """Of four pictures of awe: right, contentment, fear, and one whose sum alone is negative."""
    answers = [{"awe": 5.0}, {"contentment": 5.0}, {"fear": 5.0},
               {"awe": 2.0, "fear": 1.9, "sadness": 1.9, "anger": 1.9, "disgust": 1.9}]  # fmt: skip
    logits = np.array([[row.get(word, -5.0) for word in MIKELS.words] for row in answers])
    targets = np.array([MIKELS.only("awe").probabilities] * 4)
    scores = score(logits, targets, MIKELS)
    assert (scores.accuracy, scores.across_polarity, scores.polarity_accuracy) == (0.5, 0.25, 0.5)
    low, high = scores.intervals["across_polarity"]
    assert low <= 0.25 <= high
    assert ("errors across polarity", "25.0 % (0.0\u201375.0)") in scores_table(scores)
    assert Scores.from_json(json.loads(json.dumps(scores.to_json()))) == scores


def test_scores_without_errors_across_polarity_are_read_and_have_no_word_of_them() -> None:
    own = Vocabulary("own", ("red", "blue"))
    scores = score(np.eye(2), np.eye(2), own)
    assert scores.across_polarity is None and "across_polarity" not in scores.to_json()
    assert all(title != "errors across polarity" for title, _ in scores_table(scores))
    known = score(np.eye(8), np.eye(8), MIKELS).to_json()
    former = {name: value for name, value in known.items() if name != "across_polarity"}
    assert Scores.from_json(former).across_polarity is None


def test_pictures_that_are_neither_positive_nor_negative_do_not_count_for_polarity() -> None:
    targets = np.eye(7)[[EMOTION6.index(word) for word in ("joy", "fear", "neutral", "surprise")]]
    logits = np.eye(7)[[EMOTION6.index("joy")] * 4]
    scores = score(5 * logits, targets, EMOTION6, resamples=200)
    assert scores.polarity_accuracy == 0.5
    assert scores.polarity_count == 2
    assert list(scores.intervals["polarity_accuracy"]) == [0, 1]  # resamples without either are left out
    none = score(logits[2:], targets[2:], EMOTION6, resamples=10)
    assert none.polarity_accuracy is None
    assert none.polarity_count == 0
    assert "polarity_accuracy" not in none.intervals


def test_a_vocabulary_without_polarity_has_no_polarity_accuracy() -> None:
    targets = np.eye(2)
    scores = score(targets, targets, Vocabulary("colours", ("red", "green")), resamples=10)
    assert scores.polarity_accuracy is None
    assert "polarity_accuracy" not in scores.intervals


def test_single_labels_get_no_measures_of_distributions_and_votes_get_all_with_intervals() -> None:
    assert score(*single_labels(0), MIKELS, resamples=0).label_distribution is None
    scores = score(*votes(0), EKMAN, resamples=10)
    assert scores.label_distribution is not None
    assert set(metrics.DISTRIBUTION_METRICS) == set(scores.label_distribution) <= set(scores.intervals)


def test_a_word_ruled_out_beyond_the_range_of_doubles_still_gives_finite_figures() -> None:
    scores = score([[1e4, 0.0]], [[0.5, 0.5]], POLARITY, resamples=10)
    assert scores.label_distribution is not None
    assert scores.label_distribution["kullback_leibler"] == pytest.approx(5000 - math.log(2))


def test_the_bootstrap_without_loops_agrees_with_measuring_resampled_pictures_one_by_one() -> None:
    # So few pictures that resamples often lack a class, and predictions that often miss shared tops.
    _, targets = votes(3, pictures=12)
    logits = np.random.default_rng(4).normal(size=(12, 6))
    fast = score(logits, targets, EKMAN, resamples=300, seed=5).intervals
    sampled = metrics.RowSampler(5).rows(12, (12, 300))
    slow = [figures(score(logits[rows], targets[rows], EKMAN, resamples=0)) for rows in sampled.T]
    assert {"accuracy", "macro_f1", "polarity_accuracy", "kullback_leibler"} < fast.keys()
    for name, limits in fast.items():
        assert limits == pytest.approx(tuple(np.quantile([one[name] for one in slow], [0.025, 0.975]))), name


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_intervals_are_ordered_and_hold_the_estimate_of_plain_means(seed: int) -> None:
    scores = score(*single_labels(seed), MIKELS, resamples=200, seed=seed)
    for name in ("accuracy", "negative_log_likelihood", "brier", "polarity_accuracy"):
        low, high = scores.intervals[name]
        assert low <= getattr(scores, name) <= high
        assert low < high


def test_ninety_five_percent_intervals_cover_the_truth_nearly_that_often() -> None:
    # A model that is right with chance 0.7 in each class, measured on 200 pictures, 300 times over.
    rng = np.random.default_rng(0)
    covered = {"accuracy": 0, "balanced_accuracy": 0}
    for repeat in range(300):
        labels, wrong = rng.integers(4, size=200), rng.integers(1, 4, size=200)
        predicted = np.where(rng.random(200) < 0.7, labels, (labels + wrong) % 4)
        words = Vocabulary("letters", tuple("abcd"))
        scores = score(np.eye(4)[predicted], np.eye(4)[labels], words, resamples=200, seed=repeat)
        for name in covered:
            low, high = scores.intervals[name]
            covered[name] += low <= 0.7 <= high
    for name, times in covered.items():
        assert 0.90 <= times / 300 <= 0.985, name


def test_resamples_made_a_few_at_a_time_to_save_memory_are_all_used(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, targets = single_labels(0)
    low, high = score(logits, targets, MIKELS, resamples=500).intervals["accuracy"]
    monkeypatch.setattr("affectlens.evaluation.scores.SAMPLES_AT_ONCE", 3 * len(logits))
    few = score(logits, targets, MIKELS, resamples=500).intervals["accuracy"]
    assert few == pytest.approx((low, high), abs=0.15 * (high - low))


def test_missed_shared_tops_weigh_the_same_in_resamples_as_in_the_estimate() -> None:
    targets = np.tile([[1.0, 0, 0], [0.5, 0.5, 0]], (200, 1))
    logits = np.tile([[1.0, 0, 0], [0, 0, 1.0]], (200, 1))
    scores = score(logits, targets, Vocabulary("letters", tuple("abc")))
    assert scores.balanced_accuracy == pytest.approx(1 / 3)  # of a 200 in 300, of b none
    low, high = scores.intervals["balanced_accuracy"]
    assert low < scores.balanced_accuracy < high < low + 0.06


def test_intervals_narrow_as_pictures_are_added() -> None:
    widths = []
    for pictures in (100, 1600):
        low, high = score(*single_labels(0, pictures=pictures), MIKELS).intervals["accuracy"]
        widths.append(high - low)
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.25)


def test_the_same_seed_gives_the_same_intervals_and_another_seed_others() -> None:
    logits, targets = single_labels(0)
    first, again, other = (score(logits, targets, MIKELS, resamples=100, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.intervals != other.intervals
    assert replace(first, intervals={}, bootstrap=other.bootstrap) == replace(other, intervals={})


def test_scoring_leaves_the_global_random_numbers_alone() -> None:
    np.random.seed(0)
    expected = np.random.random()
    np.random.seed(0)
    score(*single_labels(0), MIKELS, resamples=10)
    assert np.random.random() == expected


def test_scores_are_computed_without_torch() -> None:
    code = (
        "import sys; from affectlens.emotions import POLARITY; from affectlens.evaluation import calibration;"
        "from affectlens.evaluation.scores import score; votes = [[0.6, 0.4]];"
        "score([[1, 0]], votes, POLARITY, temperature=calibration.fit_temperature([[1, 0]], votes));"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_resamples_there_are_no_intervals() -> None:
    assert score(*single_labels(0), MIKELS, resamples=0).intervals == {}


def test_one_picture_is_enough() -> None:
    scores = score(np.eye(8)[[0]], np.eye(8)[[1]], MIKELS, resamples=10)
    assert (scores.count, scores.accuracy, scores.intervals["accuracy"]) == (1, 0, (0, 0))


@pytest.mark.parametrize("emotions", [8, 6])
def test_scores_come_back_from_json_as_they_went(emotions: int) -> None:
    if emotions == 8:
        scores = score(*single_labels(4, pictures=9), MIKELS, resamples=20, unreadable=2)
    else:
        scores = score(*votes(4), EKMAN, resamples=20)
    text = json.dumps(scores.to_json(), allow_nan=False)
    assert Scores.from_json(json.loads(text)) == scores


def test_json_of_a_later_version_is_read_and_its_new_figures_passed_over() -> None:
    data = score(*single_labels(4), MIKELS, resamples=20).to_json()
    later = data | {"beauty": 0.5, "bootstrap": data["bootstrap"] | {"kind": "percentile"}}
    assert Scores.from_json(later) == Scores.from_json(data)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"accuracy": None}, r"Expected `float`, got `null` - at `\$\.accuracy`"),
        ({"count": "many"}, r"\$\.count"),
        ({"intervals": {"accuracy": [0.1]}}, "not scores"),
        ({"per_emotion": {"awe": {"recall": 1.0}}}, "missing required field `precision`"),
        ({"confusion": []}, "not scores"),
        ({"confusion": {"labels": ["awe", "fear"], "rows": [[1.0, 0.0]]}}, "2 rows of 2"),
        ({"confusion": {"labels": ["awe", "fear"], "rows": [[1.0, 0.0], [1.0]]}}, "2 rows of 2"),
    ],
)
def test_json_that_is_not_scores_is_refused_with_what_is_wrong(
    damage: dict[str, object], message: str
) -> None:
    data = score(*single_labels(4), MIKELS, resamples=20).to_json()
    with pytest.raises(BadScores, match=message):
        Scores.from_json(data | damage)


def test_json_that_lacks_a_figure_is_refused_with_its_name() -> None:
    data = score(*single_labels(4), MIKELS, resamples=0).to_json()
    del data["macro_f1"]
    with pytest.raises(BadScores, match="missing required field `macro_f1`"):
        Scores.from_json(data)


def test_predictions_for_another_number_of_words_are_refused_with_the_words() -> None:
    with pytest.raises(VocabularySizeDiffers, match="6 columns but mikels-8 has 8 words: amusement, awe"):
        score(*votes(0), MIKELS)


def test_what_cannot_be_measured_is_refused_before_anything_is_reported() -> None:
    logits, targets = single_labels(0)
    with pytest.raises(metrics.NoRows):
        score(logits[:0], targets[:0], MIKELS)
    with pytest.raises(metrics.ShapesDiffer):
        score(logits, targets[:-1], MIKELS)
    with pytest.raises(metrics.NotFinite, match="row 0 "):
        score(logits * math.nan, targets, MIKELS)
    with pytest.raises(metrics.NotDistributions, match="Divide votes"):
        score(logits, 3 * targets, MIKELS)


@pytest.mark.parametrize(
    "setting",
    [
        {"temperature": 0.0},
        {"temperature": math.nan},
        {"temperature": -1.0},
        {"resamples": -1},
        {"unreadable": -1},
    ],
)
def test_impossible_settings_are_refused_by_name(setting: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match=next(iter(setting))):
        score(*single_labels(0), MIKELS, **setting)  # type: ignore[arg-type]
