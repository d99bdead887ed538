"""The whole way where more than the last layer is trained: folds, refit, report, interrupted and resumed."""

import csv
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import affectlens
from affectlens import Predictor
from affectlens.adaptation import validation
from affectlens.adaptation.deep import PartEvent, fit_deep
from affectlens.adaptation.depths import ALL_LAYERS, LAST_BLOCK, require_depth, settings_by_amount
from affectlens.adaptation.folder import Finetuned, FinetuneRequest
from affectlens.adaptation.job import fit_head
from affectlens.adaptation.report import Report
from affectlens.adaptation.validation import KNOWN, LAST_LAYER, MOST_FREQUENT, OWN, POSITIVE
from affectlens.cli.main import main
from affectlens.data.catalog import open_data
from affectlens.errors import AffectLensError, BadModelFolder, DatasetError, RunError, UnknownName
from affectlens.extras import Extra
from affectlens.model_folder import load_card
from affectlens.training import trackers
from affectlens.training.loop import Step
from affectlens.training.run_folder import TrainingRequest
from affectlens.training.settings import Settings, with_values
from model_folders import hashes
from pictures import colour_set

pytestmark = pytest.mark.needs("sklearn", "torch")

WORDS = ("cosy", "uncanny", "ångest")
QUICK = (
    "epochs=2", "batch_size=8", "num_workers=0", "lr=0.01",
    "preprocessing.height=32", "preprocessing.width=32",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def two_folds() -> Iterator[None]:
    """Two folds take less time than five."""
    parts_of = validation.parts_of
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validation, "parts_of", lambda data, rows, seed, count=2: parts_of(data, rows, seed, 2))
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return colour_set(tmp_path_factory.mktemp("data") / "moods", WORDS, each=8)


def request(data: Path, out: Path, start: Path, **changed: object) -> FinetuneRequest:
    values: dict[str, object] = {
        "source": open_data(f"folder:{data}"), "out": out, "start": str(start), "name": "moods",
        "data": "folder", "command": "affectlens train finetune", "depth": "last", "assignments": QUICK,
        "device": "cpu", "graph": False,
    }  # fmt: skip
    return FinetuneRequest(**{**values, **changed})  # type: ignore[arg-type]


def run(made: FinetuneRequest) -> Finetuned:
    *_, last = fit_deep(made)
    assert isinstance(last, Finetuned)
    return last


