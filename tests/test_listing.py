"""Folders and patterns: what is listed, in which order, and that nothing ends a listing."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from affectlens.errors import PictureDenied, PictureError, PictureNotFound
from affectlens.listing import list_pictures, match_files

DEEP = 1_200  # folders in one another: more than Python's calls may be


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def matched(folder: Path, pattern: str) -> list[str]:
    return [os.path.relpath(str(found), folder) for found in match_files(f"{folder}/{pattern}")]


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of folders that may not be listed, even by root."""
    names: set[str] = set()
    scandir = os.scandir

    def refusing(path: Any = ".") -> Any:
        if Path(path).name in names:
            raise PermissionError(errno.EACCES, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    return names


# ------------------------------------------------------------------------------------------------- folders


def test_pictures_are_listed_by_name_without_hidden_ones(tmp_path: Path) -> None:
    listed = ["B.JPG", "a/2.png", "a/b/1.webp", "a.jpg", "z.Tiff"]
    make(tmp_path, *listed, ".hidden.jpg", ".git/a.jpg", "a/notes.txt", "README")
    (tmp_path / "folder.jpg").mkdir()
    assert list(list_pictures(tmp_path)) == [tmp_path / name for name in listed]
    assert list(list_pictures(str(tmp_path / "folder.jpg"))) == []


def test_pictures_of_kinds_that_may_be_unreadable_here_are_listed_too(tmp_path: Path) -> None:
    listed = ["a.heic", "b.HIF", "c.dng", "d.CR3", "e.nef", "f.jxl"]
    make(tmp_path, *listed)
    assert list(list_pictures(tmp_path)) == [tmp_path / name for name in listed]


@pytest.mark.parametrize(
    "suffix",
    [".gpr", ".dcr", ".fff", ".mdc", ".cap", ".ptx", ".bay", ".rwz", ".cs1", ".dib", ".jfi", ".jif", ".jpc"],
)
def test_rare_suffixes_of_pictures_are_listed_too(tmp_path: Path, suffix: str) -> None:
    make(tmp_path, f"a{suffix}", f"b{suffix.upper()}")
    assert list(list_pictures(tmp_path)) == [tmp_path / f"a{suffix}", tmp_path / f"b{suffix.upper()}"]


def test_links_are_followed_once_and_broken_ones_reported(tmp_path: Path) -> None:
    make(tmp_path, "pictures/a.jpg")
    (tmp_path / "pictures" / "again").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "pictures" / "self").symlink_to(tmp_path / "pictures" / "self")
    (tmp_path / "pictures" / "gone.jpg").symlink_to(tmp_path / "nothing.jpg")
    (tmp_path / "second").symlink_to(tmp_path / "pictures", target_is_directory=True)
    assert [Path(str(path)).name for path in list_pictures(tmp_path)] == ["a.jpg", "gone.jpg"]
    (tmp_path / "outer").mkdir()
    (tmp_path / "outer" / "link").symlink_to(tmp_path / "pictures", target_is_directory=True)
    assert tmp_path / "outer" / "link" / "a.jpg" in list(list_pictures(tmp_path / "outer"))


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        ("missing", PictureNotFound, "nothing can be found"),
        ("a.jpg", PictureNotFound, "this is a file"),
        ("n" * 300, PictureNotFound, "too long"),
        ("nul\0", PictureNotFound, "null"),
    ],
)
def test_what_is_not_a_folder_is_an_error(
    tmp_path: Path, name: str, kind: type[PictureError], reason: str
) -> None:
    make(tmp_path, "a.jpg")
    (error,) = list_pictures(f"{tmp_path}/{name}")
    assert isinstance(error, kind)
    assert reason in str(error)


def test_a_folder_that_cannot_be_listed_is_an_error_and_what_follows_is_listed(
    tmp_path: Path, refused: set[str]
) -> None:
    make(tmp_path, "a.jpg", "b/1.jpg", "b/2.jpg", "c/3.jpg", "d.jpg")
    refused.add("b")
    first, error, *others = list_pictures(tmp_path)
    assert isinstance(error, PictureDenied) and error.path == str(tmp_path / "b")
    assert [first, *others] == [tmp_path / name for name in ("a.jpg", "c/3.jpg", "d.jpg")]
    refused.add(tmp_path.name)
    (error,) = list_pictures(tmp_path)
    assert isinstance(error, PictureDenied) and "cannot be listed" in str(error)


