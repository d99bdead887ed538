"""Sets of emotions that hold their promise of coverage, and what abstaining leaves."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectlens.emotions import EKMAN, MIKELS, Vocabulary
from affectlens.errors import SettingsError
from affectlens.inference.coverage import LEVELS, BadPredictionSets, PredictionSets, risk_coverage
from affectlens.metrics import Doubles, NotMeasurable, softmax

unhurried = settings(deadline=None)  # however busy the machine is
WORDS = Vocabulary("moods", ("calm", "glad", "sad"))
RARE = np.array([0.6, 0.3, 0.1])  # how often each mood is true


def planted(rng: np.random.Generator, pictures: int) -> tuple[Doubles, Doubles]:
    """Probabilities that favour the common moods more than is right, and one-hot targets: twice (N, 3)."""
    truth = np.eye(3)[rng.choice(3, size=pictures, p=RARE)]
    logits = 1.5 * truth + rng.normal(size=(pictures, 3)) + 1.5 * np.log(RARE)
    return softmax(logits), truth


def covered(sets: PredictionSets, probabilities: Doubles, targets: Doubles, coverage: float) -> Doubles:
    """Weight of the targets within the sets, without the rule of the top word: (N, E)."""
    return targets * sets.members(probabilities, coverage, keep_top=False)


@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_coverage_holds_overall_and_for_each_emotion_however_rare(coverage: float) -> None:
    rng = np.random.default_rng(5)
    held, wanted = np.zeros((200, 3)), np.zeros((200, 3))
    for number in range(200):
        sets = PredictionSets.fit(*planted(rng, 400), WORDS)
        probabilities, targets = planted(rng, 1000)
        held[number] = covered(sets, probabilities, targets, coverage).sum(axis=0)
        wanted[number] = targets.sum(axis=0)
    by_emotion = held / wanted
    mean, error = by_emotion.mean(axis=0), by_emotion.std(axis=0) / math.sqrt(200)
    # Promised is at least the coverage, and at most 1 / (n + 1) more: n is 240, 120 and 40 here.
    assert (mean > coverage - 3 * error).all()
    assert (mean < coverage + 1 / (400 * RARE) + 3 * error + 0.001).all()
    assert (error < 0.006).all()
    assert held.sum() / wanted.sum() == pytest.approx(coverage, abs=0.01)


def test_one_threshold_for_all_would_fail_the_rare_emotion_of_this_planted_world() -> None:
    rng = np.random.default_rng(6)
    probabilities, targets = planted(rng, 4000)
    own = (probabilities * targets).sum(axis=1)
    within = own >= np.quantile(own, 0.1)
    assert within.mean() == pytest.approx(0.9, abs=0.01)
    assert within[targets[:, 2] == 1].mean() < 0.6


def test_with_votes_the_word_that_one_viewer_chooses_is_covered() -> None:
    rng = np.random.default_rng(7)
    shares = []
    for _ in range(200):
        logits = 2 * rng.normal(size=(900, 3))
        votes = rng.multinomial(20, softmax(logits)) / 20
        sets = PredictionSets.fit(softmax(logits[:300]), votes[:300], WORDS)
        held = covered(sets, softmax(logits[300:]), votes[300:], 0.9)
        shares.append(held.sum(axis=0) / votes[300:].sum(axis=0))
    assert (np.mean(shares, axis=0) > 0.9 - 0.003).all()
    assert (np.mean(shares, axis=0) < 0.92).all()


def test_a_label_is_a_picture_with_all_votes_for_one_word() -> None:
    """The thresholds are those order statistics that the textbook names."""
    own = np.linspace(0.01, 0.99, 39)
    probabilities = np.stack([own, 1 - own, 0 * own], axis=1)
    sets = PredictionSets.fit(probabilities, np.eye(3)[np.zeros(39, int)], WORDS)
    for level, threshold in zip(sets.coverages, sets.thresholds[0], strict=True):
        rank = math.ceil(round(40 * level, 9))  # of ceil((n + 1) level), n = 39
        expected = np.sort(own)[::-1][rank - 1] if rank <= 39 else 0.0
        assert threshold == pytest.approx(expected, abs=1e-6)
        assert threshold <= expected
    assert sets.pictures == (39.0, 0.0, 0.0)


def test_votes_that_are_halved_and_doubled_in_number_of_pictures_need_as_much() -> None:
    rng = np.random.default_rng(8)
    probabilities = softmax(rng.normal(size=(60, 3)))
    votes = np.tile([0.5, 0.5, 0.0], (60, 1))
    once = PredictionSets.fit(probabilities, votes, WORDS)
    labels = np.eye(3)[np.tile([0, 1], 60)]
    twice = PredictionSets.fit(np.repeat(probabilities, 2, axis=0), labels, WORDS)
    assert once.pictures == (30.0, 30.0, 0.0) and twice.pictures == (60.0, 60.0, 0.0)
    # Half the weight means a larger correction for what is not known, never smaller sets.
    assert (np.array(once.thresholds) <= np.array(twice.thresholds)).all()


@pytest.mark.parametrize(("pictures", "highest"), [(0, None), (1, 0.5), (8, 0.88), (9, 0.9), (99, 0.99)])
def test_a_word_with_too_few_pictures_for_a_level_is_always_in_the_set(
    pictures: int, highest: float | None
) -> None:
    probabilities = np.full((pictures + 1, 3), [0.2, 0.5, 0.3])
    targets = np.eye(3)[[0] * pictures + [1]]
    own = PredictionSets.fit(probabilities, targets, WORDS).thresholds[0]
    certain = [level for level, threshold in zip(LEVELS, own, strict=True) if threshold > 0]
    assert (certain[-1] if certain else None) == highest


def test_equal_probabilities_are_all_in_the_set_or_none_of_them() -> None:
    probabilities = np.tile([0.5, 0.3, 0.2], (100, 1))
    targets = np.eye(3)[np.arange(100) % 3]
    sets = PredictionSets.fit(probabilities, targets, WORDS)
    assert sets.members(probabilities, 0.9).all()
    even = WORDS.distribution({"calm": 1, "glad": 1, "sad": 1})
    assert sets.of(even, 0.9) == ("calm", "glad", "sad")


def test_the_most_probable_word_is_in_a_set_that_would_be_empty_or_without_it() -> None:
    sets = PredictionSets(
        vocabulary=WORDS, coverages=(0.9,), thresholds=((0.7,), (0.9,), (0.2,)), pictures=(20.0, 20.0, 20.0)
    )
    unsure = WORDS.distribution({"calm": 0.5, "glad": 0.4, "sad": 0.1})
    assert not sets.members([unsure.probabilities], 0.9, keep_top=False).any()
    assert sets.of(unsure, 0.9) == ("calm",)
    assert sets.of(WORDS.distribution({"calm": 0.6, "sad": 0.4}), 0.9) == ("calm", "sad")


@st.composite
def fitted(draw: st.DrawFn) -> tuple[PredictionSets, Doubles]:
    """Sets fitted to few or many pictures with labels or votes, and pictures to predict."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    pictures = draw(st.integers(1, 200))
    spread = draw(st.sampled_from([0.0, 0.5, 2.0, 50.0]))
    probabilities = softmax(spread * rng.normal(size=(pictures, 8)))
    targets = rng.dirichlet(np.full(8, draw(st.sampled_from([0.01, 1.0]))), size=pictures)
    return PredictionSets.fit(probabilities, targets, MIKELS), softmax(spread * rng.normal(size=(20, 8)))


