"""The service on Ray Serve: replicas of its application in several processes, on one machine or many.

    proxy      Ray's own, where the head of the cluster runs: takes connections, hands requests to replicas
    pictures   `workers` replicas of the complete application, with models, decoders and queues of their own
    films      one more, which alone has the path /v1/film: what is known of a film is known in one process
    board      an actor that all replicas report to: counts, requests that are answered, that it is to end

Which replica answers, and that a dead one is replaced, is Ray's. How pictures are batched is the
application's, in each replica as in one process: it knows the device, the options that can share a batch, and
which client went away, and its rows are the same to the last digit whatever is predicted with them.
"""

import logging
import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from affectlens.cluster.connection import NONE, Cluster, connected, ray_failures, reason_of
from affectlens.cluster.replica import BOARD, NAMESPACE, ReplicaApp, ReplicaBoard, ServedApplication
from affectlens.cluster.resources import cores_for_each, cpus_of, on_gpus
from affectlens.errors import ClusterError, MissingExtra, SettingsError
from affectlens.serve.film_routes import PREFIX
from affectlens.serve.problems import RETRY_SECONDS
from affectlens.serve.run import address_of, listen
from affectlens.serve.settings import ServeSettings

PICTURES, FILMS = "affectlens", "affectlens-films"  # Ray's names for the two applications
POLL_SECONDS = 0.2
WATCH_SECONDS = 2.0  # between two looks whether the service is still there
CHECK_SECONDS = 2.0  # between two looks of Ray at a replica, which is replaced where it is dead
HEAD = "node:__internal_head__"  # a resource that Ray gives to the machine of the head


@dataclass
class EndSignals:
    """What Ctrl-C and SIGTERM set: to end after what was accepted, and at the second signal at once."""

    begun: Event = field(default_factory=Event)
    at_once: Event = field(default_factory=Event)

    def set(self, *_: object) -> None:
        """Note a signal; a handler of signals."""
        (self.at_once if self.begun.is_set() else self.begun).set()

    def install(self) -> None:
        """Handle signals of this process, whatever handles them now."""
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, self.set)


@dataclass(frozen=True, kw_only=True)
class ReplicaPlan:
    """What each replica gets.

    Attributes:
        cores: CPUs of a replica for pictures. The one for films reserves none: it decodes and watches in a
            process of its own, one film at a time on two threads, as without Ray
        gpu, film_gpu: whether a replica for pictures, and that for films, has a GPU
        machines: of the cluster
        head: the machine with Ray's proxy, as others name it; None where it is this one
    """

    workers: int
    cores: int
    gpu: bool
    film_gpu: bool
    machines: int
    head: str | None

    def __str__(self) -> str:
        each = "1 CPU" if self.cores == 1 else f"{self.cores} CPUs"
        replicas = "1 replica" if self.workers == 1 else f"{self.workers} replicas"
        machines = "this machine" if self.machines == 1 and self.head is None else f"{self.machines} machines"
        head = f"; connections are taken by {self.head}" if self.head else ""
        gpu = " and a GPU" if self.gpu else ""
        return f"{replicas} with {each}{gpu} each, and one for films, on {machines}{head}"


def serve_on_ray(
    application: ServedApplication,
    workers: int,
    cluster: Cluster,
    *,
    ready: Callable[[str], None],
    progress: Callable[[str], None] = lambda line: None,
) -> None:
    """Serve until a signal; `ready` is called with the address once all replicas answer.

    What was on the cluster stays there. Raises `MissingExtra` without Ray Serve, `SettingsError` where the
    port is taken, and `ClusterError` where nothing answers at the address of the cluster, where it has too
    few CPUs or GPUs, where it serves something else, and where a replica cannot be started.
    """
    # A Ray of our own would have its workers give way to all other programs, with people waiting for answers.
    os.environ.setdefault("RAY_worker_niceness", "0")
    if cluster.address == NONE:  # it listens on this machine for sure: found out before Ray is started
        listen(application.settings).close()
    with _handled_signals() as signals, connected(cluster) as is_own:
        signals.install()  # Ray has just installed its own
        serve = _import_serve()
        with ray_failures("Start the service again."), ExitStack() as stack:
            plan = plan_replicas(application.device, workers)
            progress(f"Starting {plan}.")
            settings = application.settings
            port, is_new = _start_serve(serve, settings, plan)
            if is_new and not is_own:  # one of our own ends with all that is in it
                stack.callback(_end_serve, serve)
            board = _board(stack)
            stack.callback(_remove, serve, signals)
            _deploy(serve, application, plan)
            if _await_replicas(serve, signals, workers, progress):
                ready(_address(settings, port, plan))
                _watch(serve, signals)
            _drain(board, signals, settings.shutdown_seconds)


