import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from affectlens.attributes import LEVELS, brightness, colourfulness
from affectlens.data import emoset
from affectlens.data.catalog import open_data
from affectlens.data.records import digest
from affectlens.emotions import MIKELS
from affectlens.errors import DatasetError, DatasetNotFound
from affectlens.images import read_pixels
from emoset_tree import OBJECTS, SCENES, WORDS, annotation_of, emoset_tree

Rows = Literal["new", "old"]
RELEASES: tuple[Rows, Rows] = ("new", "old")
AWE = "awe_00000"  # a picture of the training split


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return emoset_tree(tmp_path / "EmoSet", each=2)


def annotate(root: Path, **values: Any) -> None:
    """Replace what is known of one picture."""
    annotation_of(root, AWE).write_text(json.dumps(values))


def attributes_of(root: Path) -> Any:
    return next(r for r in emoset.read(root).split("train") if AWE in r.key).attributes


def relist(root: Path, change: Callable[[list[Any]], Any]) -> None:
    """Change the training split's list."""
    file = root / "train.json"
    file.write_text(json.dumps(change(json.loads(file.read_text()))))


@pytest.mark.parametrize("rows", RELEASES)
def test_both_releases_have_the_same_pictures_and_emotions(tmp_path: Path, rows: Rows) -> None:
    source = emoset.read(emoset_tree(tmp_path, rows, each=2))
    assert source.vocabulary is MIKELS
    assert {split: len(part) for split, part in source.splits.items()} == {"train": 16, "val": 16, "test": 16}
    first = source.split("train")[2]
    assert (first.key, first.path) == ("image/awe/awe_00000.jpg", tmp_path / "image/awe/awe_00000.jpg")
    assert first.target == MIKELS.only("awe")


def test_both_releases_give_the_same_words_for_each_picture(tmp_path: Path) -> None:
    read = [emoset.read(emoset_tree(tmp_path / name, name)).split("train") for name in RELEASES]
    new, old = ({record.key: record.attributes for record in part} for part in read)
    assert new == old
    assert {name for words in new.values() for name in words} == {emoset_name(key) for key in WORDS}
    assert digest(read[0]) == digest(read[1])


def test_words_of_attributes_keep_the_order_of_the_list(root: Path) -> None:
    source = emoset.read(root)
    words = {attribute.name: attribute.words for attribute in source.attributes}
    assert words == {emoset_name(key): listed for key, listed in WORDS.items()}
    assert [attribute.name for attribute in source.attributes if attribute.several] == ["object"]


def emoset_name(key: str) -> str:
    return {"colorfulness": "colourfulness"}.get(key, key)


def test_without_a_list_the_words_are_those_of_the_annotations(tmp_path: Path) -> None:
    source = emoset.read(emoset_tree(tmp_path, "old", each=8))
    words = {attribute.name: attribute.words for attribute in source.attributes}
    assert words["scene"] == tuple(sorted(SCENES))
    assert words["brightness"] == words["colourfulness"] == LEVELS
    assert any("info.json has no words for scene, object" in note for note in source.notes)


def test_the_tree_annotates_what_its_pictures_show(root: Path) -> None:
    for record in emoset.read(root).split("train"):
        pixels = read_pixels(record.path)
        assert abs(float(record.attributes["brightness"][0]) - brightness(pixels)) < 0.07
        assert abs(float(record.attributes["colourfulness"][0]) - colourfulness(pixels)) < 0.11
        scene = SCENES[MIKELS.index(record.target.top)]
        assert record.attributes.get("scene", (scene,)) == (scene,)
    assert len({r.attributes["colourfulness"] for r in emoset.read(root).split("train")}) > 2


@pytest.mark.parametrize("missing", [-1, "-1", None, "", " ", [], [-1]])
def test_what_is_not_known_is_absent(root: Path, missing: Any) -> None:
    annotate(root, brightness=missing, scene=missing, object=missing, facial_expression="happy")
    assert attributes_of(root) == {"facial_expression": ("happy",)}


@pytest.mark.parametrize(
    ("number", "word"), [(0.3, "0.3"), (1, "1.0"), (0, "0.0"), (0.30000000000000004, "0.3"), ("0.7", "0.7")]
)
def test_a_level_is_known_however_its_number_is_written(root: Path, number: Any, word: str) -> None:
    annotate(root, brightness=number, colorfulness=number)
    assert attributes_of(root) == {"brightness": (word,), "colourfulness": (word,)}


def test_a_picture_has_several_objects_each_once(root: Path) -> None:
    annotate(root, object=[OBJECTS[3], " " + OBJECTS[1], OBJECTS[3]])
    assert attributes_of(root) == {"object": (OBJECTS[3], OBJECTS[1])}


