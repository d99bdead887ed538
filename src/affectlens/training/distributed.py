"""Processes that take each step together, so that a run ends as it would have ended in one process.

Of each batch every process reads some rows and feeds them forward. Then what the networks say of them is
gathered, and each process computes the loss of the whole batch: so whatever a loss looks at (all pairs of a
batch, how many pictures have an answer) it sees as one process would. Back it goes through the own rows only,
and the mean of all processes' gradients is the gradient of the whole batch. What a network itself does across
a batch is done across the whole one as well (`_AsOne`): batch norms take their statistics from it, dropout
draws for all of it and takes the own rows, and running means over batches are averaged. No row is padded and
none is left out, whether or not the processes divide the batch evenly.

Works over torch.distributed, by gloo between CPUs and nccl between GPUs; who starts the processes is not
known here (`cluster.train` does, by Ray). Equality is up to rounding: sums are taken in another order.

Letters: B pictures of a whole batch, b of one process, C channels, D features.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from affectlens.errors import AffectLensError, SettingsError

T = TypeVar("T")

CPU = torch.device("cpu")

BUCKET = 2**23  # gradients that travel together: 32 MB of float32


@dataclass(frozen=True)
class Team:
    """Which of how many processes this one is; alone, nothing is sent and nothing changes.

    Attributes:
        rank, size: of all processes
        local_rank, local_size: of those on this machine
        device: where tensors lie that are sent
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    device: torch.device = CPU

    @classmethod
    def joined(cls, device: torch.device) -> "Team":
        """The team of torch.distributed, which must be initialised."""
        local_rank, local_size = (int(os.environ.get(name, 0)) for name in ("LOCAL_RANK", "LOCAL_WORLD_SIZE"))
        return cls(dist.get_rank(), dist.get_world_size(), local_rank, max(1, local_size), device)

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def rows(self, count: int) -> range:
        """The part of `count` rows that is this process's own."""
        return range(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def rows_to_read(self, count: int, mixes: bool) -> list[int]:
        """The own rows of a batch, and before them the one that the first is mixed with, where pictures are.

        Mixing blends each row with the one above it and the first with the last (`objective.mix`).
        """
        own = list(self.rows(count))
        return [(own[0] - 1) % count, *own] if mixes and self.size > 1 else own

    def whole(self, own: Tensor, count: int) -> Tensor:
        """Gather rows: (b, ...) -> (count, ...), of floats float32; gradients go back to the own rows."""
        if self.size == 1:
            return own
        gathered: Tensor = _Whole.apply(own.float() if own.is_floating_point() else own, self, count)
        return gathered

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Put the mean over all processes into every gradient; all must have the same gradients."""
        if self.size == 1:
            return
        for bucket in _buckets([p.grad for p in parameters if p.grad is not None]):
            flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
            dist.all_reduce(flat)
            flat.div_(self.size)
            _spread(flat, bucket)

    def average_buffers(self, network: nn.Module, count: int) -> None:
        """Put into every buffer the mean over all processes, each weighing as many as its rows of `count`.

        That is for running means over batches, which come out as those of the whole batches; those of batch
        norms are so already.
        """
        if self.size == 1:
            return
        buffers = [
            buffer
            for module in network.modules()
            if not isinstance(module, nn.modules.batchnorm._BatchNorm)
            for buffer in module.buffers(recurse=False)
            if buffer.is_floating_point()
        ]
        for bucket in _buckets(buffers):
            flat = torch.cat([buffer.reshape(-1) for buffer in bucket]) * (len(self.rows(count)) / count)
            dist.all_reduce(flat)
            _spread(flat, bucket)

    def copy_of_the_leader(self, network: nn.Module) -> None:
        """Give a network of every process the weights and buffers of the leader's."""
        if self.size == 1:
            return
        for value in network.state_dict().values():
            flat = value.detach().to(self.device).contiguous()
            dist.broadcast(flat, src=0)
            value.copy_(flat)

    def gather(self, thing: T) -> list[T]:
        """Return what every process gave, by rank; it is pickled on the way."""
        if self.size == 1:
            return [thing]
        things: list[Any] = [None] * self.size
        dist.all_gather_object(things, thing)
        return things

    @contextmanager
    def agreed(self) -> Iterator[None]:
        """Raise in every process, at the end of the block, what one of them raised in it.

        Only errors of ours: a process that ends by another leaves the team, and whoever started it decides.
        """
        if self.size == 1:
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

    def as_one(self, count: int) -> AbstractContextManager[Any]:
        """Have networks treat their b rows, within the block, as part of a batch of `count`."""
        return nullcontext() if self.size == 1 else _AsOne(self, count)

    def require_rows(self, batch_size: int) -> None:
        """Raise `SettingsError` where a batch has no row for some process."""
        if batch_size < self.size:
            raise SettingsError(
                f"A batch of {batch_size} pictures cannot be divided among {self.size} processes. "
                "Raise batch_size or use fewer --workers."
            )


ALONE = Team()


def _buckets(tensors: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    bucket: list[Tensor] = []
    size = 0
    for tensor in tensors:
        if bucket and (size + tensor.numel() > BUCKET or tensor.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(tensor)
        size += tensor.numel()
    if bucket:
        yield bucket


def _spread(flat: Tensor, tensors: Sequence[Tensor]) -> None:
    """Copy a row of numbers back into the tensors that it was made of."""
    for tensor, part in zip(tensors, flat.split([each.numel() for each in tensors]), strict=True):
        tensor.copy_(part.view(tensor.shape))


class _Whole(torch.autograd.Function):
    """Rows of all processes one below the other.

    Every process goes back from the same loss, and gradients are averaged afterwards, so that a loss that
    has weights of its own (those of attributes) gets their gradient once. The rows' share, which only their
    own process has, is multiplied by the number of processes for it.
    """

    @staticmethod
    def forward(context: Any, own: Tensor, team: Team, count: int) -> Tensor:
        rows = team.rows(count)
        context.rows, context.size = rows, team.size
        whole = own.new_zeros(count, *own.shape[1:])
        whole[rows.start : rows.stop] = own
        dist.all_reduce(whole)  # a sum with zeros: exact
        return whole

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Any:
        rows = context.rows
        return gradients[0][rows.start : rows.stop] * context.size, None, None


class _AsOne(TorchFunctionMode):
    """Catches what mixes the rows of a batch, or draws for them, in any network."""

    def __init__(self, team: Team, count: int) -> None:
        super().__init__()
        self.team = team
        self.count = count
        self.own = len(team.rows(count))

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if function is F.batch_norm:
            return self._batch_norm(*args, **kwargs)
        if function is F.dropout:
            return self._dropout(*args, **kwargs)
        if function is torch.rand:
            return self._rand(*args, **kwargs)
        if function is torch.Tensor.bernoulli_:
            return self._bernoulli(*args, **kwargs)
        if function in _UNSHARED:
            raise SettingsError(
                f"The network draws by {function.__name__}, which several processes cannot do as one would. "
                "Leave out --workers, or turn that off in network_options."
            )
        return function(*args, **kwargs)

    def _dropout(self, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        if not training or p == 0:
            return F.dropout(input, p, training, inplace)
        # As torch does it on a CPU, but for the whole batch: the same numbers fall to the same rows.
        noise = self._own_rows(self._like_whole(input).bernoulli_(1 - p))
        noise = noise.div_(1 - p) if p < 1 else noise.zero_()
        return input.mul_(noise) if inplace else input * noise

    def _bernoulli(self, rows: Tensor, p: float = 0.5, **more: Any) -> Tensor:
        return rows.copy_(self._own_rows(self._like_whole(rows).bernoulli_(p, **more)))

    def _rand(self, *size: Any, **more: Any) -> Tensor:
        shape = tuple(size[0]) if size and not isinstance(size[0], int) else size
        if not shape or shape[0] != self.own:
            return torch.rand(*size, **more)  # not for pictures: the same in every process
        return self._own_rows(torch.rand(self.count, *shape[1:], **more))

    def _times(self, rows: Tensor) -> int:
        """How many rows of a tensor belong to one picture."""
        times, rest = divmod(rows.shape[0] if rows.ndim else 0, self.own)
        if rest or not times:
            raise SettingsError(
                f"The network draws for a tensor of shape {tuple(rows.shape)}, whose rows are not those of "
                f"the {self.own} pictures of this process. Leave out --workers for this network."
            )
        return times

    def _like_whole(self, rows: Tensor) -> Tensor:
        shape = (self._times(rows) * self.count, *rows.shape[1:])
        last = rows.ndim == 4 and rows.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if last and not rows.is_contiguous() else torch.contiguous_format
        return torch.empty(shape, dtype=rows.dtype, device=rows.device, memory_format=layout)

    def _own_rows(self, whole: Tensor) -> Tensor:
        times, rows = whole.shape[0] // self.count, self.team.rows(self.count)
        return whole[times * rows.start : times * rows.stop]

    def _batch_norm(
        self,
        input: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        if not training:
            return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
        total = input.numel() // input.shape[1] // self.own * self.count
        normed, mean, variance = _WholeBatchNorm.apply(input, weight, bias, eps, total)
        if running_mean is not None and running_var is not None:
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            unbiased = variance * (total / max(1, total - 1))
            running_var.lerp_(unbiased.to(running_var.dtype), momentum)
        out: Tensor = normed
        return out


class _WholeBatchNorm(torch.autograd.Function):
    """Batch norm by the mean and variance of the whole batch: (b, C, ...) -> the same, (C,), (C,).

    One exchange of 2 C numbers forward and one back, in float64 so that a mean that is large against the
    spread costs no digits. Ioffe and Szegedy, "Batch Normalization", ICML 2015, for the gradient. What goes
    over all pixels is left to torch's own kernels, those of a norm with given statistics, for written out it
    takes ten times as long.
    """

    @staticmethod
    def forward(
        context: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, total: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        channels = x.shape[1]
        count = x.numel() // channels
        unused = torch.zeros(2, channels, device=x.device)  # in float32, so that the statistics are
        mean, variance = torch.batch_norm_update_stats(x, unused[0], unused[1], 0.0)
        sums = torch.cat([mean.double(), variance.double() + mean.double().square()]) * count
        dist.all_reduce(sums)
        mean_all, square_all = (sums / total).split(channels)
        variance_all = (square_all - mean_all.square()).clamp_min(0)
        mean, variance = mean_all.float(), variance_all.float()
        context.save_for_backward(x, weight, mean, variance)
        context.total, context.eps = total, eps
        context.mark_non_differentiable(mean, variance_all)
        return F.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps), mean, variance_all

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Any:
        """With given statistics a gradient goes back scaled; what the statistics add is a line in x."""
        x, weight, mean, variance = context.saved_tensors
        own, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            gradients[0], x, weight, mean, variance, None, None, False, context.eps, [True, True, True]
        )
        sums = torch.cat([of_bias, of_weight]).double()
        dist.all_reduce(sums)
        mean_gradient, mean_along = (sums / context.total).float().split(x.shape[1])
        inverse = (variance + context.eps).rsqrt()
        scale = inverse if weight is None else inverse * weight.float()
        added = F.batch_norm(
            x, mean, torch.ones_like(mean), -scale * inverse * mean_along, -scale * mean_gradient,
            training=False, eps=0.0,
        )  # fmt: skip
        affine = (None, None) if weight is None else (of_weight.to(weight.dtype), of_bias.to(weight.dtype))
        return own.add_(added), *affine, None, None


# Random functions that no network of the catalogue uses; drawn for the own rows alone they would be the same
# for the rows of every process.
_UNSHARED: frozenset[Callable[..., Any]] = frozenset(
    {
        F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout, F.gumbel_softmax,
        torch.bernoulli, torch.rand_like, torch.randn_like, torch.randint_like, torch.Tensor.uniform_,
        torch.Tensor.normal_, torch.Tensor.random_, torch.Tensor.exponential_, torch.multinomial,
    }
)  # fmt: skip
