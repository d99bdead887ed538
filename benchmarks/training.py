"""How fast a training step is on this machine, with and without each thing that we do about it.

    python benchmarks/training.py [--side 160] [--batch 64] [--rounds 3] [--out FILE]

Each row is the whole step (forward, backward, AdamW) on random pictures, measured in a fresh process,
in rounds that alternate between the rows; figures are medians. Compare the ratios, not the speeds.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

# Row: network, precision, equal operations that CPUs do faster, freed memory kept.
ROWS = {
    "deit_tiny, float32": ("deit_tiny", "float32", False, False),
    "deit_tiny, bfloat16": ("deit_tiny", "bfloat16", False, False),
    "deit_tiny, bfloat16, plain attention": ("deit_tiny", "bfloat16", True, False),
    "deit_tiny, bfloat16, plain attention, memory kept": ("deit_tiny", "bfloat16", True, True),
    "pair, bfloat16": ("pair", "bfloat16", False, False),
    "pair, bfloat16, all": ("pair", "bfloat16", True, True),
}


def measure(row: str, side: int, batch: int) -> float:
    """Return pictures per second of a row, the median of five steps after two."""
    import torch

    from affectlens.machine import autocast, keep_freed_memory, pick_precision
    from affectlens.models import backbones, catalog
    from affectlens.training.objective import make_objective
    from affectlens.training.optimizer import make_optimizer
    from affectlens.training.settings import Settings

    name, precision, suited, kept = ROWS[row]
    if kept:
        keep_freed_memory()
    cpu = torch.device("cpu")
    network = (
        catalog.build(name, 8)
        if name == "pair"  # takes pictures of any size
        else backbones.classifier("deit_tiny_patch16_224", 8, img_size=side)
    )
    network.to(memory_format=torch.channels_last)
    if suited:
        backbones.suit_cpu(network)
    optimizer = make_optimizer(network, Settings())
    images = torch.randn(batch, 3, side, side).contiguous(memory_format=torch.channels_last)
    targets = torch.eye(8)[torch.arange(batch) % 8]
    objective = make_objective(Settings(), targets, cpu)
    seconds = []
    for _ in range(7):
        began = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with autocast(cpu, pick_precision(precision, cpu)):
            loss, *_ = objective(network, images, targets)
        loss.backward()
        optimizer.step()
        seconds.append(time.perf_counter() - began)
    return batch / statistics.median(seconds[2:])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=160)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "training.json")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.row:
        print(measure(given.row, given.side, given.batch))
        return
    speeds: dict[str, list[float]] = {row: [] for row in ROWS}
    for _ in range(given.rounds):
        for row, measured in speeds.items():
            command = [
                sys.executable,
                __file__,
                "--row",
                row,
                "--side",
                str(given.side),
                "--batch",
                str(given.batch),
            ]
            answer = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
            measured.append(float(answer.stdout.split()[-1]))
    from affectlens.machine import describe

    base = {network: statistics.median(speeds[f"{network}, {kind}"]) for network, kind in
            (("deit_tiny", "float32"), ("pair", "bfloat16"))}  # fmt: skip
    rows = [
        {
            "row": row,
            "pictures_per_second": round(statistics.median(measured), 1),
            "range": [round(min(measured), 1), round(max(measured), 1)],
            "ratio": round(statistics.median(measured) / base[row.split(",")[0]], 2),
        }
        for row, measured in speeds.items()
    ]
    for shown in rows:
        print("{row:52} {pictures_per_second:>7} pictures/s  x{ratio}  {range}".format(**shown))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    about = {"date": datetime.now(UTC).isoformat(timespec="minutes"), "machine": describe()}
    settings = {"side": given.side, "batch": given.batch, "rounds": given.rounds}
    given.out.write_text(json.dumps({**about, "settings": settings, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
