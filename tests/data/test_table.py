import json
from pathlib import Path
from typing import Any

import pytest

from affectlens.data import table
from affectlens.data.catalog import open_data
from affectlens.data.records import ALL, DataSource, digest
from affectlens.emotions import MIKELS, POLARITY
from affectlens.errors import AffectLensError, BadRow, DatasetError, DatasetNotFound


def write(folder: Path, name: str, content: str | bytes) -> Path:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def as_lines(*rows: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def tops(source: DataSource) -> dict[str, str]:
    return {record.key: record.target.top for record in source.split(ALL)}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "path,label\nx/1.jpg,awe\n2.jpg,sad\n"),
        ("a.tsv", "path\tlabel\nx/1.jpg\tawe\n2.jpg\tsad\n"),
        ("a.csv", "label,path\nawe,x/1.jpg\nsad,2.jpg"),
        ("a.csv", "\ufeffPath,Label\nx/1.jpg,Awe\n2.jpg,SAD\n"),
        ("a.csv", "path,label\r\nx/1.jpg,awe\r\n2.jpg,sad\r\n"),
        ("a.csv", " image , emotion \nx/1.jpg,awe\n2.jpg,sad \n"),
        ("a.csv", 'file,label,comment\nx/1.jpg,awe,"high, and\nwide"\n2.jpg,sad,\n'),
        ("a.csv", "filename,label,confidence\nx/1.jpg,awe,0.9\n2.jpg,sad,0.4\n"),
        ("a.jsonl", '{"path": "x/1.jpg", "label": "awe"}\n\n{"path": "2.jpg", "label": "sad"}\n'),
        ("a.jsonl", '{"Image": "x/1.jpg", "Label": "awe"}\r\n{"path": "2.jpg", "label": "sad"}'),
        (
            "a.ndjson",
            '{"image": "x/1.jpg", "emotions": {"awe": 1}}\n{"image": "2.jpg", "emotions": {"sad": 3}}',
        ),
    ],
)
def test_one_label_a_row_in_any_dress(tmp_path: Path, name: str, content: str) -> None:
    source = table.read(write(tmp_path, name, content))
    assert tops(source) == {"x/1.jpg": "awe", "2.jpg": "sadness"}
    assert source.vocabulary == MIKELS
    assert source.split(ALL)[0].path == tmp_path / "x/1.jpg"


def test_a_path_with_a_comma_is_quoted(tmp_path: Path) -> None:
    source = table.read(write(tmp_path, "a.csv", 'path,label\n"snow, deep.jpg",awe\n'))
    assert list(tops(source)) == ["snow, deep.jpg"]


def test_a_table_with_semicolons_is_an_error_with_the_way_out(tmp_path: Path) -> None:
    for content in ("path;label\n1.jpg;awe\n", "path;awe;fear\n1.jpg;0,5;0,5\n"):
        with pytest.raises(BadRow, match=r"line 1: .*semicolons"):
            table.read(write(tmp_path, "a.csv", content))


def test_a_path_with_a_comma_that_is_not_quoted_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadRow, match="line 3: more cells than columns"):
        table.read(write(tmp_path, "a.csv", "label,path\nawe,1.jpg\nawe,snow, deep.jpg\n"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("votes.csv", "path,Amusement,Awe,Fear\n1.jpg,6,2,0\n"),
        ("votes.jsonl", '{"path": "1.jpg", "emotions": {"amusement": 6, "awe": 2}}\n'),
        ("votes.jsonl", '{"path": "1.jpg", "amusement": 6, "awe": 2, "fear": 0}\n'),
        ("shares.tsv", "path\tamusement\tawe\tfear\n1.jpg\t0.75\t.25\t0e0\n"),
    ],
)
def test_votes_and_weights_become_a_distribution(tmp_path: Path, name: str, content: str) -> None:
    target = table.read(write(tmp_path, name, content)).split(ALL)[0].target
    assert {word: share for word, share in target.weights.items() if share} == {
        "amusement": 0.75,
        "awe": 0.25,
    }


