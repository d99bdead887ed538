"""Who may call the service, and the headers of its answers."""

import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from affectlens.cli.main import affectlens
from affectlens.errors import SettingsError
from affectlens.serve.guard import HEADERS
from affectlens.serve.settings import ServeSettings
from services import FORM, Pictures, Running, form, running

TOKEN = "a-token-of-tests"
FRIEND = "https://friend.example"


@pytest.fixture(scope="module")
def guarded(graph_model: Path) -> Iterator[Running]:
    """A service with a token, a friendly origin and a name."""
    with running(graph_model, token=TOKEN, allow_origins=[FRIEND], allow_hosts=["pictures.lan"]) as found:
        yield found


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200), ("localhost:1", 200), ("127.0.0.1:1", 200), ("[::1]:9", 200),
        ("192.168.1.7", 200), ("evil.example", 421), ("localhost.evil.example", 421),
        ("", 421), ("pictures.lan", 421), ("[x", 421),
    ],
)  # fmt: skip
def test_names_that_are_not_the_services_are_refused(host: str, status: int, service: Running) -> None:
    assert service.send("GET", "/v1/models", headers={"Host": host}).status == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://localhost:80", "Host": "localhost:80"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://localhost:81", "Host": "localhost:80"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Origin": "http://[::1"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
def test_pages_of_other_origins_are_refused(
    headers: dict[str, str], status: int, service: Running, photographs: Pictures
) -> None:
    body = form([("pictures", *photographs[0])], [])
    reply = service.send("POST", "/v1/predict", body, {**FORM, **headers})
    assert reply.status == status
    assert "access-control-allow-origin" not in reply.headers


def test_a_link_of_another_page_may_lead_to_the_service(service: Running) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert service.send("GET", "/healthz", headers=headers).status == 200


def test_an_allowed_origin_may_call_after_a_request_before(guarded: Running) -> None:
    before = {"Origin": FRIEND, "Access-Control-Request-Method": "POST"}
    reply = guarded.send("OPTIONS", "/v1/predict", headers=before)
    assert reply.status == 204
    assert reply.headers["access-control-allow-origin"] == FRIEND
    assert "authorization" in reply.headers["access-control-allow-headers"]
    assert "origin" in reply.headers["vary"].lower()
    other = guarded.send("OPTIONS", "/v1/predict", headers={**before, "Origin": "https://evil.example"})
    assert other.status == 403 and "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (f"Bearer {TOKEN}", 200), (f"bearer {TOKEN}", 200), ("", 401), (f"Bearer {TOKEN}x", 401),
        (TOKEN, 401), (f"Basic {TOKEN}", 401), ("Bearer \xe9", 401), ("Bearer", 401),
    ],
)  # fmt: skip
def test_a_token_is_needed_where_the_service_has_one(given: str, status: int, guarded: Running) -> None:
    reply = guarded.send("GET", "/v1/models", headers={"Authorization": given} if given else {})
    assert reply.status == status
    if status == 401:
        assert reply.headers["www-authenticate"] == "Bearer"
        assert TOKEN not in reply.body.decode()


def test_health_needs_no_token_and_counts_do(guarded: Running) -> None:
    assert guarded.get("/healthz").status == guarded.get("/readyz").status == 200
    assert guarded.get("/metrics").status == guarded.get("/openapi.json").status == 401


def test_a_service_may_be_called_by_a_name_that_is_allowed(guarded: Running) -> None:
    headers = {"Host": "pictures.lan", "Authorization": f"Bearer {TOKEN}"}
    assert guarded.send("GET", "/v1/models", headers=headers).status == 200


@pytest.mark.parametrize("path", ["/v1/models", "/nothing", "/healthz", "/openapi.json", "/metrics"])
def test_every_answer_has_the_headers_of_safety(path: str, service: Running) -> None:
    reply = service.get(path)
    assert {name: reply.headers[name] for name in HEADERS} == HEADERS
    assert "server" not in reply.headers


def test_logs_and_errors_have_nothing_of_a_request(graph_model: Path, photographs: Pictures) -> None:
    with running(graph_model, token=TOKEN) as service:
        body = form([("pictures", "secret-name.jpg", photographs[0][1])], [])
        service.send("POST", "/v1/predict", body, {**FORM, "Authorization": f"Bearer {TOKEN}"})
        service.send(
            "POST", "/v1/predict?secret-query", body[:-9], {**FORM, "Authorization": f"Bearer {TOKEN}"}
        )
        service.process.terminate()
        out, error = service.process.communicate(timeout=60)
    assert out == error == ""


def test_beyond_this_machine_without_a_token_there_is_a_warning() -> None:
    for options, warns in (
        (["--host", "0.0.0.0"], True),
        (["--host", "0.0.0.0", "--token", "x"], False),
        ([], False),
    ):
        given = ["serve", *options, "--model", "not-there"]
        result = CliRunner().invoke(affectlens, given)
        assert ("WARNING: anyone who reaches 0.0.0.0" in result.output) is warns


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"token": " "}, "token"),
        ({"token": "a\n"}, "line ends"),
        ({"token": "a b"}, "spaces"),
        ({"pictures": 0}, "pictures"),
        ({"port": 70_000}, "port"),
        ({"shutdown_seconds": math.inf}, "shutdown_seconds must be"),
        ({"picture_pixels": 10**30}, "at most"),
        ({"host": ""}, "not a host"),
        ({"host": "127.0.0.1:80"}, "not a host"),
        ({"allow_hosts": ("a.example:80",)}, "not a host"),
        ({"allow_hosts": ("https://a.example",)}, "not a host"),
        ({"allow_hosts": ("[x",)}, "not a host"),
        ({"allow_origins": ("a.example",)}, "not an origin"),
        ({"allow_origins": ("*",)}, "not an origin"),
        ({"allow_origins": ("http://[",)}, "not an origin"),
        ({"allow_origins": ("https://a.example/page",)}, "not an origin"),
        ({"allow_origins": ("https://a.example:443",)}, "not an origin"),
    ],
)
def test_impossible_settings_are_errors(settings: dict[str, object], part: str) -> None:
    with pytest.raises(SettingsError, match=part):
        ServeSettings(**settings)  # type: ignore[arg-type]


def test_hosts_and_origins_may_be_given_as_people_write_them() -> None:
    hosts, origins = ("Pictures.lan", "::1", "[::1]"), ("https://A.example/", "http://localhost:5173")
    ServeSettings(host="0.0.0.0", allow_hosts=hosts, allow_origins=origins)


@pytest.mark.parametrize(
    ("assignment", "part"),
    [("picture=3", "Did you mean 'pictures'"), ("pictures=x", "whole number"), ("token=x", "not a limit"),
     ("decode_seconds=nan", "more than 0")],
)  # fmt: skip
def test_limits_are_changed_by_name(assignment: str, part: str) -> None:
    changed = ServeSettings().assigned(["pictures=3", "decode_seconds=0.5"])
    assert (changed.pictures, changed.decode_seconds) == (3, 0.5)
    with pytest.raises(SettingsError, match=part):
        ServeSettings().assigned([assignment])


def test_a_port_that_is_taken_is_an_error_that_names_it(service: Running, graph_model: Path) -> None:
    given = ["serve", "--port", str(service.port), "--model", str(graph_model)]
    ended = subprocess.run([sys.executable, "-m", "affectlens", *given], capture_output=True, text=True)
    assert ended.returncode == 2
    assert f"cannot listen on 127.0.0.1 port {service.port}" in ended.stderr
