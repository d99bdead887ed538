import shutil
from pathlib import Path

import pytest

from affectlens.data import fi
from affectlens.data.records import ALL


def write(root: Path, name: str, content: bytes) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(content)


def raw_copy(root: Path) -> Path:
    """Two pictures an emotion, a placeholder 12 times, a photo posted 3 times, 12 empty files."""
    for emotion in ("amusement", "fear"):
        for number in range(2):
            write(root, f"{emotion}/{number}.jpg", f"{emotion} {number}".encode())
        for number in range(6):
            write(root, f"{emotion}/gone{number}.jpg", b"this photo is no longer available")
            write(root, f"{emotion}/empty{number}.jpg", b"")
    for number in range(3):
        write(root, f"amusement/posted{number}.jpg", b"a photo that went round the world")  # of the same size
    return root


@pytest.mark.parametrize("inner", ["", "emotion_dataset"])
def test_of_a_raw_copy_only_the_placeholder_is_left_out_and_counted(tmp_path: Path, inner: str) -> None:
    raw_copy(tmp_path / inner)
    source = fi.read(tmp_path)
    keys = {record.key for record in source.split(ALL)}
    assert {f"amusement/posted{number}.jpg" for number in range(3)} <= keys
    assert {"fear/empty0.jpg", "amusement/0.jpg"} <= keys
    assert len(keys) == 4 + 3 + 12
    assert source.notes == ("12 copies of a placeholder picture were left out",)
    assert source.counts()[ALL]["amusement"] == 2 + 3 + 6


def test_placeholders_are_found_across_splits(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for number in range(5):
            write(tmp_path, f"{split}/awe/{number}.jpg", b"gone")
        write(tmp_path, f"{split}/awe/good.jpg", split.encode())
    source = fi.read(tmp_path)
    assert {name: len(part) for name, part in source.splits.items()} == {"train": 1, "val": 1}


def test_a_copy_without_placeholders_has_nothing_to_note(tmp_path: Path) -> None:
    write(tmp_path, "train/awe/1.jpg", b"1")
    write(tmp_path, "val/sad/2.jpg", b"2")
    source = fi.read(tmp_path)
    assert source.notes == ()
    assert source.split("val")[0].target.top == "sadness"


def test_a_link_to_nothing_is_a_record_that_its_reader_will_refuse(tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / "awe").mkdir(exist_ok=True)
        (tmp_path / "awe" / f"{number}.jpg").symlink_to(tmp_path / "gone.jpg")
    assert len(fi.read(tmp_path).split(ALL)) == 12


def test_a_list_of_splits_comes_before_folders(tmp_path: Path) -> None:
    write(tmp_path, "awe/1.jpg", b"")
    write(tmp_path, "awe/2.jpg", b"")
    (tmp_path / "splits.tsv").write_text("path\tlabel\tsplit\nawe/2.jpg\tawe\tval\n")
    source = fi.read(tmp_path)
    assert source.name == "fi"
    assert [record.key for record in source.split(ALL)] == ["awe/2.jpg"]


def test_the_real_data_set_is_listed_without_opening_a_picture(shared: Path, tmp_path: Path) -> None:
    # Of the pictures nothing is there but the list, and still all of it is read.
    shutil.copy(shared / "data" / "fi" / "splits.tsv", tmp_path)
    source = fi.read(tmp_path)
    counts = source.counts()
    assert {name: len(part) for name, part in source.splits.items()} == {"train": 15_170, "val": 2_272}
    assert source.vocabulary.name == "mikels-8"
    for part in counts.values():
        assert max(part, key=lambda word: part[word]) == "contentment"
        assert min(part, key=lambda word: part[word]) == "fear"
    assert not ({r.key for r in source.split("train")} & {r.key for r in source.split("val")})


def test_the_real_pictures_lie_where_the_list_has_them(shared: Path) -> None:
    records = fi.read(shared / "data" / "fi").split(ALL)
    assert all(record.path.is_file() for record in records[::500])
