"""Speed and memory of each row of `seeds.py` in training and in use, compared with the plain backbone.

A training step is all of it (forward, loss, backward, clipping, AdamW), on random pictures of the
side that the runs trained at; an answer is one forward pass of a batch of the side in use. Every
measurement has a process of its own, so that peak memory is its own too. Rows take turns within each round,
so that what else the machine does falls on all; ratios are of each round, and their median counts.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from affectlens.data.records import DataSource, Record
from affectlens.data.splits import TRAIN, VAL
from affectlens.emotions import MIKELS
from affectlens.files import atomic_write
from affectlens.inference.labelled import forward
from affectlens.inference.labelled_batches import Batch, file_reader
from affectlens.machine import describe, keep_freed_memory, pick_device, pick_precision
from affectlens.models import catalog
from affectlens.models.backbones import suit_cpu
from affectlens.training.distributed import BatchLoss
from affectlens.training.loop import take_step
from affectlens.training.session import Session
from affectlens.training.settings import Settings
from affectlens.training.state import State
from seeds_rows import ROWS, Job, settings

TRAINING, ANSWERING = "training", "answering"
EMOTIONS = 8
BASE = "plain"
UNTIMED = 2
# Network: the first row that has it, which is measured for all that do.
FIRST_OF = {row.network: row.name for row in reversed(ROWS.values())}

Answer = dict[str, float]
# What is measured, of which row.
Measured = tuple[str, str]


def measurements() -> list[Measured]:
    """Training of every row; answering of every network once, because the loss has no part in it."""
    answering = [name for name in ROWS if name in FIRST_OF.values()]
    return [*((TRAINING, name) for name in ROWS), *((ANSWERING, name) for name in answering)]


def measure(what: Measured, batch_size: int, steps: int, train_side: int, side: int) -> Answer:
    """Pictures per second, the median of some steps, and this process's peak memory in MB."""
    keep_freed_memory()
    kind, name = what
    chosen = settings(Job(ROWS[name], 0))
    wanted = train_side if kind == TRAINING else side
    settings_of_size = replace(chosen.preprocessing, height=wanted, width=wanted)
    size = settings_of_size.resolved()
    device = pick_device()
    precision = pick_precision(chosen.precision, device)
    network = catalog.build(chosen.network, EMOTIONS, **chosen.network_options).to(device)
    network.to(memory_format=torch.channels_last)
    if device.type == "cpu" and kind == TRAINING:
        suit_cpu(network)
    pixels = torch.randint(0, 256, (batch_size, 3, size.height, size.width), dtype=torch.uint8)
    targets = torch.eye(EMOTIONS)[torch.arange(batch_size) % EMOTIONS]
    if kind == TRAINING:
        session = _session(replace(chosen, preprocessing=settings_of_size), targets, device, precision)
        state, loss = State.start(network, session.settings), BatchLoss(network, session.objective)
        batch = Batch(pixels, targets, tuple(map(str, range(batch_size))))
        seconds = _time(lambda: take_step(session, state, loss, [batch]), steps)
    else:
        network.eval()
        seconds = _time(lambda: forward(network, pixels, size, device, precision), steps)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)
    return {"pictures_per_second": batch_size / seconds, "peak_megabytes": peak}


def _session(
    chosen: Settings, targets: torch.Tensor, device: torch.device, precision: torch.dtype
) -> Session:
    """A session whose pictures are never read."""
    records = [
        Record(str(n), Path(str(n)), MIKELS.only(MIKELS.words[n % EMOTIONS])) for n in range(len(targets))
    ]
    source = DataSource("noise", Path(), MIKELS, {TRAIN: records, VAL: records})
    chosen = replace(chosen, low_res_size=0)
    reader = file_reader(chosen.preprocessing.resolved())
    return Session(
        settings=chosen, source=source, targets=targets, read=reader, device=device, precision=precision
    )


def _time(action: Callable[[], object], steps: int) -> float:
    """Seconds of one action, the median of `steps` after two more; it must end with a copy to the CPU."""
    taken = []
    for _ in range(UNTIMED + steps):
        began = time.perf_counter()
        action()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[UNTIMED:])


def summarise(rounds: Sequence[Mapping[Measured, Answer]]) -> list[dict[str, Any]]:
    """One line for each: median speed, its ratio to the plain row in the same round, and peak memory."""
    lines = []
    for kind, name in rounds[0]:
        speeds = [each[kind, name]["pictures_per_second"] for each in rounds]
        ratios = [each[kind, name]["pictures_per_second"] / each[kind, BASE]["pictures_per_second"]
                  for each in rounds]  # fmt: skip
        peaks = [each[kind, name]["peak_megabytes"] for each in rounds]
        lines.append(
            {
                "measured": kind,
                "row": name,
                "pictures_per_second": round(statistics.median(speeds), 1),
                "ratio": round(statistics.median(ratios), 3),
                "ratio_range": [round(min(ratios), 3), round(max(ratios), 3)],
                "peak_megabytes": round(statistics.median(peaks)),
            }
        )
    return lines


def run(given: argparse.Namespace) -> None:
    """Measure all in rounds and write the file; or, as a measuring process, one."""
    if given.worker:
        what = (given.worker[0], given.worker[1])
        print(json.dumps(measure(what, given.batch, given.steps, given.train_side, given.side)))
        return
    rounds: list[dict[Measured, Answer]] = []
    for number in range(given.rounds):
        rounds.append({})
        for kind, name in measurements():
            words = [sys.executable, str(Path(__file__).parent / "seeds.py"), "speed",
                     "--batch", str(given.batch), "--steps", str(given.steps), "--side", str(given.side),
                     "--train-side", str(given.train_side), "--worker", kind, name]  # fmt: skip
            answer = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
            rounds[-1][kind, name] = json.loads(answer.stdout.splitlines()[-1])
            measured = rounds[-1][kind, name]["pictures_per_second"]
            print(f"round {number + 1}: {kind} {name} {measured:.1f} pictures/s", flush=True)
    chosen = settings(Job(ROWS[BASE], 0))
    document = {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": {**describe(), "threads": torch.get_num_threads()},
        "settings": {"rounds": given.rounds, "batch": given.batch, "steps": given.steps, "side": given.side,
                     "train_side": given.train_side, "precision": chosen.precision},
        "rows": summarise(rounds),
    }  # fmt: skip
    with atomic_write(given.out, "w") as file:
        file.write(json.dumps(document, indent=2) + "\n")
