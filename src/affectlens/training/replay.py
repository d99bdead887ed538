"""Train one run with the settings that changed along the winner's line of a search.

Needs no Ray and no states of the search: the lineage records which settings to train with in which interval,
and with what hashes and scores the search came out. On a CPU with as many threads (`SearchPlan.threads`), all
hashes are the same again.

On disk: a run folder (`training.run_folder`), a lineage of one member, and its last state, to go on from.
"""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from affectlens.errors import RunError
from affectlens.files import clear_leftovers
from affectlens.locks import locked_folder, require_same_folder
from affectlens.training import lineage
from affectlens.training.finish import RunFinished
from affectlens.training.intervals import SettingsSample, finish_line, state_file, train_interval
from affectlens.training.lineage import LINEAGE, Interval
from affectlens.training.ratings import open_source
from affectlens.training.run_folder import (
    CACHE,
    RunRecord,
    TrainingRequest,
    open_run,
    read_run_settings,
    require_no_run,
)
from affectlens.training.search_plan import STATES, read_search
from affectlens.training.session import Session, open_cached_session, open_session


@dataclass(frozen=True)
class ReplayedInterval:
    """One interval trained again; `expected` is what the search had."""

    expected: Interval
    reached: Interval

    @property
    def is_the_same(self) -> bool:
        """Whether all weights are, to the last bit."""
        return self.expected.end_hash == self.reached.end_hash


def winners_line(search: Path) -> list[Interval]:
    """The intervals that led to the best model of a search. Raises `LineageError` for a false lineage."""
    intervals, _ = read_search(search)
    return lineage.ancestors(intervals, lineage.best(intervals))


def replay_request(
    search: Path,
    data: str,
    *,
    out: Path | None = None,
    cache: Path | None = None,
    resume: bool = False,
    device: str = "auto",
    command: str = "",
) -> TrainingRequest:
    """A request for the run that replays the search in a folder, by default in its folder `replay`."""
    own_cache = search / CACHE
    settings = read_run_settings(search)
    return TrainingRequest(
        name=RunRecord.read(search).name,
        data=data.partition(":")[0],
        source=open_source(data, settings),
        settings=settings,
        out=out or search / "replay",
        cache=cache or (own_cache if own_cache.is_dir() else None),
        resume=resume,
        device=device,
        command=command,
    )


def replay_session(search: Path, request: TrainingRequest) -> Session:
    """Open the data of a replay, decoded.

    Raises `RunError` where it is not what the search had, and for a folder that holds another run, and
    `OutputInUse` where another process writes it.
    """
    session = open_session(request.source, request.settings, request.device)
    RunRecord.read(search).require_same_data(search, session)
    with locked_folder(request.out):
        if not request.resume:
            require_no_run(request.out)
        return open_cached_session(
            request.source, request.settings, request.device, request.out / CACHE, request.cache
        )


def replay(
    request: TrainingRequest, session: Session, line: Sequence[Interval], threads: int | None = None
) -> Iterator[ReplayedInterval | RunFinished]:
    """Train along a line of a search in the folder `request.out`, with so many threads.

    The session's settings are those of the search. Stopping anywhere leaves a replay to resume. Raises
    `RunError` for a folder that holds another run or none to resume, and for a line that now diverges, and
    `OutputInUse` where another process writes the folder.
    """
    with locked_folder(request.out):
        yield from _replay(request, session, line, threads)


def _replay(
    request: TrainingRequest, session: Session, line: Sequence[Interval], threads: int | None
) -> Iterator[ReplayedInterval | RunFinished]:
    if threads is not None:
        torch.set_num_threads(threads)
    # A round that diverged trained nothing.
    line = [one for one in line if not one.failed]
    open_run(request, session)
    folder = request.out / STATES
    folder.mkdir(exist_ok=True)
    clear_leftovers(folder)
    done = _done(request.out / LINEAGE, folder) if request.resume else []
    for expected in line[len(done) :]:
        start = state_file(folder, 0, done[-1].round) if done else None
        sample = SettingsSample(
            values=expected.settings, unit=expected.unit, id=expected.sample, parent=expected.sampled_from
        )
        steps = expected.last_step - expected.first_step
        reached = train_interval(session, sample, member=0, start=start, steps=steps, folder=folder)
        require_same_folder(request.out)
        if reached.failed:
            raise RunError(f"Round {reached.round} diverges when it is trained again: {reached.failed}")
        lineage.append(request.out / LINEAGE, reached)
        done.append(reached)
        if start:
            start.unlink()
        yield ReplayedInterval(expected, reached)
    finished = finish_line(request, session, done, state_file(folder, 0, done[-1].round))
    shutil.rmtree(folder)
    yield finished


def _done(file: Path, folder: Path) -> list[Interval]:
    """The intervals that were done before an interruption: those up to the last whose state is there."""
    found = lineage.read_lineage(file) if file.is_file() else []
    while found and not state_file(folder, 0, found[-1].round).is_file():
        found.pop()
    lineage.write_lineage(file, found)
    return found
