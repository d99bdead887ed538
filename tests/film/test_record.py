"""A film that was interrupted or killed is resumed with the same result, also from the former layout; and a
torn or altered file is an error of ours."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from affectlens.errors import OutputInUse, RunError
from affectlens.files import atomic_write
from affectlens.film import record as film_record
from affectlens.film.events import WatchFinished, WatchRequest, WatchStarted
from affectlens.film.record import FilmRecord
from affectlens.film.timeline import Timeline
from affectlens.film.watch import watch
from affectlens.inference.onnx_engine import OnnxEngine
from affectlens.report.text import printable
from affectlens.video import Video
from films import as_pictures, scene, write
from lock_holder import holder
from rated import SCALES, RatedEngine
from watching import Count, same, watched


@pytest.mark.parametrize("seconds_between_saves", [0.0, 1e9])
@pytest.mark.parametrize("stop_after", [1, 5, 9])
def test_an_interrupted_run_is_resumed_and_ends_with_the_same_timeline(
    long_film: Path,
    engine: OnnxEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seconds_between_saves: float,
    stop_after: int,
) -> None:
    monkeypatch.setattr(film_record, "SAVE_SECONDS", seconds_between_saves)
    request = WatchRequest(source=str(long_film), engine=engine, out=tmp_path / "out", threads=1)
    complete = watched(long_film, engine)
    events = watch(request)
    for _ in range(stop_after + 1):
        next(events)
    events.close()
    lines = (tmp_path / "out" / film_record.SAMPLES).read_text().splitlines()
    before = sum(not reused for line in lines for *_, reused in json.loads(line)["samples"])
    has_state = (tmp_path / "out" / film_record.STATE).is_file()
    count = Count(monkeypatch)
    started, *_, last = watch(replace(request, resume=True))
    assert isinstance(started, WatchStarted) and isinstance(last, WatchFinished)
    assert (started.resumed_at is not None) == has_state
    assert same(last.timeline, complete)
    assert before > 0 and count.frames == complete.counts.predicted - before, "nothing is predicted twice"


def test_ratings_are_resumed_to_the_same_bits_and_predicted_again_where_an_earlier_record_has_none(
    long_film: Path, engine: OnnxEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(film_record, "SAVE_SECONDS", 0.0)
    rated: Any = RatedEngine(engine)
    complete = watched(long_film, rated)
    for heads in (True, False):
        out = tmp_path / str(heads)
        request = WatchRequest(source=str(long_film), engine=rated, out=out, threads=1)
        events = watch(request)
        for _ in range(6):
            next(events)
        events.close()
        if not heads:  # as an earlier version left it, with the same weights
            plain = json.loads((out / film_record.FILM).read_text())
            del plain["heads"]
            (out / film_record.FILM).write_text(json.dumps(plain))
            lines = [json.loads(line) for line in (out / film_record.SAMPLES).read_text().splitlines()]
            text = "".join(
                json.dumps({**line, "samples": [sample[:4] for sample in line["samples"]]}) + "\n"
                for line in lines
            )
            (out / film_record.SAMPLES).write_text(text)
        count = Count(monkeypatch)
        *_, last = watch(replace(request, resume=True))
        assert isinstance(last, WatchFinished) and same(last.timeline, complete)
        assert (count.frames < complete.counts.predicted) == heads
        monkeypatch.undo()
        monkeypatch.setattr(film_record, "SAVE_SECONDS", 0.0)


def test_a_record_of_a_model_with_other_heads_is_refused_and_one_without_has_no_word_of_them(
    four_scenes: Path, engine: OnnxEngine, tmp_path: Path
) -> None:
    watched(four_scenes, engine, out=tmp_path / "plain")
    assert "heads" not in json.loads((tmp_path / "plain" / film_record.FILM).read_text())
    rows = (tmp_path / "plain" / film_record.SAMPLES).read_text().splitlines()
    assert {len(sample) for line in rows for sample in json.loads(line)["samples"]} == {4}
    rated: Any = RatedEngine(engine)
    watched(four_scenes, rated, out=tmp_path / "rated")
    rated.heads = {name: values + 1 for name, values in rated.heads.items()}
    with pytest.raises(RunError, match="other weights of ratings"):
        watched(four_scenes, rated, out=tmp_path / "rated", resume=True)


@pytest.mark.parametrize(
    "changes",
    [{"temperature": 3.0}, {"prediction_sets": {"coverages": [0.9]}}, {"ratings": SCALES[:1]}],
    ids=lambda changes: next(iter(changes)),
)
def test_a_record_of_the_same_weights_with_another_calibration_is_refused(
    four_scenes: Path, engine: OnnxEngine, tmp_path: Path, changes: dict[str, Any]
) -> None:
    rated: Any = RatedEngine(engine)
    complete = watched(four_scenes, rated, out=tmp_path / "out")
    assert complete.answers_hash == rated.card.answers_hash != ""
    rated.card = replace(rated.card, **changes)
    with pytest.raises(RunError, match="same weights whose temperature, sets, ratings or preprocessing"):
        watched(four_scenes, rated, out=tmp_path / "out", resume=True)
    # A record of before names none.
    file = tmp_path / "out" / film_record.FILM
    plain = json.loads(file.read_text())
    file.write_text(json.dumps({key: value for key, value in plain.items() if key != "answers"}))
    assert same(watched(four_scenes, rated, out=tmp_path / "out", resume=True), complete)


def test_a_timeline_of_a_model_of_weights_alone_has_no_word_of_what_else_decides(
    four_scenes: Path, engine: OnnxEngine
) -> None:
    assert "answers_hash" not in watched(four_scenes, engine).to_json()
    rated: Any = RatedEngine(engine)
    timeline = watched(four_scenes, rated)
    assert Timeline.from_text(timeline.to_text()) == timeline and timeline.answers_hash


def test_a_line_with_another_number_of_ratings_is_damaged(
    four_scenes: Path, engine: OnnxEngine, tmp_path: Path
) -> None:
    rated: Any = RatedEngine(engine)
    watched(four_scenes, rated, out=tmp_path / "out")
    (tmp_path / "out" / film_record.TIMELINE).unlink()
    line = json.dumps({"batch": 0, "samples": [[0.0, 0, [1.0] + [0.0] * 7, False, [5.0], False]]})
    (tmp_path / "out" / film_record.SAMPLES).write_text(line + "\n")
    with pytest.raises(RunError, match="expected 2 ratings a sample"):
        watched(four_scenes, rated, out=tmp_path / "out", resume=True)


CHILD = """
import sys
from pathlib import Path
from affectlens.inference.engine import load_engine
from affectlens.film.events import WatchFinished, WatchRequest, WatchStarted
from affectlens.film.watch import watch
from affectlens.files import atomic_write
from affectlens.film import record as film_record
film_record.SAVE_SECONDS = 0
request = WatchRequest(
    source=sys.argv[1], engine=load_engine(sys.argv[2]), out=Path(sys.argv[3]), threads=1
)
for event in watch(request):
    print(type(event).__name__, flush=True)
    if len(sys.argv) > 4 and type(event).__name__ == "WatchProgress":
        input()
