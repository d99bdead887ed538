"""A training run in a folder: what surrounds the loop so that nothing is lost and all is known.

On disk:
    settings.toml       everything that decides the run
    run.json            data and its hash, versions, machine, command
    splits.tsv          which picture was in which split
    steps.jsonl         one line a step: loss, rate
    log.jsonl           one line an epoch: scores on the validation split
    last.safetensors    the whole state after the last checkpoint; a killed run goes on from it
    best.safetensors    the weights of the best epoch
    model/              the finished model folder, when the run has ended
"""

import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from affectlens import metrics
from affectlens.attributes import Attribute
from affectlens.data import splits
from affectlens.data.records import DataSource, digest
from affectlens.errors import RunError
from affectlens.evaluation.attributes import AttributeScores, score_attributes
from affectlens.evaluation.calibration import fit_temperature
from affectlens.evaluation.scores import Scores, score
from affectlens.files import atomic_write, clear_leftovers
from affectlens.inference.labelled import Predictions, predict_attributes, predict_labelled
from affectlens.inference.labelled_batches import EvaluationSet, evaluation_batches, file_reader
from affectlens.machine import describe
from affectlens.model_folder import Card
from affectlens.models import catalog
from affectlens.models.backbones import HUB, NONE
from affectlens.models.capabilities import HasBranches
from affectlens.models.saved import round_weights, save_model
from affectlens.training.attributes import attributes_of, fingerprint, network_options
from affectlens.training.card import LIMITS, licences, readme
from affectlens.training.checkpoints import load_state, load_weights, save_state, save_weights
from affectlens.training.distributed import ALONE, Team
from affectlens.training.loop import State, Step
from affectlens.training.session import EVALUATION_BATCH, CacheProgress, Task, prepare
from affectlens.training.settings import Settings, read_settings

SETTINGS, RUN, SPLITS, STEPS, LOG = "settings.toml", "run.json", "splits.tsv", "steps.jsonl", "log.jsonl"
LAST, BEST, MODEL, CACHE = "last.safetensors", "best.safetensors", "model", "cache"


@dataclass(frozen=True)
class Started:
    """A run begins or goes on: from which step, of how many, on what."""

    step: int
    total_steps: int
    pictures: int
    device: str
    precision: str


@dataclass(frozen=True)
class EpochEnd:
    """Scores on the validation split after an epoch (from 1); `best` when it is the best so far."""

    epoch: int
    step: int
    scores: Mapping[str, float]
    best: bool


@dataclass(frozen=True)
class Finished:
    """The model folder, and its scores on the validation split; of attributes, where it answers some."""

    model: Path
    scores: Scores
    attribute_scores: AttributeScores | None = None


