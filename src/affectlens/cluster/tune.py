"""Search for settings with a population that trains at the same time, on one machine or many, by Ray Tune.

On disk, in the folder of a search, as well as what a run folder holds (`training.run_folder`):
    search.json         how it is searched: plan and search space (`training.search_plan`)
    lineage.jsonl       one line for each member and interval (`training.lineage`)
    states/             states that are still needed; none when the search has ended
    ray/                what Ray needs while it runs
    model/              the model with the best score on the validation split

The lineage and the states are all that counts; what Ray remembers is not used to resume. A search that was
interrupted begins again after the last round that all members have done (without exchange between members:
each after its last), Ray decides as it did, and intervals whose states are there are read, not trained.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ray import tune

from affectlens.cluster.connection import Cluster, connected, import_ray
from affectlens.cluster.member import MEMBER, SAMPLE, SAMPLED_FROM, Assignment, Member
from affectlens.cluster.resources import default_resources, require_resources
from affectlens.cluster.schedulers import PausingMembers, name_of, scheduler_for
from affectlens.cluster.search_record import MAX_DEATHS, RoundEnd, SearchRecord
from affectlens.data.folder import require_apart
from affectlens.data.records import DataSource
from affectlens.errors import AffectLensError, ClusterError, RunError, SettingsError
from affectlens.locks import locked_folder
from affectlens.training import lineage
from affectlens.training.finish import RunFinished
from affectlens.training.intervals import finish_line, state_file
from affectlens.training.lineage import DIVERGED, Interval
from affectlens.training.run_folder import CACHE, MODEL, SETTINGS, TrainingRequest, open_run, require_no_run
from affectlens.training.search_plan import EXPLOITING, STATES, SearchFile, SearchPlan, interval_steps
from affectlens.training.search_space import (
    Hyperparameter,
    SearchSpace,
    initial_points,
    sample_id,
    search_space,
    values_at,
)
from affectlens.training.session import CacheProgress, Session, open_session, with_cache
from affectlens.training.settings import LAST_EPOCH, Settings
from affectlens.training.start import RowMixtures

RAY = "ray"
# Bytes of Ray's shared memory; nothing large travels through it.
OBJECT_STORE = 100 * 2**20


@dataclass(frozen=True, kw_only=True)
class SearchRequest:
    """What a search is to do: a run's request, how to search, and where.

    `data` is what `data.catalog.open_data` takes, the same on every machine. `space` is what is searched
    where a new search has others than the recipe's ranges (`training.search_ranges`).
    """

    run: TrainingRequest
    data: str
    plan: SearchPlan
    space: tuple[Hyperparameter, ...] = ()
    cluster: Cluster = field(default_factory=Cluster)


@dataclass(frozen=True)
class SearchStarted:
    """A search begins or goes on after a round."""

    begin: int
    plan: SearchPlan
    space: tuple[Hyperparameter, ...]
    device: str


@dataclass(frozen=True)
class SearchFinished:
    """The model folder and the interval that made its weights."""

    run: RunFinished
    winner: Interval


SearchEvent = CacheProgress | SearchStarted | Interval | RoundEnd | SearchFinished
Listener = Callable[[SearchEvent], None]


def plan_search(
    source: DataSource,
    settings: Settings,
    *,
    interval: str = "200steps",
    resources: Mapping[str, float] | None = None,
    device: str = "auto",
    scheduler: str = "pbt",
    population: int = 8,
    rounds: int = 20,
    budget: int = 0,
) -> SearchPlan:
    """Make a plan whose interval is in steps or in epochs of the training pictures, as `0.5epochs`.

    Raises `SettingsError` for settings that give no score to choose members by, or that end a run early.
    """
    if settings.select_by == LAST_EPOCH:
        raise SettingsError("A search needs a score to choose members by. Set select_by to one, as mean.")
    if settings.patience:
        raise SettingsError(
            "patience ends a single run; in a search the scheduler decides who goes on. Set patience=0."
        )
    resources = resources or default_resources(device)
    pictures = len(open_session(source, settings, device).training)
    return SearchPlan(
        scheduler=scheduler,
        population=population,
        interval=interval_steps(interval, settings, pictures),
        rounds=rounds,
        budget=budget,
        seed=settings.seed,
        cpus=resources.get("cpu", 1.0),
        gpus=resources.get("gpu", 0.0),
    )


def search(request: SearchRequest, listen: Listener) -> SearchFinished:
    """Search, and leave the best model; `listen` is called with what happens.

    Raises `RunError` for a folder that holds another search or none to resume, and where members fail, after
    the best model so far was written; `OutputInUse` where another process writes it;
    `ClusterError`, `MissingExtra`; and what reading the data raises.
    """
    with locked_folder(request.run.out):
        return _search(request, listen)


def _search(request: SearchRequest, listen: Listener) -> SearchFinished:
    session, rows = _opened(request)
    out, plan = request.run.out, request.plan
    failed = None
    with ExitStack() as cluster:
        if not request.run.resume:
            # Before the folder holds anything: a search without a cluster leaves none behind.
            cluster.enter_context(_connected(request))
        session = _begun(request, session, rows, listen)
        space = SearchFile.read(out).search_space
        record = SearchRecord(out, plan, listen)
        record.require_states()
        listen(SearchStarted(record.begin, plan, space, str(session.device)))
        if not record.is_complete:
            assignment = Assignment(
                out=out.resolve(),
                data=request.data,
                cache=_cache_of(request, session.settings),
                device=request.run.device,
                interval=plan.interval,
                space=space,
                threads=plan.threads,
                known=record.known,
                begin=record.begin,
            )
            if request.run.resume:
                cluster.enter_context(_connected(request))
            configs = _initial_configs(space, session.settings, plan, record)
            failed = _tune_anywhere(assignment, plan, space, configs, record)
    lineage.verify(record.intervals)
    finished = _conclude(request, session, record, failed)
    listen(finished)
    return finished


@contextmanager
def _connected(request: SearchRequest) -> Iterator[None]:
    """Have a Ray with what a member needs while the block runs. Raises `ClusterError`."""
    with connected(replace(request.cluster, object_store=OBJECT_STORE)):
        wanted = {"cpu": request.plan.cpus, "gpu": request.plan.gpus}
        require_resources(wanted, import_ray().cluster_resources())
        yield


def _opened(request: SearchRequest) -> tuple[Session, RowMixtures]:
    """Open the data, and find what does not begin before the folder holds anything; rows of a new search."""
    run, out = request.run, request.run.out
    if run.resume and not (out / STATES).exists() and (out / MODEL / "config.json").is_file():
        raise RunError(
            f"The search in {out} has ended; its model is in {out / MODEL}. Nothing is left to do."
        )
    session = open_session(run.source, run.settings, run.device)
    rows: RowMixtures = {}
    if not run.resume:
        length = request.plan.with_length(session.settings, len(session.training))
        session = replace(session.with_settings(length), num_workers=length.num_workers)
        require_no_run(out)
        require_apart(out, run.source)
        rows = session.start().rows
    return session, rows


def _begun(request: SearchRequest, session: Session, rows: RowMixtures, listen: Listener) -> Session:
    """Write what a search is, or check that the one to resume is the same; decode the pictures."""
    run, out = request.run, request.run.out
    # `open_run` writes the settings last: they show that the search was begun.
    if not (out / SETTINGS).exists():
        space = request.space or search_space(session.settings)
        SearchFile(plan=request.plan, search_space=space).write(out)
    open_run(run, session, rows)
    making = with_cache(session, out / CACHE, run.cache)
    while True:
        try:
            listen(next(making))
        except StopIteration as end:
            made: Session = end.value
            return made


def _cache_of(request: SearchRequest, settings: Settings) -> Path | None:
    if not settings.cache_side:
        return None
    return (request.run.cache or request.run.out / CACHE).resolve()


def _initial_configs(
    space: SearchSpace, settings: Settings, plan: SearchPlan, record: SearchRecord
) -> list[dict[str, Any]]:
    """The first config of each member: as sampled, or as it was in the round after which it goes on."""
    configs = []
    for member, sampled in enumerate(initial_points(space, settings, plan.population, plan.seed)):
        before = record.known.get((member, record.begin + 1)) if record.begin else None
        point = dict(before.unit) if before else sampled
        parent = before.sampled_from if before else None
        name = sample_id(values_at(space, point), parent)
        configs.append({MEMBER: member, **point, SAMPLE: name, SAMPLED_FROM: parent})
    return configs


def _tune_anywhere(
    assignment: Assignment,
    plan: SearchPlan,
    space: SearchSpace,
    configs: Sequence[dict[str, Any]],
    record: SearchRecord,
) -> str | None:
    """Have Ray Tune run the members, from here or, through Ray's client, from within the cluster."""
    ray = import_ray()
    try:
        if not ray.util.client.ray.is_connected():
            return _tune(assignment, plan, space, configs, record)
        job = ray.remote(num_cpus=0)(_tune_there).remote(assignment, plan, space, configs)
        while not ray.wait([job], timeout=1)[0]:
            record.follow()
        failed: str | None = ray.get(job)
    except (ray.exceptions.RaySystemError, ConnectionError) as error:
        raise ClusterError(f"Ray went away: {error}. Go on with --resume.") from None
    record.follow()
    return failed


