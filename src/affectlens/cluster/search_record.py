"""The record of a search while Ray Tune runs it: lineage, states that are still needed, when to stop."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ray import tune

from affectlens.cluster.schedulers import member_of
from affectlens.errors import OutputError, RunError
from affectlens.files import clear_leftovers
from affectlens.locks import require_same_folder
from affectlens.training import lineage
from affectlens.training.intervals import state_file
from affectlens.training.lineage import DIVERGED, LINEAGE, Interval
from affectlens.training.search_plan import EXPLOITING, INDEPENDENT, STATES, SearchPlan

# Of the process that trains a member, before the search gives up.
MAX_DEATHS = 3


@dataclass(frozen=True)
class RoundEnd:
    """All members that are left have done a round. Scores are of the validation split.

    Attributes:
        exploited: members that began the round from another's weights
        diverged: members whose training diverged in it
    """

    round: int
    best: float
    median: float
    best_so_far: float
    exploited: int
    diverged: int


class SearchRecord(tune.Callback, tune.Stopper):
    """Writes the lineage as results come in, deletes states that are no longer needed, stops members."""

    def __init__(self, out: Path, plan: SearchPlan, listen: Callable[[Interval | RoundEnd], None]) -> None:
        self.out, self.plan, self.listen = out, plan, listen
        self.file, self.states = out / LINEAGE, out / STATES
        self.states.mkdir(exist_ok=True)
        clear_leftovers(self.states)
        self.intervals = lineage.read_lineage(self.file) if self.file.is_file() else []
        self.begin = 0
        if plan.scheduler in EXPLOITING:
            done = lineage.complete_round(self.intervals, plan.population)
            self.intervals = [one for one in self.intervals if one.round <= done]
            self.begin = max(done - 1, 0)
        # Without what a kill cut off.
        lineage.write_lineage(self.file, self.intervals)
        self.known = {one.key: one for one in self.intervals}
        self.failed: str | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the listener: Ray puts a copy aside, for a way to resume that is not ours."""
        return {name: value for name, value in self.__dict__.items() if name != "listen"}

    @property
    def is_complete(self) -> bool:
        """Whether every member has done its last round, or the budget is spent."""
        return not self.plan.going_on(self.intervals)

    def require_states(self) -> None:
        """Raise `RunError` where a state is missing without which a search that was begun cannot go on."""
        if not self.intervals:
            return
        last = {one.member: one for one in self.intervals}  # by rounds, as they were done
        needed = [] if self.is_complete else list(filter(self._goes_on, last.values()))
        for one in (lineage.best(self.intervals), *needed):
            file = state_file(self.states, *one.key)
            if not file.is_file():
                raise RunError(
                    f"{file} is missing, and the search cannot go on without the states that it was at. Put "
                    f"{self.states} back from a copy, or search again in another folder."
                )

    def _goes_on(self, last: Interval) -> bool:
        """Whether a member trains after its last interval."""
        return not last.stopped and last.round < self.plan.rounds

    @property
    def _is_spent(self) -> bool:
        return self.plan.is_spent(self.intervals)

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether a member stops after a result."""
        return bool(result["error"]) or result["round"] >= self.plan.rounds or self._is_hopeless(result)

    def _is_hopeless(self, result: dict[str, Any]) -> bool:
        """Without another's weights to copy, a member that diverged would only do so again."""
        return self.plan.scheduler in INDEPENDENT and result["score"] == DIVERGED

    def stop_all(self) -> bool:
        """Whether all stop now."""
        return self.failed is not None or self._is_spent

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Any, **_: Any) -> None:
        """Record an interval."""
        if result["error"]:
            self.failed = self.failed or f"Member {member_of(trial)} failed: {result['error']}"
            return
        interval = Interval.from_dict(result["interval"])
        if interval.key in {one.key for one in self.intervals}:
            return
        interval = replace(interval, stopped=bool(result.get("done")) and interval.round < self.plan.rounds)
        self.intervals.append(interval)
        try:
            require_same_folder(self.out)
            lineage.append(self.file, interval)
        except OutputError as error:
            self.failed = str(error)
            return
        self.listen(interval)
        self._delete_states()
        self._report_round(interval.round)

    def follow(self) -> None:
        """Report what another process has recorded since."""
        there = {one.key for one in self.intervals}
        for interval in lineage.read_lineage(self.file):
            if interval.key not in there:
                self.intervals.append(interval)
                self.listen(interval)
                self._report_round(interval.round)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """A member's process died again and again, or an error that is not ours was raised in it."""
        error = trial.get_error() if hasattr(trial, "get_error") else None
        last = str(error).strip().splitlines()[-1] if error and str(error).strip() else "no reason was given"
        self.failed = f"Member {member_of(trial)} failed {MAX_DEATHS + 1} times, the last time with: {last}"

    def _delete_states(self) -> None:
        """Keep what a member may still begin from, and the best: at most 2 x population + 1 states.

        With exchange, a member may begin from any state of the last round that all have done.
        """
        kept = {state_file(self.states, *lineage.best(self.intervals).key)}
        last = {one.member: one.round for one in self.intervals}
        exchanged = lineage.complete_round(self.intervals, self.plan.population)
        for one in self.intervals:
            oldest = exchanged if self.plan.scheduler in EXPLOITING else last[one.member]
            if one.round >= oldest:
                kept.add(state_file(self.states, *one.key))
        for one in self.intervals:
            file = state_file(self.states, *one.key)
            if file not in kept:
                file.unlink(missing_ok=True)

    def _report_round(self, number: int) -> None:
        there = [one for one in self.intervals if one.round == number]
        stopped = {one.member for one in self.intervals if one.stopped and one.round < number}
        if len(there) + len(stopped) < self.plan.population:
            return
        scores = [one.score for one in there]
        self.listen(
            RoundEnd(
                round=number,
                best=max(scores),
                median=statistics.median(scores),
                best_so_far=lineage.best(self.intervals).score,
                exploited=sum(one.is_exploit for one in there),
                diverged=sum(one.failed is not None for one in there),
            )
        )
