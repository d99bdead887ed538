"""Which recipe makes the best default model: each is trained on folds of FI and measured on another.

    affectlens data split fi:PATH --folds 5 --test 0.1 --out FOLDS.tsv
    python benchmarks/screening.py run --fi PATH --folds FOLDS.tsv --weights FOLDER --ratings FOLDER \\
        --out RUNS
    python benchmarks/screening.py join --ratings FOLDER
    python benchmarks/screening.py report

`run` trains what stands in screening.toml and has no result yet, one after another, and goes on with what
was cut short; start it again after any interruption. Each result is a line of results/screening.jsonl, and
its answers to the pictures of its fold are in results/screening/. `--ratings` holds `oasis-dev` and
`emdt-dev`, photographs with people's ratings, on which nothing is trained: how the probability of a positive
feeling follows valence there is the second criterion. The split `test` of FOLDS.tsv is never read.
`join` measures the plan's ensembles of rows that have results (screening_ensembles.py).
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

import soft_answers
from affectlens.data.catalog import open_data
from affectlens.data.records import digest
from affectlens.data.splits import VAL, digest_of_splits, with_fold
from affectlens.emotions import EmotionDistribution
from affectlens.evaluation.scores import Scores, score
from affectlens.inference.labelled import predict_labelled
from affectlens.inference.labelled_batches import EvaluationSet, evaluation_batches, file_reader
from affectlens.inference.predictor import Predictor
from affectlens.machine import describe, keep_freed_memory, pick_device, pick_precision
from affectlens.models import saved
from affectlens.models.saved import Model
from affectlens.recipes.catalog import changed_recipe
from affectlens.training.run_folder import MODEL, SETTINGS

HERE = Path(__file__).parent
PLAN, RESULTS, ANSWERS = HERE / "screening.toml", HERE / "results" / "screening.jsonl", "screening"
RATED = ("oasis", "emdt")  # sets of photographs with people's ratings, in the folders NAME-dev


@dataclass(frozen=True, kw_only=True)
class Row:
    """A recipe to try.

    Attributes:
        set: settings on top of the recipe's
        expects: what was expected of it, before it was trained
        folds, seeds: which are trained; each pair is one run
        teachers: names of soft answers to learn from (soft_answers.py)
    """

    name: str
    recipe: str
    expects: str
    set: tuple[str, ...] = ()
    folds: tuple[int, ...] = (1, 2)
    seeds: tuple[int, ...] = (0,)
    teachers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class JoinedRows:
    """Rows that answer together, and what was expected of that.

    `counts` is how much each row counts, as one of two branches counts twice; all alike where it is empty.
    """

    name: str
    rows: tuple[str, ...]
    expects: str
    counts: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which rows are tried, on the folds of which hash, and which of them are joined."""

    division: str
    rows: tuple[Row, ...]
    ensembles: tuple[JoinedRows, ...] = ()

    @property
    def expectations(self) -> dict[str, str]:
        """What is expected of each row and ensemble, by name, in their order."""
        of_rows = {row.name: row.expects for row in self.rows}
        return of_rows | {ensemble.name: ensemble.expects for ensemble in self.ensembles}


@dataclass(frozen=True)
class Job:
    """One run of a row."""

    row: Row
    fold: int
    seed: int

    @property
    def name(self) -> str:
        return f"{self.row.name}-fold{self.fold}-seed{self.seed}"


@dataclass(frozen=True, kw_only=True)
class Paths:
    """Where things are on this machine."""

    fi: Path
    folds: Path
    weights: Path
    ratings: Path
    out: Path
    results: Path = field(default=RESULTS)

    @property
    def data(self) -> str:
        return f"csv:{self.folds}@{self.fi}"


def read_plan(file: Path = PLAN) -> Plan:
    """Read the plan. Raises `ValueError` for two of one name, and for settings that are none."""
    plan = msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), Plan)
    if len(plan.expectations) < len(plan.rows) + len(plan.ensembles):
        raise ValueError(f"{file} has two rows of one name among {', '.join(plan.expectations)}.")
    for row in plan.rows:
        changed_recipe(row.recipe, None, row.set)
    return plan


def read_results(file: Path = RESULTS) -> list[dict[str, Any]]:
    """Read all results; a last line that was cut short is left out, for its run is measured again."""
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True) if file.is_file() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def pending(rows: Sequence[Row], results: list[dict[str, Any]]) -> Iterator[Job]:
    """Runs without a result, in the order of the rows."""
    done = {result["run"] for result in results}
    for row in rows:
        for seed in row.seeds:
            for fold in row.folds:
                job = Job(row, fold, seed)
                if job.name not in done:
                    yield job


