"""One process alone writes an output, and the second learns which one that is."""

import errno
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from affectlens import locks
from affectlens.errors import OutputError, OutputInUse
from affectlens.locks import locked_file, locked_folder, require_same_folder
from lock_holder import command, holder


def test_a_second_process_is_refused_and_the_first_is_named(tmp_path: Path) -> None:
    with holder("locked_file", tmp_path / "a.jsonl") as process:
        with (
            pytest.raises(OutputInUse, match=f"process {process.pid} on ") as refused,
            locked_file(tmp_path / "a.jsonl"),
        ):
            pass
        assert "a.jsonl is being written by another process" in str(refused.value)
        with locked_file(tmp_path / "b.jsonl"):
            pass


def test_a_link_and_the_file_that_it_points_to_are_one_output(tmp_path: Path) -> None:
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "a.jsonl")
    with (
        holder("locked_file", tmp_path / "a.jsonl"),
        pytest.raises(OutputInUse),
        locked_file(tmp_path / "link.jsonl"),
    ):
        pass


def test_a_killed_process_blocks_no_other(tmp_path: Path) -> None:
    with holder("locked_folder", tmp_path / "run") as process:
        process.kill()
        process.wait()
        assert (tmp_path / "run" / ".lock").is_file()
        with locked_folder(tmp_path / "run"):
            pass
    assert not (tmp_path / "run" / ".lock").exists()


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_process_that_sleeps_still_has_its_lock(tmp_path: Path) -> None:
    with holder("locked_folder", tmp_path / "run") as process:
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(OutputInUse), locked_folder(tmp_path / "run"):
            pass


def test_nothing_of_a_lock_is_left_and_no_folder_that_was_not_used(tmp_path: Path) -> None:
    with locked_folder(tmp_path / "used"):
        (tmp_path / "used" / "file").touch()
    with locked_folder(tmp_path / "unused"), locked_file(tmp_path / "a.csv"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["used"]
    assert [path.name for path in (tmp_path / "used").iterdir()] == ["file"]


def test_one_process_may_lock_twice_and_keeps_the_lock_until_both_have_ended(tmp_path: Path) -> None:
    other = command("locked_file", tmp_path / "a.csv")
    with locked_file(tmp_path / "a.csv"):
        with locked_file(tmp_path / "a.csv"):
            pass
        refused = subprocess.run(other, capture_output=True, text=True, check=False)
        assert "OutputInUse" in refused.stderr


@pytest.mark.skipif(os.name == "nt", reason="there no folder with an open file is removed")
def test_a_folder_that_was_removed_or_replaced_under_its_lock_is_known(tmp_path: Path) -> None:
    run = tmp_path / "run"
    require_same_folder(run)  # no lock, nothing known
    with locked_folder(run):
        require_same_folder(run)
        (run / ".lock").unlink()
        require_same_folder(run)
    with locked_folder(run):
        run.rename(tmp_path / "moved")
        with pytest.raises(OutputError, match="run was removed, renamed or replaced"):
            require_same_folder(run)
        # Another process begins there, and its lock outlives that of this one.
        with holder("locked_folder", run):
            with pytest.raises(OutputError, match="replaced"):
                require_same_folder(run)
            locks._release(os.dup(locks._held[str(run / ".lock")].descriptor), run / ".lock")
            assert (run / ".lock").is_file()


@pytest.mark.skipif(os.name == "nt", reason="locks of POSIX")
def test_on_a_full_disk_an_output_is_locked_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with locked_file(tmp_path / "a.csv"):
        assert (tmp_path / ".a.csv.lock").read_bytes() == b""
    assert not list(tmp_path.iterdir())


def test_where_nothing_can_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"), locked_folder(tmp_path / "file" / "run"):
        pass


@pytest.mark.skipif(os.name == "nt", reason="links and rights of POSIX")
@pytest.mark.parametrize("kind", ["link", "second name", "other content", "pipe"])
def test_what_has_the_name_of_a_lock_and_is_none_stays_as_it_is(tmp_path: Path, kind: str) -> None:
    victim, lock = tmp_path / "victim", tmp_path / ".a.jsonl.lock"
    victim.write_text("process of years" if kind != "other content" else "")
    victim.chmod(0o600)
    if kind == "link":
        lock.symlink_to(victim)
    elif kind == "second name":
        os.link(victim, lock)
    elif kind == "pipe":
        os.mkfifo(lock)
    else:
        lock.write_text("precious")
    with pytest.raises(OutputError, match=r"\.a\.jsonl\.lock.* Remove it"), locked_file(tmp_path / "a.jsonl"):
        pass
    assert victim.stat().st_mode & 0o777 == 0o600
    assert victim.read_text() == ("process of years" if kind != "other content" else "")
    assert kind != "other content" or lock.read_text() == "precious"


def test_a_lock_that_was_left_empty_or_by_a_killed_process_is_taken(tmp_path: Path) -> None:
    for left in ("", "process 17 on another, since 2026-01-01 00:00:00"):
        (tmp_path / ".a.jsonl.lock").write_text(left)
        with locked_file(tmp_path / "a.jsonl"):
            assert (tmp_path / ".a.jsonl.lock").read_text().startswith(f"process {os.getpid()} ")


@pytest.mark.parametrize("lock", [locked_file, locked_folder])
def test_folders_that_were_made_for_nothing_are_removed_and_others_stay(lock: Any, tmp_path: Path) -> None:
    with lock(tmp_path / "a" / "b" / "c"):
        assert (tmp_path / "a" / "b").is_dir()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a").mkdir()
    with lock(tmp_path / "a" / "b" / "c"):
        (tmp_path / "a" / "b" / "kept").touch()
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["kept"]
    with lock(tmp_path / "a" / "d" / "e"):
        pass
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


@pytest.mark.parametrize("lock", [locked_file, locked_folder])
def test_a_file_in_the_path_of_a_folder_is_named(lock: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    inner = tmp_path / "file" / "a" if lock is locked_file else tmp_path / "file"
    with pytest.raises(OutputError, match=r"file is a file\. Expected a folder"), lock(inner):
        pass


def test_a_folder_that_another_process_removes_meanwhile_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = locks._opened
    times: list[Path] = []

    def opening(file: Path, output: Path) -> int:
        if len(times) < 3:
            times.append(file)
            file.parent.rmdir()
        return opened(file, output)

    monkeypatch.setattr(locks, "_opened", opening)
    with locked_file(tmp_path / "new" / "a.jsonl"):
        assert (tmp_path / "new").is_dir()
    assert len(times) == 3
