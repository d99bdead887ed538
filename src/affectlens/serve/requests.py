"""Requests as they are sent, as JSON or as a form, validated: pydantic's models, which OpenAPI shows too."""

import base64
import binascii
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request

from affectlens.serve.bodies import FORM, JSON, kind_of, read_bytes, read_form
from affectlens.serve.multipart import LONGEST_NAME, FilePart, Form
from affectlens.serve.problems import invalid, malformed
from affectlens.serve.settings import ServeSettings

PICTURE, PICTURES = "picture", "pictures"
Kind = TypeVar("Kind", bound=BaseModel)
_Name = Annotated[str, Field(min_length=1, max_length=200)]


class _Sent(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SentPicture(_Sent):
    """A picture in JSON."""

    name: Annotated[str, Field(max_length=LONGEST_NAME)] = "picture"
    data: Annotated[
        str,
        Field(description="The picture file, in base64.", json_schema_extra={"contentEncoding": "base64"}),
    ]


class PredictFields(_Sent):
    """What is requested of pictures."""

    coverage: Annotated[float | None, Field(ge=0, le=1)] = None
    attributes: bool = False
    model: _Name | None = None


class FilmFields(_Sent):
    """What is requested of a film."""

    model: _Name | None = None


class PredictBody(PredictFields):
    """A request for predictions in JSON."""

    pictures: Annotated[list[SentPicture], Field(min_length=1)]


class ExplainFields(_Sent):
    """What is to be explained of a picture."""

    emotions: Annotated[list[_Name], Field(max_length=32)] = []
    against: _Name | None = None
    method: _Name | None = None
    faithfulness: bool = False
    story: bool = False
    model: _Name | None = None


class ExplainBody(ExplainFields):
    """A request for explanations in JSON."""

    picture: SentPicture


async def read_predict(
    request: Request, settings: ServeSettings, add: Callable[[int], None]
) -> tuple[list[FilePart], PredictFields]:
    """Read pictures and what is requested of them. Raises `Problem`."""
    if kind_of(request, FORM, JSON) == FORM:
        form = await read_form(request, settings, add, frozenset({PICTURES}), settings.pictures)
        pictures = form.files.get(PICTURES, [])
        if not pictures:
            raise invalid(f"There is no picture. Send each as a file in a part named {PICTURES}.")
        return pictures, read_fields(PredictFields, form)
    body = _validated_json(PredictBody, await read_bytes(request, settings, add))
    if len(body.pictures) > settings.pictures:
        raise invalid(f"There are more than {settings.pictures} pictures. Send several requests.")
    return [_file_of(each, add) for each in body.pictures], body


async def read_explain(
    request: Request, settings: ServeSettings, add: Callable[[int], None]
) -> tuple[FilePart, ExplainFields]:
    """Read a picture and what is to be explained of it. Raises `Problem`."""
    if kind_of(request, FORM, JSON) == FORM:
        form = await read_form(request, settings, add, frozenset({PICTURE}), 1)
        if PICTURE not in form.files:
            raise invalid(f"There is no picture. Send it as a file in a part named {PICTURE}.")
        emotions = [each for each in form.fields.pop("emotion", []) if each]
        if "emotions" in form.fields:  # the name that it has in JSON
            raise invalid("emotions: forms name each in a field of its own, emotion.")
        return form.files[PICTURE][0], _validated(ExplainFields, {**_single(form), "emotions": emotions})
    body = _validated_json(ExplainBody, await read_bytes(request, settings, add))
    return _file_of(body.picture, add), body


def read_fields(kind: type[Kind], form: Form) -> Kind:
    """Validate the fields of a form. Raises `Problem`."""
    return _validated(kind, _single(form))


def _single(form: Form) -> dict[str, str]:
    """Return the fields of a form that may be given once; one without a value counts as left out."""
    for name, values in form.fields.items():
        if len(values) > 1:
            raise invalid(f"The field {name[:100]!r} is given {len(values)} times. Give it once.")
    return {name: values[0] for name, values in form.fields.items() if values[0]}


def _validated(kind: type[Kind], plain: dict[str, Any]) -> Kind:
    try:
        return kind.model_validate(plain)
    except ValidationError as error:
        raise invalid(_in_words(error)) from None


def _validated_json(kind: type[Kind], body: bytes) -> Kind:
    try:
        return kind.model_validate_json(body, strict=True)
    except ValidationError as error:
        if error.errors()[0]["type"] == "json_invalid":
            raise malformed(f"The body is not JSON: {_in_words(error)}") from None
        raise invalid(_in_words(error)) from None


def _in_words(error: ValidationError) -> str:
    """Name the first of the faults, and where it is; not what was sent, which may be a picture."""
    first = error.errors(include_input=False, include_url=False)[0]
    path = ".".join(str(part)[:100] for part in first["loc"])
    return f"{path}: {first['msg']}." if path else f"{first['msg']}."


def _file_of(picture: SentPicture, add: Callable[[int], None]) -> FilePart:
    add(len(picture.data) * 3 // 4)
    try:
        return FilePart(picture.name, base64.b64decode(picture.data, validate=True))
    except (binascii.Error, ValueError):
        raise invalid(f"The data of {picture.name[:100]!r} is not base64.") from None