def test_splits_may_have_any_of_their_usual_names(tmp_path: Path) -> None:
    rows = "path,label,split\n1.jpg,awe,Training\n2.jpg,awe, valid\n3.jpg,awe,TEST\n"
    source = table.read(write(tmp_path, "a.csv", rows))
    assert {name: len(part) for name, part in source.splits.items()} == {"train": 1, "val": 1, "test": 1}


def test_what_predict_writes_is_read_back(tmp_path: Path) -> None:
    evoked = MIKELS.distribution({"awe": 0.6, "fear": 0.3, "sadness": 0.1})
    made_by = {"model": "7", "weights": "95366e123456", "version": "0.2"}  # all of which look like numbers
    row = {
        "image": "1.jpg", "top": "awe", "emotions": evoked.weights, "polarity": evoked.polarity.weights,
        **made_by, "error": None,
    }  # fmt: skip
    flat = {"image": "1.jpg", "top": "awe", **evoked.weights, **evoked.polarity.weights, **made_by,
            "error_type": "", "error_message": ""}  # fmt: skip
    csv = f"{','.join(flat)}\n{','.join(map(str, flat.values()))}\n"
    for name, content in (("a.jsonl", as_lines(row)), ("a.csv", csv)):
        source = table.read(write(tmp_path, name, content))
        assert source.vocabulary == MIKELS
        read = source.split(ALL)[0].target
        assert read.probabilities == pytest.approx(evoked.probabilities)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", as_lines({"image": "1.jpg", "emotions": {"awe": 1}, "error": None},
                             {"image": "2.jpg", "emotions": None, "seconds": 3,
                              "error": {"type": "PictureEmpty", "message": "zero bytes"}})),
        ("a.csv", "image,awe,fear,positive,negative,error_type,error_message\n1.jpg,1,0,1,0,,\n"
                  "2.jpg,,,,,PictureEmpty,zero bytes\n"),
    ],
)  # fmt: skip
def test_a_row_of_a_picture_that_could_not_be_read_is_an_error(
    tmp_path: Path, name: str, content: str
) -> None:
    line = 3 if name.endswith("csv") else 2
    with pytest.raises(BadRow, match=rf"line {line}: a picture that could not be predicted \(zero bytes\)"):
        table.read(write(tmp_path, name, content))


def test_columns_of_polarity_alone_are_the_emotions(tmp_path: Path) -> None:
    source = table.read(write(tmp_path, "a.csv", "path,positive,negative\n1.jpg,1,4\n"))
    assert source.vocabulary == POLARITY
    assert source.split(ALL)[0].target["negative"] == 0.8


