"""A request's body, read within limits: of bytes, of time, and of all bodies together."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import contextmanager, suppress
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Message, Receive, Scope

from affectlens.serve.multipart import Form, FormReader, Sink
from affectlens.serve.problems import CLOSE, Problem, malformed, overloaded, too_large
from affectlens.serve.settings import ServeSettings

DISCARD_SECONDS = 3.0
_COMPLETE = "affectlens.body_is_complete"
JSON, FORM = "application/json", "multipart/form-data"


class BodyMemory:
    """Bytes of all bodies that are held at once; a body that does not fit is refused, never waited for."""

    def __init__(self, size: int) -> None:
        self.size, self.used = size, 0

    @contextmanager
    def account(self) -> Generator[Callable[[int], None], None, None]:
        """Hold what is added, until the block ends. Adding raises `Problem` where it does not fit."""
        held = 0

        def add(number: int) -> None:
            nonlocal held
            if self.used + number > self.size:
                raise overloaded("The service holds as much as it may at once. Try again soon.", CLOSE)
            held += number
            self.used += number

        try:
            yield add
        finally:
            self.used -= held


def kind_of(request: Request, *allowed: str) -> str:
    """Return the media type of a body. Raises `Problem` for one that is not allowed."""
    found = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if found not in allowed:
        known = " or ".join(allowed)
        detail = f"The Content-Type is {found[:100] or 'missing'}. Expected {known}."
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "media-type", detail, CLOSE)
    return found


async def chunks(request: Request, most_bytes: int, seconds: float) -> AsyncGenerator[bytes, None]:
    """Yield a body as it comes. Raises `Problem` beyond a number of bytes or seconds.

    A client that went away raises `ClientDisconnect`.
    """
    refuse_long(request, most_bytes)
    received, end = 0, asyncio.get_running_loop().time() + seconds
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout_at(end):
                chunk = await anext(stream, None)
        except TimeoutError:
            detail = f"The body took longer than {seconds:g} seconds. Send less, or by a faster connection."
            raise Problem(HTTPStatus.REQUEST_TIMEOUT, "timeout", detail, CLOSE) from None
        if chunk is None:
            return
        received += len(chunk)
        if received > most_bytes:
            raise _beyond(most_bytes)
        yield chunk


def refuse_long(request: Request, most_bytes: int) -> None:
    """Raise `Problem` for a body that is stated to be longer than allowed, before any of it is read."""
    stated = request.headers.get("content-length", "0")
    if not stated.isascii() or not stated.isdecimal():
        raise malformed("The Content-Length is not a number.")
    if int(stated) > most_bytes:
        raise _beyond(most_bytes)


def _beyond(most_bytes: int) -> Problem:
    return too_large(f"The body has more than {most_bytes:,} bytes. Send less in one request.")


async def read_bytes(request: Request, settings: ServeSettings, add: Callable[[int], None]) -> bytes:
    """Read a body into memory; `add` counts it (`BodyMemory.account`). Raises as `chunks`."""
    body = bytearray()
    async for chunk in chunks(request, settings.request_bytes, settings.body_seconds):
        add(len(chunk))
        body += chunk
    return bytes(body)


async def read_form(
    request: Request,
    settings: ServeSettings,
    add: Callable[[int], None],
    file_names: frozenset[str],
    most_files: int,
) -> Form:
    """Read a form into memory, as `read_bytes` does; see `FormReader`."""
    reader = FormReader(_content_type(request), file_names, most_files)
    async for chunk in chunks(request, settings.request_bytes, settings.body_seconds):
        add(len(chunk))
        reader.feed(chunk)
    return reader.finish()


async def read_file_to(
    request: Request, name: str, sink: Callable[[str], Sink], most_bytes: int, seconds: float
) -> Form:
    """Read a form whose one file, in the part `name`, is written to a sink as it comes; see `chunks`."""
    reader = FormReader(_content_type(request), frozenset({name}), 1, sink)
    async for chunk in chunks(request, most_bytes, seconds):
        reader.feed(chunk)
    return reader.finish()


async def discard_body(scope: Scope, receive: Receive) -> None:
    """Read what a client still sends, for a moment, before it is refused.

    Most clients read no answer before they have sent all; where the connection is closed on them, they find
    it broken instead. Who sends more than that finds just this.
    """
    if "expect" in Headers(scope=scope):  # it waits for a word before it sends
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(DISCARD_SECONDS):
            while not scope.get(_COMPLETE):
                await receive()


def noting_the_end(scope: Scope, receive: Receive) -> Receive:
    """Have a request's scope know when its body was received to its end, or its client went away."""

    async def receive_noting() -> Message:
        message = await receive()
        if not message.get("more_body"):
            scope[_COMPLETE] = True
        return message

    return receive_noting


def _content_type(request: Request) -> bytes:
    return request.headers["content-type"].encode("latin-1")
