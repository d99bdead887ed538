"""`affectlens serve` from the shell."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from affectlens.serve.settings import ServeSettings
from services import Running, wait_until_ready


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_the_command_serves_until_a_signal_and_names_its_address(
    number: signal.Signals, graph_model: Path
) -> None:
    command = [sys.executable, "-m", "affectlens", "serve", "--model", str(graph_model), "--port", "0"]
    command += ["--set", "pictures=3"]
    environment = {**os.environ, "AFFECTLENS_TOKEN": "a-token"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    assert process.stderr.readline().startswith(f"Loading {graph_model}.")
    line = process.stderr.readline()
    try:
        assert line.startswith("Serving tiny on http://127.0.0.1:"), line
        port = urlsplit(line.split()[3]).port
        assert port is not None
        service = Running(port, process)
        wait_until_ready(service)
        assert service.get("/v1/models").status == 401
        limits = service.get("/v1/models", Authorization="Bearer a-token").json["limits"]
        assert limits == {**ServeSettings().limits(), "pictures": 3}
    finally:
        process.send_signal(number)
        rest = process.communicate(timeout=60)[1]
    assert (process.returncode, rest) == (0, "")


@pytest.mark.skipif(os.name == "nt", reason="sessions of POSIX")
def test_ctrl_c_in_a_terminal_ends_a_service_that_still_starts_without_an_error(graph_model: Path) -> None:
    command = [sys.executable, "-m", "affectlens", "serve", "--model", str(graph_model), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("Loading ")
    assert process.stderr.readline().startswith("Serving tiny")
    end = time.monotonic() + 30
    while not psutil.Process(process.pid).children() and time.monotonic() < end:  # its decoders begin
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to all processes of the command
    rest = process.communicate(timeout=60)[1]
    assert (process.returncode, rest) == (0, "")