def command(job: Job, paths: Paths) -> list[str]:
    """The words of `affectlens` that begin a run, or go on with one that was begun."""
    out = paths.out / job.name
    words = ["train", job.row.recipe, "--name", job.row.name]
    words += ["--data", paths.data, "--fold", str(job.fold), "--out", str(out), "--no-graph"]
    for name in job.row.teachers:
        stored = soft_answers.file_of(name, job.fold, paths.results.parent)
        table = soft_answers.as_table(stored, paths.out / f"{stored.stem}.csv")
        words += ["--teachers", str(table)]
    side = changed_recipe(job.row.recipe, None, job.row.set).cache_side
    words += ["--cache", str(paths.out / f"cache-{side}")] if side else []
    if (out / SETTINGS).is_file():
        return [*words, "--resume"]
    # The last of the recipe's epochs, and workers that leave the processor to the network.
    for assignment in (*job.row.set, "select_by=last", "num_workers=0", f"weights={paths.weights.resolve()}"):
        words += ["--set", assignment]
    return [*words, "--seed", str(job.seed)]


def seconds_of(out: Path, spent: float) -> float:
    """Add to the seconds that a run has taken in all its parts, and return their sum."""
    file = out / "seconds"
    total = (float(file.read_text()) if file.is_file() else 0.0) + spent
    file.write_text(f"{total:.0f}")
    return total


def run_apart(words: Sequence[str], log: Path) -> int:
    """Run a command in a process of its own, which adds what it prints to a file; return its exit status."""
    with log.open("ab") as out:
        whole = [sys.executable, "-m", "affectlens", *words]
        return subprocess.run(whole, stdout=out, stderr=out, check=False).returncode


def train(job: Job, paths: Paths) -> float | None:
    """Run the command of a job: how many seconds it took in all, None where it failed."""
    out = paths.out / job.name
    began = time.monotonic()
    status = run_apart(command(job, paths), paths.out / f"{job.name}.log")
    if not out.is_dir():
        return None
    taken = seconds_of(out, time.monotonic() - began)
    return taken if status == 0 else None


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a run answers to the pictures of its fold, and to rated pictures.

    Attributes:
        logits, targets: (N, E)
        temperature: that makes probabilities of the logits
        rated: by set, answers to its pictures and their mean ratings of valence
        seconds: of training
        parameters: number of the weights
    """

    logits: NDArray[np.floating]
    targets: NDArray[np.floating]
    temperature: float
    rated: Mapping[str, tuple[Sequence[EmotionDistribution], Sequence[float]]]
    seconds: float
    parameters: int


def measure(job: Job, paths: Paths, seconds: float) -> dict[str, Any]:
    """Score a trained model on its fold and on rated pictures; store its answers; return its line."""
    model = saved.load(str(paths.out / job.name / MODEL))
    records = with_fold(open_data(paths.data), job.fold).split(VAL)
    card, device = model.card, pick_device()
    pictures = EvaluationSet(records, card.preprocessing, file_reader(card.preprocessing))
    precision = pick_precision("auto", device)
    batches = evaluation_batches(pictures, 64, 0)
    found = predict_labelled(model.network.to(device), batches, card.preprocessing, device, precision)
    measured = Measured(
        logits=found.logits,
        targets=found.targets,
        temperature=card.temperature,
        rated={name: rated_pictures(model, paths.ratings / f"{name}-dev") for name in RATED},
        seconds=seconds,
        parameters=sum(weight.numel() for weight in model.network.parameters()),
    )
    return result_of(job, measured, paths)


def result_of(job: Job, measured: Measured, paths: Paths) -> dict[str, Any]:
    """Store the answers of a run, and return its line."""
    source = open_data(paths.data)
    scores = score(
        measured.logits, measured.targets, source.vocabulary, temperature=measured.temperature, resamples=0
    )
    folder = paths.results.parent / ANSWERS
    folder.mkdir(parents=True, exist_ok=True)
    logits, labels = measured.logits.astype(np.float16), measured.targets.argmax(axis=1)
    answers: dict[str, Any] = {
        name: np.array([each.probabilities for each in found]).astype(np.float32)
        for name, (found, _) in measured.rated.items()
    }
    np.savez_compressed(folder / f"{job.name}.npz", logits=logits, labels=labels, **answers)
    return {
        "run": job.name,
        "row": job.row.name,
        "fold": job.fold,
        "seed": job.seed,
        "division": digest_of_splits(source),
        "pictures": digest(with_fold(source, job.fold).split(VAL)),
        **figures(scores, measured.temperature),
        "valence": {name: valence(*each) for name, each in measured.rated.items()},
        "seconds": round(measured.seconds),
        "threads": torch.get_num_threads(),
        "parameters": measured.parameters,
        "machine": describe(),
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
    }


def figures(scores: Scores, temperature: float) -> dict[str, Any]:
    """Return what a line has of the scores on a fold, at a temperature."""
    return {
        "accuracy": scores.accuracy,
        "balanced_accuracy": scores.balanced_accuracy,
        "macro_f1": scores.macro_f1,
        "temperature": temperature,
        "negative_log_likelihood": scores.negative_log_likelihood,
        "expected_calibration_error": scores.expected_calibration_error,
    }


def rated_pictures(model: Model, folder: Path) -> tuple[list[EmotionDistribution], list[float]]:
    """Return the answers to pictures that people rated, and the mean valence of each."""
    files, ratings = read_ratings(folder)
    found = list(Predictor(model).predict_files(files))
    answers = [each.emotions for each in found if each.emotions]
    if len(answers) < len(files):
        raise ValueError(f"{len(files) - len(answers)} pictures of {folder} cannot be read.")
    return answers, ratings


def read_ratings(folder: Path) -> tuple[list[Path], list[float]]:
    """Return pictures that people rated, and the mean valence of each."""
    with (folder / "ratings.tsv").open(encoding="utf-8") as file:
        rated = {row["file"]: float(row["valence_mean"]) for row in csv.DictReader(file, delimiter="\t")}
    return [folder / name for name in rated], list(rated.values())


def valence(answers: Sequence[EmotionDistribution], ratings: Sequence[float]) -> dict[str, float]:
    """Correlate the probability of a positive feeling with mean valence ratings."""
    positive = [each.polarity["positive"] for each in answers]
    return {"pearson": float(np.corrcoef(positive, ratings)[0, 1]), "pictures": len(ratings)}


def append(result: dict[str, Any], file: Path) -> None:
    """Add a line that is complete or not there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    kept = "".join(json.dumps(each) + "\n" for each in read_results(file))
    partial = file.with_name(f".{file.name}.part")
    partial.write_text(kept + json.dumps(result) + "\n", encoding="utf-8")
    partial.replace(file)