@unhurried
@given(fitted(), st.floats(0.5, 0.99), st.floats(0.5, 0.99), st.booleans())
def test_sets_are_nested_in_coverage_and_never_empty(
    world: tuple[PredictionSets, Doubles], one: float, other: float, unusual: bool
) -> None:
    sets, probabilities = world
    low, high = sorted((one, other))
    narrow = sets.members(probabilities, low, unusual=unusual)
    wide = sets.members(probabilities, high, unusual=unusual)
    assert (narrow <= wide).all() and narrow.any(axis=1).all()
    assert (sets.members(probabilities, high) <= sets.members(probabilities, high, unusual=True)).all()


@unhurried
@given(fitted(), st.sampled_from(LEVELS))
def test_a_set_of_one_picture_is_what_many_pictures_at_once_give(
    world: tuple[PredictionSets, Doubles], coverage: float
) -> None:
    sets, probabilities = world
    marked = sets.members(probabilities, coverage)
    for row, within in zip(probabilities, marked, strict=True):
        emotions = MIKELS.distribution(dict(zip(MIKELS.words, row, strict=True)))
        found = sets.of(emotions, coverage)
        assert found[0] == emotions.top
        assert [emotions[word] for word in found] == sorted((emotions[word] for word in found), reverse=True)
        assert set(found) == {word for word, own in zip(MIKELS.words, within, strict=True) if own}


