"""Which member descends from which in a search: a line for each member and interval, and proof of it.

A member of a population trains an interval, is scored, and goes on, or begins the next interval from the
weights of a better member with settings sampled around that one's. Each line holds a hash of the complete
state (network, moving average (EMA), optimizer) before and after; `verify` raises where a member did not
begin exactly where its parent ended, or trained the weights of one member under settings sampled from
another's.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec

from affectlens.errors import LineageError
from affectlens.files import GrowingFile, atomic_write, read_file
from affectlens.former_keys import INTERVAL, current_keys, current_names
from affectlens.training.search_space import sample_id

LINEAGE = "lineage.jsonl"
DIVERGED = -1.0  # below every score


@dataclass(frozen=True, kw_only=True)
class Interval:
    """What one member did in one interval.

    Attributes:
        member: from 0
        round: number of the interval, from 1
        parent: the member whose end of the round before it began from, itself where it went on; None in
            the first round
        settings: those that the search changes, by name, as trained in this interval
        unit: the point of them in the search space's unit cube (`search_space.Hyperparameter`)
        sample, sampled_from: the ids of these settings and of those that they were sampled from
            (`search_space.sample_id`)
        first_step, last_step: steps done before and after
        start_hash, end_hash: of the complete state before and after
        score: the scores' figure that is selected by; `DIVERGED` where there is none
        scores: on the validation split
        seconds: it took, with predicting and saving
        failed: why training diverged; the state is then the one before
        stopped: whether the search stopped the member after it
    """

    member: int
    round: int
    parent: int | None
    settings: Mapping[str, int | float]
    unit: Mapping[str, float]
    sample: str
    sampled_from: str | None
    first_step: int
    last_step: int
    start_hash: str
    end_hash: str
    score: float
    scores: Mapping[str, float]
    seconds: float
    failed: str | None = None
    stopped: bool = False

    @property
    def key(self) -> tuple[int, int]:
        """Member and round, which identify it."""
        return self.member, self.round

    @property
    def is_exploit(self) -> bool:
        """Whether it began from the weights of another member."""
        return self.parent not in (None, self.member)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Interval":
        """Build from plain data, also as format 1 named it. Raises `LineageError` for anything else."""
        known = current_keys(values, INTERVAL)
        for name in ("settings", "unit"):
            if isinstance(known.get(name), Mapping):
                known[name] = current_names(known[name])
        try:
            return msgspec.convert(known, cls)
        except ValueError as error:
            raise LineageError(f"A line of {LINEAGE} is not complete: {error}.") from None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that `from_dict` takes."""
        return asdict(self)


def append(file: Path, interval: Interval) -> None:
    """Write one line, and wait until it is on the disk. Raises `OutputError`."""
    with GrowingFile(file) as out:
        out.append(interval.to_dict())
        out.sync()


def write_lineage(file: Path, intervals: Iterable[Interval]) -> None:
    """Replace all lines."""
    with atomic_write(file, "w") as out:
        out.writelines(json.dumps(interval.to_dict()) + "\n" for interval in intervals)


def read_lineage(file: Path) -> list[Interval]:
    """Read all lines; a last one that a kill cut off is left out. Raises `LineageError`."""
    try:
        # As bytes: a line that a kill cut off need not be text.
        lines = read_file(file).splitlines(keepends=True)
    except OSError as error:
        raise LineageError(f"{file} cannot be read: {error.strerror}. Name the folder of a search.") from None
    if lines and not lines[-1].endswith(b"\n"):
        lines.pop()
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            row = msgspec.json.decode(line.decode(), type=dict[str, Any])
        except (ValueError, RecursionError) as error:
            raise LineageError(
                f"{file} is damaged, line {number}: {error}. Put back a copy of it, or search again in "
                "another folder."
            ) from None
        found.append(Interval.from_dict(row))
    return found


def read_finished(file: Path) -> list[Interval]:
    """Read the lineage of a search that has trained something, and verify it. Raises `LineageError`."""
    intervals = read_lineage(file)
    if not intervals:
        raise LineageError(f"{file} holds no complete interval: nothing was trained yet, or it was cut off.")
    verify(intervals)
    return intervals


def verify(intervals: Sequence[Interval]) -> None:
    """Raise `LineageError` unless every member began where its parent ended, under settings of that line."""
    known: dict[tuple[int, int], Interval] = {}
    for one in intervals:
        if one.key in known:
            raise LineageError(f"{_named(one)} is there twice.")
        known[one.key] = one
    for one in intervals:
        _verify_settings(one)
        if one.round == 1:
            if one.parent is not None or one.first_step != 0 or one.sampled_from is not None:
                raise LineageError(f"{_named(one)} is of the first round and yet has a parent.")
            continue
        if one.parent is None:
            raise LineageError(f"{_named(one)} has no parent.")
        parent = known.get((one.parent, one.round - 1))
        if parent is None:
            raise LineageError(f"{_named(one)} descends from member {one.parent}, which has no round before.")
        _verify_descent(one, parent)


def _verify_settings(one: Interval) -> None:
    if sample_id(one.settings, one.sampled_from) != one.sample:
        raise LineageError(f"{_named(one)} names other settings than those that were sampled.")
    if not math.isfinite(one.score):
        raise LineageError(f"{_named(one)} has the score {one.score}.")
    trained = one.last_step > one.first_step
    if trained == (one.failed is not None) or trained == (one.start_hash == one.end_hash):
        steps = f"steps {one.first_step} to {one.last_step}"
        raise LineageError(f"{_named(one)} has {steps}, but its hashes do not fit that.")


def _verify_descent(one: Interval, parent: Interval) -> None:
    if one.start_hash != parent.end_hash:
        raise LineageError(
            f"{_named(one)} began with the state {one.start_hash[:12]}, but its parent {_named(parent)} "
            f"ended with {parent.end_hash[:12]}: weights were mixed up."
        )
    if one.first_step != parent.last_step:
        raise LineageError(f"{_named(one)} began at step {one.first_step}, its parent ended at another.")
    if parent.sample not in (one.sample, one.sampled_from):
        raise LineageError(
            f"{_named(one)} trained the weights of member {parent.member} under settings that were not "
            "sampled from that member's."
        )


def _named(one: Interval) -> str:
    return f"Member {one.member}, round {one.round},"


def best(intervals: Iterable[Interval]) -> Interval:
    """The interval with the highest score; of equals, the earliest."""
    return max(intervals, key=lambda one: (one.score, -one.round, -one.member))


def ancestors(intervals: Iterable[Interval], last: Interval) -> list[Interval]:
    """The line that leads to an interval, from the first round to itself."""
    known = {one.key: one for one in intervals}
    line = [last]
    while line[-1].parent is not None:
        line.append(known[line[-1].parent, line[-1].round - 1])
    return line[::-1]


def complete_round(intervals: Iterable[Interval], population: int) -> int:
    """The last round that every member has done."""
    last = dict.fromkeys(range(population), 0)
    for one in intervals:
        if one.member in last:
            last[one.member] = max(last[one.member], one.round)
    return min(last.values())
