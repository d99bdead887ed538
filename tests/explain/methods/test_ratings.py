"""Methods explain ratings: planted ones are found, and what adds up adds up to the rating."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from affectlens.errors import SettingsError
from affectlens.explain.core.engine_model import EngineModel
from affectlens.explain.core.question import AnyQuestion, question_about
from affectlens.explain.faithfulness.curves import Removal, RemovalOptions, faithfulness
from affectlens.explain.methods import catalog
from affectlens.explain.methods.occlusion import Occlusion
from affectlens.explain.methods.rise import Rise
from affectlens.inference.engine import load_engine
from affectlens.preprocess import Images
from planted_arrays import brightness, corner_rated, white, why_fear, why_valence

OPTIONS = RemovalOptions(cells=7, replacement="black")


def test_occlusion_finds_the_corner_that_a_rating_reads_in_points() -> None:
    found = Occlusion(patch=2 / 7, stride=2 / 7, replacement="black")(corner_rated(), white(), why_valence())
    expected = np.zeros((28, 28), np.float32)
    expected[:8, :8] = 2
    np.testing.assert_allclose(found.values, expected, atol=1e-5)


def test_rise_finds_the_corner_that_a_rating_reads() -> None:
    found = Rise(masks=300, replacement="black")(corner_rated(), white(), why_valence()).values
    row, column = divmod(int(found.argmax()), 28)
    assert row < 8 and column < 8
    assert float(found[:8, :8].mean()) > 10 * abs(float(found[12:, 12:].mean()))


@pytest.mark.parametrize("method", [Occlusion(), Rise(masks=30)])
def test_an_emotion_has_the_same_map_alone_and_with_a_rating(method: Any) -> None:
    model = corner_rated()
    both = method.explain_all(model, white(), [why_fear(), why_valence()])
    np.testing.assert_array_equal(both[0].values, method(model, white(), why_fear()).values)
    np.testing.assert_array_equal(both[1].values, method(model, white(), why_valence()).values)


def test_curves_of_a_rating_are_in_its_points_and_cut_off_at_the_ends_of_its_scale() -> None:
    model = corner_rated(points=9.0)
    map_of_corner = np.zeros((28, 28), np.float32)
    map_of_corner[:8, :8] = 1
    curves = Removal(model, white(), why_valence(), OPTIONS).curves(map_of_corner)
    assert curves.deletion.whole == pytest.approx(13) and curves.deletion.blank == pytest.approx(4)
    assert 4 < curves.deletion.area() < curves.insertion.area() < 9
    found = faithfulness(model, white(), why_valence(), map_of_corner, OPTIONS)
    assert found.beats_random
    plain = found.to_json()
    assert (plain["rating"], plain["scale"]) == ("valence", [1.0, 9.0])
    assert plain["deletion"]["ratings"][0] == 13 and "log_odds" not in plain["deletion"]


def test_a_model_without_ratings_refuses_a_question_about_one() -> None:
    with pytest.raises(SettingsError, match="planted has no ratings"):
        Occlusion()(brightness(), white(), why_valence())


# --------------------------------------------------------------------------------------- a network in torch


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import rated_networks

    return rated_networks.write(tmp_path_factory.mktemp("models") / "rated", graph=True)


@pytest.fixture(scope="module")
def network(folder: Path) -> Any:
    from affectlens.explain.core.differentiable import DifferentiableModel
    from affectlens.models import saved

    return DifferentiableModel.of(saved.load_model(folder), "cpu")


def image_of(model: Any) -> Images:
    pixels = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3), dtype=np.uint8)
    fit = model.preprocessing
    images: Images = fit.normalise(fit.fit_pixels(pixels[0])[None])
    return images


def why(model: Any, name: str) -> AnyQuestion:
    return question_about(model.vocabulary, model.ratings, name)


@pytest.mark.needs("torch")
@pytest.mark.parametrize(
    "engine", ["onnxruntime", pytest.param("openvino", marks=pytest.mark.needs("openvino")), "torch"]
)
def test_a_network_and_each_engine_rate_alike(folder: Path, network: Any, engine: str) -> None:
    images = np.concatenate([image_of(network), -image_of(network), image_of(network)[..., ::-1]])
    expected, found = (
        model.answer_images(images)
        for model in (network, EngineModel(load_engine(str(folder), engine, "cpu", "float32")))
    )
    assert expected.ratings.shape == (3, 2) and float(np.ptp(expected.ratings, axis=0).min()) > 0.01
    np.testing.assert_allclose(found.ratings, expected.ratings, atol=1e-4)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-4)
    np.testing.assert_allclose(expected.probabilities, network.predict_images(images), atol=1e-6)


@pytest.mark.needs("torch")
@pytest.mark.parametrize("name", ["valence", "arousal"])
def test_integrated_gradients_of_a_rating_sum_to_its_difference_from_the_baseline(
    network: Any, name: str
) -> None:
    from affectlens.explain.methods.integrated_gradients import IntegratedGradients

    image, question = image_of(network), why(network, name)
    found = IntegratedGradients(baselines=("mean",), tolerance=0.002)(network, image, question)
    rated, mean = question.read(network.answer_images(np.concatenate([image, 0 * image]))).tolist()
    assert abs(rated - mean) > 0.01 and found.sums_up
    assert float(found.values.sum()) == pytest.approx(rated - mean, abs=2e-3)


@pytest.mark.needs("torch")
def test_gradients_of_a_rating_are_how_much_it_changes(network: Any) -> None:
    from affectlens.explain.methods.gradient import InputGradients

    image, question = image_of(network), why(network, "valence")
    picture = network.tensor(image)
    _, gradients = InputGradients(network, picture, question)(picture)
    direction = np.sign(gradients.numpy())
    step = 1e-3
    higher, lower = question.read(
        network.answer_images(np.concatenate([image + step * direction, image - step * direction]))
    )
    assert (higher - lower) / (2 * step) == pytest.approx(float(gradients.abs().sum()), rel=0.05)


@pytest.mark.needs("torch")
def test_all_methods_explain_a_rating_but_those_that_divide_log_odds(network: Any) -> None:
    image, question = image_of(network), why(network, "valence")
    names = catalog.suitable_for(network, ratings=True)
    assert {"grad_cam", "integrated_gradients", "occlusion", "rise"} < set(names)
    assert "token_maps" not in names
    quick: dict[str, dict[str, Any]] = {
        "rise": {"masks": 20}, "lime": {"samples": 20}, "shap": {"samples": 20},
        "smooth_gradient": {"samples": 2},
    }  # fmt: skip
    for name in names:
        found = catalog.make(name, **quick.get(name, {}))(network, image, question)
        assert np.isfinite(found.values).all() and float(np.abs(found.values).max()) > 0, name
    with pytest.raises(SettingsError, match="token_maps divides the log-odds of emotions"):
        catalog.make("token_maps")(network, image, question)


@pytest.mark.needs("torch")
@pytest.mark.parametrize("name", ["valence", "arousal"])
@pytest.mark.parametrize("baseline", ["mean", "blurred"])
def test_cam_of_a_rating_sums_to_its_difference_from_the_baseline(
    network: Any, name: str, baseline: str
) -> None:
    """All that this network's ratings are read of lies on maps: of two layers, and the last one."""
    cam: Any = catalog.make("cam", baseline=baseline)
    image, question = image_of(network), why(network, name)
    found = cam(network, image, question)
    against = cam.make_baseline(network, image)
    rated, before = question.read(network.answer_images(np.concatenate([image, against]))).tolist()
    assert abs(rated - before) > 0.01 and found.sums_up
    assert float(found.values.sum()) == pytest.approx(rated - before, abs=1e-3)
    assert abs(found.details["completeness_error"]) < 1e-4 and abs(found.details["elsewhere"]) < 1e-4
    assert set(network.feature_layers) < set(found.details["layers"])