@pytest.fixture(scope="module")
def trained(data: Path, with_graph: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "moods"
    run(request(data, out, with_graph))
    return out


def test_the_new_model_is_a_folder_like_any_other(trained: Path, data: Path) -> None:
    found = load_card(trained / "model")
    assert found.vocabulary.words == WORDS and found.name == "moods"
    adapted = found.training["adapted"]
    assert adapted["depth"] == "last" and adapted["start"]["name"] == "tiny"
    assert len(adapted["epochs_of_parts"]) == 2
    assert found.scores["split"] == "cross-validation" and found.scores["count"] == 24
    assert set(Predictor.load(str(trained))(data / "cosy" / "0.png").weights) == set(WORDS)
    text = (trained / "model" / "README.md").read_text(encoding="utf-8")
    assert "The last block or stage of each backbone" in text and "logistic" not in text


def test_the_report_compares_with_simpler_answers_and_with_the_last_layer_alone(trained: Path) -> None:
    report = json.loads((trained / "report.json").read_text(encoding="utf-8"))
    assert set(report["differences"]) == {MOST_FREQUENT, POSITIVE, KNOWN, LAST_LAYER}
    assert set(report["estimates"]) == {*report["differences"], OWN}
    assert report["pictures"] == 24 and report["parts"] == 2 and report["curve"] == []
    assert report["trained"]["depth"] == "last" and len(report["trained"]["epochs"]) == 2
    with (trained / "predictions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len({row["path"] for row in rows}) == len(rows) == 24
    page = (trained / "report.html").read_text(encoding="utf-8")
    assert "--depth head measures it" in page and "Settings of training" in page


class Noted:
    """A tracker that notes which trainings it is given, and how they end; the second fails."""

    runs: list[tuple[str, Path, list[int], list[bool]]] = []  # noqa: RUF012, all have one

    def begin(self, request: TrainingRequest, step: int) -> None:
        self.runs.append((request.name, request.out, [], []))

    def log(self, values: Mapping[str, float], step: int) -> None:
        assert {"train/loss", "epoch"} & values.keys()
        if len(self.runs) == 2:
            raise OSError("the server does not answer")
        self.runs[-1][2].append(step)

    def end(self, is_complete: bool) -> None:
        self.runs[-1][3].append(is_complete)


def test_trackers_get_each_training_and_one_that_fails_is_left_out_of_that_training_alone(
    data: Path, with_graph: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trackers, "TRACKERS", {"noted": (Extra("none", "json"), Noted)})
    monkeypatch.setattr(Noted, "runs", [])
    notes: list[str] = []
    out = tmp_path / "moods"
    run(request(data, out, with_graph, trackers=("noted",), note=notes.append))
    assert [(name, folder) for name, folder, *_ in Noted.runs] == [
        ("moods, fold 1 of 2", out / "folds" / "1"),
        ("moods, fold 2 of 2", out / "folds" / "2"),
        ("moods, all pictures", out / "refit"),
    ]
    first, second, last = (steps for _, _, steps, _ in Noted.runs)
    assert first and last and first == sorted(first) and not second
    assert [ends for *_, ends in Noted.runs] == [[True], [], [True]]
    assert notes == ["The tracker noted failed and is left out from here on: the server does not answer."]
    assert hashes(out / "model") == hashes(trained / "model")
    # An interruption ends the tracker of the training that it interrupts.
    interrupted(request(data, tmp_path / "stopped", with_graph, trackers=("noted",)), "fold 1 of 2", Step, 2)
    assert Noted.runs[-1][3] == [False]


def test_tensorboard_has_the_steps_of_each_training(data: Path, with_graph: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    affectlens.finetune(
        f"folder:{data}", tmp_path / "moods", start=str(with_graph), depth="last", device="cpu",
        assignments=(*QUICK, "epochs=1"), trackers=["tensorboard"],
    )  # fmt: skip
    for folder in ("folds/1", "folds/2", "refit"):
        made = tmp_path / "moods" / folder
        rows = [json.loads(line) for line in (made / "steps.jsonl").read_text(encoding="utf-8").splitlines()]
        logged = EventAccumulator(str(made / "tensorboard")).Reload().Scalars("train/loss")
        assert rows and [each.step for each in logged] == [row["step"] for row in rows]


def interrupted(made: FinetuneRequest, title: str, kind: type, count: int) -> None:
    """Stop a run after so many events of a kind in one of its trainings, as an interruption does."""
    events, seen = fit_deep(made), 0
    for event in events:
        seen += isinstance(event, PartEvent) and event.title == title and isinstance(event.event, kind)
        if seen == count:
            events.close()  # type: ignore[attr-defined]
            return
    raise AssertionError("it ended before")


def test_a_run_that_was_interrupted_twice_ends_in_the_same_bits(
    data: Path, with_graph: Path, trained: Path, tmp_path: Path
) -> None:
    out = tmp_path / "moods"
    interrupted(request(data, out, with_graph), "fold 2 of 2", Step, 2)
    assert not (out / "model").exists()
    interrupted(request(data, out, with_graph, resume=True), "all pictures", Step, 2)
    for _ in ("interrupted", "finished"):
        run(request(data, out, with_graph, resume=True))
        assert hashes(out / "model") == hashes(trained / "model")
        for file in ("report.json", "predictions.csv"):
            assert (out / file).read_bytes() == (trained / file).read_bytes()


def test_many_pictures_are_measured_on_one_part_that_is_held_out(
    data: Path, with_graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, "LARGE", 24)
    found = run(request(data, tmp_path / "out", with_graph, assignments=(*QUICK, "epochs=1")))
    assert isinstance(found.report, Report)
    assert (found.report.parts, found.report.pictures) == (1, 24) and 0 < found.report.predicted < 12
    assert load_card(found.model).scores["split"] == "held out"
    assert "as was best without the part held out" in (found.model / "README.md").read_text(encoding="utf-8")
    assert [each.name for each in (tmp_path / "out" / "folds").iterdir()] == ["1"]


def test_a_run_is_not_resumed_at_another_depth_or_with_other_settings(
    data: Path, with_graph: Path, trained: Path
) -> None:
    with pytest.raises(RunError, match="--resume"):
        run(request(data, trained, with_graph))
    with pytest.raises(RunError, match="settings differ"):
        run(request(data, trained, with_graph, resume=True, assignments=(*QUICK, "epochs=3")))
    with pytest.raises(RunError, match="depth"):
        list(fit_head(request(data, trained, with_graph, resume=True, depth="head")))


def test_all_layers_are_trained_from_python_as_long_as_was_best_in_the_parts(
    data: Path, with_graph: Path, tmp_path: Path
) -> None:
    events: list[object] = []
    found = affectlens.finetune(
        f"folder:{data}", tmp_path / "moods", start=str(with_graph), depth="all", device="cpu",
        assignments=(*QUICK, "epochs=1", "augmentation.crop_scale=0.8"), progress=events.append,
    )  # fmt: skip
    assert isinstance(found.report, Report)
    assert found.report.trained is not None and found.report.trained.epochs == (1, 1)
    assert "All layers were trained" in (found.model / "README.md").read_text(encoding="utf-8")
    titles = list(dict.fromkeys(event.title for event in events if isinstance(event, PartEvent)))
    assert titles == ["all pictures", "fold 1 of 2", "fold 2 of 2"]
    assert any("a new last layer alone" in line for line in found.report.findings())


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("start=default", "is set by --start here"),
        ("vocabulary=polarity", "is set by vocabulary.toml"),
        ("seed=3", "is set by --seed"),
        ("epoch=3", "Did you mean 'epochs'"),
    ],
)
def test_settings_that_something_else_decides_are_refused_before_any_work(
    assignment: str, message: str, data: Path, with_graph: Path, tmp_path: Path
) -> None:
    with pytest.raises(AffectLensError, match=message):
        run(request(data, tmp_path / "out", with_graph, assignments=(assignment,)))
    assert not (tmp_path / "out").exists()


def test_too_few_pictures_are_refused_with_what_needs_fewer(with_graph: Path, tmp_path: Path) -> None:
    data = colour_set(tmp_path / "moods", WORDS, each=2)
    with pytest.raises(DatasetError, match=r"Too few pictures for --depth last: .* --depth head needs fewer"):
        run(request(data, tmp_path / "out", with_graph))


def test_a_start_whose_weights_are_not_there_is_refused(data: Path, with_graph: Path, tmp_path: Path) -> None:
    start = tmp_path / "start"
    shutil.copytree(with_graph, start)
    (start / "model.safetensors").unlink()
    with pytest.raises(BadModelFolder, match=r"model\.safetensors"):
        run(request(data, tmp_path / "out", start))
    assert not (tmp_path / "out").exists()


def test_another_depth_is_named() -> None:
    with pytest.raises(UnknownName, match="depth"):
        require_depth("deep")


@pytest.mark.parametrize("depth", [LAST_BLOCK, ALL_LAYERS])
def test_defaults_follow_the_number_of_pictures(depth: str) -> None:
    few, some, many = (settings_by_amount(depth, count) for count in (100, 1_000, 10_000))
    for name in ("epochs", "patience"):
        assert few[name] >= some[name] >= many[name] > 0
    assert few["batch_size"] < some["batch_size"] < many["batch_size"]
    for each in (few, some, many):
        assert with_values(Settings(), each).select_by == "likelihood"


def test_what_only_training_has_a_use_for_is_refused_at_the_depth_head(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "finetune", "--data", f"folder:{data}", "--out", str(tmp_path / "out")]
    for depth, option in (("head", "--set=epochs=1"), ("last", "--fold=1"), ("head", "--track=mlflow")):
        with pytest.raises(SystemExit):
            main([*words, "--depth", depth, option])
        assert f"has no use for {option.split('=')[0]}" in capsys.readouterr().err
