import os
from pathlib import Path

import pytest

from affectlens.data import folder, splits, table
from affectlens.data.records import ALL, require_listed
from affectlens.errors import DatasetError, DatasetNotFound, OutputError, PictureDenied, UnknownName
from affectlens.images import read_pixels
from affectlens.inference.output.read import read_rows_file
from refusals import Refusals


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_a_folder_of_emotions_is_one_split_named_by_its_words(tmp_path: Path) -> None:
    source = folder.read(
        touch(tmp_path, "sad/1.jpg", "amuse/2.PNG", "amuse/deeper/1.webp", "awe/.hidden.jpg")
    )
    found = {record.key: record.target.top for record in source.split(ALL)}
    assert found == {"amuse/2.PNG": "amusement", "amuse/deeper/1.webp": "amusement", "sad/1.jpg": "sadness"}
    assert source.vocabulary.name == "mikels-8"
    assert source.notes == ()
    assert all(record.path == tmp_path / record.key for record in source.split(ALL))


def test_folders_of_splits_may_have_any_of_their_usual_names(tmp_path: Path) -> None:
    source = folder.read(touch(tmp_path, "Train/joy/1.jpg", "valid/fear/2.jpg", "testing/anger/3.jpg"))
    assert {name: [r.key for r in part] for name, part in source.splits.items()} == {
        "train": ["Train/joy/1.jpg"], "val": ["valid/fear/2.jpg"], "test": ["testing/anger/3.jpg"]
    }  # fmt: skip


def test_two_folders_for_one_split_are_an_error_and_none_is_lost(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="both hold the split val"):
        folder.read(touch(tmp_path, "train/joy/1.jpg", "val/joy/2.jpg", "valid/joy/3.jpg"))


def test_what_lies_next_to_the_emotions_is_left_out_with_a_note(tmp_path: Path) -> None:
    names = [
        "train/joy/1.jpg",
        "val/joy/2.jpg",
        "fear/3.jpg",
        "cover.jpg",
        "train/loose.png",
        "train/notes.txt",
    ]
    source = folder.read(touch(tmp_path, *names))
    assert len(source.split(ALL)) == 2
    notes = " ".join(source.notes)
    assert "folders next to the splits were not read: fear" in notes
    assert f"1 pictures in {tmp_path.name}" in notes
    assert "1 pictures in train" in notes


def test_a_folder_that_is_no_emotion_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"'aww' is not an emotion.*Did you mean 'awe'"):
        folder.read(touch(tmp_path, "aww/1.jpg", "fear/1.jpg", "amusement/1.jpg"))


def test_a_root_that_is_no_folder_or_holds_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFound, match="none"):
        folder.read(tmp_path / "none")
    with pytest.raises(DatasetError, match="one folder of pictures for each emotion"):
        folder.read(touch(tmp_path, "1.jpg"))


def test_names_from_all_over_the_world_are_keys_as_they_are(tmp_path: Path) -> None:
    name = "awe/\u5bcc\u58eb\u5c71 \u00e9t\u00e9, \U0001f5fb.jpg"
    assert [record.key for record in folder.read(touch(tmp_path, name)).split(ALL)] == [name]


# ------------------------------------------------------------------------------------ what cannot be listed


def test_a_folder_that_cannot_be_listed_is_a_record_that_cannot_be_read_and_the_rest_is_there(
    tmp_path: Path, refused: Refusals
) -> None:
    touch(tmp_path, "awe/1.jpg", "awe/deep/2.jpg", "awe/last/3.jpg", "fear/4.jpg")
    refused.add(tmp_path / "awe" / "deep")
    source = folder.read(tmp_path)
    assert [record.key for record in source.split(ALL)] == ["awe/1.jpg", "awe/deep", "awe/last/3.jpg",
                                                            "fear/4.jpg"]  # fmt: skip
    _, denied, *_ = source.split(ALL)
    assert denied.target.top == "awe"
    with pytest.raises(PictureDenied, match="cannot be listed"):
        read_pixels(denied.path)
    with pytest.raises(PictureDenied, match="cannot be listed"):
        require_listed(source)


def test_an_emotions_own_folder_may_be_the_one_that_cannot_be_listed(
    tmp_path: Path, refused: Refusals
) -> None:
    touch(tmp_path, "train/awe/1.jpg", "train/fear/2.jpg", "val/awe/3.jpg")
    refused.add(tmp_path / "train" / "fear")
    source = folder.read(tmp_path)
    assert [(r.key, r.target.top) for r in source.split("train")] == [
        ("train/awe/1.jpg", "awe"), ("train/fear", "fear")
    ]  # fmt: skip
    assert len(source.split("val")) == 1


