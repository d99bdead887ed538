"""Files of the hub: what a machine without a network does."""

import time
from pathlib import Path

import pytest

from affectlens import hub


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
