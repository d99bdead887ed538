"""Films over HTTP: sent, followed, watched to the timeline that the command writes, and removed."""

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from click.testing import CliRunner

import films
from affectlens.cli.main import affectlens
from affectlens.images import encode_png
from affectlens.serve import film_folder
from affectlens.serve.film_folder import PREFIX, FilmFolder
from services import Reply, Running, running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the service has for temporary files."""
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="module")
def service(graph_model: Path, folder: Path) -> Iterator[Running]:
    limits = {"film_bytes": 1_000_000, "film_seconds": 30, "films": 2}
    with running(graph_model, {"TMPDIR": str(folder), "TEMP": str(folder)}, **limits) as found:
        yield found


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of red, then two of blue."""
    colours = [films.RED] * 50 + [films.BLUE] * 50
    return films.write(tmp_path_factory.mktemp("films") / "film.mp4", map(films.plain, colours))


def send(service: Running, data: bytes, name: str = "film.mp4", **fields: str) -> Reply:
    return service.post_form("/v1/film", [("film", name, data)], **fields)


def sent(service: Running, data: bytes) -> str:
    reply = send(service, data)
    assert reply.status == 202, reply.body
    assert reply.json["status"] in ("waiting", "running")
    link: str = reply.json["links"]["self"]
    return link


def events_of(service: Running, link: str) -> list[tuple[str, Any]]:
    """Follow a film to its end."""
    connection = HTTPConnection("127.0.0.1", service.port, timeout=60)
    connection.request("GET", f"{link}/events")
    answer = connection.getresponse()
    assert answer.getheader("content-type", "").startswith("text/event-stream")
    text = answer.read().decode()
    connection.close()
    blocks = [block.split("\n") for block in text.split("\n\n") if block.startswith("event: ")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]


def test_a_film_is_followed_to_the_timeline_that_the_command_writes(
    service: Running, film: Path, graph_model: Path, tmp_path: Path, folder: Path
) -> None:
    given = ["film", str(film), "--model", str(graph_model), "--out", str(tmp_path), "--format", "csv"]
    assert CliRunner().invoke(affectlens, given).exit_code == 0
    expected = json.loads((tmp_path / "film" / "timeline.json").read_text())
    expected["film"]["name"] = "film.mp4"
    link = sent(service, film.read_bytes())
    found = events_of(service, link)
    names = [name for name, _ in found]
    assert names[-1] == "done" and set(names[:-1]) == {"progress"}
    assert found[-1][1]["timeline"] == expected
    frames = [frame for name, data in found if name == "progress" for frame in data["frames"]]
    assert [frame["time"] for frame in frames] == [each["second"] for each in expected["samples"]]
    assert frames[0]["emotions"].keys() == set(expected["vocabulary"]["words"])
    state = service.get(link).json
    assert (state["status"], state["timeline"]) == ("done", expected)
    assert not list(folder.glob(f"{PREFIX}*/[0-9a-f]*"))  # the film itself is gone
    assert service.send("DELETE", link).status == 204
    assert service.get(link).status == 404


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (b"no film", "film.mp4"),
        (b"#EXTM3U\n/etc/passwd", "list of other"),
        (encode_png(np.zeros((8, 8, 3), np.uint8)), "Send it to /v1/predict"),
    ],
    ids=["text", "playlist", "picture"],
)
def test_what_is_not_a_film_fails_and_names_no_path_of_the_service(
    data: bytes, part: str, service: Running, folder: Path
) -> None:
    link = sent(service, data)
    (name, problem), *_ = events_of(service, link)[-1:]
    assert name == "failed" and part in problem["detail"]
    assert str(folder) not in problem["detail"] and problem["status"] == 422
    assert service.get(link).json["status"] == "failed"
    service.send("DELETE", link)


def test_a_film_that_is_longer_than_allowed_fails(service: Running, tmp_path: Path) -> None:
    long = films.write(tmp_path / "long.mp4", map(films.plain, [films.RED] * 32), rate=1)
    link = sent(service, long.read_bytes())
    name, problem = events_of(service, link)[-1]
    assert name == "failed" and "longer than 30 seconds" in problem["detail"]
    service.send("DELETE", link)


