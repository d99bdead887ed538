import errno
import io
import os
import threading
import time
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from affectlens.errors import PictureDenied, PictureError, PictureNotFound
from affectlens.inference.inputs import Input, bursts, count, name_of, paths_in, pictures
from affectlens.inference.stores import PictureBytes


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("b.jpg", "a.JPG", "notes.txt", "deep/c.png", "deep/er/d.webp", ".hidden.jpg"):
        file = tmp_path / "photos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    return tmp_path / "photos"


def expand(*words: str | Path, stdin: bytes = b"") -> list[Input]:
    return list(pictures(map(str, words), io.BytesIO(stdin)))


def below(folder: Path, *words: str | Path, stdin: bytes = b"") -> list[str]:
    return [os.path.relpath(name_of(given), folder) for given in expand(*words, stdin=stdin)]


def test_a_file_is_itself_whatever_its_suffix(photos: Path) -> None:
    assert below(photos, photos / "notes.txt") == ["notes.txt"]


def test_a_folder_is_its_pictures_and_those_below(photos: Path) -> None:
    assert below(photos, photos) == ["a.JPG", "b.jpg", "deep/c.png", "deep/er/d.webp"]


def test_a_pattern_is_the_files_that_match_in_a_fixed_order(photos: Path) -> None:
    assert below(photos, photos / "*.[jJ]*") == ["a.JPG", "b.jpg"]
    assert below(photos, f"{photos}/**/*.*p*") == ["b.jpg", "deep/c.png", "deep/er/d.webp"]


