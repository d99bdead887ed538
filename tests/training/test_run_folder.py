"""Files of a run folder, as a kill may leave them."""

import math
from pathlib import Path

import pytest

from affectlens.files import GrowingFile
from affectlens.training.run_folder import RunData, RunRecord, cut_back, portable_command, read_rows


@pytest.mark.parametrize("tail", [b"", b'{"step": 3, "lo', b'{"step": 1, "note": "\xc3', b"\xff\xfe"])
def test_cutting_back_drops_later_lines_and_one_that_a_kill_cut_off(tail: bytes, tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    kept = b'{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 0.25}\n'
    file.write_bytes(kept + b'{"step": 3, "loss": 0.125}\n' + tail)
    cut_back(file, 2)
    assert file.read_bytes() == kept


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("vit --teachers /data/a.jsonl --teachers b.csv", "vit --teachers a.jsonl --teachers b.csv"),
        ("vit --data=fi:/data/fi --out=/runs/1 --cache=/tmp/c", "vit --data=fi:PATH --out=RUN --cache=CACHE"),
        ("vit --data fi:/data/fi --out /runs/1/ --resume", "vit --data fi:PATH --out RUN --resume"),
        ("vit --settings /home/ann/best.toml --seed 2", "vit --settings best.toml --seed 2"),
        ("vit --set weights=../w --set lr=1e-4", "vit --set weights=FOLDER --set lr=1e-4"),
        ("vit --set=weights=/w/vit.safetensors", "vit --set=weights=FOLDER"),
        ("vit --set weights=none", "vit --set weights=none"),
        ("vit --data pictures --address 10.0.0.1:6379", "vit --data PATH --address ADDRESS"),
        ("vit --name /runs --out", "vit --name /runs --out"),
    ],
)
def test_the_command_in_a_card_has_no_folder_of_this_machine(words: str, expected: str) -> None:
    assert portable_command(["train", *words.split()]) == f"affectlens train {expected}"


def test_scores_that_are_no_numbers_are_read_and_kept_when_a_log_is_cut_back(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    with GrowingFile(file) as log:
        for step in (1, 2):
            log.append({"step": step, "scores": {"negative_log_likelihood": float("nan")}})
    cut_back(file, 1)
    (row,) = read_rows(file)
    assert row["step"] == 1 and math.isnan(row["scores"]["negative_log_likelihood"])
    for line in (b"[1]", b"1", b'{"step": null}', b'{"step": "x"}', b"{}"):
        file.write_bytes(line + b"\n")
        cut_back(file, 9)
        assert file.read_bytes() == b""


def test_names_that_are_not_text_can_be_read_back(tmp_path: Path) -> None:
    notes = ("folders next to the splits were not read: caf\udce9, \U0001f5fb",)
    data = RunData(spec="folder", hashes={}, counts={}, notes=notes)
    command = "affectlens train plain --settings r\udce9.toml"
    record = RunRecord(name="plain", command=command, seed=0, data=data, machine={})
    record.write(tmp_path)
    read = RunRecord.read(tmp_path)
    assert read.data.notes == ("folders next to the splits were not read: caf\\udce9, \U0001f5fb",)
    assert read.command == "affectlens train plain --settings r\\udce9.toml"
