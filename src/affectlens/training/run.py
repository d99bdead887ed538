"""A training run in a folder: what surrounds the loop so that nothing is lost and all is known.

What lies in the folder is described in `training.run_folder`.
"""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from affectlens.errors import RunError
from affectlens.files import GrowingFile, clear_leftovers
from affectlens.locks import locked_folder, require_same_folder
from affectlens.training.checkpoints import load_state, save_state, save_weights
from affectlens.training.distributed import ALONE, ProcessGroup
from affectlens.training.finish import RunFinished, finish, quick_scores, selection_score
from affectlens.training.loop import Step, train
from affectlens.training.run_folder import (
    BEST,
    CACHE,
    LAST,
    LOG,
    STEPS,
    RunRecord,
    TrainingRequest,
    cut_back,
    open_run_together,
    require_no_run,
    require_same_start,
)
from affectlens.training.session import CacheProgress, Session, open_session, with_cache
from affectlens.training.settings import LAST_EPOCH, Settings
from affectlens.training.state import State


@dataclass(frozen=True)
class RunStarted:
    """A run begins or goes on: from which step, of how many, on what."""

    step: int
    total_steps: int
    pictures: int
    device: str
    precision: str


@dataclass(frozen=True)
class EpochEnd:
    """Scores on the validation split after an epoch (from 1); `best` when it is the best so far.

    `stop` states why training ends here, where it ends early; else it is empty.
    """

    epoch: int
    step: int
    scores: Mapping[str, float]
    best: bool
    stop: str = ""


class Best(NamedTuple):
    """The best score so far of what epochs are selected by, and its epoch, from 1."""

    score: float = -1.0
    epoch: int = 0


RunEvent = RunStarted | Step | EpochEnd | CacheProgress | RunFinished


def fit(request: TrainingRequest, group: ProcessGroup = ALONE) -> Iterator[RunEvent]:
    """Train, log, save and select; yield what happens. The last event is `RunFinished`.

    Where a run does not validate, or is not to finish, there is none: `finish.save_measured` writes a model,
    and `finish.predict_others` predicts by its weights.

    All processes of a `group` call it with the same request, and each with its own device. They take the same
    steps and yield the same events, but only the main one writes, and yields `CacheProgress` and
    `RunFinished`.

    Raises `RunError` where the folder holds another run or none to resume, `OutputInUse` where another
    process writes it, and what reading the data, building the network and training raise. Stopping the
    iteration anywhere leaves a run to resume.
    """
    session = open_session(
        request.source,
        request.settings,
        request.device,
        group,
        request.teachers,
        validates=request.validates,
        kept=request.kept,
    )
    with _locked_together(request.out, group):
        yield from _fit(request, session)


@contextmanager
def _locked_together(out: Path, group: ProcessGroup) -> Iterator[None]:
    """Have the main process lock the run folder while the block runs."""
    with ExitStack() as held:
        with group.agreed():
            if group.is_main:
                held.enter_context(locked_folder(out))
        yield


def _fit(request: TrainingRequest, session: Session) -> Iterator[RunEvent]:
    group = session.group
    # Before the folder holds anything: what does not begin leaves no run behind.
    fresh = None if request.resume else _fresh(request, session)
    open_run_together(request, session, fresh.rows if fresh else {})
    session = yield from with_cache(session, request.out / CACHE, request.cache)
    state, best = (fresh, Best()) if fresh else _begin(request, session)
    precision = str(session.precision).removeprefix("torch.")
    yield RunStarted(
        state.step, session.schedule.total_steps, len(session.training), str(session.device), precision
    )
    began = time.monotonic()
    log_file = request.out / STEPS if group.is_main else Path(os.devnull)
    waits_since = _continued_after(request, session)
    steps = iter(()) if _has_stopped(session, state, best, waits_since) else train(session, state)
    with GrowingFile(log_file) as log:
        for step in steps:
            end = None
            log.append(_line(step, time.monotonic() - began))
            yield step
            require_same_folder(request.out)
            if step.ends_epoch:
                end = _end_epoch(request, session, state, step, best, waits_since)
                if end.best:
                    best = Best(_selection(end.epoch, end.scores, session.settings), end.epoch)
                yield end
            due = step.number % session.settings.checkpoint_every == 0
            if group.is_main and (step.ends_epoch or due):
                log.sync()  # before the state that counts its lines
                save_state(request.out / LAST, state, {"best": best.score, "best_epoch": best.epoch})
            if end and end.stop:
                break
    if group.is_main:
        require_same_folder(request.out)
        if request.validates and request.finishes:
            yield finish(request, session)


