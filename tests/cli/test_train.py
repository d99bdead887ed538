"""`affectlens train`: the run folder, the card, what is refused."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

import forked
from affectlens.cli.main import main
from affectlens.inference.engine import ONNX_RUNTIME, load_engine
from affectlens.version import VERSION
from pictures import colour_set

SMALL = ("--set", "epochs=1", "--set", "batch_size=4", "--set", "num_workers=0", "--set", "weights=none",
         "--set", "preprocessing.height=32", "--set", "preprocessing.width=32")  # fmt: skip
QUICK = (*SMALL, "--no-graph")
pytestmark = pytest.mark.needs("torch")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return colour_set(tmp_path_factory.mktemp("data"), ("awe", "anger"), each=8)


def status(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code if isinstance(ended.value.code, int) else 0


def train(data: Path, out: Path, *more: str) -> int:
    return status("train", "test_vit.r160_in1k", "--data", f"folder:{data}", "--out", str(out), *more)


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    assert train(data, out, *SMALL, "--seed", "3", "--name", "colours") == 0
    return out


def test_a_run_makes_a_model_that_evaluates_to_the_scores_of_its_card(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = tmp_path / "scores.json"
    table = f"csv:{data / 'splits.tsv'}"
    (data / "splits.tsv").write_bytes((run / "splits.tsv").read_bytes())
    assert status("evaluate", str(run), "--data", table, "--out", str(scores)) == 0
    written = json.loads(scores.read_text())
    card = json.loads((run / "model" / "config.json").read_text())["affectlens"]
    for key in ("accuracy", "balanced_accuracy", "macro_f1", "count", "confusion"):
        assert written["scores"][key] == card["scores"][key], key
    for key, interval in card["scores"]["intervals"].items():
        assert written["scores"]["intervals"][key] == pytest.approx(interval, abs=1e-5), key
    assert written["data"]["hash"] == card["training"]["data"]["hashes"]["val"]
    assert written["weights"] == card["weights"]["sha256"]
    assert load_engine(str(run)).name == ONNX_RUNTIME
    shown = capsys.readouterr().out
    assert "balanced accuracy" in shown and "awe" in shown


def test_the_card_has_the_command_without_folders_of_this_machine(run: Path, data: Path) -> None:
    config = json.loads((run / "model" / "config.json").read_text())["affectlens"]
    text = json.dumps(config) + (run / "model" / "README.md").read_text()
    assert str(data) not in text and str(run) not in text
    assert config["name"] == "colours" and config["training"]["seed"] == 3


def test_predictions_of_one_model_teach_another(run: Path, data: Path, tmp_path: Path) -> None:
    soft, out = tmp_path / "soft.jsonl", tmp_path / "student"
    assert status("predict", str(data), "--model", str(run), "--out", str(soft)) == 0
    assert train(data, out, *QUICK, "--teachers", str(soft), "--set", "distillation=0.5") == 0
    config = json.loads((out / "model" / "config.json").read_text())["affectlens"]
    assert config["training"]["data"]["teachers"] == ["soft.jsonl"]
    card = (out / "model" / "README.md").read_text()
    assert "Teachers: soft.jsonl, which weigh 0.5 in each target." in card
    assert str(tmp_path) not in json.dumps(config) + card


def test_the_card_for_people_has_limits_scores_and_licences(run: Path) -> None:
    card = (run / "model" / "README.md").read_text()
    assert card.startswith("---\n") and "does not measure what any person feels" in " ".join(card.split())
    for heading in ("## Limits", "## Scores", "## Training", "## Licences"):
        assert heading in card
    assert "Teachers" not in card
    assert f"Made by AffectLens {VERSION}." in card
    assert "of one data set (folder)" in " ".join(card.split()) and "platforms" not in card
    # The terms of a folder of pictures are not known.
    assert "license_name: terms-of-the-data" in card
    assert "- Use: what the terms of its training data allow" in card


def test_a_model_refuses_data_of_other_emotions(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = colour_set(tmp_path / "other", ("joy", "surprise"), each=2)
    assert status("evaluate", str(run), "--data", f"folder:{other}", "--split", "all") == 2
    error = capsys.readouterr().err
    assert "amusement" in error and "surprise" in error


def test_evaluating_with_an_unreadable_picture_counts_it_and_ends_with_status_one(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    some = colour_set(tmp_path / "some", ("awe", "anger"), each=2)
    (some / "awe" / "0.png").write_bytes(b"no picture")
    assert status("evaluate", str(run), "--data", f"folder:{some}", "--split", "all") == 1
    captured = capsys.readouterr()
    assert "3 pictures" in captured.out and "awe" in captured.err


def test_a_misspelt_setting_is_named_with_the_nearest(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(data, tmp_path / "run", "--set", "weight_decy=1") == 2
    assert "Did you mean 'weight_decay'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_misspelt_recipe_is_named(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("train", "plian", "--data", f"folder:{data}", "--out", str(tmp_path / "run"))
    assert status(*arguments) == 2
    assert "Did you mean 'plain'" in capsys.readouterr().err


def test_resuming_takes_no_other_settings(data: Path, run: Path) -> None:
    assert train(data, run, "--resume", "--seed", "4") == 2


def test_a_run_that_has_ended_goes_on_to_more_epochs(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert train(data, out, *QUICK) == 0
    assert train(data, out, "--no-graph", "--resume", "--epochs", "2") == 0
    assert "Epoch 2" in capsys.readouterr().err
    assert train(data, out, "--no-graph", "--resume", "--epochs", "1") == 2
    assert "has done 7 steps" in capsys.readouterr().err
    assert train(data, tmp_path / "new", *QUICK, "--epochs", "2") == 2
    assert "--set epochs=N" in capsys.readouterr().err and not (tmp_path / "new").exists()


@pytest.mark.skipif(os.name == "nt", reason="signals differ on Windows")
def test_interrupting_is_reported_and_the_run_goes_on_later(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ("train", "test_vit.r160_in1k", "--data", f"folder:{data}", "--out", out, *QUICK)
    process = forked.start([*words, "--set", "epochs=400"], tmp_path / "log")
    steps = out / "steps.jsonl"
    deadline = time.monotonic() + 100
    while not (steps.is_file() and steps.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.pid
    os.kill(process.pid, signal.SIGINT)
    assert forked.wait(process, 60) == 130
    errors = (tmp_path / "log").read_text()
    assert errors.split("\n")[-4:] == ["What was done is kept; go on with --resume.", "", "Interrupted.", ""]
    assert "Traceback" not in errors
    assert (out / "settings.toml").is_file()
