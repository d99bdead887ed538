"""Runs in a folder: what they leave, how they resume, what they refuse."""

import json
import os
import shutil
import signal
import socket
import time
import tomllib
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch

import forked
from affectlens import former_keys, hub
from affectlens.data import folder
from affectlens.data.records import ALL
from affectlens.emotions import POLARITY
from affectlens.errors import (
    OutputError,
    OutputInUse,
    PictureDamaged,
    RunError,
    SettingsError,
    UnknownName,
    WeightsNotFound,
)
from affectlens.evaluation.evaluate import evaluate
from affectlens.inference.engine import ONNX_RUNTIME, TORCH, load_engine
from affectlens.models import catalog, saved
from affectlens.models.saved import load_model
from affectlens.preprocess import PreprocessingSettings
from affectlens.training.finish import RunFinished
from affectlens.training.loop import Step
from affectlens.training.run import EpochEnd, RunStarted, fit
from affectlens.training.run_folder import (
    BEST,
    LAST,
    LOG,
    MODEL,
    RUN,
    SETTINGS,
    STEPS,
    RunRecord,
    TrainingRequest,
    read_run_settings,
)
from affectlens.training.session import CacheProgress, with_expected_input
from affectlens.training.settings import Loss, Settings, override, read_settings
from affectlens.training.state import State
from lock_holder import holder
from pictures import colour_set

# Everything random is on, so that a resumed run that forgot any of it would differ.
TINY = override(
    Settings(network="test_vit.r160_in1k", weights="none", epochs=3, batch_size=5, num_workers=0),
    [
        "preprocessing.height=32", "preprocessing.width=32", "network_options.dropout=0.1",
        "mixup=0.2", "cutmix=0.5", "ema_decay=0.9", "augmentation.colour_jitter=0.2", "checkpoint_every=2",
        "augmentation.rand_augment=5", "balanced_sampling=0.5", "lr=0.003",
    ],
)  # fmt: skip

