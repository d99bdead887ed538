"""Search for settings with a population that trains at the same time, on one machine or many, by Ray Tune.

On disk, in the folder of a search, beside what a run folder holds (`training.run`):
    search.json         how it is searched: scheduler, population, interval, rounds, table of settings
    lineage.jsonl       one line for each member and interval (`training.lineage`)
    states/             states that are still needed; none when the search has ended
    ray/                what Ray needs while it runs
    model/              the model with the best score on the validation split

The lineage and the states are all that counts; what Ray remembers is not used to go on. A search that was
interrupted begins again after the last round that all members have done (without exchange between members:
each after its last), Ray decides as it did, and intervals whose states are there are read, not trained.
"""

import json
import os
import re
import shutil
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ray import tune

from affectlens.cluster.connection import Cluster, connected, import_ray
from affectlens.cluster.member import DRAW, DRAWN_FROM, MEMBER, Assignment, Member
from affectlens.cluster.schedulers import EXPLOITING, KEEP_EACH, member_of, name_of, scheduler_for
from affectlens.data import splits
from affectlens.data.records import DataSource
from affectlens.errors import AffectLensError, ClusterError, RunError, SettingsError
from affectlens.files import atomic_write, clear_leftovers
from affectlens.training import lineage
from affectlens.training.attributes import attributes_of
from affectlens.training.intervals import STATES, finish_line, state_file
from affectlens.training.lineage import DIVERGED, LINEAGE, Interval
from affectlens.training.loop import Schedule
from affectlens.training.run import CACHE, MODEL, SETTINGS, Finished, Request, open_run
from affectlens.training.search_space import (
    SEARCH,
    Knob,
    beginnings,
    knobs,
    name_of_draw,
    threads_of,
    values_at,
)
from affectlens.training.session import CacheProgress, Task, prepare
from affectlens.training.settings import Settings

