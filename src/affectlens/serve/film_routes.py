"""The routes about films: send one, see how far it is, follow it, remove it."""

from collections.abc import AsyncGenerator
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from affectlens.files import json_text
from affectlens.serve.bodies import FORM, kind_of, read_file_to, refuse_long
from affectlens.serve.films import SentFilm
from affectlens.serve.problems import invalid, json_response
from affectlens.serve.requests import FilmFields, read_fields
from affectlens.serve.responses import FilmAnswer, problems
from affectlens.serve.service import Service
from affectlens.serve.settings import ServeSettings

PREFIX = "/v1/film"  # of all paths about films, and of no other
FILM = "film"
_FORM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {FILM: {"type": "string", "format": "binary"}, "model": {"type": "string"}},
    "required": [FILM],
    "additionalProperties": False,
}
_BODY = {"requestBody": {"required": True, "content": {FORM: {"schema": _FORM_SCHEMA}}}}


def film_router(service: Service, settings: ServeSettings) -> APIRouter:
    """Return the routes about films."""
    router = APIRouter(prefix=PREFIX)

    @router.post(
        "",
        status_code=HTTPStatus.ACCEPTED,
        response_model=FilmAnswer,
        responses=problems(400, 401, 403, 408, 413, 415, 421, 422, 503, 507),
        openapi_extra=_BODY,
    )
    async def send(request: Request) -> Response:
        """Send a film; it is watched as soon as those before it are."""
        kind_of(request, FORM)
        most = settings.film_bytes
        refuse_long(request, most)
        service.require_running()
        with service.films.arriving() as (path, file):
            form = await read_file_to(request, FILM, lambda _: file, most, settings.upload_seconds)
            if FILM not in form.files:
                raise invalid(f"There is no film. Send it as a file in a part named {FILM}.")
            model = service.model(read_fields(FilmFields, form).model)
            file.flush()
            film = service.films.add(path, form.files[FILM][0].name, model)
        return json_response(film.to_json(), HTTPStatus.ACCEPTED)

    @router.get("/{number}", response_model=FilmAnswer, responses=problems(401, 403, 404, 421))
    async def status(number: str) -> Response:
        """How far a film is; its timeline once it is done."""
        return json_response(service.films.find(number).to_json())

    @router.get(
        "/{number}/events",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {}}}, **problems(401, 403, 404, 421)},
    )
    async def events(number: str) -> Response:
        """What happens to a film, as server-sent events: progress, then done, failed or cancelled."""
        film = service.films.find(number)
        return StreamingResponse(_stream(service, film), media_type="text/event-stream")

    @router.delete("/{number}", status_code=HTTPStatus.NO_CONTENT, responses=problems(401, 403, 404, 421))
    async def remove(number: str) -> Response:
        """Cancel a film and remove it."""
        await service.films.remove(number)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    return router


async def _stream(service: Service, film: SentFilm) -> AsyncGenerator[str, None]:
    async for name, data in service.films.events(film):
        yield f"event: {name}\ndata: {json_text(data)}\n\n" if name else ": still there\n\n"
