"""Population based training, random search and ASHA at an equal budget of steps, and what Ray costs.

    python benchmarks/tuning.py run --data fi:PATH --weights FOLDER --out SEARCHES [--tiny]
    python benchmarks/tuning.py report [--out docs/results/tuning.md]

`run` makes the searches that are missing, one after the other, and goes on with one that was cut short; call
it again after any interruption. It then evaluates each search's model on pictures that no search has seen,
measures the same training with and without Ray, and writes benchmarks/results/tuning.json. It wants a machine
that does nothing else, and half an hour of two cores. `report` writes the page from there.

Every search may spend the same number of steps, those of all members together. ASHA stops members early, so
it begins with more of them, and ends when the budget is spent.

tuning_report.py    results -> the page and its figure
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from affectlens.cluster.connection import Cluster
from affectlens.cluster.tune import SearchEvent, SearchRequest, SearchStarted, search
from affectlens.data import splits
from affectlens.data.catalog import open_data
from affectlens.data.records import DataSource, Record
from affectlens.errors import AffectLensError
from affectlens.files import atomic_write
from affectlens.inference.labelled import predict_labelled
from affectlens.inference.labelled_batches import EvaluationSet, evaluation_batches, file_reader
from affectlens.machine import describe, pick_device, pick_precision
from affectlens.models.saved import load_model
from affectlens.recipes.plain import settings as plain
from affectlens.training import lineage
from affectlens.training.cache import PixelCache, build
from affectlens.training.checkpoints import save_state
from affectlens.training.finish import quick_scores
from affectlens.training.lineage import DIVERGED, LINEAGE, Interval
from affectlens.training.loop import train
from affectlens.training.run_folder import MODEL, SETTINGS, TrainingRequest, read_run_settings
from affectlens.training.search_plan import SEARCH, SearchPlan
from affectlens.training.session import EVALUATION_BATCH, open_cached_session
from affectlens.training.settings import Settings, override, with_values

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "tuning.json"
KINDS, SEEDS = ("pbt", "random", "asha"), (0, 1, 2)
TABLE, CACHE = "pictures.tsv", "cache"
# In the folder of a search, so that a second call need not predict again.
ANSWERS = "held_out.json"


@dataclass(frozen=True)
class Size:
    """How large searches and data are."""

    train: int = 1536
    validation: int = 600
    held_out: int = 1200
    side: int = 64
    batch: int = 32
    population: int = 6
    interval: int = 24
    rounds: int = 8
    asha_times: int = 2  # so many times the members for ASHA
    overhead_interval: int = 200
    overhead_rounds: int = 2

    @property
    def budget(self) -> int:
        """Steps of all members together."""
        return self.population * self.interval * self.rounds


TINY = Size(train=64, validation=32, held_out=32, side=32, batch=8, population=4, interval=2, rounds=3,
            overhead_interval=4, overhead_rounds=2)  # fmt: skip


def recipe(size: Size, weights: str, seed: int) -> Settings:
    """Plain fine-tuning of MobileNetV2 on small pictures."""
    side = size.side
    assignments = [
        f"weights={weights}", f"batch_size={size.batch}", f"preprocessing.height={side}",
        f"preprocessing.width={side}", f"cache_side={side + side // 4}", "num_workers=0",
        "precision=bfloat16", f"seed={seed}",
    ]  # fmt: skip
    return override(plain("mobilenetv2_100"), assignments)


def write_subset(out: Path, source: DataSource, size: Size) -> None:
    """Sample the pictures of all searches once: some to train, to select by, and to report."""
    generator = random.Random(0)
    training = generator.sample(source.split(splits.TRAIN), size.train)
    rest = generator.sample(source.split(splits.VAL), size.validation + size.held_out)
    parts: dict[str, Sequence[Record]] = {
        splits.TRAIN: training,
        splits.VAL: rest[: size.validation],
        splits.TEST: rest[size.validation :],
    }
    out.mkdir(parents=True, exist_ok=True)
    splits.write_splits(out / TABLE, replace(source, splits=parts))


def prepare_cache(cache: Path, source: DataSource, side: int) -> None:
    """Decode the pictures once, for all searches."""
    records = [*source.split(splits.TRAIN), *source.split(splits.VAL)]
    if not PixelCache.find(cache, records, side):
        for _ in build(cache, records, side):
            pass


def request(given: argparse.Namespace, spec: str, kind: str, seed: int, size: Size) -> SearchRequest:
    """One search, begun or gone on with."""
    out = given.out / f"{kind}-{seed}"
    resume = (out / SEARCH).is_file()
    members = size.population * (size.asha_times if kind == "asha" else 1)
    plan = SearchPlan(
        scheduler=kind,
        population=members,
        interval=size.interval,
        rounds=size.rounds,
        budget=size.budget,
        seed=seed,
    )
    run = TrainingRequest(
        name=f"{kind}-{seed}",
        data="csv",
        source=open_data(spec),
        settings=read_run_settings(out) if resume else recipe(size, given.weights, seed),
        out=out,
        resume=resume,
        cache=given.out / CACHE,
    )
    return SearchRequest(run=run, data=spec, plan=plan, cluster=Cluster(address="none"))


def is_finished(out: Path) -> bool:
    """Whether a search has left its model."""
    return (out / MODEL / "config.json").is_file() and not (out / "states").exists()


def curve(
    intervals: Sequence[Interval], counts: Callable[[Interval], bool] = lambda _: True
) -> list[tuple[int, float]]:
    """Best score so far of those that count, after so many steps of all, as they were done."""
    spent, top, points = 0, DIVERGED, []
    for one in intervals:
        spent += one.last_step - one.first_step
        if counts(one):
            top = max(top, one.score)
        if top > DIVERGED:
            points.append((spent, round(top, 5)))
    return points


def recipes_own(intervals: Sequence[Interval]) -> Mapping[str, float]:
    """The settings of the recipe itself, with which the first member begins."""
    return next(one.settings for one in intervals if one.member == 0)


def predict_held_out(out: Path, records: Sequence[Record]) -> dict[str, Any]:
    """Which pictures that no search has seen a search's model predicts right, in their order."""
    file = out / ANSWERS
    if not file.is_file():
        model = load_model(out / MODEL)
        shape, device = model.card.preprocessing, pick_device()
        precision = pick_precision(read_run_settings(out).precision, device)
        batches = evaluation_batches(EvaluationSet(records, shape, file_reader(shape)), EVALUATION_BATCH, 0)
        predicted = predict_labelled(model.network.to(device), batches, shape, device, precision).complete()
        right = (predicted.logits.argmax(1) == predicted.targets.argmax(1)).astype(int).tolist()
        with atomic_write(file, "w") as stored:
            stored.write(json.dumps({"right": right, **quick_scores(predicted)}))
    answers: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return answers


