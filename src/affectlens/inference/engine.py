"""A network ready for use: batches of fitted pixels in, calibrated probabilities out.

What makes it fast on a CPU, each measured on the default network (two cores with AMX, bfloat16):

    bfloat16 products      2.5 x    `machine.pick_precision`, where the hardware multiplies it
    channels last          1.8 x    for convolutions; nothing for the transformer
    folded batch norms     1.25 x   of a convolutional network, which else rewrites every map twice
    small batches          1.2 x    eight pictures' maps stay in the cache, thirty-two pictures' do not

Left out, because they gained less than a twentieth or cost exactness: weights cast to bfloat16 once (the
sums between layers are then rounded too) and `suit_cpu`, which is for training.

Letters: B pictures, H x W pixels, E emotions.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from affectlens.checkpoint import Model
from affectlens.evaluation.judge import forward
from affectlens.machine import pick_device, pick_precision

CPU_BATCH = 8  # pictures at once on a CPU, see above


class Engine:
    """A network on a device: uint8 (B, 3, H, W) -> probabilities, float32 (B, E), on the CPU.

    The model's own network is copied and stays as it is. In bfloat16 a probability differs from that
    of float32 by less than 0.01; a picture's answer hardly depends on its batch (1e-6 in float32).
    Raises `SettingsError` for a device that is not here or an unknown precision.
    """

    def __init__(self, model: Model, device: str = "auto", precision: str = "auto") -> None:
        self.card = model.card
        self.device = pick_device(device)
        self.precision = pick_precision(precision, self.device)
        size = self.card.preprocessing
        network = folded(model.network.eval(), size.height, size.width).requires_grad_(False)
        self.network = network.to(self.device).to(memory_format=torch.channels_last)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Judge a batch. Each row sums to 1; logits are divided by the model's temperature before."""
        at_once = CPU_BATCH if self.device.type == "cpu" else max(1, len(pixels))
        logits = [
            forward(self.network, part, self.card.preprocessing, self.device, self.precision)
            for part in torch.split(pixels, at_once)
        ]
        # In float64, so that not even many words' rounding errors add up to anything.
        return (torch.cat(logits).double() / self.card.temperature).softmax(dim=1).float()


def folded(network: nn.Module, height: int, width: int) -> nn.Module:
    """Copy a network and fold each batch norm that follows a convolution into its weights.

    The copy computes the same up to rounding. Whether it does is tried out: a network that uses a
    convolution's output in another way as well is copied without folding anything.
    """
    probe = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, pairs = _watch(network, probe)
        result = copy.deepcopy(network)
        for convolution, norm in pairs:
            fused = fuse_conv_bn_eval(result.get_submodule(convolution), result.get_submodule(norm))  # type: ignore[type-var, arg-type]
            result.set_submodule(convolution, fused)
            result.set_submodule(norm, _what_remains(result.get_submodule(norm)))
        if torch.allclose(result(probe), expected, rtol=1e-3, atol=1e-3):
            return result
    return copy.deepcopy(network)


def _watch(network: nn.Module, probe: Tensor) -> tuple[Tensor, list[tuple[str, str]]]:
    """Run the network once; return its output, and names of convolutions with the norm that each feeds."""
    outputs: dict[int, tuple[str, Tensor]] = {}  # the tensors are kept, or their ids would be used again
    calls: list[str] = []
    pairs: list[tuple[str, str]] = []

    def ran(name: str, output: Tensor) -> None:
        calls.append(name)
        outputs[id(output)] = (name, output)

    def receives(name: str, inputs: tuple[Tensor, ...]) -> None:
        calls.append(name)
        if id(inputs[0]) in outputs:
            pairs.append((outputs[id(inputs[0])][0], name))

    hooks = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(lambda _, __, out, name=name: ran(name, out)))
        elif _is_foldable(module):
            hooks.append(module.register_forward_pre_hook(lambda _, given, name=name: receives(name, given)))
    try:
        output: Tensor = network(probe)
    finally:
        for hook in hooks:
            hook.remove()
    once = {name for name in calls if calls.count(name) == 1}
    return output, [(convolution, norm) for convolution, norm in pairs if {convolution, norm} <= once]


def _is_foldable(module: nn.Module) -> bool:
    is_known = type(module) is nn.BatchNorm2d or (
        isinstance(module, nn.BatchNorm2d) and hasattr(module, "drop") and hasattr(module, "act")
    )
    return is_known and module.running_mean is not None and module.weight is not None


def _what_remains(norm: nn.Module) -> nn.Module:
    """What a batch norm did beside normalising: timm's come with an activation."""
    if type(norm) is nn.BatchNorm2d:
        return nn.Identity()
    return nn.Sequential(norm.drop, norm.act)  # type: ignore[arg-type]
