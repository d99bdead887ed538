"""Who may call the service, and with which headers it answers: around all routes, before a body is read.

Host            a name that is not the service's is refused: a page of a stranger may have that name lead to
                this machine (DNS rebinding). Addresses in numbers cannot be rebound, and are allowed
Origin          a page of another origin is refused, unless it is among those that are allowed
Authorization   where the service has a token, all but the page and the checks of health need it

HEAD is answered as GET is, without the body (RFC 9110, 9.3.2).
"""

import asyncio
import hmac
import ipaddress
import logging
import time
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from affectlens.serve.bodies import discard_body, noting_the_end
from affectlens.serve.metrics import ServeMetrics
from affectlens.serve.problems import CLOSE, Problem, problem_response
from affectlens.serve.settings import LOOPBACK_NAME, ServeSettings

_log = logging.getLogger("affectlens.serve")
HEADERS = {
    "content-security-policy": (
        "default-src 'self'; img-src 'self' data: blob:; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'; object-src 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "geolocation=(), microphone=()",
    "cache-control": "no-store",
}
# What can be read without the token: whether the service is there, and the page, which holds no answers.
GONE = 499  # the client went away: the status that nginx has for it
ENDLESS = "/events"  # of paths whose answer goes on: these have GET alone
OPEN_PATHS = frozenset({"/healthz", "/readyz", "/", "/sample.jpg"})
_OPEN_FOLDER = "/static/"
_SAFE = frozenset({"GET", "HEAD"})
_METHODS, _ALLOWED_HEADERS = "GET, HEAD, POST, DELETE", "authorization, content-type"


class Guard:
    """Wraps the routes: checks, headers and counts."""

    def __init__(self, app: ASGIApp, settings: ServeSettings, metrics: ServeMetrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics
        self._names = {LOOPBACK_NAME, settings.host.lower(), *map(str.lower, settings.allow_hosts)}
        self._origins = {origin.rstrip("/").lower() for origin in settings.allow_origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it to the routes."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        begin, status = time.perf_counter(), GONE
        if scope["method"] == "HEAD" and not scope["path"].endswith(ENDLESS):
            scope, send = {**scope, "method": "GET"}, _without_body(send)
        origin = self._allowed_origin(Headers(scope=scope))
        receive = noting_the_end(scope, receive)

        async def send_guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._add_headers(MutableHeaders(scope=message), origin)
            # A client that does not read its answer would hold it for ever.
            async with asyncio.timeout(self._settings.body_seconds):
                await send(message)

        try:
            refused = self._refusal(scope, origin)
            if refused is not None and scope["method"] not in _SAFE:
                await discard_body(scope, receive)
            await (refused or self._app)(scope, receive, send_guarded)
        except TimeoutError:
            raise ClientDisconnect from None
        except Exception as error:
            if status != GONE:  # its answer has begun
                raise
            await self._failure(scope, error)(scope, receive, send_guarded)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            self._metrics.requests.labels(route, str(status)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - begin)

    def _failure(self, scope: Scope, error: Exception) -> Response:
        """Return what is answered where the service itself fails; its log has no part of the request."""
        _log.error("%s %s failed", scope["method"], scope.get("route"), exc_info=error)
        self._metrics.errors.labels("internal").inc()
        detail = "The service failed on this request; its log has the reason."
        return problem_response(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", detail, scope["path"])

    def _refusal(self, scope: Scope, origin: str | None) -> Response | None:
        """Return what is answered to a request that may not reach the routes; None for one that may."""
        headers, path = Headers(scope=scope), scope["path"]
        try:
            self._check_host(headers)
            self._check_origin(headers, scope["method"], origin)
            if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
                return Response(status_code=HTTPStatus.NO_CONTENT)
            self._check_token(headers, scope["method"], path)
        except Problem as problem:
            self._metrics.errors.labels(problem.kind).inc()
            return problem.response(path)
        return None

    def _check_host(self, headers: Headers) -> None:
        given = headers.get("host", "")
        if not self._is_our_name(given):
            detail = f"The service has not the name {given[:100]!r}. Have it started with --allow-host NAME."
            raise Problem(HTTPStatus.MISDIRECTED_REQUEST, "host", detail, CLOSE)

    def _is_our_name(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _allowed_origin(self, headers: Headers) -> str | None:
        """Return the origin of the page that calls, if it is one of those that are allowed."""
        origin = headers.get("origin", "")
        return origin if origin.lower() in self._origins else None

    def _check_origin(self, headers: Headers, method: str, allowed: str | None) -> None:
        origin = headers.get("origin")
        is_elsewhere = headers.get("sec-fetch-site") == "cross-site"
        follows_link = headers.get("sec-fetch-mode") == "navigate" and method in _SAFE
        if allowed is not None or (origin is None and (not is_elsewhere or follows_link)):
            return
        if origin is not None and _host_of(origin) == headers.get("host", "").lower():
            return
        detail = "Pages of other origins may not call the service. Have it started with --allow-origin."
        raise Problem(HTTPStatus.FORBIDDEN, "origin", detail, CLOSE)

    def _check_token(self, headers: Headers, method: str, path: str) -> None:
        token = self._settings.token
        if token is None or (method in _SAFE and (path in OPEN_PATHS or path.startswith(_OPEN_FOLDER))):
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        # Compared in a time that does not depend on where they differ.
        is_right = hmac.compare_digest(given.strip().encode(), token.encode())
        if scheme.lower() != "bearer" or not is_right:
            detail = "The request needs the service's token: Authorization: Bearer TOKEN."
            raise Problem(HTTPStatus.UNAUTHORIZED, "token", detail, {**CLOSE, "www-authenticate": "Bearer"})

    def _add_headers(self, headers: MutableHeaders, origin: str | None) -> None:
        for name, value in HEADERS.items():
            headers.setdefault(name, value)
        if self._origins:
            headers.add_vary_header("origin")
        if origin is not None:
            headers["access-control-allow-origin"] = origin
            headers["access-control-allow-methods"] = _METHODS
            headers["access-control-allow-headers"] = _ALLOWED_HEADERS
            headers["cross-origin-resource-policy"] = "cross-origin"


def _without_body(send: Send) -> Send:
    async def send_head(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return send_head


def _host_of(origin: str) -> str | None:
    """Return the host of an origin, with its port, in small letters; None for what is not one."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None
