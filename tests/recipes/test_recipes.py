"""Recipes: that each is a settings file, and trains."""

from itertools import pairwise
from pathlib import Path

import pytest

from affectlens.data.catalog import open_data
from affectlens.emotions import MIKELS
from affectlens.errors import UnknownName
from affectlens.models import catalog
from affectlens.recipes.catalog import RECIPES, recipe, summaries
from affectlens.training.finish import RunFinished
from affectlens.training.run import fit
from affectlens.training.run_folder import TrainingRequest
from affectlens.training.schedule import Schedule
from affectlens.training.settings import Settings, override
from pictures import colour_set

OF_PAPERS = ("mlm_paper", "mlm_release", "mam_paper", "mam_release", "wscnet", "pdanet")


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_a_settings_file_for_a_network_that_there_is(name: str) -> None:
    settings = recipe(name)
    assert Settings.from_dict(settings.to_dict()) == settings
    assert catalog.find(settings.network).summary
    assert 10 < len(summaries()[name]) < 110


@pytest.mark.parametrize("name", OF_PAPERS)
def test_the_name_of_a_network_with_a_recipe_of_its_own_means_that_recipe(name: str) -> None:
    assert recipe(name).network == name
    assert recipe(name) != recipe("resnet50")
    assert recipe("resnet50").network == "resnet50"
    with pytest.raises(UnknownName, match=f"Did you mean '{name}'"):
        recipe(name + "s")


def test_the_error_of_an_unknown_network_lists_each_known_name_once() -> None:
    with pytest.raises(UnknownName) as caught:
        recipe("no_such_network")
    _, listed = str(caught.value).rstrip(".").split("Known: ")
    assert sorted(listed.split(", ")) == sorted({*RECIPES, *catalog.NETWORKS})


@pytest.mark.parametrize(
    ("name", "first", "last", "falls"),
    [
        ("mlm_release", 1e-4, 3.125e-6, 5),
        ("mam_release", 1e-3, 1e-10, 7),
        ("wscnet", 1e-4, 1e-7, 3),
        ("pdanet", 1e-3, 1e-4, 1),
        ("pdanet_ratings", 1e-3, 1e-4, 1),
    ],
)
def test_the_learning_rates_are_those_of_the_scripts(
    name: str, first: float, last: float, falls: int
) -> None:
    settings = recipe(name)
    schedule = Schedule(19_292, settings)
    lrs = [schedule.lr(step) for step in range(schedule.total_steps)]
    assert lrs[0] == pytest.approx(first)
    assert lrs[-1] == pytest.approx(last)
    assert sum(after < before for before, after in pairwise(lrs)) == falls


@pytest.mark.parametrize("name", ["mlm_release", "mam_paper", "wscnet", "pdanet"])
def test_networks_train_by_their_own_recipes(name: str, tmp_path: Path) -> None:
    colour_set(tmp_path / "data", MIKELS.words, each=8)
    small = ["network_options.backbone=test_resnet", "weights=none", "epochs=0.5", "batch_size=16",
             "num_workers=0", "preprocessing.height=64", "preprocessing.width=64",
             "augmentation.squash=0"]  # fmt: skip
    request = TrainingRequest(
        name=name, data="folder:data", source=open_data(f"folder:{tmp_path / 'data'}"),
        settings=override(recipe(name), small), out=tmp_path / "run", device="cpu", graph=False,
    )  # fmt: skip
    *_, end = fit(request)
    assert isinstance(end, RunFinished)
    assert end.scores.to_json()["accuracy"] >= 0


def test_pdanets_ratings_are_learned_as_published_and_all_else_as_its_classes() -> None:
    ratings, classes = recipe("pdanet_ratings"), recipe("pdanet")
    assert list(ratings.rating_ends.items()) == [
        (each, (1, 9)) for each in ("valence", "arousal", "dominance")
    ]
    assert (ratings.loss.ratings, ratings.loss.rating_polarity, ratings.loss.polarity) == (1.0, 1.0, 0.0)
    own = {"ratings", "loss", "select_by"}
    assert {name for name, value in vars(ratings).items() if value != getattr(classes, name)} == own
