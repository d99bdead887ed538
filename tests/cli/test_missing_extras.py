"""What a command cannot do where the base alone is installed: one line before any work, and how to get it."""

from pathlib import Path

import pytest

import without_torch

REFUSED = {
    "train plain --data folder:photos --out out": "train",
    "train finetune --data folder:photos --out out": "adapt",
    "train finetune --data folder:photos --out out --depth last": "train",
    "tune plain --data folder:photos --out out": "train",
    "tune report photos": "train",
    "tune replay photos --data folder:photos --out out": "train",
    "models graph photos": "train",
    "models join default default --out out": "train",
    "explain filters photo.jpg --out out": "train",
    "explain parts folder:photos --out out.json": "train",
    "predict photo.jpg --engine torch": "train",
    "predict photo.jpg --engine openvino": "openvino",
    "predict photo.jpg --out out.parquet": "parquet",
    "predict photo.jpg table.parquet": "parquet",
    "predict photo.jpg s3://bucket/photos": "parquet",
    "predict photo.jpg --workers 2 --out out.csv": "cluster",
    "film film.mp4 --format html,parquet --out out": "parquet",
    "serve --port 0": "serve",
}


@pytest.mark.parametrize("command", REFUSED)
def test_a_command_that_needs_an_extra_names_it_in_one_line_and_does_nothing(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for name in ("photo.jpg", "table.parquet", "film.mp4"):
        (tmp_path / name).write_bytes(b"which is not read")
    before = sorted(tmp_path.iterdir())
    ended = without_torch.run(without_torch.COMMAND, *command.split())
    (line,) = ended.stderr.splitlines()
    assert line.startswith("Error: ") and ", which is not installed. " in line
    assert line.endswith(f'pip install "affectlens[{REFUSED[command]}]".')
    assert (ended.returncode, ended.stdout) == (2, "")
    assert sorted(tmp_path.iterdir()) == before


def test_trained_models_are_listed_and_what_would_list_networks_is_named() -> None:
    ended = without_torch.run(without_torch.COMMAND, "models")
    assert ended.returncode == 0, ended.stderr
    assert "default" in ended.stdout and 'pip install "affectlens[train]"' in ended.stdout
    assert "Networks, for" not in ended.stdout
