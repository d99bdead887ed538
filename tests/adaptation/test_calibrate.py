"""The whole way: own pictures -> a new model folder that answers by what was fitted, or nothing."""

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import affectlens
import without_torch
from affectlens import Predictor
from affectlens.adaptation.calibrate import CalibrationProgress, NotCalibrated, calibrate
from affectlens.adaptation.own_pictures import open_own_pictures
from affectlens.data.catalog import open_data
from affectlens.data.records import ALL
from affectlens.emotions import MIKELS
from affectlens.errors import BadRow, DatasetError, MissingExtra, OutputError, SettingsError
from affectlens.evaluation.evaluate import evaluate
from affectlens.inference.engine import load_engine
from affectlens.metrics import softmax
from affectlens.model_folder import (
    GRAPH,
    HEADS,
    WEIGHTS,
    load_card,
    read_graph,
    read_heads,
    read_model,
    write_model,
)
from affectlens.ratings import RatingHead, RatingScale
from graphs import SIDE
from model_folders import hashes, rewrite

COUNT = 150
NAMES = ("valence", "arousal")
WIDTHS = RatingScale(
    name="valence", coverages=(0.5, 0.9, 0.95, 0.99), half_widths=(1.0, 2.0, 2.5, 4.0)
)  # fmt: skip


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Pictures of four colours, one a quarter, and noise, so that no two look alike."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    files = []
    for number in range(COUNT):
        quarters = rng.integers(0, 256, (2, 2, 3)).repeat(SIDE // 2, axis=0).repeat(SIDE // 2, axis=1)
        pixels = np.clip(quarters + rng.normal(0, 30, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)
        files.append(folder / f"{number:03}.png")
        Image.fromarray(pixels).save(files[-1])
    return files


def pixels_of(files: Sequence[Path]) -> Any:
    return np.stack([np.asarray(Image.open(file)) for file in files])


def table(file: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    with file.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([header, *rows])
    return file


@pytest.fixture
def labels(graph_model: Path, photos: list[Path], tmp_path: Path) -> Callable[[float], Path]:
    """Labels that are sampled by the model's probabilities at a temperature, as a table."""

    def sampled(temperature: float) -> Path:
        engine = load_engine(str(graph_model), "onnxruntime")
        logits = np.log(np.maximum(engine(pixels_of(photos)), 1e-30)) * engine.card.temperature
        rng = np.random.default_rng(1)
        words = [MIKELS.words[rng.choice(8, p=row)] for row in softmax(logits / temperature)]
        rows = list(zip(photos, words, strict=True))
        return table(tmp_path / f"labels {temperature}.csv", ["path", "label"], rows)

    return sampled


def test_a_model_that_is_too_sure_gets_a_new_folder_and_the_old_one_stays(
    graph_model: Path, labels: Callable[[float], Path], photos: list[Path], tmp_path: Path
) -> None:
    before = hashes(graph_model)
    seen: list[CalibrationProgress] = []
    found = calibrate(
        str(graph_model), labels(4.5), tmp_path / "mine", engine="onnxruntime", progress=seen.append
    )
    assert hashes(graph_model) == before
    card = load_card(tmp_path / "mine")
    assert card.name == "mine" and 3.0 < card.temperature < 7.0
    assert [part.name for part in found.report.changed] == ["temperature"]
    assert card.training["calibrated"]["start"]["temperature"] == 1.5
    assert card.training["calibrated"]["pictures"] == COUNT == card.scores["count"]
    for file in (WEIGHTS, GRAPH):
        assert (tmp_path / "mine" / file).read_bytes() == (graph_model / file).read_bytes()
    assert card.weights_hash == load_card(graph_model).weights_hash
    assert card.weights_id != load_card(graph_model).weights_id, "else rows of both could be mixed"
    readme = (tmp_path / "mine" / "README.md").read_text(encoding="utf-8")
    assert "Calibrated on own pictures" in readme and "temperature 1.5 to" in readme and f"{COUNT}" in readme
    old, new = (
        Predictor.load(str(each), engine="onnxruntime")(photos[0])
        for each in (graph_model, tmp_path / "mine")
    )
    assert new.top == old.top and new[new.top] < old[old.top]
    doing = [event.doing for event in seen]
    assert list(dict.fromkeys(doing)) == ["predicting", "comparing", "validating"]


def test_the_same_call_writes_the_same_folder(
    graph_model: Path, labels: Callable[[float], Path], tmp_path: Path
) -> None:
    data = labels(4.5)
    for out in ("a/mine", "b/mine"):
        calibrate(str(graph_model), data, tmp_path / out, engine="onnxruntime")
    assert hashes(tmp_path / "a" / "mine") == hashes(tmp_path / "b" / "mine")


def test_a_model_that_is_right_already_is_refused_and_nothing_is_written(
    graph_model: Path, labels: Callable[[float], Path], tmp_path: Path
) -> None:
    data = labels(1.5)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(NotCalibrated, match="nothing was written"):
        calibrate(str(graph_model), data, tmp_path / "mine", engine="onnxruntime")
    assert sorted(tmp_path.iterdir()) == before


def test_labels_that_are_noise_and_too_few_pictures_are_refused(
    graph_model: Path, photos: list[Path], labels: Callable[[float], Path], tmp_path: Path
) -> None:
    rng = np.random.default_rng(2)
    noise = table(tmp_path / "noise.csv", ["path", "label"], [(p, rng.choice(MIKELS.words)) for p in photos])
    with pytest.raises(NotCalibrated, match="not shown to follow these labels"):
        calibrate(str(graph_model), noise, tmp_path / "mine", engine="onnxruntime")
    few = tmp_path / "few.csv"
    few.write_text("".join(labels(4.5).read_text(encoding="utf-8").splitlines(keepends=True)[:40]))
    with pytest.raises(NotCalibrated, match="39 pictures are too few"):
        calibrate(str(graph_model), few, tmp_path / "mine", engine="onnxruntime")
    assert not (tmp_path / "mine").exists()


def test_what_cannot_be_read_is_left_out_and_reported(
    graph_model: Path, labels: Callable[[float], Path], tmp_path: Path
) -> None:
    data = labels(4.5)
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    with data.open("a", encoding="utf-8") as file:
        file.write("broken.png,awe\n")
    found = calibrate(str(graph_model), data, tmp_path / "mine", engine="onnxruntime")
    assert found.report.pictures == COUNT and len(found.report.unreadable) == 1
    for model, noted in ((found.model, True), (graph_model, False)):
        engine = load_engine(str(model), "onnxruntime", "cpu")
        notes = evaluate(engine, open_data(str(data)), ALL).notes
        assert any("calibrated on these very pictures" in note for note in notes) is noted


def test_a_folder_that_holds_something_is_not_replaced(
    graph_model: Path, labels: Callable[[float], Path]
) -> None:
    before = hashes(graph_model)
    with pytest.raises(OutputError, match="not overwritten"):
        calibrate(str(graph_model), labels(4.5), graph_model)
    assert hashes(graph_model) == before


def test_pictures_that_the_model_learned_from_are_refused_but_not_its_validation_split(
    graph_model: Path, photos: list[Path], tmp_path: Path
) -> None:
    card = load_card(graph_model)
    rows = [(path, "awe", "train" if n % 2 else "val") for n, path in enumerate(photos)]
    data = table(tmp_path / "both.csv", ["path", "label", "split"], rows)
    own = {split: open_own_pictures(str(data), card, split).hash for split in ("train", "val")}
    learned = replace(card, training={"data": {"hashes": own}})
    for split in ("", "all", "train"):
        with pytest.raises(DatasetError, match="learned from these pictures"):
            open_own_pictures(str(data), learned, split)
    assert len(open_own_pictures(str(data), learned, "val").records) == COUNT // 2


def test_it_is_a_public_name() -> None:
    assert affectlens.calibrate is calibrate


# ------------------------------------------------------------------------------------------------ ratings


@pytest.fixture(scope="module")
def rated_model(with_graph: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small network with two ratings, by its graph too; its readings lie around the middle."""
    from affectlens.models.saved import add_graph

    folder = tmp_path_factory.mktemp("rated") / "rated"
    card, weights, _ = read_model(with_graph)
    engine = load_engine(str(with_graph), "onnxruntime")
    size = (16, card.preprocessing.height, card.preprocessing.width, 3)
    noise = np.random.default_rng(3).integers(0, 256, size).astype(np.uint8)
    embedding = engine.output(card.preprocessing.normalise(noise), "embedding")
    rows = np.random.default_rng(4).normal(size=(2, embedding.shape[1])).astype(np.float32)
    read = embedding @ rows.T
    rows /= read.std(axis=0)[:, None] * 5
    head = RatingHead(rows, (5 - (embedding @ rows.T).mean(axis=0)).astype(np.float32))
    card = replace(card, name="rated", ratings=tuple(replace(WIDTHS, name=name) for name in NAMES))
    write_model(
        folder, card, weights, "A model for tests.\n", dtype="float32", for_others={}, heads=head.tensors()
    )
    add_graph(folder)
    return folder


@pytest.fixture
def ratings(rated_model: Path, photos: list[Path], tmp_path: Path) -> Path:
    """Ratings of 1 to 7: valence on another line than the model reads, arousal as it reads it."""
    read = load_engine(str(rated_model), "onnxruntime").answer(pixels_of(photos)).ratings
    assert read is not None
    noise = np.random.default_rng(5).normal(0, 0.3, read.shape)
    spread = np.maximum(read.std(axis=0), 0.05)
    found = np.clip(np.stack([0.5 * read[:, 0] + 3.5, read[:, 1]], axis=1) + noise * spread, 1, 9)
    rows = [(p, *(1 + (each - 1) * 6 / 8)) for p, each in zip(photos, found, strict=True)]
    return table(tmp_path / "ratings.csv", ["path", *NAMES], rows)


@pytest.mark.needs("torch", "onnx")
def test_ratings_get_their_line_in_heads_and_graph_alike(
    rated_model: Path, ratings: Path, photos: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "mine"
    found = calibrate(str(rated_model), ratings, out, scale=(1, 7), engine="onnxruntime")
    valence, arousal = found.report.parts
    assert valence.changed and valence.values["factor"][1] == pytest.approx(0.5, abs=0.1)
    assert "factor" not in arousal.values  # its intervals were too wide at most
    old, new = read_heads(rated_model), read_heads(out)
    factor = valence.values["factor"][1]
    np.testing.assert_allclose(new["ratings.weights"][0], old["ratings.weights"][0] * factor, rtol=1e-5)
    np.testing.assert_array_equal(new["ratings.weights"][1], old["ratings.weights"][1])
    assert read_graph(out).ratings[0].half_widths != WIDTHS.half_widths
    by_graph = Predictor.load(str(out), engine="onnxruntime").predict_file(photos[0]).valence
    by_torch = Predictor.load(str(out), engine="torch").predict_file(photos[0]).valence
    assert by_graph is not None and by_torch is not None
    assert by_graph.mean == pytest.approx(by_torch.mean, abs=1e-3)
    assert load_card(out).temperature == load_card(rated_model).temperature


@pytest.mark.needs("torch", "onnx")
def test_figures_of_what_was_calibrated_are_gone_from_the_card_and_others_stay(
    rated_model: Path, ratings: Path, tmp_path: Path
) -> None:
    card, weights, heads = read_model(rated_model)
    figure = {
        "pictures": 9,
        "groups": 9,
        "r": 0.5,
        "r_interval": [0.4, 0.6],
        "error": 1.0,
        "error_of_the_mean": 1.2,
    }
    facts = {"figures": {"oasis valence": figure, "oasis arousal": figure}}
    start = tmp_path / "start"
    write_model(
        start, replace(card, training={"ratings": facts}), weights, "For tests.\n", dtype="float32",
        for_others={}, heads=heads,
    )  # fmt: skip
    rows = [row[:2] for row in csv.reader(ratings.open(encoding="utf-8"))]
    found = calibrate(
        str(start), table(tmp_path / "valence.csv", rows[0], rows[1:]), tmp_path / "mine", scale=(1, 7)
    )
    assert [part.name for part in found.report.changed] == ["valence"]
    assert list(load_card(tmp_path / "mine").training["ratings"]["figures"]) == ["oasis arousal"]
    readme = (tmp_path / "mine" / "README.md").read_text(encoding="utf-8")
    assert "90 % of pictures like those that calibrated it" in readme
    assert readme.count("90 % of pictures of themes that it did not learn from") == 1


@pytest.mark.needs("torch", "onnx")
def test_a_table_may_have_labels_and_ratings(
    rated_model: Path, ratings: Path, tmp_path: Path, photos: list[Path]
) -> None:
    rows = list(csv.reader(ratings.open(encoding="utf-8")))
    both = table(
        tmp_path / "both.csv", [*rows[0], "label"],
        [[*row, MIKELS.words[n % 8]] for n, row in enumerate(rows[1:])],
    )  # fmt: skip
    found = calibrate(str(rated_model), both, tmp_path / "mine", scale=(1, 7), engine="onnxruntime")
    assert [part.name for part in found.report.parts][:3] == ["temperature", "sets", "valence"]
    assert not found.report.parts[0].changed and found.report.parts[2].changed


@pytest.mark.needs("torch", "onnx")
def test_a_model_without_a_graph_gets_its_ratings_too(
    rated_model: Path, ratings: Path, tmp_path: Path
) -> None:
    card, weights, heads = read_model(rated_model)
    bare = tmp_path / "bare"
    write_model(bare, card, weights, "For tests.\n", dtype="float32", for_others={}, heads=heads)
    found = calibrate(str(bare), ratings, tmp_path / "mine", scale=(1, 7))
    assert found.report.parts[0].changed
    assert not (tmp_path / "mine" / GRAPH).exists() and (tmp_path / "mine" / HEADS).exists()


@pytest.mark.needs("torch", "onnx")
def test_a_graph_of_another_making_is_refused(rated_model: Path, ratings: Path, tmp_path: Path) -> None:
    import onnx

    from affectlens.adaptation.calibrate import changed_graph

    graph = onnx.load_from_string((rated_model / GRAPH).read_bytes())
    for weight in graph.graph.initializer:
        weight.name = weight.name.replace("rating_weights", "other")
    head = RatingHead.from_tensors(read_heads(rated_model))
    with pytest.raises(SettingsError, match="rating_weights"):
        changed_graph(graph.SerializeToString(), head)


@pytest.mark.needs("torch", "onnx")
def test_ratings_off_their_scale_and_scales_that_do_not_rise_are_errors(
    rated_model: Path, ratings: Path, photos: list[Path], tmp_path: Path
) -> None:
    card = load_card(rated_model)
    off = table(tmp_path / "off.csv", ["path", "valence"], [(photos[0], 3), (photos[1], 8)])
    with pytest.raises(BadRow, match=r"line 3: valence is '8', not a number from 1 to 7"):
        open_own_pictures(str(off), card, scale=(1, 7))
    with pytest.raises(SettingsError, match="must rise"):
        open_own_pictures(str(off), card, scale=(7, 1))
    plain = table(tmp_path / "plain.csv", ["path", "label"], [(photos[0], "awe"), (photos[1], "fear")])
    with pytest.raises(SettingsError, match=r"no ratings that .* predicts: leave out their scale"):
        open_own_pictures(f"csv:{plain}", card, scale=(1, 7))
    some = table(tmp_path / "some.csv", ["path", *NAMES], [(photos[0], 3, ""), (photos[1], 7, 1)])
    own = open_own_pictures(f"csv:{some}", card, scale=(1, 7))
    np.testing.assert_allclose(own.ratings, np.array([[1 + 2 * 8 / 6, np.nan], [9, 1]]))
    assert own.has_ratings and not own.has_emotions


@pytest.mark.needs("torch", "onnx")
def test_without_onnx_ratings_of_a_graph_are_refused_before_any_work(
    rated_model: Path, ratings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from affectlens.adaptation import calibrate as job

    monkeypatch.setattr(job, "find_spec", lambda name: None)
    before = sorted(tmp_path.iterdir())
    seen: list[CalibrationProgress] = []
    with pytest.raises(MissingExtra, match="adapt"):
        calibrate(str(rated_model), ratings, tmp_path / "mine", scale=(1, 7), progress=seen.append)
    assert (sorted(tmp_path.iterdir()), seen) == (before, [])


def test_the_command_calibrates_emotions_where_the_base_alone_is_installed(
    graph_model: Path, labels: Callable[[float], Path], tmp_path: Path
) -> None:
    words = ("calibrate", graph_model, "--data", labels(4.5), "--out", tmp_path / "mine")
    ended = without_torch.run(without_torch.COMMAND, *words)
    assert ended.returncode == 0, ended.stderr
    assert "Temperature: fitted anew (temperature 1.5 to" in ended.stdout
    assert ended.stdout.endswith(f"Model: {tmp_path / 'mine'}\n")
    plain = json.loads((tmp_path / "mine" / "config.json").read_text(encoding="utf-8"))
    command = plain["affectlens"]["training"]["calibrated"]["command"]
    assert str(tmp_path) not in command and str(graph_model) not in command
    again = without_torch.run(without_torch.COMMAND, *words)
    assert again.returncode == 2 and "not overwritten" in again.stderr
    refused = without_torch.run(without_torch.COMMAND, *words[:3], labels(1.5), "--out", tmp_path / "other")
    assert refused.returncode == 2 and "nothing was written" in refused.stderr
    assert not (tmp_path / "other").exists()


def test_a_model_with_a_changed_card_is_refused(
    graph_model: Path, labels: Callable[[float], Path], tmp_path: Path
) -> None:
    import shutil

    from affectlens.errors import BadModelFolder

    folder = tmp_path / "spoilt"
    shutil.copytree(graph_model, folder)
    rewrite(folder, lambda ours: ours.update(temperature=2.0), keep_hash=True)
    with pytest.raises(BadModelFolder):
        calibrate(str(folder), labels(4.5), tmp_path / "mine")
    assert not (tmp_path / "mine").exists()
