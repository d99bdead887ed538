"""Graphs in ONNX Runtime and OpenVINO: damage is found on loading; threads do not disturb one another."""

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphs
from affectlens.errors import BadModelFolder, SettingsError
from affectlens.inference.engine import CPU_BATCH, ONNX_RUNTIME, OPENVINO, load_engine
from affectlens.metrics import softmax
from affectlens.model_folder import CONFIG, GRAPH, store_graph
from model_folders import rewrite


@pytest.fixture
def copied(graph_model: Path, tmp_path: Path) -> Path:
    shutil.copytree(graph_model, tmp_path / "model")
    return tmp_path / "model"


both = pytest.mark.parametrize(
    "engine", [ONNX_RUNTIME, pytest.param(OPENVINO, marks=pytest.mark.needs("openvino"))]
)
_coarse = np.random.default_rng(0).integers(0, 256, (2 * CPU_BATCH + 3, 8, 8, 3), dtype=np.uint8)
PIXELS = _coarse.repeat(graphs.SIDE // 8, axis=1).repeat(graphs.SIDE // 8, axis=2)


@both
def test_probabilities_are_those_of_the_graphs_definition(engine: str, graph_model: Path) -> None:
    expected = softmax(graphs.logits_of(PIXELS) / graphs.CARD.temperature)
    assert len(set(expected.argmax(axis=1))) > 3, "or little is compared"
    found = load_engine(str(graph_model), engine)(PIXELS)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@both
def test_a_picture_is_predicted_the_same_alone_in_a_batch_and_by_many_threads(
    engine: str, graph_model: Path
) -> None:
    loaded = load_engine(str(graph_model), engine)
    together = loaded(PIXELS)
    np.testing.assert_allclose(together.sum(axis=1, dtype=float), 1, rtol=0, atol=1e-6)
    alone = np.concatenate([loaded(picture[None]) for picture in PIXELS])
    np.testing.assert_allclose(alone, together, rtol=0, atol=1e-5)
    parts = [PIXELS[begin : begin + 4] for begin in range(0, len(PIXELS), 4)]
    np.testing.assert_allclose(np.concatenate(list(loaded.map(loaded, parts))), together, rtol=0, atol=1e-5)
    with ThreadPoolExecutor(4) as pool:
        many = list(pool.map(loaded, [PIXELS] * 8))
    assert all(np.allclose(each, together, rtol=0, atol=1e-5) for each in many)


@both
def test_a_graph_of_another_size_or_of_other_emotions_than_the_card_has_is_refused(
    engine: str, copied: Path
) -> None:
    def three_emotions(ours: dict[str, Any]) -> None:
        ours["vocabulary"] = {"name": "three", "words": ["cosy", "odd", "bleak"]}

    for change, reason in (
        (lambda ours: ours["preprocessing"].update(height=32), f"{CONFIG} has {graphs.SIDE}x32 and 8"),
        (three_emotions, "returns 8 emotions"),
    ):
        stored = (copied / CONFIG).read_bytes()
        rewrite(copied, change)
        with pytest.raises(BadModelFolder, match=reason):
            load_engine(str(copied), engine)
        (copied / CONFIG).write_bytes(stored)


@both
def test_a_graph_that_was_changed_or_is_gone_is_refused(engine: str, copied: Path) -> None:
    stored = (copied / GRAPH).read_bytes()
    (copied / GRAPH).write_bytes(stored[:-1])
    with pytest.raises(BadModelFolder, match=r"model\.onnx is not the file that config\.json describes"):
        load_engine(str(copied), engine)
    (copied / GRAPH).unlink()
    with pytest.raises(BadModelFolder, match=r"model\.onnx cannot be read: No such file"):
        load_engine(str(copied), engine)


@both
def test_weights_that_were_changed_are_refused(engine: str, copied: Path) -> None:
    weights = copied / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    with pytest.raises(BadModelFolder, match=r"model\.safetensors"):
        load_engine(str(copied), engine)


@pytest.mark.parametrize("content", [b"", b"not a graph", b"\x08\x0a" * 40])
@both
def test_a_graph_that_cannot_be_loaded_is_our_error(engine: str, copied: Path, content: bytes) -> None:
    store_graph(copied, content)
    with pytest.raises(BadModelFolder, match=r"(ONNX Runtime|OpenVINO) cannot load model\.onnx"):
        load_engine(str(copied), engine)


@pytest.mark.needs("onnx")
@both
def test_a_graph_refers_to_no_file_but_the_weights_of_its_folder(engine: str, copied: Path) -> None:
    import onnx

    (copied.parent / "elsewhere").write_bytes(bytes(10_000_000))
    model = onnx.load(copied / GRAPH, load_external_data=False)
    for weight in model.graph.initializer:
        for entry in weight.external_data:
            if entry.key == "location":
                assert entry.value == "model.safetensors"
                entry.value = "../elsewhere"
    store_graph(copied, model.SerializeToString())
    with pytest.raises(BadModelFolder, match="cannot load"):
        load_engine(str(copied), engine)


def test_the_config_has_the_hash_of_the_graph(graph_model: Path) -> None:
    assert set(json.loads((graph_model / "config.json").read_text())["affectlens"]["graph"]) == {"sha256"}


def test_openvino_computes_in_bfloat16_where_the_processor_multiplies_it(
    graph_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    from affectlens.inference import openvino_engine
    from affectlens.machine import cpu_multiplies_bfloat16

    if cpu_multiplies_bfloat16():
        engine = load_engine(str(graph_model), OPENVINO, precision="bfloat16")
        assert engine.precision == "bfloat16"
        pixels = np.random.default_rng(0).integers(0, 256, (4, graphs.SIDE, graphs.SIDE, 3), dtype=np.uint8)
        exact = load_engine(str(graph_model), OPENVINO)(pixels)
        assert 0 < np.abs(engine(pixels) - exact).max() < 0.05
    monkeypatch.setattr(openvino_engine, "cpu_multiplies_bfloat16", lambda: False)
    with pytest.raises(SettingsError, match="does not multiply bfloat16"):
        load_engine(str(graph_model), OPENVINO, precision="bfloat16")


@both
@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_folder_whose_name_is_not_text_is_refused_with_what_to_do(engine: str, copied: Path) -> None:
    odd = copied.with_name("caf\udce9")
    copied.rename(odd)
    with pytest.raises(BadModelFolder, match=r"not UTF-8 text.*Rename the folder"):
        load_engine(str(odd), engine)
