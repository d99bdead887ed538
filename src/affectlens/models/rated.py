"""Ratings as an output of any network: a linear layer over the features that its last layers read.

The layer learns together with the network. What it has learned is then a `RatingHead` of the model folder,
over the same features (`graph_outputs.last_layers`), and the network is stored without it: so ratings have
one form, whether they were trained or fitted to a network afterwards.

It returns shares of each rating's scale, 0 at the low end and 1 at the high end, not cut off.

Letters: B images, F features, R ratings, E emotions.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from affectlens.errors import SettingsError
from affectlens.models.backbones import RATINGS
from affectlens.models.graph_outputs import last_layers
from affectlens.models.maps import Keeping, noise_for
from affectlens.ratings import RatingColumn, RatingHead

# Standard deviation of the first weights: of a thousand features larger ones would make a noise that is wider
# than ratings differ.
_START = 1e-3

ReadRatings = Callable[[], Tensor | None]


class RatingLayer(nn.Module):
    """Features to shares of the scales of ratings: (B, F) -> float32 (B, R).

    Attributes:
        columns: the ratings
        readers: paths of the layers whose inputs, next to each other, are the features
    """

    def __init__(self, columns: Sequence[RatingColumn], readers: Sequence[str], features: int) -> None:
        super().__init__()
        self.columns, self.readers = tuple(columns), tuple(readers)
        self.linear = nn.Linear(features, len(columns))
        nn.init.normal_(self.linear.weight, std=_START)

    def forward(self, features: Tensor) -> Tensor:
        # Not in bfloat16, of which a scale of 1 to 9 would have steps of a twentieth.
        with torch.autocast(features.device.type, enabled=False):
            shares: Tensor = self.linear(features.float())
        return shares

    def head(self) -> RatingHead:
        """Return what reads ratings of the same features, on their scales."""
        low, high = np.array([each.scale for each in self.columns], dtype=np.float64).T
        weights, offsets = (
            each.detach().cpu().double().numpy() for each in (self.linear.weight, self.linear.bias)
        )
        span = high - low
        return RatingHead(
            (weights * span[:, None]).astype(np.float32), (offsets * span + low).astype(np.float32)
        )


def add_ratings(
    network: nn.Module, columns: Sequence[RatingColumn], start: Tensor, height: int, width: int, emotions: int
) -> None:
    """Give a network on the CPU a layer for ratings, which begins near `start`, their usual shares (R,).

    Raises `SettingsError` for a network without features that a last layer reads, at this size of images.
    """
    readers = last_layers(network.eval(), height, width, emotions)
    if not readers:
        raise SettingsError(
            "Ratings are read from what the last linear layer of a network reads, and this network has none. "
            "Set ratings=[], or choose another, as pdanet or resnet50."
        )
    kept = _keeping(network, readers)
    try:
        with torch.no_grad():
            network(noise_for(network, height, width))
    finally:
        kept.remove()
    layer = RatingLayer(columns, readers, sum(kept.read[path].shape[1] for path in readers))
    with torch.no_grad():
        layer.linear.bias.copy_(start)
    network.add_module(RATINGS, layer)


def rating_layer(network: nn.Module) -> RatingLayer | None:
    """Return the layer that `add_ratings` gave to a network, if it has one."""
    found = getattr(network, RATINGS, None)
    return found if isinstance(found, RatingLayer) else None


def remove_ratings(network: nn.Module) -> None:
    """Take the layer off a network, which is then as it was built."""
    delattr(network, RATINGS)


@contextmanager
def reading_ratings(network: nn.Module) -> Iterator[ReadRatings]:
    """Yield what returns the ratings (B, R) of the images that the network ran on last within the block.

    It returns None for a network without a layer for ratings. The network may be run by any of its methods.
    """
    layer = rating_layer(network)
    if layer is None:
        yield lambda: None
        return
    kept = _keeping(network, layer.readers)

    def read() -> Tensor:
        shares: Tensor = layer(torch.cat([kept.read[path].float() for path in layer.readers], dim=1))
        return shares

    try:
        yield read
    finally:
        kept.remove()


def _keeping(network: nn.Module, readers: Sequence[str]) -> Keeping:
    return Keeping(network, {path: (path, True) for path in readers})
