"""Searches on a real Ray of several processes, with real kills, tiny networks and pictures of 32 pixels."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from affectlens.cli.main import main
from affectlens.cluster.connection import Cluster, connected
from affectlens.cluster.search_record import RoundEnd
from affectlens.cluster.tune import RAY, SearchEvent, SearchFinished, SearchRequest, plan_search, search
from affectlens.data import folder
from affectlens.errors import ClusterError, OutputError, OutputInUse, RunError, SettingsError
from affectlens.models.saved import load_model
from affectlens.training import lineage
from affectlens.training.intervals import state_file
from affectlens.training.lineage import LINEAGE, Interval
from affectlens.training.replay import ReplayedInterval, replay, winners_line
from affectlens.training.run_folder import TrainingRequest, read_run_settings
from affectlens.training.search_plan import SEARCH, STATES, SearchFile, SearchPlan
from affectlens.training.search_ranges import read_ranges
from affectlens.training.session import open_session
from affectlens.training.settings import Settings, override
from lock_holder import holder
from nodes import Nodes
from pictures import colour_set

ASSIGNMENTS = [
    "weights=none", "batch_size=6", "num_workers=0", "preprocessing.height=32", "preprocessing.width=32",
    "lr=0.003", "precision=float32",
]  # fmt: skip
TINY = override(Settings(network="test_efficientnet"), ASSIGNMENTS)
PLAN = SearchPlan(population=4, interval=2, rounds=3)

# How long a driver waits for a Ray that is gone. Ray's own names are partly in small letters.
IMPATIENT = {"RAY_gcs_rpc_server_reconnect_timeout_s": "2"}

cluster = pytest.mark.cluster


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return colour_set(tmp_path_factory.mktemp("tune") / "data", ("awe", "anger", "sadness"), each=12)


@pytest.fixture
def threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)  # which would end in other digits
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def ray_of_two(nodes: Nodes) -> Iterator[None]:
    """This process is connected to the two nodes, whatever address a search names."""
    with connected(Cluster(address=nodes.address)):
        yield


def request(
    data: Path, out: Path, plan: SearchPlan = PLAN, settings: Settings = TINY, **more: Any
) -> SearchRequest:
    run = TrainingRequest(
        name="tiny",
        data="folder",
        source=folder.read(data),
        settings=settings,
        out=out,
        device="cpu",
        graph=False,
        **more,
    )
    return SearchRequest(run=run, data=f"folder:{data}", plan=plan, cluster=Cluster(address="none", cpus=2))


def resumed(data: Path, out: Path) -> SearchRequest:
    return request(data, out, SearchFile.read(out).plan, read_run_settings(out), resume=True)


def ignore(_: SearchEvent) -> None:
    pass


def comparable(intervals: list[Interval]) -> dict[tuple[int, int], Interval]:
    """A lineage without what differs from one search to the next: order and seconds."""
    return {one.key: replace(one, seconds=0.0) for one in intervals}


# Without Ray running. -----------------------------------------------------------------------------


def test_an_interval_is_counted_in_steps_or_epochs(data: Path) -> None:
    source = folder.read(data)  # 36 pictures, of which 6 are held out for validation
    assert plan_search(source, TINY, interval="200steps").interval == 200
    assert plan_search(source, TINY, interval="200").interval == 200
    assert plan_search(source, TINY, interval="2epochs").interval == 10
    with pytest.raises(SettingsError, match=r"0\.5epochs"):
        plan_search(source, TINY, interval="ten")


def test_a_search_that_another_process_writes_is_refused(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "search"
    with holder("locked_folder", out) as other, pytest.raises(OutputInUse, match=str(other.pid)):
        search(request(data, out), ignore)
    assert not (out / SEARCH).exists()


def test_a_search_that_gets_no_cluster_leaves_nothing_behind(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Cluster) -> None:
        raise ClusterError("No Ray answers.")

    monkeypatch.setattr("affectlens.cluster.tune.connected", refuse)
    with pytest.raises(ClusterError):
        search(request(data, tmp_path / "search"), ignore)
    assert not (tmp_path / "search").exists()


def test_a_search_is_not_begun_among_its_pictures(data: Path) -> None:
    with pytest.raises(OutputError, match="read as an emotion"):
        search(request(data, data / "search"), ignore)
    assert not (data / "search").exists()


def test_a_search_needs_a_score(data: Path) -> None:
    with pytest.raises(SettingsError, match="needs a score to choose members by"):
        plan_search(folder.read(data), override(TINY, ["select_by=last"]))


def test_there_must_be_a_search_to_resume(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no search"):
        SearchFile.read(tmp_path)


# On Ray. ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def undisturbed(data: Path, ray_of_two: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a search that nothing happened to; its members are more than the processes."""
    out = tmp_path_factory.mktemp("undisturbed") / "search"
    states: list[int] = []
    events: list[SearchEvent] = []

    def listen(event: SearchEvent) -> None:
        events.append(event)
        states.append(len(list((out / STATES).glob("*.safetensors"))))

    search(request(data, out), listen)
    rounds = [event for event in events if isinstance(event, RoundEnd)]
    assert [one.round for one in rounds] == [1, 2, 3] and sum(one.exploited for one in rounds) == 2
    assert isinstance(events[-1], SearchFinished)
    # The bound that docs/tuning.md states: 2 x population + 1, and one being written in each process.
    assert PLAN.population < max(states) <= 2 * PLAN.population + 1 + 2
    return out