def test_folders_that_match_a_pattern_are_left_out(photos: Path) -> None:
    assert below(photos, photos / "*") == ["a.JPG", "b.jpg", "notes.txt"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(photos: Path) -> None:
    (photos / "a[1].jpg").write_bytes(b"x")
    assert below(photos, photos / "a[1].jpg") == ["a[1].jpg"]


def test_order_and_duplicates_stay_as_given(photos: Path) -> None:
    assert below(photos, photos / "b.jpg", photos / "a.JPG", photos / "b.jpg") == ["b.jpg", "a.JPG", "b.jpg"]


def test_paths_are_written_as_they_were_typed(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos)
    assert expand("./b.jpg") == ["./b.jpg"]


def test_a_path_that_is_not_there_is_passed_on_and_read_as_an_error_later(photos: Path) -> None:
    assert expand(photos / "gone.jpg") == [str(photos / "gone.jpg")]


@pytest.mark.parametrize("word", ["*.tiff", "empty"])
def test_a_path_without_pictures_is_an_error_at_its_position(photos: Path, word: str) -> None:
    (photos / "empty").mkdir()
    first, error, last = expand(photos / "b.jpg", photos / word, photos / "b.jpg")
    assert isinstance(error, PictureNotFound)
    assert name_of(error) == str(photos / word)
    assert first == last == str(photos / "b.jpg")


def test_a_folder_that_may_not_be_listed_is_an_error_and_the_rest_is_done(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def refusing(path: str) -> Any:
        if path.endswith("deep"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    a, b, denied, last = expand(photos, photos / "b.jpg")
    assert [str(a), str(b), last] == [str(photos / name) for name in ("a.JPG", "b.jpg", "b.jpg")]
    assert isinstance(denied, PictureDenied) and denied.path == str(photos / "deep")


def test_an_empty_path_is_an_error_and_not_the_working_folder(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos)
    (error,) = expand("")
    assert isinstance(error, PictureNotFound) and error.path == ""


def test_a_name_with_brackets_that_is_gone_is_not_another_picture(photos: Path) -> None:
    (photos / "img1.jpg").touch()
    assert expand(photos / "img[1].jpg") == [str(photos / "img[1].jpg")]


@pytest.mark.parametrize("path", ["n" * 300 + ".jpg", "a/" * 3000 + "b.jpg", "nul\0.jpg"])
def test_a_path_that_no_system_has_is_one_picture_that_cannot_be_read(path: str) -> None:
    assert expand(path) == [path]
    assert count([path]) == 1


@pytest.mark.parametrize(
    ("stdin", "expected"),
    [
        (b"a.jpg\nb c.jpg\n", ["a.jpg", "b c.jpg"]),
        (b"a.jpg\r\n\r\nb.jpg", ["a.jpg", "b.jpg"]),
        (b"a\nb.jpg\0c.jpg\0", ["a\nb.jpg", "c.jpg"]),
        (b"only.jpg", ["only.jpg"]),
        (b"\xef\xbb\xbfa.jpg\nb.jpg\n", ["a.jpg", "b.jpg"]),
        ("\ufeffa.jpg\r\n\u00e9.jpg\r\n".encode("utf-16-le"), ["a.jpg", "\u00e9.jpg"]),
        (b"BMW.jpg\nGIF89a.jpg\n", ["BMW.jpg", "GIF89a.jpg"]),
        (b"GIF89a.jpg\nb.jpg\n", ["GIF89a.jpg", "b.jpg"]),
        (b"P5 and P6.jpg\n", ["P5 and P6.jpg"]),
        (b"P4 2023 12 holiday.jpg\nb.jpg\n", ["P4 2023 12 holiday.jpg", "b.jpg"]),
        (b"P4 2023 12 holiday.jpg\0b.jpg\0", ["P4 2023 12 holiday.jpg", "b.jpg"]),
        (b"P4 2023 12 holiday.jpg", ["P4 2023 12 holiday.jpg"]),
        (b"P6 2023 12 24 caf\xe9.jpg\r\nb.jpg", [os.fsdecode(b"P6 2023 12 24 caf\xe9.jpg"), "b.jpg"]),
        (b"P1 2023 12 24.png\n", ["P1 2023 12 24.png"]),
        (b"P5 2023 12 24 beach\nb.jpg\n", ["P5 2023 12 24 beach", "b.jpg"]),
        (b"GIF89a.jpg\0b.jpg\0", ["GIF89a.jpg", "b.jpg"]),
        (b"RIFF2023WEBP.jpg\n", ["RIFF2023WEBP.jpg"]),
        (b"BM 12345678.jpg\0\0\0\0", ["BM 12345678.jpg"]),
        (b"caf\xe9.jpg\n", [os.fsdecode(b"caf\xe9.jpg")]),
        (b"", []),
    ],
)
def test_standard_input_is_split_at_lines_or_nul_bytes(stdin: bytes, expected: list[str]) -> None:
    assert expand("-", stdin=stdin) == expected


FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "AVIF", "TIFF", "BMP", "JPEG2000", "PPM"]


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("size", [(1, 1), (300, 200)])
def test_a_picture_on_standard_input_is_that_picture(format_: str, size: tuple[int, int]) -> None:
    file = io.BytesIO()
    Image.new("RGB", size, (200, 90, 10)).save(file, format_)
    assert expand("-", stdin=file.getvalue()) == [PictureBytes("-", file.getvalue())]


@pytest.mark.parametrize(
    "content",
    [
        b"P4\n8 2\nab",
        b"P4\n# made.jpg\n8 2\nab",
        b"P5\n3 1\n255\nabc",
        b"P6 2 1 255\nabcdef",
        b"P6 2 1 255 abcdef",
        b"P5 3 1 255 a\0c",
        b"P2\n3 1 255\n1 2 3\n",
        b"P1 3 1 1 0 1\n",
        b"P6\n100 200\n255\n" + b"d" * 60_000,
        b"GIF89a\x64\0\x64\0\x91\0\0.jpg",
    ],
)
def test_a_picture_whose_pixels_could_be_text_is_no_list(content: bytes) -> None:
    assert expand("-", stdin=content) == [PictureBytes("-", content)]


def test_standard_input_that_is_closed_or_cannot_be_read_is_an_error(photos: Path) -> None:
    closed = io.BytesIO()
    closed.close()

    class Broken(io.BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

    for stream in (None, closed, Broken()):
        first, error, last = pictures([str(photos / "b.jpg"), "-", "c.jpg"], stream)
        assert (first, last) == (str(photos / "b.jpg"), "c.jpg")
        assert isinstance(error, PictureError) and error.path == "-"


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
def test_a_pipe_that_others_do_not_wait_for_is_read_up_to_its_end() -> None:
    read, write = os.pipe()
    os.set_blocking(read, False)

    def send() -> None:
        for name in (b"one.jpg\n", b"two.jpg\n"):
            time.sleep(0.3)
            os.write(write, name)
        os.close(write)

    sender = threading.Thread(target=send)
    sender.start()
    with os.fdopen(read, "rb") as stream:
        assert list(pictures(["-"], stream)) == ["one.jpg", "two.jpg"]
    sender.join()


def test_a_name_without_an_end_is_an_error_and_not_held_in_memory() -> None:
    class Endless(io.BytesIO):
        taken = 0

        def read1(self, size: int | None = -1, /) -> bytes:
            self.taken += 65_536
            assert self.taken < 1 << 22
            return b"y" * 65_536

    error, last = pictures(["-", "last.jpg"], Endless())
    assert isinstance(error, PictureError) and "without a line end" in error.reason
    assert last == "last.jpg"


def test_what_comes_at_once_on_standard_input_is_a_part_of_its_own() -> None:
    class Slow(io.BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            return super().read1(14)

    parts = [list(part) for part in bursts(["x.jpg", "-", "y.jpg"], Slow(b"one.jpg\ntwo.jpg\nthree.jpg\n"))]
    assert [part for part in parts if part] == [["x.jpg"], ["one.jpg"], ["two.jpg", "three.jpg"], ["y.jpg"]]


def test_paths_on_standard_input_are_taken_as_they_are(photos: Path) -> None:
    assert expand("-", stdin=f"{photos}\n{photos}/*.jpg\n".encode()) == [str(photos), f"{photos}/*.jpg"]


def test_a_path_may_begin_in_one_read_and_end_in_the_next() -> None:
    class Slow(io.BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            return super().read1(3)

    assert list(paths_in(Slow(b"first.jpg\nsecond.jpg\nthird.jpg"))) == [
        "first.jpg",
        "second.jpg",
        "third.jpg",
    ]


def test_standard_input_is_read_only_as_far_as_needed() -> None:
    class Endless(io.RawIOBase):
        reads = 0

        def read1(self, size: int) -> bytes:
            self.reads += 1
            return b"again.jpg\n"

    stream = Endless()
    assert list(islice(pictures(["-"], stream), 3)) == ["again.jpg"] * 3  # type: ignore[arg-type]
    assert stream.reads == 3


def test_pictures_are_counted_where_that_is_cheap(photos: Path) -> None:
    assert count([str(photos), str(photos / "b.jpg"), str(photos / "gone.jpg")]) == 6
    assert count([str(photos), "-"]) is None
    assert count([str(photos)], seconds=-1) is None
