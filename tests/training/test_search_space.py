"""The table of what a search changes, and how it samples."""

import random
from dataclasses import replace

import pytest

from affectlens import recipes
from affectlens.training.search_space import (
    KNOBS,
    Knob,
    beginnings,
    knobs,
    name_of_draw,
    perturb,
    values_at,
)
from affectlens.training.settings import Settings, override, setting, with_values

PLAIN = Settings(network="test_efficientnet", weights="none")
LEARNING_RATE = Knob("lr", 1e-5, 1e-2, "factor", 1.25)


def names(settings: Settings) -> set[str]:
    return {knob.name for knob in knobs(settings)}


@pytest.mark.parametrize("knob", KNOBS, ids=lambda knob: knob.name)
def test_limits_stand_at_the_ends_and_every_value_has_a_place(knob: Knob) -> None:
    assert knob.value(0.0) == pytest.approx(knob.low) and knob.value(1.0) == pytest.approx(knob.high)
    for position in (0.0, 0.2, 0.7, 1.0):
        tolerance = 0.5 / (knob.high - knob.low) if knob.whole else 1e-5
        assert knob.position(knob.value(position)) == pytest.approx(position, abs=tolerance)


def test_a_factor_moves_by_factors_and_a_step_by_steps() -> None:
    up = LEARNING_RATE.position(1e-3) + LEARNING_RATE.stride
    assert LEARNING_RATE.value(up) == pytest.approx(1.25e-3)
    smoothing = Knob("label_smoothing", 0.0, 0.3, "step", 0.05)
    assert smoothing.value(smoothing.position(0.1) + smoothing.stride) == pytest.approx(0.15)


def test_neither_the_seed_nor_the_length_is_searched() -> None:
    assert not {knob.name for knob in KNOBS} & {"seed", "epochs", "batch_size", "warmup", "select_by"}


@pytest.mark.parametrize("recipe", ["default", "plain", "mlm_paper", "mam_paper", "vit_emoset_multitask"])
def test_every_value_in_the_table_is_a_setting_that_the_recipe_takes(recipe: str) -> None:
    settings = recipes.recipe(recipe)
    table = knobs(settings)
    for position in (0.0, 0.5, 1.0):
        values = values_at(table, dict.fromkeys([knob.name for knob in table], position))
        changed = with_values(settings, values)
        assert all(setting(changed, name) == value for name, value in values.items())


def test_limits_of_the_learning_rate_follow_the_recipe() -> None:
    table = {knob.name: knob for knob in knobs(replace(PLAIN, lr=0.02))}
    assert (table["lr"].low, table["lr"].high) == pytest.approx((0.002, 0.1))


def test_a_loss_that_is_off_stays_off_and_whole_pictures_stay_whole() -> None:
    assert "loss.similarity" not in names(PLAIN) and "mixup" in names(PLAIN)
    pairs = names(override(PLAIN, ["loss.similarity=1", "loss.similarity_of=logits"]))
    assert "loss.similarity" in pairs and not pairs & {"mixup", "cutmix"}


def test_a_network_is_asked_only_for_what_it_has() -> None:
    assert "network_options.drop_path" in names(replace(PLAIN, network="test_vit"))
    assert "network_options.drop_path" not in names(recipes.recipe("mlm_paper"))


def test_the_first_member_begins_as_the_recipe_says_and_the_others_cover_each_range() -> None:
    settings = override(PLAIN, ["label_smoothing=0.1", "weight_decay=0.05", "augmentation.crop_scale=0.4"])
    table = knobs(settings)
    first, *others = beginnings(table, settings, 9, seed=1)
    for name, value in values_at(table, first).items():
        assert value == pytest.approx(setting(settings, name))
    for knob in table:
        assert sorted(int(8 * other[knob.name]) for other in others) == list(range(8))


def test_the_same_seed_begins_alike_and_another_differently() -> None:
    table = knobs(PLAIN)
    assert beginnings(table, PLAIN, 4, seed=1) == beginnings(table, PLAIN, 4, seed=1)
    assert beginnings(table, PLAIN, 4, seed=1)[1:] != beginnings(table, PLAIN, 4, seed=2)[1:]


def test_perturbing_stays_within_the_limits_and_moves_by_one_stride_or_anywhere() -> None:
    table = knobs(PLAIN)
    draw = random.Random(0)
    positions = dict.fromkeys([knob.name for knob in table], 0.01)
    strides = 0
    for _ in range(200):
        moved = perturb(table, positions, draw)
        assert all(0 <= position <= 1 for position in moved.values())
        rate = next(knob for knob in table if knob.name == "lr")
        strides += moved["lr"] in (0.0, 0.01 + rate.stride)
    assert 120 <= strides <= 175  # three quarters of 200, within chance


def test_a_draw_is_named_by_its_values_and_by_what_it_was_drawn_from() -> None:
    name = name_of_draw({"a": 1.0, "b": 2.0}, None)
    assert name == name_of_draw({"b": 2.0, "a": 1.0}, None)
    assert (
        len({name, name_of_draw({"a": 1.0, "b": 2.5}, None), name_of_draw({"a": 1.0, "b": 2.0}, name)}) == 3
    )
