"""Find a Ray cluster, or start a small one on this machine, and leave it as it was.

Ray: https://docs.ray.io, comes with the extra `cluster`. Started by us it is quiet: no dashboard, no usage
report, no log of workers on the terminal.
"""

import logging
import os
import platform
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from affectlens.errors import ClusterError, MissingExtra, first_line

AUTO, NONE = "auto", "none"
CLIENT_PORT = 10001  # of `ray://HOST`, where the address has none
PATIENCE = 10.0  # seconds for a machine to accept a connection; Ray itself would try for minutes


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
def connected(cluster: Cluster) -> Iterator[bool]:
    """Be connected to Ray while the block runs; yields whether it was started for it, and ends with it.

    Where this process is connected already, nothing is done. Raises `MissingExtra` without Ray,
    `ClusterError` where nothing answers at the address.
    """
    ray = import_ray()
    if ray.is_initialized():
        yield False
        return
    is_own = _connect(ray, cluster)
    try:
        yield is_own
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


@contextmanager
def ray_failures(after: str) -> Iterator[None]:
    """Turn Ray's errors within the block into `ClusterError`; `after` is a sentence on how to go on."""
    ray = import_ray()
    try:
        yield
    except (ray.exceptions.RayError, ConnectionError) as error:
        raise ClusterError(f"Ray went away: {reason_of(error)} {after}") from error


def reason_of(error: BaseException) -> str:
    """Return the last line of one of Ray's errors, ended by a full stop; those before are tracebacks."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{(lines[-1] if lines else type(error).__name__).rstrip('.')}."


def _connect(ray: Any, cluster: Cluster) -> bool:
    """Connect, and return whether a Ray was started for it."""
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False, "configure_logging": True}
    if cluster.address not in (AUTO, NONE):
        _require_named(cluster.address)
        try:
            ray.init(cluster.address, **quiet)
        except (OSError, RuntimeError, ValueError) as error:
            # Ray's own message is the same whatever the reason.
            raise ClusterError(
                f"What answers at {cluster.address} lets no one in from here: {first_line(error)}. Set "
                "RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN as where it was started, and use the same version "
                f"of Ray and Python there as here ({ray.__version__}, {platform.python_version()})."
            ) from None
        return False
    if cluster.address == AUTO and _runs_here():
        try:
            ray.init("auto", **quiet)
            return False
        except ConnectionError:
            pass  # it has ended since
    ray.init(
        "local",
        num_cpus=cluster.cpus,
        num_gpus=cluster.gpus,
        object_store_memory=cluster.object_store,
        include_dashboard=False,
        **quiet,
    )
    return True


def _runs_here() -> bool:
    """Whether a Ray answers that `auto` means.

    Ray notes on the disk which one that is; after a kill or a power cut the note stays, and Ray itself would
    try for minutes. Raises `ClusterError` where RAY_ADDRESS names one that does not answer.
    """
    named = os.environ.get("RAY_ADDRESS", "")
    if named not in ("", AUTO, "local"):
        _require_named(named)
        return True
    try:
        from ray._private import services  # Ray has no public way to find it

        find = services.canonicalize_bootstrap_address
    except (ImportError, AttributeError):
        return True  # another version, which tries itself
    try:
        found = find(AUTO)
        if found is not None:
            _require_answer(found)
    except (OSError, ValueError):  # ConnectionError, where there is none, is an OSError
        return False
    return found is not None


def _require_named(address: str) -> None:
    """Raise `ClusterError` where nothing answers at an address that a user named."""
    try:
        _require_answer(address)
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"No Ray answers at {address}: {first_line(error)}. Start one there with `ray start --head`, or "
            "leave out --address (and unset RAY_ADDRESS) for one on this machine."
        ) from None


def _require_answer(address: str) -> None:
    """Raise `OSError` where nothing accepts a connection, `ValueError` for what is not an address."""
    named = address.removeprefix("ray://")
    if named != address and ":" not in named:
        named = f"{named}:{CLIENT_PORT}"
    host, _, port = named.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError("expected HOST:PORT, ray://HOST:PORT, auto or none")
    socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()