@pytest.mark.parametrize(
    ("name", "content", "line", "reason"),
    [
        ("a.csv", "path,label\n1.jpg,awe\n2.jpg,amusment\n", 3, "Did you mean 'amusement'"),
        (
            "a.jsonl",
            as_lines({"path": "1.jpg", "label": "awe"}, {"path": "2.jpg", "label": "aww"}),
            2,
            "'aww'",
        ),
        ("a.csv", "path,awe,amusment\n1.jpg,1,2\n", 2, "Did you mean 'amusement'"),
        ("a.csv", "path,label,split\n1.jpg,awe,train\n2.jpg,awe,trian\n", 3, "Did you mean 'train'"),
        (
            "a.csv",
            "path,label,split\n1.jpg,awe,train\n2.jpg,awe,\n",
            3,
            "no split, though other rows have one",
        ),
        ("a.csv", "label,path\nawe,1.jpg\nawe,\n", 3, "no path"),
        ("a.csv", "picture,label\n1.jpg,awe\n", 2, "path, image, file, filename"),
        ("a.csv", "path,label\n1.jpg\n", 2, "neither a label"),
        ("a.csv", "path,awe,fear\n1.jpg,1,0\n2.jpg,0,0\n", 3, "not all zero"),
        ("a.csv", "path,awe,fear\n1.jpg,1,0\n2.jpg,-1,2\n", 3, "not negative"),
        ("a.csv", "path,awe,fear\n1.jpg,nan,2\n", 2, "finite"),
        ("a.jsonl", '{"path": "1.jpg", "label": "awe"}\n{"path": \n', 2, "not JSON"),
        ("a.jsonl", '["1.jpg", "awe"]\n', 1, "expected a JSON object"),
        ("a.jsonl", '{"path": 7, "label": "awe"}\n', 1, "no path"),
        ("a.jsonl", '{"path": "1.jpg", "emotions": {}}\n', 1, "neither a label"),
        (
            "a.jsonl",
            '{"path": "1.jpg", "emotions": {"awe": "x"}}\n',
            1,
            "weight of 'awe' is \"x\"; expected a",
        ),
        (
            "a.jsonl",
            '{"path": "1.jpg", "emotions": {"awe": null}}\n',
            1,
            "weight of 'awe' is null; expected a",
        ),
        ("a.jsonl", '{"path": "1.jpg", "emotions": {"awe": [1]}}\n', 1, "weight of 'awe' is .1.; expected a"),
        (
            "a.jsonl",
            '{"path": "1.jpg", "emotions": {"awe": 1' + "0" * 400 + "}}\n",
            1,
            "'awe' is 1000+; expected",
        ),
        ("a.csv", "path,awe,fear\n1.jpg,1,2\n2.jpg,1,x\n", 3, "weight of 'fear' is \"x\"; expected a"),
        ("a.csv", "path,amuse,fear\n1.jpg,x,2\n2.jpg,1,1\n", 2, "weight of 'amuse' is \"x\"; expected a"),
        ("a.csv", "path,positive,negative\n1.jpg,x,2\n", 2, "weight of 'positive' is \"x\"; expected a"),
        ("a.jsonl", '{"path": "1.jpg", "awe": "x", "fear": 2}\n', 1, "weight of 'awe' is \"x\"; expected a"),
        ("a.jsonl", '{"path": "1.jpg", "x": 1' + "0" * 5000 + "}\n", 1, "cannot be read"),
        ("a.jsonl", "[" * 100_000 + "\n", 1, "cannot be read"),
        ("a.csv", "path,label\n1.jpg," + "a" * 200_000 + "\n", 2, "field larger"),
        ("a.csv", "path,awe,fear,awe\n1.jpg,1,0,0\n", 1, "the column 'awe' is there twice"),
        ("a.csv", "path,label, Label\n1.jpg,awe,fear\n", 1, "the column 'label' is there twice"),
        ("a.jsonl", '{"path": "1.jpg", "label": "awe", "label": "fear"}\n', 1, "'label' is there twice"),
        ("a.jsonl", '{"path": "1.jpg", "label": "awe", "Label": "fear"}\n', 1, "'label' is there twice"),
        ("a.jsonl", '{"path": "1.jpg", "emotions": {"awe": 1, "awe": 0}}\n', 1, "'awe' is there twice"),
        ("a.tsv", "path\tlabel\tsplit\n1.jpg\tawe\ttrain\n2.jpg\tawe\t \n", 3, "no split, though"),
    ],
)
def test_a_row_that_is_wrong_is_named_by_its_line(
    tmp_path: Path, name: str, content: str, line: int, reason: str
) -> None:
    with pytest.raises(BadRow, match=rf"{name}, line {line}: .*{reason}") as caught:
        table.read(write(tmp_path, name, content))
    assert caught.value.line == line


@pytest.mark.parametrize("content", ["", "path,label\n", "\n\n"])
def test_a_table_without_rows_is_an_error(tmp_path: Path, content: str) -> None:
    with pytest.raises(DatasetError, match="has no rows"):
        table.read(write(tmp_path, "a.csv", content))


