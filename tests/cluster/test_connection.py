"""A Ray that runs, or one of our own."""

import os
import socket
import subprocess
import sys
import time

import pytest

from affectlens.cluster import connection
from affectlens.cluster.connection import Cluster, connected, import_ray, ray_failures
from affectlens.cluster.resources import require_resources
from affectlens.errors import ClusterError, MissingExtra


def test_without_ray_the_error_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r'pip install "affectlens\[cluster\]"'):
        import_ray()


OF_OUR_OWN = """
import ray
from affectlens.cluster.connection import Cluster, connected
with connected(Cluster(address="none", cpus=3, object_store=100 * 2**20)):
    assert ray.cluster_resources()["CPU"] == 3
    with connected(Cluster(address="none", cpus=1)):  # within: the one that is there
        assert ray.cluster_resources()["CPU"] == 3
    assert ray.is_initialized()
assert not ray.is_initialized()
"""


@pytest.mark.cluster
def test_a_ray_of_our_own_has_the_stated_size_prints_nothing_and_is_gone_afterwards() -> None:
    words = [sys.executable, "-c", OF_OUR_OWN]
    result = subprocess.run(words, env=dict(os.environ), capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "address", ["127.0.0.1:1", "ray://127.0.0.1:1", "ray://nowhere.invalid", "somewhere"]
)
def test_an_address_without_an_answer_is_an_error_within_seconds(address: str) -> None:
    pytest.importorskip("ray")
    began = time.monotonic()
    with (
        pytest.raises(ClusterError, match=f"No Ray answers at {address}"),
        connected(Cluster(address=address)),
    ):
        pass
    assert time.monotonic() - began < 20


def test_a_cluster_that_lets_no_one_in_is_an_error_that_names_token_and_versions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ray = pytest.importorskip("ray")

    def refuse(*_: object, **__: object) -> None:  # as Ray 2.60 does where a token is missing
        raise RuntimeError("Failed to connect to Ray cluster at 192.0.2.2:6379")

    monkeypatch.setattr(ray, "init", refuse)
    monkeypatch.setattr(connection, "_require_answer", lambda _: None)
    wanted = rf"lets no one in.*192\.0\.2\.2.*RAY_AUTH_MODE=token.*{ray.__version__}"
    with pytest.raises(ClusterError, match=wanted), connected(Cluster(address="head:6379")):
        pass


def test_failures_of_ray_are_errors_of_ours() -> None:
    ray = pytest.importorskip("ray")
    with pytest.raises(ClusterError, match="Go on with --resume"), ray_failures("Go on with --resume."):
        raise ray.exceptions.RaySystemError("The connection is gone")


def test_a_member_that_wants_more_than_the_cluster_has_is_an_error() -> None:
    require_resources({"cpu": 1.0, "gpu": 0.0}, {"CPU": 2.0})
    with pytest.raises(ClusterError, match="Each member wants 1 GPU, and Ray has 0 in all"):
        require_resources({"cpu": 1.0, "gpu": 1.0}, {"CPU": 2.0})


def test_the_note_of_a_ray_that_was_killed_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    from ray._private import services

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(services, "find_gcs_addresses", set)
    monkeypatch.setattr(services, "find_bootstrap_address", lambda _: "127.0.0.1:1")
    assert not connection._runs_here()
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(services, "find_bootstrap_address", lambda _: f"127.0.0.1:{port}")
        assert connection._runs_here()


def test_an_address_of_the_environment_without_an_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(ClusterError, match=r"No Ray answers at 127\.0\.0\.1:1"), connected(Cluster()):
        pass
