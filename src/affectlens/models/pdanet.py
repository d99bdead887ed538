"""PDANet: attention over channels and over cells of the last map, trained so that polarity comes out right.

Paper: Zhao et al., "PDANet: Polarity-consistent Deep Attention Network for Fine-grained Visual Emotion
    Regression", ACM MM 2019, arXiv 1909.05693. It predicts valence, arousal and dominance. Others' tables
    have a version for classes, at 68.05 % or 69.42 % on FI and 76.95 % on EmoSet, eight classes each; how it
    was trained for them is not known.
Code: the authors', PyTorch, read for what it computes; it has no script that trains the version for classes.

    map       last map of ResNet-101 -> X
    cells     ReLU(conv 1 x 1 of X) -> Z
    channels  A = 1 + sigmoid(mean over cells of sigmoid(conv 1 x 1 of X)); A * Z -> mean over cells
    spatial   S = softmax over cells of w . tanh(conv 1 x 1 of Z + Dense of A); S * Z -> sum over cells
    answer    concat of both -> Dense E

This is the version for classes. Ratings, in the paper valence, arousal and dominance, are read from the same
concatenation by a layer that any network can have (`models.rated`); the paper's loss for them is
`losses.rating_loss`. That of classes is the polarity-consistent cross-entropy, setting `loss.polarity`
(`losses.of_other_polarity`): it is inferred, for the authors' code has only its counterpart for regression.

Departs from the authors' code:
    sum over cells   S already sums to 1, so the sum of S * Z is a mean that it weighs. The code takes the
                     mean of S * Z, smaller once more by the number of cells (196 at 448 pixels): next to the
                     features of the channels it hardly moves what new layers answer. `spatial_mean` takes it.
    dense layers     The code's optimizer gets an empty group for them, so that they never learn; here all do.
Where we do not know what the code has: w has no bias, which would be the same for all cells, so that the
softmax removes it; the conv of Z has none, for it would be added to that of the dense layer of A; new layers
start by `blocks.start_new_layers`.

Letters: B images, C channels, H x W cells of the last map, E emotions.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from affectlens.models import backbones
from affectlens.models.blocks import pyramid, start_new_layers
from affectlens.models.capabilities import Embedded

RESNET101 = "resnet101.tv_in1k"


@dataclass(frozen=True, kw_only=True)
class PDANetConfig:
    """What PDANet is made of.

    Attributes:
        backbone: gives the last map; what it has above that map, as EfficientNets do, is not used
        spatial_mean: the mean over cells after the softmax, as in the authors' code, instead of the sum
    """

    num_emotions: int
    backbone: str = RESNET101
    weights: str = backbones.NONE
    spatial_mean: bool = False


class PDANet(nn.Module):
    """Images to logits: (B, 3, H, W) -> (B, E)."""

    def __init__(self, config: PDANetConfig) -> None:
        super().__init__()
        self.spatial_mean = config.spatial_mean
        self.pyramid = pyramid(config.backbone, config.weights)
        channels = self.pyramid.channels[-1]
        self.project = nn.Conv2d(channels, channels, 1)
        self.channel_attention = ChannelAttention(channels)
        self.spatial_attention = SpatialAttention(channels)
        self.classifier = nn.Linear(2 * channels, config.num_emotions)
        for new in (self.project, self.channel_attention, self.spatial_attention, self.classifier):
            start_new_layers(new)

    def forward(self, images: Tensor) -> Tensor:
        return self.embed(images).logits

    def embed(self, images: Tensor) -> Embedded:
        """Logits (B, E) and the features of channels and cells, (B, 2 C), that they are read from."""
        features = self.attend(self.pyramid(images).maps[-1])
        return Embedded(self.classifier(features), features)

    def attend(self, last: Tensor) -> Tensor:
        """Read the last map by both attentions: (B, C, H, W) -> (B, 2 C), channels before cells."""
        scale = self.channel_attention(last)  # (B, C)
        cells = self.project(last).relu()
        where = self.spatial_attention(cells, scale)  # (B, 1, H, W)
        weighted = (cells * where).flatten(2)
        by_cells = weighted.mean(dim=2) if self.spatial_mean else weighted.sum(dim=2)
        by_channels = scale * cells.mean(dim=(2, 3))  # what is the same for all cells may follow their mean
        return torch.cat([by_channels, by_cells], dim=1)


class ChannelAttention(nn.Module):
    """How much each channel counts, 1.50 to 1.73: (B, C, H, W) -> (B, C).

    A = 1 + sigmoid(mean over cells of sigmoid(conv of X)), `sigmoid_res` of the authors' code. Two sigmoids
    leave A a narrow range; they are kept, as the code has them.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        scale: Tensor = 1 + self.conv(features).sigmoid().mean(dim=(2, 3)).sigmoid()
        return scale


class SpatialAttention(nn.Module):
    """How much each cell counts: maps (B, C, H, W) and channels (B, C) -> (B, 1, H, W), 0..1, sums to 1.

    S = softmax over cells of w . tanh(conv of Z + Dense of A); Z is not yet scaled by A.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.of_cells = nn.Conv2d(channels, channels, 1, bias=False)
        self.of_channels = nn.Linear(channels, channels)
        self.score = nn.Conv2d(channels, 1, 1, bias=False)

    def forward(self, cells: Tensor, scale: Tensor) -> Tensor:
        joined = (self.of_cells(cells) + self.of_channels(scale)[:, :, None, None]).tanh()
        scores: Tensor = self.score(joined)
        shares: Tensor = scores.float().flatten(2).softmax(dim=2).unflatten(2, scores.shape[2:])
        return shares