def _tune_there(
    assignment: Assignment, plan: SearchPlan, space: SearchSpace, configs: Sequence[dict[str, Any]]
) -> str | None:
    """What runs within the cluster for a client: the lineage, in a shared folder, is what both know."""
    return _tune(assignment, plan, space, configs, SearchRecord(assignment.out, plan, lambda _: None))


def _tune(
    assignment: Assignment,
    plan: SearchPlan,
    space: SearchSpace,
    configs: Sequence[dict[str, Any]],
    record: SearchRecord,
) -> str | None:
    """Have Ray Tune run the members; return why it ended early, if it did."""
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # Ctrl-C ends us as it ends a run
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # the lineage is the log
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # the newer one prints a table even when silenced
    os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")  # so that relative paths mean the same
    ray_folder = assignment.out / RAY
    # Of an interrupted search; nothing of it is needed.
    shutil.rmtree(ray_folder, ignore_errors=True)
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
            search_alg=PausingMembers() if plan.scheduler in EXPLOITING else None,
            scheduler=scheduler_for(
                plan.scheduler, space, plan.rounds, plan.seed, list(record.known.values()), record.begin
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
            failure_config=tune.FailureConfig(max_failures=MAX_DEATHS),
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


def _conclude(
    request: SearchRequest, session: Session, record: SearchRecord, failed: str | None
) -> SearchFinished:
    """Write the best model; where the search failed, report it then."""
    remedy = "Fix that, and go on with --resume."
    if not record.intervals:
        raise RunError(f"{failed or 'No interval was trained.'} {remedy}")
    winner = lineage.best(record.intervals)
    if winner.score == DIVERGED:
        raise RunError(
            f"Every member diverged, the last with: {winner.failed} Lower lr, or set clip_grad, and search "
            "again in another folder."
        )
    state = state_file(record.states, *winner.key)
    try:
        finished = finish_line(request.run, session, lineage.ancestors(record.intervals, winner), state)
    except AffectLensError as error:
        if failed is None:
            raise
        raise RunError(
            f"{failed} Nor could the best model so far be written ({error}); {state} has its weights. "
            f"{remedy}"
        ) from None
    if failed:
        raise RunError(f"{failed} The best model so far is in {finished.model}. {remedy}")
    shutil.rmtree(record.states)
    shutil.rmtree(request.run.out / RAY, ignore_errors=True)
    return SearchFinished(finished, winner)