@contextmanager
def _handled_signals() -> Iterator[EndSignals]:
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    signals = EndSignals()
    signals.install()
    try:
        yield signals
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _import_serve() -> Any:
    """Return the module `ray.serve`, which logs to its files only."""
    try:
        from ray import serve
    except ImportError:
        raise MissingExtra("The service on several processes or machines", "Ray Serve", "cluster") from None
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    return serve


def plan_replicas(device: str, workers: int) -> ReplicaPlan:
    """Divide the cluster that is connected among replicas. Raises `ClusterError` where it has too little."""
    import ray

    nodes = [node for node in ray.nodes() if node["Alive"]]
    gpus = ray.cluster_resources().get("GPU", 0.0)
    head = next((node for node in nodes if HEAD in node["Resources"]), nodes[0])
    is_here = head["NodeManagerHostname"] == socket.gethostname()
    gpu = on_gpus(device, gpus, workers)
    return ReplicaPlan(
        workers=workers,
        cores=cores_for_each(cpus_of(nodes), workers),
        gpu=gpu,
        film_gpu=gpu and gpus > workers,
        machines=len(nodes),
        head=None if is_here else head["NodeManagerAddress"],
    )


def _start_serve(serve: Any, settings: ServeSettings, plan: ReplicaPlan) -> tuple[int, bool]:
    """Have Ray Serve listen, and return its port, and whether it was started for that."""
    from ray.serve.context import _get_global_client  # Ray has no public way to find where it listens

    there = _get_global_client(raise_if_no_controller_running=False)
    if there is not None:
        _require_free(serve, there.http_config, settings)
        return int(there.http_config.port), False
    port = settings.port
    if plan.head is None:  # found out here, where the error is clear
        with closing(listen(settings)) as listening:
            port = listening.getsockname()[1]
    try:
        serve.start(
            proxy_location="HeadOnly",
            http_options={"host": settings.host, "port": port, "keep_alive_timeout_s": 30},
            logging_config={"enable_access_log": False},
        )
    except RuntimeError as error:
        _end_serve(serve)
        raise SettingsError(
            f"The service cannot listen on {settings.host} port {port}"
            f"{f' of {plan.head}' if plan.head else ''}: {reason_of(error)} Choose another port or host."
        ) from error
    return port, True


def _require_free(serve: Any, there: Any, settings: ServeSettings) -> None:
    """Raise `ClusterError` where what Ray Serve does already leaves no room for the service."""
    if (there.host, there.port) != (settings.host, settings.port):
        raise ClusterError(
            f"Ray Serve runs on this cluster already and listens on {there.host} port {there.port}, not on "
            f"{settings.host} port {settings.port}. Use --host {there.host} --port {there.port}, or end it."
        )
    if serve.status().applications.keys() & {PICTURES, FILMS}:
        raise ClusterError(
            "The service of another command runs on this cluster already. End that command, or use another "
            "cluster."
        )


def _board(stack: ExitStack) -> Any:
    import ray

    actor: Any = ray.remote(num_cpus=0)(ReplicaBoard)
    board = actor.options(name=BOARD, namespace=NAMESPACE).remote()
    stack.callback(ray.kill, board)
    return board


