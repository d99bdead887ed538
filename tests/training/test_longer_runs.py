"""A run, finished or not, goes on to more epochs than it was begun with."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from affectlens.data import folder
from affectlens.errors import RunError
from affectlens.inference.predictions import Predictions
from affectlens.models.saved import load_model
from affectlens.training import run
from affectlens.training.finish import RunFinished
from affectlens.training.finish import quick_scores as real_scores
from affectlens.training.loop import Step
from affectlens.training.run import EpochEnd, RunEvent, RunStarted, fit
from affectlens.training.run_folder import (
    BEST,
    LAST,
    LOG,
    MODEL,
    STEPS,
    RunRecord,
    TrainingRequest,
    read_run_settings,
)
from affectlens.training.schedule import Schedule
from affectlens.training.settings import Settings, override
from pictures import colour_set

PICTURES = 16  # in training, of 20
TINY = override(
    Settings(network="test_efficientnet", weights="none", epochs=2, batch_size=5, num_workers=0),
    ["preprocessing.height=32", "preprocessing.width=32", "ema_decay=0.5", "network_options.dropout=0.2",
     "val_fraction=0.2", "checkpoint_every=1", "warmup=0.3"],
)  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    colour_set(tmp_path / "data", ("awe", "anger"), each=10)
    return tmp_path


def request(root: Path, name: str, settings: Settings = TINY) -> TrainingRequest:
    return TrainingRequest(
        name="tiny",
        data="folder",
        source=folder.read(root / "data"),
        settings=settings,
        out=root / name,
        graph=False,
        command="affectlens train tiny",
    )


def longer(root: Path, name: str, epochs: float) -> TrainingRequest:
    """What `--resume --epochs` makes of a run."""
    settings = replace(read_run_settings(root / name), epochs=epochs)
    command = f"affectlens train tiny --resume --epochs {epochs:g}"
    return replace(request(root, name, settings), resume=True, extends=True, command=command)


def resumed(root: Path, name: str) -> TrainingRequest:
    return replace(request(root, name, read_run_settings(root / name)), resume=True)


def rows(file: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def until_step(number: int, job: TrainingRequest) -> None:
    for event in fit(job):
        if isinstance(event, Step) and event.number == number:
            break


def epochs_of(events: list[RunEvent]) -> list[int]:
    return [event.epoch for event in events if isinstance(event, EpochEnd)]


def test_a_finished_run_goes_on_at_the_learning_rate_of_the_longer_run(root: Path) -> None:
    list(fit(request(root, "run")))
    begun = rows(root / "run" / STEPS)
    before = load_model(root / "run" / MODEL).card
    events = list(fit(longer(root, "run", 4)))
    assert isinstance(events[0], RunStarted) and events[0].step == len(begun)
    assert isinstance(events[-1], RunFinished) and epochs_of(events) == [3, 4]
    steps = rows(root / "run" / STEPS)
    long = Schedule(PICTURES, replace(TINY, epochs=4))
    assert steps[: len(begun)] == begun and len(steps) == long.total_steps
    for row in steps[len(begun) :]:
        assert row["lr"] == long.lr(int(row["step"]) - 1)
    assert steps[len(begun)]["lr"] > begun[-1]["lr"]
    assert [row["epoch"] for row in rows(root / "run" / LOG)] == [1, 2, 3, 4]
    card = load_model(root / "run" / MODEL).card
    assert (before.training["settings"]["epochs"], card.training["settings"]["epochs"]) == (2, 4)
    assert "continued" not in before.training
    (continued,) = card.training["continued"]
    assert (continued["step"], continued["epochs"]) == (len(begun), 4)
    text = (root / "run" / MODEL / "README.md").read_text()
    assert f"Continued at step {len(begun)} to 4 epochs: `affectlens train tiny --resume --epochs 4`" in text


def test_a_longer_run_that_was_interrupted_goes_on_to_the_same_bits(root: Path) -> None:
    for name in ("undisturbed", "parts"):
        until_step(5, request(root, name))
    list(fit(longer(root, "undisturbed", 3)))
    until_step(7, longer(root, "parts", 3))
    list(fit(resumed(root, "parts")))
    assert len(RunRecord.read(root / "parts").continued) == 1
    for file in (BEST, LAST):
        one, other = load_file(root / "parts" / file), load_file(root / "undisturbed" / file)
        assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_fewer_epochs_than_are_done_are_refused_and_change_nothing(root: Path) -> None:
    list(fit(request(root, "run")))
    for epochs in (1, 1.5):
        with pytest.raises(RunError, match=rf"has done 7 steps.*{epochs:g} epochs are \d steps"):
            next(fit(longer(root, "run", epochs)))
    assert read_run_settings(root / "run").epochs == 2 and not RunRecord.read(root / "run").continued
    assert isinstance([*fit(longer(root, "run", 2))][-1], RunFinished)  # as many: nothing is left to do
    assert not RunRecord.read(root / "run").continued


def test_a_run_that_was_to_be_longer_can_end_sooner(root: Path) -> None:
    until_step(3, request(root, "run", replace(TINY, epochs=9)))
    events = list(fit(longer(root, "run", 2)))
    assert isinstance(events[-1], RunFinished) and epochs_of(events)[-1] == 2


def test_the_last_epoch_is_kept_where_one_that_was_cut_short_goes_on(root: Path) -> None:
    list(fit(request(root, "run", replace(TINY, epochs=1.5, select_by="last"))))
    events = list(fit(longer(root, "run", 2)))
    ends = [event for event in events if isinstance(event, EpochEnd)]
    assert [(end.epoch, end.best) for end in ends] == [(2, True)]
    assert [row["epoch"] for row in rows(root / "run" / LOG)] == [1, 2, 2]


def test_a_run_that_had_stopped_early_waits_anew(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = root / "run"

    def scripted(predictions: Predictions) -> dict[str, float]:
        done = len(rows(out / LOG)) if (out / LOG).is_file() else 0
        return {**real_scores(predictions), "mean": 0.9 - 0.1 * done}

    monkeypatch.setattr(run, "quick_scores", scripted)
    assert epochs_of(list(fit(request(root, "run", replace(TINY, epochs=6, patience=2))))) == [1, 2, 3]
    assert epochs_of(list(fit(resumed(root, "run")))) == []
    assert epochs_of(list(fit(longer(root, "run", 7)))) == [4, 5]


def test_only_a_run_to_resume_gets_longer_without_other_settings(root: Path) -> None:
    list(fit(request(root, "run")))
    other = longer(root, "run", 4)
    with pytest.raises(RunError, match="other settings"):
        next(fit(replace(other, settings=replace(other.settings, lr=1.0))))
    with pytest.raises(RunError, match="other settings"):
        next(fit(replace(other, extends=False)))
