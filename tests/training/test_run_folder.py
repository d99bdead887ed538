"""Files of a run folder, as a kill may leave them."""

import math
from pathlib import Path

import pytest

from affectlens.errors import RunError
from affectlens.files import GrowingFile
from affectlens.training.run_folder import RunData, RunRecord, cut_back, read_rows, require_no_run


@pytest.mark.parametrize("tail", [b"", b'{"step": 3, "lo', b'{"step": 1, "note": "\xc3', b"\xff\xfe"])
def test_cutting_back_drops_later_lines_and_one_that_a_kill_cut_off(tail: bytes, tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    kept = b'{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 0.25}\n'
    file.write_bytes(kept + b'{"step": 3, "loss": 0.125}\n' + tail)
    cut_back(file, 2)
    assert file.read_bytes() == kept


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


@pytest.mark.parametrize("name", ["splits.tsv", "vocabulary.toml", "steps.jsonl", "best.safetensors"])
def test_files_of_others_in_the_folder_of_a_new_run_are_not_replaced(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("of another")
    with pytest.raises(RunError, match=f"{name} is there already"):
        require_no_run(tmp_path)
    # But what a run left that was killed as it began, whose record comes first, is begun anew.
    data = RunData(spec="folder", hashes={}, counts={})
    RunRecord(name="plain", command="", seed=0, data=data, machine={}).write(tmp_path)
    require_no_run(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(RunError, match=r"run\.json cannot be read"):
        require_no_run(tmp_path)
