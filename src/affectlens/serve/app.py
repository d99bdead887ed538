"""The application: routes, problems and the guard around them, put together."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from affectlens.serve.bodies import discard_body
from affectlens.serve.film_routes import film_router
from affectlens.serve.guard import GONE, Guard
from affectlens.serve.page import page_router
from affectlens.serve.problems import Problem, problem_response
from affectlens.serve.requests import SentPicture
from affectlens.serve.responses import ProblemAnswer
from affectlens.serve.routes import health_router, picture_router
from affectlens.serve.service import Service
from affectlens.serve.settings import ServeSettings
from affectlens.version import VERSION

_DESCRIPTION = (
    "Which emotions pictures and films evoke in those who look at them, on average. It does not measure what "
    "any person feels."
)
_NEXT_STEPS = {
    HTTPStatus.NOT_FOUND: "There is nothing at this path. GET /openapi.json lists what there is.",
    HTTPStatus.METHOD_NOT_ALLOWED: (
        "This path has no such method: the header Allow lists those that it has, "
        "and GET /openapi.json what there is."
    ),
}


def create_app(service: Service, settings: ServeSettings) -> FastAPI:
    """Return the application; it starts the service with its lifespan, and stops it."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
        await service.start()
        try:
            yield
        finally:
            await service.stop()

    app = FastAPI(
        title="AffectLens",
        version=VERSION,
        description=_DESCRIPTION,
        lifespan=lifespan,
        # Their pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
    )
    app.include_router(picture_router(service, settings))
    app.include_router(film_router(service, settings))
    app.include_router(health_router(service))
    app.include_router(page_router(service, settings))
    _handle_errors(app, service)
    app.add_middleware(Guard, settings=settings, metrics=service.metrics)
    _describe(app)
    return app


def _handle_errors(app: FastAPI, service: Service) -> None:
    async def as_problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        service.metrics.errors.labels(error.kind).inc()
        if error.leaves_body:
            await discard_body(request.scope, request.receive)
        return error.response(request.url.path)

    async def as_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        status = HTTPStatus(error.status_code)
        detail = _NEXT_STEPS.get(status, str(error.detail))
        return problem_response(status, "http", detail, request.url.path, error.headers)

    async def gone(_: Request, __: Exception) -> Response:
        return Response(status_code=GONE)  # which no one reads

    app.add_exception_handler(Problem, as_problem)
    app.add_exception_handler(HTTPException, as_http)
    app.add_exception_handler(ClientDisconnect, gone)


def _describe(app: FastAPI) -> None:
    """Add what routes refer to by name, which FastAPI does not find of itself."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schemas = made().setdefault("components", {}).setdefault("schemas", {})
            for kind in (ProblemAnswer, SentPicture):
                schemas.setdefault(kind.__name__, kind.model_json_schema())
        found: dict[str, Any] = app.openapi_schema or {}
        return found

    app.openapi = openapi  # type: ignore[method-assign]
