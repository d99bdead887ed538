"""Files and folders written completely or not at all; words as parts of names."""

import io
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from affectlens.errors import OutputError
from affectlens.files import (
    GrowingFile,
    atomic_folder,
    atomic_write,
    bounded_lines,
    clear_leftovers,
    clear_leftovers_of,
    fitting,
    output_path,
    read_file,
    slug,
)
from affectlens.locks import locked_file

POSIX = pytest.mark.skipif(os.name == "nt", reason="signals, limits and modes of POSIX")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def in_another_process(code: str, *arguments: str) -> int:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], check=False, stderr=subprocess.PIPE
    ).returncode


def test_a_file_is_there_when_the_block_ends(tmp_path: Path) -> None:
    file = tmp_path / "new" / "folders" / "a.txt"
    with atomic_write(file, "w") as out:
        out.write("one\nzwei: \u00e4\n")
        assert not file.exists()
    assert file.read_bytes() == "one\nzwei: \u00e4\n".encode()
    assert names(file.parent) == ["a.txt"]


@POSIX
def test_a_file_that_is_replaced_keeps_its_rights(tmp_path: Path) -> None:
    file = tmp_path / "private"
    file.touch()
    file.chmod(0o600)
    with atomic_write(file) as out:
        assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
        out.write(b"x")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_killed_processes_left_is_cleared_and_nothing_else(tmp_path: Path) -> None:
    ours = [".a.png.0123abcd.part", ".b.json.0123abcd.part"]
    others = [".a.png.part", "a.png.0123abcd.part", ".a.png.0123abcd.parts"]
    for name in (*ours, *others):
        (tmp_path / name).touch()
    clear_leftovers(tmp_path, {".png"})
    assert names(tmp_path) == sorted([ours[1], *others])
    clear_leftovers_of(tmp_path / "b.json")
    assert names(tmp_path) == sorted(others)


def test_an_error_in_the_block_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), atomic_write(file) as out:
        out.write(b"new")
        raise ZeroDivisionError
    assert file.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


@POSIX
def test_a_file_has_the_rights_that_any_new_file_has(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    with atomic_write(tmp_path / "ours") as out:
        out.write(b"x")
    with atomic_folder(tmp_path / "folder"):
        pass
    (tmp_path / "plain folder").mkdir()
    assert stat.S_IMODE((tmp_path / "ours").stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("folder", "plain folder")]
    assert modes[0] == modes[1]


def test_a_folder_instead_of_a_file_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    with pytest.raises(OutputError, match="folder"), atomic_write(tmp_path / "results") as out:
        out.write(b"x")
    assert names(tmp_path) == ["results"]


def test_a_file_instead_of_a_folder_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("mine")
    with pytest.raises(OutputError, match="a file lies there"), atomic_folder(tmp_path / "model"):
        pass
    with pytest.raises(OutputError), atomic_folder(tmp_path / "model" / "inside"):
        pass
    assert (tmp_path / "model").read_text() == "mine"


@POSIX
def test_a_device_is_never_replaced_by_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="device"), atomic_write(tmp_path / "pipe") as out:
        out.write(b"x")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@POSIX
def test_of_a_link_the_file_that_it_points_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "a.txt")
    with atomic_write(tmp_path / "link", "w") as out:
        out.write("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "a.txt").read_text() == "new"


@POSIX
def test_a_killed_process_leaves_the_old_file_and_the_old_folder(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"old")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "b.bin").write_bytes(b"old")
    code = """
import os, signal, sys
from pathlib import Path
from affectlens.files import atomic_folder, atomic_write
with atomic_folder(Path(sys.argv[1], "folder")) as folder, atomic_write(Path(sys.argv[1], "a.bin")) as out:
    (folder / "b.bin").write_bytes(b"new")
    out.write(b"new" * 100_000)
    out.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert in_another_process(code, str(tmp_path)) == -signal.SIGKILL
    assert (tmp_path / "a.bin").read_bytes() == b"old"
    assert (tmp_path / "folder" / "b.bin").read_bytes() == b"old"
    left = [name for name in names(tmp_path) if name not in {"a.bin", "folder"}]
    assert len(left) == 2  # or the process was killed before it began
    assert all(name.startswith(".") and name.endswith(".part") for name in left)


@POSIX
def test_a_full_disk_is_an_output_error_and_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"old")
    code = """
