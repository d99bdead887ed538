"""Trackers get what a run yields, and a run ends as without them."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

import forked
from affectlens.cli.train import TRACKERS as NAMES
from affectlens.data import folder
from affectlens.errors import MissingExtra, RunError
from affectlens.extras import Extra
from affectlens.training import trackers
from affectlens.training.finish import RunFinished
from affectlens.training.loop import Step
from affectlens.training.run import EpochEnd, RunEvent, fit
from affectlens.training.run_folder import TrainingRequest, read_run_settings
from affectlens.training.settings import Settings, override
from affectlens.training.trackers import TRACKERS, require_trackers, tracked
from pictures import colour_set

TINY = override(
    Settings(network="test_efficientnet", weights="none", epochs=2, batch_size=5, num_workers=0),
    ["preprocessing.height=32", "preprocessing.width=32", "checkpoint_every=1"],
)
STEP_NAMES = {"train/loss", "train/accuracy", "train/lr", "train/gradient_norm"}


@pytest.fixture
def job(tmp_path: Path) -> TrainingRequest:
    data = colour_set(tmp_path / "data", ("awe", "anger"), each=6)
    return TrainingRequest(
        name="tiny",
        data="folder",
        source=folder.read(data),
        settings=TINY,
        out=tmp_path / "run",
        graph=False,
        command="affectlens train tiny",
    )


class Noted:
    """A tracker that notes what it is given, and fails when it is to."""

    fails_at = ""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.values: dict[int, dict[str, float]] = {}
        self.ended: list[bool] = []

    def _may_fail(self, when: str) -> None:
        if self.fails_at == when:
            raise OSError("the server does not answer\nand more")

    def begin(self, request: TrainingRequest, step: int) -> None:
        self._may_fail("begin")
        self.begun.append(step)

    def log(self, values: Mapping[str, float], step: int) -> None:
        if step == 2:
            self._may_fail("log")
        self.values.setdefault(step, {}).update(values)

    def end(self, is_complete: bool) -> None:
        self._may_fail("end")
        self.ended.append(is_complete)


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> Noted:
    tracker = Noted()
    made: Callable[[], Noted] = lambda: tracker  # noqa: E731
    monkeypatch.setattr(trackers, "TRACKERS", {"noted": (Extra("none", "json"), made)})
    return tracker


def notes_of(events: Iterator[RunEvent], request: TrainingRequest) -> tuple[list[RunEvent], list[str]]:
    notes: list[str] = []
    return list(tracked(events, request, ["noted"], notes.append)), notes


def test_a_tracker_gets_every_step_and_epoch_and_the_events_go_on(job: TrainingRequest, noted: Noted) -> None:
    events, notes = notes_of(fit(job), job)
    steps = [event for event in events if isinstance(event, Step)]
    ends = [event for event in events if isinstance(event, EpochEnd)]
    assert isinstance(events[-1], RunFinished) and not notes
    assert noted.begun == [0] and noted.ended == [True]
    assert list(noted.values) == [step.number for step in steps]
    for step in steps:
        assert noted.values[step.number]["train/loss"] == step.loss
        assert set(noted.values[step.number]) >= STEP_NAMES
    for end in ends:
        assert noted.values[end.step]["val/accuracy"] == end.scores["accuracy"]
        assert noted.values[end.step]["epoch"] == end.epoch


def test_a_run_that_is_interrupted_ends_its_tracker_and_goes_on_after_its_step(
    job: TrainingRequest, noted: Noted
) -> None:
    run = tracked(fit(job), job, ["noted"], print)
    for event in run:
        if isinstance(event, Step) and event.number == 2:
            break
    run.close()
    assert noted.ended == [False]
    settings = read_run_settings(job.out)
    notes_of(fit(replace(job, settings=settings, resume=True)), job)
    assert noted.begun == [0, 1] and noted.ended == [False, True]


def test_a_tracker_that_fails_is_left_out_with_a_note_and_training_ends_well(
    job: TrainingRequest, noted: Noted
) -> None:
    noted.fails_at = "log"
    events, notes = notes_of(fit(job), job)
    assert isinstance(events[-1], RunFinished) and list(noted.values) == [1]
    assert notes == ["The tracker noted failed and is left out from here on: the server does not answer."]


def test_a_tracker_that_cannot_begin_is_an_error(job: TrainingRequest, noted: Noted) -> None:
    noted.fails_at = "begin"
    with pytest.raises(RunError, match=r"noted cannot begin: the server does not answer\. Resume"):
        notes_of(fit(job), job)


def test_the_command_takes_the_trackers_that_there_are_and_names_the_extra_of_one_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert set(NAMES) == set(TRACKERS)
    monkeypatch.setattr(trackers, "TRACKERS", {"absent": (Extra("wandb", "not_there_at_all"), Noted)})
    with pytest.raises(MissingExtra, match=r'tracker absent needs .*pip install "affectlens\[wandb\]"'):
        require_trackers(["absent"])


def imported() -> None:
    """End with how many libraries of trackers are imported with all that trains."""
    import_module("affectlens.training.trackers")
    sys.exit(sum(name in sys.modules for name in ("tensorboard", "mlflow")))


def test_without_trackers_none_of_their_libraries_is_imported() -> None:
    # wandb is imported by timm, where it is installed.
    process = forked.SERVED.Process(target=imported)
    process.start()
    assert forked.wait(process) == 0


# With the real libraries, where they are installed. ------------------------------------------------


def test_tensorboard_has_every_number_once_also_after_an_interruption(job: TrainingRequest) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = tracked(fit(job), job, ["tensorboard"], print)
    for event in run:
        if isinstance(event, Step) and event.number == 3:
            break
    run.close()
    resumed = replace(job, settings=read_run_settings(job.out), resume=True)
    events = list(tracked(fit(resumed), resumed, ["tensorboard"], pytest.fail))
    found = EventAccumulator(str(job.out / "tensorboard")).Reload()
    rows = [json.loads(line) for line in (job.out / "steps.jsonl").read_text().splitlines()]
    for name in STEP_NAMES:
        logged = [(each.step, pytest.approx(each.value, rel=1e-5)) for each in found.Scalars(name)]
        assert [(row["step"], row[name.removeprefix("train/")]) for row in rows] == logged
    ends = [event for event in events if isinstance(event, EpochEnd)]
    assert [each.step for each in found.Scalars("val/mean")][-1] == ends[-1].step
    assert "settings/text_summary" in found.Tags()["tensors"]


def test_mlflow_has_every_number_and_the_settings(
    job: TrainingRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.chdir(tmp_path)
    events = list(tracked(fit(job), job, ["mlflow"], pytest.fail))
    (run,) = mlflow.search_runs(output_format="list")
    assert (run.info.run_name, run.info.status) == ("tiny", "FINISHED")
    assert run.data.params["batch_size"] == "5" and run.data.params["loss.scale"] == "80.0"
    steps = [event for event in events if isinstance(event, Step)]
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "train/loss")
    assert [(each.step, each.value) for each in history] == [(step.number, step.loss) for step in steps]
    assert run.data.tags["command"] == "affectlens train tiny"


def test_weights_and_biases_has_a_run_in_the_folder(
    job: TrainingRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setitem(os.environ, "WANDB_MODE", "offline")
    monkeypatch.setitem(os.environ, "WANDB_SILENT", "true")
    list(tracked(fit(job), job, ["wandb"], pytest.fail))
    (folder_of_run,) = (job.out / "wandb").glob("offline-run-*")
    (written,) = folder_of_run.glob("run-*.wandb")
    content = written.read_bytes()
    assert all(name.encode() in content for name in (*STEP_NAMES, "val/mean"))
