"""What `seeds.py` knows of the runs: read from their folders once, then kept in two small files.

results/seeds.json         a line for each run: scores of its card, its epochs, its size
results/seeds_logits.npz   what each predicts for every validation picture, float16 (N, E), and what is true
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from affectlens import metrics
from affectlens.data.catalog import open_data
from affectlens.data.records import Record, digest
from affectlens.data.splits import VAL
from affectlens.errors import RunError
from affectlens.files import atomic_write
from affectlens.inference.labelled import predict_labelled
from affectlens.inference.labelled_batches import EvaluationSet, evaluation_batches, file_reader
from affectlens.machine import pick_device, pick_precision
from affectlens.model_folder import load_card
from affectlens.models import backbones
from affectlens.models.saved import load_model
from affectlens.training.run_folder import LOG, MODEL, SETTINGS, RunRecord, read_run_settings
from affectlens.training.session import EVALUATION_BATCH
from affectlens.training.settings import Settings
from seeds_rows import BACKBONE, ROWS, Job, jobs, settings

# In the run's folder, so that a second report need not predict again.
ANSWERS = "val_logits.npz"
# Settings of the machine that a run was on, not of what it did.
OF_THE_MACHINE = ("weights", "num_workers")
# Of the card's accuracy from the one measured again: other processors round otherwise.
TOLERANCE = 0.003
KEPT = ("accuracy", "balanced_accuracy", "macro_f1", "polarity_accuracy", "expected_calibration_error",
        "negative_log_likelihood", "count")  # fmt: skip

Logits = NDArray[np.float16]


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """One finished run.

    Attributes:
        scores: of the card, on the validation split
        temperature: what its logits are divided by before the softmax
        epochs: accuracy and balanced accuracy after each
        best_epoch: from 1, the one that was kept
        parameters, new_parameters: of the network, and of it beyond the backbone
        weights: SHA-256 of the model's weights
    """

    row: str
    seed: int
    scores: Mapping[str, float | None]
    temperature: float
    epochs: Sequence[tuple[float, float]]
    best_epoch: int
    parameters: int
    new_parameters: int
    weights: str


@dataclass(frozen=True, kw_only=True)
class Results:
    """All that the report is written from.

    Attributes:
        runs: by row and seed, the finished ones
        unfinished: how far the others have come, by run
        logits: float16 (N, E) by row and seed; truth: indices (N,)
        data: name, hashes and numbers of pictures of the splits
        machines: on which the runs were made, each once
    """

    runs: Mapping[tuple[str, int], RunResult]
    unfinished: Mapping[str, str]
    logits: Mapping[tuple[str, int], Logits]
    truth: NDArray[np.int64]
    words: tuple[str, ...]
    data: Mapping[str, Any]
    machines: Sequence[Mapping[str, Any]]

    def of(self, row: str) -> list[RunResult]:
        """The finished runs of a row, by seed."""
        return [run for (name, _), run in sorted(self.runs.items()) if name == row]

    def logits_of(self, row: str) -> list[NDArray[np.float64]]:
        """What the runs of a row predict, by seed."""
        return [each.astype(np.float64) for (name, _), each in sorted(self.logits.items()) if name == row]


def is_finished(folder: Path) -> bool:
    """Whether a run has written its model."""
    return (folder / MODEL / "config.json").is_file()


def check_settings(folder: Path, job: Job) -> None:
    """Raise `RunError` where a folder holds a run of other settings than its name promises."""
    ran, meant = _decisive(read_run_settings(folder)), _decisive(settings(job))
    differing = [key for key in meant if ran[key] != meant[key]]
    if differing:
        key = differing[0]
        raise RunError(
            f"{folder} is not a run of {job.name}: {key} is {ran[key]!r} there, not {meant[key]!r}. "
            "Move the folder away, and train again."
        )


def _decisive(chosen: Settings) -> dict[str, Any]:
    return {key: value for key, value in chosen.to_dict().items() if key not in OF_THE_MACHINE}


def collect(runs: Path, spec: str | None) -> Results:
    """Read the run folders; predict the validation pictures of `spec` with those that have not done so yet.

    Raises `RunError` for runs that do not belong together, and for answers that are missing without `spec`.
    """
    found = [job for job in jobs() if is_finished(runs / job.name)]
    if not found:
        raise RunError(f"{runs} holds no finished run. Make some by `seeds.py train`.")
    records_of = {job: RunRecord.read(runs / job.name) for job in found}
    data = records_of[found[0]].data
    records = _validation(spec) if spec else []
    for job in found:
        check_settings(runs / job.name, job)
        _check_data(runs / job.name, records_of[job].data.hashes, data.hashes)
    backbone = _parameters(backbones.pooled(BACKBONE))
    kept = {(job.row.name, job.seed): _read(runs / job.name, job, backbone) for job in found}
    answers = {(job.row.name, job.seed): _answers(runs / job.name, records, data.hashes) for job in found}
    orders = {str(each["order"]) for each in answers.values()}
    if len(orders) > 1:
        raise RunError(f"The answers in {runs} are of other pictures. Delete {ANSWERS} in each run.")
    machines = {json.dumps(each.machine, sort_keys=True): each.machine for each in records_of.values()}
    counts = {split: sum(by_word.values()) for split, by_word in data.counts.items()}
    return Results(
        runs=kept,
        unfinished={job.name: _progress(runs / job.name) for job in jobs() if job not in found},
        logits={key: each["logits"] for key, each in answers.items()},
        truth=next(iter(answers.values()))["truth"].astype(np.int64),
        words=load_card(runs / found[0].name / MODEL).vocabulary.words,
        data={"name": data.spec, "hashes": data.hashes, "counts": counts},
        machines=list(machines.values()),
    )


def _check_data(folder: Path, found: Mapping[str, str], expected: Mapping[str, str]) -> None:
    if found != expected:
        raise RunError(f"{folder} was on other pictures or labels than the other runs: {found}, {expected}.")


def _parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _progress(folder: Path) -> str:
    """How far an unfinished run has come."""
    if not (folder / SETTINGS).is_file():
        return "not begun"
    log = folder / LOG
    done = len(log.read_text(encoding="utf-8").splitlines()) if log.is_file() else 0
    return f"under way, {done} of {read_run_settings(folder).epochs:g} epochs done"


def _read(folder: Path, job: Job, backbone: int) -> RunResult:
    model = load_model(folder / MODEL)
    log = model.card.training["log"]
    count = _parameters(model.network)
    return RunResult(
        row=job.row.name,
        seed=job.seed,
        scores={name: model.card.scores.get(name) for name in KEPT},
        temperature=model.card.temperature,
        epochs=[(line["scores"]["accuracy"], line["scores"]["balanced_accuracy"]) for line in log],
        best_epoch=max(line["epoch"] for line in log if line["best"]),
        parameters=count,
        new_parameters=count - backbone,
        weights=model.card.weights_hash,
    )


def _validation(spec: str) -> list[Record]:
    return open_data(spec).split(VAL)


def _answers(folder: Path, records: Sequence[Record], hashes: Mapping[str, str]) -> dict[str, Any]:
    """What a run's model predicts for the validation pictures, from the file in its folder or made now."""
    card = load_card(folder / MODEL)
    file = folder / ANSWERS
    if file.is_file():
        with np.load(file) as stored:
            answers = dict(stored)
        if str(answers["weights"]) == card.weights_hash:
            return answers
    if not records:
        raise RunError(f"{file} is missing. Pass --data, so that it can be made.")
    if digest(records) != hashes[VAL]:
        raise RunError(f"--data has other validation pictures or labels than the run in {folder} had.")
    print(f"predicting {len(records):,} pictures by {folder.name}", flush=True)
    answers = _predict(folder, records)
    measured = float((answers["logits"].argmax(axis=1) == answers["truth"]).mean())
    if abs(measured - card.scores["accuracy"]) > TOLERANCE:
        raise RunError(
            f"{folder} measures {measured:.4f} now, but {card.scores['accuracy']:.4f} on its card. Are these "
            "the pictures that it was measured on?"
        )
    with atomic_write(file) as out:
        np.savez_compressed(out, **answers)
    return answers


