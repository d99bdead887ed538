"""The command `affectlens film`: what it writes and prints, how it fails, and how it is interrupted."""

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from affectlens.cli.main import main
from affectlens.emotions import MIKELS
from affectlens.film import job as film_job
from affectlens.film.events import WatchFinished, WatchProgress, WatchRequest, WatchStarted
from affectlens.film.report.text import live_line
from affectlens.film.timeline import Counts, Timeline
from timelines import film_of, led_by, timeline_of

Run = Callable[..., Any]


@pytest.fixture
def small_film(tmp_path: Path) -> Path:
    """Two seconds red and two seconds blue, with noise, 10 frames a second."""
    file = tmp_path / "a film.mp4"
    rng = np.random.default_rng(0)
    with av.open(file, "w") as out:
        stream: Any = out.add_stream("libx264", rate=10, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for number in range(40):
            colour = (200, 40, 30) if number < 20 else (30, 60, 200)
            noisy = np.clip(np.array(colour) + rng.normal(0, 25, (96, 128, 3)), 0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(noisy, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file


@dataclass
class Result:
    """How a command ended, and all that it printed."""

    exit_code: int
    output: str


@pytest.fixture
def run(graph_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*words: str | Path) -> Result:
        arguments = ["film", *map(str, words)]
        if "compare" not in words:
            arguments += ["--out", str(tmp_path / "out"), "--device", "cpu"]
            arguments += [] if "--model" in words else ["--model", str(graph_model)]
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        printed = capsys.readouterr()
        return Result(int(str(ended.value.code)), printed.out + printed.err)

    return run


def test_one_command_writes_all_that_is_requested_and_prints_what_it_found(
    run: Run, small_film: Path, tmp_path: Path
) -> None:
    formats = "html,png,csv,jsonl,srt,vtt,chapters,edl,otio,fcpxml,premiere"
    result = run(small_film, "--format", formats, "--render")
    assert result.exit_code == 0, result.output
    folder = tmp_path / "out" / "a film"
    tables = {f"{table}.{kind}" for table in ("frames", "shots") for kind in ("csv", "jsonl")}
    texts = {"subtitles.srt", "subtitles.vtt", "chapters.ffmetadata", "markers.edl", "markers.otio"}
    texts |= {"markers.fcpxml", "markers.csv"}
    names = {"report.html", "chart.png", "timeline.json", "a film.bar.mp4"} | tables | texts
    assert names <= {path.name for path in folder.iterdir()}
    assert "most likely to evoke" in result.output
    assert "Timecodes count 10 frames a second." in result.output
    timeline = Timeline.from_text((folder / "timeline.json").read_text())
    assert [shot.start for shot in timeline.shots] == [0.0, 2.0]
    page = (folder / "report.html").read_text()
    assert 'src="../../a%20film.mp4"' in page
    assert page.count("data:image/jpeg") >= 2


def test_a_film_that_cannot_be_read_is_reported_and_the_others_are_done(
    run: Run, small_film: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no film at all" * 100)
    result = run(broken, small_film, tmp_path / "gone.mp4")
    assert result.exit_code == 1
    assert "3 films, 2 failed" in result.output
    assert result.output.count("Failed:") == 2
    assert (tmp_path / "out" / "a film" / "report.html").exists()


@pytest.mark.needs("torch")
def test_heat_maps_of_peaks_come_into_the_report(
    run: Run, small_film: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch, timeline_of(((2.0, "awe"), (2.0, "fear")), film=film_of(4.0, name=str(small_film))))
    result = run(small_film, "--explain", "peaks", "--model", tiny_model)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "a film" / "report.html").read_text().count(
        "Heat map: what in this frame"
    ) == 2


def test_films_of_one_name_have_folders_of_their_own(run: Run, tmp_path: Path, monkeypatch: Any) -> None:
    seen = scripted(monkeypatch, timeline_of())
    run(
        tmp_path / "one" / "a.mp4", tmp_path / "two" / "a.mp4", "rtsp://me:secret@camera/1", "--format", "csv"
    )
    assert [request.out.name for request in seen if request.out] == ["a", "a-2", "rtsp-me-camera-1"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--every", "1", "--keyframes"), "name one"),
        (("--render", "tint", "--end", "5"), "writes the complete film"),
        (("--format", "html,doc"), "'doc' is not a format"),
        (("--format", ","), "No format is named"),
    ],
)
def test_wrong_use_is_an_error_before_any_watching(run: Run, words: tuple[str, ...], message: str) -> None:
    result = run("a.mp4", *words)
    assert result.exit_code == 2
    assert message in result.output


def scripted(monkeypatch: pytest.MonkeyPatch, timeline: Timeline, events: Any = ()) -> list[WatchRequest]:
    """Let watching yield a known timeline; returns the requests."""
    seen: list[WatchRequest] = []

    def watch(request: WatchRequest) -> Iterator[Any]:
        seen.append(request)
        yield WatchStarted(film=timeline.film, device="cpu", precision="float32")
        yield from events(request) if events else ()
        if request.out:
            request.out.mkdir(parents=True, exist_ok=True)
            (request.out / "timeline.json").write_text(timeline.to_text())
        yield WatchFinished(timeline=timeline, folder=request.out)

    monkeypatch.setattr(film_job, "watch", watch)
    return seen


def progress(second: float, dropped: int = 0) -> WatchProgress:
    newest = led_by("fear", 0.65)
    return WatchProgress(
        second=second, share=None, decoded=9, predicted=3, reused=0, shots=1, dropped=dropped, newest=newest
    )


def test_a_live_source_prints_a_line_for_each_answer_and_ctrl_c_ends_it_with_its_timeline(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = film_of(22.0, name="/dev/video7", live=True)

    def events(request: WatchRequest) -> Iterator[WatchProgress]:
        assert request.stop is not None
        for second in range(1000):
            if request.stop.is_set():
                return
            yield progress(float(second), dropped=second)
            if second == 3:
                os.kill(os.getpid(), signal.SIGINT)
                request.stop.wait(5)

    assert threading.current_thread() is threading.main_thread()
    scripted(monkeypatch, timeline_of(film=live, counts=Counts(dropped=3)), events)
    result = run("/dev/video7")
    result = run("/dev/video7")
    assert result.exit_code == 0, result.output
    lines = [line for line in result.output.splitlines() if "frames dropped" in line]
    assert len(lines) == 3
    assert "3 frames were dropped" in result.output
    assert (tmp_path / "out" / "video7" / "report.html").exists()
    assert live_line(progress(65.25, 2), MIKELS).startswith(
        "1:05.2  fear 65 %, amusement 5 %, awe 5 %  polarity"
    )
    rated = replace(progress(65.25), ratings={"valence": 3.14, "arousal": 6.0}, unusual=True)
    assert live_line(rated, MIKELS).endswith("  valence 3.1  arousal 6.0  unusual")


def test_ctrl_c_during_a_film_prints_how_to_continue(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def events(request: WatchRequest) -> Iterator[WatchProgress]:
        os.kill(os.getpid(), signal.SIGINT)
        yield progress(1.0)

    scripted(monkeypatch, timeline_of(), events)
    result = run("a.mp4")
    assert result.exit_code == 130
    assert "continue with --resume" in result.output


def test_finished_folders_are_compared_into_a_page_and_numbers(run: Run, tmp_path: Path) -> None:
    for name, script in (("one", [(4.0, "awe"), (4.0, "fear")]), ("two", [(4.0, "awe"), (4.0, "sadness")])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "timeline.json").write_text(timeline_of(script).to_text())
    out = tmp_path / "c.html"
    result = run("compare", tmp_path / "one", tmp_path / "two", "--out", out, "--align", "time")
    assert result.exit_code == 0, result.output
    assert "Compared by relative position" in result.output
    assert json.loads(out.with_suffix(".json").read_text())["alignment"] == "time"
    assert "Two films compared" in out.read_text()
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "holds no timeline.json" in run("compare", tmp_path / "one", empty).output
    refused = run("compare", tmp_path / "one", tmp_path / "two", "--out", tmp_path / "numbers.json")
    assert refused.exit_code == 2 and "Give it that suffix" in refused.output
    (empty / "timeline.json").write_text("{}")
    refused = run("compare", tmp_path / "one", empty)
    assert (refused.exit_code, "not a timeline" in refused.output) == (2, True)


def test_a_comparison_does_not_replace_a_film(run: Run, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"a film")
    refused = run("compare", film, film, "--out", film)
    assert refused.exit_code == 2 and "Give it that suffix" in refused.output
    assert film.read_bytes() == b"a film"
