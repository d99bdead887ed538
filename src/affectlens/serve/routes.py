"""The routes about pictures, and those by which a service is watched: read, call, write."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from fastapi import APIRouter
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from affectlens.serve.problems import json_response, overloaded
from affectlens.serve.requests import (
    PICTURE,
    PICTURES,
    ExplainBody,
    ExplainFields,
    PredictBody,
    PredictFields,
    read_explain,
    read_predict,
)
from affectlens.serve.responses import ExplanationsAnswer, ModelsAnswer, PredictionsAnswer, problems
from affectlens.serve.service import Service
from affectlens.serve.settings import ServeSettings

Answer = TypeVar("Answer")
_BODY_PROBLEMS = problems(400, 401, 403, 408, 413, 415, 421, 422, 503)


def picture_router(service: Service, settings: ServeSettings) -> APIRouter:
    """Return the routes about models and pictures."""
    router = APIRouter(prefix="/v1")

    @router.get("/models", response_model=ModelsAnswer, responses=problems(401, 403, 421))
    async def models() -> Response:
        """Models, what they answer, and the limits of requests."""
        return json_response(service.describe())

    @router.post(
        "/predict",
        response_model=PredictionsAnswer,
        responses=_BODY_PROBLEMS,
        openapi_extra=_body_of(PredictBody, PredictFields, PICTURES, several=True),
    )
    async def predict(request: Request) -> Response:
        """Emotions that pictures evoke on average."""
        with service.memory.account() as add:
            pictures, fields = await read_predict(request, settings, add)
            rows = await unless_gone(request, service.predict(pictures, fields))
            return json_response({"predictions": rows})

    @router.post(
        "/explain",
        response_model=ExplanationsAnswer,
        responses=_BODY_PROBLEMS,
        openapi_extra=_body_of(ExplainBody, ExplainFields, PICTURE, several=False),
    )
    async def explain(request: Request) -> Response:
        """Heat maps of what in a picture speaks for an emotion, or raises a rating."""
        with service.memory.account() as add:
            picture, fields = await read_explain(request, settings, add)
            return json_response(await unless_gone(request, service.explain(picture, fields)))

    return router


def health_router(service: Service) -> APIRouter:
    """Return the routes by which a service is watched."""
    router = APIRouter()

    @router.get("/healthz", response_class=PlainTextResponse)
    async def healthz() -> str:
        """Whether the process answers."""
        return "ok"

    @router.get("/readyz", response_class=PlainTextResponse, responses=problems(503))
    async def readyz() -> str:
        """Whether pictures are accepted."""
        if not service.is_ready:
            raise overloaded("The service is starting, or being stopped.")
        return "ok"

    @router.get("/metrics", response_class=PlainTextResponse, responses=problems(401))
    async def metrics() -> Response:
        """Counts for Prometheus."""
        return Response(await service.write_metrics(), media_type=service.metrics.media_type)

    return router


async def unless_gone(request: Request, work: Coroutine[Any, Any, Answer]) -> Answer:
    """Wait for an answer; where the client goes away, end the work, and raise `ClientDisconnect`."""
    answer = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        raise ClientDisconnect
    finally:
        for each in (answer, gone):
            each.cancel()
        with suppress(BaseException):
            await answer


async def _gone(request: Request) -> None:
    """Wait until the client is gone; its body was read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _body_of(
    body: type[PredictBody | ExplainBody],
    fields: type[PredictFields | ExplainFields],
    file: str,
    *,
    several: bool,
) -> dict[str, Any]:
    """Describe a body that is read by us, as JSON or as a form."""
    binary = {"type": "string", "format": "binary"}
    form = fields.model_json_schema()
    properties = {key: value for key, value in form["properties"].items() if key != "emotions"}
    if "emotions" in form["properties"]:
        properties["emotion"] = form["properties"]["emotions"]
    properties[file] = {"type": "array", "items": binary, "minItems": 1} if several else binary
    as_form = {"type": "object", "properties": properties, "required": [file], "additionalProperties": False}
    as_json = body.model_json_schema(ref_template="#/components/schemas/{model}")
    as_json.pop("$defs", None)
    content = {"multipart/form-data": {"schema": as_form}, "application/json": {"schema": as_json}}
    return {"requestBody": {"required": True, "content": content}}
