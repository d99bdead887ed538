"""Which weights do not learn: layers and names all through a run, or all of the backbone at its beginning.

A backbone that is held while the new classifier learns, and only then let go, keeps more of what it knew of
other pictures (linear probe, then fine-tuning: Kumar et al., "Fine-Tuning can Distort Pretrained Features and
Underperform Out-of-Distribution", ICLR 2022). First layers that never learn save their backward pass.

Frozen modules are in evaluation mode: their batch norms keep their statistics, and no dropout acts in them.
What standardises the features of a backbone that learns nothing keeps its statistics too, where they came
with a trained model: those of a small batch would be noise in what is known already.
"""

from collections.abc import Iterator, Sequence, Set
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from affectlens.errors import SettingsError
from affectlens.models.backbones import layers_from_input, layers_from_output
from affectlens.models.capabilities import ReadsLevels
from affectlens.training.settings import Settings


def freeze_first_layers(network: nn.Module, settings: Settings) -> None:
    """Make the backbone's first `frozen_layers` layers learn nothing, before the optimizer is made.

    Below 0 it is how many last layers of each backbone learn. A backbone that is read at several levels has
    no last layer that its answer is read from: what reads it learns, and all of it is frozen.
    """
    count = settings.frozen_layers
    if count >= 0:
        frozen = {name for name, height in layers_from_input(network).items() if height < count}
    else:
        frozen = {name for name, distance in layers_from_output(network).items() if distance >= -count}
        for _, reader in readers_of_levels(network):
            reader.pyramid.requires_grad_(False)
    for name, parameter in network.named_parameters():
        if name in frozen:
            parameter.requires_grad_(False)


def readers_of_levels(network: nn.Module) -> Iterator[tuple[str, Any]]:
    """Find what reads a backbone at several levels (`capabilities.ReadsLevels`), with its name."""
    for name, module in network.named_modules():
        if isinstance(module, ReadsLevels):
            yield name, module


def learns(module: nn.Module) -> bool:
    """Whether any parameter of a module learns."""
    return any(parameter.requires_grad for parameter in module.parameters())


def freeze_by_name(network: nn.Module, settings: Settings) -> None:
    """Make the weights whose names fit a pattern of `frozen` learn nothing, before the optimizer is made.

    Raises `SettingsError` for a pattern that fits no name, and where nothing is left to learn.
    """
    parameters = dict(network.named_parameters())
    for pattern in filter(None, map(str.strip, settings.frozen.split(","))):
        fitting = [name for name in parameters if fnmatchcase(name, pattern)]
        if not fitting:
            raise SettingsError(
                f"No weight of the network {settings.network} has a name like {pattern!r} (frozen). "
                f"Names are: {', '.join(_near(pattern, list(parameters)))}."
            )
        for name in fitting:
            parameters[name].requires_grad_(False)
    if not any(parameter.requires_grad for parameter in parameters.values()):
        raise SettingsError(f"Nothing is left to learn: frozen={settings.frozen!r} fits all weights.")


def _near(pattern: str, names: Sequence[str]) -> list[str]:
    """A few names that are like a pattern, or the first and the last where none is."""
    near = get_close_matches(pattern.replace("*", ""), names, n=5, cutoff=0.4)
    return near or [*names[:3], "...", *names[-2:]]


def hold_backbone(network: nn.Module, learning: Set[nn.Parameter], hold: bool) -> None:
    """Hold the backbone, or let go of it: while it is held, of `learning` only what lies above it learns."""
    heights = layers_from_input(network)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(parameter in learning and not (hold and name in heights))


def train_mode(network: nn.Module, settings: Settings) -> None:
    """Bring a network to training mode, but for the modules of which no parameter learns."""
    network.train()
    if all(parameter.requires_grad for parameter in network.parameters()):
        return
    for module in network.modules():
        if next(module.parameters(), None) is not None and not learns(module):
            module.eval()
    if settings.start:
        for _, reader in readers_of_levels(network):
            reader.standardise.train(learns(reader.pyramid))
