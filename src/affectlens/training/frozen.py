"""Which weights do not learn: the first layers all through a run, or all of the backbone at its beginning.

A backbone that is held while the new classifier learns, and only then let go, keeps more of what it knew of
other pictures (linear probe, then fine-tuning: Kumar et al., "Fine-Tuning can Distort Pretrained Features and
Underperform Out-of-Distribution", ICLR 2022). First layers that never learn save their backward pass.

Frozen modules are in evaluation mode: their batch norms keep their statistics, and no dropout acts in them.
"""

from collections.abc import Set

from torch import nn

from affectlens.models.backbones import layers_from_input
from affectlens.training.settings import Settings


def freeze_first_layers(network: nn.Module, settings: Settings) -> None:
    """Make the backbone's first `frozen_layers` layers learn nothing, before the optimizer is made."""
    if not settings.frozen_layers:
        return
    heights = layers_from_input(network)
    for name, parameter in network.named_parameters():
        if heights.get(name, settings.frozen_layers) < settings.frozen_layers:
            parameter.requires_grad_(False)


def hold_backbone(network: nn.Module, learning: Set[nn.Parameter], hold: bool) -> None:
    """Hold the backbone, or let go of it: while it is held, of `learning` only what lies above it learns."""
    heights = layers_from_input(network)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(parameter in learning and not (hold and name in heights))


def train_mode(network: nn.Module) -> None:
    """Bring a network to training mode, but for the modules of which no parameter learns."""
    network.train()
    if all(parameter.requires_grad for parameter in network.parameters()):
        return
    for module in network.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()
