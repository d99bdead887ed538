"""What the service answers is what the commands write, over HTTP."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from affectlens.cli.main import affectlens
from affectlens.emotions import MIKELS
from affectlens.serve.settings import ServeSettings
from services import Pictures, Running, base64_of, running

BROKEN = ("broken.jpg", b"\xff\xd8\xff and no picture")


def rows_of_the_command(pictures: Pictures, model: Path, folder: Path, *options: str) -> list[dict[str, Any]]:
    """Write pictures, predict them by the command, and name them as the service does."""
    names = []
    for name, data in pictures:
        names.append(str(folder / name))
        (folder / name).write_bytes(data)
    out = folder / "rows.jsonl"
    given = ["predict", *names, "--model", str(model), "--out", str(out), *options]
    CliRunner().invoke(affectlens, given)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    for row, (name, _) in zip(rows, pictures, strict=True):
        row["image"] = name
        if row["error"]:
            row["error"]["message"] = row["error"]["message"].replace(str(folder / name), name)
    return rows


@pytest.mark.parametrize("attributes", [False, True])
def test_rows_are_those_that_the_command_writes_to_the_last_digit(
    attributes: bool,
    service: Running,
    photographs: Pictures,
    graph_model: Path,
    tmp_path: Path,
) -> None:
    given = [*photographs, BROKEN]
    expected = rows_of_the_command(given, graph_model, tmp_path, *["--attributes"] * attributes)
    assert service.predict(*given, attributes=str(attributes).lower()) == expected
    assert [bool(row["error"]) for row in expected] == [False] * 12 + [True]


def test_rows_of_a_model_with_ratings_have_them(
    rated_graph: Path, photographs: Pictures, tmp_path: Path
) -> None:
    expected = rows_of_the_command(photographs[:2], rated_graph, tmp_path)
    with running(rated_graph) as service:
        assert service.predict(*photographs[:2]) == expected
    assert "valence" in expected[0]


def test_json_and_a_form_have_the_same_answer(service: Running, photographs: Pictures) -> None:
    pictures = [{"name": name, "data": base64_of(data)} for name, data in photographs]
    reply = service.post_json("/v1/predict", {"pictures": pictures, "attributes": True})
    assert reply.status == 200
    assert reply.json["predictions"] == service.predict(*photographs, attributes="true")


def test_models_state_words_and_limits(service: Running) -> None:
    found = service.get("/v1/models").json
    (model,) = found["models"]
    assert found["default"] == model["name"] == "tiny"
    assert [each["name"] for each in model["emotions"]] == list(MIKELS.words)
    assert model["emotions"][1] == {"name": "awe", "polarity": "positive", "colour": "#88CCEE"}
    assert model["coverage"] is False and model["engine"] == "onnxruntime"
    assert found["limits"] == ServeSettings().limits()


def test_an_explanation_has_the_numbers_of_the_command(
    service: Running, photographs: Pictures, graph_model: Path, tmp_path: Path
) -> None:
    name, data = photographs[3]
    (tmp_path / name).write_bytes(data)
    given = ["explain", str(tmp_path / name), "--model", str(graph_model), "--engine", "onnxruntime"]
    given += ["--method", "occlusion", "--format", "json", "--out", str(tmp_path), "--emotion", "awe"]
    assert CliRunner().invoke(affectlens, given).exit_code == 0
    (expected,) = json.loads(next(tmp_path.glob("*.json")).read_text())["explanations"]
    fields = {"emotion": "awe", "faithfulness": "true", "story": "true"}
    found = service.post_form("/v1/explain", [("picture", name, data)], **fields).json
    (explained,) = found["explanations"]
    assert explained["emotion"] == "awe" and explained["against"] is None
    assert explained["regions"] == expected["places"]
    assert explained["faithfulness"] == expected["details"]["faithfulness"]
    assert found["story"] == expected["story"]
    assert (found["height"], found["width"]) == (expected["height"], expected["width"])
    assert found["prediction"] == service.predict((name, data))[0]
    values = explained["map"]["values"]
    assert len(values) == explained["map"]["rows"] * explained["map"]["columns"]
    assert max(map(abs, values)) > 0
    assert explained["overlay"].startswith("data:image/png;base64,")


def test_several_emotions_and_ratings_are_explained_against_one(
    service: Running, photographs: Pictures
) -> None:
    picture = {"name": photographs[0][0], "data": base64_of(photographs[0][1])}
    wanted = {"picture": picture, "emotions": ["awe", "fear"], "against": "sadness"}
    found = service.post_json("/v1/explain", wanted).json["explanations"]
    assert [(each["emotion"], each["against"]) for each in found] == [("awe", "sadness"), ("fear", "sadness")]
    assert found[0]["question"] == "awe rather than sadness"


def test_the_default_model_is_explained_by_its_graph_alone(photographs: Pictures) -> None:
    picture = {"name": photographs[0][0], "data": base64_of(photographs[0][1])}
    with running("default") as service:
        found = service.post_json("/v1/explain", {"picture": picture, "emotions": ["awe", "fear"]}).json
        mixed = service.post_json("/v1/explain", {"picture": picture, "emotions": ["awe", "valence"]}).json
    assert (found["method"], mixed["method"]) == ("cam", "occlusion")
    awe, fear = (np.array(each["map"]["values"], dtype=float) for each in found["explanations"])
    assert not np.allclose(awe, fear)


def test_what_is_explained_has_the_name_that_was_requested(rated_graph: Path, photographs: Pictures) -> None:
    picture = {"name": photographs[0][0], "data": base64_of(photographs[0][1])}
    with running(rated_graph) as service:
        wanted = {"picture": picture, "emotions": ["positive", "valence"]}
        found = service.post_json("/v1/explain", wanted).json
        likeliest = service.post_json("/v1/explain", {"picture": picture}).json
    assert [each["emotion"] for each in found["explanations"]] == ["positive", "valence"]
    assert found["explanations"][1]["unit"].startswith(("points", "relative"))
    assert likeliest["explanations"][0]["emotion"] == likeliest["prediction"]["top"]
    assert likeliest["method"] == "occlusion" and likeliest["story"] is None


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"coverage": "0.9"}, "thresholds"),
        ({"model": "other"}, "'other' is not a model of this service"),
        ({"model": "/etc/passwd"}, "is not a model of this service"),
        ({"coverage": "much"}, "coverage"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_cannot_be_requested_is_a_problem_that_states_why(
    fields: dict[str, str], part: str, service: Running, photographs: Pictures
) -> None:
    reply = service.post_form("/v1/predict", [("pictures", *photographs[0])], **fields)
    assert reply.status == 422
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json.keys() == {"type", "title", "status", "detail", "instance"}
    assert part in reply.json["detail"] and reply.json["instance"] == "/v1/predict"


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"emotion": "awesome"}, "Did you mean 'awe'"), ({"method": "gradient"}, "gradient"),
        ({"emotions": "awe"}, "a field of its own, emotion"),
    ],
)  # fmt: skip
def test_what_cannot_be_explained_is_a_problem(
    fields: dict[str, str], part: str, service: Running, photographs: Pictures
) -> None:
    reply = service.post_form("/v1/explain", [("picture", *photographs[0])], **fields)
    assert reply.status == 422 and part in reply.json["detail"]


def test_an_emotion_that_was_left_empty_in_a_form_is_the_likeliest(
    service: Running, photographs: Pictures
) -> None:
    found = service.post_form("/v1/explain", [("picture", *photographs[0])], emotion="", model="").json
    assert [each["emotion"] for each in found["explanations"]] == [found["prediction"]["top"]]


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v2", 404), ("PUT", "/v1/predict", 405)])
def test_a_request_that_there_is_not_states_where_all_are_listed(
    method: str, path: str, status: int, service: Running
) -> None:
    reply = service.send(method, path)
    assert reply.status == status and "/openapi.json" in reply.json["detail"]


@pytest.mark.parametrize("path", ["/", "/healthz", "/v1/models", "/openapi.json", "/nothing", "/v1/predict"])
def test_head_is_answered_as_get_without_the_body(path: str, service: Running) -> None:
    got, head = service.get(path), service.send("HEAD", path)
    assert head.status == got.status and head.body == b"" and got.body
    volatile = ("date", "content-length")
    assert {k: v for k, v in head.headers.items() if k not in volatile} == {
        k: v for k, v in got.headers.items() if k not in volatile
    }
    assert head.headers["content-length"] == str(len(got.body))


def test_an_empty_file_is_an_error_that_calls_it_empty(service: Running) -> None:
    (row,) = service.predict(("null", b""))
    assert row["error"]["type"] == "PictureEmpty" and "null: it is empty" in row["error"]["message"]


def test_a_picture_that_cannot_be_explained_as_it_cannot_be_read_is_a_problem(service: Running) -> None:
    reply = service.post_form("/v1/explain", [("picture", *BROKEN)])
    assert reply.status == 422
    assert reply.json["type"].endswith("unreadable-picture") and "broken.jpg" in reply.json["detail"]


def test_health_and_counts(service: Running, photographs: Pictures) -> None:
    assert service.get("/healthz").body == service.get("/readyz").body == b"ok"
    service.predict(*photographs[:2], BROKEN)
    text = service.get("/metrics").body.decode()
    assert 'affectlens_requests_total{route="/v1/predict",status="200"}' in text
    assert 'affectlens_pictures_total{outcome="error"}' in text
    assert "affectlens_batch_pictures_count" in text and "affectlens_pictures_waiting 0.0" in text


def test_openapi_describes_what_is_sent(service: Running) -> None:
    found = service.get("/openapi.json").json
    assert found["openapi"].startswith("3.1")
    body = found["paths"]["/v1/predict"]["post"]["requestBody"]["content"]
    assert set(body) == {"multipart/form-data", "application/json"}
