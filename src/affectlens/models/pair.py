"""Pair: a small transformer and a small convolutional network that answer together.

Ours, no paper. Two networks of one size that were trained alike but see differently (patches that
attend to one another; local filters) make different mistakes; the mean of their answers is better and
better calibrated than either (Lakshminarayanan et al., "Simple and Scalable Predictive Uncertainty
Estimation using Deep Ensembles", NeurIPS 2017; there the members differ by seed only). What it gains
here is measured in docs/results/default.md. Together they are smaller than one ResNet-50 by far.

Letters: B images, H x W pixels, E emotions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from affectlens.models import backbones
from affectlens.models.capabilities import Division


@dataclass(frozen=True, kw_only=True)
class PairConfig:
    """Two timm networks; `drop_path` acts in the transformer, `dropout` before both classifiers.

    In training the transformer sees a picture without `patch_dropout` of its patches (see `catalog`).

    Images are normalised as the transformer's weights expect; the pair renormalises them for the other, and
    makes them `convolutional_size` pixels high and wide; 0 leaves them as they are.
    With `mirror` an answer is the mean of those to the picture and to its mirror image, outside training.
    """

    num_emotions: int
    transformer: str = "deit_tiny_patch16_224.fb_in1k"
    convolutional: str = "mobilenetv2_100.ra_in1k"
    weights: str = backbones.NONE
    drop_path: float = 0.0
    dropout: float = 0.0
    patch_dropout: float = 0.0
    convolutional_size: int = 0
    mirror: bool = False


class Branches(NamedTuple):
    """Logits of each branch, both (B, E)."""

    transformer: Tensor
    convolutional: Tensor


class Pair(nn.Module):
    """Images to logits, (B, 3, H, W) -> (B, E): the mean of both branches' log-probabilities."""

    def __init__(self, config: PairConfig) -> None:
        super().__init__()
        self.mirror = config.mirror
        self.transformer = backbones.classifier(
            config.transformer,
            config.num_emotions,
            weights=config.weights,
            drop_path_rate=config.drop_path,
            drop_rate=config.dropout,
            patch_drop_rate=config.patch_dropout,
        )
        self.convolutional = backbones.classifier(
            config.convolutional, config.num_emotions, weights=config.weights, drop_rate=config.dropout
        )
        self.resize = (
            backbones.Resize(config.convolutional_size) if config.convolutional_size else nn.Identity()
        )
        # Images come as the transformer's weights expect them.
        given, expected = map(backbones.statistics, (config.transformer, config.convolutional))
        self.renormalise = nn.Identity() if given == expected else backbones.Renormalise(given, expected)

    def forward(self, images: Tensor) -> Tensor:
        return _mean(self.answers(images))

    def branches(self, images: Tensor) -> Branches:
        """Logits of each branch for itself: each is trained as if it were alone."""
        smaller = self.renormalise(self.resize(images))
        return Branches(self.transformer(images), self.convolutional(smaller))

    def answers(self, images: Tensor) -> Branches:
        """Log-probabilities of each branch, both (B, E), averaged over the views of a picture."""
        views = 2 if self.mirror and not self.training else 1
        seen = torch.cat([images, images.flip(3)]) if views == 2 else images
        logs = [logits.float().log_softmax(dim=1) for logits in self.branches(seen)]
        return Branches(*(log.reshape(views, images.shape[0], -1).mean(dim=0) for log in logs))

    def scale_branches(self, temperatures: Sequence[float]) -> None:
        """Divide each branch's logits by its temperature, for good, in the weights of its classifier.

        A branch that is less sure than it is right would otherwise count too little in the mean.
        """
        with torch.no_grad():
            for branch, temperature in zip((self.transformer, self.convolutional), temperatures, strict=True):
                for parameter in branch.get_classifier().parameters():  # type: ignore[operator]
                    parameter.div_(temperature)

    def branch_networks(self) -> dict[str, nn.Module]:
        """Return each branch by name as a network of its own, with the views of the pair."""
        return {name: OneBranch(self, index) for index, name in enumerate(Branches._fields)}

    def divisions(self) -> tuple[Division]:
        """One: the answers of both branches."""

        def describe(images: Tensor) -> dict[str, Tensor]:
            return self.answers(images)._asdict()

        def answer(parts: Mapping[str, Tensor]) -> Tensor:
            return _mean([parts[name] for name in Branches._fields])

        return (Division({name: name for name in Branches._fields}, describe, answer),)


class OneBranch(nn.Module):
    """One branch of a pair as a network of its own, by its index in `Branches`: (B, 3, H, W) -> (B, E)."""

    def __init__(self, network: Pair, index: int) -> None:
        super().__init__()
        self.network = network
        self.index = index

    def forward(self, images: Tensor) -> Tensor:
        return self.network.answers(images)[self.index]


def _mean(answers: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(answers)).mean(dim=0)