@cluster
def test_a_search_leaves_a_true_lineage_and_the_model_of_its_best_member(
    undisturbed: Path, data: Path
) -> None:
    intervals = lineage.read_lineage(undisturbed / LINEAGE)
    lineage.verify(intervals)
    assert len(intervals) == PLAN.population * PLAN.rounds
    winner = lineage.best(intervals)
    card = load_model(undisturbed / "model").card
    assert card.scores["accuracy"] == pytest.approx(winner.scores["accuracy"])
    for name in ("lr", "label_smoothing", "mixup"):
        assert card.training["settings"][name] == winner.settings[name]
    assert not (undisturbed / STATES).exists() and not (undisturbed / RAY).exists()


@cluster
def test_a_search_that_has_ended_is_not_resumed(undisturbed: Path, data: Path) -> None:
    with pytest.raises(RunError, match="has ended"):
        search(resumed(data, undisturbed), ignore)


@cluster
def test_children_begin_with_the_weights_and_near_the_settings_of_their_donors(undisturbed: Path) -> None:
    intervals = {one.key: one for one in lineage.read_lineage(undisturbed / LINEAGE)}
    children = [one for one in intervals.values() if one.is_exploit]
    for child in children:
        assert child.parent is not None
        donor = intervals[child.parent, child.round - 1]
        losers = [
            one for one in intervals.values() if one.round == child.round - 1 and one.score > donor.score
        ]
        assert not losers, "not the best was copied"
        assert child.start_hash == donor.end_hash and child.sampled_from == donor.sample
        assert child.settings != donor.settings


@cluster
def test_replaying_the_winners_schedule_ends_in_the_winners_weights(
    undisturbed: Path, data: Path, tmp_path: Path, threads_as_before: None
) -> None:
    settings = read_run_settings(undisturbed)
    source = folder.read(data)
    session, line = open_session(source, settings, "cpu"), winners_line(undisturbed)
    run = TrainingRequest(
        name="tiny", data="folder", source=source, settings=settings, out=tmp_path / "run", graph=False
    )
    events = replay(run, session, line, SearchFile.read(undisturbed).plan.threads)
    rounds = [event for event in events if isinstance(event, ReplayedInterval)]
    assert [one.is_the_same for one in rounds] == [True] * len(line)
    both = [load_model(out / "model").card.weights_hash for out in (undisturbed, tmp_path / "run")]
    assert both[0] == both[1]


@cluster
def test_pb2_changes_what_the_own_ranges_of_a_search_name(
    data: Path, ray_of_two: None, tmp_path: Path
) -> None:
    (tmp_path / "ranges.toml").write_text("only = true\nlr = [1e-3, 2e-3]\nlayer_decay = [0.5, 0.9]\n")
    space = read_ranges(tmp_path / "ranges.toml", TINY)
    out = tmp_path / "search"
    plan = SearchPlan(scheduler="pb2", population=4, interval=1, rounds=2)
    finished = search(replace(request(data, out, plan), space=space), ignore)
    assert SearchFile.read(out).search_space == space
    intervals = lineage.read_lineage(out / LINEAGE)
    lineage.verify(intervals)
    assert finished.winner == lineage.best(intervals) and load_model(finished.run.model)
    assert len(intervals) == 8 and any(one.is_exploit for one in intervals)
    assert {one.round for one in intervals} == {1, 2}
    for one in intervals:
        assert set(one.settings) == {"lr", "layer_decay"}
        assert 1e-3 <= one.settings["lr"] <= 2e-3 and 0.5 <= one.settings["layer_decay"] <= 0.9


