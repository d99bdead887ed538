"""Ratings in tables: read by their columns, and no emotions to those that read labels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from affectlens.data import table
from affectlens.data.catalog import open_rated_data, table_of
from affectlens.data.rated_table import mean_ratings, read_ratings
from affectlens.data.records import encode_ratings
from affectlens.emotions import MIKELS, POLARITY, Vocabulary
from affectlens.errors import AffectLensError, BadRow, DatasetError, SettingsError, UnknownName
from affectlens.ratings import RatingColumn

NAMES = ("valence", "arousal")


def written(folder: Path, text: str, name: str = "ratings.csv") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def test_rows_have_the_ratings_that_they_have_and_others_are_left_out(tmp_path: Path) -> None:
    file = written(
        tmp_path, "File,Valence,arousal,group,split\na.jpg,2.5,7,sea,val\nb.jpg,,,sea,val\nc.jpg,,9,,train\n"
    )
    found = read_ratings(file, tmp_path, NAMES, (1, 9))
    assert [(each.key, each.ratings, each.group, each.split) for each in found] == [
        ("a.jpg", {"valence": 2.5, "arousal": 7.0}, "sea", "val"),
        ("c.jpg", {"arousal": 9.0}, "", "train"),
    ]
    assert found[0].path == tmp_path / "a.jpg"


@pytest.mark.parametrize("cell", ["0.5", "9.5", "high", "nan", "inf"])
def test_a_cell_off_the_scale_is_an_error_of_its_line(tmp_path: Path, cell: str) -> None:
    file = written(tmp_path, f"path,valence\na.jpg,5\nb.jpg,{cell}\n")
    with pytest.raises(BadRow, match=r"line 3: valence is .*--scale LOW HIGH"):
        read_ratings(file, tmp_path, NAMES, (1, 9))


def test_a_scale_must_rise(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="must rise"):
        read_ratings(written(tmp_path, "path,valence\na.jpg,5\n"), tmp_path, NAMES, (9, 1))


def test_a_table_of_labels_has_no_ratings(tmp_path: Path) -> None:
    file = written(tmp_path, "path,label\na.jpg,awe\n")
    assert read_ratings(file, tmp_path, NAMES, (1, 9)) == []


def test_ratings_next_to_votes_are_not_votes(tmp_path: Path) -> None:
    file = written(tmp_path, "path,awe,fear,valence,arousal\na.jpg,3,1,2.5,8\n")
    (record,) = table.read(file).split("all")
    assert record.target.weights["awe"] == 0.75


def test_a_table_of_predictions_with_ratings_and_sets_is_read_by_its_emotions(tmp_path: Path) -> None:
    words = dict.fromkeys(MIKELS.words, "0.125")
    ratings = {f"{name}{end}": "5" for name in NAMES for end in ("", "_low", "_high")}
    row = {"image": "a.jpg", "top": "awe", **words, **ratings, "unusual": "false", "coverage": "0.9"}
    file = written(tmp_path, f"{','.join(row)}\n{','.join(row.values())}\n")
    source = table.read(file)
    assert source.vocabulary == MIKELS and source.split("all")[0].target["awe"] == 0.125


def test_whether_a_table_has_emotions_is_seen_by_labels_and_known_words(tmp_path: Path) -> None:
    own = Vocabulary("moods", ("cosy", "bleak"))
    for text, expected in {
        "path,valence,raters\na.jpg,5,102\n": False,
        "path,valence,label\na.jpg,5,awe\n": True,
        "path,valence,awe\na.jpg,5,3\n": True,
        "path,valence,cosy\na.jpg,5,3\n": True,
    }.items():
        assert table.has_emotions(table.rows_of(written(tmp_path, text)), own) == expected


def test_the_table_of_a_data_set_is_found_by_its_name_or_its_file(tmp_path: Path) -> None:
    file = written(tmp_path, "path,label\na.jpg,awe\n")
    pictures = tmp_path / "pictures"
    assert table_of(str(file)) == table_of(f"csv:{file}") == (file, tmp_path)
    assert table_of(f"csv:{file}@{pictures}") == table_of(f"{file}@{pictures}") == (file, pictures)
    assert table_of(f"folder:{tmp_path}") is None and table_of(str(tmp_path)) is None


def test_a_picture_that_several_rows_rate_has_their_mean_by_whatever_path(tmp_path: Path) -> None:
    file = written(tmp_path, "path,valence\na.jpg,5\nb.jpg,5\n./b/../a.jpg,7\n")
    found, notes = mean_ratings(read_ratings(file, tmp_path, NAMES, (1, 9)))
    assert [(each.key, each.ratings) for each in found] == [
        ("a.jpg", {"valence": 6}),
        ("b.jpg", {"valence": 5}),
    ]
    assert "3 rows rate 2 pictures" in notes[0]


@pytest.mark.parametrize("scale", [(1,), "19", (1, "x"), (1, float("inf")), (1, 2, 3)])
def test_what_is_no_scale_is_refused(scale: Any, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="must rise, as 1 9"):
        read_ratings(written(tmp_path, "path,valence\na.jpg,5\n"), tmp_path, NAMES, scale)


def test_a_row_without_a_split_among_others_is_an_error(tmp_path: Path) -> None:
    file = written(tmp_path, "path,valence,split\na.jpg,5,train\nb.jpg,5,\n")
    with pytest.raises(BadRow, match="line 3: no split, though other rows have one"):
        read_ratings(file, tmp_path, NAMES, (1, 9))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [("a.csv", "path\tvalence\na.jpg\t5\n", "by tabs"), ("a.tsv", "path,valence\na.jpg,5\n", "by commas")],
)
def test_a_table_with_the_suffix_of_another_is_an_error_that_names_it(
    name: str, content: str, reason: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(BadRow, match=f"line 1: its columns are separated {reason}"):
        read_ratings(tmp_path / name, tmp_path, NAMES, (1, 9))


def test_ratings_stand_next_to_labels_and_a_picture_has_those_that_it_has(tmp_path: Path) -> None:
    file = written(tmp_path, "path,label,valence,dominance\na.jpg,awe,2.5,\nb.jpg,fear,,70\n")
    source = open_rated_data(f"csv:{file}", {"valence": (1, 7), "dominance": (0, 100)})
    assert [(r.target.top, r.ratings) for r in source.split("all")] == [
        ("awe", {"valence": 2.5}), ("fear", {"dominance": 70.0}),
    ]  # fmt: skip
    assert source.ratings == (
        RatingColumn("valence", (1, 7), (1, 9)), RatingColumn("dominance", (0, 100), (0, 100)),
    )  # fmt: skip
    shares = encode_ratings(source.ratings, source.split("all"))
    np.testing.assert_allclose(shares, [[0.25, np.nan], [np.nan, 0.7]], rtol=1e-6)


def test_ratings_of_other_names_are_no_votes_where_they_are_named(tmp_path: Path) -> None:
    file = written(tmp_path, "path,awe,fear,dominance\na.jpg,3,1,5\n")
    (record,) = open_rated_data(f"csv:{file}", {"dominance": (1, 9)}).split("all")
    assert record.target.weights["awe"] == 0.75 and record.ratings == {"dominance": 5.0}


def test_without_labels_valence_makes_pictures_positive_or_negative(tmp_path: Path) -> None:
    rows = "a.jpg,6,1,sea\nb.jpg,2,1,sea\nc.jpg,4,7,\nc.jpg,4,5,\nd.jpg,,3,\n"
    file = written(tmp_path, f"path,valence,arousal,group\n{rows}")
    source = open_rated_data(f"csv:{file}", dict.fromkeys(NAMES, (1, 7)))
    assert source.vocabulary == POLARITY
    assert [(r.key, r.target["positive"], r.group) for r in source.split("all")] == [
        ("a.jpg", 1.0, "sea"), ("b.jpg", 0.0, "sea"), ("c.jpg", 0.5, ""),
    ]  # fmt: skip
    assert source.split("all")[2].ratings == {"valence": 4.0, "arousal": 6.0}, "the mean of two rows"
    notes = ". ".join(source.notes)
    assert "1 pictures without valence are left out" in notes and "5 rows rate 4 pictures" in notes


@pytest.mark.parametrize(
    ("text", "names", "error", "problem"),
    [
        ("path,arousal\na.jpg,5\n", ("arousal",), DatasetError, "has no labels, and valence"),
        ("path,valence\na.jpg,5\n", NAMES, UnknownName, "arousal"),
        ("path,label,awe\na.jpg,awe,5\n", ("awe",), SettingsError, "is a word of the model's emotions"),
        ("path,label,valence\na.jpg,awe,12\n", ("valence",), BadRow, "not a number from 1 to 9"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(
    tmp_path: Path, text: str, names: tuple[str, ...], error: type[AffectLensError], problem: str
) -> None:
    file = written(tmp_path, text)
    with pytest.raises(error, match=problem):
        open_rated_data(f"csv:{file}", dict.fromkeys(names, (1, 9)))


def test_ratings_are_columns_of_a_table(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="Write csv:FILE@FOLDER"):
        open_rated_data(f"folder:{tmp_path}", {"valence": (1, 9)})
