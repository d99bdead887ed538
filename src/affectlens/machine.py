"""What this machine has: device, number format, allocator, runtimes, and a description for result files.

Torch is imported where it is used: a program that only answers does without it.
"""

import ctypes
import os
import platform
import re
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affectlens.errors import SettingsError, first_line

if TYPE_CHECKING:
    import torch
from affectlens.version import VERSION

PRECISIONS = ("auto", "float32", "bfloat16")
WAIT_POLICY = "OMP_WAIT_POLICY"  # read by OpenMP when it is loaded
NO_REPORTS = "ORT_DISABLE_TELEMETRY"  # read by ONNX Runtime


def usable_cores() -> int:
    """Cores that this process may use: in a job or a container fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pick_device(name: str = "auto") -> "torch.device":
    """Turn `auto`, `cpu`, `cuda`, `cuda:1` or `mps` into a device; auto takes CUDA, then MPS, then CPU.

    Raises `SettingsError` for a device that this machine lacks.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device).cpu()  # `.cpu()`: torch's device without memory, meta, fails here
    except (RuntimeError, AssertionError) as error:
        raise SettingsError(
            f"The device {name!r} is not available: {first_line(error)}. Use auto, cpu, cuda or mps."
        ) from None
    return device


def check_device(name: str) -> None:
    """Raise `SettingsError` for what does not name a device; whether it is here, torch alone knows."""
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name):
        raise SettingsError(f"device must be auto, cpu, cuda, cuda:1 or mps, not {name!r}.")


def check_precision(name: str) -> None:
    """Raise `SettingsError` for what is not one of `PRECISIONS`."""
    if name not in PRECISIONS:
        raise SettingsError(f"precision must be one of {', '.join(PRECISIONS)}, not {name!r}.")


def wait_passively() -> None:
    """Let torch's idle threads sleep, in a process that has not imported it yet; what the user set stays.

    OpenMP has them spin by default, which costs a method of many small steps processor time, and time.
    """
    if "torch" not in sys.modules:
        os.environ.setdefault(WAIT_POLICY, "PASSIVE")


def pick_precision(name: str, device: "torch.device") -> "torch.dtype":
    """Turn `auto`, `float32` or `bfloat16` into a number format for a device.

    Auto is bfloat16 where the hardware multiplies it: CUDA from Ampere on, CPUs with AMX (Intel since
    Sapphire Rapids; matrix products are there several times faster) or AVX-512 BF16 (AMD since Zen 4; up to
    twice as fast). Elsewhere it is float32: emulated bfloat16 is slower and less exact.
    """
    import torch

    check_precision(name)
    if name != "auto":
        return torch.bfloat16 if name == "bfloat16" else torch.float32
    fast = (
        cpu_multiplies_bfloat16()
        if device.type == "cpu"
        else device.type == "cuda" and torch.cuda.is_bf16_supported(False)
    )
    return torch.bfloat16 if fast else torch.float32


def has_nvidia_gpu() -> bool:
    """Whether the system lists an NVIDIA GPU: known without importing torch, which takes seconds."""
    if sys.platform == "win32":
        return (Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32" / "nvcuda.dll").is_file()
    return any(Path("/dev").glob("nvidia[0-9]*"))


def cpu_multiplies_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 itself, as tiles (AMX) or as vectors (AVX-512 BF16)."""
    return _cpu_has("amx_bf16") or _cpu_has("avx512_bf16")


def _cpu_has(flag: str) -> bool:
    info = Path("/proc/cpuinfo")
    return info.is_file() and flag in info.read_text().split()


def autocast(device: "torch.device", precision: "torch.dtype") -> AbstractContextManager[Any]:
    """Run matrix products in `precision`, sums and norms in float32; nothing for float32."""
    import torch

    if precision == torch.float32:
        return nullcontext()
    return torch.autocast(device.type, dtype=precision)


def keep_freed_memory() -> None:
    """Let glibc reuse the large blocks that each step frees, instead of requesting new pages of the kernel.

    Saves a training step on a CPU its page faults; how much that gains varies with machine and network,
    down to nothing (`benchmarks/results/training.json`).
    Does nothing where the C library is another. Costs: the process keeps its peak memory.
    """
    if sys.platform != "linux":
        return
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    trim_threshold, top_pad, mmap_max = -1, -2, -4  # names of malloc.h
    mallopt(mmap_max, 0)
    mallopt(trim_threshold, 2**31 - 1)
    mallopt(top_pad, 2**28)


def import_onnx_runtime() -> Any:
    """Return the module `onnxruntime`, kept from reporting to its makers and writing into the home folder.

    Unless a variable of the environment forbids it, it does both as soon as it is imported.
    """
    os.environ.setdefault(NO_REPORTS, "1")
    import onnxruntime

    return onnxruntime


def import_openvino() -> Any:
    """Return the module `openvino` without its converter of models, which would report the import."""
    converter = "openvino.tools.ovc"
    is_new = converter not in sys.modules
    if is_new:
        # As if it were not installed.
        sys.modules[converter] = None  # type: ignore[assignment]
    try:
        import openvino
    finally:
        if is_new:
            del sys.modules[converter]
    return openvino


def describe() -> dict[str, Any]:
    """Describe machine and libraries, as plain data for run folders and benchmark results."""
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "amx": _cpu_has("amx_bf16"),
        "avx512_bf16": _cpu_has("avx512_bf16"),
        "gpu": _gpu_name(),
        "system": platform.system(),
        "versions": versions(),
    }


def _gpu_name() -> str | None:
    torch = sys.modules.get("torch")  # without it nothing was computed on a GPU
    return torch.cuda.get_device_name() if torch and torch.cuda.is_available() else None


def versions() -> dict[str, str]:
    """Versions of everything that can change a result."""
    # Here: it takes as long as Pillow, and a picture's answer does not wait for it.
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version(), "affectlens": VERSION}
    for package in ("torch", "torchvision", "timm", "onnxruntime", "numpy", "pillow", "av", "safetensors"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
