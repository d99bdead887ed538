"""How a search is done, and the file in its folder that records it: `search.json`. Needs no Ray."""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from affectlens.errors import LineageError, RunError, SettingsError
from affectlens.files import atomic_write, exists, is_file, read_file
from affectlens.former_keys import FORMAT_VERSION, HYPERPARAMETER, SCALES, SETTINGS
from affectlens.model_folder import CONFIG
from affectlens.training import lineage
from affectlens.training.lineage import Interval
from affectlens.training.schedule import Schedule
from affectlens.training.search_space import Hyperparameter
from affectlens.training.settings import Settings

SEARCH, HASH = "search.json", "hash"
MODEL, STATES = "model", "states"  # of the folder of a search
# Schedulers whose members copy others at the end of a round, and those whose members keep to themselves.
EXPLOITING, INDEPENDENT = ("pbt", "pb2"), ("asha", "random")
SCHEDULERS = (*EXPLOITING, *INDEPENDENT)
_MOST_STEPS = 10**9
# Least and most of each number of a plan; of members there is a list.
_LIMITS = (
    ("population", 2, 10_000),
    ("interval", 1, _MOST_STEPS),
    ("rounds", 1, _MOST_STEPS),
    ("budget", 0, 10**15),
)


@dataclass(frozen=True, kw_only=True)
class SearchPlan:
    """How a search is done.

    Attributes:
        scheduler: one of `SCHEDULERS`
        population: members
        interval: steps of each round
        rounds: of each member, unless it is stopped earlier; interval x rounds is the length of training
        seed: of the search; that of training is a setting
        cpus, gpus: of each member; fractions share a device
        budget: steps of all members together after which the search ends; 0 for none
    """

    scheduler: str = "pbt"
    population: int = 8
    interval: int = 200
    rounds: int = 20
    seed: int = 0
    cpus: float = 1.0
    gpus: float = 0.0
    budget: int = 0

    def __post_init__(self) -> None:
        if self.scheduler not in SCHEDULERS:
            raise SettingsError(f"scheduler must be one of {', '.join(SCHEDULERS)}, not {self.scheduler!r}.")
        for name, least, most in _LIMITS:
            if not least <= getattr(self, name) <= most:
                raise SettingsError(
                    f"{name} must be at least {least} and at most {most:,}, not {getattr(self, name)}."
                )
        # Neither is true of NaN.
        if not (0 < self.cpus < math.inf and 0 <= self.gpus < math.inf):
            raise SettingsError(f"A member needs some of a CPU: not cpu={self.cpus}, gpu={self.gpus}.")

    @property
    def threads(self) -> int:
        """How many threads a member computes with.

        Another number takes sums in another order, and ends in other last digits.
        """
        return max(1, int(self.cpus))

    def is_spent(self, intervals: Iterable[Interval]) -> bool:
        """Whether all members together did the steps of the budget."""
        return 0 < self.budget <= sum(one.last_step - one.first_step for one in intervals)

    def going_on(self, intervals: Sequence[Interval]) -> int:
        """How many members have rounds to do after these intervals; none where the budget is spent."""
        ended = {one.member for one in intervals if one.stopped or one.round >= self.rounds}
        return 0 if self.is_spent(intervals) else self.population - len(ended)

    def with_length(self, settings: Settings, pictures: int) -> Settings:
        """Make a run as long as the search: interval x rounds steps."""
        each = Schedule(pictures, settings).pictures_a_step
        # -1, one a core, would be as many for each member.
        workers = max(settings.num_workers, 0)
        epochs = (self.interval * self.rounds - 0.5) * each / pictures
        return replace(settings, epochs=epochs, num_workers=workers)


