"""A service in a process of its own, on a free port of this machine, and what is sent to it."""

import json
import os
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from affectlens.serve.settings import ServeSettings

PROGRAM = """
import json, sys
from affectlens.serve.run import run_service
from affectlens.serve.service import Service
from affectlens.serve.settings import ServeSettings

given = json.loads(sys.argv[1])
settings = ServeSettings(**given["settings"])
run_service(Service.load(given["models"], settings), settings, lambda address: print(address, flush=True))
"""
Pictures: TypeAlias = list[tuple[str, bytes]]  # names and files
BOUNDARY = "a-boundary"
FORM = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}


@dataclass
class Reply:
    """An answer: its status, its headers by their names in small letters, and its body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Running:
    """A service that runs."""

    port: int
    process: "subprocess.Popen[str]"

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Reply:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, found, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Reply:
        return self.send(
            "GET", path, headers={name.replace("_", "-"): each for name, each in headers.items()}
        )

    def post_form(self, path: str, files: list[tuple[str, str, bytes]], **fields: str) -> Reply:
        """Send files as (part, name, bytes), and fields."""
        return self.send("POST", path, form(files, list(fields.items())), FORM)

    def post_json(self, path: str, plain: Any) -> Reply:
        return self.send("POST", path, json.dumps(plain).encode(), {"content-type": "application/json"})

    def predict(self, *pictures: tuple[str, bytes], **fields: str) -> list[dict[str, Any]]:
        reply = self.post_form("/v1/predict", [("pictures", *each) for each in pictures], **fields)
        assert reply.status == 200, reply.body
        rows: list[dict[str, Any]] = reply.json["predictions"]
        return rows


def form(files: list[tuple[str, str, bytes]], fields: list[tuple[str, str]]) -> bytes:
    """Write a form as browsers do."""
    parts = [
        f'Content-Disposition: form-data; name="{part}"; filename="{name}"\r\n'
        f"Content-Type: application/octet-stream\r\n\r\n".encode()
        + data
        for part, name, data in files
    ]
    parts += [
        f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode() for name, value in fields
    ]
    begin = f"--{BOUNDARY}\r\n".encode()
    return b"".join(begin + part + b"\r\n" for part in parts) + f"--{BOUNDARY}--\r\n".encode()


def base64_of(data: bytes) -> str:
    return b64encode(data).decode()


@contextmanager
def running(
    model: Path | str, environment: dict[str, str] | None = None, **settings: Any
) -> Iterator[Running]:
    """Run a service until the block ends, and have it end by itself then."""
    plain = asdict(ServeSettings(port=0, **settings))
    given = json.dumps({"models": [str(model)], "settings": plain}, default=str)
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, given],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        address = process.stdout.readline()
        assert address, process.communicate()[1]
        port = urlsplit(address.strip()).port
        assert port is not None
        found = Running(port, process)
        wait_until_ready(found)
        yield found
    finally:
        process.terminate()
        try:
            process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def wait_until_ready(service: Running) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            if service.get("/readyz").status == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise AssertionError("the service did not become ready")