@pytest.mark.skipif(not hasattr(psutil, "RLIMIT_FSIZE"), reason="limits of Linux")
def test_a_film_that_the_disk_has_no_room_for_is_a_problem_and_leaves_nothing(
    service: Running, film: Path, folder: Path
) -> None:
    process = psutil.Process(service.process.pid)
    before = process.rlimit(psutil.RLIMIT_FSIZE)
    process.rlimit(psutil.RLIMIT_FSIZE, (len(film.read_bytes()) // 2, before[1]))  # writing beyond it fails
    try:
        reply = send(service, film.read_bytes())
    finally:
        process.rlimit(psutil.RLIMIT_FSIZE, before)
    assert reply.status == 507 and "no room on its disk" in reply.json["detail"]
    assert not list(folder.glob(f"{PREFIX}*/[0-9a-f]*"))
    link = sent(service, film.read_bytes())
    assert events_of(service, link)[-1][0] == "done"
    service.send("DELETE", link)


def test_films_are_bounded_in_bytes_and_number_and_can_be_cancelled(service: Running, tmp_path: Path) -> None:
    assert send(service, b"x" * 1_100_000).status == 413
    rng_film = films.write(
        tmp_path / "noise.mp4",
        (films.plain((number * 7 % 256, number * 13 % 256, 90), 240, 320) for number in range(700)),
    )
    links = [sent(service, rng_film.read_bytes()) for _ in range(2)]
    third = send(service, b"film")
    assert third.status == 503 and "retry-after" in third.headers
    for link in links:
        assert service.send("DELETE", link).status == 204
        assert service.get(link).status == 404
    children = psutil.Process(service.process.pid).children()
    assert not [each for each in children if "film_child" in " ".join(each.cmdline())]


def test_a_killed_film_process_is_a_film_that_failed(service: Running, tmp_path: Path) -> None:
    colours = ((number * 7 % 256, number * 13 % 256, 90) for number in range(700))
    noise = films.write(tmp_path / "noise.mp4", (films.plain(each, 240, 320) for each in colours))
    link = sent(service, noise.read_bytes())
    end = time.monotonic() + 30
    while time.monotonic() < end:
        watching = [
            each for each in psutil.Process(service.process.pid).children()
            if "film_child" in " ".join(each.cmdline())
        ]  # fmt: skip
        if watching:
            watching[0].kill()
            break
        time.sleep(0.02)
    assert events_of(service, link)[-1][0] == "failed"
    service.send("DELETE", link)


def test_a_form_without_a_film_and_another_model_are_problems_and_leave_nothing(
    service: Running, folder: Path
) -> None:
    assert service.post_form("/v1/film", []).status == 422
    assert send(service, b"film", model="other").status == 422
    assert not list(folder.glob(f"{PREFIX}*/[0-9a-f]*"))


def test_the_folder_of_films_is_private_and_gone_with_the_service(
    graph_model: Path, tmp_path: Path, film: Path
) -> None:
    with running(graph_model, {"TMPDIR": str(tmp_path), "TEMP": str(tmp_path)}) as service:
        sent(service, film.read_bytes())
        (made,) = tmp_path.glob(f"{PREFIX}*")
        assert os.name == "nt" or made.stat().st_mode & 0o777 == 0o700
    assert not list(tmp_path.glob(f"{PREFIX}*"))


def test_a_service_ends_while_a_film_is_followed(graph_model: Path, tmp_path: Path) -> None:
    colours = ((number * 7 % 256, number * 13 % 256, 90) for number in range(700))
    noise = films.write(tmp_path / "noise.mp4", (films.plain(each, 240, 320) for each in colours))
    (tmp_path / "temporary").mkdir()
    environment = {"TMPDIR": str(tmp_path / "temporary"), "TEMP": str(tmp_path / "temporary")}
    with running(graph_model, environment) as service, ThreadPoolExecutor(1) as pool:
        sent(service, noise.read_bytes())
        found = pool.submit(events_of, service, sent(service, noise.read_bytes()))
        time.sleep(0.5)
        service.process.terminate()
        assert service.process.wait(20) == 0
        assert found.result()[-1] == ("cancelled", {})
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_service_ends_with_films_that_were_kept_long_enough(
    graph_model: Path, tmp_path: Path, film: Path
) -> None:
    environment = {"TMPDIR": str(tmp_path), "TEMP": str(tmp_path)}
    with running(graph_model, environment, film_keep_seconds=2) as service:
        link = sent(service, film.read_bytes())
        assert events_of(service, link)[-1][0] == "done"
        time.sleep(2.1)  # nothing is requested meanwhile, so that the film is found to be old at the end
        service.process.terminate()
        out, error = service.process.communicate(timeout=60)
        assert (service.process.returncode, out, error) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_folders_of_services_that_were_killed_are_removed_and_those_of_others_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, graph_model: Path, film: Path
) -> None:
    monkeypatch.setattr(film_folder.tempfile, "tempdir", str(tmp_path))  # type: ignore[attr-defined]
    monkeypatch.setattr(film_folder, "_NEW_SECONDS", -1)
    with running(graph_model, {"TMPDIR": str(tmp_path), "TEMP": str(tmp_path)}) as service:
        sent(service, film.read_bytes())
        (living,) = tmp_path.glob(f"{PREFIX}*")
        (tmp_path / f"{PREFIX}left").mkdir()
        (tmp_path / f"{PREFIX}left" / "film").write_bytes(b"x")
        film_folder.remove_stale()
        own = FilmFolder()
        found = own.open()
        assert {each.name for each in tmp_path.glob(f"{PREFIX}*")} == {living.name, found.name}
        service.process.kill()
        service.process.wait()
        film_folder.remove_stale()
        assert list(tmp_path.glob(f"{PREFIX}*")) == [found]
        own.close()
    assert not list(tmp_path.iterdir())
