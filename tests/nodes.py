"""A Ray cluster of two nodes on this machine, as real processes, for tests; and how to kill its workers."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

# For every Ray of a test session, and its drivers. Whether there is a token a process finds out but once,
# when Ray is imported: one that began without never gets an answer from nodes that want it.
ENVIRONMENT = {
    # Ray's workers are nicer than other processes by 15: on a busy machine they would hardly run.
    "RAY_worker_niceness": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Nodes and drivers know one another by a token, which `ray start` would else keep in the home folder.
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(16),
    # Seconds between two looks of Ray Train at its workers, else 2.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    # It waits for machines that a cloud announces to take away, in a process of its own.
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
}
PATIENCE = 180.0  # seconds for Ray to start
# A node counts once the head knows it: its processes are there some seconds before.
AWAIT_TWO = """
import sys, time, ray
ray.init(sys.argv[1])
while sum(node["Alive"] for node in ray.nodes()) < 2:
    time.sleep(0.1)
"""


class Nodes:
    """Two nodes with one CPU each.

    Attributes:
        address: where drivers connect
    """

    def __init__(self, address: str, processes: list["subprocess.Popen[bytes]"]) -> None:
        self.address = address
        self.processes = processes

    def workers(self, name: str) -> list[psutil.Process]:
        """Processes of the nodes whose title has `name` in it, which is the class of Ray's actor."""
        found = []
        for process in self.processes:
            for child in psutil.Process(process.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    if name in " ".join(child.cmdline()):
                        found.append(child)
        return found

    def kill_one(self, name: str, when: Callable[[], bool], patience: float = 300) -> None:
        """Kill a worker of that name by SIGKILL, as soon as it is time."""
        end = time.monotonic() + patience
        while not when():
            if time.monotonic() > end:
                raise TimeoutError(f"it never was time to kill {name}")
            time.sleep(0.02)
        os.kill(self.workers(name)[0].pid, signal.SIGKILL)


@contextlib.contextmanager
def two_nodes() -> Iterator[Nodes]:
    """Start `ray start --head` and a second `ray start --address`, and end both with the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"127.0.0.1:{port}"
    common = [
        "--num-cpus=1", "--object-store-memory=100000000", "--block",
        "--dashboard-agent-listen-port=0", "--disable-usage-stats",
    ]  # fmt: skip
    ray = [str(Path(sys.executable).with_name("ray")), "start"]
    environment = {**os.environ, **ENVIRONMENT, "OMP_NUM_THREADS": "1"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment}
    head = subprocess.Popen([*ray, "--head", f"--port={port}", "--include-dashboard=false", *common], **quiet)  # type: ignore[call-overload]
    processes = [head]
    try:
        _await(lambda: _answers(port))
        processes.append(subprocess.Popen([*ray, f"--address={address}", *common], **quiet))  # type: ignore[call-overload]
        subprocess.run([sys.executable, "-c", AWAIT_TWO, address], timeout=PATIENCE, check=True, **quiet)  # type: ignore[call-overload]
        yield Nodes(address, processes)
    finally:
        for process in reversed(processes):
            family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
            for one in family:  # not politely, for Ray would first wait for its work to end elsewhere
                with contextlib.suppress(psutil.Error):
                    one.kill()
            process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _await(ready: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not ready():
        if time.monotonic() > end:
            raise TimeoutError("Ray did not start")
        time.sleep(0.1)
