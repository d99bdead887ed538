"""A model is loaded as the methods named need it, and as what is installed allows."""

from pathlib import Path

import pytest
from PIL import Image

import without_torch
from affectlens.errors import SettingsError, UnknownName
from affectlens.explain.core.engine_model import EngineModel
from affectlens.explain.explainer import load_explained
from affectlens.explain.methods.catalog import METHODS, default_for, find, suitable_for


def test_methods_that_perturb_get_an_engine_where_one_answers() -> None:
    model = load_explained("default", ["rise", "occlusion"], engine="onnxruntime")
    assert isinstance(model, EngineModel)
    assert (model.engine.name, model.engine.precision) == ("onnxruntime", "float32")
    assert isinstance(load_explained("default", ["rise"]), EngineModel)


@pytest.mark.parametrize("method", [entry.name for entry in METHODS.values() if entry.needs_network])
def test_a_method_that_needs_a_network_is_refused_by_another_engine(method: str) -> None:
    with pytest.raises(SettingsError, match=rf"{method} looks into a network.*leave out engine=onnxruntime"):
        load_explained("default", ["rise", method], engine="onnxruntime")


def test_a_misspelt_method_or_engine_is_an_error() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'rise'"):
        load_explained("default", ["rize"])
    with pytest.raises(SettingsError, match="Did you mean 'onnxruntime'"):
        load_explained("default", ["rise"], engine="onnxruntim")


def test_an_engine_without_class_maps_is_explained_by_perturbing(graph_model: Path) -> None:
    model = load_explained(str(graph_model), engine="onnxruntime")
    assert suitable_for(model) == ["occlusion", "rise"]
    assert default_for(model) == "rise"
    message = "cam needs maps of .* leave out engine=onnxruntime, or take occlusion or rise"
    with pytest.raises(SettingsError, match=message):
        load_explained(str(graph_model), ["cam"], engine="onnxruntime")
    assert not any(find(name).suits(model) for name in ("cam", "grad_cam", "gradient", "lime"))


@pytest.mark.needs("torch")
def test_where_torch_is_installed_a_model_is_a_network_unless_an_engine_suffices_or_is_named(
    with_graph: Path,
) -> None:
    from affectlens.explain.core.differentiable import DifferentiableModel

    name = str(with_graph)
    for named in ([], ["gradient"], ["rise", "gradient"]):
        assert isinstance(load_explained(name, named, "cpu"), DifferentiableModel)
    assert default_for(load_explained(name)) == "cam"
    # Its graph returns class maps, so that even CAM needs no network.
    assert isinstance(load_explained(name, ["cam"]), EngineModel)
    assert isinstance(load_explained(name, engine="onnxruntime"), EngineModel)


@pytest.mark.needs("torch")
def test_a_network_has_maps_that_a_graph_without_class_maps_does_not_return(tiny_model: Path) -> None:
    from affectlens.explain.core.differentiable import DifferentiableModel

    for engine in ("auto", "torch"):
        assert isinstance(load_explained(str(tiny_model), ["cam"], "cpu", engine), DifferentiableModel)


# ----------------------------------------------------------------------------------------- without torch

PROGRAM = """
import sys
from affectlens import Explainer
from affectlens.errors import MissingExtra
from affectlens.explain.explainer import load_explained
from affectlens.explain.methods.catalog import METHODS, default_for, make

name = sys.argv[1]
print(type(load_explained(name)).__name__, default_for(load_explained(name)))
for method in METHODS:
    try:
        print(method, type(load_explained(name, [method])).__name__)
    except MissingExtra as error:
        print(method, error)
try:
    make("gradient")
except MissingExtra as error:
    print(error)
explainer = Explainer.load(name, masks=3)
print(explainer.method_name, explainer("photo.png").details["masks"])
"""


def test_without_torch_the_default_perturbs_and_a_method_that_cannot_names_the_extra(
    graph_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.effect_noise((60, 80), 90).convert("RGB").save("photo.png")
    ended = without_torch.run(PROGRAM, graph_model)
    assert ended.returncode == 0, ended.stderr
    first, *by_method, made, explained = ended.stdout.splitlines()
    assert first == "EngineModel rise"
    found = dict(line.split(" ", 1) for line in by_method)
    assert list(found) == list(METHODS)
    for method, outcome in found.items():
        if method in ("occlusion", "rise"):
            assert outcome == "EngineModel"
        else:
            assert outcome.startswith(f"The method {method} needs ")
            assert outcome.endswith('pip install "affectlens[train]".')
    assert made.startswith("The method gradient needs torch, which is not installed.")
    assert explained == "rise 3"
