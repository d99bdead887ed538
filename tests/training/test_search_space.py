"""The table of what a search changes, and how it samples."""

import random
from dataclasses import replace

import pytest

from affectlens.recipes.catalog import recipe
from affectlens.training.search_space import (
    HYPERPARAMETERS,
    Hyperparameter,
    initial_points,
    perturb,
    sample_id,
    search_space,
    values_at,
)
from affectlens.training.settings import Settings, override, setting, with_values

PLAIN = Settings(network="test_efficientnet", weights="none")
LR = Hyperparameter("lr", 1e-5, 1e-2, "log", 1.25)


def names(settings: Settings) -> set[str]:
    return {each.name for each in search_space(settings)}


@pytest.mark.parametrize("each", HYPERPARAMETERS, ids=lambda each: each.name)
def test_limits_are_at_the_ends_and_every_value_has_a_point(each: Hyperparameter) -> None:
    assert each.value_at(0.0) == pytest.approx(each.low) and each.value_at(1.0) == pytest.approx(each.high)
    for unit in (0.0, 0.2, 0.7, 1.0):
        tolerance = 0.5 / (each.high - each.low) if each.integer else 1e-5
        assert each.unit_of(each.value_at(unit)) == pytest.approx(unit, abs=tolerance)


def test_a_log_scale_steps_by_factors_and_a_linear_one_by_differences() -> None:
    up = LR.unit_of(1e-3) + LR.unit_step
    assert LR.value_at(up) == pytest.approx(1.25e-3)
    smoothing = Hyperparameter("label_smoothing", 0.0, 0.3, "linear", 0.05)
    assert smoothing.value_at(smoothing.unit_of(0.1) + smoothing.unit_step) == pytest.approx(0.15)


def test_neither_the_seed_nor_the_length_is_searched() -> None:
    assert not {each.name for each in HYPERPARAMETERS} & {
        "seed",
        "epochs",
        "batch_size",
        "warmup",
        "select_by",
    }


def test_colours_are_not_varied_where_attributes_measure_them() -> None:
    varied = {"augmentation.colour_jitter", "augmentation.rand_augment"}
    assert varied <= names(recipe("pair"))
    assert not varied & names(recipe("vit_emoset_multitask"))


@pytest.mark.parametrize("name", ["pair", "plain", "mlm_paper", "mam_paper", "vit_emoset_multitask"])
def test_every_value_in_the_table_is_a_setting_that_the_recipe_takes(name: str) -> None:
    settings = recipe(name)
    space = search_space(settings)
    for unit in (0.0, 0.5, 1.0):
        values = values_at(space, dict.fromkeys([each.name for each in space], unit))
        changed = with_values(settings, values)
        assert all(setting(changed, key) == value for key, value in values.items())


def test_limits_of_the_learning_rate_follow_the_recipe() -> None:
    space = {each.name: each for each in search_space(replace(PLAIN, lr=0.02))}
    assert (space["lr"].low, space["lr"].high) == pytest.approx((0.002, 0.1))


def test_a_loss_that_is_off_stays_off_and_pairs_of_pictures_stay_unmixed() -> None:
    assert "loss.similarity" not in names(PLAIN) and "mixup" in names(PLAIN)
    pairs = names(override(PLAIN, ["loss.similarity=1", "loss.similarity_of=logits"]))
    assert "loss.similarity" in pairs and not pairs & {"mixup", "cutmix"}


def test_a_network_is_searched_only_for_what_it_has() -> None:
    assert "network_options.drop_path" in names(replace(PLAIN, network="test_vit"))
    assert "network_options.drop_path" not in names(recipe("mlm_paper"))


def test_the_first_member_begins_with_the_recipe_and_the_others_cover_each_range() -> None:
    settings = override(PLAIN, ["label_smoothing=0.1", "weight_decay=0.05", "augmentation.crop_scale=0.4"])
    space = search_space(settings)
    first, *others = initial_points(space, settings, 9, seed=1)
    for name, value in values_at(space, first).items():
        assert value == pytest.approx(setting(settings, name))
    for each in space:
        assert sorted(int(8 * other[each.name]) for other in others) == list(range(8))


def test_the_same_seed_begins_alike_and_another_differently() -> None:
    space = search_space(PLAIN)
    assert initial_points(space, PLAIN, 4, seed=1) == initial_points(space, PLAIN, 4, seed=1)
    assert initial_points(space, PLAIN, 4, seed=1)[1:] != initial_points(space, PLAIN, 4, seed=2)[1:]


def test_perturbing_stays_within_the_limits_and_moves_by_one_step_or_anywhere() -> None:
    space = search_space(PLAIN)
    lr = next(each for each in space if each.name == "lr")
    generator = random.Random(0)
    point = dict.fromkeys([each.name for each in space], 0.01)
    steps = 0
    for _ in range(200):
        moved = perturb(space, point, generator)
        assert all(0 <= unit <= 1 for unit in moved.values())
        steps += moved["lr"] in (0.0, 0.01 + lr.unit_step)
    # Three quarters of 200, within chance.
    assert 120 <= steps <= 175


def test_a_sample_is_named_by_its_values_and_by_what_it_was_sampled_from() -> None:
    name = sample_id({"a": 1.0, "b": 2.0}, None)
    assert name == sample_id({"b": 2.0, "a": 1.0}, None)
    assert len({name, sample_id({"a": 1.0, "b": 2.5}, None), sample_id({"a": 1.0, "b": 2.0}, name)}) == 3
