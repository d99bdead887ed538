"""Answers as OpenAPI describes them; what is sent is plain data, written as files of rows are."""

from typing import Any, Literal

from pydantic import BaseModel

from affectlens.serve.problems import MEDIA_TYPE


class ProblemAnswer(BaseModel):
    """What is wrong, as RFC 9457 has it."""

    type: str
    title: str
    status: int
    detail: str
    instance: str


class EmotionAnswer(BaseModel):
    """An emotion of a model."""

    name: str
    polarity: str | None
    colour: str


class RatingAnswer(BaseModel):
    """A rating of a model, with the ends of its scale."""

    name: str
    low: float
    high: float


class ModelAnswer(BaseModel):
    """A model."""

    name: str
    weights: str | None
    version: str
    engine: str
    precision: str
    emotions: list[EmotionAnswer]
    ratings: list[RatingAnswer]
    attributes: list[str]
    coverage: bool
    licences: dict[str, str]
    limits: list[str]


class ModelsAnswer(BaseModel):
    """All models, and the limits of requests."""

    default: str
    models: list[ModelAnswer]
    limits: dict[str, float]


class PredictionsAnswer(BaseModel):
    """A row for each picture, as `affectlens predict --out FILE.jsonl` writes it."""

    predictions: list[dict[str, Any]]


class MapAnswer(BaseModel):
    """A heat map, row after row; null where the model did not see the picture."""

    rows: int
    columns: int
    values: list[float | None]


class ExplanationAnswer(BaseModel):
    """Why an emotion, or a rating."""

    emotion: str
    against: str | None
    question: str
    unit: str
    map: MapAnswer
    overlay: str
    regions: list[dict[str, Any]]
    faithfulness: dict[str, Any] | None


class ExplanationsAnswer(BaseModel):
    """A picture's row, and why."""

    prediction: dict[str, Any]
    width: int
    height: int
    method: str
    explanations: list[ExplanationAnswer]
    story: list[str] | None


class FilmAnswer(BaseModel):
    """A film: how far it is, and its timeline once it is done."""

    id: str
    status: Literal["waiting", "running", "done", "failed", "cancelled"]
    seconds: float
    duration: float | None
    links: dict[str, str]
    timeline: dict[str, Any] | None = None
    problem: ProblemAnswer | None = None


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the problems of a route."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemAnswer"}}}
    return {status: {"description": "Problem", "content": content} for status in statuses}
