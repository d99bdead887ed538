"""Find a Ray cluster, or start a small one on this machine, and leave it as it was.

Ray: https://docs.ray.io, comes with the extra `cluster`. Started by us it is quiet: no dashboard, no usage
report, no log of workers on the terminal.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from affectlens.errors import ClusterError, MissingExtra

AUTO, NONE = "auto", "none"


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Where a job runs.

    Attributes:
        address: `auto`, a Ray that already runs on this machine or that RAY_ADDRESS names, and one of our own
            where there is none; `none`, always one of our own on this machine; or `ray://HOST:PORT` or
            `HOST:PORT`.
        cpus: how many a Ray of our own may use; None for all of this machine.
        gpus: likewise.
        object_store: bytes of shared memory for a Ray of our own; None lets Ray choose.
    """

    address: str = AUTO
    cpus: int | None = None
    gpus: int | None = None
    object_store: int | None = None


@contextmanager
def connected(cluster: Cluster) -> Iterator[None]:
    """Be connected to Ray while the block runs; a Ray that we started ends with it.

    Where this process is connected already, nothing is done. Raises `MissingExtra` without Ray,
    `ClusterError` where nothing answers at the address.
    """
    ray = import_ray()
    if ray.is_initialized():
        yield
        return
    _connect(ray, cluster)
    try:
        yield
    finally:
        ray.shutdown()


def import_ray() -> Any:
    """Return the module `ray`. Raises `MissingExtra` where it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when it is imported: reports nothing home
    try:
        import ray
    except ImportError:
        raise MissingExtra("Work on several processes or machines", "Ray", "cluster") from None
    return ray


def _connect(ray: Any, cluster: Cluster) -> None:
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False, "configure_logging": True}
    if cluster.address not in (AUTO, NONE):
        try:
            ray.init(cluster.address, **quiet)
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ClusterError(
                f"No Ray answers at {cluster.address}: {reason} Start one there with `ray start --head`, or "
                "leave out --address for one on this machine."
            ) from None
        return
    if cluster.address == AUTO:
        try:
            ray.init("auto", **quiet)
            return
        except ConnectionError:
            pass  # none runs here
    ray.init(
        "local",
        num_cpus=cluster.cpus,
        num_gpus=cluster.gpus,
        object_store_memory=cluster.object_store,
        include_dashboard=False,
        **quiet,
    )
