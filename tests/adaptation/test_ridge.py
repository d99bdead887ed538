"""Ridge regression on features: planted lines are found, groups left out whole, penalties chosen."""

from dataclasses import replace

import numpy as np
import pytest

from affectlens.adaptation.ridge import (
    PENALTIES,
    RatedFeatures,
    best_penalty,
    fit_rating_head,
    group_folds,
    out_of_fold,
)
from affectlens.errors import DatasetError


def world(noise: float, seed: int = 0, pictures: int = 120, features: int = 40) -> RatedFeatures:
    """Two ratings of which each is one feature, scaled otherwise than the others, and noise."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(pictures, features)) * np.r_[50.0, np.ones(features - 1)]
    ratings = np.stack([5 + values[:, 0] / 50, 5 + values[:, 1]], axis=1)
    groups = np.array([f"theme {index // 4}" for index in range(pictures)])
    return RatedFeatures(
        features=values.astype(np.float32), values=ratings + noise * rng.normal(size=ratings.shape),
        groups=groups, blocks=(2, features - 2), directions=np.zeros((0, features)),
    )  # fmt: skip


def correlation(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.corrcoef(found, truth)[0, 1])


def test_a_planted_line_is_found_and_read_by_the_head_as_by_the_fit() -> None:
    data, new = world(0.1), world(0.0, seed=1)
    head, penalties = fit_rating_head(data)
    assert len(penalties) == 2 and set(penalties) <= set(PENALTIES)
    for rating in (0, 1):
        assert correlation(head.read(new.features)[:, rating], new.values[:, rating]) > 0.95
        assert correlation(out_of_fold(data)[:, rating], data.values[:, rating]) > 0.9


def test_a_direction_that_is_known_helps_where_pictures_are_few() -> None:
    few = world(1.0, pictures=24, features=400)
    few = replace(few, features=np.random.default_rng(2).permuted(few.features[:, ::-1], axis=1).copy())
    rng = np.random.default_rng(3)
    direction = rng.normal(size=(1, 400))
    truth = few.features @ direction[0] / 20
    values = np.stack([truth, truth], axis=1)
    without = replace(few, values=values, blocks=(400,))
    with_it = replace(without, directions=direction)
    assert correlation(out_of_fold(with_it)[:, 0], truth) > 0.9
    assert correlation(out_of_fold(with_it)[:, 0], truth) > correlation(out_of_fold(without)[:, 0], truth)


def test_what_only_a_group_has_in_common_cannot_be_predicted() -> None:
    """A rating that is chance but for its group, whose features give the group away."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 4)
    features = rng.normal(size=(30, 20))[groups] + 0.01 * rng.normal(size=(120, 20))
    values = rng.normal(size=30)[groups][:, None]
    data = RatedFeatures(features, values, groups.astype(str), (20,), np.zeros((0, 20)))
    assert abs(correlation(out_of_fold(data)[:, 0], values[:, 0])) < 0.45
    shuffled = replace(data, groups=np.arange(120).astype(str))
    assert correlation(out_of_fold(shuffled)[:, 0], values[:, 0]) > 0.8, "or the groups made no difference"


def test_all_pictures_of_a_group_are_in_one_fold_and_folds_differ_by_seed() -> None:
    groups = np.array([f"{index % 17}" for index in range(100)])
    folds = group_folds(groups, 5, seed=0)
    assert all(len(set(folds[groups == name])) == 1 for name in set(groups))
    assert set(folds) == set(range(5)) and not np.array_equal(folds, group_folds(groups, 5, seed=1))


def test_noise_gets_a_strong_penalty_and_a_clean_line_a_weak_one() -> None:
    clean, noise = world(0.0), world(0.0)
    noise = replace(noise, values=np.random.default_rng(5).normal(size=noise.values.shape))
    assert best_penalty(clean, 1, seed=0) < best_penalty(noise, 1, seed=0)


def test_a_rating_that_some_pictures_lack_is_learned_from_the_others() -> None:
    data = world(0.1)
    values = data.values.copy()
    values[::3, 1] = np.nan
    found = out_of_fold(replace(data, values=values))
    assert np.array_equal(np.isnan(found), np.isnan(values))
    head, _ = fit_rating_head(replace(data, values=values))
    assert np.isfinite(head.weights).all() and correlation(found[1::3, 1], data.values[1::3, 1]) > 0.9


def test_a_feature_that_is_the_same_for_all_changes_nothing() -> None:
    data = world(0.1)
    flat = data.features.copy()
    flat[:, 7] = 3.0
    head, _ = fit_rating_head(replace(data, features=flat))
    assert np.all(head.weights[:, 7] == 0)


def test_pictures_of_one_group_alone_cannot_be_divided() -> None:
    data = world(0.1)
    with pytest.raises(DatasetError, match="of one group"):
        fit_rating_head(replace(data, groups=np.array(["beach"] * 120)))
