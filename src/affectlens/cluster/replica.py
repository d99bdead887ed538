"""A replica of the service: the application as in one process, and what it reports to the others.

Here runs what Ray Serve starts; `serve` starts it.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from affectlens.serve.settings import ServeSettings

if TYPE_CHECKING:
    from prometheus_client import Metric
    from starlette.types import Receive, Scope, Send

REPORT_SECONDS = 0.5  # between two reports of a replica
STOPPING_SECONDS = 0.1  # the same once the service is to end, which waits for them
SILENT_SECONDS = 10.0  # after which a replica that reports nothing counts as gone
BOARD, NAMESPACE = "board", "affectlens"


@dataclass(frozen=True, kw_only=True)
class ServedApplication:
    """What all replicas serve.

    Attributes:
        names: of models, the first by default; a folder must be on every machine
        settings: of the service, as in one process
        assignments: what of the settings was assigned by `ServeSettings.assigned`
        folder: in which the command was called: relative paths begin there
    """

    names: tuple[str, ...]
    settings: ServeSettings
    assignments: tuple[str, ...] = ()
    engine: str = "auto"
    device: str = "auto"
    precision: str = "auto"
    folder: str = field(default_factory=os.getcwd)

    def on(self, cores: int, gpu: bool) -> "ServedApplication":
        """Return it for a replica with so many CPUs: as many decoders, unless others were chosen.

        With a GPU it is the one that Ray shows to the replica, without one it is the CPU.

        >>> ServedApplication(names=("default",), settings=ServeSettings()).on(3, False).settings.decoders
        3
        """
        settings = replace(self.settings, decoders=cores).assigned(self.assignments)
        device = self.device
        if device == "auto" or device.startswith("cuda"):
            device = "cuda" if gpu else "cpu"
        return replace(self, settings=settings, device=device)


@dataclass(frozen=True, kw_only=True)
class ReplicaReport:
    """What a replica reports.

    Attributes:
        requests: that it answers at the moment
        stopping: whether it accepts nothing more
        counts: for /metrics
    """

    requests: int
    stopping: bool
    counts: "list[Metric]"


class ReplicaBoard:
    """Holds the last report of each replica, and whether the service is to end; in use an actor of Ray's."""

    def __init__(self) -> None:
        self._reports: dict[str, tuple[float, ReplicaReport]] = {}
        self._stopping = False

    def report(self, replica: str, report: ReplicaReport) -> bool:
        """Take a report; return whether the service is to end."""
        self._reports[replica] = (time.monotonic(), report)
        return self._stopping

    def begin_to_stop(self) -> None:
        """Have all replicas accept nothing more, as soon as they report."""
        self._stopping = True

    def is_idle(self) -> bool:
        """Whether no replica accepts or answers anything more."""
        return all(each.stopping and not each.requests for each in self._living().values())

    def counts(self) -> "dict[str, list[Metric]]":
        """Return the counts of all replicas, by their names."""
        return {name: each.counts for name, each in self._living().items()}

    def _living(self) -> dict[str, ReplicaReport]:
        now = time.monotonic()
        self._reports = {name: each for name, each in self._reports.items() if now - each[0] < SILENT_SECONDS}
        return {name: report for name, (_, report) in self._reports.items()}


class ReplicaApp:
    """The application in a replica, for ASGI."""

    def __init__(self, application: ServedApplication) -> None:
        """Load the models. Raises as `Service.load` and `create_app`."""
        import ray
        from ray import serve

        from affectlens.serve.app import create_app
        from affectlens.serve.service import Service

        with suppress(OSError):  # on other machines there may be no such folder, and paths that are absolute
            os.chdir(application.folder)
        self._service = Service.load(
            application.names,
            application.settings,
            engine=application.engine,
            device=application.device,
            precision=application.precision,
        )
        self._service.write_metrics = self._counts_of_all
        self._app = create_app(self._service, application.settings)
        self._name: str = serve.get_replica_context().replica_id.unique_id
        self._board: Any = ray.get_actor(BOARD, NAMESPACE)
        self._requests = 0

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer a request; of a lifespan, report as long as it lasts."""
        if scope["type"] == "lifespan":
            async with self._reporting():
                await self._app(scope, receive, send)
            return
        self._requests += 1
        try:
            # Ray's proxy sets it to the prefix by which it chose this application. Ours has complete paths.
            await self._app({**scope, "root_path": ""}, receive, send)
        finally:
            self._requests -= 1

    @asynccontextmanager
    async def _reporting(self) -> AsyncIterator[None]:
        reporting = asyncio.create_task(self._report_on())
        try:
            yield
        finally:
            reporting.cancel()

    async def _report_on(self) -> None:
        """Report again and again, until the command is gone: then the service ends itself."""
        from ray.exceptions import RayActorError

        try:
            while True:
                await self._report()
                await asyncio.sleep(STOPPING_SECONDS if self._service.stopping else REPORT_SECONDS)
        except RayActorError:
            self._service.begin_to_stop()
            await asyncio.to_thread(_remove_own_application)

    async def _report(self) -> None:
        service = self._service
        counts = service.metrics.families()
        report = ReplicaReport(requests=self._requests, stopping=service.stopping, counts=counts)
        if await self._board.report.remote(self._name, report):
            service.begin_to_stop()

    async def _counts_of_all(self) -> bytes:
        from affectlens.serve.metrics import text_of_replicas

        await self._report()
        return text_of_replicas(await self._board.counts.remote())


def _remove_own_application() -> None:
    from ray import serve

    serve.delete(serve.get_replica_context().app_name, _blocking=False)
