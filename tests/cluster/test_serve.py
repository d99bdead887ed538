"""`affectlens serve --workers N` on real Ray clusters, compared with the service in one process."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

import films
from affectlens.images import encode_png
from nodes import ENVIRONMENT, Nodes
from services import FORM, Pictures, Reply, Running, base64_of, form

pytestmark = [pytest.mark.cluster, pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")]

TOKEN = "a-token"
SIGNED = {"authorization": f"Bearer {TOKEN}"}
OPTIONS = ("--allow-origin", "https://example.org", "--allow-host", "photos.example", "--set", "pictures=3",
           "--set", "request_bytes=400000", "--set", "body_seconds=2", "--set", "connections=4",
           "--set", "films=2")  # fmt: skip
PATIENCE = 120.0  # seconds for a busy machine to start Ray Serve
OF_THE_WAY = {"date", "server", "x-request-id", "connection", "transfer-encoding", "content-length"}
REPLICA = "ServeReplica:affectlens:"


@contextmanager
def served(*words: str) -> Iterator[tuple[Running, list[str]]]:
    """Run the command until the block ends; yields the service, and the lines until it was there."""
    command = [sys.executable, "-m", "affectlens", "serve", "--port", "0", *words]
    environment = {**os.environ, **ENVIRONMENT, "OMP_NUM_THREADS": "1", "AFFECTLENS_TOKEN": TOKEN}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    assert process.stderr is not None
    lines: list[str] = []
    try:
        while not lines or not lines[-1].startswith("Serving"):
            line = process.stderr.readline()
            assert line, lines
            lines.append(line)
        port = urlsplit(lines[-1].split()[3]).port
        assert port is not None
        found = Running(port, process)
        wait(lambda: found.get("/readyz").status == 200)
        yield found, lines
    finally:
        process.terminate()
        try:
            process.communicate(timeout=PATIENCE)
        finally:
            process.kill()


def wait(until: Callable[[], bool], seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError):
            if until():
                return
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.fixture(scope="module")
def game(tmp_path_factory: pytest.TempPathFactory, photographs: Pictures) -> Path:
    folder = tmp_path_factory.mktemp("game")
    for name, data in photographs[:2]:
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def single(graph_model: Path, game: Path) -> Iterator[Running]:
    with served("--model", str(graph_model), "--game", str(game), *OPTIONS) as (found, _):
        yield found


@pytest.fixture(scope="module")
def started(graph_model: Path, game: Path) -> Iterator[tuple[Running, list[str]]]:
    words = ["--workers", "2", "--address", "none", "--model", str(graph_model), "--game", str(game)]
    with served(*words, *OPTIONS) as found:
        yield found


@pytest.fixture
def service(started: tuple[Running, list[str]]) -> Running:
    return started[0]


def counts_of(service: Running, name: str) -> dict[str, float]:
    """Read the series of a count, by their labels as they are written."""
    lines = service.get("/metrics", **SIGNED).body.decode().splitlines()
    series = [line.removeprefix(name).rpartition(" ") for line in lines if line.startswith(f"{name}{{")]
    return {labels: float(value) for labels, _, value in series}


def requests(photographs: Pictures) -> dict[str, tuple[Any, ...]]:
    picture = form([("pictures", *photographs[0]), ("pictures", "damaged.png", b"no picture")], [])
    two = json.dumps({"pictures": [{"name": n, "data": base64_of(d)} for n, d in photographs[:2]]}).encode()
    wide = form([("pictures", *photographs[0])], [("coverage", "2")])
    four = form([("pictures", *photographs[0])] * 4, [])
    as_json = {**SIGNED, "content-type": "application/json"}
    explained = form([("picture", *photographs[1])], [("emotion", "awe")])
    return {
        "form": ("POST", "/v1/predict", picture, {**SIGNED, **FORM}),
        "json": ("POST", "/v1/predict", two, as_json),
        "explanation": ("POST", "/v1/explain", explained, {**SIGNED, **FORM}),
        "page": ("GET", "/", None, {}),
        "head": ("HEAD", "/", None, {}),
        "form of the page": ("POST", "/", form([("picture", *photographs[2])], []), {**SIGNED, **FORM}),
        "script": ("GET", "/static/page.js", None, {}),
        "game": ("GET", "/game", None, SIGNED),
        "picture of the game": ("GET", "/game/1", None, SIGNED),
        "models": ("GET", "/v1/models", None, SIGNED),
        "schema": ("GET", "/openapi.json", None, SIGNED),
        "too many": ("POST", "/v1/predict", four, {**SIGNED, **FORM}),
        "not to be requested": ("POST", "/v1/predict", wide, {**SIGNED, **FORM}),
        "malformed": ("POST", "/v1/predict", b"{", as_json),
        "no token": ("GET", "/v1/models", None, {}),
        "no token, with a body": ("POST", "/v1/predict", picture, FORM),
        "host": ("GET", "/v1/models", None, {**SIGNED, "host": "stranger.example"}),
        "allowed host": ("GET", "/v1/models", None, {**SIGNED, "host": "photos.example"}),
        "origin": ("GET", "/v1/models", None, {**SIGNED, "origin": "https://stranger.example"}),
        "allowed origin": ("GET", "/v1/models", None, {**SIGNED, "origin": "https://example.org"}),
        "preflight": ("OPTIONS", "/v1/predict", None,
                      {"origin": "https://example.org", "access-control-request-method": "POST"}),
        "nothing there": ("GET", "/nothing", None, SIGNED),
        "no film": ("GET", "/v1/film/none", None, SIGNED),
        "nothing like films": ("GET", "/v1/films", None, SIGNED),
        "method": ("PUT", "/v1/film", None, SIGNED),
        "too long": ("POST", "/v1/predict", b"x" * 3_000_000, {**SIGNED, **FORM}),
    }  # fmt: skip


def test_what_replicas_answer_is_what_one_process_answers(
    single: Running, service: Running, photographs: Pictures
) -> None:
    statuses = Counter[int]()
    for name, request in requests(photographs).items():
        expected, found = single.send(*request), service.send(*request)
        assert (name, found.status, found.body) == (name, expected.status, expected.body)
        assert (name, headers_of(found)) == (name, headers_of(expected))
        statuses[found.status] += 1
    assert statuses.keys() >= {200, 204, 400, 401, 403, 404, 405, 413, 421, 422}


def headers_of(reply: Reply) -> dict[str, str]:
    return {name: value for name, value in reply.headers.items() if name not in OF_THE_WAY}


def test_the_command_states_what_runs_where(started: tuple[Running, list[str]]) -> None:
    lines = [line.strip() for line in started[1]]
    assert any("Starting 2 replicas with 1 CPU each, and one for films, on this machine." in x for x in lines)
    assert "0 of 3 replicas are ready." in lines and lines[-1].startswith("Serving tiny on http://127.0.0.1:")


def test_counts_are_those_of_all_replicas(service: Running, photographs: Pictures) -> None:
    answered = "affectlens_pictures_total"
    before = sum(counts_of(service, answered).values())
    with ThreadPoolExecutor(4) as pool:
        body = form([("pictures", *photographs[0])], [])
        sent = ("POST", "/v1/predict", body, {**SIGNED, **FORM})
        replies = list(pool.map(lambda _: service.send(*sent), range(20)))
    assert {reply.status for reply in replies} == {200} and len({reply.body for reply in replies}) == 1
    wait(lambda: sum(counts_of(service, answered).values()) == before + 20, 20)
    assert len(counts_of(service, answered)) >= 2  # both took part
    assert len(counts_of(service, "affectlens_pictures_waiting")) == 3


def film(folder: Path, frames: int) -> bytes:
    colours = ((number * 7 % 256, number * 13 % 256, 90) for number in range(frames))
    return films.write(folder / "film.mp4", (films.plain(each, 240, 320) for each in colours)).read_bytes()


def test_a_film_is_found_whatever_replica_answers_and_its_events_come_as_they_happen(
    service: Running, tmp_path: Path
) -> None:
    body = form([("film", "film.mp4", film(tmp_path, 300))], [])
    replies = [service.send("POST", "/v1/film", body, {**SIGNED, **FORM}) for _ in range(3)]
    assert [reply.status for reply in replies] == [202, 202, 503] and "retry-after" in replies[2].headers
    first, second = (reply.json["links"]["self"] for reply in replies[:2])
    assert {service.get(second, **SIGNED).status for _ in range(20)} == {200}
    assert service.send("DELETE", second, headers=SIGNED).status == 204
    connection = HTTPConnection("127.0.0.1", service.port, timeout=60)
    connection.request("GET", f"{first}/events", headers=SIGNED)
    answer = connection.getresponse()
    assert answer.getheader("content-type", "").startswith("text/event-stream")
    assert answer.readline() == b"event: progress\n"
    assert service.get(first, **SIGNED).json["status"] == "running"  # read before it was done
    assert "event: done\n" in answer.read().decode()
    connection.close()
    assert service.send("DELETE", first, headers=SIGNED).status == 204
    assert service.get(first, **SIGNED).status == 404


def connected_to(service: Running, length: int, sent: bytes, path: str = "/v1/predict") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", service.port), timeout=30)
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {TOKEN}",
             f"Content-Type: {FORM['content-type']}", f"Content-Length: {length}", "", ""]  # fmt: skip
    connection.sendall("\r\n".join(lines).encode() + sent)
    return connection


def test_a_body_that_states_to_be_too_long_is_refused_before_it_is_sent(service: Running) -> None:
    with connected_to(service, 10_000_000_000, b"") as connection:
        assert connection.recv(65_536).startswith(b"HTTP/1.1 413")


def test_slow_senders_and_more_requests_than_replicas_take_at_once_are_refused(
    service: Running,
) -> None:
    begin = time.monotonic()
    connections = [connected_to(service, 1_000, b"--") for _ in range(20)]
    found = Counter[bytes]()
    for connection in connections:
        with connection:
            answer = connection.recv(65_536)
            found[answer.split()[1]] += 1
            assert answer.startswith(b"HTTP/1.1 408") or b"retry-after: 2" in answer
    # Twice 4 at once, 4 wait for these; each for 2 seconds.
    assert found.keys() == {b"408", b"503"} and found[b"408"] >= 8
    assert 1.5 < time.monotonic() - begin < 20


def test_a_client_that_goes_away_ends_its_work(service: Running) -> None:
    def ended() -> float:
        return sum(
            value for labels, value in counts_of(service, "affectlens_requests_total").items()
            if 'route="/v1/explain"' in labels and 'status="499"' in labels
        )  # fmt: skip

    def busy() -> float:
        return sum(counts_of(service, "affectlens_explanations_waiting").values())

    large = encode_png(films.plain((200, 90, 30), 240, 320))
    slow = [("method", "rise"), ("story", "true"), ("faithfulness", "true")]
    body = form([("picture", "large.png", large)], slow)
    with connected_to(service, len(body), body, "/v1/explain"):
        wait(lambda: busy() == 1, 20)
    wait(lambda: ended() == 1 and busy() == 0, 20)


def workers_of(service: Running, name: str) -> list[psutil.Process]:
    found = []
    for each in psutil.Process(service.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if name in " ".join(each.cmdline()):
                found.append(each)
    return found


def test_a_signal_ends_all_processes_after_what_was_accepted(
    started: tuple[Running, list[str]], photographs: Pictures, tmp_path: Path
) -> None:
    """The last of those that share the service, which it ends."""
    service, _ = started
    body = form([("film", "film.mp4", film(tmp_path, 300))], [])
    assert service.send("POST", "/v1/film", body, {**SIGNED, **FORM}).status == 202
    family = psutil.Process(service.process.pid).children(recursive=True)
    assert len(workers_of(service, REPLICA)) == 2 and len(workers_of(service, "decoder_child")) == 3
    predicted = form([("pictures", *photographs[0])], [])
    with connected_to(service, len(predicted), predicted[:-10]) as connection:
        wait(lambda: sum(counts_of(service, "affectlens_requests_total").values()) > 0, 10)
        service.process.send_signal(signal.SIGTERM)
        seen = Counter[int]()

        def refused() -> bool:
            seen[service.get("/readyz").status] += 1
            return 503 in seen

        wait(refused, 10)
        connection.sendall(predicted[-10:])
        # It was accepted before: it may be refused by then, but is never left without an answer.
        assert connection.recv(65_536).split()[1] in (b"200", b"503")
    assert service.process.communicate(timeout=PATIENCE) == ("", "")
    assert service.process.returncode == 0
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive


def run(*words: str, environment: dict[str, str] | None = None) -> tuple[int, str]:
    command = [sys.executable, "-m", "affectlens", "serve", *words]
    given = {**os.environ, **ENVIRONMENT, **(environment or {})}
    result = subprocess.run(command, env=given, capture_output=True, text=True, timeout=300, check=False)
    return result.returncode, result.stderr


def test_a_port_that_is_taken_is_an_error_and_nothing_of_ray_is_left(graph_model: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        status, text = run("--workers", "1", "--address", "none", "--model", str(graph_model), "--port", port)
    assert status == 2 and f"cannot listen on 127.0.0.1 port {port}" in text and "Traceback" not in text


@pytest.mark.slow
@pytest.mark.parametrize("awaited", ["Starting 2 replicas", "0 of 3 replicas", "Serving tiny"])
def test_ctrl_c_in_a_terminal_ends_all_of_it_however_far_it_is(graph_model: Path, awaited: str) -> None:
    words = ["--workers", "2", "--address", "none", "--model", str(graph_model), "--port", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "affectlens", "serve", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, **ENVIRONMENT, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert process.stderr is not None
    line = ""
    while not line.startswith(awaited):
        line = process.stderr.readline()
        assert line
    family = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to all processes of the command
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (0, "") and "Error" not in err and "Traceback" not in err, err
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive


@pytest.mark.slow
def test_a_killed_replica_is_replaced_and_the_others_go_on(graph_model: Path, photographs: Pictures) -> None:
    words = ["--workers", "2", "--address", "none", "--model", str(graph_model)]
    with served(*words) as (service, _):
        body = form([("pictures", *photographs[0])], [])
        sent = ("POST", "/v1/predict", body, {**SIGNED, **FORM})
        expected = service.send(*sent).body
        before = counts_of(service, "affectlens_pictures_waiting").keys()
        stop, answers = threading.Event(), Counter[str]()

        def load() -> None:
            while not stop.is_set():
                reply = service.send(*sent)
                same = reply.status != 200 or reply.body == expected
                answers[str(reply.status) if same else "another answer"] += 1

        with ExitStack() as stack, ThreadPoolExecutor(4) as pool:
            loads = [pool.submit(load) for _ in range(4)]
            try:
                # Requests in flight at both replicas: their bodies lack an end.
                opened = [stack.enter_context(connected_to(service, len(body), body[:-9])) for _ in range(8)]
                wait(lambda: answers["200"] >= 20)
                workers_of(service, REPLICA)[0].send_signal(signal.SIGKILL)
                at_kill = answers["200"]
                wait(lambda: answers["200"] >= at_kill + 20)
                found = Counter(last_part(each, body[-9:]) for each in opened)
                wait(lambda: is_replaced(counts_of(service, "affectlens_pictures_waiting").keys(), before))
            finally:
                stop.set()
            for each in loads:
                each.result()  # none had its connection broken
        assert found.keys() == {b"200", b"500"}, found
        assert set(answers) <= {"200", "500"}, answers
        assert len(workers_of(service, REPLICA)) == 2
        assert len(workers_of(service, "decoder_child")) == 3  # those of the killed one ended with it


def last_part(connection: socket.socket, rest: bytes) -> bytes:
    """Send the rest of a body, where it is still wanted, and return the status of the answer."""
    with contextlib.suppress(OSError):
        connection.sendall(rest)
    answer = connection.recv(65_536)
    if b" 500 " in answer:
        assert answer.endswith(b"Internal Server Error"), answer
    return answer.split()[1]


def is_replaced(now: Any, before: Any) -> bool:
    return len(now) == 3 and len(now - before) == 1


LOOK = """
import sys, ray
from ray import serve
ray.init(sys.argv[1], log_to_driver=False)
print(len([node for node in ray.nodes() if node["Alive"]]), len(serve.status().applications),
      len(ray.util.list_named_actors(all_namespaces=True)))
