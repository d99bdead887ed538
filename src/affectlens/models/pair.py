"""Pair: a small transformer and a small convolutional network that answer together.

Ours, no paper. Two networks of one size that were trained alike but see differently (patches that
attend to one another; local filters) make different mistakes; the mean of their answers is better and
better calibrated than either (Lakshminarayanan et al., "Simple and Scalable Predictive Uncertainty
Estimation using Deep Ensembles", NeurIPS 2017; there the members differ by seed only). What it gains
here is measured in docs/results/default.md. Together they are smaller than one ResNet-50 by far.

Letters: B images, H x W pixels, E emotions.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from affectlens.models import backbones


@dataclass(frozen=True, kw_only=True)
class PairConfig:
    """Two timm networks; `drop_path` acts in the transformer, `dropout` before both classifiers."""

    num_emotions: int
    transformer: str = "deit_tiny_patch16_224.fb_in1k"
    convolutional: str = "mobilenetv2_100.ra_in1k"
    weights: str = backbones.NONE
    drop_path: float = 0.0
    dropout: float = 0.0


class Branches(NamedTuple):
    """Logits of each branch, both (B, E)."""

    transformer: Tensor
    convolutional: Tensor


class Pair(nn.Module):
    """Images to logits, (B, 3, H, W) -> (B, E): the mean of both branches' log-probabilities."""

    def __init__(self, config: PairConfig) -> None:
        super().__init__()
        # Sizes other than the pretrained one are for training on smaller pictures first.
        self.transformer = backbones.classifier(
            config.transformer,
            config.num_emotions,
            weights=config.weights,
            drop_path_rate=config.drop_path,
            drop_rate=config.dropout,
            dynamic_img_size=True,
        )
        self.convolutional = backbones.classifier(
            config.convolutional, config.num_emotions, weights=config.weights, drop_rate=config.dropout
        )

    def forward(self, images: Tensor) -> Tensor:
        # Of log-probabilities, not of logits: a branch with larger logits would otherwise count for more.
        return torch.stack([logits.float().log_softmax(dim=1) for logits in self.branches(images)]).mean(0)

    def branches(self, images: Tensor) -> Branches:
        """Logits of each branch for itself: each is trained as if it were alone."""
        return Branches(self.transformer(images), self.convolutional(images))
