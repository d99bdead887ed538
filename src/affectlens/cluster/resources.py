"""What of a cluster each worker process gets."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from affectlens.errors import ClusterError, SettingsError


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
    """Return the CPUs of the nodes that are alive, as `ray.nodes()` lists them."""
    return [node["Resources"].get("CPU", 0.0) for node in nodes if node["Alive"]]


def on_gpus(device: str, gpus: float, workers: int) -> bool:
    """Whether each worker gets a GPU: where requested, or where `auto` finds enough of them.

    Raises `ClusterError` where GPUs are requested and there are too few.
    """
    if device.startswith("cuda") and gpus < workers:
        raise ClusterError(f"{workers} workers need a GPU each, and Ray has {gpus:g}. Use fewer --workers.")
    return device.startswith("cuda") or (device == "auto" and gpus >= workers)


def parse_resources(text: str) -> dict[str, float]:
    """Turn `cpu=1,gpu=0.25` into numbers. Raises `SettingsError`.

    >>> parse_resources("cpu=1,gpu=0.25")
    {'cpu': 1.0, 'gpu': 0.25}
    """
    try:
        pairs = [part.split("=") for part in text.split(",")]
        found = {name.strip(): float(number) for name, number in pairs}
    except ValueError:
        found = {}
    if not found or not found.keys() <= {"cpu", "gpu"} or not all(map(math.isfinite, found.values())):
        raise SettingsError(f"{text!r} does not list resources as cpu=1,gpu=0.25 does.")
    return found


def require_resources(wanted: Mapping[str, float], there: Mapping[str, float]) -> None:
    """Raise `ClusterError` where a cluster lacks what one process wants, which would wait for ever.

    `wanted` has the keys cpu and gpu, `there` is what `ray.cluster_resources()` returns.
    """
    for name, number in wanted.items():
        found = there.get(name.upper(), 0.0)
        if number > found:
            raise ClusterError(
                f"Each member wants {number:g} {name.upper()}, and Ray has {found:g} in all. Lower "
                "--resources, or add machines with `ray start --address`."
            )


def default_resources(device: str) -> dict[str, float]:
    """What a member of a search gets by default: a CPU, and a GPU where this machine has one."""
    from affectlens.machine import pick_device

    return {"cpu": 1.0, "gpu": float(pick_device(device).type == "cuda")}
