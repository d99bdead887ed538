"""What of a cluster each worker process gets."""

from collections.abc import Mapping, Sequence
from typing import Any

from affectlens.errors import ClusterError


def cores_for_each(nodes: Sequence[float], workers: int) -> int:
    """The most CPUs that every one of `workers` processes can have on nodes with so many CPUs.

    Raises `ClusterError` where there are fewer CPUs than workers.

    >>> cores_for_each([16, 16], 2), cores_for_each([16, 4], 3), cores_for_each([2], 2)
    (16, 5, 1)
    """
    for cores in range(int(max(nodes, default=0)), 0, -1):
        if sum(int(node // cores) for node in nodes) >= workers:
            return cores
    raise ClusterError(
        f"{workers} workers need a CPU each, and Ray has {sum(map(int, nodes))} on {len(nodes)} machines. "
        "Use fewer --workers, or add machines with `ray start --address`."
    )


def cpus_of(nodes: Sequence[Mapping[str, Any]]) -> list[float]:
    """CPUs of the nodes that are alive, as `ray.nodes()` tells them."""
    return [node["Resources"].get("CPU", 0.0) for node in nodes if node["Alive"]]


def on_gpus(device: str, gpus: float, workers: int) -> bool:
    """Whether each worker gets a GPU: where asked for, or where `auto` finds enough of them.

    Raises `ClusterError` where a GPU is asked for and there are too few.
    """
    if device.startswith("cuda") and gpus < workers:
        raise ClusterError(f"{workers} workers need a GPU each, and Ray has {gpus:g}. Use fewer --workers.")
    return device.startswith("cuda") or (device == "auto" and gpus >= workers)