SWIN = "swin_tiny_patch4_window7_224"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Twelve pictures of each of three emotions that differ in colour."""
    return colour_set(tmp_path / "data", ("awe", "anger", "sadness"), each=12)


def request(data: Path, out: Path, settings: Settings = TINY, resume: bool = False) -> TrainingRequest:
    source = folder.read(data)
    return TrainingRequest(
        name="tiny",
        data="folder",
        source=source,
        settings=settings,
        out=out,
        resume=resume,
        graph=False,
    )


def losses(out: Path) -> list[tuple[int, float]]:
    rows = [json.loads(line) for line in (out / STEPS).read_text().splitlines()]
    return [(row["step"], row["loss"]) for row in rows]


def test_a_run_that_another_process_writes_is_refused(data: Path, tmp_path: Path) -> None:
    with (
        holder("locked_folder", tmp_path / "run") as other,
        pytest.raises(OutputInUse, match=str(other.pid)),
    ):
        next(iter(fit(request(data, tmp_path / "run"))))
    assert not (tmp_path / "run" / RUN).exists()


def test_a_run_reports_what_happens_and_leaves_a_complete_model(data: Path, tmp_path: Path) -> None:
    events = list(fit(request(data, tmp_path / "run")))
    started, finished = events[0], events[-1]
    assert isinstance(started, RunStarted) and isinstance(finished, RunFinished)
    steps = [event for event in events if isinstance(event, Step)]
    epochs = [event for event in events if isinstance(event, EpochEnd)]
    assert [step.number for step in steps] == list(range(1, started.total_steps + 1))
    assert [epoch.epoch for epoch in epochs] == [1, 2, 3]
    card = load_model(finished.model).card
    assert card.vocabulary.name == "mikels-8" and card.training["seed"] == 0
    assert card.scores["accuracy"] == finished.scores.accuracy
    assert set(card.training["data"]["hashes"]) == {"train", "val"}
    best = max(epochs, key=lambda epoch: epoch.scores["mean"])
    log = [json.loads(line) for line in (tmp_path / "run" / LOG).read_text().splitlines()]
    assert len(log) == 3 and max(row["scores"]["mean"] for row in log) == best.scores["mean"]


def test_the_model_kept_is_the_best_epoch_and_its_scores_are_those_of_that_epoch(
    data: Path, tmp_path: Path
) -> None:
    events = list(fit(request(data, tmp_path / "run", replace(TINY, precision="float32"))))
    best = max((e for e in events if isinstance(e, EpochEnd)), key=lambda e: e.scores["mean"])
    finished = events[-1]
    assert isinstance(finished, RunFinished)
    assert finished.scores.accuracy == best.scores["accuracy"]
    assert finished.scores.balanced_accuracy == pytest.approx(best.scores["balanced_accuracy"])


def test_the_last_epoch_is_kept_where_the_scores_are_to_choose_nothing(data: Path, tmp_path: Path) -> None:
    settings = replace(TINY, select_by="last", lr=0.03)
    events = list(fit(request(data, tmp_path / "run", settings)))
    epochs = [event for event in events if isinstance(event, EpochEnd)]
    assert [epoch.best for epoch in epochs] == [True, True, True]
    finished = events[-1]
    assert isinstance(finished, RunFinished)
    assert finished.scores.accuracy == epochs[-1].scores["accuracy"]


def test_training_learns_what_can_be_learned(data: Path, tmp_path: Path) -> None:
    plain = Settings(
        network="test_vit.r160_in1k", weights="none", epochs=12, batch_size=8, lr=0.003, num_workers=0,
        preprocessing=replace(TINY.preprocessing),
    )  # fmt: skip
    finished = list(fit(request(data, tmp_path / "run", plain)))[-1]
    assert isinstance(finished, RunFinished) and finished.scores.accuracy > 0.8


def test_the_settings_in_the_run_folder_are_those_that_ran(data: Path, tmp_path: Path) -> None:
    next(fit(request(data, tmp_path / "run")))
    assert read_settings(tmp_path / "run" / "settings.toml", Settings()) == with_expected_input(TINY)
    stored = tomllib.loads((tmp_path / "run" / "settings.toml").read_text())
    assert stored["augmentation"]["colour_jitter"] == 0.2


def test_stopping_the_iteration_and_resuming_changes_no_bit(data: Path, tmp_path: Path) -> None:
    list(fit(request(data, tmp_path / "undisturbed")))
    for event in fit(request(data, tmp_path / "parts")):
        if isinstance(event, Step) and event.number == 9:
            break
    list(fit(request(data, tmp_path / "parts", resume=True)))
    assert losses(tmp_path / "parts") == losses(tmp_path / "undisturbed")
    assert hash_of_model(tmp_path / "parts") == hash_of_model(tmp_path / "undisturbed")


def test_accumulated_batches_are_one_batch(data: Path, tmp_path: Path) -> None:
    plain = override(TINY, ["mixup=0", "cutmix=0", "network_options.dropout=0", "precision=float32"])
    list(fit(request(data, tmp_path / "one", replace(plain, batch_size=10))))
    list(fit(request(data, tmp_path / "two", replace(plain, batch_size=5, grad_accum_steps=2))))
    for (_, one), (_, two) in zip(losses(tmp_path / "one"), losses(tmp_path / "two"), strict=True):
        assert one == pytest.approx(two, rel=1e-3)


def test_a_folder_that_holds_a_run_is_not_overwritten(data: Path, tmp_path: Path) -> None:
    next(fit(request(data, tmp_path / "run")))
    with pytest.raises(RunError, match="already holds a run"):
        next(fit(request(data, tmp_path / "run")))


def test_settings_that_were_edited_by_hand_are_refused_when_a_run_goes_on(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    next(fit(request(data, out)))
    text = (out / SETTINGS).read_text(encoding="utf-8")
    (out / SETTINGS).write_text(f"# a note\n{text}", encoding="utf-8")
    next(fit(request(data, out, read_run_settings(out), resume=True)))
    (out / SETTINGS).write_text(text.replace("batch_size = ", "batch_size = 1"), encoding="utf-8")
    with pytest.raises(RunError, match=r"settings\.toml was changed since the run was begun"):
        next(fit(request(data, out, read_run_settings(out), resume=True)))


@pytest.mark.parametrize("name", ["model", "states", "ray", "settings.json"])
def test_what_a_run_would_replace_and_another_wrote_is_refused_before_any_training(
    data: Path, tmp_path: Path, name: str
) -> None:
    other = tmp_path / "run" / name
    other.mkdir(parents=True)
    with pytest.raises(RunError, match=f"{name} is there already"):
        next(fit(request(data, tmp_path / "run")))
    assert list((tmp_path / "run").iterdir()) == [other]


def test_a_folder_called_cache_that_holds_something_else_is_not_replaced(data: Path, tmp_path: Path) -> None:
    kept = tmp_path / "run" / "cache" / "thesis.txt"
    kept.parent.mkdir(parents=True)
    kept.write_text("of someone")
    with pytest.raises(RunError, match="holds something else than decoded pictures"):
        list(fit(request(data, tmp_path / "run", replace(TINY, cache_side=32))))
    assert kept.read_text() == "of someone"


@pytest.mark.skipif(os.name == "nt", reason="there no folder with an open file is removed")
def test_a_run_whose_folder_was_removed_ends_and_makes_no_other(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    events = fit(request(data, run))
    next(event for event in events if isinstance(event, Step))
    shutil.rmtree(run)
    with pytest.raises(OutputError, match="run was removed"):
        next(events)
    assert not run.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_log_of_steps_that_cannot_grow_is_an_error_of_ours(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(OutputError, match=r"steps\.jsonl cannot be written: No space left"):
        for event in fit(request(data, run)):
            if isinstance(event, RunStarted):
                (run / STEPS).symlink_to("/dev/full")


def test_the_log_of_steps_has_loss_accuracy_gradients_and_time(data: Path, tmp_path: Path) -> None:
    steps = [event for event in fit(request(data, tmp_path / "run")) if isinstance(event, Step)]
    logged = [json.loads(line) for line in (tmp_path / "run" / STEPS).read_text().splitlines()]
    assert [row["step"] for row in logged] == [step.number for step in steps]
    for row, step in zip(logged, steps, strict=True):
        assert (row["loss"], row["accuracy"], row["lr"]) == (step.loss, step.accuracy, step.lr)
        assert row["gradient_norm"] == step.gradient_norm and row["gradient_norm"] > 0
    seconds = [row["seconds"] for row in logged]
    assert seconds == sorted(seconds) and seconds[-1] > 0


def test_the_norm_of_gradients_is_logged_where_they_are_not_clipped_too(data: Path, tmp_path: Path) -> None:
    free, loose = (
        next(event for event in fit(request(data, tmp_path / f"{clip}", settings)) if isinstance(event, Step))
        for clip, settings in ((clip, replace(TINY, clip_grad=clip)) for clip in (0.0, 1e6))
    )
    assert free.gradient_norm == loose.gradient_norm > 0


def test_there_must_be_a_run_to_resume(data: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run to resume"):
        next(fit(request(data, tmp_path / "nothing", resume=True)))


def test_a_run_is_not_resumed_on_other_labels(data: Path, tmp_path: Path) -> None:
    next(fit(request(data, tmp_path / "run")))
    (data / "awe" / "0.png").rename(data / "anger" / "stranger.png")
    with pytest.raises(RunError, match="other pictures or labels"):
        next(fit(request(data, tmp_path / "run", resume=True)))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"weights": "nowhere/at/all.safetensors"}, WeightsNotFound),
        ({"network_options": {"nothing": 1}}, SettingsError),
        ({"network_options": {"weights": "x"}}, SettingsError),
        (
            {"network": "inception_v3", "preprocessing": PreprocessingSettings(height=64, width=64)},
            SettingsError,
        ),
    ],
)
def test_what_cannot_begin_leaves_no_run_behind(
    data: Path, tmp_path: Path, changes: dict[str, Any], error: type[Exception]
) -> None:
    out = tmp_path / "run"
    with pytest.raises(error):
        next(fit(request(data, out, replace(TINY, **changes))))
    assert not (out / "settings.toml").exists()
    assert isinstance(next(fit(request(data, out))), RunStarted)


@pytest.mark.parametrize("hub_is", ["offline", "silent"])
def test_weights_that_the_hub_does_not_give_end_a_run_soon_and_leave_no_folder(
    hub_is: str,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "run"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hub, "PATIENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts connections, and never answers
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", hub_is == "offline")
        began = time.monotonic()
        with pytest.raises(WeightsNotFound, match="Go online"):
            next(fit(request(data, out, replace(TINY, weights="hub"))))
    assert time.monotonic() - began < 4
    assert capfd.readouterr().err == ""
    assert not out.exists()
    assert isinstance(next(fit(request(data, out))), RunStarted)


@pytest.mark.parametrize(("network", "height"), [("inception_v3", 64), (SWIN, 50)])
def test_a_size_that_a_network_does_not_take_is_named(
    data: Path, tmp_path: Path, network: str, height: int
) -> None:
    size = PreprocessingSettings(height=height, width=64)
    small = replace(TINY, network=network, network_options={}, preprocessing=size)
    with pytest.raises(SettingsError, match=f"{network} takes no pictures of 64 x {height} pixels"):
        next(fit(request(data, tmp_path / "run", small)))
    assert not (tmp_path / "run").exists()


def test_a_swin_takes_pictures_of_another_size_than_its_own() -> None:
    built = catalog.build(SWIN, 8).eval()
    if not hasattr(built, "dynamic_img_size"):
        pytest.skip("in this version of timm it takes no other")
    with torch.inference_mode():
        assert built(torch.zeros(1, 3, 64, 96)).shape == (1, 8)


@pytest.mark.parametrize("network", ["test_vit", "vit_attributes"])
def test_a_transformer_is_trained_on_pictures_of_another_size_than_its_own(network: str) -> None:
    options: dict[str, Any] = {"backbone": "test_vit"}
    options["attributes"] = {"scene": {"words": 2, "several": False}}
    built = catalog.build(network, 8, **(options if network == "vit_attributes" else {})).eval()
    with torch.inference_mode():
        assert built(torch.zeros(1, 3, 64, 96)).shape == (1, 8)


def test_a_run_is_not_resumed_under_another_name(data: Path, tmp_path: Path) -> None:
    begun = request(data, tmp_path / "run")
    next(fit(replace(begun, command="affectlens train test_vit")))
    other = replace(begun, name="other", resume=True)
    with pytest.raises(RunError, match=f"makes the model {begun.name}, not other.*affectlens train test_vit"):
        next(fit(other))


def test_an_unreadable_picture_ends_training_by_its_name_and_keeps_the_checkpoint(
    data: Path, tmp_path: Path
) -> None:
    run = fit(request(data, tmp_path / "run"))
    for event in run:
        if isinstance(event, EpochEnd):
            break
    for path in (data / "awe").iterdir():
        path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(PictureDamaged, match="awe"):
        list(run)
    assert (tmp_path / "run" / BEST).is_file()


def test_a_loss_that_explodes_is_an_error_with_what_to_do(data: Path, tmp_path: Path) -> None:
    wild = replace(TINY, lr=1e30, clip_grad=0.0, warmup=0.0)
    with pytest.raises(RunError, match="lr"):
        list(fit(request(data, tmp_path / "run", wild)))


def test_what_a_kill_left_half_written_is_cleared_away_file_or_folder(data: Path, tmp_path: Path) -> None:
    next(fit(request(data, tmp_path / "run")))
    (tmp_path / "run" / ".model.01234567.part").mkdir()
    (tmp_path / "run" / ".model.01234567.part" / "config.json").write_text("half")
    (tmp_path / "run" / ".last.safetensors.89abcdef.part").write_text("half")
    list(fit(request(data, tmp_path / "run", resume=True)))
    assert not list((tmp_path / "run").glob(".*.part"))


def test_a_finished_run_has_a_graph_or_the_reason_why_not(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    *_, finished = fit(replace(request(data, tmp_path / "run"), graph=True))
    assert isinstance(finished, RunFinished) and finished.no_graph == ""
    assert load_engine(str(finished.model)).name == ONNX_RUNTIME

    def refuse(*_: object) -> bytes:
        raise SettingsError("This network cannot be written as a graph: it is none.")

    monkeypatch.setattr(saved, "export_graph", refuse)
    *_, finished = fit(replace(request(data, tmp_path / "other"), graph=True))
    assert isinstance(finished, RunFinished) and "cannot be written as a graph" in finished.no_graph
    assert load_engine(str(finished.model)).name == TORCH


def test_a_damaged_checkpoint_is_refused(data: Path, tmp_path: Path) -> None:
    for event in fit(request(data, tmp_path / "run")):
        if isinstance(event, EpochEnd):
            break
    checkpoint = tmp_path / "run" / LAST
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    with pytest.raises(RunError, match="cannot be read"):
        list(fit(request(data, tmp_path / "run", resume=True)))


def test_a_cache_changes_no_loss(data: Path, tmp_path: Path) -> None:
    list(fit(request(data, tmp_path / "files")))
    list(fit(request(data, tmp_path / "cached", replace(TINY, cache_side=64))))
    assert losses(tmp_path / "files") == losses(tmp_path / "cached")


def test_runs_share_a_cache_that_one_of_them_made(data: Path, tmp_path: Path) -> None:
    settings = replace(TINY, cache_side=64)
    for name, decodes in (("first", True), ("second", False)):
        events = fit(replace(request(data, tmp_path / name, settings), cache=tmp_path / "cache"))
        assert isinstance(next(events), CacheProgress if decodes else RunStarted)
        until = next(event for event in events if isinstance(event, RunStarted | Step))
        assert until and not (tmp_path / name / "cache").exists()
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == ["index.json", "pixels.bin"]


def test_a_shared_cache_of_other_pictures_is_refused_and_stays(data: Path, tmp_path: Path) -> None:
    small, large = replace(TINY, cache_side=16), replace(TINY, cache_side=64)
    sharing = replace(request(data, tmp_path / "first", small), cache=tmp_path / "cache")
    next(event for event in fit(sharing) if isinstance(event, RunStarted))
    before = (tmp_path / "cache" / "index.json").read_bytes()
    with pytest.raises(RunError, match="another folder for --cache"):
        next(fit(replace(request(data, tmp_path / "second", large), cache=tmp_path / "cache")))
    assert (tmp_path / "cache" / "index.json").read_bytes() == before


def test_impossible_settings_are_named() -> None:
    with pytest.raises(SettingsError, match="batch_size"):
        Settings(batch_size=0)


def test_a_damaged_record_is_an_error_of_ours(data: Path, tmp_path: Path) -> None:
    next(fit(request(data, tmp_path / "run")))
    assert RunRecord.read(tmp_path / "run").format_version == 2
    stored = (tmp_path / "run" / RUN).read_text()
    changes = (
        ('"hashes"', '"hash"'),
        ('"seed": 0', '"seed": []'),
        ('"format_version": 2', '"format_version": 3'),
    )
    altered = [stored.replace(*change) for change in changes]
    assert stored not in altered
    for damaged in (stored[:-30], *altered, "[" * 100_000, "\xff"):
        (tmp_path / "run" / RUN).write_bytes(damaged.encode("latin-1"))
        with pytest.raises(RunError, match=r"run\.json"):
            next(fit(request(data, tmp_path / "run", resume=True)))


def as_format_1(out: Path) -> None:
    """Rewrite a run folder with the names and keys of the format before, and without versions."""
    former = {now: before for before, now in former_keys.SETTINGS.items()}
    settings = tomllib.loads((out / "settings.toml").read_text())
    del settings["format_version"]
    old = {former.get(name, name): value for name, value in settings.items()}
    old["loss"] = {former.get(f"loss.{n}", n).removeprefix("loss."): v for n, v in settings["loss"].items()}
    (out / "settings.toml").write_text(tomli_w.dumps(old))
    record = json.loads((out / RUN).read_text())
    del record["format_version"], record["settings_hashes"]
    (out / RUN).write_text(json.dumps(record))
    (out / STEPS).write_text((out / STEPS).read_text().replace('"lr":', '"rate":'))


def test_a_run_folder_of_the_format_before_resumes_to_the_last_bit(data: Path, tmp_path: Path) -> None:
    settings = replace(TINY, loss=Loss(focal_gamma=2.0), low_res_fraction=0.0)
    list(fit(request(data, tmp_path / "undisturbed", settings)))
    for event in fit(request(data, tmp_path / "parts", settings)):
        if isinstance(event, Step) and event.number == 9:
            break
    as_format_1(tmp_path / "parts")
    text = (tmp_path / "parts" / "settings.toml").read_text()
    assert "learning_rate" in text and "average" in text and "lr =" not in text
    resumed = read_run_settings(tmp_path / "parts")
    list(fit(request(data, tmp_path / "parts", resumed, resume=True)))
    assert losses(tmp_path / "parts") == losses(tmp_path / "undisturbed")
    assert hash_of_model(tmp_path / "parts") == hash_of_model(tmp_path / "undisturbed")


# Killed for real. ---------------------------------------------------------------------------------


def command(data: Path, out: Path, *more: str) -> list[str]:
    return ["train", "test_vit.r160_in1k", "--data", f"folder:{data}", "--out", str(out), "--no-graph", *more]


def start(data: Path, out: Path, resume: bool) -> ForkServerProcess:
    if resume:
        more = ["--resume"]
    else:
        out.parent.mkdir(exist_ok=True)
        settings = out.parent / f"{out.name}.toml"
        settings.write_text(replace(TINY, epochs=5, checkpoint_every=1).to_toml())
        more = ["--settings", str(settings)]
    return forked.start(command(data, out, *more))


def run_to_the_end(data: Path, out: Path, resume: bool = False) -> None:
    assert forked.wait(start(data, out, resume)) == 0


def kill_when(process: ForkServerProcess, due: Callable[[], bool]) -> bool:
    """Kill the process when it is due; False when it ended by itself before."""
    while process.is_alive():
        if due():
            process.kill()
            process.join()
            return process.exitcode == -signal.SIGKILL
        time.sleep(0.0002)
    return False


def steps_done(out: Path) -> int:
    return (out / STEPS).read_bytes().count(b"\n") if (out / STEPS).is_file() else 0


def hash_of_model(out: Path) -> str:
    return load_model(out / MODEL).card.weights_hash


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("steps", [(17,), pytest.param((1, 12, 17), marks=pytest.mark.slow)])
def test_a_run_that_was_killed_at_a_step_and_in_a_checkpoint_resumes_to_the_last_bit(
    data: Path, tmp_path: Path, steps: tuple[int, ...]
) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    run_to_the_end(data, undisturbed)
    assert len(losses(undisturbed)) == 30

    for kill, step in enumerate(steps):
        process = start(data, killed, resume=kill > 0)
        assert kill_when(process, lambda step=step: steps_done(killed) >= step)  # type: ignore[misc]
    seen = set(killed.glob(f".{LAST}*"))
    in_checkpoint = kill_when(
        start(data, killed, resume=True),
        lambda: steps_done(killed) > 20 and bool(set(killed.glob(f".{LAST}*")) - seen),
    )
    assert in_checkpoint and set(killed.glob(f".{LAST}*")) - seen, "the kill did not hit a checkpoint"

    run_to_the_end(data, killed, resume=True)
    assert losses(killed) == losses(undisturbed)
    assert hash_of_model(killed) == hash_of_model(undisturbed)
    assert not list(killed.glob(".*.part")), "what the kill left behind was not cleared away"


def test_the_same_seed_gives_the_same_run_and_another_seed_another(data: Path, tmp_path: Path) -> None:
    for name, seed in (("first", 1), ("again", 1), ("other", 2)):
        list(fit(request(data, tmp_path / name, replace(TINY, epochs=1, seed=seed))))
    assert losses(tmp_path / "first") == losses(tmp_path / "again")
    assert losses(tmp_path / "first") != losses(tmp_path / "other")


def test_the_moving_average_follows_the_network() -> None:
    network = catalog.build("test_vit.r160_in1k", 3)
    state = State.start(network, replace(TINY, ema_decay=0.5))
    assert state.ema is not None and state.best_network is state.ema.module
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1.0)
    state.ema.update(network, step=1000)
    for new, averaged in zip(network.parameters(), state.ema.module.parameters(), strict=True):
        assert float((new - averaged).detach().abs().max()) == pytest.approx(0.5, abs=1e-4)


def test_two_classes_are_learned_from_any_emotions_that_have_a_polarity(tmp_path: Path, data: Path) -> None:
    source = folder.read(data)
    *_, finished = fit(request(data, tmp_path / "run", replace(TINY, vocabulary="polarity")))
    assert isinstance(finished, RunFinished)
    assert finished.scores.words == ("positive", "negative")
    model = load_model(finished.model)
    assert model.card.vocabulary == POLARITY
    assert any("polarity-2" in note for note in model.card.training["data"]["notes"])
    found = evaluate(load_engine(str(finished.model)), source, ALL)
    assert found.scores.count == len(source.split(ALL)) and "polarity-2" in found.notes[0]
    with pytest.raises(UnknownName, match="polarity"):
        next(fit(request(data, tmp_path / "other", replace(TINY, vocabulary="polarty"))))
