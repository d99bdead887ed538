"""Result files read back: what was written comes back from every format, and nothing else is taken for it."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

import without_torch
from affectlens.attributes import MEASURED
from affectlens.emotions import MIKELS, POLARITY, WEBEMO_25, Vocabulary
from affectlens.errors import DatasetError, PictureDamaged
from affectlens.inference.output.csv_rows import CsvRows
from affectlens.inference.output.formats import FORMATS
from affectlens.inference.output.read import is_rows_file, read_rows_file
from affectlens.inference.output.rows import RowSchema, text_of
from affectlens.inference.output.writer import open_output
from affectlens.inference.predictor import Prediction
from model_folders import CARD

SUFFIXES = [
    pytest.param(suffix, marks=pytest.mark.needs("pyarrow")) if suffix == ".parquet" else suffix
    for suffix in FORMATS
]
NAMES = ("a.jpg", "a,b.jpg", "two\nlines.jpg", "caf\u00e9.jpg", os.fsdecode(b"caf\xe9.jpg"), "broken.jpg")
OWN = (
    Vocabulary("words", ("cosy", "\u00e5ngest", "rock 'n' roll"), polarity={"cosy": "positive"}),
    Vocabulary("sides", ("calm", "negative", "neutral", "positive"), polarity={"positive": "positive"}),
    Vocabulary("side", ("calm", "positive")),
)
MODEL = replace(CARD, name="m", weights_hash="0123456789abcdef")


def written(file: Path, vocabulary: Vocabulary = MIKELS, attributes: Sequence[str] = ()) -> list[Prediction]:
    """Write predictions as a job does, the last an error; return them."""
    described = dict.fromkeys(attributes, 0.25) or None
    predictions = []
    for number, name in enumerate(NAMES):
        weights = {word: (3 * number + 7 * index) % 11 for index, word in enumerate(vocabulary.words)}
        emotions = vocabulary.distribution(weights)
        predictions.append(Prediction(name, emotions, None, described, "onnxruntime", "float32"))
    error = PictureDamaged(NAMES[-1], "it is torn")
    predictions[-1] = Prediction(NAMES[-1], None, error, {} if attributes else None, "onnxruntime", "float32")
    card, schema = replace(MODEL, vocabulary=vocabulary), RowSchema(vocabulary, tuple(attributes))
    output, _, _ = open_output(file, card, iter(NAMES), resume=False, batch_size=4, schema=schema)
    with output:
        for prediction in predictions:
            output.write(prediction.to_row(card))
    return predictions


@pytest.mark.parametrize(
    "vocabulary", [MIKELS, POLARITY, WEBEMO_25, *OWN], ids=lambda vocabulary: vocabulary.name
)
@pytest.mark.parametrize("attributes", [(), MEASURED], ids=["emotions", "attributes"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_rows_come_back_from_every_format(
    tmp_path: Path, suffix: str, attributes: Sequence[str], vocabulary: Vocabulary
) -> None:
    file = tmp_path / f"rows{suffix}"
    expected = [prediction.to_row(MODEL) for prediction in written(file, vocabulary, attributes)]
    found = read_rows_file(file).rows
    assert [text_of(row.image) for row in found] == [text_of(name) for name in NAMES]
    for row, plain in zip(found, expected, strict=True):
        assert (row.top, row.emotions) == (plain["top"], plain["emotions"])
        made_by = (row.model, row.weights, row.version, row.engine, row.precision)
        assert made_by == ("m", MODEL.weights_id, plain["version"], "onnxruntime", "float32")
        assert (row.error is None) == (plain["error"] is None)
        if attributes:
            assert row.attributes == plain["attributes"]
    assert found[-1].error is not None
    assert (found[-1].error.type, found[-1].error.message) == ("PictureDamaged", "broken.jpg: it is torn")


@pytest.mark.parametrize("words", [("true", "false"), ("True", "False"), ("TRUE", "FALSE")])
def test_truth_is_read_however_a_program_wrote_it(tmp_path: Path, words: tuple[str, str]) -> None:
    card = replace(MODEL, unusual={"threshold": 1.0})
    encoding = CsvRows(RowSchema(MIKELS, unusual=True))
    even = MIKELS.distribution(dict.fromkeys(MIKELS.words, 1.0))
    rows = [
        Prediction(name, even, None, unusual=mark).to_row(card) for name, mark in (("a", True), ("b", False))
    ]
    text = (encoding.header + b"".join(map(encoding.encode, rows))).decode()
    assert ",true," in text and ",false," in text
    for written_as, word in zip(("true", "false"), words, strict=True):
        text = text.replace(f",{written_as},", f",{word},")
    (tmp_path / "rows.csv").write_text(text)
    assert [row.unusual for row in read_rows_file(tmp_path / "rows.csv").rows] == [True, False]


def test_rows_of_versions_that_did_not_name_weights_and_engines_are_read(tmp_path: Path) -> None:
    for suffix in (".jsonl", ".csv"):
        file = tmp_path / f"rows{suffix}"
        written(file)
        rows = read_rows_file(file).rows
        if suffix == ".csv":
            lines = file.read_text(encoding="utf-8", errors="surrogateescape").replace(
                "model,weights,version,engine,precision", "model"
            )
            lines = lines.replace(f"m,{MODEL.weights_id},{rows[0].version},onnxruntime,float32", "m")
        else:
            lines = file.read_text(encoding="utf-8")
            for key in ("weights", "version", "engine", "precision"):
                value = getattr(rows[0], key)
                lines = lines.replace(f'"{key}": "{value}", ', "")
        file.write_text(lines, encoding="utf-8", errors="surrogateescape")
        former = read_rows_file(file).rows
        assert not former[0].weights and former[0].version == "" and former[0].engine is None
        assert [row.emotions for row in former] == [row.emotions for row in rows]


def test_a_spreadsheet_s_mark_and_empty_lines_between_joined_files_are_passed_over(tmp_path: Path) -> None:
    written(tmp_path / "rows.csv")
    written(tmp_path / "rows.jsonl")
    csv_rows, json_rows = (read_rows_file(tmp_path / name).rows for name in ("rows.csv", "rows.jsonl"))
    (tmp_path / "rows.csv").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "rows.csv").read_bytes())
    (tmp_path / "rows.jsonl").write_bytes((tmp_path / "rows.jsonl").read_bytes() + b"\n\n")
    assert read_rows_file(tmp_path / "rows.csv").rows == csv_rows
    assert read_rows_file(tmp_path / "rows.jsonl").rows == json_rows


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.jsonl", b"", "has no rows"),
        ("rows.csv", b"", "no column 'image'"),
        ("rows.csv", b",image,top,awe,fear,model,error_type,error_message\n", "index=False"),
        ("rows.csv", b"Unnamed: 0,image,top,awe,fear,model,error_type,error_message\n", "index=False"),
        ("rows.csv", b"path,label,split\na.jpg,awe,val\n", "no column 'image'"),
        ("rows.jsonl", b'{"image": "a.jpg", "label": "awe"}\n', "row 1,.*top"),
        ("rows.jsonl", b"\xff\xfe\n", "row 1,"),
        ("rows.jsonl", b"[" * 100_000 + b"\n", "row 1,.*nested"),
        ("rows.csv", b"image,top,awe,fear,positive,negative,model,error_type,error_message\na,awe,1\n",
         "row 1,.*3 cells in 9 columns"),
        ("rows.csv", b"image,top,awe,fear,positive,negative,model,error_type,error_message\n"
                     b"a,awe,much,0,1,0,m,,\n", "row 1,.*'much'"),
        ("rows.csv", b"image,top,awe,fear,positive,negative,model,error_type,error_message\n"
                     b"a,awe,,1,1,0,m,,\n", "row 1,.*null.*emotions"),
        pytest.param("rows.parquet", b"PAR1 no more", "row 1,", marks=pytest.mark.needs("pyarrow")),
    ],
)  # fmt: skip
def test_a_file_of_something_else_is_refused_with_what_is_wrong(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        read_rows_file(tmp_path / name)


def test_a_file_that_was_cut_off_names_the_row_and_the_way_out(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    written(file)
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(DatasetError, match=rf"row {len(NAMES)}, .*--resume"):
        read_rows_file(file)


def test_a_file_that_is_not_there_is_an_error_which_knows_of_an_unfinished_one(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no file of predictions.*spelling"):
        read_rows_file(tmp_path / "rows.jsonl")
    (tmp_path / ".rows.parquet.partial.jsonl").touch()
    with pytest.raises(DatasetError, match=r"interrupted.*--resume"):
        read_rows_file(tmp_path / "rows.parquet")


def test_what_ends_like_a_result_file_is_one_unless_it_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "model.csv").mkdir()
    assert is_rows_file("rows.jsonl") and is_rows_file("ROWS.CSV") and is_rows_file("rows.parquet")
    assert not any(is_rows_file(name) for name in ("default", "owner/name", str(tmp_path / "model.csv")))


def test_parquet_where_pyarrow_is_not_installed_names_the_extra(tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").write_bytes(b"PAR1")
    words = ("evaluate", tmp_path / "rows.parquet", "--data", "folder:nowhere")
    ended = without_torch.run(without_torch.COMMAND, *words)
    assert ended.returncode == 2 and len(ended.stderr.splitlines()) == 1
    assert (
        'needs pyarrow, which is not installed. Get it with pip install "affectlens[parquet]"' in ended.stderr
    )


@pytest.mark.needs("pyarrow")
def test_a_table_with_two_columns_of_one_name_is_not_read_by_either(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    file = tmp_path / "rows.parquet"
    written(file)
    table = pq.read_table(file)
    pq.write_table(table.append_column("awe", table.column("fear")), file)
    with pytest.raises(DatasetError, match="several columns 'awe'"):
        read_rows_file(file)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_predictions_that_are_a_pipe_are_refused_before_it_is_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "rows.jsonl")
    with pytest.raises(DatasetError, match="is a pipe or a device"):
        read_rows_file(tmp_path / "rows.jsonl")
