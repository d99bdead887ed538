"""Graphs that share the weights of a folder: references, casts, and none written that answers otherwise."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from affectlens.errors import MissingExtra, SettingsError
from affectlens.model_folder import GRAPH, has_graph, load_card
from affectlens.models import graph, saved
from affectlens.models.graph import export_graph
from affectlens.models.graph_outputs import GraphNetwork
from affectlens.models.saved import add_graph, load_model, save_model
from affectlens.preprocess import Preprocessing


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny_model, tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize(
    "dtype", ["float16", *(pytest.param(each, marks=pytest.mark.slow) for each in ("float32", "bfloat16"))]
)
def test_a_graph_casts_what_is_stored_and_holds_no_weights(folder: Path, dtype: str) -> None:
    model = load_model(folder)
    save_model(folder, model.network, model.card, "rounded\n", dtype)
    assert not has_graph(folder)
    assert add_graph(folder) < 1e-3
    assert has_graph(folder) and load_card(folder).weights_hash == load_model(folder).card.weights_hash
    stored = onnx.load(folder / GRAPH, load_external_data=False).graph.initializer
    outside = [weight for weight in stored if weight.data_location == onnx.TensorProto.EXTERNAL]
    assert len(outside) == len([v for v in model.network.state_dict().values() if v.is_floating_point()])
    images = np.random.default_rng(0).standard_normal((3, 3, 96, 96), dtype=np.float32)
    session = onnxruntime.InferenceSession(folder / GRAPH, providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        expected = load_model(folder).network(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(session.run(None, {"images": images})[0], expected, rtol=1e-3, atol=1e-3)


class Twice(nn.Module):
    """Answers with logits of twice the size."""

    def forward(self, logits: Tensor) -> Tensor:
        return 2 * logits


class Undecided(nn.Module):
    """What it computes depends on the numbers in its input."""

    def forward(self, images: Tensor) -> Tensor:
        total = images.sum()
        return images.mean(dim=(2, 3)) if float(total) > 0 else images.amax(dim=(2, 3))


def test_a_network_that_is_no_graph_is_our_error() -> None:
    with pytest.raises(SettingsError, match="cannot be written as a graph"):
        export_graph(
            GraphNetwork(Undecided(), 8, 8), Preprocessing(height=8, width=8), safetensors.torch.save({})
        )


def test_a_graph_that_answers_otherwise_is_not_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    whole = graph.export_graph

    def of_another(network: GraphNetwork, preprocessing: Preprocessing, weights: bytes) -> bytes:
        twice = nn.Sequential(network.network, Twice())
        return whole(GraphNetwork(twice, preprocessing.height, preprocessing.width), preprocessing, weights)

    monkeypatch.setattr(saved, "export_graph", of_another)
    with pytest.raises(SettingsError, match=r"one of its outputs differs by [\d.]+, .* It was not written"):
        add_graph(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_without_onnx_the_error_names_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(MissingExtra, match=r"affectlens\[train\]"):
        add_graph(folder)


def test_onnx_runtime_fuses_normalisation_and_activations_with_convolutions(
    folder: Path, tmp_path: Path
) -> None:
    # Which it can only where nothing is left to be computed of constants.
    add_graph(folder)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "fused.onnx")
    onnxruntime.InferenceSession(folder / GRAPH, options, providers=["CPUExecutionProvider"])
    fused = onnx.load(tmp_path / "fused.onnx", load_external_data=False)
    operators = [node.op_type for node in fused.graph.node]
    assert "Conv" in operators or "FusedConv" in operators
    assert "BatchNormalization" not in operators
