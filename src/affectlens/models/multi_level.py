"""Multi-level: a plain backbone whose classifier reads statistics of maps from shallow to deep.

Ours, after what the field knows: emotions follow from colour and texture, which shallow maps have, as well as
from what is seen, which deep ones have (Rao, Xu and Xu, "Learning multi-level deep representations for image
emotion classification", Neural Processing Letters 2020; MLM and MAM, of this package). Each map is described
by the mean and the standard deviation of every channel, the statistics of style of Huang and Belongie
("Arbitrary style transfer in real-time with adaptive instance normalization", ICCV 2017): the diagonal of a
Gram matrix and what is common to it, at a hundredth of its size. All are standardised and read by one linear
layer. On frozen features that is worth four points over what the backbone's own classifier reads
(docs/results/screening.md).

Letters: B images, H x W pixels, C channels, P positions of a map, D features, E emotions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from affectlens.errors import SettingsError
from affectlens.models import backbones
from affectlens.models.capabilities import Embedded

# Of a transformer, whose blocks are all of one size and differ little from one to the next: how many of them.
TRANSFORMER_LEVELS = 3


@dataclass(frozen=True, kw_only=True)
class MultiLevelConfig:
    """A timm network; `drop_path` and `patch_dropout` act in it, `dropout` on the features.

    `dropout` on standardised features is what keeps a linear layer on so many of them from learning single
    pictures (Wager, Wang and Liang, "Dropout training as adaptive regularization", NeurIPS 2013).
    """

    num_emotions: int
    backbone: str = "deit_tiny_patch16_224.fb_in1k"
    weights: str = backbones.NONE
    drop_path: float = 0.0
    patch_dropout: float = 0.0
    dropout: float = 0.5


class MultiLevel(nn.Module):
    """Images to logits: (B, 3, H, W) -> (B, E)."""

    def __init__(self, config: MultiLevelConfig) -> None:
        super().__init__()
        options: dict[str, Any] = {"drop_path_rate": config.drop_path} if config.drop_path else {}
        if config.patch_dropout:
            options["patch_drop_rate"] = config.patch_dropout
        try:
            self.body = backbones.pooled(config.backbone, weights=config.weights, **options)
        except TypeError as error:
            raise SettingsError(f"The backbone {config.backbone} has no option for this: {error}.") from None
        if not hasattr(self.body, "forward_intermediates"):
            raise SettingsError(
                f"timm's {config.backbone} gives no maps from within. Choose another, as resnet50."
            )
        channels = backbones.level_channels(self.body)
        # Of tokens no maps are made: patches may be missing.
        self._format = {"output_fmt": "NLC"} if hasattr(self.body, "patch_drop") else {}
        if self._format:
            self._levels = [
                len(channels) * n // TRANSFORMER_LEVELS - 1 for n in range(1, TRANSFORMER_LEVELS + 1)
            ]
        else:
            self._levels = list(range(len(channels)))
        deep: int = getattr(self.body, "head_hidden_size", self.body.num_features)  # type: ignore[assignment]
        features = deep + 2 * sum(channels[level] for level in self._levels)
        self.norm = nn.BatchNorm1d(features, affine=False)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(features, config.num_emotions)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        return self.embed(images).logits

    def embed(self, images: Tensor) -> Embedded:
        """Return logits and the standardised features, (B, D)."""
        last, maps = self.body.forward_intermediates(images, indices=self._levels, **self._format)  # type: ignore[operator]
        deep = self.body.forward_head(last, pre_logits=True)  # type: ignore[operator]
        features = self.norm(torch.cat([deep.float(), *self._moments(maps)], dim=1))
        logits: Tensor = self.head(self.dropout(features))
        return Embedded(logits, features)

    def get_classifier(self) -> nn.Linear:
        """Return the last layer, as timm's networks do."""
        return self.head

    def _moments(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Mean and deviation of each channel, (B, C) each, of maps (B, C, rows, columns) or (B, P, C)."""
        found = []
        for each in maps:
            values = each.float() if self._format else each.float().flatten(2).transpose(1, 2)
            mean = values.mean(dim=1)
            variance = (values - mean[:, None]).square().mean(dim=1)
            found += [mean, (variance + 1e-6).sqrt()]
        return found