"""


def test_a_killed_run_is_resumed_and_ends_with_the_same_timeline(
    long_film: Path, engine: OnnxEngine, graph_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(long_film), str(graph_model), str(out), "step by step"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None and child.stdout is not None
    seen = 0
    while seen < 4:
        seen += child.stdout.readline().strip() == "WatchProgress"
        child.stdin.write("\n")
        child.stdin.flush()
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    with (out / film_record.SAMPLES).open("ab") as file:
        file.write(b'{"batch": 99, "samp')  # as a kill in the midst of a line leaves it
    assert not (out / film_record.TIMELINE).exists()
    count = Count(monkeypatch)
    resumed = watched(long_film, engine, out=out, resume=True)
    assert 0 < count.frames < resumed.counts.predicted
    assert same(resumed, watched(long_film, engine))
    assert Timeline.from_text((out / film_record.TIMELINE).read_text()).to_json() == resumed.to_json()


def test_a_film_that_cannot_be_sought_is_resumed_as_well(
    engine: OnnxEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(film_record, "SAVE_SECONDS", 0.0)
    frames = as_pictures((scene(number // 60) for number in range(300)), noise=2)
    path = write(tmp_path / "film.h264", frames, options={"g": "25"})
    complete = watched(path, engine)
    events = watch(
        WatchRequest(source=str(path), engine=engine, out=tmp_path / "out", threads=1, batch_size=4)
    )
    for _ in range(4):
        next(events)
    events.close()
    resumed = watched(path, engine, out=tmp_path / "out", resume=True, batch_size=4)
    assert [s.second for s in resumed.samples] == [s.second for s in complete.samples]
    assert resumed.counts == complete.counts and resumed.counts.undated == 300


def test_a_finished_run_is_read_and_not_repeated(
    four_scenes: Path, engine: OnnxEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = WatchRequest(source=str(four_scenes), engine=engine, out=tmp_path / "out", threads=1)
    begun, *_, first = watch(request)
    assert isinstance(begun, WatchStarted) and begun.resumed_at is None
    count = Count(monkeypatch)
    started, last = watch(replace(request, resume=True))
    assert isinstance(first, WatchFinished) and isinstance(last, WatchFinished)
    assert same(last.timeline, first.timeline) and count.frames == 0
    assert isinstance(started, WatchStarted) and started.resumed_at == last.timeline.shots[-1].end > 1.0


def test_another_film_model_or_setting_is_not_resumed(
    four_scenes: Path, long_film: Path, engine: OnnxEngine, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(RunError, match="nothing to resume"):
        watched(four_scenes, engine, out=out, resume=True)
    watched(four_scenes, engine, out=out)
    with pytest.raises(RunError, match="already holds"):
        watched(four_scenes, engine, out=out)
    with pytest.raises(RunError, match="another film"):
        watched(long_film, engine, out=out, resume=True)
    with pytest.raises(RunError, match="other settings"):
        watched(four_scenes, engine, out=out, resume=True, every=0.7)
    other = copy(engine)
    other.card = replace(engine.card, name="other")
    with pytest.raises(RunError, match="another model"):
        watched(four_scenes, other, out=out, resume=True)


# ----------------------------------------------------------------------------------- former and damaged files


@pytest.fixture(scope="module")
def interrupted(long_film: Path, engine: OnnxEngine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose run was interrupted after three batches, with the state saved after the second."""
    out = tmp_path_factory.mktemp("interrupted") / "out"
    events = watch(WatchRequest(source=str(long_film), engine=engine, out=out, threads=1, batch_size=4))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(film_record, "SAVE_SECONDS", 0.0)
        for _ in range(3):
            next(events)
        patch.setattr(film_record, "SAVE_SECONDS", 1e9)
        next(events)
    events.close()
    return out


