"""The description of the API and the service agree: requests made from it are never too much for it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from services import Running, running

CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance]
# Overload is the only answer of the fives that is right.
EXAMPLES = 12


@pytest.fixture(scope="module")
def service(graph_model: Path) -> Iterator[Running]:
    with running(graph_model, film_bytes=1_000_000, request_bytes=1_000_000) as found:
        yield found


OPERATIONS = [
    "GET /v1/models", "POST /v1/predict", "POST /v1/explain", "POST /v1/film", "GET /v1/film/{number}",
    "GET /v1/film/{number}/events", "DELETE /v1/film/{number}", "GET /healthz", "GET /readyz", "GET /metrics",
]  # fmt: skip


@pytest.fixture(scope="module")
def described(service: Running) -> dict[str, Any]:
    """The operations that the service describes, by method and path."""
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{service.port}/openapi.json")
    found = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    return {f"{each.method.upper()} {each.path}": each for each in found}


def test_all_operations_are_described(described: dict[str, Any]) -> None:
    assert set(described) >= set(OPERATIONS)


@pytest.mark.parametrize("name", OPERATIONS)
def test_requests_made_from_the_description_are_answered_as_it_states(
    name: str, described: dict[str, Any]
) -> None:
    @settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=described[name].as_strategy())
    def check(case: Any) -> None:
        response = case.call(timeout=30)
        if response.status_code != 503:
            case.validate_response(response, checks=CHECKS)

    check()
