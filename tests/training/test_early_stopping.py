"""A run whose score has not improved for some epochs ends as a finished run, interrupted or not."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from affectlens.data import folder
from affectlens.errors import RunError, SettingsError
from affectlens.inference.predictions import Predictions
from affectlens.models.saved import load_model
from affectlens.training import run
from affectlens.training.checkpoints import read_notes
from affectlens.training.finish import RunFinished, predict_others, save_measured
from affectlens.training.finish import quick_scores as real_scores
from affectlens.training.loop import Step
from affectlens.training.run import EpochEnd, RunStarted, fit
from affectlens.training.run_folder import BEST, LAST, LOG, STEPS, TrainingRequest
from affectlens.training.settings import Settings, override
from affectlens.training.text import epoch_text
from pictures import colour_set

TINY = override(
    Settings(network="test_efficientnet", weights="none", epochs=6, batch_size=5, num_workers=0, patience=2),
    ["preprocessing.height=32", "preprocessing.width=32", "ema_decay=0.5", "network_options.dropout=0.2"],
)
MEANS = (0.5, 0.6, 0.6, 0.4, 0.9, 0.9)  # of each epoch: 2 is the best until 4 ends


def request(root: Path, name: str, resume: bool = False, settings: Settings = TINY) -> TrainingRequest:
    return TrainingRequest(
        name="tiny",
        data="folder",
        source=folder.read(root / "data"),
        settings=settings,
        out=root / name,
        resume=resume,
        graph=False,
    )


def log_of(out: Path) -> list[dict[str, object]]:
    return (
        [json.loads(line) for line in (out / LOG).read_text().splitlines()] if (out / LOG).is_file() else []
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    colour_set(tmp_path / "data", ("awe", "anger"), each=9)
    return tmp_path


def score_by(means: Sequence[float], out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Score the epochs of a run by a list, whatever they predict."""

    def scripted(predictions: Predictions) -> dict[str, float]:
        return {**real_scores(predictions), "mean": means[len(log_of(out))]}

    monkeypatch.setattr(run, "quick_scores", scripted)


def assert_same_run(one: Path, other: Path) -> None:
    for file in (BEST, LAST):
        first, second = load_file(one / file), load_file(other / file)
        assert first.keys() == second.keys()
        assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert log_of(one) == log_of(other)
    assert load_model(one / "model").card.weights_hash == load_model(other / "model").card.weights_hash


def test_it_ends_when_the_score_has_not_improved_for_so_many_epochs_and_keeps_the_best(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score_by(MEANS, root / "run", monkeypatch)
    events = list(fit(request(root, "run")))
    assert isinstance(events[-1], RunFinished)
    ends = [event for event in events if isinstance(event, EpochEnd)]
    assert [end.epoch for end in ends] == [1, 2, 3, 4] and [end.best for end in ends] == [1, 1, 0, 0]
    reason = "mean has not improved for 2 epochs (patience)"
    assert [end.stop for end in ends] == ["", "", "", reason]
    assert epoch_text(ends[-1]).endswith(f"Training ends: {reason}.")
    assert ["stop" in row for row in log_of(root / "run")] == [False, False, False, True]
    assert read_notes(root / "run" / BEST)["epoch"] == 2
    assert f"Ended after epoch 4: {reason}.\n" in (root / "run" / "model" / "README.md").read_text()


@pytest.mark.parametrize("patience", [0, 5])
def test_without_patience_or_with_much_of_it_all_epochs_are_trained(
    patience: int, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score_by((0.9, *MEANS[1:5], 0.1), root / "run", monkeypatch)
    events = list(fit(request(root, "run", settings=replace(TINY, patience=patience))))
    ends = [event for event in events if isinstance(event, EpochEnd)]
    assert len(ends) == 6 and not any(end.stop for end in ends)  # the last epoch is not an early end


@pytest.mark.parametrize("step", [2, 9, 11])
def test_a_run_that_was_interrupted_ends_where_one_that_was_not_does(
    step: int, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score_by(MEANS, root / "undisturbed", monkeypatch)
    list(fit(request(root, "undisturbed")))
    score_by(MEANS, root / "parts", monkeypatch)
    for event in fit(request(root, "parts")):
        if isinstance(event, Step) and event.number == step:
            break
    list(fit(request(root, "parts", resume=True)))
    assert_same_run(root / "parts", root / "undisturbed")


def test_a_run_that_was_interrupted_after_it_had_stopped_takes_no_more_steps(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score_by(MEANS, root / "run", monkeypatch)

    def interrupted(*_: object) -> RunFinished:
        raise RunError("A power cut.")

    with monkeypatch.context() as patch:
        patch.setattr(run, "finish", interrupted)
        with pytest.raises(RunError, match="power cut"):
            list(fit(request(root, "run")))
    steps = (root / "run" / STEPS).read_text()
    *others, finished = fit(request(root, "run", resume=True))
    assert isinstance(finished, RunFinished) and not any(isinstance(event, Step) for event in others)
    assert (root / "run" / STEPS).read_text() == steps


def test_patience_waits_for_a_score_and_not_in_searches(root: Path) -> None:
    with pytest.raises(SettingsError, match="patience=2 waits for a better score, and select_by=last"):
        replace(TINY, select_by="last")
    with pytest.raises(SettingsError, match="patience must be at least 0"):
        replace(TINY, patience=-1)
    from affectlens.cluster.tune import plan_search  # here: it imports Ray

    with pytest.raises(SettingsError, match="patience=0"):
        plan_search(folder.read(root / "data"), TINY, device="cpu")


def test_epochs_are_selected_by_the_likelihood_of_labels_where_pictures_are_few(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = (1.4, 1.1, 0.9, 1.3, 1.2, 0.8)

    def scripted(predictions: Predictions) -> dict[str, float]:
        loss = losses[len(log_of(root / "run"))]
        return {**real_scores(predictions), "negative_log_likelihood": loss}

    monkeypatch.setattr(run, "quick_scores", scripted)
    events = fit(request(root, "run", settings=replace(TINY, select_by="likelihood")))
    ends = [event for event in events if isinstance(event, EpochEnd)]
    assert [end.best for end in ends] == [1, 1, 1, 0, 0] and ends[-1].stop
    assert read_notes(root / "run" / BEST)["epoch"] == 3


def test_a_run_that_holds_nothing_out_learns_from_all_to_the_last_epoch(root: Path) -> None:
    settings = replace(TINY, patience=0, epochs=2, select_by="last")
    made = replace(request(root, "run", settings=settings), validates=False)
    events = list(fit(made))
    assert not any(isinstance(event, RunFinished) for event in events)
    assert isinstance(events[0], RunStarted) and events[0].pictures == 18
    assert read_notes(root / "run" / BEST)["epoch"] == 2
    no_graph = save_measured(made, root / "model", 1.5, {"accuracy": 0.25}, lambda card: (card, "A model."))
    card = load_model(root / "model").card
    assert (card.training["folded_temperature"], card.scores, no_graph) == (1.5, {"accuracy": 0.25}, "")
    assert len(predict_others(made, made.source.split("all")[:3]).logits) == 3
    with pytest.raises(SettingsError, match="select_by=mean selects an epoch by pictures that are held out"):
        list(fit(replace(made, out=root / "other", settings=replace(settings, select_by="mean"))))