# ------------------------------------------------------------------------------------------- what Ray costs


def measure_overhead(given: argparse.Namespace, spec: str, size: Size) -> dict[str, Any]:
    """Seconds of the same training by the plain loop and through Ray, one process each, members in turns.

    The plain loop trains the same two members, one after the other, and predicts and saves as often. Ray's
    time is from the beginning of the first interval to the end of the last; how long it takes to come so far
    is measured by itself.
    """
    file = given.out / "overhead.json"
    if not file.is_file():
        measured, members = _through_ray(given, spec, size)
        measured["plain"] = _plainly(given, spec, size, members)
        with atomic_write(file, "w") as stored:
            stored.write(json.dumps({**measured, "interval": size.overhead_interval}))
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def _through_ray(given: argparse.Namespace, spec: str, size: Size) -> tuple[dict[str, float], list[Settings]]:
    """Seconds, and the settings of the members."""
    began, moments, spent = time.monotonic(), [0.0], []

    def listen(event: SearchEvent) -> None:
        if isinstance(event, SearchStarted):
            moments[0] = time.monotonic()
        if isinstance(event, Interval):
            moments.append(time.monotonic())
            spent.append(event.seconds)

    base = request(given, spec, "pbt", 0, size)
    out = given.out / f"overhead-{int(began)}"
    plan = SearchPlan(
        scheduler="random", population=2, interval=size.overhead_interval, rounds=size.overhead_rounds
    )
    settings = recipe(size, given.weights, 0)
    run = replace(base.run, out=out, settings=settings, resume=False)
    search(replace(base, run=run, plan=plan, cluster=Cluster(address="none", cpus=1)), listen)
    first = moments[1] - spent[0]
    seconds = {"ray": moments[-1] - first, "intervals": len(spent), "start": first - moments[0]}
    sampled = {one.member: one.settings for one in lineage.read_lineage(out / LINEAGE)}
    return seconds, [with_values(settings, values) for values in sampled.values()]


