import json
import os
import sys
from pathlib import Path

import pytest

from affectlens.cli.main import main
from affectlens.data.catalog import open_data
from lock_holder import holder
from pictures import colour_set
from refusals import Refusals


def status(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code if isinstance(ended.value.code, int) else 0


def test_splitting_writes_a_file_that_reads_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = colour_set(tmp_path / "data", ("awe", "fear"), each=20)
    out = data / "splits.tsv"
    assert status("data", "split", f"folder:{data}", "--out", str(out), "--val", "0.2", "--test", "0.1") == 0
    source = open_data(f"csv:{out}")
    assert {name: len(part) for name, part in source.splits.items()} == {"train": 28, "val": 8, "test": 4}
    assert "train: 28 pictures" in capsys.readouterr().out


def test_a_split_that_replaces_the_data_sets_own_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("train", "val"):
        colour_set(tmp_path / "data" / name, ("awe", "fear"), each=4)
    colour_set(tmp_path / "undivided", ("awe", "fear"), each=4)
    for data, line in {"data": "Instead of the data set's own: train, val.\n", "undivided": ""}.items():
        out = tmp_path / f"{data}.tsv"
        words = ("--out", str(out), "--near-duplicates", "off")
        assert status("data", "split", f"folder:{tmp_path / data}", *words) == 0
        assert capsys.readouterr().out.startswith(f"{line}train: ")


def test_a_split_is_never_overwritten(tmp_path: Path) -> None:
    data = colour_set(tmp_path / "data", ("awe", "fear"), each=4)
    out = tmp_path / "splits.tsv"
    out.write_text("mine")
    assert status("data", "split", f"folder:{data}", "--out", str(out)) == 2
    assert out.read_text() == "mine"


def test_checking_finds_an_unreadable_picture_and_one_in_two_splits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    colour_set(tmp_path / "data" / "train", ("awe", "fear"), each=3)
    colour_set(tmp_path / "data" / "val", ("awe", "fear"), each=2, seed=1)
    twin = tmp_path / "data" / "val" / "awe" / "0.png"
    twin.write_bytes((tmp_path / "data" / "train" / "awe" / "0.png").read_bytes())
    (tmp_path / "data" / "train" / "fear" / "1.png").write_bytes(b"no picture")
    found = tmp_path / "found.json"
    assert status("data", "check", f"folder:{tmp_path / 'data'}", "--out", str(found)) == 1
    shown = capsys.readouterr().out
    assert "train/fear/1.png" in shown and "val/awe/0.png" in shown
    assert json.loads(found.read_text())


def test_checking_a_sound_set_is_status_zero(tmp_path: Path) -> None:
    colour_set(tmp_path / "data" / "train", ("awe", "fear"), each=3)
    assert status("data", "check", f"folder:{tmp_path / 'data'}") == 0


def test_a_folder_that_cannot_be_listed_is_a_finding_among_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], refused: Refusals
) -> None:
    data = colour_set(tmp_path / "data", ("awe", "fear"), each=3)
    (data / "awe" / "more").mkdir()
    refused.add(data / "awe" / "more")
    found = tmp_path / "found.json"
    assert status("data", "check", f"folder:{data}", "--out", str(found)) == 1
    assert "all: awe/more: the folder cannot be listed" in capsys.readouterr().out
    (unreadable,) = json.loads(found.read_text())["unreadable"]
    assert unreadable["key"] == "awe/more"


def test_pictures_are_not_divided_while_some_cannot_be_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], refused: Refusals
) -> None:
    data = colour_set(tmp_path / "data", ("awe", "fear"), each=3)
    refused.add(data / "awe")
    assert status("data", "split", f"folder:{data}", "--out", str(tmp_path / "splits.tsv")) == 2
    assert "the folder cannot be listed" in capsys.readouterr().err
    assert not (tmp_path / "splits.tsv").exists()


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="every name there is text")
def test_a_name_that_is_not_text_is_checked_but_not_in_a_table_of_splits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = colour_set(tmp_path / "data", ("awe", "fear"), each=3)
    (data / "awe" / "0.png").rename(data / "awe" / os.fsdecode(b"caf\xe9.png"))
    (data / "awe" / "1.png").rename(data / "awe" / os.fsdecode(b"bad\xff.png"))
    (data / "awe" / os.fsdecode(b"bad\xff.png")).write_bytes(b"no picture")
    assert status("data", "check", f"folder:{data}", "--out", str(tmp_path / "found.json")) == 1
    assert json.loads((tmp_path / "found.json").read_text())["unreadable"][0]["key"] == "awe/bad\udcff.png"
    assert "bad\\udcff.png" in capsys.readouterr().out
    assert status("data", "split", f"folder:{data}", "--out", str(tmp_path / "splits.tsv")) == 2
    assert "is not UTF-8 text" in capsys.readouterr().err
    assert not (tmp_path / "splits.tsv").exists()


