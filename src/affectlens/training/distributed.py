"""Processes that take each step together, each with some rows of every batch.

Torch's own parts do the work: DistributedDataParallel averages gradients during the backward pass, and batch
norms are synchronised (`training.batch_norm`). Losses are computed from the answers for the complete batch
(`training.gather`), so whatever a loss looks at (all pairs of a batch, how many pictures have an answer) it
sees as in one process. No row is padded and none is left out, whether or not the processes divide the batch
evenly.

So a run ends as in one process up to rounding, where the network has no random layers. Dropout and stochastic
depth sample other random numbers in each process; docs/scale.md has what that changes.

Works over torch.distributed, by gloo between CPUs and nccl between GPUs; who starts the processes is not
known here (`cluster.train` does, by Ray).
"""

import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from affectlens.errors import AffectLensError, SettingsError

T = TypeVar("T")

CPU = torch.device("cpu")


@dataclass(frozen=True)
class ProcessGroup:
    """Which of how many processes this one is; alone, nothing is sent and nothing changes.

    Attributes:
        rank, world_size: among all processes
        local_rank, local_world_size: among those on this machine
        device: where tensors lie that are sent
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    local_world_size: int = 1
    device: torch.device = CPU

    @classmethod
    def joined(cls, device: torch.device) -> "ProcessGroup":
        """The group of torch.distributed, which must be initialised."""
        local_rank, local_size = (int(os.environ.get(name, 0)) for name in ("LOCAL_RANK", "LOCAL_WORLD_SIZE"))
        return cls(dist.get_rank(), dist.get_world_size(), local_rank, max(1, local_size), device)

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def rows(self, count: int) -> range:
        """The part of `count` rows that is this process's own."""
        return range(count * self.rank // self.world_size, count * (self.rank + 1) // self.world_size)

    def rows_to_read(self, count: int, mixes: bool) -> list[int]:
        """The own rows of a batch, and before them the one that the first is mixed with, where pictures are.

        Mixing blends each row with the one above it and the first with the last (`objective.mix`).
        """
        own = list(self.rows(count))
        return [(own[0] - 1) % count, *own] if mixes and self.world_size > 1 else own

    def require_rows(self, batch_size: int) -> None:
        """Raise `SettingsError` where a batch has no row for some process."""
        if batch_size < self.world_size:
            raise SettingsError(
                f"A batch of {batch_size} pictures cannot be divided among {self.world_size} processes. "
                "Raise batch_size or use fewer --workers."
            )

    def gather(self, thing: T) -> list[T]:
        """Return what every process gave, by rank; it is pickled on the way."""
        if self.world_size == 1:
            return [thing]
        things: list[Any] = [None] * self.world_size
        dist.all_gather_object(things, thing)
        return things

    @contextmanager
    def agreed(self) -> Iterator[None]:
        """Raise in every process, at the end of the block, what one of them raised in it.

        Only errors of ours: a process that ends by another leaves the group, and its launcher decides.
        """
        if self.world_size == 1:
            yield
            return
        error: AffectLensError | None = None
        try:
            yield
        except AffectLensError as raised:
            error = raised
        raised_anywhere = torch.tensor(float(error is not None), device=self.device)
        dist.all_reduce(raised_anywhere, op=dist.ReduceOp.MAX)
        if raised_anywhere:
            raise next(found for found in self.gather(error) if found is not None)

    @contextmanager
    def own_random_numbers(self, seed: Callable[[int], int]) -> Iterator[None]:
        """Within the block, torch's generators are seeded by `seed(rank)`; afterwards they go on as before.

        Otherwise dropout would fall on the same units of the rows of every process.
        """
        if self.world_size == 1:
            yield
            return
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(seed(self.rank))
            yield


ALONE = ProcessGroup()


class BatchLoss(nn.Module):
    """A network with its losses: images and what is known of a batch -> what the objective returns.

    DistributedDataParallel watches one call of one module. A network's branches, embedding and attributes,
    and weights that the loss has of its own, are used in this one.
    """

    def __init__(self, network: nn.Module, objective: Callable[..., Any]) -> None:
        super().__init__()
        self.network = network
        self.objective = objective

    def forward(
        self, images: Tensor, targets: Tensor, attributes: Mapping[str, Tensor], ratings: Tensor | None = None
    ) -> Any:
        return self.objective(self.network, images, targets, attributes, ratings)


def parallel(loss: BatchLoss, group: ProcessGroup) -> nn.Module:
    """Have gradients averaged over all processes; `loss` itself where there is one process."""
    if group.world_size == 1:
        return loss
    with warnings.catch_warnings():
        # What replaces `broadcast_buffers` is younger than the oldest torch that we take.
        warnings.filterwarnings("ignore", message="`broadcast_buffers`", category=FutureWarning)
        # Some weights may have no gradient: those of attributes in batches of mixed pictures, and whatever a
        # network of timm does not use. Torch logs a warning where none is so.
        return DistributedDataParallel(loss, broadcast_buffers=False, find_unused_parameters=True)


def accumulating(loss: nn.Module, more_to_come: bool) -> AbstractContextManager[Any]:
    """Leave gradients unsent within the block, where those of further batches are added to them."""
    if more_to_come and isinstance(loss, DistributedDataParallel):
        return loss.no_sync()
    return nullcontext()


def broadcast_state(network: nn.Module, group: ProcessGroup) -> None:
    """Give a network of every process the weights and buffers that the main process has."""
    if group.world_size == 1:
        return
    for value in network.state_dict().values():
        flat = value.detach().to(group.device).contiguous()
        dist.broadcast(flat, src=0)
        value.copy_(flat)


def average_buffers(network: nn.Module, group: ProcessGroup, count: int) -> None:
    """Put into every buffer the mean over all processes, each weighing as many as its rows of `count`.

    That is for running means over batches, which come out as those of the complete batches; those of batch
    norms are so already.
    """
    if group.world_size == 1:
        return
    weight = len(group.rows(count)) / count
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            continue
        for buffer in module.buffers(recurse=False):
            if buffer.is_floating_point():
                buffer.mul_(weight)
                dist.all_reduce(buffer)