import resource, signal, sys
from pathlib import Path
from affectlens.errors import OutputError
from affectlens.files import atomic_folder, atomic_write
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then a write beyond the limit fails as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
failed = 0
try:
    with atomic_write(Path(sys.argv[1], "a.bin")) as out:
        out.write(bytes(100_000))
except OutputError as error:
    failed += "a.bin cannot be written" in str(error)
try:
    with atomic_folder(Path(sys.argv[1], "folder")) as folder:
        (folder / "b.bin").write_bytes(bytes(100_000))
except OutputError as error:
    failed += "folder cannot be written" in str(error)
sys.exit(40 + failed)
"""
    assert in_another_process(code, str(tmp_path)) == 42
    assert (tmp_path / "a.bin").read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    for number in (1, 2):
        with atomic_folder(tmp_path / "model") as folder:
            (folder / f"{number}.txt").write_text("x")
    assert names(tmp_path) == ["model"]
    assert names(tmp_path / "model") == ["2.txt"]


def test_an_error_in_the_block_leaves_the_old_folder_and_nothing_else(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "model") as folder:
        (folder / "old.txt").write_text("x")
    with pytest.raises(ZeroDivisionError), atomic_folder(tmp_path / "model") as folder:
        (folder / "new.txt").write_text("x")
        raise ZeroDivisionError
    assert names(tmp_path) == ["model"]
    assert names(tmp_path / "model") == ["old.txt"]


def test_a_reader_never_meets_a_part_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    contents = {bytes([letter]) * 50_000 for letter in range(20)}
    for content in contents:
        with atomic_write(file) as out:
            for start in range(0, len(content), 10_000):
                out.write(content[start : start + 10_000])
                out.flush()
                assert not file.exists() or file.read_bytes() in contents
        assert file.read_bytes() == content


@pytest.mark.skipif(os.name == "nt", reason="names as long as POSIX has them")
@pytest.mark.parametrize("letter", ["n", "\u00e9", "\U0001f5fb", os.fsdecode(b"\xff")])
def test_files_and_folders_with_names_as_long_as_can_be_are_written(tmp_path: Path, letter: str) -> None:
    name = letter * (250 // len(os.fsencode(letter))) + ".txt"
    with atomic_write(tmp_path / name, "w") as file:
        leftover = next(tmp_path.glob(".*.part"))
        file.write("whole")
    with atomic_folder(tmp_path / f"{name}2") as folder, locked_file(tmp_path / name):
        (folder / "file").touch()
    assert (tmp_path / name).read_text() == "whole" and (tmp_path / f"{name}2" / "file").exists()
    leftover.touch()
    clear_leftovers_of(tmp_path / name)
    assert not leftover.exists()


def test_a_shortened_name_has_its_suffix_and_digits_of_the_whole() -> None:
    names = [f"{'n' * 300}{number}.jsonl" for number in range(100)]
    shortened = {fitting(name) for name in names}
    assert len(shortened) == 100
    assert all(len(name) == 255 and name.endswith(".jsonl") for name in shortened)


def test_a_slug_has_letters_digits_and_hyphens_alone() -> None:
    assert slug("anger or fear rather than Awe!") == "anger-or-fear-rather-than-awe"
    assert slug("../a/b.mp4") == "a-b-mp4"
    assert slug("...") == ""


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
def test_a_file_that_grows_is_no_pipe_which_would_be_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log.jsonl")
    with pytest.raises(OutputError, match="it is a pipe"):
        GrowingFile(tmp_path / "log.jsonl")


@POSIX
def test_what_may_never_end_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="a pipe or a device"):
        read_file(tmp_path / "pipe")
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match="1,099,511,627,776 bytes, more than"):
        read_file(tmp_path / "sparse")
    (tmp_path / "short").write_bytes(b"12345")
    assert read_file(tmp_path / "short", 5) == b"12345"


def test_a_line_without_an_end_is_an_error_after_the_lines_before_it() -> None:
    lines = bounded_lines(io.BytesIO(b"1\n22\n333333"), 4)
    assert [next(lines), next(lines)] == [b"1\n", b"22\n"]
    with pytest.raises(OSError, match="a line of more than 4"):
        next(lines)


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_an_output_has_a_name(path: str) -> None:
    with pytest.raises(OutputError, match="not a path that can be written"):
        output_path(path)