def _plainly(given: argparse.Namespace, spec: str, size: Size, members: Sequence[Settings]) -> float:
    import torch

    torch.set_num_threads(1)  # as Ray's process has
    epochs = (size.overhead_interval * size.overhead_rounds - 0.5) * size.batch / size.train
    opened = open_cached_session(open_data(spec), members[0], "auto", given.out / CACHE, given.out / CACHE)
    began = time.monotonic()
    for settings in (replace(member, epochs=epochs) for member in members):
        session = opened.with_settings(settings)
        state = session.start()
        for step in train(session, state):
            if step.number % size.overhead_interval == 0:
                quick_scores(session.predict(state.best_network))
                save_state(given.out / "plain.safetensors", state, {})
    (given.out / "plain.safetensors").unlink()
    return time.monotonic() - began


# ----------------------------------------------------------------------------------------------- all of it


def run(given: argparse.Namespace) -> int:
    """Make what is missing, and write the results."""
    size = TINY if given.tiny else Size()
    if not (given.out / TABLE).is_file():
        write_subset(given.out, open_data(given.data), size)
    spec = f"csv:{given.out.resolve() / TABLE}@{open_data(given.data).root}"
    source = open_data(spec)
    prepare_cache(given.out / CACHE, source, recipe(size, given.weights, 0).cache_side)
    rows = []
    for seed in SEEDS:
        for kind in KINDS:
            out = given.out / f"{kind}-{seed}"
            if not is_finished(out):
                print(f"{out.name} {'goes on' if (out / SETTINGS).is_file() else 'begins'}", flush=True)
                search(request(given, spec, kind, seed, size), _printed(out.name))
            rows.append(_row(out, kind, seed, source.split(splits.TEST)))
    about = {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": describe(),
        "size": {**vars(size), "budget": size.budget},
        "select_by": recipe(size, given.weights, 0).select_by,
        "overhead": measure_overhead(given, spec, size),
        "searches": rows,
    }
    with atomic_write(given.results, "w") as file:
        file.write(json.dumps(about) + "\n")
    print(f"written: {given.results}")
    return 0


def _printed(name: str) -> Callable[[SearchEvent], None]:
    def listen(event: SearchEvent) -> None:
        if isinstance(event, Interval):
            print(f"{name}: member {event.member}, round {event.round}, {event.score:.4f}", flush=True)

    return listen


def _row(out: Path, kind: str, seed: int, held_out: Sequence[Record]) -> dict[str, Any]:
    """What one search found."""
    intervals = lineage.read_lineage(out / LINEAGE)
    lineage.verify(intervals)
    winner, own = lineage.best(intervals), recipes_own(intervals)
    return {
        "kind": kind,
        "seed": seed,
        "curve": curve(intervals),
        "sampled_curve": curve(intervals, lambda one: one.settings != own),
        "is_the_recipe": winner.settings == own,
        "members": len({one.member for one in intervals}),
        "settings": dict(winner.settings),
        "held_out": predict_held_out(out, held_out),
    }


def report(given: argparse.Namespace) -> int:
    """Write the page and its figure."""
    import tuning_report

    tuning_report.write(given.out, json.loads(given.results.read_text(encoding="utf-8")))
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = made.add_subparsers(required=True)
    one = commands.add_parser("run", help="make the searches and measure")
    one.set_defaults(do=run)
    one.add_argument("--data", required=True, help="data set, as fi:PATH")
    one.add_argument("--weights", required=True, help="folder with mobilenetv2_100.safetensors, or none")
    one.add_argument("--out", required=True, type=Path, help="folder of the searches")
    one.add_argument("--results", type=Path, default=RESULTS)
    one.add_argument("--tiny", action="store_true", help="run of a few steps only, to try the script")
    one = commands.add_parser("report", help="write the page")
    one.set_defaults(do=report)
    one.add_argument("--out", type=Path, default=HERE.parent / "docs" / "results" / "tuning.md")
    one.add_argument("--results", type=Path, default=RESULTS)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    given = parser().parse_args(arguments)
    try:
        status: int = given.do(given)
    except AffectLensError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    return status


if __name__ == "__main__":
    sys.exit(main())