@pytest.mark.parametrize(("command", "name"), [("split", "splits.tsv"), ("check", "found.json")])
def test_a_second_process_that_would_write_the_same_file_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, name: str
) -> None:
    data = colour_set(tmp_path / "data", ("awe", "fear"), each=3)
    out = tmp_path / name
    with holder("locked_file", out):
        assert status("data", command, f"folder:{data}", "--out", str(out)) == 2
    assert "is being written by another process" in capsys.readouterr().err
    assert not out.exists()


def test_findings_do_not_replace_the_table_that_was_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "t.csv"
    table.write_text("path,label\na.png,awe\n")
    assert status("data", "check", f"csv:{table}", "--out", str(table)) == 2
    assert "Give it that suffix" in capsys.readouterr().err
    assert table.read_text().startswith("path")


@pytest.mark.parametrize("words", [["--val", "nan"], ["--test", "inf"], ["--val", "1"], ["--folds", "7"]])
def test_a_division_that_cannot_be_is_refused_and_writes_nothing(tmp_path: Path, words: list[str]) -> None:
    data = colour_set(tmp_path / "data", ("awe", "fear"), each=3)
    assert status("data", "split", f"folder:{data}", "--out", str(tmp_path / "s.tsv"), *words) == 2
    assert not (tmp_path / "s.tsv").exists()


def test_pictures_that_cannot_be_read_are_divided_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = colour_set(tmp_path / "data", ("awe", "fear"), each=4)
    (data / "awe" / "0.png").write_bytes(b"")
    assert status("data", "split", f"folder:{data}", "--out", str(tmp_path / "s.tsv")) == 1
    assert "1 pictures cannot be read" in capsys.readouterr().err
    assert "awe/0.png" in (tmp_path / "s.tsv").read_text()


FACTS = """
words = ["cosy", "uncanny", "odd"]
name = "moods"
[aliases]
snug = "cosy"
[polarity]
positive = ["cosy"]
negative = ["uncanny"]
[colours]
cosy = "#aa7733"
[valence]
cosy = 7.5
"""


def votes(tmp_path: Path) -> Path:
    """A table of votes and its words, in a folder that is not that of the pictures."""
    colour_set(tmp_path / "data", ("a", "b"), each=4)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "vocabulary.toml").write_text(FACTS, encoding="utf-8")
    rows = [
        f"{folder}/{number}.png,{3 - index},{index},1"
        for index, folder in enumerate("ab")
        for number in range(4)
    ]
    table = tmp_path / "labels" / "votes.csv"
    table.write_text("path,cosy,uncanny,odd\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return table


def test_a_table_of_splits_is_read_by_the_words_of_its_source(tmp_path: Path) -> None:
    spec = f"csv:{votes(tmp_path)}@{tmp_path / 'data'}"
    out = tmp_path / "elsewhere" / "splits.tsv"
    assert status("data", "split", spec, "--out", str(out), "--near-duplicates", "off") == 0
    read, source = open_data(f"csv:{out}@{tmp_path / 'data'}"), open_data(spec)
    assert read.vocabulary == source.vocabulary and read.vocabulary.valence == {"cosy": 7.5}
    assert {r.key: r.target for r in read.split("all")} == {r.key: r.target for r in source.split("all")}


def test_words_that_need_no_file_get_none(tmp_path: Path) -> None:
    data = colour_set(tmp_path / "data", ("awe", "fear"), each=3)
    out = tmp_path / "elsewhere" / "splits.tsv"
    assert status("data", "split", f"folder:{data}", "--out", str(out), "--near-duplicates", "off") == 0
    assert [each.name for each in out.parent.iterdir()] == ["splits.tsv"]


def test_a_folder_with_other_words_gets_no_table_of_splits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = f"csv:{votes(tmp_path)}@{tmp_path / 'data'}"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "vocabulary.toml").write_text('words = ["cosy", "grim"]', encoding="utf-8")
    out = tmp_path / "other" / "splits.tsv"
    assert status("data", "split", spec, "--out", str(out)) == 2
    assert "lists other words" in capsys.readouterr().err and not out.exists()