@pytest.mark.needs("torch")
def test_means_and_deviations_are_divided_among_the_cells_that_they_come_from() -> None:
    """Maps that are the same in their lower half."""
    import torch

    from affectlens.explain.methods.network_cam import _of_pooled
    from affectlens.models.features import pooled

    rng = torch.Generator().manual_seed(0)
    before, after = (torch.randn(3, 4, 4, generator=rng) for _ in range(2))
    after[:, 2:] = before[:, 2:]
    weights = torch.randn(6, generator=rng)
    cells = _of_pooled(weights, before, after)
    ends = [pooled("layer", each[None], torch.zeros(1, 3, 16, 16))[0] @ weights for each in (before, after)]
    assert float(cells.sum()) == pytest.approx(float(ends[1] - ends[0]), abs=1e-6)
    only_means = _of_pooled(torch.cat([weights[:3], torch.zeros(3)]), before, after)
    assert float(only_means[2:].abs().max()) == 0 and float(only_means[:2].abs().min()) > 0


@pytest.mark.needs("torch")
def test_cam_of_a_rating_lays_out_by_gradient_what_a_transformer_keeps_in_its_token(tmp_path: Path) -> None:
    import rated_models
    from affectlens.explain.core.differentiable import DifferentiableModel
    from affectlens.models import saved

    folder = rated_models.write(tmp_path / "pair", graph=False)
    pair = DifferentiableModel.of(saved.load_model(folder), "cpu")
    cam: Any = catalog.make("cam")
    image, question = image_of(pair), why(pair, "valence")
    found = cam(pair, image, question)
    ends = np.concatenate([image, cam.make_baseline(pair, image)])
    rated, before = question.read(pair.answer_images(ends)).tolist()
    assert found.sums_up and float(found.values.sum()) == pytest.approx(rated - before, abs=1e-3)
    details = found.details
    assert abs(details["by_gradient"]) > 1e-3 < abs(details["on_maps"])
    assert details["on_maps"] + details["by_gradient"] == pytest.approx(rated - before, abs=1e-3)