@pytest.mark.parametrize(
    "content", ["path,label\nété.jpg,awe\n".encode("latin-1"), "path,label\n".encode("utf-16")]
)
def test_a_table_that_is_not_utf_8_is_an_error(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DatasetError, match="not UTF-8"):
        table.read(write(tmp_path, "a.csv", content))


def test_a_table_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFound, match=r"none\.csv"):
        table.read(tmp_path / "none.csv")


def test_paths_may_be_absolute_and_the_same_pictures_have_the_same_digest(tmp_path: Path) -> None:
    relative = table.read(write(tmp_path, "a.csv", "path,label\nx/1.jpg,awe\n"))
    absolute = table.read(write(tmp_path, "b.csv", f"path,label\n{tmp_path / 'x' / '1.jpg'},awe\n"))
    assert absolute.split(ALL) == relative.split(ALL)
    assert digest(absolute.split(ALL)) == digest(relative.split(ALL))
    elsewhere = table.read(write(tmp_path, "c.csv", "path,label\n/elsewhere/1.jpg,awe\n")).split(ALL)[0]
    assert elsewhere.path == Path("/elsewhere/1.jpg")


def test_pictures_may_lie_in_another_folder_than_their_table(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    source = table.read(write(tmp_path, "a.csv", "path,label\nx/1.jpg,awe\n"), root=tmp_path / "pictures")
    assert source.root == tmp_path / "pictures"
    assert source.split(ALL)[0].path == tmp_path / "pictures" / "x" / "1.jpg"
    with pytest.raises(DatasetNotFound, match="gone"):
        table.read(tmp_path / "a.csv", root=tmp_path / "gone")


def test_a_folder_in_the_stead_of_a_table_and_a_file_in_that_of_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFound, match=r"is a folder\. Pass the file itself"):
        table.read(tmp_path)
    (tmp_path / "t.csv").write_text("path,label\na.png,awe\n")
    with pytest.raises(DatasetNotFound, match=r"t\.csv is a file\. Pass a folder"):
        table.read(tmp_path / "t.csv", root=tmp_path / "t.csv")


def test_a_fold_of_thousands_of_digits_is_an_error_of_its_line(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"path,label,split\na.png,awe,fold {'9' * 5000}\n")
    with pytest.raises(BadRow, match="line 2"):
        table.read(tmp_path / "t.csv")


def test_ratings_of_any_name_in_a_table_of_predictions_are_not_emotions(tmp_path: Path) -> None:
    words = dict.fromkeys(MIKELS.words, "0.125")
    row = {"image": "a.jpg", **words, "cosiness": "5", "cosiness_low": "4", "cosiness_high": "6"}
    file = tmp_path / "rows.csv"
    file.write_text(",".join(row) + "\n" + ",".join(row.values()) + "\n", encoding="utf-8")
    (record,) = table.read(file).split("all")
    assert record.target.vocabulary == MIKELS


def test_columns_about_ratings_sets_and_confidence_are_not_emotions(tmp_path: Path) -> None:
    words = ",".join(MIKELS.words)
    numbers = ",".join(["1", *["0"] * 7])
    about = "calm,calm_low,calm_high,valence,valence_low,valence_high,unusual,set,coverage,min_confidence"
    file = write(
        tmp_path, "rows.csv", f"image,top,{words},{about}\na.jpg,,{numbers},3,2,4,5,4,6,false,[],0.9,0.5\n"
    )
    assert tops(table.read(file)) == {"a.jpg": "amusement"}


def test_a_name_that_no_system_has_is_a_table_that_is_not_there() -> None:
    for spec in ("csv:" + "x" * 500, "x" * 500 + ".csv@y", "folder:" + "x" * 500, "csv:a@" + "x" * 500):
        with pytest.raises(AffectLensError):
            open_data(spec)


def test_ratings_are_no_labels_and_the_error_names_them(tmp_path: Path) -> None:
    with pytest.raises(BadRow, match=r"nor weights by emotion\. Its ratings are not labels"):
        table.read(write(tmp_path, "a.csv", "path,valence\na.jpg,5\n"))
