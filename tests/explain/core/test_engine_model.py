"""A model in an engine is explained as the same network in torch is."""

from functools import cache
from typing import Any

import numpy as np
import pytest

from affectlens.emotions import MIKELS
from affectlens.explain.core.attribution import ExplainedModel
from affectlens.explain.core.engine_model import EngineModel
from affectlens.explain.core.question import make_question
from affectlens.explain.methods.occlusion import Occlusion
from affectlens.explain.methods.rise import Rise
from affectlens.images import Pixels
from affectlens.inference.engine import load_engine


@pytest.fixture(scope="module")
def default() -> EngineModel:
    """The default model, which comes with the package."""
    return by_engine("onnxruntime")


def pictures(number: int, model: ExplainedModel) -> Pixels:
    """Pictures of coarse colours, each of another brightness, fitted to a model: uint8 (number, h, w, 3)."""
    coarse = np.random.default_rng(0).integers(0, 200, (number, 8, 8, 3), dtype=np.uint8)
    coarse += np.linspace(0, 55, number).astype(np.uint8)[:, None, None, None]
    return np.stack([model.preprocessing.fit_pixels(each) for each in coarse])


def test_it_is_named_and_fitted_as_its_card_has_it(default: EngineModel) -> None:
    card = default.engine.card
    assert (default.name, default.vocabulary) == (card.name, card.vocabulary) == (card.name, MIKELS)
    assert default.preprocessing == card.preprocessing


def test_images_get_the_answers_of_their_pixels_in_any_batch(default: EngineModel) -> None:
    pixels = pictures(19, default)  # two batches of eight, and three more
    expected = np.concatenate([default.engine(each[None]) for each in pixels])
    images = default.preprocessing.normalise(pixels)
    answers = default.predict_images(images)
    assert answers.shape == (19, len(MIKELS)) and answers.dtype == np.float64
    assert float(np.ptp(answers, axis=0).max()) > 0.05
    np.testing.assert_allclose(answers, expected, atol=1e-5)
    for number in (1, 2, 8, 9):
        np.testing.assert_allclose(default.predict_images(images[:number]), answers[:number], atol=1e-5)
    np.testing.assert_allclose(default.predict_images(images[::-1]), answers[::-1], atol=1e-5)


ENGINES = [
    "onnxruntime",
    pytest.param("openvino", marks=pytest.mark.needs("openvino")),
    pytest.param("torch", marks=pytest.mark.needs("torch")),
]


@cache
def by_engine(engine: str) -> EngineModel:
    return EngineModel(load_engine("default", engine, "cpu", "float32"))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_mirrored_view_is_an_image_too(engine: str) -> None:
    model = by_engine(engine)
    mirrored = model.preprocessing.normalise(pictures(2, model))[..., ::-1]
    np.testing.assert_allclose(
        model.predict_images(mirrored), model.predict_images(mirrored.copy()), atol=1e-5
    )


@pytest.mark.needs("torch")
@pytest.mark.parametrize("method", [Occlusion(patch=1 / 4, stride=1 / 4), Rise(masks=40)])
def test_methods_that_perturb_give_the_map_of_the_network_whatever_answers(method: Any) -> None:
    from affectlens.explain.core.differentiable import DifferentiableModel
    from affectlens.models import saved

    by_network = DifferentiableModel.of(saved.load(), "cpu")
    image = by_network.preprocessing.normalise(pictures(1, by_network))
    question = make_question(MIKELS, "awe")
    expected = method(by_network, image, question).values
    assert float(np.ptp(expected)) > 0.05
    for engine in ("onnxruntime", "openvino", "torch"):
        found = method(by_engine(engine), image, question).values
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)


@pytest.mark.needs("torch")
def test_a_network_marks_the_same_pictures_as_unusual(default: EngineModel) -> None:
    from affectlens.explain.core.differentiable import DifferentiableModel
    from affectlens.models import saved

    network = DifferentiableModel.of(saved.load(), "cpu")
    checked = np.zeros((224, 224, 3), np.uint8)
    checked[::16], checked[:, ::16] = 255, 255
    fitted = [checked, pictures(1, default)[0]]
    images = [default.preprocessing.normalise(each[None]) for each in fitted]
    found = [default.is_unusual(each) for each in images]
    assert set(found) == {True, False}, "or nothing is compared"
    assert [network.is_unusual(each) for each in images] == found