Event = Started | Step | EpochEnd | CacheProgress | Finished


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a run is asked to do.

    Attributes:
        name: of the model that comes out
        data: as the user wrote it, `NAME:PATH`; stored without its folder
        source: the data set, with `train` and `val` splits
        out: the run folder
        cache: where decoded pictures are kept, shared between runs; None keeps them in the run folder
        dtype: how the finished model's weights are stored
    """

    name: str
    data: str
    source: DataSource
    settings: Settings
    out: Path
    resume: bool = False
    cache: Path | None = None
    device: str = "auto"
    dtype: str = "float16"
    command: str = ""


def fit(request: Request, team: Team = ALONE) -> Iterator[Event]:
    """Train, log, save and select; yield what happens. The last event is `Finished`.

    All processes of a `team` call it with the same request, and each with its own device. They take the same
    steps and yield the same events, but only the leader writes, and yields `CacheProgress` and `Finished`.

    Raises `RunError` where the folder holds another run or none to resume, and what reading the data,
    building the network and training raise. Stopping the iteration anywhere leaves a run to resume.
    """
    settings = request.settings
    source = splits.with_validation(request.source, settings.val_fraction, settings.seed)
    team.require_rows(settings.batch_size)
    _open_together(request, source, team)
    own_cache, log_file = request.out / CACHE, request.out / STEPS if team.leads else Path(os.devnull)
    task = yield from prepare(source, settings, request.device, own_cache, request.cache, team)
    state, best = _begin(request, task)
    precision = str(task.precision).removeprefix("torch.")
    yield Started(state.step, task.total_steps(settings), len(task.training), str(task.device), precision)
    with log_file.open("a", encoding="utf-8") as log:
        for step in task.steps(state, settings):
            line = {"step": step.number, "loss": step.loss, "rate": step.rate, **step.parts}
            log.write(json.dumps(line) + "\n")
            log.flush()
            yield step
            if step.ends_epoch:
                judged = task.judge(state.best_network, settings)
                end = _end_epoch(request, state, step, judged, best, team)
                best = max(best, end.scores[settings.select_by])
                yield end
            if team.leads and (step.ends_epoch or step.number % settings.checkpoint_every == 0):
                save_state(request.out / LAST, state, {"best": best})
    if team.leads:
        yield finish(request, task)


def read_run_settings(out: Path) -> Settings:
    """Read the settings of a run folder. Raises `RunError` where there is no run."""
    if not (out / SETTINGS).is_file():
        raise RunError(
            f"There is no run to resume in {out}: {SETTINGS} is missing. Start one without --resume."
        )
    return read_settings(out / SETTINGS, Settings())


def open_run(request: Request, source: DataSource, attributes: Sequence[Attribute]) -> None:
    """Write what a run is before its first step, or check that the one to resume is the same."""
    out, hashes = request.out, {name: digest(part) for name, part in source.splits.items()}
    if attributes:
        hashes["attributes"] = fingerprint(source, attributes)
    if request.resume:
        if read_run_settings(out) != request.settings:
            raise RunError(f"The run in {out} has other settings. Resume without --settings and --set.")
        stored = json.loads((out / RUN).read_text(encoding="utf-8"))["data"]["hashes"]
        if stored != hashes:
            raise RunError(f"The run in {out} was on other pictures or labels: {stored} then, {hashes} now.")
        return
    if (out / SETTINGS).exists():
        raise RunError(f"{out} already holds a run. Go on with it by --resume, or choose another folder.")
    about = {
        "name": request.name,
        "command": request.command,
        "seed": request.settings.seed,
        "data": {"spec": request.data, "hashes": hashes, "counts": source.counts(), "notes": source.notes},
        "machine": describe(),
    }
    splits.write(out / SPLITS, source)
    with atomic_write(out / RUN, "w") as file:
        file.write(json.dumps(about, indent=2) + "\n")
    with atomic_write(out / SETTINGS, "w") as file:  # last: its presence means that the run was begun
        file.write(request.settings.to_toml())


def _open_together(request: Request, source: DataSource, team: Team) -> None:
    """Have the leader open the run, and the others find it."""
    with team.agreed():
        if team.leads:
            open_run(request, source, attributes_of(request.settings, source))
    with team.agreed():
        if not (request.out / SETTINGS).is_file():
            raise RunError(
                f"{request.out} is not the same folder on every machine: {platform.node()} does not find "
                "what was just written there. Choose a folder for --out that all machines share."
            )


def _begin(request: Request, task: Task) -> tuple[State, float]:
    """The state that the run begins with or goes on from, and the best score so far."""
    resumes = request.resume and (request.out / LAST).is_file()
    state = task.start(request.settings, pretrained=not resumes)
    best = -1.0
    with task.team.agreed():
        if request.resume:
            best = _restore(request.out, state, task.team.leads)
    if len(set(task.team.gather(state.step))) > 1:
        raise RunError(f"{request.out / LAST} differs between machines. Wait a minute, then --resume.")
    return state, best


def _restore(out: Path, state: State, leads: bool) -> float:
    """Load the last checkpoint, if one was written; cut the logs back to it; return the best score."""
    if leads:
        clear_leftovers(out)
    notes = load_state(out / LAST, state) if (out / LAST).is_file() else {"best": -1.0}
    for name in (STEPS, LOG) if leads else ():
        if (out / name).is_file():
            lines = (out / name).read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if _step_of(line) <= state.step]
            with atomic_write(out / name, "w") as file:
                file.writelines(f"{line}\n" for line in kept)
    return float(notes["best"])


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")  # a line that was cut off by the kill


def quick_scores(judged: Predictions) -> dict[str, float]:
    """The few scores that are logged each epoch; `mean` is that of accuracy and balanced accuracy."""
    accuracy = metrics.accuracy(judged.logits, judged.targets)
    balanced = metrics.balanced_accuracy(judged.logits, judged.targets)
    return {
        "accuracy": accuracy,
        "balanced_accuracy": balanced,
        "mean": (accuracy + balanced) / 2,
        "macro_f1": metrics.macro_f1(judged.logits, judged.targets),
        "negative_log_likelihood": metrics.negative_log_likelihood(judged.logits, judged.targets),
    }


def _end_epoch(
    request: Request, state: State, step: Step, judged: Predictions, best: float, team: Team
) -> EpochEnd:
    """Score an epoch, keep its weights when they are the best so far, log it."""
    scores = quick_scores(judged)
    is_best = scores[request.settings.select_by] > best
    end = EpochEnd(step.epoch + 1, step.number, scores, is_best)
    if not team.leads:
        return end
    if is_best:
        save_weights(request.out / BEST, state.best_network, {"epoch": end.epoch, "step": end.step, **scores})
    with (request.out / LOG).open("a", encoding="utf-8") as log:
        log.write(json.dumps(asdict(end)) + "\n")
    return end


def _portable(settings: Settings) -> dict[str, Any]:
    """Settings as plain data; a folder of this machine, which is nobody else's, as a word in its place."""
    weights = settings.weights if settings.weights in {HUB, NONE} else "FOLDER"
    return {**settings.to_dict(), "weights": weights}


