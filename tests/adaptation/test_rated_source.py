"""Ratings of a table: which columns, on which scales, of which pictures; and what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from affectlens.adaptation.job import open_target
from affectlens.adaptation.own_pictures import open_own_pictures
from affectlens.adaptation.rated_source import (
    RatedSource,
    open_rated_source,
    ratings_of_table,
)
from affectlens.data.rated_table import rating_scales
from affectlens.errors import AffectLensError, BadRow, DatasetError, SettingsError, UnknownName
from affectlens.ratings import FEWEST
from graphs import CARD, SCALES

COSINESS = {"cosiness": (1.0, 7.0)}


def table(folder: Path, header: str, *rows: str, count: int = FEWEST) -> Path:
    """Write a table of `count` files, which no test opens, and more rows."""
    for number in range(count):
        (folder / f"{number}.png").touch()
    file = folder / "t.csv"
    file.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return file


def cosy_rows(count: int = FEWEST) -> list[str]:
    return [f"{number}.png,{1 + number % 7}" for number in range(count)]


def test_a_rating_of_any_name_keeps_its_scale_and_a_known_one_is_brought_to_the_models(
    tmp_path: Path,
) -> None:
    rows = [f"{number}.png,{1 + number % 7},{1 + number % 7}" for number in range(FEWEST)]
    file = table(tmp_path, "path,Cosiness,valence", *rows)
    start = replace(CARD, ratings=SCALES)
    found = open_rated_source(f"csv:{file}", {**COSINESS, "valence": (1, 7)}, start)
    assert [(each.name, each.scale) for each in found.columns] == [("cosiness", (1, 7)), ("valence", (1, 9))]
    row = next(i for i, record in enumerate(found.records) if record.key == "3.png")
    assert found.values[row].tolist() == [4.0, 5.0]


def test_rows_of_several_raters_are_one_picture_with_their_mean(tmp_path: Path) -> None:
    file = table(tmp_path, "path,cosiness", *cosy_rows(), "0.png,4", "other/../0.png,7")
    found = open_rated_source(f"csv:{file}", COSINESS, CARD)
    keys = [record.key for record in found.records]
    assert len(keys) == len(set(keys)) == FEWEST
    assert found.values[keys.index("0.png"), 0] == 4.0  # of 1, 4 and 7
    assert "22 rows rate 20 pictures" in found.notes[0]


def test_what_evaluate_and_calibrate_read_is_the_mean_of_several_raters_too(tmp_path: Path) -> None:
    file = table(tmp_path, "path,valence", "0.png,2", "0.png,4", "1.png,5")
    found = open_own_pictures(f"csv:{file}", replace(CARD, ratings=SCALES))
    assert [record.key for record in found.records] == ["0.png", "1.png"]
    assert found.ratings[:, 0].tolist() == [3, 5]


def test_pictures_of_a_split_for_tests_are_not_learned_from_and_those_without_a_rating_are_left_out(
    tmp_path: Path,
) -> None:
    rows = [f"{number}.png,{1 + number % 7},train" for number in range(FEWEST)]
    file = table(tmp_path, "path,cosiness,split", *rows, "20.png,3,test", "21.png,,train", count=22)
    found = open_rated_source(f"csv:{file}", COSINESS, CARD)
    assert len(found.records) == FEWEST and "20.png" not in {record.key for record in found.records}


def test_other_values_are_another_run(tmp_path: Path) -> None:
    file = table(tmp_path, "path,cosiness", *cosy_rows())
    before = open_rated_source(f"csv:{file}", COSINESS, CARD).to_json()
    assert open_rated_source(f"csv:{file}", COSINESS, CARD).to_json() == before
    table(tmp_path, "path,cosiness", *cosy_rows()[:-1], f"{FEWEST - 1}.png,7")
    assert open_rated_source(f"csv:{file}", COSINESS, CARD).to_json() != before


REFUSED = {
    "three rows": (cosy_rows()[:3], DatasetError, "3 pictures with a rating of cosiness.*20 or more"),
    "all the same": ([f"{n}.png,4" for n in range(FEWEST)], DatasetError, "are 4: there is nothing to learn"),
    "off the scale": (
        [*cosy_rows(), "0.png,8"],
        BadRow,
        "line 22: cosiness is '8', not a number from 1 to 7",
    ),
    "text": ([*cosy_rows(), "0.png,high"], BadRow, "line 22"),
    "missing": ([*cosy_rows(), "no.png,4"], DatasetError, "1 of the 21 pictures are not there"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_ratings_that_nothing_can_be_learned_from_are_refused(name: str, tmp_path: Path) -> None:
    rows, kind, message = REFUSED[name]
    file = table(tmp_path, "path,cosiness", *rows)
    with pytest.raises(kind, match=message):
        open_rated_source(f"csv:{file}", COSINESS, CARD)


def test_rows_of_one_picture_in_two_groups_are_refused(tmp_path: Path) -> None:
    rows = [f"{row},a" for row in cosy_rows()]
    with pytest.raises(DatasetError, match=r"Rows of 0\.png name several splits or groups"):
        open_rated_source(f"csv:{table(tmp_path, 'path,cosiness,group', *rows, '0.png,4,b')}", COSINESS, CARD)


def test_a_misspelt_column_names_the_nearest(tmp_path: Path) -> None:
    file = table(tmp_path, "path,cosyness", *cosy_rows())
    with pytest.raises(UnknownName, match="Did you mean 'cosyness'"):
        open_rated_source(f"csv:{file}", COSINESS, CARD)


@pytest.mark.parametrize(
    "name", ["awe", "positive", "top", "warmth_low", "a:b", "", "Cosiness", "smoothed_x"]
)
def test_a_name_that_rows_have_for_something_else_is_refused(name: str, tmp_path: Path) -> None:
    file = table(tmp_path, "path,cosiness", *cosy_rows())
    with pytest.raises(SettingsError, match="cannot be the name of a rating"):
        open_rated_source(f"csv:{file}", {name: (1.0, 7.0)}, CARD)


def test_a_folder_has_no_ratings(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="columns of a table"):
        open_rated_source(f"folder:{tmp_path}", COSINESS, CARD)


def test_scales_are_stated_with_the_names_or_for_all_of_them() -> None:
    assert rating_scales(["Cosiness:0:100", "valence", "calm"], (1, 5)) == {
        "cosiness": (0, 100), "valence": (1, 5), "calm": (1, 5),
    }  # fmt: skip
    assert rating_scales(["arousal"]) == {"arousal": (1, 9)}


@pytest.mark.parametrize(
    ("names", "scale", "message"),
    [
        (["cosiness"], None, "scale of cosiness is not stated"),
        (["cosiness:1"], None, "NAME:LOW:HIGH"),
        (["cosiness:1:high"], None, "NAME:LOW:HIGH"),
        (["cosiness:7:1"], None, "must rise"),
        (["cosiness:1:inf"], None, "must rise"),
        (["cosiness", "COSINESS"], (1, 7), "named twice"),
    ],
)
def test_a_scale_that_is_not_one_is_refused(
    names: list[str], scale: tuple[float, float] | None, message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        rating_scales(names, scale)


def test_a_table_with_valence_and_no_words_is_one_of_ratings_and_one_with_words_is_not(
    tmp_path: Path,
) -> None:
    file = table(tmp_path, "path,valence", *cosy_rows())
    assert ratings_of_table(f"csv:{file}", (1, 7)) == {"valence": (1, 7)}
    found = open_target(str(file), "default", {}, (1, 7))
    assert isinstance(found, RatedSource) and list(found.columns[0].scale) == [1, 9]
    labelled = table(tmp_path, "path,valence,label", *(f"{row},awe" for row in cosy_rows()))
    assert not ratings_of_table(f"csv:{labelled}") and not ratings_of_table(f"folder:{tmp_path}")
    with pytest.raises(SettingsError, match="no scale"):
        open_target(str(labelled), "default", {}, (1, 7))


def test_values_are_those_of_the_records(tmp_path: Path) -> None:
    """Whatever the order of the rows, and where a picture has one rating of two."""
    rows = [f"{n}.png,{1 + n % 7},{'' if n == 5 else 1 + n % 5}" for n in reversed(range(FEWEST + 1))]
    file = table(tmp_path, "path,cosiness,calm", *rows, count=FEWEST + 1)
    found = open_rated_source(f"csv:{file}", {**COSINESS, "calm": (1, 5)}, CARD)
    for record, values in zip(found.records, found.values, strict=True):
        number = int(record.key.removesuffix(".png"))
        assert values[0] == 1 + number % 7
        assert np.isnan(values[1]) if number == 5 else values[1] == 1 + number % 5


def test_every_refusal_is_ours(tmp_path: Path) -> None:
    with pytest.raises(AffectLensError):
        open_rated_source(f"csv:{tmp_path / 'none.csv'}", COSINESS, CARD)
