"""The default model's recipe, from its folds to its card, by tiny networks on small pictures."""

import json
import shutil
from collections.abc import Sequence

import numpy as np
import pytest

import default_recipe
import frozen_levels
from affectlens import Predictor
from affectlens.cli.main import main as affectlens
from affectlens.data.records import ALL
from affectlens.models import backbones, saved
from affectlens.recipes.catalog import changed_recipe
from default_recipe import Member, Paths, Plan
from screening_paths import paths_of

WORDS = ("awe", "anger", "sadness")
SMALL = (
    "epochs=1",
    "preprocessing.interpolation=bilinear",
    "batch_size=16",
    "distillation=0.5",
    "num_workers=0",
)
PLAN = Plan(
    frozen={"test_efficientnet": (0, 1), "test_vit": (0,)},
    members={
        "transformer": Member(
            recipe="test_vit", set=(*SMALL, "preprocessing.height=64", "preprocessing.width=64")
        ),
        "convolutional": Member(
            recipe="test_efficientnet", set=(*SMALL, "preprocessing.height=32", "preprocessing.width=32")
        ),
        "levels": Member(recipe="frozen_levels"),
    },
)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    root = tmp_path_factory.mktemp("recipe")
    paths = paths_of(root, WORDS, each=30)
    return Paths(fi=f"folder:{paths.fi}", weights=str(paths.weights), out=root / "made")


@pytest.mark.slow  # a minute, of parts that have tests of their own
def test_a_model_is_made_and_scored_on_pictures_that_nothing_learned_from(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frozen_levels, "BACKBONE", "test_efficientnet")
    monkeypatch.setattr(frozen_levels, "SIDE", 64)
    folder = default_recipe.make(PLAN, paths, "tiny")
    parts = {name: {r.key for r in part} for name, part in paths.table("data.tsv").splits.items()}
    train, val, test = (parts[name] for name in ("train", "val", "test"))
    assert len(train) + len(val) + len(test) == len(train | val | test) == 90
    assert len(test) == 9 and 3 <= len(val) <= 6
    taught = {line.split(",")[0] for line in (paths.out / "teacher.csv").read_text().splitlines()[1:]}
    assert taught == train | val
    model = saved.load(str(folder))
    assert model.card.network_options["sizes"] == [0, 32, 0] and model.card.preprocessing.height == 64
    assert (model.card.scores["split"], model.card.scores["count"]) == ("test", 9)
    assert model.card.training["data"]["counts"]["test"]["awe"] == 3
    assert len(model.card.training["joined"]) == 3
    *taught_ones, levels = model.card.training["joined"].values()
    for origin in taught_ones:
        assert "teacher.csv" in json.dumps(origin)
    assert levels["training"]["data"]["hashes"] == model.card.training["data"]["hashes"]
    assert "nothing was chosen on" in (folder / "README.md").read_text()
    picture = paths.table("data.tsv").split(ALL)[0].path
    (answer,) = Predictor.load(str(folder)).predict_files([picture])
    assert answer.emotions is not None

    # What is there is not made again; what a killed run left is gone on with.
    shutil.rmtree(folder)
    shutil.rmtree(paths.out / "transformer" / "model")
    commands: list[Sequence[str]] = []

    def watched(words: Sequence[str]) -> None:
        commands.append(words)
        affectlens(words)

    monkeypatch.setattr(default_recipe, "affectlens", watched)
    again = saved.load(str(default_recipe.make(PLAN, paths, "tiny")))
    assert [words[0] for words in commands] == ["train"] and "--resume" in commands[0]
    assert again.card.weights_hash == model.card.weights_hash


def test_what_ships_is_not_taught_and_has_a_frozen_member(paths: Paths) -> None:
    plan = Plan.read()
    assert [member.recipe for member in plan.members.values()] == ["pair", "frozen_levels"]
    stages = [name for name, _ in default_recipe.stages(plan, paths, "shipped")]
    assert stages == ["folds.tsv", "data.tsv", "pair/model", "levels.npz", "levels/model", "model"]


@pytest.mark.parametrize("file", ["default_recipe_taught.toml", "default_recipe_large.toml"])
def test_the_plans_settings_are_settings_and_their_networks_have_the_levels(file: str) -> None:
    plan = Plan.read(default_recipe.PLAN.with_name(file))
    for member in plan.members.values():
        settings = changed_recipe(member.recipe, None, member.set)
        assert settings.distillation == 0.5 and settings.epochs >= 5
    for name, levels in plan.frozen.items():
        assert backbones.known(name) and np.all(np.diff(levels) > 0)
