"""AlexNet as timm would have it, which has none: torchvision's, with its weights of ImageNet.

Krizhevsky, "One weird trick for parallelizing convolutional neural networks", arXiv 1404.5997, 2014: both
halves of the network of Krizhevsky, Sutskever and Hinton (NeurIPS 2012) in one. Dropout is .5, as there.

To import this module is to make it known to timm by the name `alexnet`. Parameters have torchvision's names.

Letters: B images, H x W pixels, E emotions.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn
from torchvision.models import AlexNet_Weights
from torchvision.models.alexnet import AlexNet as TorchvisionAlexNet

from affectlens.errors import SettingsError
from affectlens.files import atomic_write
from affectlens.preprocess import IMAGENET_MEAN, IMAGENET_STD

NAME = "alexnet"
HIDDEN = 4096  # width of the layer below the classifier
# Rectified maps before each pooling, by their index in `features`, with channels and pixels a cell.
_LEVELS = ((1, 64, 4), (4, 192, 8), (11, 256, 16))
PATIENCE = 5.0  # seconds for a machine that does not answer

default_cfgs = generate_default_cfgs({
    f"{NAME}.tv_in1k": {
        "num_classes": 1000, "input_size": (3, 224, 224), "pool_size": (6, 6), "crop_pct": 0.875,
        "interpolation": "bilinear", "mean": IMAGENET_MEAN, "std": IMAGENET_STD, "first_conv": "features.0",
        "classifier": "classifier.6",
    },
})  # fmt: skip


class AlexNet(TorchvisionAlexNet):  # type: ignore[misc]
    """Images to logits, (B, 3, H, W) -> (B, E); of `num_classes` 0 to features, (B, 4096)."""

    num_features, head_hidden_size = 256, HIDDEN

    def __init__(self, num_classes: int = 1000, in_chans: int = 3, drop_rate: float = 0.5) -> None:
        if in_chans != 3:
            raise SettingsError(f"AlexNet reads pictures of 3 channels, not of {in_chans}.")
        super().__init__(num_classes=num_classes or 1, dropout=drop_rate)
        self.num_classes = num_classes
        self.feature_info = [
            {"num_chs": channels, "reduction": stride, "module": f"features.{index}"}
            for index, channels, stride in _LEVELS
        ]
        if not num_classes:
            self.classifier[6] = nn.Identity()

    def get_classifier(self) -> nn.Module:
        """Return the last layer."""
        last: nn.Module = self.classifier[6]
        return last

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Group parameters by layer, from the input on, as timm does."""
        del coarse
        return {"stem": r"^features\.0", "blocks": r"^features\.(\d+)"}

    def forward_features(self, images: Tensor) -> Tensor:
        """Return the last map: (B, 256, h, w)."""
        found: Tensor = self.features(images)
        return found

    def forward_head(self, maps: Tensor, pre_logits: bool = False) -> Tensor:
        """Return logits of the last map, or with `pre_logits` what the classifier reads: (B, 4096)."""
        pooled = self.avgpool(maps).flatten(1)
        found: Tensor = (self.classifier[:6] if pre_logits else self.classifier)(pooled)
        return found

    def forward_intermediates(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the last map, and the maps before each pooling, from shallow to deep."""
        kept, found = {index for index, _, _ in _LEVELS}, []
        maps = images
        for index, layer in enumerate(self.features):
            maps = layer(maps)
            if index in kept:
                found.append(maps)
        return maps, found

    def forward(self, images: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(images))


@register_model
def alexnet(pretrained: bool = False, **options: Any) -> nn.Module:
    """Build it as timm's `create_model` does."""
    network: nn.Module = build_model_with_cfg(AlexNet, NAME, pretrained, **options)
    return network


def fetch_weights() -> Path:
    """Fetch torchvision's weights once, and return them as a safetensors file in torch's cache.

    Raises `OSError` where they cannot be had.
    """
    file = Path(torch.hub.get_dir()) / "checkpoints" / f"{NAME}.safetensors"
    if not file.is_file():
        with _limited_patience():
            state = AlexNet_Weights.IMAGENET1K_V1.get_state_dict(
                progress=False, check_hash=True, weights_only=True
            )
        with atomic_write(file) as out:
            out.write(save(dict(state)))
    return file


@contextmanager
def _limited_patience() -> Iterator[None]:
    """Let connections of this block end after `PATIENCE` seconds: torch sets no limit."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
