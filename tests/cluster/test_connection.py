"""A Ray that runs, or one of our own."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from affectlens.cluster.connection import Cluster, connected, import_ray
from affectlens.errors import MissingExtra


def test_without_ray_the_error_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r'pip install "affectlens\[cluster\]"'):
        import_ray()


@pytest.mark.cluster
def test_a_ray_of_our_own_has_the_stated_size_and_is_gone_afterwards() -> None:
    import ray

    resources: Any = ray.cluster_resources
    with connected(Cluster(address="none", cpus=3, object_store=100 * 2**20)):
        assert resources()["CPU"] == 3
        with connected(Cluster(address="none", cpus=1)):  # within: the one that is there
            assert resources()["CPU"] == 3
        assert ray.is_initialized()
    assert not ray.is_initialized()


@pytest.mark.cluster
def test_a_ray_of_our_own_prints_nothing(tmp_path: Path) -> None:
    script = (
        "from affectlens.cluster.connection import Cluster, connected\n"
        "with connected(Cluster(address='none', cpus=1, object_store=100 * 2**20)):\n    pass\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], env=dict(os.environ), capture_output=True, text=True, check=True
    )
    assert result.stdout == "" and result.stderr == ""


@pytest.mark.slow  # half a minute of Ray's own patience
@pytest.mark.cluster
def test_an_address_without_an_answer_is_an_error_that_names_it() -> None:
    # In a process of its own: one that has tried ray:// in vain cannot start a Ray any more.
    script = (
        "from affectlens.cluster.connection import Cluster, connected\n"
        "from affectlens.errors import ClusterError\n"
        "try:\n    with connected(Cluster(address='ray://127.0.0.1:1')): pass\n"
        "except ClusterError as error: print(error)\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "No Ray answers at ray://127.0.0.1:1" in result.stdout
