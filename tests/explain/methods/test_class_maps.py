"""CAM of an engine, by the class maps of its graph, is that of the network."""

from pathlib import Path

import numpy as np
import pytest

from affectlens.errors import SettingsError
from affectlens.explain.core.differentiable import DifferentiableModel
from affectlens.explain.core.engine_model import EngineModel
from affectlens.explain.core.question import make_question
from affectlens.explain.methods.cam import Cam
from affectlens.explain.methods.catalog import default_for, suitable_for
from affectlens.inference.engine import load_engine
from affectlens.models import saved
from affectlens.preprocess import Images


def picture() -> Images:
    return np.random.default_rng(0).standard_normal((1, 3, 96, 96), dtype=np.float32)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(("emotion", "against"), [("fear", None), ("positive", None), ("awe", "sadness")])
def test_it_is_the_map_of_the_network(
    with_graph: Path, engine: str, emotion: str, against: str | None
) -> None:
    by_graph = EngineModel(load_engine(str(with_graph), engine))
    by_network = DifferentiableModel.of(saved.load(str(with_graph)))
    question = make_question(by_graph.vocabulary, emotion, against)
    ours, theirs = (Cam(baseline="blurred")(model, picture(), question) for model in (by_graph, by_network))
    assert ours.sums_up and theirs.sums_up
    assert float(np.abs(theirs.values).sum()) > 0.01
    np.testing.assert_allclose(ours.values, theirs.values, atol=1e-3 * float(np.abs(theirs.values).max()))


def test_it_is_the_default_of_a_graph_with_class_maps(with_graph: Path) -> None:
    model = EngineModel(load_engine(str(with_graph), "onnxruntime"))
    assert default_for(model) == "cam"
    assert suitable_for(model) == ["cam", "occlusion", "rise"]


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_of_the_default_model_it_is_the_map_of_the_network(engine: str) -> None:
    """Of both its networks: the cells of one, and what the class token of the other reads."""
    by_graph = EngineModel(load_engine("default", engine))
    by_network = DifferentiableModel.of(saved.load("default"))
    assert default_for(by_graph) == default_for(by_network) == "cam"
    image = np.random.default_rng(0).standard_normal((1, 3, 224, 224), dtype=np.float32)
    question = make_question(by_graph.vocabulary, "fear", None)
    ours, theirs = (Cam()(model, image, question) for model in (by_graph, by_network))
    assert ours.sums_up and theirs.sums_up
    np.testing.assert_allclose(ours.values, theirs.values, atol=1e-3 * float(np.abs(theirs.values).max()))
    assert ours.details["by_gradient"] == pytest.approx(theirs.details["by_gradient"], abs=1e-4)


def test_a_graph_without_class_maps_is_refused_with_what_explains_it(graph_model: Path) -> None:
    model = EngineModel(load_engine(str(graph_model), "onnxruntime"))
    assert default_for(model) == "rise"
    side = model.preprocessing.height
    image = np.zeros((1, 3, side, side), np.float32)
    with pytest.raises(SettingsError, match=r"no class maps\. Use rise"):
        Cam()(model, image, make_question(model.vocabulary, "fear"))
