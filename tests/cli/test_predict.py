import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from affectlens.attributes import in_words, measure
from affectlens.cli.main import main
from affectlens.cli.predict import _show_panel
from affectlens.data import table
from affectlens.errors import PictureError
from affectlens.images import read_pixels
from affectlens.inference.output.formats import FORMATS, journal_of
from affectlens.inference.predictor import Predictor
from terminals import use_terminal

COMMAND = [sys.executable, "-m", "affectlens", "predict"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three pictures of different colours."""
    folder = tmp_path_factory.mktemp("photos")
    for name, colour in {"blue.png": "navy", "green.jpg": "green", "red.webp": "red"}.items():
        Image.effect_noise((90, 120), 90).convert("RGB").save(folder / name)
        Image.blend(Image.open(folder / name), Image.new("RGB", (90, 120), colour), 0.6).save(folder / name)
    return folder


def status(*words: object) -> int:
    """Run the command in this process and return its exit status."""
    with pytest.raises(SystemExit) as ended:
        main(["predict", *map(str, words)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def rows_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# ------------------------------------------------------------------------------------------ answers printed


def test_one_picture_is_answered_with_all_emotions_its_polarity_and_the_model(
    graph_model: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(photos / "blue.png", "--model", graph_model) == 0
    first, *bars, last = capsys.readouterr().out.splitlines()
    answer = Predictor.load(str(graph_model))(photos / "blue.png")
    assert first.startswith(f"{photos / 'blue.png'} ") and f" {answer.top}" in first
    assert [line.split()[0] for line in bars] == [word for word, _ in answer.ranked]
    assert bars[0].split()[1] == f"{answer[answer.top]:.1%}"
    assert len({line.index("%") for line in bars}) == 1  # aligned
    assert last.startswith("  positive ")
    assert last.endswith(", model tiny")


def test_on_a_terminal_the_answer_is_a_panel_with_bars(graph_model: Path, photos: Path) -> None:
    (prediction,) = Predictor.load(str(graph_model)).predict_files([photos / "blue.png"])
    terminal = Console(file=io.StringIO(), force_terminal=True, width=100, highlight=False)
    _show_panel(prediction, "tiny", terminal)
    _show_panel(replace(prediction, attributes={"brightness": 0.2}), "tiny", terminal)
    assert isinstance(terminal.file, io.StringIO)
    shown = terminal.file.getvalue()
    assert shown.count("brightness 0.20 (dark)") == 1
    assert "likely to evoke" in shown
    assert "━" in shown and "╭" in shown
    assert "model tiny" in shown


def test_several_pictures_are_a_line_each_in_order(
    graph_model: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(photos, "--model", graph_model) == 0
    shown = capsys.readouterr()
    header, *lines = shown.out.splitlines()
    assert header == "What each picture is likely to evoke in people who look at it (model tiny):"
    assert [line.split(":")[0] for line in lines] == [
        str(photos / n) for n in ("blue.png", "green.jpg", "red.webp")
    ]
    assert all("positive" in line for line in lines)
    assert "3 pictures, 0 could not be read, " in shown.err
    assert "pictures/s" in shown.err


def test_attributes_are_printed_for_one_picture_and_for_several(
    graph_model: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = ", ".join(in_words(measure(read_pixels(photos / "blue.png"))))
    assert shown.endswith(")")  # dark, or of little colour, or both
    assert status(photos / "blue.png", "--attributes", "--model", graph_model) == 0
    assert capsys.readouterr().out.splitlines()[-2] == f"  {shown}"
    assert status(photos, "gone.jpg", "--attributes", "--model", graph_model) == 1
    _, first, *others, last = capsys.readouterr().out.splitlines()
    assert first.endswith(f"; {shown}")
    assert all("; brightness 0." in line for line in others)
    assert last == "gone.jpg: not read (PictureNotFound)"


def test_attributes_are_written_next_to_the_emotions(graph_model: Path, photos: Path, tmp_path: Path) -> None:
    for name, words in {"with.jsonl": ["--attributes"], "without.jsonl": []}.items():
        assert status(photos, "gone.jpg", "--out", tmp_path / name, "--model", graph_model, *words) == 1
    rows, plain = (rows_of((tmp_path / name).read_text()) for name in ("with.jsonl", "without.jsonl"))
    measured = [row.pop("attributes") for row in rows]
    assert rows == plain
    for row, attributes in zip(rows[:-1], measured, strict=False):
        expected = measure(read_pixels(row["image"], at_least=96))
        assert attributes == {name: round(value, 3) for name, value in expected.items()}
    assert measured[-1] == {}


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_what_is_written_with_attributes_can_be_read_back_as_a_data_set(
    graph_model: Path, photos: Path, tmp_path: Path, suffix: str
) -> None:
    file = tmp_path / f"out.{suffix}"
    assert status(photos, "--attributes", "--out", file, "--model", graph_model) == 0
    records = table.read(file).split("all")
    answers = Predictor.load(str(graph_model)).predict_files([record.path for record in records])
    for record, answer in zip(records, answers, strict=True):
        assert answer.emotions is not None
        assert record.target.probabilities == pytest.approx(answer.emotions.probabilities, abs=1e-5)


def test_json_is_a_row_a_line_and_nothing_else(
    graph_model: Path, photos: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert status(photos, photos / "gone.jpg", "--json", "--model", graph_model) == 1
    rows = rows_of(capfd.readouterr().out)
    assert [Path(row["image"]).name for row in rows] == ["blue.png", "green.jpg", "red.webp", "gone.jpg"]
    assert [row["error"] and row["error"]["type"] for row in rows] == [None, None, None, "PictureNotFound"]
    assert {row["model"] for row in rows} == {"tiny"}


def test_a_list_on_standard_input_is_predicted(
    graph_model: Path, photos: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = f"{photos / 'red.webp'}\n{photos / 'blue.png'}\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(names.encode())))
    assert status("-", "--json", "--model", graph_model) == 0
    assert [Path(row["image"]).name for row in rows_of(capfd.readouterr().out)] == ["red.webp", "blue.png"]


def test_pictures_of_every_kind_in_a_folder_have_a_row_with_an_answer_or_an_error(
    graph_model: Path, photos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for suffix in ("dng", "heic", "jxl"):
        (tmp_path / f"answered.{suffix}").write_bytes((photos / "green.jpg").read_bytes())
    (tmp_path / "unread.dng").write_bytes(b"II*\0" + bytes(200))
    (tmp_path / "unread.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(200))
    (tmp_path / "unread.jxl").write_bytes(b"\xff\x0a" + bytes(200))
    assert status(tmp_path, "--json", "--model", graph_model) == 1
    rows = rows_of(capfd.readouterr().out)
    names = [f"{kind}.{suffix}" for kind in ("answered", "unread") for suffix in ("dng", "heic", "jxl")]
    assert [row["image"] for row in rows] == [str(tmp_path / name) for name in names]
    assert [row["error"] is None for row in rows] == [row["emotions"] is not None for row in rows]
    assert [row["error"] is None for row in rows] == [True] * 3 + [False] * 3


@pytest.mark.needs("pyarrow")
def test_on_a_terminal_the_rows_of_the_column_that_is_named_are_counted(
    graph_model: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [str(photos / name) for name in ("blue.png", "green.jpg", "red.webp")]
    file = tmp_path / "photos.parquet"
    pq.write_table(pa.table({"photo": names, "photographer": ["one", "two", "one"]}), file)
    terminal = use_terminal(monkeypatch)
    out = tmp_path / "out.jsonl"
    assert status(file, "--column", "photo", "--model", graph_model, "--out", out) == 0
    assert [row["image"] for row in rows_of(out.read_text())] == names
    assert "3/3" in terminal.getvalue()


def test_a_single_picture_that_cannot_be_read_is_status_one_with_the_reason(
    graph_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(tmp_path / "gone.jpg", "--model", graph_model) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"Not read: {tmp_path / 'gone.jpg'}: ")


def test_of_many_failures_ten_are_listed_and_the_rest_counted(
    graph_model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = [tmp_path / f"{number}.jpg" for number in range(14)]
    assert status(photos, *gone, "--out", tmp_path / "out.csv", "--model", graph_model) == 1
    shown = capsys.readouterr().err
    assert shown.count("nothing can be found") == 10
    assert "Not read: 4 more." in shown
    assert "17 pictures, 14 could not be read" in shown


def test_names_cannot_steer_the_terminal(
    graph_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status(tmp_path / "\x1b[2J[bold]\udce9.jpg", tmp_path / "b.jpg", "--model", graph_model)
    shown = capsys.readouterr()
    for text in shown:
        assert "\\x1b[2J[bold]\\udce9.jpg" in text
        assert "\x1b" not in text


IMPORTED = """
import sys
from affectlens.cli.main import main
try:
    main(["predict", *sys.argv[1:]])
except SystemExit as ended:
    assert not ended.code
others = "asyncio av email huggingface_hub jinja2 matplotlib pyarrow ray rich torch"
print(*sorted(set(others.split()) & set(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize("words", [(), ("--json",), ("--attributes",)])
def test_a_pictures_answer_waits_for_no_library_that_it_does_not_need(
    graph_model: Path, photos: Path, words: tuple[str, ...]
) -> None:
    command = [sys.executable, "-c", IMPORTED, str(photos / "blue.png"), "--model", str(graph_model), *words]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "awe" in ended.stdout and ended.stderr.splitlines()[-1] == ""


# ------------------------------------------------------------------------------------------------ wrong use


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--out", "out.txt"], r".jsonl, .csv, .parquet"),
        (["--out", "out.csv", "--json"], "leave out --json or --out"),
        (["--resume"], "--out"),
        (["--model", "no-such-model"], "no-such-model"),
        (["--batch-size", "0"], "batch-size"),
    ],
)
def test_wrong_use_is_status_two_with_what_to_do(
    graph_model: Path, photos: Path, words: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = [] if "--model" in words else ["--model", str(graph_model)]
    assert status(photos, *model, *words) == 2
    shown = capsys.readouterr()
    assert problem in shown.err
    assert shown.out == ""


@pytest.mark.needs("torch")
@pytest.mark.parametrize(
    ("words", "problem"), [(["--device", "quantum"], "quantum"), (["--precision", "float8"], "float32")]
)
def test_a_device_or_precision_that_is_none_is_status_two_with_what_there_is(
    tiny_model: Path, photos: Path, words: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(photos, "--model", tiny_model, *words) == 2
    shown = capsys.readouterr()
    assert problem in shown.err and shown.out == ""


def test_the_help_names_every_format_of_result_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("--help") == 0
    shown = capsys.readouterr().out
    assert all(suffix in shown for suffix in FORMATS)


def test_a_result_that_exists_is_refused_before_a_model_is_loaded(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "out.csv"
    file.write_text("precious")
    assert status(photos, "--out", file, "--model", "no-such-model") == 2
    assert "is not overwritten" in capsys.readouterr().err
    assert file.read_text() == "precious"


# -------------------------------------------------------------------------------------------- real processes


def test_every_real_file_has_a_row_and_only_the_unreadable_an_error(
    graph_model: Path, shared: Path, tmp_path: Path
) -> None:
    folder, file = shared / "fixtures" / "images", tmp_path / "out.jsonl"
    ended = subprocess.run(
        [*COMMAND, folder, "--model", graph_model, "--out", file], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    rows = rows_of(file.read_text())
    assert [row["image"] for row in rows] == sorted(map(str, folder.iterdir()))
    for row in rows:
        try:
            read_pixels(row["image"], at_least=96)
            expected = None
        except PictureError as error:
            expected = {"type": type(error).__name__, "message": str(error)}
        assert row["error"] == expected
        assert (row["emotions"] is None) == (expected is not None)
    failed = sum(row["error"] is not None for row in rows)
    assert 0 < failed < 8
    assert f"{len(rows)} pictures, {failed} could not be read" in ended.stderr


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some hundred pictures that take some seconds to decode, every hundredth of them truncated."""
    folder = tmp_path_factory.mktemp("many")
    generator = np.random.default_rng(0)
    kinds = []
    for _ in range(5):
        buffer = io.BytesIO()
        coarse = Image.fromarray(generator.integers(0, 256, (200, 150, 3), dtype=np.uint8))
        coarse.resize((1500, 2000)).save(buffer, "JPEG")
        kinds.append(buffer.getvalue())
    for number in range(300):
        content = kinds[number % 5]
        (folder / f"{number:03}.jpg").write_bytes(content[:9000] if number % 100 == 50 else content)
    return folder


def lines_of(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0


@pytest.fixture(scope="module")
def complete(graph_model: Path, many: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what an uninterrupted run writes."""
    folder = tmp_path_factory.mktemp("complete")
    assert status(many, "--model", graph_model, "--batch-size", 8, "--out", folder / "out.jsonl") == 1
    return folder


def cells_of(file: Path) -> list[dict[str, Any]]:
    if file.suffix == ".csv":
        return list(csv.DictReader(file.open(newline="")))
    import pyarrow.parquet as pq

    cells: list[dict[str, Any]] = pq.read_table(file).to_pylist()
    return cells


def test_rows_of_another_engine_are_not_mixed_with_those_that_auto_would_make(
    graph_model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "out.jsonl"
    words = (photos, "--model", graph_model, "--out", file, "--batch-size", 1)
    assert status(*words) == 0
    before = file.read_text().replace('"engine": "onnxruntime"', '"engine": "openvino"')
    file.write_text(before)
    capsys.readouterr()
    assert status(*words, "--resume") == 2
    assert "Pass --engine openvino --precision float32" in capsys.readouterr().err
    assert file.read_text() == before


# CSV is appended to as JSON lines are; Parquet has a journal.
@pytest.mark.parametrize(
    "suffix",
    [
        "jsonl",
        pytest.param("csv", marks=pytest.mark.slow),
        pytest.param("parquet", marks=pytest.mark.needs("pyarrow")),
    ],
)
def test_a_killed_run_is_resumed_without_losing_or_repeating_a_row(
    graph_model: Path, many: Path, complete: Path, tmp_path: Path, suffix: str
) -> None:
    file = tmp_path / f"out.{suffix}"
    growing = journal_of(file) if suffix == "parquet" else file
    words = [many, "--model", graph_model, "--batch-size", 8, "--out", file]
    with subprocess.Popen([*COMMAND, *map(str, words)], stderr=subprocess.PIPE) as process:
        while lines_of(growing) < 30 and process.poll() is None:
            time.sleep(0.002)
        process.kill()
    assert process.returncode == -signal.SIGKILL, "the run ended before it was killed"
    assert 30 <= lines_of(growing) < 300
    with growing.open("ab") as half_a_row:
        half_a_row.write(b'{"image": "')
    assert status(*words, "--resume") == 1
    rows = rows_of((complete / "out.jsonl").read_text())
    if suffix == "jsonl":
        assert file.read_bytes() == (complete / "out.jsonl").read_bytes()
        return
    found = cells_of(file)
    assert [row["image"] for row in found] == [row["image"] for row in rows]
    for row, expected in zip(found, rows, strict=True):
        assert (row["error_type"] or None) == (expected["error"] and expected["error"]["type"])
        if expected["emotions"]:
            assert {word: float(row[word]) for word in expected["emotions"]} == expected["emotions"]


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT between processes")
def test_an_interrupted_run_ends_promptly_with_how_to_go_on(
    graph_model: Path, many: Path, tmp_path: Path
) -> None:
    file = tmp_path / "out.jsonl"
    words = [many, "--model", graph_model, "--batch-size", "8", "--out", file]
    with subprocess.Popen([*COMMAND, *map(str, words)], stderr=subprocess.PIPE, text=True) as process:
        while lines_of(file) < 30 and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        start = time.monotonic()
        _, shown = process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - start < 20
    assert "rows are kept; go on with --resume" in shown
    assert "Traceback" not in shown


@pytest.mark.skipif(os.name == "nt", reason="no head")
def test_a_reader_that_leaves_early_ends_the_job_quietly(graph_model: Path, many: Path) -> None:
    command = " ".join(map(str, [*COMMAND, many, "--json", "--model", graph_model, "| head -n 1"]))
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert len(rows_of(ended.stdout)) == 1
    assert ended.stderr == ""
