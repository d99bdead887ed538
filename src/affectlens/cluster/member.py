"""One member of a population, as Ray Tune runs it: each step is an interval of training.

Ray decides which member runs when and on which machine, and which other member it copies; how an interval is
trained is not known here (`training.intervals`). What Ray calls a checkpoint is the name of a state file: a
few bytes, so that pausing a member and giving its weights to another cost next to nothing. The folder of the
search must be the same on every machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import torch
from ray import tune

from affectlens.errors import AffectLensError, RunError
from affectlens.training.intervals import SettingsSample, interval_of, state_file, train_interval
from affectlens.training.lineage import DIVERGED, Interval
from affectlens.training.ratings import open_source
from affectlens.training.run_folder import CACHE, read_run_settings
from affectlens.training.search_plan import STATES
from affectlens.training.search_space import SearchSpace, values_at
from affectlens.training.session import Session, open_cached_session

# Of Ray's config, as well as the point in the search space.
MEMBER, SAMPLE, SAMPLED_FROM = "member", "sample", "sampled_from"
# In Ray's checkpoint.
STATE = "state.json"


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What all members of a search share.

    Attributes:
        out: the folder of the search
        data: as `data.catalog.open_data` takes it
        cache: of decoded pictures, made before; None where the settings have none
        interval: steps
        space: what is searched
        threads: of torch, for each member
        known: intervals that were done before the search was interrupted; reported again, not trained
        begin: the round after which members begin
    """

    out: Path
    data: str
    cache: Path | None
    device: str
    interval: int
    space: SearchSpace
    threads: int
    known: Mapping[tuple[int, int], Interval] = field(default_factory=dict)
    begin: int = 0


class Member(tune.Trainable):
    """Trains intervals, and reports of each what the lineage records."""

    def setup(self, config: dict[str, Any], assignment: Assignment | None = None) -> None:
        assert assignment is not None  # `tune.with_parameters` gives it
        self.assignment = assignment
        # Member and round of the state to go on from.
        self.state: tuple[int, int] | None = None
        torch.set_num_threads(assignment.threads)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Become another member, or the same under other settings: all else is read from its state."""
        self.state = None
        return True

    def step(self) -> dict[str, Any]:
        try:
            return self._report(self._next())
        except AffectLensError as error:
            # Ours are of no use to try again; others Ray tries again.
            return {"error": str(error), "score": DIVERGED, "round": 0, "since": 0, "interval": None}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        (Path(checkpoint_dir) / STATE).write_bytes(msgspec.json.encode(self.state))

    def load_checkpoint(self, checkpoint_dir: Any) -> None:
        stored = (Path(checkpoint_dir) / STATE).read_bytes()
        self.state = msgspec.json.decode(stored, type=tuple[int, int] | None)

    @property
    def number(self) -> int:
        """Which member this is. Its config may be a copy of another's; its name is not."""
        return int(str(self.trial_name).rpartition("-")[2])

    def _next(self) -> Interval:
        given = self.assignment
        done = self.state[1] if self.state else given.begin
        known = given.known.get((self.number, done + 1))
        if known:
            self.state = known.key
            return known
        folder = given.out / STATES
        if self.state and not state_file(folder, *self.state).is_file():
            return self._read_again(folder)
        start = self._start(folder) if self.state else None
        session = session_of(given.out, given.data, given.cache, given.device)
        values = values_at(given.space, self.config)
        sample = SettingsSample(
            values=values,
            unit={name: self.config[name] for name in values},
            id=self.config[SAMPLE],
            parent=self.config[SAMPLED_FROM],
        )
        made = train_interval(
            session, sample, member=self.number, start=start, steps=given.interval, folder=folder
        )
        self.state = made.key
        return made

    def _read_again(self, folder: Path) -> Interval:
        """What this member did after a state that is gone by now.

        A state is deleted when all members have done the round after it. A process that dies between
        reporting its round and Ray's noting its checkpoint begins before that round again.
        """
        assert self.state is not None
        file = state_file(folder, self.number, self.state[1] + 1)
        done = interval_of(file)
        if done.sample != self.config[SAMPLE]:
            raise RunError(f"{file} is not what member {self.number} was to train. Go on with --resume.")
        self.state = done.key
        return done

    def _start(self, folder: Path) -> Path:
        """The state that belongs to the settings of the config.

        It is the one that Ray's checkpoint names, unless Ray copied another's settings without its weights.
        This can happen where a member's own checkpoint was still being written when it was to copy another
        (Ray's issue 28509); then the other's state of the same round is taken.
        """
        assert self.state is not None
        named = state_file(folder, *self.state)
        own = (self.config[SAMPLE], self.config[SAMPLED_FROM])
        if interval_of(named).sample in own:
            return named
        for file in sorted(folder.glob(f"m*-r{self.state[1]:04d}.safetensors")):
            if interval_of(file).sample == self.config[SAMPLED_FROM]:
                return file
        raise RunError(
            f"Member {self.number} was given settings sampled from {self.config[SAMPLED_FROM]}, but no state "
            f"of round {self.state[1]} was trained under those. Go on with --resume."
        )

    def _report(self, interval: Interval) -> dict[str, Any]:
        return {
            "score": interval.score,
            "round": interval.round,
            "since": interval.round - self.assignment.begin,
            "interval": interval.to_dict(),
            "error": "",
        }


@lru_cache(maxsize=1)
def session_of(out: Path, data: str, cache: Path | None, device: str) -> Session:
    """Open the data once in each process, which members take turns in."""
    settings = read_run_settings(out)
    source = open_source(data, settings)
    return open_cached_session(source, settings, device, out / CACHE, cache)