def _line(step: Step, seconds: float) -> dict[str, Any]:
    """What the log has of a step; `seconds` are those since this part of the run began."""
    return {
        "step": step.number,
        "loss": step.loss,
        "accuracy": step.accuracy,
        "lr": step.lr,
        "gradient_norm": step.gradient_norm,
        "seconds": round(seconds, 2),
        **step.parts,
    }


def _fresh(request: TrainingRequest, session: Session) -> State:
    """The state that a new run begins with."""
    with session.group.agreed():
        if session.group.is_main:
            require_no_run(request.out)
    return session.start()


def _begin(request: TrainingRequest, session: Session) -> tuple[State, Best]:
    """The state that a resumed run goes on from, and the best score so far."""
    group = session.group
    begins = not (request.out / LAST).is_file()
    with group.agreed():
        if begins and session.settings.start and group.is_main:
            require_same_start(request.out, session.settings)
    state = session.start(pretrained=begins)
    with group.agreed():
        best = _restore(request.out, state, group.is_main)
    if len(set(group.gather(state.step))) > 1:
        raise RunError(f"{request.out / LAST} differs between machines. Wait a minute, then --resume.")
    return state, best


def _restore(out: Path, state: State, is_main: bool) -> Best:
    """Load the last checkpoint, if one was written; cut the logs back to it; return the best score."""
    if is_main:
        clear_leftovers(out)
    notes = load_state(out / LAST, state) if (out / LAST).is_file() else {}
    for name in (STEPS, LOG) if is_main else ():
        cut_back(out / name, state.step)
    # Checkpoints from before there was a patience have no epoch.
    return Best(float(notes.get("best", Best().score)), int(notes.get("best_epoch", Best().epoch)))


def _selection(epoch: int, scores: Mapping[str, float], settings: Settings) -> float:
    """What the epoch to keep has most of: a score, or simply its number."""
    if settings.select_by == LAST_EPOCH:
        return float(epoch)
    return selection_score(scores, settings.select_by)


def _continued_after(request: TrainingRequest, session: Session) -> int:
    """After how many epochs the run was last continued to others, and `patience` begins anew."""
    continued = RunRecord.read(request.out).continued
    return session.schedule.epoch_of(continued[-1].step) if continued else 0


def _has_stopped(session: Session, state: State, best: Best, waits_since: int) -> bool:
    """Whether a run to resume had stopped early, and was interrupted after its last checkpoint."""
    last, schedule = state.step - 1, session.schedule
    if last < 0 or not schedule.ends_epoch(last):
        return False
    return bool(_stop(session, schedule.epoch_of(last) + 1, max(best.epoch, waits_since)))


def _stop(session: Session, epoch: int, waits_since: int) -> str:
    """State why training ends after an epoch (from 1), or nothing where it goes on."""
    settings = session.settings
    if not settings.patience or epoch - waits_since < settings.patience:
        return ""
    return f"{settings.select_by} has not improved for {settings.patience} epochs (patience)"


def _end_epoch(
    request: TrainingRequest, session: Session, state: State, step: Step, best: Best, waits_since: int
) -> EpochEnd:
    """Score an epoch, keep its weights when they are the best so far, log it."""
    scores = quick_scores(session.predict(state.best_network)) if session.validation else {}
    settings = session.settings
    # The last is the best also where it is an epoch that was cut short before and went on.
    is_last = settings.select_by == LAST_EPOCH
    is_best = is_last or _selection(step.epoch + 1, scores, settings) > best.score
    is_over = is_best or state.step == session.schedule.total_steps
    stop = "" if is_over else _stop(session, step.epoch + 1, max(best.epoch, waits_since))
    end = EpochEnd(step.epoch + 1, step.number, scores, is_best, stop)
    if not session.group.is_main:
        return end
    if is_best:
        save_weights(request.out / BEST, state.best_network, {"epoch": end.epoch, "step": end.step, **scores})
    with GrowingFile(request.out / LOG) as log:
        log.append({key: value for key, value in asdict(end).items() if value != ""})
        log.sync()
    return end
