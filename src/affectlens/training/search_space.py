"""Which settings a search changes, between which limits, and how: the table `KNOBS`.

Each setting has a position from 0 to 1 between its limits, evenly on its own scale: by factors where what
counts is how many times as much (a learning rate), by differences where it is how much more (a probability).
Searches move positions; settings are what stands there. The seed and the length of a run are not searched:
a better seed teaches nothing, and a longer run is always somewhat better.
"""

import json
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, TypeVar

from timm.layers.drop import DropPath

from affectlens.errors import RunError, SettingsError
from affectlens.models import catalog
from affectlens.training.settings import Settings, setting

T = TypeVar("T")
SEARCH = "search.json"  # in the folder of a search: how it is searched, with its table
RESAMPLED = 0.25  # share of perturbed settings that are drawn anew, as in Jaderberg et al., 2017

Positions = dict[str, float]


@dataclass(frozen=True)
class Knob:
    """A setting that a search changes.

    Attributes:
        name: as in `affectlens train --set NAME=VALUE`
        low, high: its limits; of `relative` knobs, as multiples of the recipe's value
        kind: `factor`, moved by times or divided by `move`; `step`, by plus or minus `move`
        whole: only whole numbers
    """

    name: str
    low: float
    high: float
    kind: Literal["factor", "step"]
    move: float
    relative: bool = False
    whole: bool = False

    def around(self, recipe: float) -> "Knob":
        """The same knob with limits of its own."""
        if not self.relative:
            return self
        return Knob(self.name, self.low * recipe, self.high * recipe, self.kind, self.move, whole=self.whole)

    def value(self, position: float) -> float:
        """What stands at a position, from 0 to 1, to six digits.

        >>> Knob("lr", 1e-4, 1e-2, "factor", 1.25).value(0.5)
        0.001
        """
        if self.kind == "factor":
            found = self.low * (self.high / self.low) ** position
        else:
            found = self.low + (self.high - self.low) * position
        return round(found) if self.whole else float(f"{found:.6g}")

    def position(self, value: float) -> float:
        """Where a value stands; one beyond the limits stands at the limit."""
        value = min(max(value, self.low), self.high)
        if self.kind == "factor":
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    @property
    def stride(self) -> float:
        """How far a move goes, in positions."""
        if self.kind == "factor":
            return math.log(self.move) / math.log(self.high / self.low)
        return self.move / (self.high - self.low)


KNOBS = (
    Knob("lr", 0.1, 5.0, "factor", 1.25, relative=True),
    Knob("weight_decay", 0.005, 0.5, "factor", 1.6),
    Knob("network_options.drop_path", 0.0, 0.3, "step", 0.05),
    Knob("label_smoothing", 0.0, 0.3, "step", 0.05),
    Knob("augmentation.crop_scale", 0.2, 1.0, "step", 0.1),
    Knob("augmentation.colour_jitter", 0.0, 0.4, "step", 0.05),
    Knob("augmentation.rand_augment", 0, 15, "step", 2, whole=True),
    Knob("mixup", 0.0, 0.8, "step", 0.1),
    Knob("cutmix", 0.0, 1.0, "step", 0.1),
    Knob("loss.class_imbalance", 0.25, 4.0, "factor", 1.5, relative=True),
    Knob("loss.similarity", 0.25, 4.0, "factor", 1.5, relative=True),
    Knob("loss.attributes", 0.25, 4.0, "factor", 1.5, relative=True),
)  # fmt: skip


def read_table(folder: Path) -> tuple[Knob, ...]:
    """Read the table of a search from its folder. Raises `RunError` where there is none."""
    return _read(folder, lambda stored: tuple(Knob(**row) for row in stored["table"]))


def read_threads(folder: Path) -> int:
    """Read how many threads each member of a search computed with. Raises `RunError` where there is none.

    Another number takes sums in another order, and ends in other last digits.
    """
    return _read(folder, lambda stored: threads_of(stored["plan"]["cpus"]))


def threads_of(cpus: float) -> int:
    """How many threads a member computes with that has so many CPUs, or a part of one."""
    return max(1, int(cpus))


def _read(folder: Path, take: Callable[[dict[str, Any]], T]) -> T:
    try:
        return take(json.loads((folder / SEARCH).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"There is no search in {folder}: {SEARCH} cannot be read ({error}).") from None


def knobs(settings: Settings) -> tuple[Knob, ...]:
    """The table as far as it applies to a recipe, with limits of its own.

    A loss that the recipe does without stays off, whole pictures stay whole where a loss needs them, and a
    network is only asked for what it has.
    """
    applies: dict[str, Callable[[], bool]] = {
        "network_options.drop_path": lambda: _drops_paths(settings),
        "label_smoothing": lambda: settings.loss.cross_entropy > 0,
        "mixup": lambda: _mixes(settings),
        "cutmix": lambda: _mixes(settings),
    }
    return tuple(
        knob.around(float(setting(settings, knob.name)))
        for knob in KNOBS
        if applies.get(knob.name, lambda: True)() and (not knob.relative or setting(settings, knob.name) > 0)
    )


def _mixes(settings: Settings) -> bool:
    return not settings.loss.similarity and not (settings.loss.attributes and settings.mix_prob == 1)


def _drops_paths(settings: Settings) -> bool:
    """Whether the network can leave out layers at random; of timm's, only building one tells."""
    entry = catalog.find(settings.network)
    if entry.options is not catalog.PLAIN_OPTIONS:
        return "drop_path" in entry.options
    try:
        network = catalog.build(settings.network, 2, drop_path=0.1)
    except SettingsError:
        return False
    return any(isinstance(part, DropPath) and part.drop_prob for part in network.modules())


def beginnings(table: tuple[Knob, ...], settings: Settings, population: int, seed: int) -> list[Positions]:
    """Where the members of a population begin: the first as the recipe says, the others spread out.

    A Latin hypercube (McKay et al., 1979): of each setting, every member has another of as many parts of
    its range. The same for every kind of search with the same seed.
    """
    draw = random.Random(f"beginnings {seed}")
    columns = {}
    for knob in table:
        strata = list(range(population - 1))
        draw.shuffle(strata)
        columns[knob.name] = [(stratum + draw.random()) / (population - 1) for stratum in strata]
    first = {knob.name: knob.position(float(setting(settings, knob.name))) for knob in table}
    return [first, *({name: c[n] for name, c in columns.items()} for n in range(population - 1))]


def perturb(table: tuple[Knob, ...], positions: Mapping[str, float], draw: random.Random) -> Positions:
    """Move every setting by its stride up or down, within its limits, or draw it anew."""
    moved = {}
    for knob in table:
        if draw.random() < RESAMPLED:
            moved[knob.name] = draw.random()
        else:
            position = positions[knob.name] + draw.choice((-1, 1)) * knob.stride
            moved[knob.name] = min(max(position, 0.0), 1.0)
    return moved


def values_at(table: tuple[Knob, ...], positions: Mapping[str, float]) -> dict[str, float]:
    """The settings at positions, by name."""
    return {knob.name: knob.value(positions[knob.name]) for knob in table}


def name_of_draw(values: Mapping[str, float], drawn_from: str | None) -> str:
    """A name for settings that were drawn from others (or from nothing): 16 hex digits.

    Weights carry the name of the settings that trained them, and settings the name of those they were drawn
    from, so that whoever puts both together can see whether they belong together.
    """
    text = json.dumps([sorted(values.items()), drawn_from])
    return sha256(text.encode()).hexdigest()[:16]