def test_a_level_between_two_is_served_by_the_next_higher() -> None:
    rng = np.random.default_rng(9)
    sets = PredictionSets.fit(*planted(rng, 300), WORDS)
    probabilities, _ = planted(rng, 500)
    between, higher = sets.members(probabilities, 0.853), sets.members(probabilities, 0.86)
    assert (between == higher).all()
    assert (between != sets.members(probabilities, 0.85)).any()


@pytest.mark.parametrize(("coverage", "stricter"), [(0.9, 0.95), (0.5, 0.75), (0.97, 0.99), (0.99, 0.99)])
def test_an_unusual_picture_gets_the_set_that_misses_half_as_often(coverage: float, stricter: float) -> None:
    rng = np.random.default_rng(10)
    sets = PredictionSets.fit(*planted(rng, 2000), WORDS)
    probabilities, _ = planted(rng, 500)
    assert (
        sets.members(probabilities, coverage, unusual=True) == sets.members(probabilities, stricter)
    ).all()


@unhurried
@given(fitted())
def test_sets_are_the_same_after_json(world: tuple[PredictionSets, Doubles]) -> None:
    sets, _ = world
    assert PredictionSets.from_json(json.loads(json.dumps(sets.to_json())), MIKELS) == sets


def test_words_in_json_are_found_by_name_in_any_order() -> None:
    sets = PredictionSets.fit(*planted(np.random.default_rng(11), 50), WORDS)
    turned = Vocabulary("moods", ("sad", "calm", "glad"))
    read = PredictionSets.from_json(sets.to_json() | {"later": 1}, turned)
    assert read.thresholds == (sets.thresholds[2], sets.thresholds[0], sets.thresholds[1])


def stored(**changes: object) -> dict[str, object]:
    """JSON of small sets, with changes."""
    plain: dict[str, object] = {
        "vocabulary": "moods",
        "coverages": [0.8, 0.9],
        "thresholds": {"calm": [0.5, 0.2], "glad": [0.4, 0.3], "sad": [0.6, 0.0]},
        "pictures": {"calm": 9, "glad": 9, "sad": 3},
    }
    return plain | changes


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"coverages": "many"}, "Expected `array`, got `str`"),
        ({"coverages": []}, "levels of coverage"),
        ({"coverages": [0.9, 0.8]}, "levels of coverage must lie between 0 and 1 and rise"),
        ({"coverages": [0.8, 1.0]}, "levels of coverage"),
        ({"coverages": [0.8, 0.9, 0.95]}, "3 thresholds, one a level"),
        (
            {"thresholds": {"calm": [0.5, 0.2], "glad": [0.4, 0.3], "sad": [0.1, 0.2]}},
            "not rise with coverage",
        ),
        ({"thresholds": {"calm": [1.5, 0.2], "glad": [0.4, 0.3], "sad": [0.1, 0.0]}}, "between 0 and 1"),
        ({"thresholds": {"calm": [0.5, 0.2], "glad": [0.4, 0.3]}}, "they are of moods"),
        ({"pictures": {"calm": -1, "glad": 9, "sad": 3}}, "3 numbers of pictures"),
        ({"vocabulary": "mikels-8"}, "they are of mikels-8"),
    ],
)
def test_json_that_is_not_prediction_sets_is_an_error(changes: dict[str, object], reason: str) -> None:
    assert PredictionSets.from_json(stored(), WORDS).to_json() == stored()
    with pytest.raises(BadPredictionSets, match=reason):
        PredictionSets.from_json(stored(**changes), WORDS)


@pytest.mark.parametrize("data", [None, [], {}, {"vocabulary": "moods"}])
def test_json_without_thresholds_is_an_error(data: object) -> None:
    with pytest.raises(BadPredictionSets, match="Fit them again"):
        PredictionSets.from_json(data, WORDS)


