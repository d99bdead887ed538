"""How far a run of several processes is from the run of one: losses and weights after the same steps.

    python benchmarks/distributed.py [--steps 40] [--out FILE]

A small convolutional network with batch norms, trained from random weights on pictures of 1/f noise by 1, 2
and 3 processes on CPUs (gloo), in batches of 15 pictures, which 2 processes divide into 7 and 8. Everything
that a run may have is on: mixup, two batches a step, a moving average of the weights. Once without random
layers, once with dropout and stochastic depth, which sample other numbers in each process. Differences are
those to one process. Not a measurement of speed: that is `scaling.py`.
"""

import argparse
import json
import os
import socket
import statistics
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from PIL import Image
from torch import Tensor

from affectlens.data import folder
from affectlens.files import atomic_write
from affectlens.machine import describe
from affectlens.training.distributed import ALONE, CPU, ProcessGroup
from affectlens.training.loop import train
from affectlens.training.session import open_session
from affectlens.training.settings import Settings, override
from noise import photo_like

RESULT = Path(__file__).parent / "results" / "distributed.json"
EMOTIONS = ("awe", "anger", "sadness", "fear")
EACH = 20
BATCH = 15
PROCESSES = (1, 2, 3)
LAST = 10  # steps whose mean loss is reported
BASE = override(
    Settings(network="test_efficientnet", weights="none", batch_size=BATCH, num_workers=0, lr=2e-3),
    ["preprocessing.height=48", "preprocessing.width=48", "mixup=0.2", "grad_accum_steps=2", "ema_decay=0.9"],
)
LAYERS = {
    "none": {},
    "dropout 0.2, stochastic depth 0.2": {"dropout": 0.2, "drop_path": 0.2},
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=40, help="number of steps of each run")
    parser.add_argument("--out", type=Path, default=RESULT, help="file to write")
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_pictures(root / "pictures")
        for precision in ("float32", "bfloat16"):
            for layers, options in LAYERS.items():
                epochs = given.steps * BATCH * BASE.grad_accum_steps / (len(EMOTIONS) * (EACH - 3))
                settings = replace(BASE, epochs=epochs, precision=precision, network_options=options)
                runs = {count: run(root, count, settings, given.steps) for count in PROCESSES}
                rows += [row(precision, layers, count, runs) for count in PROCESSES[1:]]
                print(json.dumps(rows[-2:], indent=2))
    about = {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": describe(),
        "settings": {"steps": given.steps, "batch": BATCH, "last": LAST, **BASE.to_dict()},
        "rows": rows,
    }
    with atomic_write(given.out, "w") as file:
        file.write(json.dumps(about, indent=2) + "\n")


def write_pictures(root: Path) -> None:
    """Labelled noise, of another brightness for each emotion, so that there is something to learn."""
    for level, emotion in enumerate(EMOTIONS):
        (root / emotion).mkdir(parents=True)
        for number in range(EACH):
            pixels = photo_like(64, 64, seed=EACH * level + number)
            dimmed = (pixels * (0.4 + 0.2 * level)).astype(pixels.dtype)
            Image.fromarray(dimmed).save(root / emotion / f"{number}.png")


def run(root: Path, processes: int, settings: Settings, steps: int) -> dict[str, Any]:
    """Losses and final weights of a run."""
    out = root / f"{processes}.pt.json"
    if processes == 1:
        torch.set_num_threads(1)
        return steps_of(ALONE, root, settings, steps)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = (processes, port, root, settings, steps, out)
    mp.spawn(worker, arguments, nprocs=processes)  # type: ignore[attr-defined, no-untyped-call]
    found = json.loads(out.read_text())
    return {"losses": found["losses"], "weights": {n: torch.tensor(v) for n, v in found["weights"].items()}}


def worker(
    rank: int, processes: int, port: int, root: Path, settings: Settings, steps: int, out: Path
) -> None:
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), LOCAL_RANK=str(rank))
    dist.init_process_group("gloo", rank=rank, world_size=processes)
    found = steps_of(ProcessGroup.joined(CPU), root, settings, steps)
    if rank == 0:
        weights = {name: value.tolist() for name, value in found["weights"].items()}
        out.write_text(json.dumps({"losses": found["losses"], "weights": weights}))
    dist.destroy_process_group()


def steps_of(group: ProcessGroup, root: Path, settings: Settings, steps: int) -> dict[str, Any]:
    session = open_session(folder.read(root / "pictures"), settings, "cpu", group)
    state = session.start()
    losses = [step.loss for step, _ in zip(train(session, state), range(steps), strict=False)]
    weights = {name: value.detach().float() for name, value in state.best_network.state_dict().items()}
    return {"losses": losses, "weights": weights}


def row(precision: str, layers: str, processes: int, runs: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """How far a run of several processes is from that of one."""
    alone, together = runs[1], runs[processes]
    losses = zip(alone["losses"], together["losses"], strict=True)
    learned: Tensor = _flat(alone["weights"])
    return {
        "precision": precision,
        "random_layers": layers,
        "processes": processes,
        "largest_difference_of_a_loss": max(abs(one - other) for one, other in losses),
        "largest_difference_of_a_weight": float((learned - _flat(together["weights"])).abs().max()),
        "relative_difference_of_weights": float(
            (learned - _flat(together["weights"])).norm() / learned.norm()
        ),
        "mean_of_last_losses": [
            round(statistics.mean(each["losses"][-LAST:]), 4) for each in (alone, together)
        ],
    }


def _flat(weights: dict[str, Tensor]) -> Tensor:
    """All weights and running means; running variances and counts are of other sizes and are left out."""
    kept = [value.reshape(-1) for name, value in weights.items() if not name.endswith(("_var", "_tracked"))]
    return torch.cat(kept)


if __name__ == "__main__":
    main()
