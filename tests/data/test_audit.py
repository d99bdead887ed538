import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from affectlens.data import folder
from affectlens.data.audit import Audit, audit
from affectlens.data.catalog import open_with_ratings
from affectlens.data.groups import SearchProgress
from affectlens.data.rated_table import RatingSummary
from affectlens.data.records import DataSource
from affectlens.emotions import MIKELS
from affectlens.errors import BadRow


def photo(seed: int, height: int = 120, width: int = 160) -> Image.Image:
    """Soft spots of light, different for each seed: something a hash can hold on to."""
    cells = np.random.default_rng(seed).integers(0, 256, (7, 7, 3), dtype=np.uint8)
    return Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC)


def save(picture: Image.Image, path: Path, quality: int = 95) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, quality=quality)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Ten different pictures: train has awe and fear, val awe."""
    for number in range(6):
        save(photo(number), tmp_path / "train" / "awe" / f"{number}.jpg")
    for number in range(6, 8):
        save(photo(number), tmp_path / "train" / "fear" / f"{number}.jpg")
    for number in range(8, 10):
        save(photo(number), tmp_path / "val" / "awe" / f"{number}.jpg")
    return tmp_path


def check(root: Path) -> Audit:
    return audit(folder.read(root))


def text(found: Audit) -> str:
    return "\n".join(found.lines())


def test_a_data_set_without_faults_is_sound(root: Path) -> None:
    found = check(root)
    assert found.sound
    assert (found.pictures, found.unreadable, found.duplicates, found.near_duplicates) == (10, (), (), ())
    assert found.counts["train"] == {**dict.fromkeys(MIKELS.words, 0), "awe": 6, "fear": 2}
    assert found.imbalance == 4.0
    assert set(found.absent) == set(MIKELS.words) - {"awe", "fear"}
    assert "Every picture can be read." in text(found)
    assert "10 pictures labelled with mikels-8: train 8, val 2." in text(found)


def test_pictures_that_cannot_be_read_are_listed_with_the_reason(root: Path) -> None:
    (root / "train" / "awe" / "empty.jpg").touch()
    (root / "train" / "fear" / "notes.png").write_text("no picture")
    complete = (root / "val" / "awe" / "8.jpg").read_bytes()
    (root / "val" / "awe" / "cut.jpg").write_bytes(complete[: len(complete) // 2])
    (root / "val" / "awe" / "gone.jpg").symlink_to(root / "nowhere.jpg")
    found = check(root)
    assert not found.sound
    reasons = {bad.key: bad.error for bad in found.unreadable}
    assert list(reasons) == [
        "train/awe/empty.jpg",
        "train/fear/notes.png",
        "val/awe/cut.jpg",
        "val/awe/gone.jpg",
    ]
    assert "zero bytes" in reasons["train/awe/empty.jpg"]
    assert "truncated" in reasons["val/awe/cut.jpg"]
    assert all(key in error for key, error in reasons.items())
    assert found.pictures == 14
    assert "4 pictures cannot be read:" in text(found)


def test_copies_are_found_within_and_across_splits_and_under_other_labels(root: Path) -> None:
    shutil.copy(root / "train" / "awe" / "0.jpg", root / "train" / "awe" / "again.jpg")
    shutil.copy(root / "train" / "awe" / "1.jpg", root / "train" / "fear" / "other.jpg")
    found = check(root)
    assert [(len(group.pictures), group.across_splits, group.conflicting) for group in found.duplicates] == [
        (2, False, False), (2, False, True)
    ]  # fmt: skip
    assert not found.sound, "one picture with two labels"
    shutil.copy(root / "train" / "awe" / "2.jpg", root / "val" / "awe" / "leak.jpg")
    found = check(root)
    leak = next(group for group in found.duplicates if group.across_splits)
    assert [(each.key, each.split, each.emotion) for each in leak.pictures] == [
        ("train/awe/2.jpg", "train", "awe"), ("val/awe/leak.jpg", "val", "awe")
    ]  # fmt: skip
    assert not found.sound
    assert found.near_duplicates == (), "what is the same to the byte is not listed again"
    assert "3 groups of files with the same bytes; 1 across splits, 1 with different labels:" in text(found)


@pytest.mark.parametrize("disguise", ["compressed", "scaled", "brighter", "as PNG", "mirrored", "cut"])
def test_a_copy_that_was_changed_is_a_near_duplicate(root: Path, disguise: str) -> None:
    original = Image.open(root / "train" / "awe" / "3.jpg")
    match disguise:
        case "compressed":
            save(original, root / "val" / "awe" / "copy.jpg", quality=30)
        case "scaled":
            save(original.resize((91, 77)), root / "val" / "awe" / "copy.jpg")
        case "brighter":
            save(ImageEnhance.Brightness(original).enhance(1.1), root / "val" / "awe" / "copy.jpg")
        case "mirrored":
            save(ImageOps.mirror(original), root / "val" / "awe" / "copy.jpg")
        case "cut":
            save(original.crop((20, 10, 150, 110)), root / "val" / "awe" / "copy.jpg")
        case _:
            save(original, root / "val" / "awe" / "copy.png")
    found = check(root)
    (pair,) = found.near_duplicates
    assert (pair.picture.key.partition(".")[0], pair.like.key) == ("val/awe/copy", "train/awe/3.jpg")
    assert pair.across_splits and not pair.conflicting
    assert pair.mirrored == (disguise == "mirrored")
    assert 0.93 <= pair.agreement <= 1
    assert found.sound, "what only looks alike is left to people"
    assert "train/awe/3.jpg (train, awe)" in text(found)


def test_near_duplicates_within_a_split_are_listed_after_those_across(root: Path) -> None:
    original = Image.open(root / "train" / "awe" / "3.jpg")
    save(original, root / "train" / "fear" / "copy.png")
    save(Image.open(root / "train" / "awe" / "4.jpg"), root / "val" / "awe" / "copy.png")
    found = check(root)
    assert {(pair.picture.key, pair.across_splits, pair.conflicting) for pair in found.near_duplicates} == {
        ("train/fear/copy.png", False, True),
        ("val/awe/copy.png", True, False),
    }
    assert "2 pairs of pictures that look alike; 1 across splits, 1 with different labels" in text(found)
    assert audit(folder.read(root), "off").near_duplicates == ()


def test_pictures_of_one_colour_are_not_taken_for_one_another(root: Path) -> None:
    save(Image.new("RGB", (50, 50), "white"), root / "train" / "awe" / "white.png")
    save(Image.new("RGB", (50, 50), "black"), root / "val" / "awe" / "black.png")
    assert check(root).near_duplicates == ()


def test_scenes_of_one_build_are_not_taken_for_one_another(root: Path) -> None:
    # A light in the middle: brighter and darker in the same parts, but not the same picture.
    across = np.concatenate([np.linspace(0, 1, 80), np.linspace(1, 0, 80)])
    flat, falling = np.ones(120), np.linspace(1, 0.3, 120) ** 2
    for split, rows in (("train", flat), ("val", falling)):
        grey = (rows[:, None] * across[None] * 255).astype(np.uint8)
        save(Image.fromarray(np.stack([grey] * 3, axis=2)), root / split / "awe" / "light.png")
    assert check(root).near_duplicates == ()


def test_the_smallest_and_the_largest_are_named_with_their_sizes(root: Path) -> None:
    save(photo(20, height=11, width=9), root / "train" / "awe" / "small.jpg")
    save(photo(21, height=300, width=700), root / "val" / "awe" / "large.jpg")
    found = check(root)
    assert found.smallest is not None
    assert found.largest is not None
    assert (found.smallest.key, found.smallest.height, found.smallest.width) == ("train/awe/small.jpg", 11, 9)
    assert (found.largest.key, found.largest.height, found.largest.width) == ("val/awe/large.jpg", 300, 700)
    assert "9 x 11 pixels (train/awe/small.jpg)" in text(found)


def test_findings_are_plain_data_that_json_can_hold(root: Path) -> None:
    (root / "train" / "awe" / "empty.jpg").touch()
    shutil.copy(root / "train" / "awe" / "0.jpg", root / "val" / "awe" / "leak.jpg")
    plain = json.loads(json.dumps(check(root).to_json()))
    assert plain["sound"] is False
    assert plain["unreadable"][0]["key"] == "train/awe/empty.jpg"
    assert plain["duplicates"][0]["pictures"][1]["split"] == "val"
    assert plain["smallest"]["height"] == 120
    assert str(root) not in json.dumps(plain), "no path of this machine is written"


def test_progress_counts_every_picture_once(root: Path) -> None:
    done: list[SearchProgress] = []
    audit(folder.read(root), progress=done.append)
    assert [each.read for each in done if not each.compared][:10] == list(range(1, 11))
    assert done[-1] == SearchProgress(10, 1.0)


def test_notes_of_the_reader_are_passed_on(root: Path) -> None:
    (root / "extra").mkdir()
    assert "Note: folders next to the splits were not read: extra." in check(root).lines()


def test_a_data_set_of_nothing_readable_is_still_described(tmp_path: Path) -> None:
    (tmp_path / "awe").mkdir()
    (tmp_path / "awe" / "1.jpg").touch()
    found = check(tmp_path)
    assert (found.smallest, found.largest, found.imbalance) == (None, None, 1.0)
    assert "1 picture cannot be read:" in text(found)
    empty = audit(DataSource("none", tmp_path, MIKELS, {"train": []}))
    assert empty.pictures == 0
    assert empty.lines()


def test_a_table_with_ratings_alone_is_checked_without_words_on_emotions(root: Path, tmp_path: Path) -> None:
    rows = [f"train/awe/{number}.jpg,{number}.5,train" for number in range(6)]
    rows += [f"val/awe/{number}.jpg,{number},val" for number in (8, 9)]
    (tmp_path / "ratings.csv").write_text("\n".join(["path,valence,split", *rows]) + "\n")
    shutil.copy(root / "train/awe/0.jpg", root / "val/awe/8.jpg")
    source, rated, labelled = open_with_ratings(f"csv:{tmp_path / 'ratings.csv'}@{root}")
    found = audit(source, rated=rated, labelled=labelled)
    assert not labelled and not found.sound
    assert found.counts == {"train": {"rated": 6}, "val": {"rated": 2}} and found.vocabulary == ""
    assert found.ratings == (RatingSummary("valence", 8, 0.5, 4.375, 9.0),)
    shown = text(found)
    assert "8 pictures with ratings: train 6, val 2." in shown
    assert "valence: 8 pictures, from 0.5 to 9, mean 4.38." in shown
    assert "train/awe/0.jpg (train) = val/awe/8.jpg (val)" in shown
    assert "emotion" not in shown and "labelled" not in shown
    assert json.loads(json.dumps(found.to_json()))["ratings"][0]["name"] == "valence"


def test_a_table_with_labels_as_well_has_its_ratings_summarised(root: Path, tmp_path: Path) -> None:
    rows = [f"train/awe/{number}.jpg,awe,{number}" for number in range(6)]
    (tmp_path / "both.csv").write_text("\n".join(["path,label,arousal", *rows]) + "\n")
    source, rated, labelled = open_with_ratings(f"csv:{tmp_path / 'both.csv'}@{root}")
    found = audit(source, "off", rated=rated, labelled=labelled)
    assert labelled and found.counts["all"]["awe"] == 6 and found.ratings[0].name == "arousal"
    assert open_with_ratings(f"folder:{root}")[1:] == ([], True)


def test_a_rating_that_is_no_number_is_an_error_of_its_row(root: Path, tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_text("path,valence\ntrain/awe/0.jpg,5\ntrain/awe/1.jpg,high\n")
    with pytest.raises(BadRow, match="line 3: valence is 'high', not a number"):
        open_with_ratings(f"csv:{tmp_path / 'ratings.csv'}@{root}")


def test_many_findings_are_counted_and_the_first_shown(root: Path) -> None:
    for number in range(9):
        (root / "val" / "awe" / f"empty{number}.jpg").touch()
    assert "  and 4 more" in check(root).lines()
