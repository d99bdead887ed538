from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectlens.attributes import Attribute
from affectlens.data import splits, table
from affectlens.data.catalog import open_data
from affectlens.data.groups import Groups
from affectlens.data.records import ALL, DataSource, Record, digest
from affectlens.emotions import MIKELS
from affectlens.errors import DatasetError, EmptySplit, SettingsError

some_counts = st.lists(st.integers(0, 40), min_size=8, max_size=8).filter(any)


def records(counts: list[int], root: Path = Path("root")) -> list[Record]:
    return [
        Record(f"{word}/{number}.jpg", root / word / f"{number}.jpg", MIKELS.only(word))
        for word, count in zip(MIKELS.words, counts, strict=True)
        for number in range(count)
    ]


def source_of(made: dict[str, list[Record]], root: Path = Path("root")) -> DataSource:
    return DataSource("fi", root, MIKELS, made)


@given(some_counts, st.integers(0, 5))
def test_a_split_takes_each_picture_once_and_each_emotion_in_proportion(counts: list[int], seed: int) -> None:
    shares = {"val": 0.2, "test": 0.1}
    pictures = records(counts)
    made = splits.stratified(pictures, shares, seed)
    assert sorted(r.key for part in made.values() for r in part) == sorted(r.key for r in pictures)
    for word, count in zip(MIKELS.words, counts, strict=True):
        got = {name: sum(r.target.top == word for r in part) for name, part in made.items()}
        for name, share in shares.items():
            assert abs(got[name] - share * count) < 1
        if count:
            assert got["train"] >= 1
        if count >= 3:
            assert all(got.values()), "an emotion with a picture for each split is in each"


def test_a_large_share_of_few_pictures_leaves_one_for_each_later_split() -> None:
    made = splits.stratified(records([3, 0, 0, 0, 0, 0, 0, 0]), {"val": 0.6, "test": 0.2}, 0)
    assert {name: len(part) for name, part in made.items()} == {"train": 1, "val": 1, "test": 1}


@given(some_counts, st.randoms(use_true_random=False))
def test_the_order_of_the_records_changes_nothing(counts: list[int], random: object) -> None:
    pictures = records(counts)
    shuffled = list(pictures)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert splits.stratified(shuffled, {"val": 0.3}, 1) == splits.stratified(pictures, {"val": 0.3}, 1)


def test_another_seed_is_another_split() -> None:
    made = [digest(splits.stratified(records([20] * 8), {"val": 0.25}, seed)["val"]) for seed in range(5)]
    assert len(set(made)) == 5


@pytest.mark.parametrize(
    "shares", [{"val": 0.0}, {"val": -0.1}, {"val": 1.0}, {"val": 0.5, "test": 0.5}, {"val": float("nan")}]
)
def test_shares_that_leave_nothing_to_train_on_are_an_error(shares: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match="leave some for training"):
        splits.stratified(records([9] * 8), shares, 0)


def test_more_folds_than_pictures_are_refused_before_any_is_made() -> None:
    source = source_of({ALL: records([3] * 8)})
    with pytest.raises(SettingsError, match="24 pictures cannot be divided into 100,000,000 folds"):
        splits.divide_into_folds(source, 10**8, 0)
    assert all(splits.divide_into_folds(source, 3, 0).splits.values())


def test_a_division_that_leaves_a_split_empty_is_refused() -> None:
    pictures = records([3] * 8)
    together = Groups({each.key: pictures[0].key for each in pictures})
    with pytest.raises(DatasetError, match="leave none for val"):
        splits.divide(source_of({ALL: pictures}), {"val": 0.2}, 0, together)
    with pytest.raises(DatasetError, match="leave none for fold 2, fold 3"):
        splits.divide_into_folds(source_of({ALL: pictures}), 3, 0, groups=together)


def test_a_data_set_with_both_splits_stays_as_it_is() -> None:
    source = source_of({"train": records([2] * 8), "val": records([1] * 8)})
    assert splits.with_validation(source, 0.5, 0) is source


@pytest.mark.parametrize("name", ["train", ALL])
def test_validation_is_drawn_from_training_and_the_test_split_left_alone(name: str) -> None:
    held_out = records([3] * 8, Path("held out"))
    source = source_of({name: records([10] * 8), "test": held_out})
    made = splits.with_validation(source, 0.2, 0)
    assert {split: len(part) for split, part in made.splits.items()} == {"train": 64, "val": 16, "test": 24}
    assert made.splits["test"] == held_out
    assert "20% of each emotion was drawn with seed 0" in made.notes[-1]


