"""Files of the hub: what a machine without a network does."""

import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from affectlens import Predictor, hub, library
from affectlens.errors import ModelNotFound


def test_without_a_network_the_answer_comes_at_once_and_what_was_fetched_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    began = time.monotonic()
    with pytest.raises(OSError, match=r"hub|cache|local"):
        hub.fetch_file("owner/name", "model.safetensors")
    with pytest.raises(OSError, match=r"hub|cache|local"):
        hub.fetch_folder("owner/name", ["config.json"])
    assert time.monotonic() - began < 2 * hub.PATIENCE + 5
    assert capfd.readouterr().err == ""
    commit = "a" * 40
    folder = tmp_path / "models--owner--name"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(commit)
    snapshot = folder / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(b"weights")
    assert hub.fetch_file("owner/name", "model.safetensors").read_bytes() == b"weights"
    assert hub.fetch_folder("owner/name", ["model.safetensors"]) == snapshot
    (folder / "refs" / "v2").write_text("b" * 40)
    shutil.copytree(snapshot, folder / "snapshots" / ("b" * 40))
    assert hub.fetch_folder("owner/name@v2", ["model.safetensors"]).name == "b" * 40
    assert hub.fetch_folder(f"owner/name@{commit}", ["model.safetensors"]) == snapshot
    with pytest.raises(OSError, match=r"hub|cache|local"):
        hub.fetch_folder("owner/name@v3", ["model.safetensors"])


def test_a_model_of_the_hub_answers_as_its_folder_does_with_all_that_it_promises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    commit, folder = "c" * 40, tmp_path / "models--owner--name"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "v1").write_text(commit)
    shutil.copytree(library.find("default"), folder / "snapshots" / commit)
    picture = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    found, expected = Predictor.load("owner/name@v1"), Predictor.load()
    assert found(picture) == expected(picture)
    assert found.card.ratings == expected.card.ratings and found.card.weights_id == expected.card.weights_id
    with pytest.raises(ModelNotFound, match="owner/name is not on this machine"):
        Predictor.load("owner/name")


def test_every_file_of_a_model_folder_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    requested: list[str] = []

    def fetch(name: str, names: list[str]) -> Path:
        requested.extend(names)
        raise OSError

    monkeypatch.setattr(hub, "fetch_folder", fetch)
    with pytest.raises(ModelNotFound):
        library.find("owner/name")
    assert set(requested) >= {each.name for each in library.find("default").iterdir()}