def _deploy(serve: Any, application: ServedApplication, plan: ReplicaPlan) -> None:
    """Have Ray start both applications, without waiting for them."""
    pictures = _bound(serve, application.on(plan.cores, plan.gpu), plan.workers, plan.cores, plan.gpu)
    films = _bound(serve, application.on(1, plan.film_gpu), 1, 0, plan.film_gpu)
    try:
        serve.run_many(
            [
                serve.RunTarget(pictures, PICTURES, "/"),
                serve.RunTarget(films, FILMS, PREFIX),
            ],
            wait_for_ingress_deployment_creation=False,
            wait_for_applications_running=False,
        )
    except serve.exceptions.RayServeException as error:
        raise ClusterError(
            f"Ray Serve does not take the service: {reason_of(error)} Use another cluster."
        ) from error


def _bound(serve: Any, application: ServedApplication, replicas: int, cores: int, gpu: bool) -> Any:
    def build() -> ReplicaApp:
        return ReplicaApp(application)

    settings = application.settings
    deployment = serve.deployment(
        serve.ingress(build)(),
        name="service",
        num_replicas=replicas,
        ray_actor_options={"num_cpus": cores, "num_gpus": int(gpu)},
        # The application refuses what is too much, in its own words; this is for what it cannot see.
        max_ongoing_requests=settings.connections,
        max_queued_requests=settings.connections,
        backpressure_config={"retry_after_s": RETRY_SECONDS},
        graceful_shutdown_wait_loop_s=POLL_SECONDS,
        graceful_shutdown_timeout_s=settings.shutdown_seconds,
        health_check_period_s=CHECK_SECONDS,
        logging_config={"enable_access_log": False},
    )
    return deployment.bind()


def _await_replicas(serve: Any, signals: EndSignals, workers: int, progress: Callable[[str], None]) -> bool:
    """Wait until all replicas answer; False where a signal came before. Raises `ClusterError`."""
    from ray.serve.schema import ApplicationStatus

    ready = -1
    while not signals.begun.wait(POLL_SECONDS):
        found = serve.status().applications
        ours = [found[name] for name in (PICTURES, FILMS) if name in found]
        for each in ours:
            if each.status == ApplicationStatus.DEPLOY_FAILED:
                raise ClusterError(f"A replica of the service could not be started: {_reason(each)}")
        states = sum(map(_states, ours), Counter[str]())
        if states["RUNNING"] == workers + 1:
            return True
        if states["RUNNING"] > ready:
            ready = states["RUNNING"]
            progress(f"{ready} of {workers + 1} replicas are ready.")
    return False


def _states(application: Any) -> "Counter[str]":
    """Count the replicas of an application by their state."""
    deployments = application.deployments.values()
    return sum((Counter(each.replica_states) for each in deployments), Counter[str]())


def _reason(application: Any) -> str:
    """Return why replicas fail: the last line that Ray has of it."""
    messages = [each.message for each in application.deployments.values() if each.message]
    return reason_of(RuntimeError(messages[0] if messages else application.message))


def _address(settings: ServeSettings, port: int, plan: ReplicaPlan) -> str:
    is_all_of_head = plan.head is not None and settings.host in ("0.0.0.0", "::")
    return address_of(plan.head if plan.head and is_all_of_head else settings.host, port)


def _watch(serve: Any, signals: EndSignals) -> None:
    """Wait for a signal. Raises `ClusterError` where someone else removes the service."""
    while not signals.begun.wait(WATCH_SECONDS):
        if not serve.status().applications.keys() >= {PICTURES, FILMS}:
            raise ClusterError("The service was removed from Ray Serve by another program. Start it again.")


def _drain(board: Any, signals: EndSignals, seconds: float) -> None:
    """Accept nothing more, and wait for what was accepted, or for a second signal."""
    import ray

    end = time.monotonic() + seconds
    ray.get(board.begin_to_stop.remote())
    while not ray.get(board.is_idle.remote()) and time.monotonic() < end:
        if signals.at_once.wait(POLL_SECONDS):
            return


def _remove(serve: Any, signals: EndSignals) -> None:
    """Remove what of the service there is; each replica ends its own processes."""
    for name in (PICTURES, FILMS):
        with suppress(Exception):  # it is not there, or Ray is not
            serve.delete(name, _blocking=not signals.at_once.is_set())


def _end_serve(serve: Any) -> None:
    """End Ray Serve, unless others use it meanwhile."""
    with suppress(Exception):
        if not serve.status().applications:
            serve.shutdown()
