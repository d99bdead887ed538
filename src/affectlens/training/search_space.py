"""Which settings a search changes, between which limits, and how: the table `HYPERPARAMETERS`.

A search works in the unit cube: each hyperparameter runs from 0 to 1 between its limits, evenly on its own
scale, by factors where what counts is how many times as much (a learning rate), by differences where it is
how much more (a probability). Settings are the values of a point there. The seed and the length of a run are
not searched: a better seed teaches nothing, and a longer run is always somewhat better.
"""

import json
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Literal

from timm.layers.drop import DropPath

from affectlens.errors import SettingsError
from affectlens.former_keys import former_name
from affectlens.models import catalog, network_entry
from affectlens.training.settings import Settings, setting

# Probability that a hyperparameter is sampled anew when it is perturbed, as in Jaderberg et al., 2017.
RESAMPLE_PROBABILITY = 0.25

Point = dict[str, float]
HyperparameterScale = Literal["log", "linear"]


@dataclass(frozen=True)
class Hyperparameter:
    """A setting that a search changes.

    Attributes:
        name: as in `affectlens train --set NAME=VALUE`
        low, high: its limits; of `relative` ones, as multiples of the recipe's value
        scale: `log`, perturbed by times or divided by `step`; `linear`, by plus or minus `step`
        integer: only whole numbers
    """

    name: str
    low: float
    high: float
    scale: HyperparameterScale
    step: float
    relative: bool = False
    integer: bool = False

    def around(self, recipe: float) -> "Hyperparameter":
        """The same hyperparameter with limits of its own."""
        if not self.relative:
            return self
        return replace(self, low=self.low * recipe, high=self.high * recipe, relative=False)

    def value_at(self, unit: float) -> float:
        """The value at a point from 0 to 1, to six digits.

        >>> Hyperparameter("lr", 1e-4, 1e-2, "log", 1.25).value_at(0.5)
        0.001
        """
        if self.scale == "log":
            found = self.low * (self.high / self.low) ** unit
        else:
            found = self.low + (self.high - self.low) * unit
        return round(found) if self.integer else float(f"{found:.6g}")

    def unit_of(self, value: float) -> float:
        """The point of a value, from 0 to 1; one beyond the limits is at the limit."""
        value = min(max(value, self.low), self.high)
        if self.scale == "log":
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    @property
    def unit_step(self) -> float:
        """How far a step goes, where the range is from 0 to 1."""
        if self.scale == "log":
            return math.log(self.step) / math.log(self.high / self.low)
        return self.step / (self.high - self.low)


SearchSpace = Sequence[Hyperparameter]

HYPERPARAMETERS = (
    Hyperparameter("lr", 0.1, 5.0, "log", 1.25, relative=True),
    Hyperparameter("weight_decay", 0.005, 0.5, "log", 1.6),
    Hyperparameter("network_options.drop_path", 0.0, 0.3, "linear", 0.05),
    Hyperparameter("label_smoothing", 0.0, 0.3, "linear", 0.05),
    Hyperparameter("augmentation.crop_scale", 0.2, 1.0, "linear", 0.1),
    Hyperparameter("augmentation.colour_jitter", 0.0, 0.4, "linear", 0.05),
    Hyperparameter("augmentation.rand_augment", 0, 15, "linear", 2, integer=True),
    Hyperparameter("mixup", 0.0, 0.8, "linear", 0.1),
    Hyperparameter("cutmix", 0.0, 1.0, "linear", 0.1),
    Hyperparameter("loss.class_imbalance", 0.25, 4.0, "log", 1.5, relative=True),
    Hyperparameter("loss.similarity", 0.25, 4.0, "log", 1.5, relative=True),
    Hyperparameter("loss.attributes", 0.25, 4.0, "log", 1.5, relative=True),
)  # fmt: skip


def search_space(settings: Settings) -> tuple[Hyperparameter, ...]:
    """The table as far as it applies to a recipe, with limits of its own.

    A loss that the recipe does without stays off, pictures stay unmixed where a loss needs them so, and a
    network is only queried for what it has.
    """
    applies: dict[str, Callable[[], bool]] = {
        "network_options.drop_path": lambda: _drops_paths(settings),
        "label_smoothing": lambda: settings.loss.cross_entropy > 0,
        # They change what the attributes brightness and colourfulness measure.
        "augmentation.colour_jitter": lambda: not settings.loss.attributes,
        "augmentation.rand_augment": lambda: not settings.loss.attributes,
        "mixup": lambda: _may_mix(settings),
        "cutmix": lambda: _may_mix(settings),
    }
    return tuple(
        each.around(float(setting(settings, each.name)))
        for each in HYPERPARAMETERS
        if applies.get(each.name, lambda: True)() and (not each.relative or setting(settings, each.name) > 0)
    )


def _may_mix(settings: Settings) -> bool:
    return not settings.loss.similarity and not (settings.loss.attributes and settings.mix_prob == 1)


def _drops_paths(settings: Settings) -> bool:
    """Whether the network has stochastic depth; of timm's, only building one shows it."""
    entry = catalog.find(settings.network)
    if entry.options is not network_entry.PLAIN_OPTIONS:
        return "drop_path" in entry.options
    try:
        network = catalog.build(settings.network, 2, drop_path=0.1)
    except SettingsError:
        return False
    return any(isinstance(part, DropPath) and part.drop_prob for part in network.modules())


def initial_points(space: SearchSpace, settings: Settings, population: int, seed: int) -> list[Point]:
    """Where the members of a population begin: the first with the recipe's settings, the others spread out.

    A Latin hypercube (McKay et al., 1979): of each hyperparameter, every member has another of as many parts
    of its range. The same for every kind of search with the same seed.
    """
    # The word in the seed stays as it was, so that a seed means the same search as before.
    generator = random.Random(f"beginnings {seed}")
    columns = {}
    for each in space:
        strata = list(range(population - 1))
        generator.shuffle(strata)
        columns[each.name] = [(stratum + generator.random()) / (population - 1) for stratum in strata]
    first = {each.name: each.unit_of(float(setting(settings, each.name))) for each in space}
    return [first, *({name: c[n] for name, c in columns.items()} for n in range(population - 1))]


def perturb(space: SearchSpace, point: Mapping[str, float], generator: random.Random) -> Point:
    """Move every hyperparameter by its step up or down, within its limits, or sample it anew."""
    moved = {}
    for each in space:
        if generator.random() < RESAMPLE_PROBABILITY:
            moved[each.name] = generator.random()
        else:
            unit = point[each.name] + generator.choice((-1, 1)) * each.unit_step
            moved[each.name] = min(max(unit, 0.0), 1.0)
    return moved


def values_at(space: SearchSpace, point: Mapping[str, float]) -> dict[str, float]:
    """The settings at a point, by name."""
    return {each.name: each.value_at(point[each.name]) for each in space}


def sample_id(values: Mapping[str, float], parent: str | None) -> str:
    """A name for settings that were sampled from others (or from nothing): 16 hex digits.

    Weights carry the name of the settings that trained them, and settings the name of those that they were
    sampled from, so that it can be checked whether both belong together.
    """
    # By the names of format 1, so that searches written then have the same ids.
    former = {former_name(name): value for name, value in values.items()}
    text = json.dumps([sorted(former.items()), parent])
    return sha256(text.encode()).hexdigest()[:16]
