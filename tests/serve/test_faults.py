"""What strangers send: cut off, slow, of the wrong type, bombs; a service that goes on and writes nothing."""

import json
import os
import random
import signal
import socket
import struct
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from affectlens.serve.settings import ServeSettings
from services import BOUNDARY, FORM, Pictures, Reply, Running, form, running

LIMITS = {
    "request_bytes": 400_000,
    "picture_pixels": 1_000_000,
    "pictures": 4,
    "body_seconds": 2.0,
    "header_seconds": 2.0,
    "decode_seconds": 3.0,
    "decoders": 2,
    "connections": 150,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the service has for temporary files."""
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="module")
def service(graph_model: Path, folder: Path) -> Iterator[Running]:
    with running(graph_model, {"TMPDIR": str(folder), "TEMP": str(folder)}, **LIMITS) as found:
        yield found


@pytest.fixture(autouse=True)
def goes_on(service: Running, photographs: Pictures) -> Iterator[None]:
    """After each test the service answers, as ever."""
    yield
    (row,) = service.predict(photographs[0])
    assert row["top"] and service.process.poll() is None


def png(width: int, height: int, rows: bytes = b"") -> bytes:
    """Write a PNG that states a size; its rows are compressed as they are given."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def exchange(service: Running, sent: bytes, seconds: float = 10) -> bytes:
    """Send bytes as they are, nothing more, and read until the service closes the connection."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=seconds) as connection:
        connection.sendall(sent)
        found = b""
        try:
            while part := connection.recv(65_536):
                found += part
        except ConnectionResetError:
            pass
        return found


def head(length: int, content_type: str = FORM["content-type"]) -> bytes:
    lines = ["POST /v1/predict HTTP/1.1", "Host: localhost", f"Content-Type: {content_type}"]
    return "\r\n".join([*lines, f"Content-Length: {length}", "", ""]).encode()


# -------------------------------------------------------------------------------------------------- pictures


def test_bombs_and_polyglots_are_rows_with_errors_next_to_good_ones(
    service: Running, photographs: Pictures
) -> None:
    bomb = png(60_000, 60_000, b"\0" * 10_000_000)
    polyglot = b"<html><script>alert(1)</script>" + photographs[0][1]
    endless = b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + b"\x80\0\0" + b"\xff" * 100
    rows = service.predict(("bomb", bomb), ("page", polyglot), ("gif", endless), photographs[1])
    assert [row["error"]["type"] if row["error"] else None for row in rows] == [
        "PictureTooLarge", "NotAPicture", "PictureDamaged", None,
    ]  # fmt: skip


def test_nothing_and_rubbish_are_rows_with_errors(service: Running, photographs: Pictures) -> None:
    rows = service.predict(("empty", b""), ("cut", photographs[0][1][:200]), ("text", b"no picture"))
    kinds = [row["error"]["type"] for row in rows]
    assert kinds == ["PictureEmpty", "PictureDamaged", "NotAPicture"]


def test_names_are_labels_that_nothing_is_opened_by(service: Running, photographs: Pictures) -> None:
    names = ["/etc/passwd", "../../x.png", "http://127.0.0.1:1/a.png", "\u00e9\u2603.png"]
    rows = service.predict(*((name, photographs[0][1]) for name in names))
    assert [row["image"] for row in rows] == names
    assert len({json.dumps(row["emotions"]) for row in rows}) == 1


def test_a_killed_decoder_is_replaced_and_its_picture_answered(
    service: Running, photographs: Pictures
) -> None:
    before = decoders_of(service)
    assert len(before) == 2
    stop = threading.Event()

    def kill() -> None:
        for process in before:
            process.send_signal(signal.SIGKILL)
            time.sleep(0.05)
        stop.set()

    killer = threading.Thread(target=kill)
    killer.start()
    answered = 0
    while not stop.is_set() or answered < 4:
        (row,) = service.predict(photographs[2])
        assert row["error"] is None
        answered += 1
    killer.join()
    assert not {process.pid for process in decoders_of(service)} & {process.pid for process in before}


def decoders_of(service: Running) -> list[psutil.Process]:
    found = psutil.Process(service.process.pid).children()
    return [each for each in found if "decoder_child" in " ".join(each.cmdline())]


# ---------------------------------------------------------------------------------------------------- bodies


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("text/plain", b"picture", 415),
        ("image/png", b"picture", 415),
        ("multipart/form-data", b"no boundary", 400),
        (FORM["content-type"], b"not a form at all", 400),
        (FORM["content-type"], b"", 400),
        (FORM["content-type"], f"--{BOUNDARY}--\r\n".encode(), 422),
        (FORM["content-type"], form([("pictures", "a", b"x")], [])[:-20], 400),
        (FORM["content-type"], form([("other", "a", b"x")], []), 422),
        (FORM["content-type"], form([("pictures", "a", b"x")] * 5, []), 413),
        (FORM["content-type"], form([], [("coverage", "9" * 5_000)]), 413),
        (FORM["content-type"], form([], [(str(number), "1") for number in range(100)]), 413),
        (FORM["content-type"], form([("pictures", "a", b"x")], [("model", "a"), ("model", "b")]), 422),
        ("application/json", b"{", 400),
        ("application/json", b"[" * 100_000, 400),
        ("application/json", b'{"pictures": []}', 422),
        ("application/json", b'{"pictures": [{"name": "a", "data": "%%%"}]}', 422),
        ("application/json", b'{"pictures": [{"name": "a", "path": "/etc/passwd"}]}', 422),
        ("application/json", b'{"pictures": "a"}', 422),
        ("application/json", b"\xff\xfe", 400),
    ],
)
def test_a_body_that_is_not_what_it_should_be_is_a_problem(
    content_type: str, body: bytes, status: int, service: Running
) -> None:
    reply = service.send("POST", "/v1/predict", body, {"content-type": content_type})
    assert reply.status == status, reply.body
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json["status"] == status and reply.json["detail"]


def test_bodies_that_are_damaged_at_random_are_answered_or_refused(
    service: Running, photographs: Pictures
) -> None:
    rng = random.Random(0)
    whole = form([("pictures", "a.png", photographs[0][1][:300])], [("attributes", "true")])
    plain = b'{"pictures": [{"name": "a", "data": "aaaa"}], "coverage": 0.9}'
    found = set()
    for number in range(400):
        content_type, body = [(FORM["content-type"], whole), ("application/json", plain)][number % 2]
        damaged = bytearray(body)
        for _ in range(rng.randrange(1, 6)):
            index = rng.randrange(len(damaged))
            damaged[index : index + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
        damaged = damaged[: rng.randrange(len(damaged))] if rng.random() < 0.2 else damaged
        headers = {"content-type": content_type}
        found.add(service.send("POST", "/v1/predict", bytes(damaged), headers).status)
    assert found <= {200, 400, 413, 422} and len(found) >= 3


def test_a_body_that_states_to_be_too_long_is_refused_before_it_is_read(service: Running) -> None:
    found = exchange(service, head(10_000_000_000))
    assert found.startswith(b"HTTP/1.1 413") and b"400,000 bytes" in found


def test_a_client_that_sends_all_of_a_body_that_is_too_long_gets_the_answer(service: Running) -> None:
    reply = service.post_form("/v1/predict", [("pictures", "a", b"x" * 3_000_000)])
    assert reply.status == 413 and "400,000 bytes" in reply.json["detail"]


def test_a_body_that_turns_out_to_be_too_long_is_refused(service: Running) -> None:
    start = head(0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    part = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    begin = form([("pictures", "a", b"")], [])[:90]
    sent = start + f"{len(begin):x}\r\n".encode() + begin + b"\r\n" + part * 8
    found = exchange(service, sent)
    assert found.startswith((b"HTTP/1.1 413", b"HTTP/1.1 400"))


@pytest.mark.parametrize("sent", [b"", b"POST /v1/pre", head(1_000), head(1_000) + b"--"])
def test_a_slow_sender_is_cut_off(sent: bytes, service: Running) -> None:
    begin = time.monotonic()
    found = exchange(service, sent)
    assert 1.5 < time.monotonic() - begin < 8
    assert not found or found.startswith(b"HTTP/1.1 408")


def test_an_endless_head_is_cut_off(service: Running) -> None:
    with pytest.raises(OSError), socket.create_connection(("127.0.0.1", service.port), timeout=10) as sender:
        for _ in range(10_000):
            sender.sendall(b"GET / HTTP/1.1\r\n" if _ == 0 else b"x: " + b"y" * 1_000 + b"\r\n")


def test_clients_that_go_away_leave_nothing_waiting(service: Running, photographs: Pictures) -> None:
    body = form([("pictures", *photographs[0])] * 4, [])
    for sent in (head(len(body)) + body[:100], head(len(body)) + body):
        for _ in range(10):
            with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
                connection.sendall(sent)
    end = time.monotonic() + 20
    while b"affectlens_pictures_waiting 0.0" not in service.get("/metrics").body:
        assert time.monotonic() < end
        time.sleep(0.1)


def test_two_hundred_connections_at_once_are_answered_or_refused(
    service: Running, photographs: Pictures
) -> None:
    def predict(_: int) -> int:
        try:
            return service.post_form("/v1/predict", [("pictures", *photographs[0])]).status
        except (ConnectionError, OSError):
            return 0

    with ThreadPoolExecutor(200) as pool:
        found = list(pool.map(predict, range(200)))
    assert set(found) <= {0, 200, 503} and found.count(200) >= 100


def test_no_byte_of_a_picture_goes_to_disk(service: Running, folder: Path, photographs: Pictures) -> None:
    watched: set[str] = set()
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            watched.update(os.listdir(folder))  # noqa: PTH208

    watcher = threading.Thread(target=watch)
    watcher.start()
    large = ("large.png", png(1_000, 900, b"\0" * 10))
    for _ in range(5):
        service.predict(*photographs[:3], large)
        service.post_form("/v1/explain", [("picture", *photographs[0])])
    stop.set()
    watcher.join()
    assert {name for name in watched if not name.startswith("affectlens-films-")} == set()
    opened = [each.path for each in psutil.Process(service.process.pid).open_files()]
    assert [path for path in opened if path.startswith(tempfile.gettempdir()) and "tiny" not in path] == []


# ----------------------------------------------------------------------------------------------- the service


def test_a_picture_that_takes_too_long_is_a_row_with_an_error(
    graph_model: Path, photographs: Pictures
) -> None:
    with running(graph_model, decode_seconds=0.0001, decoders=1) as service:
        (row,) = service.predict(photographs[0])
        assert row["error"]["type"] == "PictureTooLarge" and "takes longer" in row["error"]["message"]
        assert b"affectlens_decoders_replaced_total 1.0" in service.get("/metrics").body


def test_a_client_that_goes_away_ends_its_explanation(graph_model: Path, photographs: Pictures) -> None:
    with running(graph_model) as service:
        body = form([("picture", *photographs[0])], [("method", "rise"), ("faithfulness", "true")])
        sent = head(len(body)).replace(b"/v1/predict", b"/v1/explain") + body
        counts = service.get("/metrics").body
        with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
            connection.sendall(sent)
            end = time.monotonic() + 10
            while b"affectlens_explanations_waiting 1.0" not in counts and time.monotonic() < end:
                counts = service.get("/metrics").body
        assert b"affectlens_explanations_waiting 1.0" in counts
        end = time.monotonic() + 5
        while b"affectlens_explanations_waiting 0.0" not in service.get("/metrics").body:
            assert time.monotonic() < end
            time.sleep(0.05)
        processor = psutil.Process(service.process.pid).cpu_times().user
        time.sleep(1.0)
        assert psutil.Process(service.process.pid).cpu_times().user - processor < 0.5


def test_more_than_the_service_takes_is_refused_with_a_time_to_try_again(
    graph_model: Path, photographs: Pictures
) -> None:
    with running(graph_model, waiting=2, decoders=1) as service:
        files = [("pictures", *each) for each in photographs[:3]]
        reply = service.post_form("/v1/predict", files)
        assert (reply.status, reply.headers["retry-after"]) == (503, "2")
        assert len(service.predict(*photographs[:2])) == 2


def test_what_was_accepted_is_answered_before_the_service_ends(
    graph_model: Path, photographs: Pictures
) -> None:
    with running(graph_model, decoders=1) as service, ThreadPoolExecutor(1) as pool:
        files = [("pictures", *photographs[number % 12]) for number in range(60)]
        answer = pool.submit(service.post_form, "/v1/predict", files)
        time.sleep(0.15)
        service.process.terminate()
        reply: Reply = answer.result()
        assert reply.status == 200 and len(reply.json["predictions"]) == 60
        assert service.process.wait(30) == 0


def test_the_tests_service_has_all_limits_that_there_are() -> None:
    assert set(LIMITS) < set(vars(ServeSettings()))
