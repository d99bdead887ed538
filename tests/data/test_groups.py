"""Copies, near-duplicates and pictures of one theme stay on one side of a split or in one fold."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from affectlens.cli.main import main
from affectlens.data import fingerprints, folder, splits, table
from affectlens.data.catalog import open_data
from affectlens.data.groups import Groups, SearchProgress, find_groups
from affectlens.data.records import ALL, DataSource, Record
from affectlens.emotions import MIKELS
from affectlens.errors import DatasetError, SettingsError

WORDS = ("awe", "fear", "sadness")


def photo(seed: int) -> Image.Image:
    """Soft spots of light, different for each seed."""
    cells = np.random.default_rng(seed).integers(0, 256, (7, 7, 3), dtype=np.uint8)
    return Image.fromarray(cells).resize((160, 120), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty pictures of each word; of the first five of each a copy of bytes, a mirror image and a part."""
    root = tmp_path_factory.mktemp("copies")
    for index, word in enumerate(WORDS):
        (root / word).mkdir()
        for number in range(20):
            picture, file = photo(100 * index + number), root / word / f"{number:02}.png"
            picture.save(file)
            if number < 5:
                shutil.copy(file, root / word / f"x{number}.png")
                ImageOps.mirror(picture).save(root / word / f"y{number}.jpg")
                picture.crop((16, 12, 144, 108)).save(root / word / f"z{number}.png")
    return root


def family(record: Record) -> str:
    """Which picture one was made from."""
    word, _, name = record.key.partition("/")
    return f"{word} {int(name.partition('.')[0].lstrip('xyz'))}"


def split_families(source: DataSource) -> list[str]:
    """Families that are in more than one split."""
    where: dict[str, set[str]] = {}
    for name, part in source.splits.items():
        for record in part:
            where.setdefault(family(record), set()).add(name)
    return [each for each, names in where.items() if len(names) > 1]


def test_copies_of_bytes_mirror_images_and_parts_are_one_group(root: Path) -> None:
    done: list[SearchProgress] = []
    records = folder.read(root).split(ALL)
    found = find_groups(records, progress=done.append)
    by_leader: dict[str, set[str]] = {}
    for record in records:
        by_leader.setdefault(found.leader(record.key), set()).add(family(record))
    assert (found.count, len(found.leaders)) == (15, 60)
    assert all(len(families) == 1 for families in by_leader.values())
    assert done[-1] == SearchProgress(len(records), 1.0)
    # By the search: copies of bytes alone; and mirror images, but not parts.
    assert len(find_groups(records, "off").leaders) == 30
    assert len(find_groups(records, "quick").leaders) == 45


def test_no_fold_and_no_split_has_a_part_of_a_group(root: Path) -> None:
    source = folder.read(root)
    groups = find_groups(source.split(ALL))
    for seed in range(5):
        assert not split_families(splits.divide(source, {"val": 0.2, "test": 0.1}, seed, groups))
        assert not split_families(splits.divide_into_folds(source, 3, seed, test=0.1, groups=groups))
        assert split_families(splits.divide(source, {"val": 0.2}, seed)), "without groups some are parted"