@pytest.fixture
def folder(interrupted: Path, tmp_path: Path) -> Path:
    return shutil.copytree(interrupted, tmp_path / "out")


def opened(folder: Path, film: Path, engine: OnnxEngine) -> FilmRecord:
    request = WatchRequest(source=str(film), engine=engine, out=folder, resume=True, batch_size=4)
    with Video(film) as video:
        record = FilmRecord.open(request, video, engine)
    record.close()
    return record


def as_version_1(folder: Path) -> None:
    """Bring a folder to the layout that was written before format version 2."""
    origin = json.loads((folder / "film.json").read_text())
    (folder / "film.json").write_text(json.dumps({**origin, "version": 1}, indent=2))
    state = json.loads((folder / "state.json").read_text())
    state["judged"], state["like"] = state.pop("predicted"), state.pop("reference")
    (folder / "place.json").write_text(json.dumps(state))
    (folder / "state.json").unlink()


def test_a_folder_of_version_1_is_resumed_and_keeps_nothing_former(
    folder: Path, long_film: Path, engine: OnnxEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_version_1(folder)
    count = Count(monkeypatch)
    resumed = watched(long_film, engine, out=folder, resume=True, batch_size=4)
    assert 0 < count.frames < resumed.counts.predicted
    assert same(resumed, watched(long_film, engine, batch_size=4))
    assert {file.name for file in folder.iterdir()} == {"film.json", "samples.jsonl", "timeline.json"}


def test_a_state_is_read_as_it_was_saved(folder: Path, long_film: Path, engine: OnnxEngine) -> None:
    current = opened(folder, long_film, engine)
    as_version_1(folder)
    former = opened(folder, long_film, engine)
    assert current.state.batches == 2 and len(current.known) == 1
    assert (current.state.reference == former.state.reference).all()  # type: ignore[union-attr]
    for record in (current, former):
        record.state.reference = None
    assert current.state == former.state and current.predictions == former.predictions


def changed(name: str, **changes: Any) -> Callable[[Path], object]:
    """Change keys of a JSON file; an ellipsis removes one."""

    def change(folder: Path) -> None:
        plain = {**json.loads((folder / name).read_text()), **changes}
        kept = {key: value for key, value in plain.items() if value is not ...}
        (folder / name).write_text(json.dumps(kept))

    return change


def written(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


def first_line(**changes: Any) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        first, *rest = (folder / "samples.jsonl").read_text().splitlines(keepends=True)
        line = {**json.loads(first), **changes}
        (folder / "samples.jsonl").write_text(json.dumps(line) + "\n" + "".join(rest))

    return change


@pytest.mark.parametrize(
    "damage",
    [
        written("film.json", '{"version": 2, "fi'),
        written("film.json", "[]"),
        changed("film.json", weights=None),
        changed("film.json", frames_at_once="4"),
        changed("film.json", version=99),
        changed("film.json", **{"\ud800": "half"}),
        changed("film.json", version="\ud800"),
        written("state.json", ""),
        written("state.json", "[" * 100_000),
        written("state.json", "7"),
        changed("state.json", due=...),
        changed("state.json", second="1.5"),
        changed("state.json", second=float("nan")),
        changed("state.json", end=1e12),
        changed("state.json", boundaries=[[1.0, "wipe", 0.0]]),
        changed("state.json", reference=None),
        changed("state.json", reference="eJwDAAAAAAE="),
        changed("state.json", reference="no base64"),
        written("samples.jsonl", "{}\n"),
        written("samples.jsonl", '{"batch": 0, "samples": [[0.0, 0, [1.0], false]]}\n'),
        written("samples.jsonl", '{"late": 1.5, "samples": []}\n'),
        first_line(samples=[["0.0", 0, [0.125] * 8, False]]),
        first_line(samples=[[1e12, 0, [0.125] * 8, False]]),
        first_line(batch=True),
        written("timeline.json", "{}"),
        written("timeline.json", ""),
    ],
)
def test_what_is_torn_or_altered_is_an_error_that_names_the_file(
    folder: Path, long_film: Path, engine: OnnxEngine, damage: Callable[[Path], object]
) -> None:
    damage(folder)
    with pytest.raises(RunError, match=r"(film|state|timeline)\.json|samples\.jsonl"):
        opened(folder, long_film, engine)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model", "another model: "),
        ("weights", "another model, or with this one before its weights were changed"),
        ("engine", "another engine: "),
        ("fingerprint", "another film, or with this one before it was changed"),
        ("settings", "other settings: .*sampling .* then, time now"),
    ],
)
def test_half_of_a_surrogate_pair_is_another_value(
    folder: Path, long_film: Path, engine: OnnxEngine, name: str, message: str
) -> None:
    changed("film.json", **{name: {"sampling": "\ud800"} if name == "settings" else "\ud800"})(folder)
    with pytest.raises(RunError, match=f"was started with ({message})") as refused:
        opened(folder, long_film, engine)
    shown = printable(str(refused.value))
    assert shown.encode() and (name not in ("weights", "fingerprint") or len(shown) < len(str(folder)) + 150)


