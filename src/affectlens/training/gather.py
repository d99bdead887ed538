"""Rows of all processes in one tensor, for losses that look at the complete batch.

A loss over pairs, or a mean over the pictures with an answer, needs what the network returns for all pictures
of a batch. DistributedDataParallel averages gradients but gathers nothing, so this is apart.
"""

from typing import Any

import torch.distributed as dist
from torch import Tensor
from torch.autograd import Function

from affectlens.training.distributed import ProcessGroup


def gather_rows(own: Tensor, group: ProcessGroup, count: int) -> Tensor:
    """Gather rows: (b, ...) -> (count, ...), of floats float32; gradients go back to the own rows.

    Processes may have different numbers of rows, as `ProcessGroup.rows` divides them.
    """
    if group.world_size == 1:
        return own
    gathered: Tensor = _GatherRows.apply(own.float() if own.is_floating_point() else own, group, count)
    return gathered


class _GatherRows(Function):
    """Concatenation over processes, with a backward pass that sends nothing.

    Every process computes the same loss from all rows, and goes back through its own rows alone. As
    DistributedDataParallel then takes the mean of all gradients, where their sum is meant, the own rows'
    gradient is multiplied by the number of processes. A weight of the loss itself, whose gradient every
    process has complete, comes out right by the mean.
    """

    @staticmethod
    def forward(context: Any, own: Tensor, group: ProcessGroup, count: int) -> Tensor:
        rows = group.rows(count)
        context.rows, context.world_size = rows, group.world_size
        complete = own.new_zeros(count, *own.shape[1:])
        complete[rows.start : rows.stop] = own
        # A sum with zeros is exact, and takes uneven rows, which `all_gather` does not.
        dist.all_reduce(complete)
        return complete

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Any:
        rows = context.rows
        return gradients[0][rows.start : rows.stop] * context.world_size, None, None
