"""Connections of clients as uvicorn has them, but bounded: in number, and in what a request's head takes.

uvicorn has no limit of its own for a client that sends a head byte by byte, and refuses one connection too
many only after it has read a request from it.
"""

import asyncio
import socket
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from affectlens.serve.settings import ServeSettings

# Not the one that uvicorn chooses by what else is installed: limits are to be the same everywhere.
_Base: Any = H11Protocol
LONGEST_HEAD = 65_536  # bytes of a request's line and headers


class BoundedConnection(_Base):  # type: ignore[misc]
    """A connection; `bounded_connections` binds it to settings."""

    settings: ServeSettings
    _deadline: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin to wait for a head; one connection too many ends here."""
        super().connection_made(transport)
        # asyncio does so only where the listening socket names its protocol. Without it the second part of an
        # answer waits for the client to acknowledge the first, for 40 ms.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if len(self.connections) > self.settings.connections:
            transport.abort()
        else:
            self._await_head()

    def data_received(self, data: bytes) -> None:
        """Read, and end the connection where a head is too long or takes too long."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._forget_head()
            return
        self._head_bytes += len(data)
        if self._head_bytes > LONGEST_HEAD:
            self.transport.abort()
        elif self._deadline is None:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._forget_head()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._deadline = self.loop.call_later(self.settings.header_seconds, self.transport.abort)

    def _forget_head(self) -> None:
        self._head_bytes = 0
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def bounded_connections(settings: ServeSettings) -> type[asyncio.Protocol]:
    """Return the class of connections that keep to the settings' limits."""
    return type("Connection", (BoundedConnection,), {"settings": settings})