def test_spaces_around_a_listed_word_do_not_count(root: Path) -> None:
    info = json.loads((root / "info.json").read_text())
    info["human_action"]["label2idx"]["boxing "] = info["human_action"]["label2idx"].pop("boxing")
    (root / "info.json").write_text(json.dumps(info))
    annotate(root, human_action="boxing ")
    assert attributes_of(root) == {"human_action": ("boxing",)}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"scene": "mountan"}, "'mountan' is none of the 8 words for 'scene'. Did you mean 'mountain'"),
        ({"object": ["Toy", "Tee"]}, "'Tee' is none of the 9 words for 'object'. Did you mean 'Tree'"),
        ({"brightness": 0.35}, "'0.35' is none of the 11 words for 'brightness'"),
        ({"colorfulness": 12}, "'12' is none of the 11 words for 'colorfulness'"),
        ({"scene": 3}, "3 is not a word for 'scene'"),
        ({"scene": ["beach", "street"]}, "several words for 'scene', beach, street"),
    ],
)
def test_a_wrong_annotation_is_an_error_that_names_its_file(
    root: Path, values: dict[str, Any], reason: str
) -> None:
    annotate(root, **values)
    with pytest.raises(DatasetError, match=reason) as caught:
        emoset.read(root)
    assert str(annotation_of(root, AWE)) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe\x00", b"[" * 100_000])
def test_a_damaged_annotation_is_an_error_that_names_its_file(root: Path, content: bytes) -> None:
    annotation_of(root, AWE).write_bytes(content)
    with pytest.raises(DatasetError, match=f"{AWE}.json"):
        emoset.read(root)


@pytest.mark.parametrize("what", ["image", "annotation"])
def test_a_row_whose_file_is_gone_is_an_error_that_names_both(root: Path, what: str) -> None:
    for number in range(2):
        next((root / what / "awe").glob(f"awe_{number:05}.*")).unlink()
    with pytest.raises(DatasetError, match=f"train.json, row 3: its {what} .*{AWE}.* Nor do 1 others"):
        emoset.read(root)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (["awe", "image/x.jpg", "annotation/x.json"], "its image .*x.jpg does not exist"),
        (["awe", "image/x.jpg"], "expected"),
        (["awe", 7, "image/x.jpg", "annotation/x.json"], "expected"),
        ("awe", "expected"),
        (["amusment", "x", "image/x.jpg", "annotation/x.json"], "Did you mean 'amusement'"),
    ],
)
def test_a_wrong_row_is_an_error_with_its_number(root: Path, row: Any, reason: str) -> None:
    relist(root, lambda rows: [rows[0], row])
    with pytest.raises(DatasetError, match=f"train.json, row 2: .*({reason})"):
        emoset.read(root)


def test_an_object_instead_of_a_list_is_an_error(root: Path) -> None:
    relist(root, lambda _: {"rows": []})
    with pytest.raises(DatasetError, match=r"train\.json is not as EmoSet-118K has it"):
        emoset.read(root)


@pytest.mark.parametrize("listed", [[], {"label2idx": ["beach"]}, {"label2idx": {}}, {"label2idx": {"": 0}}])
def test_words_that_are_not_listed_are_an_error_of_the_info_file(root: Path, listed: Any) -> None:
    info = json.loads((root / "info.json").read_text())
    (root / "info.json").write_text(json.dumps({**info, "scene": listed}))
    with pytest.raises(DatasetError, match=r"info.json: 'scene' does not list words"):
        emoset.read(root)


@pytest.mark.parametrize("gone", ["info.json", "*.json"])
def test_a_folder_that_is_not_an_emoset_is_an_error_with_where_to_get_it(root: Path, gone: str) -> None:
    for file in root.glob(gone):
        file.unlink()
    with pytest.raises(
        DatasetNotFound, match=r"info\.json does not exist\. Get it from https://vcc\.tech/EmoSet"
    ):
        emoset.read(root)


def test_lists_that_are_all_gone_are_an_error_that_names_the_first(root: Path) -> None:
    for split in ("train", "val", "test"):
        (root / f"{split}.json").unlink()
    with pytest.raises(DatasetNotFound, match=r"train\.json does not exist"):
        emoset.read(root)


def test_a_copy_with_one_list_is_read_with_a_note(root: Path) -> None:
    (root / "train.json").unlink()
    (root / "val.json").unlink()
    source = emoset.read(root)
    assert list(source.splits) == ["test"]
    assert "train has 0 of the 94,481 pictures that were published" in source.notes


def test_notes_list_what_contradicts_itself_and_what_is_known(root: Path) -> None:
    annotate(root, emotion="fear", brightness=0.5)
    relist(root, lambda rows: [*rows, rows[0]])
    notes = " ".join(emoset.read(root).notes)
    assert "1 pictures are in the lists more than once" in notes
    assert (
        "1 annotations name another emotion than the lists do, which were followed; "
        f"the first is of image/awe/{AWE}" in notes
    )
    assert "brightness 100%" in notes
    assert next(r for r in emoset.read(root).split("train") if AWE in r.key).target.top == "awe"


@pytest.mark.parametrize("spec", ["emoset:{}", "{}"])
def test_the_catalogue_knows_it_by_name_and_by_its_files(root: Path, spec: str) -> None:
    source = open_data(spec.format(root))
    assert source.name == "emoset"
    assert len(source.attributes) == 6
