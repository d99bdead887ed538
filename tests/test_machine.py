"""Devices and number formats, which are torch's, and what describes this machine."""

import json
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from affectlens.errors import SettingsError
from affectlens.inference.engine import cores
from affectlens.machine import (
    NO_REPORTS,
    autocast,
    cpu_multiplies_bfloat16,
    describe,
    pick_device,
    pick_precision,
    usable_cores,
)
from affectlens.version import VERSION

needs_torch = pytest.mark.needs("torch")


@needs_torch
def test_auto_takes_the_first_of_cuda_mps_and_cpu() -> None:
    import torch

    best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert pick_device().type == best


@needs_torch
@pytest.mark.parametrize("name", ["gpu", "cuda:99", "meta", "", "cpu:x"])
def test_a_device_that_is_not_here_is_an_error_that_names_the_choices(name: str) -> None:
    with pytest.raises(SettingsError, match="Use auto, cpu, cuda or mps"):
        pick_device(name)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="a system where processes have all cores")
def test_cores_are_those_that_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert (usable_cores(), cores()) == (1, 1)


@needs_torch
def test_auto_is_bfloat16_only_where_the_processor_multiplies_it() -> None:
    import torch

    expected = torch.bfloat16 if cpu_multiplies_bfloat16() else torch.float32
    assert pick_precision("auto", torch.device("cpu")) == expected


@needs_torch
@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_a_requested_number_format_is_used(name: str) -> None:
    import torch

    assert pick_precision(name, torch.device("cpu")) == getattr(torch, name)


@needs_torch
def test_another_number_format_is_an_error() -> None:
    import torch

    with pytest.raises(SettingsError, match="float16"):
        pick_precision("float16", torch.device("cpu"))


@needs_torch
def test_autocast_changes_products_to_the_format_and_float32_changes_nothing() -> None:
    import torch

    matrix = torch.ones(4, 4)
    for precision in (torch.bfloat16, torch.float32):
        with autocast(torch.device("cpu"), precision):
            assert (matrix @ matrix).dtype == precision


def installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def test_a_description_is_plain_data_and_names_all_that_can_change_a_result() -> None:
    found = json.loads(json.dumps(describe()))
    for package in ("torch", "torchvision", "timm", "onnxruntime", "numpy", "pillow", "av", "safetensors"):
        assert found["versions"][package] == installed(package)
    assert found["versions"]["numpy"][0].isdigit() and found["versions"]["python"].startswith("3.")
    assert found["versions"]["affectlens"] == VERSION  # whether the package is installed or not
    assert found["cores"] >= 1


LOADED = """
import sys
from affectlens.inference.engine import load_engine
load_engine(sys.argv[1], sys.argv[2])
print(*sorted(name for name in sys.modules if "telemetry" in name))
"""


@pytest.mark.parametrize(
    "engine", ["onnxruntime", pytest.param("openvino", marks=pytest.mark.needs("openvino"))]
)
def test_no_runtime_reports_to_its_makers_or_writes_into_the_home_folder(
    engine: str, graph_model: Path, tmp_path: Path
) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in (NO_REPORTS, "CI")}
    environment |= {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path), "LOCALAPPDATA": str(tmp_path)}
    program = [sys.executable, "-c", LOADED, str(graph_model), engine]
    ended = subprocess.run(program, env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "" and list(tmp_path.iterdir()) == []