"""


def look_at(nodes: Nodes) -> str:
    """Count nodes, applications and named actors of a cluster."""
    result = subprocess.run(
        [sys.executable, "-c", LOOK, nodes.address],
        env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return result.stdout.strip()


@pytest.mark.slow
def test_a_cluster_that_was_there_stays_and_serves_one_command_alone(graph_model: Path, nodes: Nodes) -> None:
    before = look_at(nodes)
    assert before == "2 0 0"
    words = ["--model", str(graph_model), "--address", nodes.address]
    status, text = run(*words, "--workers", "3")
    assert status == 2 and "3 workers need a CPU each, and Ray has 2 on 2 machines" in text
    with served(*words, "--workers", "2") as (service, lines):
        assert "on 2 machines" in "".join(lines)
        for port, part in (("1", "listens on 127.0.0.1 port"), (str(service.port), "another command")):
            status, text = run(*words, "--workers", "1", "--port", port)
            assert status == 2 and part in text
        assert service.get("/readyz").status == 200
    assert look_at(nodes) == before


@pytest.mark.slow
def test_where_the_command_is_killed_its_replicas_end_themselves(graph_model: Path, nodes: Nodes) -> None:
    words = ["--model", str(graph_model), "--address", nodes.address, "--workers", "2"]
    with served(*words) as (service, _):
        service.process.kill()
        wait(lambda: not nodes.workers("ServeReplica"))
    assert look_at(nodes).startswith("2 0")