def test_a_validation_split_that_exists_is_kept_and_never_trained_on() -> None:
    given_val = [replace(r, key=f"val/{r.key}") for r in records([1] * 8)]
    made = splits.with_validation(source_of({ALL: records([4] * 8), "val": given_val}), 0.5, 0)
    assert made.splits["val"] == given_val
    assert not {r.key for r in given_val} & {r.key for r in made.splits["train"]}
    assert len(made.splits["train"]) == 32


def test_a_data_set_with_nothing_but_a_test_split_cannot_be_trained_on() -> None:
    with pytest.raises(EmptySplit, match="'train'"):
        splits.with_validation(source_of({"test": records([1] * 8)}), 0.5, 0)


def digests(source: DataSource) -> dict[str, str]:
    return {name: digest(part) for name, part in source.splits.items()}


def test_a_split_that_was_written_is_read_back_the_same(tmp_path: Path) -> None:
    source = source_of(splits.stratified(records([7] * 8, tmp_path), {"val": 0.2, "test": 0.2}, 3), tmp_path)
    splits.write_splits(tmp_path / "splits.tsv", source)
    read = table.read(tmp_path / "splits.tsv")
    assert digests(read) == digests(source)
    assert read.splits == source.splits


@given(st.lists(st.lists(st.integers(0, 12), min_size=8, max_size=8).filter(any), min_size=1, max_size=8))
def test_soft_targets_survive_writing_too(
    tmp_path_factory: pytest.TempPathFactory, votes: list[list[int]]
) -> None:
    root = tmp_path_factory.mktemp("soft")
    made = [
        Record(f"{i}.jpg", root / f"{i}.jpg", MIKELS.distribution(dict(zip(MIKELS.words, row, strict=True))))
        for i, row in enumerate(votes)
    ]
    splits.write_splits(root / "splits.tsv", source_of({"train": made}, root))
    assert digests(table.read(root / "splits.tsv")) == digests(source_of({"train": made}))


def test_a_data_set_without_splits_is_read_back_without_splits(tmp_path: Path) -> None:
    source = source_of({ALL: records([1] * 8, tmp_path)}, tmp_path)
    for name in ("splits.tsv", "splits.csv"):
        splits.write_splits(tmp_path / name, source)
        assert table.read(tmp_path / name).splits == source.splits


def test_odd_names_of_files_survive_writing(tmp_path: Path) -> None:
    names = [
        "tab\there.jpg",
        'quote".jpg',
        "a, b.jpg",
        "\u00e9\U0001f5fb.jpg",
        " edge .jpg",
        "line\nbreak.jpg",
    ]
    made = [Record(name, tmp_path / name, MIKELS.only("awe")) for name in names]
    splits.write_splits(tmp_path / "splits.tsv", source_of({"train": made}, tmp_path))
    assert table.read(tmp_path / "splits.tsv").splits["train"] == made


def test_a_split_written_elsewhere_is_read_with_the_folder_of_the_pictures(tmp_path: Path) -> None:
    root, run = tmp_path / "pictures", tmp_path / "run"
    root.mkdir()
    source = source_of({"train": records([2] * 8, root), "val": records([1] * 8, root)}, root)
    splits.write_splits(run / "splits.tsv", source)
    assert open_data(f"csv:{run / 'splits.tsv'}@{root}").splits == source.splits
    assert str(tmp_path) not in (run / "splits.tsv").read_text(), "no path of this machine is written"


def test_attributes_stay_with_their_records_when_these_are_divided(tmp_path: Path) -> None:
    scene = Attribute("scene", ("beach", "street"))
    listed = [replace(r, attributes={"scene": (scene.words[n % 2],)}) for n, r in enumerate(records([6] * 8))]
    known = {record.key: record.attributes for record in listed}
    source = DataSource("emoset", tmp_path, MIKELS, {ALL: listed}, attributes=(scene,))
    divided = splits.with_validation(source, 0.25, 0)
    assert divided.attributes == (scene,)
    assert all(r.attributes == known[r.key] for part in divided.splits.values() for r in part)
