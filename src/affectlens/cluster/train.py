"""A training run on several processes and machines. Ray Train starts them; `training.run` is what they do.

Every process runs the same loop on its rows of each batch (`training.distributed`), and the folder of the run
is that of any run: it can be resumed with another number of workers, or none.

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

from affectlens.cluster.connection import Cluster, connected, ray_failures, reason_of
from affectlens.cluster.event_queue import EventQueue, packed, unpacked
from affectlens.cluster.resources import cores_for_each, cpus_of, on_gpus
from affectlens.errors import AffectLensError, ClusterError, RunError
from affectlens.training.loop import Step
from affectlens.training.run import RunEvent, fit
from affectlens.training.run_folder import SETTINGS, TrainingRequest

# Restarts of one job; a job with more of them goes on with --resume.
MAX_FAILURES = 20
# Starts in a row that brought not one new step.
MAX_IN_VAIN = 3
# Seconds that processes wait for one another, as while the main one makes a cache.
TIMEOUT = 6 * 3600
# Seconds between looks for events.
POLL_INTERVAL = 0.1
# Seconds that the other processes have to end after an error: Ray looks at them every two. Those that wait
# for the one that had it do not end by themselves.
GRACE_PERIOD = 3.0
# Ray trains in a thread that is not the main one. To such threads glibc lends memory in pieces of 64 MB and
# takes it back at once, so that `machine.keep_freed_memory` keeps nothing: MobileNetV2 took a third longer.
ONE_ARENA = {"MALLOC_ARENA_MAX": "1"}


def fit_on_ray(request: TrainingRequest, workers: int, cluster: Cluster | None = None) -> Iterator[RunEvent]:
    """Train as `training.run.fit` does, with `workers` processes, and yield the same events.

    After a restart the events go on with another `RunStarted`. Raises what `fit` raises, `ClusterError` where
    Ray cannot start so many processes or lost them too often, and `MissingExtra` without Ray.
    """
    cluster = cluster or Cluster(cpus=max(workers, os.cpu_count() or 1))
    # Ray Train's own records, none of which are needed: checkpoints are those of the run folder.
    with (
        connected(cluster),
        tempfile.TemporaryDirectory(prefix="affectlens-ray-") as records,
        ray_failures("Go on with --resume."),
    ):
        yield from _run(_Job(request, str(Path.cwd())), workers, records)


@dataclass(frozen=True)
class _Job:
    """What every process is given: a request, and the driver's folder, as paths may be relative to it."""

    request: TrainingRequest
    folder: str


def _run(job: _Job, workers: int, records: str) -> Iterator[RunEvent]:
    """Run the job in a thread; yield its events as they come."""
    import ray

    queue: Any = ray.remote(num_cpus=0)(EventQueue).remote()
    failures: list[BaseException] = []
    trainer = _trainer(job, workers, queue, records)

    def run() -> None:
        try:
            trainer.fit()
        except BaseException as error:  # raised in the calling thread, below
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while True:
        running = thread.is_alive()
        for event in map(unpacked, ray.get(queue.take.remote())):
            if isinstance(event, AffectLensError):
                # Processes that still wait for the others end with the connection.
                thread.join(GRACE_PERIOD)
                raise event
            yield event
        if not running:
            break
        thread.join(POLL_INTERVAL)
    if failures:
        raise ClusterError(
            f"The run was given up. Go on with --resume. {reason_of(failures[0])}"
        ) from failures[0]


def _trainer(job: _Job, workers: int, queue: Any, records: str) -> Any:
    import ray
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.train.v2.api.config import FailureConfig, LoggingConfig, RunConfig, ScalingConfig

    gpu = on_gpus(job.request.device, ray.cluster_resources().get("GPU", 0.0), workers)
    cores = cores_for_each(cpus_of(ray.nodes()), workers)
    return TorchTrainer(
        _work,
        train_loop_config={"job": job, "queue": queue, "gpu": gpu},
        scaling_config=ScalingConfig(
            num_workers=workers,
            use_gpu=gpu,
            resources_per_worker={"CPU": cores, **({"GPU": 1} if gpu else {})},
        ),
        torch_config=TorchConfig(backend="nccl" if gpu else "gloo", timeout_s=TIMEOUT),
        run_config=RunConfig(  # type: ignore[arg-type]
            name="train",
            storage_path=records,
            failure_config=FailureConfig(max_failures=MAX_FAILURES),
            logging_config=LoggingConfig(log_level="ERROR"),
            worker_runtime_env={"env_vars": ONE_ARENA},
        ),
    )


def _work(config: dict[str, Any]) -> None:
    """What each process does."""
    import ray
    import torch
    from ray.train.torch import get_device

    from affectlens.training.distributed import ProcessGroup

    job, queue = config["job"], config["queue"]
    # On other machines there may be no such folder, and paths that are absolute.
    with suppress(OSError):
        os.chdir(job.folder)
    device = get_device() if config["gpu"] else torch.device("cpu")
    group = ProcessGroup.joined(device)
    begun = group.gather(ray.get(queue.begin.remote()) if group.is_main else None)[0]
    earlier, in_vain, last_error = begun or (0, 0, "")
    # A run that this very job began, and did not finish, is its own to resume.
    resume = job.request.resume or (earlier > 0 and (job.request.out / SETTINGS).is_file())
    try:
        if in_vain >= MAX_IN_VAIN:
            raise RunError(
                f"{in_vain} starts in a row did not come to one step. The last error: "
                f"{last_error or 'none was reported, as when a process is killed for want of memory'}"
            )
        for event in fit(replace(job.request, resume=resume, device=str(device)), group):
            if group.is_main:
                sent = queue.put.remote(packed(event), event.number if isinstance(event, Step) else -1)
        if group.is_main:
            # Calls arrive in order: all of them, before this process ends.
            ray.get(sent)
    except AffectLensError as error:
        ray.get(queue.put.remote(packed(error)))
    except Exception:
        ray.get(queue.put_error.remote(traceback.format_exc()))
        raise