@cluster
@pytest.mark.parametrize(
    "scheduler",
    # What ASHA decides is tested without Ray, and that a search runs by what is decided with PBT and PB2.
    [pytest.param(name, marks=pytest.mark.slow) for name in ("asha", "random")],
)
def test_schedulers_without_exchange_leave_the_same_files(
    scheduler: str, data: Path, ray_of_two: None, tmp_path: Path
) -> None:
    plan = SearchPlan(scheduler=scheduler, population=4, interval=1, rounds=2)
    finished = search(request(data, tmp_path / "search", plan), ignore)
    intervals = lineage.read_lineage(tmp_path / "search" / LINEAGE)
    lineage.verify(intervals)
    assert finished.winner == lineage.best(intervals) and load_model(finished.run.model)
    stopped = [one for one in intervals if one.stopped]
    assert not any(one.is_exploit for one in intervals)
    if scheduler == "random":
        assert len(intervals) == 8 and not stopped
    else:  # what it stops depends on who is first; tests/cluster/test_schedulers.py
        assert len(intervals) == 8 - sum(plan.rounds - one.round for one in stopped)


@pytest.mark.slow  # what a search makes of such members is tested without Ray
@cluster
def test_a_search_whose_members_all_diverge_is_an_error(data: Path, ray_of_two: None, tmp_path: Path) -> None:
    wild = replace(TINY, lr=1e30, clip_grad=0.0, warmup=0.0)
    with pytest.raises(RunError, match="Every member diverged"):
        search(request(data, tmp_path / "search", replace(PLAN, population=2, rounds=2), wild), ignore)
    intervals = lineage.read_lineage(tmp_path / "search" / LINEAGE)
    lineage.verify(intervals)
    assert len(intervals) == 4 and all(one.failed for one in intervals)


# Interrupted. -------------------------------------------------------------------------------------


def processes_called(name: str) -> list[int]:
    """Processes below this one whose command begins so."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if " ".join(process.cmdline()).startswith(name):
                found.append(process.pid)
    return found


# Imports what a search needs, which takes ten seconds, and begins when it reads a line: so that one is ready
# when another is killed.
DRIVER = """
import sys
import affectlens.cluster.tune
from affectlens.cli.main import main
if sys.stdin.readline():
    main(sys.argv[1:])
