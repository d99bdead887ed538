import json

import pytest
import torch

from affectlens.errors import SettingsError
from affectlens.machine import autocast, cpu_multiplies_bfloat16, describe, pick_device, pick_precision
from affectlens.version import VERSION

CPU = torch.device("cpu")


def test_auto_takes_the_first_of_cuda_mps_and_cpu() -> None:
    best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert pick_device().type == best


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "meta", "", "cpu:x"])
def test_a_device_that_is_not_here_is_an_error_that_names_the_choices(name: str) -> None:
    with pytest.raises(SettingsError, match="Use auto, cpu, cuda or mps"):
        pick_device(name)


def test_auto_is_bfloat16_only_where_the_processor_multiplies_it() -> None:
    assert pick_precision("auto", CPU) == (torch.bfloat16 if cpu_multiplies_bfloat16() else torch.float32)


@pytest.mark.parametrize(("name", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_a_requested_number_format_is_used(name: str, dtype: torch.dtype) -> None:
    assert pick_precision(name, CPU) == dtype


def test_another_number_format_is_an_error() -> None:
    with pytest.raises(SettingsError, match="float16"):
        pick_precision("float16", CPU)


def test_autocast_changes_products_to_the_format_and_float32_changes_nothing() -> None:
    matrix = torch.ones(4, 4)
    with autocast(CPU, torch.bfloat16):
        assert (matrix @ matrix).dtype == torch.bfloat16
    with autocast(CPU, torch.float32):
        assert (matrix @ matrix).dtype == torch.float32


def test_a_description_is_plain_data_and_names_all_that_can_change_a_result() -> None:
    found = json.loads(json.dumps(describe()))
    assert torch.__version__.startswith(found["versions"]["torch"].partition("+")[0])
    assert {"python", "torch", "torchvision", "timm", "numpy", "pillow", "safetensors"} <= set(
        found["versions"]
    )
    assert found["versions"]["affectlens"] == VERSION  # whether the package is installed or not
    assert found["cores"] >= 1
