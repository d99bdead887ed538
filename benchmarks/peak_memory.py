"""How much memory a process had at most; by the standard library alone, so that it adds nothing."""

from pathlib import Path


def peak_mebibytes() -> float:
    """Peak memory of this process, without its workers; `getrusage` includes the parent's."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    kibibytes = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(kibibytes[0]) / 1024 if kibibytes else float("nan")