def test_the_command_divides_into_folds_and_training_takes_one_out(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "folds.tsv"
    with pytest.raises(SystemExit) as ended:
        main(["data", "split", f"folder:{root}", "--out", str(out), "--folds", "3", "--test", "0.1"])
    assert not ended.value.code
    shown = capsys.readouterr().out
    source = open_data(f"csv:{out}@{root}")
    assert list(source.splits) == ["fold 1", "fold 2", "fold 3", "test"]
    assert not split_families(source)
    assert f"Hash of the division: {splits.digest_of_splits(source)}." in shown
    chosen = splits.with_fold(source, 2)
    assert chosen.splits["val"] == source.splits["fold 2"]
    assert len(chosen.splits["train"]) == len(source.splits["fold 1"]) + len(source.splits["fold 3"])
    assert chosen.splits["test"] == source.splits["test"]
    with pytest.raises(SettingsError, match=r"has no fold 4\. Its folds: fold 1, fold 2, fold 3"):
        splits.with_fold(source, 4)


def test_a_column_names_the_group(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    rows = [f"{word}/{number:02}.png,{word},theme {number // 4}" for word in WORDS for number in range(20)]
    file.write_text("\n".join(["path,label,group", *rows]) + "\n")
    source = table.read(file, root=root)
    divided = splits.divide(source, {"val": 0.4}, 0, find_groups(source.split(ALL), "off"))
    themes = [{record.group for record in part} for part in divided.splits.values()]
    assert not themes[0] & themes[1]
    splits.write_splits(tmp_path / "splits.tsv", divided)
    assert table.read(tmp_path / "splits.tsv", root=root).splits == divided.splits


def test_a_picture_in_two_splits_is_an_error_before_training() -> None:
    record = Record("awe/1.jpg", Path("awe/1.jpg"), MIKELS.only("awe"))
    source = DataSource("fi", Path(), MIKELS, {"train": [record], "val": [record]})
    with pytest.raises(DatasetError, match=r"awe/1\.jpg in train and val"):
        splits.require_disjoint(source)


@pytest.mark.parametrize("link", ["hardlink_to", "symlink_to"])
def test_links_to_one_picture_in_two_splits_are_an_error_too(root: Path, tmp_path: Path, link: str) -> None:
    other = tmp_path / "other.png"
    getattr(other, link)(root / "awe/00.png")
    records = [Record(path.name, path, MIKELS.only("awe")) for path in (root / "awe/00.png", other)]
    source = DataSource("fi", Path(), MIKELS, {"train": records[:1], "val": records[1:]})
    with pytest.raises(DatasetError, match=r"other\.png in train and val"):
        splits.require_disjoint(source)
    (source.splits["val"][0].path).unlink()
    splits.require_disjoint(source)


some_counts = st.lists(st.integers(0, 40), min_size=8, max_size=8).filter(any)


@given(some_counts, st.integers(2, 6), st.integers(0, 3), st.randoms(use_true_random=False))
def test_folds_take_each_picture_once_and_are_alike(
    counts: list[int], number: int, seed: int, random: object
) -> None:
    records = [
        Record(f"{word}/{index}", Path(word, str(index)), MIKELS.only(word))
        for word, count in zip(MIKELS.words, counts, strict=True)
        for index in range(count)
    ]
    made = splits.folds(records, number, seed)
    assert sorted(r.key for part in made.values() for r in part) == sorted(r.key for r in records)
    for word in MIKELS.words:
        sizes = [sum(record.target.top == word for record in part) for part in made.values()]
        assert max(sizes) - min(sizes) <= 1
    totals = [len(part) for part in made.values()]
    assert max(totals) - min(totals) <= 1
    shuffled = list(records)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert splits.folds(shuffled, number, seed) == made


def test_a_group_too_large_for_a_split_stays_in_train_where_others_fit() -> None:
    records = [Record(f"{n:02}", Path(f"{n:02}"), MIKELS.only("awe")) for n in range(20)]
    leaders = {f"{n:02}": "00" for n in range(10)}
    for seed in range(10):
        made = splits.stratified(records, {"val": 0.2}, seed, Groups(leaders))
        assert len(made["val"]) == 4
        assert all(int(record.key) >= 10 for record in made["val"])


def test_one_fold_and_folds_with_val_are_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="at least 2 folds, not 1"):
        splits.folds([], 1, 0)
    with pytest.raises(SystemExit) as ended:
        out = str(tmp_path / "folds.tsv")
        main(["data", "split", f"folder:{root}", "--out", out, "--folds", "3", "--val", "0.1"])
    assert ended.value.code == 2


def test_files_without_an_end_on_any_disk_cost_neither_memory_nor_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fingerprints, "_HASHED_BYTES", 1 << 20)
    for word in ("awe", "fear"):
        (tmp_path / word).mkdir()
        for number in range(4):
            photo(len(word) * 100 + number).save(tmp_path / word / f"{number}.png")
    for name in ("a.jpg", "b.jpg"):
        with (tmp_path / "awe" / name).open("wb") as file:
            file.truncate(64 << 30)
    with pytest.raises(SystemExit):
        main(["data", "check", f"folder:{tmp_path}"])
    assert "a.jpg: " in (shown := capsys.readouterr().out) and "b.jpg: " in shown
    with pytest.raises(SystemExit):
        main(["data", "split", f"folder:{tmp_path}", "--out", str(tmp_path / "s.tsv")])
    assert len((tmp_path / "s.tsv").read_text().splitlines()) == 11
