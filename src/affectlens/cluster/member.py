"""One member of a population, as Ray Tune runs it: each step is an interval of training.

Ray decides which member runs when and where, and whose weights and settings it takes over; how an interval
is trained is not known here (`training.intervals`). What Ray calls a checkpoint is the name of a state file:
a few bytes, so that pausing a member and giving its weights to another cost next to nothing. The folder of
the search must be the same on every machine.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from ray import tune

from affectlens.data.catalog import open_data
from affectlens.errors import AffectLensError, RunError
from affectlens.training.intervals import STATES, Draw, interval_of, state_file, train_interval
from affectlens.training.lineage import Interval
from affectlens.training.run import CACHE, read_run_settings
from affectlens.training.search_space import knobs, values_at
from affectlens.training.session import Task, prepared

MEMBER, DRAW, DRAWN_FROM = "member", "draw", "drawn_from"  # of Ray's config, beside the positions
PLACE = "place.json"  # in Ray's checkpoint


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What all members of a search share.

    Attributes:
        out: the folder of the search
        data: as `data.catalog.open_data` takes it
        cache: of decoded pictures, made before; None where settings ask for none
        interval: steps
        threads: of torch, for each member
        known: intervals that were done before the search was interrupted; they are told again, not trained
        begin: the round after which members begin
    """

    out: Path
    data: str
    cache: Path | None
    device: str
    interval: int
    threads: int
    known: Mapping[tuple[int, int], Interval] = field(default_factory=dict)
    begin: int = 0


class Member(tune.Trainable):
    """Trains intervals, and says of each what the lineage records."""

    def setup(self, config: dict[str, Any], assignment: Assignment | None = None) -> None:
        assert assignment is not None  # `tune.with_parameters` gives it
        self.assignment = assignment
        self.place: tuple[int, int] | None = None  # member and round of the state to go on from
        torch.set_num_threads(assignment.threads)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Become another member, or the same under other settings: all else is read from its state."""
        self.place = None
        return True

    def step(self) -> dict[str, Any]:
        try:
            return self._report(self._next())
        except AffectLensError as error:  # ours are of no use to try again; others Ray tries again
            return {"error": str(error), "score": -1.0, "round": 0, "since": 0, "interval": None}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        (Path(checkpoint_dir) / PLACE).write_text(json.dumps(self.place), encoding="utf-8")

    def load_checkpoint(self, checkpoint_dir: Any) -> None:
        place = json.loads((Path(checkpoint_dir) / PLACE).read_text(encoding="utf-8"))
        self.place = tuple(place) if place else None

    @property
    def number(self) -> int:
        """Which member this is. Its config may be a copy of another's; its name is not."""
        return int(str(self.trial_name).rpartition("-")[2])

    def _next(self) -> Interval:
        given = self.assignment
        done = self.place[1] if self.place else given.begin
        told = given.known.get((self.number, done + 1))
        if told:
            self.place = told.place
            return told
        base = read_run_settings(given.out)
        task = task_of(given.out, given.data, given.cache, given.device)
        folder = given.out / STATES
        if self.place and not state_file(folder, *self.place).is_file():
            return self._told_again(folder)
        start = self._start(folder) if self.place else None
        values = values_at(knobs(base), self.config)
        draw = Draw(
            values=values,
            positions={name: self.config[name] for name in values},
            name=self.config[DRAW],
            drawn_from=self.config[DRAWN_FROM],
        )
        made = train_interval(
            task, base, draw, member=self.number, start=start, steps=given.interval, folder=folder
        )
        self.place = made.place
        return made

    def _told_again(self, folder: Path) -> Interval:
        """What this member did after a state that is gone by now.

        A state is deleted when all members have done the round after it. A process that dies between telling
        of its round and Ray's noting where it stands begins before that round again.
        """
        assert self.place is not None
        file = state_file(folder, self.number, self.place[1] + 1)
        done = interval_of(file)
        if done.draw != self.config[DRAW]:
            raise RunError(f"{file} is not what member {self.number} was to train. Go on with --resume.")
        self.place = done.place
        return done

    def _start(self, folder: Path) -> Path:
        """The state that belongs to the settings of the config.

        It is the one that Ray's checkpoint names, unless Ray took over another's settings without its
        weights. This can happen where a member's own checkpoint was still being written when it was to take
        over another's (Ray's issue 28509); then the other's state of the same round is taken.
        """
        assert self.place is not None
        named = state_file(folder, *self.place)
        own = (self.config[DRAW], self.config[DRAWN_FROM])
        if interval_of(named).draw in own:
            return named
        for file in sorted(folder.glob(f"m*-r{self.place[1]:04d}.safetensors")):
            if interval_of(file).draw == self.config[DRAWN_FROM]:
                return file
        raise RunError(
            f"Member {self.number} was given settings drawn from {self.config[DRAWN_FROM]}, but no state of "
            f"round {self.place[1]} was trained under those. Go on with --resume."
        )

    def _report(self, interval: Interval) -> dict[str, Any]:
        return {
            "score": interval.score,
            "round": interval.round,
            "since": interval.round - self.assignment.begin,
            "interval": json.dumps(interval.to_dict()),
            "error": "",
        }


@lru_cache(maxsize=1)
def task_of(out: Path, data: str, cache: Path | None, device: str) -> Task:
    """Open the data once in each process, which members take turns in."""
    return prepared(open_data(data), read_run_settings(out), device, out / CACHE, cache)
