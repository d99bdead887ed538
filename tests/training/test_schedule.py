"""Steps, epochs, sizes and learning rates of a run."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest

from affectlens.preprocess import PreprocessingSettings
from affectlens.training.schedule import Schedule, lr_at
from affectlens.training.settings import SCHEDULES, Settings

SMALL = Settings(batch_size=5, preprocessing=PreprocessingSettings(height=32, width=32))


def test_low_resolution_comes_first() -> None:
    schedule = Schedule(100, replace(SMALL, epochs=4, low_res_size=16, low_res_fraction=0.5))
    assert [schedule.size(epoch).height for epoch in range(4)] == [16, 16, 32, 32]


def test_patches_are_dropped_first() -> None:
    schedule = Schedule(100, replace(SMALL, epochs=4, patch_dropout_fraction=0.75))
    assert [schedule.drops_patches(epoch) for epoch in range(4)] == [True, True, True, False]
    assert Schedule(100, replace(SMALL, epochs=2.5)).drops_patches(2)


def test_steps_cover_the_epochs_without_a_remainder() -> None:
    schedule = Schedule(103, replace(SMALL, epochs=2.5, batch_size=10))
    assert schedule.total_steps == 26
    ends = [n for n in range(26) if schedule.ends_epoch(n)]
    assert ends == [10, 20, 25]


def test_the_learning_rate_rises_to_its_peak_and_falls_to_nothing() -> None:
    lrs = [lr_at(step, 200, 0, Settings(warmup=0.1)) for step in range(200)]
    assert lrs[:20] == sorted(lrs[:20]) and lrs[19:] == sorted(lrs[19:], reverse=True)
    assert max(lrs) == 1 and lrs[0] > 0 and lrs[-1] < 1e-3
    assert lrs[110] == pytest.approx(0.5 * (1 + math.cos(math.pi * 90 / 180)))


def test_a_run_of_one_step_has_a_learning_rate() -> None:
    for schedule in SCHEDULES:
        assert lr_at(0, 1, 0, Settings(warmup=0.0, schedule=schedule)) == 1


def test_a_straight_line_falls_by_the_same_at_every_step_and_ends_just_above_nothing() -> None:
    settings = Settings(warmup=0.1, schedule="linear")
    lrs = [lr_at(step, 200, 0, settings) for step in range(200)]
    assert lrs[:20] == [lr_at(step, 200, 0, Settings(warmup=0.1)) for step in range(20)]
    falls = [before - after for before, after in pairwise(lrs[20:])]
    assert lrs[20] == 1 and falls == pytest.approx([1 / 180] * 179)
    assert lrs[-1] == pytest.approx(1 / 180)


def lrs_by_epoch(settings: Settings, pictures: int) -> list[set[float]]:
    """Every learning rate that each epoch of a run sees."""
    schedule = Schedule(pictures, settings)
    lrs: list[set[float]] = [set() for _ in range(int(settings.epochs))]
    for step in range(schedule.total_steps):
        lrs[schedule.epoch_of(step)].add(schedule.lr(step))
    return lrs


@pytest.mark.parametrize("pictures", [64, 103])  # with 103, epochs begin within a batch
def test_a_learning_rate_that_is_halved_every_ten_epochs_is_so_to_the_bit(pictures: int) -> None:
    settings = Settings(
        epochs=60, batch_size=16, lr=1e-4, warmup=0.0,
        schedule="steps", step_epochs=10, step_factor=0.5,
    )  # fmt: skip
    lrs = lrs_by_epoch(settings, pictures)
    levels = [1e-4, 5e-5, 2.5e-5, 1.25e-5, 6.25e-6, 3.125e-6]
    assert lrs == [{levels[epoch // 10]} for epoch in range(60)]


def test_a_tenth_every_ten_epochs_leaves_almost_nothing_at_seventy() -> None:
    settings = Settings(
        epochs=80, batch_size=32, lr=1e-3, warmup=0.0,
        schedule="steps", step_epochs=10, step_factor=0.1,
    )  # fmt: skip
    lrs = lrs_by_epoch(settings, 100)
    assert all(len(seen) == 1 for seen in lrs)
    levels = [10.0 ** -(3 + epoch // 10) for epoch in range(80)]
    assert [seen.pop() for seen in lrs] == pytest.approx(levels, rel=1e-12, abs=0)
    assert levels[69:71] == [1e-9, 1e-10]


def test_a_learning_rate_that_falls_in_steps_rises_first_where_a_warm_up_is_set() -> None:
    settings = Settings(warmup=0.5, schedule="steps", step_epochs=1, step_factor=0.5)
    lrs = [lr_at(step, 8, step // 2, settings) for step in range(8)]
    assert lrs == [0.25, 0.5, 0.375, 0.5, 0.25, 0.25, 0.125, 0.125]
