"""Outputs of layers that do not learn, kept for each image: only the last layer is computed anew.

Of a network of which the last layer of each backbone learns (`frozen_layers=-1`) the layers below give the
same for the same image all through training, and in every run with the same weights below. Of a backbone that
is read at several levels nothing learns, and all its features are the same. Where pictures are varied by
nothing but mirroring, each has two images, and training costs what its last layer does.

What is kept was computed image by image, so that it does not depend on which others were in a batch: a run
that is resumed, and computes them again, ends in the same bits.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor, nn

from affectlens.models.backbones import keep_below_last_layer
from affectlens.training.frozen import learns, readers_of_levels
from affectlens.training.settings import Settings

MOST_BYTES = 1 << 30  # what does not fit in is computed each time


@dataclass
class KeptOutputs:
    """Outputs by image, of networks that are alike below their last layers.

    It is one for a network and its copies, as that of the moving average.
    """

    most_bytes: int = MOST_BYTES
    held_bytes: int = 0
    stored: dict[bytes, Tensor] = field(default_factory=dict)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def attach(self, network: nn.Module, settings: Settings) -> bool:
        """Make a network keep what does not learn, if it is worth it; return whether any of it does.

        Before copies are made of it.
        """
        if settings.frozen_layers != -1 or not _few_images(settings):
            return False
        below = keep_below_last_layer(network, lambda name: partial(self.outputs, name.encode()))
        return self._keep_features(network) or below

    def _keep_features(self, network: nn.Module) -> bool:
        """Keep what is read of frozen backbones at several levels: far less than their maps."""
        readers = [(name, each) for name, each in readers_of_levels(network) if not learns(each.pyramid)]
        for name, reader in readers:
            reader.describe = partial(self.outputs, name.encode(), compute=reader.describe)
        return bool(readers)

    def outputs(self, name: bytes, images: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
        """Return what a backbone computes of images, (B, 3, H, W), of each for itself."""
        found = []
        for image in images.detach().cpu().contiguous():
            key = name + hashlib.blake2b(image.numpy().data, digest_size=16).digest()
            output = self.stored.get(key)
            if output is None:
                # Not as in inference: training may go on with what was computed for a prediction.
                with torch.inference_mode(False), torch.no_grad():
                    output = compute(image[None].clone().to(images.device))
                size = output.numel() * output.element_size()
                if self.held_bytes + size <= self.most_bytes:
                    self.held_bytes += size
                    self.stored[key] = output
            found.append(output)
        return torch.cat(found)


def _few_images(settings: Settings) -> bool:
    """Whether a picture has one image and its mirror image all through training."""
    augmentation = settings.augmentation
    varied = (
        augmentation.rand_augment,
        augmentation.colour_jitter,
        augmentation.lighting,
        augmentation.erase,
        settings.mixes,
        settings.network_options.get("patch_dropout", 0),
    )
    return augmentation.crop_scale == 1 and not any(varied)
