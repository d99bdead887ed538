import csv
import json
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from affectlens.attributes import MEASURED
from affectlens.emotions import MIKELS, POLARITY, Vocabulary
from affectlens.errors import OutputError, OutputInUse, PictureDamaged
from affectlens.inference.inputs import Input
from affectlens.inference.output.formats import FORMATS, journal_of
from affectlens.inference.output.rows import MADE_BY, RowSchema
from affectlens.inference.output.writer import open_output
from affectlens.inference.predictor import Prediction
from affectlens.model_folder import Card
from affectlens.version import VERSION
from lock_holder import holder
from model_folders import CARD

BATCH = 4
needs_pyarrow = pytest.mark.needs("pyarrow")
PARQUET = pytest.param("parquet", marks=needs_pyarrow)
SUFFIXES = [PARQUET if suffix == ".parquet" else suffix.removeprefix(".") for suffix in FORMATS]
NAMES = [f"{number}.jpg" for number in range(10)]
ODD_NAMES = [
    "a,b.jpg",
    'quo"te.jpg',
    "two\nlines.jpg",
    "car\rriage.jpg",
    "café ☕.jpg",
    os.fsdecode(b"caf\xe9.jpg"),
    "=1+1",
]


MODEL = replace(CARD, name="m", weights_hash="0123456789abcdef")

SCHEMA = RowSchema(MIKELS)


SIDES = {"positive": "positive", "negative": "negative"}
THREE = Vocabulary("own-4", ("calm", "negative", "neutral", "positive"), polarity=SIDES)
BY: dict[str, Any] = {"engine": "onnxruntime", "precision": "float32"}


def row_of(
    name: str, model: Card = MODEL, vocabulary: Vocabulary = MIKELS, attributes: tuple[str, ...] = ()
) -> dict[str, Any]:
    described = {attribute: len(name) / (9 + index) for index, attribute in enumerate(attributes)} or None
    if name == "3.jpg":
        error = PictureDamaged(name, "truncated, or\nworse")
        return Prediction(name, None, error, {} if described else None, **BY).to_row(model)
    words = vocabulary.words
    weights = {word: 1.0 + (len(name) * 7 + sum(map(ord, name)) * i) % 11 for i, word in enumerate(words)}
    return Prediction(name, vocabulary.distribution(weights), None, described, **BY).to_row(model)


def write(
    file: Path,
    names: Iterable[Input],
    *,
    resume: bool = False,
    model: Card = MODEL,
    stop_after: int | None = None,
    vocabulary: Vocabulary = MIKELS,
    attributes: tuple[str, ...] = (),
    by: tuple[str | None, str | None] = (None, None),
) -> int:
    """Write rows as a job does; `stop_after` ends it as an interruption. Returns how many were kept."""
    card = replace(model, vocabulary=vocabulary)
    output, rest, kept = open_output(
        file,
        card,
        iter(names),
        resume=resume,
        batch_size=BATCH,
        schema=RowSchema(vocabulary, attributes),
        by=by,
    )
    try:
        with output:
            for number, given in enumerate(rest):
                if number == stop_after:
                    raise KeyboardInterrupt
                output.write(row_of(str(given), model, vocabulary, attributes))
    except KeyboardInterrupt:
        pass
    return kept.rows


