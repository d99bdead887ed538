"""The papers' networks compared: what MLM's and MAM's parts add to a plain backbone, on FI.

    python benchmarks/seeds.py train --data fi:PATH --weights FOLDER --out RUNS [--parallel 2] [--only ROW]
    python benchmarks/seeds.py report [--runs RUNS --data fi:PATH] [--out docs/results/seeds.md]
    python benchmarks/seeds.py speed [--rounds 3]

`train` makes the runs that are missing and goes on with those that were cut short, so many at a time, each
with its share of the cores; call it again after any interruption. `report` reads the run folders into
benchmarks/results and writes the page; without --runs it writes the page again from there. `speed` wants
a machine that does nothing else.

seeds_rows.py        the rows, their settings, what is compared with what
seeds_results.py     run folders -> results
seeds_statistics.py  differences and their intervals
seeds_report.py      results -> the page and its figure
seeds_speed.py       pictures per second and peak memory
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from affectlens.data.catalog import open_data
from affectlens.data.splits import TRAIN, VAL
from affectlens.errors import AffectLensError
from affectlens.training.cache import PixelCache, build
from affectlens.training.run_folder import SETTINGS
from seeds_results import check_settings, collect, is_finished, load, save
from seeds_rows import ROWS, Job, assignments, jobs, settings

HERE = Path(__file__).parent
RESULTS = HERE / "results"


def pending(out: Path, rows: Sequence[str]) -> list[Job]:
    """Runs that are not finished, seed by seed. Raises `RunError` for a folder of other settings."""
    wanted = [job for job in jobs([ROWS[name] for name in rows]) if not is_finished(out / job.name)]
    for job in wanted:
        if (out / job.name / SETTINGS).is_file():
            check_settings(out / job.name, job)
    return wanted


def command(job: Job, data: str, weights: Path, out: Path, cache: Path) -> list[str]:
    """The command that begins a run, or goes on with one that was begun."""
    words = [sys.executable, "-m", "affectlens", "train", "plain", "--name", job.row.name, "--data", data]
    words += ["--out", str(out / job.name), "--cache", str(cache)]
    if (out / job.name / SETTINGS).is_file():
        return [*words, "--resume"]
    for assignment in [*assignments(job), f"weights={weights.resolve()}"]:
        words += ["--set", assignment]
    return words


def prepare_cache(cache: Path, data: str, side: int) -> None:
    """Decode the pictures once, before runs that read them begin at the same time."""
    source = open_data(data)
    records = [*source.split(TRAIN), *source.split(VAL)]
    if PixelCache.find(cache, records, side):
        return
    for done in build(cache, records, side):
        if done % 2000 == 0:
            print(f"decoded {done:,} of {len(records):,} pictures", flush=True)


def work(queue: Sequence[Job], parallel: int, run: Callable[[Job], int]) -> list[Job]:
    """Run all, `parallel` at a time, and return those that failed; one that fails stops no other."""
    with ThreadPoolExecutor(parallel) as pool:
        statuses = list(pool.map(run, queue))
    return [job for job, status in zip(queue, statuses, strict=True) if status]


def train(given: argparse.Namespace) -> int:
    """Make the runs; the exit status is 1 where one failed."""
    cache = given.cache or given.out / "cache"
    queue = pending(given.out, given.only or list(ROWS))
    if not queue:
        print("Every run is finished.")
        return 0
    given.out.mkdir(parents=True, exist_ok=True)
    prepare_cache(cache, given.data, settings(queue[0]).cache_side)
    threads = max(1, (os.cpu_count() or 1) // given.parallel)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}

    def run(job: Job) -> int:
        print(f"{job.name} begins", flush=True)
        words = command(job, given.data, given.weights, given.out, cache)
        with (given.out / f"{job.name}.log").open("ab") as log:
            status = subprocess.run(words, env=environment, stdout=log, stderr=log, check=False).returncode
        print(f"{job.name} {'is finished' if status == 0 else f'failed, see {log.name}'}", flush=True)
        return status

    failed = work(queue, given.parallel, run)
    return 1 if failed else 0


def report(given: argparse.Namespace) -> int:
    """Write the page and its figure."""
    import seeds_report

    if given.runs:
        save(collect(given.runs, given.data), given.results)
    speed = given.results / "seeds_speed.json"
    seeds_report.write(given.out, load(given.results), speed if speed.is_file() else None)
    return 0


def speed(given: argparse.Namespace) -> int:
    """Measure speed and memory; write benchmarks/results/seeds_speed.json."""
    import seeds_speed

    seeds_speed.run(given)
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = made.add_subparsers(required=True)
    one = commands.add_parser("train", help="make the runs")
    one.set_defaults(do=train)
    one.add_argument("--data", required=True, help="data set, as fi:PATH")
    one.add_argument("--weights", required=True, type=Path, help="folder with the backbone's weights")
    one.add_argument("--out", required=True, type=Path, help="folder of the run folders")
    one.add_argument("--parallel", type=int, default=2, help="number of runs at a time")
    one.add_argument("--only", action="append", choices=ROWS, help="row to train; may be given several times")
    one.add_argument(
        "--cache", type=Path, help="folder of decoded pictures, for all runs. Default: OUT/cache"
    )
    one = commands.add_parser("report", help="write the page")
    one.set_defaults(do=report)
    one.add_argument("--runs", type=Path, help="folder of the run folders")
    one.add_argument(
        "--data", help="data set, as fi:PATH, for runs whose answers are not stored in their folders yet"
    )
    one.add_argument("--out", type=Path, default=HERE.parent / "docs" / "results" / "seeds.md")
    one.add_argument("--results", type=Path, default=RESULTS, help="folder of seeds.json")
    one = commands.add_parser("speed", help="measure pictures per second and peak memory")
    one.set_defaults(do=speed)
    one.add_argument("--rounds", type=int, default=3)
    one.add_argument("--batch", type=int, default=64)
    one.add_argument(
        "--steps", type=int, default=5, help="number of steps that are timed in each process, after two more"
    )
    one.add_argument("--train-side", type=int, default=96)
    one.add_argument("--side", type=int, default=128, help="side of pictures in use")
    one.add_argument("--out", type=Path, default=RESULTS / "seeds_speed.json")
    one.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)  # what a measuring process is to do
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