@pytest.mark.parametrize("coverage", [0.0, 0.49, 0.995, 1.0, -1.0, 90.0, math.nan])
def test_a_coverage_outside_the_levels_is_an_error_that_names_them(coverage: float) -> None:
    sets = PredictionSets.fit(*planted(np.random.default_rng(12), 50), WORDS)
    with pytest.raises(SettingsError, match=r"not possible: these prediction sets have 0\.5 to 0\.99"):
        sets.of(WORDS.only("sad"), coverage)


def test_another_vocabulary_is_an_error() -> None:
    sets = PredictionSets.fit(*planted(np.random.default_rng(13), 50), WORDS)
    with pytest.raises(SettingsError, match=r"of moods \(calm, glad, sad\), not of ekman-6"):
        sets.of(EKMAN.only("joy"), 0.9)
    with pytest.raises(SettingsError, match="3 columns, but mikels-8 has 8 words"):
        PredictionSets.fit(*planted(np.random.default_rng(13), 50), MIKELS)


@pytest.mark.parametrize(
    ("probabilities", "targets"),
    [
        (np.zeros((0, 3)), np.zeros((0, 3))),
        ([[0.2, 0.3, 0.5]], [[1.0, 0.0]]),
        ([[2.0, 3.0, 5.0]], [[1.0, 0.0, 0.0]]),
        ([[0.2, 0.3, 0.5]], [[0.0, 0.0, 0.0]]),
        ([[0.2, 0.3, math.nan]], [[1.0, 0.0, 0.0]]),
    ],
)
def test_what_is_not_a_distribution_is_an_error(probabilities: object, targets: object) -> None:
    with pytest.raises(NotMeasurable):
        PredictionSets.fit(probabilities, targets, WORDS)  # type: ignore[arg-type]
    with pytest.raises(NotMeasurable):
        risk_coverage(probabilities, targets)  # type: ignore[arg-type]


def test_logits_are_fitted_at_the_models_temperature() -> None:
    rng = np.random.default_rng(14)
    logits, targets = rng.normal(size=(80, 3)), np.eye(3)[rng.integers(0, 3, 80)]
    expected = PredictionSets.fit(softmax(logits / 0.7), targets, WORDS)
    assert PredictionSets.fit_logits(logits, targets, WORDS, 0.7) == expected


@unhurried
@given(st.integers(0, 10_000), st.integers(1, 60), st.booleans())
def test_the_curve_is_what_answering_the_most_confident_gives(seed: int, pictures: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    confidence = rng.integers(5, 10, pictures) / 10 if ties else rng.uniform(0.5, 1, pictures)
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    targets = np.eye(2)[rng.integers(0, 2, pictures)]
    found = risk_coverage(probabilities, targets)
    wrong = targets[:, 1]
    for bound, answered, errors in zip(found.confidences, found.answered, found.errors, strict=True):
        kept = confidence >= bound
        assert answered == pytest.approx(kept.mean()) and errors == pytest.approx(wrong[kept].mean())
        assert found.at(bound).errors == errors
    assert found.answered[-1] == 1.0 and found.errors[-1] == pytest.approx(wrong.mean())
    if not ties:
        order = np.argsort(-confidence)
        area = (wrong[order].cumsum() / np.arange(1, pictures + 1)).mean()
        assert found.area == pytest.approx(area)


def test_where_all_are_equally_confident_the_area_is_the_error() -> None:
    probabilities = np.tile([0.7, 0.3], (10, 1))
    found = risk_coverage(probabilities, np.eye(2)[[0] * 6 + [1] * 4])
    assert found.answered == (1.0,) and found.area == pytest.approx(0.4)


def test_a_confidence_that_no_picture_has_leaves_nothing_to_be_wrong() -> None:
    found = risk_coverage([[0.6, 0.4]], [[1.0, 0.0]])
    assert (found.at(0.7).answered, found.at(0.7).errors) == (0.0, None)
    assert (found.at(0.6).answered, found.at(0.6).errors) == (1.0, 0.0)
    with pytest.raises(SettingsError, match=r"between 0 and 1, and 1\.2 does not"):
        found.at(1.2)