def read(file: Path) -> list[dict[str, Any]]:
    """What another program finds in a file, as flat rows."""
    if file.suffix == ".jsonl":
        return [json.loads(line) for line in file.read_text().splitlines()]
    if file.suffix == ".csv":
        with file.open(newline="", errors="surrogateescape") as text:
            return list(csv.DictReader(text))
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(file).to_pylist()
    return rows


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_row_is_there_in_order(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / "new" / f"out.{suffix}"
    write(file, NAMES)
    assert [row["image"] for row in read(file)] == NAMES


def test_json_lines_are_the_rows_themselves(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    write(file, NAMES)
    assert read(file) == [row_of(name) for name in NAMES]


def test_csv_has_a_column_for_each_emotion_and_empty_fields_for_an_error(tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    write(file, NAMES)
    rows = read(file)
    assert list(rows[0]) == ["image", "top", *MIKELS.words, "positive", "negative", "model", "weights",
                             "version", "engine", "precision", "error_type", "error_message"]  # fmt: skip
    expected = row_of("0.jpg")
    assert {word: float(rows[0][word]) for word in MIKELS.words} == expected["emotions"]
    assert float(rows[0]["positive"]) == expected["polarity"]["positive"]
    assert [rows[3][name] for name in MADE_BY] == ["m", "0123456789ab", VERSION, *BY.values()]
    assert rows[0]["error_type"] == rows[3]["top"] == rows[3]["awe"] == ""
    assert rows[3]["error_type"] == "PictureDamaged"
    assert rows[3]["error_message"] == "3.jpg: truncated, or\nworse"


@needs_pyarrow
def test_parquet_has_the_columns_of_csv_with_nulls(tmp_path: Path) -> None:
    file = tmp_path / "out.parquet"
    write(file, NAMES)
    rows = read(file)
    assert list(rows[0]) == SCHEMA.columns
    assert rows[0]["awe"] == row_of("0.jpg")["emotions"]["awe"]
    assert rows[3]["awe"] is rows[3]["top"] is rows[0]["error_type"] is None
    assert not journal_of(file).exists()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_attributes_have_columns_and_are_continued_to_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    complete, file = tmp_path / f"complete.{suffix}", tmp_path / f"out.{suffix}"
    write(complete, NAMES, attributes=MEASURED)
    write(file, NAMES, stop_after=6, attributes=MEASURED)
    assert write(file, NAMES, resume=True, attributes=MEASURED) == 4
    assert file.read_bytes() == complete.read_bytes()
    assert write(file, NAMES, resume=True, attributes=MEASURED) == 8  # of a file that is finished
    assert file.read_bytes() == complete.read_bytes()
    rows, expected = read(file), row_of("0.jpg", attributes=MEASURED)["attributes"]
    first, failed = (row.get("attributes", row) for row in (rows[0], rows[3]))
    assert {name: float(first[name]) for name in MEASURED} == expected
    assert [failed.get(name) or None for name in MEASURED] == [None, None]
    if suffix != "jsonl":
        assert list(rows[0]) == RowSchema(MIKELS, MEASURED).columns
        assert [name for name in rows[0] if name not in SCHEMA.columns] == list(MEASURED)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(("then", "now"), [((), MEASURED), (MEASURED, ()), (("scene",), MEASURED)])
@pytest.mark.parametrize("stop_after", [6, None])
def test_a_file_of_other_attributes_is_not_continued(
    tmp_path: Path, suffix: str, then: tuple[str, ...], now: tuple[str, ...], stop_after: int | None
) -> None:
    file = tmp_path / f"out.{suffix}"
    write(file, NAMES, stop_after=stop_after, attributes=then)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(OutputError, match="attributes"):
        write(file, NAMES, resume=True, attributes=now)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("vocabulary", [POLARITY, THREE], ids=lambda vocabulary: vocabulary.name)
def test_a_vocabulary_with_the_words_of_polarity_has_each_column_once(
    tmp_path: Path, suffix: str, vocabulary: Vocabulary
) -> None:
    file = tmp_path / f"out.{suffix}"
    write(file, NAMES, vocabulary=vocabulary)
    complete = file.read_bytes()
    assert len(read(file)) == 10
    assert write(file, NAMES, vocabulary=vocabulary, resume=True) == 8
    assert file.read_bytes() == complete


def test_words_of_polarity_among_others_are_the_first_columns_and_have_no_sums() -> None:
    assert RowSchema(THREE).columns[:6] == ["image", "top", "negative", "positive", "calm", "neutral"]
    assert row_of("1.jpg", vocabulary=THREE)["polarity"] is None


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("stop_after", range(11))
def test_an_interrupted_file_is_continued_to_the_same_bytes(
    tmp_path: Path, suffix: str, stop_after: int
) -> None:
    complete, file = tmp_path / f"complete.{suffix}", tmp_path / f"out.{suffix}"
    write(complete, NAMES)
    write(file, NAMES, stop_after=stop_after)
    assert write(file, NAMES, resume=True) == stop_after // BATCH * BATCH
    assert file.read_bytes() == complete.read_bytes()


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_a_file_cut_at_any_byte_is_continued_to_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    complete = tmp_path / f"complete.{suffix}"
    names = [*ODD_NAMES, *NAMES]
    write(complete, names)
    content = complete.read_bytes()
    for length in range(0, len(content), 41):
        file = tmp_path / f"{length}.{suffix}"
        file.write_bytes(content[:length])
        write(file, names, resume=True)
        assert file.read_bytes() == content


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_finished_file_is_continued_where_pictures_were_added(tmp_path: Path, suffix: str) -> None:
    complete, file = tmp_path / f"complete.{suffix}", tmp_path / f"out.{suffix}"
    names = [*NAMES, *ODD_NAMES]
    write(complete, names)
    write(file, NAMES)
    assert write(file, names, resume=True) == 8
    assert file.read_bytes() == complete.read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_odd_names_of_files_come_back_as_they_are(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"out.{suffix}"
    write(file, ODD_NAMES)
    found = [row["image"] for row in read(file)]
    if suffix == "parquet":  # whose strings must be text
        assert found == [*ODD_NAMES[:5], "caf\\udce9.jpg", ODD_NAMES[6]]
    else:
        assert found == ODD_NAMES
    assert write(file, ODD_NAMES, resume=True) == 4


ROW = (
    '{"image": "%s", "top": "%s", "emotions": {"amusement": 0.0, "awe": %s, "contentment": 0.0, '
    '"excitement": 0.0, "anger": 0.0, "disgust": 0.0, "fear": %s, "sadness": 0.0}, "polarity": '
    '{"positive": %s, "negative": %s}, "attributes": {"brightness": 0.25, "predicted_attributes": {"scene": '
    '{"word": "beach", "probability": 0.9}}, "because": []}, "model": "m", "error": null}\n'
)
FAILED_ROW = (
    '{"image": "gone.jpg", "top": null, "emotions": null, "polarity": null, "attributes": {}, "model": "m", '
    '"error": {"type": "PictureDamaged", "message": "gone.jpg: cut off."}}\n'
)
FORMER_LINES = (
    ROW % ("a,b.jpg", "awe", "1.0", "0.0", "1.0", "0.0"),
    FAILED_ROW,
    ROW % ("café.jpg", "fear", "0.0", "1.0", "0.0", "1.0"),
)
FORMER_CSV = (
    "image,top,amusement,awe,contentment,excitement,anger,disgust,fear,sadness,positive,negative,brightness,"
    "predicted_attributes,because,model,error_type,error_message\n",
    '"a,b.jpg",awe,0.0,1.0,0.0,0.0,0.0,0.0,0.0,0.0,1.0,0.0,0.25,"{""scene"": {""word"": ""beach"", '
    '""probability"": 0.9}}",[],m,,\n',
    "gone.jpg,,,,,,,,,,,,,,,m,PictureDamaged,gone.jpg: cut off.\n",
    'café.jpg,fear,0.0,0.0,0.0,0.0,0.0,0.0,1.0,0.0,0.0,1.0,0.25,"{""scene"": {""word"": ""beach"", '
    '""probability"": 0.9}}",[],m,,\n',
)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_job_that_version_0_1_began_is_not_continued_with_weights_that_may_be_others(
    tmp_path: Path, suffix: str
) -> None:
    file = tmp_path / f"out.{suffix}"
    growing = journal_of(file) if suffix == "parquet" else file
    content = "".join(FORMER_CSV if suffix == "csv" else FORMER_LINES).encode()[:-40]
    growing.write_bytes(content)
    names = ["a,b.jpg", "gone.jpg", "café.jpg"]
    with pytest.raises(OutputError, match=r"weights.*before 0\.2|before 0\.2.*weights"):
        write(file, names, resume=True, attributes=("brightness", "predicted_attributes", "because"))
    assert growing.read_bytes() == content


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_rows_of_a_model_that_was_not_saved_are_continued(tmp_path: Path, suffix: str) -> None:
    unsaved = replace(MODEL, weights_hash="")
    file = tmp_path / f"out.{suffix}"
    write(file, NAMES, model=unsaved, stop_after=6)
    assert write(file, NAMES, model=unsaved, resume=True) == 4


def test_rows_of_another_version_with_the_same_weights_are_continued(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    write(file, NAMES, stop_after=5)
    file.write_text(file.read_text().replace(VERSION, "0.2.7"))
    assert write(file, NAMES, resume=True) == 4
    assert [row["version"] for row in read(file)] == ["0.2.7"] * 4 + [VERSION] * 6


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(("engine", "precision"), [("openvino", "float32"), ("onnxruntime", "bfloat16")])
def test_rows_of_another_engine_or_precision_are_not_continued(
    tmp_path: Path, suffix: str, engine: str, precision: str
) -> None:
    file = tmp_path / f"out.{suffix}"
    write(file, NAMES)
    content = file.read_bytes()
    with pytest.raises(
        OutputError, match="Pass --engine onnxruntime --precision float32, or name another file"
    ):
        write(file, NAMES, resume=True, by=(engine, precision))
    assert file.read_bytes() == content
    assert write(file, NAMES, resume=True, by=("onnxruntime", "float32")) == len(NAMES) // BATCH * BATCH


def test_rows_that_name_no_engine_are_continued_by_any(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    write(file, NAMES)
    file.write_text(file.read_text().replace('"engine": "onnxruntime"', '"engine": null'))
    assert write(file, NAMES, resume=True, by=("openvino", "float32")) > 0


@pytest.mark.parametrize("suffix", ["jsonl", PARQUET])
@pytest.mark.parametrize(
    "line",
    [
        "[]", "{}", "null", "[" * 100_000, "\xff", '{"image": "0.jpg"',
        json.dumps({**row_of("0.jpg"), "emotions": {**row_of("0.jpg")["emotions"], "awe": "much"}}),
        json.dumps({**row_of("0.jpg"), "image": 7}),
        json.dumps({**row_of("0.jpg"), "error": "none"}),
    ],
    ids=range(9),
)  # fmt: skip
def test_a_crafted_line_is_an_error_that_names_its_row(tmp_path: Path, suffix: str, line: str) -> None:
    file = tmp_path / f"out.{suffix}"
    growing = journal_of(file) if suffix == "parquet" else file
    growing.write_text(line + "\n", encoding="latin-1")
    with pytest.raises(OutputError, match="row 1, is not an answer"):
        write(file, NAMES, resume=True)


@needs_pyarrow
def test_an_attribute_of_another_type_is_an_error_of_the_journal(tmp_path: Path) -> None:
    file = tmp_path / "out.parquet"
    output, _, _ = open_output(
        file, MODEL, iter(NAMES), resume=False, batch_size=BATCH, schema=RowSchema(MIKELS, MEASURED)
    )
    row = row_of("0.jpg", attributes=MEASURED)
    with pytest.raises(OutputError, match="cannot be written"), output:
        output.write({**row, "attributes": {**row["attributes"], "brightness": "dark"}})
    assert not file.exists()


@needs_pyarrow
def test_a_parquet_file_whose_cells_are_not_json_is_an_error(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file, attributes = tmp_path / "out.parquet", ("predicted_attributes",)
    schema = pa.schema([(name, pa.string()) for name in RowSchema(MIKELS, attributes).columns])
    cells = dict.fromkeys(RowSchema(MIKELS, attributes).columns, "x") | {"error_type": None}
    pq.write_table(pa.Table.from_pylist([cells], schema), file)
    with pytest.raises(OutputError, match="is not a Parquet file that can be read"):
        write(file, NAMES, resume=True, attributes=attributes)
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]


def test_a_row_that_is_written_outlives_the_process(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    output, rest, _ = open_output(file, MODEL, iter(NAMES), resume=False, batch_size=BATCH, schema=SCHEMA)
    output.write(row_of(str(next(rest))))
    assert read(file) == [row_of("0.jpg")]
    with pytest.raises(ZeroDivisionError), output:
        raise ZeroDivisionError


@pytest.mark.skipif(os.name == "nt", reason="open files are not removed there")
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("renamed", [True, False])
def test_an_output_that_went_away_meanwhile_is_an_error(tmp_path: Path, suffix: str, renamed: bool) -> None:
    file = tmp_path / f"out.{suffix}"
    output, rest, _ = open_output(file, MODEL, iter(NAMES), resume=False, batch_size=BATCH, schema=SCHEMA)
    (rows_file,) = (each for each in tmp_path.iterdir() if not each.name.endswith(".lock"))
    with pytest.raises(OutputError, match="was removed, renamed or replaced"), output:
        output.write(row_of(str(next(rest))))
        if renamed:
            rows_file.rename(tmp_path / "renamed")
            rows_file.write_bytes(b"")  # another file of its name
        else:
            rows_file.unlink()
    assert not renamed or (tmp_path / "renamed").stat().st_size > 100


@needs_pyarrow
def test_an_interrupted_parquet_file_is_not_there_but_its_rows_are(tmp_path: Path) -> None:
    file = tmp_path / "out.parquet"
    write(file, NAMES, stop_after=6)
    assert not file.exists()
    assert len(journal_of(file).read_text().splitlines()) == 6
    with pytest.raises(OutputError, match="--resume"):
        write(file, NAMES)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_exists_is_not_overwritten(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"out.{suffix}"
    file.write_text("precious")
    with pytest.raises(OutputError, match="--resume"):
        write(file, NAMES)
    assert file.read_text() == "precious"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_strangers_file_is_not_continued(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"out.{suffix}"
    content = "precious,to\nsomebody,else\n"
    file.write_text(content)
    with pytest.raises(OutputError, match="another file"):
        write(file, NAMES, resume=True)
    assert file.read_text() == content


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("names", "model", "problem"),
    [
        ([*NAMES[:2], "other.jpg"], MODEL, "row 3.*'2.jpg'.*'other.jpg'"),
        (NAMES[:5], MODEL, "more than the 5"),
        ([*NAMES[:4], *NAMES[:3:-1]], MODEL, "row 5.*same order"),
        (NAMES, replace(MODEL, name="n"), "model 'm'.*'n'"),
        (
            NAMES,
            replace(MODEL, weights_hash="fedcba987654"),
            "row 1,.*0123456789ab.*fedcba987654",
        ),
        (NAMES, replace(MODEL, weights_hash=""), "row 1,.*now are None"),
    ],
)
def test_other_pictures_or_another_model_do_not_continue_a_file(
    tmp_path: Path, suffix: str, names: list[str], model: Card, problem: str
) -> None:
    file = tmp_path / f"out.{suffix}"
    write(file, NAMES)
    content = file.read_bytes()
    with pytest.raises(OutputError, match=problem):
        write(file, names, resume=True, model=model)
    assert file.read_bytes() == content


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_model_with_other_words_does_not_continue_a_file(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"out.{suffix}"
    write(file, NAMES)
    with pytest.raises(OutputError, match="another file"):
        write(file, NAMES, resume=True, vocabulary=POLARITY)


@pytest.mark.parametrize("name", ["out.txt", "out", "out.json"])
def test_an_unknown_suffix_is_an_error_that_lists_the_known(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"\.jsonl, \.csv, \.parquet"):
        write(tmp_path / name, NAMES)


def test_a_folder_is_no_file_to_write(tmp_path: Path) -> None:
    (tmp_path / "out.csv").mkdir()
    with pytest.raises(OutputError, match="folder"):
        write(tmp_path / "out.csv", NAMES)


@pytest.mark.skipif(os.name == "nt", reason="no limit on the size of files")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_is_an_error_and_what_was_written_can_be_continued(tmp_path: Path, suffix: str) -> None:
    import resource

    file = tmp_path / f"out.{suffix}"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # the system answers as a full disk does
    try:
        with pytest.raises(OutputError, match="--resume"):
            write(file, NAMES)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    rows = FORMATS[file.suffix].rows_file(file)
    left = rows.read_bytes()
    assert 0 < len(left) <= 1000
    write(file, NAMES, resume=True, stop_after=BATCH)
    assert rows.read_bytes().startswith(left)  # which ended with a row
    write(file, NAMES, resume=True)
    assert [row["image"] for row in read(file)] == NAMES


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="rights do not bind this user")
def test_a_folder_without_rights_is_an_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission"):
        write(tmp_path / "out.jsonl", NAMES)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_another_process_is_writing_is_refused_and_left_as_it_is(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"a.{suffix}"
    write(file, NAMES, stop_after=6)
    rows = FORMATS[file.suffix].rows_file(file)
    before = rows.read_bytes()
    with holder("locked_file", file) as other, pytest.raises(OutputInUse, match=str(other.pid)):
        write(file, NAMES, resume=True)
    assert rows.read_bytes() == before
    write(file, NAMES, resume=True)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_rows_before_what_a_power_cut_left_as_nulls_are_kept(tmp_path: Path, suffix: str) -> None:
    complete, file = tmp_path / f"complete.{suffix}", tmp_path / f"a.{suffix}"
    write(complete, NAMES)
    write(file, NAMES, stop_after=6)
    rows = FORMATS[file.suffix].rows_file(file)
    data = rows.read_bytes()
    rows.write_bytes(data[:-40] + bytes(40) + b"\n")
    assert write(file, NAMES, resume=True) == BATCH
    assert file.read_bytes() == complete.read_bytes()


@pytest.mark.parametrize("content", [b'{"my": "notes"}', b"\xff\xd8\xff\xe0 a picture", b"zeros\0\0\nlast\n"])
def test_what_no_job_wrote_is_not_overwritten_by_resuming_it(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_bytes(content)
    with pytest.raises(OutputError, match="not answers of a model, and is not overwritten"):
        write(file, NAMES, resume=True)
    assert file.read_bytes() == content
    write(tmp_path / "ours.jsonl", NAMES)
    (row,) = (tmp_path / "ours.jsonl").read_bytes().splitlines()[:1]
    for left in (row[:5], row[:30], b"\0" * 50, row[:5] + b"\0" * 50):
        file.write_bytes(left)  # as a kill or a power cut leaves it
        assert write(file, NAMES, resume=True) == 0
