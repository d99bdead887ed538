"""How each model was trained: a module for each recipe, with `settings()` and a sentence about it."""

from collections.abc import Mapping
from importlib import import_module

from affectlens.errors import UnknownName
from affectlens.training.settings import Settings

# Name: module below this package. A module has SUMMARY and settings().
RECIPES: Mapping[str, str] = {"default": "default", "plain": "plain"}


def recipe(name: str) -> Settings:
    """Return the settings of a recipe; a network's name means the plain recipe with that network.

    Raises `UnknownName` for a name that is neither.
    """
    if name in RECIPES:
        settings: Settings = import_module(f"affectlens.recipes.{RECIPES[name]}").settings()
        return settings
    from affectlens.models import catalog  # here: it imports timm
    from affectlens.recipes import plain

    try:
        catalog.find(name)
    except UnknownName:
        known = [*RECIPES, *catalog.NETWORKS]
        raise UnknownName("recipe or network", name, known, "this version") from None
    return plain.settings(name)


def summaries() -> dict[str, str]:
    """One line about each recipe."""
    return {name: import_module(f"affectlens.recipes.{module}").SUMMARY for name, module in RECIPES.items()}
