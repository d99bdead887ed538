"""Train one member of a population for one interval: from a state in a file to the next.

On disk, in a folder of states:
    m003-r0012.safetensors      the whole state of member 3 after round 12, with its line of the lineage

A file is there whole or not at all, and says what it came from. So an interval that is asked for a second
time, because a process died after it, is read and not trained again.
"""

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from affectlens.errors import RunError
from affectlens.files import atomic_write
from affectlens.training.checkpoints import hash_state, load_state, read_notes, save_state, save_weights
from affectlens.training.lineage import DIVERGED, Interval
from affectlens.training.loop import State
from affectlens.training.run import BEST, LOG, Finished, Request, finish, quick_scores
from affectlens.training.session import Task
from affectlens.training.settings import Settings, with_values

STATES = "states"
INTERVAL = "interval"  # the note in a state file


@dataclass(frozen=True, kw_only=True)
class Draw:
    """Settings for a member, and their names (`space.name_of_draw`)."""

    values: Mapping[str, float]
    positions: Mapping[str, float]
    name: str
    drawn_from: str | None


def state_file(folder: Path, member: int, number: int) -> Path:
    """Where the state of a member after a round lies."""
    return folder / f"m{member:03d}-r{number:04d}.safetensors"


def interval_of(file: Path) -> Interval:
    """Read a state's line of the lineage. Raises `RunError` for a damaged file."""
    return Interval.from_dict(read_notes(file)[INTERVAL])


def train_interval(
    task: Task, base: Settings, draw: Draw, *, member: int, start: Path | None, steps: int, folder: Path
) -> Interval:
    """Train from the state in `start`, or from the beginning, and leave the next state in `folder`.

    The state goes on at its own place of the schedule and of the data, with its moments and its running
    average, under the settings of `draw`. Where training diverges, the state stays as it was and scores
    below all. Raises `RunError` for a state that is damaged, and what reading data and writing raise.
    """
    parent = interval_of(start) if start else None
    number = parent.round + 1 if parent else 1
    target = state_file(folder, member, number)
    if target.is_file():
        done = interval_of(target)
        if done.draw == draw.name and (parent is None or done.start_hash == parent.end_hash):
            return done
    began = time.monotonic()
    settings = with_values(base, draw.values)
    state = _standing(task, settings, start)
    start_hash = hash_state(state)
    if parent and start_hash != parent.end_hash:
        raise RunError(f"The state in {start} is not the one that was saved there: its hash is another.")
    first_step, failed, scores = state.step, None, {}
    try:
        _advance(task, settings, state, steps)
        scores = quick_scores(task.judge(state.best_network, settings))
        if not all(map(math.isfinite, scores.values())):
            raise RunError(f"The scores are not finite after step {state.step}.")
    except RunError as error:
        failed, scores, state = str(error), {}, _standing(task, settings, start)
    made = Interval(
        member=member,
        round=number,
        parent=parent.member if parent else None,
        settings=dict(draw.values),
        positions=dict(draw.positions),
        draw=draw.name,
        drawn_from=draw.drawn_from,
        first_step=first_step,
        last_step=state.step,
        start_hash=start_hash,
        end_hash=hash_state(state),
        score=DIVERGED if failed else scores[settings.select_by],
        scores=scores,
        seconds=round(time.monotonic() - began, 3),
        failed=failed,
    )
    save_state(target, state, {INTERVAL: made.to_dict()})
    return made


def _standing(task: Task, settings: Settings, start: Path | None) -> State:
    """The state in a file, under settings that may be others than those that trained it."""
    state = task.start(settings, pretrained=start is None)
    if start:
        load_state(start, state)
    return state


def _advance(task: Task, settings: Settings, state: State, steps: int) -> None:
    goal = state.step + steps
    for _ in task.steps(state, settings):
        if state.step == goal:
            return


def finish_line(run: Request, task: Task, line: Sequence[Interval], state: Path) -> Finished:
    """Write the model folder of the state at the end of a line, with the line as its log."""
    winner = line[-1]
    settings = with_values(run.settings, winner.settings)
    standing = _standing(task, settings, state)
    about = {"member": winner.member, "round": winner.round, "step": winner.last_step, **winner.scores}
    save_weights(run.out / BEST, standing.best_network, about)
    with atomic_write(run.out / LOG, "w") as log:
        for one in line:
            told = {
                "round": one.round,
                "member": one.member,
                "step": one.last_step,
                "scores": dict(one.scores),
                "settings": dict(one.settings),
            }
            log.write(json.dumps(told) + "\n")
    return finish(replace(run, settings=settings), task)
