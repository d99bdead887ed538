"""WSCNet, the weakly supervised coupled network: where a picture evokes emotions, learned from its label.

Paper: Yang et al., "Weakly supervised coupled networks for visual sentiment analysis", CVPR 2018; longer in
    She et al., IEEE Transactions on Multimedia 22(5), 2020, p. 1358. Reports 70.07 % on FI, eight classes;
    its division of FI was not looked up.
Code: the authors' notebook, PyTorch, known here by notes of what it computes. It divides the 22,700 pictures
    of FI into 19,292 for training and 3,408 for validation, on which the best epoch is chosen; an official
    rerun has 69.19 %.

    features     last map X of the backbone, C channels; 14 x 14 cells of a ResNet for 448 pixels
    detection    1 x 1 conv -> K maps f_ci for each emotion c; F_c is their mean over i
                 score v_c = mean over i of the pooled f_ci                          (auxiliary logits)
    coupling     sentiment map M = sum over c of v_c F_c
    answer       concat(X, M * X) -> mean over cells -> Dense E

Two variants, by two fields:
    paper     `pooling="max"`, the maximum of each of the K maps, then their mean (the maximum of F_c would be
              another number); `coupling="sum"`, as above. The default.
    release   `pooling="mean"` and `coupling="mean"`, over cells and over emotions, as the notebook has it.
Two fields and not one, because sources mix them: the paper's text was not at hand, its pooling is recalled,
and the sum is that of a re-implementation by PDANet's authors. X is not normalised before it is concatenated,
so the factor E between sum and mean scales half of what the last layer reads.

Departs from both, as far as is known, in how new layers start: as torch's do, which no source states. The
backbone's weights are torchvision's.

The loss is the mean of the cross-entropies of v and of the answer (`capabilities.HasAuxiliary`); v does not
answer.

Letters: B images, C channels, H x W cells of the map, K maps of one emotion, E emotions.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from affectlens.errors import SettingsError
from affectlens.models import backbones
from affectlens.models.blocks import pyramid

RESNET101 = "resnet101.tv_in1k"
POOLINGS = ("max", "mean")
COUPLINGS = ("sum", "mean")


@dataclass(frozen=True, kw_only=True)
class WSCNetConfig:
    """What WSCNet is made of.

    Attributes:
        maps_per_emotion: K
        pooling: of a map to a number, max or mean
        coupling: of the emotions' maps to the sentiment map, sum or mean
    """

    num_emotions: int
    backbone: str = RESNET101
    weights: str = backbones.NONE
    maps_per_emotion: int = 4
    pooling: str = "max"
    coupling: str = "sum"

    def __post_init__(self) -> None:
        for name, known in (("pooling", POOLINGS), ("coupling", COUPLINGS)):
            if getattr(self, name) not in known:
                raise SettingsError(f"{name} must be {' or '.join(known)}, not {getattr(self, name)!r}.")
        if self.maps_per_emotion < 1:
            raise SettingsError(f"maps_per_emotion must be at least 1, not {self.maps_per_emotion}.")


class WSCNet(nn.Module):
    """Images to logits: (B, 3, H, W) -> (B, E)."""

    def __init__(self, config: WSCNetConfig) -> None:
        super().__init__()
        self.pyramid = pyramid(config.backbone, config.weights)
        channels = self.pyramid.channels[-1]
        self.detection = DetectionBranch(channels, config)
        self.classifier = nn.Linear(2 * channels, config.num_emotions)

    def forward(self, images: Tensor) -> Tensor:
        return self.with_auxiliary(images)[0]

    def with_auxiliary(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, E) of the answer, and those of the detection branch."""
        features = self.pyramid(images).maps[-1]
        detected = self.detection(features)
        coupled = torch.cat([features, detected.sentiment_map * features], dim=1)  # (B, 2 C, H, W)
        return self.classifier(coupled.mean(dim=(2, 3))), detected.scores

    def sentiment_map(self, images: Tensor) -> Tensor:
        """M of each picture, of any sign and scale: (B, 3, pixels, pixels) -> (B, H, W)."""
        detected: Detected = self.detection(self.pyramid(images).maps[-1])
        return detected.sentiment_map[:, 0]


class Detected(NamedTuple):
    """What a detection branch finds: scores v (B, E) and the sentiment map M (B, 1, H, W)."""

    scores: Tensor
    sentiment_map: Tensor


class DetectionBranch(nn.Module):
    """Score emotions by maps of where each is, and combine these maps: (B, C, H, W) -> `Detected`."""

    def __init__(self, channels: int, config: WSCNetConfig) -> None:
        super().__init__()
        self.shape = (config.num_emotions, config.maps_per_emotion)
        self.pooling = config.pooling
        self.coupling = config.coupling
        self.maps = nn.Conv2d(channels, config.num_emotions * config.maps_per_emotion, kernel_size=1)

    def forward(self, features: Tensor) -> Detected:
        maps = self.maps(features).unflatten(1, self.shape)  # f: (B, E, K, H, W)
        pooled = maps.amax(dim=(3, 4)) if self.pooling == "max" else maps.mean(dim=(3, 4))
        scores = pooled.mean(dim=2)  # v: (B, E)
        weighted = scores[:, :, None, None] * maps.mean(dim=2)  # v F: (B, E, H, W)
        total = weighted.sum(dim=1, keepdim=True)
        return Detected(scores, total if self.coupling == "sum" else total / self.shape[0])
