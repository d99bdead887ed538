"""Features that ratings are read from: a network's embedding, and what lies in its layers, pooled.

Of a layer whose output is a map the mean and the standard deviation over its cells are features, channel by
channel: what is there, and how unevenly (the diagonal of the Gram matrix of Gatys, Ecker and Bethge, "Image
Style Transfer Using Convolutional Neural Networks", CVPR 2016, is the sum of their squares). Arousal depends
on more than what a last layer keeps for emotions.

Letters: B images, D features of the embedding, F features, C channels, H x W pixels.
"""

from collections.abc import Sequence
from threading import local
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from affectlens.errors import SettingsError
from affectlens.models.maps import as_maps

SMALLEST_VARIANCE = 1e-6  # below the square root, whose gradient at 0 is infinite


class NetworkFeatures(NamedTuple):
    """A network's logits (B, E), embedding (B, D) and features (B, F), which begin with the embedding."""

    logits: Tensor
    embedding: Tensor
    features: Tensor


class FeatureNetwork(nn.Module):
    """A network that also returns what its last linear layers read, and pooled layers.

    `readers` are the paths of the last linear layers (`graph_outputs.last_layers`), `layers` those of the
    layers that are pooled, in this order. May be used from several threads.
    """

    def __init__(self, network: nn.Module, readers: Sequence[str], layers: Sequence[str] = ()) -> None:
        super().__init__()
        self.network = network
        self._readers, self._layers = tuple(readers), tuple(layers)
        self._seen = local()  # the hooks of one thread see only what that thread runs
        self._hooks = [
            submodule(network, path).register_forward_pre_hook(
                lambda _module, inputs, path=path: self._keep(path, inputs[0])
            )
            for path in self._readers
        ]
        self._hooks += [
            submodule(network, path).register_forward_hook(
                lambda _module, _inputs, values, path=path: self._keep(path, values)
            )
            for path in self._layers
        ]

    def remove_hooks(self) -> None:
        """Leave the network as it was; afterwards there is nothing to read."""
        for hook in self._hooks:
            hook.remove()

    def forward(self, images: Tensor) -> NetworkFeatures:
        """Run the network: (B, 3, H, W) -> logits, embedding and features."""
        found: dict[str, Tensor] = {}
        self._seen.found = found
        try:
            logits = self.network(images)
        finally:
            self._seen.found = None
        embedding = torch.cat([found[path] for path in self._readers], dim=1)
        parts = [pooled(path, found[path], images) for path in self._layers]
        return NetworkFeatures(logits, embedding, torch.cat([embedding, *parts], dim=1))

    def _keep(self, path: str, values: Any) -> None:
        found = getattr(self._seen, "found", None)
        if found is not None:
            found[path] = values


def submodule(network: nn.Module, path: str) -> nn.Module:
    """Return a layer of a network by its path. Raises `SettingsError` where there is none."""
    try:
        return network.get_submodule(path)
    except AttributeError:
        raise SettingsError(f"The network has no layer {path!r} to read features from.") from None


def pooled(path: str, values: Any, images: Tensor) -> Tensor:
    """Mean and standard deviation of each channel over the cells of a layer's map: (B, 2 C).

    Raises `SettingsError` where the output of the layer at a path is not a map of the images.
    """
    maps = as_maps(values, images.shape[2], images.shape[3])
    if maps is None:
        raise SettingsError(
            f"The output of the layer {path!r} is not a map of the picture, so it cannot be pooled."
        )
    mean = maps.mean(dim=(2, 3))
    variance = (maps - mean[:, :, None, None]).square().mean(dim=(2, 3))
    return torch.cat([mean, (variance + SMALLEST_VARIANCE).sqrt()], dim=1)