def finish(request: Request, task: Task) -> Finished:
    """Fit the temperatures of the best weights (`BEST`), score them, write the model folder.

    All as in use: weights rounded as they are stored, pictures from their files. So `affectlens evaluate`
    gives the figures of the card.
    """
    settings, source, attributes = request.settings, task.source, task.attributes
    device, precision = task.device, task.precision
    options = network_options(settings, attributes)
    network = catalog.build(settings.network, len(source.vocabulary), **options)
    load_weights(request.out / BEST, network)
    validation = EvaluationSet(
        source.split(splits.VAL), settings.preprocessing, file_reader(settings.preprocessing), attributes
    )

    def judged_by(judge_of: nn.Module) -> Predictions:
        batches = evaluation_batches(validation, EVALUATION_BATCH, 0)
        return predict_labelled(judge_of.to(device), batches, settings.preprocessing, device, precision)

    if isinstance(network, HasBranches):
        alone = [judged_by(branch) for branch in network.branch_networks().values()]
        network.scale_branches([fit_temperature(branch.logits, branch.targets) for branch in alone])
    round_weights(network, request.dtype)
    judged = judged_by(network)
    temperature = fit_temperature(judged.logits, judged.targets)
    scores = score(judged.logits, judged.targets, source.vocabulary, temperature=temperature)
    named = None
    if attributes:
        batches = evaluation_batches(validation, EVALUATION_BATCH, 0)
        predicted = predict_attributes(network, batches, settings.preprocessing, device, precision)
        named = score_attributes(predicted, attributes)
    about = json.loads((request.out / RUN).read_text(encoding="utf-8"))
    log = (request.out / LOG).read_text(encoding="utf-8").splitlines()
    card = Card(
        name=request.name,
        network=settings.network,
        network_options=options,
        vocabulary=source.vocabulary,
        attributes=attributes,
        preprocessing=settings.preprocessing,
        temperature=temperature,
        training={**about, "settings": _portable(settings), "log": [json.loads(line) for line in log]},
        scores={"split": splits.VAL, **scores.to_json(), **(named.to_json() if named else {})},
        licences=licences(source.name),
        limits=LIMITS,
    )
    save_model(request.out / MODEL, network, card, readme(card, scores, named), request.dtype)
    return Finished(request.out / MODEL, scores, named)
