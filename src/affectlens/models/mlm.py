"""MLM: colour and texture from the first stages, joined with the meaning of the last.

Paper: Zhang et al., "Learning multi-level representations for affective image recognition", Neural
    Computing and Applications 34, 2022, doi 10.1007/s00521-022-07139-y. Its table has 87.87 % on FI, to all
    appearance for two classes, positive and negative; tables of eight classes have it at 67.49 %.
Code: the authors' script, MXNet, read for what it computes.

    shallow   map_i -> [1 x 1 conv, ReLU] -> max pool but for the first -> [norm] -> Gram -> [norm]
              -> Dense w_i -> ReLU
    style     concat of the three -> dropout 0.8 -> Dense S -> ReLU -> norm
    deep      what the backbone's own classifier would see
    fusion    concat(deep, style), or their product or sum -> norm -> Dense E

Two variants:
    paper     Maps are those of stem, stage 1 and stage 2, as widths and comments of the script mean them.
              Channels are reduced by 4 before the Gram matrix, by what stands there as a comment: a
              convolution with offset, ReLU, pooling, norm. The matrix's upper triangle is normalised, which
              is ours: its raw values are of order 0.001, and a Dense layer above them would hardly learn.
    release   What the script computes: each map lies one layer too low (stem, its max pool, stage 1),
              because the backbone that it was written for has one layer less in front. Full Gram matrices,
              unreduced, unnormalised; widths 64, 256, 512. 60.1 million parameters on ResNet-50.
Which of them gave the published figure is not known. Both depart from the authors in the backbone: timm's
ResNet-50 instead of MXNet's resnet50_v2; and in batch norms, whose running variance is the biased one in
MXNet and the unbiased one in torch, 16/15 of it at a batch of 16.

The loss is `losses.class_imbalance_loss`, equation and defects there.

Letters: B images, C channels, H x W cells of a map, S width of the style, D of the deep features, E emotions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from affectlens.errors import SettingsError
from affectlens.models import backbones
from affectlens.models.blocks import (
    CONCATENATE,
    NORM_EPSILON,
    RESNET50,
    GramValues,
    check_fusion,
    fuse,
    pyramid,
    start_new_layers,
)
from affectlens.models.capabilities import MEANING, TEXTURE, Division, Embedded

RELEASE_WIDTHS = (64, 256, 512)  # of the three branches, in the script


@dataclass(frozen=True, kw_only=True)
class MLMConfig:
    """What MLM is made of.

    Attributes:
        release: the script's maps and full raw Gram matrices, instead of the paper's
        reduction: the maps' channels are divided by it before the Gram matrix; of `paper` only
        triangle: take the upper triangle of a Gram matrix; of `paper` only
        style_width: S; 0 is D divided by the reduction
        dropout: of the style's input
        fusion: concatenate, multiply or add; the last two need S = D, so a reduction of 1 or a style_width
    """

    num_emotions: int
    release: bool = False
    backbone: str = RESNET50
    weights: str = backbones.NONE
    reduction: int = 4
    triangle: bool = True
    style_width: int = 0
    dropout: float = 0.8
    fusion: str = CONCATENATE

    def __post_init__(self) -> None:
        if self.reduction < 1:
            raise SettingsError(f"reduction must be at least 1, not {self.reduction}.")


class MLM(nn.Module):
    """Images to logits: (B, 3, H, W) -> (B, E)."""

    def __init__(self, config: MLMConfig) -> None:
        super().__init__()
        self.release = config.release
        self.fusion = config.fusion
        self.pyramid = pyramid(config.backbone, config.weights)
        first, second, third, *_ = self.pyramid.channels
        channels = (first, first, second) if config.release else (first, second, third)
        reduction = 1 if config.release else config.reduction
        deep = self.pyramid.num_features
        style = config.style_width or deep // reduction
        fused = check_fusion(
            config.fusion, style=style, deep=deep, remedy=f"style_width={deep} or reduction=1"
        )
        widths = RELEASE_WIDTHS if config.release else [max(8, count // reduction) for count in channels]
        self.encoders = nn.ModuleList(
            ReleasedBranch(count, width, pool=index > 0)
            if config.release
            else PaperBranch(count, width, pool=index > 0, triangle=config.triangle)
            for index, (count, width) in enumerate(zip(channels, widths, strict=True))
        )
        self.style = nn.Sequential(
            nn.Dropout(config.dropout), nn.Linear(sum(widths), style), nn.ReLU(),
            nn.BatchNorm1d(style, eps=NORM_EPSILON),
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.BatchNorm1d(fused, eps=NORM_EPSILON), nn.Linear(fused, config.num_emotions)
        )
        for new in (self.encoders, self.style, self.classifier):
            start_new_layers(new)

    def forward(self, images: Tensor) -> Tensor:
        return self.embed(images).logits

    def embed(self, images: Tensor) -> Embedded:
        """Logits (B, E) and the fused features that they are read from."""
        maps, deep = self.levels(images)
        fused = fuse(self.fusion, deep, self.style(torch.cat(self.texture(maps), dim=1)))
        return Embedded(self.classifier(fused), fused)

    def levels(self, images: Tensor) -> backbones.Levels:
        """The three maps whose Gram matrices are taken, before branches pool them, and deep features."""
        levels = self.pyramid(images)
        first, second, third, *_ = levels.maps
        if self.release:
            return backbones.Levels([first, nn.functional.max_pool2d(first, 3, 2, 1), second], levels.deep)
        return backbones.Levels([first, second, third], levels.deep)

    def texture(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """What each branch makes of its map, (B, w_i) each."""
        return [branch(each) for branch, each in zip(self.encoders, maps, strict=True)]

    def divisions(self) -> tuple[Division, ...]:
        """Style and deep features where they are concatenated, then the three branches and deep features."""
        fine = self._divide_branches()
        return (self._divide_style(), fine) if self.fusion == CONCATENATE else (fine,)

    def _divide_style(self) -> Division:
        """Before the last norm, which remembers the mean of both."""

        def describe(images: Tensor) -> dict[str, Tensor]:
            maps, deep = self.levels(images)
            return {"style": self.style(torch.cat(self.texture(maps), dim=1)), "deep": deep}

        def answer(parts: Mapping[str, Tensor]) -> Tensor:
            logits: Tensor = self.classifier(fuse(self.fusion, parts["deep"], parts["style"]))
            return logits

        remembered: Tensor = self.classifier[0].running_mean[None]  # type: ignore[index]
        width = self.pyramid.num_features
        usual = {"style": remembered[:, width:], "deep": remembered[:, :width]}
        return Division({"style": TEXTURE, "deep": MEANING}, describe, answer, usual)

    def _divide_branches(self) -> Division:
        """Before the three branches are joined."""
        names = [f"texture {number + 1}" for number in range(len(self.encoders))]

        def describe(images: Tensor) -> dict[str, Tensor]:
            maps, deep = self.levels(images)
            return {**dict(zip(names, self.texture(maps), strict=True)), "deep": deep}

        def answer(parts: Mapping[str, Tensor]) -> Tensor:
            style = self.style(torch.cat([parts[name] for name in names], dim=1))
            logits: Tensor = self.classifier(fuse(self.fusion, parts["deep"], style))
            return logits

        return Division({**dict.fromkeys(names, TEXTURE), "deep": MEANING}, describe, answer)


class PaperBranch(nn.Module):
    """Reduce, pool, correlate, normalise, project: (B, C, H, W) -> (B, width)."""

    def __init__(self, channels: int, width: int, *, pool: bool, triangle: bool) -> None:
        super().__init__()
        self.reduce = nn.Sequential(
            nn.Conv2d(channels, width, 1),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, 1) if pool else nn.Identity(),
            nn.BatchNorm2d(width, eps=NORM_EPSILON),
        )
        self.gram = GramValues(width, triangle)
        self.norm = nn.BatchNorm1d(self.gram.count, eps=NORM_EPSILON)
        self.project = nn.Linear(self.gram.count, width)

    def forward(self, features: Tensor) -> Tensor:
        projected: Tensor = self.project(self.norm(self.gram(self.reduce(features))))
        return projected.relu()


class ReleasedBranch(nn.Module):
    """Pool, correlate, project: (B, C, H, W) -> (B, width), C² x width weights."""

    def __init__(self, channels: int, width: int, *, pool: bool) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(3, 2, 1) if pool else nn.Identity()
        self.gram = GramValues(channels, triangle=False)
        self.project = nn.Linear(self.gram.count, width)

    def forward(self, features: Tensor) -> Tensor:
        projected: Tensor = self.project(self.gram(self.pool(features)))
        return projected.relu()
