"""Keys of settings and records as they were called before format 2: the one table, for reading alone.

Settings files, run folders, cards and searches that were written then still load. Nothing is written under
these names. A dot reaches inside a group of settings.
"""

from collections.abc import Mapping
from typing import Any

from affectlens.errors import SettingsError

FORMAT_VERSION = 2

SETTINGS: Mapping[str, str] = {
    "accumulate": "grad_accum_steps",
    "average": "ema_decay",
    "balance": "balanced_sampling",
    "clip": "clip_grad",
    "learning_rate": "lr",
    "loss.focus": "loss.focal_gamma",
    "low_share": "low_res_fraction",
    "low_side": "low_res_size",
    "mix_share": "mix_prob",
    "new_layers_rate": "head_lr_scale",
    "prior_adjustment": "logit_adjustment",
    "val_share": "val_fraction",
    "workers": "num_workers",
}

# A row of the search space in `search.json`.
HYPERPARAMETER: Mapping[str, str] = {"kind": "scale", "move": "step", "whole": "integer"}
SCALES: Mapping[str, str] = {"factor": "log", "step": "linear"}

# A line of a lineage.
INTERVAL: Mapping[str, str] = {"positions": "unit", "draw": "sample", "drawn_from": "sampled_from"}

# The index of a cache of decoded pictures.
PIXEL_CACHE: Mapping[str, str] = {"places": "positions"}

# The counts of a film's `timeline.json`; and the sampler's state of an interrupted film, with its file.
FILM_COUNTS: Mapping[str, str] = {"judged": "predicted"}
FILM_STATE: Mapping[str, str] = {"judged": "predicted", "like": "reference"}
FILM_STATE_FILE = "place.json"

_FORMER_SETTINGS = {now: before for before, now in SETTINGS.items()}


def current_settings(values: Mapping[str, Any], group: str = "") -> dict[str, Any]:
    """Rename the keys of nested settings.

    Raises `SettingsError` where a setting stands under both names.

    >>> current_settings({"learning_rate": 0.1, "loss": {"focus": 2.0}, "epochs": 3})
    {'lr': 0.1, 'loss': {'focal_gamma': 2.0}, 'epochs': 3}
    """
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = SETTINGS.get(group + key, group + key).removeprefix(group)
        if name in found:
            raise SettingsError(f"{group}{name} is set twice, also by its former name. Keep {group}{name}.")
        inner = isinstance(value, Mapping) and not group
        found[name] = current_settings(value, f"{key}.") if inner else value
    return found


def current_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """Rename the keys of settings that are named with dots.

    >>> current_names({"learning_rate": 0.1, "loss.focus": 2.0})
    {'lr': 0.1, 'loss.focal_gamma': 2.0}
    """
    return {SETTINGS.get(name, name): value for name, value in values.items()}


def former_name(name: str) -> str:
    """What a setting was called in format 1; its name where it had no other."""
    return _FORMER_SETTINGS.get(name, name)


def current_keys(values: Mapping[str, Any], table: Mapping[str, str]) -> dict[str, Any]:
    """Rename the keys of a record by one of the tables above."""
    return {table.get(key, key): value for key, value in values.items()}
