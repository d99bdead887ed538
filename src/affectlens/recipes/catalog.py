"""Recipes by name: functions that return settings, one file for each network."""

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

from affectlens.errors import UnknownName
from affectlens.training.settings import Settings, override, read_settings, with_absolute_files, with_values

# Name: module next to this one, and its function. The first line of its docstring describes it.
RECIPES: Mapping[str, tuple[str, str]] = {
    "pair": ("pair", "settings"),
    "plain": ("plain", "settings"),
    "mlm_paper": ("mlm", "paper"),
    "mlm_release": ("mlm", "release"),
    "mam_paper": ("mam", "paper"),
    "mam_release": ("mam", "release"),
    "wscnet": ("wscnet", "settings"),
    "pdanet": ("pdanet", "settings"),
    "pdanet_ratings": ("pdanet", "ratings"),
    "vit_emoset": ("vit", "emoset"),
    "vit_emoset_release": ("vit", "release"),
    "vit_emoset_multitask": ("vit", "multitask"),
}


def recipe(name: str) -> Settings:
    """Return the settings of a recipe; a network's name means the plain recipe with that network.

    Raises `UnknownName` for a name that is neither.
    """
    if name in RECIPES:
        return _function(name)()
    from affectlens.models import catalog  # here: it imports timm
    from affectlens.recipes import plain

    try:
        entry = catalog.find(name)
    except UnknownName:
        known = [*RECIPES, *catalog.NETWORKS]
        raise UnknownName("recipe or network", name, known, "this version") from None
    return plain.settings(name, attributes=entry.attributes)


def changed_recipe(
    name: str,
    file: Path | None = None,
    assignments: Iterable[str] = (),
    seed: int | None = None,
    values: Mapping[str, Any] = MappingProxyType({}),
) -> Settings:
    """Return a recipe changed by a settings file, then by assignments `key=value`, by values and by a seed.

    The path of a vocabulary's file becomes absolute.
    """
    settings = recipe(name)
    if file is not None:
        settings = read_settings(file, settings)
    settings = override(settings, assignments)
    settings = with_absolute_files(settings)
    changed = {**values, **({} if seed is None else {"seed": seed})}
    return with_values(settings, changed) if changed else settings


def summaries() -> dict[str, str]:
    """One line about each recipe."""
    return {name: _first_sentence(_function(name).__doc__ or "") for name in RECIPES}


def _function(name: str) -> Callable[[], Settings]:
    module, function = RECIPES[name]
    found: Callable[[], Settings] = getattr(import_module(f"affectlens.recipes.{module}"), function)
    return found


def _first_sentence(docstring: str) -> str:
    return " ".join(docstring.split("\n\n")[0].split()).rstrip(".")
