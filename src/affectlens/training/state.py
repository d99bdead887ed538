"""What training changes: weights, their moving average, the optimizer's moments, the number of steps."""

from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from timm.utils.model_ema import ModelEmaV3
from torch import nn

from affectlens.training.frozen import freeze_by_name, freeze_first_layers
from affectlens.training.kept_outputs import KeptOutputs
from affectlens.training.optimizer import make_optimizer
from affectlens.training.settings import Settings
from affectlens.training.start import RowMixtures


@dataclass
class State:
    """What training changes. `step` is the number of steps done, and the position in the data.

    `ema` holds the exponential moving average of the weights, where the settings have one. `rows` has which
    rows of a trained model the classifiers started with, where they did; a restored state has none.
    """

    network: nn.Module
    ema: ModelEmaV3 | None
    optimizer: torch.optim.Optimizer
    step: int = 0
    rows: RowMixtures = field(default_factory=dict)

    @classmethod
    def start(
        cls,
        network: nn.Module,
        settings: Settings,
        rows: RowMixtures = MappingProxyType({}),
        kept: KeptOutputs | None = None,
    ) -> "State":
        """The state before the first step, on the network's device; `kept` has outputs of what is frozen.

        Raises `SettingsError` where `frozen` fits no weight, or all of them.
        """
        freeze_first_layers(network, settings)
        freeze_by_name(network, settings)
        if kept is not None:
            kept.attach(network, settings)
        ema = ModelEmaV3(network, decay=settings.ema_decay, use_warmup=True) if settings.ema_decay else None
        return cls(network, ema, make_optimizer(network, settings), rows=rows)

    @property
    def learning(self) -> set[nn.Parameter]:
        """The parameters that the optimizer has."""
        return {parameter for group in self.optimizer.param_groups for parameter in group["params"]}

    @property
    def best_network(self) -> nn.Module:
        """The network to evaluate and keep: that of the moving average, where there is one."""
        return self.network if self.ema is None else self.ema.module
