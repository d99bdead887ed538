"""What works on several processes decide without a Ray that runs."""

import io
import json
import os
import pickle
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from affectlens.cli.main import main
from affectlens.cluster.event_queue import EventQueue
from affectlens.cluster.predict import PictureListing, PredictionOptions, PredictionWorker, part_size
from affectlens.cluster.resources import cores_for_each, cpus_of, on_gpus
from affectlens.cluster.retries import LocalRetryCount
from affectlens.errors import ClusterError, PictureError, PictureTooLarge
from affectlens.inference.inputs import read_to_end
from affectlens.inference.predictor import Predictor
from pictures import colour_set


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
def test_a_list_on_a_pipe_that_others_do_not_wait_for_is_read_up_to_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read, write = os.pipe()
    os.set_blocking(read, False)

    def send() -> None:
        for name in (b"one.jpg\n", b"two.jpg\n"):
            time.sleep(0.2)
            os.write(write, name)
        os.close(write)

    sender = threading.Thread(target=send)
    sender.start()
    with os.fdopen(read) as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        assert list(PictureListing.of(["-"], None)) == ["one.jpg", "two.jpg"]
    sender.join()


def test_standard_input_that_is_closed_is_a_row_with_an_error_and_one_too_long_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    (row,) = PictureListing.of(["-"], None)
    assert isinstance(row, PictureError) and "closed" in row.reason
    with pytest.raises(PictureTooLarge, match="more than 5 bytes"):
        read_to_end(io.BytesIO(b"one.jpg\n"), 5)


TRAIN = ("--no-graph", "--set", "epochs=0.1", "--set", "batch_size=4", "--set", "num_workers=0",
         "--set", "weights=none", "--set", "preprocessing.height=32",
         "--set", "preprocessing.width=32")  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return colour_set(tmp_path / "data", ("awe", "anger"), each=6)


def commands(data: Path, model: Path, out: Path) -> list[list[str]]:
    return [
        ["train", "test_vit.r160_in1k", "--data", f"folder:{data}", "--out", str(out / "run"), *TRAIN],
        ["predict", str(data), "--model", str(model), "--out", str(out / "rows.csv")],
    ]