@pytest.mark.needs("torch")
def test_cam_of_a_label_in_percent_sums_to_its_difference_in_percents(network: Any) -> None:
    """It is the logistic function of what is linear: each part has its share of the difference."""
    head = replace(network.head, offsets=np.zeros(2, np.float32), percents=np.array([True, False]))
    model = replace(network, head=head)
    cam: Any = catalog.make("cam")
    image, question = image_of(model), why(model, "valence")
    found = cam(model, image, question)
    ends = np.concatenate([image, cam.make_baseline(model, image)])
    rated, before = question.read(model.answer_images(ends)).tolist()
    assert abs(rated - before) > 1 and 1 < rated < 99
    assert found.sums_up and float(found.values.sum()) == pytest.approx(rated - before, abs=0.01)
    plain = cam(replace(model, head=replace(head, percents=None)), image, question).values
    np.testing.assert_allclose(found.values, plain * (found.values.sum() / plain.sum()), atol=1e-4)


@pytest.mark.needs("torch")
def test_a_rating_that_is_not_linear_in_maps_is_refused_by_cam(
    network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_images = type(network).answer_images

    def bent(model: Any, images: Images) -> Any:
        found = answer_images(model, images)
        return found._replace(ratings=np.tanh(found.ratings - 4))

    monkeypatch.setattr(type(network), "answer_images", bent)
    with pytest.raises(SettingsError, match="valence of rated is not linear in the maps"):
        catalog.make("cam")(network, image_of(network), why(network, "valence"))


@pytest.mark.needs("torch")
def test_cam_of_a_rating_needs_the_network_whose_maps_a_graph_does_not_return(tmp_path: Path) -> None:
    import rated_networks

    folder = rated_networks.write(tmp_path / "rated", graph=True)
    model = EngineModel(load_engine(str(folder), "onnxruntime"))
    assert "cam" in catalog.suitable_for(model) and "cam" not in catalog.suitable_for(model, ratings=True)
    with pytest.raises(SettingsError, match="does not return the maps that valence is read of"):
        catalog.make("cam")(model, image_of(model), why(model, "valence"))


@pytest.mark.needs("torch")
def test_grad_cam_of_a_rating_counts_all_that_is_read_of_the_last_map(tmp_path: Path) -> None:
    """A pooled layer that is the last map is read of the map that is put into its path."""
    import torch

    import rated_networks
    from affectlens.explain.core.differentiable import DifferentiableModel
    from affectlens.explain.methods.grad_cam import GradCam
    from affectlens.models import saved
    from affectlens.models.maps import captured, last_map, trunks

    plain = DifferentiableModel.of(saved.load_model(rated_networks.write(tmp_path / "a", ())), "cpu")
    path = trunks(plain.network)[0]
    size = plain.preprocessing
    layer = last_map(plain.network, path, size.height, size.width)
    pooled = rated_networks.write(tmp_path / "b", () if layer.is_input else (layer.path,))
    model = DifferentiableModel.of(saved.load_model(pooled), "cpu")
    question, picture = why(model, "valence"), model.tensor(image_of(model))
    with captured(model.network, [layer]) as maps, torch.enable_grad():
        rating = model.score(picture, question).sum()
        (gradient,) = torch.autograd.grad(rating, [maps[layer]])
        step = 1e-4 * gradient.sign()
        before = {layer: maps[layer].detach() - step}
        after = {layer: maps[layer].detach() + step}
    with torch.no_grad():
        with captured(model.network, [layer], instead=before):
            low = float(model.score(picture, question))
        with captured(model.network, [layer], instead=after):
            high = float(model.score(picture, question))
    assert (high - low) / 2e-4 == pytest.approx(float(gradient.abs().sum()), rel=0.05)
    assert GradCam()(model, image_of(model), question).values.any()


@pytest.mark.needs("torch")
def test_a_network_keeps_no_hooks_of_ratings(network: Any) -> None:
    network.answer_images(image_of(network))
    hooks = [
        *(module._forward_hooks for module in network.network.modules()),
        *(module._forward_pre_hooks for module in network.network.modules()),
    ]
    assert not any(hooks)
