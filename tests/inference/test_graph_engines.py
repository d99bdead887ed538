"""Graphs in ONNX Runtime and OpenVINO: damage is found on loading; threads do not disturb one another."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from affectlens.errors import BadModelFolder
from affectlens.inference.engine import CPU_BATCH
from affectlens.inference.onnx_engine import OnnxEngine
from affectlens.inference.openvino_engine import OpenVinoEngine
from affectlens.model_folder import GRAPH, store_graph


@pytest.fixture
def copied(with_graph: Path, tmp_path: Path) -> Path:
    shutil.copytree(with_graph, tmp_path / "model")
    return tmp_path / "model"


GraphEngine = type[OnnxEngine] | type[OpenVinoEngine]
both = pytest.mark.parametrize("kind", [OnnxEngine, OpenVinoEngine])
PIXELS = np.random.default_rng(0).integers(0, 256, (2 * CPU_BATCH + 3, 96, 96, 3), dtype=np.uint8)


@both
def test_a_picture_is_predicted_the_same_alone_in_a_batch_and_by_many_threads(
    kind: GraphEngine, with_graph: Path
) -> None:
    engine = kind.load(with_graph)
    together = engine(PIXELS)
    np.testing.assert_allclose(together.sum(axis=1, dtype=float), 1, rtol=0, atol=1e-6)
    alone = np.concatenate([engine(picture[None]) for picture in PIXELS])
    np.testing.assert_allclose(alone, together, rtol=0, atol=1e-5)
    parts = [PIXELS[begin : begin + 4] for begin in range(0, len(PIXELS), 4)]
    np.testing.assert_allclose(np.concatenate(list(engine.map(engine, parts))), together, rtol=0, atol=1e-5)
    with ThreadPoolExecutor(4) as pool:
        many = list(pool.map(engine, [PIXELS] * 8))
    assert all(np.allclose(each, together, rtol=0, atol=1e-5) for each in many)


@both
def test_a_graph_that_was_changed_or_is_gone_is_refused(kind: GraphEngine, copied: Path) -> None:
    stored = (copied / GRAPH).read_bytes()
    (copied / GRAPH).write_bytes(stored[:-1])
    with pytest.raises(BadModelFolder, match=r"model\.onnx is not the file that config\.json describes"):
        kind.load(copied)
    (copied / GRAPH).unlink()
    with pytest.raises(BadModelFolder, match=r"model\.onnx cannot be read: No such file"):
        kind.load(copied)


@both
def test_weights_that_were_changed_are_refused(kind: GraphEngine, copied: Path) -> None:
    weights = copied / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    with pytest.raises(BadModelFolder, match=r"model\.safetensors"):
        kind.load(copied)


@pytest.mark.parametrize("content", [b"", b"not a graph", b"\x08\x0a" * 40])
@both
def test_a_graph_that_cannot_be_loaded_is_our_error(kind: GraphEngine, copied: Path, content: bytes) -> None:
    store_graph(copied, content)
    with pytest.raises(BadModelFolder, match=r"(ONNX Runtime|OpenVINO) cannot load model\.onnx"):
        kind.load(copied)


@both
def test_a_graph_refers_to_no_file_but_the_weights_of_its_folder(kind: GraphEngine, copied: Path) -> None:
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
        kind.load(copied)


def test_the_config_has_the_hash_of_the_graph(with_graph: Path) -> None:
    assert set(json.loads((with_graph / "config.json").read_text())["affectlens"]["graph"]) == {"sha256"}
