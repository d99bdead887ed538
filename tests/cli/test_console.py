"""Standard streams: what is printed on any console, and what a closed or full one does to a job."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import affectlens
from affectlens.cli.console import echo

SOURCES = Path(affectlens.__file__).parent
POSIX = pytest.mark.skipif(os.name == "nt", reason="shells of POSIX")


def lines_of(code: str, **environment: str) -> list[bytes]:
    """Run Python code under changes of the environment, and return the lines that it prints."""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, env={**os.environ, **environment}
    )
    return ended.stdout.splitlines()


PRINTING = """
import sys
from affectlens.cli import console
console.open_streams()
console.echo("{text}")
print("printed", file=sys.stderr)
"""


def shell(command: str, **variables: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        ["bash", "-c", command.replace("affectlens", f"{sys.executable} -m affectlens")],
        capture_output=True,
        check=False,
        env={**os.environ, **variables},
    )


def test_what_would_steer_a_terminal_is_escaped_and_lines_stay(capsys: pytest.CaptureFixture[str]) -> None:
    text = "one\x1b[2J\n\ttwo \x07\u202e\N{NO-BREAK SPACE}\N{MINUS SIGN}1\udcff"
    echo(text)
    assert "one\\x1b[2J\\n\ttwo" in capsys.readouterr().out, "one line"
    echo(text, several_lines=True)
    assert (
        capsys.readouterr().out == "one\\x1b[2J\n\ttwo \\x07\\u202e\N{NO-BREAK SPACE}\N{MINUS SIGN}1\\udcff\n"
    )


def test_no_command_prints_past_the_console() -> None:
    printing = re.compile(r"\bclick\.(secho|echo)\(|(?<!\.)(?<!def )\bprint\(")
    found = [
        f"{file.name}: {line.strip()}"
        for file in sorted((SOURCES / "cli").glob("*.py"))
        if file.name != "console.py"
        for line in file.read_text(encoding="utf-8").splitlines()
        if printing.search(line)
    ]
    assert not found


@pytest.mark.parametrize("buffered", ["", "1"])
@pytest.mark.parametrize(
    ("encoding", "printed"),
    [
        ("ascii", b"\\u732b -0.3 caf\\xe9"),
        ("latin-1", b"\\u732b -0.3 caf\xe9"),
        ("cp1252", b"\\u732b -0.3 caf\xe9"),
        ("utf-8", "\u732b \N{MINUS SIGN}0.3 café".encode()),
    ],
)
def test_what_an_encoding_lacks_is_written_otherwise(encoding: str, printed: bytes, buffered: str) -> None:
    code = PRINTING.format(text="\\u732b \\N{MINUS SIGN}0.3 caf\\u00e9")
    found = lines_of(code, PYTHONIOENCODING=encoding, PYTHONUTF8="0", PYTHONUNBUFFERED=buffered)
    assert found == [printed]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_table_is_printed_on_a_console_of_any_encoding(encoding: str) -> None:
    code = """
from affectlens.cli import console
console.open_streams()
console.table_console().print("\\u732b.jpg \\N{MINUS SIGN}0.3")
"""
    assert lines_of(code, PYTHONIOENCODING=encoding, PYTHONUTF8="0") == [b"\\u732b.jpg -0.3"]


@pytest.mark.parametrize("columns", ["0", "00", ""])
def test_a_console_that_states_no_width_gets_complete_tables(columns: str) -> None:
    code = """
from affectlens.cli import console
console.open_streams()
console.table_console().print("a row of a table")
"""
    assert lines_of(code, COLUMNS=columns) == [b"a row of a table"]


def test_a_picture_with_a_japanese_name_is_predicted_on_a_console_of_ascii(
    graph_model: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (8, 8), "navy").save(tmp_path / "\u732b.png")
    command = [sys.executable, "-m", "affectlens", "predict", str(tmp_path), "gone \u732b.png"]
    ended = subprocess.run(
        [*command, "--model", str(graph_model)],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert ended.returncode == 1 and b"Traceback" not in ended.stderr
    assert b".png: not read (PictureNotFound)" in ended.stdout and b"2 pictures" in ended.stderr


@POSIX
@pytest.mark.parametrize("buffered", ["", "1"])
def test_standard_output_that_is_closed_or_full_is_an_error_in_a_sentence(buffered: str) -> None:
    for target, reason in {">&-": b"closed", "> /dev/full": b"No space left"}.items():
        ended = shell(f"affectlens models show default {target}", PYTHONUNBUFFERED=buffered)
        assert ended.returncode == 2
        (line,) = ended.stderr.splitlines()
        assert line.startswith(b"Error: Standard output cannot be written") and reason in line


@POSIX
def test_a_job_that_writes_a_file_needs_no_standard_stream(graph_model: Path, tmp_path: Path) -> None:
    words = f"affectlens predict gone.jpg gone.jpg --model {graph_model}"
    for number, target in enumerate((">&- 2>&- <&-", ">/dev/full 2>/dev/full", "2>&-")):
        file = tmp_path / f"{number}.jsonl"
        assert shell(f"{words} --out {file} {target}").returncode == 1
        assert len(file.read_bytes().splitlines()) == 2


@POSIX
def test_a_closed_standard_input_is_an_error_of_its_path_alone(graph_model: Path) -> None:
    ended = shell(f"affectlens predict gone.jpg - --json --model {graph_model} <&-")
    assert ended.returncode == 1 and b"Traceback" not in ended.stderr
    assert [line.split(b'"')[3] for line in ended.stdout.splitlines()] == [b"gone.jpg", b"-"]


@POSIX
def test_rows_of_a_list_that_is_still_open_come_at_once(graph_model: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "affectlens", "predict", "-", "--json", "--model", str(graph_model)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        for name in (b"one.jpg", b"two.jpg"):
            process.stdin.write(name + b"\n")
            process.stdin.flush()
            assert name in process.stdout.readline()
        process.stdin.close()
        assert process.wait() == 1
