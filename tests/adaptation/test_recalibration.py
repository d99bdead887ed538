"""Planted worlds, whose right calibration is known: too sure, right already, labels that are noise."""

from collections.abc import Callable

import numpy as np
import pytest

from affectlens.adaptation.recalibration import (
    COVERAGES,
    DividedPictures,
    EmotionAnswers,
    EmotionFit,
    RatingFit,
    carried_sets,
    chance_of,
    refit_emotions,
    refit_rating,
)
from affectlens.emotions import MIKELS
from affectlens.inference.coverage import PredictionSets
from affectlens.metrics import Doubles, softmax
from affectlens.ratings import RatingScale, conformal_half_widths

SIZE = len(MIKELS)
SEEDS = range(6)


def pictures(count: int, seed: int, groups: int = 0) -> DividedPictures:
    rng = np.random.default_rng(seed)
    folds = np.stack([rng.permutation(count) % 5 for _ in range(3)])
    return DividedPictures(folds, [str(row % groups if groups else row) for row in range(count)], seed)


def labelled(count: int, seed: int, sureness: float = 1.0) -> tuple[Doubles, Doubles]:
    """Logits, and labels that are sampled by probabilities of `sureness` times less."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count, SIZE)) * 2
    chosen = [rng.choice(SIZE, p=row) for row in softmax(logits / sureness)]
    return logits, np.eye(SIZE)[chosen]


SETS = PredictionSets.fit_logits(*labelled(20_000, 99), MIKELS, 1.0)


def refitted(
    count: int, seed: int, sureness: float = 1.0, noise: bool = False, sets: PredictionSets | None = SETS
) -> EmotionFit:
    logits, targets = labelled(count, seed, sureness)
    if noise:
        targets = np.random.default_rng(seed).permutation(targets)
    return refit_emotions(EmotionAnswers(logits, targets, MIKELS), 1.0, sets, pictures(count, seed))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_model_that_is_too_sure_gets_its_temperature_and_sets_that_hold_their_coverage(seed: int) -> None:
    found = refitted(500, seed, sureness=2.0)
    temperature, sets = found.parts
    assert temperature.changed and 1.6 < found.temperature < 2.5
    gain = temperature.changes["negative log-likelihood"].gain
    assert gain is not None and gain.low > 0
    assert sets.changed and found.sets != SETS
    coverage = sets.changes["coverage at 0.9"]
    assert coverage.before is not None and coverage.after is not None
    assert coverage.before.value < 0.8 < 0.87 < coverage.after.value < 0.93


def test_what_is_refitted_holds_on_new_pictures_of_the_same_world() -> None:
    found = refitted(800, 0, sureness=2.0)
    logits, targets = labelled(4000, 1000, sureness=2.0)
    assert found.sets is not None
    for coverage in COVERAGES:
        held = found.sets.members(softmax(logits / found.temperature), coverage)
        assert (held * targets).sum(axis=1).mean() == pytest.approx(coverage, abs=0.03)


def test_a_model_that_is_right_already_keeps_its_temperature_and_mostly_its_sets() -> None:
    found = [refitted(500, seed) for seed in SEEDS]
    assert all(each.temperature == 1.0 and not each.parts[0].changed for each in found)
    assert sum(each.parts[1].changed for each in found) <= 1


@pytest.mark.parametrize("seed", SEEDS)
def test_labels_that_are_noise_change_nothing_though_a_temperature_would_lower_the_loss(seed: int) -> None:
    found = refitted(500, seed, noise=True)
    assert (found.temperature, found.sets) == (1.0, SETS)
    assert all("not shown to follow these labels" in part.reason for part in found.parts)


@pytest.mark.parametrize("world", [{"sureness": 2.0}, {}, {"noise": True}, {"sureness": 0.5}])
@pytest.mark.parametrize("count", [60, 200])
def test_no_part_is_changed_that_is_worse_on_its_own_folds(world: dict[str, float], count: int) -> None:
    for seed in SEEDS:
        temperature, sets = refitted(count, seed, **world).parts  # type: ignore[arg-type]
        if temperature.changed:
            change = temperature.changes["negative log-likelihood"]
            assert change.before is not None and change.after is not None
            assert change.after.value < change.before.value
        assert not (sets.changed and count == 60)  # some emotion has too few


def test_sets_are_brought_to_a_new_temperature_where_an_emotion_has_too_few_pictures() -> None:
    logits, targets = labelled(150, 1, sureness=2.0)
    found = refit_emotions(EmotionAnswers(logits, targets, MIKELS), 1.0, SETS, pictures(150, 1))
    _, sets = found.parts
    assert found.temperature > 1 and sets.brought and not sets.changed and "too few" in sets.reason
    assert found.sets is not None and found.sets != SETS
    for coverage in SETS.coverages:
        former = SETS.members(softmax(logits), coverage)
        assert (found.sets.members(softmax(logits / found.temperature), coverage) >= former).all()


def test_sets_at_the_same_probabilities_are_brought_to_about_themselves() -> None:
    probabilities = softmax(labelled(5000, 3)[0])
    found = carried_sets(SETS, probabilities, probabilities)
    for coverage in SETS.coverages:
        assert (found.members(probabilities, coverage) == SETS.members(probabilities, coverage)).all()


def test_a_model_without_sets_gets_some_where_each_emotion_has_pictures_enough() -> None:
    few, enough = refitted(150, 0, sets=None), refitted(500, 0, sets=None)
    assert few.sets is None and not few.parts[1].changed
    assert enough.sets is not None and enough.parts[1].added
    assert enough.parts[1].changes["coverage at 0.9"].before is None


def test_too_few_pictures_or_groups_change_nothing() -> None:
    logits, targets = labelled(400, 0, sureness=3.0)
    answers = EmotionAnswers(logits, targets, MIKELS)
    in_groups = refit_emotions(answers, 1.0, SETS, pictures(400, 0, groups=10))
    some = EmotionAnswers(logits[:49], targets[:49], MIKELS)
    for found, reason in (
        (in_groups, "in 10 groups"),
        (refit_emotions(some, 1.0, SETS, pictures(49, 0)), "49 pictures"),
    ):
        assert found.temperature == 1.0 and all(reason in part.reason for part in found.parts)


def test_a_world_without_a_best_temperature_is_left_as_it_is() -> None:
    logits = np.random.default_rng(0).normal(size=(200, SIZE))
    right = EmotionAnswers(logits, np.eye(SIZE)[logits.argmax(axis=1)], MIKELS)
    found = refit_emotions(right, 1.0, None, pictures(200, 0))
    assert found.temperature == 1.0 and "no temperature is best" in found.parts[0].reason


# ------------------------------------------------------------------------------------------------ ratings


def scale(error: float = 1.0) -> RatingScale:
    coverages = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
    errors = np.random.default_rng(9).normal(0, error, 100_000)
    widths = conformal_half_widths(errors, coverages)
    return RatingScale(name="valence", coverages=coverages, half_widths=widths)


def rated(
    count: int, seed: int, change: Callable[[Doubles], Doubles] = lambda read: read, error: float = 1.0
) -> RatingFit:
    rng = np.random.default_rng(seed)
    read = rng.normal(5, 1.2, count)
    values = np.clip(change(read) + rng.normal(0, error, count), 1, 9)
    return refit_rating(scale(), read, values, pictures(count, seed))


@pytest.mark.parametrize("seed", SEEDS)
def test_ratings_on_another_line_get_it_and_intervals_that_hold(seed: int) -> None:
    found = rated(400, seed, lambda read: 0.7 * read + 2.5, error=0.5)
    assert found.part.changed
    assert found.factor == pytest.approx(0.7, abs=0.1) and found.offset == pytest.approx(2.5, abs=0.5)
    assert found.scale.half_width(0.9) == pytest.approx(0.5 * 1.645, abs=0.15)


def test_ratings_that_are_right_already_are_mostly_left_as_they_are() -> None:
    found = [rated(200, seed) for seed in range(20)]
    assert sum(each.part.changed for each in found) <= 3
    assert all(each.scale == scale() for each in found if not each.part.changed)


def test_intervals_alone_are_refitted_where_the_line_is_right_and_they_are_too_narrow() -> None:
    found = rated(300, 1, error=1.8)
    assert (found.factor, found.offset) == (1.0, 0.0) and found.part.name == "intervals of valence"
    assert found.scale.half_width(0.9) > scale().half_width(0.9) * 1.5


@pytest.mark.parametrize("seed", SEEDS)
def test_ratings_that_are_noise_change_nothing_though_their_mean_is_closer(seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = refit_rating(scale(), rng.normal(5, 1.2, 300), rng.normal(5, 0.5, 300), pictures(300, seed))
    assert (found.factor, found.offset, found.scale) == (1.0, 0.0, scale())
    assert "not shown to follow these ratings" in found.part.reason


def test_coverages_that_so_few_pictures_cannot_promise_are_left_out() -> None:
    found = rated(60, 0, lambda read: read + 2)
    assert found.scale.coverages == (0.5, 0.8, 0.9, 0.95, 0.98)


def test_coverage_is_tested_exactly() -> None:
    assert chance_of(25, 25, 0.9) == pytest.approx(2 * 0.9**25)
    assert chance_of(90, 100, 0.9) == 1.0
    assert chance_of(70, 100, 0.9) < 1e-6


def test_models_that_know_other_coverages_are_calibrated_at_the_nearest_that_they_have() -> None:
    coverages = (0.6, 0.8)
    few = PredictionSets(
        vocabulary=MIKELS, coverages=coverages, pictures=SETS.pictures,
        thresholds=tuple((row[10], row[30]) for row in SETS.thresholds),
    )  # fmt: skip
    assert SETS.coverages[10] == 0.6 and SETS.coverages[30] == 0.8
    assert refitted(500, 0, sureness=2.0, sets=few).parts[1].changed
    assert refitted(500, 0, sets=few).sets == few
    narrow = RatingScale(name="valence", coverages=coverages, half_widths=(0.84, 1.28))
    read = np.random.default_rng(0).normal(5, 1.2, 300)
    values = read + 1 + np.random.default_rng(1).normal(size=300)
    found = refit_rating(narrow, read, values, pictures(300, 0))
    assert found.part.changed and found.scale.coverages == coverages
