"""Which engine answers, and that it does not matter which."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import without_torch
from affectlens import Predictor
from affectlens.errors import BadModelFolder, ModelNotFound, SettingsError
from affectlens.images import Pixels
from affectlens.inference.engine import ENGINES, ONNX_RUNTIME, OPENVINO, TORCH, load_engine
from affectlens.models import saved


def pictures(count: int, side: int = 96) -> Pixels:
    coarse = np.random.default_rng(1).integers(0, 255, (count, 8, 8, 3), dtype=np.uint8)
    return coarse.repeat(side // 8, axis=1).repeat(side // 8, axis=2)


def test_a_folder_with_a_graph_is_answered_for_by_onnx_runtime_and_one_without_by_torch(
    with_graph: Path, tiny_model: Path
) -> None:
    found = load_engine(str(with_graph))
    assert (found.name, found.device, found.precision) == (ONNX_RUNTIME, "cpu", "float32")
    assert load_engine(str(tiny_model)).name == TORCH


@pytest.mark.parametrize("wanted", [{"engine": "torch", "precision": "bfloat16"}, {"engine": "torch"}])
def test_what_onnx_runtime_does_not_do_here_torch_does(with_graph: Path, wanted: dict[str, Any]) -> None:
    assert load_engine(str(with_graph), **wanted).name == TORCH


@pytest.mark.parametrize("count", [1, 7, 20])
def test_all_engines_give_the_same_probabilities(with_graph: Path, count: int) -> None:
    answers = [
        load_engine(str(with_graph), engine, "cpu", "float32")(pictures(count)) for engine in ENGINES[1:]
    ]
    assert answers[0].shape == (count, 8) and answers[0].dtype == np.float32
    assert np.abs(answers[0] - 1 / 8).max() > 1e-3, "or nothing is compared"
    for other in answers[1:]:
        np.testing.assert_allclose(other, answers[0], rtol=0, atol=1e-5)


def test_a_predictor_names_its_engine(with_graph: Path) -> None:
    assert Predictor.load(str(with_graph)).engine.name == ONNX_RUNTIME
    assert Predictor.load(str(with_graph), engine=TORCH).engine.name == TORCH
    assert Predictor(saved.load(str(with_graph))).engine.name == TORCH


def test_what_cannot_be_had_is_an_error_that_names_what_can(with_graph: Path, tiny_model: Path) -> None:
    with pytest.raises(SettingsError, match="Did you mean 'torch'"):
        load_engine(str(with_graph), "torhc")
    for engine in (ONNX_RUNTIME, OPENVINO):
        with pytest.raises(SettingsError, match=r"not on 'cuda'\. Use the engine torch"):
            load_engine(str(with_graph), engine, "cuda")
    with pytest.raises(SettingsError, match=r"not 'bfloat16'\. Use the engine openvino or torch"):
        load_engine(str(with_graph), ONNX_RUNTIME, precision="bfloat16")
    with pytest.raises(BadModelFolder, match=r"it holds no model\.onnx.*affectlens models graph"):
        load_engine(str(tiny_model), ONNX_RUNTIME)
    with pytest.raises(ModelNotFound):
        load_engine("of no such name")


PROGRAM = """
from affectlens import Predictor
from affectlens.errors import MissingExtra
print(Predictor.load(sys.argv[1])(sys.argv[2]))
try:
    Predictor.load(sys.argv[1], engine="torch")
except MissingExtra as error:
    print(error)
"""


def test_without_torch_a_graph_answers_and_all_else_names_what_to_install(
    with_graph: Path, tmp_path: Path
) -> None:
    photo = tmp_path / "photo.png"
    Image.fromarray(pictures(1)[0]).save(photo)
    ended = without_torch.run(PROGRAM, with_graph, photo)
    assert ended.returncode == 0, ended.stderr
    answer, error = ended.stdout.splitlines()
    assert answer == str(Predictor.load(str(with_graph), "cpu", "float32", engine=TORCH)(photo))
    assert "needs torch, which is not installed" in error and 'pip install "affectlens[train]"' in error