RAY = "ray"
SCHEDULERS = (*EXPLOITING, *KEEP_EACH)
DEATHS = 3  # of the process that trains a member, before the search gives up
OBJECT_STORE = 100 * 2**20  # bytes; nothing large travels through Ray


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How it is searched.

    Attributes:
        scheduler: one of `SCHEDULERS`
        population: members
        interval: steps of each round
        rounds: of each member, unless it is given up earlier; interval x rounds is the length of training
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
        for name, least in (("population", 2), ("interval", 1), ("rounds", 1)):
            if getattr(self, name) < least:
                raise SettingsError(f"{name} must be at least {least}, not {getattr(self, name)}.")
        if self.budget < 0:
            raise SettingsError(f"budget must be at least 0, not {self.budget}.")
        if self.cpus <= 0 or self.gpus < 0:
            raise SettingsError(f"A member needs some of a CPU: not cpu={self.cpus}, gpu={self.gpus}.")

    @classmethod
    def read(cls, out: Path) -> "Plan":
        """Read how a folder's search is done. Raises `RunError` where there is none."""
        try:
            return cls(**json.loads((out / SEARCH).read_text(encoding="utf-8"))["plan"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"There is no search in {out}: {SEARCH} cannot be read ({error}).") from None


@dataclass(frozen=True, kw_only=True)
class Search:
    """What a search is asked to do: a run's request, how to search, and where.

    `data` is what `data.catalog.open_data` takes, the same on every machine.
    """

    run: Request
    data: str
    plan: Plan
    cluster: Cluster = field(default_factory=Cluster)


@dataclass(frozen=True)
class SearchStarted:
    """A search begins or goes on after a round; `table` is what it changes."""

    begin: int
    plan: Plan
    table: tuple[Knob, ...]
    device: str


@dataclass(frozen=True)
class RoundEnd:
    """All members that are left have done a round. Scores are of the validation split.

    Attributes:
        taken_over: members that began the round from another's weights
        diverged: members whose training diverged in it
    """

    round: int
    best: float
    median: float
    best_so_far: float
    taken_over: int
    diverged: int


@dataclass(frozen=True)
class SearchFinished:
    """The model folder and the interval that made its weights."""

    finished: Finished
    winner: Interval


Event = CacheProgress | SearchStarted | Interval | RoundEnd | SearchFinished


def with_length(settings: Settings, plan: Plan, pictures: int) -> Settings:
    """Make a run as long as a search: interval x rounds steps."""
    each = Schedule(pictures, settings).pictures_a_step
    workers = max(settings.num_workers, 0)  # -1, one a core, would be so many for each member
    epochs = (plan.interval * plan.rounds - 0.5) * each / pictures
    return replace(settings, epochs=epochs, workers=workers)


def interval_steps(text: str, settings: Settings, source: DataSource) -> int:
    """Turn `200steps`, `200` or `0.5epochs` into steps. Raises `SettingsError`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(steps?|epochs?)?", text.strip())
    if not found:
        raise SettingsError(
            f"An interval is a number of steps or epochs, as 200steps or 0.5epochs: not {text!r}."
        )
    number, unit = float(found[1]), found[2] or "steps"
    if unit.startswith("epoch"):
        divided = splits.with_validation(source, settings.val_fraction, settings.seed)
        schedule = Schedule(len(divided.split(splits.TRAIN)), replace(settings, epochs=number))
        return schedule.total_steps
    return int(number)


def search(request: Search, listen: Callable[[Event], None]) -> SearchFinished:
    """Search, and leave the best model; `listen` is told what happens.

    Raises `RunError` for a folder that holds another search or none to resume, and where members fail, after
    the best model so far was written; `ClusterError`, `MissingExtra`; and what reading the data raises.
    """
    request, task = _open(request, listen)
    out, plan, settings = request.run.out, request.plan, request.run.settings
    table = knobs(settings)
    record = _Record(out, plan, listen)
    listen(SearchStarted(record.begin, plan, table, str(task.device)))
    failed = None
    if not record.is_complete:
        assignment = Assignment(
            out=out.resolve(),
            data=request.data,
            cache=_cache_of(request),
            device=request.run.device,
            interval=plan.interval,
            threads=threads_of(plan.cpus),
            known=record.known,
            begin=record.begin,
        )
        with connected(replace(request.cluster, object_store=OBJECT_STORE)):
            configs = _beginnings(table, settings, plan, record)
            failed = _tune_anywhere(assignment, plan, table, configs, record)
    lineage.verify(record.intervals)
    return _conclude(request, task, record, failed)


def _open(request: Search, listen: Callable[[Event], None]) -> tuple[Search, Task]:
    """Write what a search is, or check that the one to resume is the same; decode the pictures."""
    run, out = request.run, request.run.out
    if run.resume and not (out / STATES).exists() and (out / MODEL / "config.json").is_file():
        raise RunError(
            f"The search in {out} has ended; its model is in {out / MODEL}. Nothing is left to do."
        )
    source = splits.with_validation(run.source, run.settings.val_fraction, run.settings.seed)
    if not run.resume:
        length = with_length(run.settings, request.plan, len(source.split(splits.TRAIN)))
        run = replace(run, settings=length)
    if not (out / SETTINGS).exists():  # which `open_run` writes last: it says that the search was begun
        about = {"plan": asdict(request.plan), "table": [asdict(knob) for knob in knobs(run.settings)]}
        with atomic_write(out / SEARCH, "w") as file:
            file.write(json.dumps(about, indent=2) + "\n")
    open_run(run, source, attributes_of(run.settings, source))
    making = prepare(source, run.settings, run.device, out / CACHE, run.cache)
    while True:
        try:
            listen(next(making))
        except StopIteration as end:
            return replace(request, run=run), end.value


def _cache_of(request: Search) -> Path | None:
    if not request.run.settings.cache_side:
        return None
    return (request.run.cache or request.run.out / CACHE).resolve()


def _beginnings(
    table: tuple[Knob, ...], settings: Settings, plan: Plan, record: "_Record"
) -> list[dict[str, Any]]:
    """The first config of each member: as drawn, or as it was in the round after which it goes on."""
    configs = []
    for member, drawn in enumerate(beginnings(table, settings, plan.population, plan.seed)):
        before = record.known.get((member, record.begin + 1)) if record.begin else None
        positions = dict(before.positions) if before else drawn
        drawn_from = before.drawn_from if before else None
        name = name_of_draw(values_at(table, positions), drawn_from)
        configs.append({MEMBER: member, **positions, DRAW: name, DRAWN_FROM: drawn_from})
    return configs


class _Record(tune.Callback, tune.Stopper):
    """Writes the lineage as results come in, deletes states that nobody needs any more, says when to stop."""

    def __init__(self, out: Path, plan: Plan, listen: Callable[[Event], None]) -> None:
        self.out, self.plan, self.listen = out, plan, listen
        self.file, self.states = out / LINEAGE, out / STATES
        self.states.mkdir(exist_ok=True)
        clear_leftovers(self.states)
        self.intervals = lineage.read(self.file) if self.file.is_file() else []
        self.begin = 0
        if plan.scheduler in EXPLOITING:
            done = lineage.complete_round(self.intervals, plan.population)
            self.intervals = [one for one in self.intervals if one.round <= done]
            self.begin = max(done - 1, 0)
        lineage.write(self.file, self.intervals)  # without what a kill cut off
        self.known = {one.place: one for one in self.intervals}
        self.failed: str | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out who listens: Ray puts a copy aside, for a way to go on that is not ours."""
        return {name: value for name, value in self.__dict__.items() if name != "listen"}

    @property
    def is_complete(self) -> bool:
        """Whether every member has done its last round, or the budget is spent."""
        ended = {one.member for one in self.intervals if one.stopped or one.round >= self.plan.rounds}
        return len(ended) == self.plan.population or self._is_spent

    @property
    def _is_spent(self) -> bool:
        spent = sum(one.last_step - one.first_step for one in self.intervals)
        return 0 < self.plan.budget <= spent

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether a member stops after a result."""
        return bool(result["error"]) or result["round"] >= self.plan.rounds or self._is_given_up(result)

    def _is_given_up(self, result: dict[str, Any]) -> bool:
        """Without others' weights to take over, a member that diverged would only do so again."""
        return self.plan.scheduler in KEEP_EACH and result["score"] == DIVERGED

    def stop_all(self) -> bool:
        """Whether all stop now."""
        return self.failed is not None or self._is_spent

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Any, **_: Any) -> None:
        """Record an interval."""
        if result["error"]:
            self.failed = self.failed or f"Member {member_of(trial)} failed: {result['error']}"
            return
        interval = Interval.from_dict(json.loads(result["interval"]))
        if interval.place in {one.place for one in self.intervals}:
            return
        interval = replace(interval, stopped=bool(result.get("done")) and interval.round < self.plan.rounds)
        self.intervals.append(interval)
        try:
            lineage.append(self.file, interval)
        except OSError as error:
            self.failed = f"{self.file} cannot be written: {error.strerror}."
            return
        self.listen(interval)
        self._delete_states()
        self._tell_round(interval.round)

    def follow(self) -> None:
        """Tell what another process has recorded since."""
        there = {one.place for one in self.intervals}
        for interval in lineage.read(self.file):
            if interval.place not in there:
                self.intervals.append(interval)
                self.listen(interval)
                self._tell_round(interval.round)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """A member's process died again and again, or an error that is not ours was raised in it."""
        error = trial.get_error() if hasattr(trial, "get_error") else None
        last = str(error).strip().splitlines()[-1] if error and str(error).strip() else "no reason was given"
        self.failed = f"Member {member_of(trial)} failed {DEATHS + 1} times, the last time with: {last}"

    def _delete_states(self) -> None:
        """Keep what someone may still begin from, and the best: at most 2 x population + 1 states.

        With exchange, a member may begin from any state of the last round that all have done.
        """
        kept = {state_file(self.states, *lineage.best(self.intervals).place)}
        last = {one.member: one.round for one in self.intervals}
        exchanged = lineage.complete_round(self.intervals, self.plan.population)
        for one in self.intervals:
            oldest = exchanged if self.plan.scheduler in EXPLOITING else last[one.member]
            if one.round >= oldest:
                kept.add(state_file(self.states, *one.place))
        for one in self.intervals:
            file = state_file(self.states, *one.place)
            if file not in kept:
                file.unlink(missing_ok=True)

    def _tell_round(self, number: int) -> None:
        there = [one for one in self.intervals if one.round == number]
        given_up = {one.member for one in self.intervals if one.stopped and one.round < number}
        if len(there) + len(given_up) < self.plan.population:
            return
        scores = [one.score for one in there]
        self.listen(
            RoundEnd(
                round=number,
                best=max(scores),
                median=statistics.median(scores),
                best_so_far=lineage.best(self.intervals).score,
                taken_over=sum(one.parent not in (None, one.member) for one in there),
                diverged=sum(one.failed is not None for one in there),
            )
        )