def run(paths: Paths, only: list[str]) -> int:
    """Train and measure all that has no result; the exit status is 1 where a run failed."""
    plan, division = read_plan(), digest_of_splits(open_data(paths.data))
    if division != plan.division:
        raise SystemExit(
            f"{paths.folds} divides {paths.fi} otherwise than planned: {division}, not {plan.division}."
        )
    keep_freed_memory()
    paths.out.mkdir(parents=True, exist_ok=True)
    failed = []
    for job in pending(plan.rows, read_results(paths.results)):
        if only and job.row.name not in only:
            continue
        print(f"{job.name} begins or goes on", flush=True)
        seconds = train(job, paths)
        if seconds is None:
            failed.append(job.name)
            print(f"{job.name} failed, see {paths.out / job.name}.log", flush=True)
            continue
        result = measure(job, paths, seconds)
        append(result, paths.results)
        print(f"{job.name}: {result['accuracy']:.3f} / {result['balanced_accuracy']:.3f}", flush=True)
    return 1 if failed else 0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, dest="command")
    one = commands.add_parser("run", help="train and measure what has no result yet")
    for name, what in (
        ("fi", "folder of FI"),
        ("folds", "table of folds, from `affectlens data split --folds`"),
        ("weights", "folder with the backbones' weights"),
        ("ratings", "folder of oasis-dev and emdt-dev"),
        ("out", "folder of the run folders"),
    ):
        one.add_argument(f"--{name}", type=Path, required=True, help=what)
    one.add_argument("--results", type=Path, default=RESULTS, help="file that results are added to")
    one.add_argument("--only", action="append", default=[], help="row to train; may be given several times")
    other = commands.add_parser("join", help="measure the plan's ensembles")
    other.add_argument("--ratings", type=Path, required=True, help="folder of oasis-dev and emdt-dev")
    other.add_argument("--results", type=Path, default=RESULTS, help="file that results are added to")
    commands.add_parser("report", help="write docs/results/screening.md")
    given = vars(parser.parse_args())
    command_name = given.pop("command")
    if command_name == "report":
        import screening_report

        screening_report.write(read_plan(), read_results())
        return
    if command_name == "join":
        import screening_ensembles

        screening_ensembles.join(given["ratings"], given["results"])
        return
    only = given.pop("only")
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count()))
    sys.exit(run(Paths(**given), only))


if __name__ == "__main__":
    main()
