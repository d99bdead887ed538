"""Train one run with the settings that changed along the winner's line of a search.

Needs no Ray and no states of the search: the lineage says which settings to train with in which interval, and
with what hashes and scores the search came out. On a CPU with as many threads, all hashes are the same again:
`space.read_threads` says how many that are.

On disk: a run folder (`training.run`), a lineage of one member, and its last state, to go on from.
"""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from affectlens.errors import RunError
from affectlens.files import clear_leftovers
from affectlens.training import lineage
from affectlens.training.intervals import STATES, Draw, finish_line, state_file, train_interval
from affectlens.training.lineage import LINEAGE, Interval
from affectlens.training.run import Finished, Request, open_run
from affectlens.training.session import Task


@dataclass(frozen=True)
class Replayed:
    """One interval trained again; `expected` is what the search had."""

    expected: Interval
    reached: Interval

    @property
    def is_the_same(self) -> bool:
        """Whether all weights are, to the last bit."""
        return self.expected.end_hash == self.reached.end_hash


def replay(
    run: Request, task: Task, line: Sequence[Interval], threads: int | None = None
) -> Iterator[Replayed | Finished]:
    """Train along a line of a search (`lineage.ancestors`) in the folder `run.out`, with so many threads.

    `run.settings` are those of the search. Stopping anywhere leaves a replay to resume. Raises `RunError` for
    a folder that holds another run or none to resume, and for a line that now diverges.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    line = [one for one in line if not one.failed]  # such a round trained nothing
    open_run(run, task.source, task.attributes)
    folder = run.out / STATES
    folder.mkdir(exist_ok=True)
    clear_leftovers(folder)
    done = _done(run.out / LINEAGE, folder) if run.resume else []
    for expected in line[len(done) :]:
        start = state_file(folder, 0, done[-1].round) if done else None
        draw = Draw(
            values=expected.settings,
            positions=expected.positions,
            name=expected.draw,
            drawn_from=expected.drawn_from,
        )
        steps = expected.last_step - expected.first_step
        reached = train_interval(task, run.settings, draw, member=0, start=start, steps=steps, folder=folder)
        if reached.failed:
            raise RunError(f"Round {reached.round} diverges when it is trained again: {reached.failed}")
        lineage.append(run.out / LINEAGE, reached)
        done.append(reached)
        if start:
            start.unlink()
        yield Replayed(expected, reached)
    finished = finish_line(run, task, done, state_file(folder, 0, done[-1].round))
    shutil.rmtree(folder)
    yield finished


def _done(file: Path, folder: Path) -> list[Interval]:
    """The intervals that were done before an interruption: those up to the last whose state is there."""
    found = lineage.read(file) if file.is_file() else []
    while found and not state_file(folder, 0, found[-1].round).is_file():
        found.pop()
    lineage.write(file, found)
    return found
