"""Training and prediction on two Ray nodes, real processes, with real kills: pictures of 32 pixels."""

import json
import logging
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from affectlens.cli.main import main
from affectlens.cluster.connection import Cluster
from affectlens.cluster.train import fit_on_ray
from affectlens.data import folder
from affectlens.emotions import MIKELS
from affectlens.errors import ClusterError, PictureDamaged
from affectlens.model_folder import Card
from affectlens.models import catalog
from affectlens.models.saved import load_model, save_model
from affectlens.preprocess import Preprocessing
from affectlens.training.finish import RunFinished
from affectlens.training.run import RunStarted, fit
from affectlens.training.run_folder import LAST, MODEL, STEPS, TrainingRequest
from affectlens.training.settings import Settings, override
from nodes import Nodes
from pictures import colour_set

pytestmark = pytest.mark.cluster

PICTURES = 240
# No dropout, which samples other numbers in each process.
TINY = override(
    Settings(network="test_efficientnet", weights="none", epochs=10, batch_size=7, num_workers=0),
    ["preprocessing.height=32", "preprocessing.width=32", "mixup=0.2",
     "checkpoint_every=3", "precision=float32", "lr=0.002"],
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return colour_set(tmp_path_factory.mktemp("data") / "colours", ("awe", "anger", "sadness"), each=12)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small untrained model for pictures of 32 pixels."""
    torch.manual_seed(0)
    network = catalog.build("test_efficientnet", len(MIKELS))
    with torch.no_grad():
        network.classifier.weight.mul_(100)  # type: ignore[operator, union-attr]
    small = Preprocessing(height=32, width=32)
    card = Card(name="small", network="test_efficientnet", vocabulary=MIKELS, preprocessing=small)
    out = tmp_path_factory.mktemp("models") / "small"
    save_model(out, network, card, "A model for tests.\n")
    return out


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise of 32 pixels; one file of them is not a picture."""
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(PICTURES):
        noise = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(noise).save(root / f"{number:04}.png")
    (root / "0100.png").write_bytes(b"no picture")
    return root


def status(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return ended.value.code if isinstance(ended.value.code, int) else 0


# ---------------------------------------------------------------------------------------------- training


def request(data: Path, out: Path, settings: Settings = TINY) -> TrainingRequest:
    return TrainingRequest(
        name="tiny", data="folder", source=folder.read(data), settings=settings, out=out, graph=False
    )


def losses(out: Path) -> dict[int, float]:
    return {row["step"]: row["loss"] for row in map(json.loads, (out / STEPS).read_text().splitlines())}


def test_a_run_whose_worker_is_killed_ends_as_one_process_that_was_not_disturbed(
    nodes: Nodes, data: Path, tmp_path: Path
) -> None:
    alone, together = tmp_path / "alone", tmp_path / "together"
    *_, expected = fit(request(data, alone))
    assert isinstance(expected, RunFinished)

    def is_time() -> bool:
        return (together / LAST).is_file() and (together / STEPS).read_bytes().count(b"\n") >= 8

    killer = threading.Thread(target=nodes.kill_one, args=("RayTrainWorker", is_time))
    killer.start()
    events = list(fit_on_ray(request(data, together), 2, Cluster(address=nodes.address)))
    killer.join()
    starts = [event.step for event in events if isinstance(event, RunStarted)]
    assert len(starts) == 2 and starts[0] == 0 < starts[1], "it was to be killed, and to go on where it was"
    assert losses(together) == pytest.approx(losses(alone), rel=1e-3)
    assert sorted(p.name for p in together.iterdir()) == sorted(p.name for p in alone.iterdir())
    ours, theirs = (load_model(out / MODEL).network.state_dict() for out in (together, alone))
    for name, weights in theirs.items():
        torch.testing.assert_close(ours[name], weights, rtol=0.02, atol=0.02, msg=name)


@pytest.mark.slow  # which errors are not tried again is tested without Ray, and errors of workers by searches
def test_what_cannot_be_trained_on_ends_the_run_by_its_name_and_is_not_tried_again(
    nodes: Nodes, tmp_path: Path
) -> None:
    damaged = colour_set(tmp_path / "damaged", ("awe", "anger"), each=8)
    for file in (damaged / "awe").iterdir():
        file.write_bytes(file.read_bytes()[:60])
    events = []
    with pytest.raises(PictureDamaged, match="awe"):
        for event in fit_on_ray(request(damaged, tmp_path / "run"), 2, Cluster(address=nodes.address)):
            events.append(event)  # noqa: PERF402
    assert len([event for event in events if isinstance(event, RunStarted)]) <= 1


@pytest.mark.slow  # Ray does not expect to lose that process: once, what ran after it in this one crashed
def test_a_part_of_ray_that_ends_in_training_is_an_error_of_ours(
    nodes: Nodes, data: Path, tmp_path: Path
) -> None:
    killer = threading.Thread(
        target=nodes.kill_one, args=("EventQueue", lambda: bool(nodes.workers("EventQueue")))
    )
    killer.start()
    with pytest.raises(ClusterError, match=r"Ray went away: .* Go on with --resume\."):
        list(fit_on_ray(request(data, tmp_path / "run"), 2, Cluster(address=nodes.address)))
    killer.join()


def test_more_workers_than_the_cluster_has_processors_are_refused(
    nodes: Nodes, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(ClusterError, match="Ray has 2 on 2 machines"):
        next(fit_on_ray(request(data, tmp_path / "run"), 3, Cluster(address=nodes.address)))


# -------------------------------------------------------------------------------------------- prediction


def test_every_picture_has_its_row_at_its_index_though_a_worker_is_killed(
    nodes: Nodes, model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, file = tmp_path / "plain.jsonl", tmp_path / "rows.jsonl"
    common = (photos, "gone.png", "--model", model, "--batch-size", 2, "--precision", "float32")
    assert status("predict", *common, "--out", plain) == 1
    killed_at: list[int] = []

    def is_time() -> bool:
        killed_at[:] = [file.read_bytes().count(b"\n") if file.exists() else 0]
        return killed_at[0] > 0

    killer = threading.Thread(target=nodes.kill_one, args=("PredictionWorker", is_time))
    killer.start()
    ended = status("predict", *common, "--out", file, "--workers", 2, "--address", nodes.address)
    killer.join()
    assert 0 < killed_at[0] < PICTURES, "it was to be killed in the middle"
    assert ended == 1
    assert file.read_bytes() == plain.read_bytes()
    errors = capsys.readouterr().err
    assert errors.count("241 pictures, 2 could not be read") == 2
    assert "gone.png" in errors and "0100.png" in errors


@pytest.mark.slow  # resuming is the same for any job, and is tested without Ray
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_job_that_was_cut_off_goes_on_to_the_file_of_one_that_was_not(
    nodes: Nodes, model: Path, photos: Path, tmp_path: Path, suffix: str
) -> None:
    plain, file = tmp_path / f"plain{suffix}", tmp_path / f"rows{suffix}"
    common = (photos, "--model", model, "--batch-size", 8, "--precision", "float32")
    assert status("predict", *common, "--out", plain) == 1
    if suffix == ".csv":
        lines = plain.read_bytes().splitlines(keepends=True)
        file.write_bytes(b"".join(lines[:90]) + lines[90][:20])
    else:
        pq.write_table(pq.read_table(plain).slice(0, 90), file)
    words = ("--out", file, "--resume", "--workers", 2, "--address", nodes.address)
    assert status("predict", *common, *words) == 1
    if suffix == ".csv":
        assert file.read_bytes() == plain.read_bytes()
    else:
        assert pq.read_table(file).equals(pq.read_table(plain))


def settings_of_ray_data() -> dict[str, Any]:
    """What predicting sets while it runs, of this process."""
    from ray.data import DataContext

    context = DataContext.get_current()
    return {
        "logged from": logging.getLogger("ray.data").level,
        "in order": context.execution_options.preserve_order,
        "bars": context.enable_progress_bars,
        "sizes": (context.target_min_block_size, context.target_max_block_size),
    }


def test_pictures_of_a_store_and_of_a_table_are_predicted_where_the_workers_are(
    nodes: Nodes, model: Path, photos: Path, tmp_path: Path
) -> None:
    names = sorted(photos.iterdir())[:40]
    table = tmp_path / "pictures.parquet"
    columns: dict[str, Any] = {"bytes": [name.read_bytes() for name in names], "path": list(map(str, names))}
    pq.write_table(pa.table(columns), table, row_group_size=7)
    common = ("--model", model, "--batch-size", 2, "--precision", "float32")
    plain, file = tmp_path / "plain.jsonl", tmp_path / "rows.jsonl"
    inputs = (table, f"file://{photos}/00[0-3]*.png")
    assert status("predict", *names, *names, *common, "--out", plain) == 0
    words = ("--column", "bytes", "--workers", 2, "--address", nodes.address)
    before = settings_of_ray_data()
    assert status("predict", *inputs, *common, "--out", file, *words) == 0
    assert settings_of_ray_data() == before
    rows, expected = ([json.loads(line) for line in f.read_text().splitlines()] for f in (file, plain))
    assert [row["image"] for row in rows[:40]] == [str(name) for name in names]
    assert [row["image"] for row in rows[40:]] == [f"file://{name}" for name in names]
    assert [row["emotions"] for row in rows] == [row["emotions"] for row in expected]


@pytest.mark.slow  # a run of its own, of which the other tests here have two
def test_the_setting_num_workers_is_another_thing_than_the_option(
    nodes: Nodes, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text(replace(TINY, epochs=1, num_workers=1).to_toml())
    words = ("train", "test_efficientnet", "--data", f"folder:{data}", "--out", tmp_path / "run")
    assert status(*words, "--settings", settings, "--workers", 2, "--address", nodes.address) == 0
    assert "Model:" in capsys.readouterr().out
    card = load_model(tmp_path / "run" / MODEL).card
    assert card.training["settings"]["num_workers"] == 1