@pytest.mark.parametrize("lost", ["the last byte", "a line", "all", "a block of the disk"])
def test_predictions_that_the_state_counts_but_the_disk_lost_are_made_again(
    folder: Path, long_film: Path, engine: OnnxEngine, lost: str
) -> None:
    """As by a power cut, from which a complete state came back, but not all of what it counts."""
    file = folder / film_record.SAMPLES
    counted = json.loads((folder / film_record.STATE).read_bytes())["batches"]
    lines = file.read_bytes().splitlines(keepends=True)[:counted]
    data = b"".join(lines)
    left = {
        "the last byte": data[:-1],
        "a line": b"".join(lines[1:]),
        "all": b"",
        "a block of the disk": bytes(len(lines[0])) + b"".join(lines[1:]),
    }[lost]
    file.write_bytes(left)
    once = WatchRequest(source=str(long_film), engine=engine, threads=1, batch_size=4)
    *_, complete = watch(once)
    *_, resumed = watch(replace(once, out=folder, resume=True))
    assert isinstance(complete, WatchFinished) and isinstance(resumed, WatchFinished)
    assert same(resumed.timeline, complete.timeline)


def test_a_film_that_another_process_watches_is_refused(
    long_film: Path, engine: OnnxEngine, tmp_path: Path
) -> None:
    request = WatchRequest(source=str(long_film), engine=engine, out=tmp_path / "out", threads=1)
    with holder("locked_folder", tmp_path / "out") as other, pytest.raises(OutputInUse, match=str(other.pid)):
        next(watch(request))


def test_predictions_are_on_the_disk_before_the_state_that_counts_them(
    long_film: Path, engine: OnnxEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(film_record, "SAVE_SECONDS", 0)
    out, system, original = tmp_path / "out", os.fsync, atomic_write
    synced: list[int] = []

    def fsync(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        system(descriptor)

    def noted(file: Path, mode: str = "wb") -> Any:
        assert file.name != film_record.STATE or synced[-1] == (out / film_record.SAMPLES).stat().st_ino
        return original(file, mode)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(film_record, "atomic_write", noted)
    events = watch(WatchRequest(source=str(long_film), engine=engine, out=out, threads=1))
    for _ in range(4):
        next(events)
    events.close()
    assert (out / film_record.STATE).is_file()