@dataclass(frozen=True, kw_only=True)
class SearchFile:
    """What `search.json` holds: the plan, and the search space with its limits."""

    plan: SearchPlan
    search_space: tuple[Hyperparameter, ...]
    format_version: int = FORMAT_VERSION

    @classmethod
    def read(cls, folder: Path) -> "SearchFile":
        """Read the file of a search. Raises `RunError` where there is none, or one that was changed."""
        try:
            return _decoded(read_file(folder / SEARCH))
        except _Changed:
            raise RunError(
                f"{folder / SEARCH} was changed since the search was begun, so that its parts would differ. "
                "Undo the change, or search again in another folder."
            ) from None
        except (OSError, ValueError, RecursionError, SettingsError) as error:
            raise RunError(f"There is no search in {folder}: {SEARCH} cannot be read ({error}).") from None

    def write(self, folder: Path) -> None:
        """Write the file into the folder of a search."""
        with atomic_write(folder / SEARCH, "w") as file:
            plain = msgspec.to_builtins(asdict(self))
            file.write(json.dumps({**plain, HASH: _hash(plain)}, indent=2) + "\n")


def read_search(folder: Path) -> tuple[list[Interval], int]:
    """Read and verify the lineage of a search, and how many of its members have rounds to do.

    Raises `LineageError` for a lineage that is not true, or that ends before the search did, and `RunError`
    where there is no search.
    """
    file = folder / lineage.LINEAGE
    intervals = lineage.read_finished(file)
    left = SearchFile.read(folder).plan.going_on(intervals)
    # States are removed once all members have ended and the best of all is written.
    has_ended = is_file(folder / MODEL / CONFIG) and not exists(folder / STATES)
    if left and has_ended:
        raise LineageError(
            f"{file} ends before the search did: of {left} members the last round is missing. Put back a "
            "copy of it, or search again in another folder."
        )
    return intervals, left


def _hash(plain: Any) -> str:
    """Hash how it is searched: 16 hex digits."""
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]


class _Changed(Exception):
    """A search that was edited."""


class _Version(msgspec.Struct):
    format_version: int = 1
    hash: str = ""  # none in files from before it was kept


class _FormerHyperparameter(msgspec.Struct, rename={now: then for then, now in HYPERPARAMETER.items()}):
    name: str
    low: float
    high: float
    scale: str
    step: float
    relative: bool = False
    integer: bool = False

    def current(self) -> dict[str, Any]:
        """Return it under today's names."""
        names = {"name": SETTINGS.get(self.name, self.name), "scale": SCALES.get(self.scale, "")}
        return {**msgspec.structs.asdict(self), **names}


class _FormerSearch(msgspec.Struct):
    plan: dict[str, Any]
    table: tuple[_FormerHyperparameter, ...]


def _decoded(content: bytes) -> SearchFile:
    """Read any format. Raises `ValueError` for that of a newer version, `RecursionError`, `SettingsError`."""
    stored = msgspec.json.decode(content, type=_Version)
    version = stored.format_version
    if version == FORMAT_VERSION:
        # As it is written: a number that is whole there need not be when it is read.
        plain = {name: value for name, value in msgspec.json.decode(content).items() if name != HASH}
        if stored.hash and stored.hash != _hash(plain):
            raise _Changed
        return msgspec.json.decode(content, type=SearchFile)
    if version != 1:
        raise ValueError(f"it is of format {version}; this AffectLens reads 1 to {FORMAT_VERSION}")
    former = msgspec.json.decode(content, type=_FormerSearch)
    rows = [row.current() for row in former.table]
    return msgspec.convert({"plan": former.plan, "search_space": rows}, SearchFile)


def interval_steps(text: str, settings: Settings, pictures: int) -> int:
    """Turn `200steps`, `200` or `0.5epochs` into steps. Raises `SettingsError`.

    >>> interval_steps("200steps", Settings(), 6400), interval_steps("0.5epochs", Settings(), 6400)
    (200, 50)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(steps?|epochs?)?", text.strip())
    if not found:
        raise SettingsError(
            f"An interval is a number of steps or epochs, as 200steps or 0.5epochs: not {text!r}."
        )
    number, unit = float(found[1]), found[2] or "steps"
    if unit.startswith("epoch"):
        return Schedule(pictures, replace(settings, epochs=number)).total_steps
    return int(min(number, _MOST_STEPS + 1))  # more than a plan takes, also where the text is infinite
