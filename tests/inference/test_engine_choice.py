"""Which engine `auto` chooses, and that it states why."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from affectlens import library
from affectlens.inference import engine


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, "onnxruntime"),
        ({"many": True}, "openvino"),
        ({"device": "cuda"}, "torch"),
        ({"device": "cpu", "precision": "float32"}, "onnxruntime"),
        ({"precision": "bfloat16"}, "openvino"),
        ({"device": "cpu", "precision": "bfloat16", "many": True}, "openvino"),
    ],
)
def test_the_engine_is_chosen_by_number_device_and_precision(
    monkeypatch: pytest.MonkeyPatch, wanted: dict[str, Any], expected: str
) -> None:
    monkeypatch.setattr(engine, "has_nvidia_gpu", lambda: False)
    monkeypatch.setattr(engine, "find_spec", lambda name: name)
    monkeypatch.setattr(engine, "cpu_multiplies_bfloat16", lambda: True)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert engine.choose(library.find("default"), **wanted).engine == expected


@pytest.mark.parametrize(("installed", "multiplies"), [("openvino", False), ("", True)])
def test_bfloat16_is_computed_by_torch_where_openvino_is_not_there_or_the_processor_cannot(
    monkeypatch: pytest.MonkeyPatch, installed: str, multiplies: bool
) -> None:
    monkeypatch.setattr(engine, "has_nvidia_gpu", lambda: False)
    monkeypatch.setattr(engine, "find_spec", lambda name: name if name == installed else None)
    monkeypatch.setattr(engine, "cpu_multiplies_bfloat16", lambda: multiplies)
    assert engine.choose(library.find("default"), precision="bfloat16").engine == "torch"


def test_where_nothing_was_measured_or_installed_many_pictures_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "has_nvidia_gpu", lambda: False)
    folder = library.find("default")
    monkeypatch.setattr(engine, "find_spec", lambda name: None)
    assert engine.choose(folder, many=True).engine == "onnxruntime"
    monkeypatch.setattr(engine, "find_spec", lambda name: name)
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert engine.choose(folder, many=True).engine == "onnxruntime"


def test_a_gpu_is_used_where_torch_is_installed_and_the_device_is_not_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, installed = library.find("default"), ["torch", "openvino"]
    monkeypatch.setattr(engine, "has_nvidia_gpu", lambda: True)
    monkeypatch.setattr(engine, "find_spec", lambda name: name if name in installed else None)
    assert engine.choose(folder).engine == "torch"
    assert engine.choose(folder, device="cpu").engine == "onnxruntime"
    installed.remove("torch")
    assert engine.choose(folder).engine == "onnxruntime"


def test_a_folder_without_a_graph_is_for_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "has_graph", lambda folder: False)
    assert engine.choose(library.find("default")) == ("torch", "the model has no graph")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.needs("torch")
@pytest.mark.parametrize(
    ("name", "expected"),
    [(engine.ONNX_RUNTIME, "answered"), (engine.OPENVINO, "was forked"), (engine.TORCH, "was forked")],
)
def test_a_forked_process_answers_or_gets_an_error_and_never_waits(
    with_graph: Path, name: str, expected: str
) -> None:
    program = (
        "import os, sys\nimport numpy as np\nfrom affectlens import Predictor\n"
        "predictor = Predictor.load(sys.argv[1], engine=sys.argv[2])\n"
        "pictures = [np.full((60, 80, 3), 30 * n, dtype=np.uint8) for n in range(8)]\n"
        "first = predictor(pictures)\n"
        "if os.fork() == 0:\n"
        "    try:\n        print('answered' if predictor(pictures) == first else 'differs', flush=True)\n"
        "    except Exception as error:\n        print(error, flush=True)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
    )
    words = [sys.executable, "-c", program, str(with_graph), name]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    assert expected in ended.stdout
