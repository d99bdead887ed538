"""Ranges of a search from a file: what they change, and what is wrong with those that cannot be."""

from pathlib import Path

import pytest

from affectlens.errors import SettingsError
from affectlens.training.search_ranges import COMMON, read_ranges
from affectlens.training.search_space import Hyperparameter, initial_points, search_space, values_at
from affectlens.training.settings import Settings, override, setting

SETTINGS = Settings(network="test_vit", weights="none", lr=1e-3)


def ranges(folder: Path, text: str, settings: Settings = SETTINGS) -> dict[str, Hyperparameter]:
    (folder / "ranges.toml").write_text(text)
    return {each.name: each for each in read_ranges(folder / "ranges.toml", settings)}


def test_limits_in_the_file_replace_the_recipes_and_the_others_stay(tmp_path: Path) -> None:
    recipes = {each.name: each for each in search_space(SETTINGS)}
    found = ranges(tmp_path, "lr = [1e-4, 2e-4]\nmixup = false\n[augmentation]\nrand_augment = [2, 5]\n")
    assert set(found) == set(recipes) - {"mixup"} and next(iter(found)) == "lr"
    assert found["lr"] == Hyperparameter("lr", 1e-4, 2e-4, "log", 1.25)
    assert found["augmentation.rand_augment"] == Hyperparameter(
        "augmentation.rand_augment", 2, 5, "linear", 2, integer=True
    )
    changed = {"lr", "augmentation.rand_augment"}
    assert {n: each for n, each in found.items() if n not in changed} == {
        n: each for n, each in recipes.items() if n not in {*changed, "mixup"}
    }


def test_only_the_files_own_are_searched_where_it_states_so(tmp_path: Path) -> None:
    text = """
    only = true
    warmup = { low = 0.01, high = 0.3, scale = "log", step = 1.5 }
    layer_decay = [0.5, 1]
    loss.scale = [40.0, 120.0]
    network_options.dropout = [0.0, 0.5]
    """
    found = ranges(tmp_path, text)
    assert list(found) == ["warmup", "layer_decay", "loss.scale", "network_options.dropout"]
    assert found["warmup"] == Hyperparameter("warmup", 0.01, 0.3, "log", 1.5)
    assert found["layer_decay"] == Hyperparameter("layer_decay", 0.5, 1.0, "linear", 0.05)
    points = initial_points(list(found.values()), SETTINGS, 5, seed=0)
    for point in points:
        values = values_at(list(found.values()), point)
        assert 40 <= values["loss.scale"] <= 120 and 0 <= values["network_options.dropout"] <= 0.5
    assert values_at(list(found.values()), points[0])["warmup"] == pytest.approx(setting(SETTINGS, "warmup"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("weight_decy = [0.1, 0.2]", "'weight_decy'.* Did you mean 'weight_decay'"),
        ("[augmentation]\ncrop_scal = [0.1, 0.2]", r"Did you mean 'augmentation\.crop_scale'"),
        ("lr = 0.1", "lr is 0.1; expected limits"),
        ("lr = [0.1]", "expected limits"),
        ("lr = [0.1, 0.2, 0.3]", "expected limits"),
        ("lr = true", "expected limits"),
        ('lr = ["a", "b"]', "lr, low, must be a number, not 'a'"),
        ("lr = [nan, 1.0]", "must be a number, not nan"),
        ("lr = { low = 0.1 }", "expected limits"),
        ("lr = { low = 0.1, high = 0.2, steps = 3 }", "expected limits"),
        ("lr = [0.2, 0.1]", "range of lr is empty: 0.2 is not below 0.1"),
        ("lr = [0.1, 0.1]", "is empty"),
        ("lr = [0, 0.1]", "Begin above 0"),
        ("lr = { low = 0.1, high = 0.2, scale = 'lin' }", "Did you mean 'linear'"),
        ("lr = { low = 0.1, high = 0.2, step = 1 }", "step of lr moves nothing"),
        ("mixup = { low = 0.1, high = 0.2, step = 0 }", "moves nothing"),
        ("augmentation.rand_augment = [0, 2.5]", "must be a whole number, not 2.5"),
        ("label_smoothing = [0.0, 1.0]", "label_smoothing must be at least 0 and below 1"),
        ("network_options.dropout = [0.0, 1.0]", "fraction below 1"),
        ("network_options.mirror = [0, 1]", "is not a number that can be set"),
        ("optimizer = [0, 1]", "is not a number that can be set"),
        ("seed = [0, 5]", "seed is the same for all members"),
        ("preprocessing.version = [1, 2]", "same for all members"),
        ("only = 1", "only in .* must be true or false"),
        ("only = true", "nothing to search"),
        ("only = true\nlr = false", "nothing to search"),
        ("lr = [", "cannot be read"),
    ],
)
def test_what_cannot_be_searched_is_an_error_with_the_file(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=message) as raised:
        ranges(tmp_path, text)
    assert str(tmp_path / "ranges.toml") in str(raised.value)


def test_a_range_that_a_loss_of_the_recipe_forbids_is_refused(tmp_path: Path) -> None:
    pairs = override(SETTINGS, ["loss.similarity=1", "loss.similarity_of=logits"])
    with pytest.raises(SettingsError, match="complete pictures"):
        ranges(tmp_path, "mixup = [0.1, 0.2]", pairs)


def test_dropped_paths_are_searched_where_the_network_has_them(tmp_path: Path) -> None:
    drops = "only = true\nnetwork_options.drop_path = [0.0, 0.1]"
    assert "network_options.drop_path" in ranges(tmp_path, drops)
    with pytest.raises(SettingsError, match="drop_path"):
        ranges(tmp_path, drops, override(SETTINGS, ["network=alexnet"]))


def test_names_that_are_common_to_all_members_exist() -> None:
    for name in COMMON:
        assert setting(Settings(), name) is not None
        assert name in Settings().to_dict() or name.partition(".")[0] in Settings().to_dict()
