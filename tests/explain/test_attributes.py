"""What models with attributes see in a picture, as well as its heat maps."""

from pathlib import Path

import pytest

import attribute_models
from affectlens.attributes import LEVELS, Attribute
from affectlens.cli.main import main
from affectlens.explain.explainer import Explainer
from affectlens.explain.page import render_page
from affectlens.inference.attribute_evidence import EVIDENCE, PREDICTED
from affectlens.inference.engine import ONNX_RUNTIME, TORCH
from affectlens.inference.predictor import Predictor
from pages import Outline
from pictures import colour_set

NAMED = (Attribute("brightness", LEVELS), Attribute("scene", ("beach", "cemetery")))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return attribute_models.write(tmp_path_factory.mktemp("models") / "namer", NAMED, graph=True)


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return next(colour_set(tmp_path_factory.mktemp("photos"), ("awe",), each=1).rglob("*.png"))


@pytest.mark.needs("torch")
@pytest.mark.parametrize("engine", [TORCH, ONNX_RUNTIME])
def test_an_explanation_has_the_attributes_that_predict_has(model: Path, photo: Path, engine: str) -> None:
    predicted = Predictor.load(str(model)).predict_file(photo, attributes=True).attributes
    assert predicted is not None
    explainer = Explainer.load(str(model), "occlusion", engine=engine)
    (found,) = explainer.explain_files([photo])
    assert found.attributes is not None and found.to_json()["attributes"] == found.attributes
    assert found.attributes[PREDICTED]["scene"]["word"] == predicted[PREDICTED]["scene"]["word"]
    reasons = [reason["word"] for reason in found.attributes[EVIDENCE]]
    assert reasons == [reason["word"] for reason in predicted[EVIDENCE]]
    assert " because of " in Outline(render_page(found)).text


@pytest.mark.needs("torch")
def test_the_command_prints_them(
    model: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "explain",
        str(photo),
        "--model",
        str(model),
        "--method",
        "occlusion",
        "--out",
        str(tmp_path / "out"),
    ]
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 0 and " because of " in capsys.readouterr().out


@pytest.mark.needs("torch")
def test_a_model_without_attributes_has_none(tiny_model: Path, photo: Path) -> None:
    (found,) = Explainer.load(str(tiny_model), "occlusion").explain_files([photo])
    assert found.attributes is None and found.to_json()["attributes"] is None
