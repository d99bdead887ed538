"""Run a network over labelled pictures: records -> logits and targets."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from affectlens.errors import DatasetError
from affectlens.machine import autocast
from affectlens.preprocess import Preprocessing
from affectlens.training.batches import Batch, Unreadable


@dataclass(frozen=True)
class Judged:
    """What a network said of N pictures and what is true of them, in record order.

    Attributes:
        logits: float32 (N, E), on the CPU
        targets: float32 (N, E)
        keys: the records' keys
        unreadable: pictures that are in none of the above
    """

    logits: Tensor
    targets: Tensor
    keys: tuple[str, ...]
    unreadable: tuple[Unreadable, ...]


def joined(parts: Sequence[Judged]) -> Judged:
    """Put what was judged apart together, in the order given."""
    if len(parts) == 1:
        return parts[0]
    return Judged(
        torch.cat([part.logits for part in parts]),
        torch.cat([part.targets for part in parts]),
        tuple(key for part in parts for key in part.keys),
        tuple(bad for part in parts for bad in part.unreadable),
    )


def judge(
    network: nn.Module,
    batches: Iterable[tuple[Batch | None, list[Unreadable]]],
    preprocessing: Preprocessing,
    device: torch.device,
    precision: torch.dtype,
    progress: Callable[[int], None] = lambda done: None,
) -> Judged:
    """Judge all batches in evaluation mode. `progress` is told how many pictures each step read.

    Raises `DatasetError` when not one picture could be read.
    """
    network.eval()
    logits: list[Tensor] = []
    targets: list[Tensor] = []
    keys: list[str] = []
    unreadable: list[Unreadable] = []
    for batch, bad in batches:
        unreadable += bad
        if batch is not None:
            logits.append(forward(network, batch.pixels, preprocessing, device, precision))
            targets.append(batch.targets)
            keys += batch.keys
        progress(len(bad) + (len(batch.keys) if batch else 0))
    if not logits:
        first = f" The first: {unreadable[0].error}" if unreadable else ""
        raise DatasetError(f"Not one picture could be read.{first}")
    return Judged(torch.cat(logits), torch.cat(targets), tuple(keys), tuple(unreadable))


def forward(
    network: nn.Module,
    pixels: Tensor,
    preprocessing: Preprocessing,
    device: torch.device,
    precision: torch.dtype,
) -> Tensor:
    """Judge one batch: uint8 (B, 3, H, W) -> logits, float32 (B, E), on the CPU."""
    with torch.inference_mode(), autocast(device, precision):
        images = preprocessing.normalise(pixels.to(device, non_blocking=True))
        images = images.contiguous(memory_format=torch.channels_last)
        output: Tensor = network(images).float().cpu()
    return output