@pytest.mark.parametrize("name", ["", "train"])
def test_without_the_folders_of_the_emotions_there_is_no_data_set(
    tmp_path: Path, refused: Refusals, name: str
) -> None:
    touch(tmp_path, "train/awe/1.jpg", "val/awe/2.jpg")
    refused.add(tmp_path / name)
    with pytest.raises(DatasetError, match=r"cannot be listed: Permission denied\. Change its rights"):
        folder.read(tmp_path)


# ---------------------------------------------------------------------------------------------------- links


def link(at: Path, target: str) -> None:
    at.symlink_to(target, target_is_directory=True)


@pytest.mark.parametrize(
    "target", ["..", "../..", "../../../..", "../fear", "../fear/deep", "../../val/fear"]
)
def test_a_link_out_of_an_emotions_folder_brings_no_other_emotions_pictures(
    tmp_path: Path, target: str
) -> None:
    names = ["train/awe/1.jpg", "train/fear/2.jpg", "train/fear/deep/3.jpg", "val/fear/4.jpg"]
    root = touch(tmp_path / "data", *names)
    link(root / "train" / "awe" / "loop", target)
    assert [record.key for record in folder.read(root).split(ALL)] == names


def test_links_to_pictures_elsewhere_and_within_the_emotion_give_each_picture_once(tmp_path: Path) -> None:
    root = touch(tmp_path / "data", "awe/1.jpg", "awe/deep/2.jpg", "fear/3.jpg", ".store/4.jpg")
    touch(tmp_path / "elsewhere", "5.jpg")
    link(root / "awe" / "again", "deep")
    link(root / "awe" / "elsewhere", str(tmp_path / "elsewhere"))
    link(root / "awe" / "stored", "../.store")
    found = [record.path for record in folder.read(root).split(ALL)]
    assert sorted(os.path.relpath(os.path.realpath(path), tmp_path) for path in found) == [
        "data/.store/4.jpg", "data/awe/1.jpg", "data/awe/deep/2.jpg", "data/fear/3.jpg", "elsewhere/5.jpg"
    ]  # fmt: skip


def test_emotions_may_be_links_and_their_loops_are_followed_no_more(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere", "wonder/1.jpg", "dread/2.jpg")
    link(tmp_path / "elsewhere" / "wonder" / "loop", "..")
    root = tmp_path / "data"
    root.mkdir()
    link(root / "awe", str(tmp_path / "elsewhere" / "wonder"))
    link(root / "fear", str(tmp_path / "elsewhere" / "dread"))
    assert [record.key for record in folder.read(root).split(ALL)] == ["awe/1.jpg", "fear/2.jpg"]


@pytest.mark.parametrize(
    ("out", "refused"),
    [(".", True), ("run", True), ("awe/run", True), ("../run", False), ("link/run", True)],
)
def test_nothing_is_written_where_it_would_be_read_as_an_emotion(
    out: str, refused: bool, tmp_path: Path
) -> None:
    root = touch(tmp_path / "data", "awe/1.jpg", "awe/2.jpg", "fear/3.jpg", "fear/4.jpg")
    if out.startswith("link"):
        (tmp_path / "link").symlink_to(root)
    source = splits.divide(folder.read(root), {"val": 0.4}, 0) if out == "run" else folder.read(root)
    target = tmp_path / out if out.startswith("link") else root / out
    if refused:
        with pytest.raises(OutputError, match="read as an emotion"):
            folder.require_apart(target, source)
    else:
        folder.require_apart(target, source)


def test_next_to_splits_and_tables_anything_is_written(tmp_path: Path) -> None:
    source = folder.read(touch(tmp_path, "train/awe/1.jpg", "val/fear/2.jpg"))
    folder.require_apart(tmp_path / "run", source)
    with pytest.raises(OutputError):
        folder.require_apart(tmp_path / "train" / "run", source)
    (tmp_path / "splits.tsv").write_text("path\tlabel\na.jpg\tawe\n")
    folder.require_apart(tmp_path / "run", table.read(tmp_path / "splits.tsv", name="fi"))


def test_a_folder_below_one_that_may_not_be_entered_is_not_reported_as_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "lstat", refuse)
    with pytest.raises(DatasetNotFound, match=r"may not be looked at\. Change the rights"):
        folder.read(tmp_path / "locked" / "data")
    with pytest.raises(DatasetError, match=r"may not be looked at\. Change the rights"):
        read_rows_file(tmp_path / "locked" / "rows.csv")
