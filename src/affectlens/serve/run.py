"""Running the application in uvicorn, until a signal ends it."""

import math
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn

from affectlens.errors import SettingsError
from affectlens.serve.app import create_app
from affectlens.serve.connections import bounded_connections
from affectlens.serve.service import Service
from affectlens.serve.settings import ServeSettings


class ServiceServer(uvicorn.Server):
    """A server that has the service accept nothing more as soon as it is to end."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End after what was accepted; at the second signal at once.

        The signal is not raised again afterwards, as uvicorn does: that a service was ended is not a failure.
        """
        self._service.begin_to_stop()
        self.force_exit = self.should_exit
        self.should_exit = True


def run_service(service: Service, settings: ServeSettings, ready: Callable[[str], None]) -> None:
    """Serve until a signal. `ready` is called with the address once the port is taken.

    Raises `SettingsError` where it cannot listen there.
    """
    listening = listen(settings)
    config = uvicorn.Config(
        create_app(service, settings),
        http=bounded_connections(settings),
        loop="asyncio",  # not uvloop where Ray has brought it: one loop, whatever is installed
        log_level="warning",
        access_log=False,  # names of pictures are no one's business
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=math.ceil(settings.shutdown_seconds),
        lifespan="on",
        ws="none",
    )
    ready(address_of(*listening.getsockname()[:2]))
    ServiceServer(config, service).run([listening])


def address_of(host: str, port: int) -> str:
    """Return the URL of the page.

    >>> address_of("::1", 8000)
    'http://[::1]:8000/'
    """
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def listen(settings: ServeSettings) -> socket.socket:
    """Take the port of the settings. Raises `SettingsError` where that cannot be."""
    try:
        family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((settings.host, settings.port), family=family, backlog=1024)
    except OSError as error:
        reason = error.strerror or error
        raise SettingsError(
            f"The service cannot listen on {settings.host} port {settings.port}: {reason}. "
            "Choose another port or host; port 0 takes a free one."
        ) from None