def _predict(folder: Path, records: Sequence[Record]) -> dict[str, Any]:
    model = load_model(folder / MODEL)
    size, device = model.card.preprocessing, pick_device()
    precision = pick_precision(read_run_settings(folder).precision, device)  # as the card was measured
    batches = evaluation_batches(EvaluationSet(records, size, file_reader(size)), EVALUATION_BATCH, 0)
    predicted = predict_labelled(model.network.to(device), batches, size, device, precision).complete()
    if int(metrics.top_words(predicted.targets).sum()) != len(records):
        raise RunError("Some pictures have several emotions; this comparison is for single labels.")
    return {
        "logits": predicted.logits.astype(np.float16),
        "truth": predicted.targets.argmax(axis=1).astype(np.uint8),
        "order": np.array(hashlib.sha256("\n".join(predicted.keys).encode()).hexdigest()),
        "weights": np.array(model.card.weights_hash),
    }


def save(results: Results, folder: Path) -> None:
    """Write both files into the folder of results."""
    lines = ",\n".join(f"    {json.dumps(asdict(run))}" for _, run in sorted(results.runs.items()))
    about = {"data": results.data, "words": results.words, "unfinished": results.unfinished,
             "machines": results.machines}  # fmt: skip
    head = json.dumps(about, indent=2).removesuffix("\n}")
    with atomic_write(folder / "seeds.json", "w") as file:
        file.write(f'{head},\n  "runs": [\n{lines}\n  ]\n}}\n')
    arrays = {f"{row}-{seed}": logits for (row, seed), logits in results.logits.items()}
    with atomic_write(folder / "seeds_logits.npz") as file:
        np.savez_compressed(file, truth=results.truth.astype(np.uint8), **arrays)  # type: ignore[arg-type]


def load(folder: Path) -> Results:
    """Read both files. Raises `RunError` where they are missing or do not belong together."""
    if not (folder / "seeds.json").is_file() or not (folder / "seeds_logits.npz").is_file():
        raise RunError(f"{folder} holds no results of runs. Pass --runs RUNS and --data fi:PATH.")
    about = json.loads((folder / "seeds.json").read_text(encoding="utf-8"))
    runs = {(run["row"], run["seed"]): RunResult(**run) for run in about["runs"]}
    with np.load(folder / "seeds_logits.npz") as stored:
        truth = stored["truth"].astype(np.int64)
        logits = {(row, seed): stored[f"{row}-{seed}"] for row, seed in runs if f"{row}-{seed}" in stored}
    if set(logits) != set(runs) or any(row not in ROWS for row, _ in runs):
        raise RunError(f"seeds.json and seeds_logits.npz in {folder} are of other runs. Pass --runs RUNS.")
    return Results(
        runs=runs,
        unfinished=about["unfinished"],
        logits=logits,
        truth=truth,
        words=tuple(about["words"]),
        data=about["data"],
        machines=about["machines"],
    )