def test_an_entry_that_cannot_be_looked_at_costs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a link into a folder that may not be entered."""

    class Locked:
        name = path = "b.jpg"

        def is_dir(self) -> bool:
            raise PermissionError(errno.EACCES, "Permission denied")

    class LockedFolder(Locked):
        name = path = "c"

    make(tmp_path, "a.jpg", "d.jpg")
    scandir = os.scandir

    class Scanned:
        def __init__(self, path: str) -> None:
            with scandir(path) as entries:
                self.entries = [*entries, Locked(), LockedFolder()]

        def __enter__(self) -> Iterator[Any]:
            return iter(self.entries)

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(os, "scandir", Scanned)
    a, b, c, d = list_pictures(tmp_path)
    assert (a, b, d) == tuple(tmp_path / name for name in ("a.jpg", "b.jpg", "d.jpg"))
    assert isinstance(c, PictureDenied) and c.path == str(tmp_path / "c")


# ------------------------------------------------------------------------------------------------- patterns


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jpg", ["a.jpg", "b[1].jpg"]),
        ("**/*.jpg", ["a.jpg", "b[1].jpg", "c/d/e.jpg", "c/f.jpg"]),
        ("**", ["a.jpg", "b[1].jpg", "c/d/e.jpg", "c/f.jpg", "c/g.txt"]),
        ("**/d/*", ["c/d/e.jpg"]),
        ("*/*/e.jpg", ["c/d/e.jpg"]),
        ("c/?.*", ["c/f.jpg", "c/g.txt"]),
        ("c/[a-f].jpg", ["c/f.jpg"]),
        ("c/[!a-f].*", ["c/g.txt"]),
        (".*", [".hidden.jpg"]),
        ("**/**/f.jpg", ["c/f.jpg"]),
        ("x[2]/*.jpg", ["x[2]/h.jpg"]),
    ],
)
def test_a_pattern_is_the_files_that_match(tmp_path: Path, pattern: str, expected: list[str]) -> None:
    make(tmp_path, "a.jpg", "b[1].jpg", "c/d/e.jpg", "c/f.jpg", "c/g.txt", ".hidden.jpg", ".git/i.jpg")
    if pattern.startswith("x"):
        make(tmp_path, "x[2]/h.jpg", "x2/not.jpg")
    assert matched(tmp_path, pattern) == expected


def test_a_pattern_is_written_as_it_was_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a.jpg", "b/c.jpg")
    monkeypatch.chdir(tmp_path)
    assert list(match_files("./*.jpg")) == ["./a.jpg"]
    assert list(match_files("**/*.jpg")) == ["a.jpg", "b/c.jpg"]


def test_links_in_a_circle_give_each_picture_once(tmp_path: Path) -> None:
    make(tmp_path, "a/b.jpg", "a/c/d.jpg")
    for number in range(4):
        (tmp_path / "a" / f"up{number}").symlink_to(tmp_path, target_is_directory=True)
        (tmp_path / "a" / "c" / f"here{number}").symlink_to(tmp_path / "a", target_is_directory=True)
    assert matched(tmp_path, "**/*.jpg") == ["a/b.jpg", "a/c/d.jpg"]


def test_of_nothing_that_matches_there_is_one_error(tmp_path: Path) -> None:
    (error,) = match_files(f"{tmp_path}/none/**/*.jpg")
    assert isinstance(error, PictureNotFound) and error.path == f"{tmp_path}/none/**/*.jpg"


def test_a_folder_that_cannot_be_listed_is_an_error_among_the_matches(
    tmp_path: Path, refused: set[str]
) -> None:
    make(tmp_path, "a.jpg", "b/1.jpg", "c/2.jpg")
    refused.add("b")
    a, b, c = match_files(f"{tmp_path}/**/*.jpg")
    assert (a, c) == (f"{tmp_path}/a.jpg", f"{tmp_path}/c/2.jpg")
    assert isinstance(b, PictureDenied) and b.path == f"{tmp_path}/b"


def test_what_may_not_be_looked_at_is_an_error_and_not_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a/1.jpg", "b/1.jpg", "c/2.jpg")
    lstat = os.lstat

    def refusing(path: Any, **options: Any) -> os.stat_result:
        if Path(path).parent.name == "b":  # a folder that may be listed, and whose files may not be looked at
            raise PermissionError(errno.EACCES, "Permission denied")
        return lstat(path, **options)

    monkeypatch.setattr(os, "lstat", refusing)
    a, b = match_files(f"{tmp_path}/*/1.jpg")
    assert a == f"{tmp_path}/a/1.jpg"
    assert isinstance(b, PictureDenied) and b.path == f"{tmp_path}/b/1.jpg"


@pytest.mark.skipif(os.name == "nt", reason="paths as long as POSIX has them")
def test_folders_may_be_as_deep_as_the_system_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(DEEP):
        Path("d/" * (number + 1)).mkdir()
    picture = Path("d/" * DEEP, "a.jpg")
    picture.touch()
    found = list(match_files("**/*.jpg")), list(list_pictures("d"))
    picture.unlink()
    for number in reversed(range(DEEP)):  # pytest could not remove them
        Path("d/" * (number + 1)).rmdir()
    assert found == ([str(picture)], [picture])


@pytest.mark.parametrize("pattern", [False, True])
def test_what_was_listed_before_a_disk_failed_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: bool
) -> None:
    for name in ("b.jpg", "a.jpg", "c.jpg"):
        (tmp_path / name).touch()
    scandir = os.scandir

    @contextmanager
    def failing(folder: str) -> Iterator[Iterator["os.DirEntry[str]"]]:
        def entries(scanned: Iterator["os.DirEntry[str]"]) -> Iterator["os.DirEntry[str]"]:
            yield from islice(scanned, 2)
            raise OSError(errno.EIO, "Input/output error")

        with scandir(folder) as scanned:
            yield entries(scanned)

    monkeypatch.setattr("affectlens.listing.os.scandir", failing)
    found = list(match_files(f"{tmp_path}/*.jpg") if pattern else list_pictures(tmp_path))
    errors = [each for each in found if isinstance(each, PictureError)]
    assert len(found) == 3 and len(errors) == 1
    assert errors[0].path == str(tmp_path) and "to its end (Input/output error)" in errors[0].reason
