"""Files of a run folder, as a kill may leave them."""

from pathlib import Path

import pytest

from affectlens.training.run_folder import cut_back


@pytest.mark.parametrize("tail", [b"", b'{"step": 3, "lo', b'{"step": 1, "note": "\xc3', b"\xff\xfe"])
def test_cutting_back_drops_later_lines_and_one_that_a_kill_cut_off(tail: bytes, tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    kept = b'{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 0.25}\n'
    file.write_bytes(kept + b'{"step": 3, "loss": 0.125}\n' + tail)
    cut_back(file, 2)
    assert file.read_bytes() == kept
