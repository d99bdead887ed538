"""Ranges of a search from a file: `affectlens tune --ranges FILE.toml`.

    only = true                       # nothing else is searched; without it the rest keeps its ranges
    lr = [1e-4, 1e-3]                 # limits
    weight_decay = false              # stays as the recipe has it
    warmup = { low = 0.01, high = 0.3, scale = "log", step = 1.5 }

    [augmentation]                    # or augmentation.crop_scale = ...
    crop_scale = [0.3, 0.9]

Scale and step that are not stated are those of `search_space.HYPERPARAMETERS`, or else linear and a tenth of
the range.
"""

import dataclasses
import math
import tomllib
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from affectlens.errors import AffectLensError, SettingsError, UnknownName
from affectlens.files import is_pipe_or_device, read_file
from affectlens.models import catalog, network_entry
from affectlens.training.search_space import (
    HYPERPARAMETERS,
    Hyperparameter,
    HyperparameterScale,
    search_space,
)
from affectlens.training.settings import Settings, with_values

ONLY = "only"
# All members have them alike: what data is read and how, how long training is, and what states consist of, as
# one member goes on from another's.
COMMON = frozenset({
    "batch_size", "cache_side", "checkpoint_every", "distillation", "distillation_temperature", "ema_decay",
    "epochs", "frozen_epochs", "frozen_layers", "grad_accum_steps", "low_res_size", "num_workers", "patience",
    "pictures_per_emotion", "seed", "val_fraction", "augmentation.squash",
})  # fmt: skip
_COMMON_GROUPS = ("preprocessing.", "network_options.")
_KEYS = ("low", "high", "scale", "step")
_SCALES = typing.get_args(HyperparameterScale)
_IN_TABLE = {each.name: each for each in HYPERPARAMETERS}


def read_ranges(file: Path, settings: Settings) -> tuple[Hyperparameter, ...]:
    """Read which settings are searched, and between which limits; others have the recipe's ranges.

    Raises `SettingsError` or `UnknownName`, with the file and the setting.
    """
    values = _read(file)
    only = values.pop(ONLY, False)
    if not isinstance(only, bool):
        raise SettingsError(f"{ONLY} in {file} must be true or false, not {only!r}.")
    space = {} if only else {each.name: each for each in search_space(settings)}
    for name, stated in _flat(values, ""):
        try:
            if stated is False:
                _require_number(name, settings)
                space.pop(name, None)
            else:
                space[name] = _hyperparameter(name, stated, settings)
        except AffectLensError as error:
            raise SettingsError(f"The ranges in {file} cannot be used: {error}") from None
    if not space:
        raise SettingsError(f"The ranges in {file} leave nothing to search. State one, as lr = [1e-4, 1e-3].")
    return tuple(space.values())


def _read(file: Path) -> dict[str, Any]:
    if is_pipe_or_device(file):
        raise SettingsError(f"The ranges file {file} is a pipe or a device. Save it as a file first.")
    try:
        return tomllib.loads(read_file(file).decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SettingsError(f"The ranges file {file} cannot be read: {error}.") from None


def _flat(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Names with what is stated of them; a table with limits is a range, any other a group of settings."""
    for name, value in values.items():
        if isinstance(value, dict) and not {"low", "high"} & set(value):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _hyperparameter(name: str, stated: Any, settings: Settings) -> Hyperparameter:
    integer = _require_number(name, settings)
    given = {"low": stated[0], "high": stated[1]} if _is_pair(stated) else stated
    if not isinstance(given, dict) or not {"low", "high"} <= set(given) <= set(_KEYS):
        raise SettingsError(
            f"{name} is {stated!r}; expected limits as [0.1, 0.5], or false, or low, high and perhaps scale "
            "and step."
        )
    usual = _IN_TABLE.get(name)
    scale = given.get("scale", usual.scale if usual else "linear")
    if scale not in _SCALES:
        raise SettingsError(str(UnknownName("scale", str(scale), _SCALES, name)))
    low, high = (_number(f"{name}, {key},", given[key], integer) for key in ("low", "high"))
    if not low < high:
        raise SettingsError(f"the range of {name} is empty: {low} is not below {high}.")
    if scale == "log" and low <= 0:
        raise SettingsError(
            f"{name} has the scale log, of factors, and begins at {low}. Begin above 0, or set scale linear."
        )
    for limit in (low, high):
        _require_possible(name, limit, settings)
    made = Hyperparameter(name, low, high, scale, _usual_step(name, scale, low, high), integer=integer)
    return dataclasses.replace(made, step=_step(name, given["step"], scale)) if "step" in given else made


def _is_pair(stated: Any) -> bool:
    return isinstance(stated, list) and len(stated) == 2


def _usual_step(name: str, scale: HyperparameterScale, low: float, high: float) -> float:
    """The step of the table, or a tenth of the range."""
    usual = _IN_TABLE.get(name)
    if usual and usual.scale == scale:
        return usual.step
    return (high / low) ** 0.1 if scale == "log" else (high - low) / 10


def _step(name: str, given: Any, scale: HyperparameterScale) -> float:
    step = _number(f"{name}, step,", given, integer=False)
    if step <= (1 if scale == "log" else 0):
        raise SettingsError(f"the step of {name} moves nothing: {step}.")
    return step


def _require_number(name: str, settings: Settings) -> bool:
    """Whether a setting is a whole number. Raises for one that no search can change."""
    known = dict(_numbers(Settings, ""))
    options = catalog.find(settings.network).options
    known |= {f"network_options.{option}": float for option in network_entry.DROPPED if option in options}
    if name not in known:
        raise UnknownName("number that can be set", name, known, "a training run")
    if name in COMMON or name.startswith(_COMMON_GROUPS[0]):
        raise SettingsError(f"{name} is the same for all members of a search. Set it by --set.")
    return known[name] is int


def _numbers(kind: type, prefix: str) -> Iterator[tuple[str, type]]:
    """Names and types of all settings that are numbers."""
    hints = typing.get_type_hints(kind)
    for each in dataclasses.fields(kind):
        hint = hints[each.name]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            yield from _numbers(hint, f"{prefix}{each.name}.")
        elif hint in (int, float):
            yield prefix + each.name, hint


def _number(what: str, value: Any, integer: bool) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or (integer and value != round(value)):
        raise SettingsError(f"{what} must be a {'whole ' if integer else ''}number, not {value!r}.")
    return value if integer else float(value)


def _require_possible(name: str, value: float, settings: Settings) -> None:
    """Raise `SettingsError` for a limit that the setting cannot have."""
    with_values(settings, {name: value})
    group, _, option = name.partition(".")
    if group == "network_options" and not 0 <= value < 1:
        raise SettingsError(f"{option} is a fraction below 1, not {value}.")
    if group == "network_options" and catalog.find(settings.network).options is network_entry.PLAIN_OPTIONS:
        changed: dict[str, Any] = {option: value}
        catalog.build(settings.network, 2, **changed)  # not every network of timm has it
