"""The page of the service: the same answers for people, in a browser, with scripts or without."""

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response

from affectlens.report.html import json_for_script, render
from affectlens.report.text import ON_AVERAGE
from affectlens.serve.game import read_game
from affectlens.serve.page_answer import answer_form
from affectlens.serve.page_facts import facts
from affectlens.serve.page_files import SAMPLE, SHEETS, StaticFile, static_files
from affectlens.serve.problems import Problem, json_response
from affectlens.serve.service import Service
from affectlens.serve.settings import ServeSettings

# Nothing is loaded from elsewhere, no script or style is inline, and no other page may frame this one.
POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; style-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    # Not "no-referrer", by which a browser sends the form with the origin "null", as a stranger's page would.
    "referrer-policy": "same-origin",
    "cache-control": "no-cache",
}
SAMPLE_PICTURE = {
    "credit": "portrait of the astronaut Eileen Collins by NASA, in the public domain",
    "alternative": "portrait of an astronaut in an orange suit, a flag and a model of a shuttle behind her",
}


def page_router(service: Service, settings: ServeSettings) -> APIRouter:
    """Return the routes of the page: itself, its files, and the answer for browsers without scripts."""
    router = APIRouter(include_in_schema=False)
    game = read_game(settings.game) if settings.game is not None else []
    vocabularies = {name: model.card.vocabulary for name, model in service.models.items()}

    @router.get("/")
    def page() -> Response:
        values = {**common_values(service), "facts": json_for_script(facts(vocabularies, len(game)))}
        return HTMLResponse(render("serve.html", values), headers=HEADERS)

    @router.post("/")
    async def answer(request: Request) -> Response:
        status = 200
        try:
            values = await answer_form(service, settings, request)
        except Problem as problem:
            values, status = {"problem": problem.detail, "name": None}, problem.status
        page = render("serve_answer.html", {**common_values(service), **values})
        return HTMLResponse(page, status, headers=HEADERS)

    @router.get("/static/{name}")
    def static_file(name: str, request: Request) -> Response:
        return file_response(static_files().get(name), request)

    @router.get(f"/{SAMPLE}")
    def sample(request: Request) -> Response:
        return file_response(static_files()[SAMPLE], request)

    @router.get("/game")
    def game_pictures() -> Response:
        return json_response({"pictures": [each.to_json(number) for number, each in enumerate(game)]})

    @router.get("/game/{number}")
    def game_picture(number: int) -> Response:
        if not 0 <= number < len(game):
            return not_found()
        return FileResponse(game[number].path, headers=HEADERS)

    return router


def common_values(service: Service) -> dict[str, Any]:
    """Return what the templates of all pages of the service need."""
    return {
        "sheets": SHEETS,
        "sample": SAMPLE_PICTURE,
        "on_average": ON_AVERAGE,
        "models": list(service.models),
        "default": service.default,
    }


def file_response(file: StaticFile | None, request: Request) -> Response:
    """Answer with a file, or that the browser's copy of it is still right."""
    if file is None:
        return not_found()
    headers = {**HEADERS, "etag": file.tag}
    if request.headers.get("if-none-match") == file.tag:
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers=headers, media_type=file.media_type)


def not_found() -> Response:
    """Answer that there is no such file."""
    return Response("There is no such file.", 404, media_type="text/plain", headers=HEADERS)
