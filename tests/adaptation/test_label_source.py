"""Several labels of a table: how cells are read, which are learned, and what is refused."""

import json
from pathlib import Path

import pytest

from affectlens.adaptation.job import open_target
from affectlens.adaptation.label_source import (
    FEWEST,
    LabelSource,
    has_several_labels,
    open_label_source,
)
from affectlens.adaptation.rated_source import RatedSource
from affectlens.emotions import BadVocabulary
from affectlens.errors import BadRow, DatasetError, SettingsError
from graphs import CARD

COUNT = 3 * FEWEST


def table(folder: Path, *more: str, header: str = "path,labels", name: str = "t.csv") -> Path:
    """Write a table in which a third of the pictures is cosy, a third bright as well, and a third neither."""
    cells = ["cosy", "cosy; bright", ""]
    rows = [f"{number}.png,{cells[number % 3]}" for number in range(COUNT)]
    for number in range(COUNT + 5):
        (folder / f"{number}.png").touch()
    file = folder / name
    file.write_text("\n".join([header, *rows, *more]) + "\n", encoding="utf-8")
    return file


def opened(file: Path) -> LabelSource:
    return open_label_source(f"csv:{file}", CARD)


def of(found: LabelSource, key: str) -> dict[str, float]:
    keys = [record.key for record in found.records]
    return dict(zip(found.words, found.values[keys.index(key)].tolist(), strict=True))


def test_a_cell_has_any_number_of_labels_and_an_empty_one_has_none(tmp_path: Path) -> None:
    found = opened(table(tmp_path))
    assert found.words == ("bright", "cosy") and found.values.shape == (COUNT, 2)
    assert [of(found, f"{n}.png") for n in range(3)] == [
        {"bright": 0, "cosy": 1}, {"bright": 1, "cosy": 1}, {"bright": 0, "cosy": 0},
    ]  # fmt: skip


def test_rows_of_several_people_are_shares(tmp_path: Path) -> None:
    found = opened(table(tmp_path, "2.png,cosy", "2.png,cosy; bright", f"{COUNT}.png,"))
    assert of(found, "2.png") == pytest.approx({"bright": 1 / 3, "cosy": 2 / 3})
    assert "33 rows rate 31 pictures" in found.notes[0]


def test_json_lines_have_a_list(tmp_path: Path) -> None:
    table(tmp_path)
    rows = [{"path": f"{n}.png", "labels": [["cosy"], ["cosy", "bright"], []][n % 3]} for n in range(COUNT)]
    file = tmp_path / "t.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    assert opened(file).to_json() == opened(tmp_path / "t.csv").to_json()


def test_rare_labels_are_left_out_with_a_note_and_none_at_all_is_an_error(tmp_path: Path) -> None:
    found = opened(table(tmp_path, "0.png,cosy;odd", *(f"{n}.png,odd" for n in range(COUNT, COUNT + 5))))
    assert found.words == ("bright", "cosy") and "left out: odd" in found.notes[-1]
    file = tmp_path / "few.csv"
    file.write_text("path,labels\n0.png,odd\n1.png,\n2.png,\n", encoding="utf-8")
    with pytest.raises(DatasetError, match=r"No label of .* has 10 pictures with it.*of 3 pictures odd 1"):
        opened(file)


REFUSED = {
    "case": (f"{COUNT}.png,Cosy", BadVocabulary, "differ by case, accents or spaces"),
    "accents": (f"{COUNT}.png,cósy", BadVocabulary, "differ by case, accents or spaces"),
    "twice": (f"{COUNT}.png,cosy;cosy", BadRow, "line 32: the label 'cosy' is there twice"),
    "commas": (f'{COUNT}.png,"cosy, bright"', BadRow, "Separate labels by semicolons"),
    "missing": ("no.png,cosy", DatasetError, "1 of the 31 pictures are not there"),
    "emotion": (f"{COUNT}.png,awe", SettingsError, "a word of the model's emotions"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_labels_that_cannot_be_learned_are_refused(name: str, tmp_path: Path) -> None:
    row, kind, message = REFUSED[name]
    with pytest.raises(kind, match=message):
        opened(table(tmp_path, row))


def test_labels_of_json_that_are_not_words_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "t.jsonl"
    file.write_text('{"path": "0.png", "labels": [1]}\n', encoding="utf-8")
    with pytest.raises(BadRow, match=r"its labels are \[1\]"):
        opened(file)


def test_a_table_with_the_column_is_one_of_several_labels_but_for_one_with_a_label(tmp_path: Path) -> None:
    file = table(tmp_path)
    assert has_several_labels(f"csv:{file}") and not has_several_labels(f"folder:{tmp_path}")
    assert isinstance(open_target(str(file), "default", {}), LabelSource)
    rows = [f"{n}.png,{word},x" for n in range(4) for word in ["awe" if n % 2 else "fear"]]
    both = tmp_path / "both.csv"
    both.write_text("\n".join(["path,label,labels", *rows]) + "\n", encoding="utf-8")
    assert not has_several_labels(f"csv:{both}")
    with pytest.raises(SettingsError, match="no scale"):
        open_target(str(file), "default", {}, (1, 7))
    rows = [f"{n}.png,{'cosy' if n % 2 else ''},{1 + n % 7}" for n in range(COUNT)]
    rated = tmp_path / "rated.csv"
    rated.write_text("\n".join(["path,labels,valence", *rows]) + "\n", encoding="utf-8")
    assert isinstance(open_target(str(rated), "default", {}), LabelSource)
    assert isinstance(open_target(str(rated), "default", {"valence": (1, 7)}), RatedSource)
