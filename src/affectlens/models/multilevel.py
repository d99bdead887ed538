"""MultiLevel: a backbone that is read at several levels by a perceptron.

Ours, after Evci et al., "Head2Toe: Utilizing Intermediate Representations for Better Transfer Learning", ICML
2022, who select features of all layers of a frozen network and read them linearly.

    maps      of some levels of the backbone -> mean and standard deviation of each channel over the cells
    features  these, and what the backbone's own classifier would read, each standardised
    answer    Dropout -> Dense -> LayerNorm -> GELU -> Dropout -> Dense E

What a small network knows of a picture's mood is in its middle as well as at its end, and a perceptron reads
it better than a linear layer does (docs/results/screening.md). The features are standardised by the means and
variances that training has seen, as a batch norm without weights.

Letters: B images, H x W pixels, D features, E emotions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from affectlens.errors import SettingsError
from affectlens.models import backbones
from affectlens.models.capabilities import Embedded
from affectlens.models.features import SMALLEST_VARIANCE


@dataclass(frozen=True, kw_only=True)
class MultiLevelConfig:
    """What MultiLevel is made of.

    Attributes:
        levels: which maps of the backbone, counted from the shallowest; none is all
        hidden: width of the perceptron
        input_dropout: before the perceptron; `dropout` is within it
        drop_path: in the backbone
    """

    num_emotions: int
    backbone: str = "tf_efficientnet_lite2.in1k"
    levels: Sequence[int] = ()
    hidden: int = 512
    input_dropout: float = 0.3
    dropout: float = 0.5
    drop_path: float = 0.0
    weights: str = backbones.NONE


class MultiLevel(nn.Module):
    """Images to logits: (B, 3, H, W) -> (B, E)."""

    def __init__(self, config: MultiLevelConfig) -> None:
        """Build it. Raises `SettingsError` for levels that the backbone does not have."""
        super().__init__()
        options = {"drop_path_rate": config.drop_path} if config.drop_path else {}
        self.pyramid = backbones.Pyramid(config.backbone, weights=config.weights, **options)
        channels = self.pyramid.channels
        self.levels = tuple(config.levels) or tuple(range(len(channels)))
        if not all(isinstance(level, int) and 0 <= level < len(channels) for level in self.levels):
            raise SettingsError(
                f"{config.backbone} has levels 0 to {len(channels) - 1}, not {list(config.levels)}."
            )
        width = self.pyramid.num_features + 2 * sum(channels[level] for level in self.levels)
        self.standardise = nn.BatchNorm1d(width, affine=False)
        self.perceptron = nn.Sequential(
            nn.Dropout(config.input_dropout),
            nn.Linear(width, config.hidden),
            nn.LayerNorm(config.hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
        )
        self.classifier = nn.Linear(config.hidden, config.num_emotions)
        # Near zero, as `backbones.classifier` has it: every emotion is equally likely at first.
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, images: Tensor) -> Tensor:
        return self.embed(images).logits

    def embed(self, images: Tensor) -> Embedded:
        """Logits (B, E) and what the perceptron makes of the features, (B, hidden)."""
        hidden = self.perceptron(self.standardise(self.describe(images)))
        return Embedded(self.classifier(hidden), hidden)

    def describe(self, images: Tensor) -> Tensor:
        """Features of a picture, not standardised: (B, 3, H, W) -> (B, D), float32."""
        found = self.pyramid(images)
        maps = [found.maps[level].float().flatten(2) for level in self.levels]
        # A deviation of 0 has no gradient.
        spreads = [each.var(dim=2, correction=0).clamp_min(SMALLEST_VARIANCE).sqrt() for each in maps]
        return torch.cat([found.deep.float(), *(each.mean(dim=2) for each in maps), *spreads], dim=1)
