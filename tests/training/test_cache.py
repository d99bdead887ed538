"""Decoded pictures on disk: what comes back, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from affectlens.data.records import Record
from affectlens.emotions import MIKELS
from affectlens.errors import DatasetError, OutputError, PictureEmpty
from affectlens.images import read_pixels
from affectlens.training import cache
from affectlens.training.cache import PixelCache, shrink

SIZES = [(40, 60), (600, 90), (32, 32), (10, 7), (400, 500)]  # height, width
SIDE = 32


@pytest.fixture
def records(tmp_path: Path) -> list[Record]:
    rng = np.random.default_rng(0)
    made = []
    for number, (height, width) in enumerate(SIZES):
        path = tmp_path / "pictures" / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)
        made.append(Record(path.name, path, MIKELS.only("awe")))
    return made


@pytest.fixture
def folder(tmp_path: Path, records: list[Record]) -> Path:
    assert list(cache.build(tmp_path / "cache", records, SIDE)) == [1, 2, 3, 4, 5]
    return tmp_path / "cache"


def test_a_cached_picture_is_the_file_read_and_shrunk(folder: Path, records: list[Record]) -> None:
    opened = PixelCache.open(folder)
    assert opened.side == SIDE
    for record in reversed(records):
        expected = shrink(read_pixels(record.path, at_least=SIDE), SIDE)
        assert np.array_equal(opened(record), expected)


@pytest.mark.parametrize(
    ("size", "made"), list(zip(SIZES, [(32, 48), (213, 32), (32, 32), (10, 7), (32, 40)], strict=True))
)
def test_the_shorter_side_is_shrunk_and_a_small_picture_stays(
    size: tuple[int, int], made: tuple[int, int]
) -> None:
    pixels = np.zeros((*size, 3), dtype=np.uint8)
    assert shrink(pixels, SIDE).shape == (*made, 3)


def test_a_strip_keeps_at_least_one_pixel() -> None:
    assert shrink(np.zeros((100, 40_000, 3), dtype=np.uint8), 1).shape == (1, 400, 3)


def test_pixels_may_be_changed_without_changing_the_cache(folder: Path, records: list[Record]) -> None:
    opened = PixelCache.open(folder)
    before = opened(records[0]).copy()
    opened(records[0])[:] = 0
    assert np.array_equal(opened(records[0]), before)


def test_a_cache_knows_what_it_covers(folder: Path, records: list[Record]) -> None:
    opened = PixelCache.open(folder)
    stranger = replace(records[0], key="stranger.jpg")
    assert opened.covers(records)
    assert not opened.covers([*records, stranger])
    with pytest.raises(DatasetError, match=r"stranger\.jpg is not in it"):
        opened(stranger)


def test_a_picture_of_the_same_name_but_another_size_is_not_taken_for_the_cached_one(
    folder: Path, records: list[Record]
) -> None:
    records[0].path.write_bytes(records[1].path.read_bytes())
    opened = PixelCache.open(folder)
    assert opened.covers(records[1:]) and not opened.covers(records)


def test_a_cache_is_found_for_its_own_pictures_and_side_alone(folder: Path, records: list[Record]) -> None:
    assert PixelCache.find(folder, records[1:], SIDE)
    assert not PixelCache.find(folder, records, SIDE + 1)
    assert not PixelCache.find(folder, [replace(records[0], key="stranger.jpg")], SIDE)
    assert not PixelCache.find(folder / "none", records, SIDE)


def test_of_two_who_build_one_cache_at_once_the_first_stays_for_those_who_read_it(
    tmp_path: Path, records: list[Record]
) -> None:
    first, second = (cache.build(tmp_path / "cache", records, SIDE) for _ in range(2))
    next(first), next(second)
    assert list(first) == [2, 3, 4, 5]
    made = (tmp_path / "cache" / "pixels.bin").stat().st_ino
    assert list(second) == [2, 3, 4, 5]
    assert (tmp_path / "cache" / "pixels.bin").stat().st_ino == made
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "pictures"]


def test_a_cache_that_appears_while_another_is_renamed_to_it_is_not_an_error(
    tmp_path: Path, records: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    rival = cache.build(tmp_path / "cache", records, SIDE)
    before = Path.replace

    def replace_after_the_rival(self: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "replace", before)
        list(rival)
        return before(self, target)

    building = cache.build(tmp_path / "cache", records, SIDE)
    next(building)
    monkeypatch.setattr(Path, "replace", replace_after_the_rival)
    assert list(building) == [2, 3, 4, 5]
    assert PixelCache.open(tmp_path / "cache").covers(records)


def test_a_truncated_cache_is_refused(folder: Path) -> None:
    pixels = folder / "pixels.bin"
    pixels.write_bytes(pixels.read_bytes()[:-1])
    with pytest.raises(DatasetError, match=r"pixels\.bin has [\d,]+ bytes, not"):
        PixelCache.open(folder)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version": 99}, "version 99"),
        ({"side": None}, "damaged"),
        ({"positions": []}, "damaged"),
        ({"positions": {"0.jpg": [0, 1]}}, "damaged"),
        ({"positions": {"0.jpg": [0, 10_000, 10_000]}}, "points outside"),
        ({"positions": {"0.jpg": [-3, 1, 1]}}, "points outside"),
    ],
)
def test_an_index_that_does_not_fit_is_refused(folder: Path, change: dict[str, object], reason: str) -> None:
    index = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps({**index, **change}))
    with pytest.raises(DatasetError, match=reason):
        PixelCache.open(folder)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_an_index_that_is_no_index_is_refused(folder: Path, content: bytes) -> None:
    (folder / "index.json").write_bytes(content)
    with pytest.raises(DatasetError, match="Delete it to make it again"):
        PixelCache.open(folder)


def test_a_folder_that_is_not_there_is_no_cache(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="none"):
        PixelCache.open(tmp_path / "none")


def test_a_build_that_is_interrupted_leaves_nothing(tmp_path: Path, records: list[Record]) -> None:
    building = cache.build(tmp_path / "cache", records, SIDE)
    assert next(building) == 1
    building.close()  # type: ignore[attr-defined]
    assert [path.name for path in tmp_path.iterdir()] == ["pictures"]


def test_an_unreadable_picture_ends_the_build_and_keeps_the_old_cache(
    tmp_path: Path, folder: Path, records: list[Record]
) -> None:
    records[2].path.write_bytes(b"")
    with pytest.raises(PictureEmpty, match=r"2\.jpg"):
        list(cache.build(folder, records, SIDE))
    assert PixelCache.open(folder).covers(records[:2] + records[3:])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "pictures"]


def test_a_folder_that_cannot_be_written_is_an_output_error(tmp_path: Path, records: list[Record]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        list(cache.build(tmp_path / "file" / "cache", records, SIDE))
