"""What is wrong with a request, as RFC 9457 has it: `application/problem+json`."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from affectlens.errors import AffectLensError
from affectlens.files import json_text

MEDIA_TYPE = "application/problem+json"
CLOSE = {"connection": "close"}  # of an answer before the body was read to its end
RETRY_SECONDS = 2


class Problem(AffectLensError):
    """A request that is not answered: the status of HTTP, what kind of problem it is, and a sentence.

    Attributes:
        status: of HTTP
        kind: the same for all problems of a kind, as `too-large`
        detail: what happened, and what to do
        headers: of the response
    """

    def __init__(
        self, status: HTTPStatus, kind: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail = status, kind, detail
        self.headers = dict(headers or {})

    @property
    def leaves_body(self) -> bool:
        """Whether the body may not have been read to its end; of a slow one no more is waited for."""
        return CLOSE.items() <= self.headers.items() and self.status != HTTPStatus.REQUEST_TIMEOUT

    def response(self, instance: str) -> Response:
        """Return it as a response about the path of a request."""
        return problem_response(self.status, self.kind, self.detail, instance, self.headers)


def problem_response(
    status: HTTPStatus, kind: str, detail: str, instance: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Write a problem as a response."""
    plain = problem_json(status, kind, detail, instance)
    return Response(json_text(plain), status, dict(headers or {}), MEDIA_TYPE)


def problem_json(status: HTTPStatus, kind: str, detail: str, instance: str) -> dict[str, Any]:
    """Return a problem as plain data."""
    return {
        "type": f"urn:affectlens:problem:{kind}",
        "title": status.phrase,
        "status": int(status),
        "detail": detail,
        "instance": instance,
    }


def json_response(plain: Any, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Write plain data as files of rows have it: the same digits, and names as they are."""
    return Response(json_text(plain), status, media_type="application/json")


def too_large(detail: str) -> Problem:
    """Return the problem of a request beyond a limit."""
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", detail, CLOSE)


def overloaded(detail: str, headers: Mapping[str, str] | None = None) -> Problem:
    """Return the problem of a request that could be answered later."""
    retry = {"retry-after": str(RETRY_SECONDS), **(headers or {})}
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", detail, retry)


def invalid(detail: str) -> Problem:
    """Return the problem of a request that was read and cannot be answered."""
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", detail)


def malformed(detail: str) -> Problem:
    """Return the problem of a body that is not what its type states."""
    return Problem(HTTPStatus.BAD_REQUEST, "malformed", detail, CLOSE)
