"""Pictures to guess at: what is known of them from tables, and how the service hands them out."""

import json
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from affectlens.errors import BadRow, SettingsError
from affectlens.images import encode_png
from affectlens.serve.game import read_game
from services import running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures, one of them in a folder of its own."""
    for number, name in enumerate(("a.png", "b.png", "deep/c.png")):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(encode_png(np.full((30, 40, 3), 60 * number, np.uint8)))
    return tmp_path


def test_labels_and_ratings_come_from_tables_next_to_the_pictures(folder: Path) -> None:
    rows = ["path,label", "a.png,awe", "a.png,awe", "a.png,fear", "deep/c.png,sadness"]
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    (folder / "ratings.tsv").write_text("path\tvalence\tarousal\nb.png\t7.5\t2\nb.png\t6.5\t4\n")
    a, b, c = read_game(folder)
    assert [each.key for each in (a, b, c)] == ["a.png", "b.png", "deep/c.png"]
    assert a.people["awe"] == pytest.approx(2 / 3) and a.people["fear"] == pytest.approx(1 / 3)
    assert c.people["sadness"] == 1 and not b.people
    assert b.ratings == {"valence": 7.0, "arousal": 3.0} and not a.ratings


def test_a_folder_without_tables_or_pictures(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert [(each.people, each.ratings) for each in read_game(folder)] == [({}, {})] * 3
    with pytest.raises(SettingsError, match="has no pictures to guess at"):
        read_game(tmp_path_factory.mktemp("empty"))


def test_folders_named_by_emotions_are_labels_where_there_is_no_table(folder: Path) -> None:
    for name in ("awe", "sad"):
        (folder / "deep" / name).mkdir()
    (folder / "a.png").rename(folder / "deep" / "awe" / "a.png")
    (folder / "b.png").rename(folder / "deep" / "sad" / "b.png")
    people = {each.key: each.people for each in read_game(folder / "deep")}
    assert people["awe/a.png"]["awe"] == people["sad/b.png"]["sadness"] == 1 and not people["c.png"]
    assert not any(each.people for each in read_game(folder)), "deep is not an emotion"
    (folder / "deep" / "labels.csv").write_text("path,label\nawe/a.png,fear\n")
    people = {each.key: each.people for each in read_game(folder / "deep")}
    assert people["awe/a.png"]["fear"] == 1 and not people["sad/b.png"]


def test_a_rating_beyond_its_scale_is_an_error_of_its_row(folder: Path) -> None:
    (folder / "ratings.csv").write_text("path,valence,arousal\na.png,12,3\n")
    with pytest.raises(BadRow, match=r"ratings\.csv"):
        read_game(folder)


def test_the_service_hands_out_these_pictures_and_no_other_files(folder: Path, rated_graph: Path) -> None:
    (folder / "labels.csv").write_text("path,label\na.png,awe\n")
    with running(rated_graph, decoders=1, game=folder) as service:
        address = service.address
        with urllib.request.urlopen(f"{address}game") as answer:
            pictures = json.load(answer)["pictures"]
        assert [each["name"] for each in pictures] == ["a.png", "b.png", "deep/c.png"]
        assert pictures[0]["people"]["awe"] == 1 and pictures[1]["people"] is None
        with urllib.request.urlopen(address + pictures[2]["url"]) as answer:
            assert answer.read() == (folder / "deep" / "c.png").read_bytes()
            assert answer.headers["Content-Type"] == "image/png"
        for other in ("game/3", "game/-1", "game/labels.csv"):
            with pytest.raises(urllib.error.HTTPError, match=r"404|422"):
                urllib.request.urlopen(address + other)
