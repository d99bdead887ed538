"""Train one member of a population for one interval: from a state in a file to the next.

On disk, in a folder of states:
    m003-r0012.safetensors      the complete state of member 3 after round 12, with its line of the lineage

A file is there complete or not at all, and names what it came from. So an interval that is requested a second
time, because a process died after it, is read and not trained again.
"""

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from affectlens.errors import RunError
from affectlens.files import atomic_write
from affectlens.training.checkpoints import hash_state, load_state, read_notes, save_state, save_weights
from affectlens.training.finish import RunFinished, finish, quick_scores, selection_score
from affectlens.training.lineage import DIVERGED, Interval
from affectlens.training.loop import train
from affectlens.training.run_folder import BEST, LOG, TrainingRequest
from affectlens.training.session import Session
from affectlens.training.settings import with_values
from affectlens.training.state import State

# The note in a state file.
INTERVAL = "interval"


@dataclass(frozen=True, kw_only=True)
class SettingsSample:
    """Settings for a member, their point in the search space, and their ids (`search_space.sample_id`)."""

    values: Mapping[str, float]
    unit: Mapping[str, float]
    id: str
    parent: str | None


def state_file(folder: Path, member: int, number: int) -> Path:
    """The file of the state of a member after a round."""
    return folder / f"m{member:03d}-r{number:04d}.safetensors"


def interval_of(file: Path) -> Interval:
    """Read a state's line of the lineage. Raises `RunError` for a damaged file."""
    notes = read_notes(file)
    if not isinstance(notes.get(INTERVAL), dict):
        raise RunError(f"{file} has no line of a lineage.")
    return Interval.from_dict(notes[INTERVAL])


def train_interval(
    session: Session, sample: SettingsSample, *, member: int, start: Path | None, steps: int, folder: Path
) -> Interval:
    """Train from the state in `start`, or from the beginning, and leave the next state in `folder`.

    The state goes on at its own step of the schedule and position in the data, with its moments and its
    moving average (EMA), under the session's settings changed by the `sample`. Where training diverges,
    the state stays as it was and scores below all. Raises `RunError` for a state that is damaged, and what
    reading data and writing raise.
    """
    parent = interval_of(start) if start else None
    number = parent.round + 1 if parent else 1
    target = state_file(folder, member, number)
    if target.is_file():
        done = interval_of(target)
        if done.sample == sample.id and (parent is None or done.start_hash == parent.end_hash):
            return done
    began = time.monotonic()
    session = session.with_settings(with_values(session.settings, sample.values))
    state = _state_at(session, start)
    start_hash = hash_state(state)
    if parent and start_hash != parent.end_hash:
        raise RunError(f"The state in {start} is not the one that was saved there: its hash is another.")
    first_step, failed, scores = state.step, None, {}
    try:
        _advance(session, state, steps)
        scores = quick_scores(session.predict(state.best_network))
        if not all(map(math.isfinite, scores.values())):
            raise RunError(f"The scores are not finite after step {state.step}.")
    except RunError as error:
        failed, scores, state = str(error), {}, _state_at(session, start)
    made = Interval(
        member=member,
        round=number,
        parent=parent.member if parent else None,
        settings=dict(sample.values),
        unit=dict(sample.unit),
        sample=sample.id,
        sampled_from=sample.parent,
        first_step=first_step,
        last_step=state.step,
        start_hash=start_hash,
        end_hash=hash_state(state),
        score=DIVERGED if failed else selection_score(scores, session.settings.select_by),
        scores=scores,
        seconds=round(time.monotonic() - began, 3),
        failed=failed,
    )
    save_state(target, state, {INTERVAL: made.to_dict()})
    return made


def _state_at(session: Session, start: Path | None) -> State:
    """The state in a file, under settings that may be others than those that trained it."""
    state = session.start(pretrained=start is None)
    if start:
        load_state(start, state)
    return state


def _advance(session: Session, state: State, steps: int) -> None:
    goal = state.step + steps
    for _ in train(session, state):
        if state.step == goal:
            return


def finish_line(
    request: TrainingRequest, session: Session, line: Sequence[Interval], file: Path
) -> RunFinished:
    """Write the model folder of the state at the end of a line, in `file`, with the line as its log."""
    winner = line[-1]
    session = session.with_settings(with_values(session.settings, winner.settings))
    state = _state_at(session, file)
    about = {"member": winner.member, "round": winner.round, "step": winner.last_step, **winner.scores}
    save_weights(request.out / BEST, state.best_network, about)
    with atomic_write(request.out / LOG, "w") as log:
        for one in line:
            row = {
                "round": one.round,
                "member": one.member,
                "step": one.last_step,
                "scores": dict(one.scores),
                "settings": dict(one.settings),
            }
            log.write(json.dumps(row) + "\n")
    return finish(request, session)
