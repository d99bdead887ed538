from pathlib import Path

import pytest

from affectlens.data import folder
from affectlens.data.records import ALL
from affectlens.errors import DatasetError, DatasetNotFound, UnknownName


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
