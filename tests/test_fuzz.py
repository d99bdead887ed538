"""Damaged files of every kind: an error of ours, or an answer. `scripts/fuzz` tries more of them."""

import random
from pathlib import Path

import fuzzing

EACH = 60
SEED = 20261


def test_damaged_files_are_errors_of_ours(tmp_path: Path) -> None:
    (tmp_path / "read").mkdir()
    foreign = []
    for target in fuzzing.targets(tmp_path):
        rng = random.Random(f"{SEED} {target.name}")
        for number in range(EACH):
            error = fuzzing.error_of(target, fuzzing.damaged(target, rng), tmp_path / "read")
            if error is not None:
                foreign.append(f"{target.name}, number {number}: {type(error).__name__}: {error}")
    assert not foreign, "\n".join(foreign)


def test_an_error_that_is_not_ours_is_found(tmp_path: Path) -> None:
    def fail(file: Path) -> None:
        raise KeyError(file.read_bytes())

    (tmp_path / "read").mkdir()
    target = fuzzing.Target("bad", fuzzing.targets(tmp_path)[0].file, fail)
    assert isinstance(fuzzing.error_of(target, b"", tmp_path / "read"), KeyError)
