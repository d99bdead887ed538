"""A network of the catalogue: where it comes from, how it is built, and how its images are normalised."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from torch import nn

from affectlens.errors import SettingsError
from affectlens.models import backbones
from affectlens.preprocess import ExpectedInput


@dataclass(frozen=True)
class NetworkEntry:
    """A network of the catalogue.

    Attributes:
        summary: one line for `affectlens models`.
        source: the paper.
        build: `(num_emotions, weights=..., **options) -> network` whose `forward` gives logits.
        options: what may be set, with its defaults; saved with a trained model.
        timm_name: of a network that is timm's own, so that timm can load what we save.
        backbone: the option that names the timm network whose weights determine how images are normalised, or
            what finds that name by the options.
        attributes: whether it answers a data set's attributes, and has to be built for them
            (`training.attributes`).
    """

    name: str
    summary: str
    source: str
    build: Callable[..., nn.Module]
    options: Mapping[str, Any] = field(default_factory=dict)
    timm_name: str | None = None
    backbone: str | Callable[[Mapping[str, Any]], str] = "backbone"
    attributes: bool = False

    def timm_backbone(self, options: Mapping[str, Any]) -> str:
        """Return timm's name of the network whose weights images are normalised for, with these options."""
        if self.timm_name:
            return self.timm_name
        complete = {**self.options, **options}
        return str(complete[self.backbone] if isinstance(self.backbone, str) else self.backbone(complete))

    def expected_input(self, options: Mapping[str, Any]) -> ExpectedInput:
        """Return which images that network was trained on."""
        return backbones.expected_input(self.timm_backbone(options))


# Options of every plain classifier; a network that lacks one raises an error when it is built. On half of the
# patches a transformer trains twice as fast and hardly worse (Liu et al., "PatchDropout", WACV 2023).
PLAIN_OPTIONS: Mapping[str, Any] = MappingProxyType({"drop_path": 0.0, "dropout": 0.0, "patch_dropout": 0.0})
# Options that leave parts out in training alone: no weight and no answer depends on them.
DROPPED = (*PLAIN_OPTIONS, "residual_dropout")
# What timm calls them.
_TIMM_OPTIONS = {"drop_path": "drop_path_rate", "dropout": "drop_rate", "patch_dropout": "patch_drop_rate"}


def plain(name: str, summary: str, source: str, backbone: str) -> NetworkEntry:
    """Describe a timm network with a new classifier."""

    def build(num_emotions: int, *, weights: str, **chosen: float) -> nn.Module:
        options = {_TIMM_OPTIONS[option]: value for option, value in chosen.items() if value}
        try:
            return backbones.classifier(backbone, num_emotions, weights=weights, **options)
        except TypeError as error:
            raise SettingsError(f"The network {name} has no option for this: {error}.") from None

    return NetworkEntry(name, summary, source, build, PLAIN_OPTIONS, backbone)


def composed(
    name: str,
    summary: str,
    source: str,
    network: Callable[[Any], nn.Module],
    config: type,
    options: Sequence[str],
    backbone: str | Callable[[Mapping[str, Any]], str] = "backbone",
    **variant: Any,
) -> NetworkEntry:
    """Describe a network that a config of its own makes; `variant` is what this entry fixes in it."""

    def build(num_emotions: int, *, weights: str, **chosen: Any) -> nn.Module:
        return network(config(num_emotions=num_emotions, weights=weights, **variant, **chosen))

    defaults = {option: getattr(config, option) for option in options}
    return NetworkEntry(name, summary, source, build, defaults, backbone=backbone)
