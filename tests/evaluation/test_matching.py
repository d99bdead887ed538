"""Which row is about which picture: every case is right, an error, or a note."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from affectlens.data import table
from affectlens.data.records import ALL, DataSource, Record
from affectlens.emotions import EKMAN, MIKELS, EmotionDistribution
from affectlens.errors import DatasetError, PictureDamaged, PictureError, VocabularyMismatch
from affectlens.evaluation.evaluate import evaluate_rows
from affectlens.evaluation.matching import ROUNDED_TO_ZERO, MatchedRows, match_rows
from affectlens.inference.output.json_lines import JsonRow
from affectlens.inference.output.read import RowsFile

ROOT = Path("data") / "fi"
FILE = Path("rows.jsonl")


def source_of(
    root: Path, val: Sequence[str] = ("awe/1.jpg", "fear/1.jpg"), train: Sequence[str] = ("awe/2.jpg",)
) -> DataSource:
    """A data set whose pictures are not on the disk: nothing here opens one."""
    splits = {
        name: [Record(key, root / key, MIKELS.only(key.split("/")[-2])) for key in keys]
        for name, keys in {"val": val, "train": train}.items()
    }
    return DataSource("folder", root, MIKELS, splits)


def row(image: str | Path, first: str = "awe", **changes: Any) -> JsonRow:
    """A row whose first emotion has 0.65, and the others 0.05 each."""
    emotions = {word: 0.65 if word == first else 0.05 for word in MIKELS.words}
    plain = {
        "image": str(image), "top": first, "emotions": emotions, "polarity": None, "model": "m",
        "weights": "0123", "version": "0.2.0", "engine": "onnxruntime", "precision": "float32", "error": None,
    }  # fmt: skip
    return msgspec.convert({**plain, **changes}, JsonRow)


def failed(image: str) -> JsonRow:
    error = {"type": "PictureDamaged", "message": f"{image}: it is torn"}
    return row(image, top=None, emotions=None, error=error)


def match(rows: Sequence[JsonRow], source: DataSource, split: str = "val") -> MatchedRows:
    return match_rows(RowsFile(FILE, tuple(rows)), source, split)


def tops(found: MatchedRows) -> list[tuple[str, str]]:
    return [(r.key, a.top) for r, a in found.answers if isinstance(a, EmotionDistribution)]


EXPECTED = [("awe/1.jpg", "awe"), ("fear/1.jpg", "sadness")]

# ------------------------------------------------------------------------------------------------ by path


@pytest.mark.parametrize(
    "named",
    [
        lambda key: ROOT / key,
        lambda key: f"./data//fi/{key}",
        lambda key: f"data/other/../fi/{key}",
        lambda key: Path.cwd() / ROOT / key,
        lambda key: f"data\\fi\\{key.replace('/', chr(92))}",
    ],
    ids=["relative", "spelt otherwise", "by way of another folder", "absolute", "Windows"],
)
def test_a_row_s_path_leads_to_its_picture(named: Callable[[str], Path | str]) -> None:
    source = source_of(Path.cwd() / ROOT)
    found = match([row(named("fear/1.jpg"), "sadness"), row(named("awe/1.jpg"))], source)
    assert tops(found) == EXPECTED and found.notes == ()


@pytest.mark.parametrize("where", ["", "pictures/", "/mnt/fi/", "C:/fi/", "s3://bucket/fi/"])
def test_pictures_that_were_predicted_elsewhere_are_found_below_one_folder(where: str) -> None:
    options = "?region=eu-west-1" if where.startswith("s3") else ""
    rows = [row(f"{where}fear/1.jpg{options}", "sadness"), row(f"{where}awe/1.jpg{options}")]
    found = match(rows, source_of(Path("/elsewhere")))
    assert tops(found) == EXPECTED
    (note,) = found.notes
    assert "matched by their paths below the data set" in note
    assert (repr(where) if where else "predicted from") in note


def test_the_same_file_name_in_two_folders_is_two_pictures() -> None:
    rows = [row("/mnt/fear/1.jpg", "sadness"), row("/mnt/awe/1.jpg")]
    assert tops(match(rows, source_of(Path("/elsewhere")))) == EXPECTED
    with pytest.raises(DatasetError, match=r"no row for 2 of the 2 .*the first row's is '1\.jpg'"):
        match([row("1.jpg"), row("2.jpg")], source_of(Path("/elsewhere")))


def test_a_path_of_a_hundred_thousand_folders_is_another_picture_in_no_time() -> None:
    began = time.process_time()
    rows = [row("awe/1.jpg"), row("fear/1.jpg"), row("a/" * 200_000 + "3.jpg")]
    assert len(match(rows, source_of(Path("/elsewhere"))).answers) == 2
    assert time.process_time() - began < 5


def test_a_file_name_is_not_matched_by_its_end() -> None:
    with pytest.raises(DatasetError, match="no row for 2 of the 2"):
        match([row("/mnt/blue-awe/1.jpg"), row("/mnt/blue-fear/1.jpg")], source_of(Path("/elsewhere")))


def test_a_key_that_ends_like_another_has_its_own_row() -> None:
    source = source_of(Path("/elsewhere"), val=("awe/1.jpg", "old/awe/1.jpg"))
    found = match([row("/mnt/old/awe/1.jpg", "fear"), row("/mnt/awe/1.jpg")], source)
    assert tops(found) == [("awe/1.jpg", "awe"), ("old/awe/1.jpg", "fear")]


def test_of_two_copies_the_data_set_s_own_counts_and_the_other_is_a_note() -> None:
    copies = [row(f"{where}{key}", first) for where, first in (("/mnt/", "anger"), ("/fi/", "awe"))
              for key in ("awe/1.jpg", "fear/1.jpg")]  # fmt: skip
    found = match(copies, source_of(Path("/fi")))
    assert {top for _, top in tops(found)} == {"awe"}
    assert found.notes == ("left out: 2 rows of pictures outside the split 'val'",)
    with pytest.raises(DatasetError, match=r"below '/mnt/' and below '/fi/'"):
        match(copies, source_of(Path("/elsewhere")))


def test_paths_of_a_table_outside_its_folder_lead_to_their_pictures(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    labels = tmp_path / "tables" / "labels.csv"
    labels.write_text(f"path,label\n../awe/1.jpg,awe\n{tmp_path}/fear/1.jpg,fear\n")
    rows = [row(tmp_path / "fear" / "1.jpg", "sadness"), row(tmp_path / "awe" / "1.jpg")]
    found = match(rows, table.read(labels), ALL)
    assert [top for _, top in tops(found)] == ["awe", "sadness"] and found.notes == ()


def test_names_that_are_not_text_are_matched_in_the_way_that_parquet_writes_them(tmp_path: Path) -> None:
    name = "awe/caf\udce9.jpg"
    source = source_of(tmp_path, val=(name,))
    for image in (name, "awe/caf\\udce9.jpg"):
        assert tops(match([row(tmp_path / image)], source)) == [(name, "awe")]


# -------------------------------------------------------------------------------- rows missing, twice, others


def test_a_picture_without_a_row_is_an_error_with_its_name_and_how_many_there_are() -> None:
    with pytest.raises(DatasetError, match=r"no row for 1 of the 2 .*split 'val', the first 'fear/1\.jpg'"):
        match([row("/fi/awe/1.jpg"), row("/fi/awe/2.jpg")], source_of(Path("/fi")))


def test_rows_of_other_pictures_are_counted_in_a_note() -> None:
    rows = [row(f"/fi/{key}") for key in ("awe/1.jpg", "awe/2.jpg", "fear/1.jpg")]
    found = match([*rows, row("/photos/me.jpg")], source_of(Path("/fi")))
    assert found.notes == ("left out: 2 rows of pictures outside the split 'val'",)
    assert len(match([*rows, row("/photos/me.jpg")], source_of(Path("/fi")), ALL).answers) == 3


def test_rows_that_repeat_one_another_are_counted_and_rows_that_differ_are_an_error() -> None:
    rows = [row("/fi/awe/1.jpg"), row("/fi/fear/1.jpg"), row("/fi/./awe/1.jpg")]
    found = match(rows, source_of(Path("/fi")))
    assert found.notes == ("left out: 1 repeated row",)
    assert len(found.answers) == 2
    for other in (row("/fi/awe/1.jpg", "fear"), failed("/fi/awe/1.jpg")):
        with pytest.raises(DatasetError, match=r"rows 1 and 3, give different answers for 'awe/1\.jpg'"):
            match([*rows[:2], other], source_of(Path("/fi")))


def test_a_picture_that_stands_twice_in_the_data_has_one_row_for_both() -> None:
    found = match([row("/fi/awe/1.jpg")], source_of(Path("/fi"), val=("awe/1.jpg", "awe/1.jpg")))
    assert len(found.answers) == 2 and found.notes == ()


def test_a_row_with_an_error_is_a_picture_that_could_not_be_read() -> None:
    found = match([failed("fi/awe/1.jpg"), row("fi/fear/1.jpg")], source_of(Path("/data/fi")))
    error = found.answers[0][1]
    assert type(error) is PictureDamaged and str(error) == f"{Path('/data/fi/awe/1.jpg')}: it is torn"
    unknown = row("fi/awe/1.jpg", top=None, emotions=None, error={"type": "Later", "message": "why"})
    error = match([unknown, row("fi/fear/1.jpg")], source_of(Path("/data/fi"))).answers[0][1]
    assert type(error) is PictureError and error.reason == "why"


# -------------------------------------------------------------------------------- models, emotions, digits


@pytest.mark.parametrize("change", [{"model": "other"}, {"weights": "4567"}, {"weights": None}])
def test_rows_of_two_models_are_an_error_that_names_both(change: Mapping[str, Any]) -> None:
    rows = [row("/fi/awe/1.jpg"), row("/fi/fear/1.jpg"), row("/photos/me.jpg", **change)]
    with pytest.raises(DatasetError, match=r"2 models: m \(weights 0123, 2 rows\) and (m|other) \(weights"):
        match(rows, source_of(Path("/fi")))


def test_rows_that_were_computed_in_several_ways_are_a_note() -> None:
    rows = [row("/fi/awe/1.jpg"), row("/fi/fear/1.jpg", engine="torch", precision="bfloat16")]
    (note,) = match(rows, source_of(Path("/fi"))).notes
    assert "onnxruntime in float32 by version 0.2.0 (1 row) and torch in bfloat16 by version 0.2.0" in note


def test_rows_of_other_emotions_are_refused_with_both_lists() -> None:
    other = {word: 1 / len(EKMAN) for word in EKMAN.words}
    rows = [row(f"/fi/{key}", top="anger", emotions=other) for key in ("awe/1.jpg", "fear/1.jpg")]
    with pytest.raises(VocabularyMismatch, match=r"anger, disgust, fear, joy.*amusement, awe"):
        match(rows, source_of(Path("/fi")))
    with pytest.raises(DatasetError, match="row 2, has other emotions than row 1"):
        match([row("/fi/awe/1.jpg"), rows[1]], source_of(Path("/fi")))


def test_emotions_travel_by_name_whatever_their_order() -> None:
    emotions = dict(reversed(row("x").emotions.items()))  # type: ignore[union-attr]
    rows = [row("/fi/awe/1.jpg", emotions=emotions), row("/fi/fear/1.jpg", "sadness")]
    assert tops(match(rows, source_of(Path("/fi")))) == EXPECTED


def test_of_emotions_that_are_equal_in_the_row_s_digits_the_first_stays_first() -> None:
    emotions = {**dict.fromkeys(MIKELS.words, 0.0), "awe": 0.4, "fear": 0.4, "sadness": 0.2}
    rows = [
        row(f"/fi/{key}", top=top, emotions=emotions)
        for key, top in {"awe/1.jpg": "fear", "fear/1.jpg": "awe"}.items()
    ]
    assert tops(match(rows, source_of(Path("/fi")))) == [("awe/1.jpg", "fear"), ("fear/1.jpg", "awe")]


def test_a_probability_of_0_is_filled_and_counted_where_a_label_has_it() -> None:
    emotions = {**dict.fromkeys(MIKELS.words, 0.0), "anger": 1.0}
    rows = [row("/fi/awe/1.jpg", top="anger", emotions=emotions), row("/fi/fear/1.jpg")]
    found = match(rows, source_of(Path("/fi")))
    answer = found.answers[0][1]
    assert isinstance(answer, EmotionDistribution) and answer["awe"] == ROUNDED_TO_ZERO == 5e-7
    (note,) = found.notes
    assert (
        note.startswith("for 1 picture an emotion of the label has the probability 0") and "0.0000005" in note
    )


@pytest.mark.parametrize(
    "change",
    [
        {"emotions": dict.fromkeys(MIKELS.words, 0.5)},
        {"emotions": {**dict.fromkeys(MIKELS.words, 0.0), "awe": float("nan")}},
        {"emotions": {**dict.fromkeys(MIKELS.words, 0.0), "awe": 2.0, "fear": -1.0}},
        {"top": "fear"},
        {"top": None},
        {"emotions": None},
    ],
)
def test_a_row_whose_answer_is_not_one_is_an_error_with_its_number(change: Mapping[str, Any]) -> None:
    with pytest.raises(DatasetError, match=r"rows\.jsonl, row 2[:,]"):
        match([row("/fi/fear/1.jpg"), row("/fi/awe/1.jpg", **change)], source_of(Path("/fi")))


def test_a_row_that_names_no_first_emotion_for_want_of_confidence_is_scored_by_its_likeliest() -> None:
    abstaining = row("/fi/awe/1.jpg", top=None, min_confidence=0.7)
    found = match([abstaining, row("/fi/fear/1.jpg", "sadness", min_confidence=0.7)], source_of(Path("/fi")))
    assert tops(found) == EXPECTED
    assert any(note.startswith("1 row names no first emotion") for note in found.notes)


# ----------------------------------------------------------------------------------------------- sets of rows


def rows_with_sets(*sets: Any, **changes: Any) -> RowsFile:
    """Rows of three pictures of awe and one of fear with these sets."""
    keys = ("awe/1.jpg", "awe/2.jpg", "awe/3.jpg", "fear/1.jpg")
    rows = [
        row(f"/fi/{key}", set=each, coverage=0.9, **changes) for key, each in zip(keys, sets, strict=True)
    ]
    return RowsFile(FILE, tuple(rows[::-1]))  # in another order than the pictures


def of_four() -> DataSource:
    return source_of(Path("/fi"), ("awe/1.jpg", "awe/2.jpg", "awe/3.jpg", "fear/1.jpg"))


def test_sets_that_rows_hold_are_scored_at_their_coverage() -> None:
    given = rows_with_sets(["awe"], ["awe", "fear"], ["sadness"], ["awe", "anger", "fear"])
    (found,) = evaluate_rows(given, of_four(), "val").set_scores
    assert (found.wanted, found.coverage, found.size, found.alone) == (0.9, 0.75, 1.75, 0.5)
    assert found.by_emotion["fear"] == 1
    assert found.worst[0] == "awe" and found.worst[1] == pytest.approx(2 / 3)
    assert found.by_emotion["anger"] is None, "no picture has it"


def test_sets_of_several_coverages_or_of_some_rows_are_a_note_and_those_of_other_words_an_error() -> None:
    given = rows_with_sets(["awe"], ["awe"], ["awe"], ["fear"])
    first, *others = given.rows
    plain = msgspec.to_builtins(first)
    for changes in ({"coverage": 0.8}, {"set": None}):
        changed = RowsFile(FILE, (msgspec.convert({**plain, **changes}, JsonRow), *others))
        result = evaluate_rows(changed, of_four(), "val")
        assert result.set_scores == () and any("sets of emotions are not scored" in n for n in result.notes)
    without = RowsFile(FILE, tuple(row(each.image) for each in given.rows))
    assert evaluate_rows(without, of_four(), "val").set_scores == ()
    wrong = RowsFile(FILE, (msgspec.convert({**plain, "set": ["joy"]}, JsonRow), *others))
    with pytest.raises(DatasetError, match="a set of emotions with 'joy', which is none of"):
        evaluate_rows(wrong, of_four(), "val")


def test_of_a_row_that_names_no_first_emotion_it_is_the_likeliest(tmp_path: Path) -> None:
    source = source_of(ROOT)
    rows = [
        row(ROOT / "awe/1.jpg", "fear", top=None, min_confidence=0.7),
        row(ROOT / "fear/1.jpg", "awe", min_confidence=0.7),
    ]
    matched = match_rows(RowsFile(FILE, tuple(rows)), source, "val")
    tops = [answer.top for _, answer in matched.answers if isinstance(answer, EmotionDistribution)]
    assert tops == ["fear", "awe"]
    with pytest.raises(DatasetError, match="Its first emotion is None"):
        match_rows(RowsFile(FILE, (row(ROOT / "awe/1.jpg", top=None), rows[1])), source, "val")
