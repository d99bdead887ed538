"""Batch norms by the statistics of the complete batch, where several processes have parts of it.

On CUDA these are torch's SyncBatchNorm. It refuses tensors on a CPU, so there a small norm of our own
replaces them; tests hold it equal to the norm of one process.

Letters: b rows of one process, C channels.
"""

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from timm.layers.norm_act import convert_sync_batchnorm
from torch import Tensor, nn
from torch.autograd import Function

# The base of BatchNorm1d, 2d and 3d, and of timm's BatchNormAct2d, has no public name.
_BatchNorm = nn.modules.batchnorm._BatchNorm


def synchronise(network: nn.Module, device: torch.device) -> nn.Module:
    """Replace the batch norms within a network and return it; weights and their names stay."""
    if device.type == "cuda":
        # timm's, because torch's would lose the activation in timm's norms.
        converted: nn.Module = convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return converted
    if isinstance(network, _BatchNorm):
        return ProcessBatchNorm(network)
    for name, part in network.named_children():
        setattr(network, name, synchronise(part, device))
    return network


class ProcessBatchNorm(_BatchNorm):
    """Batch norm over all processes on CPUs: (b, C, ...) -> the same; with the weights of another norm.

    Dropout and activation behind it are those of timm's norms that have them.
    """

    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked
        self.drop = getattr(norm, "drop", nn.Identity())
        self.act = getattr(norm, "act", nn.Identity())
        self.train(norm.training)

    def _check_input_dim(self, input: Tensor) -> None:
        """Take any number of dimensions."""

    def forward(self, input: Tensor) -> Tensor:
        normed = self._norm(input) if self.training else super().forward(input)
        activated: Tensor = self.act(self.drop(normed))
        return activated

    def _norm(self, input: Tensor) -> Tensor:
        normed, mean, variance, total = _Norm.apply(input, self.weight, self.bias, self.eps)
        if self.running_mean is not None and self.running_var is not None:
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
            momentum = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
            unbiased = variance * (total / max(1, total - 1))
            self.running_var.lerp_(unbiased.to(self.running_var.dtype), momentum)
        out: Tensor = normed
        return out


class _Norm(Function):
    """Normalised (b, C, ...), mean (C,), variance (C,) and number of values a channel, of all processes.

    One exchange of 2 C numbers forward and one backward, in float64 so that a mean that is large against the
    spread costs no digits. Ioffe and Szegedy, "Batch Normalization", ICML 2015, for the gradient. What goes
    over all pixels is left to torch's own kernels, those of a norm with given statistics, because written out
    it takes ten times as long.
    """

    @staticmethod
    def forward(
        context: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, int]:
        channels = x.shape[1]
        count = x.numel() // channels
        # In float32, so that the statistics are.
        unused = torch.zeros(2, channels, device=x.device)
        mean, variance = torch.batch_norm_update_stats(x, unused[0], unused[1], 0.0)
        squares = variance.double() + mean.double().square()
        sums = torch.cat([mean.double() * count, squares * count, unused.new_tensor([count]).double()])
        dist.all_reduce(sums)
        total = int(sums[-1])
        mean_all, square_all = (sums[:-1] / total).split(channels)
        variance_all = (square_all - mean_all.square()).clamp_min(0)
        mean, variance = mean_all.float(), variance_all.float()
        context.save_for_backward(x, weight, mean, variance)
        context.total, context.eps = total, eps
        context.mark_non_differentiable(mean, variance_all)
        normed = F.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps)
        return normed, mean, variance_all, total

    @staticmethod
    def backward(context: Any, *gradients: Any) -> Any:
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
        return own.add_(added), *affine, None