def test_no_command_without_workers_imports_ray(data: Path, tiny_model: Path, tmp_path: Path) -> None:
    script = (
        "import sys\nfrom affectlens.cli.main import main\n"
        f"for words in {commands(data, tiny_model, tmp_path)!r}:\n"
        "    try:\n        main(words)\n    except SystemExit as ended:\n        assert not ended.code\n"
        "assert not [name for name in sys.modules if name.split('.')[0] == 'ray']\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_the_service_without_workers_imports_nothing_of_ray(graph_model: Path) -> None:
    words = ["-X", "importtime", "-m", "affectlens", "serve", "--model", str(graph_model), "--port", "0"]
    process = subprocess.Popen([sys.executable, *words], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    lines: list[str] = []
    while not lines or not lines[-1].startswith("Serving"):
        lines.append(process.stderr.readline())
        assert lines[-1], lines[-20:]
    process.terminate()
    lines += process.communicate(timeout=60)[1].splitlines()
    modules = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    assert "affectlens.serve.run" in modules
    assert not {name for name in modules if name.split(".")[0] == "ray" or "affectlens.cluster" in name}


def test_the_service_with_workers_names_the_extra_and_refuses_less_than_one(
    graph_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["serve", "--model", str(graph_model), "--workers"]
    with pytest.raises(SystemExit) as ended:
        main([*words, "0"])
    assert ended.value.code == 2 and "--workers" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SystemExit) as ended:
        main([*words, "2"])
    assert ended.value.code == 2 and 'pip install "affectlens[cluster]"' in capsys.readouterr().err


@pytest.mark.parametrize("which", [0, 1])
def test_without_the_extra_a_command_with_workers_names_what_to_install(
    data: Path,
    tiny_model: Path,
    tmp_path: Path,
    which: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SystemExit) as ended:
        main([*commands(data, tiny_model, tmp_path)[which], "--workers", "2"])
    assert ended.value.code == 2
    assert 'pip install "affectlens[cluster]"' in capsys.readouterr().err
    assert not (tmp_path / "run").exists() and not (tmp_path / "rows.csv").exists()


def test_workers_without_a_file_to_write_is_wrong_use(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["predict", str(data), "--workers", "2"])
    assert ended.value.code == 2 and "--out" in capsys.readouterr().err


def test_workers_share_the_processors_of_all_machines_evenly() -> None:
    assert cores_for_each([4, 4], 2) == 4 and cores_for_each([4, 4], 3) == 2
    assert cores_for_each([8, 1], 2) == 4  # both on the large machine, rather than one core each
    with pytest.raises(ClusterError, match="3 workers need a CPU each, and Ray has 2 on 2 machines"):
        cores_for_each([1, 1], 3)
    assert cpus_of([{"Alive": True, "Resources": {"CPU": 2.0}}, {"Alive": False, "Resources": {}}]) == [2.0]


def test_gpus_are_used_where_there_is_one_for_each() -> None:
    assert on_gpus("auto", 2, 2) and not on_gpus("auto", 1, 2) and not on_gpus("cpu", 2, 2)
    with pytest.raises(ClusterError, match="a GPU each"):
        on_gpus("cuda", 1, 2)


def test_parts_are_whole_batches_and_small_where_there_are_few_pictures() -> None:
    for total in (None, 1, 100, 5000, 10**9):
        for batch in (1, 32, 100, 700):
            assert part_size(total, 2, batch) % batch == 0
    assert part_size(10**9, 2, 32) == part_size(None, 2, 32) == 512


def test_starts_that_come_to_no_step_are_counted() -> None:
    queue = EventQueue()
    assert queue.begin()[:2] == (0, 0)
    queue.put(b"started")
    queue.put_error("out of memory")
    assert queue.begin() == (1, 1, "out of memory")
    queue.put(b"step 5", 5)
    assert queue.begin()[:2] == (2, 0)
    queue.put(b"step 5 again", 5)
    assert queue.begin()[:2] == (3, 1)
    assert queue.take() == [b"started", b"step 5", b"step 5 again"] and queue.take() == []


class Deadly(Exception):
    """Stands for the end of a process."""


def test_a_picture_that_ends_its_reader_is_an_error_and_the_rest_of_its_part_is_predicted(
    tiny_model: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    retries = LocalRetryCount()
    worker = PredictionWorker(PredictionOptions(model=str(tiny_model), precision="float32"), False, retries)
    given = sorted(map(str, (data / "awe").iterdir()))
    row = {"number": 7, "pictures": pickle.dumps(given)}
    expected = rows_of(worker(row))
    read = Predictor._read

    def deadly(self: Predictor, picture: Any, requested: Any) -> Any:
        if picture == given[3]:
            raise Deadly
        return read(self, picture, requested)

    monkeypatch.setattr(Predictor, "_read", deadly)
    for _ in range(3):
        with pytest.raises(Deadly):
            worker(row)
    answer = worker(row)
    rows = rows_of(answer)
    assert rows[3]["image"] == given[3] and "2 processes ended" in rows[3]["error"]["message"]
    assert answer["failed"] == 1 and answer["count"] == len(given)
    # In other batches, so that the last digits may differ.
    assert [r["top"] for r in rows[:3] + rows[4:]] == [r["top"] for r in expected[:3] + expected[4:]]


def test_what_ends_processes_otherwise_is_not_tried_for_ever() -> None:
    retries = LocalRetryCount()
    assert [retries.begin(0)[0] for _ in range(3)] == [1, 2, 3]
    retries.reading(0, 4)
    retries.reading(0, None)
    assert retries.begin(0) == (4, [])
    retries.done(0)
    assert retries.begin(0) == (1, [])


def rows_of(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer["rows"].splitlines()]
