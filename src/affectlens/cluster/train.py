"""A training run on several processes and machines. Ray Train starts them; `training.run` is what they do.

Every process runs the same loop on its rows of each batch (`training.distributed`), so the run ends as it
would have ended in one process, up to rounding, and its folder is that of any run: it can be
resumed with another number of workers, or none.

When a process dies, by a kill or with its machine, Ray Train ends the others and starts all anew, and they
go on from the last checkpoint in the run folder. An error of ours, as an unreadable picture, ends the run at
once as it would in one process: it would only come again.

The run folder, the pictures and a shared cache must lie at the same path on every machine.
"""

import os
import tempfile
import threading
import traceback
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from affectlens.cluster.connection import Cluster, connected
from affectlens.cluster.event_queue import Relay, packed, unpacked
from affectlens.cluster.resources import cores_for_each, cpus_of, on_gpus
from affectlens.errors import AffectLensError, ClusterError, RunError
from affectlens.training.loop import Step
from affectlens.training.run import SETTINGS, Event, Request, fit

MOST_FAILURES = 20  # of one job; whoever has more of them goes on with --resume
MOST_IN_VAIN = 3  # starts in a row that brought not one new step
PATIENCE = 6 * 3600  # seconds that processes wait for one another, as while the leader makes a cache
EVERY = 0.1  # seconds between looks for news
# Ray trains in a thread beside the main one. To such threads glibc lends memory in pieces of 64 MB and takes
# it back at once, so that `machine.keep_freed_memory` keeps nothing: MobileNetV2 took a third longer.
ONE_ARENA = {"MALLOC_ARENA_MAX": "1"}
LAST_WORDS = 10.0  # seconds that the other processes have to end after an error


def fit_on_ray(request: Request, workers: int, cluster: Cluster | None = None) -> Iterator[Event]:
    """Train as `training.run.fit` does, with `workers` processes, and yield the same events.

    After a restart the events go on with another `Started`. Raises what `fit` raises, `ClusterError` where
    Ray cannot start so many processes or lost them too often, and `MissingExtra` without Ray.
    """
    cluster = cluster or Cluster(cpus=max(workers, os.cpu_count() or 1))
    # Ray Train's own records, none of which are needed: checkpoints are those of the run folder.
    with connected(cluster), tempfile.TemporaryDirectory(prefix="affectlens-ray-") as records:
        yield from _watched(_Job(request, str(Path.cwd())), workers, records)


@dataclass(frozen=True)
class _Job:
    """What every process is given."""

    request: Request
    folder: str  # in which the driver was called: paths may be relative to it


def _watched(job: _Job, workers: int, records: str) -> Iterator[Event]:
    """Run the job in a thread; yield its events as they come."""
    import ray

    relay: Any = ray.remote(num_cpus=0)(Relay).remote()
    failures: list[BaseException] = []
    trainer = _trainer(job, workers, relay, records)

    def run() -> None:
        try:
            trainer.fit()
        except BaseException as error:  # told to whoever waits, below
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while True:
        running = thread.is_alive()
        for event in map(unpacked, ray.get(relay.take.remote())):
            if isinstance(event, AffectLensError):
                thread.join(LAST_WORDS)  # who still waits for the others ends with the connection
                raise event
            yield event
        if not running:
            break
        thread.join(EVERY)
    if failures:
        raise ClusterError(
            f"The run was given up. Go on with --resume. {_reason(failures[0])}"
        ) from failures[0]


def _trainer(job: _Job, workers: int, relay: Any, records: str) -> Any:
    import ray
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.train.v2.api.config import FailureConfig, LoggingConfig, RunConfig, ScalingConfig

    gpu = on_gpus(job.request.device, ray.cluster_resources().get("GPU", 0.0), workers)
    cores = cores_for_each(cpus_of(ray.nodes()), workers)
    return TorchTrainer(
        _work,
        train_loop_config={"job": job, "relay": relay, "gpu": gpu},
        scaling_config=ScalingConfig(
            num_workers=workers,
            use_gpu=gpu,
            resources_per_worker={"CPU": cores, **({"GPU": 1} if gpu else {})},
        ),
        torch_config=TorchConfig(backend="nccl" if gpu else "gloo", timeout_s=PATIENCE),
        run_config=RunConfig(  # type: ignore[arg-type]
            name="train",
            storage_path=records,
            failure_config=FailureConfig(max_failures=MOST_FAILURES),
            logging_config=LoggingConfig(log_level="ERROR"),
            worker_runtime_env={"env_vars": ONE_ARENA},
        ),
    )


def _work(config: dict[str, Any]) -> None:
    """What each process does."""
    import ray
    import torch
    from ray.train.torch import get_device

    from affectlens.training.distributed import Team

    job, relay = config["job"], config["relay"]
    with suppress(OSError):  # on other machines there may be no such folder, and paths that are whole
        os.chdir(job.folder)
    device = get_device() if config["gpu"] else torch.device("cpu")
    team = Team.joined(device)
    earlier, in_vain, heard = team.gather(ray.get(relay.begin.remote()) if team.leads else None)[0] or (
        0,
        0,
        "",
    )
    # A run that this very job began, and did not finish, is its own to resume.
    resume = job.request.resume or (earlier > 0 and (job.request.out / SETTINGS).is_file())
    try:
        if in_vain >= MOST_IN_VAIN:
            raise RunError(
                f"{in_vain} starts in a row did not come to one step. The last that was heard: "
                f"{heard or 'nothing, as when a process is killed for want of memory'}"
            )
        for event in fit(replace(job.request, resume=resume, device=str(device)), team):
            if team.leads:
                told = relay.tell.remote(packed(event), event.number if isinstance(event, Step) else -1)
        if team.leads:
            ray.get(told)  # calls arrive in order: all of them, before this process ends
    except AffectLensError as error:
        ray.get(relay.tell.remote(packed(error)))
    except Exception:
        ray.get(relay.complain.remote(traceback.format_exc()))
        raise


def _reason(error: BaseException) -> str:
    """The last line of what Ray says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
