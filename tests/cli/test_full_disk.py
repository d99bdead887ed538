"""Commands whose disk is full: one line of error, nothing half-written under a final name, old files kept."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from films import plain, write
from pictures import colour_set

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no limit on the size of files")

# A write beyond the limit then fails as on a full disk.
LIMITED = """
import resource, signal, sys
from affectlens.cli.main import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
main(sys.argv[2:])
"""
NO_MATTER = ("--no-graph", "--set", "weights=none", "--set", "epochs=1", "--set", "num_workers=0",
             "--set", "preprocessing.height=32", "--set", "preprocessing.width=32")  # fmt: skip


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures of three emotions and a film of three seconds."""
    folder = tmp_path_factory.mktemp("given")
    colour_set(folder / "pictures", ("awe", "anger", "sadness"), each=6)
    write(folder / "film.mp4", [plain((9 * number % 256, 90, 90)) for number in range(75)])
    return folder


@pytest.mark.parametrize(
    ("limit", "words", "out"),
    [
        (300, ["data", "split", "folder:{given}/pictures", "--out"], "splits.tsv"),
        (300, ["evaluate", "{model}", "--data", "folder:{given}/pictures", "--split", "all", "--out"],
         "scores.json"),
        (3000, ["film", "{given}/film.mp4", "--model", "{model}", "--every", "0.1", "--out"], "films"),
        (3000, ["explain", "{given}/pictures/awe", "--model", "{model}", "--method", "occlusion",
                "--format", "png", "--no-faithfulness", "--out"], "explained"),
        pytest.param(
            3000, ["train", "test_vit", "--data", "folder:{given}/pictures", *NO_MATTER, "--out"], "run",
            marks=pytest.mark.needs("torch"),
        ),
    ],
    ids=["data split", "evaluate", "film", "explain", "train"],
)  # fmt: skip
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(
    given: Path, graph_model: Path, tmp_path: Path, limit: int, words: list[str], out: str
) -> None:
    command = [word.format(given=given, model=graph_model) for word in words]
    ended = subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit), *command, str(tmp_path / out)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode in (1, 2), ended.stderr
    errors = [line for line in ended.stderr.splitlines() if "File too large" in line]
    assert len(errors) == 1 and "Traceback" not in ended.stderr, ended.stderr
    written = [file for file in tmp_path.rglob("*") if file.is_file() and not file.name.startswith(".")]
    appended = {"samples.jsonl", "steps.jsonl"}  # grow line by line, and go on after the last complete one
    assert all(file.name in appended or file.stat().st_size < limit for file in written)
    assert not [file for file in written if file.name == out or file.suffix in {".png", ".safetensors"}]
