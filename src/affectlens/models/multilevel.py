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
from typing import Any

import torch
from torch import Tensor, nn

from affectlens.errors import SettingsError
from affectlens.models import backbones
from affectlens.models.capabilities import Embedded
from affectlens.models.features import SMALLEST_VARIANCE
from affectlens.models.gradients import gelu_gradient, through_layer_norm
from affectlens.models.maps import spread_over


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
        self.perceptron = hidden_layer(width, config.hidden, config.input_dropout, config.dropout)
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

    def get_classifier(self) -> nn.Linear:
        """Return the last layer, by the name that timm's networks have for it."""
        return self.classifier

    def describe(self, images: Tensor) -> Tensor:
        """Features of a picture, not standardised: (B, 3, H, W) -> (B, D), float32."""
        return self._features(self.pyramid(images))

    def _features(self, found: backbones.Levels) -> Tensor:
        maps = self._maps(found)
        means, spreads = ([read(each) for each in maps] for read in (_cell_mean, _cell_deviation))
        return torch.cat([found.deep.float(), *(each.flatten(1) for each in (*means, *spreads))], dim=1)

    def _maps(self, found: backbones.Levels) -> list[Tensor]:
        return [found.maps[level].float() for level in self.levels]

    def feature_gradients(self, features: Tensor) -> Tensor:
        """See `capabilities.ReadsLevels`."""
        dense: Any = self.perceptron[1]
        norm: Any = self.perceptron[2]
        given = dense(self.standardise(features))
        centred = self.classifier.weight - self.classifier.weight.mean(dim=0, keepdim=True)
        gradient = centred.float() * gelu_gradient(norm(given))[:, None]
        gradient = through_layer_norm(gradient, given, norm) @ dense.weight.float()
        assert self.standardise.running_var is not None
        deviation: Tensor = (self.standardise.running_var + self.standardise.eps).sqrt()
        found: Tensor = gradient / deviation
        return found

    def cell_maps(self, levels: backbones.Levels, last: Tensor) -> Tensor:
        """See `capabilities.ReadsLevels`; what adds to a deviation is each cell's square distance.

        Each is measured from the mean of all pictures of training, so that what these have in common counts
        for nothing.
        """
        maps = self._maps(levels)
        rows, columns = last.shape[2:]
        channels = [each.shape[1] for each in maps]
        widths = [last.shape[1], *channels, *channels]
        gradients = self.feature_gradients(self._features(levels)).split(widths, dim=2)
        assert self.standardise.running_mean is not None
        usual = [each[:, None, None] for each in self.standardise.running_mean.split(widths)]
        distances = [(each - _cell_mean(each)).square() / _cell_deviation(each) for each in maps]
        found = torch.zeros(())
        for gradient, mean, part in zip(gradients, usual, [last.float(), *maps, *distances], strict=True):
            cells = part.shape[2] * part.shape[3]
            found = found + _weighted(gradient, spread_over((part - mean) / cells, rows, columns))
        return found


def hidden_layer(width: int, hidden: int, input_dropout: float, dropout: float) -> nn.Sequential:
    """Build what a perceptron has below its last layer: (B, width) -> (B, hidden)."""
    return nn.Sequential(
        nn.Dropout(input_dropout),
        nn.Linear(width, hidden),
        nn.LayerNorm(hidden),
        nn.GELU(),
        nn.Dropout(dropout),
    )


def _cell_mean(maps: Tensor) -> Tensor:
    return maps.mean(dim=(2, 3), keepdim=True)


def _cell_deviation(maps: Tensor) -> Tensor:
    """Standard deviation over the cells, (B, C, 1, 1); one of 0 has no gradient."""
    return maps.var(dim=(2, 3), correction=0, keepdim=True).clamp_min(SMALLEST_VARIANCE).sqrt()


def _weighted(weights: Tensor, maps: Tensor) -> Tensor:
    """Weighted sums of maps: (B, E, C), (B, C, h, w) -> (B, E, h, w)."""
    found: Tensor = (weights @ maps.flatten(2)).unflatten(2, tuple(maps.shape[2:]))
    return found