def _tune_anywhere(
    assignment: Assignment,
    plan: Plan,
    table: tuple[Knob, ...],
    configs: Sequence[dict[str, Any]],
    record: _Record,
) -> str | None:
    """Have Ray Tune run the members, from here or, through Ray's client, from within the cluster."""
    ray = import_ray()
    try:
        if not ray.util.client.ray.is_connected():
            return _tune(assignment, plan, table, configs, record)
        job = ray.remote(num_cpus=0)(_tune_there).remote(assignment, plan, table, configs)
        while not ray.wait([job], timeout=1)[0]:
            record.follow()
        failed: str | None = ray.get(job)
    except (ray.exceptions.RaySystemError, ConnectionError) as error:
        raise ClusterError(f"Ray went away: {error}. Go on with --resume.") from None
    record.follow()
    return failed


def _tune_there(
    assignment: Assignment, plan: Plan, table: tuple[Knob, ...], configs: Sequence[dict[str, Any]]
) -> str | None:
    """What runs within the cluster for a client: the lineage, in a shared folder, is what both know."""
    return _tune(assignment, plan, table, configs, _Record(assignment.out, plan, lambda _: None))


def _tune(
    assignment: Assignment,
    plan: Plan,
    table: tuple[Knob, ...],
    configs: Sequence[dict[str, Any]],
    record: _Record,
) -> str | None:
    """Have Ray Tune run the members; return why it ended early, if it did."""
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # Ctrl-C ends us as it ends a run
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # the lineage is the log
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # the newer one prints a table even when told not to
    os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")  # so that relative paths mean the same
    ray_folder = assignment.out / RAY
    shutil.rmtree(ray_folder, ignore_errors=True)  # of an interrupted search; nothing of it is needed
    keys = [key for key in configs[0] if key != MEMBER]
    members = tune.with_resources(
        tune.with_parameters(Member, assignment=assignment), {"cpu": plan.cpus, "gpu": plan.gpus}
    )
    tuner = tune.Tuner(
        members,
        param_space={
            MEMBER: tune.grid_search(list(range(plan.population))),
            **{key: tune.sample_from(_looked_up(configs, key)) for key in keys},
        },
        tune_config=tune.TuneConfig(
            metric="score",
            mode="max",
            scheduler=scheduler_for(
                plan.scheduler, table, plan.rounds, plan.seed, list(record.known.values()), record.begin
            ),
            reuse_actors=True,  # a process imports torch and opens the data once
            trial_name_creator=name_of,
            trial_dirname_creator=name_of,
        ),
        run_config=tune.RunConfig(
            name=RAY,
            storage_path=str(assignment.out),
            stop=record,
            callbacks=[record],
            failure_config=tune.FailureConfig(max_failures=DEATHS),
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=1),
            verbose=0,
        ),
    )
    tuner.fit()
    shutil.rmtree(ray_folder, ignore_errors=True)
    if record.failed is None and not record.is_complete:
        return "Ray ended the search before its last round."
    return record.failed


def _looked_up(configs: Sequence[dict[str, Any]], key: str) -> Callable[[Any], Any]:
    return lambda spec: configs[spec.config[MEMBER]][key]


def _conclude(request: Search, task: Task, record: _Record, failed: str | None) -> SearchFinished:
    """Write the best model; where the search failed, say so then."""
    on = "Mend that, and go on with --resume."
    if not record.intervals:
        raise RunError(f"{failed or 'No interval was trained.'} {on}")
    winner = lineage.best(record.intervals)
    if winner.score == DIVERGED:
        raise RunError(
            f"Every member diverged, the last with: {winner.failed} Lower lr, or set clip_grad, and "
            "search again in another folder."
        )
    try:
        line = lineage.ancestors(record.intervals, winner)
        finished = finish_line(request.run, task, line, state_file(record.states, *winner.place))
    except AffectLensError as error:
        if failed is None:
            raise
        state = state_file(record.states, *winner.place)
        raise RunError(
            f"{failed} Nor could the best model so far be written ({error}); {state} has its weights. {on}"
        ) from None
    if failed:
        raise RunError(f"{failed} The best model so far is in {finished.model}. {on}")
    shutil.rmtree(record.states)
    told = SearchFinished(finished, winner)
    record.listen(told)
    return told
