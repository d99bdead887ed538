"""The answer as a complete page, for browsers without scripts: one picture, predicted and explained."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from affectlens.errors import UnknownName
from affectlens.inference.text import UNUSUAL, ratings_text
from affectlens.ratings import AROUSAL, COVERAGE, VALENCE, Rating
from affectlens.report.circumplex import draw_circumplex, point_of
from affectlens.report.figures import themed_urls
from affectlens.report.html import data_url
from affectlens.report.text import headline, printable_in_files
from affectlens.serve.bodies import read_form
from affectlens.serve.multipart import FilePart
from affectlens.serve.page_facts import set_sentence
from affectlens.serve.page_files import SAMPLE, static_files
from affectlens.serve.problems import Problem, invalid
from affectlens.serve.requests import ExplainFields, PredictFields
from affectlens.serve.routes import unless_gone
from affectlens.serve.service import Service
from affectlens.serve.settings import ServeSettings

PICTURE, SAMPLE_BUTTON, MODEL, MAP = "picture", "sample", "model", "map"
# What browsers show in a page; of other formats the answer has no picture.
_SHOWN = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG": "image/png", b"GIF8": "image/gif", b"RIFF": "image/webp"}


async def answer_form(service: Service, settings: ServeSettings, request: Request) -> dict[str, Any]:
    """Predict the picture of a form and return the values of `serve_answer.html`. Raises `Problem`."""
    with service.memory.account() as add:
        form = await read_form(request, settings, add, frozenset({PICTURE}), 1)
        name = form.fields.get(MODEL, [service.default])[0]
        picture = _picture_of(form.files.get(PICTURE, []), is_sample=SAMPLE_BUTTON in form.fields)
        described = _described(service, name)
        coverage = COVERAGE if described["coverage"] else None
        fields = PredictFields(coverage=coverage, model=name)
        (row,) = await unless_gone(request, service.predict([picture], fields))
        if row["error"]:
            raise invalid(row["error"]["message"])
        explained = {}
        if MAP in form.fields:
            explained = await unless_gone(request, _explained(service, picture, name))
        return {**_answer_values(picture, row, described), **explained}


def _described(service: Service, name: str) -> dict[str, Any]:
    """Return what the service states about a model. Raises `Problem` for one that it has not."""
    models = {each["name"]: each for each in service.describe()["models"]}
    if name not in models:
        raise invalid(str(UnknownName("model", name, models, "this service")))
    found: dict[str, Any] = models[name]
    return found


async def _explained(service: Service, picture: FilePart, model: str) -> dict[str, Any]:
    """Return the map of the likeliest emotion, or why there is none: the prediction stands without it."""
    try:
        found = await service.explain(picture, ExplainFields(model=model))
    except Problem as problem:
        return {"map_reading": f"There is no heat map: {problem.detail}"}
    (only,) = found["explanations"]
    reading = (
        f"Orange speaks for {only['emotion']}, blue against it, the stronger the colour the more "
        f"({found['method']}, {only['unit']})."
    )
    return {"map": only["overlay"], "map_reading": reading}


def _picture_of(sent: list[FilePart], *, is_sample: bool) -> FilePart:
    """Choose what was sent, or the sample; a browser sends an empty file where none was chosen."""
    if is_sample:
        return FilePart(SAMPLE, static_files()[SAMPLE].content)
    if not sent or not sent[0].data:
        raise invalid("There is no picture. Choose one, then send the form again.")
    return sent[0]


def _answer_values(picture: FilePart, row: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, Any]:
    emotions, about = row["emotions"], {each["name"]: each for each in model["emotions"]}
    ratings = {each["name"]: Rating(**row[each["name"]]) for each in model["ratings"]}
    ranked = sorted(emotions.items(), key=lambda item: -item[1])
    sentences = [f"Ratings: {ratings_text(ratings)}."] if ratings else []
    if row.get("set"):
        sentences.append(set_sentence(row["set"], len(emotions), row["coverage"]))
    return {
        "problem": None,
        "default": model["name"],  # chosen again for the next picture
        "name": printable_in_files(picture.name),
        "headline": headline(emotions),
        "top": ranked[0][0],
        "unusual": f"This picture is {UNUSUAL}." if row.get("unusual") else None,
        "picture": _shown(picture.data),
        "map": None,
        "map_reading": None,
        "emotions": [{**about[word], "probability": value} for word, value in ranked],
        "sentences": sentences,
        "plane": _plane(ratings, model, unusual=bool(row.get("unusual"))),
    }


def _plane(
    ratings: Mapping[str, Rating], model: Mapping[str, Any], *, unusual: bool
) -> dict[str, str] | None:
    """Draw valence and arousal; None of a model that lacks one of them."""
    if not {VALENCE, AROUSAL} <= set(ratings):
        return None
    ends = {each["name"]: (each["low"], each["high"]) for each in model["ratings"]}
    figure = draw_circumplex(
        [point_of(ratings, unusual=unusual)], valence=ends[VALENCE], arousal=ends[AROUSAL]
    )
    alternative = f"Plane of valence and arousal: {ratings_text(ratings)}"
    return {**themed_urls(figure), "alternative": alternative}


def _shown(data: bytes) -> str | None:
    """Return a picture as an address, by the first bytes of its format."""
    found = next((kind for start, kind in _SHOWN.items() if data.startswith(start)), None)
    return data_url(data, found) if found else None