"""


def words(data: Path, out: Path, *more: str, address: str = "none") -> list[str]:
    return ["tune", "test_efficientnet", "--data", f"folder:{data}", "--out", str(out),
            "--address", address, "--device", "cpu", "--no-graph", *more]  # fmt: skip


def anew() -> list[str]:
    """What begins the search that `undisturbed` is."""
    settings = [word for assignment in ASSIGNMENTS for word in ("--set", assignment)]
    return [*settings, "--population", "4", "--interval", "2steps", "--rounds", "3"]


@contextlib.contextmanager
def driver(command: list[str], out: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """A process that is about to run a command, which `begin` has it do; it ends with the block."""
    with Path(f"{out}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, *command],
            stdin=subprocess.PIPE, stdout=log, stderr=log, env={**os.environ, **IMPATIENT},
        )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def begin(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.close()


def wait_until(process: "subprocess.Popen[bytes]", due: Callable[[], bool]) -> None:
    while not due():
        assert process.poll() is None, "the search ended before it was killed"
        time.sleep(0.002)


def lines(out: Path) -> int:
    return (out / LINEAGE).read_bytes().count(b"\n") if (out / LINEAGE).is_file() else 0


def kill_all_below(pid: int, name: str) -> int:
    found = [one for one in psutil.Process(pid).children(recursive=True) if one.name() == name]
    for one in found:
        one.kill()
    return len(found)


@contextlib.contextmanager
def member_killed(when: Callable[[], bool]) -> Iterator[list[int]]:
    """Within the block a process that trains a member is killed, once it is time; it is listed then."""
    killed: list[int] = []
    ended = threading.Event()

    def kill() -> None:
        while not killed and not ended.wait(0.01):
            for pid in processes_called("ray::ResourceTrainable")[:1] if when() else []:
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield killed
    finally:
        ended.set()
        killer.join()


def kill_the_driver(data: Path, out: Path, address: str) -> None:
    """Begin a search, and kill the process that leads it during the first perturbation."""
    with driver(words(data, out, *anew(), address=address), out) as process:
        begin(process)
        wait_until(process, lambda: lines(out) >= PLAN.population)
        process.send_signal(signal.SIGKILL)
        process.wait()
    lineage.verify(lineage.read_lineage(out / LINEAGE))


def kill_its_ray(data: Path, out: Path) -> None:
    """Go on with a search on a Ray of its own, and kill that during the second perturbation."""
    before = lineage.read_lineage(out / LINEAGE)
    with driver(words(data, out, "--resume"), out) as process:
        begin(process)
        wait_until(process, lambda: lines(out) >= 2 * PLAN.population)
        assert kill_all_below(process.pid, "gcs_server") == 1
        assert kill_all_below(process.pid, "raylet") == 1
        assert process.wait(timeout=300) != 0
    between = lineage.read_lineage(out / LINEAGE)
    lineage.verify(between)
    assert comparable(between).items() >= comparable(before).items(), "more than an interval was lost"


@cluster
@pytest.mark.timeout(1500)  # a minute; on a busy machine three searches took more than the usual ten
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("ray_too", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_search_whose_driver_and_member_are_killed_ends_as_if_nothing_had_happened(
    undisturbed: Path, data: Path, nodes: Nodes, tmp_path: Path, ray_too: bool
) -> None:
    out = tmp_path / "search"
    kill_the_driver(data, out, nodes.address)
    if ray_too:
        kill_its_ray(data, out)
    with (
        # Not the first: Ray ends what is left of the search before, in its own time.
        member_killed(lambda: lines(out) > 2 * PLAN.population) as killed,
        pytest.raises(SystemExit) as ended,
    ):
        main(words(data, out, "--resume"))
    assert killed, "no process of a member was found to kill"
    assert not ended.value.code
    found = lineage.read_lineage(out / LINEAGE)
    lineage.verify(found)
    assert comparable(found) == comparable(lineage.read_lineage(undisturbed / LINEAGE))
    hashes = [load_model(folder / "model").card.weights_hash for folder in (out, undisturbed)]
    assert hashes[0] == hashes[1]
    assert (out / "family.png").is_file() and (out / "schedule.png").is_file()
    assert (out / SEARCH).is_file() and not list(out.rglob("*.part"))


@cluster
def test_a_member_that_cannot_go_on_ends_the_search_with_the_best_model_kept(
    undisturbed: Path, data: Path, ray_of_two: None, tmp_path: Path
) -> None:
    out = tmp_path / "search"
    in_the_way = state_file(out / STATES, 1, 2)

    def block(_: object) -> None:
        in_the_way.mkdir(parents=True, exist_ok=True)

    with pytest.raises(RunError, match=r"Member 1 failed: .*r0002.*--resume") as failed:
        search(request(data, out), block)
    assert str(out / "model") in str(failed.value) and load_model(out / "model")
    in_the_way.rmdir()
    search(resumed(data, out), ignore)
    found = lineage.read_lineage(out / LINEAGE)
    lineage.verify(found)
    assert comparable(found) == comparable(lineage.read_lineage(undisturbed / LINEAGE))


@contextlib.contextmanager
def head_for_clients() -> Iterator[str]:
    """A Ray head of two CPUs, as `ray start` makes it, and the address where clients connect."""
    free = [socket.socket() for _ in range(2)]
    for one in free:
        one.bind(("127.0.0.1", 0))
    port, clients = (one.getsockname()[1] for one in free)
    for one in free:
        one.close()
    start = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--num-cpus=2"]
    start += [f"--port={port}", f"--ray-client-server-port={clients}", "--node-ip-address=127.0.0.1"]
    start += ["--include-dashboard=false", "--object-store-memory=100000000", "--disable-usage-stats"]
    quiet = subprocess.DEVNULL
    head = subprocess.Popen(start, stdout=quiet, stderr=quiet)
    try:
        end = time.monotonic() + 180
        while socket.socket().connect_ex(("127.0.0.1", clients)) and time.monotonic() < end:
            time.sleep(0.2)
        yield f"ray://127.0.0.1:{clients}"
    finally:
        family = [*psutil.Process(head.pid).children(recursive=True), psutil.Process(head.pid)]
        for process in family:
            with contextlib.suppress(psutil.Error):
                process.kill()
        head.wait()


@pytest.mark.slow  # a minute: a cluster of its own, where the other searches share one
@cluster
def test_a_search_through_a_client_of_a_cluster_is_the_same_search(
    undisturbed: Path, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "search"
    with (
        head_for_clients() as address,
        driver(words(data, out, *anew(), address=address), out) as process,
    ):
        begin(process)
        assert process.wait(timeout=400) == 0, Path(f"{out}.log").read_text()
    assert comparable(lineage.read_lineage(out / LINEAGE)) == comparable(
        lineage.read_lineage(undisturbed / LINEAGE)
    )
    assert "Round 3" in Path(f"{out}.log").read_text()
